//! The extents that were touched between two samples.

use rloop_common::bucket::COARSE_BUCKETS;

use std::sync::Arc;

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
    let mut place = 0;
    for counters in new {
        while old
            .next_if(|old| old.start_bytes < counters.start_bytes)
            .is_some()
        {}
        let before = old
            .next_if(|old| old.start_bytes == counters.start_bytes)
            .unwrap_or(&nothing);
        if Arc::ptr_eq(&before.latency, &counters.latency)
            && (before.reads, before.writes) == (counters.reads, counters.writes)
        {
            continue;
        }
        let (reads, writes) = (
            counters.reads.saturating_sub(before.reads),
            counters.writes.saturating_sub(before.writes),
        );
        let latency_delta = delta(&before.latency, &counters.latency);
        if reads + writes == 0 && latency_delta.0.is_empty() {
            continue;
        }
        place = gallop(extents, place, counters.start_bytes);
        let extent = place.checked_sub(1).map(|last| &extents[last]);
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

/// How many extents start at or before the byte `start`, if at least `from` do. What is near `from` is
/// found fast: who asks for one after the other does not search among a million each time.
pub(crate) fn gallop(extents: &[Extent], from: usize, start: u64) -> usize {
    let (mut low, mut step) = (from, 1);
    while let Some(extent) = extents.get(low + step)
        && extent.start_bytes <= start
    {
        low += step;
        step *= 2;
    }
    let high = extents.len().min(low + step);
    low + extents[low..high].partition_point(|extent| extent.start_bytes <= start)
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
            latency: Arc::new(Buckets(vec![(20, reads)])),
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

    #[test]
    fn galloping_finds_what_a_search_finds() {
        let extents = mapping(100);
        for start in (0..100 * 8192 + 5).step_by(4095) {
            let all = extents.partition_point(|extent| extent.start_bytes <= start);
            for from in 0..=all {
                assert_eq!(gallop(&extents, from, start), all, "{start} from {from}");
            }
        }
        assert_eq!(gallop(&[], 0, 7), 0);
    }
}
