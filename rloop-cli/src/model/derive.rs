//! The difference of two samples.

use rloop_common::{
    Op,
    bucket::{COARSE_BUCKETS, FINE_BUCKETS},
};

use super::{
    Chains, CommitsFrame, DeviceFrame, Frame, Mode, OpFrame,
    extents::touched,
    findings,
    latency::{delta, latency, merge},
    rloop,
};
use crate::sample::{
    Buckets, BypassSample, DeviceSample, Facts, HolesSample, Lost, OpSample, ProbeCost, Sample,
    SplitSample, Submitter,
};

/// A share of direct bytes from which on a device counts as direct, and to which as buffered.
const DIRECT: f64 = 0.99;
const BUFFERED: f64 = 0.01;

/// What happened between two samples. Counters that went backwards count as zero.
pub fn derive(older: &Sample, newer: &Sample) -> Frame {
    let nothing = DeviceSample::default();
    let interval_ns = newer.monotonic_ns.saturating_sub(older.monotonic_ns);
    let devices = newer.devices.iter().map(|new| {
        let same = |old: &&DeviceSample| old.name == new.name && old.instance == new.instance;
        let old = older.devices.iter().find(same).unwrap_or(&nothing);
        let mut frame = device(old, new);
        frame.chains = Chains::of(newer, old, new);
        frame.findings = findings::find(&frame, interval_ns);
        frame
    });
    Frame {
        wall_ns: newer.wall_ns,
        interval_ns,
        lost: Lost {
            completions: newer
                .lost
                .completions
                .saturating_sub(older.lost.completions),
            ring_events: newer
                .lost
                .ring_events
                .saturating_sub(older.lost.ring_events),
            recursion: newer.lost.recursion.saturating_sub(older.lost.recursion),
            unattributed: newer
                .lost
                .unattributed
                .saturating_sub(older.lost.unattributed),
            traces: newer.lost.traces.saturating_sub(older.lost.traces),
        },
        lost_since_start: newer.lost,
        probe: newer.probe.map(|new| {
            let old = older.probe.unwrap_or_default();
            ProbeCost {
                runs: new.runs.saturating_sub(old.runs),
                run_ns: new.run_ns.saturating_sub(old.run_ns),
            }
        }),
        own_cpu_ns: newer.own_cpu_ns.saturating_sub(older.own_cpu_ns),
        devices: devices.collect(),
        unavailable: newer.unavailable.clone(),
    }
}

fn device(old: &DeviceSample, new: &DeviceSample) -> DeviceFrame {
    let bypass = bypass(&old.bypass, &new.bypass);
    let direct = bypass.direct_read_bytes + bypass.direct_write_bytes;
    let moved = direct + bypass.buffered_read_bytes + bypass.buffered_write_bytes;
    // A claim that changed within the interval holds for a part of it only: it contradicts nothing.
    let known_before = old.instance == new.instance;
    let claims_direct = new.facts.claims_direct && (!known_before || old.facts.claims_direct);
    let ratio = (moved > 0).then(|| direct as f64 / moved as f64);
    DeviceFrame {
        name: new.name.clone(),
        kind: new.kind,
        instance: new.instance,
        backing: new.backing.clone(),
        facts: Facts {
            claims_direct,
            ..new.facts
        },
        mode: match (&new.rloop, ratio) {
            (Some(rloop), _) => rloop::mode(&rloop.provider),
            (None, Some(ratio)) if ratio >= DIRECT => Mode::Direct,
            (None, Some(ratio)) if ratio <= BUFFERED => Mode::Buffered,
            (None, Some(_)) => Mode::Mixed,
            (None, None) if claims_direct => Mode::Direct,
            (None, None) => Mode::Buffered,
        },
        mode_measured: ratio.is_some() || new.rloop.is_some(),
        ops: std::array::from_fn(|i| op(&old.ops[i], &new.ops[i])),
        all: all(old, new),
        in_flight: new.in_flight,
        merges: new.merges.saturating_sub(old.merges),
        split: split(&old.split, &new.split),
        bypass,
        bypass_ratio: ratio,
        holes: holes(&old.holes, &new.holes),
        punches_derived: new.backing.fs == "btrfs",
        commits: commits(old, new),
        backing_cached_pages: new.backing_cached_pages,
        device_cached_pages: new.device_cached_pages,
        extents: new.extents.clone(),
        data: new.data,
        touched: touched(&old.extent_counters, &new.extent_counters, &new.extents),
        extents_per_cell: new.extents_per_cell,
        submitters: submitters(&old.submitters, &new.submitters),
        rloop: rloop::derive(old, new),
        chains: Chains::default(),
        findings: Vec::new(),
        unavailable: new.unavailable.clone(),
    }
}

fn op(old: &OpSample, new: &OpSample) -> OpFrame {
    OpFrame {
        ops: new.submitted.saturating_sub(old.submitted),
        bytes: new.bytes.saturating_sub(old.bytes),
        completed: new.completed.saturating_sub(old.completed),
        lost: new.lost.saturating_sub(old.lost),
        errors: new.errors.saturating_sub(old.errors),
        requeued: new.requeued.saturating_sub(old.requeued),
        total: latency::<6, FINE_BUCKETS>(&delta(&old.total, &new.total), new.max_ns),
        queue: latency::<2, COARSE_BUCKETS>(&delta(&old.queue, &new.queue), 0),
        service: latency::<2, COARSE_BUCKETS>(&delta(&old.service, &new.service), 0),
    }
}

