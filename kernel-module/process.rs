// SPDX-License-Identifier: GPL-2.0

//! What a worker does with a bio that the map had no answer for.

use kernel::{bindings, prelude::*};

use crate::{
    bio::{errno, error_of, flag, status_of, Bio, Op},
    device::Device,
    extent::{map::Found, Range, State},
    fast::{From, Routed},
    shim,
    stats::Counter,
    trace::{self, Fallback, Vfs},
};

impl Device {
    /// Does what a bio wants, however long it takes.
    pub(crate) fn process(&self, mut bio: Bio) {
        match bio.op() {
            Op::Discard | Op::WriteZeroes => {
                let traced = Vfs::submit(self, &bio);
                let status = self.workers.may_block(|| self.punch(&bio));
                traced.done(self, error_of(status), false);
                return bio.end(status);
            }
            Op::Write if bio.bytes() == 0 => return self.end_flush(bio),
            Op::Write if bio.has(flag::PREFLUSH) => {
                if let Err(error) = self.flush() {
                    return bio.end_with(error.to_errno());
                }
                bio.clear(flag::PREFLUSH);
            }
            _ => {}
        }
        self.transfer_somehow(bio);
    }

    /// Reads or writes: the fast way if the filesystem says where, else through it.
    fn transfer_somehow(&self, mut bio: Bio) {
        if self.hold_off.is_on() {
            self.workers.may_block(|| self.hold_off.wait());
        }
        let mut asked = false;
        let mut flushed = 0;
        loop {
            // What the submitter found is most often still so, and then the fast way need not be tried again.
            if !self.is_fill(&bio) {
                let from = if flushed < MOST_FLUSHES {
                    From::Worker
                } else {
                    From::Persistent
                };
                let (missed, reason, state) = match self.route(bio, from) {
                    Routed::Sent | Routed::Gone => return,
                    Routed::Missed(bio, reason, state) => (bio, reason, state),
                };
                bio = missed;
                let again = match (reason, state) {
                    // The filesystem has to know of the block before somebody else's write to it completes.
                    (Fallback::Dirty, Some(State::Filled)) if self.options.commit_each => {
                        match self.workers.may_block(|| self.commit_fills()) {
                            Ok(()) => true,
                            Err(error) => return bio.end_with(error.to_errno()),
                        }
                    }
                    // What we filled there has to be committed before it can be made durable.
                    (Fallback::Dirty, _) => match self.flush() {
                        Ok(()) => {
                            flushed += 1;
                            true
                        }
                        Err(error) => return bio.end_with(error.to_errno()),
                    },
                    // Somebody cuts the file, and the mapping is to be given back.
                    (Fallback::Changes, _) => {
                        self.workers.may_block(|| self.recall());
                        true
                    }
                    (Fallback::Absent, _) if !asked => {
                        asked = true;
                        let blocks = self.geometry.blocks(bio.sector(), bio.sectors());
                        self.workers.may_block(|| self.map_blocks(blocks))
                    }
                    (_, Some(State::Filling)) => return self.park(bio),
                    _ => false,
                };
                if again {
                    continue;
                }
            }
            if bio.op() == Op::Write && self.options.fill_layout {
                match self.fill(bio) {
                    None => return,
                    Some(back) => bio = back,
                }
            }
            match self.through_filesystem(bio) {
                None => return,
                // Somebody has mapped it meanwhile.
                Some(back) => bio = back,
            }
        }
    }

    /// Whether it is a write into one extent that has no data.
    pub(crate) fn is_fill(&self, bio: &Bio) -> bool {
        if bio.op() != Op::Write {
            return false;
        }
        let blocks = self.geometry.blocks(bio.sector(), bio.sectors());
        let found = self
            .map
            .lookup(blocks.start, &kernel::sync::rcu::read_lock());
        matches!(found, Found::Extent(e) if e.state.reads_zeros() && e.end() >= blocks.end)
    }

