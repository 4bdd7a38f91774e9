// SPDX-License-Identifier: GPL-2.0

//! Claims: which ranges somebody is changing through the filesystem, and so must not be mapped.
//!
//! # The race
//! A worker asks the filesystem what a range is, and is told "hole". Before it has put that into the
//! map, a write through the filesystem fills the hole and completes. If "hole" now goes into the map,
//! a later read sees zeros where a completed write put data.
//!
//! # The rule
//! 1. Whoever changes what the filesystem says of a range (a write, a punch, a zeroing through the
//!    file) first claims it, and takes it out of the map; it releases the claim when the change is
//!    done, and *before* it says so to anybody.
//! 2. Whoever maps opens the window first, then asks the filesystem, then inserts. Nothing is inserted
//!    that overlaps a claim that is held, or was released since the window opened.
//! 3. A recall closes the window, which then inserts nothing.
//!
//! Claims, window and the map's writers are under one lock, so these steps have an order. A claim that
//! overlaps the window in time is either still held at the insert, or was released within the window.

use super::Range;

/// Claims that are kept apart. Beyond that, they are only counted, and nothing is mapped meanwhile.
const HELD: usize = 128;
/// Released claims that an open window remembers. Beyond that, it inserts nothing.
const RELEASED: usize = 64;

/// A claim, to be given back with [`Claims::release`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim(Range);

/// The claims of one device, and the window of the one who maps.
pub(crate) struct Claims {
    held: List<HELD>,
    /// How many claims found no place in `held`.
    uncounted: usize,
    window: Window,
}

struct Window {
    open: bool,
    /// Nothing may be inserted any more.
    closed_early: bool,
    released: List<RELEASED>,
}

impl Claims {
    /// No claims.
    pub(crate) const fn new() -> Self {
        Self {
            held: List::new(),
            uncounted: 0,
            window: Window {
                open: false,
                closed_early: false,
                released: List::new(),
            },
        }
    }

    /// Claims a range.
    pub(crate) fn claim(&mut self, range: Range) -> Claim {
        if !self.held.push(range) {
            self.uncounted += 1;
        }
        Claim(range)
    }

    /// Gives a claim back.
    pub(crate) fn release(&mut self, claim: Claim) {
        if !self.held.take(claim.0) {
            // It was never in the list. Equal ranges are as good as each other.
            self.uncounted -= 1;
        }
        if self.window.open && !self.window.released.push(claim.0) {
            self.window.closed_early = true;
        }
    }

    /// Opens the window. There is one at a time.
    pub(crate) fn open(&mut self) {
        debug_assert!(!self.window.open);
        self.window.open = true;
        self.window.closed_early = false;
        self.window.released.clear();
    }

    /// What an open window has learned so far is void.
    pub(crate) fn void(&mut self) {
        self.window.closed_early = true;
    }

    /// Closes the window.
    pub(crate) fn close(&mut self) {
        self.window.open = false;
    }

    /// Whether somebody has claimed a part of a range.
    pub(crate) fn is_claimed(&self, range: Range) -> bool {
        self.uncounted > 0 || self.held.iter().any(|claim| claim.overlaps(range))
    }

    /// The first part of `range` that may be inserted now, from `range.start` on or later.
    pub(crate) fn allowed(&self, range: Range) -> Option<Range> {
        if !self.window.open || self.window.closed_early || self.uncounted > 0 {
            return None;
        }
        let mut free = range;
        // A claim that covers the start moves it, and may uncover another one that does.
        while let Some(claim) = self
            .claims()
            .find(|c| c.start <= free.start && free.start < c.end)
        {
            free.start = claim.end;
            if free.is_empty() {
                return None;
            }
        }
        for claim in self.claims() {
            if claim.overlaps(free) {
                free.end = claim.start;
            }
        }
        Some(free)
    }

    fn claims(&self) -> impl Iterator<Item = Range> + '_ {
        self.held.iter().chain(self.window.released.iter())
    }
}

/// A few ranges, in no order.
struct List<const N: usize> {
    len: usize,
    ranges: [Range; N],
}

impl<const N: usize> List<N> {
    const fn new() -> Self {
        Self {
            len: 0,
            ranges: [Range::new(0, 0); N],
        }
    }

    fn push(&mut self, range: Range) -> bool {
        let Some(place) = self.ranges.get_mut(self.len) else {
            return false;
        };
        *place = range;
        self.len += 1;
        true
    }

    fn take(&mut self, range: Range) -> bool {
        let Some(index) = self.iter().position(|other| other == range) else {
            return false;
        };
        self.len -= 1;
        self.ranges[index] = self.ranges[self.len];
        true
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.ranges[..self.len].iter().copied()
    }
}
