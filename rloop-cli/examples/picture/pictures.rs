//! Views of a recording, and a screen that was captured in the lab's guest, as SVG.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use rloop::model::Frames;
use rloop::source::Source as _;
use rloop::source::replay::Replay;
use rloop::tui::app::{App, View};
use rloop::tui::theme::{Depth, Theme, ThemeName};
use rloop::tui::view;

#[path = "svg.rs"]
mod svg;

/// The pictures: their files' names, and what they show.
const PICTURES: [(&str, View); 2] = [
    ("overview.svg", View::Overview),
    ("extents.svg", View::Extents),
];

/// The screen that was captured, and its picture: `cargo xtask lab picture` makes both.
const CAPTURED: (&str, &str) = ("images/side-by-side.ansi", "side-by-side.svg");

/// Size of the terminal in the pictures.
const SIZE: (u16, u16) = (80, 24);

/// All pictures, by their files' names.
pub(super) fn pictures(
    docs: &Path,
) -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
    let mut pictures = of_recording(&docs.join("demo.rloop"))?;
    let screen = std::fs::read(docs.join(CAPTURED.0))?;
    pictures.push((CAPTURED.1, svg::draw(&cells(&screen)?)));
    Ok(pictures)
}

/// What a terminal shows that was told this.
fn cells(screen: &[u8]) -> Result<Buffer, Box<dyn std::error::Error>> {
    let number = |number| NonZeroU16::new(number).ok_or("a screen without cells");
    let mut terminal = vt100::Parser::new(number(SIZE.1)?, number(SIZE.0)?, 0);
    terminal.process(screen);
    let area = Rect::new(0, 0, SIZE.0, SIZE.1);
    let mut buf = Buffer::empty(area);
    for place in area.positions() {
        let Some(cell) = terminal.screen().cell(place.y, place.x) else {
            continue;
        };
        let mut style = Style::new();
        if let vt100::Color::Rgb(r, g, b) = cell.fgcolor() {
            style = style.fg(Color::Rgb(r, g, b));
        }
        for (is_so, modifier) in [
            (cell.bold(), Modifier::BOLD),
            (cell.inverse(), Modifier::REVERSED),
        ] {
            if is_so {
                style = style.add_modifier(modifier);
            }
        }
        if cell.has_contents() {
            buf[place].set_symbol(cell.contents());
        }
        buf[place].set_style(style);
    }
    Ok(buf)
}

/// The views of a recording's end.
fn of_recording(
    recording: &Path,
) -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), true);
    let mut source = Replay::open(recording)?;
    let mut frames = Frames::default();
    while let Some(sample) = source.next()? {
        if let Some(frame) = frames.next(sample) {
            app.push(Arc::new(frame));
        }
    }
    let area = Rect::new(0, 0, SIZE.0, SIZE.1);
    let picture = |(name, view): (&'static str, View)| {
        let mut buf = Buffer::empty(area);
        app.view = view;
        view::render(&app, area, &mut buf);
        (name, svg::draw(&buf))
    };
    Ok(PICTURES.map(picture).into())
}
