//! Where the time of a completed request went: queue, worker, filesystem, disk.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use rloop_common::{
    Op,
    bucket::Coarse,
    chain::mark,
    device::{DeviceBlock, Split},
    op::OPS,
    slot::Slot,
};

use crate::{
    kernel::{CMD_USE_AIO, PLUG_COUNT, RQ_IO_START, RQ_SIZE, TASK_PLUG, load, peek},
    maps::{WORKERS, add, bump},
};

/// When the filesystem got a request that completes now, at the earliest; 0 if that is not known.
///
/// To be asked for every request, because of those that follow: what does not go by direct I/O is
/// served by a worker from beginning to end, one after the other. So the worker got to it when it was
/// done with the one before, at the earliest.
///
/// # Safety
/// `slot` is a map value.
#[inline(always)]
pub unsafe fn begin(device: u32, slot: *mut Slot, request: *const u8, now: u64) -> u64 {
    // SAFETY: by the caller's promise.
    unsafe {
        if (*slot).weight != 0 && (*slot).below.filesystem_ns != 0 {
            return (*slot).below.filesystem_ns;
        }
        if (*slot).marks & mark::DIRECT != 0 || CMD_USE_AIO.load() == 0 {
            return 0;
        }
        let command = request.wrapping_add(RQ_SIZE.load() as usize);
        if peek::<u8>(command, &CMD_USE_AIO) != 0 {
            return 0;
        }
        let Some(done) = WORKERS.get_ptr_mut(device) else {
            return 0;
        };
        let before = *done;
        *done = now;
        // The first one of all was not waited for.
        if before == 0 { 1 } else { before }
    }
}

/// Adds the parts of the time of a completed request, as often as it counts.
///
/// # Safety
/// Both pointers are to map values.
#[inline(always)]
pub unsafe fn add_parts(
    block: *mut DeviceBlock,
    slot: *mut Slot,
    [start, issue, begin, now]: [u64; 4],
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let op = (*slot).op as usize;
        if start == 0 || issue < start || issue > now || op >= OPS {
            return;
        }
        let weight = (*slot).weight;
        let queue = (&raw mut (*block).queue[op]).cast::<u32>();
        bump(queue.add(Coarse::index(issue - start)), weight);
        let service = (&raw mut (*block).service[op]).cast::<u32>();
        bump(service.add(Coarse::index(now - issue)), weight);
        if op <= Op::Write as usize {
            add_sums(&raw mut (*block).split, slot, [start, issue, begin, now]);
        }
    }
}

/// When a request was issued; 0 if that is not known, which is counted.
///
/// # Safety
/// As [`load`]; the other pointers are to map values.
#[inline(always)]
pub unsafe fn issued(
    block: *mut DeviceBlock,
    slot: *mut Slot,
    request: *const u8,
    start: u64,
) -> u64 {
    // SAFETY: by the caller's promise.
    unsafe {
        let own: u64 = load(request, &RQ_IO_START);
        // The same as its start is that of one submitted alone, and issued at once; of others it says nothing.
        let is_told = own > start || (own == start && (*slot).is_batched == 0);
        if !is_told {
            add(&raw mut (*block).untold, 1);
        }
        if (*slot).issue_ns != 0 {
            (*slot).issue_ns
        } else if is_told {
            own
        } else {
            0
        }
    }
}

/// Whether the current process holds requests back to submit the one that it makes now with them.
#[inline(always)]
pub fn follows_others() -> bool {
    // SAFETY: the helper has no preconditions, and the current task is trusted.
    unsafe {
        let task = bpf_get_current_task_btf().cast::<u8>();
        let plug: *const u8 = load(task, &TASK_PLUG);
        !plug.is_null() && load::<u16>(plug, &PLUG_COUNT) != 0
    }
}

/// Adds the parts of a read or write, as often as it counts.
///
/// # Safety
/// Both pointers are to map values.
#[inline(always)]
unsafe fn add_sums(split: *mut Split, slot: *mut Slot, [start, issue, begin, now]: [u64; 4]) {
    // SAFETY: by the caller's promise.
    unsafe {
        let is_derived = (*slot).below.filesystem_ns == 0;
        // What is derived is when the worker was done with the one before.
        let begin = if is_derived && begin != 0 && begin < issue {
            issue
        } else {
            begin
        };
        if issue < start || begin < issue || begin > now {
            return;
        }
        let disk = match ((*slot).below.disk_start_ns, (*slot).below.disk_end_ns) {
            (first, last) if first >= begin && last >= first && last <= now => last - first,
            _ => 0,
        };
        let weight = u64::from((*slot).weight);
        add(&raw mut (*split).requests, weight);
        add(&raw mut (*split).sampled, 1);
        if is_derived {
            add(&raw mut (*split).derived, weight);
        }
        add(&raw mut (*split).queue_ns, weight * (issue - start));
        add(&raw mut (*split).worker_ns, weight * (begin - issue));
        add(
            &raw mut (*split).filesystem_ns,
            weight * (now - begin - disk),
        );
        add(&raw mut (*split).disk_ns, weight * disk);
    }
}
