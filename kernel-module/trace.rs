// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, declared in `rloop_trace.h`. Each costs a call and a patched-out jump when nobody
//! listens.

use kernel::ffi::c_int;

use crate::{
    device::Device,
    extent::{Extent, State},
};

mod clock;
mod commit;
mod part;
mod raw;
mod vfs;

pub(crate) use self::{
    clock::{clock, now, since, Begun},
    commit::Commit,
    part::{Fallback, How, Outcome, Part, Target},
    vfs::Vfs,
};

/// Calls one of the C functions, all of which take plain numbers.
macro_rules! fire {
    ($device:expr, $event:ident $(, $argument:expr)*) => {
        // SAFETY: It takes numbers and may be called in any context.
        unsafe { raw::$event($device.dev(), $device.backing.ino $(, $argument)*) }
    };
}
use fire;

#[inline]
pub(crate) fn map_hit(device: &Device, offset: u64, extent: &Extent) {
    let start = device.geometry.bytes(extent.start);
    fire!(
        device,
        rloop_trace_map_hit,
        offset,
        start,
        extent.state as u32
    );
}

pub(crate) fn map_miss(device: &Device, part: Part) {
    fire!(
        device,
        rloop_trace_map_miss,
        part.offset,
        part.bytes.into(),
        part.op as u32
    );
}

pub(crate) fn extent_insert(device: &Device, extent: &Extent) {
    let geometry = &device.geometry;
    let (offset, bytes) = (geometry.bytes(extent.start), geometry.bytes(extent.len));
    let sector = geometry.disk_sector(extent.disk);
    fire!(
        device,
        rloop_trace_extent_insert,
        offset,
        bytes,
        sector,
        extent.state as u32
    );
}

pub(crate) fn extent_drop(device: &Device, offset: u64, bytes: u64) {
    fire!(device, rloop_trace_extent_drop, offset, bytes);
}

#[inline]
pub(crate) fn io_submit(device: &Device, to: &Target, wait_ns: u64) {
    let Part { offset, bytes, op } = to.part;
    fire!(
        device,
        rloop_trace_io_submit,
        offset,
        to.extent,
        to.sector,
        bytes,
        op as u32,
        wait_ns
    );
}

#[inline]
pub(crate) fn io_done(device: &Device, to: &Target, outcome: &Outcome) {
    let Part { offset, bytes, op } = to.part;
    fire!(
        device,
        rloop_trace_io_done,
        offset,
        to.extent,
        to.sector,
        bytes,
        op as u32,
        outcome.came_ns,
        outcome.error,
        outcome.wait_ns,
        outcome.filled_ns,
        outcome.durable.into()
    );
}

pub(crate) fn zero_read(device: &Device, part: Part, state: State, begun: Begun) {
    fire!(
        device,
        rloop_trace_zero_read,
        part.offset,
        part.bytes,
        state as u32,
        begun.wait_ns,
        begun.came_ns
    );
}

pub(crate) fn fill_begin(device: &Device, part: Part, how: How) {
    fire!(
        device,
        rloop_trace_fill_begin,
        part.offset,
        part.bytes.into(),
        how as u32
    );
}

pub(crate) fn fill_data(device: &Device, part: Part, how: How, ns: u64, error: c_int) {
    fire!(
        device,
        rloop_trace_fill_data,
        part.offset,
        part.bytes.into(),
        how as u32,
        ns,
        error
    );
}

pub(crate) fn fallback(device: &Device, part: Part, reason: Fallback) {
    let Part { offset, bytes, op } = part;
    fire!(
        device,
        rloop_trace_fallback,
        offset,
        bytes.into(),
        op as u32,
        reason as u32
    );
}

pub(crate) fn invalidate(device: &Device, offset: u64, bytes: u64) {
    fire!(device, rloop_trace_invalidate, offset, bytes);
}

pub(crate) fn lease_break(device: &Device, pid: c_int) {
    fire!(device, rloop_trace_lease_break, pid);
}

pub(crate) fn recall_begin(device: &Device, pid: c_int) {
    fire!(device, rloop_trace_recall_begin, pid);
}

pub(crate) fn recall_drained(device: &Device, ns: u64) {
    fire!(device, rloop_trace_recall_drained, ns);
}

pub(crate) fn recall_end(device: &Device, ns: u64, reason: u32) {
    fire!(device, rloop_trace_recall_end, ns, reason);
}
