//! Where samples come from.

pub mod live;
pub mod replay;
pub mod synthetic;

use crate::sample::Sample;

/// What went wrong while sampling; the text says what failed, on what, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Yields samples, oldest first.
pub trait Source {
    /// The next sample; `None` when there will be no more.
    fn next(&mut self) -> Result<Option<Sample>, SourceError>;
}
