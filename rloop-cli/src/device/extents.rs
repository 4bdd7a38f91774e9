//! The extents of a backing file, as FIEMAP tells them.

use std::fs::File;
use std::io;

use rloop_common::extent::MAX_EXTENTS;

use super::abi::{Fiemap, FiemapExtent};
use crate::sample::{Extent, State, Unavailable};

const FIEMAP_EXTENT_LAST: u32 = 0x1;
const FIEMAP_EXTENT_UNKNOWN: u32 = 0x2;
const FIEMAP_EXTENT_DELALLOC: u32 = 0x4;
const FIEMAP_EXTENT_ENCODED: u32 = 0x8;
const FIEMAP_EXTENT_DATA_INLINE: u32 = 0x200;
const FIEMAP_EXTENT_UNWRITTEN: u32 = 0x800;
const FIEMAP_EXTENT_SHARED: u32 = 0x2000;
/// Data without an address of its own on the disk.
const NO_ADDRESS: u32 = FIEMAP_EXTENT_UNKNOWN
    | FIEMAP_EXTENT_DELALLOC
    | FIEMAP_EXTENT_ENCODED
    | FIEMAP_EXTENT_DATA_INLINE;

const EXT_MAGIC: i64 = 0xEF53;
const XFS_MAGIC: i64 = 0x5846_5342;

/// The extents of a part of a file, holes included: they follow one another without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// In order; offsets count from the start of the part.
    pub extents: Vec<Extent>,
    /// Where the table ends if the file has more than [`MAX_EXTENTS`], bytes from the start of
    /// the part: from here on nothing is known.
    pub cut_at_bytes: Option<u64>,
}

/// Maps `len_bytes` of `file` from `offset_bytes` on: the part that a loop device shows.
///
/// - `disk_offset_bytes` counts from the start of the filesystem's device, which may be a
///   partition (see [`partition_start_bytes`](super::below::partition_start_bytes)). It is `None`
///   on filesystems whose FIEMAP addresses are not those of one disk, such as btrfs.
/// - Data that was written through the page cache and has no blocks yet (delayed allocation) is
///   `Written` without a disk offset: it reads as that data, so it is neither a hole nor
///   unwritten.
/// - The file may change meanwhile: each batch of extents is consistent, the whole need not be.
pub fn map(file: &File, offset_bytes: u64, len_bytes: u64) -> io::Result<Mapping> {
    let mut builder = Builder::new(offset_bytes, len_bytes, addresses_are_disk_offsets(file)?);
    let mut batch = Fiemap::new();
    while builder.cursor < builder.end {
        let before = builder.cursor;
        let extents = batch.read(file, before, builder.end - before)?;
        let last = extents
            .last()
            .is_none_or(|e| e.flags & FIEMAP_EXTENT_LAST != 0);
        let room = extents.iter().all(|extent| builder.add(extent));
        if !room {
            break;
        }
        // A batch that brought nothing forward would be asked for again for ever.
        if last || builder.cursor == before {
            builder.hole_until(builder.end);
            break;
        }
    }
    Ok(builder.finish())
}

/// Whether any block of the file belongs to another file, or to another part of it, as well.
pub fn shares_blocks(file: &File) -> io::Result<bool> {
    let mut batch = Fiemap::new();
    let mut start = 0;
    loop {
        let extents = batch.read(file, start, u64::MAX - start)?;
        if extents
            .iter()
            .any(|extent| extent.flags & FIEMAP_EXTENT_SHARED != 0)
        {
            return Ok(true);
        }
        // A batch that brought nothing forward would be asked for again for ever.
        match extents.last() {
            Some(last)
                if last.flags & FIEMAP_EXTENT_LAST == 0 && last.logical + last.length > start =>
            {
                start = last.logical + last.length;
            }
            _ => return Ok(false),
        }
    }
}

/// Why a file could not be mapped, in the words of the screen.
pub fn explain(error: &io::Error, fs: &str) -> Unavailable {
    let why = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOTTY) => format!("{fs} does not tell extents (FIEMAP)"),
        _ => format!("FIEMAP on the backing file failed: {error}"),
    };
    Unavailable {
        what: "extents".into(),
        why,
    }
}

/// FIEMAP's physical addresses are byte offsets on the one device that the filesystem is on.
fn addresses_are_disk_offsets(file: &File) -> io::Result<bool> {
    let magic = rustix::fs::fstatfs(file)?.f_type as i64;
    Ok(matches!(magic, EXT_MAGIC | XFS_MAGIC))
}

/// Puts extents together, in offsets of the file until the end.
struct Builder {
    extents: Vec<Extent>,
    offset: u64,
    end: u64,
    cursor: u64,
    addresses: bool,
    cut: bool,
}

