//! Power cuts on a filesystem: the log of its disk, played back into a file, and mounted from there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::run;
use crate::device_mapper::Mapped;
use crate::direct;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::write_log::{Replay, WriteLog};

/// How large the disk is.
const DISK_BYTES: u64 = 320 << 20;
/// How often the filesystem is checked in the short form.
const CHECK_EVERY: u64 = 5;

/// A disk whose writes are logged, and a place to play the log back.
pub(crate) struct PowerCut {
    kind: Kind,
    /// Until it is played.
    log: Option<WriteLog>,
    checks_each: bool,
    _disk: Mapped,
    /// Has the replay's disk; it can clone a file without a copy.
    place: Filesystem,
}

impl PowerCut {
    /// A disk that holds nothing, and its log, which begins.
    pub(crate) fn new(guest: &Guest, kind: Kind) -> Result<Self> {
        let disk = Mapped::beginning(guest.scratch(0)?, DISK_BYTES)?;
        run!["blkdiscard", "--force", disk.device()]?;
        let place = Filesystem::make(Kind::Xfs, guest.scratch(2)?)?;
        let log = Some(WriteLog::new(disk.device(), guest.scratch(1)?)?);
        let checks_each = guest.is_long();
        Ok(Self {
            kind,
            log,
            checks_each,
            _disk: disk,
            place,
        })
    }

    /// The disk to write to.
    pub(crate) fn log(&self) -> Result<&WriteLog> {
        self.log.as_ref().context("the log has been closed")
    }

    /// Ends the log, to be played back.
    pub(crate) fn play(&mut self) -> Result<Cuts> {
        let replay = self
            .log
            .take()
            .context("the log has been closed")?
            .close()?;
        let image = self.place.sparse_file("replayed.img", DISK_BYTES)?;
        let file = File::options().write(true).open(&image)?;
        let kind = self.kind;
        Ok(Cuts {
            kind,
            replay,
            image,
            file,
            looks: 0,
            checks_each: self.checks_each,
        })
    }
}

/// Cuts, one later than the other.
pub(crate) struct Cuts {
    kind: Kind,
    replay: Replay,
    image: PathBuf,
    file: File,
    looks: u64,
    checks_each: bool,
}

impl Cuts {
    /// How many writes were logged.
    pub(crate) fn len(&self) -> usize {
        self.replay.len()
    }

    /// After how many writes a mark was made.
    pub(crate) fn position_of(&self, mark: usize) -> Result<usize> {
        self.replay.position_of(mark)
    }

    /// Mounts what is there after so many writes, lets somebody look, and checks the filesystem: each
    /// time, or every `CHECK_EVERY` times, as that takes longest.
    pub(crate) fn look_after<T>(
        &mut self,
        moment: usize,
        look: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        self.replay.play_to(moment, &self.file)?;
        let copy = self.image.with_extension("cut");
        run!["cp", "--reflink=always", &self.image, &copy]?;
        let attached = LoopDevice::buffered(&copy)?;
        let mounted = Filesystem::mount_with(self.kind, attached.device(), "defaults")?;
        let seen = look(mounted.path());
        self.looks += 1;
        if self.checks_each || self.looks % CHECK_EVERY == 1 {
            mounted.unmount_and_check()?;
        } else {
            mounted.unmount()?;
        }
        drop(attached);
        fs::remove_file(&copy)?;
        seen
    }

    /// What a file holds after so many writes.
    pub(crate) fn contents_after(&mut self, moment: usize, name: &str) -> Result<Vec<u8>> {
        self.look_after(moment, |place| {
            let path = place.join(name);
            let bytes = fs::metadata(&path)
                .with_context(|| format!("there is no {name}"))?
                .len();
            direct::contents(&direct::open(&path, false)?, bytes)
        })
    }
}
