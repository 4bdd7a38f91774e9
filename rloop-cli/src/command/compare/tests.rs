use std::collections::BTreeMap;
use std::time::Duration;

use rloop_common::bucket::{FINE_BUCKETS, Fine};

use super::engine::Outcome;
use super::machine::Machine;
use super::run::Run;
use super::target::How;
use super::*;
use crate::command::schema;
use crate::driver::abi::COUNTER_NAMES;

/// I/Os of this many microseconds, in a second, in parts.
fn run(how: How, ios: u64, us: u64) -> Run {
    let parts = 4;
    let mut part = vec![0; FINE_BUCKETS];
    part[Fine::index(us * 1000)] = ios / parts;
    Run {
        outcome: Outcome {
            parts: vec![part; parts as usize],
            elapsed: Duration::from_secs(1),
            done: vec![ios as usize],
            sums: Vec::new(),
        },
        machine: Machine {
            busy_ns: ios * 5000,
            switches: ios * 2,
            disk_bytes: Some(ios * 4096),
        },
        how,
        wrong_at: None,
    }
}

fn stock(direct: bool) -> How {
    How::Loop {
        direct,
        cached_pages: Some(0),
    }
}

/// With what these counters grew by.
fn mapped(provider: &str, why: &str, grown: &[(&str, u64)]) -> How {
    let mut counters: BTreeMap<String, u64> = COUNTER_NAMES
        .iter()
        .map(|name| ((*name).to_owned(), 0))
        .collect();
    counters.extend(
        grown
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value)),
    );
    How::Rloop {
        provider: provider.into(),
        why: why.into(),
        counters,
    }
}

/// That many rounds, in which rloop has these I/Os a second by turns.
fn row(load: Load, rounds: usize, stock: How, rloop: How, rates: &[u64]) -> Row {
    let (mut one, mut other) = (Tally::new(), Tally::new());
    for ios in rates.iter().cycle().take(rounds) {
        one.add(&run(stock.clone(), 10_000, 100));
        other.add(&run(rloop.clone(), *ios, 25));
    }
    Row::of(load, one, other).expect("has I/Os")
}

fn fast(grown: u64) -> How {
    mapped("layout", "best", &[("fast_reads", grown)])
}

fn report() -> Report {
    let layout = || fast(40_000);
    let reflinked = mapped("vfs", "reflinked", &[("vfs_reads", 9_000)]);
    let holes = mapped(
        "layout",
        "best",
        &[("fast_reads", 700), ("zero_reads", 300)],
    );
    let filled = mapped("layout", "best", &[("vfs_writes", 1000), ("fills", 1000)]);
    let flushed = mapped(
        "layout",
        "best",
        &[
            ("fast_writes", 1000),
            ("commits", 8),
            ("flushes", 1000),
            ("fast_flushes", 992),
        ],
    );
    Report {
        path: "/srv/disk.img".into(),
        is_copy: true,
        filling: args::Filling::default(),
        seconds: 2.0,
        rounds: 5,
        rows: vec![
            row(Load::Read, 5, stock(true), layout(), &[39_000, 41_000]),
            row(Load::ReadDeep, 5, stock(false), reflinked, &[9_000, 11_000]),
            row(Load::Scan, 2, stock(true), holes, &[30_000]),
            row(Load::Fill, 5, stock(true), filled, &[7_000]),
            row(Load::WriteFlush, 5, stock(true), flushed, &[1_000]),
        ],
        omitted: vec![(Load::Write, "the file has nothing".into())],
        wrong: None,
    }
}

#[test]
fn the_interval_is_as_wide_as_the_rounds_differ() {
    let row = |rates: &[u64]| row(Load::Read, 5, stock(true), fast(1), rates);
    let same = row(&[40_000]).iops;
    assert!((same.times - 4.0).abs() < 1e-9);
    let (low, high) = same.surely.expect("five rounds");
    assert!(low > 3.999_99 && high < 4.000_01);
    // Five logarithms, by hand: their deviation is 0.0274, its mean error 0.01224, and t is 4.604.
    let (low, high) = row(&[39_000, 41_000]).iops.surely.expect("five rounds");
    let reach = (high / low).ln() / 2.0;
    assert!((reach - 4.604 * 0.012_25).abs() < 1e-3, "{reach}");
}

#[test]
fn a_few_rounds_tell_nothing_of_chance() {
    let row = row(Load::Read, 4, stock(true), fast(1), &[40_000]);
    assert_eq!(row.iops.surely, None);
    assert!(why::sentence(&row).starts_with("too few rounds"));
}

#[test]
fn latencies_are_compared_by_the_far_ends_of_their_intervals() {
    let row = row(Load::Read, 5, stock(true), fast(1), &[40_000]);
    let p50 = row.p50.expect("enough events");
    let (low, high) = p50.surely.expect("is known");
    // All are in one bucket, of which there are 64 to a power of two.
    assert!((p50.times - 0.25).abs() < 0.01, "{p50:?}");
    assert!(
        low < p50.times && p50.times < high && high - low < 0.02,
        "{p50:?}"
    );
}

