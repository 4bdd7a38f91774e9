// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! What programs and the module say to each other through `/dev/rloop-control`.
//!
//! Every request begins with [`VERSION`]; the module refuses another one with `EPROTO`, and writes its
//! own in its place. Fields that are called reserved are zero. All offsets and lengths are in bytes.
//! The structures have no padding, and the same layout in 32 and 64 bits.

/// The version of this interface.
pub const VERSION: u32 = 1;

/// The first byte of all requests' numbers.
pub const IOCTL_TYPE: u32 = 0xb7;
/// Attaches a file: [`Attach`], read and written.
pub const ATTACH: u32 = 0;
/// Detaches a device: [`Device`], read.
pub const DETACH: u32 = 1;
/// Asks for a device's state: [`Status`], read and written.
pub const STATUS: u32 = 2;
/// Reads a part of a device's extent map: [`Map`], read and written.
pub const MAP: u32 = 3;
/// Makes a device as long as its file: [`Device`], read.
pub const RESIZE: u32 = 4;

/// In [`Attach::flags`] and [`Status::flags`]: refuse writes.
pub const FLAG_READ_ONLY: u32 = 1;
/// In [`Attach::flags`] and [`Status::flags`]: look for partitions.
pub const FLAG_PARTITIONS: u32 = 2;

/// How holes are filled: through the filesystem.
pub const FILL_VFS: u32 = 0;
/// How holes are filled: on disk, and then committed to the filesystem.
pub const FILL_LAYOUT: u32 = 1;

/// When fills are made durable: when the device is flushed.
pub const COMMIT_FLUSH: u32 = 0;
/// When fills are made durable: before each completes.
pub const COMMIT_EACH: u32 = 1;

/// Attach a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// [`VERSION`].
    pub version: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// The file, open for reading. The module opens it again for itself.
    pub fd: i32,
    /// The logical block size; 0 for the best one.
    pub block_size: u32,
    /// Where in the file the device begins.
    pub offset: u64,
    /// How long the device may be; 0 for up to the file's end.
    pub size_limit: u64,
    /// `FILL_*`.
    pub fill: u32,
    /// `COMMIT_*`.
    pub commit: u32,
    /// Out: the number of the device, `/dev/rloopN`.
    pub index: u32,
    /// Zero.
    pub reserved: u32,
}

/// Name a device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// [`VERSION`].
    pub version: u32,
    /// Its number.
    pub index: u32,
}

/// How many counters a [`Status`] has room for.
pub const COUNTERS: usize = 32;

/// A device's state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// In: its number.
    pub index: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// `FILL_*`.
    pub fill: u32,
    /// `COMMIT_*`.
    pub commit: u32,
    /// Who maps; see [`PROVIDERS`].
    pub provider: u32,
    /// Why it is not a better one; see [`REASONS`].
    pub why: u32,
    /// The logical block size.
    pub block_size: u32,
    /// The filesystem's block size.
    pub fs_block_size: u32,
    /// The first error that lost something, as a positive errno; 0 if there was none.
    pub error: u32,
    /// Where in the file the device begins.
    pub offset: u64,
    /// The device's length.
    pub size: u64,
    /// The device of the backing file's filesystem, as the kernel has it: `major << 20 | minor`.
    pub backing_dev: u64,
    /// The backing file's inode number.
    pub backing_ino: u64,
    /// Extents in the map.
    pub extents: u64,
    /// Counters since the device was attached, by [`COUNTER_NAMES`].
    pub counters: [u64; COUNTERS],
}

/// Names for [`Status::provider`].
pub const PROVIDERS: [&str; 3] = ["vfs", "bmap", "layout"];

/// Names for [`Status::why`]. What stands behind them is in the module's README.
pub const REASONS: [&str; 13] = [
    "best",
    "starting",
    "recalled",
    "open-for-writing",
    "filesystem",
    "reflinked",
    "no-direct-io",
    "offset",
    "leases",
    "not-plain",
    "bmap-disabled",
    "device",
    "error",
];

/// Names for [`Status::counters`], in their order.
pub const COUNTER_NAMES: [&str; 20] = [
    "fast_reads",
    "fast_read_bytes",
    "fast_writes",
    "fast_write_bytes",
    "zero_reads",
    "zero_read_bytes",
    "vfs_reads",
    "vfs_read_bytes",
    "vfs_writes",
    "vfs_write_bytes",
    "fills",
    "fill_bytes",
    "commits",
    "discards",
    "discard_bytes",
    "flushes",
    "fast_flushes",
    "invalidations",
    "recalls",
    "errors",
];

/// Read a part of the extent map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// [`VERSION`].
    pub version: u32,
    /// In: the device's number.
    pub index: u32,
    /// In: from where in the file on. Out: where to go on, or `u64::MAX` if that was all.
    pub start: u64,
    /// In: where there is room for [`Extent`]s.
    pub extents: u64,
    /// In: for how many, up to [`MAP_MOST`]. Out: how many there are.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

/// The most extents in one [`Map`].
pub const MAP_MOST: u32 = 4096;

/// What is known of a part of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file.
    pub offset: u64,
    /// How long.
    pub length: u64,
    /// Where on the filesystem's device; `u64::MAX` for a hole.
    pub disk: u64,
    /// By [`STATES`].
    pub state: u32,
    /// Zero.
    pub reserved: u32,
}

/// Names for [`Extent::state`].
pub const STATES: [&str; 5] = ["hole", "unwritten", "filling", "filled", "written"];

const _: () = assert!(size_of::<Attach>() == 48);
const _: () = assert!(size_of::<Device>() == 8);
const _: () = assert!(size_of::<Status>() == 80 + 8 * COUNTERS);
const _: () = assert!(size_of::<Map>() == 32);
const _: () = assert!(size_of::<Extent>() == 32);
const _: () = assert!(COUNTER_NAMES.len() <= COUNTERS);
