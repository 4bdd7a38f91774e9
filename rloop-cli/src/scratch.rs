//! Files that this program makes for a while, known by name and lock, and those whose owner is gone.
//!
//! A file is removed when its [`Scratch`] is dropped. A killed process cannot do that: whoever looks next
//! finds the file by its name, and that nobody holds its lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::device::list;
use crate::driver;

/// Names tried for a new file before giving up.
const ATTEMPTS: u32 = 64;

/// Files of one purpose: their names are the prefix, a process number, a number, and the suffix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// What names begin with.
    pub(crate) prefix: &'static str,
    /// What names end with.
    pub(crate) suffix: &'static str,
}

/// A file, which is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Its lock says that its owner lives. It is an open file of its own: a driver keeps the one that it
    /// was given, and with it would keep the lock. It is open for reading, as one for writing would keep
    /// rloop from mapping the file.
    lock: File,
}

impl Scratch {
    /// Makes an empty, locked file in `folder`.
    pub(crate) fn create(folder: &Path, family: Family) -> io::Result<Self> {
        let pid = std::process::id();
        for attempt in 0..ATTEMPTS {
            let Family { prefix, suffix } = family;
            let path = folder.join(format!("{prefix}-{pid}-{attempt}{suffix}"));
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let lock = match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Err(rustix::io::Errno::EXIST) => continue,
                result => File::from(result?),
            };
            // Before the lock is held, another one that cleans up may take the file for a leftover.
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if locked && lock.metadata()?.nlink() != 0 {
                return Ok(Self { path, lock });
            }
        }
        Err(io::Error::other("every name for the file is taken"))
    }

    /// The same as a sparse file of `len_bytes`.
    pub(crate) fn sparse(folder: &Path, family: Family, len_bytes: u64) -> io::Result<Self> {
        let scratch = Self::create(folder, family)?;
        scratch.writable()?.set_len(len_bytes)?;
        Ok(scratch)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It, open for reading.
    pub(crate) fn file(&self) -> &File {
        &self.lock
    }

    /// Opens it for writing.
    pub(crate) fn writable(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.path)
    }

    /// Leaves the file where it is.
    fn keep(mut self) {
        self.path.clear();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If somebody removed it already, that is as good.
        let _ = fs::remove_file(&self.path);
    }
}

impl Family {
    /// Files in a folder whose owner is gone. They are locked now, lest two that clean up meet a new file,
    /// and removed when they are dropped.
    pub(crate) fn abandoned(self, folder: &Path) -> Vec<Scratch> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| self.take(&entry.path()))
            .collect()
    }

    /// Locks a file of this family; `None` if it is not of this family or this user, gone, or its owner
    /// lives.
    fn take(self, path: &Path) -> Option<Scratch> {
        self.owner(path)?;
        let mut options = OpenOptions::new();
        // Anybody may put things into a shared folder under our names: follow no link, hang on no
        // pipe.
        options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let lock = options.open(path).ok()?;
        let stat = lock.metadata().ok()?;
        let ours = stat.is_file() && stat.uid() == rustix::process::geteuid().as_raw();
        if !ours || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return None;
        }
        // Not before: whoever has one of these removes the file.
        let path = path.to_owned();
        Some(Scratch { path, lock })
    }

    /// A file of this family whose owner is gone.
    pub(crate) fn is_abandoned(self, path: &Path) -> bool {
        let scratch = self.take(path);
        scratch.map(Scratch::keep).is_some()
    }

    /// Process number in the name of a file of this family.
    pub(crate) fn owner(self, path: &Path) -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        let (pid, attempt) = name
            .strip_prefix(self.prefix)?
            .strip_prefix('-')?
            .strip_suffix(self.suffix)?
            .split_once('-')?;
        attempt.parse::<u32>().ok()?;
        pid.parse().ok()
    }

    /// Removes what a killed process left in a folder, unless a device still shows it. Says what it removed.
    pub(crate) fn clean(self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let attached = attached()?;
        let mut removed = Vec::new();
        for scratch in self.abandoned(folder) {
            if attached.contains(&scratch.path) {
                scratch.keep();
            } else {
                removed.push(scratch.path.clone());
            }
        }
        Ok(removed)
    }
}

/// Files that a device shows.
fn attached() -> io::Result<Vec<PathBuf>> {
    // Without the module there are no devices of it.
    let rloops = driver::list().unwrap_or_default().into_iter();
    let rloops = rloops.filter(|device| !device.deleted);
    let loops = list()?.into_iter().filter(|device| !device.deleted);
    let paths = loops.map(|device| device.path);
    Ok(paths.chain(rloops.map(|device| device.path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family = Family {
        prefix: "rloop-demo",
        suffix: ".img",
    };

    #[test]
    fn only_our_names_are_ours() {
        let owner = |name| FAMILY.owner(Path::new(name));
        assert_eq!(owner("/var/tmp/rloop-demo-4099-3.img"), Some(4099));
        for name in [
            "rloop-demo-.img",
            "rloop-demo-7.img",
            "rloop-demo-x-1.img",
            "a-1-1.img",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_is_abandoned_when_its_owner_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = Scratch::sparse(folder.path(), FAMILY, 4096).expect("made");
        let path = scratch.path().to_owned();
        assert!(FAMILY.clean(folder.path()).expect("cleans").is_empty());
        assert!(path.exists());
        // As when its owner is killed: the lock goes, the file stays.
        scratch.keep();
        assert!(path.exists());
        let removed = FAMILY.clean(folder.path()).expect("cleans");
        assert_eq!(removed.first(), Some(&path));
        assert!(!path.exists());
    }
}
