//! What surrounds every view: header, tabs, footer, help; and the view itself.

mod cache;
mod device;
mod extents;
mod findings;
mod holes;
mod latency;
mod overview;

use jiff::Timestamp;
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget as _, Wrap},
};

use super::{
    app::{App, View},
    bindings::BINDINGS,
    units,
};
use crate::model::Frame;

/// The smallest terminal that shows anything.
const SMALLEST: (u16, u16) = (60, 16);

/// Draws everything.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!(
            "terminal too small: {}x{}, needs {}x{}",
            area.width, area.height, SMALLEST.0, SMALLEST.1
        );
        Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, buf);
        return;
    }
    let [top, tabs, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    let frame = app.history.current();
    header(app, frame.map(AsRef::as_ref), top, buf);
    tab_line(app, tabs, buf);
    match frame {
        None => waiting(app, body, buf),
        Some(frame) if frame.devices.is_empty() => nothing(frame, body, buf),
        Some(frame) => view(app, frame, body, buf),
    }
    footer(app, bottom, buf);
    if app.help {
        help(app, area, buf);
    }
}

fn view(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    match app.view {
        View::Overview => overview::render(app, frame, area, buf),
        View::Findings => findings::render(app, frame, area, buf),
        _ => {
            let Some(device) = app.device(frame) else {
                Paragraph::new("no device fits the filter; Esc drops it").render(area, buf);
                return;
            };
            match app.view {
                View::Extents => extents::render(app, device, area, buf),
                View::Latency => latency::render(app, device, area, buf),
                View::Holes => holes::render(app, device, area, buf),
                _ => cache::render(app, device, area, buf),
            }
        }
    }
}

fn header(app: &App, frame: Option<&Frame>, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let state = match (app.history.is_live(), app.replay) {
        (true, false) => Span::styled("LIVE", theme.accent()),
        (true, true) => Span::styled("REPLAY", theme.warning()),
        (false, _) => Span::styled(
            format!("PAUSED -{}", app.history.frames_back()),
            theme.warning(),
        ),
    };
    let mut spans = vec![Span::styled("rloop-top ", theme.heading()), state];
    if let Some(frame) = frame {
        let time = Timestamp::from_nanosecond(i128::from(frame.wall_ns)).map_or_else(
            |_| String::new(),
            |time| time.strftime("%H:%M:%SZ").to_string(),
        );
        spans.push(Span::raw(format!(
            "  {time}  every {}",
            units::ns(Some(round_interval(frame.interval_ns)))
        )));
        let lost = frame.lost_since_start;
        let lost = lost.completions + lost.ring_events + lost.recursion + lost.unattributed;
        let style = if lost > 0 { theme.error() } else { theme.dim() };
        spans.push(Span::raw("  "));
        spans.push(Span::styled(format!("lost {lost}"), style));
        let probe = frame
            .probe
            .filter(|probe| probe.runs > 0)
            .map(|probe| probe.run_ns / probe.runs);
        spans.push(Span::styled(
            format!("  probe {}", units::ns(probe)),
            theme.dim(),
        ));
        let cpu = frame.own_cpu_ns as f64 / frame.interval_ns.max(1) as f64 * 100.0;
        spans.push(Span::styled(format!("  cpu {cpu:.1}%"), theme.dim()));
    }
    Line::from(spans).render(area, buf);
}

/// The interval that was asked for; the clock is never that exact.
fn round_interval(ns: u64) -> u64 {
    const STEP: u64 = 100_000_000;
    if ns < STEP {
        ns
    } else {
        (ns + STEP / 2) / STEP * STEP
    }
}

fn tab_line(app: &App, area: Rect, buf: &mut Buffer) {
    let mut spans = Vec::new();
    for (number, view) in View::ALL.iter().enumerate() {
        let style = if *view == app.view {
            app.theme.accent().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        spans.push(Span::styled(
            format!(" {} {} ", number + 1, view.name()),
            style,
        ));
    }
    Line::from(spans).render(area, buf);
}

fn footer(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    if app.typing || !app.filter.is_empty() {
        let cursor = if app.typing { "_" } else { "" };
        let text = format!(
            "filter: {}{cursor}  (Enter keeps it, Esc drops it)",
            app.filter
        );
        Span::styled(text, theme.accent()).render(area, buf);
        return;
    }
    if let Some(why) = &app.ended {
        Span::styled(format!("ended: {why}  (q quits)"), theme.warning()).render(area, buf);
        return;
    }
    let mut spans = Vec::new();
    for binding in BINDINGS.iter().filter(|binding| binding.footer) {
        spans.push(Span::styled(binding.label, theme.heading()));
        spans.push(Span::styled(format!(" {}  ", binding.help), theme.dim()));
    }
    let order = if app.reverse { " reversed" } else { "" };
    spans.push(Span::styled(
        format!("[{}{order}]", app.sort.name()),
        theme.dim(),
    ));
    Line::from(spans).render(area, buf);
}

fn help(app: &App, area: Rect, buf: &mut Buffer) {
    let mut rows: Vec<(String, &str)> = Vec::new();
    for binding in BINDINGS {
        match rows.last_mut() {
            Some((keys, help)) if *help == binding.help => {
                *keys = format!("{keys} {}", binding.label)
            }
            _ => rows.push((binding.label.to_owned(), binding.help)),
        }
    }
    let (width, height) = (58.min(area.width), (rows.len() as u16 + 2).min(area.height));
    let popup = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    Clear.render(popup, buf);
    let lines: Vec<Line> = rows
        .into_iter()
        .map(|(keys, help)| {
            Line::from(vec![
                Span::styled(format!(" {keys:<16}"), app.theme.heading()),
                Span::raw(help),
            ])
        })
        .collect();
    let block = if app.theme.rule() == '-' {
        Block::new().title("-- Keys --")
    } else {
        Block::bordered().title(" Keys ")
    };
    Paragraph::new(lines).block(block).render(popup, buf);
}

fn waiting(app: &App, area: Rect, buf: &mut Buffer) {
    Paragraph::new("waiting for the first interval")
        .style(app.theme.dim())
        .render(area, buf);
}

fn nothing(frame: &Frame, area: Rect, buf: &mut Buffer) {
    let mut text = "No loop device is attached.\n\nAttach one:   losetup --find --show --direct-io=on FILE\nOr see one:   rloop-top --demo\n\n\
                    It will appear here as soon as it is there.\n"
        .to_owned();
    for missing in &frame.unavailable {
        text.push_str(&format!("\nunavailable: {}: {}", missing.what, missing.why));
    }
    Paragraph::new(text)
        .wrap(Wrap { trim: false })
        .render(area, buf);
}

#[cfg(test)]
mod tests;
