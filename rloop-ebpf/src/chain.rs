//! Requests and commits told of one by one, for whoever wants to see what belongs to a request.
//!
//! Of requests these are some in each window of time, and those that are slower than all before in it;
//! what makes others durable is always among them, as are commits. To tell of one costs as much as to
//! count it, so at high rates most are not.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use rloop_common::{
    Op,
    chain::{Head, NOWHERE, RequestTrace, Route, TRACED_PER_WINDOW, TraceKind, Tracing, mark},
    device::{DeviceBlock, WINDOW_BITS},
    slot::Slot,
};

use crate::{
    kernel::{REQ_FUA, REQ_PREFLUSH, STARTS_AT_ISSUE, now},
    maps::{ARRIVAL_BITS, ARRIVALS, TRACES, TRACES_LOST, add, put},
    who,
};

/// Nobody waits for the ring: it is read at the end of each interval.
const BPF_RB_NO_WAKEUP: u64 = 1;

/// A request of an rloop device that may be told of when it is done: whose it is, and that nobody else took its place.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arrival {
    offset_bytes: u64,
    /// When that was noted.
    time_ns: u64,
    device: u64,
    process: u64,
}

/// So long after the driver got a request that is noted.
const NOTED_WITHIN_NS: u64 = 1_000_000;

/// The place of what is noted of a request.
#[inline(always)]
fn arrival(device: u32, offset_bytes: u64) -> Option<*mut Arrival> {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let place = (offset_bytes ^ u64::from(device)).wrapping_mul(SPREAD) >> (64 - ARRIVAL_BITS);
    ARRIVALS.get_ptr_mut(place as u32)
}

/// Notes that the current process submits a request of an rloop device.
#[inline(always)]
pub fn arrived(device: u32, offset_bytes: u64) {
    if let Some(place) = arrival(device, offset_bytes) {
        // SAFETY: a map value lives as long as the program runs. A place that two
        // write at once is that of neither, or of one of them.
        unsafe {
            put(&raw mut (*place).offset_bytes, offset_bytes);
            put(&raw mut (*place).time_ns, now());
            put(&raw mut (*place).device, device.into());
            put(&raw mut (*place).process, who::process().into());
        }
    }
}

/// The process that submitted the request which the driver got at `came_ns`, if it was noted; else 0.
#[inline(always)]
pub fn submitter(device: u32, offset_bytes: u64, came_ns: u64) -> u32 {
    let Some(place) = arrival(device, offset_bytes) else {
        return 0;
    };
    // SAFETY: a map value lives as long as the program runs.
    let noted = unsafe { *place };
    let since = noted.time_ns.wrapping_sub(came_ns);
    let is_it = noted.device == u64::from(device)
        && noted.offset_bytes == offset_bytes
        && since < NOTED_WITHIN_NS;
    if is_it { noted.process as u32 } else { 0 }
}

/// Sends a record, or counts that there was no room for it.
#[inline(always)]
pub fn send<T: 'static>(record: T) {
    if let Some(mut place) = TRACES.reserve_untyped::<T>(0) {
        place.write(record);
        place.submit(BPF_RB_NO_WAKEUP);
    } else if let Some(lost) = TRACES_LOST.get_ptr_mut(0) {
        add(lost, 1);
    }
}

/// Notes what else a loop request does that has these `cmd_flags`, and who submits it, if that may be told.
///
/// # Safety
/// `slot` is a map value, and the request's.
#[inline(always)]
pub unsafe fn submitted(slot: *mut Slot, flags: u32) {
    let (flushes, durable) = (REQ_PREFLUSH.load(), REQ_FUA.load());
    // SAFETY: by the caller's promise.
    unsafe {
        let makes_durable = flags & (flushes | durable) != 0;
        if makes_durable {
            if flags & flushes != 0 {
                (*slot).marks |= mark::FLUSHES;
            }
            if flags & durable != 0 {
                (*slot).marks |= mark::DURABLE;
            }
        }
        if makes_durable || (*slot).weight != 0 || (*slot).op > Op::Write as u32 {
            // Where requests are first seen when they are issued, anybody may issue them.
            let process = if STARTS_AT_ISSUE.load() == 0 {
                who::process()
            } else {
                0
            };
            put(&raw mut (*slot).below.process, process.into());
        }
    }
}

/// Whether a request that took `ns` nanoseconds is told of. Those that `may_count` are told of by their number,
/// too, and not only for being slow.
///
/// # Safety
/// `tracing` is a part of a map value.
#[inline(always)]
pub unsafe fn chosen(tracing: *mut Tracing, ns: u64, may_count: bool) -> bool {
    // SAFETY: by the caller's promise; the helper has no preconditions. A program that is preempted in here
    // tells of one too many.
    unsafe {
        if may_count {
            let window = bpf_jiffies64() >> WINDOW_BITS;
            if window != (*tracing).window {
                (*tracing).window = window;
                (*tracing).slowest_ns = 0;
                (*tracing).left = TRACED_PER_WINDOW;
            }
        }
        if ns > (*tracing).slowest_ns {
            (*tracing).slowest_ns = ns;
            return true;
        }
        if may_count && (*tracing).left > 0 {
            (*tracing).left -= 1;
            return true;
        }
        false
    }
}

/// Tells of a loop request that is done, if it is to be told of.
///
/// # Safety
/// `block` and `slot` are map values.
#[inline(always)]
pub unsafe fn completed(
    device: u32,
    block: *mut DeviceBlock,
    slot: *mut Slot,
    [start, issue, begin, now]: [u64; 4],
    error: u8,
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let (op, marks, weight) = ((*slot).op, (*slot).marks, (*slot).weight);
        let is_data = op <= Op::Write as u32;
        let makes_durable = marks & (mark::FLUSHES | mark::DURABLE) != 0;
        let has_times = weight != 0 || !is_data;
        if !makes_durable && !chosen(&raw mut (*block).tracing, now - start, has_times) {
            return;
        }
        let is_split = weight != 0;
        let below = &raw const (*slot).below;
        let seen = |time: u64| if is_split { time } else { 0 };
        let filesystem_ns = seen((*below).filesystem_ns);
        let disk_start_ns = seen((*below).disk_start_ns);
        let derived = is_data && filesystem_ns == 0 && begin != 0;
        let route = if marks & mark::DIRECT != 0 {
            Route::Direct
        } else if derived {
            Route::Buffered
        } else {
            Route::Unknown
        };
        let failed = if error != 0 { mark::FAILED } else { 0 };
        send(RequestTrace {
            head: Head {
                kind: TraceKind::Request as u32,
                device,
            },
            op,
            bytes: (*slot).len_bytes,
            route: route as u32,
            marks: marks | failed | if derived { mark::DERIVED } else { 0 },
            process: if has_times || makes_durable {
                (*below).process as u32
            } else {
                0
            },
            unused: 0,
            offset_bytes: (*slot).offset_bytes,
            extent_bytes: NOWHERE,
            sector: if disk_start_ns != 0 {
                (*below).sector
            } else {
                NOWHERE
            },
            start_ns: start,
            issue_ns: issue,
            // The worker was done with the one before then, maybe before this one came.
            filesystem_ns: if derived {
                begin.max(issue).max(start)
            } else {
                filesystem_ns
            },
            disk_start_ns,
            disk_end_ns: seen((*below).disk_end_ns),
            done_ns: now,
        });
    }
}
