//! Where a count of 0 says nothing, because nothing tells of what would be counted.

use super::{DeviceFrame, Frame};
use crate::sample::Unavailable;

/// What a filesystem tells of a device's file, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What happens to its holes: fills, conversions, punches.
    Holes,
    /// Commits.
    Commits,
}

impl Told {
    /// As what it is listed where it is unavailable; each filesystem calls its commits otherwise.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Holes => &["holes", "holes and commits"],
            Self::Commits => &[
                "commits",
                "holes and commits",
                "journal commits",
                "log commits",
                "log and transaction commits",
            ],
        }
    }
}

impl Frame {
    /// Why a device's counts of this say nothing, if that is so.
    pub fn unknown<'a>(&'a self, device: &'a DeviceFrame, told: Told) -> Option<&'a Unavailable> {
        if device.rloop.is_some() && told == Told::Commits {
            // The module tells of them itself, if it tells anything.
            return device.missing("requests");
        }
        let fs = &device.backing.fs;
        let mut missing = device.unavailable.iter().chain(&self.unavailable);
        missing.find(|missing| {
            let is_of = |name: &&str| {
                missing.what == *name || missing.what.starts_with(&format!("{name} of {fs}"))
            };
            told.names().iter().any(is_of)
        })
    }
}

impl DeviceFrame {
    /// Why a part of the device cannot be shown, if that is so; of its requests, then numbers of 0 say nothing.
    pub fn missing(&self, what: &str) -> Option<&Unavailable> {
        let mut missing = self.unavailable.iter();
        missing.find(|missing| missing.what == what)
    }
}
