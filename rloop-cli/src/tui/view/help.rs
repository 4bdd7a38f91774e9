//! The keys, from the table that dispatches them.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget as _},
};

use crate::tui::{
    app::App,
    bindings::BINDINGS,
    theme::{Theme, ThemeName},
};

/// Width of the keys' names.
const KEYS: usize = 15;
/// Width of a column of keys.
const COLUMN: usize = 42;

pub(super) fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let rows = rows();
    // Two columns where one would be higher than the screen.
    let columns = if rows.len() + 4 > usize::from(area.height) && area.width >= 80 {
        2
    } else {
        1
    };
    let height = rows.len().div_ceil(columns);
    let column = if columns == 1 { COLUMN } else { COLUMN - 3 };
    let mut lines: Vec<Line> = (0..height)
        .map(|row| {
            let across = (row..rows.len()).step_by(height);
            Line::from_iter(across.flat_map(|row| spans(&rows[row], column, &app.theme)))
        })
        .collect();
    let names = ThemeName::ALL.map(ThemeName::name).join(", ");
    lines.push(Line::styled(
        format!(" now {}; --theme {names}", app.theme.describe()),
        app.theme.dim(),
    ));
    popup(lines, (columns * column) as u16 + 2, app, area, buf);
}

/// (keys, what they do), each meaning once.
fn rows() -> Vec<(String, &'static str)> {
    let mut rows: Vec<(String, &str)> = Vec::new();
    for binding in BINDINGS {
        match rows.last_mut() {
            Some((keys, help)) if *help == binding.help => {
                *keys = format!("{keys} {}", binding.label)
            }
            _ => rows.push((binding.label.to_owned(), binding.help)),
        }
    }
    rows
}

fn spans<'a>((keys, help): &(String, &'a str), width: usize, theme: &Theme) -> [Span<'a>; 2] {
    [
        Span::styled(format!(" {keys:<KEYS$}"), theme.heading()),
        Span::raw(format!("{help:<0$}", width - KEYS - 1)),
    ]
}

fn popup(lines: Vec<Line>, width: u16, app: &App, area: Rect, buf: &mut Buffer) {
    let (width, height) = (
        width.min(area.width),
        (lines.len() as u16 + 2).min(area.height),
    );
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
    Paragraph::new(lines).block(block).render(popup, buf);
}
