//! `rloop diff` of recordings: of the synthetic source, exactly, and of real devices, as far as it is certain.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rloop::record::Recorder;
use rloop::sample::{Buckets, Sample};
use rloop::source::Source as _;
use rloop::source::synthetic::Synthetic;
use rloop_common::Op;
use serde_json::Value;

mod support;

use support::live::*;
use support::*;

/// Samples of a recording: a minute.
const SAMPLES: usize = 61;
/// Buckets of an octave: that much further up, all takes twice as long.
const FINE_OCTAVE: u16 = 64;
const COARSE_OCTAVE: u16 = 4;

fn diff(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rloop"));
    command.arg("diff").args(words).stdin(Stdio::null());
    command.output().expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it prints as JSON, which the schema allows, and its exit code.
fn compared(a: &Path, b: &Path, more: &[&str]) -> (Value, i32) {
    let mut words = vec![a.to_str().expect("a name"), b.to_str().expect("a name")];
    words.extend(["--format", "json"]);
    words.extend(more);
    let output = diff(&words);
    let said = text(&output.stderr);
    let code = output.status.code().expect("a code");
    assert!(code < 2, "{said}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let schema = include_str!("../../docs/rloop-json-schema.json");
    let schema = serde_json::from_str(schema).expect("is JSON");
    let validator = jsonschema::validator_for(&schema).expect("is a schema");
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    (value, code)
}

/// A minute of the synthetic source, changed.
fn recorded(path: PathBuf, seed: u64, change: impl Fn(&mut Sample)) -> PathBuf {
    let mut source = Synthetic::new(seed);
    let mut recorder = Recorder::create(&path).expect("creates");
    for _ in 0..SAMPLES {
        let sample = source.next().expect("works");
        let mut sample = sample.expect("never ends");
        change(&mut sample);
        recorder.append(&sample).expect("appends");
    }
    path
}

fn shift(Buckets(buckets): &mut Buckets, by: u16) {
    for (bucket, _) in buckets {
        *bucket += by;
    }
}

/// Reads of the busy device take twice as long.
fn slow_reads(sample: &mut Sample) {
    let op = &mut sample.devices[0].ops[Op::Read.index()];
    shift(&mut op.total, FINE_OCTAVE);
    op.max_ns *= 2;
}

/// (device, what, start, percentile) of all with this verdict.
fn with(value: &Value, verdict: &str) -> Vec<(String, String, Option<u64>, f64)> {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut found = Vec::new();
    for device in list(&value["devices"]) {
        for row in list(&device["rows"]) {
            for one in list(&row["percentiles"]) {
                if one["verdict"] == verdict {
                    found.push((
                        device["name"].as_str().expect("text").to_owned(),
                        row["what"].as_str().expect("text").to_owned(),
                        row["start_bytes"].as_u64(),
                        one["percentile"].as_f64().expect("a number"),
                    ));
                }
            }
        }
    }
    found
}

#[test]
fn what_is_alike_does_not_differ() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 2, |_| ());
    for other in [&a, &b] {
        let (value, code) = compared(&a, other, &["--threshold", "0"]);
        assert_eq!(code, 0);
        assert_eq!(with(&value, "slower"), []);
        assert_eq!(with(&value, "faster"), []);
        assert!(!with(&value, "same").is_empty());
        assert_eq!(value["a"]["intervals"], SAMPLES - 1);
    }
}

#[test]
fn what_takes_twice_as_long_is_slower_and_the_other_way_round_faster() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 2, slow_reads);
    let reads = [50.0, 99.0].map(|one| ("loop0".to_owned(), "read".to_owned(), None, one));
    let (value, code) = compared(&a, &b, &[]);
    assert_eq!((code, with(&value, "slower")), (1, reads.to_vec()));
    let row = &value["devices"][0]["rows"][0];
    assert!(row["count_a"].as_u64() > Some(100_000), "{row}");
    let surely = row["percentiles"][0]["at_least_percent"].as_f64();
    assert!(surely > Some(80.0) && surely < Some(100.0), "{row}");
    let (value, code) = compared(&b, &a, &[]);
    assert_eq!((code, with(&value, "faster")), (0, reads.to_vec()));
    // Less than what is asked for.
    let (value, code) = compared(&a, &b, &["--threshold", "110"]);
    assert_eq!((code, with(&value, "slower")), (0, Vec::new()));
}

