//! What two samples mean: rates, percentiles and findings. The only place they are computed.

pub mod chain;
mod derive;
mod extents;
mod findings;
mod frames;
mod latency;
mod rloop;
mod share;
mod unknown;

use std::sync::Arc;

pub use chain::Chains;
pub use derive::derive;
pub(crate) use extents::gallop;
pub use frames::Frames;
pub use rloop::{RloopFrame, Ways};
pub use share::Percent;
pub use unknown::Told;

use rloop_common::op::OPS;
use serde::Serialize;

use crate::sample::{
    Backing, BypassSample, DataExtents, Extent, Facts, HolesSample, Kind, Lost, ProbeCost,
    SplitSample, State, Submitter, Unavailable,
};

/// Everything a view or an exporter draws, for one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Wall clock at the interval's end, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// Length of the interval.
    pub interval_ns: u64,
    /// Events lost in the interval.
    pub lost: Lost,
    /// Events lost since the start.
    pub lost_since_start: Lost,
    /// Cost of the probes in the interval.
    pub probe: Option<ProbeCost>,
    /// This program's processor time in the interval, nanoseconds.
    pub own_cpu_ns: u64,
    /// The devices, in the sample's order.
    pub devices: Vec<DeviceFrame>,
    /// What no device can show.
    pub unavailable: Vec<Unavailable>,
}

/// How requests reach the disk, measured where there was something to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Through the page cache of the backing file.
    #[default]
    Buffered,
    /// By direct I/O.
    Direct,
    /// Both in the interval.
    Mixed,
    /// rloop: straight to the disk, by the filesystem's layouts.
    Layout,
    /// rloop: straight to the disk, by block numbers.
    Bmap,
    /// rloop: through the filesystem.
    Vfs,
}

impl Mode {
    /// The name used on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Direct => "direct",
            Self::Mixed => "mixed",
            Self::Layout => "layout",
            Self::Bmap => "bmap",
            Self::Vfs => "vfs",
        }
    }
}

/// One device in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceFrame {
    /// Name without `/dev/`.
    pub name: String,
    /// Whose device it is.
    pub kind: Kind,
    /// See [`DeviceSample::instance`](crate::sample::DeviceSample::instance).
    pub instance: u64,
    /// The file behind it.
    pub backing: Backing,
    /// What the driver says of itself.
    pub facts: Facts,
    /// What was measured; with nothing measured in the interval, what the driver claims. Of a device of rloop: who
    /// maps it.
    pub mode: Mode,
    /// `mode` was measured in this interval, or is one of rloop's.
    pub mode_measured: bool,
    /// By [`Op`](rloop_common::Op).
    pub ops: [OpFrame; OPS],
    /// All data operations together (no flushes), percentiles merged from the histograms.
    pub all: OpFrame,
    /// Requests in flight at the interval's end.
    pub in_flight: u64,
    /// Bios merged.
    pub merges: u64,
    /// Where the time went, sums over the interval.
    pub split: SplitSample,
    /// Bytes by path in the interval.
    pub bypass: BypassSample,
    /// Direct bytes of all bytes, 0 to 1; `None` when there were none.
    pub bypass_ratio: Option<f64>,
    /// Fills, conversions and punches in the interval.
    pub holes: HolesSample,
    /// The filesystem tells of no punches: they are the device's discards.
    pub punches_derived: bool,
    /// Commits in the interval.
    pub commits: CommitsFrame,
    /// Pages of the backing file in memory.
    pub backing_cached_pages: Option<u64>,
    /// Pages of the device in memory.
    pub device_cached_pages: Option<u64>,
    /// The extents of the device.
    pub extents: Arc<Vec<Extent>>,
    /// Those of them that are data.
    pub data: DataExtents,
    /// The extents touched in the interval, in order of `start_bytes`.
    pub touched: Vec<ExtentFrame>,
    /// How many neighbouring extents share counters.
    pub extents_per_cell: u32,
    /// Who submitted in the interval, most bytes first.
    pub submitters: Vec<Submitter>,
    /// What only devices of rloop have.
    pub rloop: Option<RloopFrame>,
    /// Requests and commits that were traced, and what links them: of this interval, and those kept of before if
    /// the frame is one of [`Frames`].
    pub chains: Chains,
    /// What is wrong and what to do.
    pub findings: Vec<Finding>,
    /// What cannot be shown for this device.
    pub unavailable: Vec<Unavailable>,
}

impl DeviceFrame {
    /// Requests of the interval that were done.
    pub fn completed(&self) -> u64 {
        self.ops.iter().map(|op| op.completed).sum()
    }
}

/// One operation in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpFrame {
    /// Requests submitted.
    pub ops: u64,
    /// Bytes submitted.
    pub bytes: u64,
    /// Completions seen.
    pub completed: u64,
    /// Completions lost.
    pub lost: u64,
    /// Completions with an error.
    pub errors: u64,
    /// Requests requeued.
    pub requeued: u64,
    /// Latency from start to completion.
    pub total: Latency,
    /// From start to issue.
    pub queue: Latency,
    /// From issue to completion.
    pub service: Latency,
}

/// A latency distribution. A percentile with too few events behind it is `None`:
/// p50 and p90 need 1 and 10, p99 needs 100, p99.9 needs 1000.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Events.
    pub count: u64,
    /// Mean, nanoseconds.
    pub mean_ns: Option<u64>,
    /// Half are faster.
    pub p50_ns: Option<u64>,
    /// 90 % are faster.
    pub p90_ns: Option<u64>,
    /// 99 % are faster.
    pub p99_ns: Option<u64>,
    /// 99.9 % are faster.
    pub p999_ns: Option<u64>,
    /// The slowest: the midpoint of its bucket, or the true maximum where that is less.
    pub max_ns: Option<u64>,
    /// (nanoseconds, count) of the buckets that are not empty, in order: for heat maps.
    pub buckets: Vec<(u64, u64)>,
}

/// Commits of the backing filesystem that the device's flushes waited for in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitsFrame {
    /// How many.
    pub count: u64,
    /// Their durations, as far as their ends were seen.
    pub duration: Latency,
    /// The filesystem tells no end: it is that of the flush request.
    pub derived: bool,
}

/// An extent that was touched in the interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtentFrame {
    /// Where it starts on the device.
    pub start_bytes: u64,
    /// Its length (of the first, where neighbours share counters).
    pub len_bytes: u64,
    /// Where it lies on the disk.
    pub disk_offset_bytes: Option<u64>,
    /// Its state now.
    pub state: State,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Latency of the requests that touched it.
    pub latency: Latency,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs performance.
    Warning,
    /// Costs data or stops work.
    Critical,
}

/// Something that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name, such as `direct-not-in-effect`.
    pub id: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and why it matters, with the numbers.
    pub what: String,
    /// The command that mends it.
    pub remedy: String,
}
