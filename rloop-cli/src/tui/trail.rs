//! Where in the chains the user is: lists of requests and of commits, and single requests, each opened from the one
//! before.

use std::sync::Arc;

use rloop_common::Op;

use super::app::View;
use crate::model::{
    DeviceFrame, Frame,
    chain::{Committed, Traced},
};

/// Which requests a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the device.
    Device,
    /// Those that touch the extent that starts there and is that long.
    Extent(u64, u64),
    /// Those that the commit of this number made durable.
    Commit(u64),
    /// Those that the flush of this number made durable.
    Flush(u64),
}

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Requests, the slowest first.
    Requests(Scope),
    /// Commits, the newest first.
    Commits,
    /// The chain of the request of this number.
    Request(u64),
}

/// A page, the number of what is selected on it, and the operation that it is narrowed to.
#[derive(Clone, Debug)]
struct Level {
    page: Page,
    selected: Option<u64>,
    only: Option<Op>,
    /// The last frame that had the request of the page.
    seen: Option<Arc<Frame>>,
}

/// The way from where the user came.
#[derive(Debug, Default)]
pub struct Trail {
    levels: Vec<Level>,
    /// The view that the first page was opened from.
    from: Option<View>,
}

impl Trail {
    /// The page in front: all requests of the device, until another is opened.
    pub fn page(&self) -> Page {
        let level = self.levels.last();
        level.map_or(Page::Requests(Scope::Device), |level| level.page)
    }

    /// Begins anew with a page that is opened from a view.
    pub fn begin(&mut self, page: Page, from: View) {
        self.levels.clear();
        self.push(page);
        self.from = Some(from);
    }

    /// There is something to go back from.
    pub fn is_open(&self) -> bool {
        !self.levels.is_empty()
    }

    /// Another device is shown: what was opened is none of its, but it has a list of all requests too.
    pub fn reset(&mut self) {
        let all = |level: &Level| level.page == Page::Requests(Scope::Device);
        let kept = self.levels.first().is_some_and(all);
        self.levels.truncate(usize::from(kept));
        if let Some(level) = self.levels.last_mut() {
            level.selected = None;
        }
    }

    /// Back to the page before; if there is none, to that view.
    pub fn back(&mut self) -> Option<View> {
        self.levels.pop();
        if self.levels.is_empty() {
            self.from.take()
        } else {
            None
        }
    }

    /// Opens what is selected.
    pub fn open(&mut self, device: &DeviceFrame, reverse: bool) {
        let Some(page) = self.next(device, reverse) else {
            return;
        };
        self.note_first();
        self.push(page);
    }

    fn push(&mut self, page: Page) {
        self.levels.push(Level {
            page,
            selected: None,
            only: None,
            seen: None,
        });
    }

    /// Holds on to the frame if it has the request in front, for as long as that is looked at.
    pub fn see(&mut self, frame: &Arc<Frame>, device: &DeviceFrame) {
        let Page::Request(id) = self.page() else {
            return;
        };
        if let (Some(level), Some(_)) = (self.levels.last_mut(), device.chains.request(id)) {
            level.seen = Some(frame.clone());
        }
    }

    /// The last frame that had the request in front.
    pub fn seen(&self) -> Option<&Arc<Frame>> {
        self.levels.last()?.seen.as_ref()
    }

    /// The page that is in front before any was opened becomes one that there is a way back to.
    fn note_first(&mut self) {
        if self.levels.is_empty() {
            self.push(self.page());
        }
    }

    /// The page that the selection opens.
    fn next(&self, device: &DeviceFrame, reverse: bool) -> Option<Page> {
        match self.page() {
            Page::Requests(_) => {
                let rows = self.rows(device, reverse);
                rows.get(self.place(&rows)).map(|&id| Page::Request(id))
            }
            Page::Commits => {
                let rows = self.rows(device, reverse);
                let id = rows.get(self.place(&rows))?;
                Some(Page::Requests(Scope::Commit(*id)))
            }
            Page::Request(id) => {
                let traced = device.chains.request(id)?;
                if traced.request.flushes {
                    return Some(Page::Requests(Scope::Flush(id)));
                }
                let commit = traced.durable?.commit?;
                Some(Page::Requests(Scope::Commit(commit.0)))
            }
        }
    }

    /// Selects the row that many further down.
    pub fn step(&mut self, by: isize, device: &DeviceFrame, reverse: bool) {
        let rows = self.rows(device, reverse);
        let Some(last) = rows.len().checked_sub(1) else {
            return;
        };
        let place = self.place(&rows).saturating_add_signed(by).min(last);
        self.note_first();
        if let Some(level) = self.levels.last_mut() {
            level.selected = Some(rows[place]);
        }
    }

    /// The operation that the list of requests is narrowed to.
    pub fn only(&self) -> Option<Op> {
        self.levels.last().and_then(|level| level.only)
    }

    /// Narrows a list of requests to the next operation that it has; after the last it has all again.
    pub fn next_operation(&mut self, device: &DeviceFrame) {
        let Page::Requests(scope) = self.page() else {
            return;
        };
        let requests = requests(device, scope);
        let has = |op: &Op| requests.iter().any(|traced| traced.request.op() == *op);
        let after = self.only().map_or(0, |op| op.index() + 1);
        let only = Op::ALL[after..].iter().copied().find(has);
        self.note_first();
        if let Some(level) = self.levels.last_mut() {
            level.only = only;
            level.selected = None;
        }
    }

    /// The place of the selected row: the first, until another is chosen, and where that is gone.
    pub fn place(&self, rows: &[u64]) -> usize {
        let selected = self.levels.last().and_then(|level| level.selected);
        let found = rows.iter().position(|&id| Some(id) == selected);
        found.unwrap_or(0)
    }

    /// The numbers of what is on the page, in order.
    pub fn rows(&self, device: &DeviceFrame, reverse: bool) -> Vec<u64> {
        let mut rows: Vec<u64> = match self.page() {
            Page::Requests(scope) => {
                let requests = requests(device, scope).into_iter();
                let fits = |traced: &&Arc<Traced>| {
                    self.only().is_none_or(|only| traced.request.op() == only)
                };
                let requests = requests.filter(fits);
                requests.map(|traced| traced.request.id).collect()
            }
            Page::Commits => {
                let commits = commits(device).into_iter();
                commits.map(|committed| committed.commit.id).collect()
            }
            Page::Request(_) => Vec::new(),
        };
        if reverse {
            rows.reverse();
        }
        rows
    }
}

/// The requests of a list, the slowest first.
pub fn requests(device: &DeviceFrame, scope: Scope) -> Vec<&Arc<Traced>> {
    let chains = &device.chains;
    let touches = |traced: &&Arc<Traced>, start: u64, len: u64| {
        let request = &traced.request;
        let end = request.offset_bytes.saturating_add(request.bytes);
        request.bytes > 0 && request.offset_bytes < start.saturating_add(len) && end > start
    };
    let mut requests: Vec<&Arc<Traced>> = match scope {
        Scope::Device => chains.requests().iter().collect(),
        Scope::Extent(start, len) => {
            let requests = chains.requests().iter();
            requests
                .filter(|traced| touches(traced, start, len))
                .collect()
        }
        Scope::Commit(id) => chains.of_commit(id).collect(),
        Scope::Flush(id) => chains.of_flush(id).collect(),
    };
    requests.sort_by_key(|traced| std::cmp::Reverse(traced.request.total_ns()));
    requests
}

/// The commits of a device, the newest first.
pub fn commits(device: &DeviceFrame) -> Vec<&Arc<Committed>> {
    device.chains.commits().iter().rev().collect()
}
