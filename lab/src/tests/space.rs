//! The filesystem has no room any more: who writes into a hole is told so, nothing else is lost, and all is
//! well again when there is room.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::checker::Checker;
use crate::command::run;
use crate::device_mapper::Mapped;
use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::Stamps;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("out_of_space", &SHORT, out_of_space);
    let xfs = super::of_module_on_each("out_of_space", &[Kind::Xfs], out_of_space);
    tests.extend(xfs.into_iter().map(Test::on_request));
    tests.push(super::of_module("out_of_quota/xfs", out_of_quota));
    tests.push(super::of_module(
        "out_of_room_for_shared/xfs",
        out_of_room_for_shared,
    ));
    tests
}

/// On XFS it takes longer than a short form may.
const SHORT: [Kind; 3] = [Kind::Ext4, Kind::Btrfs, Kind::Tmpfs];

/// How long the file is, and how much of it there is room for.
const FILE_BYTES: u64 = 32 << 20;
const ROOM_BYTES: u64 = 1 << 20;

fn out_of_space(guest: &mut Guest, kind: Kind) -> Result<()> {
    const DISK_BYTES: u64 = 400 << 20;
    let small = Mapped::beginning(guest.scratch(1)?, DISK_BYTES)?;
    let options = if kind == Kind::Tmpfs {
        "size=64m"
    } else {
        "defaults"
    };
    let modes: &[Mode] = if kind == Kind::Xfs {
        &Mode::ALL
    } else {
        &Mode::ALL[..1]
    };
    for mode in modes {
        let below = Filesystem::make_with(kind, small.device(), &[], options)?;
        let path = below.sparse_file("disk.img", FILE_BYTES)?;
        let fillers = below.path().join("fillers");
        fill_up(&fillers)?;
        let and_free = || {
            fs::remove_dir_all(&fillers)?;
            run!["sync", "-f", &path]?;
            Ok(())
        };
        one_round(guest, *mode, &path, and_free).with_context(|| mode.to_string())?;
        below.unmount_and_check()?;
    }
    Ok(())
}

/// Leaves the filesystem little room.
pub(super) fn fill_up(fillers: &Path) -> Result<()> {
    const SMALLEST: u64 = 64 << 10;
    // Large ones as long as they go in, then smaller ones.
    let mut bytes = ROOM_BYTES;
    fs::create_dir(fillers)?;
    for number in 0.. {
        let filler = File::create(fillers.join(number.to_string()));
        match filler.and_then(|filler| direct::allocate(&filler, 0, 0, bytes)) {
            Ok(()) => {}
            Err(error) if error.kind() != ErrorKind::StorageFull => return Err(error.into()),
            Err(_) if bytes <= SMALLEST => break,
            Err(_) => bytes /= 2,
        }
    }
    fs::remove_file(fillers.join("0"))?;
    run!["sync", "-f", fillers]?;
    Ok(())
}

fn out_of_quota(guest: &mut Guest) -> Result<()> {
    for mode in Mode::ALL {
        let below = Filesystem::make_with(Kind::Xfs, guest.scratch(0)?, &[], "prjquota")?;
        let path = below.sparse_file("disk.img", FILE_BYTES)?;
        let place = below.path();
        let quota = |command: &str| run!["xfs_quota", "-x", "-c", command, place];
        quota(&format!("project -s -p {} 7", path.display()))?;
        quota(&format!("limit -p bhard={}k 7", ROOM_BYTES >> 10))?;
        let and_free = || quota("limit -p bhard=0 7").map(drop);
        one_round(guest, mode, &path, and_free).with_context(|| mode.to_string())?;
        below.unmount_and_check()?;
    }
    Ok(())
}

/// Parts of blocks that another file has too are written through the page cache. Without room for blocks of its own,
/// XFS first writes back all that others have there, and waits for its workers to do so.
fn out_of_room_for_shared(guest: &mut Guest) -> Result<()> {
    const PART: u64 = 3 * SECTOR as u64;
    let below = Filesystem::make_with(Kind::Xfs, guest.scratch(0)?, &[], "prjquota")?;
    let (path, place) = (below.written_file("disk.img", ROOM_BYTES)?, below.path());
    run!["cp", "--reflink=always", &path, place.join("clone.img")]?;
    let quota = |command: &str| run!["xfs_quota", "-x", "-c", command, place];
    quota(&format!("project -s -p {} 7", path.display()))?;
    quota(&format!("limit -p bhard={}k 7", ROOM_BYTES >> 10))?;
    let attached = RloopDevice::attach_with(&path, Mode::DEFAULT, &["--block-size", "512"])?;
    let device = direct::open(attached.device(), true)?;
    let mut buffer = Buffer::new(SECTOR);
    let sector = &mut buffer.bytes()[..SECTOR];
    sector.fill(b'S');
    let refused = device.write_all_at(sector, PART);
    ensure!(
        refused.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)),
        "there was room for a block of its own"
    );
    quota("limit -p bhard=0 7")?;
    device.write_all_at(sector, PART).context("with room")?;
    device.sync_all()?;
    drop(device);
    attached.detach()?;
    let held = fs::read(&path)?;
    ensure!(
        held[PART as usize..][..SECTOR] == *sector,
        "what had room is not in the file"
    );
    below.unmount_and_check()
}

fn one_round(
    guest: &Guest,
    mode: Mode,
    path: &Path,
    free: impl FnOnce() -> Result<()>,
) -> Result<()> {
    const THREADS: u64 = 4;
    let operations = if guest.is_long() { 20_000 } else { 200 };
    let stamps = Stamps::new(
        guest.seed(),
        FILE_BYTES / SECTOR as u64,
        (2 * THREADS * operations) as usize,
    );
    let attached = RloopDevice::attach_with(path, mode, &["--block-size", "512"])?;
    let full = Checker {
        stamps: &stamps,
        device: attached.device(),
        file: None,
        seed: guest.seed(),
        threads: THREADS,
        operations,
        may_fail: &[libc::ENOSPC],
        makes_holes: false,
    };
    let failed = full.run().context("while there was no room")?;
    ensure!(failed > 0, "the filesystem was never full");
    stamps.read_all(attached.device())?;
    direct::open(attached.device(), true)?
        .sync_all()
        .context("a flush of what had room")?;
    free()?;
    let roomy = Checker {
        may_fail: &[],
        makes_holes: true,
        seed: guest.seed() + 1,
        ..full
    };
    roomy.run().context("when there was room again")?;
    let before = stamps.read_all(attached.device())?;
    direct::open(attached.device(), true)?.sync_all()?;
    ensure!(
        attached.attribute("error")? == "0",
        "the device has an error"
    );
    attached.detach()?;
    ensure!(
        stamps.read_all(path)? == before,
        "the file is not what the device was"
    );
    Ok(())
}
