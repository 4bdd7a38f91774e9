//! Percentiles from histograms.

use rloop_common::bucket::Scale;

use super::Latency;
use crate::sample::Buckets;

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

/// The distribution that the buckets of a scale stand for; `max_ns` is the longest event that the
/// counters know of, 0 if they know none.
///
/// A walk over the few buckets that are not empty: tens of thousands of extents have one each.
pub(super) fn latency<const S: u32, const B: usize>(buckets: &Buckets, max_ns: u64) -> Latency {
    let buckets: Vec<(u64, u64)> = buckets
        .0
        .iter()
        .filter(|&&(bucket, count)| count > 0 && usize::from(bucket) < B)
        .map(|&(bucket, count)| (Scale::<S, B>::midpoint(usize::from(bucket)), count))
        .collect();
    let Some(&(last, _)) = buckets.last() else {
        return Latency::default();
    };
    // A maximum of another bucket is of another interval, or was read before the buckets were.
    let same_bucket = Scale::<S, B>::index(max_ns) == Scale::<S, B>::index(last);
    let slowest = if same_bucket { last.min(max_ns) } else { last };
    let count = buckets.iter().map(|&(_, count)| count).sum();
    let sum_ns: u128 = buckets
        .iter()
        .map(|&(ns, count)| u128::from(ns) * u128::from(count))
        .sum();
    let at = |per_mille: u64, needed: u64| {
        (count >= needed).then(|| value_at(&buckets, rank(count, per_mille)).min(slowest))
    };
    Latency {
        count,
        mean_ns: Some((sum_ns / u128::from(count)) as u64),
        p50_ns: at(500, 1),
        p90_ns: at(900, 10),
        p99_ns: at(990, 100),
        p999_ns: at(999, 1000),
        max_ns: Some(slowest),
        buckets,
    }
}

/// How many of `count` events are at most as slow as the percentile.
fn rank(count: u64, per_mille: u64) -> u64 {
    (u128::from(count) * u128::from(per_mille)).div_ceil(1000) as u64
}

/// The value of the event with that rank, counted from 1.
fn value_at(buckets: &[(u64, u64)], rank: u64) -> u64 {
    let mut seen = 0;
    for &(ns, count) in buckets {
        seen += count;
        if seen >= rank {
            return ns;
        }
    }
    buckets.last().map_or(0, |&(ns, _)| ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;
    use rloop_common::bucket::Fine;

    proptest! {
        #[test]
        fn a_percentile_is_within_one_percent(mut values in proptest::collection::vec(1u64..1 << 36, 1000..1200)) {
            values.sort_unstable();
            let latency = latency::<6, 2048>(&fine(&values), values[values.len() - 1]);
            for (quantile, found) in [(0.5, latency.p50_ns), (0.9, latency.p90_ns), (0.99, latency.p99_ns), (0.999, latency.p999_ns)] {
                let rank = ((values.len() as f64 * quantile).ceil() as usize).max(1) - 1;
                let (truth, found) = (values[rank] as f64, found.expect("enough events") as f64);
                prop_assert!((found - truth).abs() <= truth * 0.01, "{quantile}: {found} for {truth}");
            }
            prop_assert!(latency.max_ns <= values.last().copied());
        }

        #[test]
        fn another_implementation_agrees(counts in proptest::collection::vec((0u16..2048, 1u64..5000), 1..60)) {
            let buckets = Buckets(counts.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect());
            let mut other = Histogram::<u64>::new(3).expect("three digits are allowed");
            for &(bucket, count) in &buckets.0 {
                other.record_n(Fine::midpoint(usize::from(bucket)), count).expect("it grows");
            }
            let ours = latency::<6, 2048>(&buckets, 0);
            prop_assert_eq!(ours.count, other.len());
            for (quantile, found) in [(0.5, ours.p50_ns), (0.9, ours.p90_ns), (0.99, ours.p99_ns), (0.999, ours.p999_ns)] {
                let Some(found) = found else { continue };
                prop_assert!(other.equivalent(found, other.value_at_quantile(quantile)), "{quantile}: {found}");
            }
        }
    }

    fn fine(values: &[u64]) -> Buckets {
        let mut sums = std::collections::BTreeMap::new();
        for &value in values {
            *sums.entry(Fine::index(value) as u16).or_insert(0u64) += 1;
        }
        Buckets(sums.into_iter().collect())
    }

    #[test]
    fn the_slowest_is_never_slower_than_it_was() {
        let ns = 1_000_000;
        let (low, _) = Fine::range(Fine::index(ns));
        let buckets = fine(&[ns]);
        assert_eq!(latency::<6, 2048>(&buckets, low).max_ns, Some(low));
        assert_eq!(latency::<6, 2048>(&buckets, low).p50_ns, Some(low));
        // A maximum that was read too early, and one of an earlier interval.
        let midpoint = Some(Fine::midpoint(Fine::index(ns)));
        assert_eq!(latency::<6, 2048>(&buckets, low / 2).max_ns, midpoint);
        assert_eq!(latency::<6, 2048>(&buckets, ns * 2).max_ns, midpoint);
    }

    #[test]
    fn few_events_give_no_percentile() {
        let latency = latency::<6, 2048>(&Buckets(vec![(100, 99)]), 0);
        assert!(latency.p90_ns.is_some() && latency.p99_ns.is_none() && latency.p999_ns.is_none());
        assert_eq!(
            super::latency::<6, 2048>(&Buckets::default(), 0),
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
