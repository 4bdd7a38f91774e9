//! Parts that several views show of a device.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Widget as _,
};

use rloop_common::Op;

use crate::{
    model::{DeviceFrame, Told},
    sample::{SplitSample, Unavailable},
    tui::{
        app::App,
        theme::Theme,
        units,
        widget::{heatmap, time_axis},
    },
};

use super::rloop;

/// The mode in a word; `?` marks one that is claimed and was not measured in the interval.
pub(super) fn mode(device: &DeviceFrame) -> String {
    let name = device.mode.name();
    if device.mode_measured {
        name.to_owned()
    } else {
        format!("{name}?")
    }
}

/// Marks what is derived and not counted.
pub(super) fn about(derived: bool) -> &'static str {
    if derived { "~" } else { "" }
}

/// Why the device's counts of this say nothing, if that is so.
pub(super) fn unknown<'a>(
    app: &'a App,
    device: &'a DeviceFrame,
    told: Told,
) -> Option<&'a Unavailable> {
    app.history.current()?.unknown(device, told)
}

/// How many lines they take where they are wrapped between words to that width.
pub(super) fn wrapped(lines: &[Line], width: u16) -> u16 {
    let width = usize::from(width.max(1));
    let taken = |line: &Line| {
        let (mut lines, mut used) = (1, 0);
        for word in line.to_string().split(' ') {
            let len = word.chars().count();
            if used > 0 && used + 1 + len > width {
                (lines, used) = (lines + 1, 0);
            }
            used += len + usize::from(used > 0);
        }
        lines
    };
    lines.iter().map(taken).sum()
}

/// The frame of a view of one device: its title and a blank line. Gives what is left for the view.
pub(super) fn titled(device: &DeviceFrame, theme: &Theme, area: Rect, buf: &mut Buffer) -> Rect {
    let [top, _, body] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    title(device, theme, top, buf);
    body
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
                rloop::mode(device)
            ),
            theme.dim(),
        ),
    ])
    .render(area, buf);
}

/// The selected device over time, `None` where it was not there.
pub(super) fn over_frames<'a>(
    app: &'a App,
    device: &'a DeviceFrame,
) -> impl DoubleEndedIterator<Item = Option<&'a DeviceFrame>> {
    let same =
        |other: &&DeviceFrame| other.name == device.name && other.instance == device.instance;
    let frames = app.history.until_current();
    frames.map(move |frame| frame.devices.iter().find(same))
}

/// The values of the selected device over time, for a picture of that width; `None` where it was not
/// there.
pub(super) fn over_time(
    app: &App,
    device: &DeviceFrame,
    width: u16,
    value: impl Fn(&DeviceFrame) -> Option<f64>,
) -> Vec<Option<f64>> {
    let values = over_frames(app, device).map(|device| device.and_then(&value));
    stretched(values.collect(), width)
}

/// While there are few intervals each one takes several columns, so that they fill the width.
fn stretched<T: Clone>(intervals: Vec<T>, width: u16) -> Vec<T> {
    const COLUMNS_MAX: usize = 4;
    let count = intervals.len();
    let columns = usize::from(width).min(COLUMNS_MAX * count).max(count);
    let at = |column: usize| intervals[column * count / columns].clone();
    (0..columns).map(at).collect()
}

/// The latencies of all requests but flushes.
pub(super) fn latencies(device: &DeviceFrame) -> &[(u64, u64)] {
    &device.all.total.buckets
}

/// A heat map of the selected device over time, with the time below.
pub(super) fn heat_over_time(
    app: &App,
    device: &DeviceFrame,
    buckets: fn(&DeviceFrame) -> &[(u64, u64)],
    nothing: &str,
    area: Rect,
    buf: &mut Buffer,
) {
    let map = Rect {
        height: area.height.saturating_sub(1),
        ..area
    };
    let intervals = over_frames(app, device);
    let intervals = intervals.map(|device| device.map_or(&[][..], buckets));
    let intervals = stretched(
        intervals.collect(),
        area.width.saturating_sub(heatmap::LABEL),
    );
    let lines = heatmap::render(&intervals, nothing, &app.theme, map, buf);
    if lines > 0 {
        let axis = Rect {
            y: area.y + lines,
            height: 1,
            ..area
        };
        time_below(app, heatmap::LABEL, axis, buf);
    }
}

