//! What a test could leave behind: mounts, and devices that somebody set up.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, bail};

/// The mounts and the devices at some moment.
pub(crate) struct Leftovers(BTreeSet<String>);

impl Leftovers {
    /// What there is now.
    pub(crate) fn now() -> Result<Self> {
        let mut all = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mounts")?.lines() {
            let mut words = line.split(' ');
            let (device, place) = (words.next(), words.next());
            all.insert(format!(
                "{} on {}",
                device.unwrap_or("?"),
                place.unwrap_or("?")
            ));
        }
        for entry in fs::read_dir("/sys/block")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The loop driver keeps free devices.
            if !name.starts_with("loop") || entry.path().join("loop/backing_file").exists() {
                all.insert(format!("device {name}"));
            }
        }
        Ok(Self(all))
    }

    /// Fails if something has come since.
    pub(crate) fn compare(&self, after: &Self) -> Result<()> {
        let more: Vec<&str> = after.0.difference(&self.0).map(String::as_str).collect();
        if !more.is_empty() {
            bail!("the test left behind: {}", more.join(", "));
        }
        Ok(())
    }
}
