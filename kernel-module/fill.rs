// SPDX-License-Identifier: GPL-2.0

//! `fill=layout`: holes are filled on disk, and then committed to the filesystem.
//!
//! # A fill
//! 1. Where the file has no blocks, the filesystem allocates a chunk, unwritten ([`Device::allocate_chunk`]).
//! 2. Whole blocks go to the disk. Meanwhile they are `Filling`: who wants them waits, parked.
//! 3. The data is there: they become `Filled`, *before* the bio ends. This device reads and writes them on
//!    the disk; the filesystem, and other readers of the file, still see zeros.
//! 4. A commit tells the filesystem, which makes data and mapping durable: they become `Written`.
//!
//! With `commit=each` the bio ends after step 4, and so does every other write to these blocks: one that meets `Filled`
//! has a worker commit first. It would else complete before the commit, and readers of the file find zeros there.
//!
//! # What must hold
//! - Only whole blocks that this device wrote itself, while it holds the layout, are committed: otherwise
//!   a commit shows old contents of the disk. `Filled` is set nowhere else than in step 3.
//! - Nothing becomes `Filling` once a lease is broken. A recall first waits for what is `Filling`, then
//!   commits, then empties the map.
//! - A fill holds the map ([`crate::sync::MapUse`]) until it is published, so whoever takes its range out of
//!   the map waits for it, and it then finds nothing to publish. It does not hold the map while it waits for
//!   its commit: the commit may have to wait for who waits for the map.
//! - Commits, allocations and changes of the file's blocks exclude each other by `changing`. The filesystem's
//!   permit to write is got before `changing`, never under it: under it, a frozen filesystem would stop recalls.

use core::sync::atomic::{AtomicU64, Ordering};

use kernel::{bindings, prelude::*};

use crate::{
    bio::{error_of, flag, Bio, BioList},
    commit::Uncommitted,
    device::Device,
    extent::{
        map::{Found, Full, Spare},
        Extent, Range, State,
    },
    fast::From,
    in_flight::Fast,
    platform::Kernel,
    policy::Leases,
    provider::Provider,
    shim,
    stats::Counter,
    trace::{self, How},
};

/// How long fills wait to be committed when nobody flushes, in milliseconds.
const COMMIT_AFTER_MS: u32 = 5000;

/// A device's fills.
pub(crate) struct Fills {
    /// How many are on their way to the disk.
    in_flight: AtomicU64,
    /// Filled on the disk and not committed, for tracing.
    pub(crate) filled: Uncommitted,
    /// Filled by the filesystem and not synced, for tracing.
    pub(crate) written: Uncommitted,
    /// How many commits there were, for tracing.
    pub(crate) commits: AtomicU64,
}

impl Fills {
    pub(crate) const fn new() -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            filled: Uncommitted::new(),
            written: Uncommitted::new(),
            commits: AtomicU64::new(0),
        }
    }
}

/// Bios and clones that wait for fills. Under the workers' lock.
pub(crate) struct Parked {
    /// Want blocks that are being filled.
    pub(crate) bios: BioList,
    /// Are filled, and end once that is committed.
    pub(crate) fills: BioList,
}

impl Parked {
    pub(crate) const fn new() -> Self {
        Self {
            bios: BioList::new(),
            fills: BioList::new(),
        }
    }
}

/// What became of a bio that was to fill blocks.
enum Fill {
    /// It is on its way, and holds what it needs.
    Sent,
    /// It was ended.
    Failed,
    /// Its blocks are none to be filled on disk.
    NotHere(Bio),
}

/// What became of blocks that were to be filled.
enum Begun {
    Filling(Extent),
    /// The extent ends before them, at this block.
    Shorter(u64),
    No,
}

impl Device {
    /// Fills blocks on disk. Gives the bio back if they are none for that.
    pub(crate) fn fill(&self, bio: Bio) -> Option<Bio> {
        // The filesystem makes a write durable in one go.
        if bio.has(flag::FUA) {
            return Some(bio);
        }
        let blocks = self.geometry.whole_blocks(bio.sector(), bio.sectors());
        if self.geometry.bytes(blocks.end - blocks.start) != u64::from(bio.bytes()) {
            return Some(bio);
        }
        let layout = Leases::Held(Provider::Layout);
        if self.locked.lock().leases != layout || self.backing.is_read_only() {
            return Some(bio);
        }
        self.start_write(From::Worker);
        let left = self.fill_with_permit(bio);
        if !matches!(left, Fill::Sent) {
            self.end_write();
        }
        match left {
            Fill::Sent | Fill::Failed => None,
            Fill::NotHere(bio) => Some(bio),
        }
    }

