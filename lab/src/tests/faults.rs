//! Memory cannot be had, and the disk fails now and then: whoever asked is told, nothing else is lost, and nothing
//! is left behind. Only the debug kernel can do that.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::checker::Checker;
use crate::control::{Control, devices};
use crate::faults::{self, DISK, Faults, MEMORY, fail_nth};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::Mode;
use crate::scene::Scene;
use crate::test::{Outcome, Test};

pub(super) fn tests() -> Vec<Test> {
    let kinds = [Kind::Xfs, Kind::Ext4];
    [
        on_each("attach_without_memory", &kinds, attaches),
        on_each("io_without_memory", &kinds, io_without_memory),
        on_each("io_to_failing_disk", &kinds, io_to_failing_disk),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn on_each(name: &str, kinds: &[Kind], body: fn(&mut Guest, Kind) -> Result<()>) -> Vec<Test> {
    let test = |&kind| {
        Test::new(format!("{name}/{kind}"), move |guest| {
            if !faults::are_there() {
                let why = "only the debug kernel makes things fail: --debug-kernel";
                return Ok(Outcome::Skipped(why.into()));
            }
            faults::prepare()?;
            let outcome = super::with_module(|| body(guest, kind))?;
            faults::look_for_leaks()?;
            Ok(outcome)
        })
    };
    kinds.iter().map(test).collect()
}

/// Each of the things that can fail does so once, of those that an attach asks for, and then those of a detach.
fn attaches(guest: &mut Guest, kind: Kind) -> Result<()> {
    /// More than there are.
    const MOST: u32 = 5000;
    let step = if guest.is_long() { 1 } else { 7 };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", 1 << 20)?;
    let (control, file) = (Control::open()?, File::open(&path)?);
    let (mut failed, mut number) = (0, 1);
    loop {
        ensure!(number < MOST, "more than {MOST} things can fail");
        let (attached, any) = fail_nth(number, || control.attach(&file))?;
        match attached {
            Err(error) => {
                ensure!(any, "attaching failed though nothing did: {error}");
                ensure!(devices()?.is_empty(), "{error}, and there is a device");
                failed += 1;
            }
            Ok(index) => {
                let (detached, _) = fail_nth(number, || control.detach(index))?;
                if let Err(error) = detached {
                    control
                        .detach(index)
                        .with_context(|| format!("{error}, and again"))?;
                }
                ensure!(devices()?.is_empty(), "it was detached, and is there");
            }
        }
        if !any {
            break;
        }
        number += step;
    }
    ensure!(failed > 0, "of {number} failures none was told");
    println!("{number} things can fail in an attach, and {failed} of those tried stop it");
    below.unmount_and_check()
}

/// The workers' memory: what submitters need in the module is had in any case.
fn io_without_memory(guest: &mut Guest, kind: Kind) -> Result<()> {
    under_faults(guest, kind, |_| Faults::begin(&MEMORY, 3)?.of_workers())
}

/// What goes straight to the disk, in the submitters' context.
fn io_to_failing_disk(guest: &mut Guest, kind: Kind) -> Result<()> {
    let on = |disk: &Path| Faults::begin(&DISK, 5)?.of_process_on(disk);
    under_faults(guest, kind, on)
}

fn under_faults(
    guest: &mut Guest,
    kind: Kind,
    begin: impl Fn(&Path) -> Result<Faults>,
) -> Result<()> {
    const THREADS: u64 = 4;
    let operations = if guest.is_long() { 5000 } else { 150 };
    let disk = guest.scratch(0)?;
    let modes = if kind == Kind::Xfs {
        &Mode::ALL[..2]
    } else {
        &Mode::ALL[..1]
    };
    for mode in modes {
        let scene = Scene::new(guest, kind, *mode)?;
        scene.under_load(|| Ok(()))?;
        let load = scene.load();
        let checker = Checker {
            stamps: &load.stamps,
            device: &load.device,
            file: None,
            seed: guest.seed(),
            threads: THREADS,
            operations,
            may_fail: &[libc::EIO, libc::ENOMEM, libc::EAGAIN],
            makes_holes: true,
        };
        let faults = begin(disk)?;
        let failed = checker.run();
        drop(faults);
        let failed = failed.with_context(|| format!("{mode}, while things fail"))?;
        println!("{mode}: {failed} operations failed");
        let attached_error = scene.attached.attribute("error")?;
        // What is told stays told; then the rest is judged by the file.
        let flushed = load.flush();
        ensure!(
            flushed.is_ok() == (attached_error == "0"),
            "the device's error is {attached_error}, but a flush says {flushed:?}"
        );
        let held = load.read_all(&load.device)?;
        let (attached, below, path, load) = scene.into_parts();
        attached.detach()?;
        if attached_error == "0" {
            ensure!(
                load.read_all(&path)? == held,
                "the file is not what the device was"
            );
        }
        below.unmount_and_check()?;
    }
    Ok(())
}
