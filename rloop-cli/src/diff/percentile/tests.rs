use proptest::prelude::*;
use rloop_common::bucket::Fine;

use super::super::series::Buckets;
use super::*;

/// A series with an interval for each list of latencies.
fn series(intervals: &[Vec<u64>]) -> Series {
    let mut series = Series::new(Buckets::Fine);
    for values in intervals {
        let midpoint = |ns: &u64| Fine::midpoint(Fine::index(*ns));
        series.push(values.iter().map(|ns| (midpoint(ns), 1)));
    }
    series
}

fn judged(a: &Series, b: &Series, per_mille: u64, threshold: f64) -> Verdict {
    let of = |series| Estimate::of(series, per_mille);
    verdict(of(a).as_ref(), of(b).as_ref(), threshold)
}

/// Latencies of any kind, in any number of intervals.
fn any_series() -> impl Strategy<Value = Vec<Vec<u64>>> {
    let interval = proptest::collection::vec(1u64..1 << 30, 0..200);
    proptest::collection::vec(interval, 0..60)
}

/// Latencies around a value, alike in each of 20 intervals.
fn steady(around: u64) -> impl Strategy<Value = Vec<Vec<u64>>> {
    let interval = proptest::collection::vec(around * 9 / 10..around * 11 / 10, 180..220);
    proptest::collection::vec(interval, 20..21)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_recording_never_differs_from_itself(intervals in any_series(), threshold in 0.0..1.0) {
        let series = series(&intervals);
        for per_mille in COMPARED {
            let verdict = judged(&series, &series, per_mille, threshold);
            prop_assert!(matches!(verdict, Verdict::Same | Verdict::TooFew));
        }
    }

    #[test]
    fn the_other_way_round_it_is_the_other(a in any_series(), b in any_series(), threshold in 0.0..1.0) {
        let (a, b) = (series(&a), series(&b));
        for per_mille in COMPARED {
            let mirrored = match judged(&a, &b, per_mille, threshold) {
                Verdict::Slower => Verdict::Faster,
                Verdict::Faster => Verdict::Slower,
                other => other,
            };
            prop_assert_eq!(judged(&b, &a, per_mille, threshold), mirrored);
        }
    }

    #[test]
    fn the_interval_holds_the_percentile(intervals in any_series()) {
        let series = series(&intervals);
        for per_mille in COMPARED {
            if let Some(found) = Estimate::of(&series, per_mille) {
                prop_assert!(found.low_ns <= found.ns);
                prop_assert!(found.high_ns.is_none_or(|high| found.ns < high));
            }
        }
    }

    #[test]
    fn a_shift_is_found_and_only_beyond_the_threshold(a in steady(1_000_000), b in steady(1_500_000)) {
        let (a, b) = (series(&a), series(&b));
        for per_mille in COMPARED {
            // By chance intervals are like their neighbours, and then nothing bounds a percentile that is near the end.
            let may_vary = |verdict| per_mille == 990 && verdict == Verdict::TooVaried;
            let (slower, faster) = (judged(&a, &b, per_mille, 0.1), judged(&b, &a, per_mille, 0.1));
            prop_assert!(slower == Verdict::Slower || may_vary(slower));
            prop_assert!(faster == Verdict::Faster || may_vary(faster));
            prop_assert_eq!(judged(&a, &b, per_mille, 0.6), Verdict::Same);
        }
    }

    #[test]
    fn few_events_or_few_intervals_say_nothing(
        few in proptest::collection::vec(proptest::collection::vec(1u64..1000, 0..2), 0..19),
        short in proptest::collection::vec(proptest::collection::vec(1u64..1000, 500), 0..4),
        other in steady(1_000_000_000),
    ) {
        let other = series(&other);
        for intervals in [few, short] {
            let series = series(&intervals);
            for per_mille in COMPARED {
                prop_assert_eq!(judged(&series, &other, per_mille, 0.0), Verdict::TooFew);
                prop_assert_eq!(judged(&other, &series, per_mille, 0.0), Verdict::TooFew);
            }
        }
    }
}

