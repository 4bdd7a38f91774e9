// SPDX-License-Identifier: GPL-2.0

//! The code with the atomics it has in the kernel, and leaves small enough that a few hundred extents
//! split many of them.

pub(crate) mod platform {
    pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};

    pub(crate) const LEAF_BYTES: usize = 32 + 4 * 16;
}

#[path = "../extent.rs"]
#[expect(dead_code, reason = "the module uses all of it, these tests not")]
pub(crate) mod extent;
