//! A load on both devices, compared: by how much, and whether that is chance.

use super::load::Load;
use super::run::Run;
use super::target::How;
use crate::diff::percentile::{BATCHES, Estimate, student};
use crate::diff::series::{Buckets, Series};
use rloop_common::bucket::Fine;

/// All runs of a load on one device, put together.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    latencies: Series,
    /// I/Os a second, of each round.
    rates: Vec<f64>,
    ios: u64,
    busy_ns: u64,
    switches: u64,
    disk_bytes: Option<u64>,
    how: Option<How>,
}

impl Tally {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self {
            latencies: Series::new(Buckets::Fine),
            rates: Vec::new(),
            ios: 0,
            busy_ns: 0,
            switches: 0,
            disk_bytes: Some(0),
            how: None,
        }
    }

    /// Adds the run of another round.
    pub(super) fn add(&mut self, run: &Run) {
        let parts = run.outcome.parts.iter();
        for part in parts.filter(|part| part.iter().any(|count| *count > 0)) {
            let counts = part.iter().enumerate().filter(|(_, count)| **count > 0);
            let events = counts.map(|(index, count)| (Fine::midpoint(index), *count));
            self.latencies.push(events);
        }
        let ios = run.outcome.ios();
        self.rates
            .push(ios as f64 / run.outcome.elapsed.as_secs_f64().max(1e-9));
        self.ios += ios;
        self.busy_ns += run.machine.busy_ns;
        self.switches += run.machine.switches;
        let disk_bytes = self.disk_bytes.zip(run.machine.disk_bytes);
        self.disk_bytes = disk_bytes.map(|(sum, more)| sum + more);
        self.how = Some(sum(self.how.take(), &run.how));
    }
}

/// What is counted, of all runs together; else the last one.
fn sum(before: Option<How>, now: &How) -> How {
    let mut sum = now.clone();
    match (before, &mut sum) {
        (Some(How::Rloop { counters: old, .. }), How::Rloop { counters, .. }) => {
            for (name, value) in counters {
                *value += old.get(name).copied().unwrap_or(0);
            }
        }
        (
            Some(How::Loop {
                cached_pages: old, ..
            }),
            How::Loop { cached_pages, .. },
        ) => *cached_pages = cached_pages.zip(old).map(|(now, old)| now + old),
        _ => {}
    }
    sum
}

/// One device's part of a row.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// How many I/Os there were in all rounds.
    pub(super) ios: u64,
    /// I/Os a second, the mean of the rounds.
    pub(super) iops: f64,
    /// The median latency.
    pub(super) p50: Option<Estimate>,
    /// What one I/O of 100 exceeded.
    pub(super) p99: Option<Estimate>,
    /// Time of all processors for each I/O, nanoseconds.
    pub(super) cpu_ns: f64,
    /// Context switches for each I/O, in the whole machine.
    pub(super) switches: f64,
    /// Bytes written to the disk below for each I/O; `None` if there is no such disk.
    pub(super) disk_bytes: Option<f64>,
    /// Which way they went.
    pub(super) how: How,
}

/// How many times as much rloop has as loop, and the interval that this lies in with 99 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    /// As measured.
    pub(super) times: f64,
    /// Not less, and not more; `None` where nothing is known of that.
    pub(super) surely: Option<(f64, f64)>,
}

/// A load, compared.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Which.
    pub(super) load: Load,
    /// On the loop device.
    pub(super) stock: Summary,
    /// On the rloop device.
    pub(super) rloop: Summary,
    /// I/Os a second.
    pub(super) iops: Times,
    /// Latencies.
    pub(super) p50: Option<Times>,
    /// The same.
    pub(super) p99: Option<Times>,
}

impl Row {
    /// `None` if there was no I/O at all on one of them.
    pub(super) fn of(load: Load, stock: Tally, rloop: Tally) -> Option<Self> {
        if stock.ios == 0 || rloop.ios == 0 {
            return None;
        }
        let iops = Times::of_rates(&stock.rates, &rloop.rates);
        let (stock, rloop) = (summary(stock)?, summary(rloop)?);
        Some(Self {
            load,
            iops,
            p50: Times::of_estimates(stock.p50, rloop.p50),
            p99: Times::of_estimates(stock.p99, rloop.p99),
            stock,
            rloop,
        })
    }
}

fn summary(tally: Tally) -> Option<Summary> {
    let each = |total: u64| total as f64 / tally.ios as f64;
    Some(Summary {
        ios: tally.ios,
        iops: tally.rates.iter().sum::<f64>() / tally.rates.len() as f64,
        p50: Estimate::of(&tally.latencies, 500),
        p99: Estimate::of(&tally.latencies, 990),
        cpu_ns: each(tally.busy_ns),
        switches: each(tally.switches),
        disk_bytes: tally.disk_bytes.map(each),
        how: tally.how?,
    })
}

impl Times {
    /// The geometric mean of the rounds' ratios: the two rates of a round were measured one right after the
    /// other, so drift of the machine is in both. The interval takes the rounds to be independent, and is
    /// Student's, as for [`percentile`](crate::diff::percentile) and with as many rounds as batches there.
    fn of_rates(stock: &[f64], rloop: &[f64]) -> Self {
        let pairs = stock.iter().zip(rloop);
        let logs: Vec<f64> = pairs.map(|(stock, rloop)| (rloop / stock).ln()).collect();
        let rounds = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / rounds;
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let surely = (rounds >= BATCHES).then(|| {
            let reach = student(rounds) * (squares / (rounds - 1.0) / rounds).sqrt();
            ((mean - reach).exp(), (mean + reach).exp())
        });
        Self {
            times: mean.exp(),
            surely,
        }
    }

    /// From the far ends of the two intervals.
    fn of_estimates(stock: Option<Estimate>, rloop: Option<Estimate>) -> Option<Self> {
        let (stock, rloop) = (stock?, rloop?);
        let ratio = |rloop: u64, stock: u64| rloop as f64 / stock.max(1) as f64;
        let ends = stock
            .high_ns
            .zip(rloop.high_ns)
            .filter(|_| stock.low_ns > 0);
        let surely = ends.map(|(stock_high, rloop_high)| {
            (
                ratio(rloop.low_ns, stock_high),
                ratio(rloop_high, stock.low_ns),
            )
        });
        Some(Self {
            times: ratio(rloop.ns, stock.ns),
            surely,
        })
    }
}
