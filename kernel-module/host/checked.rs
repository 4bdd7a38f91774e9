// SPDX-License-Identifier: GPL-2.0

//! The code with loom's atomics, which try every order of what two threads do.

pub(crate) mod platform {
    pub(crate) use loom::sync::atomic::{AtomicPtr, Ordering};

    pub(crate) const LEAF_BYTES: usize = 32 + 2 * 16;
}

#[path = "../extent.rs"]
#[expect(dead_code, reason = "the module uses all of it, these tests not")]
pub(crate) mod extent;
