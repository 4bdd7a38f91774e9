//! The live numbers against workloads whose numbers are known.
//!
//! Submitted operations, bytes and fills are compared exactly. Completions may be lost to BPF on some
//! machines; then the loss has to be counted, so completed + lost is compared.

use std::{
    fs::{self, File, OpenOptions},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    path::Path,
    thread,
    time::Duration,
};

use rloop::{
    device::control::{AttachOptions, Attached},
    sample::{DeviceSample, SplitSample},
    source::{
        Source as _,
        live::{Live, LiveOptions},
    },
};
use rloop_common::Op;

mod support;

use support::{
    MountedImage, ScratchDir, attached, open, program_or_skip, root_or_skip, run, sparse, write,
};

const BLOCK: usize = 4096;
const MIB: u64 = 1 << 20;

/// A buffer that direct I/O takes.
#[repr(align(4096))]
struct Aligned([u8; 16 * BLOCK]);

fn direct() -> AttachOptions {
    AttachOptions {
        direct_io: true,
        ..AttachOptions::default()
    }
}

fn open_direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .expect("opens for direct I/O")
}

fn watch(devices: &[&Attached]) -> Live {
    let devices = devices
        .iter()
        .map(|device| device.name().to_owned())
        .collect();
    Live::new(LiveOptions { devices }).expect("watches")
}

/// The device's counters once nothing is in flight any more.
fn settled(live: &mut Live, device: &Attached) -> DeviceSample {
    for _ in 0..50 {
        let sample = live
            .next()
            .expect("samples")
            .expect("a live source never ends");
        let sample = sample
            .devices
            .into_iter()
            .find(|sample| sample.name == device.name())
            .expect("is watched");
        if sample.in_flight == 0 {
            // Counters of extents follow those of the device.
            thread::sleep(Duration::from_millis(50));
            let sample = live
                .next()
                .expect("samples")
                .expect("a live source never ends");
            return sample
                .devices
                .into_iter()
                .find(|sample| sample.name == device.name())
                .expect("is watched");
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("requests stay in flight");
}

fn assert_nothing_vanished(sample: &DeviceSample) {
    for op in Op::ALL {
        let counters = &sample.ops[op.index()];
        assert_eq!(
            counters.submitted,
            counters.completed + counters.lost,
            "{} {}: {counters:?}",
            sample.name,
            op.name()
        );
    }
}

/// Direct I/O is counted where it completes, so a machine that loses completions loses those bytes:
/// never more than were moved, and at most a few requests less.
fn assert_completed_bytes(counted: u64, moved: u64, request_bytes: u64) {
    const LOST_MAX: u64 = 8;
    assert!(counted <= moved, "{counted} bytes counted, {moved} moved");
    let missing = moved - counted;
    assert_eq!(missing % request_bytes, 0);
    assert!(
        missing / request_bytes <= LOST_MAX,
        "{counted} bytes counted, {moved} moved"
    );
}

/// (reads, sectors read, writes, sectors written) as the kernel counts them.
fn kernel_counts(device: &Attached) -> [u64; 4] {
    let stat =
        fs::read_to_string(format!("/sys/block/{}/stat", device.name())).expect("statistics");
    let fields: Vec<u64> = stat
        .split_whitespace()
        .map(|field| field.parse().expect("a number"))
        .collect();
    [fields[0], fields[2], fields[4], fields[6]]
}

#[test]
fn a_known_workload_is_counted_exactly() {
    if !root_or_skip() {
        return;
    }
    const READS: u64 = 1009;
    const WRITES: u64 = 503;
    const FSYNCS: u64 = 101;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("known.img", 32 * MIB);
    // 0..4 MiB written, the rest a hole.
    write(&file, 0, 4 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device);
    let kernel_before = kernel_counts(&device);

    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0x5a; 16 * BLOCK]));
    for i in 0..READS {
        io.read_exact_at(&mut buffer.0[..BLOCK], i * 7 % 1024 * BLOCK as u64)
            .expect("reads");
    }
    for i in 0..WRITES {
        io.write_all_at(&buffer.0[..BLOCK], 8 * MIB + i * 2 * BLOCK as u64)
            .expect("writes");
    }
    for _ in 0..FSYNCS {
        io.sync_all().expect("syncs");
    }

    let after = settled(&mut live, &device);
    assert_nothing_vanished(&after);
    let grown = |op: Op| after.ops[op.index()].submitted - before.ops[op.index()].submitted;
    assert_eq!(grown(Op::Read), READS);
    assert_eq!(grown(Op::Write), WRITES);
    assert_eq!(grown(Op::Flush), FSYNCS);
    assert_eq!(
        after.ops[Op::Read.index()].bytes - before.ops[Op::Read.index()].bytes,
        READS * BLOCK as u64
    );
    assert_eq!(
        after.ops[Op::Write.index()].bytes - before.ops[Op::Write.index()].bytes,
        WRITES * BLOCK as u64
    );
    let kernel: Vec<u64> = kernel_counts(&device)
        .iter()
        .zip(kernel_before)
        .map(|(after, before)| after - before)
        .collect();
    // The kernel counts bare flushes as writes.
    assert_eq!(kernel, [READS, READS * 8, WRITES + FSYNCS, WRITES * 8]);

    assert_eq!(after.holes.fills, WRITES);
    assert_eq!(after.holes.fill_bytes, WRITES * BLOCK as u64);
    assert_completed_bytes(
        after.bypass.direct_read_bytes,
        READS * BLOCK as u64,
        BLOCK as u64,
    );
    assert_completed_bytes(
        after.bypass.direct_write_bytes,
        WRITES * BLOCK as u64,
        BLOCK as u64,
    );
    let counted = |f: fn(&rloop::sample::ExtentCounters) -> u64| {
        after.extent_counters.iter().map(f).sum::<u64>()
    };
    let at_start = |sample: &DeviceSample| {
        sample
            .extent_counters
            .iter()
            .map(|extent| extent.reads)
            .sum::<u64>()
    };
    assert_eq!(
        counted(|extent| extent.read_bytes),
        READS * BLOCK as u64,
        "nothing else read: {}",
        at_start(&before)
    );
    assert_eq!(counted(|extent| extent.write_bytes), WRITES * BLOCK as u64);
    let in_hole: u64 = after
        .extent_counters
        .iter()
        .filter(|extent| extent.start_bytes >= 4 * MIB)
        .map(|extent| extent.writes)
        .sum();
    assert_eq!(in_hole, WRITES);
}