impl Builder {
    fn new(offset: u64, len: u64, addresses: bool) -> Self {
        let end = offset.saturating_add(len);
        Self {
            extents: Vec::new(),
            offset,
            end,
            cursor: offset,
            addresses,
            cut: false,
        }
    }

    /// Adds what of `raw` lies in the part and was not seen yet; false when the table is full.
    fn add(&mut self, raw: &FiemapExtent) -> bool {
        let start = raw.logical.max(self.cursor);
        let end = raw.logical.saturating_add(raw.length).min(self.end);
        if start >= end {
            return true;
        }
        let has_address = self.addresses && raw.flags & NO_ADDRESS == 0;
        let disk = has_address.then(|| raw.physical + (start - raw.logical));
        let unwritten = raw.flags & FIEMAP_EXTENT_UNWRITTEN != 0;
        let state = if unwritten {
            State::Unwritten
        } else {
            State::Written
        };
        self.hole_until(start) && self.push(end, disk, state)
    }

    /// Fills up to `end` with a hole, if there is a gap; false when the table is full.
    fn hole_until(&mut self, end: u64) -> bool {
        self.cursor >= end || self.push(end, None, State::Hole)
    }

    fn push(&mut self, end: u64, disk_offset_bytes: Option<u64>, state: State) -> bool {
        if self.extents.len() == MAX_EXTENTS {
            self.cut = true;
            return false;
        }
        self.extents.push(Extent {
            start_bytes: self.cursor - self.offset,
            len_bytes: end - self.cursor,
            disk_offset_bytes,
            state,
        });
        self.cursor = end;
        true
    }

    fn finish(self) -> Mapping {
        let cut_at_bytes = self.cut.then_some(self.cursor - self.offset);
        Mapping {
            extents: self.extents,
            cut_at_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(logical: u64, physical: u64, length: u64, flags: u32) -> FiemapExtent {
        FiemapExtent {
            logical,
            physical,
            length,
            flags,
            ..Default::default()
        }
    }

    fn build(offset: u64, len: u64, raws: &[FiemapExtent]) -> Mapping {
        let mut builder = Builder::new(offset, len, true);
        assert!(raws.iter().all(|r| builder.add(r)));
        builder.hole_until(builder.end);
        builder.finish()
    }

    fn extent(start: u64, len: u64, disk: Option<u64>, state: State) -> Extent {
        Extent {
            start_bytes: start,
            len_bytes: len,
            disk_offset_bytes: disk,
            state,
        }
    }

    #[test]
    fn holes_fill_the_gaps_and_both_ends_are_clipped() {
        let mapping = build(
            100,
            1000,
            &[
                raw(0, 5000, 150, 0),
                raw(300, 9000, 50, 0),
                raw(900, 1, 999, 0),
            ],
        );
        let expected = [
            extent(0, 50, Some(5100), State::Written),
            extent(50, 150, None, State::Hole),
            extent(200, 50, Some(9000), State::Written),
            extent(250, 550, None, State::Hole),
            extent(800, 200, Some(1), State::Written),
        ];
        assert_eq!(mapping.extents, expected);
        assert_eq!(mapping.cut_at_bytes, None);
    }

    #[test]
    fn flags_decide_state_and_address() {
        let mapping = build(
            0,
            40,
            &[
                raw(0, 7, 10, FIEMAP_EXTENT_UNWRITTEN),
                raw(10, 7, 10, FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN),
                raw(20, 7, 10, FIEMAP_EXTENT_ENCODED),
                raw(30, 7, 10, FIEMAP_EXTENT_LAST),
            ],
        );
        let expected = [
            extent(0, 10, Some(7), State::Unwritten),
            extent(10, 10, None, State::Written),
            extent(20, 10, None, State::Written),
            extent(30, 10, Some(7), State::Written),
        ];
        assert_eq!(mapping.extents, expected);
    }

    #[test]
    fn an_extent_seen_twice_across_batches_counts_once() {
        let mapping = build(0, 30, &[raw(0, 100, 20, 0), raw(10, 110, 20, 0)]);
        let expected = [
            extent(0, 20, Some(100), State::Written),
            extent(20, 10, Some(120), State::Written),
        ];
        assert_eq!(mapping.extents, expected);
    }

    #[test]
    fn a_table_that_is_full_says_where_it_ends() {
        let mut builder = Builder::new(0, u64::MAX, true);
        let fits = (0..)
            .take_while(|i| builder.add(&raw(i * 20, 1, 10, 0)))
            .count();
        let mapping = builder.finish();
        assert_eq!(fits, MAX_EXTENTS / 2);
        assert_eq!(mapping.extents.len(), MAX_EXTENTS);
        assert_eq!(
            mapping.cut_at_bytes,
            Some(MAX_EXTENTS as u64 / 2 * 20 - 10 + 10)
        );
    }
}
