//! What surrounds every view: header, tabs, footer, help; and the view itself.

mod cache;
mod chain;
mod columns;
mod device;
mod extents;
mod findings;
mod help;
mod holes;
mod latency;
mod overview;
mod rloop;

use std::sync::Arc;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Widget as _, Wrap},
};

use super::{
    app::{App, View},
    bindings::{BINDINGS, Binding},
    theme::Theme,
    units,
    widget::time_axis,
};
use crate::model::Frame;

/// The smallest terminal that shows anything.
const SMALLEST: (u16, u16) = (60, 16);

/// Draws everything.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!(
            "terminal too small: have {}x{}, need {}x{}",
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
    tab_line(app, frame.map(AsRef::as_ref), tabs, buf);
    match frame {
        None => waiting(app, body, buf),
        Some(frame) if frame.devices.is_empty() => nothing(app, frame, body, buf),
        Some(frame) => view(app, frame, body, buf),
    }
    footer(app, bottom, buf);
    if app.help {
        help::render(app, area, buf);
    }
}

fn view(app: &App, frame: &Arc<Frame>, area: Rect, buf: &mut Buffer) {
    match app.view {
        View::Overview => overview::render(app, frame, area, buf),
        View::Findings => findings::render(app, frame, area, buf),
        _ => {
            let Some(device) = app.device(frame) else {
                Paragraph::new("no device fits the filter; Esc drops it").render(area, buf);
                return;
            };
            match app.view {
                View::Extents => extents::render(app, frame, device, area, buf),
                View::Latency => latency::render(app, device, area, buf),
                View::Holes => holes::render(app, device, area, buf),
                View::Chain => chain::render(app, device, area, buf),
                _ => cache::render(app, device, area, buf),
            }
        }
    }
}

fn header(app: &App, frame: Option<&Frame>, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let mut left = vec![Span::styled("rloop-top", theme.heading())];
    if app.replay {
        left.push(Span::styled(" REPLAY", theme.warning()));
    } else if app.history.is_live() {
        left.push(Span::styled(" LIVE", theme.accent()));
    }
    if !app.history.is_live() {
        let back = match app.history.back_ns() {
            0 => String::new(),
            ns => format!(" -{}", units::ns(Some(round_interval(ns)))),
        };
        left.push(Span::styled(format!(" PAUSED{back}"), theme.warning()));
    }
    let Some(frame) = frame else {
        return Line::from(left).render(area, buf);
    };
    let every = units::ns(Some(round_interval(frame.interval_ns)));
    let time = time_axis::clock(frame.wall_ns);
    left.push(Span::raw(format!("  {time}  every {every}")));
    let left = Line::from(left);
    let mut room = area.width.saturating_sub(left.width() as u16 + 1);
    left.render(area, buf);
    // What matters most stands rightmost, and stays where there is little room.
    let mut right = Vec::new();
    for span in costs(frame, theme) {
        let width = span.width() as u16 + 2;
        if width > room {
            break;
        }
        room -= width;
        right.insert(0, Span::raw("  "));
        right.insert(1, span);
    }
    Line::from(right).right_aligned().render(area, buf);
}

