//! `rloop compare` finds the same data on both devices, leaves the file as it is, and leaves nothing behind,
//! however it ends. How fast either is, is not tested.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::space::fill_up;
use crate::command::run;
use crate::device_mapper::Mapped;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

const KINDS: [Kind; 2] = [Kind::Xfs, Kind::Ext4];
const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(300);

pub(super) fn tests() -> Vec<Test> {
    let on = super::of_module_on_each;
    let tests = [
        on("compare_reads", &KINDS, reads),
        on("compare_writes", &KINDS, writes),
        on(
            "compare_believes_no_claim",
            &[Kind::Ext4],
            believes_no_claim,
        ),
        on("compare_in_other_modes", &[Kind::Xfs], in_other_modes),
        on("compare_without_room", &KINDS, without_room),
        on("compare_leaves_nothing", &[Kind::Xfs], leaves_nothing),
    ];
    let tests = tests.into_iter().flatten();
    tests.map(|test| test.within(LIMIT)).collect()
}

/// A written file: all that rloop reads comes straight from the disk.
fn reads(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = filesystem(kind, guest.scratch(0)?, "defaults")?;
    let file = below.written_file("disk.img", 16 * MIB)?;
    let before = State::of(&file)?;
    let report = report(&file, &[])?;
    let loads = loads(&report, &["read-4k-d1", "read-4k-d32", "read-128k"])?;
    let provider = if kind == Kind::Xfs { "layout" } else { "bmap" };
    for load in &loads {
        let rloop = &load["rloop"];
        ensure!(rloop["fast_share"] == 1.0, "not all was fast: {load}");
        ensure!(rloop["provider"] == provider, "mapped by another: {load}");
        let stock = &load["loop"];
        ensure!(
            stock["direct"] == true && stock["cached_pages"] == 0,
            "not direct: {load}"
        );
    }
    ensure!(report["copy"] == false, "{report}");
    before.check(&file)?;
    check_clean(&file)?;
    below.unmount_and_check()
}

/// Where data is journalled, loop says that it does direct I/O, and ext4 does none.
fn believes_no_claim(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = filesystem(kind, guest.scratch(0)?, "data=journal")?;
    let file = below.written_file("disk.img", 16 * MIB)?;
    run!["sync", "-f", &file]?;
    run!["sysctl", "-q", "vm.drop_caches=3"]?;
    let report = report(&file, &["--only", "read-4k-d1"])?;
    for load in loads(&report, &["read-4k-d1"])? {
        let stock = &load["loop"];
        ensure!(stock["direct"] == true, "loop says what is so: {load}");
        ensure!(
            stock["cached_pages"].as_u64() > Some(0),
            "nothing was cached: {load}"
        );
        let why = load["why"].as_str().unwrap_or_default();
        ensure!(why.contains("though it says"), "{why}");
    }
    check_clean(&file)?;
    below.unmount_and_check()
}

/// A file with holes: written to, on a copy.
fn writes(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = filesystem(kind, guest.scratch(0)?, "defaults")?;
    let file = below.sparse_file("disk.img", 48 * MIB)?;
    run![
        "xfs_io",
        "-c",
        "pwrite -b 1M -q 8M 8M",
        "-c",
        "fsync",
        &file
    ]?;
    let before = State::of(&file)?;
    let report = report(&file, &["--writes"])?;
    let names = [
        "read-4k-d1",
        "read-4k-d32",
        "read-128k",
        "write-4k-d1",
        "write-4k-d32",
        "write-4k-flush",
        "fill-4k-d1",
        "fill-4k-d32",
        "fill-4k-flush",
    ];
    for load in loads(&report, &names)? {
        let rloop = &load["rloop"];
        let name = load["load"].as_str().unwrap_or_default();
        let share = |name: &str| rloop[name].as_f64().unwrap_or_default();
        let count = |name: &str| rloop["counters"][name].as_u64().unwrap_or_default();
        match name.split('-').next() {
            Some("write") => ensure!(share("fast_share") == 1.0, "not all was fast: {load}"),
            Some("read") => ensure!(share("zero_share") > 0.0, "no hole was read: {load}"),
            _ => ensure!(count("fills") != 0, "nothing was filled: {load}"),
        }
        let (ios, flushes) = (rloop["ios"].as_u64(), count("flushes"));
        let (slow, commits) = (flushes - count("fast_flushes"), count("commits"));
        match name {
            // What was written over leaves nothing to commit, after the first flush of each of both runs.
            "write-4k-flush" => ensure!(Some(flushes) == ios && slow <= 2, "{load}"),
            "fill-4k-flush" => ensure!(
                Some(flushes) == ios && slow == flushes && commits >= flushes,
                "{load}"
            ),
            _ => ensure!(flushes == 0, "flushed: {load}"),
        }
        if load["flushes"] == true {
            durable(&load)?;
        }
    }
    ensure!(report["copy"] == true, "{report}");
    ensure!(
        report["fill"] == "vfs" && report["commit"] == "flush",
        "{report}"
    );
    before.check(&file)?;
    check_clean(&file)?;
    below.unmount_and_check()
}

