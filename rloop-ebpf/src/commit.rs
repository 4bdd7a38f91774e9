//! Commits that watched devices wait for: what their flush requests make the filesystem below do.
//!
//! The loop driver's worker turns a flush into an fsync of the backing file. Whether that has to
//! commit shows where it happens: on ext4 by the end of the transaction that the file is in, or of a
//! fast commit; on xfs by the worker's log force; on btrfs by the log that the worker writes, or the
//! transaction that it commits, or by the log of somebody else that the file went into. The last two
//! filesystems tell no end, so theirs is that of the flush request.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use rloop_common::event::EventKind;

use crate::{
    kernel::{
        BDEV_DEV, BTRFS_LOG_COMMIT, BTRFS_LOGGED, BTRFS_VNODE, EXT4_SYNC_TID, EXT4_VNODE,
        FILE_INODE, INODE_SB, JOURNAL_DEV, LOG_PAGES, SB_DEV, TASK_MM, TRANSACTION_TID, TREE_OWNER,
        XFS_SUPER, file_of, follow, now, peek, xfs_inode,
    },
    maps::{COMMITS, COMMITTED, FILESYSTEMS, FLUSHES, SERVED, add, block, send},
};

/// `EXT4_FC_STATUS_OK`: a fast commit that worked.
const FC_STATUS_OK: u32 = 0;

/// Which filesystem has a flush.
#[derive(Clone, Copy, PartialEq)]
#[repr(u64)]
pub enum Kind {
    Ext4 = 1,
    Xfs,
    Btrfs,
}

/// A flush of a watched device that its filesystem works on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flush {
    /// [`Kind`] of the filesystem, 0 while there is no flush.
    kind: u64,
    /// The thread that serves it.
    worker: u64,
    /// When the filesystem got it.
    start_ns: u64,
    /// Since when it is known to wait for a commit; 0 if it is not.
    commit_ns: u64,
    /// The backing file's inode.
    inode: u64,
    /// btrfs: where the file was last in a log, when the flush began.
    logged: Logged,
}

/// The last log that a btrfs file is in.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq)]
struct Logged {
    transaction: u64,
    commit: u64,
}

#[inline(always)]
fn logged(inode: *const u8) -> Logged {
    let file = inode.wrapping_sub(BTRFS_VNODE.load() as usize);
    Logged {
        transaction: peek(file, &BTRFS_LOGGED),
        commit: u64::from(peek::<u32>(file, &BTRFS_LOG_COMMIT)),
    }
}

/// A journal commit that ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Commit {
    start_ns: u64,
    end_ns: u64,
}

/// An fsync of a backing file begins.
#[inline(always)]
fn begin(kind: Kind, inode: *const u8) -> Option<()> {
    let device = file_of(inode)?;
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    // Only the driver's worker, a kernel thread, works for the device; a process that syncs the
    // file has memory of its own.
    if !follow(task, &TASK_MM).is_null() {
        return None;
    }
    let worker = bpf_get_current_pid_tgid();
    let flush = Flush {
        kind: kind as u64,
        worker,
        start_ns: now(),
        commit_ns: 0,
        inode: inode as u64,
        logged: match kind {
            Kind::Btrfs => logged(inode),
            _ => Logged::default(),
        },
    };
    FLUSHES.set(device, flush, 0).ok()?;
    SERVED.insert(worker, device, 0).ok()
}

/// The flush that the current thread serves, and its device.
#[inline(always)]
fn served(kind: Kind) -> Option<(u32, *mut Flush)> {
    let worker = bpf_get_current_pid_tgid();
    // SAFETY: map values live as long as the program runs.
    unsafe {
        let device = *SERVED.get_ptr(worker)?;
        let flush = FLUSHES.get_ptr_mut(device)?;
        ((*flush).kind == kind as u64 && (*flush).worker == worker).then_some((device, flush))
    }
}

