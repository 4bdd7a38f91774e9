//! How much of the traffic goes past the page cache, and what lies in it.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Widget as _},
};

use super::device;
use crate::{
    model::DeviceFrame,
    tui::{app::App, units, widget::sparkline},
};

/// Bytes of a page of the page cache.
const PAGE_BYTES: u64 = 4096;

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    device::title(device, &app.theme, Rect { height: 1, ..area }, buf);
    let body = Rect {
        y: area.y + 2,
        height: area.height.saturating_sub(2),
        ..area
    };
    let theme = &app.theme;
    let bypass = &device.bypass;
    let derived = if bypass.derived { "~" } else { "" };
    let row = |name: &'static str, text: String| {
        Line::from(vec![
            Span::styled(format!("{name:<18}"), theme.heading()),
            Span::raw(text),
        ])
    };
    let over_time = device::over_time(app, device, |device| device.bypass_ratio);
    let width = usize::from(area.width.saturating_sub(27));
    let pages = |pages: Option<u64>| {
        pages.map_or_else(|| "-".to_owned(), |pages| units::bytes(pages * PAGE_BYTES))
    };
    let twice = device
        .backing_cached_pages
        .zip(device.device_cached_pages)
        .map(|(file, own)| file.min(own));
    let claim = if device.facts.claims_direct {
        "direct"
    } else {
        "buffered"
    };
    let lines = vec![
        row(
            "bypass",
            format!(
                "{:>6}  {}",
                units::percent(device.bypass_ratio),
                sparkline::line(&over_time, width, theme)
            ),
        ),
        row(
            "mode",
            format!("{}, the driver says {claim}", device::mode(device)),
        ),
        Line::raw(""),
        row("", format!("{:>12} {:>12}", "read", "written")),
        row(
            "direct",
            format!(
                "{:>12} {:>12}",
                units::bytes(bypass.direct_read_bytes),
                units::bytes(bypass.direct_write_bytes)
            ),
        ),
        row(
            "through the cache",
            format!(
                "{:>12} {:>12}",
                units::bytes(bypass.buffered_read_bytes),
                format!("{derived}{}", units::bytes(bypass.buffered_write_bytes))
            ),
        ),
        Line::raw(""),
        row(
            "file in memory",
            format!("{:>12}", pages(device.backing_cached_pages)),
        ),
        row(
            "device in memory",
            format!("{:>12}", pages(device.device_cached_pages)),
        ),
        row("at most twice", format!("{:>12}", pages(twice))),
    ];
    Paragraph::new(lines).render(body, buf);
}
