//! Single requests and commits of a device, as the probes tell of them.

use std::cmp::Reverse;

use rloop_common::{
    chain::{CommitTrace, NOWHERE, RangeTrace, RequestTrace, Route as Told, mark},
    event::Event,
};

use crate::sample::{Commit, CommitKind, DeviceSample, Request, Route, Times, Traces};

/// So many requests that make others durable are in one sample.
const FLUSHES_MAX: usize = 128;
/// So many of the slowest others.
const SLOWEST_MAX: usize = 64;
/// And so many of the rest.
const OTHERS_MAX: usize = 64;

/// A record of the probes.
pub(super) enum Trace {
    Request(RequestTrace),
    Commit(CommitTrace),
    Range(RangeTrace),
}

impl Trace {
    /// Slot of its device.
    pub(super) fn device(&self) -> u32 {
        match self {
            Self::Request(request) => request.head.device,
            Self::Commit(commit) => commit.head.device,
            Self::Range(range) => range.head.device,
        }
    }
}

/// What has ended since the last sample.
#[derive(Default)]
pub(super) struct Collected {
    traces: Traces,
    /// What the commit under way makes durable, with its number.
    ranges: Vec<RangeTrace>,
    requests: u64,
    commits: u64,
}

impl Collected {
    /// Adds a record. `base_bytes` is where in its file the device begins, if the record tells offsets of the file.
    pub(super) fn add(&mut self, trace: Trace, base_bytes: u64) {
        match trace {
            Trace::Request(told) => {
                self.requests += 1;
                let request = request(&told, self.requests, base_bytes);
                self.traces.requests.push(request);
            }
            Trace::Range(range) => self.ranges.push(range),
            Trace::Commit(told) => {
                let (of_it, others) = std::mem::take(&mut self.ranges)
                    .into_iter()
                    .partition(|range| range.number == told.number);
                self.ranges = others;
                self.commit(commit(&told, &of_it, base_bytes));
            }
        }
    }

    /// Adds a commit that a flush of a stock device waited for.
    pub(super) fn waited_for(&mut self, event: &Event) {
        self.commit(Commit {
            kind: CommitKind::Journal,
            start_ns: event.time_ns - event.duration_ns.min(event.time_ns),
            end_ns: event.time_ns,
            flush_ns: Some(event.detail),
            ..Commit::default()
        });
    }

    fn commit(&mut self, commit: Commit) {
        self.commits += 1;
        self.traces.commits.push(Commit {
            id: self.commits,
            ..commit
        });
    }

    /// All that there is, in the order in which it ended.
    pub(super) fn take(&mut self) -> Traces {
        let mut traces = std::mem::take(&mut self.traces);
        traces.requests = thinned(traces.requests);
        traces.requests.sort_by_key(|request| request.times.done_ns);
        traces.commits.sort_by_key(|commit| commit.end_ns);
        traces
    }
}

/// Not more of them than a reader wants, on machines with many processors and requests: the slowest, and of the
/// others and of those that make durable, as many as fit, evenly chosen. What is durable with one that is left out
/// is so with a later one, too.
fn thinned(requests: Vec<Request>) -> Vec<Request> {
    if requests.len() <= FLUSHES_MAX + SLOWEST_MAX + OTHERS_MAX {
        return requests;
    }
    let (flushes, mut others): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.flushes);
    others.sort_by_key(|request| Reverse(request.total_ns()));
    let rest = others.split_off(SLOWEST_MAX.min(others.len()));
    let evenly = |requests: Vec<Request>, most: usize| {
        let step = requests.len().div_ceil(most).max(1);
        requests.into_iter().step_by(step)
    };
    let chosen = evenly(flushes, FLUSHES_MAX).chain(evenly(rest, OTHERS_MAX));
    others.into_iter().chain(chosen).collect()
}

/// Names those who submitted the requests, as far as they are among the device's submitters.
pub(super) fn name(sample: &mut DeviceSample) {
    for request in &mut sample.traces.requests {
        let who = sample
            .submitters
            .iter()
            .find(|submitter| Some(submitter.pid) == request.pid);
        request.command = who.map(|who| who.command.clone());
    }
}

fn request(told: &RequestTrace, id: u64, base_bytes: u64) -> Request {
    let is = |bit: u32| told.marks & bit != 0;
    let seen = |time: u64| (time != 0).then_some(time);
    let place = |place: u64| (place != NOWHERE).then_some(place);
    let routes = [
        (Told::Direct, Route::Direct),
        (Told::Buffered, Route::Buffered),
        (Told::Disk, Route::Disk),
        (Told::Zeros, Route::Zeros),
    ];
    let route = routes
        .iter()
        .find(|(number, _)| *number as u32 == told.route);
    Request {
        id,
        op: told.op as u8,
        offset_bytes: told.offset_bytes.saturating_sub(base_bytes),
        bytes: told.bytes.into(),
        failed: is(mark::FAILED),
        route: route.map_or(Route::Unknown, |(_, route)| *route),
        flushes: is(mark::FLUSHES),
        durable: is(mark::DURABLE),
        fills: is(mark::FILLS),
        pid: (told.process != 0).then_some(told.process),
        command: None,
        extent_start_bytes: place(told.extent_bytes).map(|at| at.saturating_sub(base_bytes)),
        sector: place(told.sector),
        times: Times {
            start_ns: told.start_ns,
            issue_ns: seen(told.issue_ns),
            filesystem_ns: seen(told.filesystem_ns),
            filesystem_derived: is(mark::DERIVED),
            disk_start_ns: seen(told.disk_start_ns),
            disk_end_ns: seen(told.disk_end_ns),
            done_ns: told.done_ns,
        },
    }
}

fn commit(told: &CommitTrace, ranges: &[RangeTrace], base_bytes: u64) -> Commit {
    Commit {
        kind: if told.on_disk == 1 {
            CommitKind::Layout
        } else {
            CommitKind::Sync
        },
        start_ns: told.start_ns,
        end_ns: told.end_ns,
        fills: told.fills,
        failed: told.failed != 0,
        ranges: ranges
            .iter()
            .map(|range| (range.offset_bytes.saturating_sub(base_bytes), range.bytes))
            .collect(),
        ..Commit::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64, flushes: bool) -> Request {
        Request {
            id,
            flushes,
            times: Times {
                // The slowest are in the middle.
                done_ns: 1_000_000 - id.abs_diff(3000),
                ..Times::default()
            },
            ..Request::default()
        }
    }

    #[test]
    fn of_too_many_the_slowest_and_some_of_each_kind_stay() {
        let few: Vec<Request> = (1..=200).map(|id| request(id, id % 2 == 0)).collect();
        assert_eq!(thinned(few.clone()), few);
        let many = (1..=6000).map(|id| request(id, id % 3 == 0));
        let kept = thinned(many.collect());
        let flushes = kept.iter().filter(|request| request.flushes).count();
        assert!((100..=FLUSHES_MAX).contains(&flushes), "{flushes}");
        assert!(kept.len() > 200 && kept.len() <= FLUSHES_MAX + SLOWEST_MAX + OTHERS_MAX);
        for slow in (2970..3030).filter(|id| id % 3 != 0) {
            assert!(kept.iter().any(|request| request.id == slow), "{slow}");
        }
        assert!(kept.iter().any(|request| request.id < 100));
        assert!(kept.iter().any(|request| request.id > 5900));
    }
}
