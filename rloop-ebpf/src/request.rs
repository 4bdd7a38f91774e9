//! Requests of watched loop devices: counted at submission, timed at completion.
//!
//! The slot of a request is that of its tag, so nothing is inserted or looked up in a hash. A slot
//! still open when its tag is submitted again is a completion that was lost; so submitted is always
//! completed + lost + in flight.
//!
//! When a request was issued to the driver its own fields tell, unless it was submitted together with others:
//! then the kernel looked at the clock once for all of them, before the first was made. A program at the issue
//! looks itself; it is attached while there are such requests.
//!
//! Before Linux 6.5 the kernel tells of a request only when it is issued to the driver. It is counted then,
//! and a flush without data, which is never issued itself, when it completes. Who submits it is seen when it
//! is made: a worker of the kernel's may issue it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use rloop_common::{
    Op,
    bucket::Fine,
    chain::mark,
    device::{DeviceBlock, OpCounters},
    event::EventKind,
    op::OPS,
    slot::Slot,
};

use crate::{
    below, bypass, chain, commit, debug,
    extents::{self, Done},
    flight,
    inner::Values as _,
    kernel::{
        REQ_PREFLUSH, RQ_CMD_FLAGS, RQ_DATA_LEN, RQ_INTERNAL_TAG, RQ_PART, RQ_RQ_FLAGS, RQ_SECTOR,
        RQ_START, RQ_TAG, RQF_FLUSH_SEQ, STARTS_AT_ISSUE, disk, load, now, role, watched,
    },
    maps::{SLOTS, add, block, bump, put, send},
    sampling, split, who,
};

const READ: u32 = Op::Read as u32;
const WRITE: u32 = Op::Write as u32;
const FLUSH: u32 = Op::Flush as u32;

const OP_MASK: u32 = 0xff;
/// `REQ_OP_FLUSH`: the flush machinery's own request.
const REQ_OP_FLUSH: u32 = 2;
const SECTOR_BYTES: u64 = 512;

/// What the block layer calls the operations (`enum req_op`).
pub fn op_of(flags: u32, len_bytes: u32) -> Option<Op> {
    match flags & OP_MASK {
        0 => Some(Op::Read),
        // Its flag is taken away before it is issued: where it is seen later only, what writes nothing is a flush.
        1 if len_bytes == 0
            && (flags & REQ_PREFLUSH.load() != 0 || STARTS_AT_ISSUE.load() != 0) =>
        {
            Some(Op::Flush)
        }
        1 => Some(Op::Write),
        3 | 5 => Some(Op::Discard),
        9 => Some(Op::WriteZeroes),
        _ => None,
    }
}

/// Whether it is a flush without data.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn is_flush(request: *const u8) -> bool {
    // SAFETY: by the caller's promise.
    let (flags, len): (u32, u32) =
        unsafe { (load(request, &RQ_CMD_FLAGS), load(request, &RQ_DATA_LEN)) };
    matches!(op_of(flags, len), Some(Op::Flush))
}

/// The counters of operation number `op`.
#[inline(always)]
pub fn counters(block: *mut DeviceBlock, op: u32) -> Option<*mut OpCounters> {
    if op as usize >= OPS {
        return None;
    }
    // SAFETY: `block` is a map value and `op` is below the array's length.
    Some(unsafe {
        (&raw mut (*block).ops)
            .cast::<OpCounters>()
            .add(op as usize)
    })
}

/// The tag that a request has until it completes: the scheduler's where there is one, else the driver's.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn tag_of(request: *const u8) -> u32 {
    // SAFETY: `request` is trusted by the caller's promise.
    let (tag, scheduler_tag): (i32, i32) =
        unsafe { (load(request, &RQ_TAG), load(request, &RQ_INTERNAL_TAG)) };
    if scheduler_tag >= 0 {
        scheduler_tag as u32
    } else {
        tag as u32
    }
}

/// The slot of a request.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn slot_of(device: u32, request: *const u8) -> Option<*mut Slot> {
    // SAFETY: by the caller's promise.
    SLOTS.value(device, unsafe { tag_of(request) })
}

