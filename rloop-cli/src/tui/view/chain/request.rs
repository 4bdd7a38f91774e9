//! One request: where it was, and when, until it was durable.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Widget as _, Wrap},
};
use rloop_common::Op;

use super::{
    Rows,
    requests::{REQUESTS, op, route, who},
    table,
};
use crate::{
    model::{
        DeviceFrame,
        chain::{Link, Part, Traced, links},
    },
    sample::{Extent, Route},
    tui::view::device,
    tui::{app::App, theme::Theme, trail, units, widget::time_axis},
};

/// Width of a part's name, and of the numbers behind it.
const NAME: usize = 11;
const NUMBER: usize = 9;
/// Where bars begin.
const BARS: u16 = (NAME + 2 * (NUMBER + 1) + 2) as u16;

pub(super) fn render(
    app: &App,
    device: &DeviceFrame,
    traced: &Traced,
    is_kept: bool,
    area: Rect,
    buf: &mut Buffer,
) {
    let theme = &app.theme;
    let places = places(device, traced, theme);
    let [mut of_request, of_durable] = links(traced);
    if traced.request.flushes {
        of_request.extend(commits(device, traced));
    }
    let lines = |links: &[Link]| {
        if links.is_empty() {
            0
        } else {
            links.len() as u16 + 2
        }
    };
    let ending = [
        Line::raw(ends(device, traced)),
        Line::styled(ways(traced, is_kept), theme.dim()),
    ];
    let [what, first, second, end, others] = Layout::vertical([
        Constraint::Length(device::wrapped(&places, area.width) + 1),
        Constraint::Length(lines(&of_request)),
        Constraint::Length(lines(&of_durable)),
        Constraint::Length(device::wrapped(&ending, area.width)),
        Constraint::Min(0),
    ])
    .areas(area);
    Paragraph::new(places)
        .wrap(Wrap { trim: true })
        .render(what, buf);
    waterfall("in the request", &of_request, theme, first, buf);
    waterfall("until durable", &of_durable, theme, second, buf);
    Paragraph::new(ending.to_vec())
        .wrap(Wrap { trim: true })
        .render(end, buf);
    beside(app, device, traced, others, buf);
}

/// What it is, and where on the device and the disk.
fn places<'a>(device: &DeviceFrame, traced: &Traced, theme: &Theme) -> Vec<Line<'a>> {
    let request = &traced.request;
    let what = match request.op() {
        Op::Flush => "flush".to_owned(),
        _ => format!(
            "{} of {} at {}",
            op(traced),
            units::bytes(request.bytes),
            units::offset(request.offset_bytes)
        ),
    };
    let way = match request.route {
        Route::Unknown => String::new(),
        _ => format!("  {}", route(traced)),
    };
    let mut lines = vec![Line::from(vec![
        Span::styled(what, theme.heading()),
        Span::raw(way),
        Span::styled(
            format!("  by {}  {}", who(traced), time_axis::exact(traced.wall_ns)),
            theme.dim(),
        ),
    ])];
    if request.op() == Op::Flush {
        return lines;
    }
    let place = |name: &str, text: String| {
        Line::from(vec![
            Span::styled(format!("{name:<NAME$}"), theme.heading()),
            Span::raw(text),
        ])
    };
    lines.push(place("extent", extent(traced)));
    lines.push(place("sector", sector(device, traced)));
    lines
}

fn extent(traced: &Traced) -> String {
    let Some(extent) = &traced.extent else {
        let told = traced.request.extent_start_bytes;
        return told.map_or_else(
            || "not known".to_owned(),
            |start| format!("at {}", units::offset(start)),
        );
    };
    let was = traced
        .before
        .map_or_else(String::new, |before| format!(", was {}", before.name()));
    let disk = extent.disk_offset_bytes.map_or_else(String::new, |disk| {
        format!("  on disk {}", units::offset(disk))
    });
    format!(
        "at {}, {}  {}{was}{disk}",
        units::offset(extent.start_bytes),
        units::bytes(extent.len_bytes),
        extent.state.name()
    )
}

