//! What a look at one thing gave, and how it is shown.

use std::fmt;

use serde::Serialize;

use crate::command::table::{COLUMNS, wrap};

/// Where text begins: behind the longest state.
const INDENT: usize = 9;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, with less.
    Limited,
    /// Something does not work.
    Missing,
    /// It could not be looked at.
    Unknown,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) name: String,
    /// How it is.
    pub(super) state: State,
    /// What that means for the user.
    pub(super) what: String,
    /// The command that helps.
    pub(super) remedy: Option<String>,
}

impl Check {
    fn new(state: State, name: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            what: what.into(),
            remedy: None,
        }
    }

    /// It is as it should be.
    pub(super) fn ok(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(State::Ok, name, what)
    }

    /// It works, with less.
    pub(super) fn limited(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(State::Limited, name, what)
    }

    /// Something does not work.
    pub(super) fn missing(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(State::Missing, name, what)
    }

    /// It could not be looked at.
    pub(super) fn unknown(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(State::Unknown, name, what)
    }

    /// Adds the command that helps.
    pub(super) fn remedy(mut self, command: impl Into<String>) -> Self {
        self.remedy = Some(command.into());
        self
    }
}

impl fmt::Display for Check {
    /// The state, then text within [`COLUMNS`]. A command is on a line of its own, whole: it is to be copied.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}: {}", self.name, self.what);
        let mut head = self.state.name();
        for line in wrap(&text, COLUMNS - INDENT) {
            writeln!(f, "{head:INDENT$}{line}")?;
            head = "";
        }
        match &self.remedy {
            Some(command) => writeln!(f, "{head:INDENT$}$ {command}"),
            None => Ok(()),
        }
    }
}

/// Checks that belong together.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Group {
    /// The part of the machine.
    pub(super) name: &'static str,
    /// In the order of what needs what.
    pub(super) checks: Vec<Check>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Nothing is missing.
    pub(super) complete: bool,
    /// The groups.
    pub(super) groups: Vec<Group>,
}

impl Report {
    /// Of these groups.
    pub(super) fn of(groups: Vec<Group>) -> Self {
        let mut checks = groups.iter().flat_map(|group| &group.checks);
        Self {
            complete: checks.all(|check| check.state != State::Missing),
            groups,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", group.name.to_uppercase())?;
            for check in &group.checks {
                write!(f, "{check}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_its_state_its_text_and_its_command() {
        let check = Check::missing("CAP_BPF", "word ".repeat(30)).remedy("sudo rloop-top");
        let text = check.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("missing  CAP_BPF: word word"),
            "{text}"
        );
        assert!(lines[1].starts_with("         word"), "{text}");
        assert_eq!(*lines.last().expect("a line"), "         $ sudo rloop-top");
    }

    #[test]
    fn only_what_is_missing_makes_it_incomplete() {
        let report = |state| {
            let checks = vec![Check::ok("a", "b"), Check::new(state, "c", "d")];
            Report::of(vec![Group { name: "x", checks }])
        };
        for state in [State::Ok, State::Limited, State::Unknown] {
            assert!(report(state).complete, "{state:?}");
        }
        assert!(!report(State::Missing).complete);
    }
}
