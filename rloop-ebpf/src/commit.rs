//! Journal commits of the filesystems that hold watched files.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::raw_tracepoint, programs::RawTracePointContext};
use rloop_common::event::EventKind;

use crate::{
    kernel::{BDEV_DEV, JOURNAL_DEV, follow, peek},
    maps::{COMMITS, FILESYSTEMS, send},
};

#[raw_tracepoint(tracepoint = "jbd2_start_commit")]
pub fn jbd2_start(ctx: RawTracePointContext) -> i32 {
    let journal: *const u8 = ctx.arg(0);
    if FILESYSTEMS.get_ptr(filesystem(journal)).is_some() {
        // SAFETY: the helper has no preconditions. A journal has one commit at a time.
        let _ = COMMITS.insert(journal as u64, unsafe { bpf_ktime_get_ns() }, 0);
    }
    0
}

#[raw_tracepoint(tracepoint = "jbd2_end_commit")]
pub fn jbd2_end(ctx: RawTracePointContext) -> i32 {
    let journal: *const u8 = ctx.arg(0);
    if let Some(start) = COMMITS.get_ptr(journal as u64) {
        // SAFETY: a map value lives as long as the program runs; the helper has no preconditions.
        let (start, now) = unsafe { (*start, bpf_ktime_get_ns()) };
        let _ = COMMITS.remove(journal as u64);
        send(
            EventKind::Commit,
            filesystem(journal),
            now,
            now.saturating_sub(start),
            0,
        );
    }
    0
}

/// The device number of the filesystem that owns a journal.
#[inline(always)]
fn filesystem(journal: *const u8) -> u32 {
    peek(follow(journal, &JOURNAL_DEV), &BDEV_DEV)
}