/// Counts a commit for a device.
#[inline(always)]
fn count(device: u32) {
    if let Some(block) = block(device) {
        // SAFETY: a map value lives as long as the program runs.
        add(unsafe { &raw mut (*block).commits }, 1);
    }
}

/// The flush that the current thread serves has to commit. Only the first word of it counts.
#[inline(always)]
fn commits(kind: Kind, since_ns: impl Fn(&Flush) -> u64) -> Option<()> {
    let (device, flush) = served(kind)?;
    // SAFETY: a map value lives as long as the program runs, and only its worker writes it now.
    unsafe {
        if (*flush).commit_ns != 0 {
            return None;
        }
        (*flush).commit_ns = since_ns(&*flush);
    }
    count(device);
    Some(())
}

/// A flush request of the watched `device` ended: so did what its filesystem did for it.
#[inline(always)]
pub fn flushed(device: u32) -> Option<()> {
    let flush = FLUSHES.get_ptr_mut(device)?;
    // SAFETY: a map value lives as long as the program runs; the worker is done with it.
    let ended = unsafe { *flush };
    if ended.kind != Kind::Xfs as u64 && ended.kind != Kind::Btrfs as u64 {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*flush).kind = 0 };
    if ended.commit_ns != 0 {
        ended_at(device, &ended, ended.commit_ns, now());
    } else if ended.kind == Kind::Btrfs as u64 && logged(ended.inode as *const u8) != ended.logged {
        // The file went into a log that somebody else was about to write, and the flush waited for it.
        count(device);
        ended_at(device, &ended, ended.start_ns, now());
    }
    Some(())
}

#[inline(always)]
fn ended_at(device: u32, flush: &Flush, start_ns: u64, now_ns: u64) {
    send(
        EventKind::Commit,
        device,
        now_ns,
        now_ns.saturating_sub(start_ns),
        flush.start_ns,
    );
}

#[raw_tracepoint(tracepoint = "ext4_sync_file_enter")]
pub fn ext4_sync_enter(ctx: RawTracePointContext) -> i32 {
    let _ = begin(Kind::Ext4, follow(ctx.arg(0), &FILE_INODE));
    0
}

/// Back from the filesystem: the flush waited for the transaction that the file was last in, if that
/// was committed meanwhile. Where somebody went on writing, the file may be in the next one by now.
#[raw_tracepoint(tracepoint = "ext4_sync_file_exit")]
pub fn ext4_sync_exit(ctx: RawTracePointContext) -> i32 {
    let Some((device, flush)) = served(Kind::Ext4) else {
        return 0;
    };
    // SAFETY: a map value lives as long as the program runs, and only its worker writes it now.
    let flush = unsafe {
        (*flush).kind = 0;
        *flush
    };
    let inode: *const u8 = ctx.arg(0);
    let number: u32 = peek(follow(inode, &INODE_SB), &SB_DEV);
    let file = inode.wrapping_sub(EXT4_VNODE.load() as usize);
    let last: u32 = peek(file, &EXT4_SYNC_TID);
    let transactions = [last, last.wrapping_sub(1)];
    if let Some(commit) = transactions
        .iter()
        .find_map(|&transaction| committed_since(flush.start_ns, number, transaction))
    {
        count(device);
        ended_at(device, &flush, commit.start_ns, commit.end_ns);
    }
    0
}

/// The commit of a transaction, if it ended after `since`.
#[inline(always)]
fn committed_since(since: u64, filesystem: u32, transaction: u32) -> Option<Commit> {
    let commit = COMMITTED.get_ptr(key(filesystem, transaction))?;
    // SAFETY: a map value lives as long as the program runs.
    let commit = unsafe { *commit };
    (commit.end_ns >= since).then_some(commit)
}

/// Transactions by filesystem and number.
fn key(filesystem: u32, transaction: u32) -> u64 {
    u64::from(filesystem) << 32 | u64::from(transaction)
}

