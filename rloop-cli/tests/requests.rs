//! What becomes of requests: merges, discards, errors, requeues, queue depth. The kernel's own
//! statistics are the second opinion.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rloop::{
    device::control::{Attached, discard},
    model::derive,
    sample::{DeviceSample, OpSample},
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

/// Writes, reads back and discards through the device's page cache, in requests of every size.
fn work(device: &Attached) {
    const BYTES: usize = 3 << 20;
    let mut file = open(device.path());
    file.write_all(&vec![0x33; BYTES]).expect("writes");
    file.sync_all().expect("syncs");
    // What is in the cache would not be read.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("drops the cache");
    let mut back = vec![0; BYTES];
    file.read_exact_at(&mut back, 0).expect("reads");
    for i in 0..5 {
        discard(&file, i * 2 * MIB, MIB / 2).expect("discards");
    }
    run(Command::new("blkdiscard")
        .args(["--zeroout", "--offset", "8388608", "--length", "65536"])
        .arg(device.path()));
    for i in 0..7 {
        write_blocks(device.path(), std::iter::once(i * MIB));
        file.sync_all().expect("syncs");
    }
}

/// Compares all that was counted with the kernel's `stat`.
fn assert_as_the_kernel_says(before: &[u64], now: &[u64], sample: &DeviceSample) {
    let kernel: Vec<u64> = now
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    let count = |op: Op| sample.ops[op.index()].submitted;
    let sectors = |op: Op| sample.ops[op.index()].bytes / 512;
    assert_eq!((kernel[0], kernel[2]), (count(Op::Read), sectors(Op::Read)));
    // The kernel counts bare flushes, and writes of zeros, as writes.
    let writes = count(Op::Write) + count(Op::WriteZeroes) + count(Op::Flush);
    let written = sectors(Op::Write) + sectors(Op::WriteZeroes);
    assert_eq!((kernel[4], kernel[6]), (writes, written));
    assert_eq!(
        (kernel[11], kernel[13]),
        (count(Op::Discard), sectors(Op::Discard))
    );
    assert_eq!(kernel[1] + kernel[5] + kernel[12], sample.merges);
}

#[test]
fn the_kernels_own_statistics_agree() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("stat.img", 32 * MIB), &direct());
    let mut live = watch(&[&device]);
    let before = kernel_stat(&device);
    work(&device);
    let sample = settled(&mut live, &device);
    assert_nothing_vanished(&sample);
    let now = kernel_stat(&device);
    assert_as_the_kernel_says(&before, &now, &sample);
    let flushes = now[15] - before[15];
    // Flushes that wait for each other are one in the kernel's eyes.
    assert!(flushes > 0 && flushes <= 8, "{flushes}");
    let count = |op: Op| sample.ops[op.index()].submitted;
    assert_eq!(
        (count(Op::Discard), count(Op::WriteZeroes), count(Op::Flush)),
        (5, 1, 8)
    );
    assert!(sample.merges > 0);
}

#[test]
fn a_filesystem_on_the_device_too() {
    if !root_or_skip() || !program_or_skip("mkfs.ext4") {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("stat.img", 64 * MIB), &direct());
    let mut live = watch(&[&device]);
    let before = kernel_stat(&device);
    run(Command::new("mkfs.ext4").arg("-q").arg(device.path()));
    // Its commits are writes with a flush before and one behind them.
    let target = scratch.path().join("on");
    let mounted = Mounted::new("ext4", "discard", device.path(), &target);
    for i in 0..13 {
        let file = mounted.path().join(format!("{i}"));
        fs::write(&file, vec![7; (i + 1) * 37_000]).expect("writes");
        open(&file).sync_all().expect("syncs");
        if i % 3 == 0 {
            fs::remove_file(&file).expect("removes");
        }
    }
    drop(mounted);
    let sample = settled(&mut live, &device);
    assert_nothing_vanished(&sample);
    assert_as_the_kernel_says(&before, &kernel_stat(&device), &sample);
    let of_extents = sample.extent_counters.iter().fold((0, 0), |sum, extent| {
        (sum.0 + extent.read_bytes, sum.1 + extent.write_bytes)
    });
    let bytes = |op: Op| sample.ops[op.index()].bytes;
    assert_eq!(of_extents, (bytes(Op::Read), bytes(Op::Write)));
}

/// Has the device's requests pass through this scheduler; false if the kernel does not have it.
fn scheduled(device: &Attached, scheduler: &str) -> bool {
    let path = format!("/sys/block/{}/queue/scheduler", device.name());
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(scheduler.as_bytes()))
        .is_ok()
}

