//! A percentile with the interval that it surely lies in, and when two of them differ.
//!
//! # In short
//! A percentile is called slower if its interval in the one recording lies as a whole above that in the
//! other, by more than the threshold. The intervals have 99 % confidence each.
//!
//! # The rule
//! Let a recording have `N` events, and let `q` be the percentile's share. Were the events independent,
//! the number of them below the true percentile would be binomial, and the standard error of its share
//! of `N` would be `sqrt(q (1 - q) / N)`. They are not: a disk is busy for a while, or a cache warm, and
//! all events of that time are slow or fast together. So the recording is cut into `b` batches (see
//! [`Series`]). Of the `n` events of a batch `x` are below the percentile as it is found, of all events a
//! share `p`; the variance of `p` is then, as of any ratio from a sample of clusters,
//!
//! ```text
//! b / (b - 1) * sum (x - p n)^2 / N^2
//! ```
//!
//! and how many times `p (1 - p) / N` it is, is the design effect, 1 at least. Batches that follow one
//! another may be alike too: if `r` is how much (the autocorrelation of `x - p n` at a lag of 1, where it is
//! positive), the effect is `(1 + r) / (1 - r)` times as large. The standard error is larger by its root. Times Student's t, for 99 % and one less than the number of batches, it
//! gives a lower and an upper share around `q`, and the events of these ranks are the interval's ends:
//! Woodruff's confidence interval for a quantile (1952), from order statistics alone, whatever the
//! distribution. Last, the ends are moved to the edges of their buckets, so that the width of a bucket is
//! never taken for a difference.
//!
//! # Its bounds
//! - Two intervals of 99 % that do not touch: if nothing changed, that happens to fewer than one
//!   percentile in 1000 (two normal estimates with the same error would have to lie 3.6 errors apart). So a
//!   hundred comparisons raise a false alarm in fewer than one of ten cases.
//! - p50 needs 20 events and p99 needs 1000 (ten beyond it), both need 5 batches; with less there is no
//!   interval. A batch that holds most of the events does not count as one of many: the number of
//!   batches is taken to be `N^2 / sum n^2`, which is `b` only if all are alike.
//! - What differs by less than a bucket or two is not told apart: changes below about 3 % (devices) and 50 %
//!   (extents) can be missed.
//! - What changes more slowly than the recording is long, such as a disk that somebody else used all the
//!   time, is a difference between the recordings, and no statistic can say whose fault it is. Longer
//!   recordings, taken in turn, can. Simulated, with 60 intervals in which all latencies drift together by
//!   a third: none of 400 pairs raised an alarm where the drift lasted for 5 intervals, one p50 in twenty
//!   where it lasted for 20, a third of the recording.

use super::series::{Histogram, Series, count};

/// Fewer events beyond a percentile say nothing of it.
const EVENTS_BEYOND: u64 = 10;
/// Fewer batches say nothing of the spread between them.
pub(crate) const BATCHES: f64 = 5.0;
/// Student's t of 99 %, both sides, from 4 degrees of freedom on; the last is used for all beyond.
const STUDENT: [f64; 16] = [
    4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947, 2.921,
    2.898, 2.878, 2.861,
];

/// The most that neighbouring batches are taken to be alike: of so few, more cannot be told from a trend.
const MOST_ALIKE: f64 = 0.9;

/// The percentiles that are compared, in thousandths.
pub(super) const COMPARED: [u64; 2] = [500, 990];

/// A percentile and the interval that it lies in with 99 % confidence, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The middle of its bucket.
    pub ns: u64,
    /// It is not less; 0 if nothing is known.
    pub low_ns: u64,
    /// It is less; `None` if nothing is known.
    pub high_ns: Option<u64>,
}

/// What became of a percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Slower by more than the threshold.
    Slower,
    /// Faster by more than the threshold.
    Faster,
    /// Neither can be said.
    Same,
    /// They seem to differ by more than the threshold, but the latencies vary so much from interval to interval that
    /// it may be chance.
    TooVaried,
    /// Too few events or intervals to say anything.
    TooFew,
    /// The requests are not of the same kinds.
    OtherMix,
}

