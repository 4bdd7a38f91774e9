//! Who submits to the watched devices: the process itself, not the worker that serves it.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
};
use rloop_common::who::{Who, Work};

use crate::maps::{SUBMITTERS, add};

/// Counts a request of `len` bytes for the current process.
#[inline(always)]
pub fn submitted(device: u32, len: u32) {
    count(device, 1, len);
}

/// Counts `len` bytes that the current process adds to a request.
#[inline(always)]
pub fn merged(device: u32, len: u32) {
    count(device, 0, len);
}

#[inline(always)]
fn count(device: u32, requests: u64, len: u32) {
    let process = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the helper has no preconditions.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let who = Who {
        device,
        process,
        cgroup,
    };
    if let Some(work) = SUBMITTERS.get_ptr_mut(who) {
        // SAFETY: a map value lives as long as the program runs.
        unsafe {
            add(&raw mut (*work).requests, requests);
            add(&raw mut (*work).bytes, u64::from(len));
        }
        return;
    }
    let work = Work {
        requests,
        bytes: u64::from(len),
        command: bpf_get_current_comm().unwrap_or_default(),
    };
    // The map forgets the least recent when it is full; a failure loses one line of a table only.
    let _ = SUBMITTERS.insert(who, work, 0);
}
