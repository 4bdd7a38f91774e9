//! The extents that were touched between two samples.

use rloop_common::bucket::COARSE_BUCKETS;

use super::{
    ExtentFrame,
    latency::{delta, latency},
};
use crate::sample::{Extent, ExtentCounters, State};

/// The extents whose counters grew. All three lists are in order of their starts, so one pass does.
pub(super) fn touched(
    old: &[ExtentCounters],
    new: &[ExtentCounters],
    extents: &[Extent],
) -> Vec<ExtentFrame> {
    let nothing = ExtentCounters::default();
    let mut old = old.iter().peekable();
    let mut touched = Vec::new();
    for counters in new {
        while old
            .next_if(|old| old.start_bytes < counters.start_bytes)
            .is_some()
        {}
        let before = old
            .next_if(|old| old.start_bytes == counters.start_bytes)
            .unwrap_or(&nothing);
        let (reads, writes) = (
            counters.reads.saturating_sub(before.reads),
            counters.writes.saturating_sub(before.writes),
        );
        let latency_delta = delta(&before.latency, &counters.latency);
        if reads + writes == 0 && latency_delta.0.is_empty() {
            continue;
        }
        let extent = place(extents, counters.start_bytes);
        touched.push(ExtentFrame {
            start_bytes: counters.start_bytes,
            len_bytes: extent.map_or(0, |extent| extent.len_bytes),
            disk_offset_bytes: extent.and_then(|extent| extent.disk_offset_bytes),
            state: extent.map_or(State::Hole, |extent| extent.state),
            reads,
            writes,
            read_bytes: counters.read_bytes.saturating_sub(before.read_bytes),
            write_bytes: counters.write_bytes.saturating_sub(before.write_bytes),
            latency: latency::<2, COARSE_BUCKETS>(&latency_delta, counters.max_ns),
        });
    }
    touched
}

/// The extent that holds the byte `start`.
fn place(extents: &[Extent], start: u64) -> Option<&Extent> {
    let after = extents.partition_point(|extent| extent.start_bytes <= start);
    extents[..after].last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Buckets;

    fn counters(start_bytes: u64, reads: u64) -> ExtentCounters {
        ExtentCounters {
            start_bytes,
            reads,
            read_bytes: reads * 4096,
            max_ns: 70,
            latency: Buckets(vec![(20, reads)]),
            ..ExtentCounters::default()
        }
    }

    fn mapping(count: u64) -> Vec<Extent> {
        (0..count)
            .map(|i| Extent {
                start_bytes: i * 8192,
                len_bytes: 8192,
                disk_offset_bytes: Some(i << 20),
                state: State::Written,
            })
            .collect()
    }

    #[test]
    fn only_what_grew_is_touched() {
        let old = [counters(0, 5), counters(8192, 5), counters(24576, 5)];
        let new = [
            counters(0, 5),
            counters(8192, 9),
            counters(16384, 2),
            counters(24576, 4),
        ];
        let touched = touched(&old, &new, &mapping(4));
        let found: Vec<_> = touched
            .iter()
            .map(|extent| (extent.start_bytes, extent.reads, extent.read_bytes))
            .collect();
        assert_eq!(found, [(8192, 4, 4 * 4096), (16384, 2, 2 * 4096)]);
        assert_eq!(
            (touched[0].disk_offset_bytes, touched[0].latency.max_ns),
            (Some(1 << 20), Some(70))
        );
    }

    #[test]
    fn counters_of_an_extent_that_was_joined_to_its_neighbour_lie_in_the_neighbour() {
        let touched = touched(&[], &[counters(12288, 1)], &mapping(2));
        assert_eq!(
            (touched[0].len_bytes, touched[0].disk_offset_bytes),
            (8192, Some(1 << 20))
        );
    }
}