/// Where the disk was seen to be asked, and whether that is where the mapping says.
fn sector(device: &DeviceFrame, traced: &Traced) -> String {
    let request = &traced.request;
    let expected = |extent: &Extent| {
        let inside = request.offset_bytes.checked_sub(extent.start_bytes)?;
        Some((extent.disk_offset_bytes? + inside) / 512)
    };
    let expected = traced.extent.as_ref().and_then(expected);
    match (request.sector, expected) {
        (Some(sector), Some(expected)) if sector == expected => {
            format!("{sector}, as the extent says")
        }
        (Some(sector), Some(expected)) => {
            format!("{sector}; the extent as it is now says {expected}")
        }
        (Some(sector), None) => format!("{sector}; the extent says none"),
        (None, _) if request.route == Route::Zeros => "none: it reads as zeros".to_owned(),
        (None, Some(expected)) => format!("not seen; the extent says {expected}"),
        (None, None) if device.backing.fs == "btrfs" => {
            "not known: btrfs does not say where a file lies".to_owned()
        }
        (None, None) => "not seen".to_owned(),
    }
}

/// The commits that a flush waited for, as parts of it.
fn commits(device: &DeviceFrame, flush: &Traced) -> Vec<Link> {
    let start_ns = flush.request.times.start_ns;
    let commits = device.chains.waited_for(&flush.request);
    let link = commits.map(|found| Link {
        part: Part::Commit,
        from_ns: found.commit.start_ns.saturating_sub(start_ns),
        to_ns: found.commit.end_ns.saturating_sub(start_ns),
        derived: device.commits.derived,
    });
    link.collect()
}

/// Stretches of time one below the other, over the time that they take together.
fn waterfall(name: &str, links: &[Link], theme: &Theme, area: Rect, buf: &mut Buffer) {
    if links.is_empty() || area.height == 0 {
        return;
    }
    let until_ns = links.iter().map(|link| link.to_ns).max().unwrap_or(0);
    const NAMES: usize = 14;
    let titles = format!(
        "{name:<NAMES$} {:>room$} {:>NUMBER$}  {} in all",
        "from",
        "took",
        units::ns(Some(until_ns)),
        room = NAME + NUMBER - NAMES,
    );
    let width = usize::from(area.width);
    buf.set_stringn(area.x, area.y, titles, width, theme.heading());
    for (link, row) in links.iter().zip(area.rows().skip(1)) {
        let took_ns = link.to_ns - link.from_ns;
        let about = device::about(link.derived);
        let text = format!(
            "{:<NAME$} {:>NUMBER$} {:>NUMBER$}",
            link.part.name(),
            format!("+{}", units::ns(Some(link.from_ns))),
            format!("{about}{}", units::ns(Some(took_ns))),
        );
        buf.set_string(row.x, row.y, text, ratatui::style::Style::new());
        let width = u64::from(row.width.saturating_sub(BARS));
        let (start, cells) = bar(link, until_ns, width);
        let glyph = theme.part(8).to_string().repeat(cells as usize);
        let share = took_ns as f64 / until_ns.max(1) as f64;
        buf.set_string(row.x + BARS + start as u16, row.y, glyph, theme.ramp(share));
    }
}

/// Where in so many cells a link begins, and how many it takes: one at least.
fn bar(link: &Link, until_ns: u64, width: u64) -> (u64, u64) {
    let cell = |ns: u64| (u128::from(ns) * u128::from(width) / u128::from(until_ns.max(1))) as u64;
    let start = cell(link.from_ns).min(width.saturating_sub(1));
    let end = cell(link.to_ns).clamp(start, width);
    (start, (end - start).max(u64::from(width > 0)))
}

