// SPDX-License-Identifier: GPL-2.0

//! What the pure code needs of the place it runs in: here, the kernel.

use core::ptr;

pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};

use kernel::{bindings, sync::rcu};

use crate::{extent::map::Memory, shim};

/// As much as an insert copies; an index of a million extents is a hundred times that, and copied when a leaf
/// is full.
pub(crate) const LEAF_BYTES: usize = 2048;

/// The kernel's memory for extent maps. Readers are RCU readers.
pub(crate) struct Kernel;

// SAFETY: The kernel's allocator gives memory that is aligned to its size's lowest bit, at least 16 for
// sizes that are multiples of 16, and nobody else has. `retire` waits for all RCU readers.
unsafe impl Memory for Kernel {
    type Reading = rcu::Guard;

    /// Never null: it waits for memory. Workers are not let wait for I/O by their own rules.
    fn allocate(bytes: usize) -> *mut u8 {
        // A multiple of 16 is aligned to 16.
        let bytes = bytes.next_multiple_of(16);
        // SAFETY: Any size and flags are allowed where it may sleep, and it is called nowhere else.
        unsafe {
            bindings::__kvmalloc_node_noprof(bytes, ptr::null_mut(), 1, shim::gfp_map(), -1).cast()
        }
    }

    unsafe fn free(pointer: *mut u8) {
        // SAFETY: The caller says that it is from `allocate` and that nobody else knows it.
        unsafe { bindings::kvfree(pointer.cast()) };
    }

    unsafe fn retire(pointer: *mut u8) {
        // SAFETY: The caller says that no new reader comes to it; its first two words are a link.
        unsafe { shim::rloop_free_after_readers(pointer.cast()) };
    }
}
