//! What belongs together: a request, its extent, its I/O on the disk, and the commit that made it durable.
//!
//! A write is durable when, at the latest,
//! - it is done, if it asked for that itself;
//! - the commit has ended that names its range, if it filled blocks on the disk (only rloop does that, and its
//!   module names them: this is certain);
//! - else the first flush has ended that began after the write was done, or the first sync of the file that did.
//!   Nothing names the write then, so this is derived: the write may have been durable before.

mod links;

use std::{cmp::Reverse, sync::Arc};

use rloop_common::Op;

pub use links::{Link, Part, links};

use crate::sample::{Commit, CommitKind, DeviceSample, Extent, Request, Route, Sample, State};

/// So many of a device's latest requests are kept; more if there were more in the interval.
pub const REQUESTS_MAX: usize = 512;
/// And of those before, so many of the slowest.
pub const SLOWEST_MAX: usize = 64;
/// So many of its latest commits are kept; more if there were more in the interval.
pub const COMMITS_MAX: usize = 256;

/// A device's traced requests and commits, the last of them and the slowest, with what links them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chains {
    /// In the order of their numbers.
    requests: Vec<Arc<Traced>>,
    /// In the order of their numbers.
    commits: Vec<Arc<Committed>>,
    /// The first request of the interval; 0 if there is none.
    first_request: u64,
    /// The first commit of the interval; 0 if there is none.
    first_commit: u64,
}

/// A traced request, with what is known of it besides what the probes tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// As the probes tell it.
    pub request: Request,
    /// Wall clock when it began, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// The extent where it begins, as the mapping was at the interval's end.
    pub extent: Option<Extent>,
    /// What was there an interval before, if that was something else.
    pub before: Option<State>,
    /// What made it durable, if it is something that can be, and is known.
    pub durable: Option<Durable>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// As the probes tell it.
    pub commit: Commit,
    /// Wall clock when it began, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
}

/// Since when a write is durable, at the latest, and by what. Times are of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Since when.
    pub at_ns: u64,
    /// The flush, or write that flushes, that waited for it: its number, and when it began and was done.
    pub flush: Option<(u64, u64, u64)>,
    /// The commit: its number, and when it began and ended.
    pub commit: Option<(u64, u64, u64)>,
    /// Nothing names the write: it follows from the order of what happened.
    pub derived: bool,
}

impl Chains {
    /// Those of the interval that the sample `newer` ends, alone: of the device that was `old` when it began, and is
    /// `new` now.
    pub(super) fn of(newer: &Sample, old: &DeviceSample, new: &DeviceSample) -> Self {
        let wall = |monotonic_ns: u64| {
            let ago = newer.monotonic_ns.saturating_sub(monotonic_ns);
            newer.wall_ns.saturating_sub(ago)
        };
        let traced = |request: &Request| {
            let extent = at(&new.extents, request.offset_bytes).copied();
            let before = at(&old.extents, request.offset_bytes).map(|extent| extent.state);
            Arc::new(Traced {
                wall_ns: wall(request.times.start_ns),
                before: before.filter(|&before| extent.is_some_and(|now| now.state != before)),
                extent,
                durable: None,
                request: request.clone(),
            })
        };
        let committed = |commit: &Commit| {
            Arc::new(Committed {
                wall_ns: wall(commit.start_ns),
                commit: commit.clone(),
            })
        };
        let (requests, commits) = (&new.traces.requests, &new.traces.commits);
        let mut chains = Self {
            first_request: 0,
            first_commit: 0,
            requests: requests.iter().map(traced).collect(),
            commits: commits.iter().map(committed).collect(),
        };
        chains.requests.sort_by_key(|traced| traced.request.id);
        chains.commits.sort_by_key(|committed| committed.commit.id);
        chains.first_request = chains.requests.first().map_or(0, |first| first.request.id);
        chains.first_commit = chains.commits.first().map_or(0, |first| first.commit.id);
        chains.link();
        chains.trim();
        chains
    }

