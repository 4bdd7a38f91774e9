//! The command line of rloop-top, run as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rloop::record::Recorder;
use rloop::sample::{DeviceSample, Sample};

fn rloop_top(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rloop-top"));
    command.args(words).stdin(Stdio::null());
    command.output().expect("started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_is_data_and_fine() {
    let output = rloop_top(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).expect("text");
    for word in [
        "--demo",
        "--interval",
        "--count",
        "--replay",
        "--record",
        "Examples:",
        "row down, up",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    for hidden in ["demo-workload", "--print-man", "--print-completions"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for words in [
        &["--nonsense"][..],
        &["--interval", "0.01"],
        &["--plain", "--json"],
        &["--count", "0"],
    ] {
        let output = rloop_top(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_recording_that_is_not_there_is_1() {
    let output = rloop_top(&["--json", "--replay", "/nonexistent/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = stderr(&output);
    assert!(text.contains("/nonexistent/file"), "{text}");
}

#[test]
fn nobody_reading_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rloop-top"));
    command
        .args(["--print-completions", "bash"])
        .stdin(Stdio::null());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("started");
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn the_manual_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rloop-top.8");
    let manual = rloop_top(&["--print-man"]);
    assert_eq!(manual.status.code(), Some(0));
    let committed = std::fs::read(&path).expect("docs/rloop-top.8");
    assert!(
        committed == manual.stdout,
        "run: cargo run --bin rloop-top -- --print-man > docs/rloop-top.8"
    );
}

#[test]
fn a_recording_becomes_json_and_plain_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.rloop");
    let mut recorder = Recorder::create(&path).expect("created");
    for second in 1..=4_u64 {
        let mut device = DeviceSample {
            name: "loop0".into(),
            extents_per_cell: 1,
            ..DeviceSample::default()
        };
        device.ops[0].submitted = 10 * second;
        recorder
            .append(&Sample {
                wall_ns: second * 1_000_000_000,
                monotonic_ns: second * 1_000_000_000,
                devices: vec![device],
                ..Sample::default()
            })
            .expect("appended");
    }
    drop(recorder);
    let path = path.to_str().expect("a name");
    let output = rloop_top(&["--json", "--count", "2", "--replay", path]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(line["interval_ns"], 1_000_000_000);
        assert_eq!(line["devices"][0]["name"], "loop0");
        assert_eq!(line["devices"][0]["io"]["read"]["ops"], 10);
    }
    let output = rloop_top(&["--plain", "--replay", path]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(
        text.lines().filter(|line| line.contains("loop0")).count(),
        3,
        "{text}"
    );
}