    fn fill_with_permit(&self, mut bio: Bio) -> Fill {
        loop {
            let blocks = self.geometry.whole_blocks(bio.sector(), bio.sectors());
            if self.state_at(blocks.start) == Some(State::Hole) {
                self.workers.may_block(|| self.allocate_chunk(blocks));
            }
            // Memory is waited for before the map is got, as in `fast`.
            let Some(clone) = self.pools.clone_of(&bio, self.bdev, false) else {
                bio.end(shim::sts_ioerr());
                return Fill::Failed;
            };
            let mut spare = self.take_spare();
            // To publish it, when memory may be what others wait for this to end for.
            let mut later = Spare::new();
            self.fill_spare(&mut later);
            let map_use = self.epoch.get_extent_map();
            self.fills.in_flight.fetch_add(1, Ordering::SeqCst);
            let begun = self.begin_fill(blocks, &mut spare);
            self.keep_spare(spare);
            if let Ok(Begun::Filling(part)) = begun {
                trace::fill_begin(self, self.part(&bio), How::Layout);
                self.count(Counter::Fills, Counter::FillBytes, bio.bytes());
                self.send_fill(bio, &part, clone, map_use, later);
                return Fill::Sent;
            }
            self.put_extent_map(map_use);
            self.fill_is_over();
            drop(clone);
            match begun {
                Ok(Begun::Shorter(end)) => {
                    let run = self.geometry.sectors_until(bio.sector(), end);
                    match bio.split(run) {
                        Some(first) => bio = first,
                        None => return Fill::Failed,
                    }
                }
                Ok(_) => return Fill::NotHere(bio),
                // The map has grown meanwhile.
                Err(Full) => {}
            }
        }
    }

    /// Makes unwritten blocks `Filling`, if all of them are in one extent.
    fn begin_fill(&self, blocks: Range, spare: &mut Spare<Kernel>) -> Result<Begun, Full> {
        let mut locked = self.locked.lock();
        let found = self
            .map
            .lookup(blocks.start, &kernel::sync::rcu::read_lock());
        let Found::Extent(extent) = found else {
            return Ok(Begun::No);
        };
        let part = extent.part(blocks);
        if part.state != State::Unwritten
            || locked.leases != Leases::Held(Provider::Layout)
            || locked.claims.is_claimed(part.range())
        {
            return Ok(Begun::No);
        }
        if part.range() != blocks {
            return Ok(Begun::Shorter(part.end()));
        }
        self.map
            .set_state(&part, State::Filling, &mut locked.writer, spare)?;
        Ok(Begun::Filling(part))
    }

    fn state_at(&self, block: u64) -> Option<State> {
        match self.map.lookup(block, &kernel::sync::rcu::read_lock()) {
            Found::Extent(extent) => Some(extent.state),
            Found::Absent { .. } => None,
        }
    }

    /// A fill's data is on disk, or could not be written. In the finisher.
    ///
    /// # Safety
    /// `clone` is a fill's that has ended, and nobody else has it.
    pub(crate) unsafe fn publish_fill(&self, clone: *mut bindings::bio) {
        // SAFETY: As the caller says.
        let (part, status, came_ns) = unsafe { Fast::outcome_of(clone) };
        let first = self.geometry.block_of(part.offset);
        let blocks = Range::new(first, first + self.geometry.block_of(part.bytes.into()));
        // SAFETY: As the caller says.
        let spare = unsafe { Fast::take_spare(clone) };
        let failed = status != bindings::BLK_STS_OK;
        if !failed {
            // Before a commit can see it.
            self.fills.filled.add(1);
        }
        // Before and after: see `durability`.
        self.durability.soil();
        let state = if failed {
            State::Unwritten
        } else {
            State::Filled
        };
        self.change_state(blocks, State::Filling, state, spare);
        self.durability.soil();
        let ns = trace::since(came_ns);
        trace::fill_data(self, part, How::Layout, ns, error_of(status));
        // SAFETY: As the caller says.
        unsafe {
            Fast::set_filled(clone, ns);
            self.leave_early(clone);
        }
        self.fill_is_over();
        if failed || !self.options.commit_each {
            self.workers.commit_in(COMMIT_AFTER_MS);
            // SAFETY: As the caller says.
            unsafe { self.complete(clone) };
        } else {
            self.workers.park_fill(clone);
            self.workers.commit_in(0);
        }
    }

    /// Gives what has one state in a range another.
    pub(crate) fn change_state(&self, blocks: Range, from: State, to: State, spare: Spare<Kernel>) {
        self.change_with(spare, |map, locked, spare| {
            let mut block = blocks.start;
            while block < blocks.end {
                let found = map.lookup(block, &kernel::sync::rcu::read_lock());
                block = match found {
                    Found::Absent { end } => end,
                    Found::Extent(extent) => {
                        let part = extent.part(Range::new(block, blocks.end));
                        if part.state == from {
                            map.set_state(&part, to, &mut locked.writer, spare)?;
                        }
                        part.end()
                    }
                };
            }
            Ok(())
        });
    }

    /// A fill is published: who waits for it may try again.
    fn fill_is_over(&self) {
        self.fills.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.workers.unpark();
    }

    /// Keeps a bio until a fill is published.
    pub(crate) fn park(&self, bio: Bio) {
        self.workers.park(bio);
        // The last fill may have been published since the map was looked at.
        if self.fills.in_flight.load(Ordering::SeqCst) == 0 {
            self.workers.unpark();
        }
    }

    /// Whether something is being filled.
    pub(crate) fn is_filling(&self) -> bool {
        self.fills.in_flight.load(Ordering::SeqCst) > 0
    }

    /// Whether something is being filled, or filled and not committed.
    pub(crate) fn has_fills(&self) -> bool {
        self.is_filling() || self.has_filled()
    }
}
