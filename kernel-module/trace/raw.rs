// SPDX-License-Identifier: GPL-2.0

//! The C functions that fire the tracepoints, in `trace.c`.

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
        came_ns: u64,
        error: c_int,
        wait_ns: u64,
        filled_ns: u64,
        durable: u32,
    );
    pub(super) fn rloop_trace_zero_read(
        dev: u32,
        ino: u64,
        offset: u64,
        bytes: u32,
        state: u32,
        wait_ns: u64,
        came_ns: u64,
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
        came_ns: u64,
        error: c_int,
        direct: u32,
        fills: u32,
        durable: u32,
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
    pub(super) fn rloop_trace_commit_begin(dev: u32, ino: u64, fills: u64, commit: u64, how: u32);
    pub(super) fn rloop_trace_commit_range(
        dev: u32,
        ino: u64,
        commit: u64,
        offset: u64,
        bytes: u64,
    );
    pub(super) fn rloop_trace_commit_end(
        dev: u32,
        ino: u64,
        fills: u64,
        began_ns: u64,
        error: c_int,
        commit: u64,
        how: u32,
    );
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