#[test]
fn with_a_scheduler_too() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("stat.img", 32 * MIB), &direct());
    if !scheduled(&device, "mq-deadline") {
        skipped("this kernel has no mq-deadline");
        return;
    }
    let mut live = watch(&[&device]);
    let before = kernel_stat(&device);
    work(&device);
    let sample = settled(&mut live, &device);
    assert_nothing_vanished(&sample);
    assert_as_the_kernel_says(&before, &kernel_stat(&device), &sample);
}

fn op(sample: &DeviceSample, op: Op) -> &OpSample {
    &sample.ops[op.index()]
}

#[test]
fn reads_beyond_the_end_are_requeued_and_fail() {
    if !root_or_skip() {
        return;
    }
    const READS: u64 = 103;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("short.img", MIB);
    write(&file, 0, 1 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    // The device keeps its size: what it shows of the file is no longer there.
    open(&file).set_len(MIB / 2).expect("truncates");
    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    for _ in 0..READS {
        // Half of it is there. The driver asks again for the rest, and gets nothing.
        let read = io.read_exact_at(&mut buffer.0[..2 * BLOCK], MIB / 2 - BLOCK as u64);
        assert!(read.is_err());
    }
    let after = settled_sample(&mut live, &device);
    let sample = of(&after, &device);
    assert_nothing_vanished(sample);
    let reads = op(sample, Op::Read);
    assert_eq!(reads.submitted, READS);
    assert_completed(reads.requeued, READS, reads);
    assert_eq!(reads.bytes, READS * 2 * BLOCK as u64);
    assert_eq!(reads.errors, reads.completed);
    let part = json_of(&json(&before, &after), &device);
    assert_eq!(part["io"]["read"]["errors"], reads.errors);
    assert!(findings(&part).contains(&"errors".to_owned()));
}

#[test]
fn writes_that_find_no_room_are_errors_and_no_fills() {
    if !root_or_skip() {
        return;
    }
    const WRITES: u64 = 107;
    let Some(image) = MountedImage::new("ext4", 32, &["-q", "-b", "4096"]) else {
        return;
    };
    let file = sparse(image.path(), "watched.img", 64 * MIB);
    write(&file, 0, 1 << 20);
    fill_up(image.path(), "filler");
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    let io = open_direct(device.path());
    let buffer = Box::new(Aligned([1; 16 * BLOCK]));
    for i in 0..WRITES {
        let written = io.write_all_at(&buffer.0[..BLOCK], 8 * MIB + i * BLOCK as u64);
        assert!(written.is_err());
    }
    // What has its blocks can still be written.
    write_blocks(device.path(), (0..3).map(|i| i * BLOCK as u64));
    let after = settled_sample(&mut live, &device);
    let sample = of(&after, &device);
    assert_nothing_vanished(sample);
    let writes = op(sample, Op::Write);
    assert_eq!(writes.submitted, WRITES + 3);
    assert!(writes.errors <= WRITES && writes.errors + writes.lost >= WRITES);
    assert_eq!((sample.holes.fills, sample.holes.fill_bytes), (0, 0));
    let part = json_of(&json(&before, &after), &device);
    assert_eq!(part["io"]["write"]["errors"], writes.errors);
}

/// Writes one block at each offset, each from a thread of its own.
fn write_at_once(device: &Path, offsets: impl Iterator<Item = u64>) -> Vec<thread::JoinHandle<()>> {
    let writer = |offset| {
        let device = device.to_owned();
        thread::spawn(move || write_blocks(&device, std::iter::once(offset)))
    };
    offsets.map(writer).collect()
}

#[test]
fn the_queues_depth_is_what_waits() {
    if !root_or_skip() {
        return;
    }
    const WRITERS: u64 = 17;
    let Some(image) = MountedImage::new("ext4", 64, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "watched.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    let frozen = Frozen::new(image.path());
    let writers = write_at_once(device.path(), (0..WRITERS).map(|i| i * 64 * BLOCK as u64));
    assert!(wait_until(|| listed(&device).in_flight() == Some(WRITERS)));
    let waiting = sampled(&mut live);
    assert_eq!(of(&waiting, &device).in_flight, WRITERS);
    assert_eq!(derive(&before, &waiting).devices[0].in_flight, WRITERS);
    // Nothing has ended, and nothing is lost: what waits, waits.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(of(&sampled(&mut live), &device).in_flight, WRITERS);
    drop(frozen);
    for writer in writers {
        writer.join().expect("writes");
    }
    let after = settled(&mut live, &device);
    assert_eq!(op(&after, Op::Write).submitted, WRITERS);
    assert_nothing_vanished(&after);
}
