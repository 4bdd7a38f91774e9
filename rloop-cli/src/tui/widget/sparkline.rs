//! Values over time on one line, the newest at the right.

use ratatui::text::{Line, Span};

use super::graph;
use crate::tui::theme::Theme;

/// The last `width` values; a time without a value is a blank, a zero is the lowest mark, and whatever
/// is more than zero is more than that.
pub fn line(values: &[Option<f64>], width: usize, theme: &Theme) -> Line<'static> {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = graph::top(shown);
    let mark = |value: &Option<f64>| {
        let height = value.map_or(0, |value| graph::eighths(value / top, 1));
        theme.column(height)
    };
    let marks: String = shown.iter().map(mark).collect();
    Line::from(Span::styled(format!("{marks:>width$}"), theme.graph()))
}
