// SPDX-License-Identifier: GPL-2.0

//! Memory for changes of the map, taken before its lock.

use core::{mem, ptr};

use super::super::super::platform::LEAF_BYTES;
use super::node::{Index, Leaf};
use super::Memory;

/// Memory for changes of the map.
pub(crate) struct Spare<M: Memory> {
    leaves: [*mut Leaf; SPARE_LEAVES],
    index: *mut Index,
    /// How many slots there is room for in the index.
    slots: usize,
    memory: core::marker::PhantomData<M>,
}

// SAFETY: It owns what it points to, and nobody else can reach that.
unsafe impl<M: Memory> Send for Spare<M> {}

/// A change writes one leaf, or two if the first is full.
const SPARE_LEAVES: usize = 2;

impl<M: Memory> Spare<M> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            leaves: [ptr::null_mut(); SPARE_LEAVES],
            index: ptr::null_mut(),
            slots: 0,
            memory: core::marker::PhantomData,
        }
    }

    /// Allocates what is missing for one change of a map that has this many slots now. A map that has grown
    /// since may need more: then the change says [`Full`](super::Full), and the spare has to be filled again.
    ///
    /// `None` if there is no memory.
    pub(crate) fn fill(&mut self, slots: usize) -> Option<()> {
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.is_null()) {
            *leaf = M::allocate(LEAF_BYTES).cast();
            if leaf.is_null() {
                return None;
            }
        }
        if self.index.is_null() || self.slots <= slots {
            // SAFETY: It was not published.
            unsafe { M::free(self.index.cast()) };
            // Some more than it needs now, so that it does for the next changes too.
            self.slots = slots + 1 + slots / 8;
            self.index = M::allocate(Index::bytes(self.slots)).cast();
        }
        (!self.index.is_null()).then_some(())
    }

    /// One leaf.
    pub(super) fn leaf(&mut self) -> Option<*mut Leaf> {
        let leaf = self.leaves.iter_mut().find(|leaf| !leaf.is_null())?;
        Some(mem::replace(leaf, ptr::null_mut()))
    }

    /// An index with room for so many slots.
    pub(super) fn index(&mut self, slots: usize) -> Option<*mut Index> {
        let fits = !self.index.is_null() && self.slots >= slots;
        fits.then(|| mem::replace(&mut self.index, ptr::null_mut()))
    }

    /// All leaves, and an index with room for so many slots; or nothing at all.
    pub(super) fn leaves_and_index(
        &mut self,
        slots: usize,
    ) -> Option<([*mut Leaf; SPARE_LEAVES], *mut Index)> {
        if self.leaves.iter().any(|leaf| leaf.is_null()) {
            return None;
        }
        let index = self.index(slots)?;
        Some((
            mem::replace(&mut self.leaves, [ptr::null_mut(); SPARE_LEAVES]),
            index,
        ))
    }
}

impl<M: Memory> Drop for Spare<M> {
    fn drop(&mut self) {
        let leaves = self.leaves.iter().map(|leaf| leaf.cast::<u8>());
        for pointer in leaves.chain([self.index.cast()]) {
            // SAFETY: What is still in the spare was not published.
            unsafe { M::free(pointer) };
        }
    }
}
