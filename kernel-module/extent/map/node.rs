// SPDX-License-Identifier: GPL-2.0

//! What the map is made of: an index, and leaves with the extents.

use core::mem::size_of;
use core::ptr;

use super::super::super::platform::{AtomicPtr, LEAF_BYTES};
use super::super::{Packed, Range, MAX_BLOCK};

/// For [`Memory::retire`] to link what it keeps.
type Link = [usize; 2];

/// The most extents in one leaf.
pub(crate) const LEAF_EXTENTS: usize = (LEAF_BYTES - size_of::<Leaf>()) / size_of::<Packed>();

/// What a leaf begins with; its extents follow.
#[repr(C, align(16))]
pub(super) struct Leaf {
    link: Link,
    len: usize,
}

impl Leaf {
    pub(super) fn extents(&self) -> &[Packed] {
        // SAFETY: Whoever made the leaf allocated a whole one, and wrote `len` extents behind this.
        unsafe {
            core::slice::from_raw_parts(ptr::from_ref(self).add(1).cast::<Packed>(), self.len)
        }
    }

    /// How many extents start at `block` or before it.
    #[inline]
    pub(super) fn up_to(&self, block: u64) -> usize {
        self.extents().partition_point(|e| e.start() <= block)
    }

    /// Writes a leaf.
    ///
    /// # Safety
    /// `leaf` is memory for a leaf that nobody else reads or writes, and there is room for the extents.
    pub(super) unsafe fn write<'a>(leaf: *mut Self, parts: impl Iterator<Item = &'a [Packed]>) {
        let mut len = 0;
        for part in parts {
            // SAFETY: The caller vouches for the room; what is written comes from other memory.
            unsafe {
                let place = leaf.add(1).cast::<Packed>().add(len);
                ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
            }
            len += part.len();
        }
        // SAFETY: As above.
        unsafe { leaf.write(Self { link: [0; 2], len }) };
    }
}

#[repr(C)]
pub(super) struct Slot {
    /// The smallest file block this slot is for. Never changes; 0 in the first slot.
    pub(super) first: u64,
    /// Null where nothing is mapped. Extents in it end before the next slot's `first`.
    pub(super) leaf: AtomicPtr<Leaf>,
}

/// What an index begins with; its slots follow.
#[repr(C, align(16))]
pub(super) struct Index {
    link: Link,
    len: usize,
}

impl Index {
    pub(super) const fn bytes(slots: usize) -> usize {
        size_of::<Self>() + slots * size_of::<Slot>()
    }

    pub(super) fn slots(&self) -> &[Slot] {
        // SAFETY: Whoever made the index allocated and wrote `len` slots behind it.
        unsafe { core::slice::from_raw_parts(ptr::from_ref(self).add(1).cast::<Slot>(), self.len) }
    }

    /// The slot for a file block.
    pub(super) fn find(&self, block: u64) -> usize {
        self.slots().partition_point(|slot| slot.first <= block) - 1
    }

    /// The range of file blocks that a slot is for.
    pub(super) fn range(&self, slot: usize) -> Range {
        let slots = self.slots();
        let end = slots.get(slot + 1).map_or(MAX_BLOCK, |next| next.first);
        Range::new(slots[slot].first, end)
    }
}

/// Writes an index with these slots.
///
/// # Safety
/// `index` is memory for that many slots that nobody else reads or writes.
pub(super) unsafe fn write_index(index: *mut Index, slots: impl Iterator<Item = (u64, *mut Leaf)>) {
    let mut len = 0;
    for (first, leaf) in slots {
        let leaf = AtomicPtr::new(leaf);
        // SAFETY: The caller vouches for the room.
        unsafe {
            index
                .add(1)
                .cast::<Slot>()
                .add(len)
                .write(Slot { first, leaf })
        };
        len += 1;
    }
    // SAFETY: As above.
    unsafe { index.write(Index { link: [0; 2], len }) };
}
