// SPDX-License-Identifier: GPL-2.0

//! The disk that a device shows: its limits, and how it comes and goes.

use core::{cell::UnsafeCell, mem::zeroed, ptr, sync::atomic::Ordering};

use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    ffi::c_int,
    prelude::*,
    str::NullTerminatedFormatter,
    sync::Arc,
};

use crate::{
    device::{Device, Options},
    fast::submit_bio,
    geometry::SECTOR_SHIFT,
    shim, sysfs,
};

/// The block layer's way to us.
struct Operations(UnsafeCell<bindings::block_device_operations>);

// SAFETY: It is written once, before there is a device.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(UnsafeCell::new(bindings::block_device_operations {
    submit_bio: Some(submit_bio),
    open: Some(open),
    free_disk: Some(free_disk),
    // SAFETY: All other fields are pointers, and none is a value for them.
    ..unsafe { zeroed() }
}));

/// Lets the block layer know whose the operations are. Before there is a device.
pub(crate) fn init(module: &'static ThisModule) {
    // SAFETY: Nobody looks at it yet.
    unsafe { (*OPERATIONS.0.get()).owner = module.as_ptr() };
}

/// The largest block that programs are used to, in bytes.
pub(crate) const LARGEST_BLOCK: u32 = 4096;

/// What the block layer may ask of a device, for the worst way that its I/O can go.
fn limits(device: &Device) -> bindings::queue_limits {
    let backing = &device.backing;
    let Options {
        block_size,
        read_only,
        ..
    } = device.options;
    let mut limits = bindings::queue_limits::default();
    // SAFETY: The limits are ours, and the disk below is there.
    unsafe {
        bindings::blk_set_stacking_limits(&mut limits);
        // Stays only if the disk below can it too.
        limits.features |= shim::feat_nowait();
        if !device.bdev.is_null() {
            bindings::queue_limits_stack_bdev(&mut limits, device.bdev, 0, c"rloop".as_char_ptr());
        }
    }
    let fs_block = device.geometry.block_bytes() as u32;
    limits.features = limits.features & !shim::feat_not_ours() | shim::feat_base();
    limits.logical_block_size = block_size;
    // Less than a block of the filesystem is possible, but costs more: it has to fill in the rest.
    let good = fs_block.min(LARGEST_BLOCK).max(block_size);
    limits.physical_block_size = limits.physical_block_size.max(good);
    limits.io_min = limits.physical_block_size;
    limits.dma_alignment = limits.dma_alignment.max(backing.memory_align - 1);
    let punches = backing.can_punch() && !read_only;
    let most = if punches { u32::MAX >> SECTOR_SHIFT } else { 0 };
    limits.max_hw_discard_sectors = most;
    limits.discard_granularity = if punches { fs_block } else { 0 };
    limits.discard_alignment = 0;
    limits.max_discard_segments = 1;
    limits.max_write_zeroes_sectors = most;
    limits.max_wzeroes_unmap_sectors = 0;
    limits.max_hw_wzeroes_unmap_sectors = 0;
    limits.max_secure_erase_sectors = 0;
    limits.chunk_sectors = 0;
    limits.max_write_streams = 0;
    limits.atomic_write_hw_max = 0;
    limits.atomic_write_hw_unit_min = 0;
    limits.atomic_write_hw_unit_max = 0;
    limits.atomic_write_hw_boundary = 0;
    limits.max_hw_zone_append_sectors = 0;
    limits.alignment_offset = 0;
    limits.integrity = bindings::blk_integrity::default();
    limits
}

/// Whether a disk is one whose zones are written from one end to the other.
pub(crate) fn is_zoned(bdev: *mut bindings::block_device) -> bool {
    // SAFETY: The disk below is there, and so is its queue.
    unsafe { (*(*(*bdev).bd_disk).queue).limits.features & shim::feat_zoned() != 0 }
}

/// What a disk below takes as its smallest unit, in bytes.
pub(crate) fn block_size_of(bdev: *mut bindings::block_device) -> u32 {
    // SAFETY: The disk below is there, and so is its queue.
    unsafe { (*(*(*bdev).bd_disk).queue).limits.logical_block_size }
}

