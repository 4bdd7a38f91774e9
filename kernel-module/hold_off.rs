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
//! does not stand back, and the workers wait no longer than [`LONGEST_MS`]: who holds them off may wait for memory, and
//! that for their I/O.

use core::sync::atomic::{AtomicU32, Ordering};

use kernel::{new_mutex, prelude::*, sync::Mutex};

use crate::shim;

/// How long a worker waits at most, in milliseconds.
const LONGEST_MS: u32 = 1000;

/// For whom fast I/O stands back.
#[pin_data]
pub(crate) struct HoldOff {
    #[pin]
    one_at_a_time: Mutex<()>,
    /// Odd: it is on.
    turn: AtomicU32,
}

impl HoldOff {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            one_at_a_time <- new_mutex!((), "rloop_hold_off"),
            turn: AtomicU32::new(0),
        })
    }

    /// Does something meanwhile.
    pub(crate) fn during<T>(&self, what: impl FnOnce() -> T) -> T {
        let _one = self.one_at_a_time.lock();
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
        self.turn.load(Ordering::SeqCst) % 2 == 1
    }

    /// Waits until it is over, if it is on. With nothing held.
    pub(crate) fn wait(&self) {
        let turn = self.turn.load(Ordering::SeqCst);
        if turn % 2 == 1 {
            // SAFETY: The number stays where it is meanwhile.
            unsafe { shim::rloop_wait_for_change(self.turn.as_ptr(), turn, LONGEST_MS) };
        }
    }
}
