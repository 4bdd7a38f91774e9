//! The kernel's own loop device: what rloop is compared with.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::run;

/// An attached loop device. It is detached when this goes.
pub(crate) struct LoopDevice {
    device: PathBuf,
}

impl LoopDevice {
    /// Attaches a file, past the page cache.
    pub(crate) fn direct(file: &Path) -> Result<Self> {
        Self::attach(file, "on")
    }

    /// Attaches a file, through the page cache.
    pub(crate) fn buffered(file: &Path) -> Result<Self> {
        Self::attach(file, "off")
    }

    fn attach(file: &Path, direct: &str) -> Result<Self> {
        run!["modprobe", "loop"]?;
        let direct = format!("--direct-io={direct}");
        let device = run!["losetup", "--find", "--show", direct, file]?.into();
        Ok(Self { device })
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Err(error) = run!["losetup", "--detach", &self.device] {
            println!("{error:#}");
        }
    }
}
