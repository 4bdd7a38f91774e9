//! Latency over time: columns are intervals, rows are latencies, darkness is how many.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Paragraph, Widget as _, Wrap},
};

use crate::tui::{theme::Theme, units};

/// Width of the labels at the left.
pub const LABEL: u16 = 8;

/// Edges of bands within a decade that people can read off, the finest first.
const EDGES: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];

/// What the rows stand for: the finest bands for which there are rows enough; where there are more,
/// several rows to a band, and where even decades are too many, several of them to a row.
struct Scale {
    edges: &'static [f64],
    lowest: u32,
    highest: u32,
    bands_per_row: u32,
    rows_per_band: u32,
}

impl Scale {
    /// Shows all latencies from one to another in so many rows.
    fn new(lowest_ns: u64, highest_ns: u64, rows: u32) -> Self {
        let with = |edges: &'static [f64]| {
            let (lowest, highest) = (band(lowest_ns, edges).0, band(highest_ns, edges).0);
            let bands = highest - lowest + 1;
            Self {
                edges,
                lowest,
                highest,
                bands_per_row: bands.div_ceil(rows).max(1),
                rows_per_band: (rows / bands).clamp(1, 4),
            }
        };
        let mut scales = EDGES.iter().map(|edges| with(edges));
        let fits = scales.find(|scale| scale.bands_per_row == 1);
        fits.unwrap_or_else(|| with(EDGES[EDGES.len() - 1]))
    }

    /// The row of a latency, from below.
    fn row(&self, ns: u64) -> u32 {
        let (band, share) = band(ns, self.edges);
        let within = (share * f64::from(self.rows_per_band)) as u32;
        (band - self.lowest) / self.bands_per_row * self.rows_per_band
            + within.min(self.rows_per_band - 1)
    }

    /// The latency that a row begins with, if it is one of the edges.
    fn label(&self, row: u32) -> Option<u64> {
        let band = self.lowest + row / self.rows_per_band * self.bands_per_row;
        let is_edge = row.is_multiple_of(self.rows_per_band) && band <= self.highest;
        let (decade, step) = (band / self.bands(), band % self.bands());
        is_edge.then(|| (self.edges[step as usize] * 10f64.powi(decade as i32)) as u64)
    }

    fn rows(&self) -> u32 {
        (self.highest - self.lowest + 1).div_ceil(self.bands_per_row) * self.rows_per_band
    }

    /// Bands of a decade.
    fn bands(&self) -> u32 {
        self.edges.len() as u32
    }
}

/// The band of a latency, and how far up in it, on a log scale, the latency lies.
fn band(ns: u64, edges: &[f64]) -> (u32, f64) {
    let ns = ns.max(1);
    let decade = ns.ilog10();
    let lead = ns as f64 / 10f64.powi(decade as i32);
    let step = edges.iter().rposition(|edge| lead >= *edge).unwrap_or(0);
    let (low, high) = (edges[step], edges.get(step + 1).copied().unwrap_or(10.0));
    let share = (lead / low).ln() / (high / low).ln();
    (decade * edges.len() as u32 + step as u32, share)
}

/// Draws the newest intervals at the right. An interval is the (nanoseconds, count) of its buckets;
/// `nothing` stands there if all are empty. Tells how many lines it took.
pub fn render(
    intervals: &[&[(u64, u64)]],
    nothing: &str,
    theme: &Theme,
    area: Rect,
    buf: &mut Buffer,
) -> u16 {
    if area.width <= LABEL || area.height == 0 {
        return 0;
    }
    let width = usize::from(area.width - LABEL);
    let shown = &intervals[intervals.len().saturating_sub(width)..];
    let latencies = || shown.iter().flat_map(|buckets| buckets.iter()).map(|b| b.0);
    let (Some(lowest), Some(highest)) = (latencies().min(), latencies().max()) else {
        Paragraph::new(nothing)
            .style(theme.dim())
            .wrap(Wrap { trim: true })
            .render(area, buf);
        return 0;
    };
    let scale = Scale::new(lowest, highest, u32::from(area.height));
    let rows = scale.rows();
    let mut columns = vec![vec![0u64; rows as usize]; shown.len()];
    for (column, buckets) in columns.iter_mut().zip(shown) {
        for &(ns, count) in *buckets {
            column[scale.row(ns) as usize] += count;
        }
    }
    let most = columns.iter().flatten().copied().max().unwrap_or(1).max(1);
    let log = |count: u64| (count as f64 + 1.0).ln();
    for row in 0..rows {
        let y = area.y + (rows - 1 - row) as u16;
        if let Some(ns) = scale.label(row) {
            let label = units::ns(Some(ns));
            buf.set_string(area.x, y, format!("{label:>7}"), theme.dim());
        }
        for (place, column) in columns.iter().enumerate() {
            let count = column[row as usize];
            let share = if count == 0 {
                0.0
            } else {
                log(count) / log(most)
            };
            let style = if count == 0 {
                Style::new()
            } else {
                theme.ramp(share)
            };
            let x = area.x + LABEL + (width - columns.len() + place) as u16;
            buf[(x, y)].set_char(theme.heat(share)).set_style(style);
        }
    }
    rows as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<u64> {
        (0..scale.rows())
            .filter_map(|row| scale.label(row))
            .collect()
    }

    #[test]
    fn rows_begin_where_people_can_read_them_off() {
        let scale = |rows| Scale::new(12_000, 3_000_000, rows);
        assert_eq!(labels(&scale(24))[..4], [10_000, 20_000, 50_000, 100_000]);
        assert_eq!(labels(&scale(24)).last(), Some(&2_000_000));
        assert_eq!(labels(&scale(6))[..3], [10_000, 30_000, 100_000]);
        assert_eq!(labels(&scale(4)), [10_000, 100_000, 1_000_000]);
        assert_eq!(labels(&scale(2)), [10_000, 1_000_000]);
    }

    #[test]
    fn a_row_holds_what_its_label_says() {
        for rows in [3, 9, 14, 40] {
            let all = || (0..7).flat_map(|decade| [1, 3, 9].map(|n| n * 10u64.pow(decade)));
            let scale = Scale::new(1, 9_000_000, rows);
            assert!(scale.rows() <= rows);
            for ns in all() {
                let row = scale.row(ns);
                assert!(row < scale.rows(), "{ns} in {rows}");
                let begin = (0..=row).rev().find_map(|row| scale.label(row));
                assert!(begin.is_some_and(|begin| begin <= ns), "{ns} in {rows}");
                let mut above = row + 1..scale.rows();
                let end = above.find_map(|row| scale.label(row));
                assert!(end.is_none_or(|end| ns < end), "{ns} in {rows}");
            }
        }
    }
}
