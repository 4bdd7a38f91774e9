// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, declared in `rloop_trace.h`. Each costs a call and a patched-out jump when nobody
//! listens.

use kernel::ffi::c_int;

use crate::{
    bio::{Bio, Op},
    device::Device,
    extent::{Extent, State},
    fast::From,
};

mod raw {
    use kernel::ffi::c_int;

    extern "C" {
        pub(super) fn rloop_trace_map_hit(dev: u32, ino: u64, offset: u64, extent: u64, state: u32);
        pub(super) fn rloop_trace_map_miss(dev: u32, ino: u64, offset: u64, bytes: u64, op: u32);
        pub(super) fn rloop_trace_extent_insert(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u64,
            sector: u64,
            state: u32,
        );
        pub(super) fn rloop_trace_extent_drop(dev: u32, ino: u64, offset: u64, bytes: u64);
        pub(super) fn rloop_trace_io_submit(
            dev: u32,
            ino: u64,
            offset: u64,
            extent: u64,
            sector: u64,
            bytes: u32,
            op: u32,
            wait_ns: u64,
        );
        pub(super) fn rloop_trace_io_done(
            dev: u32,
            ino: u64,
            offset: u64,
            extent: u64,
            sector: u64,
            bytes: u32,
            op: u32,
            ns: u64,
            error: c_int,
        );
        pub(super) fn rloop_trace_zero_read(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u32,
            state: u32,
            wait_ns: u64,
            ns: u64,
        );
        pub(super) fn rloop_trace_vfs_submit(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u32,
            op: u32,
            wait_ns: u64,
        );
        pub(super) fn rloop_trace_vfs_done(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u32,
            op: u32,
            wait_ns: u64,
            ns: u64,
            error: c_int,
            direct: u32,
        );
        pub(super) fn rloop_trace_fill_begin(dev: u32, ino: u64, offset: u64, bytes: u64, how: u32);
        pub(super) fn rloop_trace_fill_data(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u64,
            how: u32,
            ns: u64,
            error: c_int,
        );
        pub(super) fn rloop_trace_commit_begin(dev: u32, ino: u64, fills: u64);
        pub(super) fn rloop_trace_commit_end(dev: u32, ino: u64, fills: u64, ns: u64, error: c_int);
        pub(super) fn rloop_trace_fallback(
            dev: u32,
            ino: u64,
            offset: u64,
            bytes: u64,
            op: u32,
            reason: u32,
        );
        pub(super) fn rloop_trace_invalidate(dev: u32, ino: u64, offset: u64, bytes: u64);
        pub(super) fn rloop_trace_lease_break(dev: u32, ino: u64, pid: c_int);
        pub(super) fn rloop_trace_recall_begin(dev: u32, ino: u64, pid: c_int);
        pub(super) fn rloop_trace_recall_drained(dev: u32, ino: u64, ns: u64);
        pub(super) fn rloop_trace_recall_end(dev: u32, ino: u64, ns: u64, reason: u32);
        pub(super) fn rloop_trace_clock() -> u64;
    }
}

/// Calls one of the C functions, all of which take plain numbers.
macro_rules! fire {
    ($device:expr, $event:ident $(, $argument:expr)*) => {
        // SAFETY: It takes numbers and may be called in any context.
        unsafe { raw::$event($device.dev(), $device.backing.ino $(, $argument)*) }
    };
}

/// A part of the file, in bytes, and what is done to it.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) op: Op,
}

/// Where I/O goes.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) part: Part,
    /// Where in the file the extent begins, in bytes.
    pub(crate) extent: u64,
    /// Where on the disk, in sectors.
    pub(crate) sector: u64,
}

/// Why a worker has to look at I/O.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Fallback {
    /// Nothing is known of the range.
    Absent = 0,
    /// It has no data yet.
    NoData = 1,
    /// The filesystem is frozen.
    Frozen = 2,
    /// Fills have to be made durable first.
    Dirty = 3,
    /// The operation changes the file's blocks.
    Changes = 4,
}

/// What fills a hole.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum How {
    /// The filesystem, which makes it durable later.
    Vfs = 0,
    /// We do.
    Layout = 1,
    /// The filesystem, which makes it durable at once.
    VfsDurable = 2,
}

impl How {
    /// How the filesystem fills one.
    pub(crate) fn by_vfs(durable: bool) -> Self {
        if durable {
            Self::VfsDurable
        } else {
            Self::Vfs
        }
    }
}

/// When what is done began, and how long it had waited for a worker by then. In nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    /// When the driver got it; 0 if nobody listened then.
    pub(crate) came_ns: u64,
    /// 0 only if it needs no worker.
    pub(crate) wait_ns: u64,
}

impl Begun {
    /// Of a bio that begins now.
    #[inline]
    pub(crate) fn now(bio: &Bio, from: From) -> Self {
        if from == From::Submitter {
            return Self {
                came_ns: clock(),
                wait_ns: 0,
            };
        }
        let came_ns = bio.came_ns();
        Self {
            came_ns,
            wait_ns: since(came_ns).max(1),
        }
    }
}

/// What goes through the filesystem, from when a worker asks for it until it ends.
pub(crate) struct Vfs {
    part: Part,
    begun: Begun,
}

impl Vfs {
    pub(crate) fn submit(device: &Device, bio: &Bio) -> Self {
        let (part, begun) = (device.part(bio), Begun::now(bio, From::Worker));
        let Part { offset, bytes, op } = part;
        fire!(
            device,
            rloop_trace_vfs_submit,
            offset,
            bytes,
            op as u32,
            begun.wait_ns
        );
        Self { part, begun }
    }

    pub(crate) fn done(&self, device: &Device, error: c_int, direct: bool) {
        let Part { offset, bytes, op } = self.part;
        fire!(
            device,
            rloop_trace_vfs_done,
            offset,
            bytes,
            op as u32,
            self.begun.wait_ns,
            since(self.begun.came_ns),
            error,
            direct.into()
        );
    }

    /// The same as a fill.
    pub(crate) fn fill_begin(&self, device: &Device, how: How) {
        fill_begin(device, self.part, how);
    }

    /// The same as a fill.
    pub(crate) fn fill_data(&self, device: &Device, how: How, error: c_int) {
        fill_data(device, self.part, how, since(self.begun.came_ns), error);
    }
}

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
pub(crate) fn io_done(device: &Device, to: &Target, ns: u64, error: c_int) {
    let Part { offset, bytes, op } = to.part;
    fire!(
        device,
        rloop_trace_io_done,
        offset,
        to.extent,
        to.sector,
        bytes,
        op as u32,
        ns,
        error
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
        since(begun.came_ns)
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

pub(crate) fn commit_begin(device: &Device, fills: u64) {
    fire!(device, rloop_trace_commit_begin, fills);
}

pub(crate) fn commit_end(device: &Device, fills: u64, ns: u64, error: c_int) {
    fire!(device, rloop_trace_commit_end, fills, ns, error);
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

/// Nanoseconds since the machine began.
pub(crate) fn now() -> u64 {
    // SAFETY: It may be called in any context.
    unsafe { kernel::bindings::ktime_get() as u64 }
}

/// How long ago something was, by [`clock`]; 0 if that is not known. Nanoseconds.
#[inline]
pub(crate) fn since(started_ns: u64) -> u64 {
    if started_ns == 0 {
        return 0;
    }
    clock().saturating_sub(started_ns)
}

/// When an I/O began, for [`since`]; 0 if nobody will want to know. Nanoseconds.
#[inline]
pub(crate) fn clock() -> u64 {
    // SAFETY: It may be called in any context.
    unsafe { raw::rloop_trace_clock() }
}
