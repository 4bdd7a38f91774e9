//! What `rloop doctor` foresees for a file is what the module does with it.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command::run;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("doctor_foresees", &Kind::ALL, foresees);
    tests.push(super::of_module(
        "doctor_reaches_the_module",
        reaches_the_module,
    ));
    tests
}

const MIB: u64 = 1 << 20;

/// Of plain files, of one that somebody writes, and of such as are not plain.
fn foresees(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let plain = below.written_file("plain.img", MIB)?;
    agree(&plain).context("of a plain file")?;
    let writer = OpenOptions::new().append(true).open(&plain)?;
    agree(&plain).context("of one that somebody writes")?;
    drop(writer);
    match kind {
        Kind::Xfs => {
            let copy = below.path().join("copy.img");
            run!["cp", "--reflink=always", &plain, &copy]?;
            agree(&copy).context("of one that shares its blocks")?;
        }
        Kind::Ext4 => {
            // The flag is without effect as long as allocation is delayed.
            run!["chattr", "+j", &plain]?;
            agree(&plain).context("of one with the flag for journalled data")?;
            below.unmount_and_check()?;
            let below = Filesystem::mount_with(kind, guest.scratch(0)?, "nodelalloc")?;
            let journalled = below.path().join("plain.img");
            agree(&journalled).context("of one whose data is journalled")?;
            return below.unmount_and_check();
        }
        Kind::Btrfs | Kind::Tmpfs => {}
    }
    below.unmount_and_check()
}

/// What is foreseen comes true.
fn agree(file: &Path) -> Result<()> {
    let foreseen = provider(file, "provider if attached")?;
    let (provider, why) = match foreseen.split_once(" (") {
        Some((provider, why)) => (provider, why.trim_end_matches(')')),
        None => (foreseen.as_str(), "best"),
    };
    let attached = RloopDevice::attach(file, Mode::DEFAULT)?;
    attached.wait_for_reason(why)?;
    attached.wait_for_provider(provider)?;
    attached.detach()
}

/// How a check of a file's group begins: up to the colon.
fn provider(file: &Path, name: &str) -> Result<String> {
    // Without the right to load probes, which takes long and has nothing to do with files.
    let rights = "--bounding-set=-sys_admin,-bpf,-perfmon";
    let report = report(Command::new("setpriv").args([rights, "rloop"]), &[file])?;
    let check = check(&report, "file", name)?;
    let what = check["what"].as_str().unwrap_or_default();
    Ok(what.split(':').next().unwrap_or_default().to_owned())
}

/// What the program, started so, reports.
fn report(rloop: &mut Command, words: &[&Path]) -> Result<Value> {
    let output = rloop.args(["doctor", "--json"]).args(words).output()?;
    serde_json::from_slice(&output.stdout).context("it prints no JSON")
}

/// One check of it.
fn check(report: &Value, group: &str, name: &str) -> Result<Value> {
    let named = |list: &Value, name: &str| {
        let list = list.as_array()?;
        list.iter().find(|one| one["name"] == name).cloned()
    };
    let group = named(&report["groups"], group);
    let found = group.and_then(|group| named(&group["checks"], name));
    found.with_context(|| format!("{name} is not in {report}"))
}

/// Loaded, its control device open, its interface of this program's version, and its tracepoints told.
/// Of a device and of its file it says what is in effect.
fn reaches_the_module(guest: &mut Guest) -> Result<()> {
    let report = report(&mut Command::new("rloop"), &[])?;
    for name in [
        "rloop.ko",
        "/dev/rloop-control",
        "control interface",
        "tracepoints of rloop.ko",
    ] {
        let check = check(&report, "module", name)?;
        ensure!(check["state"] == "ok", "{check}");
    }
    let tracepoints = check(&report, "module", "tracepoints of rloop.ko")?;
    let version = std::fs::read_to_string("/sys/module/rloop/parameters/trace_version")?;
    let wanted = format!("version {} of", version.trim());
    let what = tracepoints["what"].as_str().unwrap_or_default();
    ensure!(what.contains(&wanted), "{what}");
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let file = below.written_file("disk.img", MIB)?;
    let attached = RloopDevice::attach(&file, Mode::DEFAULT)?;
    attached.wait_for_provider("layout")?;
    let name = attached.device().file_name().unwrap_or_default();
    for word in [&file, attached.device()] {
        let said = provider(word, &format!("provider of {}", name.display()))?;
        ensure!(said.starts_with("layout (best)"), "{said}");
    }
    attached.detach()?;
    below.unmount_and_check()
}
