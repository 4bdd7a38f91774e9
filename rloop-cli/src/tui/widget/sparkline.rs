//! Values over time on one line, the newest at the right.

use crate::tui::theme::Theme;

/// The last `width` values; a time without a value is a blank, a zero is the lowest mark.
pub fn line(values: &[Option<f64>], width: usize, theme: &Theme) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let max = shown
        .iter()
        .flatten()
        .fold(0.0f64, |max, value| max.max(*value));
    let mark = |value: &Option<f64>| {
        value.map_or(' ', |value| {
            theme.spark(if max > 0.0 { value / max } else { 0.0 })
        })
    };
    let line: String = shown.iter().map(mark).collect();
    format!("{line:>width$}")
}
