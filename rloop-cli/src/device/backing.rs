//! The file behind a device: opening it, and what is known of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rustix::fs::{AtFlags, StatxFlags};

use super::mounts::{Mount, Mounts};
use super::{LoopDevice, below};
use crate::sample::{Backing, Facts, Unavailable};

/// What is unavailable of a device whose file is out of reach.
pub(crate) const UNREACHED: &str = "backing file";

/// The backing file, opened for reading and known to be the one that the driver uses.
#[derive(Debug)]
pub struct OpenBacking {
    /// The file.
    pub file: File,
    /// Its mount, if this namespace has it.
    pub mount: Option<Mount>,
}

impl LoopDevice {
    /// Opens the backing file; the error says why it is out of reach.
    pub fn open_backing(&self, mounts: &Mounts) -> Result<OpenBacking, String> {
        let path = self.path.display();
        if self.deleted {
            return Err(format!(
                "{path} was deleted; only the device still holds the file"
            ));
        }
        let expected = self.file.as_ref().map_err(Clone::clone)?;
        // Not to hang, should the path now be a pipe.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open(&self.path).map_err(|error| {
            format!("{path}: {error} (the device may belong to another mount namespace)")
        })?;
        let stat = file
            .metadata()
            .map_err(|error| format!("{path}: {error}"))?;
        if !expected.is(&stat) {
            return Err(format!("{path} is now another file than the device's"));
        }
        let mount = mount_of(&file, mounts);
        let mount = mount.or_else(|| mounts.by_st_dev(expected.st_dev));
        Ok(OpenBacking {
            file,
            mount: mount.cloned(),
        })
    }

    /// A mount of the file's filesystem, also if the file is out of reach.
    pub fn mount<'a>(&self, mounts: &'a Mounts) -> Option<&'a Mount> {
        let id = self.file.as_ref().ok()?;
        mounts.by_st_dev(id.st_dev)
    }

    /// What a sample tells of the backing file. What cannot be told is zero or empty, and named
    /// in the list.
    pub fn backing(
        &self,
        open: &Result<OpenBacking, String>,
        mounts: &Mounts,
    ) -> (Backing, Vec<Unavailable>) {
        let id = self.file.as_ref().ok();
        let mut backing = Backing {
            path: self.path.to_string_lossy().into_owned(),
            deleted: self.deleted,
            dev: id.map_or_else(String::new, |id| id.fs_dev.unwrap_or(id.st_dev).to_string()),
            ino: id.map_or(0, |id| id.ino),
            ..Backing::default()
        };
        let result = match open {
            Ok(open) => fill(&mut backing, open),
            Err(why) => {
                // The filesystem is known without the file.
                let mount = self.mount(mounts);
                backing.fs = mount.map_or_else(String::new, |mount| mount.fs.clone());
                Err(why.clone())
            }
        };
        let missing = result.err().map(|why| Unavailable {
            what: UNREACHED.into(),
            why,
        });
        (backing, missing.into_iter().collect())
    }

    /// What a sample tells of the device. `devices` are those that may lie below it.
    pub fn facts(&self, open: &Result<OpenBacking, String>, devices: &[LoopDevice]) -> Facts {
        Facts {
            claims_direct: self.claims_direct,
            offset_bytes: self.offset_bytes,
            sizelimit_bytes: self.sizelimit_bytes,
            size_bytes: self.size_bytes,
            logical_block_bytes: self.logical_block_bytes,
            dio_align_bytes: open
                .as_ref()
                .ok()
                .and_then(|open| dio_align_bytes(&open.file)),
            read_only: self.read_only,
            nesting: below::nesting(self.disk, devices),
        }
    }
}

/// Alignment in bytes that the file asks of direct I/O; `None` if it does not say (before
/// Linux 6.1, or a filesystem that knows none).
pub fn dio_align_bytes(file: &File) -> Option<u32> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let told = stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    Some(stat.stx_dio_offset_align).filter(|align| told && *align != 0)
}

/// The mount that a file was opened through, if this namespace has it.
pub fn mount_of<'a>(file: &File, mounts: &'a Mounts) -> Option<&'a Mount> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let told = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    mounts.by_id(stat.stx_mnt_id).filter(|_| told)
}

fn fill(backing: &mut Backing, open: &OpenBacking) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", backing.path);
    let stat = open.file.metadata().map_err(failed)?;
    let space = rustix::fs::fstatvfs(&open.file).map_err(|error| failed(error.into()))?;
    backing.size_bytes = stat.len();
    backing.allocated_bytes = stat.blocks() * 512;
    backing.fs_free_bytes = space.f_bavail * space.f_frsize;
    backing.fs_size_bytes = space.f_blocks * space.f_frsize;
    if let Some(mount) = &open.mount {
        backing.fs.clone_from(&mount.fs);
        backing.dev = mount.dev.to_string();
    }
    Ok(())
}
