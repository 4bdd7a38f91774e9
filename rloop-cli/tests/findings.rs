//! Each finding is brought about on a real device and stands in the JSON; a healthy device has none.

use std::{
    fs, io::Read as _, os::unix::fs::FileExt as _, process::Command, thread, time::Duration,
};

use rloop::device::control::{AttachOptions, Attached};
use serde_json::Value;

mod support;

use support::live::*;
use support::*;

/// The device's part of the JSON of an interval with this work in it.
fn watched(device: &Attached, work: impl FnOnce(&Attached)) -> Value {
    let mut live = watch(&[device]);
    let before = settled_sample(&mut live, device);
    work(device);
    let after = settled_sample(&mut live, device);
    json_of(&json(&before, &after), device)
}

/// Reads and writes 101 blocks of data by direct I/O.
fn read_and_write(device: &Attached) {
    let blocks = || (0..101).map(|i| i * BLOCK as u64);
    read_blocks(device.path(), blocks());
    write_blocks(device.path(), blocks());
}

fn assert_found(part: &Value, id: &str) {
    let found = findings(part);
    assert!(found.contains(&id.to_owned()), "{id} is not in {found:?}");
}

fn assert_not_found(part: &Value, id: &str) {
    let found = findings(part);
    assert!(!found.contains(&id.to_owned()), "{id} is in {found:?}");
}

/// The mode, which was measured, and the share of direct bytes.
fn assert_mode(part: &Value, mode: &str, ratio: f64) {
    let found = (part["mode"].as_str(), part["bypass"]["ratio"].as_f64());
    assert_eq!(found, (Some(mode), Some(ratio)));
    assert_eq!(part["mode_measured"], true);
}

/// Does what the finding says.
fn remedy(part: &Value, id: &str) {
    let all = part["findings"].as_array().expect("a list");
    let finding = all.iter().find(|finding| finding["id"] == id);
    let remedy = finding.expect("is found")["remedy"].as_str().expect("text");
    run(Command::new("sh").args(["-c", remedy]));
}

#[test]
fn a_healthy_device_has_none() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("healthy.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let part = watched(&attached(&file, &direct()), read_and_write);
    assert_eq!(findings(&part), Vec::<String>::new());
    assert_mode(&part, "direct", 1.0);
}

#[test]
fn direct_io_that_is_not_in_effect() {
    if !root_or_skip() {
        return;
    }
    // With its data in the journal ext4 takes direct I/O and does not do it.
    let options = ImageOptions {
        mkfs: &["-q"],
        mount: "data=journal",
        ..ImageOptions::default()
    };
    let Some(image) = MountedImage::with("ext4", 128, &options) else {
        return;
    };
    let file = sparse(image.path(), "journalled.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    assert!(listed(&device).claims_direct, "the driver says so");
    let part = watched(&device, read_and_write);
    assert_found(&part, "direct-not-in-effect");
    assert_mode(&part, "buffered", 0.0);
    assert_eq!(part["bypass"]["direct_bytes"], 0);

    // A device that claims nothing does not contradict itself.
    let device = attached(&file, &AttachOptions::default());
    let part = watched(&device, read_and_write);
    assert_not_found(&part, "direct-not-in-effect");
    assert_eq!(part["mode"], "buffered");
}

#[test]
fn what_btrfs_really_does() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("btrfs", 256, &["-q"]) else {
        return;
    };
    let write_only = |device: &Attached| {
        write_blocks(device.path(), (0..101).map(|i| i * BLOCK as u64));
    };
    let read_only = |device: &Attached| {
        read_blocks(device.path(), (0..101).map(|i| i * BLOCK as u64));
    };
    // Without checksums (chattr +C) it is as direct as it says.
    let plain = sparse(image.path(), "plain.img", 0);
    run(Command::new("chattr").arg("+C").arg(&plain));
    open(&plain).set_len(16 * MIB).expect("grows");
    write(&plain, 0, 16 << 20);
    let device = attached(&plain, &direct());
    for work in [write_only, read_only] {
        let part = watched(&device, work);
        assert_not_found(&part, "direct-not-in-effect");
        assert_mode(&part, "direct", 1.0);
    }
    // With them, reads are; writes are what this kernel does, and where they are not there is a finding.
    let summed = sparse(image.path(), "summed.img", 16 * MIB);
    write(&summed, 0, 16 << 20);
    let device = attached(&summed, &direct());
    let part = watched(&device, read_only);
    assert_not_found(&part, "direct-not-in-effect");
    assert_eq!(part["bypass"]["ratio"], 1.0);
    let part = watched(&device, write_only);
    assert_eq!(part["bypass"]["derived"], true);
    if falls_back() {
        assert_mode(&part, "buffered", 0.0);
        assert_found(&part, "direct-not-in-effect");
    } else {
        assert_mode(&part, "direct", 1.0);
        assert_not_found(&part, "direct-not-in-effect");
    }
}

/// Since Linux 6.15 btrfs buffers direct writes of files with checksums.
fn falls_back() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.trim().parse::<u32>());
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next()) >= (6, 15)
}

