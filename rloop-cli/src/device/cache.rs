//! How much of a file or device lies in the page cache (`cachestat(2)`).

use std::fs::File;
use std::io;

use super::abi;
use crate::sample::Unavailable;

/// Pages by condition; the size of a page is the machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachedPages {
    /// In memory.
    pub resident: u64,
    /// Of these, not yet written back.
    pub dirty: u64,
    /// Of these, being written back.
    pub writeback: u64,
    /// Thrown out, with a trace left in the cache.
    pub evicted: u64,
}

/// Counts the pages of `len_bytes` of `file` from `start_bytes` on; 0 bytes means to the end.
pub fn cached_pages(file: &File, start_bytes: u64, len_bytes: u64) -> io::Result<CachedPages> {
    let stat = abi::cachestat(file, start_bytes, len_bytes)?;
    Ok(CachedPages {
        resident: stat.cached,
        dirty: stat.dirty,
        writeback: stat.writeback,
        evicted: stat.evicted,
    })
}

/// Why pages could not be counted, in the words of the screen.
pub fn explain(error: &io::Error) -> Unavailable {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no cachestat(2); it came with Linux 6.5".into(),
        Some(libc::EPERM | libc::EACCES) => {
            "cachestat(2) is refused here; a container's seccomp filter may block it".into()
        }
        Some(libc::EOPNOTSUPP) => "cachestat(2) does not work on this kind of file".into(),
        _ => format!("cachestat(2) failed: {error}"),
    };
    Unavailable {
        what: "cached pages".into(),
        why,
    }
}
