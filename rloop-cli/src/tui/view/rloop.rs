//! What only devices of rloop have, in lines that the views show.

use rloop_common::rloop::Reason;

use crate::{
    model::{DeviceFrame, RloopFrame, Ways},
    tui::units,
};

/// The mode, and why it is not a better one.
pub(super) fn mode(device: &DeviceFrame) -> String {
    let mode = super::device::mode(device);
    match &device.rloop {
        Some(rloop) if rloop.why != "best" => format!("{mode} ({})", rloop.why),
        _ => mode,
    }
}

/// Which way requests went, and why some needed a worker.
pub(super) fn ways(rloop: &RloopFrame) -> String {
    let share = |name: &str, ways: &Ways| {
        let share = ways.fast_share()?;
        Some(format!("{name} {} fast", units::percent(Some(share))))
    };
    let mut words: Vec<String> = share("reads", &rloop.reads)
        .into_iter()
        .chain(share("writes", &rloop.writes))
        .collect();
    if rloop.recalls > 0 {
        words.push(format!("recalls {}", units::count(rloop.recalls as f64)));
    }
    let reasons = Reason::ALL.iter().zip(rloop.reasons);
    let reasons: Vec<String> = reasons
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| {
            let name = reason.name().replace('_', " ");
            format!("{name} {}", units::count(count as f64))
        })
        .collect();
    if !reasons.is_empty() {
        words.push(format!("worker: {}", reasons.join(", ")));
    }
    if words.is_empty() {
        words.push("no requests in this interval".to_owned());
    }
    words.join("  ")
}

/// How holes are filled, and how that is made durable.
pub(super) fn fills(rloop: &RloopFrame) -> String {
    let per_commit = rloop
        .fills_per_commit
        .map_or_else(|| "-".to_owned(), |fills| format!("{fills:.1}"));
    format!(
        "fill={} commit={}  fill time {}  for each commit {per_commit}  waiting {}",
        rloop.fill,
        rloop.commit,
        units::ns(rloop.fill_mean_ns),
        units::count(rloop.fills_waiting as f64),
    )
}
