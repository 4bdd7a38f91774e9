//! Single requests and commits, of which chains are made.

use rloop_common::Op;
use serde::{Deserialize, Serialize};

/// What ended on a device since the sample before, in order.
///
/// Of requests these are some of many, those that were slower than others at their time, and all that make others
/// durable. Commits are all those that were seen to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// Requests, or of an rloop device parts of them where extents end.
    pub requests: Vec<Request>,
    /// Commits.
    pub commits: Vec<Commit>,
}

/// A request that is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number among the device's, from 1.
    pub id: u64,
    /// Number of its [`Op`].
    pub op: u8,
    /// Where it begins on the device.
    pub offset_bytes: u64,
    /// Its length.
    pub bytes: u64,
    /// It ended with an error.
    pub failed: bool,
    /// Which way it went.
    pub route: Route,
    /// What was done before it is durable when it is done.
    pub flushes: bool,
    /// Its own data is durable when it is done.
    pub durable: bool,
    /// rloop: it filled a range that had no data.
    pub fills: bool,
    /// The process that submitted it, if that is known.
    pub pid: Option<u32>,
    /// That one's name, if it is known.
    pub command: Option<String>,
    /// rloop: where on the device the extent began that it was found in.
    pub extent_start_bytes: Option<u64>,
    /// Where on the disk below its first I/O was, in sectors of 512 bytes.
    pub sector: Option<u64>,
    /// When it was where.
    pub times: Times,
}

impl Request {
    /// Its operation.
    pub fn op(&self) -> Op {
        let ops = Op::ALL.get(usize::from(self.op));
        ops.copied().unwrap_or(Op::Read)
    }

    /// How long it took, nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.times.done_ns.saturating_sub(self.times.start_ns)
    }
}

/// Which way a request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// It was not seen.
    #[default]
    Unknown,
    /// Through the filesystem, by direct I/O.
    Direct,
    /// Through the filesystem and its page cache.
    Buffered,
    /// rloop: straight to the disk.
    Disk,
    /// rloop: nowhere, a read answered with zeros.
    Zeros,
}

/// When a request was where, nanoseconds of the monotonic clock; `None` where that was not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// It began.
    pub start_ns: u64,
    /// The driver got it.
    pub issue_ns: Option<u64>,
    /// The filesystem got it.
    pub filesystem_ns: Option<u64>,
    /// That time is derived: a worker serves buffered requests one by one, so it began when the one before ended.
    pub filesystem_derived: bool,
    /// Its first I/O began on the disk.
    pub disk_start_ns: Option<u64>,
    /// The last of that ended.
    pub disk_end_ns: Option<u64>,
    /// It was done.
    pub done_ns: u64,
}

/// A commit of the filesystem below that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its number among those told of the device, from 1.
    pub id: u64,
    /// What it was.
    pub kind: CommitKind,
    /// When it began, nanoseconds of the monotonic clock.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// When the filesystem got the flush that waited for it; `None` where the kernel module tells of it, which makes
    /// commits without flushes, too.
    pub flush_ns: Option<u64>,
    /// rloop: fills that it made durable.
    pub fills: u64,
    /// It failed.
    pub failed: bool,
    /// rloop: what it made durable, where on the device and how long; only of fills on disk.
    pub ranges: Vec<(u64, u64)>,
}

/// What a commit was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitKind {
    /// The filesystem's own, because a flush of the device waited for it.
    #[default]
    Journal,
    /// rloop: the file was synced.
    Sync,
    /// rloop: the filesystem was told of blocks that were filled on the disk.
    Layout,
}
