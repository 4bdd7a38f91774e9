//! How rloop-top behaves as a program: without rights, on wrong devices, when nobody reads, and when
//! the disk is full.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

mod support;

use support::live::*;
use support::running::Running;
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rloop-top");

fn rloop_top(words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).stdin(Stdio::null());
    command.output().expect("starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code and what was said.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

/// As root, but with these capabilities only.
fn with_capabilities(capabilities: &str, words: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args([
        "--inh-caps=-all",
        &format!("--bounding-set=-all{capabilities}"),
    ]);
    command.arg(PROGRAM).args(words).stdin(Stdio::null());
    command.output().expect("starts")
}

#[test]
fn without_rights_it_names_them_the_command_and_a_recording() {
    if !root_or_skip() || !program_or_skip("setpriv") {
        return;
    }
    let (code, said) = ended(&with_capabilities("", &["--json", "--count", "1"]));
    assert_eq!(code, Some(1), "{said}");
    for words in [
        "CAP_BPF and CAP_PERFMON",
        &format!("sudo {PROGRAM}"),
        "setcap cap_bpf,cap_perfmon",
        "--replay docs/demo.rloop",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let (code, said) = ended(&with_capabilities(",+bpf", &["--json", "--count", "1"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("needs CAP_PERFMON:"), "{said}");
    // Enough to watch, but not to attach.
    let (code, said) = ended(&with_capabilities(",+bpf,+perfmon", &["--demo", "--json"]));
    assert_eq!(code, Some(1), "{said}");
    for words in ["CAP_SYS_ADMIN", "--demo`", "--replay"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn what_it_offers_without_rights_works_without_rights() {
    if !program_or_skip("setpriv") {
        return;
    }
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo.rloop");
    let output = with_capabilities("", &["--json", "--count", "1", "--replay", recording]);
    assert_eq!(ended(&output), (Some(0), String::new()));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn two_capabilities_are_enough_to_watch() {
    if !root_or_skip() || !program_or_skip("setpriv") {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("few.img", 4 * MIB), &direct());
    let words = ["--json", "--count", "1", "--interval", "0.2", device.name()];
    let output = with_capabilities(",+bpf,+perfmon", &words);
    let (code, said) = ended(&output);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let line: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(json_of(&line, &device)["name"], device.name());
    // BPF statistics would need CAP_SYS_ADMIN.
    assert_eq!(line["probe"], Value::Null);
}

#[test]
fn a_device_that_is_none_is_named() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("file.img", MIB);
    let file = file.to_str().expect("a name");
    for wrong in [
        "loop4095",
        "/dev/loop4095",
        "/dev/null",
        "nonsense",
        file,
        "",
    ] {
        let (code, said) = ended(&rloop_top(&["--json", "--count", "1", wrong]));
        assert_eq!(code, Some(1), "{wrong}: {said}");
        assert!(said.contains(wrong) && said.contains("losetup"), "{said}");
        assert!(!said.contains("/dev//"), "{said}");
    }
}

#[test]
fn nobody_reading_ends_it_quietly() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("pipe.img", 4 * MIB), &direct());
    for format in ["--json", "--plain"] {
        let words = [format, "--interval", "0.1", device.name()];
        let mut top = Running::start(Command::new(PROGRAM).args(words));
        assert!(!top.first_line().is_empty());
        top.stop_reading();
        assert_eq!(top.end(), (Some(0), None, String::new()), "{format}");
    }
}

#[test]
fn a_full_disk_ends_a_recording_that_can_be_replayed() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("recorded.img", 4 * MIB), &direct());
    let target = scratch.path().join("small");
    let small = Mounted::new("tmpfs", "size=16k", Path::new("none"), &target);
    let recording = small.path().join("full.rloop");
    let name = recording.to_str().expect("a name");
    let words = [
        "--json",
        "--interval",
        "0.1",
        "--record",
        name,
        device.name(),
    ];
    let output = rloop_top(&words);
    let (code, said) = ended(&output);
    assert_eq!(code, Some(1), "{said}");
    for words in [
        name,
        "No space left",
        "what was recorded before can be replayed",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let replayed = rloop_top(&["--json", "--replay", name]);
    let (code, said) = ended(&replayed);
    assert_eq!(code, Some(0), "{said}");
    // All that was shown was kept, and not a line more.
    assert_eq!(text(&replayed.stdout), text(&output.stdout));
    assert!(!output.stdout.is_empty());
}
