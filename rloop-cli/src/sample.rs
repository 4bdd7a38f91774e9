//! Raw counters at one instant. All counters only grow while a device keeps its `instance`.

mod rloop;
mod trace;

use std::{fmt, sync::Arc};

use rloop_common::op::OPS;
use serde::{Deserialize, Serialize};

pub use rloop::{Moved, RloopSample};
pub use trace::{Commit, CommitKind, Request, Route, Times, Traces};

/// Everything a [`Source`](crate::source::Source) knows at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Wall clock, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// Monotonic clock, nanoseconds.
    pub monotonic_ns: u64,
    /// The watched devices, by name in natural order (`loop2` before `loop10`).
    pub devices: Vec<DeviceSample>,
    /// Events that could not be recorded, since the start.
    pub lost: Lost,
    /// What the probes cost, since the start; `None` without the right to measure it.
    pub probe: Option<ProbeCost>,
    /// Processor time of this program since its start, nanoseconds.
    pub own_cpu_ns: u64,
    /// What no device can show on this kernel.
    pub unavailable: Vec<Unavailable>,
}

/// Events that were not recorded, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Requests whose completion was not seen.
    pub completions: u64,
    /// Events that found the ring buffer full.
    pub ring_events: u64,
    /// Probe runs the kernel refused because one was under way (`recursion_misses`).
    pub recursion: u64,
    /// Requests that belong to no known extent.
    pub unattributed: u64,
    /// Single requests and commits that were to be told of and found no room: they are counted all the same.
    pub traces: u64,
}

/// What the probes cost, estimated from sampled BPF statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCost {
    /// Program runs.
    pub runs: u64,
    /// Nanoseconds spent in them.
    pub run_ns: u64,
}

/// A number that this kernel, filesystem or set of rights cannot give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Which number, in the words of the screen.
    pub what: String,
    /// Why not, and what would help.
    pub why: String,
}

/// What kind of device it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The kernel's loop driver.
    #[default]
    Loop,
    /// rloop.ko.
    Rloop,
}

/// One watched device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceSample {
    /// Name without `/dev/`.
    pub name: String,
    /// Whose device it is.
    pub kind: Kind,
    /// Changes when the device is attached to another file, so that no delta crosses it.
    pub instance: u64,
    /// The file behind it.
    pub backing: Backing,
    /// What the driver says of itself and of what lies below.
    pub facts: Facts,
    /// Counters by [`Op`](rloop_common::Op).
    pub ops: [OpSample; OPS],
    /// Requests now in flight.
    pub in_flight: u64,
    /// Bios merged into a waiting request.
    pub merges: u64,
    /// Where the time of requests went.
    pub split: SplitSample,
    /// Bytes by path.
    pub bypass: BypassSample,
    /// Fills, conversions and punches.
    pub holes: HolesSample,
    /// Commits of the backing filesystem that the device's flushes waited for.
    pub commits: CommitsSample,
    /// Pages of the backing file in memory.
    pub backing_cached_pages: Option<u64>,
    /// Pages of the device itself in memory.
    pub device_cached_pages: Option<u64>,
    /// The mapping of the part of the file that the device shows, in order of `start_bytes`.
    pub extents: Arc<Vec<Extent>>,
    /// How many of them are data, and their bytes: a million of them are not counted again for each
    /// frame.
    pub data: DataExtents,
    /// Counters of the extents that were ever touched, in order of `start_bytes`.
    pub extent_counters: Vec<ExtentCounters>,
    /// How many neighbouring extents share one set of counters; 1 if none do.
    pub extents_per_cell: u32,
    /// Who submitted requests to it, most bytes first.
    pub submitters: Vec<Submitter>,
    /// What only devices of rloop have.
    pub rloop: Option<RloopSample>,
    /// Single requests and commits that ended since the sample before.
    pub traces: Traces,
    /// What cannot be shown for this device.
    pub unavailable: Vec<Unavailable>,
}

/// The file behind a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// Its path, as the kernel tells it now.
    pub path: String,
    /// The path was deleted while the device was attached.
    pub deleted: bool,
    /// Filesystem type, such as `ext4`.
    pub fs: String,
    /// Device number of the filesystem, `major:minor`.
    pub dev: String,
    /// Inode number.
    pub ino: u64,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Bytes of the file that are allocated.
    pub allocated_bytes: u64,
    /// The filesystem's free bytes.
    pub fs_free_bytes: u64,
    /// The filesystem's size in bytes.
    pub fs_size_bytes: u64,
}

/// What the driver says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Direct I/O in effect, as the driver claims.
    pub claims_direct: bool,
    /// Where the device starts in the file.
    pub offset_bytes: u64,
    /// Where it ends, 0 for the file's end.
    pub sizelimit_bytes: u64,
    /// Size of the device.
    pub size_bytes: u64,
    /// Its logical block size.
    pub logical_block_bytes: u32,
    /// Alignment that the file asks of direct I/O (`STATX_DIOALIGN`), if it says.
    pub dio_align_bytes: Option<u32>,
    /// The device refuses writes.
    pub read_only: bool,
    /// Loop devices below this one.
    pub nesting: u32,
}

/// Counters of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpSample {
    /// Requests submitted.
    pub submitted: u64,
    /// Bytes of the submitted requests.
    pub bytes: u64,
    /// Requests whose completion was seen.
    pub completed: u64,
    /// Requests whose completion was not seen and never will be.
    pub lost: u64,
    /// Completions with an error.
    pub errors: u64,
    /// Requests handed back by the driver.
    pub requeued: u64,
    /// The longest ever, nanoseconds.
    pub max_ns: u64,
    /// Start to completion, `Fine` buckets.
    pub total: Buckets,
    /// Start to issue, `Coarse` buckets.
    pub queue: Buckets,
    /// Issue to completion, `Coarse` buckets.
    pub service: Buckets,
}

