//! Latencies in order of time, cut into batches.

use std::collections::BTreeMap;

use rloop_common::bucket::{COARSE_BUCKETS, Coarse, FINE_BUCKETS, Fine};

/// The most batches; from so many on, two neighbours become one.
const BATCHES: usize = 20;

/// Events by the midpoint of their bucket, nanoseconds.
pub(super) type Histogram = BTreeMap<u64, u64>;

/// The buckets that a histogram is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buckets {
    /// Of devices and their operations.
    #[default]
    Fine,
    /// Of extents.
    Coarse,
}

impl Buckets {
    /// From which value on, and below which, the values of a midpoint's bucket are, nanoseconds. The last
    /// bucket has no end.
    pub(super) fn edges(self, midpoint_ns: u64) -> (u64, u64) {
        let (index, last) = match self {
            Self::Fine => (Fine::index(midpoint_ns), FINE_BUCKETS - 1),
            Self::Coarse => (Coarse::index(midpoint_ns), COARSE_BUCKETS - 1),
        };
        let (low, width) = match self {
            Self::Fine => Fine::range(index),
            Self::Coarse => Coarse::range(index),
        };
        let end = if index == last { u64::MAX } else { low + width };
        (low, end)
    }
}

/// The latencies of one kind of request: a histogram for each of up to 20 batches, each of equally many
/// intervals that follow one another. So a recording of any length takes the same memory.
#[derive(Clone, Debug)]
pub struct Series {
    buckets: Buckets,
    batches: Vec<Histogram>,
    /// Intervals of a whole batch, and of the last one so far.
    intervals: (u64, u64),
}

impl Series {
    /// Without an interval.
    pub fn new(buckets: Buckets) -> Self {
        Self {
            buckets,
            batches: Vec::new(),
            intervals: (1, 1),
        }
    }

    /// Adds what happened in an interval: (midpoint of a bucket, nanoseconds; events).
    pub fn push(&mut self, events: impl IntoIterator<Item = (u64, u64)>) {
        let (whole, last) = self.intervals;
        if last < whole {
            self.intervals.1 += 1;
        } else if self.batches.len() < BATCHES {
            self.batches.push(Histogram::new());
            self.intervals.1 = 1;
        } else {
            self.halve();
            self.batches.push(Histogram::new());
            self.intervals = (2 * whole, 1);
        }
        if let Some(batch) = self.batches.last_mut() {
            add(batch, events);
        }
    }

    fn halve(&mut self) {
        let all = std::mem::take(&mut self.batches);
        self.batches = all.chunks(2).map(sum).collect();
    }

    pub(super) fn buckets(&self) -> Buckets {
        self.buckets
    }

    pub(super) fn batches(&self) -> &[Histogram] {
        &self.batches
    }

    /// All batches together.
    pub(super) fn merged(&self) -> Histogram {
        sum(&self.batches)
    }

    /// How many events there are.
    pub fn count(&self) -> u64 {
        self.batches.iter().map(count).sum()
    }
}

/// How many events a histogram has.
pub(super) fn count(histogram: &Histogram) -> u64 {
    histogram.values().sum()
}

fn add(histogram: &mut Histogram, events: impl IntoIterator<Item = (u64, u64)>) {
    for (ns, count) in events {
        *histogram.entry(ns).or_insert(0) += count;
    }
}

fn sum(histograms: &[Histogram]) -> Histogram {
    let mut sum = Histogram::new();
    for histogram in histograms {
        add(&mut sum, histogram.iter().map(|(&ns, &count)| (ns, count)));
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_are_few_whole_and_lose_nothing(intervals in 0u64..1000) {
            let mut series = Series::new(Buckets::Fine);
            for at in 0..intervals {
                series.push([(at, 1)]);
            }
            prop_assert_eq!(series.count(), intervals);
            prop_assert!(series.batches().len() <= BATCHES);
            prop_assert!(series.batches().len() as u64 >= intervals.min(BATCHES as u64 / 2));
            let sizes: Vec<u64> = series.batches().iter().map(count).collect();
            if let Some((last, whole)) = sizes.split_last() {
                prop_assert!(whole.iter().all(|size| *size == series.intervals.0));
                prop_assert_eq!(*last, series.intervals.1);
            }
            // In order of time: each batch goes on where the one before ended.
            let all: Vec<u64> = series.batches().iter().flat_map(|batch| batch.keys().copied()).collect();
            prop_assert!(all.is_sorted());
        }

        #[test]
        fn a_value_lies_between_its_bucket_s_edges(ns in 0u64..1 << 36) {
            for (buckets, midpoint) in [
                (Buckets::Fine, Fine::midpoint(Fine::index(ns))),
                (Buckets::Coarse, Coarse::midpoint(Coarse::index(ns))),
            ] {
                let (low, end) = buckets.edges(midpoint);
                prop_assert!(low <= ns && ns < end);
            }
        }
    }

    #[test]
    fn the_last_bucket_has_no_end() {
        assert_eq!(Buckets::Fine.edges(u64::MAX >> 1).1, u64::MAX);
    }
}
