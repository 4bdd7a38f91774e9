//! Who submitted: the process itself, not the kernel's worker that serves it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rloop::{
    device::control::Attached,
    model::derive,
    sample::{DeviceSample, Submitter},
};

mod support;

use support::live::*;
use support::*;

/// `dd` from the device, as this command; the process's number.
fn dd(command: &mut Command, device: &Attached, blocks: u64) -> u32 {
    let mut child = command
        .arg(format!("if={}", device.path().display()))
        .args(["of=/dev/null", "bs=4096", "iflag=direct"])
        .arg(format!("count={blocks}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("spawns");
    let pid = child.id();
    assert!(child.wait().expect("waits").success());
    pid
}

fn submitter(sample: &DeviceSample, pid: u32) -> &Submitter {
    let found = sample.submitters.iter().find(|who| who.pid == pid);
    found.unwrap_or_else(|| panic!("{pid} is not in {:?}", sample.submitters))
}

#[test]
fn each_process_has_its_own_requests() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("who.img", 8 * MIB);
    write(&file, 0, 8 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    let first = dd(&mut Command::new("dd"), &device, 211);
    let second = dd(&mut Command::new("dd"), &device, 53);
    read_blocks(device.path(), (0..17).map(|i| i * BLOCK as u64));
    let after = settled_sample(&mut live, &device);
    let sample = of(&after, &device);
    for (pid, command, requests) in [(first, "dd", 211), (second, "dd", 53)] {
        let who = submitter(sample, pid);
        assert_eq!(
            (who.command.as_str(), who.requests, who.bytes),
            (command, requests, requests * BLOCK as u64)
        );
    }
    let own = submitter(sample, std::process::id());
    assert_eq!((own.requests, own.bytes), (17, 17 * BLOCK as u64));
    // Nobody else: the driver's worker submits to the disk below, not to the device.
    assert_eq!(sample.submitters.len(), 3);
    let order = derive(&before, &after).devices[0].submitters.clone();
    let order: Vec<u32> = order.iter().map(|who| who.pid).collect();
    assert_eq!(order, [first, second, std::process::id()]);
}

/// A cgroup of the unified hierarchy until dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None`, with a word about it, where there is no such hierarchy that can be written.
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        let root = mounts.find_map(|mut fields| {
            let target = fields.nth(1)?;
            (fields.next() == Some("cgroup2")).then(|| target.to_owned())
        });
        let path = Path::new(&root?).join(format!("rloop-test-{}", std::process::id()));
        fs::create_dir(&path).ok().map(|()| Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !wait_until(|| fs::remove_dir(&self.0).is_ok()) {
            eprintln!("{} stays", self.0.display());
        }
    }
}

#[test]
fn the_cgroup_is_that_of_the_process() {
    if !root_or_skip() {
        return;
    }
    let Some(cgroup) = Cgroup::new() else {
        skipped("no cgroup2 hierarchy to make a group in");
        return;
    };
    let scratch = ScratchDir::new();
    let file = scratch.sparse("who.img", 8 * MIB);
    write(&file, 0, 8 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let enter = format!(
        "echo $$ > {}/cgroup.procs; exec dd \"$@\"",
        cgroup.0.display()
    );
    let pid = dd(Command::new("sh").args(["-c", &enter, "dd"]), &device, 61);
    let sample = settled(&mut live, &device);
    let who = submitter(&sample, pid);
    assert_eq!((who.command.as_str(), who.requests), ("dd", 61));
    let number = fs::metadata(&cgroup.0).expect("stat").ino();
    assert_eq!(who.cgroup, number.to_string());
}
