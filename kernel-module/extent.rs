// SPDX-License-Identifier: GPL-2.0

//! Extents: ranges of the backing file, in filesystem blocks, and where their blocks lie on disk.
//!
//! This file, [`map`] and [`claims`] are pure code: they know no kernel type, and the same source is
//! compiled into the module and into the host's tests. Who includes it has a module `platform` beside
//! it, with the atomics and the size of a leaf.

// The paths are spelled out because the host's tests include this file from another folder.
#[path = "extent/claims.rs"]
pub(crate) mod claims;
#[path = "extent/map.rs"]
pub(crate) mod map;

/// What is known of a range of the file. A range that no extent covers is *absent*: nothing is
/// known, and the filesystem has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Proven to have no blocks: reads are zeros.
    Hole = 0,
    /// Proven to have blocks that hold nothing yet: reads are zeros.
    Unwritten = 1,
    /// Unwritten blocks that a write of ours is on its way to.
    Filling = 2,
    /// Our data is on disk, and the filesystem still says unwritten.
    Filled = 3,
    /// The blocks on disk are the file's contents.
    Written = 4,
}

impl State {
    const fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Hole,
            1 => Self::Unwritten,
            2 => Self::Filling,
            3 => Self::Filled,
            _ => Self::Written,
        }
    }

    /// Whether an extent of this state has blocks on disk.
    pub(crate) const fn has_blocks(self) -> bool {
        !matches!(self, Self::Hole)
    }

    /// Whether a read of such an extent is zeros, without asking anybody.
    pub(crate) const fn reads_zeros(self) -> bool {
        matches!(self, Self::Hole | Self::Unwritten)
    }

    /// Whether the blocks on disk hold the file's contents as this device sees them.
    pub(crate) const fn is_on_disk(self) -> bool {
        matches!(self, Self::Filled | Self::Written)
    }
}

/// A half-open range of file blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first block.
    pub(crate) start: u64,
    /// The block after the last one.
    pub(crate) end: u64,
}

impl Range {
    /// The range from `start` up to, and without, `end`.
    pub(crate) const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Whether nothing is in it.
    pub(crate) const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether some block is in both.
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A run of file blocks in one state, one after the other on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first file block.
    pub(crate) start: u64,
    /// How many blocks.
    pub(crate) len: u64,
    /// The first block's place on disk, in filesystem blocks; 0 for a hole.
    pub(crate) disk: u64,
    /// What is known of it.
    pub(crate) state: State,
}

impl Extent {
    /// The file block after the last one.
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.len
    }

    /// The range of file blocks.
    pub(crate) const fn range(&self) -> Range {
        Range::new(self.start, self.end())
    }

    /// The part of it that lies in `range`, which must not be empty.
    pub(crate) fn part(&self, range: Range) -> Self {
        let start = self.start.max(range.start);
        let end = self.end().min(range.end);
        let disk = if self.state.has_blocks() {
            self.disk + (start - self.start)
        } else {
            0
        };
        Self {
            start,
            len: end - start,
            disk,
            state: self.state,
        }
    }

    /// Whether `next` goes on where this one ends, in the file, on disk, and in state.
    fn joins(&self, next: &Self) -> bool {
        self.end() == next.start
            && self.state == next.state
            && (!self.state.has_blocks() || self.disk + self.len == next.disk)
            && self.len + next.len <= MAX_LEN
    }
}

/// File blocks and disk blocks from here on cannot be mapped: 2^48, an exbibyte of 4 KiB blocks.
pub(crate) const MAX_BLOCK: u64 = 1 << BLOCK_BITS;
/// A longer extent is kept as several.
pub(crate) const MAX_LEN: u64 = (1 << (LEN_LOW_BITS + LEN_HIGH_BITS)) - 1;

const BLOCK_BITS: u32 = 48;
const STATE_BITS: u32 = 3;
const LEN_HIGH_BITS: u32 = 64 - BLOCK_BITS - STATE_BITS;
const LEN_LOW_BITS: u32 = 64 - BLOCK_BITS;
const BLOCK_MASK: u64 = MAX_BLOCK - 1;

/// An extent in 16 bytes.
///
/// # Invariants
/// `start + len` and `disk + len` are at most [`MAX_BLOCK`], `len` at most [`MAX_LEN`].
#[derive(Clone, Copy)]
#[repr(C)]
struct Packed {
    /// From the low end: first file block, state, high bits of the length.
    file: u64,
    /// From the low end: first disk block, low bits of the length.
    disk: u64,
}

impl Packed {
    const EMPTY: Self = Self { file: 0, disk: 0 };

    fn new(extent: &Extent) -> Self {
        let low = extent.len & ((1 << LEN_LOW_BITS) - 1);
        let high = extent.len >> LEN_LOW_BITS;
        // INVARIANT: The map refuses extents beyond the limits before it packs them.
        Self {
            file: extent.start
                | (extent.state as u64) << BLOCK_BITS
                | high << (BLOCK_BITS + STATE_BITS),
            disk: extent.disk | low << BLOCK_BITS,
        }
    }

    const fn start(&self) -> u64 {
        self.file & BLOCK_MASK
    }

    fn extent(&self) -> Extent {
        let state = (self.file >> BLOCK_BITS) & ((1 << STATE_BITS) - 1);
        let high = self.file >> (BLOCK_BITS + STATE_BITS);
        let low = self.disk >> BLOCK_BITS;
        Extent {
            start: self.start(),
            len: high << LEN_LOW_BITS | low,
            disk: self.disk & BLOCK_MASK,
            state: State::from_bits(state),
        }
    }
}
