//! What is wrong, why it matters, and what mends it; and what is unavailable.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Widget as _, Wrap},
};

use crate::{
    model::{DeviceFrame, Finding, Frame, Severity},
    tui::app::App,
};

/// Of all devices, those of the same severity in the devices' order.
fn worst_first<'a>(app: &App, frame: &'a Frame) -> Vec<(&'a DeviceFrame, &'a Finding)> {
    let devices = app.devices(frame).into_iter();
    let of_device = |device: &'a DeviceFrame| device.findings.iter().map(move |one| (device, one));
    let mut findings: Vec<_> = devices.flat_map(of_device).collect();
    findings.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
    findings
}

pub(super) fn render(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let mut lines = Vec::new();
    for (device, finding) in worst_first(app, frame) {
        let (word, style) = match finding.severity {
            Severity::Critical => ("CRITICAL", theme.error()),
            Severity::Warning => ("warning", theme.warning()),
            Severity::Info => ("info", theme.heading()),
        };
        lines.push(Line::from(vec![
            Span::styled(word, style),
            Span::styled(format!(" {} ", device.name), theme.accent()),
            Span::styled(finding.id, theme.heading()),
        ]));
        lines.push(Line::raw(format!("  {}", finding.what)));
        lines.push(Line::styled(format!("  > {}", finding.remedy), theme.dim()));
        lines.push(Line::raw(""));
    }
    if lines.is_empty() {
        lines.push(Line::raw(
            "Nothing is wrong with these devices in this interval.",
        ));
    }
    let devices = app.devices(frame).into_iter();
    let of_devices = devices.flat_map(|device| {
        let missing = device.unavailable.iter();
        missing.map(|missing| (device.name.as_str(), missing))
    });
    for (name, missing) in of_devices {
        let text = format!("unavailable: {name}: {}: {}", missing.what, missing.why);
        lines.push(Line::styled(text, theme.dim()));
    }
    for missing in &frame.unavailable {
        lines.push(Line::styled(
            format!("unavailable: {}: {}", missing.what, missing.why),
            theme.dim(),
        ));
    }
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((app.scrolled, 0))
        .render(area, buf);
}