#[test]
fn the_part_of_the_device_that_became_slower_is_named() {
    const MIB: u64 = 1 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 1, |sample| {
        // Four octaves, so that what was slow before does not hide it.
        for counters in &mut sample.devices[0].extent_counters {
            if (30 * MIB..60 * MIB).contains(&counters.start_bytes) {
                shift(Arc::make_mut(&mut counters.latency), 4 * COARSE_OCTAVE);
                counters.max_ns *= 16;
            }
        }
    });
    let (value, code) = compared(&a, &b, &[]);
    assert_eq!(code, 1);
    let mut starts: Vec<_> = with(&value, "slower")
        .into_iter()
        .map(|(.., start, _)| start)
        .collect();
    starts.dedup();
    // Sixteenths of 240 MiB.
    assert_eq!(starts, [Some(30 * MIB), Some(45 * MIB)]);
}

#[test]
fn devices_find_each_other_by_name_or_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 2, |sample| {
        slow_reads(sample);
        sample.devices[0].name = "loop9".into();
        sample.devices.truncate(2);
    });
    let (value, code) = compared(&a, &b, &[]);
    assert_eq!(code, 0);
    assert_eq!(value["only_a"], serde_json::json!(["loop0", "loop12"]));
    assert_eq!(value["only_b"], serde_json::json!(["loop9"]));
    let (value, code) = compared(&a, &b, &["--by", "file"]);
    assert_eq!(code, 1);
    assert_eq!(with(&value, "slower")[0].0, "/srv/images/loop0.img");
    assert_eq!(value["only_b"], serde_json::json!([]));
}

#[test]
fn what_else_differs_is_said_beside_the_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 1, |sample| {
        let device = &mut sample.devices[0];
        device.ops[Op::Read.index()].bytes *= 2;
        let writes = &mut device.ops[Op::Write.index()];
        writes.lost = writes.submitted / 10;
        device.backing.fs = "xfs".into();
    });
    let (value, code) = compared(&a, &b, &[]);
    assert_eq!(code, 0);
    let notes = value["devices"][0]["notes"].as_array().expect("a list");
    let notes: Vec<&str> = notes.iter().filter_map(Value::as_str).collect();
    let [file, sizes, losses] = notes[..] else {
        panic!("{notes:?}");
    };
    assert_eq!(
        file,
        "/srv/images/loop0.img on ext4, then /srv/images/loop0.img on xfs"
    );
    assert!(sizes.starts_with("a read is 4 KiB, then 8 KiB"), "{sizes}");
    assert!(
        losses.starts_with("the ends of 0 writes were not seen"),
        "{losses}"
    );
    // Nothing to say of the others.
    assert_eq!(value["devices"][1]["notes"], serde_json::json!([]));
}

