//! Watching, and the I/O of known size and number that is watched.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
    time::Duration,
};

use rloop::{
    device::control::{AttachOptions, Attached},
    sample::DeviceSample,
    source::{
        Source as _,
        live::{Live, LiveOptions},
    },
};
use rloop_common::Op;

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
pub fn watch(devices: &[&Attached]) -> Live {
    let devices = devices
        .iter()
        .map(|device| device.name().to_owned())
        .collect();
    Live::new(LiveOptions { devices }).expect("watches")
}

/// The device's counters once nothing is in flight any more.
pub fn settled(live: &mut Live, device: &Attached) -> DeviceSample {
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

/// Direct I/O is counted where it completes, so a machine that loses completions loses those bytes:
/// never more than were moved, and at most a few requests less.
pub fn assert_completed_bytes(counted: u64, moved: u64, request_bytes: u64) {
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
pub fn kernel_counts(device: &Attached) -> [u64; 4] {
    let stat =
        fs::read_to_string(format!("/sys/block/{}/stat", device.name())).expect("statistics");
    let fields: Vec<u64> = stat
        .split_whitespace()
        .map(|field| field.parse().expect("a number"))
        .collect();
    [fields[0], fields[2], fields[4], fields[6]]
}
