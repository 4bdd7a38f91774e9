//! What only rloop devices have: their kernel module tells of every request which way it went.

use crate::op::OPS;

/// The version of the module's tracepoints that the probes know (`RLOOP_TRACE_VERSION` in
/// `kernel-module/rloop_trace.h`).
pub const TRACE_VERSION: u32 = 2;

/// A device of the module, by its minor number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Watched {
    /// Where in its file it begins: the module tells offsets of the file.
    pub offset_bytes: u64,
    /// Since when it is watched, nanoseconds of the monotonic clock: what began before was not counted. 0 once all of
    /// that has ended.
    pub since_ns: u64,
    /// Its device slot plus one; 0 if it is not watched.
    pub slot: u32,
    /// Zero.
    pub unused: u32,
}

/// Requests, or parts of them where extents end, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moved {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Bytes of requests that went through the filesystem and were done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Path {
    /// Read or written past the page cache, as far as the filesystem told.
    pub direct_bytes: u64,
    /// Through the page cache.
    pub buffered_bytes: u64,
}

/// Why a worker had to look at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Nothing is known of the range.
    Absent = 0,
    /// It has no data yet.
    NoData = 1,
    /// The filesystem is frozen.
    Frozen = 2,
    /// Something has to be made durable first.
    Dirty = 3,
    /// It changes the file's blocks.
    Changes = 4,
}

/// How many kinds of [`Reason`] there are.
pub const REASONS: usize = 5;

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; REASONS] = [
        Self::Absent,
        Self::NoData,
        Self::Frozen,
        Self::Dirty,
        Self::Changes,
    ];

    /// The name used on screen and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NoData => "no_data",
            Self::Frozen => "frozen",
            Self::Dirty => "dirty",
            Self::Changes => "changes",
        }
    }
}

/// A device's counters on one CPU, beside those that all devices have.
///
/// What went straight to the disk is not counted apart, as that is where an instruction more costs
/// something: it is what is left of all requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rloop {
    /// Reads answered with zeros, without I/O.
    pub zero: Moved,
    /// Requests that went through the filesystem, by [`Op`](crate::Op).
    pub vfs: [Moved; OPS],
    /// How the bytes of reads went through the filesystem, and of writes.
    pub paths: [Path; 2],
    /// How long requests waited for a worker that then went to the disk.
    pub wait_ns: u64,
    /// Requests that a worker had to look at, by [`Reason`].
    pub reasons: [u64; REASONS],
    /// Fills whose data was written.
    pub fills: Moved,
    /// Time of these, from when the driver got them.
    pub fill_ns: u64,
    /// Fills that are durable.
    pub durable_fills: u64,
    /// Times that the filesystem was told of fills, or synced the file.
    pub commits: u64,
    /// Of these, those that made fills durable.
    pub group_commits: u64,
    /// Those that failed.
    pub commit_errors: u64,
    /// Fills that they made durable.
    pub committed_fills: u64,
    /// How long they took all together.
    pub commit_ns: u64,
    /// Times that the mapping was given back.
    pub recalls: u64,
    /// How long that took.
    pub recall_ns: u64,
    /// The longest of them.
    pub recall_max_ns: u64,
    /// Writes that had to drop cached pages of the file.
    pub invalidations: u64,
    /// Changes of the extent map.
    pub map_changes: u64,
}

impl Rloop {
    /// Adds the counters of another CPU.
    pub fn add(&mut self, other: &Self) {
        self.zero.add(other.zero);
        for (sum, other) in self.vfs.iter_mut().zip(other.vfs) {
            sum.add(other);
        }
        for (sum, other) in self.paths.iter_mut().zip(other.paths) {
            sum.direct_bytes += other.direct_bytes;
            sum.buffered_bytes += other.buffered_bytes;
        }
        for (sum, other) in self.reasons.iter_mut().zip(other.reasons) {
            *sum += other;
        }
        self.wait_ns += other.wait_ns;
        self.fills.add(other.fills);
        self.fill_ns += other.fill_ns;
        self.durable_fills += other.durable_fills;
        self.commits += other.commits;
        self.group_commits += other.group_commits;
        self.commit_errors += other.commit_errors;
        self.committed_fills += other.committed_fills;
        self.commit_ns += other.commit_ns;
        self.recalls += other.recalls;
        self.recall_ns += other.recall_ns;
        self.recall_max_ns = self.recall_max_ns.max(other.recall_max_ns);
        self.invalidations += other.invalidations;
        self.map_changes += other.map_changes;
    }
}

impl Moved {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

const _: () = assert!(size_of::<Watched>() == 24);
const _: () = assert!(size_of::<Rloop>() == 16 + 16 * OPS + 32 + 8 * REASONS + 16 + 8 * 13);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Watched {}