#[test]
fn each_extent_gets_its_own_requests() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("extents.img", 8 * MIB);
    write(&file, 2 * MIB, 1 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    // 3 in the hole before, 5 in the data, 7 across the end of the data.
    for (count, offset) in [(3, 0), (5, 2 * MIB), (7, 3 * MIB - BLOCK as u64)] {
        for _ in 0..count {
            io.read_exact_at(&mut buffer.0[..2 * BLOCK], offset)
                .expect("reads");
        }
    }
    let sample = settled(&mut live, &device);
    let reads_from = |start: u64, end: u64| -> (u64, u64) {
        let inside = sample
            .extent_counters
            .iter()
            .filter(|extent| (start..end).contains(&extent.start_bytes));
        inside.fold((0, 0), |sum, extent| {
            (sum.0 + extent.reads, sum.1 + extent.read_bytes)
        })
    };
    let block = BLOCK as u64;
    assert_eq!(reads_from(0, 2 * MIB), (3, 3 * 2 * block));
    assert_eq!(reads_from(2 * MIB, 3 * MIB), (5 + 7, (5 * 2 + 7) * block));
    assert_eq!(reads_from(3 * MIB, 8 * MIB), (7, 7 * block));
    assert!(
        sample.extent_counters.iter().all(|extent| extent
            .latency
            .0
            .iter()
            .map(|bucket| bucket.1)
            .sum::<u64>()
            <= extent.reads)
    );
}

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

