// SPDX-License-Identifier: GPL-2.0

//! What is traced: which part of the file, where it goes, and why.

use crate::bio::Op;

/// A part of the file, in bytes, and what is done to it.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) op: Op,
}

/// Where I/O goes.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) part: Part,
    /// Where in the file the extent begins, in bytes.
    pub(crate) extent: u64,
    /// Where on the disk, in sectors.
    pub(crate) sector: u64,
}

/// Why a worker has to look at I/O.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Fallback {
    /// Nothing is known of the range.
    Absent = 0,
    /// It has no data yet.
    NoData = 1,
    /// The filesystem is frozen.
    Frozen = 2,
    /// Fills have to be made durable first.
    Dirty = 3,
    /// The operation changes the file's blocks.
    Changes = 4,
}

/// What fills a hole.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum How {
    /// The filesystem, which makes it durable later.
    Vfs = 0,
    /// We do.
    Layout = 1,
    /// The filesystem, which makes it durable at once.
    VfsDurable = 2,
}

impl How {
    /// How the filesystem fills one.
    pub(crate) fn by_vfs(durable: bool) -> Self {
        if durable {
            Self::VfsDurable
        } else {
            Self::Vfs
        }
    }
}
