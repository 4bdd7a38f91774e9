//! What happens to the holes of backing files: allocations, conversions, punches.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use rloop_common::device::Holes;

use crate::{
    kernel::{
        AR_FLAGS, AR_INODE, AR_LEN, INODE_BLKBITS, IREC_COUNT, MAP_LEN, XFS_VNODE, file_of, follow,
        peek,
    },
    maps::{add, block},
};

/// `EXT4_MB_HINT_DATA`: blocks for data, not for the extent tree.
const MB_HINT_DATA: u32 = 0x20;
/// `EXT4_GET_BLOCKS_CONVERT`: the call turns unwritten blocks into written ones.
const GET_BLOCKS_CONVERT: u32 = 0x10;

/// Which counters an event adds to.
enum Change {
    Fill,
    Conversion,
    Punch,
}

/// Counts a change of a file's mapping.
#[inline(always)]
fn changed(inode: *const u8, change: Change, bytes: u64) -> Option<()> {
    let device = file_of(inode)?;
    let block = block(device)?;
    // SAFETY: a map value lives as long as the program runs.
    unsafe {
        let holes: *mut Holes = &raw mut (*block).holes;
        let (count, sum) = match change {
            Change::Fill => (&raw mut (*holes).fills, &raw mut (*holes).fill_bytes),
            Change::Conversion => (
                &raw mut (*holes).conversions,
                &raw mut (*holes).conversion_bytes,
            ),
            Change::Punch => (&raw mut (*holes).punches, &raw mut (*holes).punched_bytes),
        };
        add(count, 1);
        add(sum, bytes);
    }
    Some(())
}

/// The bytes of `blocks` blocks of the inode's filesystem.
#[inline(always)]
fn bytes(inode: *const u8, blocks: u64) -> u64 {
    blocks << (peek::<u8>(inode, &INODE_BLKBITS) & 31)
}

#[raw_tracepoint(tracepoint = "ext4_allocate_blocks")]
pub fn ext4_allocate(ctx: RawTracePointContext) -> i32 {
    let request: *const u8 = ctx.arg(0);
    if peek::<u32>(request, &AR_FLAGS) & MB_HINT_DATA != 0 {
        let inode = follow(request, &AR_INODE);
        let _ = changed(
            inode,
            Change::Fill,
            bytes(inode, u64::from(peek::<u32>(request, &AR_LEN))),
        );
    }
    0
}

#[raw_tracepoint(tracepoint = "ext4_ext_handle_unwritten_extents")]
pub fn ext4_convert(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(2) & GET_BLOCKS_CONVERT != 0 {
        let inode: *const u8 = ctx.arg(0);
        let _ = changed(
            inode,
            Change::Conversion,
            bytes(inode, u64::from(peek::<u32>(ctx.arg(1), &MAP_LEN))),
        );
    }
    0
}

#[raw_tracepoint(tracepoint = "ext4_punch_hole")]
pub fn ext4_punch(ctx: RawTracePointContext) -> i32 {
    let _ = changed(ctx.arg(0), Change::Punch, ctx.arg::<u64>(2));
    0
}

#[inline(always)]
fn xfs_inode(inode: *const u8) -> *const u8 {
    inode.wrapping_add(XFS_VNODE.load() as usize)
}

#[raw_tracepoint(tracepoint = "xfs_iomap_alloc")]
pub fn xfs_allocate(ctx: RawTracePointContext) -> i32 {
    let inode = xfs_inode(ctx.arg(0));
    let _ = changed(
        inode,
        Change::Fill,
        bytes(inode, peek::<u64>(ctx.arg(4), &IREC_COUNT)),
    );
    0
}

#[raw_tracepoint(tracepoint = "xfs_unwritten_convert")]
pub fn xfs_convert(ctx: RawTracePointContext) -> i32 {
    let _ = changed(xfs_inode(ctx.arg(0)), Change::Conversion, ctx.arg::<u64>(2));
    0
}

/// The event does not tell the range.
#[raw_tracepoint(tracepoint = "xfs_free_file_space")]
pub fn xfs_punch(ctx: RawTracePointContext) -> i32 {
    let _ = changed(xfs_inode(ctx.arg(0)), Change::Punch, 0);
    0
}
