//! The demonstration starts, works, and leaves nothing behind.
//!
//! The processes that it needs are this test program itself, started again with one of the
//! `child_` tests as its only one: without their variable those do nothing.

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rloop::demo::workload::workload_main;
use rloop::demo::{Demo, DemoOptions, cleanup_leftovers};
use rloop::device::control::AttachOptions;
use rloop::device::list;
use support::{ScratchDir, attached, root_or_skip, wait_until};

/// Set to the demo's folder where a child is to run one.
const FOLDER: &str = "RLOOP_TEST_DEMO_FOLDER";

fn options(folder: &Path) -> DemoOptions {
    DemoOptions {
        folders: vec![folder.to_owned()],
        program: env::current_exe().expect("this program"),
        arguments: ["--exact", "child_workload", "--nocapture"]
            .map(Into::into)
            .to_vec(),
    }
}

#[test]
fn child_workload() {
    let last = env::args().next_back().unwrap_or_default();
    if last.starts_with("/dev/loop") {
        workload_main(Path::new(&last));
    }
}

#[test]
fn child_demo() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let demo = Demo::start_with(&options(Path::new(&folder))).expect("starts");
    let path = demo.file_path().display();
    println!(
        "\nstarted {} {} {path}",
        demo.device_name(),
        demo.workload_pid()
    );
    loop {
        std::thread::park();
    }
}

fn is_attached(name: &str, file: &Path) -> bool {
    list()
        .expect("list")
        .iter()
        .any(|device| device.name == name && device.path == file)
}

fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// (reads, writes) that the device completed.
fn done(name: &str) -> (u64, u64) {
    let text = fs::read_to_string(format!("/sys/block/{name}/stat")).expect("stat");
    let fields: Vec<u64> = text
        .split_whitespace()
        .map(|f| f.parse().expect("a number"))
        .collect();
    (fields[0], fields[4])
}

#[test]
fn a_demo_works_on_its_device_and_leaves_nothing() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let mut demo = Demo::start_with(&options(dir.path())).expect("starts");
    let (name, pid) = (demo.device_name().to_owned(), demo.workload_pid());
    let file = demo.file_path().to_owned();
    let (reads, writes) = done(&name);
    assert!(wait_until(|| {
        let (r, w) = done(&name);
        r > reads + 101 && w > writes + 101
    }));
    assert_eq!(demo.workload_failure(), None);
    assert!(
        list()
            .expect("list")
            .iter()
            .any(|d| d.name == name && d.claims_direct)
    );
    // While it lives, nobody takes it for a leftover.
    let removed = cleanup_leftovers(&[dir.path().into()]).expect("cleans");
    assert!(!removed.contains(&file) && !removed.contains(&Path::new("/dev").join(&name)));
    assert!(file.exists() && is_attached(&name, &file));
    drop(demo);
    assert!(!file.exists() && !is_attached(&name, &file) && !exists(pid));
    assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 0);
}

#[test]
fn what_a_killed_demo_leaves_is_removed_by_the_next() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "child_demo", "--nocapture"])
        .env(FOLDER, dir.path());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawns");
    let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("started "));
    let line = line.expect("the child starts its demo");
    let words: Vec<&str> = line.split(' ').collect();
    let (name, pid, file) = (
        words[1],
        words[2].parse().expect("a number"),
        Path::new(words[3]),
    );
    assert!(file.exists() && is_attached(name, file) && exists(pid));

    child.kill().expect("kills");
    child.wait().expect("waits");
    assert!(
        wait_until(|| !exists(pid)),
        "the workload outlives its parent"
    );
    assert!(file.exists());
    let demo = Demo::start_with(&options(dir.path())).expect("starts");
    assert!(!file.exists() && !is_attached(name, file));
    drop(demo);
    assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 0);
}

#[test]
fn an_orphaned_device_is_detached_and_foreign_ones_are_left_alone() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let orphan = dir.sparse("rloop-demo-4194301-7.img", 1 << 20);
    let foreign = dir.sparse("rloop-demo-4194301.img", 1 << 20);
    let orphaned = attached(&orphan, &AttachOptions::default());
    let kept = attached(&foreign, &AttachOptions::default());
    let link = dir.path().join("rloop-demo-4194301-8.img");
    std::os::unix::fs::symlink(&foreign, &link).expect("links");
    // The guard of this test holds it open: detaching is noted, and happens when it closes.
    cleanup_leftovers(&[dir.path().into()]).expect("cleans");
    drop(orphaned);
    // Another demo that starts now may hold the file's lock for a moment, or be faster.
    let gone = wait_until(|| {
        cleanup_leftovers(&[dir.path().into()]).expect("cleans");
        !orphan.exists()
    });
    assert!(gone && foreign.exists() && link.is_symlink());
    assert!(is_attached(kept.name(), &foreign));
}

#[test]
fn a_folder_in_memory_is_refused_with_the_remedy() {
    if !root_or_skip() {
        return;
    }
    let error = Demo::start_with(&options(Path::new("/dev/shm"))).expect_err("is in memory");
    let text = error.to_string();
    assert!(
        text.contains("/dev/shm is in memory") && text.contains("TMPDIR"),
        "{text}"
    );
}
