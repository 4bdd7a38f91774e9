//! A terminal's cells as SVG.
//!
//! Blocks and shades are drawn as rectangles and not as text: fonts differ in how wide and high they
//! make them, and a heat map would fall apart.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// A cell's size in pixels.
const CELL: (f64, f64) = (9.0, 20.0);
/// Letters are 0.6 of it wide in nearly every monospaced font.
const FONT_PX: f64 = 15.0;
/// From a cell's top to the line that letters stand on.
const BASELINE: f64 = 15.0;
/// Around the cells.
const MARGIN: f64 = 16.0;
const BACKGROUND: &str = "#14171c";
const FOREGROUND: &str = "#d5dae0";
const FONTS: &str = "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', Consolas, monospace";

/// Draws the cells.
pub(super) fn draw(buf: &Buffer) -> String {
    let (columns, rows) = (buf.area.width, buf.area.height);
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(rows) * CELL.1 + 2.0 * MARGIN;
    let mut boxes = Boxes::default();
    let mut words = String::new();
    for (y, row) in buf.content.chunks(usize::from(columns)).enumerate() {
        let mut word = Word::default();
        for (x, cell) in row.iter().enumerate() {
            let corner = (MARGIN + x as f64 * CELL.0, MARGIN + y as f64 * CELL.1);
            if cell.modifier.contains(Modifier::REVERSED) {
                boxes.add(&color(cell.fg), 1.0, corner, (0.0, CELL.1));
            }
            match block(cell.symbol()) {
                Some((span, opacity)) => boxes.add(&color(cell.fg), opacity, corner, span),
                None if word.takes(cell) => {
                    word.push(cell, corner);
                    continue;
                }
                None => {}
            }
            word.write(&mut words);
            if block(cell.symbol()).is_none() {
                word.push(cell, corner);
            }
        }
        word.write(&mut words);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g shape-rendering=\"crispEdges\">\n{}</g>\n\
         <g font-family=\"{FONTS}\" font-size=\"{FONT_PX}\" xml:space=\"preserve\">\n{words}</g>\n\
         </svg>\n",
        boxes.paths()
    )
}

/// What a glyph covers: from where to where, down from the cell's top, and how much of that.
fn block(symbol: &str) -> Option<((f64, f64), f64)> {
    let full = (0.0, CELL.1);
    let eighths = |eighths: f64| (CELL.1 * (8.0 - eighths) / 8.0, CELL.1);
    let middle = (CELL.1 / 2.0 - 0.5, CELL.1 / 2.0 + 0.5);
    Some(match symbol {
        "░" => (full, 0.45),
        "▒" => (full, 0.65),
        "▓" => (full, 0.75),
        "█" => (full, 1.0),
        "▁" => (eighths(1.0), 1.0),
        "▂" => (eighths(2.0), 1.0),
        "▃" => (eighths(3.0), 1.0),
        "▄" => (eighths(4.0), 1.0),
        "▅" => (eighths(5.0), 1.0),
        "▆" => (eighths(6.0), 1.0),
        "▇" => (eighths(7.0), 1.0),
        "─" => (middle, 1.0),
        _ => return None,
    })
}

fn color(color: Color) -> String {
    match color {
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        _ => FOREGROUND.to_owned(),
    }
}

/// Rectangles, one path for each fill.
#[derive(Default)]
struct Boxes(BTreeMap<(String, String), String>);

impl Boxes {
    fn add(&mut self, fill: &str, opacity: f64, (x, y): (f64, f64), (from, to): (f64, f64)) {
        let path = self.0.entry((fill.to_owned(), opacity.to_string()));
        let (top, width, height) = (y + from, CELL.0, to - from);
        // Writing to a string cannot fail.
        let _ = write!(path.or_default(), "M{x} {top}h{width}v{height}h-{width}z");
    }

    fn paths(&self) -> String {
        let path = |((fill, opacity), path): (&(String, String), &String)| {
            format!("<path fill=\"{fill}\" fill-opacity=\"{opacity}\" d=\"{path}\"/>\n")
        };
        self.0.iter().map(path).collect()
    }
}

/// Letters of one style, side by side.
#[derive(Default)]
struct Word {
    text: String,
    at: (f64, f64),
    fill: String,
    bold: bool,
}

impl Word {
    fn style(cell: &Cell) -> (String, bool) {
        let fill = if cell.modifier.contains(Modifier::REVERSED) {
            BACKGROUND.to_owned()
        } else {
            color(cell.fg)
        };
        (fill, cell.modifier.contains(Modifier::BOLD))
    }

    /// Whether the cell goes on with it. A blank ends it: each word stands in its own column, however
    /// wide the font's letters are.
    fn takes(&self, cell: &Cell) -> bool {
        let (fill, bold) = Self::style(cell);
        cell.symbol() != " " && (&self.fill, self.bold) == (&fill, bold) && !self.text.is_empty()
    }

    fn push(&mut self, cell: &Cell, at: (f64, f64)) {
        if cell.symbol() == " " {
            return;
        }
        if self.text.is_empty() {
            (self.fill, self.bold) = Self::style(cell);
            self.at = at;
        }
        self.text.push_str(cell.symbol());
    }

    fn write(&mut self, words: &mut String) {
        if self.text.is_empty() {
            return;
        }
        let (x, y) = (self.at.0, self.at.1 + BASELINE);
        let bold = if self.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        let text = self.text.replace('&', "&amp;").replace('<', "&lt;");
        // Writing to a string cannot fail.
        let _ = writeln!(
            words,
            "<text x=\"{x}\" y=\"{y}\" fill=\"{}\"{bold}>{text}</text>",
            self.fill
        );
        self.text.clear();
    }
}
