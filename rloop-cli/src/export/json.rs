//! One JSON object for each interval; `docs/json-schema.json` describes it.

mod chain;
mod rloop;

use jiff::Timestamp;
use rloop_common::Op;
use serde::Serialize;

use crate::{
    model::{DeviceFrame, ExtentFrame, Finding, Frame, Latency, Mode, OpFrame, Told},
    sample::{self, Kind, Lost, State, Unavailable},
};

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    interval_ns: u64,
    lost_events: u64,
    lost: LostEvents,
    probe: Option<Probe>,
    devices: Vec<Device<'a>>,
    unavailable: &'a [Unavailable],
}

#[derive(Serialize)]
struct LostEvents {
    completions: u64,
    ring_events: u64,
    recursion: u64,
    unattributed: u64,
    traces: u64,
}

#[derive(Serialize)]
struct Probe {
    runs: u64,
    run_ns: u64,
}

#[derive(Serialize)]
struct Device<'a> {
    name: &'a str,
    kind: Kind,
    backing: Backing<'a>,
    mode: Mode,
    mode_measured: bool,
    io: Io,
    time_ns: Option<Time>,
    split: Option<Split>,
    bypass: Bypass,
    cached_pages: Option<u64>,
    holes: Holes,
    recalls: u64,
    rloop: Option<rloop::Rloop<'a>>,
    submitters: Vec<Submitter<'a>>,
    extents: Vec<Extent>,
    traces: chain::Traces,
    chains: Vec<chain::Chain<'a>>,
    commits: Vec<chain::Commit>,
    findings: &'a [Finding],
    unavailable: &'a [Unavailable],
}

#[derive(Serialize)]
struct Backing<'a> {
    path: &'a str,
    fs: &'a str,
    dev: &'a str,
    ino: u64,
}

#[derive(Serialize)]
struct Io {
    read: Counts,
    write: Counts,
    discard: Counts,
    write_zeroes: Counts,
    flush: Counts,
}

#[derive(Serialize)]
struct Counts {
    ops: u64,
    completed: u64,
    bytes: u64,
    errors: u64,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
}

#[derive(Serialize)]
struct Time {
    queue: u64,
    worker: u64,
    filesystem: u64,
    disk: u64,
}

#[derive(Serialize)]
struct Split {
    requests: u64,
    sampled: u64,
    derived: u64,
}

#[derive(Serialize)]
struct Bypass {
    direct_bytes: u64,
    buffered_bytes: u64,
    ratio: Option<f64>,
    derived: bool,
}

#[derive(Serialize)]
struct Holes {
    fills: Option<u64>,
    fill_bytes: Option<u64>,
    conversions: Option<u64>,
    punched_bytes: Option<u64>,
    punches_derived: bool,
    commits: Option<u64>,
    commit_time_derived: bool,
    commit_p50_ns: Option<u64>,
    commit_p99_ns: Option<u64>,
    commit_max_ns: Option<u64>,
}

#[derive(Serialize)]
struct Submitter<'a> {
    pid: u32,
    command: &'a str,
    cgroup: Cgroup<'a>,
    ops: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Cgroup<'a> {
    id: u64,
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct Extent {
    start_bytes: u64,
    len_bytes: u64,
    disk_offset_bytes: Option<u64>,
    state: State,
    reads: u64,
    writes: u64,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    max_ns: Option<u64>,
}

/// The interval as one line of JSON, without the newline.
pub fn line(frame: &Frame) -> String {
    let Lost {
        completions,
        ring_events,
        recursion,
        unattributed,
        traces,
    } = frame.lost;
    let line = Line {
        time: time(frame.wall_ns),
        interval_ns: frame.interval_ns,
        lost_events: completions + ring_events + recursion + unattributed,
        lost: LostEvents {
            completions,
            ring_events,
            recursion,
            unattributed,
            traces,
        },
        probe: frame.probe.map(|probe| Probe {
            runs: probe.runs,
            run_ns: probe.run_ns,
        }),
        devices: frame.devices.iter().map(|one| device(frame, one)).collect(),
        unavailable: &frame.unavailable,
    };
    serde_json::to_string(&line).expect("maps with string keys and plain numbers always serialise")
}

