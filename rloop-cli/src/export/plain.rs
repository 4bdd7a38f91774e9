//! Lines for people and pipes: a table within 80 columns, and findings as long as they are.

use std::fmt::Write as _;

use rloop_common::Op;

use crate::model::{DeviceFrame, Frame, Told};

/// What the columns of [`lines`] are.
pub fn header() -> String {
    columns([
        "device", "mode", "read/s", "write/s", "MiB/s", "p50_us", "p99_us", "bypass%", "fills",
        "lost",
    ])
}

fn columns(cells: [&str; 10]) -> String {
    let [
        device,
        mode,
        reads,
        writes,
        rate,
        p50,
        p99,
        bypass,
        fills,
        lost,
    ] = cells;
    format!(
        "{device:<9} {mode:<8} {reads:>7} {writes:>8} {rate:>7} {p50:>8} {p99:>8} {bypass:>7} {fills:>5} {lost:>4}"
    )
}

/// One line for each device, one for who submitted most to it, and one for each finding about it.
pub fn lines(frame: &Frame) -> String {
    let mut text = String::new();
    for device in &frame.devices {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(frame, device));
        if let Some(who) = device.submitters.first() {
            let rest = match device.submitters.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let _ = writeln!(
                text,
                "  by {}[{}] in {}{rest}",
                tame(&who.command),
                who.pid,
                tame(&who.cgroup.to_string())
            );
        }
        for finding in &device.findings {
            let _ = writeln!(text, "  ! {}: {}", finding.id, tame(&finding.what));
        }
    }
    text
}

fn line(frame: &Frame, device: &DeviceFrame) -> String {
    let seconds = (frame.interval_ns as f64 / 1e9).max(1e-9);
    let rate = |op: Op| device.ops[op.index()].ops as f64 / seconds;
    let none = || "-".to_owned();
    let us = |ns: Option<u64>| ns.map_or_else(none, |ns| format!("{:.1}", ns as f64 / 1e3));
    columns([
        &device.name,
        device.mode.name(),
        &format!("{:.0}", rate(Op::Read)),
        &format!("{:.0}", rate(Op::Write)),
        &format!(
            "{:.1}",
            device.all.bytes as f64 / seconds / f64::from(1 << 20)
        ),
        &us(device.all.total.p50_ns),
        &us(device.all.total.p99_ns),
        &device
            .bypass_ratio
            .map_or_else(none, |ratio| format!("{:.1}", percent(ratio))),
        &if frame.unknown(device, Told::Holes).is_some() {
            none()
        } else {
            device.holes.fills.to_string()
        },
        &device.all.lost.to_string(),
    ])
}

/// Without what a terminal would obey, or that would begin a line: anybody may name a process or a file.
fn tame(text: &str) -> String {
    let escaped = |char: char| match char.is_control() {
        true => char.escape_default().collect(),
        false => String::from(char),
    };
    text.chars().map(escaped).collect()
}

/// A share of 1, never 0.0 of what is not nothing, or 100.0 of what is not all.
fn percent(share: f64) -> f64 {
    if share > 0.0 && share < 1.0 {
        (share * 100.0).clamp(0.1, 99.9)
    } else {
        share * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Cgroup, Submitter};

    #[test]
    fn a_name_is_not_obeyed() {
        assert_eq!(tame("a\x1b[2J\nb it's"), "a\\u{1b}[2J\\nb it's");
    }

    #[test]
    fn who_submitted_most_is_named_with_its_cgroup() {
        let who = |pid, cgroup| Submitter {
            pid,
            command: "dd".into(),
            cgroup,
            ..Submitter::default()
        };
        let path = Some("/user.slice".into());
        let mut device = DeviceFrame {
            submitters: vec![who(7, Cgroup { id: 4, path })],
            ..DeviceFrame::default()
        };
        let second = |device: &DeviceFrame| {
            let frame = Frame {
                devices: vec![device.clone()],
                ..Frame::default()
            };
            lines(&frame).lines().nth(1).map(str::to_owned)
        };
        assert_eq!(
            second(&device).as_deref(),
            Some("  by dd[7] in /user.slice")
        );
        let gone = Cgroup { id: 9, path: None };
        device.submitters.insert(0, who(8, gone));
        assert_eq!(
            second(&device).as_deref(),
            Some("  by dd[8] in cgroup 9, and 1 more")
        );
        device.submitters.clear();
        assert_eq!(second(&device), None);
    }

    #[test]
    fn lines_fit_and_columns_align() {
        let device = DeviceFrame {
            name: "loop123".into(),
            ..DeviceFrame::default()
        };
        let text = lines(&Frame {
            interval_ns: 1_000_000_000,
            devices: vec![device],
            ..Frame::default()
        });
        assert_eq!(text.trim_end().len(), header().len());
        assert!(header().len() <= 80);
    }
}
