// SPDX-License-Identifier: GPL-2.0

//! When what is traced began, and how long it took.

use super::raw;
use crate::{bio::Bio, fast::From};

/// When what is done began, and how long it had waited for a worker by then. In nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    /// When the driver got it; 0 if nobody listened then.
    pub(crate) came_ns: u64,
    /// 0 only if it needs no worker.
    pub(crate) wait_ns: u64,
}

impl Begun {
    /// Of a bio that begins now.
    #[inline]
    pub(crate) fn now(bio: &Bio, from: From) -> Self {
        if from == From::Submitter {
            return Self {
                came_ns: clock(),
                wait_ns: 0,
            };
        }
        let came_ns = bio.came_ns();
        Self {
            came_ns,
            wait_ns: since(came_ns).max(1),
        }
    }
}

/// Nanoseconds since the machine began.
pub(crate) fn now() -> u64 {
    // SAFETY: It may be called in any context.
    unsafe { kernel::bindings::ktime_get() as u64 }
}

/// How long ago something was, by [`clock`]; 0 if that is not known. Nanoseconds.
#[inline]
pub(crate) fn since(started_ns: u64) -> u64 {
    if started_ns == 0 {
        return 0;
    }
    clock().saturating_sub(started_ns)
}

/// When an I/O began, for [`since`]; 0 if nobody will want to know. Nanoseconds.
#[inline]
pub(crate) fn clock() -> u64 {
    // SAFETY: It may be called in any context.
    unsafe { raw::rloop_trace_clock() }
}
