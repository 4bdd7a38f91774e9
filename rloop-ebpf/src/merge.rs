//! Bios that become requests, or are merged into one that is there already; and requests that are.

use aya_ebpf::{EbpfContext as _, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    below, flight,
    kernel::{BIO_OPF, BIO_SIZE, STARTS_AT_ISSUE, disk, load, watched},
    maps::{add, block},
    request::{counters, op_of, slot_of},
    who,
};

/// A request that is merged into another one was none: it never completes. Its bytes are the other's.
#[btf_tracepoint(function = "block_rq_merge")]
pub fn rq_merge(ctx: BtfTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted; slots and blocks are map values, and only
    // the tag's owner writes its slot.
    unsafe {
        if let Some(device) = disk(request).and_then(|disk| watched(disk))
            && let Some(slot) = slot_of(device, request)
            && (*slot).request == request as u64
            && let Some(block) = block(device)
            && let Some(counters) = counters(block, (*slot).op)
        {
            (*slot).request = 0;
            if (*slot).weight != 0 {
                flight::leave();
            }
            // Minus one; the sum over all processors is right.
            add(&raw mut (*counters).submitted, u64::MAX);
            add(&raw mut (*block).merges, 1);
        }
    }
    0
}

/// A request is made for a bio. Only where nothing else tells who submits it.
#[btf_tracepoint(function = "block_getrq")]
pub fn get_request(ctx: BtfTracePointContext) -> i32 {
    let bio: *const u8 = ctx.arg(0);
    // SAFETY: the argument of a BTF tracepoint is trusted.
    unsafe {
        if let Some(device) = below::bio_disk(bio).and_then(|disk| watched(disk)) {
            who::submitted_by_any(device, load(bio, &BIO_SIZE));
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
        if let Some(device) = below::bio_disk(bio).and_then(|disk| watched(disk))
            && let Some(block) = block(device)
        {
            let (len, flags): (u32, u32) = (load(bio, &BIO_SIZE), load(bio, &BIO_OPF));
            // Where requests are counted when they are issued, it is a part of one by then.
            if STARTS_AT_ISSUE.load() == 0
                && let Some(op) = op_of(flags, len)
                && let Some(counters) = counters(block, op as u32)
            {
                add(&raw mut (*counters).submitted_bytes, u64::from(len));
            }
            add(&raw mut (*block).merges, 1);
            who::merged(device, len);
        }
    }
    0
}
