//! What else the kernel module rloop tells: why requests need a worker, fills and their commits, changes of the
//! mapping and who takes it back.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use rloop_common::{
    chain::{CommitTrace, Head, RangeTrace, TraceKind},
    event::EventKind,
    rloop::{REASONS, Rloop},
};

use crate::{
    chain,
    kernel::now,
    maps::{add, send},
    rloop::{device, moved},
    who,
};

/// `how` of a fill that is durable without a commit.
const DURABLE: u32 = 2;

/// Where an event's device counts what only devices of rloop have.
#[inline(always)]
fn counters(ctx: &RawTracePointContext) -> Option<*mut Rloop> {
    let block = device(ctx)?.block;
    // SAFETY: the block is a map value.
    Some(unsafe { &raw mut (*block).rloop })
}

/// `(dev, ino, offset, bytes, op, reason)`: in the context of who submitted it.
#[raw_tracepoint(tracepoint = "rloop_fallback")]
pub fn rloop_fallback(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let reason = ctx.arg::<u32>(5) as usize;
    if reason < REASONS {
        // SAFETY: the block is a map value, and the reason below the array's length.
        add(unsafe { &raw mut (*device.block).rloop.reasons[reason] }, 1);
    }
    who::submitted_by_any(device.slot, ctx.arg::<u64>(3) as u32);
    chain::arrived(device.slot, ctx.arg(2));
    0
}

/// `(dev, ino, offset, bytes, how, ns, error)`
#[raw_tracepoint(tracepoint = "rloop_fill_data")]
pub fn rloop_fill_data(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<i32>(6) != 0 {
        return 0;
    }
    let Some(counters) = counters(&ctx) else {
        return 0;
    };
    // SAFETY: they are a part of a map value.
    unsafe {
        moved(&raw mut (*counters).fills, ctx.arg(3));
        add(&raw mut (*counters).fill_ns, ctx.arg(5));
        if ctx.arg::<u32>(4) == DURABLE {
            add(&raw mut (*counters).durable_fills, 1);
        }
    }
    0
}

/// `(dev, ino, fills, began_ns, error, commit, how)`
#[raw_tracepoint(tracepoint = "rloop_commit_end")]
pub fn rloop_commit_end(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    let (fills, began_ns): (u64, u64) = (ctx.arg(2), ctx.arg(3));
    let now = now();
    let ns = now.saturating_sub(began_ns);
    // SAFETY: the block is a map value.
    unsafe {
        let counters = &raw mut (*device.block).rloop;
        add(&raw mut (*counters).commits, 1);
        add(&raw mut (*counters).commit_ns, ns);
        if ctx.arg::<i32>(4) == 0 {
            if fills != 0 {
                add(&raw mut (*counters).group_commits, 1);
                add(&raw mut (*counters).committed_fills, fills);
                add(&raw mut (*counters).durable_fills, fills);
            }
        } else {
            add(&raw mut (*counters).commit_errors, 1);
        }
    }
    send(EventKind::RloopCommit, device.slot, now, ns, 0);
    chain::send(CommitTrace {
        head: Head {
            kind: TraceKind::Commit as u32,
            device: device.slot,
        },
        number: ctx.arg(5),
        fills,
        start_ns: began_ns,
        end_ns: now,
        on_disk: ctx.arg::<u32>(6) & 1,
        failed: u32::from(ctx.arg::<i32>(4) != 0),
    });
    0
}

/// `(dev, ino, commit, offset, bytes)`
#[raw_tracepoint(tracepoint = "rloop_commit_range")]
pub fn rloop_commit_range(ctx: RawTracePointContext) -> i32 {
    let Some(device) = device(&ctx) else { return 0 };
    chain::send(RangeTrace {
        head: Head {
            kind: TraceKind::Range as u32,
            device: device.slot,
        },
        number: ctx.arg(2),
        offset_bytes: ctx.arg(3),
        bytes: ctx.arg(4),
    });
    0
}

/// `(dev, ino, pid)`: in the context of who wants the mapping back, if it is somebody.
#[raw_tracepoint(tracepoint = "rloop_lease_break")]
pub fn rloop_lease_break(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<i32>(2) != 0
        && let Some(device) = device(&ctx)
    {
        who::recalled(device.slot);
    }
    0
}

/// `(dev, ino, ns, reason)`
#[raw_tracepoint(tracepoint = "rloop_recall_end")]
pub fn rloop_recall_end(ctx: RawTracePointContext) -> i32 {
    let Some(counters) = counters(&ctx) else {
        return 0;
    };
    let ns: u64 = ctx.arg(2);
    // SAFETY: they are a part of a map value.
    unsafe {
        add(&raw mut (*counters).recalls, 1);
        add(&raw mut (*counters).recall_ns, ns);
        if ns > (*counters).recall_max_ns {
            (*counters).recall_max_ns = ns;
        }
    }
    0
}

#[raw_tracepoint(tracepoint = "rloop_invalidate")]
pub fn rloop_invalidate(ctx: RawTracePointContext) -> i32 {
    if let Some(counters) = counters(&ctx) {
        // SAFETY: they are a part of a map value.
        add(unsafe { &raw mut (*counters).invalidations }, 1);
    }
    0
}

#[raw_tracepoint(tracepoint = "rloop_extent_insert")]
pub fn rloop_extent_insert(ctx: RawTracePointContext) -> i32 {
    map_changed(&ctx)
}

#[raw_tracepoint(tracepoint = "rloop_extent_drop")]
pub fn rloop_extent_drop(ctx: RawTracePointContext) -> i32 {
    map_changed(&ctx)
}

#[inline(always)]
fn map_changed(ctx: &RawTracePointContext) -> i32 {
    if let Some(counters) = counters(ctx) {
        // SAFETY: they are a part of a map value.
        add(unsafe { &raw mut (*counters).map_changes }, 1);
    }
    0
}
