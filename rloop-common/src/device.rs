//! The counters of one device, one block per CPU.

use crate::bucket::{COARSE_BUCKETS, FINE_BUCKETS};
use crate::chain::Tracing;
use crate::extent::Found;
use crate::op::OPS;
use crate::rloop::Rloop;
use crate::who::{RECENTS, Recent};

/// Counters of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OpCounters {
    /// Requests submitted.
    pub submitted: u64,
    /// Bytes of the submitted requests.
    pub submitted_bytes: u64,
    /// Requests whose completion was seen.
    pub completed: u64,
    /// Requests whose slot was still open when its tag was issued again: completions not seen.
    pub lost: u64,
    /// Completed requests that carried an error.
    pub errors: u64,
    /// Requests handed back to the queue by the driver.
    pub requeued: u64,
    /// The longest of them since the device is watched, nanoseconds.
    pub max_ns: u64,
}

/// Where the time of requests went. At high rates one of many is split and stands for them all: all
/// but `sampled` count it that many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Split {
    /// Requests that were split, or that one of those that were stands for.
    pub requests: u64,
    /// Requests that were split.
    pub sampled: u64,
    /// Of `requests`, those that went through the page cache: derived, because the filesystem does not
    /// tell when it got them. A worker serves them one by one, so it began with one when it had ended
    /// the one before. Their time on the disk is in the filesystem's.
    pub derived: u64,
    /// From the start of the request to its issue to the driver.
    pub queue_ns: u64,
    /// From issue until the filesystem got it: waiting for, and in, the worker.
    pub worker_ns: u64,
    /// In the filesystem, less the time on the disk below.
    pub filesystem_ns: u64,
    /// From the first request on the disk below to the last completion there.
    pub disk_ns: u64,
}

/// Mark of a loop device that the file of a watched one lies on.
pub const BELOW: u32 = 1 << 16;

/// Which requests are split: at low rates all, at high rates one of `every`, chosen at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sampling {
    /// Number of the window of time that `seen` counts in.
    pub window: u64,
    /// Requests submitted in it so far.
    pub seen: u32,
    /// One of how many is split in it.
    pub every: u32,
    /// How many are left of the `every` of which one is split.
    pub left: u32,
    /// How many are left when it is that one's turn.
    pub turn: u32,
}

/// A window is `2^WINDOW_BITS` ticks of the kernel long: 64 ms where it ticks 250 times a second.
pub const WINDOW_BITS: u32 = 4;

/// At most so many requests are split in a window, on each processor, while the rate is steady.
pub const SPLIT_PER_WINDOW: u32 = 64;

/// How the bytes of the backing file went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Bypass {
    /// Bytes read by direct I/O.
    pub direct_read_bytes: u64,
    /// Bytes written by direct I/O.
    pub direct_write_bytes: u64,
    /// Bytes read through the page cache.
    pub buffered_read_bytes: u64,
    /// Bytes written through the page cache.
    pub buffered_write_bytes: u64,
}

/// What happened to the holes of the backing file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Holes {
    /// Allocations of blocks for the file.
    pub fills: u64,
    /// Bytes allocated by them.
    pub fill_bytes: u64,
    /// Unwritten ranges converted to written.
    pub conversions: u64,
    /// Bytes converted.
    pub conversion_bytes: u64,
    /// Ranges punched out.
    pub punches: u64,
    /// Bytes punched out.
    pub punched_bytes: u64,
}

/// Everything counted for one device on one CPU.
///
/// Probes add atomically: a program can be preempted by another one on the same CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DeviceBlock {
    /// By [`Op`](crate::Op).
    pub ops: [OpCounters; OPS],
    /// Where the time of reads and writes went.
    pub split: Split,
    /// Which of them are split.
    pub sampling: Sampling,
    /// Which requests are told of one by one.
    pub tracing: Tracing,
    /// What the probes last looked up in the extent table.
    pub found: Found,
    /// The octave of the last latency: most have the same.
    pub octave: u64,
    /// Who submitted of late.
    pub recent: [Recent; RECENTS],
    /// Bytes by path.
    pub bypass: Bypass,
    /// Hole fills, conversions and punches.
    pub holes: Holes,
    /// Bios merged into a request that was already there.
    pub merges: u64,
    /// Requests that touched more extents than are attributed, or none that is known.
    pub unattributed: u64,
    /// Requests of whose issue the kernel does not tell when it was, of those where somebody asks.
    pub untold: u64,
    /// Commits of the filesystem below that a flush of the device waited for.
    pub commits: u64,
    /// What only devices of rloop count.
    pub rloop: Rloop,
    /// Start to completion, [`Fine`](crate::bucket::Fine) buckets.
    pub total: [[u32; FINE_BUCKETS]; OPS],
    /// Start to issue, [`Coarse`](crate::bucket::Coarse) buckets. Of reads and writes only those that
    /// are split are here, each as often as it counts there.
    pub queue: [[u32; COARSE_BUCKETS]; OPS],
    /// Issue to completion, of the same ones.
    pub service: [[u32; COARSE_BUCKETS]; OPS],
}

const _: () = assert!(size_of::<OpCounters>() == 56);
const _: () = assert!(
    size_of::<DeviceBlock>()
        == 5 * 56
            + 56
            + 24
            + 24
            + 32
            + 8
            + 48 * RECENTS
            + 32
            + 48
            + 32
            + size_of::<Rloop>()
            + 4 * 5 * (2048 + 288)
);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for DeviceBlock {}
