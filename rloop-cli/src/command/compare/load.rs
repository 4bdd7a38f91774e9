//! The loads.

use clap::ValueEnum;

use super::args;
use crate::load::BLOCK;

/// What is done to both devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::command) enum Load {
    /// Random reads of 4 KiB, one at a time
    #[value(name = "read-4k-d1")]
    Read,
    /// Random reads of 4 KiB, 32 at a time
    #[value(name = "read-4k-d32")]
    ReadDeep,
    /// Reads of 128 KiB from the beginning to the end, one at a time
    #[value(name = "read-128k")]
    Scan,
    /// Random overwrites of 4 KiB, one at a time
    #[value(name = "write-4k-d1")]
    Write,
    /// Random overwrites of 4 KiB, 32 at a time
    #[value(name = "write-4k-d32")]
    WriteDeep,
    /// Random overwrites of 4 KiB, each followed by a flush, one at a time
    #[value(name = "write-4k-flush")]
    WriteFlush,
    /// Writes of 4 KiB into holes, one at a time
    #[value(name = "fill-4k-d1")]
    Fill,
    /// Writes of 4 KiB into holes, 32 at a time
    #[value(name = "fill-4k-d32")]
    FillDeep,
    /// Writes of 4 KiB into holes, each followed by a flush, one at a time
    #[value(name = "fill-4k-flush")]
    FillFlush,
}

/// Of which kind the I/Os of a load are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Reads of anything.
    Read,
    /// Writes to what was written.
    Overwrite,
    /// Writes into holes.
    Fill,
}

impl Load {
    /// What it is called.
    pub(in crate::command) fn name(self) -> String {
        args::name(&self)
    }

    /// Of which kind its I/Os are.
    pub(super) fn operation(self) -> Operation {
        match self {
            Self::Read | Self::ReadDeep | Self::Scan => Operation::Read,
            Self::Write | Self::WriteDeep | Self::WriteFlush => Operation::Overwrite,
            Self::Fill | Self::FillDeep | Self::FillFlush => Operation::Fill,
        }
    }

    /// The device is only read.
    pub(in crate::command) fn only_reads(self) -> bool {
        self.operation() == Operation::Read
    }

    /// Each write is made durable before the next one; both together are one I/O.
    pub(super) fn flushes(self) -> bool {
        matches!(self, Self::WriteFlush | Self::FillFlush)
    }

    /// How long each I/O is, bytes.
    pub(super) fn block_bytes(self) -> usize {
        if self == Self::Scan { 128 << 10 } else { BLOCK }
    }

    /// How many I/Os there are at a time.
    pub(super) fn depth(self) -> usize {
        match self {
            Self::ReadDeep | Self::WriteDeep | Self::FillDeep => 32,
            _ => 1,
        }
    }
}