#[test]
fn neighbouring_buckets_are_no_difference() {
    let bucket = Fine::index(1_000_000);
    let steady = |bucket| series(&vec![vec![Fine::midpoint(bucket); 100]; 20]);
    assert_eq!(
        judged(&steady(bucket), &steady(bucket + 1), 500, 0.0),
        Verdict::Same
    );
    assert_eq!(
        judged(&steady(bucket), &steady(bucket + 2), 500, 0.0),
        Verdict::Slower
    );
}

#[test]
fn one_bad_moment_is_no_regression() {
    // As many slow events as fast ones, but all of them in two intervals of twenty.
    let calm = vec![vec![1_000_000; 100]; 20];
    let mut burst = calm.clone();
    for interval in &mut burst[7..9] {
        *interval = vec![9_000_000; 1100];
    }
    assert_eq!(
        judged(&series(&calm), &series(&burst), 500, 0.0),
        Verdict::TooVaried
    );
    // The same events, spread evenly, are one.
    let mut even = calm.clone();
    for interval in &mut even {
        interval.extend([9_000_000; 110]);
    }
    assert_eq!(
        judged(&series(&calm), &series(&even), 500, 0.0),
        Verdict::Slower
    );
}

#[test]
fn what_drifts_all_the_time_is_not_called_the_same() {
    let drifting = |from: u64| {
        let intervals = (0..20).map(|i| vec![from + from / 100 * i; 100]);
        series(&intervals.collect::<Vec<_>>())
    };
    let (a, b) = (drifting(60_000), drifting(660_000));
    assert_eq!(judged(&a, &b, 500, 0.05), Verdict::TooVaried);
    assert_eq!(judged(&b, &a, 500, 0.05), Verdict::TooVaried);
    assert_eq!(judged(&a, &a, 500, 0.05), Verdict::Same);
}

/// splitmix64, from 0 to 1.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Sixty intervals of latencies with a long tail, which drift together for about five.
fn moody(state: &mut u64) -> Series {
    const LASTING: f64 = 0.8;
    let mut mood = 0.0;
    let mut interval = || {
        let new = (0..6).map(|_| random(state)).sum::<f64>() - 3.0;
        mood = LASTING * mood + (1.0 - LASTING * LASTING).sqrt() * 0.3 * new;
        let scale_ns = 1e5 * f64::exp(mood);
        let one = |_| (scale_ns / (1.001 - random(state))) as u64;
        (0..60).map(one).collect()
    };
    series(&(0..60).map(|_| interval()).collect::<Vec<_>>())
}

#[test]
fn two_recordings_of_the_same_thing_hardly_ever_differ() {
    const PAIRS: usize = 150;
    let mut state = 1;
    let mut alarms = 0;
    for _ in 0..PAIRS {
        let (a, b) = (moody(&mut state), moody(&mut state));
        for per_mille in COMPARED {
            let verdict = judged(&a, &b, per_mille, 0.0);
            assert_ne!(verdict, Verdict::TooFew);
            alarms += usize::from(matches!(verdict, Verdict::Slower | Verdict::Faster));
        }
    }
    assert!(alarms <= 1, "{alarms} of {}", 2 * PAIRS);
}

#[test]
fn events_that_are_slow_together_tell_less() {
    let mut state = 7;
    let moody = moody(&mut state);
    let median = Estimate::of(&moody, 500).expect("enough");
    assert!(design_effect(moody.batches(), median.ns, moody.count()) > 2.0);
    // The same events in each interval.
    let steady = series(&vec![(1..100).map(|i| i << 10).collect(); 20]);
    let median = Estimate::of(&steady, 500).expect("enough");
    assert_eq!(
        design_effect(steady.batches(), median.ns, steady.count()),
        1.0
    );
}