/// How it ended, in words.
fn ends(device: &DeviceFrame, traced: &Traced) -> String {
    let request = &traced.request;
    if request.failed {
        return "It ended with an error.".to_owned();
    }
    if request.flushes {
        let commits = device.chains.waited_for(request);
        let commits: Vec<String> = commits.map(|found| found.commit.id.to_string()).collect();
        let waited = match commits.len() {
            0 => "It waited for no commit that was told of".to_owned(),
            1 => format!("It waited for commit {}", commits[0]),
            _ => format!("It waited for the commits {}", commits.join(", ")),
        };
        let durable = device.chains.of_flush(request.id).count();
        return format!("{waited}, and made {durable} traced requests durable.");
    }
    let Some(durable) = traced.durable else {
        return match request.op() {
            Op::Write | Op::WriteZeroes => "Nothing is known yet to have made it durable.",
            _ => "Nothing has to make it durable.",
        }
        .to_owned();
    };
    let after = units::ns(Some(durable.at_ns.saturating_sub(request.times.start_ns)));
    let by = match (durable.commit, durable.flush) {
        (Some((commit, ..)), Some((flush, ..))) => {
            format!("when commit {commit} had ended that flush {flush} waited for")
        }
        (Some((commit, ..)), None) => format!("when commit {commit} had ended"),
        (None, Some((flush, ..))) => format!("when flush {flush} was done, which needed no commit"),
        (None, None) => "when it was done, as it asked".to_owned(),
    };
    let sure = if durable.derived {
        "~ At the latest: nothing names the request, it was done before that began."
    } else if durable.commit.is_some() {
        "The commit names its range."
    } else {
        ""
    };
    format!("Durable {after} after it began, {by}. {sure}")
}

/// Where keys lead from here.
fn ways(traced: &Traced, is_kept: bool) -> String {
    let commit = traced.durable.and_then(|durable| durable.commit);
    let enter = if traced.request.flushes {
        "Enter: what it made durable  "
    } else if commit.is_some() {
        "Enter: what else that commit made durable  "
    } else {
        ""
    };
    let old = if is_kept { "" } else { "  (as last seen)" };
    format!("{enter}Esc: back{old}")
}

/// What else the same commit or flush made durable, where there is room for it.
fn beside(app: &App, device: &DeviceFrame, traced: &Traced, area: Rect, buf: &mut Buffer) {
    const LEAST: u16 = 5;
    let commit = traced.durable.and_then(|durable| durable.commit);
    let (scope, what) = if traced.request.flushes {
        (
            trail::Scope::Flush(traced.request.id),
            "what it made durable",
        )
    } else if let Some((commit, ..)) = commit {
        (
            trail::Scope::Commit(commit),
            "what the same commit made durable",
        )
    } else {
        return;
    };
    let requests = trail::requests(device, scope);
    if area.height < LEAST || requests.is_empty() {
        return;
    }
    let [_, title, list] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    Line::styled(what, app.theme.heading()).render(title, buf);
    let ids: Vec<u64> = requests.iter().map(|traced| traced.request.id).collect();
    let rows = Rows {
        ids: &ids,
        selected: None,
    };
    table(
        app,
        device,
        &REQUESTS,
        &rows,
        |id| device.chains.request(*id),
        list,
        buf,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_bar_begins_and_ends_where_its_time_does_and_is_always_seen() {
        let link = |from_ns, to_ns| Link {
            part: Part::Disk,
            from_ns,
            to_ns,
            derived: false,
        };
        assert_eq!(bar(&link(0, 100), 100, 40), (0, 40));
        assert_eq!(bar(&link(50, 75), 100, 40), (20, 10));
        assert_eq!(bar(&link(50, 51), 100, 40), (20, 1));
        assert_eq!(bar(&link(100, 100), 100, 40), (39, 1));
        assert_eq!(bar(&link(0, 0), 0, 40), (0, 1));
        assert_eq!(bar(&link(0, u64::MAX), u64::MAX, 0), (0, 0));
    }
}
