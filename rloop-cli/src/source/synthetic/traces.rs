//! Made-up chains: the first requests of each second, one by one, and its commits with the flushes that waited.

use rloop_common::Op;

use super::{BLOCK, Character};
use crate::sample::{Commit, Extent, Request, Route, Times, Traces};

/// So many requests of a second are traced.
const REQUESTS_MAX: usize = 9;
/// How far apart they are.
const APART_NS: u64 = 50_000_000;
/// When the first flush of a second begins: all requests that are traced are done by then.
const FLUSHES_NS: u64 = 600_000_000;

/// Traces one device.
#[derive(Default)]
pub(super) struct Tracer {
    /// When the second began, monotonic nanoseconds.
    now_ns: u64,
    /// What ended in it.
    traces: Traces,
    requests: u64,
    commits: u64,
}

impl Tracer {
    /// A second begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    fn begins_ns(&self, after_ns: u64, apart: usize) -> u64 {
        self.now_ns + after_ns + apart as u64 * APART_NS
    }

    /// A request that took so long; only the first ones are traced.
    pub(super) fn request(&mut self, who: &Character, op: Op, extent: &Extent, latency_ns: u64) {
        let count = self.traces.requests.len();
        if count >= REQUESTS_MAX {
            return;
        }
        let inside = BLOCK * (1 + count as u64);
        let start_ns = self.begins_ns(0, count);
        let after = |share: u64| Some(start_ns + latency_ns * share / 100);
        let on_disk = |share| after(share).filter(|_| who.direct);
        let disk = extent.disk_offset_bytes.filter(|_| who.direct);
        self.push(Request {
            op: op as u8,
            offset_bytes: extent.start_bytes + inside,
            bytes: BLOCK,
            route: if who.direct {
                Route::Direct
            } else {
                Route::Buffered
            },
            pid: Some(4711),
            command: Some(who.command.to_owned()),
            sector: disk.map(|disk| (disk + inside) / 512),
            times: Times {
                start_ns,
                issue_ns: after(5),
                filesystem_ns: after(30),
                filesystem_derived: !who.direct,
                disk_start_ns: on_disk(40),
                disk_end_ns: on_disk(90),
                done_ns: start_ns + latency_ns,
            },
            ..Request::default()
        });
    }

    /// A commit that took so long, and the flush that waited for it.
    pub(super) fn commit(&mut self, who: &Character, commit_ns: u64) {
        let flush_ns = self.begins_ns(FLUSHES_NS, self.traces.commits.len());
        let start_ns = flush_ns + 60_000;
        self.commits += 1;
        self.traces.commits.push(Commit {
            id: self.commits,
            start_ns,
            end_ns: start_ns + commit_ns,
            flush_ns: Some(flush_ns + 30_000),
            ..Commit::default()
        });
        self.push(Request {
            op: Op::Flush as u8,
            flushes: true,
            pid: Some(4711),
            command: Some(who.command.to_owned()),
            times: Times {
                start_ns: flush_ns,
                done_ns: start_ns + commit_ns + 110_000,
                ..Times::default()
            },
            ..Request::default()
        });
    }

    fn push(&mut self, request: Request) {
        self.requests += 1;
        let id = self.requests;
        self.traces.requests.push(Request { id, ..request });
    }

    /// What ended in the second.
    pub(super) fn take(&mut self) -> Traces {
        std::mem::take(&mut self.traces)
    }
}
