//! A delay at a known place shows there and nowhere else.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::Path,
    thread,
    time::Duration,
};

use rloop::sample::SplitSample;

mod support;

use support::live::*;
use support::*;

/// Freezes a filesystem until dropped.
struct Frozen(File);

impl Frozen {
    fn new(mount: &Path) -> Self {
        const FIFREEZE: libc::c_ulong = 0xc004_5877;
        let folder = File::open(mount).expect("opens");
        // SAFETY: the request takes no argument that the kernel reads.
        let result = unsafe { libc::ioctl(folder.as_raw_fd(), FIFREEZE, 0) };
        assert_eq!(result, 0, "freezes");
        Self(folder)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        const FITHAW: libc::c_ulong = 0xc004_5878;
        // SAFETY: the request takes no argument that the kernel reads.
        unsafe { libc::ioctl(self.0.as_raw_fd(), FITHAW, 0) };
    }
}

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
