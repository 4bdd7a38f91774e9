// SPDX-License-Identifier: GPL-2.0

//! The C half, as Rust sees it: `shim.c`, and functions of the kernel that its bindings leave out.

use core::ffi::c_void;

use kernel::{
    bindings,
    ffi::{c_int, c_uint, c_ulong},
};

/// One answer of a filesystem's `map_blocks`, in bytes. As `struct rloop_mapping`.
#[repr(C)]
pub(crate) struct Mapping {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) disk: u64,
    pub(crate) bdev: *mut bindings::block_device,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
}

/// A range whose data is on disk, in bytes. As `struct rloop_written`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Written {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) disk: u64,
}

/// `IOMAP_HOLE`, in [`Mapping::kind`].
pub(crate) const IOMAP_HOLE: u32 = 0;
/// `IOMAP_MAPPED`.
pub(crate) const IOMAP_MAPPED: u32 = 2;
/// `IOMAP_UNWRITTEN`.
pub(crate) const IOMAP_UNWRITTEN: u32 = 3;

/// `struct fsnotify_group`: all who watch filesystems.
#[repr(C)]
pub(crate) struct Watchers([u8; 0]);

/// `struct rloop_watch`: who watches one.
#[repr(C)]
pub(crate) struct Watch([u8; 0]);

type Work = bindings::work_struct;
type WorkFunction = unsafe extern "C" fn(*mut Work);

extern "C" {
    static rloop_feat_base: u32;
    static rloop_feat_nowait: u32;
    static rloop_feat_io_stat: u32;
    static rloop_feat_not_ours: u32;
    static rloop_feat_zoned: u32;
    static rloop_gfp_noio: c_uint;
    static rloop_gfp_map: c_uint;
    static rloop_sts_notsupp: u32;
    static rloop_sts_ioerr: u32;
    static rloop_sts_again: u32;
    static rloop_fmode_read: u32;
    static rloop_fmode_write: u32;
    static rloop_iocb_dsync: u32;
    static rloop_fl_lease: u32;
    static rloop_fl_layout: u32;

    pub(crate) fn rloop_lock_init(lock: *mut bindings::spinlock_t);
    pub(crate) fn rloop_lock(lock: *mut bindings::spinlock_t) -> c_ulong;
    pub(crate) fn rloop_unlock(lock: *mut bindings::spinlock_t, flags: c_ulong);

    pub(crate) fn rloop_epoch_init(epoch: *mut bindings::srcu_struct) -> c_int;
    pub(crate) fn rloop_epoch_enter(epoch: *mut bindings::srcu_struct) -> *mut c_void;
    pub(crate) fn rloop_epoch_leave(epoch: *mut bindings::srcu_struct, reader: *mut c_void);
    pub(crate) fn rloop_free_after_readers(memory: *mut c_void);

    pub(crate) fn rloop_work_init(work: *mut Work, function: WorkFunction);
    pub(crate) fn rloop_delayed_work_init(work: *mut bindings::delayed_work, f: WorkFunction);
    pub(crate) fn rloop_reclaim_enter() -> c_uint;
    pub(crate) fn rloop_throttle_enter() -> c_uint;
    pub(crate) fn rloop_reclaim_leave(noio: c_uint, flags: c_uint);

    pub(crate) fn rloop_wait_for_change(number: *mut u32, from: u32, ms: c_uint);
    pub(crate) fn rloop_wake(number: *mut u32);

    pub(crate) fn rloop_try_start_write(sb: *mut bindings::super_block) -> bool;
    pub(crate) fn rloop_start_write(sb: *mut bindings::super_block);
    pub(crate) fn rloop_end_write(sb: *mut bindings::super_block);
    pub(crate) fn rloop_wait_for_thaw(sb: *mut bindings::super_block);
    pub(crate) fn rloop_may(file: *mut bindings::file, mask: c_int) -> c_int;
    pub(crate) fn rloop_touch(file: *mut bindings::file);
    pub(crate) fn rloop_is_read_only(sb: *mut bindings::super_block) -> bool;
    pub(crate) fn rloop_sync_filesystem(sb: *mut bindings::super_block) -> c_int;

    pub(crate) fn rloop_wait_for_direct_io(inode: *mut bindings::inode);
    pub(crate) fn rloop_hold_size(inode: *mut bindings::inode, writers: c_int, end: u64) -> bool;
    pub(crate) fn rloop_release_size(inode: *mut bindings::inode);
    pub(crate) fn rloop_inode_size(inode: *mut bindings::inode) -> u64;

    pub(crate) fn rloop_zero_fill(bio: *mut bindings::bio);
    pub(crate) fn rloop_trace_remap(clone: *mut bindings::bio, original: *mut bindings::bio);
    pub(crate) fn rloop_disk_alloc(limits: *mut bindings::queue_limits) -> *mut bindings::gendisk;
    pub(crate) fn rloop_disk_is_open(disk: *mut bindings::gendisk) -> bool;
    pub(crate) fn rloop_disk_lock(disk: *mut bindings::gendisk);
    pub(crate) fn rloop_disk_unlock(disk: *mut bindings::gendisk);
    pub(crate) fn rloop_disk_of(device: *mut bindings::device) -> *mut bindings::gendisk;

    pub(crate) fn rloop_lease_take(
        file: *mut bindings::file,
        flags: u32,
        owner: *mut c_void,
    ) -> c_int;
    pub(crate) fn rloop_lease_give_back(file: *mut bindings::file, owner: *mut c_void) -> c_int;

    pub(crate) fn rloop_watchers_alloc() -> *mut Watchers;
    pub(crate) fn rloop_watchers_free(watchers: *mut Watchers);
    pub(crate) fn rloop_watch_begin(
        watchers: *mut Watchers,
        sb: *mut bindings::super_block,
        owner: *mut c_void,
    ) -> *mut Watch;
    pub(crate) fn rloop_watch_end(watch: *mut Watch);

    pub(crate) fn rloop_nodes() -> u32;

    pub(crate) fn rloop_has_layouts(sb: *mut bindings::super_block) -> bool;
    pub(crate) fn rloop_map_blocks(
        inode: *mut bindings::inode,
        offset: u64,
        length: u64,
        write: bool,
        mapping: *mut Mapping,
    ) -> c_int;
    pub(crate) fn rloop_commit_blocks(
        inode: *mut bindings::inode,
        written: *const Written,
        count: c_int,
    ) -> c_int;

    pub(crate) fn rloop_stats_alloc(count: u32) -> *mut u64;
    pub(crate) fn rloop_stats_free(stats: *mut u64);
    pub(crate) fn rloop_stats_add(stats: *mut u64, index: u32, value: u64);
    pub(crate) fn rloop_stats_sum(stats: *mut u64, index: u32) -> u64;
}

