//! The disk below fails, or goes away, while a load runs on the device.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::device_mapper::{Mapped, linear, sectors};
use crate::direct;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::null_blk::NullBlk;
use crate::rloop_device::Mode;
use crate::scene::Scene;
use crate::test::Test;

const KINDS: [Kind; 2] = [Kind::Xfs, Kind::Ext4];

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("disk_below_fails", &KINDS, fails);
    let vanishes = super::of_module_on_each("disk_below_vanishes", &KINDS, vanishes);
    tests.extend(vanishes);
    tests
}

/// Every I/O fails for a while: whoever wrote is told, and what was durable before is there afterwards.
fn fails(guest: &mut Guest, kind: Kind) -> Result<()> {
    const FAILING: Duration = Duration::from_millis(300);
    let disk = guest.scratch(0)?;
    let mapped = Mapped::linear(disk)?;
    let sectors = sectors(disk)?;
    let well = linear(disk, sectors);
    // Unlike the target `error`, it fails flushes too.
    let broken = format!("0 {sectors} flakey {} 0 0 3600", disk.display());
    let mode = if kind == Kind::Xfs {
        Mode::LAZY
    } else {
        Mode::DEFAULT
    };
    let scene = Scene::on(mapped.device(), guest.seed(), kind, mode)?;
    scene.under_load(|| Ok(()))?;
    let stamps = &scene.load().stamps;
    let reader = stamps.begin_read(0, stamps.sectors());
    scene.load().flush()?;

    mapped.replace(&broken)?;
    let round = scene.load().round();
    std::thread::sleep(FAILING);
    let flushed = scene.load().flush();
    mapped.replace(&well)?;
    ensure!(round.is_err(), "the disk failed, and nobody was told");
    ensure!(
        flushed.is_err(),
        "a flush succeeded, with a disk that had failed"
    );

    // The filesystem may have given up. Everything can still be taken down, and the disk is well again.
    let (attached, below, path, load) = scene.into_parts();
    attached.detach().context("after the disk failed")?;
    below.unmount()?;
    let again = Filesystem::mount_with(kind, mapped.device(), "defaults")?;
    let path = again
        .path()
        .join(path.file_name().context("the file has no name")?);
    let bytes = load.stamps.sectors() * direct::SECTOR as u64;
    let held = direct::contents(&direct::open(&path, false)?, bytes)?;
    load.stamps
        .check(&reader, &held)
        .context("after the disk failed")?;
    again.unmount_and_check()
}

/// The disk is gone in the middle: whoever uses the device is told, and everything can be taken down.
fn vanishes(guest: &mut Guest, kind: Kind) -> Result<()> {
    const MEBIBYTES: u64 = 512;
    for (mode, seed) in Mode::ALL.into_iter().zip(guest.seed()..) {
        let disk = NullBlk::new(MEBIBYTES)?;
        let scene = Scene::on(disk.device(), seed, kind, mode)?;
        let loaded = scene.under_load(|| disk.vanish());
        ensure!(
            loaded.is_err(),
            "{mode}: the disk is gone, and nobody was told"
        );
        ensure!(
            scene.load().flush().is_err(),
            "{mode}: a flush succeeded on a disk that is gone"
        );
        let (attached, below, ..) = scene.into_parts();
        attached.detach().context("after the disk was gone")?;
        below.unmount()?;
    }
    Ok(())
}
