//! How long requests take, and where.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::Text,
    widgets::{Row, Table, Widget as _},
};
use rloop_common::Op;

use super::device;
use crate::{
    model::{DeviceFrame, Latency},
    tui::{app::App, units, widget::heatmap},
};

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let [title, split, _, list, map] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(Op::ALL.len() as u16 + 2),
        Constraint::Min(0),
    ])
    .areas(area);
    device::title(device, &app.theme, title, buf);
    device::split(device, &app.theme, split, buf);
    table(app, device, list, buf);
    let same =
        |other: &&DeviceFrame| other.name == device.name && other.instance == device.instance;
    let intervals: Vec<&[(u64, u64)]> = app
        .history
        .until_current()
        .map(|frame| {
            frame
                .devices
                .iter()
                .find(same)
                .map_or(&[][..], |device| &device.all.total.buckets[..])
        })
        .collect();
    heatmap::render(&intervals, &app.theme, map, buf);
}

fn table(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let right = |text: String| Text::from(text).right_aligned();
    let row = |name: &str, n: u64, latency: &Latency| {
        let times = [
            latency.p50_ns,
            latency.p90_ns,
            latency.p99_ns,
            latency.p999_ns,
            latency.max_ns,
        ];
        let mut cells = vec![Text::from(name.to_owned()), right(units::count(n as f64))];
        cells.extend(times.map(|time| right(units::ns(time))));
        Row::new(cells)
    };
    let mut rows: Vec<Row> = Op::ALL
        .iter()
        .map(|op| {
            let counts = &device.ops[op.index()];
            row(&op.name().replace('_', " "), counts.ops, &counts.total)
        })
        .collect();
    rows.push(row("all but flush", device.all.ops, &device.all.total));
    let titles = ["latency", "n", "p50", "p90", "p99", "p99.9", "max"];
    let header = Row::new(titles.iter().enumerate().map(|(i, title)| {
        if i == 0 {
            Text::from(*title)
        } else {
            right((*title).to_owned())
        }
    }));
    let widths = [14, 8, 10, 10, 10, 10, 10].map(Constraint::Length);
    Table::new(rows, widths)
        .header(header.style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}
