//! Blocks of a file: those with data, and those in holes.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::load::BLOCK;

/// Whole blocks, by number, in ranges that follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks(Vec<Range<u64>>);

/// Where a file has data, in bytes and in order.
pub(super) fn data(file: &File, len: u64) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match seek(file, SeekFrom::Data(at)) {
            // From here on there is a hole.
            Err(Errno::NXIO) => break,
            result => result?,
        };
        at = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..at);
    }
    Ok(ranges)
}

/// What lies between the ranges of data, in bytes.
pub(super) fn holes(data: &[Range<u64>], len: u64) -> Vec<Range<u64>> {
    let starts = std::iter::once(0).chain(data.iter().map(|range| range.end));
    let ends = data.iter().map(|range| range.start).chain([len]);
    let between = starts.zip(ends).map(|(start, end)| start..end);
    between.filter(|range| !range.is_empty()).collect()
}

impl Blocks {
    /// The whole blocks in these ranges of bytes.
    pub(super) fn within(ranges: &[Range<u64>]) -> Self {
        const SIZE: u64 = BLOCK as u64;
        let whole = ranges
            .iter()
            .map(|range| range.start.div_ceil(SIZE)..range.end / SIZE);
        Self(whole.filter(|range| !range.is_empty()).collect())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Where in the file the n-th one is, bytes; n is less than their number.
    pub(super) fn offset(&self, mut n: u64) -> u64 {
        let mut at = 0;
        for range in &self.0 {
            let len = range.end - range.start;
            at = range.start + n;
            if n < len {
                break;
            }
            n -= len;
        }
        at * BLOCK as u64
    }

    /// Their ranges in bytes.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        const SIZE: u64 = BLOCK as u64;
        let ranges = self.0.iter();
        ranges.map(|range| range.start * SIZE..range.end * SIZE)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn data_and_holes_are_found() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 20).expect("lengthened");
        file.write_all_at(&[1; 8192], 64 << 10).expect("written");
        file.sync_all().expect("synced");
        let data = data(&file, 1 << 20).expect("looked at");
        assert_eq!((data.len(), &data[0]), (1, &(65536..73728)));
        assert_eq!(holes(&data, 1 << 20), [0..65536, 73728..1 << 20]);
        assert_eq!(holes(&[], 10).first(), Some(&(0..10)));
        assert!(holes(std::slice::from_ref(&(0..10)), 10).is_empty());
    }

    #[test]
    fn blocks_are_whole_and_counted_through_all_ranges() {
        let blocks = Blocks::within(&[0..4095, 5000..16384, 40960..50000]);
        assert_eq!(blocks.count(), 4);
        let all: Vec<u64> = (0..4).map(|n| blocks.offset(n)).collect();
        assert_eq!(all, [8192, 12288, 40960, 45056]);
        let ranges: Vec<_> = blocks.ranges().collect();
        assert_eq!(ranges, [8192..16384, 40960..49152]);
    }
}
