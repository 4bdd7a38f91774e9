//! The lab tells truly how what runs in its guest ends.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on is a failed test"
)]

use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.arg("lab").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Each way to fail is counted, the test after it still runs, and a command's output and status
/// come out of the guest.
#[test]
fn what_ends_in_the_guest_is_told_outside() {
    let provoked = lab(&["test", "--provoked"]);
    let said = text(&provoked.stdout);
    if let Some(skipped) = said.lines().find(|line| line.starts_with("skipped: ")) {
        println!("{skipped}");
        return;
    }
    assert_eq!(
        said.lines().last(),
        Some("0 passed, 4 failed, 0 skipped"),
        "{said}"
    );
    for line in [
        "failed provoked_complaint: the kernel said \"BUG: provoked by a test\"",
        "failed provoked_hang: it did not end in its time",
        "failed provoked_leftover: the test left behind: provoked on /mnt",
        "failed provoked_panic: the guest died",
    ] {
        assert!(said.contains(line), "no \"{line}\" in:\n{said}");
    }
    assert_eq!(provoked.status.code(), Some(1));

    let run = lab(&["run", "echo \"$(uname -s) $((6 * 7))\"; exit 7"]);
    assert_eq!(
        (text(&run.stdout).trim(), run.status.code()),
        ("Linux 42", Some(7))
    );

    let stuck = lab(&["run", "--limit", "20", "sleep", "1000"]);
    assert!(
        text(&stuck.stderr).contains("stopped after 20 s"),
        "{}",
        text(&stuck.stderr)
    );
    assert_eq!(stuck.status.code(), Some(124));
}
