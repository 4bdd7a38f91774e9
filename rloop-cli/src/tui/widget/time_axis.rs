//! The line below values over time: how far back the left end is, and when the right end was.

use jiff::Timestamp;
use ratatui::{buffer::Buffer, layout::Rect};

use crate::tui::theme::Theme;

/// A clock's time, UTC.
pub fn clock(wall_ns: u64) -> String {
    Timestamp::from_nanosecond(i128::from(wall_ns)).map_or_else(
        |_| String::new(),
        |time| time.strftime("%H:%M:%SZ").to_string(),
    )
}

/// The same, to the microsecond.
pub fn exact(wall_ns: u64) -> String {
    Timestamp::from_nanosecond(i128::from(wall_ns)).map_or_else(
        |_| String::new(),
        |time| time.strftime("%H:%M:%S.%6fZ").to_string(),
    )
}

/// Draws it below columns of these times, the newest at the right.
pub fn render(times: &[u64], theme: &Theme, area: Rect, buf: &mut Buffer) {
    let shown = &times[times.len().saturating_sub(usize::from(area.width))..];
    let (Some(&oldest), Some(&newest)) = (shown.first(), shown.last()) else {
        return;
    };
    let left = area.right() - shown.len() as u16;
    for x in left..area.right() {
        buf[(x, area.y)]
            .set_char(theme.rule())
            .set_style(theme.dim());
    }
    let now = clock(newest);
    let back = format!("{} ", ago(newest - oldest));
    let room = shown.len();
    let at = area.right().saturating_sub(now.len() as u16).max(area.x);
    buf.set_string(at, area.y, &now, theme.dim());
    if room > now.len() + back.len() {
        buf.set_string(left, area.y, back, theme.dim());
    }
}

/// How long ago, no finer than seconds.
fn ago(ns: u64) -> String {
    match (ns + 500_000_000) / 1_000_000_000 {
        seconds if seconds < 120 => format!("-{seconds} s"),
        seconds => format!("-{} min {} s", seconds / 60, seconds % 60),
    }
}
