//! The keys, from the table that dispatches them.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget as _, Wrap},
};

use super::device;
use crate::tui::{
    app::App,
    bindings::{Keys, meanings},
    theme::{Theme, ThemeName},
};

/// Width of the keys' names.
const KEYS: usize = 15;
/// Width of a column of keys.
const COLUMN: usize = 42;
/// Lines of the popup that are not keys, and one of the screen.
const OTHERS: usize = 4;

pub(super) fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let rows = meanings();
    // Two columns where one would be higher than the screen.
    let (mut lines, width) = if rows.len() + OTHERS <= usize::from(area.height) {
        (in_columns(&rows, 1, COLUMN, &app.theme), COLUMN)
    } else if area.width >= 80 {
        (in_columns(&rows, 2, COLUMN - 3, &app.theme), 2 * COLUMN - 6)
    } else {
        (one_after_the_other(&rows, &app.theme), area.width.into())
    };
    let names = ThemeName::ALL.map(ThemeName::name).join(", ");
    lines.push(Line::styled(
        format!(" now {}; --theme {names}", app.theme.describe()),
        app.theme.dim(),
    ));
    popup(lines, width as u16 + 2, app, area, buf);
}

fn in_columns<'a>(rows: &[Keys], columns: usize, column: usize, theme: &Theme) -> Vec<Line<'a>> {
    let height = rows.len().div_ceil(columns);
    let spans = |(keys, help): &Keys| {
        [
            Span::styled(format!(" {keys:<KEYS$}"), theme.heading()),
            Span::raw(format!("{help:<0$}", column - KEYS - 1)),
        ]
    };
    let line = |row| {
        let across = (row..rows.len()).step_by(height);
        Line::from_iter(across.flat_map(|row| spans(&rows[row])))
    };
    (0..height).map(line).collect()
}

/// Where there is room for no table.
fn one_after_the_other<'a>(rows: &[Keys], theme: &Theme) -> Vec<Line<'a>> {
    let spans = |(keys, help): &Keys| {
        [
            Span::styled(format!(" {keys} "), theme.heading()),
            Span::raw(format!("{help} ")),
        ]
    };
    vec![Line::from_iter(rows.iter().flat_map(spans))]
}

fn popup(lines: Vec<Line>, width: u16, app: &App, area: Rect, buf: &mut Buffer) {
    let width = width.min(area.width);
    let height = (device::wrapped(&lines, width - 2) + 2).min(area.height);
    let popup = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    Clear.render(popup, buf);
    let block = if app.theme.rule() == '-' {
        Block::new().title("-- Keys --")
    } else {
        Block::bordered().title(" Keys ")
    };
    Paragraph::new(lines)
        .block(block)
        .wrap(Wrap { trim: false })
        .render(popup, buf);
}
