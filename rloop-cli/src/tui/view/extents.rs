//! Which part of the file is slow.

use std::sync::Arc;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span, Text},
    widgets::{Paragraph, Row, Table, Widget as _, Wrap},
};

use super::{
    columns::{Column, column, fitting, widths},
    device,
};
use crate::{
    model::{DeviceFrame, ExtentFrame, Frame},
    sample::{Extent, State},
    tui::{app::App, theme::Theme, units},
};

/// From this height on the strip has more lines.
const TALL: u16 = 40;
/// From this width on the legend has all its words.
const WORDY: u16 = 75;

pub(super) fn render(
    app: &App,
    frame: &Arc<Frame>,
    device: &DeviceFrame,
    area: Rect,
    buf: &mut Buffer,
) {
    let high = if area.height >= TALL { 5 } else { 3 };
    let [title, strip, axis, legend, counts, _, list] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(high),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    let theme = &app.theme;
    device::title(device, theme, title, buf);
    if let (Some(missing), true) = (device.missing("extents"), device.extents.is_empty()) {
        return Paragraph::new(format!("No extents: {}", missing.why))
            .style(theme.dim())
            .wrap(Wrap { trim: true })
            .render(strip, buf);
    }
    app.strip
        .render(device, before(app, device), theme, strip, buf);
    offsets(device.facts.size_bytes, theme, axis, buf);
    explain(theme, legend.width).render(legend, buf);
    let shared = if device.extents_per_cell > 1 {
        format!(", {} neighbours share counters", device.extents_per_cell)
    } else {
        String::new()
    };
    let text = format!(
        "{} extents, {} touched in this interval{shared}",
        device.extents.len(),
        device.touched.len()
    );
    Line::styled(text, theme.dim()).render(counts, buf);
    table(app, frame, device, list, buf);
}

/// What glyphs and colours of the strip mean.
fn explain<'a>(theme: &Theme, width: u16) -> Line<'a> {
    let glyph = |state| theme.extent(state);
    let of = if width < WORDY { "" } else { " p99 or max:" };
    let words = format!(
        "{} written  {} unwritten  {} hole  {} filling {of} fast ",
        glyph(State::Written),
        glyph(State::Unwritten),
        glyph(State::Hole),
        theme.filling(),
    );
    let mut spans = vec![Span::styled(words, theme.dim())];
    let last = (Theme::RAMP_STEPS - 1) as f64;
    spans.extend((0..Theme::RAMP_STEPS).map(|step| {
        let written = glyph(State::Written).to_string();
        Span::styled(written, theme.ramp(step as f64 / last))
    }));
    spans.push(Span::styled(" slow", theme.dim()));
    Line::from(spans)
}

/// Offsets on the device, below the strip: each stands at its place, the last one ends there.
fn offsets(size_bytes: u64, theme: &Theme, area: Rect, buf: &mut Buffer) {
    const PARTS: u64 = 4;
    for part in 0..=PARTS {
        let text = units::bytes(size_bytes / PARTS * part);
        let place = u64::from(area.width) * part / PARTS;
        let room = u64::from(area.width).saturating_sub(text.len() as u64);
        let x = area.x + place.min(room) as u16;
        buf.set_stringn(x, area.y, text, usize::from(area.right() - x), theme.dim());
    }
}

/// The device's mapping one interval ago, if it was attached to the same file then.
fn before<'a>(app: &'a App, device: &DeviceFrame) -> Option<&'a Arc<Vec<Extent>>> {
    let same =
        |other: &&DeviceFrame| other.name == device.name && other.instance == device.instance;
    let frame = app.history.until_current().nth_back(1)?;
    Some(&frame.devices.iter().find(same)?.extents)
}

type Value = fn(&ExtentFrame) -> String;

const COLUMNS: [Column<Value>; 12] = [
    column(|extent| units::offset(extent.start_bytes), "offset", 17, 0),
    column(|extent| units::bytes(extent.len_bytes), "length", 8, 0),
    column(disk_offset, "on disk", 17, 4),
    column(|extent| extent.state.name().to_owned(), "state", 9, 0),
    column(|extent| units::count(extent.reads as f64), "reads", 6, 0),
    column(|extent| units::count(extent.writes as f64), "writes", 6, 0),
    column(|extent| units::bytes(extent.read_bytes), "read", 9, 3),
    column(|extent| units::bytes(extent.write_bytes), "written", 9, 3),
    column(|extent| units::ns(extent.latency.p50_ns), "p50", 8, 1),
    column(|extent| units::ns(extent.latency.p90_ns), "p90", 8, 2),
    column(|extent| units::ns(extent.latency.p99_ns), "p99", 8, 1),
    column(|extent| units::ns(extent.latency.max_ns), "max", 8, 0),
];

fn disk_offset(extent: &ExtentFrame) -> String {
    let offset = extent.disk_offset_bytes;
    offset.map_or_else(|| "-".to_owned(), units::offset)
}

fn table(app: &App, frame: &Arc<Frame>, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let columns = fitting(&COLUMNS, area.width);
    let right = |text: String| Text::from(text).right_aligned();
    let count = device.touched.len();
    // The selected row is always in sight.
    let fit = usize::from(area.height.saturating_sub(1)).max(1);
    let selected = app.row.min(count.saturating_sub(1));
    let first = selected.saturating_sub(fit - 1);
    let rows = (first..count).take(fit).filter_map(|row| {
        let style = if row == selected {
            app.theme.selected()
        } else {
            Style::new()
        };
        let extent = app.touched(frame, device, row)?;
        let cells = columns.iter().map(|column| right((column.what)(extent)));
        Some(Row::new(cells.collect::<Vec<_>>()).style(style))
    });
    let titles = columns.iter().map(|column| right(column.title.to_owned()));
    Table::new(rows, widths(&columns))
        .header(Row::new(titles).style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}