#[test]
fn nothing_is_compared_without_an_io() {
    let (mut one, mut other) = (Tally::new(), Tally::new());
    one.add(&run(stock(true), 1000, 10));
    other.add(&run(fast(0), 0, 10));
    assert!(Row::of(Load::Read, one, other).is_none());
}

#[test]
fn the_sentence_says_what_came_of_it_and_why() {
    let report = report();
    let sentence = |place: usize| why::sentence(&report.rows[place]);
    assert_eq!(
        sentence(0),
        "faster: all reads went straight to the disk; loop's went through its worker and the \
         filesystem"
    );
    let reflinked = sentence(1);
    assert!(
        reflinked.starts_with("no difference that is not chance"),
        "{reflinked}"
    );
    assert!(
        reflinked.contains("through the filesystem too (reflinked: xfs lets nobody map")
            && reflinked.contains("page cache"),
        "{reflinked}"
    );
    assert!(sentence(2).contains("of all reads, 70% went straight to the disk, 30% were answered"));
    let filled = sentence(3);
    assert!(
        filled.starts_with("slower: all writes") && filled.contains("has to allocate"),
        "{filled}"
    );
}

#[test]
fn the_sentence_says_what_was_committed() {
    let sentence = |load, rloop| why::sentence(&row(load, 5, stock(true), rloop, &[1000]));
    let counters = [("vfs_writes", 1000), ("commits", 1000), ("flushes", 1000)];
    let filled = sentence(Load::FillFlush, mapped("bmap", "best", &counters));
    assert!(
        filled.contains("allocate blocks; all flushes had the filesystem commit; loop's")
            && filled.contains("its worker and the filesystem, and each flush was an fsync")
            && filled.ends_with(
                "for each 4 KiB the disk had 4 KiB to write with loop, 4 KiB with rloop"
            ),
        "{filled}"
    );
    let counters = [("fills", 1000), ("commits", 250)];
    let each = sentence(Load::FillDeep, mapped("layout", "best", &counters));
    assert!(
        each.contains(
            "the disk, into blocks allocated before, with 0.25 commits of the filesystem"
        ) && !each.contains("flush"),
        "{each}"
    );
    let counters = [
        ("fast_writes", 1000),
        ("flushes", 1000),
        ("fast_flushes", 1000),
    ];
    let overwritten = sentence(Load::WriteFlush, mapped("bmap", "best", &counters));
    assert!(
        overwritten.contains(
            "all writes went straight to the disk; all flushes went straight to the disk, with nothing"
        ),
        "{overwritten}"
    );
}

#[test]
fn loop_is_not_believed_to_be_direct_when_the_cache_has_grown() {
    let cached = How::Loop {
        direct: true,
        cached_pages: Some(3),
    };
    let mut report = report();
    report.rows = vec![row(Load::Read, 5, cached, fast(1000), &[1000])];
    let sentence = why::sentence(&report.rows[0]);
    assert!(
        sentence.ends_with("the page cache, though it says that it does direct I/O"),
        "{sentence}"
    );
    assert!(text::rest(&report).contains("loop was buffered"));
    let value: serde_json::Value =
        serde_json::from_str(&json::render(&report).expect("is JSON")).expect("is JSON");
    let stock = &value["loads"][0]["loop"];
    assert_eq!(
        (&stock["direct"], &stock["cached_pages"]),
        (&true.into(), &15.into())
    );
}

#[test]
fn counters_are_of_all_rounds_together() {
    let report = report();
    let How::Rloop { counters, .. } = &report.rows[0].rloop.how else {
        panic!("is rloop's");
    };
    assert_eq!(counters["fast_reads"], 5 * 40_000);
}

#[test]
fn the_report_fits_the_narrowest_screen() {
    let report = report();
    let rows = report.rows.iter().map(|row| text::row(row) + "\n");
    let text = text::head() + &rows.collect::<String>() + &text::rest(&report);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn the_object_is_what_the_schema_says() {
    let object = |report: &Report| {
        let text = json::render(report).expect("is JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        schema::check("compare", &value);
        value
    };
    let mut report = report();
    let value = object(&report);
    assert_eq!(value["loads"][2]["rloop"]["zero_share"], 0.3);
    assert_eq!(
        value["loads"][2]["iops_times"]["low"],
        serde_json::Value::Null
    );
    report.wrong = Some(Wrong {
        load: Load::Read,
        at_bytes: 4096,
        what: "loop and rloop gave different data",
    });
    let wrong = object(&report);
    assert_eq!(wrong["same_data"], false);
    let mut invalid = value;
    invalid["loads"][0]["rloop"]["provider"] = "magic".into();
    assert!(schema::errors("compare", &invalid).contains("magic"));
}
