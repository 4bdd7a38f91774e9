//! What only devices of rloop have.

use rloop_common::{op::OPS, rloop::REASONS};
use serde::{Deserialize, Serialize};

use super::Submitter;

/// How an rloop device is mapped now, and what its module counted.
///
/// Each request, or part of one where an extent ends, goes straight to the disk, is answered with zeros,
/// or goes through the filesystem; the first are those that are in neither `zero` nor `vfs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RloopSample {
    /// Who maps: `layout`, `bmap` or `vfs`.
    pub provider: String,
    /// Why it is not a better one; `best` if it is.
    pub why: String,
    /// How holes are filled: `vfs` or `layout`.
    pub fill: String,
    /// When fills are made durable: `flush` or `each`.
    pub commit: String,
    /// The first error that lost something, as a positive errno; 0 if there was none.
    pub errno: u32,
    /// Reads answered with zeros, without I/O.
    pub zero: Moved,
    /// Requests through the filesystem, by [`Op`](rloop_common::Op).
    pub vfs: [Moved; OPS],
    /// Requests that a worker had to look at, by [`Reason`](rloop_common::rloop::Reason).
    pub reasons: [u64; REASONS],
    /// Fills whose data was written.
    pub fills: Moved,
    /// Sum of their latencies, nanoseconds.
    pub fill_ns: u64,
    /// Fills that are durable.
    pub durable_fills: u64,
    /// Commits that made fills durable. All commits are in
    /// [`DeviceSample::commits`](super::DeviceSample::commits).
    pub group_commits: u64,
    /// Fills that they made durable.
    pub committed_fills: u64,
    /// Commits that failed.
    pub commit_errors: u64,
    /// Times that the mapping was given back.
    pub recalls: u64,
    /// Sum of how long that took, nanoseconds.
    pub recall_ns: u64,
    /// The longest, nanoseconds.
    pub recall_max_ns: u64,
    /// Who took it back: as many times as they have requests. Not who makes the device itself give it up.
    pub recallers: Vec<Submitter>,
    /// Writes that had to drop cached pages of the file.
    pub invalidations: u64,
}

/// Requests and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// How many.
    pub ops: u64,
    /// Their bytes.
    pub bytes: u64,
}
