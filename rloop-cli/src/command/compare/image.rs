//! The file that is attached: the one that was named, or a copy of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, fallocate, flock};

use super::blocks::{Blocks, data, holes};
use super::plan::MOST_FILLS;
use super::subject::{self, failed};
use crate::command::showing;
use crate::device::DeviceNumber;
use crate::device::cache::cached_pages;
use crate::device::mounts::Mounts;
use crate::driver::users::{self, User};
use crate::program::Stop;
use crate::scratch::{Family, Scratch};
use crate::tui::units;

/// Less is too little to read anything at random from.
const SHORTEST_BYTES: u64 = 1 << 20;

/// What the filesystem must have free beyond the copy, bytes.
const SPARE_BYTES: u64 = 64 << 20;

/// How much is copied at a time, bytes.
const CHUNK: usize = 1 << 20;

/// What copies are called.
pub(super) const COPIES: Family = Family {
    prefix: "rloop-compare",
    suffix: ".img",
};

/// A plain file, open for reading.
pub(super) struct Image {
    path: PathBuf,
    file: File,
    len: u64,
    /// It is a copy, which may be written, and is removed when this goes.
    copy: Option<Scratch>,
}

impl Image {
    /// Opens the file that was named.
    pub(super) fn open(path: &Path) -> Result<Self, Stop> {
        let shown = path.display();
        let file = subject::open(path).map_err(|error| failed(&shown, error))?;
        let stat = file.metadata().map_err(|error| failed(&shown, error))?;
        if !stat.is_file() {
            return Err(failed(
                &shown,
                "not a plain file, and only such can be attached",
            ));
        }
        if stat.len() < SHORTEST_BYTES {
            return Err(failed(
                &shown,
                "shorter than 1 MiB, which is too little to measure",
            ));
        }
        let path = path.canonicalize().map_err(|error| failed(&shown, error))?;
        Ok(Self {
            path,
            file,
            len: stat.len(),
            copy: None,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// It, open for reading.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The disk that its filesystem is on, if it is on one.
    pub(super) fn disk(&self) -> Result<DeviceNumber, Stop> {
        let stat = self.file.metadata();
        let stat = stat.map_err(|error| failed(self.path.display(), error))?;
        Ok(DeviceNumber::from_stat(stat.dev()))
    }

    /// How many of its pages are in memory; `None` if this kernel does not tell.
    pub(super) fn cached_pages(&self) -> Option<u64> {
        let pages = cached_pages(&self.file, 0, 0).ok()?;
        Some(pages.resident)
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// It is a copy.
    pub(super) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Fails if something shows the file already, or another one compares it.
    pub(super) fn refuse_if_used(&self) -> Result<(), Stop> {
        let (rloops, loops) = showing::of(&self.file, &self.path);
        let rloops = rloops
            .into_iter()
            .map(|device| (device.name, "rloop detach"));
        let loops = loops.into_iter().map(|device| (device.name, "losetup -d"));
        let mut used: Vec<String> = rloops.chain(loops).map(attached).collect();
        let mounts = Mounts::read().unwrap_or_default();
        let on_it = mounts.iter().filter(|mount| mount.source == self.path);
        used.extend(on_it.map(|mount| User::Mount(mount.target.clone()).to_string()));
        if used.is_empty() {
            return Ok(());
        }
        Err(failed(
            self.path.display(),
            format!(
                "in use, and nothing else may use it meanwhile: {}",
                used.join("; ")
            ),
        ))
    }

    /// Keeps others that compare from this file, for as long as it is open.
    pub(super) fn lock(&self) -> Result<(), Stop> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(failed(
                self.path.display(),
                "locked (flock), perhaps by another `rloop compare`; wait for it to end",
            )),
            // Without locks, as on some network filesystems, it works as well.
            _ => Ok(()),
        }
    }

    /// Blocks with data, and those in holes.
    pub(super) fn blocks(&self) -> Result<(Blocks, Blocks), Stop> {
        let data = self.data()?;
        let holes = holes(&data, self.len);
        Ok((Blocks::within(&data), Blocks::within(&holes)))
    }

    fn data(&self) -> Result<Vec<Range<u64>>, Stop> {
        data(&self.file, self.len).map_err(|error| failed(self.path.display(), error))
    }

    /// Copies it next to itself, block by block: one that shares blocks would not be mapped. Each fill of it will
    /// take room of that many bytes at most.
    pub(super) fn copy(&self, fill_bytes: u64, stop: &AtomicBool) -> Result<Self, Stop> {
        let data = self.data()?;
        self.check_room(&data, fill_bytes)?;
        let failed = |error| failed(format!("a copy in {}", self.folder().display()), error);
        let copy = Scratch::sparse(self.folder(), COPIES, self.len).map_err(failed)?;
        let to = copy.writable().map_err(failed)?;
        let mut buffer = vec![0; CHUNK];
        for range in data {
            for start in range.clone().step_by(CHUNK) {
                if stop.load(Ordering::Relaxed) {
                    return Err(Stop::Interrupted);
                }
                let len = (range.end.min(self.len) - start).min(CHUNK as u64) as usize;
                let part = &mut buffer[..len];
                let copied = self.file.read_exact_at(part, start);
                copied
                    .and_then(|()| to.write_all_at(part, start))
                    .map_err(failed)?;
            }
        }
        to.sync_all().map_err(failed)?;
        let copy = Self {
            path: copy.path().to_owned(),
            file: copy.file().try_clone().map_err(failed)?,
            len: self.len,
            copy: Some(copy),
        };
        copy.forget_pages();
        Ok(copy)
    }

    fn check_room(&self, data: &[Range<u64>], fill_bytes: u64) -> Result<(), Stop> {
        let space = rustix::fs::fstatvfs(&self.file);
        let space = space.map_err(|error| failed(self.path.display(), error))?;
        let free = space.f_bavail * space.f_frsize;
        let copied: u64 = data.iter().map(|range| range.end - range.start).sum();
        let filled = (MOST_FILLS * fill_bytes).min(self.len.saturating_sub(copied));
        let needed = copied + filled + SPARE_BYTES;
        if free >= needed {
            return Ok(());
        }
        Err(failed(
            self.folder().display(),
            format!(
                "--writes works on a copy, which needs {} here, and {} are free",
                units::bytes(needed),
                units::bytes(free)
            ),
        ))
    }

    /// Drops what is cached of it: writes would have to.
    pub(super) fn forget_pages(&self) {
        // It is advice: without, measuring goes on.
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    /// Makes the holes of a copy again that were there at first.
    pub(super) fn punch(&self, holes: &Blocks) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        for range in holes.ranges() {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&file, flags, range.start, range.end - range.start)?;
        }
        file.sync_all()
    }
}

/// A device that shows the file, who uses it, and how to detach it.
fn attached((name, command): (String, &str)) -> String {
    let users: Vec<String> = users::of(&name).iter().map(User::to_string).collect();
    let by = if users.is_empty() {
        String::new()
    } else {
        format!(", {}", users.join(", "))
    };
    format!("attached to /dev/{name}{by} (`sudo {command} /dev/{name}`)")
}
