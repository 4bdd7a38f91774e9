//! What happened to the file's holes, and the commits that made it durable.

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

/// Width of the words before a sparkline.
const WORDS: u16 = 46;

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    device::title(device, &app.theme, Rect { height: 1, ..area }, buf);
    let body = Rect {
        y: area.y + 2,
        height: area.height.saturating_sub(2),
        ..area
    };
    let width = usize::from(area.width.saturating_sub(WORDS + 1));
    let row = |name: &str, count: u64, more: String, value: fn(&DeviceFrame) -> f64| {
        let values = device::over_time(app, device, |device| Some(value(device)));
        let words = format!("{:>8}  {more}", units::count(count as f64));
        Line::from(vec![
            Span::styled(format!("{name:<14}"), app.theme.heading()),
            Span::raw(format!("{words:<32}")),
            Span::raw(sparkline::line(&values, width, &app.theme)),
        ])
    };
    let (holes, commits) = (&device.holes, &device.commits.duration);
    let lines = vec![
        row(
            "fills",
            holes.fills,
            units::bytes(holes.fill_bytes),
            |device| device.holes.fills as f64,
        ),
        row(
            "conversions",
            holes.conversions,
            units::bytes(holes.conversion_bytes),
            |device| device.holes.conversions as f64,
        ),
        row(
            "punches",
            holes.punches,
            units::bytes(holes.punched_bytes),
            |device| device.holes.punches as f64,
        ),
        row(
            "commits",
            commits.count,
            format!("p50 {}", units::ns(commits.p50_ns)),
            |device| device.commits.duration.count as f64,
        ),
        Line::raw(""),
        Line::from(vec![
            Span::styled("commit time   ", app.theme.heading()),
            Span::raw(format!(
                "p50 {}  p90 {}  p99 {}  max {}",
                units::ns(commits.p50_ns),
                units::ns(commits.p90_ns),
                units::ns(commits.p99_ns),
                units::ns(commits.max_ns)
            )),
        ]),
        Line::raw(""),
        Line::styled(
            "fills: blocks allocated for the file   conversions: unwritten made written",
            app.theme.dim(),
        ),
        Line::styled(
            "commits: of the whole filesystem's journal, whoever asked for them",
            app.theme.dim(),
        ),
    ];
    Paragraph::new(lines).render(body, buf);
}
