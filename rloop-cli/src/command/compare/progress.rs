//! What is going on, while results are still to come.

use std::io::{self, IsTerminal as _, Write as _};

/// A line on the terminal that is written again and again, and gone in the end. Standard error has it:
/// standard output is for results.
pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shown only to who looks at it.
    pub(super) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
        }
    }

    /// Says what is going on now.
    pub(super) fn say(&self, what: &str) {
        self.write(what);
    }

    /// Makes room for a result.
    pub(super) fn clear(&self) {
        self.write("");
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            // Back to the line's begin, and what is there erased. With nobody to read it, nothing is lost.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