    /// Puts those before in front, as far as they are kept.
    pub(super) fn follow(&mut self, before: &Self) {
        let fresh = std::mem::take(&mut self.requests);
        self.requests = before.requests.iter().cloned().chain(fresh).collect();
        let fresh = std::mem::take(&mut self.commits);
        self.commits = before.commits.iter().cloned().chain(fresh).collect();
        self.link();
        self.trim();
    }

    /// All requests that are kept, in the order in which they were done.
    pub fn requests(&self) -> &[Arc<Traced>] {
        &self.requests
    }

    /// All commits that are kept, in the order in which they ended.
    pub fn commits(&self) -> &[Arc<Committed>] {
        &self.commits
    }

    /// The requests of the interval.
    pub fn fresh_requests(&self) -> &[Arc<Traced>] {
        let first = self.first_request;
        let place = self
            .requests
            .partition_point(|traced| first == 0 || traced.request.id < first);
        &self.requests[place..]
    }

    /// The commits of the interval.
    pub fn fresh_commits(&self) -> &[Arc<Committed>] {
        let first = self.first_commit;
        let place = self
            .commits
            .partition_point(|committed| first == 0 || committed.commit.id < first);
        &self.commits[place..]
    }

    /// The request of that number.
    pub fn request(&self, id: u64) -> Option<&Arc<Traced>> {
        let place = self
            .requests
            .binary_search_by_key(&id, |traced| traced.request.id);
        place.ok().map(|place| &self.requests[place])
    }

    /// The commit of that number.
    pub fn commit(&self, id: u64) -> Option<&Arc<Committed>> {
        let place = self
            .commits
            .binary_search_by_key(&id, |committed| committed.commit.id);
        place.ok().map(|place| &self.commits[place])
    }

    /// The requests that a commit made durable.
    pub fn of_commit(&self, id: u64) -> impl Iterator<Item = &Arc<Traced>> {
        let named = move |durable: Durable| durable.commit.is_some_and(|commit| commit.0 == id);
        let requests = self.requests.iter();
        requests.filter(move |traced| traced.durable.is_some_and(named))
    }

    /// The requests that a flush made durable, but for itself.
    pub fn of_flush(&self, id: u64) -> impl Iterator<Item = &Arc<Traced>> {
        let named = move |durable: Durable| durable.flush.is_some_and(|flush| flush.0 == id);
        let requests = self.requests.iter();
        requests.filter(move |traced| traced.durable.is_some_and(named))
    }

