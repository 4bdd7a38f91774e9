//! Reads what `cargo test` prints.

use std::collections::BTreeMap;

/// What the lines so far have said.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Tests that passed, with those that skipped themselves.
    passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Why tests were skipped, by program and name.
    pub(crate) skipped: BTreeMap<String, String>,
    /// How many of `skipped` are not among `passed`, because the harness skipped them.
    ignored: u64,
    /// A program has started and not said its result.
    running: Option<u64>,
    /// Counts the programs: tests of two may have the same name.
    programs: u64,
    /// What is shown: the output of tests that passed, and of which.
    successes: bool,
    shown: Option<String>,
}

impl Reading {
    /// Tests that passed and did not skip themselves.
    pub(crate) fn passed(&self) -> u64 {
        (self.passed + self.ignored).saturating_sub(self.skipped.len() as u64)
    }

    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(count) = started(line) {
            self.finish();
            (self.running, self.successes, self.shown) = (Some(count), false, None);
            self.programs += 1;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            self.ignored += number_before(result, " ignored");
            self.running = None;
        } else if self.running.is_some() {
            self.output(line);
        }
    }

    /// The end of the output, or of one program's: one that gave no result has crashed.
    pub(crate) fn finish(&mut self) {
        if self.running.take().is_some() {
            self.failed += 1;
        }
    }

    fn output(&mut self, line: &str) {
        if line == "successes:" || line == "failures:" {
            (self.successes, self.shown) = (line == "successes:", None);
        } else if let Some(name) = heading(line) {
            self.shown = Some(name.to_owned());
        } else if let Some((name, why)) = ignored(line) {
            self.skip(name, why);
        } else if self.successes
            && let Some(why) = line.strip_prefix("skipped: ")
            && let Some(name) = self.shown.clone()
        {
            self.skip(&name, why);
        }
    }

    fn skip(&mut self, name: &str, why: &str) {
        let key = format!("{:03} {name}", self.programs);
        self.skipped.entry(key).or_insert_with(|| why.to_owned());
    }
}

/// `running 3 tests`
fn started(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let (count, rest) = rest.split_once(' ')?;
    matches!(rest, "test" | "tests").then(|| count.parse().ok())?
}

/// `---- name stdout ----`
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// `test name ... ignored, why`
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((
        name,
        result.strip_prefix(", ").unwrap_or("marked #[ignore]"),
    ))
}

/// The 3 of `ok. 3 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        let mut reading = Reading::default();
        text.lines().for_each(|line| reading.line(line));
        reading.finish();
        reading
    }

    #[test]
    fn a_test_that_skipped_itself_is_not_passed() {
        let reading = read(
            "\nrunning 4 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored, too slow\n\
             test d ... FAILED\n\nsuccesses:\n\n---- b stdout ----\nskipped: needs root\n\n\n\
             successes:\n    a\n    b\n\nfailures:\n\n---- d stdout ----\nskipped: no, failed\n\n\
             failures:\n    d\n\n\
             test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n",
        );
        assert_eq!((reading.passed(), reading.failed), (1, 1));
        let skipped: Vec<_> = reading.skipped.values().collect();
        assert_eq!(skipped, ["needs root", "too slow"]);
    }

    #[test]
    fn the_same_name_in_two_programs_counts_twice() {
        let one = "running 1 test\ntest a ... ok\n\nsuccesses:\n\n---- a stdout ----\nskipped: x\n\
                   skipped: y\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        let reading = read(&format!("{one}\n{one}"));
        assert_eq!((reading.passed(), reading.skipped.len()), (0, 2));
    }

    #[test]
    fn a_program_that_crashed_has_failed() {
        let reading = read(
            "running 2 tests\ntest a ... ok\nrunning 1 test\n\
                            test result: ok. 1 passed; 0 failed; 0 ignored",
        );
        assert_eq!((reading.passed(), reading.failed), (1, 1));
    }
}
