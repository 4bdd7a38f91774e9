//! All devices, and more of the selected one.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Paragraph, Row, Table, Widget as _, Wrap},
};
use rloop_common::Op;

use super::{
    columns::{Column, column, fitting, widths},
    device, rloop,
};
use crate::{
    model::{DeviceFrame, Frame, Severity, Told},
    tui::{app::App, units, widget::sparkline},
};

/// Lines of the selected device without its notes: rule, title, time, operations, who.
const DETAILS: u16 = 5;
/// And one more of a device of rloop.
fn details(device: Option<&DeviceFrame>) -> u16 {
    DETAILS + u16::from(device.is_some_and(|device| device.rloop.is_some()))
}

/// Lines of findings and of what cannot be shown.
const NOTES: u16 = 4;
/// The least lines that a heat map is worth.
const HEAT: u16 = 5;

pub(super) fn render(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let device = app.device(frame);
    let remarks = device.map_or_else(Vec::new, |device| remarks(app, frame, device));
    let notes = device::wrapped(&remarks, area.width).min(NOTES);
    let rows = app.devices(frame).len() as u16 + 1;
    let lines = details(device);
    let room = area.height.saturating_sub(lines + notes).max(2);
    let [list, details, notes, _, heat] = Layout::vertical([
        Constraint::Length(rows.min(room)),
        Constraint::Length(lines),
        Constraint::Length(notes),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    table(app, frame, list, buf);
    let Some(device) = device else { return };
    detail(app, device, details, buf);
    Paragraph::new(remarks)
        .wrap(Wrap { trim: false })
        .render(notes, buf);
    if heat.height >= HEAT {
        device::heat_over_time(app, device, device::latencies, "no requests yet", heat, buf);
    }
}

/// What a column shows.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    Device,
    Fs,
    Mode,
    Iops,
    Bytes,
    P50,
    P99,
    Bypass,
    Fills,
    Commits,
    Over,
    File,
}

const COLUMNS: [Column<Show>; 12] = [
    column(Show::Device, "device", 9, 0),
    column(Show::Fs, "fs", 5, 3),
    column(Show::Mode, "mode", 9, 0),
    column(Show::Iops, "IOPS", 5, 0),
    column(Show::Bytes, "bytes/s", 8, 0),
    column(Show::P50, "p50", 7, 0),
    column(Show::P99, "p99", 7, 0),
    column(Show::Bypass, "bypass", 6, 1),
    column(Show::Fills, "fills", 5, 1),
    column(Show::Commits, "commits", 7, 1),
    column(Show::Over, "requests", 8, 1).growing(),
    column(Show::File, "file", 36, 4),
];

fn table(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let columns = fitting(&COLUMNS, area.width);
    let left = [Show::Device, Show::Fs, Show::Mode, Show::File];
    let titles = columns.iter().map(|column| {
        let title = Text::from(column.title);
        if left.contains(&column.what) {
            title
        } else {
            title.right_aligned()
        }
    });
    let seconds = (frame.interval_ns as f64 / 1e9).max(1e-9);
    let selected = app.device(frame).map(|device| &device.name);
    let devices = app.devices(frame);
    // The selected row is always in sight.
    let place = devices
        .iter()
        .position(|device| Some(&device.name) == selected)
        .unwrap_or(0);
    let fit = usize::from(area.height.saturating_sub(1)).max(1);
    let first = place.saturating_sub(fit - 1);
    let rows = devices.iter().skip(first).take(fit).map(|device| {
        let chosen = Some(&device.name) == selected;
        let cells = columns
            .iter()
            .map(|column| cell(app, device, seconds, column, chosen));
        Row::new(cells.collect::<Vec<_>>())
    });
    Table::new(rows, widths(&columns))
        .header(Row::new(titles).style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}

fn cell<'a>(
    app: &App,
    device: &DeviceFrame,
    seconds: f64,
    column: &Column<Show>,
    chosen: bool,
) -> Text<'a> {
    let right = |text: String| Text::from(text).right_aligned();
    let total = &device.all.total;
    match column.what {
        Show::Device => name(app, device, chosen),
        Show::Fs => Text::from(device.backing.fs.clone()),
        Show::Mode => Text::from(device::mode(device)),
        Show::Iops | Show::Bytes if device.missing("requests").is_some() => right("-".to_owned()),
        Show::Iops => right(units::count(device.all.ops as f64 / seconds)),
        Show::Bytes => right(units::bytes((device.all.bytes as f64 / seconds) as u64)),
        Show::P50 => right(units::ns(total.p50_ns)),
        Show::P99 => right(units::ns(total.p99_ns)),
        Show::Bypass => right(units::percent(device.bypass_ratio)),
        Show::Fills if device::unknown(app, device, Told::Holes).is_some() => right("-".to_owned()),
        Show::Fills => right(units::count(device.holes.fills as f64)),
        Show::Commits if device::unknown(app, device, Told::Commits).is_some() => {
            right("-".to_owned())
        }
        Show::Commits => right(units::count(device.commits.count as f64)),
        Show::Over => {
            let requests = |device: &DeviceFrame| Some(device.all.ops as f64);
            let requests = device::over_time(app, device, column.width, requests);
            let width = usize::from(column.width);
            Text::from(sparkline::line(&requests, width, &app.theme))
        }
        Show::File => Text::from(device.backing.path.clone()),
    }
}