/// All operations but flushes, as if they were one.
fn all(old: &DeviceSample, new: &DeviceSample) -> OpFrame {
    let sum = |sample: &DeviceSample| {
        let ops = || {
            Op::ALL
                .iter()
                .filter(|op| **op != Op::Flush)
                .map(|op| &sample.ops[op.index()])
        };
        let add = |field: fn(&OpSample) -> u64| ops().map(field).sum();
        let join = |field: fn(&OpSample) -> &Buckets| merge(ops().map(field));
        OpSample {
            submitted: add(|op| op.submitted),
            bytes: add(|op| op.bytes),
            completed: add(|op| op.completed),
            lost: add(|op| op.lost),
            errors: add(|op| op.errors),
            requeued: add(|op| op.requeued),
            max_ns: ops().map(|op| op.max_ns).max().unwrap_or(0),
            total: join(|op| &op.total),
            queue: join(|op| &op.queue),
            service: join(|op| &op.service),
        }
    };
    op(&sum(old), &sum(new))
}

fn split(old: &SplitSample, new: &SplitSample) -> SplitSample {
    SplitSample {
        requests: new.requests.saturating_sub(old.requests),
        sampled: new.sampled.saturating_sub(old.sampled),
        derived: new.derived.saturating_sub(old.derived),
        queue_ns: new.queue_ns.saturating_sub(old.queue_ns),
        worker_ns: new.worker_ns.saturating_sub(old.worker_ns),
        filesystem_ns: new.filesystem_ns.saturating_sub(old.filesystem_ns),
        disk_ns: new.disk_ns.saturating_sub(old.disk_ns),
    }
}

fn bypass(old: &BypassSample, new: &BypassSample) -> BypassSample {
    BypassSample {
        direct_read_bytes: new.direct_read_bytes.saturating_sub(old.direct_read_bytes),
        direct_write_bytes: new
            .direct_write_bytes
            .saturating_sub(old.direct_write_bytes),
        buffered_read_bytes: new
            .buffered_read_bytes
            .saturating_sub(old.buffered_read_bytes),
        buffered_write_bytes: new
            .buffered_write_bytes
            .saturating_sub(old.buffered_write_bytes),
        derived: new.derived,
    }
}

fn holes(old: &HolesSample, new: &HolesSample) -> HolesSample {
    HolesSample {
        fills: new.fills.saturating_sub(old.fills),
        fill_bytes: new.fill_bytes.saturating_sub(old.fill_bytes),
        conversions: new.conversions.saturating_sub(old.conversions),
        conversion_bytes: new.conversion_bytes.saturating_sub(old.conversion_bytes),
        punches: new.punches.saturating_sub(old.punches),
        punched_bytes: new.punched_bytes.saturating_sub(old.punched_bytes),
    }
}

fn commits(old: &DeviceSample, new: &DeviceSample) -> CommitsFrame {
    let is_rloop = new.rloop.is_some();
    let (old, fs, new) = (&old.commits, &new.backing.fs, &new.commits);
    CommitsFrame {
        count: new.count.saturating_sub(old.count),
        duration: latency::<6, FINE_BUCKETS>(&delta(&old.durations, &new.durations), new.max_ns),
        // Only ext4's journal tells when a commit ends, and rloop's module does.
        derived: !is_rloop && matches!(fs.as_str(), "xfs" | "btrfs"),
    }
}

pub(super) fn submitters(old: &[Submitter], new: &[Submitter]) -> Vec<Submitter> {
    let mut grown: Vec<Submitter> = new
        .iter()
        .map(|new| {
            let before = old
                .iter()
                .find(|old| old.pid == new.pid && old.cgroup.id == new.cgroup.id);
            let (requests, bytes) = before.map_or((0, 0), |old| (old.requests, old.bytes));
            Submitter {
                requests: new.requests.saturating_sub(requests),
                bytes: new.bytes.saturating_sub(bytes),
                ..new.clone()
            }
        })
        .filter(|submitter| submitter.requests > 0)
        .collect();
    grown.sort_by_key(|submitter| (std::cmp::Reverse(submitter.bytes), submitter.pid));
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Extent, ExtentCounters};

    fn sample(reads: u64, instance: u64) -> Sample {
        let mut device = DeviceSample {
            name: "loop0".into(),
            instance,
            ..DeviceSample::default()
        };
        device.ops[0] = OpSample {
            submitted: reads,
            bytes: reads * 4096,
            completed: reads,
            total: Buckets(vec![(700, reads)]),
            ..OpSample::default()
        };
        device.extents = vec![Extent {
            start_bytes: 0,
            len_bytes: 1 << 20,
            ..Extent::default()
        }]
        .into();
        device.extent_counters = vec![ExtentCounters {
            start_bytes: 0,
            reads,
            ..ExtentCounters::default()
        }];
        Sample {
            monotonic_ns: reads,
            devices: vec![device],
            ..Sample::default()
        }
    }

    #[test]
    fn counts_are_of_the_interval() {
        let frame = derive(&sample(100, 1), &sample(350, 1));
        let device = &frame.devices[0];
        assert_eq!(
            (
                device.ops[0].ops,
                device.ops[0].bytes,
                device.all.total.count
            ),
            (250, 250 * 4096, 250)
        );
        assert_eq!(
            (device.touched[0].reads, device.touched[0].len_bytes),
            (250, 1 << 20)
        );
    }

    #[test]
    fn a_device_attached_anew_starts_at_zero() {
        assert_eq!(
            derive(&sample(500, 1), &sample(7, 2)).devices[0].ops[0].ops,
            7
        );
    }

    #[test]
    fn an_idle_interval_has_no_percentiles() {
        let frame = derive(&sample(100, 1), &sample(100, 1));
        let device = &frame.devices[0];
        assert_eq!(device.ops[0].total.p50_ns, None);
        assert!(device.touched.is_empty() && device.bypass_ratio.is_none());
    }
}
