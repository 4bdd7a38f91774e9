//! rloop.ko itself.

use std::path::Path;

use anyhow::Result;

use crate::command::run;

/// Where the project's disk has it.
const FILE: &str = "/lab/rloop.ko";

/// The loaded module. It is unloaded when this goes.
pub(crate) struct Module(());

impl Module {
    /// Whether this guest was given one.
    pub(crate) fn is_there() -> bool {
        Path::new(FILE).exists()
    }

    /// Loads it.
    pub(crate) fn load() -> Result<Self> {
        run!["insmod", FILE]?;
        Ok(Self(()))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Err(error) = run!["rmmod", "rloop"] {
            println!("{error:#}");
        }
    }
}
