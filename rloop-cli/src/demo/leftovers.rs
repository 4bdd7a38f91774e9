//! The demo's files by name and lock, and the removal of those whose owner is gone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::device::control::detach;
use crate::device::{LoopDevice, list};

/// Names tried for a new file before giving up.
const ATTEMPTS: u32 = 64;

/// Makes a sparse, locked file of `len_bytes` in `folder`.
pub(super) fn create(folder: &Path, len_bytes: u64) -> io::Result<(PathBuf, File)> {
    let pid = std::process::id();
    for attempt in 0..ATTEMPTS {
        let path = folder.join(format!("rloop-demo-{pid}-{attempt}.img"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            result => result?,
        };
        // Before the lock is held, another demo that cleans up may take the file for a leftover.
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !locked || file.metadata()?.nlink() == 0 {
            continue;
        }
        if let Err(error) = file.set_len(len_bytes) {
            fs::remove_file(&path)?;
            return Err(error);
        }
        return Ok((path, file));
    }
    Err(io::Error::other("every name for the file is taken"))
}

/// Removes files in `folders`, and detaches loop devices, that a killed demo left. Says what it
/// removed. What belongs to a demo that runs, or to somebody else, is left alone.
pub fn cleanup_leftovers(folders: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for device in list()? {
        if is_orphan(&device) {
            // Still in use by somebody: then its file stays, too.
            if detach(&device).is_ok() {
                removed.push(Path::new("/dev").join(&device.name));
                remove(&device.path, &mut removed)?;
            }
        }
    }
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            remove(&entry.path(), &mut removed)?;
        }
    }
    Ok(removed)
}

/// A device on a demo's file that nobody holds the lock of.
fn is_orphan(device: &LoopDevice) -> bool {
    let Some(pid) = owner(&device.path) else {
        return false;
    };
    if device.deleted {
        // Its lock is out of reach; a process of that number may be another one, so be careful.
        return !Path::new("/proc").join(pid.to_string()).exists();
    }
    take(&device.path).is_some()
}

/// Removes a demo's file, unless its owner lives or a device still uses it.
fn remove(path: &Path, removed: &mut Vec<PathBuf>) -> io::Result<()> {
    if owner(path).is_none() {
        return Ok(());
    }
    // The lock is held until the name is gone, lest two that clean up meet a new file.
    let Some(_lock) = take(path) else {
        return Ok(());
    };
    if list()?
        .iter()
        .any(|device| device.path == path && !device.deleted)
    {
        return Ok(());
    }
    match fs::remove_file(path) {
        // Another one that cleans up was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    removed.push(path.to_owned());
    Ok(())
}

/// Locks a file of ours; `None` if it is not ours, gone, or its owner lives.
fn take(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    // Anybody may put things into a shared folder under our names: follow no link, hang on no
    // pipe.
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    let stat = file.metadata().ok()?;
    let ours = stat.is_file() && stat.uid() == rustix::process::geteuid().as_raw();
    (ours && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()).then_some(file)
}

/// Process number in the name of a demo's file.
fn owner(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let (pid, attempt) = name
        .strip_prefix("rloop-demo-")?
        .strip_suffix(".img")?
        .split_once('-')?;
    attempt.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        assert_eq!(
            owner(Path::new("/var/tmp/rloop-demo-4099-3.img")),
            Some(4099)
        );
        for name in [
            "rloop-demo-.img",
            "rloop-demo-7.img",
            "rloop-demo-x-1.img",
            "a-1-1.img",
        ] {
            assert_eq!(owner(Path::new(name)), None, "{name}");
        }
    }
}
