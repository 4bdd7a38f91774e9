// SPDX-License-Identifier: GPL-2.0

//! A device's counters, kept per processor.

use kernel::prelude::*;

use crate::{
    abi::{COUNTERS, COUNTER_NAMES},
    shim,
};

/// What is counted, in the order of [`COUNTER_NAMES`].
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Counter {
    FastReads,
    FastReadBytes,
    FastWrites,
    FastWriteBytes,
    ZeroReads,
    ZeroReadBytes,
    VfsReads,
    VfsReadBytes,
    VfsWrites,
    VfsWriteBytes,
    Fills,
    FillBytes,
    Commits,
    Discards,
    DiscardBytes,
    Flushes,
    FastFlushes,
    Invalidations,
    Recalls,
    Errors,
}

const _: () = assert!(Counter::Errors as usize + 1 == COUNTER_NAMES.len());

/// The counters of one device.
pub(crate) struct Stats(*mut u64);

// SAFETY: Adding is one instruction on the processor's own copy.
unsafe impl Sync for Stats {}
// SAFETY: As above.
unsafe impl Send for Stats {}

impl Stats {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Any count will do.
        let stats = unsafe { shim::rloop_stats_alloc(COUNTERS as u32) };
        if stats.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(stats))
    }

    #[inline]
    pub(crate) fn add(&self, counter: Counter, value: u64) {
        // SAFETY: The counter is one of them.
        unsafe { shim::rloop_stats_add(self.0, counter as u32, value) };
    }

    /// The sums over all processors.
    pub(crate) fn sums(&self) -> [u64; COUNTERS] {
        // SAFETY: The indexes are those of the counters.
        core::array::from_fn(|index| unsafe { shim::rloop_stats_sum(self.0, index as u32) })
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        // SAFETY: It was allocated when it was made.
        unsafe { shim::rloop_stats_free(self.0) };
    }
}
