//! Little memory: a filesystem on a device on a filesystem, and more written than there is memory for.

use std::fs;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{output_of, run};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

/// How much is left to all others.
const LEFT_MIB: u64 = 160;

pub(super) fn tests() -> Vec<Test> {
    let limit = Duration::from_secs(300);
    let of = |name: &str, kind, mode| {
        let body = move |guest: &mut Guest| super::with_module(|| little_memory(guest, kind, mode));
        Test::new(name, body).within(limit)
    };
    vec![
        of("memory_is_scarce/xfs", Kind::Xfs, Mode::LAZY),
        of("memory_is_scarce/ext4", Kind::Ext4, Mode::DEFAULT),
    ]
}

fn little_memory(guest: &mut Guest, kind: Kind, mode: Mode) -> Result<()> {
    let mib = if guest.is_long() { 2200 } else { 256 };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let file = below.sparse_file("disk.img", 3 << 30)?;
    let attached = RloopDevice::attach(&file, mode)?;
    let options = ["-E", "lazy_itable_init=1"];
    let inner = Filesystem::make_with(Kind::Ext4, attached.device(), &options, "defaults")?;
    ensure!(
        fs::read_to_string("/proc/swaps")?.lines().count() == 1,
        "there is swap"
    );
    let hog = Hog::leaving(LEFT_MIB)?;
    let times = if guest.is_long() { 20 } else { 1 };
    for time in 0..times {
        let job = |name: &str, words: &[&str]| {
            let mut fio = Command::new("fio");
            fio.args([
                "--minimal",
                "--bs=64k",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--end_fsync=1",
            ])
            .arg(format!("--name={name}"))
            .arg(format!("--directory={}", inner.path().display()))
            .arg(format!("--size={mib}m"))
            .arg(format!("--randseed={}", guest.seed() + time))
            .args(words);
            output_of(&mut fio).context("with little memory")
        };
        job(
            "verify",
            &["--rw=write", "--ioengine=psync", "--do_verify=0"],
        )?;
        // From the disk, and not from memory.
        run!["sysctl", "-q", "vm.drop_caches=3"]?;
        job(
            "verify",
            &["--rw=write", "--ioengine=psync", "--verify_only"],
        )?;
        job(
            "random",
            &[
                "--rw=randwrite",
                "--bs=4k",
                "--size=16m",
                "--ioengine=psync",
                "--do_verify=1",
            ],
        )?;
    }
    drop(hog);
    inner.unmount_and_check()?;
    let error = attached.attribute("error")?;
    ensure!(error == "0", "the device has an error: {error}");
    attached.detach()?;
    below.unmount_and_check()
}

/// Memory that is taken, and in use.
struct Hog {
    map: *mut libc::c_void,
    bytes: usize,
}

impl Hog {
    /// Takes all but this.
    fn leaving(mebibytes: u64) -> Result<Self> {
        let bytes = (available_mib()?.saturating_sub(mebibytes) << 20) as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED | libc::MAP_POPULATE;
        // SAFETY: A new mapping, of nothing.
        let map = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        ensure!(
            map != libc::MAP_FAILED,
            "mmap: {}",
            std::io::Error::last_os_error()
        );
        let hog = Self { map, bytes };
        let left = available_mib()?;
        ensure!(
            left <= mebibytes + mebibytes / 4,
            "{left} MiB are still available"
        );
        Ok(hog)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: It was mapped by us, and nobody uses it.
        if unsafe { libc::munmap(self.map, self.bytes) } != 0 {
            println!("munmap: {}", std::io::Error::last_os_error());
        }
    }
}

fn available_mib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("/proc/meminfo has no MemAvailable")?.parse()?;
    Ok(kib >> 10)
}
