// SPDX-License-Identifier: GPL-2.0

//! The extent map: sorted extents that readers search without a lock while a writer changes them.
//!
//! # Shape
//! An *index* of slots, each with the smallest file block it is for and a *leaf* of up to
//! [`LEAF_EXTENTS`] extents. A lookup is two binary searches. 16 bytes an extent, and leaves that are
//! more than two thirds full on average: 24 bytes an extent at the most.
//!
//! # Readers and the writer
//! What a reader can reach never changes, but for the pointers to the index and to the leaves. The
//! writer builds a new leaf (or index) beside the old one, and swaps the pointer. The old one goes to
//! [`Memory::retire`], which frees it once no reader can still be in it.
//!
//! The writer is whoever has the map's [`Writer`]; the caller keeps that under a lock.
//!
//! # Memory
//! It is taken before the lock, as a [`Spare`]. A change under the lock may find that the spare does not
//! do, because the map has grown meanwhile; it is then tried again with another one.

#[path = "map/change.rs"]
mod change;
#[path = "map/node.rs"]
mod node;
#[path = "map/spare.rs"]
mod spare;

use core::ptr;

use super::super::platform::{AtomicPtr, Ordering};
use super::{Extent, Packed, Range, State, MAX_LEN};

use change::Change;
use node::{write_index, Index, Leaf, Slot};

pub(crate) use node::LEAF_EXTENTS;
pub(crate) use spare::Spare;

/// Where leaves and indexes come from, and how they go.
///
/// # Safety
/// `allocate` returns null, or memory for `bytes` bytes aligned to 16 that nobody else uses. `retire`
/// frees what `allocate` gave only when every [`Memory::Reading`] that existed then is gone.
pub(crate) unsafe trait Memory {
    /// While one of these exists, nothing that is retired meanwhile is freed.
    type Reading;

    /// Allocates; null if there is no memory.
    fn allocate(bytes: usize) -> *mut u8;

    /// Frees what no reader has ever seen.
    ///
    /// # Safety
    /// `pointer` is null, or from [`Memory::allocate`] and was not published.
    unsafe fn free(pointer: *mut u8);

    /// Frees what readers may be in, once they are out. The first two words may be overwritten at
    /// once: readers do not look at them.
    ///
    /// # Safety
    /// `pointer` is from [`Memory::allocate`], and no new reader can come to it.
    unsafe fn retire(pointer: *mut u8);
}

/// What a lookup finds at a file block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This extent covers the block.
    Extent(Extent),
    /// Nothing is known of the block, nor of those up to (and without) `end`.
    Absent {
        /// A block that may be known, or [`MAX_BLOCK`](super::MAX_BLOCK).
        end: u64,
    },
}

/// The right to change one map.
pub(crate) struct Writer {
    /// Extents in the map.
    pub(crate) extents: usize,
    /// Blocks in the map that are [`State::Filled`].
    pub(crate) filled: u64,
}

/// The [`Spare`] is used up, or the map has grown since it was made. Nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Extents of one file.
///
/// # Invariants
/// `index` points to an index of at least one slot, the first one for block 0. Extents in a slot's
/// leaf are sorted, do not overlap, and lie within the slot's range.
pub(crate) struct ExtentMap<M: Memory> {
    index: AtomicPtr<Index>,
    memory: core::marker::PhantomData<M>,
}

// SAFETY: What it points to is shared by the rules at the head of this file.
unsafe impl<M: Memory> Send for ExtentMap<M> {}
// SAFETY: As above.
unsafe impl<M: Memory> Sync for ExtentMap<M> {}

impl<M: Memory> ExtentMap<M> {
    /// An empty map, and the right to change it. `None` if there is no memory.
    pub(crate) fn new() -> Option<(Self, Writer)> {
        let index = M::allocate(Index::bytes(1)).cast::<Index>();
        if index.is_null() {
            return None;
        }
        // SAFETY: It is memory for an index with one slot, and ours.
        unsafe { write_index(index, core::iter::once((0, ptr::null_mut()))) };
        let map = Self {
            index: AtomicPtr::new(index),
            memory: core::marker::PhantomData,
        };
        Some((
            map,
            Writer {
                extents: 0,
                filled: 0,
            },
        ))
    }

