//! Rare events, sent through the ring buffer one by one.

/// What an [`Event`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A journal commit or a log force of a backing filesystem ended.
    Commit = 0,
    /// A request of a watched device completed with an error.
    Error = 1,
}

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// [`EventKind`] number.
    pub kind: u32,
    /// Slot of the watched device; for [`EventKind::Commit`] the filesystem's device number in the
    /// kernel's own form (`major << 20 | minor`).
    pub device: u32,
    /// When, monotonic nanoseconds.
    pub time_ns: u64,
    /// Commit: how long it took. Else 0.
    pub duration_ns: u64,
    /// Error: byte offset of the request. Commit: the transaction's number. Else 0.
    pub detail: u64,
}

const _: () = assert!(size_of::<Event>() == 32);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Event {}
