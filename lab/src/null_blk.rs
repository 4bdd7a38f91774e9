//! null_blk: a disk in memory, faster than any other in the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::command::run;

const CONFIG: &str = "/sys/kernel/config/nullb";

/// A disk in memory. It goes when this does.
pub(crate) struct NullBlk {
    config: PathBuf,
    device: PathBuf,
}

impl NullBlk {
    /// A disk that keeps what is written to it.
    pub(crate) fn new(mebibytes: u64) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        run!["modprobe", "null_blk", "nr_devices=0"]?;
        let name = format!("nullb{}", 100 + NUMBER.fetch_add(1, Ordering::Relaxed));
        let config = Path::new(CONFIG).join(&name);
        let device = Path::new("/dev").join(&name);
        fs::create_dir(&config).context("could not make a null_blk")?;
        let disk = Self { config, device };
        for (attribute, value) in [
            ("size", mebibytes.to_string().as_str()),
            ("memory_backed", "1"),
            ("discard", "1"),
            ("irqmode", "1"),
            ("submit_queues", "2"),
            ("power", "1"),
        ] {
            fs::write(disk.config.join(attribute), value)
                .with_context(|| format!("null_blk does not take {attribute}={value}"))?;
        }
        fs::metadata(&disk.device).with_context(|| format!("null_blk made no /dev/{name}"))?;
        Ok(disk)
    }

    /// Takes the disk away from whoever uses it, and what is on it.
    pub(crate) fn vanish(&self) -> Result<()> {
        fs::write(self.config.join("power"), "0").context("could not switch a null_blk off")
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for NullBlk {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.config) {
            println!("could not remove {}: {error}", self.config.display());
        }
    }
}