/// The time below values that begin `indent` cells from the left.
pub(super) fn time_below(app: &App, indent: u16, area: Rect, buf: &mut Buffer) {
    let area = Rect {
        x: area.x + indent.min(area.width),
        width: area.width.saturating_sub(indent),
        ..area
    };
    let times = app.history.until_current().map(|frame| frame.wall_ns);
    let times = stretched(times.collect(), area.width);
    time_axis::render(&times, &app.theme, area, buf);
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
    let derived = if split.derived > 0 { "~" } else { " " };
    let mut spans = vec![Span::styled(format!("time{derived} "), theme.heading())];
    if total == 0 {
        let moved: u64 = [Op::Read, Op::Write]
            .map(|op| device.ops[op.index()].ops)
            .iter()
            .sum();
        let why = match moved {
            0 => "-  (no reads or writes in this interval)",
            _ => "-  (none was timed in this interval)",
        };
        spans.push(Span::styled(why, theme.dim()));
    } else {
        let style = |number: usize| theme.ramp(number as f64 / 3.0);
        let note = sampled(split);
        let taken = 56 + note.len() as u64;
        let width = u64::from(area.width).saturating_sub(taken).min(60);
        for (number, cells) in cells(&parts.map(|part| part.1), width).iter().enumerate() {
            let glyph = theme.bar(number).to_string();
            spans.push(Span::styled(glyph.repeat(*cells), style(number)));
        }
        for (number, (name, ns)) in parts.iter().enumerate() {
            let share = units::percent(Some(*ns as f64 / total as f64));
            // Where there is no room for the bar, its glyphs explain nothing.
            if width > 0 {
                let glyph = format!("  {}", theme.bar(number));
                spans.push(Span::styled(glyph, style(number)));
            }
            spans.push(Span::raw(format!(" {name} {share}")));
        }
        spans.push(Span::styled(note, theme.dim()));
    }
    Line::from(spans).render(area, buf);
}

/// How many of the requests were split, where it was not all.
fn sampled(split: &SplitSample) -> String {
    if split.sampled == 0 || split.sampled >= split.requests {
        return String::new();
    }
    let every = split.requests as f64 / split.sampled as f64;
    format!("  1 in {every:.0}")
}

/// Cuts `width` cells so that each part ends where its share ends; together they fill them.
fn cells(parts: &[u64], width: u64) -> Vec<usize> {
    let total = parts.iter().sum::<u64>().max(1);
    let mut sum = 0;
    let mut ends = 0;
    let cell = |part: &u64| {
        sum += part;
        let end = (u128::from(sum) * u128::from(width) / u128::from(total)) as usize;
        let cells = end - ends;
        ends = end;
        cells
    };
    parts.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_intervals_fill_the_width_and_many_are_as_they_are() {
        assert_eq!(stretched(vec![1, 2], 5), [1, 1, 1, 2, 2]);
        assert_eq!(stretched(vec![1, 2], 80).len(), 8);
        assert_eq!(stretched(vec![1, 2, 3], 2), [1, 2, 3]);
        assert!(stretched(Vec::<u8>::new(), 9).is_empty());
    }

    #[test]
    fn words_are_not_cut_where_lines_are_wrapped() {
        let lines = |text: &'static str, width| wrapped(&[Line::raw(text)], width);
        assert_eq!((lines("", 9), lines("one two", 7)), (1, 1));
        assert_eq!((lines("one two", 6), lines("a bcdef ghijk", 7)), (2, 2));
        // Its letters would fit into two.
        assert_eq!(lines("ab cdefg hi", 6), 3);
        assert_eq!(wrapped(&[Line::raw("one"), Line::raw("two")], 9), 2);
    }

    #[test]
    fn a_bar_is_as_wide_as_its_parts_together() {
        assert_eq!(cells(&[1, 1, 1, 0], 20), [6, 7, 7, 0]);
        assert_eq!(cells(&[0, 0, 0, 9], 24).iter().sum::<usize>(), 24);
        assert_eq!(cells(&[u64::MAX / 2, u64::MAX / 2], 60), [30, 30]);
    }
}
