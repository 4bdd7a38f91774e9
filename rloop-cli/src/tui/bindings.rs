//! Every key and what it does: dispatch, footer and help all read this table.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Leave, as by SIGINT.
    Interrupt,
    /// Stop until the shell says go on.
    Suspend,
    /// Show or hide the keys.
    Help,
    /// Close what is open on top.
    Close,
    /// The view of that number, from 0.
    View(usize),
    /// The next view, or the one before.
    Turn(isize),
    /// Move by so many rows.
    Move(isize),
    /// The device that many after the selected one.
    Device(isize),
    /// The device of the selection becomes the one that the other views show.
    Open,
    /// Sort by the next column.
    Sort,
    /// Sort the other way.
    Reverse,
    /// Type a filter.
    Filter,
    /// Stand still, or go on.
    Pause,
    /// Go back or forth in time.
    Step(isize),
    /// Go back to now.
    Live,
    /// Another palette.
    Theme,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The key.
    pub key: KeyCode,
    /// As shown.
    pub label: &'static str,
    /// What it does.
    pub action: Action,
    /// In words; keys of a group have the same words, shown once.
    pub help: &'static str,
    /// It is in the footer.
    pub footer: bool,
}

const fn key(
    key: KeyCode,
    label: &'static str,
    action: Action,
    help: &'static str,
    footer: bool,
) -> Binding {
    Binding {
        key,
        label,
        action,
        help,
        footer,
    }
}

/// All keys.
pub const BINDINGS: &[Binding] = &[
    key(KeyCode::Char('q'), "q", Action::Quit, "quit", true),
    key(KeyCode::Char('?'), "?", Action::Help, "help", true),
    key(
        KeyCode::Esc,
        "Esc",
        Action::Close,
        "close help, drop the filter",
        false,
    ),
    key(KeyCode::Tab, "Tab", Action::Turn(1), "next view", true),
    key(
        KeyCode::BackTab,
        "Shift-Tab",
        Action::Turn(-1),
        "view before",
        false,
    ),
    key(
        KeyCode::Char('1'),
        "1",
        Action::View(0),
        "view by number",
        false,
    ),
    key(
        KeyCode::Char('2'),
        "2",
        Action::View(1),
        "view by number",
        false,
    ),
    key(
        KeyCode::Char('3'),
        "3",
        Action::View(2),
        "view by number",
        false,
    ),
    key(
        KeyCode::Char('4'),
        "4",
        Action::View(3),
        "view by number",
        false,
    ),
    key(
        KeyCode::Char('5'),
        "5",
        Action::View(4),
        "view by number",
        false,
    ),
    key(
        KeyCode::Char('6'),
        "6",
        Action::View(5),
        "view by number",
        false,
    ),
    key(
        KeyCode::Down,
        "Down",
        Action::Move(1),
        "next row, row before",
        false,
    ),
    key(
        KeyCode::Char('j'),
        "j",
        Action::Move(1),
        "next row, row before",
        false,
    ),
    key(
        KeyCode::Up,
        "Up",
        Action::Move(-1),
        "next row, row before",
        false,
    ),
    key(
        KeyCode::Char('k'),
        "k",
        Action::Move(-1),
        "next row, row before",
        false,
    ),
    key(
        KeyCode::PageDown,
        "PgDn",
        Action::Move(10),
        "ten rows on, ten back",
        false,
    ),
    key(
        KeyCode::PageUp,
        "PgUp",
        Action::Move(-10),
        "ten rows on, ten back",
        false,
    ),
    key(
        KeyCode::Char('g'),
        "g",
        Action::Move(isize::MIN),
        "first, last row",
        false,
    ),
    key(
        KeyCode::Char('G'),
        "G",
        Action::Move(isize::MAX),
        "first, last row",
        false,
    ),
    key(
        KeyCode::Left,
        "Left",
        Action::Device(-1),
        "device before, next device",
        false,
    ),
    key(
        KeyCode::Char('h'),
        "h",
        Action::Device(-1),
        "device before, next device",
        false,
    ),
    key(
        KeyCode::Right,
        "Right",
        Action::Device(1),
        "device before, next device",
        false,
    ),
    key(
        KeyCode::Char('l'),
        "l",
        Action::Device(1),
        "device before, next device",
        false,
    ),
    key(
        KeyCode::Enter,
        "Enter",
        Action::Open,
        "the selected device's extents",
        false,
    ),
    key(KeyCode::Char('s'), "s", Action::Sort, "sort", true),
    key(
        KeyCode::Char('r'),
        "r",
        Action::Reverse,
        "reverse the order",
        false,
    ),
    key(KeyCode::Char('/'), "/", Action::Filter, "filter", true),
    key(KeyCode::Char(' '), "Space", Action::Pause, "pause", true),
    key(KeyCode::Char('['), "[", Action::Step(-1), "back", false),
    key(KeyCode::Char(']'), "]", Action::Step(1), "forth", false),
    key(
        KeyCode::Char('{'),
        "{",
        Action::Step(-10),
        "ten back",
        false,
    ),
    key(
        KeyCode::Char('}'),
        "}",
        Action::Step(10),
        "ten forth",
        false,
    ),
    key(KeyCode::Char('.'), ".", Action::Live, "now", true),
    key(KeyCode::Char('t'), "t", Action::Theme, "colours", false),
];

/// What a key does.
pub fn action(event: KeyEvent) -> Option<Action> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Action::Interrupt),
            KeyCode::Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    BINDINGS
        .iter()
        .find(|binding| binding.key == event.code)
        .map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        for (i, one) in BINDINGS.iter().enumerate() {
            assert!(
                BINDINGS[i + 1..]
                    .iter()
                    .all(|other| other.key != one.key && other.label != one.label),
                "{}",
                one.label
            );
        }
    }
}
