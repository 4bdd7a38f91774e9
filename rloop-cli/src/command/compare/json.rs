//! The comparison for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args;
use super::report::{Report, Wrong};
use super::row::{Row, Summary, Times};
use super::target::How;
use super::why::{self, Shares};
use crate::diff::percentile::Estimate;

#[derive(Serialize)]
struct Object<'a> {
    path: &'a str,
    copy: bool,
    fill: String,
    commit: String,
    seconds: f64,
    rounds: u32,
    same_data: bool,
    wrong: Option<Place>,
    loads: Vec<Compared<'a>>,
    omitted: Vec<Omitted<'a>>,
}

#[derive(Serialize)]
struct Place {
    load: String,
    at_bytes: u64,
    what: &'static str,
}

#[derive(Serialize)]
struct Omitted<'a> {
    load: String,
    why: &'a str,
}

#[derive(Serialize)]
struct Compared<'a> {
    load: String,
    block_bytes: usize,
    depth: usize,
    flushes: bool,
    r#loop: Device<'a>,
    rloop: Device<'a>,
    iops_times: Factor,
    p50_times: Option<Factor>,
    p99_times: Option<Factor>,
    why: String,
}

#[derive(Serialize)]
struct Device<'a> {
    ios: u64,
    iops: f64,
    p50: Option<Value>,
    p99: Option<Value>,
    cpu_ns_per_io: f64,
    switches_per_io: f64,
    disk_bytes_per_io: Option<f64>,
    #[serde(flatten)]
    how: Way<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Way<'a> {
    Loop {
        direct: bool,
        cached_pages: Option<u64>,
    },
    Rloop {
        provider: &'a str,
        why: &'a str,
        fast_share: f64,
        filled_share: f64,
        zero_share: f64,
        vfs_share: f64,
        counters: &'a BTreeMap<String, u64>,
    },
}

#[derive(Serialize)]
struct Value {
    ns: u64,
    low_ns: u64,
    high_ns: Option<u64>,
}

#[derive(Serialize)]
struct Factor {
    times: f64,
    low: Option<f64>,
    high: Option<f64>,
}

/// A line.
pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let object = Object {
        path: &report.path,
        copy: report.is_copy,
        fill: args::name(&report.filling.fill),
        commit: args::name(&report.filling.commit),
        seconds: report.seconds,
        rounds: report.rounds,
        same_data: report.wrong.is_none(),
        wrong: report.wrong.as_ref().map(place),
        loads: report.rows.iter().map(compared).collect(),
        omitted: report
            .omitted
            .iter()
            .map(|(load, why)| Omitted {
                load: load.name(),
                why,
            })
            .collect(),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

fn place(wrong: &Wrong) -> Place {
    Place {
        load: wrong.load.name(),
        at_bytes: wrong.at_bytes,
        what: wrong.what,
    }
}

fn compared(row: &Row) -> Compared<'_> {
    Compared {
        load: row.load.name(),
        block_bytes: row.load.block_bytes(),
        depth: row.load.depth(),
        flushes: row.load.flushes(),
        r#loop: device(&row.stock, row.load.only_reads()),
        rloop: device(&row.rloop, row.load.only_reads()),
        iops_times: factor(row.iops),
        p50_times: row.p50.map(factor),
        p99_times: row.p99.map(factor),
        why: why::sentence(row),
    }
}

fn device(summary: &Summary, only_reads: bool) -> Device<'_> {
    Device {
        ios: summary.ios,
        iops: summary.iops,
        p50: summary.p50.map(value),
        p99: summary.p99.map(value),
        cpu_ns_per_io: summary.cpu_ns,
        switches_per_io: summary.switches,
        disk_bytes_per_io: summary.disk_bytes,
        how: way(&summary.how, only_reads),
    }
}

fn way(how: &How, only_reads: bool) -> Way<'_> {
    match how {
        How::Loop {
            direct,
            cached_pages,
        } => Way::Loop {
            direct: *direct,
            cached_pages: *cached_pages,
        },
        How::Rloop {
            provider,
            why,
            counters,
        } => {
            let shares = Shares::of(counters, only_reads);
            Way::Rloop {
                provider,
                why,
                fast_share: shares.fast,
                filled_share: shares.filled,
                zero_share: shares.zero,
                vfs_share: shares.vfs,
                counters,
            }
        }
    }
}

fn value(estimate: Estimate) -> Value {
    Value {
        ns: estimate.ns,
        low_ns: estimate.low_ns,
        high_ns: estimate.high_ns,
    }
}

fn factor(times: Times) -> Factor {
    Factor {
        times: times.times,
        low: times.surely.map(|(low, _)| low),
        high: times.surely.map(|(_, high)| high),
    }
}
