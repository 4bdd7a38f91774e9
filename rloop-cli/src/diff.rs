//! What became slower or faster from one recording to another.
//!
//! Compared are p50 and p99 of each operation of a device, of its commits, and of each range of it.
//! [`percentile`] has the rule by which a difference counts, [`ranges`] what a range is.

mod notes;
pub mod percentile;
pub mod ranges;
mod recording;
pub mod series;

use std::ops::Range;
use std::path::Path;

use rloop_common::Op;

use crate::source::SourceError;
use percentile::{COMPARED, Estimate, Verdict, verdict};
use recording::{Device, Recording, Touched};
use series::Series;

/// How far apart the shares of writes in a range may be for it to be judged.
const SAME_MIX: f64 = 0.1;

/// How devices of the two recordings find each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// By their names
    #[default]
    Name,
    /// By the paths of their backing files
    File,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Changes up to so many hundredths do not count.
    pub threshold_percent: f64,
    /// How devices find each other.
    pub by: By,
}

/// Two recordings, compared.
#[derive(Clone, Debug)]
pub struct Diff {
    /// The older one.
    pub a: Side,
    /// The newer one.
    pub b: Side,
    /// Of [`Options`].
    pub threshold_percent: f64,
    /// Devices of both, by name or path.
    pub devices: Vec<DeviceDiff>,
    /// Devices that only the older one has.
    pub only_a: Vec<String>,
    /// Devices that only the newer one has.
    pub only_b: Vec<String>,
}

/// One recording as a whole.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Its file.
    pub path: String,
    /// Intervals in it.
    pub intervals: u64,
    /// Their length together, nanoseconds.
    pub length_ns: u64,
    /// What its reader has to say of it.
    pub warning: Option<&'static str>,
}

/// A device, compared.
#[derive(Clone, Debug)]
pub struct DeviceDiff {
    /// Its name, or the path of its file.
    pub name: String,
    /// What else differs, and bears on the numbers.
    pub notes: Vec<String>,
    /// Whatever there were requests of, in either.
    pub rows: Vec<Row>,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub what: What,
    /// How many the older recording has; their latencies.
    pub a: u64,
    /// How many the newer one has.
    pub b: u64,
    /// p50 and p99.
    pub percentiles: Vec<Compared>,
}

/// Requests of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// By operation, such as `read`; or commits, `commit`.
    Operation(&'static str),
    /// Reads and writes that touched a range of the device, bytes.
    Range(Range<u64>),
}

/// A percentile, compared.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Which, in thousandths.
    pub per_mille: u64,
    /// In the older recording.
    pub a: Option<Estimate>,
    /// In the newer one.
    pub b: Option<Estimate>,
    /// What became of it.
    pub verdict: Verdict,
}

impl Compared {
    fn of(per_mille: u64, a: &Series, b: &Series, threshold: f64) -> Self {
        let a = Estimate::of(a, per_mille);
        let b = Estimate::of(b, per_mille);
        Self {
            per_mille,
            a,
            b,
            verdict: verdict(a.as_ref(), b.as_ref(), threshold),
        }
    }

    /// About how much longer it takes in the newer recording, as a share of 1.
    pub fn change(&self) -> Option<f64> {
        let (a, b) = (self.a?, self.b?);
        Some(b.ns as f64 / a.ns.max(1) as f64 - 1.0)
    }

    /// How much slower, or faster, it surely is at least: the slower one has so much more, as a share of
    /// 1, of what the faster one has.
    pub fn surely(&self) -> Option<f64> {
        let (a, b) = (self.a?, self.b?);
        match self.verdict {
            Verdict::Slower => b.surely_above(&a),
            Verdict::Faster => a.surely_above(&b),
            _ => None,
        }
    }
}

/// A percentile with where it is of.
pub type Change<'a> = (&'a DeviceDiff, &'a Row, &'a Compared);

impl Diff {
    /// All percentiles.
    pub fn compared(&self) -> impl Iterator<Item = Change<'_>> {
        self.devices.iter().flat_map(|device| {
            let rows = device.rows.iter();
            rows.flat_map(move |row| row.percentiles.iter().map(move |one| (device, row, one)))
        })
    }

    /// Those with this verdict, the largest change first.
    pub fn with(&self, verdict: Verdict) -> Vec<Change<'_>> {
        let all = self.compared();
        let mut found: Vec<_> = all.filter(|(.., one)| one.verdict == verdict).collect();
        let surely = |change: &Change<'_>| change.2.surely().unwrap_or(0.0);
        found.sort_by(|one, other| surely(other).total_cmp(&surely(one)));
        found
    }
}

/// Compares the recordings in two files, `a` being the older one.
pub fn compare(a: &Path, b: &Path, options: &Options) -> Result<Diff, SourceError> {
    let ranges = recording::ranges([a, b], options.by)?;
    let mut a = Recording::read(a, options.by, &ranges)?;
    let mut b = Recording::read(b, options.by, &ranges)?;
    let threshold = options.threshold_percent / 100.0;
    let mut devices = Vec::new();
    let mut only_a = Vec::new();
    for (name, old) in std::mem::take(&mut a.devices) {
        match b.devices.remove(&name) {
            Some(new) => devices.push(device(name, &old, &new, threshold)),
            None => only_a.push(name),
        }
    }
    Ok(Diff {
        a: a.side,
        b: b.side,
        threshold_percent: options.threshold_percent,
        devices,
        only_a,
        only_b: b.devices.into_keys().collect(),
    })
}

fn device(name: String, a: &Device, b: &Device, threshold: f64) -> DeviceDiff {
    let mut rows = Vec::new();
    for op in Op::ALL {
        let (a, b) = (&a.ops[op.index()].latency, &b.ops[op.index()].latency);
        rows.extend(row(What::Operation(op.name()), a, b, threshold));
    }
    rows.extend(row(
        What::Operation("commit"),
        &a.commits,
        &b.commits,
        threshold,
    ));
    let ranges = a.ranges.iter().zip(&b.ranges);
    rows.extend(ranges.filter_map(|(a, b)| range(a, b, threshold)));
    if notes::fails_more(a, b) {
        // What fails at once takes no time.
        let all = rows.iter_mut().flat_map(|row| &mut row.percentiles);
        for one in all.filter(|one| one.verdict == Verdict::Faster) {
            one.verdict = Verdict::OtherMix;
        }
    }
    DeviceDiff {
        name,
        notes: notes::of(a, b),
        rows,
    }
}

/// `None` if there was nothing in either recording.
fn row(what: What, a: &Series, b: &Series, threshold: f64) -> Option<Row> {
    let counts = (a.count(), b.count());
    (counts != (0, 0)).then(|| Row {
        what,
        a: counts.0,
        b: counts.1,
        percentiles: COMPARED
            .iter()
            .map(|&per_mille| Compared::of(per_mille, a, b, threshold))
            .collect(),
    })
}

/// Its latencies are of reads and writes together: with another mix they are others, though nothing
/// became slower.
fn range(a: &Touched, b: &Touched, threshold: f64) -> Option<Row> {
    let what = What::Range(a.range.clone());
    let mut row = row(what, &a.latency, &b.latency, threshold)?;
    let shares = a.share_of_writes().zip(b.share_of_writes());
    if shares.is_some_and(|(a, b)| (a - b).abs() > SAME_MIX) {
        for one in &mut row.percentiles {
            one.verdict = Verdict::OtherMix;
        }
    }
    Some(row)
}
