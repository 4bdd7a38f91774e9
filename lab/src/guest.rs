//! What a test gets: its disks, its seed, and how long it is to be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The machine that the tests run in.
pub(crate) struct Guest {
    seed: u64,
    is_long: bool,
    has_debug_kernel: bool,
    scratch: Vec<PathBuf>,
    allowed: Vec<String>,
}

impl Guest {
    /// The machine that this runs in.
    pub(crate) fn new(seed: u64, is_long: bool) -> Result<Self> {
        let scratch = scratch_disks().context("could not look for the scratch disks")?;
        let allowed = Vec::new();
        Ok(Self {
            seed,
            is_long,
            has_debug_kernel: has_debug_kernel()?,
            scratch,
            allowed,
        })
    }

    /// How many times as long as on the stock kernel things may take.
    pub(crate) fn slowness(&self) -> u32 {
        const OF_DEBUG_KERNEL: u32 = 8;
        if self.has_debug_kernel {
            OF_DEBUG_KERNEL
        } else {
            1
        }
    }

    /// What random choices start from.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the test is to take its time.
    pub(crate) fn is_long(&self) -> bool {
        self.is_long
    }

    /// One of the empty disks: 4 GiB, sparse, and it can discard. A test finds on it what the test
    /// before left there.
    pub(crate) fn scratch(&self, number: usize) -> Result<&Path> {
        let disk = self.scratch.get(number).map(PathBuf::as_path);
        disk.with_context(|| format!("the guest has no scratch disk {number}"))
    }

    /// Lets this test cause a line in the kernel's log that would fail it, if it contains `text`.
    pub(crate) fn allow_in_log(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    /// What the test before allowed; the next begins with nothing.
    pub(crate) fn take_allowed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.allowed)
    }
}

/// Whether the kernel is the one that finds mistakes and takes its time.
pub(crate) fn has_debug_kernel() -> Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim_end().ends_with("-debug"))
}

/// The disks whose serial number says that they are for tests, in order.
fn scratch_disks() -> Result<Vec<PathBuf>> {
    let mut disks = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let serial = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
        if let Some(number) = serial.trim().strip_prefix("scratch") {
            disks.push((number.to_owned(), Path::new("/dev").join(entry.file_name())));
        }
    }
    disks.sort();
    Ok(disks.into_iter().map(|(_, path)| path).collect())
}
