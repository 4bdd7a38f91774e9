//! How rloop-top ends: by signals, and killed. Nothing stays behind.

use std::{
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rloop::device::list;
use serde_json::Value;

mod support;

use support::live::*;
use support::running::Running;
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rloop-top");

/// Numbers of the BPF programs and links that a process holds.
fn bpf_of(pid: u32) -> (Vec<u32>, Vec<u32>) {
    let (mut programs, mut links) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("descriptors") {
        let Ok(info) = fs::read_to_string(entry.expect("an entry").path()) else {
            continue;
        };
        let number = |name: &str| -> Option<u32> {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        match number("link_id:") {
            Some(link) => links.push(link),
            None => programs.extend(number("prog_id:")),
        }
    }
    (programs, links)
}

#[test]
fn killed_it_leaves_no_probe_behind() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("killed.img", 4 * MIB), &direct());
    let words = ["--json", "--interval", "0.1", device.name()];
    let mut top = Running::start(Command::new(PROGRAM).args(words));
    assert!(!top.first_line().is_empty());
    let (programs, links) = bpf_of(top.pid());
    assert!(
        programs.len() > 3 && links.len() > 3,
        "{programs:?} {links:?}"
    );
    let loaded = || -> Vec<u32> {
        let all = aya::programs::loaded_programs().filter_map(Result::ok);
        all.map(|program| program.id()).collect()
    };
    let linked = || -> Vec<u32> {
        let all = aya::programs::loaded_links().filter_map(Result::ok);
        all.map(|link| link.id()).collect()
    };
    assert!(programs.iter().all(|program| loaded().contains(program)));
    assert!(links.iter().all(|link| linked().contains(link)));
    top.signal(libc::SIGKILL);
    assert_eq!(top.end().1, Some(libc::SIGKILL));
    assert!(wait_until(|| {
        let (loaded, linked) = (loaded(), linked());
        !programs.iter().any(|program| loaded.contains(program))
            && !links.iter().any(|link| linked.contains(link))
    }));
}

#[test]
fn signals_are_heard_while_nobody_reads_what_is_written() {
    const SMALL: libc::c_int = 4096;
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo.rloop");
    let mut top = Command::new(PROGRAM)
        .args(["--json", "--replay", recording])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = top.stdout.take().expect("a pipe");
    // SAFETY: The pipe is open, and the number is where the kernel is told that it is.
    let waiting = || unsafe {
        let mut bytes: libc::c_int = 0;
        libc::ioctl(out.as_raw_fd(), libc::FIONREAD, &raw mut bytes);
        bytes
    };
    // SAFETY: As above.
    unsafe { libc::fcntl(out.as_raw_fd(), libc::F_SETPIPE_SZ, SMALL) };
    // More than fits is being written.
    assert!(wait_until(|| waiting() >= SMALL));
    // SAFETY: It is our child, and was not waited for.
    unsafe { libc::kill(top.id() as libc::pid_t, libc::SIGTERM) };
    let ended = wait_until(|| top.try_wait().expect("is waited for").is_some());
    if !ended {
        top.kill().expect("is killed");
        top.wait().expect("is waited for");
    }
    assert!(ended, "it went on writing");
}

/// Devices on files in `folder`, and the files.
fn left_in(folder: &Path) -> (Vec<String>, Vec<PathBuf>) {
    let devices = list().expect("lists").into_iter();
    let devices = devices.filter(|device| device.path.starts_with(folder));
    let files = fs::read_dir(folder).expect("reads");
    (
        devices.map(|device| device.name).collect(),
        files.map(|file| file.expect("an entry").path()).collect(),
    )
}

fn demo(folder: &Path) -> Running {
    let words = ["--demo", "--json", "--interval", "0.2"];
    let mut demo = Running::start(Command::new(PROGRAM).args(words).env("TMPDIR", folder));
    let line: Value = serde_json::from_str(&demo.first_line()).expect("is JSON");
    let (devices, files) = left_in(folder);
    assert_eq!((devices.len(), files.len()), (1, 1));
    assert_eq!(line["devices"][0]["name"], devices[0]);
    demo
}

#[test]
fn signals_end_it_with_130_and_nothing_stays() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut demo = demo(scratch.path());
        demo.signal(signal);
        let (code, killed_by, said) = demo.end();
        assert_eq!(
            (code, killed_by),
            (Some(130), None),
            "signal {signal}: {said}"
        );
        assert_eq!(left_in(scratch.path()), (vec![], vec![]), "signal {signal}");
    }
}

#[test]
fn it_ends_when_nobody_reads_though_there_is_nothing_to_print() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("unread.img", MIB), &direct());
    let words = ["--plain", "--interval", "3600", device.name()];
    let mut top = Running::start(Command::new(PROGRAM).args(words));
    assert!(top.first_line().starts_with("device"));
    top.stop_reading();
    assert!(wait_until(|| top.has_ended()));
    assert_eq!(top.end(), (Some(0), None, String::new()));
}

#[test]
fn what_a_killed_demo_leaves_goes_when_the_next_starts() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let mut killed = demo(scratch.path());
    let (_, files) = left_in(scratch.path());
    killed.signal(libc::SIGKILL);
    killed.end();
    let mut next = demo(scratch.path());
    assert!(!files[0].exists());
    next.signal(libc::SIGTERM);
    next.end();
}
