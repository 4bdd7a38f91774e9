//! The state of a request in flight, kept in the slot of its tag.

/// One slot per (hardware queue, tag) of a device.
///
/// Only one request has a tag at a time, so nobody else writes its slot; a slot that is still open
/// when its tag is issued again is one completion that the probes did not see.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// Address of the request, 0 when the slot is free.
    pub request: u64,
    /// `rq->start_time_ns` as it was at submission, 0 when the kernel keeps no I/O statistics.
    pub start_ns: u64,
    /// When the driver got the request.
    pub issue_ns: u64,
    /// When the filesystem got it, 0 if not seen.
    pub filesystem_ns: u64,
    /// When its first request on the disk below started, 0 if none was seen.
    pub disk_start_ns: u64,
    /// When its last request on the disk below completed.
    pub disk_end_ns: u64,
    /// Byte offset on the device.
    pub offset_bytes: u64,
    /// Length in bytes.
    pub len_bytes: u32,
    /// [`Op`](crate::Op) number.
    pub op: u32,
}

const _: () = assert!(size_of::<Slot>() == 64);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Slot {}
