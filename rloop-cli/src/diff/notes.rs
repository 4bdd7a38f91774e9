//! What else differs between two recordings of a device, and may be why its latencies do.

use std::collections::BTreeSet;

use rloop_common::Op;

use super::recording::{Device, Operation};
use crate::tui::units;

/// Shares of direct bytes that are further apart are worth a word.
const DIRECT: f64 = 0.1;
/// As are sizes of requests that differ by more than this share.
const SIZE: f64 = 0.1;
/// And losses of more than this share of the requests.
const LOST: f64 = 0.01;
/// Failures of so much more of them make what is faster another thing.
const FAILED: f64 = 0.01;

/// In words.
pub(super) fn of(a: &Device, b: &Device) -> Vec<String> {
    let mut notes = Vec::new();
    if (&a.path, &a.fs) != (&b.path, &b.fs) {
        notes.push(format!(
            "{} on {}, then {} on {}",
            a.path, a.fs, b.path, b.fs
        ));
    }
    if let Some((a, b)) = direct(a).zip(direct(b))
        && (a - b).abs() > DIRECT
    {
        notes.push(format!(
            "{} of the bytes by direct I/O, then {}",
            units::percent(Some(a)),
            units::percent(Some(b))
        ));
    }
    notes.extend(several("A", a));
    notes.extend(several("B", b));
    for op in Op::ALL {
        let (a, b) = (&a.ops[op.index()], &b.ops[op.index()]);
        notes.extend(sizes(op, a, b));
        notes.extend(losses(op, a, b));
        notes.extend(failures(op, a, b));
    }
    notes
}

/// That the numbers of one recording are of several devices, or files, together.
fn several(which: &str, device: &Device) -> Option<String> {
    let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(" and ");
    if device.paths.len() > 1 {
        Some(format!("in {which} it is {} together", list(&device.paths)))
    } else if device.names.len() > 1 {
        Some(format!("in {which} it is {} together", list(&device.names)))
    } else {
        None
    }
}

/// Whether more of the requests of an operation failed in the newer recording.
pub(super) fn fails_more(a: &Device, b: &Device) -> bool {
    let mut ops = a.ops.iter().zip(&b.ops);
    ops.any(|(a, b)| failed(b) > failed(a) + FAILED)
}

/// Of 1.
fn failed(op: &Operation) -> f64 {
    op.errors as f64 / op.submitted.max(1) as f64
}

fn failures(op: Op, a: &Operation, b: &Operation) -> Option<String> {
    (a.errors + b.errors > 0).then(|| {
        format!(
            "{} of {} {}s failed, then {} of {}: such latencies are not alike",
            a.errors,
            a.submitted,
            op.name(),
            b.errors,
            b.submitted
        )
    })
}

fn direct(device: &Device) -> Option<f64> {
    let all = device.direct_bytes + device.buffered_bytes;
    (all > 0).then(|| device.direct_bytes as f64 / all as f64)
}

/// That a request is of another size, and so takes another time.
fn sizes(op: Op, a: &Operation, b: &Operation) -> Option<String> {
    let mean = |op: &Operation| (op.submitted > 0).then(|| op.bytes / op.submitted);
    let (a, b) = mean(a).zip(mean(b))?;
    let differ = a.abs_diff(b) as f64 > SIZE * a.min(b) as f64;
    differ.then(|| {
        format!(
            "a {} is {}, then {}, on average: such latencies are not alike",
            op.name(),
            units::bytes(a),
            units::bytes(b)
        )
    })
}

fn losses(op: Op, a: &Operation, b: &Operation) -> Option<String> {
    let share = |op: &Operation| op.lost as f64 / op.submitted.max(1) as f64;
    let most = share(a).max(share(b));
    (most > LOST).then(|| {
        format!(
            "the ends of {} {}s were not seen, then of {}",
            a.lost,
            op.name(),
            b.lost
        )
    })
}
