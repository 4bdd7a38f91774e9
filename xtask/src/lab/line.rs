//! What the guest tests print.

/// A line that says how far the tests are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `running NAME SECONDS`: it has begun and may take so long.
    Running { name: String, seconds: u64 },
    /// `ok NAME SECONDS`, `failed NAME: WHY`, `skipped NAME: WHY`.
    Ended { name: String, outcome: Outcome },
}

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// It cannot run here, for this reason.
    Skipped(String),
}

impl Line {
    /// Reads a line; most are a test's own talk.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let spaced = rest.split_once(' ');
        let reasoned = rest.split_once(": ");
        let (name, outcome) = match word {
            "running" => {
                let (name, seconds) = spaced?;
                let (name, seconds) = (name.to_owned(), seconds.parse().ok()?);
                return Some(Self::Running { name, seconds });
            }
            "ok" => (spaced?.0, Outcome::Passed),
            "failed" => (reasoned?.0, Outcome::Failed),
            "skipped" => (reasoned?.0, Outcome::Skipped(reasoned?.1.to_owned())),
            _ => return None,
        };
        let name = name.to_owned();
        Some(Self::Ended { name, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_and_talk_is_not() {
        let name = || "fio".to_owned();
        let running = Line::Running {
            name: name(),
            seconds: 60,
        };
        assert_eq!(Line::read("running fio 60"), Some(running));
        let ended = |outcome| {
            Some(Line::Ended {
                name: name(),
                outcome,
            })
        };
        assert_eq!(Line::read("ok fio 3.2 s"), ended(Outcome::Passed));
        assert_eq!(Line::read("failed fio: no: really"), ended(Outcome::Failed));
        let skipped = Outcome::Skipped("no xfs: none".into());
        assert_eq!(Line::read("skipped fio: no xfs: none"), ended(skipped));
        assert_eq!(Line::read("running late"), None);
        assert_eq!(Line::read("[ 12.3] failed to do: it"), None);
    }
}
