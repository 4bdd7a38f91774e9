//! What only devices of rloop have, as JSON.

use std::collections::BTreeMap;

use rloop_common::rloop::Reason;
use serde::Serialize;

use super::Cgroup;
use crate::{
    model::{RloopFrame, Ways},
    sample::{Moved, Submitter},
};

/// A device of rloop in one interval.
#[derive(Serialize)]
pub(super) struct Rloop<'a> {
    why: &'a str,
    fill: &'a str,
    commit: &'a str,
    errno: Option<u32>,
    read: ReadWays,
    write: WriteWays,
    worker: BTreeMap<&'static str, u64>,
    fills: u64,
    fill_bytes: u64,
    fill_mean_ns: Option<u64>,
    fills_waiting: u64,
    group_commits: u64,
    fills_per_commit: Option<f64>,
    commit_errors: u64,
    recall_mean_ns: Option<u64>,
    recall_max_ns: u64,
    recallers: Vec<Recaller<'a>>,
    invalidations: u64,
}

#[derive(Serialize)]
struct ReadWays {
    fast: Moved,
    zero: Moved,
    vfs: Moved,
    fast_share: Option<f64>,
}

#[derive(Serialize)]
struct WriteWays {
    fast: Moved,
    vfs: Moved,
    fast_share: Option<f64>,
}

#[derive(Serialize)]
struct Recaller<'a> {
    pid: u32,
    command: &'a str,
    cgroup: Cgroup<'a>,
    recalls: u64,
}

/// What is exported of it.
pub(super) fn rloop(frame: &RloopFrame) -> Rloop<'_> {
    let (Ways { fast, zero, vfs }, writes) = (frame.reads, frame.writes);
    let reasons = Reason::ALL.iter().zip(frame.reasons);
    Rloop {
        why: &frame.why,
        fill: &frame.fill,
        commit: &frame.commit,
        errno: (frame.errno != 0).then_some(frame.errno),
        read: ReadWays {
            fast,
            zero,
            vfs,
            fast_share: frame.reads.fast_share(),
        },
        write: WriteWays {
            fast: writes.fast,
            vfs: writes.vfs,
            fast_share: writes.fast_share(),
        },
        worker: reasons
            .map(|(reason, count)| (reason.name(), count))
            .collect(),
        fills: frame.fills.ops,
        fill_bytes: frame.fills.bytes,
        fill_mean_ns: frame.fill_mean_ns,
        fills_waiting: frame.fills_waiting,
        group_commits: frame.group_commits,
        fills_per_commit: frame.fills_per_commit,
        commit_errors: frame.commit_errors,
        recall_mean_ns: frame.recall_mean_ns,
        recall_max_ns: frame.recall_max_ns,
        recallers: frame.recallers.iter().map(recaller).collect(),
        invalidations: frame.invalidations,
    }
}

fn recaller(who: &Submitter) -> Recaller<'_> {
    Recaller {
        pid: who.pid,
        command: &who.command,
        cgroup: Cgroup {
            id: who.cgroup.id,
            path: who.cgroup.path.as_deref(),
        },
        recalls: who.requests,
    }
}
