//! Which bytes of a known workload went through the page cache.

use std::{os::unix::fs::FileExt as _, path::Path};

use rloop::{
    device::control::{AttachOptions, set_direct_io},
    sample::DeviceSample,
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

/// (direct, buffered) bytes that `count` reads and writes of 64 KiB take.
fn bypass_of(folder: &Path, options: &AttachOptions, count: u64) -> DeviceSample {
    let file = sparse(folder, "bypass.img", 32 * MIB);
    write(&file, 0, 16 << 20);
    run(std::process::Command::new("sync").arg(&file));
    let device = attached(&file, options);
    let mut live = watch(&[&device]);
    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([1; 16 * BLOCK]));
    for i in 0..count {
        io.read_exact_at(&mut buffer.0, i * 16 * BLOCK as u64)
            .expect("reads");
        io.write_all_at(&buffer.0, (i + count) * 16 * BLOCK as u64)
            .expect("writes");
    }
    io.sync_all().expect("syncs");
    drop(io);
    settled(&mut live, &device)
}

/// So many bytes were read by direct I/O, and as many written.
fn assert_direct(sample: &DeviceSample, bytes: u64, request_bytes: u64) {
    let (bypass, ops) = (&sample.bypass, &sample.ops);
    for (counted, op) in [
        (bypass.direct_read_bytes, Op::Read),
        (bypass.direct_write_bytes, Op::Write),
    ] {
        assert_completed_bytes(counted, bytes, request_bytes, &ops[op.index()]);
    }
}

fn assert_bypass(fs: &str) {
    if !root_or_skip() || !program_or_skip(&format!("mkfs.{fs}")) {
        return;
    }
    const COUNT: u64 = 97;
    const BYTES: u64 = COUNT * 16 * BLOCK as u64;
    let Some(image) = MountedImage::new(fs, 400, &[]) else {
        return;
    };
    let sample = bypass_of(image.path(), &direct(), COUNT);
    assert_direct(&sample, BYTES, 16 * BLOCK as u64);
    let by_direct = sample.bypass;
    assert_eq!(
        (
            by_direct.buffered_read_bytes,
            by_direct.buffered_write_bytes
        ),
        (0, 0),
        "{by_direct:?}"
    );
    let buffered = bypass_of(image.path(), &AttachOptions::default(), COUNT).bypass;
    assert_eq!(
        (buffered.direct_read_bytes, buffered.direct_write_bytes),
        (0, 0),
        "{buffered:?}"
    );
    assert_eq!(
        (buffered.buffered_read_bytes, buffered.buffered_write_bytes),
        (BYTES, BYTES),
        "{buffered:?}"
    );
}

#[test]
fn bypass_on_ext4_is_all_or_nothing() {
    assert_bypass("ext4");
}

#[test]
fn bypass_on_xfs_is_all_or_nothing() {
    assert_bypass("xfs");
}

#[test]
fn bypass_on_btrfs_is_what_this_kernel_really_does() {
    if !root_or_skip() || !program_or_skip("mkfs.btrfs") {
        return;
    }
    const COUNT: u64 = 97;
    const BYTES: u64 = COUNT * 16 * BLOCK as u64;
    let Some(image) = MountedImage::new("btrfs", 400, &[]) else {
        return;
    };
    let sample = bypass_of(image.path(), &direct(), COUNT);
    let (bypass, request_bytes) = (sample.bypass, 16 * BLOCK as u64);
    let [reads, writes] = [Op::Read, Op::Write].map(|op| &sample.ops[op.index()]);
    assert_completed_bytes(bypass.direct_read_bytes, BYTES, request_bytes, reads);
    assert!(bypass.derived);
    // Whether a checksummed direct write is direct is the kernel's choice; that it is one or the other is
    // not.
    let written = bypass.direct_write_bytes + bypass.buffered_write_bytes;
    assert_completed_bytes(written, BYTES, request_bytes, writes);
}

fn assert_mixed(fs: &str) {
    if !root_or_skip() {
        return;
    }
    const DIRECT: u64 = 61;
    const BUFFERED: u64 = 39;
    let Some(image) = MountedImage::new(fs, 400, &[]) else {
        return;
    };
    let file = sparse(image.path(), "mixed.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    let blocks = |count: u64| (0..count).map(|i| i * 16 * BLOCK as u64);
    write_blocks(device.path(), blocks(DIRECT));
    read_blocks(device.path(), blocks(DIRECT));
    set_direct_io(&open(device.path()), false).expect("switches");
    write_blocks(device.path(), blocks(BUFFERED));
    read_blocks(device.path(), blocks(BUFFERED));
    let after = settled_sample(&mut live, &device);
    let bypass = of(&after, &device).bypass;
    let block = BLOCK as u64;
    assert_direct(of(&after, &device), DIRECT * block, block);
    let buffered = (bypass.buffered_read_bytes, bypass.buffered_write_bytes);
    assert_eq!(buffered, (BUFFERED * block, BUFFERED * block));
    let part = json_of(&json(&before, &after), &device);
    assert_eq!(part["mode"], "mixed");
    // 61 in 100, if the machine loses nothing.
    let moved = |direct: u64, buffered: u64| direct as f64 / (direct + buffered) as f64;
    let direct = bypass.direct_read_bytes + bypass.direct_write_bytes;
    let ratio = part["bypass"]["ratio"].as_f64().expect("a number");
    assert_eq!(ratio, moved(direct, buffered.0 + buffered.1));
}

#[test]
fn a_mixed_workload_on_ext4_has_its_share() {
    assert_mixed("ext4");
}

#[test]
fn a_mixed_workload_on_xfs_has_its_share() {
    assert_mixed("xfs");
}
