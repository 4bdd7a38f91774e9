//! What happens to the holes of backing files: allocations, conversions, punches.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext,
};
use rloop_common::device::Holes;

use crate::{
    kernel::{
        AR_FLAGS, AR_INODE, AR_LEN, BTRFS_VNODE, INODE_BLKBITS, IREC_COUNT, IREC_START, MAP_LEN,
        ORDERED_BYTES, ORDERED_FLAGS, ORDERED_PREALLOC, ORDERED_REGULAR, file_of, follow, peek,
        xfs_inode,
    },
    maps::{PUNCHES, add, block},
};

/// `EXT4_MB_HINT_DATA`: blocks for data, not for the extent tree.
const MB_HINT_DATA: u32 = 0x20;
/// `EXT4_GET_BLOCKS_CONVERT`: the call turns unwritten blocks into written ones.
const GET_BLOCKS_CONVERT: u32 = 0x10;
/// Bits of an xfs block number that are all set where blocks are reserved and not yet allocated
/// (`isnullstartblock`).
const DELAYED: u64 = ((1 << 35) - 1) << 17;

/// Which counters an event adds to.
enum Change {
    Fill,
    Conversion,
    Punch,
}

/// The counter of a change and that of its bytes.
///
/// # Safety
/// `holes` is a part of a map value.
#[inline(always)]
unsafe fn counters(holes: *mut Holes, change: Change) -> (*mut u64, *mut u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        match change {
            Change::Fill => (&raw mut (*holes).fills, &raw mut (*holes).fill_bytes),
            Change::Conversion => (
                &raw mut (*holes).conversions,
                &raw mut (*holes).conversion_bytes,
            ),
            Change::Punch => (&raw mut (*holes).punches, &raw mut (*holes).punched_bytes),
        }
    }
}

/// Counts a change of a file's mapping.
#[inline(always)]
fn changed(inode: *const u8, change: Change, bytes: u64) -> Option<()> {
    let block = block(file_of(inode)?)?;
    // SAFETY: a map value lives as long as the program runs.
    unsafe {
        let (count, sum) = counters(&raw mut (*block).holes, change);
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

/// `(inode, map, flags, blocks of the extent from there on, new block)`: the map may ask for more
/// than the extent has, and then comes again for the rest.
#[raw_tracepoint(tracepoint = "ext4_ext_handle_unwritten_extents")]
pub fn ext4_convert(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<u32>(2) & GET_BLOCKS_CONVERT != 0 {
        let inode: *const u8 = ctx.arg(0);
        let blocks = peek::<u32>(ctx.arg(1), &MAP_LEN).min(ctx.arg(3));
        let _ = changed(inode, Change::Conversion, bytes(inode, u64::from(blocks)));
    }
    0
}

#[raw_tracepoint(tracepoint = "ext4_punch_hole")]
pub fn ext4_punch(ctx: RawTracePointContext) -> i32 {
    let _ = changed(ctx.arg(0), Change::Punch, ctx.arg::<u64>(2));
    0
}

/// Counts an allocation that an xfs event tells of, if it is one: writes through the page cache
/// first reserve, and allocate when they are written back.
#[inline(always)]
fn xfs_allocated(ctx: &RawTracePointContext, delayed: bool) {
    let (inode, record) = (xfs_inode(ctx.arg(0)), ctx.arg(4));
    if (peek::<u64>(record, &IREC_START) & DELAYED == DELAYED) == delayed {
        let _ = changed(
            inode,
            Change::Fill,
            bytes(inode, peek::<u64>(record, &IREC_COUNT)),
        );
    }
}

#[raw_tracepoint(tracepoint = "xfs_iomap_alloc")]
pub fn xfs_allocate(ctx: RawTracePointContext) -> i32 {
    xfs_allocated(&ctx, false);
    0
}

/// The record is the reservation that is now turned into blocks.
#[raw_tracepoint(tracepoint = "xfs_map_blocks_alloc")]
pub fn xfs_write_back(ctx: RawTracePointContext) -> i32 {
    xfs_allocated(&ctx, true);
    0
}

#[raw_tracepoint(tracepoint = "xfs_unwritten_convert")]
pub fn xfs_convert(ctx: RawTracePointContext) -> i32 {
    let _ = changed(xfs_inode(ctx.arg(0)), Change::Conversion, ctx.arg::<u64>(2));
    0
}

/// Tells no range; the unmapping that follows does.
#[raw_tracepoint(tracepoint = "xfs_free_file_space")]
pub fn xfs_punch(ctx: RawTracePointContext) -> i32 {
    let inode: *const u8 = ctx.arg(0);
    if changed(xfs_inode(inode), Change::Punch, 0).is_some() {
        let _ = PUNCHES.insert(bpf_get_current_pid_tgid(), inode as u64, 0);
    }
    0
}

/// `(inode, first block, blocks, flags, caller)`: repeats with the same range until all of it is
/// unmapped, so only the first one after a punch began counts.
#[raw_tracepoint(tracepoint = "xfs_bunmap")]
pub fn xfs_unmap(ctx: RawTracePointContext) -> i32 {
    let (inode, thread): (*const u8, u64) = (ctx.arg(0), bpf_get_current_pid_tgid());
    let Some(punched) = PUNCHES.get_ptr(thread) else {
        return 0;
    };
    // SAFETY: a map value lives as long as the program runs.
    let punched = unsafe { *punched };
    let _ = PUNCHES.remove(thread);
    let inode_of_file = xfs_inode(inode);
    if punched == inode as u64
        && let Some(block) = file_of(inode_of_file).and_then(block)
    {
        // SAFETY: as above.
        add(
            unsafe { &raw mut (*block).holes.punched_bytes },
            bytes(inode_of_file, ctx.arg(2)),
        );
    }
    0
}

/// A write of btrfs goes to a place that was allocated for it, to the place it had before, or into an
/// unwritten extent. The first is a fill, also where it replaces what was there: only a file without
/// copy-on-write never does that.
#[raw_tracepoint(tracepoint = "btrfs_ordered_extent_add")]
pub fn btrfs_write(ctx: RawTracePointContext) -> i32 {
    let inode: *const u8 = ctx.arg(0);
    let inode = inode.wrapping_add(BTRFS_VNODE.load() as usize);
    let extent: *const u8 = ctx.arg(1);
    let flags: u32 = peek(extent, &ORDERED_FLAGS);
    let change = if flags & ORDERED_REGULAR.load() != 0 {
        Change::Fill
    } else if flags & ORDERED_PREALLOC.load() != 0 {
        Change::Conversion
    } else {
        return 0;
    };
    let _ = changed(inode, change, peek(extent, &ORDERED_BYTES));
    0
}
