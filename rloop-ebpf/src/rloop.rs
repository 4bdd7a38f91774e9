//! Requests of rloop devices, as their kernel module tells of them: `kernel-module/rloop_trace.h` says what
//! its tracepoints mean.
//!
//! Each request, or each part of one where an extent ends, goes one of three ways. To the disk: counted when
//! it is submitted, timed when it is done. To nowhere: a read answered with zeros is counted and timed at once; its
//! latency is real, and small. Through the filesystem: as to the disk. The module measures the time itself, from
//! when it got the request, so nothing is kept here of what is under way; and what is submitted and never done was
//! lost.
//!
//! Extents are counted when a request is done: one search in their table then does for both.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use rloop_common::{
    Op,
    chain::{Head, NOWHERE, RequestTrace, Route, TraceKind, mark},
    device::DeviceBlock,
    event::EventKind,
    op::OPS,
    rloop::Moved,
};

use crate::{
    chain,
    extents::{self, Done},
    kernel::now,
    maps::{RLOOPS, add, block, send},
    request::{bucket, counters, timed},
    who,
};

/// Major number of devices whose numbers are given out as they are needed (`BLOCK_EXT_MAJOR`).
const EXTENDED_MAJOR: u32 = 259;

const WRITE: usize = Op::Write as usize;

/// A watched device that an event is of, and its counters on this CPU.
pub struct Device {
    pub slot: u32,
    pub block: *mut DeviceBlock,
    offset_bytes: u64,
    since_ns: u64,
}

/// The device of an event, which all of them name first.
#[inline(always)]
pub fn device(ctx: &RawTracePointContext) -> Option<Device> {
    let number: u32 = ctx.arg(0);
    if number >> 20 != EXTENDED_MAJOR {
        return None;
    }
    let watched = RLOOPS.get(number & 0xf_ffff)?;
    let slot = watched.slot.checked_sub(1)?;
    Some(Device {
        slot,
        block: block(slot)?,
        offset_bytes: watched.offset_bytes,
        since_ns: watched.since_ns,
    })
}

/// Of what is no operation that we count.
const NONE: u8 = OPS as u8;

/// What the module calls the operations: by their numbers, ours. A table, because the verifier would follow
/// each of them on a path of its own.
static NUMBERS: [u8; 16] = {
    let mut numbers = [NONE; 16];
    numbers[0] = Op::Read as u8;
    numbers[1] = Op::Write as u8;
    numbers[2] = Op::Flush as u8;
    numbers[3] = Op::Discard as u8;
    numbers[9] = Op::WriteZeroes as u8;
    numbers
};

/// The number of an operation, which is below [`OPS`].
#[inline(always)]
fn op_of(number: u32) -> Option<u32> {
    // SAFETY: it is one of the table's. Volatile, so that the compiler leaves the check to the verifier.
    let op = unsafe { (&raw const NUMBERS[number as usize & 15]).read_volatile() };
    (op < NONE).then_some(op.into())
}

/// # Safety
/// `moved` is a part of a map value.
#[inline(always)]
pub unsafe fn moved(moved: *mut Moved, bytes: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        add(&raw mut (*moved).count, 1);
        add(&raw mut (*moved).bytes, bytes);
    }
}

/// How long something took.
#[derive(Clone, Copy)]
struct Time {
    ns: u64,
    /// Its [`Fine`](rloop_common::bucket::Fine) bucket.
    fine: usize,
}

impl Device {
    /// # Safety
    /// As [`submitted`](Self::submitted).
    #[inline(always)]
    unsafe fn time(&self, ns: u64) -> Time {
        Time {
            ns,
            // SAFETY: by the caller's promise.
            fine: unsafe { bucket(self.block, ns) },
        }
    }

    /// Counts what is submitted; gives the operation's number.
    ///
    /// # Safety
    /// `self.block` is a map value, as [`device`] has it.
    #[inline(always)]
    unsafe fn submitted(&self, number: u32, bytes: u64) -> Option<usize> {
        let op = op_of(number)?;
        let counters = counters(self.block, op)?;
        // SAFETY: by the caller's promise.
        unsafe {
            add(&raw mut (*counters).submitted, 1);
            add(&raw mut (*counters).submitted_bytes, bytes);
        }
        Some(op as usize)
    }

