// SPDX-License-Identifier: GPL-2.0

//! What is traced: which part of the file, where it goes, and why.

use kernel::ffi::c_int;

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

/// How I/O to the disk ended. Times in nanoseconds.
#[derive(Default)]
pub(crate) struct Outcome {
    /// When the driver got it; 0 if nobody listened then.
    pub(crate) came_ns: u64,
    /// How long it waited from then for a worker.
    pub(crate) wait_ns: u64,
    /// How long after that a fill's data was there; 0 if it was no fill.
    pub(crate) filled_ns: u64,
    /// It asked to be durable by then.
    pub(crate) durable: bool,
    /// 0, or a negative errno.
    pub(crate) error: c_int,
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
