//! Watching, and the I/O of known size and number that is watched.

use std::{
    fs::{self, File, OpenOptions},
    os::fd::AsRawFd as _,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::Duration,
};

use rloop::{
    device::control::{AttachOptions, Attached},
    model::derive,
    sample::{DeviceSample, OpSample, Sample, State},
    source::{
        Source as _,
        live::{Live, LiveOptions},
    },
};
use rloop_common::Op;
use serde_json::Value;

use super::Named;

/// The size of one known request.
pub const BLOCK: usize = 4096;
/// One MiB.
pub const MIB: u64 = 1 << 20;

/// A buffer that direct I/O takes.
#[repr(align(4096))]
pub struct Aligned(pub [u8; 16 * BLOCK]);

/// Asks for direct I/O.
pub fn direct() -> AttachOptions {
    AttachOptions {
        direct_io: true,
        ..AttachOptions::default()
    }
}

/// Opens a file or device for direct I/O.
pub fn open_direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .expect("opens for direct I/O")
}

/// Watches these devices and no others.
pub fn watch(devices: &[&impl Named]) -> Live {
    let devices = devices
        .iter()
        .map(|device| device.name().to_owned())
        .collect();
    Live::new(LiveOptions {
        devices,
        ..LiveOptions::default()
    })
    .expect("watches")
}

/// Takes a sample.
pub fn sampled(live: &mut Live) -> Sample {
    let sample = live.next().expect("samples");
    sample.expect("a live source never ends")
}

/// A device's part of a sample.
pub fn of<'a>(sample: &'a Sample, device: &impl Named) -> &'a DeviceSample {
    let found = sample.devices.iter().find(|d| d.name == device.name());
    found.expect("is watched")
}

/// A sample once nothing is in flight on the device any more.
pub fn settled_sample(live: &mut Live, device: &impl Named) -> Sample {
    for _ in 0..50 {
        // A request has ended for its reader, and for the probes, before it has for the statistics.
        let in_flight = kernel_stat(device)[8] + of(&sampled(live), device).in_flight;
        if in_flight == 0 {
            // Counters of extents follow those of the device.
            thread::sleep(Duration::from_millis(50));
            return sampled(live);
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("requests stay in flight on {}", device.name());
}

/// The device's counters once nothing is in flight any more.
pub fn settled(live: &mut Live, device: &impl Named) -> DeviceSample {
    of(&settled_sample(live, device), device).clone()
}

/// What `--json` prints of the time between two samples: the whole line.
pub fn json(older: &Sample, newer: &Sample) -> Value {
    let line = rloop::export::json::line(&derive(older, newer));
    serde_json::from_str(&line).expect("is JSON")
}

/// The device's part of such a line.
pub fn json_of(line: &Value, device: &impl Named) -> Value {
    let devices = line["devices"].as_array().expect("a list");
    let found = devices.iter().find(|d| d["name"] == device.name());
    found.expect("is in the line").clone()
}

/// The findings' names in a device's part.
pub fn findings(device: &Value) -> Vec<String> {
    let findings = device["findings"].as_array().expect("a list");
    let id = |finding: &Value| finding["id"].as_str().expect("a name").to_owned();
    findings.iter().map(id).collect()
}

/// Reads one block at each of these offsets, by direct I/O.
pub fn read_blocks(device: &Path, offsets: impl Iterator<Item = u64>) {
    let io = open_direct(device);
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    for offset in offsets {
        io.read_exact_at(&mut buffer.0[..BLOCK], offset)
            .expect("reads");
    }
}

/// Writes one block at each of these offsets, by direct I/O; nothing is synced.
pub fn write_blocks(device: &Path, offsets: impl Iterator<Item = u64>) {
    let io = open_direct(device);
    let buffer = Box::new(Aligned([0xa5; 16 * BLOCK]));
    for offset in offsets {
        io.write_all_at(&buffer.0[..BLOCK], offset).expect("writes");
    }
}

/// How many of an operation were submitted between two samples of a device.
pub fn submitted(before: &DeviceSample, after: &DeviceSample, op: Op) -> u64 {
    after.ops[op.index()].submitted - before.ops[op.index()].submitted
}

/// (reads, writes) of the extents that start in each of the stretches that start here; the last one goes
/// on to the end. Where else a filesystem cuts a file into extents is its own choice.
pub fn counted<const STRETCHES: usize>(
    sample: &DeviceSample,
    starts: [u64; STRETCHES],
) -> [(u64, u64); STRETCHES] {
    let mut counted = [(0, 0); STRETCHES];
    for extent in &sample.extent_counters {
        let stretch = starts.partition_point(|&start| start <= extent.start_bytes);
        let (reads, writes) = &mut counted[stretch - 1];
        *reads += extent.reads;
        *writes += extent.writes;
    }
    counted
}

/// (start, length, state) of the extents, neighbours of one state put together.
pub fn shape(sample: &DeviceSample) -> Vec<(u64, u64, State)> {
    let mut shape: Vec<(u64, u64, State)> = Vec::new();
    for extent in sample.extents.iter() {
        let (start, len, state) = (extent.start_bytes, extent.len_bytes, extent.state);
        match shape.last_mut() {
            Some(last) if last.2 == state => last.1 += len,
            _ => shape.push((start, len, state)),
        }
    }
    shape
}

/// Every request completed, seen or not.
pub fn assert_nothing_vanished(sample: &DeviceSample) {
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

/// What is counted where requests complete is less on a machine that loses completions: about as many
/// as requests of that operation were lost.
pub fn assert_completed(counted: u64, happened: u64, op: &OpSample) {
    let most_lost = 8 + 2 * op.lost;
    assert!(
        counted <= happened && happened - counted <= most_lost,
        "{counted} counted of {happened}, and {} lost",
        op.lost
    );
}

/// As [`assert_completed`], for the bytes of requests of one size.
pub fn assert_completed_bytes(counted: u64, moved: u64, request_bytes: u64, op: &OpSample) {
    assert_eq!((moved - counted.min(moved)) % request_bytes, 0);
    assert_completed(counted.div_ceil(request_bytes), moved / request_bytes, op);
}

/// The device's `stat` file: `Documentation/block/stat.rst` of the kernel names the fields.
pub fn kernel_stat(device: &impl Named) -> Vec<u64> {
    let path = format!("/sys/block/{}/stat", device.name());
    let stat = fs::read_to_string(path).expect("statistics");
    let fields = stat.split_whitespace();
    fields
        .map(|field| field.parse().expect("a number"))
        .collect()
}

/// (reads, sectors read, writes, sectors written) as the kernel counts them.
pub fn kernel_counts(device: &Attached) -> [u64; 4] {
    let fields = kernel_stat(device);
    [fields[0], fields[2], fields[4], fields[6]]
}

/// Freezes a filesystem until dropped.
pub struct Frozen(File);

impl Frozen {
    /// Freezes the filesystem mounted on this folder.
    pub fn new(mount: &Path) -> Self {
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
