// SPDX-License-Identifier: GPL-2.0

//! Where a sector of the device lies in the file: sectors of 512 bytes, bytes, filesystem blocks.

use crate::extent::{Range, MAX_BLOCK};

pub(crate) const SECTOR_SHIFT: u32 = 9;

/// How the device's sectors, the file's bytes and the filesystem's blocks belong together.
pub(crate) struct Geometry {
    /// Where in the file the device begins, in sectors.
    offset: u64,
    /// A filesystem block is `1 << shift` sectors.
    shift: u32,
}

impl Geometry {
    /// `offset` in bytes, a multiple of a sector; `block_bits` of a filesystem block, at least a sector's.
    pub(crate) fn new(offset: u64, block_bits: u32) -> Self {
        Self {
            offset: offset >> SECTOR_SHIFT,
            shift: block_bits - SECTOR_SHIFT,
        }
    }

    /// The file's byte at a sector of the device.
    #[inline]
    pub(crate) fn offset(&self, sector: u64) -> u64 {
        (self.offset + sector) << SECTOR_SHIFT
    }

    /// The file block that a sector of the device lies in.
    #[inline]
    pub(crate) fn block(&self, sector: u64) -> u64 {
        (self.offset + sector) >> self.shift
    }

    /// The file blocks that a run of sectors touches.
    pub(crate) fn blocks(&self, sector: u64, sectors: u32) -> Range {
        let end = self.offset + sector + u64::from(sectors);
        Range::new(self.block(sector), end.div_ceil(1 << self.shift))
    }

    /// The file blocks that a part of the file touches, in bytes.
    pub(crate) fn blocks_of(&self, offset: u64, bytes: u64) -> Range {
        let end = offset + bytes;
        Range::new(self.block_of(offset), end.div_ceil(self.block_bytes()))
    }

    /// The file blocks that a run of sectors covers from end to end; possibly none.
    pub(crate) fn whole_blocks(&self, sector: u64, sectors: u32) -> Range {
        let start = (self.offset + sector).div_ceil(1 << self.shift);
        let end = (self.offset + sector + u64::from(sectors)) >> self.shift;
        Range::new(start, end.max(start))
    }

    /// How many sectors there are from `sector` up to the beginning of a file block behind it.
    #[inline]
    pub(crate) fn sectors_until(&self, sector: u64, block: u64) -> u32 {
        let end = if block >= MAX_BLOCK {
            u64::MAX
        } else {
            block << self.shift
        };
        u32::try_from(end - (self.offset + sector)).unwrap_or(u32::MAX)
    }

    /// The disk sector of a sector of the device in an extent.
    #[inline]
    pub(crate) fn remap(&self, sector: u64, start: u64, disk: u64) -> u64 {
        self.disk_sector(disk) + (self.offset + sector - (start << self.shift))
    }

    /// The first sector of a disk block.
    #[inline]
    pub(crate) fn disk_sector(&self, block: u64) -> u64 {
        block << self.shift
    }

    /// Filesystem blocks in bytes.
    #[inline]
    pub(crate) fn bytes(&self, blocks: u64) -> u64 {
        blocks << (self.shift + SECTOR_SHIFT)
    }

    /// The filesystem block that a byte lies in.
    pub(crate) fn block_of(&self, bytes: u64) -> u64 {
        bytes >> (self.shift + SECTOR_SHIFT)
    }

    /// The size of a filesystem block, in bytes.
    pub(crate) fn block_bytes(&self) -> u64 {
        self.bytes(1)
    }
}
