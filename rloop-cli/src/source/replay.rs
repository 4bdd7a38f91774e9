//! A recording.

use std::path::Path;

use super::{Source, SourceError};
use crate::{
    record::{Reader, RecordError},
    sample::Sample,
};

/// Yields the samples of a recording.
pub struct Replay {
    reader: Reader,
}

impl Replay {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self {
            reader: Reader::open(path)?,
        })
    }

    /// What to tell the user at the end.
    pub fn warning(&self) -> Option<&'static str> {
        self.reader
            .torn()
            .then_some("the recording's last sample is incomplete and was left out")
    }
}

impl Source for Replay {
    fn next(&mut self) -> Result<Option<Sample>, SourceError> {
        self.reader
            .next_sample()
            .map_err(|error| SourceError(error.to_string()))
    }
}
