//! Requests of watched loop devices: counted at submission, timed at completion.
//!
//! The slot of a request is that of its tag, so nothing is inserted or looked up in a hash. A slot
//! still open when its tag is submitted again is a completion that was lost; so submitted is always
//! completed + lost + in flight.

use aya_ebpf::{
    EbpfContext as _, helpers::bpf_ktime_get_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use rloop_common::{
    Op,
    bucket::{Coarse, Fine},
    device::{DeviceBlock, OpCounters},
    event::EventKind,
    op::OPS,
    slot::Slot,
};

use crate::{
    below, commit, debug, extents,
    kernel::{
        BIO_SIZE, REQ_PREFLUSH, RQ_CMD_FLAGS, RQ_DATA_LEN, RQ_INTERNAL_TAG, RQ_PART, RQ_RQ_FLAGS,
        RQ_SECTOR, RQ_START, RQ_TAG, RQF_FLUSH_SEQ, disk_number, load, watched,
    },
    maps::{SLOTS, add, block, bump, send},
    who,
};

const OP_MASK: u32 = 0xff;
/// `REQ_OP_FLUSH`: the flush machinery's own request.
const REQ_OP_FLUSH: u32 = 2;
const SECTOR_BYTES: u64 = 512;

/// What the block layer calls the operations (`enum req_op`).
fn op_of(flags: u32, len_bytes: u32) -> Option<Op> {
    match flags & OP_MASK {
        0 => Some(Op::Read),
        1 if len_bytes == 0 && flags & REQ_PREFLUSH.load() != 0 => Some(Op::Flush),
        1 => Some(Op::Write),
        3 | 5 => Some(Op::Discard),
        9 => Some(Op::WriteZeroes),
        _ => None,
    }
}

/// The counters of operation number `op`.
#[inline(always)]
fn counters(block: *mut DeviceBlock, op: u32) -> Option<*mut OpCounters> {
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

/// The slot of a request: by scheduler tag where a scheduler gives them, else by driver tag.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn slot_of(device: u32, request: *const u8) -> Option<*mut Slot> {
    // SAFETY: `request` is trusted by the caller's promise.
    let (tag, scheduler_tag): (i32, i32) =
        unsafe { (load(request, &RQ_TAG), load(request, &RQ_INTERNAL_TAG)) };
    let index = if scheduler_tag >= 0 {
        scheduler_tag
    } else {
        tag
    };
    SLOTS.get_value_ptr_mut(device, &(index as u32))
}

#[btf_tracepoint(function = "block_io_start")]
pub fn io_start(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted.
    let Some(number) = (unsafe { disk_number(request) }) else {
        return 0;
    };
    below::started(request, number);
    if let Some(device) = watched(number) {
        // SAFETY: as above.
        unsafe { submitted(device, request) };
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
        let Some(slot) = slot_of(device, request) else {
            debug::unknown_tag(device, op);
            return None;
        };
        if (*slot).request != 0
            && let Some(open) = self::counters(block, (*slot).op)
        {
            add(&raw mut (*open).lost, 1);
            debug::slot_reused(device, (*slot).op, (*slot).offset_bytes);
        }
        slot.write(Slot {
            request: request as u64,
            op,
            ..Slot::default()
        });
    }
    who::submitted(device, len);
    Some(())
}

/// Counts what a request moves. Until it is issued, others may still be merged into it.
///
/// # Safety
/// As [`load`]; `slot` is the request's.
#[inline(always)]
unsafe fn issued_first(device: u32, request: *const u8, slot: *mut Slot) -> Option<()> {
    // SAFETY: `request` is trusted by the caller's promise; only the tag's owner writes its slot.
    unsafe {
        let (len, sector): (u32, u64) = (load(request, &RQ_DATA_LEN), load(request, &RQ_SECTOR));
        let (offset, op) = (sector * SECTOR_BYTES, (*slot).op);
        (*slot).offset_bytes = offset;
        (*slot).len_bytes = len;
        let block = block(device)?;
        let counters = counters(block, op)?;
        add(&raw mut (*counters).submitted_bytes, u64::from(len));
        if op <= Op::Write as u32 {
            extents::submitted(device, block, offset, len, op == Op::Write as u32);
        }
    }
    Some(())
}

#[btf_tracepoint(function = "block_rq_issue")]
pub fn rq_issue(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; slots are map values.
    unsafe {
        if let Some(device) = disk_number(request).and_then(watched)
            && let Some(slot) = slot_of(device, request)
            && (*slot).request == request as u64
        {
            if (*slot).issue_ns == 0 {
                let _ = issued_first(device, request, slot);
            }
            (*slot).issue_ns = bpf_ktime_get_ns();
            if !load::<*const u8>(request, &RQ_PART).is_null() {
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
        if let Some(device) = disk_number(request).and_then(watched)
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
        let Some(number) = disk_number(request) else {
            return 0;
        };
        below::ended(request, number);
        let Some(device) = watched(number) else {
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
        let left: u32 = load(request, &RQ_DATA_LEN);
        if ctx.arg::<u32>(2) < left {
            return 0;
        }
        completed(device, request, ctx.arg::<u8>(1));
    }
    0
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn completed(device: u32, request: *const u8, error: u8) -> Option<()> {
    // SAFETY: `request` is trusted by the caller's promise; slots and blocks are map values, and only
    // the tag's owner writes its slot.
    unsafe {
        let slot = slot_of(device, request)?;
        if (*slot).request != request as u64 {
            debug::unknown_request(device, (*slot).op);
            return None;
        }
        let block = block(device)?;
        let counters = counters(block, (*slot).op)?;
        let now = bpf_ktime_get_ns();
        (*slot).request = 0;
        add(&raw mut (*counters).completed, 1);
        if error != 0 {
            add(&raw mut (*counters).errors, 1);
            send(EventKind::Error, device, now, 0, (*slot).offset_bytes);
        }
        // Without I/O statistics (`part` unset) the start time is that of an earlier use of the tag.
        if load::<*const u8>(request, &RQ_PART).is_null() {
            return None;
        }
        let start: u64 = load(request, &RQ_START);
        if start == 0 || start > now || ((*slot).start_ns != 0 && (*slot).start_ns != start) {
            return None;
        }
        timed(block, counters, slot, start, now);
        if (*slot).op <= Op::Write as u32 {
            extents::completed(device, (*slot).offset_bytes, (*slot).len_bytes, now - start);
        }
    }
    Some(())
}

/// Adds a completed request's times.
///
/// # Safety
/// All pointers are to map values.
#[inline(always)]
unsafe fn timed(
    block: *mut DeviceBlock,
    counters: *mut OpCounters,
    slot: *mut Slot,
    start: u64,
    now: u64,
) {
    // SAFETY: by the caller's promise; `op` was checked when `counters` was made, and once more here
    // because the verifier does not remember it.
    unsafe {
        let op = (*slot).op as usize;
        if op >= OPS {
            return;
        }
        let total = now - start;
        add(&raw mut (*counters).total_ns, total);
        if total > (*counters).max_ns {
            (*counters).max_ns = total;
        }
        bump(
            (&raw mut (*block).total[op])
                .cast::<u32>()
                .add(Fine::index(total)),
        );
        let issue = (*slot).issue_ns;
        if issue < start || issue > now {
            return;
        }
        bump(
            (&raw mut (*block).queue[op])
                .cast::<u32>()
                .add(Coarse::index(issue - start)),
        );
        bump(
            (&raw mut (*block).service[op])
                .cast::<u32>()
                .add(Coarse::index(now - issue)),
        );
        let filesystem = (*slot).filesystem_ns;
        if filesystem < issue || filesystem > now {
            return;
        }
        let disk = match ((*slot).disk_start_ns, (*slot).disk_end_ns) {
            (first, last) if first >= filesystem && last >= first && last <= now => last - first,
            _ => 0,
        };
        let split = &raw mut (*block).split;
        add(&raw mut (*split).requests, 1);
        add(&raw mut (*split).queue_ns, issue - start);
        add(&raw mut (*split).worker_ns, filesystem - issue);
        add(&raw mut (*split).filesystem_ns, now - filesystem - disk);
        add(&raw mut (*split).disk_ns, disk);
    }
}

/// A request that is merged into another one was none: it never completes.
#[btf_tracepoint(function = "block_rq_merge")]
pub fn rq_merge(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; slots and blocks are map values, and only
    // the tag's owner writes its slot.
    unsafe {
        if let Some(device) = disk_number(request).and_then(watched)
            && let Some(slot) = slot_of(device, request)
            && (*slot).request == request as u64
            && let Some(block) = block(device)
            && let Some(counters) = counters(block, (*slot).op)
        {
            (*slot).request = 0;
            // Minus one; the sum over all processors is right.
            add(&raw mut (*counters).submitted, u64::MAX);
            add(&raw mut (*block).merges, 1);
        }
    }
    0
}

#[btf_tracepoint(function = "block_bio_backmerge")]
pub fn bio_backmerge(ctx: BtfTracePointContext) -> i32 {
    merged(&ctx)
}

#[btf_tracepoint(function = "block_bio_frontmerge")]
pub fn bio_frontmerge(ctx: BtfTracePointContext) -> i32 {
    merged(&ctx)
}

#[inline(always)]
fn merged(ctx: &BtfTracePointContext) -> i32 {
    debug_assert!(!ctx.as_ptr().is_null());
    let bio: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; blocks are map values.
    unsafe {
        if let Some(device) = below::bio_disk(bio).and_then(watched)
            && let Some(block) = block(device)
        {
            add(&raw mut (*block).merges, 1);
            who::merged(device, load(bio, &BIO_SIZE));
        }
    }
    0
}
