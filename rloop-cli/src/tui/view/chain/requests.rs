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

pub(super) const REQUESTS: [Column<Value<Traced>>; 15] = [
    column(|_, traced| short_time(traced.wall_ns), "at", 12, 1),
    column(|_, traced| op(traced), "op", 7, 0),
    column(|_, traced| place(traced), "offset", 17, 0),
    column(
        |_, traced| units::bytes(traced.request.bytes),
        "length",
        8,
        0,
    ),
    column(
        |_, traced| units::ns(Some(traced.request.total_ns())),
        "took",
        7,
        0,
    ),
    column(|_, traced| durable(traced), "durable", 8, 0),
    column(|_, traced| route(traced), "way", 8, 3),
    column(|_, traced| spent(traced, Spent::Queue), "queue", 7, 2),
    column(|_, traced| spent(traced, Spent::Worker), "worker", 8, 2),
    column(|_, traced| spent(traced, Spent::Filesystem), "fs", 8, 2),
    column(|_, traced| spent(traced, Spent::Disk), "disk", 7, 2),
    column(
        |_, traced| {
            let sector = traced.request.sector;
            sector.map_or_else(|| "-".to_owned(), |sector| sector.to_string())
        },
        "sector",
        13,
        4,
    ),
    column(|_, traced| extent(traced), "extent at", 17, 4),
    // As long as the kernel's names of processes can be.
    column(submitter as Value<Traced>, "who", 15, 1).growing(),
    column(
        |_, traced| {
            let pid = traced.request.pid;
            pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())
        },
        "pid",
        7,
        3,
    ),
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
    match &traced.request.command {
        Some(command) => command.clone(),
        None => who(traced),
    }
}

/// The process that submitted it, and its number.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sample::{Request, Times},
        tui::view::columns::fitting,
    };

    #[test]
    fn the_longest_values_have_room() {
        const DAY_NS: u64 = 86_400_000_000_000;
        let traced = Traced {
            request: Request {
                op: Op::Discard as u8,
                offset_bytes: 9_999_999_999 << 10,
                bytes: 999 << 20,
                sector: Some(9_999_999_999_999),
                pid: Some(4_194_304),
                command: Some("qemu-system-x86".into()),
                times: Times {
                    start_ns: DAY_NS,
                    done_ns: 2 * DAY_NS,
                    ..Times::default()
                },
                ..Request::default()
            },
            wall_ns: 23 * DAY_NS,
            extent: None,
            before: None,
            durable: None,
        };
        for column in &REQUESTS {
            let value = (column.what)(&DeviceFrame::default(), &traced);
            let room = usize::from(column.width);
            assert!(value.len() <= room, "{}: {value}", column.title);
        }
    }

    #[test]
    fn there_is_room_for_who_and_from_120_columns_on_for_the_parts() {
        let last = |width| {
            let shown = fitting(&REQUESTS, width);
            let titles = shown.iter().map(|column| column.title);
            titles.skip(6).collect::<Vec<_>>()
        };
        assert_eq!(last(80), ["who"]);
        assert_eq!(last(120), ["queue", "worker", "fs", "disk", "who"]);
    }
}