#[raw_tracepoint(tracepoint = "jbd2_start_commit")]
pub fn jbd2_start(ctx: RawTracePointContext) -> i32 {
    let journal: *const u8 = ctx.arg(0);
    if FILESYSTEMS.get_ptr(filesystem(journal)).is_some() {
        // A journal has one commit at a time.
        let _ = COMMITS.insert(journal as u64, now(), 0);
    }
    0
}

/// Those who wait are woken after this.
#[raw_tracepoint(tracepoint = "jbd2_end_commit")]
pub fn jbd2_end(ctx: RawTracePointContext) -> i32 {
    let journal: *const u8 = ctx.arg(0);
    if let Some(start) = COMMITS.get_ptr(journal as u64) {
        // SAFETY: a map value lives as long as the program runs.
        let commit = Commit {
            start_ns: unsafe { *start },
            end_ns: now(),
        };
        let _ = COMMITS.remove(journal as u64);
        let transaction = peek(ctx.arg(1), &TRANSACTION_TID);
        // The map forgets the least recent.
        let _ = COMMITTED.insert(key(filesystem(journal), transaction), commit, 0);
    }
    0
}

/// The device number of the filesystem that owns a journal.
#[inline(always)]
fn filesystem(journal: *const u8) -> u32 {
    peek(follow(journal, &JOURNAL_DEV), &BDEV_DEV)
}

#[raw_tracepoint(tracepoint = "ext4_fc_commit_start")]
pub fn ext4_fast_start(_ctx: RawTracePointContext) -> i32 {
    if let Some((_, flush)) = served(Kind::Ext4) {
        // SAFETY: a map value lives as long as the program runs, and only its worker writes it now.
        unsafe { (*flush).commit_ns = now() };
    }
    0
}

/// `(superblock, blocks, status, transaction)`: one that did not work out becomes a whole commit.
#[raw_tracepoint(tracepoint = "ext4_fc_commit_stop")]
pub fn ext4_fast_stop(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(2) == FC_STATUS_OK
        && let Some((device, flush)) = served(Kind::Ext4)
    {
        count(device);
        // SAFETY: as above.
        let flush = unsafe { *flush };
        ended_at(device, &flush, flush.commit_ns, now());
    }
    0
}

#[raw_tracepoint(tracepoint = "xfs_file_fsync")]
pub fn xfs_sync(ctx: RawTracePointContext) -> i32 {
    let _ = begin(Kind::Xfs, xfs_inode(ctx.arg(0)));
    0
}

/// `(mount, sequence, caller)`: without a sequence it is the clock's or somebody's `sync`.
#[raw_tracepoint(tracepoint = "xfs_log_force")]
pub fn xfs_force(ctx: RawTracePointContext) -> i32 {
    let number: u32 = peek(follow(ctx.arg(0), &XFS_SUPER), &SB_DEV);
    if ctx.arg::<u64>(1) != 0 && FILESYSTEMS.get_ptr(number).is_some() {
        let _ = commits(Kind::Xfs, |_| now());
    }
    0
}

#[raw_tracepoint(tracepoint = "btrfs_sync_file")]
pub fn btrfs_sync(ctx: RawTracePointContext) -> i32 {
    let _ = begin(Kind::Btrfs, follow(ctx.arg(0), &FILE_INODE));
    0
}

/// `(tree, start, length, bits set, bits cleared)`: the blocks of a log are about to be written.
#[raw_tracepoint(tracepoint = "btrfs_convert_extent_bit")]
pub fn btrfs_log(ctx: RawTracePointContext) -> i32 {
    if u32::from(peek::<u8>(ctx.arg(0), &TREE_OWNER)) == LOG_PAGES.load() {
        let _ = commits(Kind::Btrfs, |_| now());
    }
    0
}

/// A transaction was committed: what an fsync does that cannot do with the log.
#[raw_tracepoint(tracepoint = "btrfs_transaction_commit")]
pub fn btrfs_commit(_ctx: RawTracePointContext) -> i32 {
    let _ = commits(Kind::Btrfs, |flush| flush.start_ns);
    0
}
