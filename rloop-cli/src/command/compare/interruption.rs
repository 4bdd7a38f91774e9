//! Signals that end the comparison: it stops where it is, and clears up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Notes them from when it is made.
pub(super) struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// Begins to note them.
    pub(super) fn watch() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Set once there was one.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
