// SPDX-License-Identifier: GPL-2.0

//! Fast I/O that stands back for a while, where it counts as direct I/O of the file.
//!
//! ext4 changes blocks, and zeroes the rest of blocks that it writes parts of, when no direct I/O is under way, and
//! keeps any from beginning by a lock meanwhile. Fast I/O does not take that lock, so that under load there would always
//! be some.
//!
//! # The rule
//! What comes from the block layer goes to the workers, who wait until this is over, once: so what is under way ends,
//! and nobody is kept waiting by one who comes after another. This is fairness only. Nothing may go wrong when somebody
//! does not stand back, and after [`LONGEST_MS`] nobody does: who holds them off may wait for a journal, or for memory and
//! that for their I/O.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kernel::{new_mutex, prelude::*, sync::Mutex};

use crate::{shim, trace};

/// How long I/O stands back at most, in milliseconds: longer than a disk takes for what was sent to it before.
const LONGEST_MS: u32 = 200;

/// For whom fast I/O stands back.
#[pin_data]
pub(crate) struct HoldOff {
    #[pin]
    one_at_a_time: Mutex<()>,
    /// Odd: it is on.
    turn: AtomicU32,
    /// When it was put on last, in nanoseconds.
    began_ns: AtomicU64,
}

impl HoldOff {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            one_at_a_time <- new_mutex!((), "rloop_hold_off"),
            turn: AtomicU32::new(0),
            began_ns: AtomicU64::new(0),
        })
    }

    /// Does something meanwhile.
    pub(crate) fn during<T>(&self, what: impl FnOnce() -> T) -> T {
        let _one = self.one_at_a_time.lock();
        self.began_ns.store(trace::now(), Ordering::SeqCst);
        self.turn.fetch_add(1, Ordering::SeqCst);
        let done = what();
        self.turn.fetch_add(1, Ordering::SeqCst);
        // SAFETY: It only takes the address, to wake who waits there.
        unsafe { shim::rloop_wake(self.turn.as_ptr()) };
        done
    }

    /// Whether it is on.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.turn.load(Ordering::SeqCst) % 2 == 1 && self.left_ms() > 0
    }

    /// Waits until it is over, if it is on. With nothing held.
    pub(crate) fn wait(&self) {
        let turn = self.turn.load(Ordering::SeqCst);
        let left_ms = self.left_ms();
        if turn % 2 == 1 && left_ms > 0 {
            // SAFETY: The number stays where it is meanwhile.
            unsafe { shim::rloop_wait_for_change(self.turn.as_ptr(), turn, left_ms) };
        }
    }

    /// How much longer it may take.
    fn left_ms(&self) -> u32 {
        const NS: u64 = 1_000_000;
        let gone_ns = trace::now().saturating_sub(self.began_ns.load(Ordering::SeqCst));
        LONGEST_MS.saturating_sub(u32::try_from(gone_ns / NS).unwrap_or(LONGEST_MS))
    }
}
