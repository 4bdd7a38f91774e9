//! Load that checks itself: on the device, and on filesystems that are made on it.

use anyhow::{Context as _, Result, ensure};

use crate::churn::Churn;
use crate::direct;
use crate::filesystem::{Filesystem, Kind};
use crate::fio::Mix;
use crate::guest::Guest;
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
fn verified_load(guest: &mut Guest, kind: Kind) -> Result<()> {
    let rounds = if guest.is_long() { 4 } else { 1 };
    let part_bytes = if guest.is_long() { 64 * MIB } else { 2 * MIB };
    let modes: &[Mode] = if kind == Kind::Xfs {
        &Mode::ALL[..2]
    } else {
        &Mode::ALL[..1]
    };
    for mode in modes {
        let below = Filesystem::make(kind, guest.scratch(0)?)?;
        let path = below.sparse_file("disk.img", part_bytes * BLOCKS.len() as u64)?;
        let attached = RloopDevice::attach_with(&path, *mode, &["--block-size", "512"])?;
        for round in 0..rounds {
            let engine =
                |number: usize| ENGINES[(number + number / ENGINES.len() + round) % ENGINES.len()];
            let jobs: Vec<_> = (0..).map(engine).zip(BLOCKS).collect();
            let (file, seed) = (attached.device(), guest.seed() + round as u64);
            let mix = Mix {
                file,
                part_bytes,
                jobs: &jobs,
                seed,
            };
            mix.run().with_context(|| mode.to_string())?;
        }
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
        seed,
    }
    .run()?;
    churn.run(&folder, operations)?;
    inside.unmount_and_check()?;
    let again = Filesystem::mount_with(kind, attached.device(), "defaults")?;
    churn.check(&again.path().join("files"))?;
    again.unmount_and_check()
}
