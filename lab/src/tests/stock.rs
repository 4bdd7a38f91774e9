//! The stock loop driver and what tests are made with: if these fail, the lab is to blame.

use std::fs::{self, File};
use std::io::Read as _;

use anyhow::Result;

use crate::command::run;
use crate::device_mapper::{Mapped, linear, sectors};
use crate::filesystem::{Filesystem, Kind};
use crate::fio::Verify;
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::null_blk::NullBlk;
use crate::test::{Outcome, Test, ensure};

pub(super) fn tests() -> Vec<Test> {
    let mut tests = on_each_filesystem();
    tests.push(Test::new("stock_errors_are_reported", errors_are_reported));
    tests.push(Test::new("stock_loop_on_null_blk", loop_on_null_blk));
    tests
}

fn on_each_filesystem() -> Vec<Test> {
    super::on_each("stock_loop_keeps_data", &Kind::ALL, loop_keeps_data)
}

/// What fio wrote through the device is there, through the device and in the file.
fn loop_keeps_data(guest: &mut Guest, kind: Kind) -> Result<Outcome> {
    const MIB: u64 = 1 << 20;
    let bytes = if guest.is_long() {
        1024 * MIB
    } else {
        16 * MIB
    };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let file = below.written_file("disk.img", bytes)?;
    let attached = LoopDevice::buffered(&file)?;
    let job = Verify {
        file: attached.device(),
        block_bytes: 4096,
        total_bytes: bytes,
        engine: "io_uring",
        depth: 8,
    };
    job.run(guest)?;
    run!["cmp", attached.device(), &file]?;
    drop(attached);
    below.unmount_and_check()?;
    Ok(Outcome::Passed)
}

/// A read that the disk cannot serve is an error, and is none when the disk is well again.
fn errors_are_reported(guest: &mut Guest) -> Result<Outcome> {
    let disk = guest.scratch(1)?;
    let mapped = Mapped::linear(disk)?;
    let sectors = sectors(disk)?;
    let read = || -> std::io::Result<()> {
        run!["blockdev", "--flushbufs", mapped.device()].map_err(std::io::Error::other)?;
        File::open(mapped.device())?.read_exact(&mut [0; 4096])
    };
    read()?;
    mapped.replace(&format!("0 {sectors} flakey {} 0 0 60", disk.display()))?;
    ensure(read().is_err(), "dm-flakey is down, but the read succeeded")?;
    mapped.replace(&linear(disk, sectors))?;
    read()?;
    Ok(Outcome::Passed)
}

/// A disk in memory, a filesystem on it, and a loop device on that, with its own filesystem.
fn loop_on_null_blk(guest: &mut Guest) -> Result<Outcome> {
    const MIB: u64 = 1 << 20;
    let text = guest.seed().to_le_bytes();
    let disk = NullBlk::new(512)?;
    let outer = Filesystem::make(Kind::Xfs, disk.device())?;
    let file = outer.sparse_file("disk.img", 400 * MIB)?;
    let attached = LoopDevice::direct(&file)?;
    let inner = Filesystem::make(Kind::Ext4, attached.device())?;
    let path = inner.path().join("file");
    fs::write(&path, text)?;
    run!["sync", &path]?;
    run!["sysctl", "-q", "vm.drop_caches=3"]?;
    ensure(
        fs::read(&path)? == text,
        "the file does not hold what was written",
    )?;
    inner.unmount_and_check()?;
    drop(attached);
    outer.unmount_and_check()?;
    Ok(Outcome::Passed)
}
