//! The filesystem and the disk below: when they got a loop request, and when the disk was done.
//!
//! The loop driver keeps the `kiocb` it hands to the filesystem behind the request, and direct I/O
//! keeps a pointer to that `kiocb` in its bios. So a bio on the disk leads back to the very request it
//! serves. Nothing is believed on the way: the slot of the request's tag must hold its address.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use rloop_common::slot::Slot;

use crate::{
    kernel::{
        BDEV_DISK, BIO_BDEV, BIO_NEXT, BIO_PRIVATE, CMD_IOCB, DIO_IOCB, DISK_MAJOR, DISK_MINOR,
        Q_DISK, RQ_BIO, RQ_INTERNAL_TAG, RQ_Q, RQ_SIZE, RQ_TAG, follow, load, peek, watched,
    },
    maps::{DISKS, SLOTS},
};

/// The most bios of one disk request that are followed.
const BIOS_MAX: usize = 8;

/// The device number of a bio's disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn bio_disk(bio: *const u8) -> Option<u32> {
    // SAFETY: `bio` is trusted by the caller's promise.
    unsafe {
        let bdev: *const u8 = load(bio, &BIO_BDEV);
        if bdev.is_null() {
            return None;
        }
        let disk: *const u8 = load(bdev, &BDEV_DISK);
        if disk.is_null() {
            return None;
        }
        Some(load::<u32>(disk, &DISK_MAJOR) << 20 | load::<u32>(disk, &DISK_MINOR))
    }
}

/// The slot of the loop request that a `kiocb` belongs to, if it belongs to one.
#[inline(always)]
pub fn slot_of(iocb: *const u8) -> Option<*mut Slot> {
    if iocb.is_null() {
        return None;
    }
    let request = iocb.wrapping_sub((CMD_IOCB.load() + RQ_SIZE.load()) as usize);
    let disk = follow(follow(request, &RQ_Q), &Q_DISK);
    let number = peek::<u32>(disk, &DISK_MAJOR) << 20 | peek::<u32>(disk, &DISK_MINOR);
    let device = watched(number)?;
    let scheduler_tag: i32 = peek(request, &RQ_INTERNAL_TAG);
    let tag = if scheduler_tag >= 0 {
        scheduler_tag
    } else {
        peek(request, &RQ_TAG)
    };
    let slot = SLOTS.get_value_ptr_mut(device, &(tag as u32))?;
    // SAFETY: a map value lives as long as the program runs.
    if unsafe { (*slot).request } == request as u64 {
        Some(slot)
    } else {
        None
    }
}

#[btf_tracepoint(function = "iomap_dio_rw_begin")]
pub fn dio_begin(ctx: BtfTracePointContext) -> i32 {
    if let Some(slot) = slot_of(ctx.arg(0)) {
        // SAFETY: a map value lives as long as the program runs; only the tag's owner writes its slot.
        unsafe { (*slot).filesystem_ns = bpf_ktime_get_ns() };
    }
    0
}

/// Runs `note` on the slot of every loop request that a disk request serves.
#[inline(always)]
fn each_slot(request: *const u8, number: u32, note: impl Fn(*mut Slot, u64)) {
    if DISKS.get_ptr(number).is_none() {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut bio = follow(request, &RQ_BIO);
    for _ in 0..BIOS_MAX {
        if bio.is_null() {
            return;
        }
        if let Some(slot) = slot_of(follow(follow(bio, &BIO_PRIVATE), &DIO_IOCB)) {
            note(slot, now);
        }
        bio = follow(bio, &BIO_NEXT);
    }
}

/// A request started on the disk `number`.
#[inline(always)]
pub fn started(request: *const u8, number: u32) {
    each_slot(request, number, |slot, now| {
        // SAFETY: a map value lives as long as the program runs.
        unsafe {
            if (*slot).disk_start_ns == 0 {
                (*slot).disk_start_ns = now;
            }
        }
    });
}

/// A request, or a part of it, completed on the disk `number`.
#[inline(always)]
pub fn ended(request: *const u8, number: u32) {
    each_slot(request, number, |slot, now| {
        // SAFETY: a map value lives as long as the program runs.
        unsafe { (*slot).disk_end_ns = now };
    });
}
