//! All devices, and more of the selected one.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span, Text},
    widgets::{Paragraph, Row, Table, Widget as _, Wrap},
};
use rloop_common::Op;

use super::device;
use crate::{
    model::{DeviceFrame, Frame, Severity},
    tui::{app::App, units, widget::sparkline},
};

/// From this width on there is room for the file and its rate over time.
const WIDE: u16 = 120;
/// Lines of the selected device.
const DETAILS: u16 = 9;

pub(super) fn render(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let [list, details] =
        Layout::vertical([Constraint::Min(4), Constraint::Length(DETAILS)]).areas(area);
    table(app, frame, list, buf);
    if let Some(device) = app.device(frame) {
        detail(app, frame, device, details, buf);
    }
}

fn table(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let wide = area.width >= WIDE;
    let mut widths = vec![
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
    ];
    let mut titles: Vec<Text> = ["device", "fs", "mode"]
        .into_iter()
        .map(Text::from)
        .collect();
    let numbers = ["IOPS", "bytes/s", "p50", "p99", "bypass", "fills", "commit"];
    titles.extend(
        numbers
            .into_iter()
            .map(|title| Text::from(title).right_aligned()),
    );
    if wide {
        widths.extend([Constraint::Length(30), Constraint::Min(10)]);
        titles.extend([Text::from("requests over time"), Text::from("file")]);
    }
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
        let style = if Some(&device.name) == selected {
            app.theme.selected()
        } else {
            Style::new()
        };
        Row::new(cells(app, device, seconds, wide)).style(style)
    });
    Table::new(rows, widths)
        .header(Row::new(titles).style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}

fn cells<'a>(app: &App, device: &DeviceFrame, seconds: f64, wide: bool) -> Vec<Text<'a>> {
    let right = |text: String| Text::from(text).right_aligned();
    let total = &device.all.total;
    let worst = device.findings.first().map(|finding| finding.severity);
    let mark = if worst >= Some(Severity::Warning) {
        "!"
    } else {
        ""
    };
    let mut cells = vec![
        Text::from(format!("{}{mark}", device.name)),
        Text::from(device.backing.fs.clone()),
        Text::from(device::mode(device)),
        right(units::count(device.all.ops as f64 / seconds)),
        right(units::bytes((device.all.bytes as f64 / seconds) as u64)),
        right(units::ns(total.p50_ns)),
        right(units::ns(total.p99_ns)),
        right(units::percent(device.bypass_ratio)),
        right(units::count(device.holes.fills as f64)),
        right(units::count(device.commits.duration.count as f64)),
    ];
    if wide {
        let requests = device::over_time(app, device, |device| Some(device.all.ops as f64));
        cells.push(Text::from(sparkline::line(&requests, 30, &app.theme)));
        cells.push(Text::from(device.backing.path.clone()));
    }
    cells
}

fn detail(app: &App, frame: &Frame, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
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
    let ops = Op::ALL
        .iter()
        .map(|op| (op, &device.ops[op.index()]))
        .filter(|(_, op)| op.ops > 0);
    let ops: Vec<String> = ops
        .map(|(op, counts)| format!("{} {}", op.name(), units::count(counts.ops as f64)))
        .collect();
    let ops = if ops.is_empty() {
        "none".to_owned()
    } else {
        ops.join("  ")
    };
    let mut lines = vec![
        Line::from(vec![
            Span::styled("ops   ", theme.heading()),
            Span::raw(format!("{ops}  in flight {}", device.in_flight)),
        ]),
        Line::from(vec![
            Span::styled("by    ", theme.heading()),
            Span::raw(submitters(device)),
        ]),
    ];
    for finding in device.findings.iter().take(2) {
        let style = if finding.severity >= Severity::Warning {
            theme.warning()
        } else {
            theme.heading()
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{}  ", finding.id), style),
            Span::raw(finding.what.clone()),
        ]));
    }
    for missing in device.unavailable.iter().chain(&frame.unavailable).take(2) {
        lines.push(Line::styled(
            format!("unavailable: {}: {}", missing.what, missing.why),
            theme.dim(),
        ));
    }
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .render(rest, buf);
}

fn submitters(device: &DeviceFrame) -> String {
    let names: Vec<String> = device
        .submitters
        .iter()
        .take(3)
        .map(|who| format!("{}[{}] {}", who.command, who.pid, units::bytes(who.bytes)))
        .collect();
    if names.is_empty() {
        "nobody in this interval".to_owned()
    } else {
        names.join("  ")
    }
}