/// Shows the device as `/dev/rloopN`.
pub(crate) fn add(device: &Arc<Device>) -> Result {
    let mut limits = limits(device);
    // SAFETY: The limits are whole.
    let disk = from_err_ptr(unsafe { shim::rloop_disk_alloc(&mut limits) })?;
    // SAFETY: The disk is new and ours. It keeps a reference to its device, given back by `put`.
    unsafe {
        (*disk).fops = OPERATIONS.0.get();
        (*disk).private_data = Arc::into_raw(device.clone()).cast_mut().cast();
        if !device.options.partitions {
            (*disk).flags |= bindings::GENHD_FL_NO_PART as c_int;
        }
    }
    let added = named(disk, device.index).and_then(|()| {
        // SAFETY: The disk has what it needs.
        unsafe {
            bindings::set_capacity(disk, device.capacity());
            bindings::set_disk_ro(disk, device.options.read_only);
            // Its users may come as soon as it is added.
            device.set_disk(disk, 0);
            to_result(bindings::device_add_disk(
                ptr::null_mut(),
                disk,
                sysfs::groups(),
            ))
        }
    });
    if let Err(error) = added {
        device.set_disk(ptr::null_mut(), 0);
        // SAFETY: It was not added, so nobody else knows it, and `free_disk` is not called for it.
        unsafe {
            let owned = (*disk).private_data.cast::<Device>();
            bindings::put_disk(disk);
            drop(Arc::from_raw(owned));
        }
        return Err(error);
    }
    // SAFETY: It was added, so its first partition is there, with its number.
    device.set_disk(disk, unsafe { (*(*disk).part0).bd_dev });
    Ok(())
}

fn named(disk: *mut bindings::gendisk, index: u32) -> Result {
    // SAFETY: The disk is ours.
    let name = unsafe { &mut (*disk).disk_name };
    let mut writer = NullTerminatedFormatter::new(name).ok_or(EINVAL)?;
    core::fmt::Write::write_fmt(&mut writer, fmt!("rloop{index}")).map_err(|_| EINVAL)
}

/// Makes sure that nobody has the device open, and that nobody opens it any more.
pub(crate) fn close_door(device: &Device) -> Result {
    let disk = device.disk();
    // SAFETY: The disk is there until `remove`.
    unsafe {
        shim::rloop_disk_lock(disk);
        let open = shim::rloop_disk_is_open(disk);
        if !open {
            device.dying.store(true, Ordering::Release);
        }
        shim::rloop_disk_unlock(disk);
        if open {
            Err(EBUSY)
        } else {
            Ok(())
        }
    }
}

/// Takes the disk away. Nobody has it open.
pub(crate) fn remove(device: &Device) {
    // SAFETY: The disk was added and is taken away once.
    unsafe { bindings::del_gendisk(device.disk()) };
}

/// Gives up the disk, after `remove`, and waits until nobody has it any more.
pub(crate) fn put(device: &Device) {
    let disk = device.disk();
    device.set_disk(ptr::null_mut(), 0);
    // SAFETY: The disk was removed, and is not used from here on.
    unsafe { bindings::put_disk(disk) };
    device.disk_gone.wait_for_completion();
    // Not by `free_disk`, which would do it after this: the device, and then the module, could be gone.
    // SAFETY: It is the reference that the disk had, given back once.
    drop(unsafe { Arc::from_raw(device) });
}

/// Lets the device follow its file's length.
pub(crate) fn resize(device: &Device) {
    // SAFETY: The disk is there as long as the registry has its device.
    unsafe { bindings::set_capacity_and_notify(device.disk(), device.capacity()) };
}

/// Makes the device no longer than its file is: somebody may have cut it.
pub(crate) fn shrink(device: &Device) {
    if !device.disk().is_null() && device.disk_bytes() >> SECTOR_SHIFT > device.capacity() {
        resize(device);
    }
}

/// Somebody opens the device. Under the disk's mutex.
///
/// # Safety
/// `disk` is one of ours.
unsafe extern "C" fn open(disk: *mut bindings::gendisk, _mode: bindings::blk_mode_t) -> c_int {
    // SAFETY: The disk's private data is its device.
    let device = unsafe { &*(*disk).private_data.cast::<Device>() };
    if device.is_alive() {
        0
    } else {
        ENXIO.to_errno()
    }
}

/// The disk's last user is gone.
///
/// # Safety
/// `disk` is one of ours.
unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
    // SAFETY: `put` waits for this, and only then gives back the disk's reference to its device.
    let device = unsafe { &*(*disk).private_data.cast::<Device>() };
    device.disk_gone.complete_all();
}
