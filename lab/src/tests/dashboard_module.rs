//! `rloop-top` and modules that map nothing, are of another version, come and go.

use std::fs;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::dashboard::equal;
use super::dashboard_chain::goes_through_the_filesystem;
use crate::command::run;
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::module::Module;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::{Outcome, Test};
use crate::watcher::{Watcher, name};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;

pub(super) fn tests() -> Vec<Test> {
    vec![
        super::of_module("dashboard_sees_fallbacks/btrfs", sees_fallbacks),
        super::of_module("dashboard_names_other_versions", names_other_versions),
        Test::new("dashboard_follows_the_module", follows_the_module),
    ]
}

/// On a filesystem that tells nothing of its blocks all goes through it, and takes its time.
fn sees_fallbacks(guest: &mut Guest) -> Result<()> {
    const READS: u64 = 211;
    const WRITES: u64 = 103;
    let below = Filesystem::make(Kind::Btrfs, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", 4 * MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    let (device, rloop) = (
        direct::open(attached.device(), true)?,
        name(attached.device()),
    );
    let mut watcher = Watcher::start()?;
    let mut buffer = Buffer::new(BLOCK as usize);
    for i in 0..READS {
        device.read_exact_at(buffer.bytes(), i * BLOCK)?;
    }
    for i in 0..WRITES {
        device.write_all_at(buffer.bytes(), i * BLOCK)?;
    }
    let told = watcher.told()?;
    told.lost_nothing()?;
    for (op, number) in [("read", READS), ("write", WRITES)] {
        equal(&told, &rloop, &format!("/io/{op}/ops"), number)?;
        equal(&told, &rloop, &format!("/io/{op}/completed"), number)?;
        equal(&told, &rloop, &format!("/rloop/{op}/vfs/ops"), number)?;
        equal(&told, &rloop, &format!("/rloop/{op}/fast/ops"), 0)?;
        let timed = told
            .each(&rloop)
            .any(|line| line["io"][op]["p50_ns"].as_u64() > Some(0));
        ensure!(timed, "no {op} was timed");
    }
    equal(&told, &rloop, "/rloop/worker/absent", READS + WRITES)?;
    equal(&told, &rloop, "/rloop/fills", 0)?;
    let last = told.last(&rloop)?;
    ensure!(
        last["mode"] == "vfs" && last["rloop"]["why"] == "filesystem",
        "{last}"
    );
    goes_through_the_filesystem(&told, &rloop)?;
    drop((device, watcher));
    attached.detach()?;
    below.unmount_and_check()
}

/// With a module of another version the device is there, and its numbers are said to be missing.
fn names_other_versions(guest: &mut Guest) -> Result<()> {
    const VERSION: &str = "/sys/module/rloop/parameters/trace_version";
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", 4 * MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    let other = below.path().join("version");
    fs::write(&other, "7\n")?;
    run!["mount", "--bind", &other, VERSION]?;
    let line = run!["rloop-top", "--json", "--count", "1"];
    run!["umount", VERSION]?;
    let line: Value = serde_json::from_str(&line?)?;
    let device = &line["devices"][0];
    let missing = device["unavailable"].as_array().context("a list")?;
    let missing = missing.iter().find(|missing| missing["what"] == "requests");
    let why = missing.and_then(|missing| missing["why"].as_str());
    let why = why.with_context(|| format!("nothing is missing: {device}"))?;
    ensure!(
        why.contains("version 2 ") && why.contains("version 7:"),
        "{why}"
    );
    ensure!(
        device["mode"] == "layout",
        "the device is not known: {device}"
    );
    attached.detach()?;
    below.unmount_and_check()
}

/// It sees the module come, counts, and does not keep it from going.
fn follows_the_module(guest: &mut Guest) -> Result<Outcome> {
    if !Module::is_there() {
        return Ok(Outcome::Skipped("the guest was given no rloop.ko".into()));
    }
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", 4 * MIB)?;
    let mut watcher = Watcher::start()?;
    for round in 0..2 {
        let module = Module::load()?;
        let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
        let rloop = name(attached.device());
        watcher.wait_for(&rloop, true)?;
        let device = direct::open(attached.device(), false)?;
        direct::contents(&device, MIB)?;
        drop(device);
        let told = watcher.told()?;
        equal(&told, &rloop, "/io/read/bytes", MIB).with_context(|| format!("round {round}"))?;
        attached.detach()?;
        watcher.wait_for(&rloop, false)?;
        module.unload()?;
    }
    drop(watcher);
    below.unmount_and_check()?;
    Ok(Outcome::Passed)
}
