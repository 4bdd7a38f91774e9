// SPDX-License-Identifier: GPL-2.0

//! Bios: what we ask of one, and lists of them.

use core::ptr;

use kernel::{
    alloc::flags::{__GFP_NOWARN, GFP_NOWAIT},
    bindings,
    ffi::c_int,
    prelude::*,
};

use crate::{geometry::SECTOR_SHIFT, shim};

/// What a bio wants. The numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    Read = bindings::req_op_REQ_OP_READ,
    Write = bindings::req_op_REQ_OP_WRITE,
    /// As tracepoints call a write without data. No bio has it.
    Flush = bindings::req_op_REQ_OP_FLUSH,
    Discard = bindings::req_op_REQ_OP_DISCARD,
    WriteZeroes = bindings::req_op_REQ_OP_WRITE_ZEROES,
    Other = bindings::req_op_REQ_OP_LAST,
}

const OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;

/// The block layer's flags that we look at.
pub(crate) mod flag {
    use kernel::bindings;

    pub(crate) const FUA: u32 = 1 << bindings::req_flag_bits___REQ_FUA;
    pub(crate) const PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;
    pub(crate) const NOWAIT: u32 = 1 << bindings::req_flag_bits___REQ_NOWAIT;
    pub(crate) const NOUNMAP: u32 = 1 << bindings::req_flag_bits___REQ_NOUNMAP;
}

/// A bio that was given to us and that we have not ended yet.
///
/// # Invariants
/// The pointer is to a bio of a device of ours, and whoever has this is the only one to look at it.
#[repr(transparent)]
pub(crate) struct Bio(*mut bindings::bio);

// SAFETY: It is whoever's who has it.
unsafe impl Send for Bio {}

impl Bio {
    /// # Safety
    /// `bio` was given to us, and nobody else has it.
    #[inline]
    pub(crate) unsafe fn from_raw(bio: *mut bindings::bio) -> Self {
        // INVARIANT: As the caller says.
        Self(bio)
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::bio {
        self.0
    }

    #[inline]
    fn get(&self) -> &bindings::bio {
        // SAFETY: By the invariant.
        unsafe { &*self.0 }
    }

    #[inline]
    pub(crate) fn op(&self) -> Op {
        match self.get().bi_opf & OP_MASK {
            bindings::req_op_REQ_OP_READ => Op::Read,
            bindings::req_op_REQ_OP_WRITE => Op::Write,
            bindings::req_op_REQ_OP_DISCARD => Op::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            _ => Op::Other,
        }
    }

    /// Whether one of these flags is set.
    #[inline]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.get().bi_opf & flags != 0
    }

    pub(crate) fn clear(&mut self, flags: u32) {
        // SAFETY: By the invariant.
        unsafe { (*self.0).bi_opf &= !flags };
    }

    /// Where on the device it begins, in sectors.
    #[inline]
    pub(crate) fn sector(&self) -> u64 {
        self.get().bi_iter.bi_sector
    }

