//! What a user gets wrong on the command line is told in words that name it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::control::devices;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![super::of_module(
        "command_line_refuses_clearly",
        refuses_clearly,
    )]
}

/// The exit statuses for what failed, and for what was not understood.
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn refuses_clearly(guest: &mut Guest) -> Result<()> {
    let disk = guest.scratch(0)?.display().to_string();
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let text = |path: std::path::PathBuf| path.display().to_string();
    let file = text(below.sparse_file("disk.img", 4 << 20)?);
    let empty = text(below.sparse_file("empty.img", 0)?);
    let place = below.path().display().to_string();
    let no_file = format!("{place}/none");
    let fifo = format!("{place}/fifo");
    run!["mkfifo", &fifo]?;
    // The words; what the message has to contain, beside the status.
    let cases: &[(&str, i32, &str)] = &[
        ("", USAGE, "Usage"),
        ("attach", USAGE, "<FILE>"),
        ("attach FILE --offset", USAGE, "--offset"),
        ("attach FILE --offset -1", USAGE, "-1"),
        ("attach FILE --offset x", USAGE, "--offset"),
        ("attach FILE --offset 1Q", USAGE, "suffix"),
        ("attach FILE --offset 16E", USAGE, "larger than any file"),
        ("attach FILE --offset 100", FAILED, "offset"),
        ("attach FILE --offset 8M", FAILED, "offset"),
        ("attach FILE --sizelimit 0", USAGE, "larger than 0"),
        ("attach FILE --sizelimit x", USAGE, "--sizelimit"),
        ("attach FILE --sizelimit 100", FAILED, "block"),
        (
            "attach FILE --block-size 0",
            USAGE,
            "512, 1024, 2048 or 4096",
        ),
        (
            "attach FILE --block-size 513",
            USAGE,
            "512, 1024, 2048 or 4096",
        ),
        (
            "attach FILE --block-size 8K",
            USAGE,
            "512, 1024, 2048 or 4096",
        ),
        (
            "attach FILE --fill disk",
            USAGE,
            "possible values: vfs, layout",
        ),
        (
            "attach FILE --commit never",
            USAGE,
            "possible values: flush, each",
        ),
        ("attach FILE --colour", USAGE, "--colour"),
        ("attach FILE FILE", USAGE, "unexpected argument"),
        ("attach NONE", FAILED, "No such file"),
        ("attach FOLDER", FAILED, "FOLDER"),
        ("attach DISK", FAILED, "DISK"),
        ("attach FIFO", FAILED, "FIFO"),
        ("attach EMPTY", FAILED, "EMPTY"),
        ("detach", USAGE, "<DEVICE>"),
        ("detach rloop77", FAILED, "rloop77"),
        ("detach /dev/vdb", FAILED, "/dev/vdb"),
        ("detach rloop-1", FAILED, "rloop-1"),
        ("detach rloop99999999999", FAILED, "rloop99999999999"),
        ("detach --all rloop0", USAGE, "--all"),
        ("list rloop0", USAGE, "unexpected argument"),
        ("map", USAGE, "<DEVICE|FILE>"),
        ("map NONE", FAILED, "No such file"),
        ("map FOLDER", FAILED, "FOLDER"),
        ("stat", USAGE, "<DEVICE>"),
        ("stat rloop77", FAILED, "rloop77"),
        ("stat rloop77 0", USAGE, "0"),
        ("stat rloop77 x", USAGE, "x"),
        ("stat rloop77 1 0", USAGE, "0"),
        ("resize", USAGE, "<DEVICE>"),
        ("resize rloop77", FAILED, "rloop77"),
        ("grow", USAGE, "grow"),
    ];
    let names = [
        ("FILE", &file),
        ("EMPTY", &empty),
        ("NONE", &no_file),
        ("FOLDER", &place),
        ("DISK", &disk),
        ("FIFO", &fifo),
    ];
    let named = |word: &str| {
        names
            .iter()
            .find(|(name, _)| *name == word)
            .map_or(word.to_owned(), |(_, path)| (*path).clone())
    };
    for (line, status, part) in cases {
        let words: Vec<String> = line.split_whitespace().map(named).collect();
        refused(&words, *status, &named(part)).with_context(|| format!("rloop {line}"))?;
    }
    ensure!(devices()?.is_empty(), "something was attached");
    in_use(&file)?;
    below.unmount_and_check()
}

/// The program fails with this status, says this in few lines, and nothing on its output.
fn refused(words: &[String], status: i32, part: &str) -> Result<()> {
    let output = Command::new("rloop").args(words).output()?;
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.code() == Some(status),
        "{}: {out}{error}",
        output.status
    );
    ensure!(error.contains(part), "it does not say \"{part}\": {error}");
    ensure!(out.is_empty(), "it prints {out}");
    ensure!(
        !error.contains("os error") || error.len() > 40,
        "an error and nothing else: {error}"
    );
    ensure!(
        status == USAGE || error.lines().count() <= 3,
        "it takes many lines: {error}"
    );
    Ok(())
}

/// What is in use is said to be, and by whom.
fn in_use(file: &str) -> Result<()> {
    let attached = RloopDevice::attach(file.as_ref(), Mode::DEFAULT)?;
    let device = attached.device().display().to_string();
    let open = std::fs::File::open(&device)?;
    let words = ["detach".to_owned(), device.clone()];
    let me = std::process::id().to_string();
    refused(&words, FAILED, &me).context("rloop detach of an open device")?;
    drop(open);
    let no_capability = [
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
        "rloop",
        "detach",
        &device,
    ];
    let output = Command::new("setpriv").args(no_capability).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(FAILED),
        "it was detached without CAP_SYS_ADMIN"
    );
    ensure!(
        error.contains("CAP_SYS_ADMIN") || error.contains("root"),
        "it does not say what is missing: {error}"
    );
    attached.detach()
}
