//! Load that checks itself: on the device, and on filesystems that are made on it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::churn::Churn;
use crate::direct;
use crate::filesystem::{Filesystem, Kind};
use crate::fio::Mix;
use crate::guest::Guest;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("verified_load", &Kind::ALL, verified_load);
    tests.extend(super::of_module_on_each(
        "filesystems_on_device",
        &Kind::ALL,
        filesystems_on_device,
    ));
    tests
}

const MIB: u64 = 1 << 20;
/// fio's mmap is not among them: with an offset it maps the file's beginning, where another job is.
const ENGINES: [&str; 3] = ["io_uring", "libaio", "psync"];
const BLOCKS: [u64; 8] = [
    512,
    1024,
    4096,
    8192,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
];

/// Every engine with every block size in the long form; in the short form every engine and every size.
/// Then through mapped memory.
fn verified_load(guest: &mut Guest, kind: Kind) -> Result<()> {
    let rounds = if guest.is_long() { 3 } else { 1 };
    let part_bytes = if guest.is_long() { 64 * MIB } else { 2 * MIB };
    let modes: &[Mode] = if kind == Kind::Xfs {
        &Mode::ALL[..2]
    } else {
        &Mode::ALL[..1]
    };
    for mode in modes {
        let below = Filesystem::make(kind, guest.scratch(0)?)?;
        let path = below.sparse_file("disk.img", part_bytes * (BLOCKS.len() as u64 + 1))?;
        let attached = RloopDevice::attach_with(&path, *mode, &["--block-size", "512"])?;
        for round in 0..rounds {
            let engine = |number: usize| ENGINES[(number + round) % ENGINES.len()];
            let jobs: Vec<_> = (0..).map(engine).zip(BLOCKS).collect();
            let (file, seed) = (attached.device(), guest.seed() + round as u64);
            let mix = Mix {
                file,
                part_bytes,
                jobs: &jobs,
                trims: true,
                seed,
            };
            mix.run().with_context(|| mode.to_string())?;
        }
        through_memory(attached.device(), guest.seed()).with_context(|| mode.to_string())?;
        direct::open(attached.device(), true)?.sync_all()?;
        crate::command::run!["cmp", attached.device(), &path]?;
        ensure!(
            attached.attribute("error")? == "0",
            "the device has an error"
        );
        attached.detach()?;
        below.unmount_and_check()?;
    }
    Ok(())
}

/// What is written into the device's mapped memory is on it when that is synced.
fn through_memory(device: &Path, seed: u64) -> Result<()> {
    const BYTES: usize = MIB as usize;
    let file = File::options().read(true).write(true).open(device)?;
    let mut expected = direct::contents(&direct::open(device, false)?, MIB)?;
    let mut random = Random::new(seed, 0);
    // SAFETY: The memory is used only here, within its length, and given back; the device stays that long.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        let memory = libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            protection,
            libc::MAP_SHARED,
            fd,
            0,
        );
        ensure!(
            memory != libc::MAP_FAILED,
            "mmap: {}",
            std::io::Error::last_os_error()
        );
        let mapped = std::slice::from_raw_parts_mut(memory.cast::<u8>(), BYTES);
        let was_same = mapped == expected;
        for _ in 0..BYTES / 512 {
            let (at, value) = (random.below(MIB) as usize, random.next() as u8);
            (mapped[at], expected[at]) = (value, value);
        }
        let synced = libc::msync(memory, BYTES, libc::MS_SYNC);
        libc::munmap(memory, BYTES);
        ensure!(
            was_same,
            "mapped memory is not what was read past the page cache"
        );
        ensure!(synced == 0, "msync: {}", std::io::Error::last_os_error());
    }
    let now = direct::contents(&direct::open(device, false)?, MIB)?;
    ensure!(
        now == expected,
        "the device does not hold what was written to its mapped memory"
    );
    Ok(())
}

/// ext4 and xfs, made on the device: files of fio's and of ours, then both filesystems are checked.
fn filesystems_on_device(guest: &mut Guest, kind: Kind) -> Result<()> {
    const BYTES: u64 = 400 * MIB;
    let rounds = if guest.is_long() { 100 } else { 1 };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = below.sparse_file("disk.img", BYTES)?;
    for round in 0..rounds {
        for (inner, mode) in [
            (Kind::Ext4, Mode::ALL[round % 4]),
            (Kind::Xfs, Mode::ALL[(round + 1) % 4]),
        ] {
            let attached = RloopDevice::attach(&path, mode)?;
            let seed = guest.seed() + round as u64;
            one_inside(guest, inner, &attached, seed)
                .with_context(|| format!("{inner}, {mode}"))?;
            ensure!(
                attached.attribute("error")? == "0",
                "the device has an error"
            );
            attached.detach()?;
        }
    }
    below.unmount_and_check()
}

fn one_inside(guest: &Guest, kind: Kind, attached: &RloopDevice, seed: u64) -> Result<()> {
    let (operations, part_bytes) = if guest.is_long() {
        (5000, 32 * MIB)
    } else {
        (300, 2 * MIB)
    };
    let inside = Filesystem::make_with(kind, attached.device(), &[], "discard")?;
    let folder = inside.path().join("files");
    std::fs::create_dir(&folder)?;
    let mut churn = Churn::new(seed);
    churn.run(&folder, operations)?;
    let file = inside.sparse_file("fio", 3 * part_bytes)?;
    let jobs: Vec<_> = ENGINES
        .into_iter()
        .zip([4096, 64 << 10, 16 << 10])
        .collect();
    Mix {
        file: &file,
        part_bytes,
        jobs: &jobs,
        trims: false,
        seed,
    }
    .run()?;
    churn.run(&folder, operations)?;
    inside.unmount_and_check()?;
    let again = Filesystem::mount_with(kind, attached.device(), "defaults")?;
    churn.check(&again.path().join("files"))?;
    again.unmount_and_check()
}
