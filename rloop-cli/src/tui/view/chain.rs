//! Single requests and commits: lists of them, and what belongs to one request.

mod commits;
mod request;
mod requests;

use std::sync::Arc;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Text},
    widgets::{Paragraph, Row, Table, Widget as _, Wrap},
};

use self::{
    commits::COMMITS,
    requests::{REQUESTS, plural},
};
use super::{
    columns::{Column, fitting, widths},
    device,
};
use crate::{
    model::{DeviceFrame, Told},
    tui::{
        app::App,
        trail::{Page, Scope},
        units,
        widget::time_axis,
    },
};

pub(super) fn render(app: &App, device: &DeviceFrame, area: Rect, buf: &mut Buffer) {
    let [title, what, _, body] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    device::title(device, &app.theme, title, buf);
    let page = app.trail.page();
    if let Page::Request(id) = page {
        let rest = Rect {
            y: what.y,
            height: area.bottom() - what.y,
            ..area
        };
        let is_kept = device.chains.request(id).is_some();
        let seen = app.seen(device);
        if let Some(traced) = seen.chains.request(id) {
            request::render(app, seen, traced, is_kept, rest, buf);
        }
        return;
    }
    let rows = app.trail.rows(device, app.reverse);
    Line::styled(heading(app, device, page, rows.len()), app.theme.dim()).render(what, buf);
    if rows.is_empty() {
        return say(app, &nothing(app, device, page), body, buf);
    }
    let chains = &device.chains;
    let rows = Rows {
        selected: Some(app.trail.place(&rows)),
        ids: &rows,
    };
    match page {
        Page::Commits => table(
            app,
            device,
            &COMMITS,
            &rows,
            |id| chains.commit(*id),
            body,
            buf,
        ),
        _ => table(
            app,
            device,
            &REQUESTS,
            &rows,
            |id| chains.request(*id),
            body,
            buf,
        ),
    }
}

fn say(app: &App, text: &str, area: Rect, buf: &mut Buffer) {
    Paragraph::new(text)
        .style(app.theme.dim())
        .wrap(Wrap { trim: true })
        .render(area, buf);
}

/// What a list has.
fn heading(app: &App, device: &DeviceFrame, page: Page, count: usize) -> String {
    let order = match (page, app.reverse) {
        (Page::Commits, false) => "newest first",
        (Page::Commits, true) => "oldest first",
        (_, false) => "slowest first",
        (_, true) => "fastest first",
    };
    let requests = plural(app.trail.only());
    let what = match page {
        Page::Commits => "commits".to_owned(),
        Page::Requests(Scope::Extent(start, _)) => {
            format!("{requests} of the extent at {}", units::offset(start))
        }
        Page::Requests(Scope::Commit(id)) => format!("{requests} that commit {id} made durable"),
        Page::Requests(Scope::Flush(id)) => format!("{requests} that flush {id} made durable"),
        Page::Requests(Scope::Device) | Page::Request(_) => requests.to_owned(),
    };
    format!("{count} {what}, {order}  {}", traced(device))
}

/// How many of the interval's requests are told of.
fn traced(device: &DeviceFrame) -> String {
    let done = device.completed();
    let traced = device.chains.fresh_requests().len();
    format!(
        "traced now: {traced} of {}",
        units::count(done.max(traced as u64) as f64)
    )
}

/// Why a list is empty.
fn nothing(app: &App, device: &DeviceFrame, page: Page) -> String {
    if let only @ Some(_) = app.trail.only() {
        let requests = plural(only);
        return format!(
            "The {requests} that were here are no longer kept. o goes on, Esc goes back."
        );
    }
    if let Some(missing) = device.missing("requests") {
        return format!("Requests are not told of: {}", missing.why);
    }
    let unknown = device::unknown(app, device, Told::Commits);
    if let (Page::Commits, Some(unknown)) = (page, unknown) {
        return format!("Commits are not told of: {}", unknown.why);
    }
    match page {
        Page::Commits => "No commit yet that the device waited for. An fsync of what was written makes one.".to_owned(),
        Page::Requests(Scope::Device) | Page::Request(_) => format!(
            "No request was told of yet: none was done since the device is watched, or it keeps no I/O statistics \
             (/sys/block/{}/queue/iostats has to be 1).",
            device.name
        ),
        Page::Requests(Scope::Extent(..)) => {
            "None of the requests that were traced touches this extent: at high rates some of many are. \
             Esc goes back."
                .to_owned()
        }
        Page::Requests(_) => {
            "None of the requests that were traced was made durable by it: what was written was not traced, or \
             is no longer kept, or was nothing but the filesystem's own. Esc goes back."
                .to_owned()
        }
    }
}

type Value<T> = fn(&DeviceFrame, &T) -> String;

/// Rows of a list, by their numbers, and which of them is selected.
struct Rows<'a> {
    ids: &'a [u64],
    selected: Option<usize>,
}

/// A list: rows of these columns, the selected one in sight.
fn table<'a, T: 'a>(
    app: &App,
    device: &DeviceFrame,
    columns: &[Column<Value<T>>],
    rows: &Rows,
    of: impl Fn(&u64) -> Option<&'a Arc<T>>,
    area: Rect,
    buf: &mut Buffer,
) {
    let columns = fitting(columns, area.width);
    let right = |text: String| Text::from(text).right_aligned();
    let fit = usize::from(area.height.saturating_sub(1)).max(1);
    let first = rows.selected.map_or(0, |row| row.saturating_sub(fit - 1));
    let shown = rows.ids.iter().enumerate().skip(first).take(fit);
    let shown = shown.filter_map(|(row, id)| {
        let item = of(id)?;
        let cells = columns
            .iter()
            .map(|column| right((column.what)(device, item)));
        let style = if Some(row) == rows.selected {
            app.theme.selected()
        } else {
            Style::new()
        };
        Some(Row::new(cells.collect::<Vec<_>>()).style(style))
    });
    let titles = columns.iter().map(|column| right(column.title.to_owned()));
    Table::new(shown, widths(&columns))
        .header(Row::new(titles).style(app.theme.heading()))
        .column_spacing(1)
        .render(area, buf);
}

/// To the millisecond.
fn short_time(wall_ns: u64) -> String {
    let exact = time_axis::exact(wall_ns);
    exact.get(..12).unwrap_or(&exact).to_owned()
}
