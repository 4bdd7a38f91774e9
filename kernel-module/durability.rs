// SPDX-License-Identifier: GPL-2.0

//! What is durable: the device is a disk with a volatile write cache.
//!
//! # The rule
//! Whatever the filesystem has to remember raises `dirty` before its bio ends. A flush reads `dirty`, makes
//! everything durable, and only on success stores what it had read as `clean`. So while the two are equal,
//! everything that has completed is durable, and the disk below may answer flushes and FUA writes by itself.
//!
//! - A write through the filesystem raises it once, when the filesystem is done.
//! - A fill on disk raises it *before and after* it is published. Before: who finds the block filled finds the
//!   device dirty. After: a flush that had read `dirty` already, and then looked for fills to commit too early
//!   to see this one, leaves the device dirty.
//! - A FUA write looks at this only after it has found its block, while it holds the map: whatever made the
//!   block findable had raised `dirty` before, and nobody can take the block away and fill it anew meanwhile.
//!   A block that is filled and not committed takes no FUA write at all, however clean the device is.
//! - Only a flush, which commits fills, may raise `clean`.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use kernel::{
    error::{code::EIO, Error, Result},
    ffi::c_int,
};

use crate::{
    bio::{errno, Bio},
    device::Device,
    stats::Counter,
    trace::{self, How, Vfs},
};

/// What a device knows of its durability.
pub(crate) struct Durability {
    dirty: AtomicU64,
    clean: AtomicU64,
    /// The first error that may have lost something: 0, or a negative errno. It stays until detach.
    error: AtomicI32,
    /// Blocks were written past the filesystem, which has not noted the time yet.
    written: AtomicBool,
}

impl Durability {
    /// What was done to the file before it was attached may not be durable.
    pub(crate) const fn new() -> Self {
        Self {
            dirty: AtomicU64::new(1),
            clean: AtomicU64::new(0),
            error: AtomicI32::new(0),
            written: AtomicBool::new(false),
        }
    }

    /// Something now needs a flush to be durable. Before its bio ends.
    pub(crate) fn soil(&self) {
        self.dirty.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether everything that has completed is durable, but for the disk's own cache.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        let clean = self.clean.load(Ordering::SeqCst);
        clean == self.dirty.load(Ordering::SeqCst) && self.error() == 0
    }

    /// The error that flushes report: 0, or a negative errno.
    #[inline]
    pub(crate) fn error(&self) -> c_int {
        self.error.load(Ordering::Relaxed)
    }

    /// Keeps the first error.
    pub(crate) fn fail(&self, error: Error) {
        let error = error.to_errno();
        let _ = self
            .error
            .compare_exchange(0, error, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Blocks were written past the filesystem.
    #[inline]
    pub(crate) fn note_write(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::Relaxed);
        }
    }
}

impl Device {
    /// Makes everything that has completed durable. In a worker.
    pub(crate) fn flush(&self) -> Result {
        self.stats.add(Counter::Flushes, 1);
        let seen = self.durability.dirty.load(Ordering::SeqCst);
        self.commit_fills()?;
        self.sync()?;
        self.note_time();
        if self.durability.error() != 0 {
            return Err(EIO);
        }
        // A fill that is being published may have been too late for the commit, and not have raised `dirty` again.
        if !self.is_filling() {
            self.durability.clean.fetch_max(seen, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Makes what the filesystem knows durable.
    pub(crate) fn sync(&self) -> Result {
        let fills = self.fills.written.take();
        let traced = trace::Commit::begin(self, How::Vfs, fills);
        let synced = self.workers.may_block(|| self.backing.sync());
        traced.end(self, errno(synced));
        self.stats.add(Counter::Commits, 1);
        if let Err(error) = synced {
            self.fills.written.add(fills);
            self.durability.fail(error);
            self.distrust(error);
        }
        synced
    }

    /// Ends a flush that carries no data, once it is done.
    pub(crate) fn end_flush(&self, bio: Bio) {
        let traced = Vfs::submit(self, &bio);
        let error = errno(self.flush());
        traced.done(self, error, false);
        bio.end_with(error);
    }

    /// Lets the filesystem note when its file was last written.
    pub(crate) fn note_time(&self) {
        if self.durability.written.swap(false, Ordering::Relaxed) {
            self.backing.touch();
        }
    }
}
