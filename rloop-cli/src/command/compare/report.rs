//! All that was found out.

use super::args::Filling;
use super::load::Load;
use super::row::Row;

/// A comparison.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The file that was named.
    pub(super) path: String,
    /// It was a copy that was attached.
    pub(super) is_copy: bool,
    /// What rloop did with holes.
    pub(super) filling: Filling,
    /// How long each run was.
    pub(super) seconds: f64,
    /// How many of them each load had on each device.
    pub(super) rounds: u32,
    /// The loads.
    pub(super) rows: Vec<Row>,
    /// Loads that the file is none for, each with the reason.
    pub(super) omitted: Vec<(Load, String)>,
    /// The first time that data was not what it should be.
    pub(super) wrong: Option<Wrong>,
}

/// Data that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// In which load.
    pub(super) load: Load,
    /// Where in the file, bytes.
    pub(super) at_bytes: u64,
    /// What was seen.
    pub(super) what: &'static str,
}
