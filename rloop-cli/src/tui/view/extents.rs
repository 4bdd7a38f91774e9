//! Which part of the file is slow.

use std::sync::Arc;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Text},
    widgets::{Row, Table, Widget as _},
};

use super::device;
use crate::{
    model::{DeviceFrame, ExtentFrame},
    sample::{Extent, State},
    tui::{
        app::{App, Sort},
        units,
    },
};

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let [title, strip, legend, list] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(3),
        Constraint::Min(0),
    ])
    .areas(area);
    let theme = &app.theme;
    device::title(device, theme, title, buf);
    app.strip
        .render(device, before(app, device), theme, strip, buf);
    let shared = if device.extents_per_cell > 1 {
        format!(", {} neighbours share counters", device.extents_per_cell)
    } else {
        String::new()
    };
    let glyph = |state| theme.extent(state);
    let legend_lines = vec![
        Line::raw(format!(
            "{} written  {} unwritten  {} hole  {} being filled   colour: p99, or max of few",
            glyph(State::Written),
            glyph(State::Unwritten),
            glyph(State::Hole),
            theme.filling(),
        )),
        Line::raw(format!(
            "{} extents, {} touched in this interval{shared}",
            device.extents.len(),
            device.touched.len()
        )),
    ];
    Text::from(legend_lines)
        .style(theme.dim())
        .render(legend, buf);
    table(app, device, list, buf);
}

/// The device's mapping one interval ago, if it was attached to the same file then.
fn before<'a>(app: &'a App, device: &DeviceFrame) -> Option<&'a Arc<Vec<Extent>>> {
    let same =
        |other: &&DeviceFrame| other.name == device.name && other.instance == device.instance;
    let frame = app.history.until_current().nth_back(1)?;
    Some(&frame.devices.iter().find(same)?.extents)
}

fn table(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let slow = |extent: &ExtentFrame| extent.latency.p99_ns.or(extent.latency.max_ns);
    let mut extents: Vec<&ExtentFrame> = device.touched.iter().collect();
    match app.sort {
        Sort::Place => {}
        Sort::Requests => {
            extents.sort_by_key(|extent| std::cmp::Reverse(extent.reads + extent.writes))
        }
        Sort::P99 => extents.sort_by_key(|extent| std::cmp::Reverse(slow(extent))),
    }
    if app.reverse {
        extents.reverse();
    }
    let titles = [
        "offset", "length", "state", "reads", "writes", "p50", "p99", "max",
    ];
    let widths = [10, 10, 10, 8, 8, 9, 9, 9].map(Constraint::Length);
    let right = |text: String| Text::from(text).right_aligned();
    // The selected row is always in sight.
    let fit = usize::from(area.height.saturating_sub(1)).max(1);
    let selected = app.row.min(extents.len().saturating_sub(1));
    let first = selected.saturating_sub(fit - 1);
    let rows = extents
        .iter()
        .enumerate()
        .skip(first)
        .take(fit)
        .map(|(row, extent)| {
            let style = if row == selected {
                app.theme.selected()
            } else {
                Style::new()
            };
            Row::new(vec![
                right(units::bytes(extent.start_bytes)),
                right(units::bytes(extent.len_bytes)),
                right(
                    match extent.state {
                        State::Written => "written",
                        State::Unwritten => "unwritten",
                        State::Hole => "hole",
                    }
                    .to_owned(),
                ),
                right(units::count(extent.reads as f64)),
                right(units::count(extent.writes as f64)),
                right(units::ns(extent.latency.p50_ns)),
                right(units::ns(extent.latency.p99_ns)),
                right(units::ns(extent.latency.max_ns)),
            ])
            .style(style)
        });
    let header = Row::new(titles.map(|title| right(title.to_owned()))).style(app.theme.heading());
    Table::new(rows, widths)
        .header(header)
        .column_spacing(0)
        .render(area, buf);
}