    fn index<'a>(&'a self, _: &'a M::Reading) -> &'a Index {
        // SAFETY: By the invariant it is an index; it lives as long as who reads says so.
        unsafe { &*self.index.load(Ordering::Acquire) }
    }

    /// The index as the writer sees it, who alone replaces it.
    fn own_index(&self, _: &Writer) -> &Index {
        // SAFETY: By the invariant it is an index, and nobody else retires it.
        unsafe { &*self.index.load(Ordering::Acquire) }
    }

    /// How many slots the map has now, for [`Spare::new`].
    pub(crate) fn slots(&self, reading: &M::Reading) -> usize {
        self.index(reading).slots().len()
    }

    /// What covers a file block.
    #[inline]
    pub(crate) fn lookup(&self, block: u64, reading: &M::Reading) -> Found {
        let index = self.index(reading);
        let slot = index.find(block);
        let end = index.range(slot).end;
        let leaf = index.slots()[slot].leaf.load(Ordering::Acquire);
        // SAFETY: A leaf in the index is whole, and lives as long as who reads says so.
        let Some(leaf) = (unsafe { leaf.as_ref() }) else {
            return Found::Absent { end };
        };
        let next = leaf.up_to(block);
        if let Some(candidate) = next.checked_sub(1) {
            let extent = leaf.extents()[candidate].extent();
            if block < extent.end() {
                return Found::Extent(extent);
            }
        }
        let end = leaf.extents().get(next).map_or(end, Packed::start);
        Found::Absent { end }
    }

    /// Puts extents where nothing is known, and leaves what is known as it is. [`Full`] if the spare
    /// did not do for all of it: then a part was inserted.
    pub(crate) fn insert(
        &self,
        extent: &Extent,
        writer: &mut Writer,
        spare: &mut Spare<M>,
        reading: &M::Reading,
    ) -> Result<(), Full> {
        let mut block = extent.start;
        while block < extent.end() {
            block = match self.lookup(block, reading) {
                Found::Extent(known) => known.end(),
                Found::Absent { end } => {
                    let end = end.min(extent.end()).min(block + MAX_LEN);
                    let range = Range::new(block, end);
                    self.replace(range, Some(extent), writer, spare)?;
                    range.end
                }
            };
        }
        Ok(())
    }

    /// Makes a range absent. [`Full`] if the spare did not do for all of it: then a part was removed.
    pub(crate) fn remove(
        &self,
        range: Range,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        self.set(range, None, writer, spare)
    }

    /// Gives a part of an extent, as a lookup found it, another state. Each block changes at once: no
    /// reader finds it absent on the way.
    pub(crate) fn set_state(
        &self,
        part: &Extent,
        state: State,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        let new = Extent { state, ..*part };
        self.set(part.range(), Some(&new), writer, spare)
    }

    /// Puts an extent into the map in the place of whatever was there.
    pub(crate) fn put(
        &self,
        extent: &Extent,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        self.set(extent.range(), Some(extent), writer, spare)
    }

    fn set(
        &self,
        range: Range,
        new: Option<&Extent>,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        let mut start = range.start;
        while start < range.end {
            let index = self.own_index(writer);
            let slot = index.find(start);
            let end = index.range(slot).end.min(range.end);
            self.replace(Range::new(start, end), new, writer, spare)?;
            start = end;
        }
        Ok(())
    }

