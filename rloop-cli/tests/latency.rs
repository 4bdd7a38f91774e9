//! A delay at a known place shows there and nowhere else.

use std::{os::unix::fs::FileExt as _, path::Path, thread, time::Duration};

use rloop::sample::{DeviceSample, SplitSample};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

const DELAY: Duration = Duration::from_millis(400);

/// What one write to a device on a file in `folder` adds to the split while `frozen` stands still.
fn split_of_a_delayed_write(folder: &Path, frozen: &Path) -> SplitSample {
    let file = sparse(folder, "delayed.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device).split;
    let io = open_direct(device.path());
    let frozen = Frozen::new(frozen);
    let thaw = thread::spawn(move || {
        thread::sleep(DELAY);
        drop(frozen);
    });
    let buffer = Box::new(Aligned([1; 16 * BLOCK]));
    io.write_all_at(&buffer.0, MIB).expect("writes");
    thaw.join().expect("thaws");
    let after = settled(&mut live, &device).split;
    SplitSample {
        requests: after.requests - before.requests,
        sampled: after.sampled - before.sampled,
        derived: after.derived - before.derived,
        queue_ns: after.queue_ns - before.queue_ns,
        worker_ns: after.worker_ns - before.worker_ns,
        filesystem_ns: after.filesystem_ns - before.filesystem_ns,
        disk_ns: after.disk_ns - before.disk_ns,
    }
}

/// The delay is in this part and in no other.
fn assert_delayed_alone(part: &str, split: &SplitSample) {
    assert_eq!(split.requests, 1);
    for (name, ns) in [
        ("queue", split.queue_ns),
        ("worker", split.worker_ns),
        ("filesystem", split.filesystem_ns),
        ("disk", split.disk_ns),
    ] {
        let delayed = ns > DELAY.as_nanos() as u64 / 2;
        assert_eq!(delayed, name == part, "{name}: {split:?}");
    }
}

#[test]
fn a_delay_below_the_filesystem_shows_in_the_disk_part_alone() {
    if !root_or_skip() {
        return;
    }
    // The watched device lies on `upper`, whose disk is a loop device on `lower`: a frozen `lower`
    // stops that disk's writes.
    let Some(lower) = MountedImage::new("ext4", 400, &[]) else {
        return;
    };
    let Some(upper) = MountedImage::in_folder(lower.path(), "ext4", 200, &[]) else {
        return;
    };
    assert_delayed_alone(
        "disk",
        &split_of_a_delayed_write(upper.path(), lower.path()),
    );
}

#[test]
fn a_delay_before_the_filesystem_shows_in_the_worker_part_alone() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 200, &[]) else {
        return;
    };
    // The loop driver's worker waits for a frozen filesystem before it calls it.
    assert_delayed_alone(
        "worker",
        &split_of_a_delayed_write(image.path(), image.path()),
    );
}

#[test]
fn requests_that_the_kernel_does_not_time_are_counted_and_said_to_have_no_latency() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("untimed.img", 4 * MIB), &direct());
    let switch = format!("/sys/block/{}/queue/iostats", device.name());
    let mut live = watch(&[&device]);
    std::fs::write(&switch, "0").expect("switches it off");
    read_blocks(device.path(), (0..7).map(|_| 0));
    let is_told = |sample: &DeviceSample| {
        let mut missing = sample.unavailable.iter();
        missing.any(|missing| missing.what == "latencies")
    };
    let untimed = sampled(&mut live);
    let untimed = of(&untimed, &device);
    let reads = &untimed.ops[Op::Read.index()];
    // Others outlive the test on this device's number.
    std::fs::write(&switch, "1").expect("switches it on");
    assert_eq!((reads.submitted, reads.total.0.len()), (7, 0));
    assert!(is_told(untimed));
    assert!(!is_told(of(&sampled(&mut live), &device)));
}
