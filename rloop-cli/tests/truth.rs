//! Commits and holes of workloads whose numbers are known.

use std::{os::unix::fs::FileExt as _, thread, time::Duration};

use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

#[test]
fn as_many_commits_as_the_workload_forced() {
    if !root_or_skip() {
        return;
    }
    const FILLS: u64 = 37;
    // A commit by the clock would be one too many.
    let Some(image) = MountedImage::new("ext4", 200, &["-q"]) else {
        return;
    };
    run(std::process::Command::new("mount")
        .args(["-o", "remount,commit=3600"])
        .arg(image.path()));
    let file = sparse(image.path(), "commits.img", 64 * MIB);
    run(std::process::Command::new("sync").arg(&file));
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device).commits.count;
    let io = open_direct(device.path());
    let buffer = Box::new(Aligned([1; 16 * BLOCK]));
    for i in 0..FILLS {
        io.write_all_at(&buffer.0, i * MIB).expect("fills");
        io.sync_all().expect("syncs");
    }
    let sample = settled(&mut live, &device);
    let fills = sample.holes.fills;
    assert_eq!(sample.commits.count - before, fills, "{:?}", sample.commits);
    // Nothing changes, so nothing is committed.
    for _ in 0..11 {
        io.sync_all().expect("syncs");
    }
    assert_eq!(settled(&mut live, &device).commits.count - before, FILLS);
}

#[test]
fn punched_ranges_are_counted() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("punched.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device);
    assert_eq!(
        before
            .extents
            .iter()
            .filter(|extent| extent.state == rloop::sample::State::Hole)
            .count(),
        0
    );
    for offset in ["1048576", "3145728", "5242880"] {
        run(std::process::Command::new("blkdiscard")
            .args(["-o", offset, "-l", "1048576"])
            .arg(device.path()));
    }
    thread::sleep(Duration::from_millis(600));
    let after = settled(&mut live, &device);
    assert_eq!(after.holes.punches - before.holes.punches, 3);
    assert_eq!(
        after.holes.punched_bytes - before.holes.punched_bytes,
        3 * MIB
    );
    assert_eq!(
        after.ops[Op::Discard.index()].bytes - before.ops[Op::Discard.index()].bytes,
        3 * MIB
    );
    assert_eq!(
        after
            .extents
            .iter()
            .filter(|extent| extent.state == rloop::sample::State::Hole)
            .count(),
        3
    );
}
