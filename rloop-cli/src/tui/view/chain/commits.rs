//! The columns of a list of commits.

use super::{
    Value,
    requests::{op, who},
    short_time,
};
use crate::{
    model::{DeviceFrame, chain::Committed},
    sample::CommitKind,
    tui::{
        units,
        view::{
            columns::{Column, column},
            device,
        },
    },
};

pub(super) const COMMITS: [Column<Value<Committed>>; 7] = [
    column(
        |_, committed| committed.commit.id.to_string(),
        "commit",
        7,
        0,
    ),
    column(|_, committed| short_time(committed.wall_ns), "at", 13, 0),
    column(
        |device, committed| {
            let commit = &committed.commit;
            let about = device::about(device.commits.derived);
            let took = commit.end_ns.saturating_sub(commit.start_ns);
            format!("{about}{}", units::ns(Some(took)))
        },
        "took",
        9,
        0,
    ),
    column(|_, committed| kind(committed), "kind", 8, 0),
    column(
        |device, committed| match device.rloop {
            None => "-".to_owned(),
            Some(_) => committed.commit.fills.to_string(),
        },
        "fills",
        6,
        1,
    ),
    column(
        |device, committed| {
            let requests = device.chains.of_commit(committed.commit.id);
            requests.count().to_string()
        },
        "traced",
        7,
        0,
    ),
    column(waited as Value<Committed>, "waited for by", 24, 1).growing(),
];

fn kind(committed: &Committed) -> String {
    let commit = &committed.commit;
    let mark = if commit.failed { "!" } else { "" };
    let name = match commit.kind {
        CommitKind::Journal => "journal",
        CommitKind::Sync => "sync",
        CommitKind::Layout => "layout",
    };
    format!("{name}{mark}")
}

fn waited(device: &DeviceFrame, committed: &Committed) -> String {
    let mut waiting = device.chains.waiting_for(&committed.commit);
    match waiting.next() {
        Some(traced) => format!("{} {} {}", op(traced), traced.request.id, who(traced)),
        None => "-".to_owned(),
    }
}
