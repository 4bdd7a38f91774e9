//! What is wrong, why it matters, and the command that mends it.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Widget as _, Wrap},
};

use crate::{
    model::{Frame, Severity},
    tui::app::App,
};

pub(super) fn render(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let mut lines = Vec::new();
    for device in app.devices(frame) {
        for finding in &device.findings {
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
            lines.push(Line::styled(format!("  $ {}", finding.remedy), theme.dim()));
            lines.push(Line::raw(""));
        }
    }
    if lines.is_empty() {
        lines.push(Line::raw(
            "Nothing is wrong with these devices in this interval.",
        ));
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
