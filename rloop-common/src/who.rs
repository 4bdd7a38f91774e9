//! Keys that name files and processes.

/// A file as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FileKey {
    /// Inode number.
    pub inode: u64,
    /// Device number of the filesystem, in the kernel's form (`major << 20 | minor`).
    pub device: u64,
}

/// A process that submits to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Who {
    /// Device slot.
    pub device: u32,
    /// Process number.
    pub process: u32,
    /// Number of its cgroup.
    pub cgroup: u64,
}

/// What it submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Work {
    /// Requests.
    pub requests: u64,
    /// Bytes.
    pub bytes: u64,
    /// The name of the thread that was seen first, padded with zeros.
    pub command: [u8; 16],
}

/// Who submitted of late, on one CPU, and what of it is not added up with the rest yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Recent {
    /// Process number.
    pub process: u32,
    /// Twice how often this place went from one process to another; odd while it does.
    pub changes: u32,
    /// Number of the process's cgroup.
    pub cgroup: u64,
    /// What it submitted.
    pub work: Work,
}

/// How many processes a CPU remembers for a device.
pub const RECENTS: usize = 4;

const _: () = assert!(size_of::<Recent>() == 48);
const _: () =
    assert!(size_of::<FileKey>() == 16 && size_of::<Who>() == 16 && size_of::<Work>() == 32);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FileKey {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Who {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Work {}
