//! The filesystem below is frozen, or goes away, while a load runs on the device.

use std::fs::{self, File};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::command::run;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::Mode;
use crate::scene::Scene;
use crate::test::Test;

const KINDS: [Kind; 2] = [Kind::Xfs, Kind::Ext4];

pub(super) fn tests() -> Vec<Test> {
    let on = super::of_module_on_each;
    [
        on("freeze_and_thaw", &KINDS, freezes),
        on("freeze_and_recall", &KINDS, freezes_and_recalls),
        on("remount_read_only_is_refused", &KINDS, remount_is_refused),
        on("unmount_lazily", &KINDS, unmounts_lazily),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fills wait for their commit, and so may a recall.
fn mode_for(kind: Kind) -> Mode {
    if kind == Kind::Xfs {
        Mode::LAZY
    } else {
        Mode::DEFAULT
    }
}

/// What is written meanwhile waits, and is done after the thaw.
fn freezes(guest: &mut Guest, kind: Kind) -> Result<()> {
    const FROZEN: Duration = Duration::from_millis(500);
    let scene = Scene::new(guest, kind, mode_for(kind))?;
    let times = if guest.is_long() { 100 } else { 3 };
    for _ in 0..times {
        scene.under_load(|| {
            run!["fsfreeze", "--freeze", scene.below.path()]?;
            let before = scene.attached.counters();
            sleep(FROZEN);
            let after = scene.attached.counters();
            run!["fsfreeze", "--unfreeze", scene.below.path()]?;
            // Reads may go on.
            let written = after?.since(&before?).of("fast_writes")?;
            ensure!(written == 0, "{written} writes went to a frozen filesystem");
            Ok(())
        })?;
        scene.settle()?;
    }
    scene.finish()
}

/// Somebody opens the file for writing meanwhile: that may have to wait for the thaw, and no longer.
fn freezes_and_recalls(guest: &mut Guest, kind: Kind) -> Result<()> {
    const FROZEN: Duration = Duration::from_millis(700);
    const SOON: Duration = Duration::from_secs(20);
    let scene = Scene::new(guest, kind, mode_for(kind))?;
    let before = scene.recalls()?;
    scene.under_load(|| {
        run!["fsfreeze", "--freeze", scene.below.path()]?;
        thread::scope(|scope| {
            let opener = scope.spawn(|| File::options().write(true).open(&scene.path));
            sleep(FROZEN);
            run!["fsfreeze", "--unfreeze", scene.below.path()]?;
            let thawed = Instant::now();
            opener
                .join()
                .map_err(|_| anyhow!("the opener panicked"))?
                .context("opening it")?;
            ensure!(
                thawed.elapsed() < SOON,
                "the recall took {:?} after the thaw",
                thawed.elapsed()
            );
            Ok(())
        })
    })?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    scene.settle()?;
    scene.finish()
}

/// The device has its file open for writing, so the filesystem cannot become read-only.
fn remount_is_refused(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, mode_for(kind))?;
    scene.under_load(|| {
        let remounted = run!["mount", "-o", "remount,ro", scene.below.path()];
        ensure!(
            remounted.is_err(),
            "the filesystem became read-only under an open device"
        );
        Ok(())
    })?;
    scene.settle()?;
    scene.finish()
}

/// The filesystem stays as long as the device is attached, and goes with it.
fn unmounts_lazily(guest: &mut Guest, kind: Kind) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(30);
    let disk = guest.scratch(0)?;
    let mut scene = Scene::new(guest, kind, mode_for(kind))?;
    scene.load_mut().file = None;
    let best = scene.best();
    let (attached, below, path, load) = scene.into_parts();
    load.while_running(|| below.unmount_lazily())?;
    load.while_running(|| Ok(()))?;
    attached.wait_for_provider(best)?;
    load.read_all(&load.device)?;
    attached.detach()?;
    let begun = Instant::now();
    let again = loop {
        // Until the last of it is gone, this mounts the same filesystem again, which is as good.
        match Filesystem::mount_with(kind, disk, "defaults") {
            Err(error) if begun.elapsed() > LIMIT => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)),
            Ok(mounted) => break mounted,
        }
    };
    let name = path.file_name().context("the file has no name")?;
    let path = again.path().join(name);
    ensure!(fs::exists(&path)?, "the file is gone");
    load.read_all(&path)?;
    again.unmount_and_check()
}
