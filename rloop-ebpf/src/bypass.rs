//! How the bytes of backing files go: by direct I/O or through the page cache.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use rloop_common::{
    Op,
    chain::mark,
    device::{Bypass, DeviceBlock},
};

use crate::{
    debug, flight,
    kernel::{
        FILE_INODE, INODE_INO, ITER_COUNT, KIOCB_COMPLETE, KIOCB_FILE, KIOCB_FLAGS, MAPPING_HOST,
        file_of, follow, load, peek,
    },
    maps::{READERS, add, block, occupy, place_of, private},
};

const PAGE_BYTES: u64 = 4096;
/// `IOCB_WRITE` in `kiocb.ki_flags`.
const IOCB_WRITE: i32 = 1 << 18;

/// A buffered read under way.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Read {
    /// The inode's address.
    pub inode: u64,
    /// First page that was counted.
    pub first: u64,
    /// The page the read ends before.
    pub end: u64,
}

#[inline(always)]
fn bypass(inode: *const u8) -> Option<*mut Bypass> {
    let block = block(file_of(inode)?)?;
    // SAFETY: a map value lives as long as the program runs.
    Some(unsafe { &raw mut (*block).bypass })
}

#[btf_tracepoint(function = "iomap_dio_complete")]
pub fn dio_complete(ctx: BtfTracePointContext) -> i32 {
    let iocb: *const u8 = ctx.arg(0);
    // Only completions count: begin events repeat when the caller retries.
    let bytes: i64 = ctx.arg(2);
    // SAFETY: the argument of a BTF tracepoint is trusted.
    if bytes > 0 && !unsafe { leave(iocb, bytes as u64) } {
        let _ = direct(iocb, bytes as u64);
    }
    0
}

/// Leaves word of direct I/O for its request, which completes next. To find that costs less from there than from
/// here. False if the I/O is not the loop driver's, as far as is known, or if the place is taken.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn leave(iocb: *const u8, bytes: u64) -> bool {
    // SAFETY: by the caller's promise.
    let (complete, driver): (u64, u64) =
        unsafe { (load(iocb, &KIOCB_COMPLETE), (*private()).driver) };
    if driver == 0 || complete != driver || bytes >> 32 != 0 {
        return false;
    }
    let name = flight::spread(iocb as u64 as u32);
    // SAFETY: the probes' own memory.
    let place = place_of(unsafe { &raw mut (*private()).done }, name);
    occupy(place, bytes << 32 | u64::from(name))
}

/// Takes what was left for a request: how many bytes of it went by direct I/O.
#[inline(always)]
pub fn take(request: u64) -> Option<u64> {
    let name = flight::spread((request + flight::distance()) as u32);
    // SAFETY: the probes' own memory; what is there is the request's until it is taken.
    unsafe {
        let place = place_of(&raw mut (*private()).done, name);
        let left = *place;
        if left as u32 != name {
            return None;
        }
        *place = 0;
        Some(left >> 32)
    }
}

/// Counts bytes that went by direct I/O.
///
/// # Safety
/// `block` is a map value.
#[inline(always)]
pub unsafe fn add_direct(block: *mut DeviceBlock, write: bool, bytes: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        let bypass = &raw mut (*block).bypass;
        if write {
            add(&raw mut (*bypass).direct_write_bytes, bytes);
        } else {
            add(&raw mut (*bypass).direct_read_bytes, bytes);
        }
    }
}

#[inline(always)]
fn direct(iocb: *const u8, bytes: u64) -> Option<()> {
    // SAFETY: map values live as long as the program runs; only the tag's owner writes its slot.
    unsafe {
        // The loop driver sets no flag for writes; its own request tells.
        let (block, write) = match flight::slot(iocb) {
            Some((device, slot)) => {
                (*slot).marks |= mark::DIRECT;
                (*private()).driver = peek(iocb, &KIOCB_COMPLETE);
                (block(device)?, (*slot).op == Op::Write as u32)
            }
            None => {
                let inode = follow(follow(iocb, &KIOCB_FILE), &FILE_INODE);
                let block = block(file_of(inode)?)?;
                debug::foreign_direct_io(peek(inode, &INODE_INO), bytes);
                let write = peek::<i32>(iocb, &KIOCB_FLAGS) & IOCB_WRITE != 0;
                (block, write)
            }
        };
        add_direct(block, write, bytes);
    }
    Some(())
}

/// A buffered read asks for pages several times, each time for what is left of it: only the first
/// time counts.
#[btf_tracepoint(function = "mm_filemap_get_pages")]
pub fn get_pages(ctx: BtfTracePointContext) -> i32 {
    let (first, last): (u64, u64) = (ctx.arg(1), ctx.arg(2));
    let inode = follow(ctx.arg(0), &MAPPING_HOST);
    let Some(bypass) = bypass(inode) else {
        return 0;
    };
    let end = last + 1;
    let reader = bpf_get_current_pid_tgid();
    if let Some(read) = READERS.get_ptr(reader) {
        // SAFETY: a map value lives as long as the program runs, and only this thread writes it.
        let read = unsafe { *read };
        if read.inode == inode as u64 && read.end == end && first > read.first {
            return 0;
        }
    }
    // A failure counts the rest of one read twice.
    let _ = READERS.insert(
        reader,
        Read {
            inode: inode as u64,
            first,
            end,
        },
        0,
    );
    // SAFETY: as above.
    add(
        unsafe { &raw mut (*bypass).buffered_read_bytes },
        end.saturating_sub(first) * PAGE_BYTES,
    );
    0
}

/// `(inode, position, length, copied)`: what was asked may exceed what was copied.
#[inline(always)]
fn write_end(ctx: &RawTracePointContext) -> i32 {
    if let Some(bypass) = bypass(ctx.arg(0)) {
        // SAFETY: a map value lives as long as the program runs.
        add(
            unsafe { &raw mut (*bypass).buffered_write_bytes },
            u64::from(ctx.arg::<u32>(3)),
        );
    }
    0
}

#[raw_tracepoint(tracepoint = "ext4_write_end")]
pub fn ext4_write_end(ctx: RawTracePointContext) -> i32 {
    write_end(&ctx)
}

#[raw_tracepoint(tracepoint = "ext4_da_write_end")]
pub fn ext4_da_write_end(ctx: RawTracePointContext) -> i32 {
    write_end(&ctx)
}

#[raw_tracepoint(tracepoint = "ext4_journalled_write_end")]
pub fn ext4_journalled_write_end(ctx: RawTracePointContext) -> i32 {
    write_end(&ctx)
}

#[raw_tracepoint(tracepoint = "xfs_file_buffered_write")]
pub fn xfs_buffered_write(ctx: RawTracePointContext) -> i32 {
    let iocb: *const u8 = ctx.arg(0);
    if let Some(bypass) = bypass(follow(follow(iocb, &KIOCB_FILE), &FILE_INODE)) {
        let bytes: u64 = peek(ctx.arg(1), &ITER_COUNT);
        // SAFETY: a map value lives as long as the program runs.
        add(unsafe { &raw mut (*bypass).buffered_write_bytes }, bytes);
    }
    0
}
