//! The columns of a list of requests.

use rloop_common::Op;

use super::{Value, short_time};
use crate::{
    model::{
        DeviceFrame,
        chain::{Part, Traced, links},
    },
    sample::Route,
    tui::{
        units,
        view::{
            columns::{Column, column},
            device,
        },
    },
};

pub(super) const REQUESTS: [Column<Value<Traced>>; 14] = [
    column(|_, traced| short_time(traced.wall_ns), "at", 13, 1),
    column(|_, traced| op(traced), "op", 7, 0),
    column(|_, traced| place(traced), "offset", 15, 0),
    column(
        |_, traced| units::bytes(traced.request.bytes),
        "length",
        8,
        0,
    ),
    column(
        |_, traced| units::ns(Some(traced.request.total_ns())),
        "took",
        8,
        0,
    ),
    column(|_, traced| durable(traced), "durable", 9, 0),
    column(|_, traced| route(traced), "way", 8, 3),
    column(|_, traced| spent(traced, Spent::Queue), "queue", 8, 4),
    column(|_, traced| spent(traced, Spent::Worker), "worker", 9, 4),
    column(|_, traced| spent(traced, Spent::Filesystem), "fs", 9, 4),
    column(|_, traced| spent(traced, Spent::Disk), "disk", 8, 4),
    column(
        |_, traced| {
            let sector = traced.request.sector;
            sector.map_or_else(|| "-".to_owned(), |sector| sector.to_string())
        },
        "sector",
        13,
        5,
    ),
    column(|_, traced| extent(traced), "extent at", 15, 5),
    column(submitter as Value<Traced>, "who", 14, 1).growing(),
];

/// The operation; `!` if it failed.
pub(super) fn op(traced: &Traced) -> String {
    let mark = if traced.request.failed { "!" } else { "" };
    let name = match traced.request.op() {
        Op::WriteZeroes => "zeroes",
        op => op.name(),
    };
    format!("{name}{mark}")
}

/// Requests of an operation, or of any.
pub(super) fn plural(only: Option<Op>) -> &'static str {
    match only {
        None => "requests",
        Some(Op::Read) => "reads",
        Some(Op::Write) => "writes",
        Some(Op::Discard) => "discards",
        Some(Op::WriteZeroes) => "writes of zeroes",
        Some(Op::Flush) => "flushes",
    }
}

fn place(traced: &Traced) -> String {
    if traced.request.op() == Op::Flush {
        return "-".to_owned();
    }
    units::offset(traced.request.offset_bytes)
}

/// How long after its beginning it was durable.
fn durable(traced: &Traced) -> String {
    let Some(durable) = traced.durable else {
        return "-".to_owned();
    };
    let after = durable.at_ns.saturating_sub(traced.request.times.start_ns);
    format!(
        "{}{}",
        device::about(durable.derived),
        units::ns(Some(after))
    )
}

fn extent(traced: &Traced) -> String {
    let told = traced.request.extent_start_bytes;
    let start = told.or(traced.extent.map(|extent| extent.start_bytes));
    match start {
        Some(start) if traced.request.bytes > 0 => units::offset(start),
        _ => "-".to_owned(),
    }
}

pub(super) fn route(traced: &Traced) -> String {
    let request = &traced.request;
    match request.route {
        Route::Unknown => "-",
        Route::Direct => "direct",
        Route::Buffered => "buffered",
        Route::Disk if request.fills => "fill",
        Route::Disk => "disk",
        Route::Zeros => "zeros",
    }
    .to_owned()
}

fn submitter(_: &DeviceFrame, traced: &Traced) -> String {
    who(traced)
}

pub(super) fn who(traced: &Traced) -> String {
    let request = &traced.request;
    match (&request.command, request.pid) {
        (Some(command), Some(pid)) => format!("{command} {pid}"),
        (None, Some(pid)) => pid.to_string(),
        _ => "-".to_owned(),
    }
}

/// A column of the list of requests.
#[derive(Clone, Copy, PartialEq)]
enum Spent {
    Queue,
    Worker,
    Filesystem,
    Disk,
}

fn spent(traced: &Traced, spent: Spent) -> String {
    let [links, _] = links(traced);
    let is = |part| {
        matches!(
            (spent, part),
            (Spent::Queue, Part::Queue)
                | (Spent::Worker, Part::Worker)
                | (Spent::Filesystem, Part::Filesystem | Part::Completion)
                | (Spent::Disk, Part::Disk)
        )
    };
    let of_it: Vec<_> = links.iter().filter(|link| is(link.part)).collect();
    if of_it.is_empty() {
        return "-".to_owned();
    }
    let about = device::about(of_it.iter().any(|link| link.derived));
    let ns = of_it.iter().map(|link| link.to_ns - link.from_ns).sum();
    format!("{about}{}", units::ns(Some(ns)))
}
