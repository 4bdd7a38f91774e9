//! Values over time as columns, the newest at the right.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::tui::theme::Theme;

/// The largest of the values, and never 0.
pub fn top(values: &[Option<f64>]) -> f64 {
    let largest = values.iter().flatten().copied().fold(0.0, f64::max);
    if largest > 0.0 { largest } else { 1.0 }
}

/// How many eighths of a line a share of `rows` lines is: one for zero, and more for whatever is more.
/// The topmost eighth stays free, so that a graph does not grow together with the one above it.
pub fn eighths(share: f64, rows: u16) -> usize {
    let all = 8 * usize::from(rows);
    if share > 0.0 {
        2 + (share.min(1.0) * (all - 3) as f64).round() as usize
    } else {
        1
    }
}

/// Draws the last values that fit; those of `top` fill the height, a time without a value is blank.
pub fn render(values: &[Option<f64>], top: f64, theme: &Theme, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let shown = &values[values.len().saturating_sub(width)..];
    let left = area.right() - shown.len() as u16;
    for (x, value) in (left..).zip(shown) {
        let Some(value) = value else { continue };
        let height = eighths(value / top, area.height);
        for row in 0..area.height {
            let glyph = theme.column(height.saturating_sub(8 * usize::from(row)));
            buf[(x, area.bottom() - 1 - row)]
                .set_char(glyph)
                .set_style(theme.graph());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{Depth, ThemeName};

    fn drawn(values: &[Option<f64>], ascii: bool) -> Vec<String> {
        let area = Rect::new(0, 0, 4, 2);
        let mut buf = Buffer::empty(area);
        let theme = Theme::new(ThemeName::Dark, Depth::True, ascii);
        render(values, top(values), &theme, area, &mut buf);
        let line = |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect();
        buf.content.chunks(4).map(line).collect()
    }

    #[test]
    fn nothing_zero_little_and_most_all_look_different() {
        let values = [None, Some(0.0), Some(0.001), Some(9.0)];
        assert_eq!(drawn(&values, false), ["   ▇", " ▁▂█"]);
        assert_eq!(drawn(&values, true), ["   |", " _.#"]);
    }

    #[test]
    fn the_newest_are_at_the_right() {
        let values = [Some(8.0), Some(1.0), Some(1.0), Some(1.0), Some(0.0)];
        assert_eq!(drawn(&values, false)[1], "▄▄▄▁");
        assert_eq!(drawn(&[Some(1.0)], false)[1], "   █");
    }
}
