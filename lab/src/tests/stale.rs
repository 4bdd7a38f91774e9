//! A disk full of what somebody else has written, and a file with holes on it: filled in part, it never
//! shows the rest.

use anyhow::{Context as _, Result};

use crate::checker::Checker;
use crate::device_mapper::Mapped;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::image;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::Stamps;
use crate::test::Test;

/// The part of the disk that is used.
const DISK_BYTES: u64 = 320 << 20;

pub(super) fn tests() -> Vec<Test> {
    let kinds = [Kind::Xfs, Kind::Ext4, Kind::Btrfs];
    super::of_module_on_each("stale_contents_never_appear", &kinds, stale_contents)
}

fn stale_contents(guest: &mut Guest, kind: Kind) -> Result<()> {
    let small = Mapped::beginning(guest.scratch(1)?, DISK_BYTES)?;
    image::fill_with_pattern(small.device(), DISK_BYTES)?;
    let modes: &[Mode] = if kind == Kind::Xfs {
        &Mode::ALL
    } else {
        &Mode::ALL[..1]
    };
    let rounds = if guest.is_long() { 100 } else { 1 };
    for (mode, number) in modes.iter().zip(0..) {
        for round in 0..rounds {
            let seed = guest.seed() + 1000 * number + round;
            one_round(guest, kind, &small, *mode, seed)
                .with_context(|| format!("{mode}, round {round} of seed {}", guest.seed()))?;
        }
    }
    Ok(())
}

fn one_round(guest: &Guest, kind: Kind, disk: &Mapped, mode: Mode, seed: u64) -> Result<()> {
    const SECTORS: u64 = (32 << 11) + 5;
    const THREADS: u64 = 4;
    // Not so many that no hole is left.
    let operations = if guest.is_long() { 1000 } else { 250 };
    let keep: &[&str] = if kind == Kind::Ext4 {
        &["-E", "nodiscard"]
    } else {
        &["-K"]
    };
    let below = Filesystem::make_with(kind, disk.device(), keep, "defaults")?;
    let stamps = Stamps::new(seed, SECTORS, 10_000 + (THREADS * operations) as usize);
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
    attached.detach()?;
    let name = path.file_name().context("the file has no name")?.to_owned();
    below.unmount_and_check()?;
    // What is on disk now, and not what is in memory.
    let again = Filesystem::mount_with(kind, disk.device(), "defaults")?;
    let after = stamps.read_all(&again.path().join(name))?;
    anyhow::ensure!(
        after == before,
        "on disk the file is not what the device was"
    );
    again.unmount()
}