/// A device's name, with a mark if something is wrong with it.
fn name<'a>(app: &App, device: &DeviceFrame, chosen: bool) -> Text<'a> {
    let style = if chosen {
        app.theme.selected()
    } else {
        Style::new()
    };
    let mut spans = vec![Span::styled(device.name.clone(), style)];
    let worst = device.findings.iter().map(|finding| finding.severity).max();
    if worst >= Some(Severity::Warning) {
        spans.push(Span::styled("!", app.theme.warning()));
    }
    Text::from(Line::from(spans))
}

fn detail(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let [rule, title, split, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    let line: String = std::iter::repeat_n(theme.rule(), usize::from(rule.width)).collect();
    Span::styled(line, theme.dim()).render(rule, buf);
    device::title(device, theme, title, buf);
    device::split(device, theme, split, buf);
    let row = |name: &'static str, text: String| {
        Line::from(vec![Span::styled(name, theme.heading()), Span::raw(text)])
    };
    let mut rows = vec![
        row(
            "ops   ",
            format!("{}  in flight {}", operations(device), device.in_flight),
        ),
        row("by    ", submitters(device)),
    ];
    if let Some(rloop) = &device.rloop {
        rows.push(row("rloop ", rloop::ways(rloop)));
    }
    Paragraph::new(rows).render(rest, buf);
}

fn operations(device: &DeviceFrame) -> String {
    let ops = Op::ALL
        .iter()
        .map(|op| (op, &device.ops[op.index()]))
        .filter(|(_, op)| op.ops > 0);
    let ops: Vec<String> = ops
        .map(|(op, counts)| format!("{} {}", op.name(), units::count(counts.ops as f64)))
        .collect();
    if ops.is_empty() {
        "none".to_owned()
    } else {
        ops.join("  ")
    }
}

fn submitters(device: &DeviceFrame) -> String {
    let names: Vec<String> = device
        .submitters
        .iter()
        .take(3)
        .map(|who| {
            let bytes = units::bytes(who.bytes);
            format!("{}[{}] {bytes} in {}", who.command, who.pid, who.cgroup)
        })
        .collect();
    if names.is_empty() {
        "nobody in this interval".to_owned()
    } else {
        names.join("   ")
    }
}

/// What is wrong with the device, and what cannot be shown of it.
fn remarks<'a>(app: &App, frame: &Frame, device: &DeviceFrame) -> Vec<Line<'a>> {
    let theme = &app.theme;
    let findings = device.findings.iter().take(2).map(|finding| {
        let style = if finding.severity >= Severity::Warning {
            theme.warning()
        } else {
            theme.heading()
        };
        Line::from(vec![
            Span::styled(finding.id, style),
            Span::raw(format!("  {}", finding.what)),
        ])
    });
    let missing = device.unavailable.iter().chain(&frame.unavailable).take(2);
    let missing = missing.map(|missing| {
        let text = format!("unavailable: {}: {}", missing.what, missing.why);
        Line::styled(text, theme.dim().add_modifier(Modifier::ITALIC))
    });
    findings.chain(missing).collect()
}