    /// Makes all absent at once. What was in the map is given back, to be dropped outside the lock.
    pub(crate) fn clear(
        &self,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<Cleared<M>, Full> {
        let new = spare.index(1).ok_or(Full)?;
        // SAFETY: The index is for one slot at least, and ours.
        unsafe { write_index(new, core::iter::once((0, ptr::null_mut()))) };
        writer.extents = 0;
        writer.filled = 0;
        Ok(Cleared {
            index: self.index.swap(new, Ordering::AcqRel),
            memory: core::marker::PhantomData,
        })
    }

    /// Makes what lies in a range, which is in one slot, the part of `new` that is in the range.
    fn replace(
        &self,
        range: Range,
        new: Option<&Extent>,
        writer: &mut Writer,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        let index = self.own_index(writer);
        let slot = index.find(range.start);
        let place = &index.slots()[slot].leaf;
        let old = place.load(Ordering::Acquire);
        // SAFETY: Only the writer retires leaves.
        let known = unsafe { old.as_ref() }.map_or(&[][..], Leaf::extents);
        let change = Change::new(known, range, new);
        if change.is_none() {
            return Ok(());
        }
        let len = change.len();
        if len > LEAF_EXTENTS {
            self.split(&change, index, slot, spare)?;
        } else if len == 0 {
            place.store(ptr::null_mut(), Ordering::Release);
        } else {
            let leaf = spare.leaf().ok_or(Full)?;
            // SAFETY: The leaf is ours, and has room for that many.
            unsafe { Leaf::write(leaf, change.parts(0, len)) };
            place.store(leaf, Ordering::Release);
        }
        writer.extents = writer.extents + len - known.len();
        writer.filled = writer.filled + change.filled_after() - change.filled_before();
        if !old.is_null() {
            // SAFETY: No index that a new reader can see has it any more.
            unsafe { M::retire(old.cast()) };
        }
        Ok(())
    }

    /// Puts two leaves in the place of one.
    fn split(
        &self,
        change: &Change<'_>,
        index: &Index,
        slot: usize,
        spare: &mut Spare<M>,
    ) -> Result<(), Full> {
        let slots = index.slots().len() + 1;
        let ([left, right], new) = spare.leaves_and_index(slots).ok_or(Full)?;
        let len = change.len();
        // Files are often written from one end to the other: then the left leaf stays full.
        let middle = if change.appends() {
            LEAF_EXTENTS
        } else {
            len / 2
        };
        let halves = [
            (index.slots()[slot].first, left),
            (change.start(middle), right),
        ];
        let before = index.slots()[..slot].iter();
        let after = index.slots()[slot + 1..].iter();
        let same = |slot: &Slot| (slot.first, slot.leaf.load(Ordering::Acquire));
        // SAFETY: Leaves and index are ours. A change has at most two extents more than a leaf has room for,
        // so two leaves have room for it; the index has room for one slot more than the old one.
        unsafe {
            Leaf::write(left, change.parts(0, middle));
            Leaf::write(right, change.parts(middle, len));
            write_index(new, before.map(same).chain(halves).chain(after.map(same)));
        }
        let old = self.index.swap(new, Ordering::AcqRel);
        // SAFETY: The new index has taken its place.
        unsafe { M::retire(old.cast()) };
        Ok(())
    }
}

impl<M: Memory> Drop for ExtentMap<M> {
    fn drop(&mut self) {
        drop(Cleared::<M> {
            index: self.index.load(Ordering::Acquire),
            memory: core::marker::PhantomData,
        });
    }
}

/// What was in a map that was cleared; dropping it frees that.
pub(crate) struct Cleared<M: Memory> {
    index: *mut Index,
    memory: core::marker::PhantomData<M>,
}

impl<M: Memory> Drop for Cleared<M> {
    fn drop(&mut self) {
        // SAFETY: The index was taken out of the map whole, so no new reader can come to it or to its
        // leaves; and only one `Cleared` has it.
        unsafe {
            for slot in (*self.index).slots() {
                let leaf = slot.leaf.load(Ordering::Acquire);
                if !leaf.is_null() {
                    M::retire(leaf.cast());
                }
            }
            M::retire(self.index.cast());
        }
    }
}
