//! Clears away what a benchmark made, also when it fails or is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Waits until nobody holds the other end of its input, then detaches what is on the files and removes
/// them.
const SCRIPT: &str = r#"
cat >/dev/null
for file in "$@"; do
    losetup --noheadings --output NAME --associated "$file" | while read -r device; do
        losetup --detach "$device"
    done
    rm -f "$file"
done
"#;

/// A process that outlives us if need be: its input ends when we do, however that happens.
pub(super) struct Janitor {
    child: Child,
    files: Vec<PathBuf>,
}

impl Janitor {
    /// Will clear these files away, and the loop devices on them.
    pub(super) fn of(files: Vec<PathBuf>) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).args(&files);
        // Ctrl-C is not for it.
        let child = command
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("could not start sh")?;
        Ok(Self { child, files })
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It says itself what it could not do.
        let _ = self.child.wait();
    }
}
