//! The filesystem and the disk below: when they got a loop request, and when the disk was done.
//!
//! Direct I/O keeps a pointer to the loop driver's `kiocb` in its bios. So a bio on the disk leads back
//! to the very request it serves.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use rloop_common::slot::Slot;

use crate::{
    flight,
    kernel::{
        BDEV_DISK, BIO_BDEV, BIO_NEXT, BIO_PRIVATE, BIO_SECTOR, DIO_IOCB, RQ_BIO, follow, load, now,
    },
};

/// The most bios of one disk request that are followed.
const BIOS_MAX: usize = 8;

/// A bio's disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn bio_disk(bio: *const u8) -> Option<*const u8> {
    // SAFETY: `bio` is trusted by the caller's promise.
    unsafe {
        let bdev: *const u8 = load(bio, &BIO_BDEV);
        if bdev.is_null() {
            return None;
        }
        let disk: *const u8 = load(bdev, &BDEV_DISK);
        if disk.is_null() { None } else { Some(disk) }
    }
}

#[btf_tracepoint(function = "iomap_dio_rw_begin")]
pub fn dio_begin(ctx: BtfTracePointContext) -> i32 {
    if flight::any()
        && let Some(slot) = flight::split_slot(ctx.arg(0))
    {
        // SAFETY: a map value lives as long as the program runs; only the tag's owner writes its slot.
        unsafe { (*slot).below.filesystem_ns = now() };
    }
    0
}

/// Runs `note` on the slot of every split loop request that a disk request serves, and on the bio that does.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn each_slot(request: *const u8, note: impl Fn(*mut Slot, *const u8)) {
    // SAFETY: `request` is trusted by the caller's promise, and with it what it points to.
    unsafe {
        let mut bio: *const u8 = load(request, &RQ_BIO);
        for _ in 0..BIOS_MAX {
            if bio.is_null() {
                return;
            }
            let dio: *const u8 = load(bio, &BIO_PRIVATE);
            if !dio.is_null()
                && let Some(slot) = flight::split_slot(follow(dio, &DIO_IOCB))
            {
                note(slot, bio);
            }
            bio = load(bio, &BIO_NEXT);
        }
    }
}

/// A request started on a disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn started(request: *const u8) {
    if !flight::any() {
        return;
    }
    // SAFETY: by the caller's promise; a slot is a map value.
    unsafe {
        each_slot(request, |slot, bio| {
            if (*slot).below.disk_start_ns == 0 {
                (*slot).below.disk_start_ns = now();
                (*slot).below.sector = load(bio, &BIO_SECTOR);
            }
        });
    }
}

/// A request, or a part of it, completed on a disk.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn ended(request: *const u8) {
    if !flight::any() {
        return;
    }
    // SAFETY: by the caller's promise; a slot is a map value.
    unsafe { each_slot(request, |slot, _bio| (*slot).below.disk_end_ns = now()) };
}
