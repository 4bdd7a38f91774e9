//! Device mapper, without udev: the device is /dev/dm-N, and no /dev/mapper/NAME appears.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::command::run;

/// A mapped device. It goes when this does.
pub(crate) struct Mapped {
    name: String,
    device: PathBuf,
}

impl Mapped {
    /// Makes a device of a table: lines `START SECTORS TARGET ARGUMENTS`.
    pub(crate) fn new(table: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("lab{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        run![
            "modprobe",
            "-a",
            "dm_mod",
            "dm_flakey",
            "dm_delay",
            "dm_log_writes"
        ]?;
        run![
            "dmsetup",
            "create",
            "--noudevsync",
            "--noudevrules",
            &name,
            "--table",
            table
        ]?;
        let mut made = Self {
            name,
            device: PathBuf::new(),
        };
        let columns = ["-c", "--noheadings", "-o"];
        let [c, no_headings, o] = columns;
        let minor = run!["dmsetup", "info", c, no_headings, o, "minor", &made.name]?;
        made.device = format!("/dev/dm-{minor}").into();
        Ok(made)
    }

    /// A device that is all of another, to be changed later.
    pub(crate) fn linear(device: &Path) -> Result<Self> {
        Self::new(&linear(device, sectors(device)?))
    }

    /// A device that is the beginning of another.
    pub(crate) fn beginning(device: &Path, bytes: u64) -> Result<Self> {
        Self::new(&linear(device, bytes / 512))
    }

    /// Puts another table in the place of the one it has.
    pub(crate) fn replace(&self, table: &str) -> Result<()> {
        run!["dmsetup", "load", &self.name, "--table", table]?;
        run![
            "dmsetup",
            "suspend",
            "--noflush",
            "--nolockfs",
            "--noudevsync",
            &self.name
        ]?;
        run!["dmsetup", "resume", "--noudevsync", &self.name]?;
        Ok(())
    }

    /// Tells its target something.
    pub(crate) fn message(&self, text: &str) -> Result<()> {
        run!["dmsetup", "message", &self.name, "0", text]?;
        Ok(())
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Err(error) = run!["dmsetup", "remove", "--noudevsync", &self.name] {
            println!("{error:#}");
        }
    }
}

/// The table of a device that is another, up to there.
pub(crate) fn linear(device: &Path, sectors: u64) -> String {
    format!("0 {sectors} linear {} 0", device.display())
}

/// A device's size in sectors of 512 bytes.
pub(crate) fn sectors(device: &Path) -> Result<u64> {
    Ok(run!["blockdev", "--getsz", device]?.parse()?)
}