/// What was written is on the disk; loop's fsyncs may have written a log as well, and rloop to overwrites next to
/// nothing.
fn durable(load: &Value) -> Result<()> {
    let bytes = |side: &str| load[side]["disk_bytes_per_io"].as_f64();
    let (stock, rloop) = bytes("loop").zip(bytes("rloop")).context("no disk")?;
    let written = load["block_bytes"].as_f64().unwrap_or_default();
    ensure!(stock >= written && rloop >= written, "{load}");
    if load["load"] == "write-4k-flush" {
        ensure!(rloop < 1.5 * written, "rloop wrote more: {load}");
    }
    Ok(())
}

/// Holes that are filled on disk, and each fill committed.
fn in_other_modes(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = filesystem(kind, guest.scratch(0)?, "defaults")?;
    let file = below.sparse_file("disk.img", 48 * MIB)?;
    let before = State::of(&file)?;
    for commit in ["flush", "each"] {
        let report = report(
            &file,
            &[
                "--writes",
                "--only=fill-4k-d1",
                "--fill=layout",
                "--commit",
                commit,
            ],
        )?;
        ensure!(
            report["fill"] == "layout" && report["commit"] == commit,
            "{report}"
        );
        for load in loads(&report, &["fill-4k-d1"])? {
            let rloop = &load["rloop"];
            let (ios, commits) = (rloop["ios"].as_u64(), rloop["counters"]["commits"].as_u64());
            ensure!(
                rloop["filled_share"] == 1.0,
                "the filesystem filled: {load}"
            );
            ensure!((commits >= ios) == (commit == "each"), "{load}");
        }
        before.check(&file)?;
        check_clean(&file)?;
    }
    below.unmount_and_check()
}

/// Nothing is begun that could fill the filesystem.
fn without_room(guest: &mut Guest, kind: Kind) -> Result<()> {
    const DISK_BYTES: u64 = 400 * MIB;
    let small = Mapped::beginning(guest.scratch(1)?, DISK_BYTES)?;
    let below = filesystem(kind, small.device(), "defaults")?;
    let file = below.written_file("disk.img", 16 * MIB)?;
    let before = State::of(&file)?;
    let fillers = below.path().join("fillers");
    fill_up(&fillers)?;
    let output = compare(&file, &["--writes"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1)
            && output.stdout.is_empty()
            && said.contains(&below.path().display().to_string())
            && said.contains("works on a copy, which needs 80.0 MiB here, and"),
        "{}: {said}",
        output.status
    );
    before.check(&file)?;
    check_clean(&file)?;
    fs::remove_dir_all(&fillers)?;
    report(&file, &["--writes", "--only", "write-4k-d1"]).context("with room")?;
    check_clean(&file)?;
    below.unmount_and_check()
}

