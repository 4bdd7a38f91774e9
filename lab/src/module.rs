//! rloop.ko itself.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::command::run;

/// Where the project's disk has it.
const FILE: &str = "/lab/rloop.ko";

/// The loaded module. It is unloaded when this goes; a test that wants to know whether that worked
/// calls `unload`.
pub(crate) struct Module {
    is_loaded: bool,
}

impl Module {
    /// Whether this guest was given one.
    pub(crate) fn is_there() -> bool {
        Path::new(FILE).exists()
    }

    /// Loads it.
    pub(crate) fn load() -> Result<Self> {
        run!["insmod", FILE]?;
        let is_loaded = true;
        Ok(Self { is_loaded })
    }

    /// Unloads it.
    pub(crate) fn unload(mut self) -> Result<()> {
        self.is_loaded = false;
        run!["rmmod", "rloop"]?;
        let left = Path::new("/sys/module/rloop").exists();
        ensure!(!left, "the module is unloaded, but still there");
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.is_loaded
            && let Err(error) = run!["rmmod", "rloop"]
        {
            println!("{error:#}");
        }
    }
}
