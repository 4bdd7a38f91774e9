//! Two recordings, compared, for programs: everything.

use serde::Serialize;

use crate::diff::percentile::{Estimate, Verdict};
use crate::diff::{self, Diff, What};

#[derive(Serialize)]
struct Object<'a> {
    threshold_percent: f64,
    a: Side<'a>,
    b: Side<'a>,
    slower: usize,
    faster: usize,
    devices: Vec<Device<'a>>,
    only_a: &'a [String],
    only_b: &'a [String],
}

#[derive(Serialize)]
struct Side<'a> {
    path: &'a str,
    intervals: u64,
    length_ns: u64,
}

#[derive(Serialize)]
struct Device<'a> {
    name: &'a str,
    notes: &'a [String],
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    what: &'a str,
    start_bytes: Option<u64>,
    end_bytes: Option<u64>,
    count_a: u64,
    count_b: u64,
    percentiles: Vec<Percentile>,
}

#[derive(Serialize)]
struct Percentile {
    percentile: f64,
    a: Option<Value>,
    b: Option<Value>,
    verdict: Verdict,
    at_least_percent: Option<f64>,
}

#[derive(Serialize)]
struct Value {
    ns: u64,
    low_ns: u64,
    high_ns: Option<u64>,
}

/// A line.
pub(super) fn render(diff: &Diff) -> serde_json::Result<String> {
    let text = serde_json::to_string(&Object {
        threshold_percent: diff.threshold_percent,
        a: side(&diff.a),
        b: side(&diff.b),
        slower: diff.with(Verdict::Slower).len(),
        faster: diff.with(Verdict::Faster).len(),
        devices: diff.devices.iter().map(device).collect(),
        only_a: &diff.only_a,
        only_b: &diff.only_b,
    })?;
    Ok(text + "\n")
}

fn side(side: &diff::Side) -> Side<'_> {
    Side {
        path: &side.path,
        intervals: side.intervals,
        length_ns: side.length_ns,
    }
}

fn device(device: &diff::DeviceDiff) -> Device<'_> {
    Device {
        name: &device.name,
        notes: &device.notes,
        rows: device.rows.iter().map(row).collect(),
    }
}

fn row(row: &diff::Row) -> Row<'_> {
    let (what, range) = match &row.what {
        What::Operation(name) => (*name, None),
        What::Range(range) => ("range", Some(range)),
    };
    Row {
        what,
        start_bytes: range.map(|range| range.start),
        end_bytes: range.map(|range| range.end),
        count_a: row.a,
        count_b: row.b,
        percentiles: row.percentiles.iter().map(percentile).collect(),
    }
}

fn percentile(one: &diff::Compared) -> Percentile {
    Percentile {
        percentile: one.per_mille as f64 / 10.0,
        a: one.a.map(value),
        b: one.b.map(value),
        verdict: one.verdict,
        at_least_percent: one.surely().map(|surely| surely * 100.0),
    }
}

fn value(estimate: Estimate) -> Value {
    Value {
        ns: estimate.ns,
        low_ns: estimate.low_ns,
        high_ns: estimate.high_ns,
    }
}