/// Refused, ended by a signal, and killed: at each of these the next one begins anew.
fn leaves_nothing(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = filesystem(kind, guest.scratch(0)?, "defaults")?;
    let file = below.written_file("disk.img", 4 * MIB)?;
    let before = State::of(&file)?;
    let attached = RloopDevice::attach(&file, Mode::DEFAULT)?;
    let name = attached.device().display().to_string();
    let output = compare(&file, &[]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && said.contains(&name),
        "{said}"
    );
    attached.detach()?;
    // With writes there is a copy to be removed as well, whatever the signal.
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    for (words, signals) in [(&[][..], &signals[..]), (&["--writes"], &signals[..1])] {
        for &signal in signals {
            let (mut child, _) = started(&file, words)?;
            send(&child, signal)?;
            let status = child.wait()?;
            ensure!(status.code() == Some(130), "signal {signal}: {status}");
            check_clean(&file).with_context(|| format!("after signal {signal}"))?;
        }
        let (mut child, device) = started(&file, words)?;
        child.kill()?;
        child.wait()?;
        ensure!(device.exists(), "nothing is left to be cleared up");
        let mut next = compare(&file, &["--only", "read-4k-d1", "--rounds", "1"]);
        let output = next.args(["--seconds", "0.1"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "after kill -9: {said}");
        ensure!(
            said.contains("is gone now"),
            "it says nothing of it: {said}"
        );
        check_clean(&file).context("after kill -9 and another run")?;
    }
    before.check(&file)?;
    below.unmount_and_check()
}

/// One for the file, and the loop driver, which `rloop compare` wants to be there.
fn filesystem(kind: Kind, disk: &Path, mount: &str) -> Result<Filesystem> {
    run!["modprobe", "loop"]?;
    Filesystem::make_with(kind, disk, &[], mount)
}

fn compare(file: &Path, words: &[&str]) -> Command {
    let mut rloop = Command::new("rloop");
    rloop.arg("compare").args(words).arg(file);
    rloop
}

/// What a short comparison reports.
fn report(file: &Path, words: &[&str]) -> Result<Value> {
    let mut rloop = compare(file, words);
    rloop.args(["--json", "--seconds", "0.2", "--rounds", "2"]);
    let text = crate::command::output_of(&mut rloop)?;
    let report: Value = serde_json::from_str(&text).context("it prints no JSON")?;
    ensure!(
        report["same_data"] == true,
        "the data was not the same: {report}"
    );
    Ok(report)
}

/// The loads of a report, which have to be these.
fn loads(report: &Value, names: &[&str]) -> Result<Vec<Value>> {
    let loads = report["loads"].as_array().context("no loads")?;
    let found: Vec<&str> = loads
        .iter()
        .filter_map(|load| load["load"].as_str())
        .collect();
    ensure!(found == names, "{found:?} are not {names:?}: {report}");
    for load in loads {
        for side in ["loop", "rloop"] {
            let ios = load[side]["ios"].as_u64().unwrap_or_default();
            ensure!(ios > 0, "no I/O on {side}: {load}");
        }
    }
    Ok(loads.clone())
}

/// A long comparison, and its rloop device, which is there by now.
fn started(file: &Path, words: &[&str]) -> Result<(Child, PathBuf)> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut rloop = compare(file, words);
    rloop.args(["--only", "read-4k-d32", "--seconds", "2"]);
    let mut child = rloop.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    loop {
        if let Some(device) = devices()?.first() {
            // In the middle of it, not at its begin.
            sleep(Duration::from_millis(300));
            return Ok((child, device.clone()));
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            bail!("it attaches nothing");
        }
        sleep(Duration::from_millis(10));
    }
}

fn send(child: &Child, signal: i32) -> Result<()> {
    // SAFETY: it is a child that nobody has waited for yet, so its number is its own.
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, signal) };
    ensure!(sent == 0, "signal {signal} could not be sent");
    Ok(())
}

/// Rloop devices that are attached.
fn devices() -> Result<Vec<PathBuf>> {
    let names = entries(Path::new("/sys/block"))?.into_iter();
    let names = names.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("rloop")
    });
    Ok(names.collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}

/// Fails if there is anything but the file: a device, a copy, a note.
fn check_clean(file: &Path) -> Result<()> {
    let devices = devices()?;
    ensure!(devices.is_empty(), "{devices:?} are attached");
    let loops = run!["losetup", "--list", "--noheadings"]?;
    ensure!(
        !loops.contains("disk.img") && !loops.contains("rloop-compare"),
        "{loops}"
    );
    let below = entries(file.parent().context("a folder")?)?;
    let run = entries(Path::new("/run"))?;
    let left: Vec<&PathBuf> = below
        .iter()
        .chain(&run)
        .filter(|path| path.to_string_lossy().contains("rloop-compare"))
        .collect();
    ensure!(left.is_empty(), "{left:?} are left");
    Ok(())
}

/// What must not change of a file.
#[derive(Debug, PartialEq, Eq)]
struct State {
    sum: String,
    modified: (i64, i64),
    blocks: u64,
}

impl State {
    fn of(file: &Path) -> Result<Self> {
        let stat = fs::metadata(file)?;
        Ok(Self {
            sum: run!["sha256sum", file]?,
            modified: (stat.mtime(), stat.mtime_nsec()),
            blocks: stat.blocks(),
        })
    }

    fn check(&self, file: &Path) -> Result<()> {
        let now = Self::of(file)?;
        ensure!(*self == now, "the file was {self:?} and is {now:?}");
        Ok(())
    }
}