fn time(wall_ns: u64) -> String {
    Timestamp::from_nanosecond(i128::from(wall_ns))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

fn device<'a>(frame: &'a Frame, device: &'a DeviceFrame) -> Device<'a> {
    let counts = |op: Op| counts(&device.ops[op.index()]);
    let (split, bypass) = (&device.split, &device.bypass);
    Device {
        name: &device.name,
        kind: device.kind,
        backing: Backing {
            path: &device.backing.path,
            fs: &device.backing.fs,
            dev: &device.backing.dev,
            ino: device.backing.ino,
        },
        mode: device.mode,
        mode_measured: device.mode_measured,
        io: Io {
            read: counts(Op::Read),
            write: counts(Op::Write),
            discard: counts(Op::Discard),
            write_zeroes: counts(Op::WriteZeroes),
            flush: counts(Op::Flush),
        },
        time_ns: (split.requests > 0).then_some(Time {
            queue: split.queue_ns,
            worker: split.worker_ns,
            filesystem: split.filesystem_ns,
            disk: split.disk_ns,
        }),
        split: (split.requests > 0).then_some(Split {
            requests: split.requests,
            sampled: split.sampled,
            derived: split.derived,
        }),
        bypass: Bypass {
            direct_bytes: bypass.direct_read_bytes + bypass.direct_write_bytes,
            buffered_bytes: bypass.buffered_read_bytes + bypass.buffered_write_bytes,
            ratio: device.bypass_ratio,
            derived: bypass.derived,
        },
        cached_pages: device.backing_cached_pages,
        holes: holes(frame, device),
        // Only a device that holds leases has any.
        recalls: device.rloop.as_ref().map_or(0, |rloop| rloop.recalls),
        rloop: device.rloop.as_ref().map(rloop::rloop),
        submitters: device.submitters.iter().map(submitter).collect(),
        extents: device.touched.iter().map(extent).collect(),
        traces: chain::traces(device),
        chains: chain::chains(device),
        commits: chain::commits(device),
        findings: &device.findings,
        unavailable: &device.unavailable,
    }
}

fn holes(frame: &Frame, device: &DeviceFrame) -> Holes {
    let (holes, commits) = (&device.holes, &device.commits);
    let known = |told, count| frame.unknown(device, told).is_none().then_some(count);
    Holes {
        fills: known(Told::Holes, holes.fills),
        fill_bytes: known(Told::Holes, holes.fill_bytes),
        conversions: known(Told::Holes, holes.conversions),
        punched_bytes: known(Told::Holes, holes.punched_bytes),
        punches_derived: device.punches_derived,
        commits: known(Told::Commits, commits.count),
        commit_time_derived: commits.derived,
        commit_p50_ns: commits.duration.p50_ns,
        commit_p99_ns: commits.duration.p99_ns,
        commit_max_ns: commits.duration.max_ns,
    }
}

fn counts(op: &OpFrame) -> Counts {
    let Latency {
        p50_ns,
        p90_ns,
        p99_ns,
        p999_ns,
        max_ns,
        ..
    } = op.total;
    Counts {
        ops: op.ops,
        completed: op.completed,
        bytes: op.bytes,
        errors: op.errors,
        p50_ns,
        p90_ns,
        p99_ns,
        p999_ns,
        max_ns,
    }
}

fn submitter(who: &sample::Submitter) -> Submitter<'_> {
    Submitter {
        pid: who.pid,
        command: &who.command,
        cgroup: Cgroup {
            id: who.cgroup.id,
            path: who.cgroup.path.as_deref(),
        },
        ops: who.requests,
        bytes: who.bytes,
    }
}

fn extent(extent: &ExtentFrame) -> Extent {
    Extent {
        start_bytes: extent.start_bytes,
        len_bytes: extent.len_bytes,
        disk_offset_bytes: extent.disk_offset_bytes,
        state: extent.state,
        reads: extent.reads,
        writes: extent.writes,
        p50_ns: extent.latency.p50_ns,
        p99_ns: extent.latency.p99_ns,
        max_ns: extent.latency.max_ns,
    }
}

#[cfg(test)]
mod tests;
