// SPDX-License-Identifier: GPL-2.0

//! Commits: the filesystem is told of fills that are on disk, which makes data and mapping durable. See `fill`.

use core::sync::atomic::{AtomicU64, Ordering};

use kernel::{bindings, error::to_result, prelude::*};

use crate::{
    bio::{errno, status_of},
    device::Device,
    extent::{map::Found, Extent, State, MAX_BLOCK},
    fast::From,
    shim::{self, Written},
    stats::Counter,
    trace::{self, How},
};

/// How many fills wait to be made durable.
pub(crate) struct Uncommitted(AtomicU64);

impl Uncommitted {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add(&self, fills: u64) {
        self.0.fetch_add(fills, Ordering::Relaxed);
    }

    /// All of them, for who makes them durable; to be given back if that fails.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Device {
    /// Commits what is filled, if there is anything. An error also stays, for flushes to report.
    pub(crate) fn commit_fills(&self) -> Result {
        if !self.has_filled() {
            return Ok(());
        }
        self.start_write(From::Worker);
        let changing = self.changing.lock();
        let committed = self.commit_fills_locked();
        drop(changing);
        self.end_write();
        committed
    }

    /// Whether something is filled that is not committed.
    pub(crate) fn has_filled(&self) -> bool {
        self.locked.lock().writer.filled > 0
    }

    /// As [`Device::commit_fills`], with `changing` held. One extent that cannot be committed does not keep others from it.
    pub(crate) fn commit_fills_locked(&self) -> Result {
        let mut from = 0;
        let mut all = Ok(());
        while self.has_filled() {
            let (batch, next) = self.filled_from(from);
            if batch.is_empty() {
                break;
            }
            if let Err(error) = self.commit(&batch) {
                self.durability.fail(error);
                self.distrust(error);
                all = all.and(Err(error));
            }
            from = next;
        }
        all
    }

    /// Filled extents, a batch of them, and where to go on.
    fn filled_from(&self, from: u64) -> (Batch, u64) {
        let mut batch = Batch::new();
        let mut block = from;
        while block < MAX_BLOCK && !batch.is_full() {
            let found = self.map.lookup(block, &kernel::sync::rcu::read_lock());
            block = match found {
                Found::Absent { end } => end,
                Found::Extent(extent) => {
                    if extent.state == State::Filled {
                        batch.push(extent);
                    }
                    extent.end()
                }
            };
        }
        (batch, block)
    }

    /// Tells the filesystem of extents that are on disk.
    fn commit(&self, batch: &Batch) -> Result {
        let mut written = [Written {
            offset: 0,
            length: 0,
            disk: 0,
        }; shim::COMMIT_BATCH];
        for (written, extent) in written.iter_mut().zip(batch.extents()) {
            *written = Written {
                offset: self.geometry.bytes(extent.start),
                length: self.geometry.bytes(extent.len),
                disk: self.geometry.bytes(extent.disk),
            };
        }
        let count = batch.extents().len();
        let fills = self.fills.filled.take();
        let traced = trace::Commit::begin(self, How::Layout, fills);
        for range in &written[..count] {
            traced.range(self, range.offset, range.length);
        }
        // SAFETY: The filesystem has layouts and we hold one; the ranges are whole blocks that this
        // device has written.
        let committed = to_result(unsafe {
            shim::rloop_commit_blocks(self.backing.inode(), written.as_ptr(), count as i32)
        });
        traced.end(self, errno(committed));
        self.stats.add(Counter::Commits, 1);
        if committed.is_err() {
            self.fills.filled.add(fills);
        }
        committed?;
        for extent in batch.extents() {
            // Who reads the file through a mapping may have fetched zeros just before the commit.
            if self.backing.is_cached() {
                let (start, len) = (extent.start, extent.len);
                self.drop_pages(self.geometry.bytes(start), self.geometry.bytes(len));
            }
            self.change_state(
                extent.range(),
                State::Filled,
                State::Written,
                self.take_spare(),
            );
        }
        Ok(())
    }

    /// Commits, and ends the fills that wait for it. In a worker.
    pub(crate) fn do_commit(&self) {
        let mut waiting = self.workers.take_fills();
        // An error stays, and is looked at below.
        let _ = self.commit_fills();
        let error = self.durability.error();
        while let Some(clone) = waiting.pop() {
            // SAFETY: The fill was kept for this, and is ours.
            unsafe {
                if error != 0 {
                    (*clone).bi_status = status_of(error) as bindings::blk_status_t;
                }
                self.complete(clone);
            }
        }
    }
}

/// A few extents.
struct Batch {
    extents: [Extent; shim::COMMIT_BATCH],
    len: usize,
}

impl Batch {
    const fn new() -> Self {
        let none = Extent {
            start: 0,
            len: 0,
            disk: 0,
            state: State::Filled,
        };
        Self {
            extents: [none; shim::COMMIT_BATCH],
            len: 0,
        }
    }

    fn push(&mut self, extent: Extent) {
        self.extents[self.len] = extent;
        self.len += 1;
    }

    fn is_full(&self) -> bool {
        self.len == self.extents.len()
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn extents(&self) -> &[Extent] {
        &self.extents[..self.len]
    }
}
