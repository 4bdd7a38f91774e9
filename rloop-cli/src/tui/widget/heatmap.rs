//! Latency over time: columns are intervals, rows are powers of two, darkness is how many.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::tui::{theme::Theme, units};

/// Width of the labels at the left.
const LABEL: u16 = 8;

/// Draws the newest intervals at the right. An interval is the (nanoseconds, count) of its buckets.
pub fn render(intervals: &[&[(u64, u64)]], theme: &Theme, area: Rect, buf: &mut Buffer) {
    if area.width <= LABEL || area.height == 0 {
        return;
    }
    let width = usize::from(area.width - LABEL);
    let shown = &intervals[intervals.len().saturating_sub(width)..];
    let octaves = || {
        shown
            .iter()
            .flat_map(|buckets| buckets.iter())
            .map(|&(ns, _)| ns.max(1).ilog2())
    };
    let (Some(low), Some(high)) = (octaves().min(), octaves().max()) else {
        buf.set_string(area.x, area.y, "no requests yet", theme.dim());
        return;
    };
    let rows = u32::from(area.height);
    let step = (high - low + 1).div_ceil(rows).max(1);
    let row_of = |ns: u64| (ns.max(1).ilog2() - low) / step;
    let mut columns = vec![vec![0u64; rows as usize]; shown.len()];
    for (column, buckets) in columns.iter_mut().zip(shown) {
        for &(ns, count) in *buckets {
            column[row_of(ns) as usize] += count;
        }
    }
    let most = columns.iter().flatten().copied().max().unwrap_or(1).max(1);
    for row in 0..area.height {
        let band = u32::from(area.height - 1 - row);
        let y = area.y + row;
        if low + band * step <= high {
            let label = units::ns(Some(1 << (low + band * step)));
            buf.set_string(area.x, y, format!("{label:>7}"), theme.dim());
        }
        for (place, column) in columns.iter().enumerate() {
            let count = column[band as usize];
            let share = if count == 0 {
                0.0
            } else {
                (count as f64 + 1.0).ln() / (most as f64 + 1.0).ln()
            };
            let x = area.x + LABEL + (width - columns.len() + place) as u16;
            let style = if count == 0 {
                Style::new()
            } else {
                theme.ramp(f64::from(band) / f64::from(rows.max(2) - 1))
            };
            buf[(x, y)].set_char(theme.heat(share)).set_style(style);
        }
    }
}
