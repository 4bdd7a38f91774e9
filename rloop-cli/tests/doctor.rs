//! What `rloop doctor` says of real files, and what without rights.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

mod support;

use support::live::{MIB, direct};
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rloop");

fn doctor(words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("doctor").args(words).stdin(Stdio::null());
    command.output().expect("started")
}

/// The checks of one group, from output that the schema allows.
fn checks(output: &Output, group: &str) -> Vec<Value> {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let schema = include_str!("../../docs/rloop-json-schema.json");
    let schema = serde_json::from_str(schema).expect("is JSON");
    let validator = jsonschema::validator_for(&schema).expect("is a schema");
    let errors: Vec<String> = validator
        .iter_errors(&report)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let complete = report["complete"].as_bool().expect("is told");
    assert_eq!(output.status.code(), Some(i32::from(!complete)));
    let groups = report["groups"].as_array().expect("a list");
    let found = groups.iter().find(|found| found["name"] == group);
    let found = found.expect("the group")["checks"].as_array();
    found.expect("a list").clone()
}

fn named<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {checks:?}"))
}

/// State and text of a check of this file.
fn of_file(path: &Path, name: &str) -> (String, String) {
    let output = doctor(&["--json", path.to_str().expect("a name")]);
    let checks = checks(&output, "file");
    let check = named(&checks, name);
    let text = |key: &str| check[key].as_str().expect("text").to_owned();
    (text("state"), text("what"))
}

#[test]
fn a_writer_is_seen_and_who_would_map_depends_on_the_filesystem() {
    if !root_or_skip() {
        return;
    }
    for (fs, best) in [("ext4", "bmap"), ("xfs", "layout"), ("btrfs", "vfs")] {
        let Some(image) = MountedImage::new(fs, 320, &[]) else {
            continue;
        };
        let path = sparse(image.path(), "disk.img", MIB);
        let state = if fs == "btrfs" { "limited" } else { "ok" };
        let (found, what) = of_file(&path, "provider if attached");
        assert_eq!(found, state, "{fs}: {what}");
        assert!(what.starts_with(best), "{fs}: {what}");
        let writer = open(&path);
        assert_eq!(of_file(&path, "writers").0, "limited", "{fs}");
        assert_eq!(of_file(&path, "provider if attached").0, "limited", "{fs}");
        drop(writer);
        assert_eq!(of_file(&path, "writers").0, "ok", "{fs}");
    }
}

#[test]
fn shared_blocks_and_flags_are_seen() {
    if !root_or_skip() {
        return;
    }
    if let Some(image) = MountedImage::new("xfs", 320, &[]) {
        let path = sparse(image.path(), "disk.img", MIB);
        write(&path, 0, 8192);
        assert_eq!(of_file(&path, "blocks").0, "ok");
        let copy = image.path().join("copy.img");
        run(Command::new("cp")
            .arg("--reflink=always")
            .args([&path, &copy]));
        assert_eq!(of_file(&path, "blocks").0, "limited");
        let (_, what) = of_file(&copy, "provider if attached");
        assert!(what.starts_with("vfs (reflinked)"), "{what}");
    }
    if let Some(image) = MountedImage::new("ext4", 64, &["-O", "inline_data"]) {
        let path = image.path().join("small");
        std::fs::write(&path, "in the inode").expect("writes");
        let (_, what) = of_file(&path, "provider if attached");
        assert!(what.starts_with("vfs (no-direct-io)"), "{what}");
        assert!(of_file(&path, "direct I/O").1.contains("inline"), "{what}");
    }
    let journalled = ImageOptions {
        mount: "data=journal",
        ..ImageOptions::default()
    };
    if let Some(image) = MountedImage::with("ext4", 64, &journalled) {
        let path = sparse(image.path(), "disk.img", MIB);
        let (_, what) = of_file(&path, "provider if attached");
        assert!(what.starts_with("vfs (no-direct-io)"), "{what}");
    }
}

#[test]
fn a_file_that_nobody_may_write_is_named() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.sparse("disk.img", MIB);
    let chattr = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(&path).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !chattr("+i") {
        skipped("no right to make a file immutable");
        return;
    }
    let (state, what) = of_file(&path, "writing");
    assert!(chattr("-i"));
    assert!(state == "limited" && what.contains("immutable"), "{what}");
}

#[test]
fn a_loop_device_leads_to_its_file_and_a_file_to_its_device() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.sparse("disk.img", MIB);
    let device = attached(&path, &direct());
    let name = format!("attached to {}", device.name());
    assert_eq!(of_file(&path, &name).0, "ok");
    assert_eq!(of_file(device.path(), &name).0, "ok");
    // The driver has it open for writing.
    assert_eq!(of_file(device.path(), "writers").0, "limited");
}

#[test]
fn without_rights_it_says_what_is_missing_and_what_it_could_not_try() {
    if !program_or_skip("setpriv") {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", PROGRAM]);
    command.args(["doctor", "--json"]).stdin(Stdio::null());
    let output = command.output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    let rights = checks(&output, "rights");
    let watching = named(&rights, "watching");
    assert_eq!(watching["state"], "missing");
    assert_eq!(watching["remedy"], "sudo rloop-top");
    assert_eq!(named(&rights, "attaching")["state"], "missing");
    assert_eq!(named(&checks(&output, "probes"), "BPF")["state"], "unknown");
}

#[test]
fn the_table_fits_a_narrow_screen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = doctor(&[path]);
    let text = String::from_utf8(output.stdout).expect("text");
    for line in text.lines() {
        // Commands are whole, to be copied.
        assert!(
            line.chars().count() <= 80 || line.contains("  $ "),
            "{line}"
        );
    }
    for group in ["RIGHTS", "PROBES", "MODULE", "FILE"] {
        assert!(text.lines().any(|line| line == group), "{text}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_1_and_no_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let gone = folder.path().join("gone.img");
    drop(File::create(&gone).expect("made"));
    std::fs::remove_file(&gone).expect("removed");
    let gone = gone.to_str().expect("a name");
    for word in [gone, "/", "/dev/null"] {
        let output = doctor(&[word]);
        assert_eq!(output.status.code(), Some(1), "{word}");
        assert!(output.stdout.is_empty(), "{word}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(word));
    }
    assert_eq!(doctor(&["a", "b"]).status.code(), Some(2));
}
