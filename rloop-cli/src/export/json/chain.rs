//! Single requests and commits, and what links them.

use serde::Serialize;

use super::time;
use crate::{
    model::{
        DeviceFrame,
        chain::{Committed, Traced},
    },
    sample::{self, CommitKind, Route, State},
};

/// How many of the interval's requests are traced.
#[derive(Serialize)]
pub(super) struct Traces {
    requests: u64,
    traced: u64,
}

#[derive(Serialize)]
pub(super) struct Chain<'a> {
    id: u64,
    time: String,
    op: &'static str,
    offset_bytes: u64,
    bytes: u64,
    failed: bool,
    route: Route,
    fills: bool,
    pid: Option<u32>,
    command: Option<&'a str>,
    extent: Option<Extent>,
    sector: Option<u64>,
    start_ns: u64,
    issue_ns: Option<u64>,
    filesystem_ns: Option<u64>,
    filesystem_derived: bool,
    disk_start_ns: Option<u64>,
    disk_end_ns: Option<u64>,
    done_ns: u64,
    durable: Option<Durable>,
    flush: Option<Flush>,
}

/// Where a request begins.
#[derive(Serialize)]
struct Extent {
    #[serde(flatten)]
    now: sample::Extent,
    state_before: State,
}

#[derive(Serialize)]
struct Durable {
    at_ns: u64,
    flush: Option<u64>,
    commit: Option<u64>,
    derived: bool,
}

/// What a request does that makes others durable.
#[derive(Serialize)]
struct Flush {
    commits: Vec<u64>,
    requests: Vec<u64>,
}

#[derive(Serialize)]
pub(super) struct Commit {
    id: u64,
    time: String,
    kind: CommitKind,
    start_ns: u64,
    end_ns: u64,
    end_derived: bool,
    fills: u64,
    failed: bool,
    requests: Vec<u64>,
}

pub(super) fn traces(device: &DeviceFrame) -> Traces {
    Traces {
        requests: device.completed(),
        traced: device.chains.fresh_requests().len() as u64,
    }
}

/// The interval's requests.
pub(super) fn chains(device: &DeviceFrame) -> Vec<Chain<'_>> {
    let requests = device.chains.fresh_requests().iter();
    requests.map(|traced| chain(device, traced)).collect()
}

fn chain<'a>(device: &'a DeviceFrame, traced: &'a Traced) -> Chain<'a> {
    let (request, times) = (&traced.request, &traced.request.times);
    Chain {
        id: request.id,
        time: time(traced.wall_ns),
        op: request.op().name(),
        offset_bytes: request.offset_bytes,
        bytes: request.bytes,
        failed: request.failed,
        route: request.route,
        fills: request.fills,
        pid: request.pid,
        command: request.command.as_deref(),
        extent: traced.extent.map(|extent| Extent {
            now: extent,
            state_before: traced.before.unwrap_or(extent.state),
        }),
        sector: request.sector,
        start_ns: times.start_ns,
        issue_ns: times.issue_ns,
        filesystem_ns: times.filesystem_ns,
        filesystem_derived: times.filesystem_derived,
        disk_start_ns: times.disk_start_ns,
        disk_end_ns: times.disk_end_ns,
        done_ns: times.done_ns,
        durable: traced.durable.map(|durable| Durable {
            at_ns: durable.at_ns,
            flush: durable.flush.map(|flush| flush.0),
            commit: durable.commit.map(|commit| commit.0),
            derived: durable.derived,
        }),
        flush: request.flushes.then(|| Flush {
            commits: device
                .chains
                .waited_for(request)
                .map(|committed| committed.commit.id)
                .collect(),
            requests: ids(device.chains.of_flush(request.id)),
        }),
    }
}

/// The interval's commits.
pub(super) fn commits(device: &DeviceFrame) -> Vec<Commit> {
    let commits = device.chains.fresh_commits().iter();
    commits.map(|committed| commit(device, committed)).collect()
}

fn commit(device: &DeviceFrame, committed: &Committed) -> Commit {
    let commit = &committed.commit;
    Commit {
        id: commit.id,
        time: time(committed.wall_ns),
        kind: commit.kind,
        start_ns: commit.start_ns,
        end_ns: commit.end_ns,
        end_derived: device.commits.derived,
        fills: commit.fills,
        failed: commit.failed,
        requests: ids(device.chains.of_commit(commit.id)),
    }
}

fn ids<'a>(requests: impl Iterator<Item = &'a std::sync::Arc<Traced>>) -> Vec<u64> {
    requests.map(|traced| traced.request.id).collect()
}