/// What was lost and what watching costs, most important first.
fn costs<'a>(frame: &Frame, theme: &Theme) -> [Span<'a>; 3] {
    let lost = frame.lost_since_start;
    let lost = lost.completions + lost.ring_events + lost.recursion + lost.unattributed;
    let style = if lost > 0 { theme.error() } else { theme.dim() };
    let cpu = frame.own_cpu_ns as f64 / frame.interval_ns.max(1) as f64 * 100.0;
    let probe = frame
        .probe
        .filter(|probe| probe.runs > 0)
        .map(|probe| probe.run_ns / probe.runs);
    // Sampled, so an estimate.
    let about = if probe.is_some() { "~" } else { "" };
    [
        Span::styled(format!("lost {lost}"), style),
        Span::styled(format!("cpu {cpu:.1}%"), theme.dim()),
        Span::styled(format!("probe {about}{}", units::ns(probe)), theme.dim()),
    ]
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

fn tab_line(app: &App, frame: Option<&Frame>, area: Rect, buf: &mut Buffer) {
    let findings: usize = frame.map_or(0, |frame| {
        let devices = app.devices(frame);
        devices.iter().map(|device| device.findings.len()).sum()
    });
    let count = match findings {
        0 => String::new(),
        _ => format!("{findings} "),
    };
    let names = View::ALL.iter().map(|view| view.name().len() + 4);
    let is_narrow = names.sum::<usize>() + count.len() > usize::from(area.width);
    let mut spans = Vec::new();
    for (number, view) in View::ALL.iter().enumerate() {
        let style = if *view == app.view {
            app.theme.accent().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        // Where there is no room for all names, the other views are their numbers.
        let name = match is_narrow && *view != app.view {
            true => format!(" {} ", number + 1),
            false => format!(" {} {} ", number + 1, view.name()),
        };
        spans.push(Span::styled(name, style));
        if *view == View::Findings {
            spans.push(Span::styled(count.clone(), app.theme.warning()));
        }
    }
    Line::from(spans).render(area, buf);
}

fn footer(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    if app.typing || !app.filter.is_empty() {
        let rest = match app.typing {
            true => "_  in a device's name or file (Enter keeps it, Esc drops it)",
            false => "  (/ changes it)",
        };
        let text = format!("filter: {}{rest}", app.filter);
        Span::styled(text, theme.accent()).render(area, buf);
        return;
    }
    let order = Line::styled(order(app), theme.dim());
    let left = match &app.ended {
        Some(why) => {
            let text = format!("ended: {why}  (q quits, ? helps, [ goes back)");
            Line::styled(text, theme.warning())
        }
        None => keys(app, area.width.saturating_sub(order.width() as u16 + 1)),
    };
    if left.width() + order.width() < usize::from(area.width) {
        order.right_aligned().render(area, buf);
    }
    left.render(area, buf);
}

/// What rows are sorted by; the lists of the chains have it in their heading.
fn order(app: &App) -> String {
    let reversed = if app.reverse { ", reversed" } else { "" };
    match app.view {
        View::Chain => String::new(),
        _ => format!("by {}{reversed}", app.sort.name()),
    }
}

/// As many keys of the footer as there is room for.
fn keys<'a>(app: &App, width: u16) -> Line<'a> {
    let theme = &app.theme;
    let mut room = usize::from(width);
    let mut spans = Vec::new();
    let here = |binding: &&Binding| binding.footer && app.serves(binding.action);
    for binding in BINDINGS.iter().filter(here) {
        let help = format!(" {}  ", binding.help);
        let width = binding.label.len() + help.len();
        if width > room {
            break;
        }
        room -= width;
        spans.push(Span::styled(binding.label, theme.heading()));
        spans.push(Span::styled(help, theme.dim()));
    }
    Line::from(spans)
}

fn waiting(app: &App, area: Rect, buf: &mut Buffer) {
    Paragraph::new("waiting for the first interval")
        .style(app.theme.dim())
        .render(area, buf);
}

fn nothing(app: &App, frame: &Frame, area: Rect, buf: &mut Buffer) {
    // Those that were named may be gone while others are there.
    let had_some = app
        .history
        .until_current()
        .any(|frame| !frame.devices.is_empty());
    let what = match had_some {
        true => "No device that was watched is attached any more.",
        false => "No loop device is attached.",
    };
    let mut text = format!(
        "{what}\n\nAttach one:   losetup --find --show --direct-io=on FILE\nOr see one:   rloop-top --demo\n\n\
         It will appear here as soon as it is there.\n"
    );
    for missing in &frame.unavailable {
        text.push_str(&format!("\nunavailable: {}: {}", missing.what, missing.why));
    }
    Paragraph::new(text)
        .wrap(Wrap { trim: false })
        .render(area, buf);
}

#[cfg(test)]
mod tests;
