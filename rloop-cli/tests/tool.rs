//! How rloop-top behaves as a program: without rights, on wrong devices, when nobody reads, when the
//! disk is full, and when it is told to end.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rloop::device::list;
use serde_json::Value;

mod support;

use support::live::*;
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

/// A process that is killed unless it has ended.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.stderr(Stdio::piped()).spawn().expect("starts"))
    }

    /// Waits for the first line of its output, and so for its first interval.
    fn first_line(&mut self) -> String {
        let output = self.0.stdout.take().expect("its output");
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        reader.read_line(&mut line).expect("reads");
        self.0.stdout = Some(reader.into_inner());
        line
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and was not waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    /// Exit code or signal, and what it said.
    fn end(&mut self) -> (Option<i32>, Option<i32>, String) {
        let status = self.0.wait().expect("waits");
        let mut said = String::new();
        let stderr = self.0.stderr.take();
        stderr
            .expect("its errors")
            .read_to_string(&mut said)
            .expect("reads");
        (status.code(), status.signal(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, mostly.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
        drop(top.0.stdout.take());
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
    let (programs, links) = bpf_of(top.0.id());
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
fn what_a_killed_demo_leaves_goes_when_the_next_starts() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let mut killed = demo(scratch.path());
    killed.signal(libc::SIGKILL);
    killed.end();
    let (_, files) = left_in(scratch.path());
    assert_eq!(files.len(), 1);
    let mut next = demo(scratch.path());
    assert!(!files[0].exists());
    next.signal(libc::SIGTERM);
    next.end();
}
