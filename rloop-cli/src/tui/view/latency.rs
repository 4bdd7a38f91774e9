//! How long requests take, and where.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::Text,
    widgets::{Row, Table, Widget as _},
};
use rloop_common::Op;

use super::{
    columns::{Column, column, fitting, widths},
    device,
};
use crate::{
    model::{DeviceFrame, OpFrame},
    tui::{app::App, units},
};

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let ops = listed(app, device, area.height);
    let [title, split, _, list, _, map] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(ops.len() as u16 + 2),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    device::title(device, &app.theme, title, buf);
    device::split(device, &app.theme, split, buf);
    table(app, device, &ops, list, buf);
    device::heat_over_time(app, device, device::latencies, "no requests yet", map, buf);
}

type Value = fn(&OpFrame) -> String;

const COLUMNS: [Column<Value>; 12] = [
    column(|op| units::count(op.ops as f64), "requests", 9, 0),
    column(|op| units::ns(op.total.p50_ns), "p50", 9, 0),
    column(|op| units::ns(op.total.p90_ns), "p90", 9, 1),
    column(|op| units::ns(op.total.p99_ns), "p99", 9, 0),
    column(|op| units::ns(op.total.p999_ns), "p99.9", 9, 1),
    column(|op| units::ns(op.total.max_ns), "max", 9, 0),
    column(|op| units::ns(op.queue.p50_ns), "queue p50", 10, 2),
    column(|op| units::ns(op.queue.p99_ns), "queue p99", 10, 2),
    column(|op| units::ns(op.service.p50_ns), "service p50", 12, 3),
    column(|op| units::ns(op.service.p99_ns), "service p99", 12, 3),
    column(|op| units::bytes(op.bytes), "bytes", 9, 4),
    column(|op| units::count(op.errors as f64), "errors", 7, 4),
];

/// Width of the operations' names.
const NAMES: u16 = 14;

/// Below this height the map needs the lines of operations that there were none of.
const SHORT: u16 = 18;

/// The operations that have a line.
fn listed(app: &App, device: &DeviceFrame, height: u16) -> Vec<Op> {
    let had = |op: Op| {
        device::over_frames(app, device)
            .flatten()
            .any(|device| device.ops[op.index()].ops > 0)
    };
    let ops = Op::ALL.into_iter();
    ops.filter(|&op| height >= SHORT || had(op)).collect()
}

fn table(app: &App, device: &DeviceFrame, ops: &[Op], area: Rect, buf: &mut Buffer) {
    let columns = fitting(&COLUMNS, area.width.saturating_sub(NAMES + 1));
    let right = |text: String| Text::from(text).right_aligned();
    let row = |name: &str, op: &OpFrame| {
        let mut cells = vec![Text::from(name.to_owned())];
        cells.extend(columns.iter().map(|column| right((column.what)(op))));
        let row = Row::new(cells);
        if op.ops == 0 {
            row.style(app.theme.dim())
        } else {
            row
        }
    };
    let ops = ops.iter().map(|op| {
        let name = op.name().replace('_', " ");
        row(&name, &device.ops[op.index()])
    });
    let rows = ops.chain([row("all but flush", &device.all)]);
    let mut titles = vec![Text::from("latency")];
    titles.extend(columns.iter().map(|column| right(column.title.to_owned())));
    let mut widths = widths(&columns);
    widths.insert(0, Constraint::Length(NAMES));
    Table::new(rows, widths)
        .header(Row::new(titles).style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}
