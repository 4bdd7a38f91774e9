// SPDX-License-Identifier: GPL-2.0

//! What a change makes of a leaf's extents.

use super::super::{Extent, Packed, Range, State, MAX_BLOCK};

/// What a leaf becomes: most of its extents stay as they are, before and behind a few that change.
pub(super) struct Change<'a> {
    before: &'a [Packed],
    changed: [Packed; CHANGED],
    changed_len: usize,
    behind: &'a [Packed],
    /// The extents that `changed` takes the place of.
    known: &'a [Packed],
    range: Range,
    new: Option<&'a Extent>,
}

/// A neighbour, what is left of an extent before the range, the new one, what is left behind, a neighbour.
const CHANGED: usize = 5;

impl<'a> Change<'a> {
    /// `known` without what lies in `range`, and there the part of `new`.
    pub(super) fn new(known: &'a [Packed], range: Range, new: Option<&'a Extent>) -> Self {
        let first = known.partition_point(|e| e.extent().end() <= range.start);
        let last = known.partition_point(|e| e.start() < range.end).max(first);
        // The neighbours too, as they may join.
        let (from, to) = (first.saturating_sub(1), (last + 1).min(known.len()));
        let mut change = Self {
            before: &known[..from],
            changed: [Packed::EMPTY; CHANGED],
            changed_len: 0,
            behind: &known[to..],
            known: &known[first..last],
            range,
            new,
        };
        let touched = &known[from..to];
        for extent in touched.iter().map(Packed::extent) {
            if extent.start < range.start {
                change.push(&extent.part(Range::new(0, range.start)));
            }
        }
        if let Some(new) = new {
            change.push(&new.part(range));
        }
        for extent in touched.iter().map(Packed::extent) {
            if extent.end() > range.end {
                change.push(&extent.part(Range::new(range.end, MAX_BLOCK)));
            }
        }
        change
    }

    fn push(&mut self, extent: &Extent) {
        if let Some(last) = self.changed_len.checked_sub(1) {
            let mut joined = self.changed[last].extent();
            if joined.joins(extent) {
                joined.len += extent.len;
                self.changed[last] = Packed::new(&joined);
                return;
            }
        }
        self.changed[self.changed_len] = Packed::new(extent);
        self.changed_len += 1;
    }

    /// Whether all stays as it is.
    pub(super) fn is_none(&self) -> bool {
        self.new.is_none() && self.known.is_empty()
    }

    /// Whether nothing is known behind the new extent.
    pub(super) fn appends(&self) -> bool {
        self.new.is_some() && self.behind.is_empty()
    }

    fn sections(&self) -> [&[Packed]; 3] {
        [self.before, &self.changed[..self.changed_len], self.behind]
    }

    /// How many extents there are to be.
    pub(super) fn len(&self) -> usize {
        self.sections().iter().map(|section| section.len()).sum()
    }

    /// The extents to be from one to, and without, another.
    pub(super) fn parts(&self, from: usize, to: usize) -> impl Iterator<Item = &[Packed]> {
        let mut passed = 0;
        self.sections().into_iter().map(move |section| {
            let clamp = |place: usize| place.saturating_sub(passed).min(section.len());
            let part = &section[clamp(from)..clamp(to)];
            passed += section.len();
            part
        })
    }

    /// The first file block of one of the extents to be.
    pub(super) fn start(&self, place: usize) -> u64 {
        let first = self.parts(place, place + 1).flatten().next();
        first.map_or(MAX_BLOCK, Packed::start)
    }

    /// How many filled blocks are in the range.
    pub(super) fn filled_before(&self) -> u64 {
        let filled = self
            .known
            .iter()
            .map(Packed::extent)
            .filter(|e| e.state == State::Filled);
        filled.map(|e| e.part(self.range).len).sum()
    }

    /// How many there are to be.
    pub(super) fn filled_after(&self) -> u64 {
        let new = self.new.filter(|e| e.state == State::Filled);
        new.map_or(0, |e| e.part(self.range).len)
    }
}
