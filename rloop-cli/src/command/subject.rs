//! What a user may name by one word: an rloop device, a loop device, or a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::device::{LoopDevice, list};
use crate::driver::{RloopDevice, find, node};
use crate::program::Stop;

/// What was named.
pub(super) enum Subject {
    /// A device of the module.
    Rloop(RloopDevice),
    /// A device of the kernel's loop driver.
    Loop(LoopDevice),
    /// A plain file.
    File {
        /// As it was named.
        path: PathBuf,
        /// Open for reading.
        file: File,
        /// Its length in bytes.
        len: u64,
    },
}

impl Subject {
    /// Looks it up.
    pub(super) fn find(word: &Path) -> Result<Self, Stop> {
        // A file in this folder comes before a device's bare name: who means the device can say /dev/.
        if !word.is_file() {
            if let Some(number) = node::number(&word.to_string_lossy()) {
                return Ok(Self::Rloop(find(number)?));
            }
            if let Some(device) = loop_device(word)? {
                return Ok(Self::Loop(device));
            }
        }
        plain_file(word)
    }
}

/// The loop device of that name; `None` if it is no block device.
fn loop_device(word: &Path) -> Result<Option<LoopDevice>, Stop> {
    let path = Path::new("/dev").join(word);
    let is_block = path
        .metadata()
        .is_ok_and(|stat| stat.file_type().is_block_device());
    let name = path.strip_prefix("/dev").ok().and_then(Path::to_str);
    let Some(name) = name.filter(|_| is_block) else {
        return Ok(None);
    };
    let device = list::find(name).map_err(|error| failed(name, error))?;
    let nothing = || failed(path.display(), "no loop device with a file attached");
    device.ok_or_else(nothing).map(Some)
}

/// Opens a file for reading; it does not hang, should it be a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)
}

fn plain_file(path: &Path) -> Result<Subject, Stop> {
    let shown = path.display();
    let file = open(path).map_err(|error| failed(&shown, error))?;
    let stat = file.metadata().map_err(|error| failed(&shown, error))?;
    if !stat.is_file() {
        return Err(failed(
            &shown,
            "neither a plain file nor an rloop or loop device",
        ));
    }
    Ok(Subject::File {
        path: path.to_owned(),
        file,
        len: stat.len(),
    })
}

/// Why something could not be looked at.
pub(super) fn failed(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("{what}: {why}"))
}
