//! Rare events, sent through the ring buffer one by one.

/// What an [`Event`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A commit of the backing filesystem that the device's flush waited for ended.
    Commit = 0,
    /// A request of a watched device completed with an error.
    Error = 1,
    /// A commit of an rloop device ended, as its module tells.
    RloopCommit = 2,
}

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// [`EventKind`] number.
    pub kind: u32,
    /// Slot of the watched device.
    pub device: u32,
    /// When, monotonic nanoseconds.
    pub time_ns: u64,
    /// Commits: how long it took. Else 0.
    pub duration_ns: u64,
    /// Error: byte offset of the request. Commit: when the filesystem got the flush that waited for it, monotonic
    /// nanoseconds. Else 0.
    pub detail: u64,
}

const _: () = assert!(size_of::<Event>() == 32);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Event {}