    /// Counts what is done now. Nothing, if it was not seen to begin.
    ///
    /// # Safety
    /// As [`submitted`](Self::submitted).
    #[inline(always)]
    unsafe fn done(&self, number: u32, offset: u64, came_ns: u64, error: i32) -> Option<Ended> {
        // Where all is seen to begin, `since_ns` is 0.
        if came_ns == 0 || came_ns < self.since_ns {
            return None;
        }
        let op = op_of(number)?;
        let counters = counters(self.block, op)?;
        let done_ns = now();
        // SAFETY: by the caller's promise.
        let time = unsafe {
            // However short it was: it began and ended.
            let time = self.time(done_ns.saturating_sub(came_ns).max(1));
            add(&raw mut (*counters).completed, 1);
            if error != 0 {
                add(&raw mut (*counters).errors, 1);
                let start = offset.wrapping_sub(self.offset_bytes);
                send(EventKind::Error, self.slot, done_ns, 0, start);
            }
            timed(self.block, counters, op, time.ns, time.fine);
            time
        };
        Some(Ended {
            op: op as usize,
            came_ns,
            time,
            failed: error != 0,
        })
    }

    /// Tells of a request that has ended, if it is to be told of. Of the times in `request`, what is not 0 counts from
    /// when the driver got it.
    ///
    /// # Safety
    /// As [`submitted`](Self::submitted).
    #[inline(always)]
    unsafe fn traced(&self, ended: &Ended, request: RequestTrace) {
        let flushes = ended.op == Op::Flush as usize;
        // SAFETY: by the caller's promise.
        if !flushes
            && !unsafe { chain::chosen(&raw mut (*self.block).tracing, ended.time.ns, true) }
        {
            return;
        }
        let came_ns = ended.came_ns;
        let at = |after: u64| if after != 0 { came_ns + after } else { 0 };
        let failed = if ended.failed { mark::FAILED } else { 0 };
        chain::send(RequestTrace {
            head: Head {
                kind: TraceKind::Request as u32,
                device: self.slot,
            },
            op: ended.op as u32,
            process: if request.process != 0 {
                request.process
            } else {
                chain::submitter(self.slot, request.offset_bytes, came_ns)
            },
            marks: request.marks | failed | if flushes { mark::FLUSHES } else { 0 },
            start_ns: came_ns,
            issue_ns: came_ns,
            filesystem_ns: at(request.filesystem_ns),
            disk_start_ns: at(request.disk_start_ns),
            disk_end_ns: at(request.disk_end_ns),
            done_ns: came_ns + ended.time.ns,
            ..request
        });
    }

    /// Counts what is done on the extents it touches; see [`extents::done`]. Last of all in a program: what follows
    /// is verified for each way through the search.
    ///
    /// # Safety
    /// As [`submitted`](Self::submitted).
    #[inline(always)]
    unsafe fn attribute(&self, near: bool, offset: u64, bytes: u64, write: bool, time: Time) {
        let start = offset.wrapping_sub(self.offset_bytes);
        let done = Done {
            start,
            end: start.wrapping_add(bytes),
            write,
            latency_ns: time.ns,
            fine: time.fine,
        };
        // SAFETY: by the caller's promise.
        unsafe {
            let last = near.then_some(&raw mut (*self.block).found);
            extents::done(self.slot, self.block, last, &done);
        }
    }
}

/// The mark, if `is` is 1. To reckon with, not to branch on.
#[inline(always)]
fn marked(is: u32, mark: u32) -> u32 {
    (is & 1) * mark
}

/// A request that has ended.
struct Ended {
    /// Number of its operation.
    op: usize,
    /// When the driver got it.
    came_ns: u64,
    /// How long it took from then.
    time: Time,
    failed: bool,
}

/// `(dev, ino, offset, extent, sector, bytes, op, wait_ns)`
#[raw_tracepoint(tracepoint = "rloop_io_submit")]
pub fn rloop_io_submit(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let (bytes, wait_ns): (u32, u64) = (ctx.arg(5), ctx.arg(7));
    // SAFETY: the block is a map value.
    unsafe {
        if device.submitted(ctx.arg(6), bytes.into()).is_none() {
            return 0;
        }
        if wait_ns == 0 {
            who::submitted(device.slot, device.block, bytes);
            // Where many are submitted, few of them are told of.
            if (*device.block).tracing.left > 0 {
                chain::arrived(device.slot, ctx.arg(2));
            }
        } else {
            add(&raw mut (*device.block).rloop.wait_ns, wait_ns);
        }
    }
    0
}