    /// Its length in bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.get().bi_iter.bi_size
    }

    /// Its length in sectors.
    #[inline]
    pub(crate) fn sectors(&self) -> u32 {
        self.bytes() >> SECTOR_SHIFT
    }

    #[inline]
    pub(crate) fn bdev(&self) -> *mut bindings::block_device {
        self.get().bi_bdev
    }

    #[inline]
    pub(crate) fn disk(&self) -> *mut bindings::gendisk {
        // SAFETY: A bio that was submitted has a device, which has a disk.
        unsafe { (*self.bdev()).bd_disk }
    }

    pub(crate) fn ioprio(&self) -> u16 {
        self.get().bi_ioprio
    }

    /// Sends what lies behind the first `sectors` through the block layer again, and gives those back.
    /// `None` if that failed; the bio was then ended.
    pub(crate) fn split(self, sectors: u32) -> Option<Self> {
        let came_ns = self.came_ns();
        // SAFETY: By the invariant; the disk's own bioset is for this.
        let first = unsafe {
            let bioset = &raw mut (*self.disk()).bio_split;
            bindings::bio_submit_split_bioset(self.0, sectors, bioset)
        };
        // INVARIANT: It is a bio of the same device, and ours.
        let mut first = (!first.is_null()).then_some(Self(first))?;
        first.set_came(came_ns);
        Some(first)
    }

    /// The part of its data that is still to come, for an iterator: segments, how many, and the offset in
    /// the first.
    pub(crate) fn segments(&self) -> (*const bindings::bio_vec, usize, usize) {
        let iter = self.get().bi_iter;
        let offset = iter.bi_offset;
        // SAFETY: The iterator is always within the bio's segments.
        let first = unsafe { self.get().bi_io_vec.add(iter.bi_idx as usize) };
        let mut left = u64::from(iter.bi_size) + u64::from(offset);
        let mut count = 0;
        while left > 0 {
            // SAFETY: The segments together are as long as the iterator says.
            let len = unsafe { (*first.add(count)).bv_len };
            left = left.saturating_sub(len.into());
            count += 1;
        }
        (first, count, offset as usize)
    }

    /// Adds these segments to a list, cut to what is still to come. False if there is no memory at once.
    pub(crate) fn add_segments_to(&self, list: &mut KVec<bindings::bio_vec>) -> bool {
        let (first, count, offset) = self.segments();
        let (mut skip, mut left) = (offset as u32, self.bytes());
        for number in 0..count {
            // SAFETY: There are as many.
            let mut segment = unsafe { *first.add(number) };
            segment.bv_offset += skip;
            segment.bv_len = (segment.bv_len - skip).min(left);
            (skip, left) = (0, left - segment.bv_len);
            if list.push(segment, GFP_NOWAIT | __GFP_NOWARN).is_err() {
                return false;
            }
        }
        true
    }

    /// When the driver gave it to a worker; by the clock of `trace`, and 0 if nobody listened.
    pub(crate) fn came_ns(&self) -> u64 {
        #[cfg(CONFIG_BLK_CGROUP)]
        let ns = self.get().issue_time_ns;
        #[cfg(not(CONFIG_BLK_CGROUP))]
        let ns = 0;
        ns
    }

    /// Notes that. The field is for just this; the block layer itself only uses it on disks with request queues.
    pub(crate) fn set_came(&mut self, ns: u64) {
        #[cfg(CONFIG_BLK_CGROUP)]
        // SAFETY: By the invariant.
        unsafe {
            (*self.0).issue_time_ns = ns;
        }
        #[cfg(not(CONFIG_BLK_CGROUP))]
        let _ = ns;
    }

    /// Moves on within its data.
    pub(crate) fn advance(&mut self, bytes: u32) {
        // SAFETY: By the invariant; it is not moved beyond its end.
        unsafe { bindings::__bio_advance(self.0, bytes) };
    }

    /// Fills its data with zeros.
    pub(crate) fn zero(&mut self) {
        // SAFETY: By the invariant.
        unsafe { shim::rloop_zero_fill(self.0) };
    }

    /// Ends it with a block layer status.
    #[inline]
    pub(crate) fn end(self, status: u32) {
        // SAFETY: By the invariant; it is given away here.
        unsafe {
            if status != bindings::BLK_STS_OK {
                (*self.0).bi_status = status as bindings::blk_status_t;
            }
            bindings::bio_endio(self.0);
        }
    }

    /// Ends it with an errno, which is zero or negative.
    pub(crate) fn end_with(self, error: c_int) {
        self.end(status_of(error));
    }

    /// Whether the device that it is for counts its I/O.
    #[inline]
    pub(crate) fn is_counted(&self) -> bool {
        // SAFETY: The disk has a queue as long as there are bios for it.
        let features = unsafe { (*(*self.disk()).queue).limits.features };
        features & shim::feat_io_stat() != 0
    }
}

/// The block layer's word for an errno.
pub(crate) fn status_of(error: c_int) -> u32 {
    // SAFETY: It takes any number.
    unsafe { bindings::errno_to_blk_status(error) }.into()
}

/// An errno, zero or negative, for the block layer's word.
pub(crate) fn error_of(status: u32) -> c_int {
    // SAFETY: It takes any number.
    unsafe { bindings::blk_status_to_errno(status as bindings::blk_status_t) }
}

/// Raw bios in the order they came.
pub(crate) struct BioList {
    head: *mut bindings::bio,
    tail: *mut bindings::bio,
}

// SAFETY: The bios are the list's, and the list is whoever's who has it.
unsafe impl Send for BioList {}

impl BioList {
    pub(crate) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    /// Adds a bio, which nobody else may have.
    pub(crate) fn push(&mut self, bio: *mut bindings::bio) {
        // SAFETY: It is ours, and so are those in the list.
        unsafe {
            (*bio).bi_next = ptr::null_mut();
            match self.tail.as_mut() {
                Some(tail) => tail.bi_next = bio,
                None => self.head = bio,
            }
        }
        self.tail = bio;
    }

    /// Adds a bio, which nobody else may have, before all others.
    pub(crate) fn push_front(&mut self, bio: *mut bindings::bio) {
        // SAFETY: It is ours.
        unsafe { (*bio).bi_next = self.head };
        self.head = bio;
        if self.tail.is_null() {
            self.tail = bio;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// The first one, which stays there.
    pub(crate) fn first(&self) -> Option<&Bio> {
        // SAFETY: A bio is a pointer to one, and those in the list are ours.
        (!self.head.is_null()).then(|| unsafe { &*(&raw const self.head).cast::<Bio>() })
    }

    pub(crate) fn pop(&mut self) -> Option<*mut bindings::bio> {
        let bio = self.head;
        // SAFETY: What is in the list is ours.
        self.head = unsafe { bio.as_ref() }?.bi_next;
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        // SAFETY: As above.
        unsafe { (*bio).bi_next = ptr::null_mut() };
        Some(bio)
    }

    /// Moves all bios of another list to this one's end. Whether there were any.
    pub(crate) fn append(&mut self, other: &mut Self) -> bool {
        let any = !other.is_empty();
        while let Some(bio) = other.pop() {
            self.push(bio);
        }
        any
    }
}

/// An errno as the completions have it.
pub(crate) fn errno(result: kernel::error::Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}
