//! What happened to the file's holes, and the commits that made it durable.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Widget as _},
};

use super::{device, rloop};
use crate::{
    model::{DeviceFrame, Told},
    tui::{app::App, units, widget::graph},
};

/// Width of the words before a graph.
const WORDS: u16 = 36;
/// From this height on a graph has two lines.
const TALL: u16 = 26;

/// One kind of change.
struct Kind {
    name: &'static str,
    /// Who has to tell of it: `None` is the module.
    source: Option<Told>,
    derived: fn(&DeviceFrame) -> bool,
    count: fn(&DeviceFrame) -> u64,
    bytes: Option<fn(&DeviceFrame) -> u64>,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "fills",
        source: Some(Told::Holes),
        derived: |_| false,
        count: |device| device.holes.fills,
        bytes: Some(|device| device.holes.fill_bytes),
    },
    Kind {
        name: "conversions",
        source: Some(Told::Holes),
        derived: |_| false,
        count: |device| device.holes.conversions,
        bytes: Some(|device| device.holes.conversion_bytes),
    },
    Kind {
        name: "punches",
        source: Some(Told::Holes),
        derived: |device| device.punches_derived,
        count: |device| device.holes.punches,
        bytes: Some(|device| device.holes.punched_bytes),
    },
    Kind {
        name: "commits",
        source: Some(Told::Commits),
        derived: |_| false,
        count: |device| device.commits.count,
        bytes: None,
    },
];

/// What more there is on a device of rloop.
const RLOOP_KINDS: [Kind; 2] = [
    Kind {
        name: "rloop fills",
        source: None,
        derived: |_| false,
        count: |device| device.rloop.as_ref().map_or(0, |rloop| rloop.fills.ops),
        bytes: Some(|device| device.rloop.as_ref().map_or(0, |rloop| rloop.fills.bytes)),
    },
    Kind {
        name: "recalls",
        source: None,
        derived: |_| false,
        count: |device| device.rloop.as_ref().map_or(0, |rloop| rloop.recalls),
        bytes: None,
    },
];

/// The kinds of changes that a device has.
fn kinds(device: &DeviceFrame) -> impl Iterator<Item = &'static Kind> {
    let more: &'static [Kind] = match device.rloop {
        Some(_) => &RLOOP_KINDS,
        None => &[],
    };
    KINDS.iter().chain(more)
}

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let body = device::titled(device, &app.theme, area, buf);
    let lines = if body.height >= TALL { 2 } else { 1 };
    let [rows, axis, words, heat, notes] = Layout::vertical([
        Constraint::Length(1 + kinds(device).count() as u16 * lines),
        Constraint::Length(2),
        Constraint::Length(1 + u16::from(device.rloop.is_some())),
        Constraint::Min(0),
        Constraint::Length(2),
    ])
    .areas(body);
    changes(app, device, lines, rows, buf);
    device::time_below(app, WORDS, axis, buf);
    commit_times(app, device, words, buf);
    let unknown = device::unknown(app, device, Told::Commits);
    device::heat_over_time(
        app,
        device,
        |device| &device.commits.duration.buckets,
        unknown.map_or("no commit yet", |unknown| &unknown.why),
        heat,
        buf,
    );
    let notes_lines = [
        "fills: blocks allocated   conversions: unwritten to written",
        "commits: those that a flush had to wait for   ~ derived",
    ];
    for (row, note) in notes.rows().zip(notes_lines) {
        buf.set_string(row.x, row.y, note, app.theme.dim());
    }
}

/// A line, or two, for each kind of change.
fn changes(app: &App, device: &DeviceFrame, lines: u16, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let titles = format!(
        "{:<12} {:>9} {:>11}  over time",
        "changes", "count", "bytes"
    );
    buf.set_string(area.x, area.y, titles, theme.heading());
    for (number, kind) in kinds(device).enumerate() {
        let y = area.y + 1 + number as u16 * lines;
        let is_unknown = |told| device::unknown(app, device, told).is_some();
        let is_known = !kind.source.is_some_and(is_unknown);
        let none = || "-".to_owned();
        let bytes = kind.bytes.filter(|_| is_known);
        let about = device::about((kind.derived)(device));
        let bytes = bytes.map_or_else(none, |bytes| {
            format!("{about}{}", units::bytes(bytes(device)))
        });
        let count =
            is_known.then(|| format!("{about}{}", units::count((kind.count)(device) as f64)));
        let count = count.unwrap_or_else(none);
        let row = Rect::new(area.x, y + lines - 1, area.width, 1);
        Line::from(vec![
            Span::styled(format!("{:<12}", kind.name), theme.heading()),
            Span::raw(format!(" {count:>9} {bytes:>11}")),
        ])
        .render(row, buf);
        let picture = Rect {
            x: area.x + WORDS,
            y,
            width: area.width.saturating_sub(WORDS),
            height: lines,
        };
        let count = |device: &DeviceFrame| is_known.then(|| (kind.count)(device) as f64);
        let values = device::over_time(app, device, picture.width, count);
        graph::render(&values, graph::top(&values), theme, picture, buf);
    }
}

fn commit_times(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let commits = &device.commits.duration;
    let mut lines = vec![Line::from(vec![
        Span::styled("commit time  ", app.theme.heading()),
        Span::raw(format!(
            "{}p50 {}  p90 {}  p99 {}  max {}",
            device::about(device.commits.derived),
            units::ns(commits.p50_ns),
            units::ns(commits.p90_ns),
            units::ns(commits.p99_ns),
            units::ns(commits.max_ns)
        )),
    ])];
    if let Some(rloop) = &device.rloop {
        lines.push(Line::raw(rloop::fills(rloop)));
    }
    Paragraph::new(lines).render(area, buf);
}