#[test]
fn misalignment_of_sectors_and_of_the_offset() {
    if !root_or_skip() {
        return;
    }
    // On a disk of 4 KiB sectors direct I/O has to be of whole ones.
    let options = ImageOptions {
        mkfs: &["-q", "-b", "4096"],
        block_bytes: 4096,
        ..ImageOptions::default()
    };
    let Some(image) = MountedImage::with("ext4", 96, &options) else {
        return;
    };
    let file = sparse(image.path(), "aligned.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let attach = |block_bytes, offset_bytes| {
        attached(
            &file,
            &AttachOptions {
                block_bytes,
                offset_bytes,
                ..direct()
            },
        )
    };
    for (block_bytes, offset_bytes) in [(512, 0), (4096, 512)] {
        let device = attach(block_bytes, offset_bytes);
        let part = watched(&device, read_and_write);
        assert_found(&part, "misaligned");
        assert_mode(&part, "buffered", 0.0);
    }
    for (block_bytes, offset_bytes) in [(4096, 0), (4096, 8192)] {
        let part = watched(&attach(block_bytes, offset_bytes), read_and_write);
        assert_not_found(&part, "misaligned");
        assert_mode(&part, "direct", 1.0);
    }
}

#[test]
fn double_caching() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("twice.img", 24 * MIB);
    write(&file, 0, 24 << 20);
    let device = attached(&file, &AttachOptions::default());
    let through_the_cache = |device: &Attached| {
        let mut data = Vec::new();
        open(device.path()).read_to_end(&mut data).expect("reads");
    };
    let part = watched(&device, through_the_cache);
    assert_found(&part, "double-caching");
    assert_eq!(part["cached_pages"], 24 * MIB / BLOCK as u64);
    assert_eq!(part["bypass"]["buffered_bytes"], 24 * MIB);
    // From now on nothing more is cached twice, but what is stays.
    remedy(&part, "double-caching");
    let part = watched(&device, read_and_write);
    assert_found(&part, "double-caching");
    assert_eq!(part["mode"], "direct");
    remedy(&part, "double-caching");
    assert_not_found(&watched(&device, read_and_write), "double-caching");
}

#[test]
fn fragmentation() {
    if !root_or_skip() {
        return;
    }
    const PIECES: u64 = 1009;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("pieces.img", 16 * MIB);
    let io = open(&file);
    for i in 0..PIECES {
        io.write_all_at(&[1; BLOCK], i * 3 * BLOCK as u64)
            .expect("writes");
    }
    io.sync_all().expect("syncs");
    let device = attached(&file, &direct());
    let part = watched(&device, |device| read_blocks(device.path(), 0..1));
    assert_found(&part, "fragmented");
    let all = part["findings"].as_array().expect("a list");
    let finding = all.iter().find(|finding| finding["id"] == "fragmented");
    let what = finding.expect("is found")["what"].as_str().expect("text");
    assert!(what.contains(&format!("{PIECES} extents")), "{what}");
}

#[test]
fn a_saturated_worker() {
    if !root_or_skip() {
        return;
    }
    const WRITERS: u64 = 103;
    let Some(image) = MountedImage::new("ext4", 64, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "busy.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    // While the worker waits for the frozen filesystem, all others wait for the worker.
    let part = watched(&device, |device| {
        let frozen = Frozen::new(image.path());
        thread::scope(|scope| {
            for i in 0..WRITERS {
                scope.spawn(move || {
                    write_blocks(device.path(), std::iter::once(i * 32 * BLOCK as u64));
                });
            }
            let waiting = || listed(device).in_flight() == Some(WRITERS);
            let all = wait_until(waiting);
            // Long enough to outweigh the wait for a completion that nobody tells of.
            thread::sleep(Duration::from_millis(500));
            drop(frozen);
            assert!(all, "all wait");
        });
    });
    assert_found(&part, "worker-saturated");
    let time = |name: &str| part["time_ns"][name].as_u64().expect("a number");
    assert!(time("worker") > time("queue") + time("filesystem") + time("disk"));
    // One at a time there is nobody to wait for.
    let part = watched(&device, read_and_write);
    assert_not_found(&part, "worker-saturated");
}

#[test]
fn a_filesystem_nearly_full() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 32, &["-q", "-b", "4096"]) else {
        return;
    };
    let file = sparse(image.path(), "promised.img", 64 * MIB);
    write(&file, 0, 1 << 20);
    let device = attached(&file, &direct());
    let part = watched(&device, read_and_write);
    assert_not_found(&part, "filesystem-nearly-full");
    fill_up(image.path(), "filler");
    let part = watched(&device, read_and_write);
    assert_found(&part, "filesystem-nearly-full");
    assert_eq!(part["findings"][0]["severity"], "critical");
}

#[test]
fn a_loop_device_on_a_loop_device() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 64, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "nested.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let part = watched(&attached(&file, &direct()), read_and_write);
    assert_eq!(findings(&part), ["nested"]);
}
