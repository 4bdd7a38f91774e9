//! What the probes know of the kernel's structures.
//!
//! Offsets come from the running kernel's BTF and are frozen before the programs are verified, so
//! the verifier sees constants. No program that
//! needs a field this kernel does not have is loaded.

use aya_ebpf::{
    Global,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel},
};

use rloop_common::{device::BELOW, who::FileKey};

use crate::maps::{FILES, MINORS};

/// What an offset is before the loader sets it. No other constant of the probes may have this value:
/// LLVM merges equal constants, and the loader would change both.
const UNSET: u32 = 0x5e7_0ff5;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(UNSET);)+
    };
}

offsets! {
    /// `request.q`
    RQ_Q,
    /// `request.cmd_flags`
    RQ_CMD_FLAGS,
    /// `request.rq_flags`
    RQ_RQ_FLAGS,
    /// `request.tag`
    RQ_TAG,
    /// `request.internal_tag`
    RQ_INTERNAL_TAG,
    /// `request.__data_len`
    RQ_DATA_LEN,
    /// `request.__sector`
    RQ_SECTOR,
    /// `request.bio`
    RQ_BIO,
    /// `request.part`
    RQ_PART,
    /// `request.start_time_ns`
    RQ_START,
    /// `request.io_start_time_ns`
    RQ_IO_START,
    /// `sizeof(struct request)`
    RQ_SIZE,
    /// The bit `RQF_FLUSH_SEQ`.
    RQF_FLUSH_SEQ,
    /// The bit `REQ_PREFLUSH`.
    REQ_PREFLUSH,
    /// The bit `REQ_FUA`.
    REQ_FUA,
    /// 1 where the kernel tells of a request only when it is issued: it has no `block_io_start`.
    STARTS_AT_ISSUE,
    /// `request_queue.disk`
    Q_DISK,
    /// `gendisk.major`
    DISK_MAJOR,
    /// `gendisk.first_minor`
    DISK_MINOR,
    /// `bio.bi_opf`
    BIO_OPF,
    /// `bio.bi_private`
    BIO_PRIVATE,
    /// `bio.bi_next`
    BIO_NEXT,
    /// `bio.bi_iter.bi_size`
    BIO_SIZE,
    /// `bio.bi_bdev`
    BIO_BDEV,
    /// `bio.bi_iter.bi_sector`
    BIO_SECTOR,
    /// `block_device.bd_disk`
    BDEV_DISK,
    /// `block_device.bd_dev`
    BDEV_DEV,
    /// `iomap_dio.iocb`
    DIO_IOCB,
    /// `loop_cmd.iocb`
    CMD_IOCB,
    /// `loop_cmd.use_aio`
    CMD_USE_AIO,
    /// `kiocb.ki_filp`
    KIOCB_FILE,
    /// `kiocb.ki_complete`
    KIOCB_COMPLETE,
    /// `kiocb.ki_flags`
    KIOCB_FLAGS,
    /// `file.f_inode`
    FILE_INODE,
    /// `inode.i_ino`
    INODE_INO,
    /// `inode.i_sb`
    INODE_SB,
    /// `inode.i_blkbits`
    INODE_BLKBITS,
    /// `super_block.s_dev`
    SB_DEV,
    /// `address_space.host`
    MAPPING_HOST,
    /// `iov_iter.count`
    ITER_COUNT,
    /// `task_struct.mm`
    TASK_MM,
    /// `task_struct.plug`
    TASK_PLUG,
    /// `blk_plug.rq_count`
    PLUG_COUNT,
    /// `journal_s.j_fs_dev`
    JOURNAL_DEV,
    /// `transaction_s.t_tid`
    TRANSACTION_TID,
    /// `ext4_inode_info.vfs_inode`
    EXT4_VNODE,
    /// `ext4_inode_info.i_sync_tid`
    EXT4_SYNC_TID,
    /// `ext4_allocation_request.inode`
    AR_INODE,
    /// `ext4_allocation_request.len`
    AR_LEN,
    /// `ext4_allocation_request.flags`
    AR_FLAGS,
    /// `ext4_map_blocks.m_len`
    MAP_LEN,
    /// `xfs_inode.i_vnode`
    XFS_VNODE,
    /// `xfs_mount.m_super`
    XFS_SUPER,
    /// `xfs_bmbt_irec.br_startblock`
    IREC_START,
    /// `xfs_bmbt_irec.br_blockcount`
    IREC_COUNT,
    /// `btrfs_inode.vfs_inode`
    BTRFS_VNODE,
    /// `btrfs_inode.logged_trans`
    BTRFS_LOGGED,
    /// `btrfs_inode.last_log_commit`
    BTRFS_LOG_COMMIT,
    /// `extent_io_tree.owner`
    TREE_OWNER,
    /// The enumerator `IO_TREE_ROOT_DIRTY_LOG_PAGES`.
    LOG_PAGES,
    /// `btrfs_ordered_extent.num_bytes`
    ORDERED_BYTES,
    /// `btrfs_ordered_extent.flags`
    ORDERED_FLAGS,
    /// The bit `BTRFS_ORDERED_REGULAR`.
    ORDERED_REGULAR,
    /// The bit `BTRFS_ORDERED_PREALLOC`.
    ORDERED_PREALLOC,
}