    /// Gives blocks back to the filesystem, or makes them zeros. The block layer's status.
    fn punch(&self, bio: &Bio) -> u32 {
        let zeroes = bio.op() == Op::WriteZeroes;
        let (sector, sectors) = (bio.sector(), bio.sectors());
        let whole = self.geometry.whole_blocks(sector, sectors);
        let (offset, bytes, blocks) = if zeroes {
            let touched = self.geometry.blocks(sector, sectors);
            (self.geometry.offset(sector), bio.bytes().into(), touched)
        } else {
            // A discard is a hint: parts of blocks stay as they are.
            let bytes = self.geometry.bytes(whole.end - whole.start);
            (self.geometry.bytes(whole.start), bytes, whole)
        };
        let unmap = !zeroes || !bio.has(flag::NOUNMAP);
        self.count(Counter::Discards, Counter::DiscardBytes, bio.bytes());
        if bytes == 0 || (unmap && self.is_hole(blocks)) {
            return bindings::BLK_STS_OK;
        }
        let mode = if unmap { PUNCH_HOLE } else { ZERO_RANGE } | KEEP_SIZE;
        let done = self.change_blocks(blocks, || {
            if blocks != whole {
                // The filesystem zeroes parts of blocks in the page cache, which may hold something older.
                let (start, len) = (blocks.start, blocks.end - blocks.start);
                self.backing
                    .write_back(self.geometry.bytes(start), self.geometry.bytes(len))?;
            }
            self.backing.allocate(mode, offset, bytes)?;
            if blocks != whole {
                // The filesystem has zeroed parts of blocks in the page cache.
                let (start, len) = (blocks.start, blocks.end - blocks.start);
                self.backing
                    .write_back(self.geometry.bytes(start), self.geometry.bytes(len))?;
            }
            Ok(())
        });
        match done {
            // What it cannot do has no effect, and the block layer has another way.
            Err(error) if error == EOPNOTSUPP => shim::sts_notsupp(),
            done => status_of(errno(done)),
        }
    }

    /// Changes which blocks the file has in a range, or what is in them, through the filesystem.
    ///
    /// The order: claim the range, so that nobody maps it; take it out of the map; wait for I/O that found
    /// it there; change it; then let it be mapped again.
    fn change_blocks(&self, blocks: Range, change: impl FnOnce() -> Result) -> Result {
        // Before `changing`; see `fill`.
        self.start_write(From::Worker);
        let changing = self.changing.lock();
        let claim = loop {
            if let Err(error) = self.commit_fills_locked() {
                drop(changing);
                self.end_write();
                return Err(error);
            }
            // What is to be committed stays.
            let may_go = |state| !matches!(state, State::Filling | State::Filled);
            if let Some(claim) = self.take_out(blocks, may_go) {
                break claim;
            }
            // A fill came meanwhile: it is published, then committed.
            self.epoch.drain();
        };
        let len = blocks.end - blocks.start;
        trace::extent_drop(
            self,
            self.geometry.bytes(blocks.start),
            self.geometry.bytes(len),
        );
        let done = self.alone(|| {
            self.epoch.drain();
            change()
        });
        self.durability.soil();
        self.locked.lock().claims.release(claim);
        drop(changing);
        self.end_write();
        done
    }

    /// Whether the map says that a range has no blocks.
    fn is_hole(&self, blocks: Range) -> bool {
        let map_use = self.epoch.get_extent_map();
        let mut block = blocks.start;
        while block < blocks.end {
            match self.map.lookup(block, &kernel::sync::rcu::read_lock()) {
                Found::Extent(extent) if extent.state == State::Hole => block = extent.end(),
                _ => break,
            }
        }
        self.put_extent_map(map_use);
        block >= blocks.end
    }
}

/// How often a FUA write lets a flush go before it, while others keep the device dirty, before it does what it
/// needs with the map held.
const MOST_FLUSHES: u32 = 3;

/// `FALLOC_FL_*`, as `fallocate(2)` has them.
const KEEP_SIZE: u32 = 0x01;
const PUNCH_HOLE: u32 = 0x02;
const ZERO_RANGE: u32 = 0x10;