#[btf_tracepoint(function = "block_io_start")]
pub fn io_start(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted.
    unsafe {
        let Some(disk) = disk(request) else {
            return 0;
        };
        let role = role(disk);
        if role.below {
            below::started(request);
        }
        if let Some(device) = role.device {
            submitted(device, request);
        }
    }
    0
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn submitted(device: u32, request: *const u8) -> Option<()> {
    // SAFETY: `request` is trusted by the caller's promise.
    let (flags, len): (u32, u32) =
        unsafe { (load(request, &RQ_CMD_FLAGS), load(request, &RQ_DATA_LEN)) };
    let Some(op) = op_of(flags, len) else {
        debug::unknown_operation(device, flags);
        return None;
    };
    let op = op as u32;
    let block = block(device)?;
    let counters = counters(block, op)?;
    // SAFETY: map values live as long as the program runs, and only the tag's owner writes its slot.
    unsafe {
        add(&raw mut (*counters).submitted, 1);
        add(&raw mut (*counters).submitted_bytes, u64::from(len));
        let tag = tag_of(request);
        let Some(slot) = SLOTS.value(device, tag) else {
            debug::unknown_tag(device, op);
            return None;
        };
        if (*slot).request != 0
            && let Some(open) = self::counters(block, (*slot).op)
        {
            add(&raw mut (*open).lost, 1);
            if (*slot).weight != 0 {
                flight::leave();
            }
            debug::slot_reused(device, (*slot).op, (*slot).offset_bytes);
            if (*slot).op <= WRITE {
                extents::lost(device, (*slot).offset_bytes, (*slot).len_bytes, (*slot).op);
            }
        }
        open(slot, request, op, len);
        // Back from memory: there it is a number, and the verifier lets us reckon with it.
        let address = (&raw const (*slot).request).read_volatile();
        if (*slot).is_known == 0 {
            (*slot).is_known = 1;
            let _ = bypass::take(address);
        }
        let weight = match op {
            READ | WRITE => sampling::weight(&raw mut (*block).sampling),
            // It is never issued itself.
            FLUSH => 0,
            _ => 1,
        };
        if weight != 0 && (op > WRITE || flight::enter(address, device, tag)) {
            put(&raw mut (*slot).below.filesystem_ns, 0);
            put(&raw mut (*slot).below.disk_start_ns, 0);
            put(&raw mut (*slot).below.disk_end_ns, 0);
            (*slot).is_batched = u32::from(split::follows_others());
            (*slot).weight = weight;
            flight::join();
        }
        chain::submitted(slot, flags);
        if STARTS_AT_ISSUE.load() == 0 {
            who::submitted(device, block, len);
        }
    }
    Some(())
}

/// Whether a slot is that of the request which is issued. Where nothing was heard of it before, it becomes that.
///
/// # Safety
/// As [`load`]; `slot` is that of the request's tag.
#[inline(always)]
unsafe fn has_slot(device: u32, request: *const u8, slot: *mut Slot) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        if STARTS_AT_ISSUE.load() == 0 {
            return (*slot).request == request as u64;
        }
        // The flush machinery's own request is nobody's; and one that was handed back by the driver is
        // issued again.
        if load::<u32>(request, &RQ_CMD_FLAGS) & OP_MASK == REQ_OP_FLUSH {
            return false;
        }
        let again = (*slot).request == request as u64
            && (load::<*const u8>(request, &RQ_PART).is_null()
                || (*slot).start_ns == load::<u64>(request, &RQ_START));
        again || submitted(device, request).is_some()
    }
}

/// Makes a slot that of a new request. Field by field: what says nothing yet is left as it was.
///
/// # Safety
/// As [`load`]; `slot` is a map value.
#[inline(always)]
unsafe fn open(slot: *mut Slot, request: *const u8, op: u32, len: u32) {
    // SAFETY: by the caller's promise.
    unsafe {
        (*slot).request = request as u64;
        put(&raw mut (*slot).issue_ns, 0);
        (*slot).offset_bytes = load::<u64>(request, &RQ_SECTOR) * SECTOR_BYTES;
        (*slot).len_bytes = len;
        put(&raw mut (*slot).is_partly_done, 0);
        (*slot).op = op;
        put(&raw mut (*slot).weight, 0);
        put(&raw mut (*slot).marks, 0);
    }
}

#[btf_tracepoint(function = "block_rq_issue")]
pub fn rq_issue(ctx: BtfTracePointContext) -> i32 {
    // Where requests were counted before, only those are of interest of which somebody asks when they were where.
    if STARTS_AT_ISSUE.load() == 0 && !flight::any() {
        return 0;
    }
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; slots are map values.
    unsafe {
        if let Some(device) = disk(request).and_then(|disk| watched(disk))
            && let Some(slot) = slot_of(device, request)
            && has_slot(device, request, slot)
        {
            if (*slot).weight != 0 {
                (*slot).issue_ns = now();
            }
            if STARTS_AT_ISSUE.load() != 0 && !load::<*const u8>(request, &RQ_PART).is_null() {
                (*slot).start_ns = load(request, &RQ_START);
            }
        }
    }
    0
}

#[btf_tracepoint(function = "block_rq_requeue")]
pub fn rq_requeue(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; slots and blocks are map values.
    unsafe {
        if let Some(device) = disk(request).and_then(|disk| watched(disk))
            && let Some(slot) = slot_of(device, request)
            && (*slot).request == request as u64
            && let Some(block) = block(device)
            && let Some(counters) = counters(block, (*slot).op)
        {
            add(&raw mut (*counters).requeued, 1);
        }
    }
    0
}

