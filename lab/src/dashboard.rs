//! The dashboard of `rloop-top` on a terminal, and what its screens show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::terminal::Terminal;
use crate::watcher::EventsLost;

const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// The program is ended when this goes.
pub(crate) struct Dashboard {
    terminal: Terminal,
    /// The last screen of each interval since somebody asked.
    shown: BTreeMap<String, Screen>,
}

/// What was on the screen.
#[derive(Clone)]
pub(crate) struct Screen(String);

impl Dashboard {
    /// Starts it with these options. It watches when its first interval is shown. No two intervals may end at the same
    /// second of the clock, so they have to be longer than one.
    pub(crate) fn start(options: &[&str]) -> Result<Self> {
        let terminal = Terminal::start("rloop-top", options, COLUMNS, ROWS)?;
        let shown = BTreeMap::new();
        Ok(Self { terminal, shown })
    }

    /// Presses a key, and waits for a screen with these words.
    pub(crate) fn press(&mut self, key: &str, words: &str) -> Result<()> {
        const MOST: usize = 10;
        self.terminal.press(key)?;
        for _ in 0..MOST {
            let text = self.terminal.next()?;
            if text.contains(words) {
                self.shown.clear();
                return Ok(());
            }
        }
        anyhow::bail!("no {words:?} after {key:?}:\n{}", self.terminal.text())
    }

    /// A screen for each interval since this was last asked. What has ended before is on them: the interval that it
    /// ended in is over, and one more.
    pub(crate) fn shown(&mut self) -> Result<Vec<Screen>> {
        // What waits here may be of before.
        while let Some(text) = self.terminal.drawn_within(Duration::ZERO)? {
            self.take(text)?;
        }
        for _ in 0..2 {
            let before = self.shown.len();
            while self.shown.len() == before {
                let text = self.terminal.next()?;
                self.take(text)?;
            }
        }
        Ok(std::mem::take(&mut self.shown).into_values().collect())
    }

    fn take(&mut self, text: String) -> Result<()> {
        let screen = Screen(text);
        let lost = screen.word_after("lost")?;
        if lost != "0" {
            return Err(anyhow::Error::new(EventsLost).context(screen.to_string()));
        }
        self.shown.insert(screen.clock()?.to_owned(), screen);
        Ok(())
    }

    /// Waits until so many intervals have been shown.
    pub(crate) fn wait(&mut self, intervals: usize) -> Result<()> {
        let mut clocks = BTreeSet::new();
        while clocks.len() < intervals {
            let screen = Screen(self.terminal.next()?);
            // There is none before the first interval.
            clocks.extend(screen.clock().ok().map(str::to_owned));
        }
        Ok(())
    }

    /// What is on the terminal: in words, or with what makes them bold and coloured.
    pub(crate) fn content(&self, is_coloured: bool) -> String {
        if is_coloured {
            self.terminal.formatted()
        } else {
            self.terminal.text()
        }
    }

    /// Quits it as a user does. It has to end well, and to give the terminal back.
    pub(crate) fn quit(mut self) -> Result<()> {
        self.terminal.press("q")?;
        let status = self.terminal.ended()?;
        ensure!(status == 0, "rloop-top ended with {status}");
        Ok(())
    }
}

impl std::fmt::Display for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Screen {
    /// When its interval ended.
    fn clock(&self) -> Result<&str> {
        let mut words = self.0.lines().next().unwrap_or_default().split(' ');
        let clock = words.find(|word| word.ends_with('Z'));
        clock.with_context(|| format!("no time on:\n{self}"))
    }

    /// The rest of the line that begins so.
    pub(crate) fn line(&self, begin: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(begin))
    }

    fn word_after(&self, name: &str) -> Result<&str> {
        let words = self.0.split_whitespace();
        let mut words = words.skip_while(|word| *word != name).skip(1);
        words
            .next()
            .with_context(|| format!("no {name} on:\n{self}"))
    }

    /// How many there were of an operation, on the overview, of the device that is shown there.
    pub(crate) fn operations(&self, name: &str) -> Result<u64> {
        let line = self.line("ops ");
        let line = line.with_context(|| format!("no operations on:\n{self}"))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != name);
        match words.nth(1) {
            Some(number) => exact(number).with_context(|| format!("{name} on:\n{self}")),
            None => Ok(0),
        }
    }

    /// What stands in a column of the table that has it: right-aligned, down to an empty line or the last.
    pub(crate) fn column(&self, title: &str) -> Result<Vec<&str>> {
        let mut lines = self.0.lines();
        let title = format!(" {title} ");
        let end = lines.find_map(|line| Some(line.find(&title)? + title.len() - 1));
        let end = end.with_context(|| format!("no column{title}on:\n{self}"))?;
        let rows = lines.take_while(|line| !line.trim().is_empty() && !line.starts_with("q quit"));
        rows.map(|row| {
            let cell = row.get(..end).and_then(|row| row.split_whitespace().last());
            cell.with_context(|| format!("nothing below{title}on:\n{self}"))
        })
        .collect()
    }
}

/// A number that is not rounded.
pub(crate) fn exact(text: &str) -> Result<u64> {
    text.parse()
        .with_context(|| format!("{text} is no exact number"))
}
