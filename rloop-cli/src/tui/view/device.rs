//! Parts that several views show of a device.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget as _,
};

use crate::{
    model::{DeviceFrame, Mode},
    tui::{app::App, theme::Theme, units},
};

/// The mode in a word; `?` marks one that is claimed and was not measured in the interval.
pub(super) fn mode(device: &DeviceFrame) -> String {
    let name = match device.mode {
        Mode::Buffered => "buffered",
        Mode::Direct => "direct",
        Mode::Mixed => "mixed",
    };
    if device.mode_measured {
        name.to_owned()
    } else {
        format!("{name}?")
    }
}

/// Which device a view shows.
pub(super) fn title(device: &DeviceFrame, theme: &Theme, area: Rect, buf: &mut Buffer) {
    let backing = &device.backing;
    let deleted = if backing.deleted { " (deleted)" } else { "" };
    Line::from(vec![
        Span::styled(format!("{} ", device.name), theme.accent()),
        Span::raw(format!("{}{deleted}", backing.path)),
        Span::styled(
            format!(
                "  {} {}  {}",
                backing.fs,
                units::bytes(device.facts.size_bytes),
                mode(device)
            ),
            theme.dim(),
        ),
    ])
    .render(area, buf);
}

/// The values of the selected device over time, `None` where it was not there.
pub(super) fn over_time(
    app: &App,
    device: &DeviceFrame,
    value: impl Fn(&DeviceFrame) -> Option<f64>,
) -> Vec<Option<f64>> {
    let same =
        |other: &&DeviceFrame| other.name == device.name && other.instance == device.instance;
    app.history
        .until_current()
        .map(|frame| frame.devices.iter().find(same).and_then(&value))
        .collect()
}

/// The split of time as one line: a bar and the shares.
pub(super) fn split(device: &DeviceFrame, theme: &Theme, area: Rect, buf: &mut Buffer) {
    let split = &device.split;
    let parts = [
        ("queue", split.queue_ns),
        ("worker", split.worker_ns),
        ("fs", split.filesystem_ns),
        ("disk", split.disk_ns),
    ];
    let total: u64 = parts.iter().map(|part| part.1).sum();
    let mut spans = vec![Span::styled("time  ", theme.heading())];
    if total == 0 {
        spans.push(Span::styled(
            "-  (direct requests only; none in this interval)",
            theme.dim(),
        ));
    } else {
        let width = (u64::from(area.width).saturating_sub(56)).clamp(8, 60);
        for (number, part) in parts.iter().enumerate() {
            let cells = (part.1 * width).checked_div(total).unwrap_or(0) as usize;
            let glyph = theme.bar(number).to_string();
            spans.push(Span::styled(
                glyph.repeat(cells),
                theme.ramp(number as f64 / 3.0),
            ));
        }
        for (number, (name, ns)) in parts.iter().enumerate() {
            let share = units::percent(Some(*ns as f64 / total as f64));
            spans.push(Span::raw(format!("  {} {name} {share}", theme.bar(number))));
        }
    }
    Line::from(spans).render(area, buf);
}
