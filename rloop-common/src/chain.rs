//! What is told of single requests and commits, so that a chain can be made of them: from a request to
//! the commit that made it durable.
//!
//! They go through a ring buffer of their own. Each begins with its [`Head`], and its length is that of
//! its structure.

/// What a record of the ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TraceKind {
    /// A [`RequestTrace`].
    Request = 0,
    /// A [`CommitTrace`].
    Commit = 1,
    /// A [`RangeTrace`].
    Range = 2,
}

/// The beginning of every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    /// [`TraceKind`] number.
    pub kind: u32,
    /// Slot of the watched device.
    pub device: u32,
}

/// Which way a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Route {
    /// It is not known.
    Unknown = 0,
    /// Through the filesystem, by direct I/O.
    Direct = 1,
    /// Through the filesystem and its page cache.
    Buffered = 2,
    /// rloop: straight to the disk.
    Disk = 3,
    /// rloop: answered with zeros.
    Zeros = 4,
}

/// What a request does besides moving data: bits of [`RequestTrace::marks`].
pub mod mark {
    /// It went by direct I/O.
    pub const DIRECT: u32 = 1;
    /// What was done before it is durable when it is done.
    pub const FLUSHES: u32 = 2;
    /// Its own data is durable when it is done.
    pub const DURABLE: u32 = 4;
    /// It filled a range that had no data.
    pub const FILLS: u32 = 8;
    /// When the filesystem got it is derived.
    pub const DERIVED: u32 = 16;
    /// It ended with an error.
    pub const FAILED: u32 = 32;
}

/// What is not known of a [`RequestTrace`]'s places.
pub const NOWHERE: u64 = u64::MAX;

/// One request that is done. Times are nanoseconds of the monotonic clock; 0 where something was not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RequestTrace {
    /// [`TraceKind::Request`].
    pub head: Head,
    /// [`Op`](crate::Op) number.
    pub op: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// [`Route`] number.
    pub route: u32,
    /// Bits of [`mark`].
    pub marks: u32,
    /// The process that submitted it, 0 if that is not known.
    pub process: u32,
    /// Zero.
    pub unused: u32,
    /// Where it begins, in bytes: on the device; of an rloop device, in its file.
    pub offset_bytes: u64,
    /// rloop: where in the file the extent begins; [`NOWHERE`] if there is none.
    pub extent_bytes: u64,
    /// Where on the disk below it began, in sectors; [`NOWHERE`] if that was not seen.
    pub sector: u64,
    /// When it began.
    pub start_ns: u64,
    /// When the driver got it.
    pub issue_ns: u64,
    /// When the filesystem got it.
    pub filesystem_ns: u64,
    /// When the first I/O for it began on the disk.
    pub disk_start_ns: u64,
    /// When the last of that ended.
    pub disk_end_ns: u64,
    /// When it was done.
    pub done_ns: u64,
}

/// A commit of an rloop device that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CommitTrace {
    /// [`TraceKind::Commit`].
    pub head: Head,
    /// The number that the module gives it.
    pub number: u64,
    /// Fills that were waiting for it.
    pub fills: u64,
    /// When it began, nanoseconds of the monotonic clock.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// 1 if it tells the filesystem of fills on disk; 0 if it syncs the file.
    pub on_disk: u32,
    /// 1 if it failed.
    pub failed: u32,
}

/// A range of the file that such a commit made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RangeTrace {
    /// [`TraceKind::Range`].
    pub head: Head,
    /// The number that the module gives the commit.
    pub number: u64,
    /// Where it begins in the file, in bytes.
    pub offset_bytes: u64,
    /// How long it is.
    pub bytes: u64,
}

/// Which requests of a device are traced: some in each window of time, and those that are slower than all
/// before in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tracing {
    /// Number of the window, as in [`Sampling`](crate::device::Sampling).
    pub window: u64,
    /// The slowest request in it so far, nanoseconds.
    pub slowest_ns: u64,
    /// How many more are traced in it however fast they are.
    pub left: u64,
}

/// So many requests are traced in a window, on each processor, however fast they are.
pub const TRACED_PER_WINDOW: u64 = 8;

const _: () = assert!(size_of::<Head>() == 8);
const _: () = assert!(size_of::<RequestTrace>() == 104);
const _: () = assert!(size_of::<CommitTrace>() == 48);
const _: () = assert!(size_of::<RangeTrace>() == 32);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
mod user {
    use super::{CommitTrace, Head, RangeTrace, RequestTrace};

    unsafe impl aya::Pod for Head {}
    unsafe impl aya::Pod for RequestTrace {}
    unsafe impl aya::Pod for CommitTrace {}
    unsafe impl aya::Pod for RangeTrace {}
}