#[btf_tracepoint(function = "block_rq_complete")]
pub fn rq_complete(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted.
    unsafe {
        let Some(disk) = disk(request) else {
            return 0;
        };
        let role = role(disk);
        if role.below {
            below::ended(request);
        }
        let Some(device) = role.device else {
            return 0;
        };
        // Parts of a flush sequence complete under its flag; the request itself completes without.
        let flags: u32 = load(request, &RQ_RQ_FLAGS);
        if flags & RQF_FLUSH_SEQ.load() != 0 {
            if load::<u32>(request, &RQ_CMD_FLAGS) & OP_MASK == REQ_OP_FLUSH {
                commit::flushed(device);
            }
            return 0;
        }
        completed(device, request, ctx.arg::<u8>(1), ctx.arg::<u32>(2));
    }
    0
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn completed(device: u32, request: *const u8, error: u8, bytes: u32) -> Option<()> {
    // SAFETY: `request` is trusted by the caller's promise; slots and blocks are map values, and only
    // the tag's owner writes its slot.
    unsafe {
        let slot = slot_of(device, request)?;
        if STARTS_AT_ISSUE.load() != 0 && is_flush(request) {
            submitted(device, request)?;
        }
        if (*slot).request != request as u64 {
            debug::unknown_request(device, (*slot).op);
            return None;
        }
        let left: u32 = load(request, &RQ_DATA_LEN);
        if (*slot).is_partly_done == 0 && left != 0 {
            // Others may have been merged into it. At the end of a flush sequence nothing is left, but then none were.
            (*slot).offset_bytes = load::<u64>(request, &RQ_SECTOR) * SECTOR_BYTES;
            (*slot).len_bytes = left;
        }
        if bytes < left {
            (*slot).is_partly_done = 1;
            return None;
        }
        let block = block(device)?;
        let counters = counters(block, (*slot).op)?;
        let now = now();
        if let Some(bytes) = bypass::take((&raw const (*slot).request).read_volatile()) {
            (*slot).marks |= mark::DIRECT;
            bypass::add_direct(block, (*slot).op == WRITE, bytes);
        }
        (*slot).request = 0;
        let begin = split::begin(device, slot, request, now);
        add(&raw mut (*counters).completed, 1);
        if error != 0 {
            add(&raw mut (*counters).errors, 1);
            send(EventKind::Error, device, now, 0, (*slot).offset_bytes);
        }
        let start = started(request, now);
        let latency_ns = if start == 0 { 0 } else { now - start };
        let fine = bucket(block, latency_ns);
        if start != 0 {
            timed(block, counters, (*slot).op, latency_ns, fine);
        }
        let mut issue = 0;
        if (*slot).weight != 0 {
            flight::leave();
            issue = split::issued(block, slot, request, start);
            split::add_parts(block, slot, [start, issue, begin, now]);
        }
        if start != 0 {
            chain::completed(device, block, slot, [start, issue, begin, now], error);
        }
        if (*slot).op <= WRITE {
            let start = (*slot).offset_bytes;
            let done = Done {
                start,
                end: start + u64::from((*slot).len_bytes),
                write: (*slot).op == WRITE,
                latency_ns,
                fine,
            };
            extents::done(device, block, Some(&raw mut (*block).found), &done);
        }
    }
    Some(())
}

/// When a request that completes now began, 0 if that is not known: without I/O statistics (`part` unset) what it
/// says is of an earlier use of the tag.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn started(request: *const u8, now: u64) -> u64 {
    // SAFETY: `request` is trusted by the caller's promise.
    unsafe {
        let start: u64 = load(request, &RQ_START);
        if load::<*const u8>(request, &RQ_PART).is_null() || start >= now {
            return 0;
        }
        start
    }
}

/// The bucket of a latency.
///
/// # Safety
/// `block` is a map value.
#[inline(always)]
pub unsafe fn bucket(block: *mut DeviceBlock, ns: u64) -> usize {
    // SAFETY: by the caller's promise.
    unsafe {
        if let Some(index) = Fine::index_in((*block).octave as u32 & 31, ns) {
            return index;
        }
        (*block).octave = Fine::octave(ns).into();
        Fine::index(ns)
    }
}

/// Adds the time that a completed request took, and its bucket.
///
/// # Safety
/// Both pointers are to parts of a map value.
#[inline(always)]
pub unsafe fn timed(
    block: *mut DeviceBlock,
    counters: *mut OpCounters,
    op: u32,
    ns: u64,
    fine: usize,
) {
    if op as usize >= OPS {
        return;
    }
    // SAFETY: by the caller's promise; `op` is below the array's length. It was when `counters` was made, but the
    // verifier does not remember that.
    unsafe {
        if ns > (*counters).max_ns {
            (*counters).max_ns = ns;
        }
        bump(
            (&raw mut (*block).total[op as usize])
                .cast::<u32>()
                .add(fine),
            1,
        );
    }
}
