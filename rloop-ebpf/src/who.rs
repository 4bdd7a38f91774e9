//! Who submits to the watched devices, and who takes their mappings back: the process itself, not the worker that
//! serves it.

use aya_ebpf::{
    btf_maps::LruHashMap,
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid},
};
use rloop_common::{
    device::DeviceBlock,
    who::{RECENTS, Recent, Who, Work},
};

use crate::maps::{RECALLERS, SUBMITTERS, add, put};

/// Counts a request of `len` bytes for the current process. Most of the time that is one of those that did so
/// of late on this processor, and found without a search in the table of them all.
///
/// # Safety
/// `block` is that of the device, and only the calling program counts requests of the device so.
#[inline(always)]
pub unsafe fn submitted(device: u32, block: *mut DeviceBlock, len: u32) {
    let current = current(device);
    // SAFETY: by the caller's promise; a program does not run twice at once on a processor.
    unsafe {
        let recent = (&raw mut (*block).recent)
            .cast::<Recent>()
            .add(current.process as usize & (RECENTS - 1));
        let work = &raw mut (*recent).work;
        if (*recent).process != current.process || (*recent).cgroup != current.cgroup {
            // Odd on the way: who reads then, reads again.
            put(&raw mut (*recent).changes, (*recent).changes + 1);
            if (*work).requests != 0 {
                let before = Who {
                    device,
                    process: (*recent).process,
                    cgroup: (*recent).cgroup,
                };
                let command = || (*work).command;
                count(
                    &SUBMITTERS,
                    before,
                    (*work).requests,
                    (*work).bytes,
                    command,
                );
            }
            put(&raw mut (*recent).process, current.process);
            put(&raw mut (*recent).cgroup, current.cgroup);
            put(&raw mut (*work).requests, 0);
            put(&raw mut (*work).bytes, 0);
            (*work).command = command();
            put(&raw mut (*recent).changes, (*recent).changes + 1);
        }
        (*work).requests += 1;
        (*work).bytes += u64::from(len);
    }
}

/// The same where several programs count.
#[inline(always)]
pub fn submitted_by_any(device: u32, len: u32) {
    count(&SUBMITTERS, current(device), 1, len.into(), command);
}

/// Counts `len` bytes that the current process adds to a request.
#[inline(always)]
pub fn merged(device: u32, len: u32) {
    count(&SUBMITTERS, current(device), 0, len.into(), command);
}

/// Counts that the current process takes a mapping back.
#[inline(always)]
pub fn recalled(device: u32) {
    count(&RECALLERS, current(device), 1, 0, command);
}

/// The number of the current process.
#[inline(always)]
pub fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn current(device: u32) -> Who {
    Who {
        device,
        process: process(),
        // SAFETY: the helper has no preconditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
    }
}

/// The current thread's name.
#[inline(always)]
fn command() -> [u8; 16] {
    bpf_get_current_comm().unwrap_or_default()
}

#[inline(always)]
fn count<const MOST: usize>(
    table: &LruHashMap<Who, Work, MOST>,
    who: Who,
    requests: u64,
    bytes: u64,
    command: impl FnOnce() -> [u8; 16],
) {
    if let Some(work) = table.get_ptr_mut(who) {
        // SAFETY: a map value lives as long as the program runs.
        unsafe {
            add(&raw mut (*work).requests, requests);
            add(&raw mut (*work).bytes, bytes);
        }
        return;
    }
    let work = Work {
        requests,
        bytes,
        command: command(),
    };
    // The map forgets the least recent when it is full; a failure loses one line of a table only.
    let _ = table.insert(who, work, 0);
}
