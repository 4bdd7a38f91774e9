//! Holes, blocks that were allocated and never written, and blocks that are only partly written: whatever
//! others do at the same time, a reader sees zeros or what was written, and never zeros after that.

use anyhow::{Context as _, Result, ensure};

use crate::checker::Checker;
use crate::direct;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::image;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::Stamps;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    super::of_module_on_each("holes_are_filled", &Kind::ALL, holes_are_filled)
}

fn holes_are_filled(guest: &mut Guest, kind: Kind) -> Result<()> {
    for (mode, number) in Mode::ALL.into_iter().zip(0..) {
        let rounds = if guest.is_long() { 20 } else { 1 };
        for round in 0..rounds {
            let seed = guest.seed() + 1000 * number + round;
            one_round(guest, kind, mode, seed)
                .with_context(|| format!("{mode}, round {round} of seed {}", guest.seed()))?;
        }
    }
    Ok(())
}

fn one_round(guest: &Guest, kind: Kind, mode: Mode, seed: u64) -> Result<()> {
    // The file's last block is not a whole one.
    const SECTORS: u64 = (4 << 11) + 3;
    const THREADS: u64 = 6;
    let operations = if guest.is_long() { 5000 } else { 250 };
    let stamps = Stamps::new(seed, SECTORS, 10_000 + (THREADS * operations) as usize);
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = image::of_all_kinds(&below, &stamps, seed)?;
    let attached = RloopDevice::attach_with(&path, mode, &["--block-size", "512"])?;
    let checker = Checker {
        stamps: &stamps,
        device: attached.device(),
        file: mode.is_seen_at_once().then_some(&path),
        seed,
        threads: THREADS,
        operations,
        may_fail: &[],
        makes_holes: true,
    };
    checker.run()?;
    let before = stamps.read_all(attached.device())?;
    direct::open(attached.device(), true)?.sync_all()?;
    ensure!(
        stamps.read_all(&path)? == before,
        "after a flush, the file is not what the device was"
    );
    ensure!(
        attached.attribute("error")? == "0",
        "the device has an error"
    );
    let counters = attached.counters()?;
    if ["xfs", "ext4"].contains(&kind.name()) {
        for name in ["fast_reads", "fast_writes", "zero_reads", "vfs_writes"] {
            ensure!(counters.of(name)? > 0, "there were no {name}");
        }
    }
    if kind == Kind::Xfs && mode.fill == "layout" {
        ensure!(counters.of("commits")? > 0, "there were no commits");
    }
    attached.detach()?;
    ensure!(
        stamps.read_all(&path)? == before,
        "after the detach, the file is not what the device was"
    );
    below.unmount_and_check()
}
