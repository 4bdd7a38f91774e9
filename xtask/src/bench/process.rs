//! What a process has used.

use std::fs;

use anyhow::{Context as _, Result};

/// Processor time of all threads of a process, nanoseconds.
pub(super) fn cpu_ns(process: u32) -> Result<u64> {
    let folder = format!("/proc/{process}/task");
    let mut sum = 0;
    for task in fs::read_dir(&folder).with_context(|| format!("{folder} cannot be read"))? {
        // A thread that ends meanwhile has no more file.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().unwrap_or_default();
        sum += first.parse().unwrap_or(0);
    }
    Ok(sum)
}
