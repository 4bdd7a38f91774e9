//! The operations that are counted apart.

/// What a request asks the device to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Op {
    /// Data from the device.
    Read = 0,
    /// Data to the device.
    Write = 1,
    /// The range is no longer needed (`REQ_OP_DISCARD`, `REQ_OP_SECURE_ERASE`).
    Discard = 2,
    /// The range shall read as zeros (`REQ_OP_WRITE_ZEROES`).
    WriteZeroes = 3,
    /// Everything completed so far shall be durable (a `PREFLUSH` without data).
    Flush = 4,
}

/// How many kinds of [`Op`] there are: the length of every per-operation array.
pub const OPS: usize = 5;

impl Op {
    /// All operations, in the order of their numbers.
    pub const ALL: [Self; OPS] = [
        Self::Read,
        Self::Write,
        Self::Discard,
        Self::WriteZeroes,
        Self::Flush,
    ];

    /// The operation's place in a per-operation array.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name used on screen and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Discard => "discard",
            Self::WriteZeroes => "write_zeroes",
            Self::Flush => "flush",
        }
    }
}
