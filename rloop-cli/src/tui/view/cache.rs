//! How much of the traffic goes past the page cache, and what lies in it.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Widget as _},
};

use super::device;
use crate::{
    model::DeviceFrame,
    tui::{
        app::App,
        units,
        widget::{graph, sparkline},
    },
};

/// Bytes of a page of the page cache.
const PAGE_BYTES: u64 = 4096;
/// Width of the words before a picture.
const WORDS: u16 = 36;

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let body = device::titled(device, &app.theme, area, buf);
    let high = (body.height / 4).clamp(2, 8);
    let [ratio, axis, words] = Layout::vertical([
        Constraint::Length(high),
        Constraint::Length(2),
        Constraint::Min(0),
    ])
    .areas(body);
    bypass(app, device, ratio, buf);
    device::time_below(app, WORDS, axis, buf);
    let mut lines = paths(app, device);
    lines.push(Line::raw(""));
    lines.extend(memory(app, device, area.width));
    Paragraph::new(lines).render(words, buf);
}

/// The share of direct bytes, now and over time.
fn bypass(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let ratio = units::percent(device.bypass_ratio);
    let claim = if device.facts.claims_direct {
        "direct"
    } else {
        "buffered"
    };
    Paragraph::new(vec![
        Line::from(vec![
            Span::styled(format!("{:<18}", "bypass"), theme.heading()),
            Span::raw(ratio),
        ]),
        Line::styled(
            format!("{}; the driver says {claim}", device::mode(device)),
            theme.dim(),
        ),
    ])
    .render(area, buf);
    let labelled = Rect {
        x: area.x + WORDS - 5,
        ..area
    };
    buf.set_string(labelled.x, area.y, "100%", theme.dim());
    buf.set_string(labelled.x, area.bottom() - 1, "  0%", theme.dim());
    let picture = Rect {
        x: area.x + WORDS,
        width: area.width.saturating_sub(WORDS),
        ..area
    };
    let ratios = device::over_time(app, device, picture.width, |device| device.bypass_ratio);
    graph::render(&ratios, 1.0, theme, picture, buf);
}

/// Bytes by path.
fn paths<'a>(app: &App, device: &DeviceFrame) -> Vec<Line<'a>> {
    let bypass = &device.bypass;
    let derived = device::about(bypass.derived);
    let row = |name: &'static str, read: String, written: String| {
        Line::from(vec![
            Span::styled(format!("{name:<18}"), app.theme.heading()),
            Span::raw(format!("{read:>12} {written:>12}")),
        ])
    };
    vec![
        row("in this interval", "read".to_owned(), "written".to_owned()).style(app.theme.heading()),
        row(
            "direct",
            units::bytes(bypass.direct_read_bytes),
            units::bytes(bypass.direct_write_bytes),
        ),
        row(
            "through the cache",
            units::bytes(bypass.buffered_read_bytes),
            format!("{derived}{}", units::bytes(bypass.buffered_write_bytes)),
        ),
    ]
}

/// What lies in memory, now and over time.
fn memory<'a>(app: &App, device: &DeviceFrame, width: u16) -> Vec<Line<'a>> {
    let twice = |device: &DeviceFrame| {
        let both = device.backing_cached_pages.zip(device.device_cached_pages);
        both.map(|(file, own)| file.min(own))
    };
    let row = |name: &'static str, pages: &dyn Fn(&DeviceFrame) -> Option<u64>| {
        let bytes = pages(device).map(|pages| units::bytes(pages * PAGE_BYTES));
        let bytes = bytes.unwrap_or_else(|| "-".to_owned());
        let room = width.saturating_sub(WORDS);
        let pages = |device: &DeviceFrame| pages(device).map(|pages| pages as f64);
        let values = device::over_time(app, device, room, pages);
        let mut line = sparkline::line(&values, usize::from(room), &app.theme);
        line.spans
            .insert(0, Span::raw(format!("{bytes:>12}      ")));
        line.spans
            .insert(0, Span::styled(format!("{name:<18}"), app.theme.heading()));
        line
    };
    vec![
        row("file in memory", &|device| device.backing_cached_pages),
        row("device in memory", &|device| device.device_cached_pages),
        row("at most twice", &twice),
    ]
}