/// The most ranges in one call of [`rloop_commit_blocks`]. As `RLOOP_COMMIT_BATCH`.
pub(crate) const COMMIT_BATCH: usize = 16;

/// Names for a C constant of the shim.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $c:ident;)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name() -> $type {
                // SAFETY: It is a constant.
                unsafe { $c }
            }
        )*
    };
}

constants! {
    /// What every device can: a write cache that is flushed, FUA, statistics.
    feat_base: u32 = rloop_feat_base;
    /// Says at once what it would have to wait for.
    feat_nowait: u32 = rloop_feat_nowait;
    /// Statistics are on.
    feat_io_stat: u32 = rloop_feat_io_stat;
    /// What a disk below may be able to, and we are not.
    feat_not_ours: u32 = rloop_feat_not_ours;
    /// A disk whose zones are written from one end to the other.
    feat_zoned: u32 = rloop_feat_zoned;
    /// May sleep, may not start I/O.
    gfp_noio: c_uint = rloop_gfp_noio;
    /// May sleep, does not fail.
    gfp_map: c_uint = rloop_gfp_map;
    /// Not supported.
    sts_notsupp: u32 = rloop_sts_notsupp;
    /// I/O error.
    sts_ioerr: u32 = rloop_sts_ioerr;
    /// Would have to wait.
    sts_again: u32 = rloop_sts_again;
    /// The file is open for reading.
    fmode_read: u32 = rloop_fmode_read;
    /// The file is open for writing.
    fmode_write: u32 = rloop_fmode_write;
    /// Durable before it completes.
    iocb_dsync: u32 = rloop_iocb_dsync;
    /// A lease that is broken by an open for writing and by a truncation.
    fl_lease: u32 = rloop_fl_lease;
    /// A lease that is broken by whatever changes the file's blocks.
    fl_layout: u32 = rloop_fl_layout;
}
