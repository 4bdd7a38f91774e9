//! Every key and what it does: dispatch, footer, help and manual all read this table.

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
    /// Close what is open on top, or go back.
    Close,
    /// The view of that number, from 0.
    View(usize),
    /// The next view, or the one before.
    Turn(isize),
    /// Move by so many rows.
    Move(isize),
    /// The device that many after the selected one.
    Device(isize),
    /// What is selected: the extents of a device, the requests of an extent, the chain of a request.
    Open,
    /// Only the next operation's requests; after the last, all.
    Operation,
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
    /// Other colours.
    Theme,
    /// More or fewer colours.
    Depth,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The key.
    pub key: KeyCode,
    /// Together with Ctrl.
    pub ctrl: bool,
    /// As shown.
    pub label: &'static str,
    /// What it does.
    pub action: Action,
    /// In words; keys of a group have the same words, shown once.
    pub help: &'static str,
    /// It is in the footer.
    pub footer: bool,
}

const fn key(key: KeyCode, label: &'static str, action: Action, help: &'static str) -> Binding {
    Binding {
        key,
        ctrl: false,
        label,
        action,
        help,
        footer: false,
    }
}

const fn letter(letter: char, label: &'static str, action: Action, help: &'static str) -> Binding {
    key(KeyCode::Char(letter), label, action, help)
}

impl Binding {
    const fn in_footer(self) -> Self {
        Self {
            footer: true,
            ..self
        }
    }

    const fn with_ctrl(self) -> Self {
        Self { ctrl: true, ..self }
    }
}

const VIEWS: &str = "view by number";
const ROWS: &str = "row down, up";
const PAGES: &str = "ten rows down, up";
const ENDS: &str = "first, last row";
const DEVICES: &str = "device before, next";
const STEPS: &str = "interval back, forth";
const LEAPS: &str = "ten back, forth";

/// All keys.
pub const BINDINGS: &[Binding] = &[
    letter('q', "q", Action::Quit, "quit").in_footer(),
    letter('?', "?", Action::Help, "help").in_footer(),
    key(KeyCode::Tab, "Tab", Action::Turn(1), "next view").in_footer(),
    key(
        KeyCode::BackTab,
        "Shift-Tab",
        Action::Turn(-1),
        "view before",
    ),
    letter('1', "1", Action::View(0), VIEWS),
    letter('2', "2", Action::View(1), VIEWS),
    letter('3', "3", Action::View(2), VIEWS),
    letter('4', "4", Action::View(3), VIEWS),
    letter('5', "5", Action::View(4), VIEWS),
    letter('6', "6", Action::View(5), VIEWS),
    letter('7', "7", Action::View(6), VIEWS),
    key(KeyCode::Down, "Down", Action::Move(1), ROWS),
    letter('j', "j", Action::Move(1), ROWS),
    key(KeyCode::Up, "Up", Action::Move(-1), ROWS),
    letter('k', "k", Action::Move(-1), ROWS),
    key(KeyCode::PageDown, "PgDn", Action::Move(10), PAGES),
    key(KeyCode::PageUp, "PgUp", Action::Move(-10), PAGES),
    letter('g', "g", Action::Move(isize::MIN), ENDS),
    letter('G', "G", Action::Move(isize::MAX), ENDS),
    key(KeyCode::Left, "Left", Action::Device(-1), DEVICES),
    letter('h', "h", Action::Device(-1), DEVICES),
    key(KeyCode::Right, "Right", Action::Device(1), DEVICES),
    letter('l', "l", Action::Device(1), DEVICES),
    key(KeyCode::Enter, "Enter", Action::Open, "open").in_footer(),
    letter('o', "o", Action::Operation, "one operation").in_footer(),
    letter('s', "s", Action::Sort, "sort").in_footer(),
    letter('r', "r", Action::Reverse, "reverse the order"),
    letter('/', "/", Action::Filter, "filter").in_footer(),
    key(KeyCode::Esc, "Esc", Action::Close, "back, drop filter"),
    letter(' ', "Space", Action::Pause, "pause").in_footer(),
    letter('[', "[", Action::Step(-1), STEPS),
    letter(']', "]", Action::Step(1), STEPS),
    letter('{', "{", Action::Step(-10), LEAPS),
    letter('}', "}", Action::Step(10), LEAPS),
    letter('.', ".", Action::Live, "now").in_footer(),
    letter('t', "t", Action::Theme, "theme"),
    letter('T', "T", Action::Depth, "more or fewer colours"),
    letter('z', "Ctrl-Z", Action::Suspend, "back to the shell").with_ctrl(),
    letter('c', "Ctrl-C", Action::Interrupt, "stop").with_ctrl(),
];

/// Keys, and what they do.
pub type Keys = (String, &'static str);

/// Each meaning once.
pub fn meanings() -> Vec<Keys> {
    let mut rows: Vec<Keys> = Vec::new();
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

/// What a key does.
pub fn action(event: KeyEvent) -> Option<Action> {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    BINDINGS
        .iter()
        .find(|binding| binding.key == event.code && binding.ctrl == ctrl)
        .map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        for (i, one) in BINDINGS.iter().enumerate() {
            let same = |other: &Binding| (other.key, other.ctrl) == (one.key, one.ctrl);
            assert!(
                BINDINGS[i + 1..]
                    .iter()
                    .all(|other| !same(other) && other.label != one.label),
                "{}",
                one.label
            );
        }
    }

    #[test]
    fn with_ctrl_a_letter_is_another_key() {
        let press = |modifiers| action(KeyEvent::new(KeyCode::Char('c'), modifiers));
        assert_eq!(press(KeyModifiers::CONTROL), Some(Action::Interrupt));
        assert_eq!(press(KeyModifiers::NONE), None);
        let q = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert_eq!(action(q), None);
    }
}
