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

use core::mem::size_of;
use core::ptr;

use super::super::platform::{AtomicPtr, Ordering, LEAF_BYTES};
use super::{Extent, Packed, Range, State, MAX_BLOCK, MAX_LEN};

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

/// For [`Memory::retire`] to link what it keeps.
type Link = [usize; 2];

/// The most extents in one leaf.
pub(crate) const LEAF_EXTENTS: usize = (LEAF_BYTES - size_of::<Leaf>()) / size_of::<Packed>();

/// What a leaf begins with; its extents follow.
#[repr(C, align(16))]
struct Leaf {
    link: Link,
    len: usize,
}

impl Leaf {
    fn extents(&self) -> &[Packed] {
        // SAFETY: Whoever made the leaf allocated a whole one, and wrote `len` extents behind this.
        unsafe {
            core::slice::from_raw_parts(ptr::from_ref(self).add(1).cast::<Packed>(), self.len)
        }
    }

    /// How many extents start at `block` or before it.
    #[inline]
    fn up_to(&self, block: u64) -> usize {
        self.extents().partition_point(|e| e.start() <= block)
    }

    /// Writes a leaf.
    ///
    /// # Safety
    /// `leaf` is memory for a leaf that nobody else reads or writes, and there is room for the extents.
    unsafe fn write<'a>(leaf: *mut Self, parts: impl Iterator<Item = &'a [Packed]>) {
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
struct Slot {
    /// The smallest file block this slot is for. Never changes; 0 in the first slot.
    first: u64,
    /// Null where nothing is mapped. Extents in it end before the next slot's `first`.
    leaf: AtomicPtr<Leaf>,
}

/// What an index begins with; its slots follow.
#[repr(C, align(16))]
struct Index {
    link: Link,
    len: usize,
}

impl Index {
    const fn bytes(slots: usize) -> usize {
        size_of::<Self>() + slots * size_of::<Slot>()
    }

    fn slots(&self) -> &[Slot] {
        // SAFETY: Whoever made the index allocated and wrote `len` slots behind it.
        unsafe { core::slice::from_raw_parts(ptr::from_ref(self).add(1).cast::<Slot>(), self.len) }
    }

    /// The slot for a file block.
    fn find(&self, block: u64) -> usize {
        self.slots().partition_point(|slot| slot.first <= block) - 1
    }

    /// The range of file blocks that a slot is for.
    fn range(&self, slot: usize) -> Range {
        let slots = self.slots();
        let end = slots.get(slot + 1).map_or(MAX_BLOCK, |next| next.first);
        Range::new(slots[slot].first, end)
    }
}

/// What a lookup finds at a file block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This extent covers the block.
    Extent(Extent),
    /// Nothing is known of the block, nor of those up to (and without) `end`.
    Absent {
        /// A block that may be known, or [`MAX_BLOCK`].
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
    /// since may need more: then the change says [`Full`], and the spare has to be filled again.
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

    fn leaf(&mut self) -> Option<*mut Leaf> {
        let leaf = self.leaves.iter_mut().find(|leaf| !leaf.is_null())?;
        Some(core::mem::replace(leaf, ptr::null_mut()))
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
        self.index(reading).len
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
        let new = core::mem::replace(&mut spare.index, ptr::null_mut());
        if new.is_null() {
            return Err(Full);
        }
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
        let [left, right] = spare.leaves;
        if left.is_null() || right.is_null() || spare.index.is_null() || spare.slots <= index.len {
            return Err(Full);
        }
        let new = core::mem::replace(&mut spare.index, ptr::null_mut());
        spare.leaves = [ptr::null_mut(); SPARE_LEAVES];
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

/// Writes an index with these slots.
///
/// # Safety
/// `index` is memory for that many slots that nobody else reads or writes.
unsafe fn write_index(index: *mut Index, slots: impl Iterator<Item = (u64, *mut Leaf)>) {
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

/// What a leaf becomes: most of its extents stay as they are, before and behind a few that change.
struct Change<'a> {
    before: &'a [Packed],
    changed: [Packed; CHANGED],
    changed_len: usize,
    behind: &'a [Packed],
    /// The extents that `changed` takes the place of.
    known: &'a [Packed],
    range: Range,
    new: Option<&'a Extent>,
}

/// A neighbour, what is left of an extent before the range, the new one, what is left behind, a neighbour.
const CHANGED: usize = 5;

impl<'a> Change<'a> {
    /// `known` without what lies in `range`, and there the part of `new`.
    fn new(known: &'a [Packed], range: Range, new: Option<&'a Extent>) -> Self {
        let first = known.partition_point(|e| e.extent().end() <= range.start);
        let last = known.partition_point(|e| e.start() < range.end).max(first);
        // The neighbours too, as they may join.
        let (from, to) = (first.saturating_sub(1), (last + 1).min(known.len()));
        let mut change = Self {
            before: &known[..from],
            changed: [Packed::EMPTY; CHANGED],
            changed_len: 0,
            behind: &known[to..],
            known: &known[first..last],
            range,
            new,
        };
        let touched = &known[from..to];
        for extent in touched.iter().map(Packed::extent) {
            if extent.start < range.start {
                change.push(&extent.part(Range::new(0, range.start)));
            }
        }
        if let Some(new) = new {
            change.push(&new.part(range));
        }
        for extent in touched.iter().map(Packed::extent) {
            if extent.end() > range.end {
                change.push(&extent.part(Range::new(range.end, MAX_BLOCK)));
            }
        }
        change
    }

    fn push(&mut self, extent: &Extent) {
        if let Some(last) = self.changed_len.checked_sub(1) {
            let mut joined = self.changed[last].extent();
            if joined.joins(extent) {
                joined.len += extent.len;
                self.changed[last] = Packed::new(&joined);
                return;
            }
        }
        self.changed[self.changed_len] = Packed::new(extent);
        self.changed_len += 1;
    }

    /// Whether all stays as it is.
    fn is_none(&self) -> bool {
        self.new.is_none() && self.known.is_empty()
    }

    /// Whether nothing is known behind the new extent.
    fn appends(&self) -> bool {
        self.new.is_some() && self.behind.is_empty()
    }

    fn sections(&self) -> [&[Packed]; 3] {
        [self.before, &self.changed[..self.changed_len], self.behind]
    }

    /// How many extents there are to be.
    fn len(&self) -> usize {
        self.sections().iter().map(|section| section.len()).sum()
    }

    /// The extents to be from one to, and without, another.
    fn parts(&self, from: usize, to: usize) -> impl Iterator<Item = &[Packed]> {
        let mut passed = 0;
        self.sections().into_iter().map(move |section| {
            let clamp = |place: usize| place.saturating_sub(passed).min(section.len());
            let part = &section[clamp(from)..clamp(to)];
            passed += section.len();
            part
        })
    }

    /// The first file block of one of the extents to be.
    fn start(&self, place: usize) -> u64 {
        let first = self.parts(place, place + 1).flatten().next();
        first.map_or(MAX_BLOCK, Packed::start)
    }

    /// How many filled blocks are in the range.
    fn filled_before(&self) -> u64 {
        let filled = self
            .known
            .iter()
            .map(Packed::extent)
            .filter(|e| e.state == State::Filled);
        filled.map(|e| e.part(self.range).len).sum()
    }

    /// How many there are to be.
    fn filled_after(&self) -> u64 {
        let new = self.new.filter(|e| e.state == State::Filled);
        new.map_or(0, |e| e.part(self.range).len)
    }
}
