//! The program rloop, run as a user runs it, on a machine whose kernel has not its module: what it then
//! can do, and what it says.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn rloop(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rloop"));
    command.args(words).stdin(Stdio::null());
    command.output().expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it says when it fails; it prints no data then.
fn failure(words: &[&str]) -> String {
    let output = rloop(words);
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    assert!(output.stdout.is_empty(), "{words:?}");
    text(&output.stderr)
}

#[test]
fn without_the_module_it_says_how_to_load_it() {
    if Path::new("/sys/module/rloop").exists() {
        eprintln!("skipped: the module is loaded here");
        return;
    }
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["attach", "/etc/hostname"],
        &["detach", "rloop0"],
        &["detach", "--all"],
        &["map", "/dev/rloop0"],
        &["stat", "rloop0"],
        &["resize", "/dev/rloop0"],
    ] {
        let said = failure(words);
        assert!(
            said.starts_with("rloop: the kernel module rloop is not loaded"),
            "{said}"
        );
        assert!(
            said.contains("modprobe rloop") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn a_device_s_name_is_looked_at_before_the_module() {
    for words in [
        ["stat", "loop0"],
        ["resize", "/dev/sda"],
        ["resize", "rloop0p1"],
    ] {
        let said = failure(&words);
        assert!(
            said.contains(words[1]) && said.contains("rloop list"),
            "{said}"
        );
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_data() {
    for words in [
        &[][..],
        &["attach"],
        &["--nonsense"],
        &["attach", "x", "-o", "1Q"],
    ] {
        let output = rloop(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let output = rloop(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for word in [
        "attach",
        "detach",
        "list",
        "map",
        "stat",
        "resize",
        "doctor",
        "diff",
        "compare",
        "Examples:",
        "Exit status",
    ] {
        assert!(text(&output.stdout).contains(word), "{word}");
    }
    assert!(!text(&output.stdout).contains("--print-"));
}

#[test]
fn a_file_is_mapped_by_its_filesystem() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sparse.img");
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("made");
    file.set_len(1 << 20).expect("lengthened");
    file.write_all_at(&[1; 8192], 64 << 10).expect("written");
    file.sync_all().expect("synced");
    let path = path.to_str().expect("a name");

    let output = rloop(&["map", path, "--json"]);
    assert_eq!(text(&output.stderr), "");
    let map: serde_json::Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let schema = include_str!("../../docs/rloop-json-schema.json");
    let schema = serde_json::from_str(schema).expect("is JSON");
    let validator = jsonschema::validator_for(&schema).expect("is a schema");
    let errors: Vec<String> = validator.iter_errors(&map).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        (&map["source"], &map["len_bytes"]),
        (&"fiemap".into(), &(1 << 20).into())
    );
    let extents = map["extents"].as_array().expect("a list");
    let states: Vec<&str> = extents.iter().filter_map(|e| e["state"].as_str()).collect();
    assert_eq!(states, ["hole", "written", "hole"]);
    assert_eq!(extents[1]["start_bytes"], 64 << 10);
    assert_eq!(extents[1]["len_bytes"], 8192);

    let output = rloop(&["map", path]);
    let table = text(&output.stdout);
    assert_eq!(table.lines().count(), 4, "{table}");
    let line = table.lines().nth(2).expect("a line");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..3], ["written", "65536", "8192"], "{table}");
}

#[test]
fn what_has_no_map_is_named() {
    let said = failure(&["map", "/nonexistent/file"]);
    assert!(said.contains("/nonexistent/file"), "{said}");
    let said = failure(&["map", "/"]);
    assert!(said.contains("neither a plain file"), "{said}");
    // A pipe that nobody writes to must not be waited for.
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("made");
    let said = failure(&["map", pipe.to_str().expect("a name")]);
    assert!(said.contains("neither a plain file"), "{said}");
}

#[test]
fn nobody_reading_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    File::create(&path)
        .and_then(|file| file.set_len(4096))
        .expect("made");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rloop"));
    command
        .arg("map")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(writer);
    let output = command.stderr(Stdio::piped()).output().expect("started");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}

#[test]
fn the_manual_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rloop.8");
    let manual = rloop(&["--print-man"]);
    assert_eq!(manual.status.code(), Some(0));
    let committed = std::fs::read(&path).expect("docs/rloop.8");
    assert!(
        committed == manual.stdout,
        "run: cargo run --bin rloop -- --print-man > docs/rloop.8"
    );
}

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = rloop(&["--print-completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("sizelimit"), "{shell}");
    }
}
