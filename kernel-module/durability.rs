// SPDX-License-Identifier: GPL-2.0

//! What is durable: the device is a disk with a volatile write cache.
//!
//! # The rule
//! A fill that needs the filesystem to remember something raises `dirty` *before* its bio ends. A flush
//! reads `dirty`, makes everything durable, and only on success stores what it had read as `clean`. So
//! while the two are equal, every fill that has completed is durable, and the disk below may answer flushes
//! and FUA writes by itself.
//!
//! A FUA write to a mapped block looks at this only *after* it has found the block, while it holds the
//! map: the fill that made the block findable had raised `dirty` before, and nobody can take the block
//! away and fill it anew meanwhile.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use kernel::{
    error::{code::EIO, Error, Result},
    ffi::c_int,
};

use crate::{bio::Bio, device::Device, fast::errno, stats::Counter, trace};

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
        self.commit_fills();
        self.sync_file()?;
        self.note_time();
        if self.durability.error() != 0 {
            return Err(EIO);
        }
        Ok(())
    }

    /// Makes what the filesystem knows durable.
    pub(crate) fn sync_file(&self) -> Result {
        let durability = &self.durability;
        let clean = durability.clean.load(Ordering::SeqCst);
        let dirty = durability.dirty.load(Ordering::SeqCst);
        let started = trace::now();
        trace::commit_begin(self, dirty - clean.min(dirty));
        let synced = self.backing.sync();
        trace::commit_end(
            self,
            dirty - clean.min(dirty),
            trace::now() - started,
            errno(synced),
        );
        self.stats.add(Counter::Commits, 1);
        match synced {
            Ok(()) => {
                durability.clean.fetch_max(dirty, Ordering::SeqCst);
            }
            Err(error) => durability.fail(error),
        }
        synced
    }

    /// Ends a flush that carries no data, once it is done.
    pub(crate) fn end_flush(&self, bio: Bio) {
        bio.end_with(errno(self.flush()));
    }

    /// Lets the filesystem note when its file was last written.
    pub(crate) fn note_time(&self) {
        if self.durability.written.swap(false, Ordering::Relaxed) {
            self.backing.touch();
        }
    }
}
