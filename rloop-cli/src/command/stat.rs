//! `rloop stat`.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::{args, number, table::Table};
use crate::driver::{DriverError, RloopDevice, find};
use crate::program::Stop;

/// What a line of 80 characters has room for: a column's name, and the counters that it is the sum of.
const COLUMNS: [(&str, &[&str]); 10] = [
    ("fast_r", &["fast_reads"]),
    ("fast_w", &["fast_writes"]),
    ("zero_r", &["zero_reads"]),
    ("vfs_r", &["vfs_reads"]),
    ("vfs_w", &["vfs_writes"]),
    ("fills", &["fills"]),
    ("commits", &["commits"]),
    ("flushes", &["flushes", "fast_flushes"]),
    ("recalls", &["recalls"]),
    ("errors", &["errors"]),
];

/// Counters of one device, of a while.
#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    provider: &'a str,
    why: &'a str,
    extents: u64,
    /// Since the report before; `None` for since the device was attached.
    interval_ns: Option<u64>,
    #[serde(serialize_with = "as_object")]
    counters: Vec<(&'a str, u64)>,
}

/// Shows the counters: since the device was attached, and then of each interval.
pub(super) fn run(args: &args::Stat) -> Result<(), Stop> {
    let number = number(&args.device)?;
    let mut out = io::stdout().lock();
    let mut before = find(number)?;
    let mut read = Instant::now();
    print(&mut out, args, &report(&before, None))?;
    let Some(interval) = args.interval else {
        return Ok(());
    };
    let mut left = args.count.map(|count| count.get() - 1);
    let mut next = read;
    while left != Some(0) {
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let now = find(number)?;
        if now.instance != before.instance {
            return Err(DriverError::NoDevice { name: now.name }.into());
        }
        let elapsed = read.elapsed();
        read = Instant::now();
        print(&mut out, args, &report(&now, Some((&before, elapsed))))?;
        before = now;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn report<'a>(now: &'a RloopDevice, since: Option<(&RloopDevice, Duration)>) -> Report<'a> {
    let old = |name: &str| {
        let (before, _) = since?;
        before
            .counters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    };
    let delta = |(name, value): &'a (String, u64)| {
        (name.as_str(), value.saturating_sub(old(name).unwrap_or(0)))
    };
    Report {
        device: &now.name,
        provider: &now.provider,
        why: &now.why,
        extents: now.extents,
        interval_ns: since.map(|(_, elapsed)| elapsed.as_nanos() as u64),
        counters: now.counters.iter().map(delta).collect(),
    }
}

fn print(out: &mut impl io::Write, args: &args::Stat, report: &Report<'_>) -> Result<(), Stop> {
    if args.json {
        let text = serde_json::to_string(report).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else if args.interval.is_none() {
        let mut table = Table::new(&["COUNTER", ">TOTAL"]);
        for (name, value) in &report.counters {
            table.row(vec![(*name).to_owned(), value.to_string()]);
        }
        write!(out, "{table}")?;
    } else {
        if report.interval_ns.is_none() {
            writeln!(out, "{}", line(COLUMNS.map(|(name, _)| name.to_owned())))?;
        }
        let sum = |names: &[&str]| -> u64 {
            let counters = report.counters.iter();
            counters
                .filter(|(name, _)| names.contains(name))
                .map(|(_, value)| value)
                .sum()
        };
        writeln!(
            out,
            "{}",
            line(COLUMNS.map(|(_, names)| sum(names).to_string()))
        )?;
    }
    // Whoever reads wants each report when it is made, not when a buffer is full.
    out.flush()?;
    Ok(())
}

fn line(cells: [String; COLUMNS.len()]) -> String {
    cells.map(|cell| format!("{cell:>7}")).join(" ")
}

fn as_object<S: Serializer>(counters: &[(&str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::schema;
    use crate::driver::abi::COUNTER_NAMES;

    fn device(base: u64) -> RloopDevice {
        let counters = COUNTER_NAMES.iter().zip(base..);
        RloopDevice {
            name: "rloop0".into(),
            provider: "layout".into(),
            why: "best".into(),
            counters: counters
                .map(|(name, value)| ((*name).to_owned(), value))
                .collect(),
            ..RloopDevice::default()
        }
    }

    #[test]
    fn a_report_is_what_the_schema_says() {
        let (before, now) = (device(10), device(17));
        let total = serde_json::to_value(report(&now, None)).expect("is JSON");
        schema::check("stat", &total);
        assert_eq!(total["counters"]["fast_reads"], 17);
        let since = Some((&before, Duration::from_millis(1500)));
        let delta = serde_json::to_value(report(&now, since)).expect("is JSON");
        schema::check("stat", &delta);
        assert_eq!(delta["interval_ns"], 1_500_000_000);
        assert_eq!(delta["counters"]["errors"], 7);
    }

    #[test]
    fn a_line_has_room_for_what_is_known_and_no_more() {
        for (_, names) in COLUMNS {
            assert!(
                names.iter().all(|name| COUNTER_NAMES.contains(name)),
                "{names:?}"
            );
        }
        assert!(line(COLUMNS.map(|(name, _)| name.to_owned())).len() < 80);
    }
}
