// SPDX-License-Identifier: GPL-2.0

//! The host's memory for maps: it counts what is out, and frees at once, overwriting what it frees, so
//! that whoever still looks at it sees nonsense.

use std::alloc::{alloc, dealloc, Layout};
use std::cell::Cell;

thread_local! {
    static OUT: Cell<isize> = const { Cell::new(0) };
}

/// How many allocations of this thread are not freed.
pub(crate) fn out() -> isize {
    OUT.get()
}

/// Before what we hand out, to know how long it is.
const HEAD: usize = 16;

pub(crate) fn allocate(bytes: usize) -> *mut u8 {
    OUT.set(OUT.get() + 1);
    // SAFETY: The layout has a size, and its first word is ours.
    unsafe {
        let start = alloc(layout(bytes));
        start.cast::<usize>().write(bytes);
        start.add(HEAD)
    }
}

/// # Safety
/// `pointer` is from `allocate`, and nobody looks at it any more.
pub(crate) unsafe fn free(pointer: *mut u8) {
    OUT.set(OUT.get() - 1);
    // SAFETY: The caller vouches that it is from `allocate`.
    unsafe {
        let start = pointer.sub(HEAD);
        let bytes = start.cast::<usize>().read();
        pointer.write_bytes(0xa5, bytes);
        dealloc(start, layout(bytes));
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + HEAD, 16).expect("no test allocates that much")
}