#[test]
fn the_comment_names_the_worst_and_the_table_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = recorded(folder.path().join("a"), 1, |_| ());
    let b = recorded(folder.path().join("b"), 2, slow_reads);
    let paths = [&a, &b].map(|path| path.to_str().expect("a name").to_owned());
    let output = diff(&[&paths[0], &paths[1], "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(1));
    let comment = text(&output.stdout);
    assert!(comment.starts_with("### rloop: slower\n"), "{comment}");
    assert_eq!(
        comment.matches("| **slower** | loop0 | read |").count(),
        2,
        "{comment}"
    );
    let output = diff(&[&paths[0], &paths[1]]);
    let table = text(&output.stdout);
    let rows = table.lines().filter(|line| line.contains("  p"));
    assert!(
        rows.clone().count() > 5 && rows.clone().all(|row| row.chars().count() <= 80),
        "{table}"
    );
}

#[test]
fn what_cannot_be_compared_is_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = recorded(folder.path().join("good"), 1, |_| ());
    let bytes = std::fs::read(&good).expect("reads");
    let made = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let wrong = [
        (made("damaged", &flipped), "damaged at byte"),
        (
            made("foreign", b"a text of somebody else"),
            "not a recording",
        ),
        (made("old", b"rloopREC\x01\0\0\0"), "format 1"),
        (made("empty", &bytes[..12]), "no interval"),
        (folder.path().join("absent"), "cannot be read"),
    ];
    let good = good.to_str().expect("a name");
    for (path, why) in &wrong {
        let path = path.to_str().expect("a name");
        for words in [[good, path], [path, good]] {
            let output = diff(&words);
            assert_eq!(output.status.code(), Some(2), "{words:?}");
            assert!(output.stdout.is_empty(), "{words:?}");
            let said = text(&output.stderr);
            assert!(said.contains(path) && said.contains(why), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    // Nothing in common must not pass for nothing slower.
    let other = recorded(folder.path().join("other"), 1, |sample| {
        for device in &mut sample.devices {
            device.name = format!("other-{}", device.name);
        }
    });
    let output = diff(&[good, other.to_str().expect("a name")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no device is in both"));
    // What was cut off is left out, and the rest compared.
    let torn = made("torn", &bytes[..bytes.len() - 5]);
    let output = diff(&[good, torn.to_str().expect("a name")]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("incomplete"));
    for words in [
        &["a"][..],
        &[good, good, "--threshold", "-1"],
        &[good, good, "--by", "size"],
    ] {
        assert_eq!(diff(words).status.code(), Some(2), "{words:?}");
    }
}

/// Eight intervals of reads of a file, on a device of its own.
fn record_reads(file: &Path, direct_io: bool, to: &Path) {
    let options = rloop::device::control::AttachOptions {
        direct_io,
        ..Default::default()
    };
    let device = attached(file, &options);
    let mut live = watch(&[&device]);
    let mut recorder = Recorder::create(to).expect("creates");
    let mut keep = |sample: &Sample| recorder.append(sample).expect("appends");
    keep(&settled_sample(&mut live, &device));
    let opened = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    for _ in 0..8 {
        for place in 0..30 {
            let block = &mut buffer.0[..BLOCK];
            let at = place * BLOCK as u64;
            std::os::unix::fs::FileExt::read_exact_at(&opened, block, at).expect("reads");
        }
        keep(&settled_sample(&mut live, &device));
    }
}

#[test]
fn real_recordings_tell_how_many_requests_there_were_and_which_way_they_went() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.path().join("disk.img");
    std::fs::write(&file, vec![0x5A; MIB as usize]).expect("writes");
    let (a, b) = (
        scratch.path().join("a.rloop"),
        scratch.path().join("b.rloop"),
    );
    record_reads(&file, true, &a);
    record_reads(&file, false, &b);
    let (value, _) = compared(&a, &b, &["--by", "file"]);
    assert_eq!(
        (&value["only_a"], &value["only_b"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    let device = &value["devices"][0];
    let row = &device["rows"][0];
    assert_eq!(row["what"], "read");
    // Ends can be lost, and are counted then; whoever looks at new devices may read as well.
    let counts = [&row["count_a"], &row["count_b"]].map(|count| count.as_u64().expect("a number"));
    assert!(counts.iter().all(|count| *count >= 200), "{row}");
    assert!(row["percentiles"][0]["a"]["ns"].as_u64() > Some(0), "{row}");
    assert_eq!(row["percentiles"][1]["verdict"], "too-few", "{row}");
    let notes = device["notes"].to_string();
    assert!(
        notes.contains("100% of the bytes by direct I/O, then 0%"),
        "{notes}"
    );
}
