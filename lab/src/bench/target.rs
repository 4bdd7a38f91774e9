//! What is measured: ways to the same blocks.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::load::Load;
use crate::device_mapper::Mapped;
use crate::loop_device::LoopDevice;
use crate::rloop_device::{Mode, RloopDevice};

/// A way to the blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The disk below, without a filesystem.
    Disk,
    /// dm-linear over the file's blocks, with the filesystem unmounted.
    Linear,
    /// rloop; holes are filled through the filesystem.
    Rloop,
    /// rloop; holes are filled on disk.
    RloopLayout,
    /// The kernel's loop device, past the page cache.
    LoopDirect,
    /// The kernel's loop device, through the page cache.
    LoopBuffered,
}

/// A target that is there. It goes when this does.
pub(crate) enum Open {
    Disk(PathBuf),
    Linear(Mapped),
    Rloop(RloopDevice),
    Loop(LoopDevice),
}

impl Target {
    /// All that make a device of a file.
    pub(crate) fn of_file(load: &Load) -> Vec<Self> {
        let mut targets = vec![Self::Rloop, Self::LoopDirect, Self::LoopBuffered];
        if load.sparse {
            targets.insert(1, Self::RloopLayout);
        }
        targets
    }

    /// All that want the disk for themselves.
    pub(crate) fn of_disk() -> [Self; 2] {
        [Self::Disk, Self::Linear]
    }

    /// Makes a device of a file.
    pub(crate) fn open_file(self, file: &Path) -> Result<Open> {
        let rloop = |fill| {
            let mode = Mode {
                fill,
                ..Mode::DEFAULT
            };
            RloopDevice::attach(file, mode).map(Open::Rloop)
        };
        match self {
            Self::Rloop => rloop("vfs"),
            Self::RloopLayout => rloop("layout"),
            Self::LoopDirect => LoopDevice::direct(file).map(Open::Loop),
            Self::LoopBuffered => LoopDevice::buffered(file).map(Open::Loop),
            Self::Disk | Self::Linear => unreachable!("it is no file's"),
        }
    }

    /// Makes a device of blocks on a disk, given as length and place in sectors.
    pub(crate) fn open_blocks(self, disk: &Path, extents: &[(u64, u64)]) -> Result<Open> {
        if self == Self::Disk {
            return Ok(Open::Disk(disk.into()));
        }
        let mut table = String::new();
        let mut start = 0;
        for (length, place) in extents {
            table += &format!("{start} {length} linear {} {place}\n", disk.display());
            start += length;
        }
        Mapped::new(&table).map(Open::Linear)
    }
}

impl Open {
    pub(crate) fn device(&self) -> &Path {
        match self {
            Self::Disk(device) => device,
            Self::Linear(mapped) => mapped.device(),
            Self::Rloop(rloop) => rloop.device(),
            Self::Loop(device) => device.device(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Disk => "the disk",
            Self::Linear => "dm-linear",
            Self::Rloop => "rloop",
            Self::RloopLayout => "rloop layout",
            Self::LoopDirect => "loop direct",
            Self::LoopBuffered => "loop buffered",
        })
    }
}
