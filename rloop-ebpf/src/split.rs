//! Where the time of a completed request went: queue, worker, filesystem, disk.

use rloop_common::{chain::mark, device::Split, slot::Slot};

use crate::{
    kernel::{CMD_USE_AIO, RQ_SIZE, peek},
    maps::{WORKERS, add},
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

/// Adds the parts of a request, as often as it counts.
///
/// # Safety
/// Both pointers are to map values.
#[inline(always)]
pub unsafe fn add_parts(split: *mut Split, slot: *mut Slot, [start, issue, begin, now]: [u64; 4]) {
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
