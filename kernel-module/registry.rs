// SPDX-License-Identifier: GPL-2.0

//! Which devices there are, and how they come and go.

use core::{ptr, sync::atomic::Ordering};

use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::{global_lock, Arc},
};

use crate::{
    backing::Backing,
    device::{Device, Options},
    disk,
    geometry::SECTOR_SHIFT,
};

/// What a number stands for.
enum Slot {
    Free,
    /// Coming or going. The lock is not held meanwhile: both wait for the filesystem.
    Taken,
    Device(Arc<Device>),
}

global_lock! {
    // SAFETY: Initialised when the module is, before it is used.
    unsafe(uninit) static DEVICES: Mutex<KVec<Slot>> = KVec::new();
}

/// The table of devices; dropping it frees it, when there are none any more.
pub(crate) struct Registry;

impl Registry {
    /// Before all else, and once.
    pub(crate) fn new() -> Self {
        // SAFETY: It is called once.
        unsafe { DEVICES.init() };
        Self
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Nobody drops a static.
        *DEVICES.lock() = KVec::new();
    }
}

/// The smallest and the largest logical block, in bytes.
const BLOCK_SIZES: core::ops::RangeInclusive<u32> = 512..=disk::LARGEST_BLOCK;

/// Attaches a file. The device's number.
pub(crate) fn attach(
    file: &File,
    mut options: Options,
    module: &'static ThisModule,
) -> Result<u32> {
    let backing = Backing::open(file, options.read_only)?;
    let bdev = mappable_disk(&backing);
    options.block_size = block_size(&options, &backing, bdev)?;
    if options.offset % u64::from(options.block_size) != 0 || options.offset > i64::MAX as u64 {
        return Err(EINVAL);
    }
    let index = take_number()?;
    let device = match attach_as(index, options, backing, bdev) {
        Ok(device) => device,
        Err(error) => {
            put(index, Slot::Free);
            return Err(error);
        }
    };
    // A module with devices cannot be unloaded.
    // SAFETY: The module runs, so it may be had once more.
    unsafe { bindings::__module_get(module.as_ptr()) };
    put(index, Slot::Device(device));
    Ok(index)
}

/// The first free number, now taken.
fn take_number() -> Result<u32> {
    let mut devices = DEVICES.lock();
    let free = devices.iter().position(|slot| matches!(slot, Slot::Free));
    let index = free.unwrap_or(devices.len());
    match devices.get_mut(index) {
        Some(slot) => *slot = Slot::Taken,
        None => devices.push(Slot::Taken, GFP_KERNEL)?,
    }
    Ok(u32::try_from(index)?)
}

fn put(index: u32, slot: Slot) {
    if let Some(place) = DEVICES.lock().get_mut(index as usize) {
        *place = slot;
    }
}

fn attach_as(
    index: u32,
    options: Options,
    backing: Backing,
    bdev: *mut bindings::block_device,
) -> Result<Arc<Device>> {
    let device = Device::new(index, options, backing, bdev)?;
    if device.capacity() == 0 {
        return Err(ENOSPC);
    }
    device.begin_watch()?;
    device.take_leases();
    if let Err(error) = disk::add(&device) {
        device.dying.store(true, Ordering::Release);
        device.end_policy();
        return Err(error);
    }
    Ok(device)
}

/// The one disk that blocks of the file can be mapped to; null if there is none.
fn mappable_disk(backing: &Backing) -> *mut bindings::block_device {
    let bdev = backing.bdev();
    if bdev.is_null() || disk::is_zoned(bdev) {
        return ptr::null_mut();
    }
    bdev
}

/// The logical block size: what was asked for, or the best one.
fn block_size(
    options: &Options,
    backing: &Backing,
    bdev: *mut bindings::block_device,
) -> Result<u32> {
    let below = if bdev.is_null() {
        1 << SECTOR_SHIFT
    } else {
        disk::block_size_of(bdev)
    };
    if options.block_size == 0 {
        let best = below.max(if backing.direct {
            backing.offset_align
        } else {
            1
        });
        return Ok(best.clamp(*BLOCK_SIZES.start(), *BLOCK_SIZES.end()));
    }
    let asked = options.block_size;
    // Blocks smaller than the disk's could not be sent to it.
    if !asked.is_power_of_two() || !BLOCK_SIZES.contains(&asked) || asked < below {
        return Err(EINVAL);
    }
    Ok(asked)
}

/// Detaches a device that nobody has open.
pub(crate) fn detach(index: u32, module: &'static ThisModule) -> Result {
    let device = {
        let mut devices = DEVICES.lock();
        let slot = devices.get_mut(index as usize).ok_or(ENXIO)?;
        let Slot::Device(device) = slot else {
            return Err(ENXIO);
        };
        disk::close_door(device)?;
        let device = device.clone();
        *slot = Slot::Taken;
        device
    };
    disk::remove(&device);
    // What was written reaches the disk, though nobody may have asked for that.
    let flushed = device.flush();
    device.workers.flush();
    device.end_policy();
    device.workers.flush();
    disk::put(&device);
    drop(device);
    put(index, Slot::Free);
    // SAFETY: It was got when the device was attached.
    unsafe { bindings::module_put(module.as_ptr()) };
    if flushed.is_err() {
        pr_warn!("rloop{index}: not all data may have reached the disk\n");
    }
    Ok(())
}

/// Does something short with a device, which stays attached meanwhile.
pub(crate) fn with<T>(index: u32, what: impl FnOnce(&Arc<Device>) -> T) -> Result<T> {
    match DEVICES.lock().get(index as usize) {
        Some(Slot::Device(device)) => Ok(what(device)),
        _ => Err(ENXIO),
    }
}

/// A device, which may be detached meanwhile.
pub(crate) fn get(index: u32) -> Result<Arc<Device>> {
    with(index, Arc::clone)
}