    /// The commits that a flush waited for.
    pub fn waited_for<'a>(
        &'a self,
        flush: &'a Request,
    ) -> impl Iterator<Item = &'a Arc<Committed>> {
        let commits = self.commits.iter();
        commits.filter(|committed| waits(flush, &committed.commit))
    }

    /// The flushes that waited for a commit.
    pub fn waiting_for<'a>(&'a self, commit: &'a Commit) -> impl Iterator<Item = &'a Arc<Traced>> {
        let requests = self.requests.iter();
        requests.filter(|traced| traced.request.flushes && waits(&traced.request, commit))
    }

    /// Finds out what made those durable of which that is not known yet.
    fn link(&mut self) {
        let mut found: Vec<(usize, Durable)> = Vec::new();
        for (place, traced) in self.requests.iter().enumerate() {
            if traced.durable.is_none()
                && let Some(durable) = self.durable(&traced.request)
            {
                found.push((place, durable));
            }
        }
        for (place, durable) in found {
            Arc::make_mut(&mut self.requests[place]).durable = Some(durable);
        }
    }

    fn durable(&self, request: &Request) -> Option<Durable> {
        if request.failed || !matches!(request.op(), Op::Write | Op::WriteZeroes) {
            return None;
        }
        let done_ns = request.times.done_ns;
        if request.durable {
            return Some(Durable {
                at_ns: done_ns,
                flush: None,
                commit: None,
                derived: false,
            });
        }
        if request.fills && request.route == Route::Disk {
            return self.named(request);
        }
        let flush = self.first_flush(done_ns);
        let sync = self.commits.iter().map(|committed| &committed.commit);
        let sync = sync
            .filter(|commit| !commit.failed && commit.kind == CommitKind::Sync)
            .filter(|commit| commit.start_ns >= done_ns)
            .min_by_key(|commit| commit.end_ns);
        match (flush, sync) {
            (flush, Some(sync)) if flush.is_none_or(|flush| sync.end_ns <= flush.times.done_ns) => {
                Some(Durable {
                    at_ns: sync.end_ns,
                    flush: self.waiting(sync),
                    commit: Some(ended(sync)),
                    derived: true,
                })
            }
            (Some(flush), _) => {
                let commit = self.waited_for(flush).next();
                Some(Durable {
                    at_ns: flush.times.done_ns,
                    flush: Some(times(flush)),
                    commit: commit.map(|found| ended(&found.commit)),
                    derived: true,
                })
            }
            (None, _) => None,
        }
    }

    /// By the commit that names the range of a fill on the disk.
    fn named(&self, fill: &Request) -> Option<Durable> {
        let covers = |&(start, len): &(u64, u64)| {
            (start..start.saturating_add(len)).contains(&fill.offset_bytes)
        };
        let mut commits = self.commits.iter().map(|committed| &committed.commit);
        let commit = commits.find(|commit| {
            !commit.failed
                && commit.end_ns >= fill.times.start_ns
                && commit.ranges.iter().any(covers)
        })?;
        Some(Durable {
            at_ns: commit.end_ns,
            flush: self.waiting(commit),
            commit: Some(ended(commit)),
            derived: false,
        })
    }

    /// The first flush to be done of those that began after `after_ns`.
    fn first_flush(&self, after_ns: u64) -> Option<&Request> {
        let requests = self.requests.iter().map(|traced| &traced.request);
        requests
            .filter(|request| request.flushes && !request.failed)
            .filter(|request| request.times.start_ns >= after_ns)
            .min_by_key(|request| request.times.done_ns)
    }

    /// One of the flushes that waited for a commit, as it is noted.
    fn waiting(&self, commit: &Commit) -> Option<(u64, u64, u64)> {
        let waiting = self.waiting_for(commit).next();
        waiting.map(|traced| times(&traced.request))
    }

    fn trim(&mut self) {
        // What is of the interval is told, however much it is.
        let most = COMMITS_MAX.max(self.fresh_commits().len());
        self.commits
            .drain(..self.commits.len().saturating_sub(most));
        let most = REQUESTS_MAX.max(self.fresh_requests().len());
        let old = self.requests.len().saturating_sub(most);
        if old <= SLOWEST_MAX {
            return;
        }
        let recent = self.requests.split_off(old);
        self.requests
            .sort_by_key(|traced| Reverse(traced.request.total_ns()));
        self.requests.truncate(SLOWEST_MAX);
        self.requests.sort_by_key(|traced| traced.request.id);
        self.requests.extend(recent);
    }
}

/// A flush, as it is noted of what it made durable.
fn times(flush: &Request) -> (u64, u64, u64) {
    (flush.id, flush.times.start_ns, flush.times.done_ns)
}

/// A commit, as it is noted of what it made durable.
fn ended(commit: &Commit) -> (u64, u64, u64) {
    (commit.id, commit.start_ns, commit.end_ns)
}

/// Whether a flush waits for a commit: the filesystem got the flush, or began with the commit, while it was under
/// way.
fn waits(flush: &Request, commit: &Commit) -> bool {
    let since = commit.flush_ns.unwrap_or(commit.start_ns);
    (flush.times.start_ns..=flush.times.done_ns).contains(&since)
}

/// The extent that a byte of the device is in.
fn at(extents: &[Extent], offset_bytes: u64) -> Option<&Extent> {
    let next = extents.partition_point(|extent| extent.start_bytes <= offset_bytes);
    let extent = extents.get(next.checked_sub(1)?)?;
    (offset_bytes < extent.start_bytes.saturating_add(extent.len_bytes)).then_some(extent)
}

#[cfg(test)]
mod tests;
