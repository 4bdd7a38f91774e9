//! `rloop compare` on a machine without the module: what it refuses, and that it then leaves nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

mod support;

use support::live::{MIB, direct};
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rloop");

fn compare(words: &[&str], file: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("compare")
        .args(words)
        .arg(file)
        .stdin(Stdio::null());
    command.output().expect("started")
}

/// What it says when it fails; there is no data then.
fn failure(words: &[&str], file: &Path, code: i32) -> String {
    let output = compare(words, file);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    said
}

#[test]
fn without_the_module_it_says_what_doctor_says_and_measures_nothing() {
    if Path::new("/sys/module/rloop").exists() {
        eprintln!("skipped: the module is loaded here");
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.sparse("disk.img", 2 * MIB);
    let doctor = Command::new(PROGRAM)
        .arg("doctor")
        .output()
        .expect("started");
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    for words in [&[][..], &["--writes"], &["--json"]] {
        let said = failure(words, &path, 1);
        let missing: Vec<&str> = said.lines().skip(1).collect();
        assert!(
            missing
                .iter()
                .any(|line| line.starts_with("missing  rloop.ko:")),
            "{said}"
        );
        assert!(
            missing.iter().all(|line| doctor.contains(line)),
            "{said}{doctor}"
        );
        // Neither a copy nor a note.
        let left = std::fs::read_dir(scratch.path()).expect("reads").count();
        assert_eq!(left, 1, "{words:?}");
    }
}

#[test]
fn a_file_in_use_is_refused_with_who_has_it() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.sparse("disk.img", 2 * MIB);
    let device = attached(&path, &direct());
    let said = failure(&[], &path, 1);
    let name = device.name();
    assert!(
        said.contains(&format!("attached to /dev/{name}"))
            && said.contains(&format!("losetup -d /dev/{name}")),
        "{said}"
    );
    // Whatever name it has.
    let link = scratch.path().join("link.img");
    std::os::unix::fs::symlink(&path, &link).expect("links");
    assert!(failure(&["--writes"], &link, 1).contains(name));
    if let Some(image) = MountedImage::new("ext4", 64, &[]) {
        let devices = rloop::device::list().expect("listed");
        let below = devices
            .iter()
            .find(|device| image.device().ends_with(&device.name));
        let said = failure(&[], &below.expect("is attached").path, 1);
        assert!(
            said.contains(&format!("mounted on {}", image.path().display())),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_compared_is_named() {
    let scratch = ScratchDir::new();
    let short = scratch.sparse("short.img", 4096);
    assert!(failure(&[], &short, 1).contains("shorter than 1 MiB"));
    assert!(failure(&[], Path::new("/"), 1).contains("not a plain file"));
    assert!(failure(&[], Path::new("/nonexistent"), 1).contains("No such file"));
    let said = failure(&["--only", "fill-4k-d1"], &short, 2);
    assert!(said.contains("needs --writes"), "{said}");
    let said = failure(&["--only", "everything"], &short, 2);
    assert!(said.contains("read-4k-d32"), "{said}");
}