/// A histogram: (bucket, count) of the buckets that are not empty, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets(pub Vec<(u16, u64)>);

/// Sums of the parts of reads and writes, nanoseconds. At high rates one of many requests is split and
/// stands for them all: everything but `sampled` counts it that many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSample {
    /// How many requests were split, or stand behind one that was.
    pub requests: u64,
    /// How many were split.
    pub sampled: u64,
    /// Of `requests`, those that went through the page cache: their parts are derived from when the
    /// driver's worker was done with the request before, and their time on the disk is in the
    /// filesystem's.
    pub derived: u64,
    /// Waiting to be issued.
    pub queue_ns: u64,
    /// Waiting for, and in, the worker.
    pub worker_ns: u64,
    /// In the filesystem.
    pub filesystem_ns: u64,
    /// On the disk below.
    pub disk_ns: u64,
}

/// Bytes of the backing file by path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassSample {
    /// Read by direct I/O.
    pub direct_read_bytes: u64,
    /// Written by direct I/O.
    pub direct_write_bytes: u64,
    /// Read through the page cache.
    pub buffered_read_bytes: u64,
    /// Written through the page cache.
    pub buffered_write_bytes: u64,
    /// The buffered bytes are derived, not counted.
    pub derived: bool,
}

/// What happened to holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolesSample {
    /// Allocations for the file.
    pub fills: u64,
    /// Bytes allocated.
    pub fill_bytes: u64,
    /// Unwritten ranges converted.
    pub conversions: u64,
    /// Bytes converted.
    pub conversion_bytes: u64,
    /// Ranges punched.
    pub punches: u64,
    /// Bytes punched.
    pub punched_bytes: u64,
}

/// Commits of the backing filesystem that the device's flushes waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsSample {
    /// How many, counted where they are made. There may be fewer durations: ends can be lost.
    pub count: u64,
    /// Sum of the durations, nanoseconds.
    pub total_ns: u64,
    /// The longest, nanoseconds.
    pub max_ns: u64,
    /// Durations, `Fine` buckets.
    pub durations: Buckets,
}

/// State of an extent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Has data on disk.
    #[default]
    Written,
    /// Has blocks, reads as zeros.
    Unwritten,
    /// Has no blocks, reads as zeros.
    Hole,
    /// rloop: is being filled.
    Filling,
    /// rloop: has data on disk that the filesystem was not told of yet.
    Filled,
    /// rloop: not in the extent map, so that I/O here begins with a worker.
    Absent,
}

impl State {
    /// The name used on screen and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unwritten => "unwritten",
            Self::Hole => "hole",
            Self::Filling => "filling",
            Self::Filled => "filled",
            Self::Absent => "absent",
        }
    }

    /// Whether there are blocks for it, as far as is known.
    pub fn has_blocks(self) -> bool {
        !matches!(self, Self::Hole | Self::Absent)
    }
}

/// One extent; offsets are of the device (the loop offset is already taken off).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where it starts on the device.
    pub start_bytes: u64,
    /// Its length.
    pub len_bytes: u64,
    /// Where it lies on the filesystem's disk; `None` for holes and where the filesystem hides it.
    pub disk_offset_bytes: Option<u64>,
    /// Its state.
    pub state: State,
}

/// The extents of a mapping that have blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataExtents {
    /// How many pieces they are on the disk: neighbours there that differ in their state only are one, where that is known.
    pub count: u64,
    /// Their length together.
    pub bytes: u64,
}

impl DataExtents {
    /// Counts them.
    pub fn of(extents: &[Extent]) -> Self {
        let mut end = None;
        let data = extents.iter().filter(|extent| extent.state.has_blocks());
        data.fold(Self::default(), |sum, extent| {
            let goes_on = end.is_some() && extent.disk_offset_bytes == end;
            end = extent.disk_offset_bytes.map(|at| at + extent.len_bytes);
            Self {
                count: sum.count + u64::from(!goes_on),
                bytes: sum.bytes + extent.len_bytes,
            }
        })
    }
}

/// Counters of one extent, or of neighbours that share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentCounters {
    /// The first extent's start.
    pub start_bytes: u64,
    /// Reads that touched it.
    pub reads: u64,
    /// Writes that touched it.
    pub writes: u64,
    /// Bytes read from it.
    pub read_bytes: u64,
    /// Bytes written to it.
    pub write_bytes: u64,
    /// The longest request that touched it, nanoseconds.
    pub max_ns: u64,
    /// Latency of requests that touched it, `Coarse` buckets. Shared with the sample before for as long
    /// as nothing is added.
    pub latency: Arc<Buckets>,
}

/// A cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The kernel's number for it.
    pub id: u64,
    /// Its path below the root of the cgroup filesystem; `None` if it was gone too soon, or if that
    /// filesystem is not mounted.
    pub path: Option<String>,
}

impl fmt::Display for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => f.write_str(path),
            None => write!(f, "cgroup {}", self.id),
        }
    }
}

/// A process that submitted requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitter {
    /// Process number.
    pub pid: u32,
    /// Its name.
    pub command: String,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Requests.
    pub requests: u64,
    /// Bytes.
    pub bytes: u64,
}