/// Major number of the loop driver.
pub const LOOP_MAJOR: u32 = 7;

/// Loads a field through a pointer the verifier knows the type of.
///
/// # Safety
/// `base` must come from a BTF tracepoint's argument, or from such a load; then the kernel catches a
/// fault of the load, and reads zero.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: see above.
    unsafe { *base.add(offset.load() as usize).cast::<T>() }
}

/// Reads a field through any pointer; zero if it cannot be read.
#[inline(always)]
pub fn peek<T: Copy + Default>(base: *const u8, offset: &Global<u32>) -> T {
    let address = base.wrapping_add(offset.load() as usize).cast::<T>();
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address) }.unwrap_or_default()
}

/// Reads two fields of 32 bits through any pointer, at once where they are neighbours.
#[inline(always)]
pub fn peek_pair(base: *const u8, first: &Global<u32>, second: &Global<u32>) -> [u32; 2] {
    if second.load() == first.load() + 4 {
        peek(base, first)
    } else {
        [peek(base, first), peek(base, second)]
    }
}

/// Reads a pointer field through any pointer; null if it cannot be read.
#[inline(always)]
pub fn follow(base: *const u8, offset: &Global<u32>) -> *const u8 {
    peek::<u64>(base, offset) as *const u8
}

/// A request's disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn disk(request: *const u8) -> Option<*const u8> {
    // SAFETY: `request` is trusted by the caller's promise.
    unsafe {
        let queue: *const u8 = load(request, &RQ_Q);
        if queue.is_null() {
            return None;
        }
        let disk: *const u8 = load(queue, &Q_DISK);
        if disk.is_null() { None } else { Some(disk) }
    }
}

/// The device slot of a watched loop device, by its disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn watched(disk: *const u8) -> Option<u32> {
    // SAFETY: by the caller's promise.
    unsafe { role(disk) }.device
}

/// What a disk is to us.
pub struct Role {
    /// The device slot, if it is watched.
    pub device: Option<u32>,
    /// It may lie below a watched device.
    pub below: bool,
}

/// Of loop devices it is known which lie below others; of other disks it costs less to look at a
/// request than to find the disk in a table.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn role(disk: *const u8) -> Role {
    // SAFETY: by the caller's promise. A load through a pointer that was loaded costs ten instructions,
    // so the minor number is left alone where it does not matter.
    unsafe {
        if load::<u32>(disk, &DISK_MAJOR) == LOOP_MAJOR {
            loop_role(load(disk, &DISK_MINOR))
        } else {
            Role {
                device: None,
                below: true,
            }
        }
    }
}

/// What the loop device with that minor number is to us.
#[inline(always)]
pub fn loop_role(minor: u32) -> Role {
    let entry = MINORS.get(minor & 0xffff).copied().unwrap_or(0);
    let slot = entry & (BELOW - 1);
    Role {
        device: if slot == 0 { None } else { Some(slot - 1) },
        below: entry & BELOW != 0,
    }
}

/// The monotonic clock, nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The inode that is a part of an `xfs_inode`.
#[inline(always)]
pub fn xfs_inode(inode: *const u8) -> *const u8 {
    inode.wrapping_add(XFS_VNODE.load() as usize)
}

/// The device slot that a backing file belongs to.
#[inline(always)]
pub fn file_of(inode: *const u8) -> Option<u32> {
    let key = FileKey {
        inode: peek::<u64>(inode, &INODE_INO),
        device: u64::from(peek::<u32>(follow(inode, &INODE_SB), &SB_DEV)),
    };
    FILES.get_ptr(key).map(|slot| {
        // SAFETY: a map value lives as long as the program runs.
        unsafe { *slot }
    })
}
