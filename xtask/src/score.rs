//! How tests went, all told.

use std::fmt;

use crate::reading::Reading;

/// How many tests passed and failed, and why the others were left out.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Name and reason.
    pub(crate) skipped: Vec<(String, String)>,
}

impl Score {
    /// What cargo's tests came to.
    pub(crate) fn of(reading: &Reading) -> Self {
        // Its names begin with the number of their program.
        let name = |key: &str| key.split_once(' ').map_or(key, |(_, name)| name).to_owned();
        let skipped = reading.skipped.iter();
        let skipped = skipped.map(|(key, why)| (name(key), why.clone())).collect();
        let (passed, failed) = (reading.passed(), reading.failed);
        Self {
            passed,
            failed,
            skipped,
        }
    }

    /// The score of tests that cannot run here.
    pub(crate) fn all_skipped(names: Vec<String>, why: &str) -> Self {
        let skipped = names
            .into_iter()
            .map(|name| (name, why.to_owned()))
            .collect();
        Self {
            skipped,
            ..Self::default()
        }
    }

    /// Adds what other tests came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// Something passed and nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped.len());
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
