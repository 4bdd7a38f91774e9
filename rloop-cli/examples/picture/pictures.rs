//! Views of a recording as SVG.

use std::path::Path;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
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

/// Size of the terminal in the pictures.
const SIZE: (u16, u16) = (80, 24);

/// The pictures of a recording's end, by their files' names.
pub(super) fn pictures(
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