/// `(dev, ino, offset, extent, sector, bytes, op, came_ns, error, wait_ns, filled_ns, durable)`
#[raw_tracepoint(tracepoint = "rloop_io_done")]
pub fn rloop_io_done(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let (offset, bytes): (u64, u32) = (ctx.arg(2), ctx.arg(5));
    // SAFETY: the block is a map value.
    unsafe {
        let Some(ended) = device.done(ctx.arg(6), offset, ctx.arg(7), ctx.arg(8)) else {
            return 0;
        };
        let (op, ns) = (ended.op, ended.time.ns);
        let (filled_ns, durable): (u64, u32) = (ctx.arg(10), ctx.arg(11));
        let request = RequestTrace {
            bytes,
            route: Route::Disk as u32,
            marks: marked(durable, mark::DURABLE) | marked(u32::from(filled_ns != 0), mark::FILLS),
            offset_bytes: offset,
            extent_bytes: ctx.arg(3),
            sector: ctx.arg(4),
            // However short it waited: it was there.
            disk_start_ns: ctx.arg::<u64>(9).max(1),
            disk_end_ns: if filled_ns != 0 { filled_ns } else { ns },
            ..RequestTrace::default()
        };
        device.traced(&ended, request);
        if op <= WRITE {
            // What it waited for a worker is in it, too.
            add(&raw mut (*device.block).split.disk_ns, ns);
            device.attribute(true, offset, bytes.into(), op == WRITE, ended.time);
        }
    }
    0
}

/// `(dev, ino, offset, bytes, state, wait_ns, came_ns)`
#[raw_tracepoint(tracepoint = "rloop_zero_read")]
pub fn rloop_zero_read(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let (offset, bytes, wait_ns): (u64, u32, u64) = (ctx.arg(2), ctx.arg(3), ctx.arg(5));
    // SAFETY: the block is a map value.
    unsafe {
        moved(&raw mut (*device.block).rloop.zero, bytes.into());
        device.submitted(0, bytes.into());
        if wait_ns == 0 {
            who::submitted_by_any(device.slot, bytes);
        } else {
            add(&raw mut (*device.block).split.worker_ns, wait_ns);
        }
        let request = RequestTrace {
            bytes,
            route: Route::Zeros as u32,
            process: if wait_ns == 0 { who::process() } else { 0 },
            offset_bytes: offset,
            extent_bytes: NOWHERE,
            sector: NOWHERE,
            ..RequestTrace::default()
        };
        let Some(ended) = device.done(0, offset, ctx.arg(6), 0) else {
            return 0;
        };
        device.traced(&ended, request);
        device.attribute(false, offset, bytes.into(), false, ended.time);
    }
    0
}

/// `(dev, ino, offset, bytes, op, wait_ns)`
#[raw_tracepoint(tracepoint = "rloop_vfs_submit")]
pub fn rloop_vfs_submit(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let bytes = u64::from(ctx.arg::<u32>(3));
    // SAFETY: the block is a map value, and the operation's number below its array's length.
    unsafe {
        if let Some(op) = device.submitted(ctx.arg(4), bytes) {
            moved(&raw mut (*device.block).rloop.vfs[op], bytes);
        }
    }
    0
}

/// `(dev, ino, offset, bytes, op, wait_ns, came_ns, error, direct, fills, durable)`
#[raw_tracepoint(tracepoint = "rloop_vfs_done")]
pub fn rloop_vfs_done(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let (offset, bytes): (u64, u64) = (ctx.arg(2), ctx.arg::<u32>(3).into());
    let (wait_ns, error): (u64, i32) = (ctx.arg(5), ctx.arg(7));
    // SAFETY: the block is a map value.
    unsafe {
        let Some(ended) = device.done(ctx.arg(4), offset, ctx.arg(6), error) else {
            return 0;
        };
        let (op, ns) = (ended.op, ended.time.ns);
        let (direct, fills, durable): (u32, u32, u32) = (ctx.arg(8), ctx.arg(9), ctx.arg(10));
        let request = RequestTrace {
            bytes: bytes as u32,
            route: if op > WRITE {
                Route::Unknown as u32
            } else {
                // Direct is 1, and buffered 2.
                Route::Buffered as u32 - (direct & 1)
            },
            marks: marked(durable, mark::DURABLE) | marked(fills, mark::FILLS),
            offset_bytes: offset,
            extent_bytes: NOWHERE,
            sector: NOWHERE,
            filesystem_ns: wait_ns.max(1),
            ..RequestTrace::default()
        };
        device.traced(&ended, request);
        if op > WRITE {
            return 0;
        }
        let split = &raw mut (*device.block).split;
        add(&raw mut (*split).worker_ns, wait_ns);
        add(&raw mut (*split).filesystem_ns, ns.saturating_sub(wait_ns));
        let path = &raw mut (*device.block).rloop.paths[op & 1];
        let moved = if error == 0 { bytes } else { 0 };
        // A number to reckon with, not to branch on.
        let direct = moved * u64::from(direct & 1);
        add(&raw mut (*path).direct_bytes, direct);
        add(&raw mut (*path).buffered_bytes, moved - direct);
        device.attribute(false, offset, bytes, op == WRITE, ended.time);
    }
    0
}
