//! The state of a request in flight, kept in the slot of its tag.

/// One slot per (hardware queue, tag) of a device.
///
/// Only one request has a tag at a time, so nobody else writes its slot; a slot that is still open
/// when its tag is issued again is one completion that the probes did not see.
///
/// The first half, a line of the processor's cache, is for every request; the second one is touched
/// only for those whose time is split.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slot {
    /// Address of the request, 0 when the slot is free.
    pub request: u64,
    /// `rq->start_time_ns` as it was when the request was issued, where it is counted then.
    pub start_ns: u64,
    /// When the driver got the request, if the probes looked.
    pub issue_ns: u64,
    /// Byte offset on the device.
    pub offset_bytes: u64,
    /// Length in bytes. Until it completes, others may be merged into it.
    pub len_bytes: u32,
    /// [`Op`](crate::Op) number.
    pub op: u32,
    /// How many requests this one stands for in the split of time; 0 if nobody asks when it was where.
    pub weight: u32,
    /// Bits of [`mark`](crate::chain::mark): what it is besides its operation.
    pub marks: u32,
    /// 1 once its tag was used while the device is watched.
    pub is_known: u32,
    /// 1 once a part of it has completed: it no longer says itself what it was.
    pub is_partly_done: u32,
    /// 1 if it is split and was submitted together with others.
    pub is_batched: u32,
    /// What is known for the split of its time, if it is split; of requests that make others durable, only who
    /// submitted them.
    pub below: Below,
}

/// When a request was where below the driver.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Below {
    /// When the filesystem got it, 0 if not seen.
    pub filesystem_ns: u64,
    /// When its first request on the disk below started, 0 if none was seen.
    pub disk_start_ns: u64,
    /// When its last request on the disk below completed.
    pub disk_end_ns: u64,
    /// Where on that disk that was, in sectors.
    pub sector: u64,
    /// The process that submitted it, 0 if that is not known.
    pub process: u64,
    /// Fills the line.
    pub unused: [u64; 3],
}

const _: () = assert!(size_of::<Slot>() == 128 && core::mem::offset_of!(Slot, below) == 64);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Slot {}
