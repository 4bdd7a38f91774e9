//! Percentiles from histograms.

use hdrhistogram::Histogram;
use rloop_common::bucket::Scale;

use super::Latency;
use crate::sample::Buckets;

/// Digits that hdrhistogram keeps: far finer than the probes' buckets.
const DIGITS: u8 = 3;

/// What `newer` has counted more than `older`, in the same buckets.
pub(super) fn delta(older: &Buckets, newer: &Buckets) -> Buckets {
    let mut old = older.0.iter().peekable();
    let grown = newer.0.iter().map(|&(bucket, count)| {
        while old.next_if(|&&(place, _)| place < bucket).is_some() {}
        let before = old
            .next_if(|&&(place, _)| place == bucket)
            .map_or(0, |&(_, count)| count);
        (bucket, count.saturating_sub(before))
    });
    Buckets(grown.filter(|&(_, count)| count > 0).collect())
}

/// The buckets of both.
pub(super) fn merge<'a>(all: impl Iterator<Item = &'a Buckets>) -> Buckets {
    let mut sums = std::collections::BTreeMap::new();
    for &(bucket, count) in all.flat_map(|buckets| &buckets.0) {
        *sums.entry(bucket).or_insert(0) += count;
    }
    Buckets(sums.into_iter().collect())
}

/// The distribution that the buckets of a scale stand for.
pub(super) fn latency<const S: u32, const B: usize>(buckets: &Buckets) -> Latency {
    let buckets: Vec<(u64, u64)> = buckets
        .0
        .iter()
        .filter(|&&(bucket, count)| count > 0 && usize::from(bucket) < B)
        .map(|&(bucket, count)| (Scale::<S, B>::midpoint(usize::from(bucket)), count))
        .collect();
    let Some(&(slowest, _)) = buckets.last() else {
        return Latency::default();
    };
    // Fails only for bounds that make no sense; these do: at least 2, at most 2^37.
    let Ok(mut histogram) = Histogram::<u64>::new_with_max(slowest.max(2), DIGITS) else {
        return Latency::default();
    };
    for &(ns, count) in &buckets {
        histogram.saturating_record_n(ns, count);
    }
    let count = histogram.len();
    // The histogram rounds up to the end of its own cell: never beyond the slowest.
    let at = |quantile: f64, needed: u64| {
        (count >= needed).then(|| histogram.value_at_quantile(quantile).min(slowest))
    };
    Latency {
        count,
        mean_ns: Some(histogram.mean() as u64),
        p50_ns: at(0.5, 1),
        p90_ns: at(0.9, 10),
        p99_ns: at(0.99, 100),
        p999_ns: at(0.999, 1000),
        max_ns: Some(slowest),
        buckets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rloop_common::bucket::Fine;

    proptest! {
        #[test]
        fn a_percentile_is_within_one_percent(mut values in proptest::collection::vec(1u64..1 << 36, 1000..1200)) {
            let mut sums = std::collections::BTreeMap::new();
            for &value in &values {
                *sums.entry(Fine::index(value) as u16).or_insert(0u64) += 1;
            }
            let latency = latency::<6, 2048>(&Buckets(sums.into_iter().collect()));
            values.sort_unstable();
            for (quantile, found) in [(0.5, latency.p50_ns), (0.9, latency.p90_ns), (0.99, latency.p99_ns), (0.999, latency.p999_ns)] {
                let rank = ((values.len() as f64 * quantile).ceil() as usize).max(1) - 1;
                let (truth, found) = (values[rank] as f64, found.expect("enough events") as f64);
                prop_assert!((found - truth).abs() <= truth * 0.01, "{quantile}: {found} for {truth}");
            }
        }
    }

    #[test]
    fn few_events_give_no_percentile() {
        let latency = latency::<6, 2048>(&Buckets(vec![(100, 99)]));
        assert!(latency.p90_ns.is_some() && latency.p99_ns.is_none() && latency.p999_ns.is_none());
        assert_eq!(
            super::latency::<6, 2048>(&Buckets::default()),
            Latency::default()
        );
    }

    #[test]
    fn deltas_and_merges() {
        let (old, new) = (
            Buckets(vec![(1, 2), (5, 1)]),
            Buckets(vec![(1, 3), (2, 4), (5, 1)]),
        );
        assert_eq!(delta(&old, &new), Buckets(vec![(1, 1), (2, 4)]));
        assert_eq!(
            merge([&old, &new].into_iter()),
            Buckets(vec![(1, 5), (2, 4), (5, 2)])
        );
    }
}
