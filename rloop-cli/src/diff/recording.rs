//! A recording as far as it is compared: latencies of each device, by operation and by range.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use rloop_common::op::OPS;

use super::ranges::{Pieces, place};
use super::series::{Buckets, Series};
use super::{By, Side};
use crate::model::{DeviceFrame, Frame, derive};
use crate::source::replay::Replay;
use crate::source::{Source as _, SourceError};

/// Ranges by device.
pub(super) type Ranges = BTreeMap<String, Vec<Range<u64>>>;

/// A recording.
pub(super) struct Recording {
    pub(super) side: Side,
    /// By name, or by the path of the file.
    pub(super) devices: BTreeMap<String, Device>,
}

/// A device in one recording.
pub(super) struct Device {
    /// Devices that it was, and files: one of each, mostly.
    pub(super) names: BTreeSet<String>,
    pub(super) paths: BTreeSet<String>,
    /// Path of its file, and the type of the filesystem, as last seen.
    pub(super) path: String,
    pub(super) fs: String,
    pub(super) ops: [Operation; OPS],
    pub(super) commits: Series,
    pub(super) ranges: Vec<Touched>,
    pub(super) direct_bytes: u64,
    pub(super) buffered_bytes: u64,
}

/// One operation.
pub(super) struct Operation {
    pub(super) latency: Series,
    pub(super) submitted: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) errors: u64,
}

/// A range of the device, and the requests that touched it.
pub(super) struct Touched {
    pub(super) range: Range<u64>,
    pub(super) latency: Series,
    reads: u64,
    writes: u64,
}

impl Touched {
    /// Of 1; `None` if nothing was read or written.
    pub(super) fn share_of_writes(&self) -> Option<f64> {
        let all = self.reads + self.writes;
        (all > 0).then(|| self.writes as f64 / all as f64)
    }
}

/// What is compared of the devices of two recordings.
pub(super) fn ranges(paths: [&Path; 2], by: By) -> Result<Ranges, SourceError> {
    let mut all: BTreeMap<String, Pieces> = BTreeMap::new();
    for path in paths {
        frames(path, |frame| {
            for device in &frame.devices {
                all.entry(key(device, by)).or_default().add(device);
            }
        })?;
    }
    let ranges = all.into_iter().map(|(key, pieces)| (key, pieces.ranges()));
    Ok(ranges.collect())
}

impl Recording {
    /// Reads it.
    pub(super) fn read(path: &Path, by: By, ranges: &Ranges) -> Result<Self, SourceError> {
        let mut devices: BTreeMap<String, Device> = BTreeMap::new();
        let side = frames(path, |frame| {
            for device in &frame.devices {
                let key = key(device, by);
                let ranges = ranges.get(&key).map_or(&[][..], Vec::as_slice);
                let known = devices.entry(key).or_insert_with(|| Device::new(ranges));
                known.add(device, ranges);
            }
        })?;
        Ok(Self { side, devices })
    }
}

fn key(device: &DeviceFrame, by: By) -> String {
    match by {
        By::Name => device.name.clone(),
        By::File => device.backing.path.clone(),
    }
}

/// Goes through the intervals of a recording.
fn frames(path: &Path, mut each: impl FnMut(&Frame)) -> Result<Side, SourceError> {
    let mut replay = Replay::open(path).map_err(|error| SourceError(error.to_string()))?;
    let mut side = Side {
        path: path.display().to_string(),
        ..Side::default()
    };
    let mut older = None;
    while let Some(sample) = replay.next()? {
        if let Some(older) = &older {
            let frame = derive(older, &sample);
            side.intervals += 1;
            side.length_ns += frame.interval_ns;
            each(&frame);
        }
        older = Some(sample);
    }
    if side.intervals == 0 {
        return Err(SourceError(format!(
            "{} holds no interval to compare: record for longer",
            side.path
        )));
    }
    side.warning = replay.warning();
    Ok(side)
}

impl Device {
    fn new(ranges: &[Range<u64>]) -> Self {
        Self {
            names: BTreeSet::new(),
            paths: BTreeSet::new(),
            path: String::new(),
            fs: String::new(),
            ops: std::array::from_fn(|_| Operation {
                latency: Series::new(Buckets::Fine),
                submitted: 0,
                bytes: 0,
                lost: 0,
                errors: 0,
            }),
            commits: Series::new(Buckets::Fine),
            ranges: ranges
                .iter()
                .map(|range| Touched {
                    range: range.clone(),
                    latency: Series::new(Buckets::Coarse),
                    reads: 0,
                    writes: 0,
                })
                .collect(),
            direct_bytes: 0,
            buffered_bytes: 0,
        }
    }

    /// Adds an interval.
    fn add(&mut self, frame: &DeviceFrame, ranges: &[Range<u64>]) {
        self.names.insert(frame.name.clone());
        self.paths.insert(frame.backing.path.clone());
        self.path.clone_from(&frame.backing.path);
        self.fs.clone_from(&frame.backing.fs);
        for (known, op) in self.ops.iter_mut().zip(&frame.ops) {
            known.latency.push(op.total.buckets.iter().copied());
            known.submitted += op.ops;
            known.bytes += op.bytes;
            known.lost += op.lost;
            known.errors += op.errors;
        }
        self.commits
            .push(frame.commits.duration.buckets.iter().copied());
        let bypass = &frame.bypass;
        self.direct_bytes += bypass.direct_read_bytes + bypass.direct_write_bytes;
        self.buffered_bytes += bypass.buffered_read_bytes + bypass.buffered_write_bytes;
        self.touch(frame, ranges);
    }

    fn touch(&mut self, frame: &DeviceFrame, ranges: &[Range<u64>]) {
        let mut events: Vec<Vec<(u64, u64)>> = vec![Vec::new(); ranges.len()];
        for extent in &frame.touched {
            let Some(place) = place(ranges, extent) else {
                continue;
            };
            events[place].extend(&extent.latency.buckets);
            self.ranges[place].reads += extent.reads;
            self.ranges[place].writes += extent.writes;
        }
        for (range, events) in self.ranges.iter_mut().zip(events) {
            range.latency.push(events);
        }
    }
}