fn assert_bypass(fs: &str) {
    if !root_or_skip() || !program_or_skip(&format!("mkfs.{fs}")) {
        return;
    }
    const COUNT: u64 = 97;
    const BYTES: u64 = COUNT * 16 * BLOCK as u64;
    let Some(image) = MountedImage::new(fs, 400, &[]) else {
        return;
    };
    let by_direct = bypass_of(image.path(), &direct(), COUNT).bypass;
    let request_bytes = 16 * BLOCK as u64;
    assert_completed_bytes(by_direct.direct_read_bytes, BYTES, request_bytes);
    assert_completed_bytes(by_direct.direct_write_bytes, BYTES, request_bytes);
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
    let bypass = bypass_of(image.path(), &direct(), COUNT).bypass;
    assert_completed_bytes(bypass.direct_read_bytes, BYTES, 16 * BLOCK as u64);
    assert!(bypass.derived);
    // Whether a checksummed direct write is direct is the kernel's choice; that it is one or the other is not.
    assert_eq!(
        bypass.direct_write_bytes + bypass.buffered_write_bytes,
        BYTES,
        "{bypass:?}"
    );
}

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

#[test]
fn offset_and_two_devices_are_kept_apart() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let (first, second) = (
        scratch.sparse("first.img", 8 * MIB),
        scratch.sparse("second.img", 8 * MIB),
    );
    // The data begins where the device does.
    write(&first, 2 * MIB, 1 << 20);
    let options = AttachOptions {
        offset_bytes: 2 * MIB,
        sizelimit_bytes: 4 * MIB,
        ..direct()
    };
    let (first, second) = (attached(&first, &options), attached(&second, &direct()));
    let mut live = watch(&[&first, &second]);
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    for (device, count) in [(&first, 13), (&second, 29)] {
        let io = open_direct(device.path());
        for _ in 0..count {
            io.read_exact_at(&mut buffer.0[..BLOCK], 0).expect("reads");
        }
    }
    let (one, two) = (settled(&mut live, &first), settled(&mut live, &second));
    assert_eq!(
        (
            one.ops[Op::Read.index()].submitted,
            two.ops[Op::Read.index()].submitted
        ),
        (13, 29)
    );
    assert_eq!(one.extents[0].state, rloop::sample::State::Written);
    assert_eq!(
        one.extents
            .iter()
            .map(|extent| extent.len_bytes)
            .sum::<u64>(),
        4 * MIB
    );
    assert_eq!(
        one.extent_counters
            .iter()
            .map(|extent| (extent.start_bytes, extent.reads))
            .collect::<Vec<_>>(),
        [(0, 13)]
    );
}

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

#[test]
fn a_device_that_goes_and_comes_again_starts_at_zero() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("again.img", 4 * MIB);
    let device = attached(&file, &direct());
    let mut live = Live::new(LiveOptions::default()).expect("watches all");
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    open_direct(device.path())
        .read_exact_at(&mut buffer.0[..BLOCK], 0)
        .expect("reads");
    let first = settled(&mut live, &device);
    assert!(first.ops[Op::Read.index()].submitted >= 1);
    let name = device.name().to_owned();
    drop(device);
    let sample = live
        .next()
        .expect("samples")
        .expect("a live source never ends");
    assert!(
        sample
            .devices
            .iter()
            .all(|device| device.instance != first.instance),
        "{name} is gone"
    );
    let device = attached(&file, &direct());
    let second = settled(&mut live, &device);
    assert_ne!(second.instance, first.instance);
    assert_eq!(second.ops[Op::Write.index()].submitted, 0);
    drop(open(device.path()));
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    if !root_or_skip() {
        return;
    }
    let Err(error) = Live::new(LiveOptions {
        devices: vec!["/dev/loop4095".to_owned()],
    }) else {
        panic!("a device that is not there is watched");
    };
    assert!(error.to_string().contains("/dev/loop4095"), "{error}");
}
