//! Ranges of a device that two recordings can be compared by.
//!
//! Latencies are counted for each extent, and an extent's cannot be taken apart. The extents of two
//! recordings are not the same: the file may lie elsewhere, and holes are filled meanwhile. Equal parts of the device
//! would cut extents, and a comparison extent by extent would have nothing to compare. So extents that
//! overlap, within a recording or between the two, are one piece; pieces never cut an extent, and what was
//! counted in one lies in it in both. Then the pieces are gathered into sixteen ranges, as many as a screen shows and as
//! have enough requests each, by the sixteenth of the device that a piece's middle lies in. Where both files are
//! in many extents the ranges are sixteenths, about; where one is in a single extent there is one range,
//! and more cannot be known.

use std::ops::Range;

use crate::model::{DeviceFrame, ExtentFrame};

/// The most ranges of a device.
const PARTS: u64 = 16;

/// What was touched of a device, in pieces.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// In order; none overlaps another.
    spans: Vec<Range<u64>>,
    size_bytes: u64,
}

impl Pieces {
    /// Adds what was touched in an interval.
    pub fn add(&mut self, frame: &DeviceFrame) {
        self.size_bytes = self.size_bytes.max(frame.facts.size_bytes);
        if frame.touched.is_empty() {
            return;
        }
        let spans = frame.touched.iter().map(|extent| span(frame, extent));
        self.spans.extend(spans);
        // Two runs that are in order, which the sort makes use of.
        self.spans.sort_by_key(|span| span.start);
        self.spans.dedup_by(|next, before| {
            let overlaps = next.start < before.end;
            if overlaps {
                before.end = before.end.max(next.end);
            }
            overlaps
        });
    }

    /// The ranges, in order.
    pub fn ranges(self) -> Vec<Range<u64>> {
        let size = u128::from(self.size_bytes.max(1));
        let part = |span: &Range<u64>| {
            let middle = u128::from(span.start) + u128::from(span.end - span.start) / 2;
            middle * u128::from(PARTS) / size
        };
        let ranges = self.spans.chunk_by(|one, next| part(one) == part(next));
        ranges
            .filter_map(|spans| Some(spans.first()?.start..spans.last()?.end))
            .collect()
    }
}

/// From where to where the counters of an extent count: to the end of the last that shares them.
fn span(frame: &DeviceFrame, extent: &ExtentFrame) -> Range<u64> {
    let start = extent.start_bytes;
    let place = frame
        .extents
        .partition_point(|other| other.start_bytes <= start);
    let sharing = place.saturating_sub(1) + frame.extents_per_cell.max(1) as usize;
    let end = frame
        .extents
        .get(sharing)
        .map_or(frame.facts.size_bytes, |next| next.start_bytes);
    start..end.max(start + 1)
}

/// The place of the range that an extent lies in.
pub fn place(ranges: &[Range<u64>], extent: &ExtentFrame) -> Option<usize> {
    let after = ranges.partition_point(|range| range.start <= extent.start_bytes);
    after.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::sample::{Extent, Facts};

    /// A device whose extents begin at these places, all of them touched.
    fn frame(starts: &[u64], size_bytes: u64) -> DeviceFrame {
        let extents = starts.iter().map(|&start_bytes| Extent {
            start_bytes,
            ..Extent::default()
        });
        let touched = starts.iter().map(|&start_bytes| ExtentFrame {
            start_bytes,
            ..ExtentFrame::default()
        });
        DeviceFrame {
            facts: Facts {
                size_bytes,
                ..Facts::default()
            },
            extents: Arc::new(extents.collect()),
            touched: touched.collect(),
            extents_per_cell: 1,
            ..DeviceFrame::default()
        }
    }

    fn ranges(frames: &[DeviceFrame]) -> Vec<Range<u64>> {
        let mut pieces = Pieces::default();
        frames.iter().for_each(|frame| pieces.add(frame));
        pieces.ranges()
    }

    fn only(frames: &[DeviceFrame]) -> Range<u64> {
        let found = ranges(frames);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn small_extents_give_sixteenths_and_a_large_one_a_single_range() {
        let small: Vec<u64> = (0..160).map(|i| i * 10).collect();
        let fine = frame(&small, 1600);
        let sixteenths: Vec<_> = (0..16).map(|i| i * 100..(i + 1) * 100).collect();
        assert_eq!(ranges(std::slice::from_ref(&fine)), sixteenths);
        let whole = frame(&[0], 1600);
        assert_eq!(only(&[fine.clone(), whole]), 0..1600);
        // A large one in the middle: what lies beside it stays apart.
        let large = frame(&[0, 95, 705], 1600);
        let touched = DeviceFrame {
            touched: vec![large.touched[1].clone()],
            ..large
        };
        let found = ranges(&[fine, touched]);
        assert_eq!(found[..3], [0..90, 90..710, 710..800]);
    }

    #[test]
    fn extents_that_share_counters_stay_together() {
        let shared = DeviceFrame {
            extents_per_cell: 2,
            touched: vec![ExtentFrame::default()],
            ..frame(&[0, 100, 200, 300], 400)
        };
        assert_eq!(only(&[shared]), 0..200);
    }

    proptest! {
        #[test]
        fn no_range_cuts_an_extent(
            a in proptest::collection::btree_set(0u64..10_000, 1..200),
            b in proptest::collection::btree_set(0u64..10_000, 1..200),
        ) {
            let starts = |set: std::collections::BTreeSet<u64>| set.into_iter().collect::<Vec<_>>();
            let frames = [frame(&starts(a), 10_000), frame(&starts(b), 10_000)];
            let ranges = ranges(&frames);
            prop_assert!(ranges.len() as u64 <= PARTS);
            prop_assert!(ranges.is_sorted_by(|one, next| one.end <= next.start));
            for frame in &frames {
                for extent in &frame.touched {
                    let span = span(frame, extent);
                    let place = place(&ranges, extent).expect("lies in one");
                    prop_assert!(ranges[place].start <= span.start && span.end <= ranges[place].end);
                }
            }
        }
    }
}