impl Estimate {
    /// Of a percentile in thousandths; `None` with too few events.
    pub fn of(series: &Series, per_mille: u64) -> Option<Self> {
        let merged = series.merged();
        let events = count(&merged);
        let share = per_mille as f64 / 1000.0;
        let beyond = events * per_mille.min(1000 - per_mille) / 1000;
        let effective = effective_batches(series.batches(), events);
        if beyond < EVENTS_BEYOND || effective < BATCHES {
            return None;
        }
        let ns = at_rank(&merged, (events as f64 * share).ceil())?;
        let independent = share * (1.0 - share) / events as f64;
        let error = (independent * design_effect(series.batches(), ns, events)).sqrt();
        let reach = student(effective) * error;
        let edges = |rank| Some(series.buckets().edges(at_rank(&merged, rank)?));
        let low = edges((events as f64 * (share - reach)).floor());
        let high = edges((events as f64 * (share + reach)).ceil() + 1.0);
        Some(Self {
            ns,
            low_ns: low.map_or(0, |(low, _)| low),
            high_ns: high.map(|(_, high)| high).filter(|high| *high != u64::MAX),
        })
    }

    /// How much more the larger one seems to be, as a share of 1.
    fn seems_apart(&self, other: &Self) -> f64 {
        let (less, more) = (self.ns.min(other.ns), self.ns.max(other.ns));
        more as f64 / less.max(1) as f64 - 1.0
    }

    /// Whether nothing is known of how far either lies from the other.
    fn is_unbounded_towards(&self, other: &Self) -> bool {
        let (less, more) = if self.ns < other.ns {
            (self, other)
        } else {
            (other, self)
        };
        less.high_ns.is_none() || more.low_ns == 0
    }

    /// By how much of `other` this is surely more, as a share of 1; `None` if it is not surely more.
    pub fn surely_above(&self, other: &Self) -> Option<f64> {
        let high = other.high_ns?;
        (self.low_ns > high).then(|| self.low_ns as f64 / high as f64 - 1.0)
    }
}

/// What became of a percentile from `a` to `b`; `threshold` is a share of 1.
pub fn verdict(a: Option<&Estimate>, b: Option<&Estimate>, threshold: f64) -> Verdict {
    let (Some(a), Some(b)) = (a, b) else {
        return Verdict::TooFew;
    };
    let beyond = |change: Option<f64>| change.is_some_and(|change| change > threshold);
    if beyond(b.surely_above(a)) {
        Verdict::Slower
    } else if beyond(a.surely_above(b)) {
        Verdict::Faster
    } else if beyond(Some(a.seems_apart(b))) && a.is_unbounded_towards(b) {
        Verdict::TooVaried
    } else {
        Verdict::Same
    }
}

/// How many batches of one size would tell as much.
fn effective_batches(batches: &[Histogram], events: u64) -> f64 {
    let squares: f64 = batches
        .iter()
        .map(|batch| (count(batch) as f64).powi(2))
        .sum();
    if squares == 0.0 {
        return 0.0;
    }
    // Batches of one size give a whole number, which rounding must not make one less.
    (events as f64).powi(2) / squares + 1e-9
}

/// The design effect at a percentile: how much larger the variance of the share of events up to it is
/// than if they were independent, at least 1. With the events of its bucket or without them,
/// whichever is more: what is in one bucket cannot be told apart.
fn design_effect(batches: &[Histogram], ns: u64, events: u64) -> f64 {
    effect_below(batches, ns, events)
        .max(effect_below(batches, ns + 1, events))
        .max(1.0)
}

/// The same of the share of events below `ns`.
fn effect_below(batches: &[Histogram], ns: u64, events: u64) -> f64 {
    let below = |batch: &Histogram| batch.range(..ns).map(|(_, count)| count).sum::<u64>() as f64;
    let number = batches.len() as f64;
    let share = batches.iter().map(below).sum::<f64>() / events as f64;
    let independent = events as f64 * share * (1.0 - share);
    let excess = |batch| below(batch) - share * count(batch) as f64;
    let excesses: Vec<f64> = batches.iter().map(excess).collect();
    let squares: f64 = excesses.iter().map(|excess| excess * excess).sum();
    // With all events on one side there is no variance of either kind.
    if independent == 0.0 || squares == 0.0 {
        return 1.0;
    }
    let products: f64 = excesses.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let alike = (products / squares).clamp(0.0, MOST_ALIKE);
    number / (number - 1.0) * squares / independent * (1.0 + alike) / (1.0 - alike)
}

/// Student's t for that many batches, of which there are at least [`BATCHES`].
pub(crate) fn student(batches: f64) -> f64 {
    let place = (batches - BATCHES) as usize;
    STUDENT[place.min(STUDENT.len() - 1)]
}

/// The value of the event with that rank, counted from 1; `None` if there is none.
fn at_rank(histogram: &Histogram, rank: f64) -> Option<u64> {
    if rank < 1.0 {
        return None;
    }
    let mut seen = 0;
    let reached = |(&ns, &count): (&u64, &u64)| {
        seen += count;
        (seen as f64 >= rank).then_some(ns)
    };
    histogram.iter().find_map(reached)
}

#[cfg(test)]
mod tests;
