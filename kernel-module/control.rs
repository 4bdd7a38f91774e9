// SPDX-License-Identifier: GPL-2.0

//! `/dev/rloop-control`: what programs ask of the module, by `abi`.

use core::mem::size_of;

use kernel::{
    bindings,
    fs::{file::LocalFile, File},
    ioctl,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
    transmute::{AsBytes, FromBytes},
    uaccess::{UserPtr, UserSlice},
};

use crate::{
    abi,
    device::{Device, Options},
    disk,
    extent::{map::Found, State, MAX_BLOCK},
    registry,
};

/// A program that has `/dev/rloop-control` open.
pub(crate) struct Control;

/// How the device is made.
pub(crate) fn options() -> MiscDeviceOptions {
    MiscDeviceOptions {
        name: c"rloop-control",
    }
}

#[vtable]
impl MiscDevice for Control {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        Ok(KBox::new(Self, GFP_KERNEL)?)
    }

    fn ioctl(_: &Self, _: &File, command: u32, argument: usize) -> Result<isize> {
        // SAFETY: It may be called in a system call.
        if !unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as i32) } {
            return Err(EPERM);
        }
        if ioctl::_IOC_TYPE(command) != abi::IOCTL_TYPE {
            return Err(ENOTTY);
        }
        match command {
            ATTACH => Exchange::<abi::Attach>::with(argument, attach),
            DETACH => Exchange::<abi::Device>::with(argument, |device| {
                registry::detach(device.index, crate::this_module())
            }),
            STATUS => Exchange::<abi::Status>::with(argument, |status| {
                *status = registry::with(status.index, |device| status_of(device))?;
                Ok(())
            }),
            MAP => Exchange::<abi::Map>::with(argument, |map| {
                read_map(&*registry::get(map.index)?, map)
            }),
            RESIZE => Exchange::<abi::Device>::with(argument, |device| {
                registry::with(device.index, |device| disk::resize(device))
            }),
            _ => Err(ENOTTY),
        }
    }
}

const ATTACH: u32 = ioctl::_IOWR::<abi::Attach>(abi::IOCTL_TYPE, abi::ATTACH);
const DETACH: u32 = ioctl::_IOWR::<abi::Device>(abi::IOCTL_TYPE, abi::DETACH);
const STATUS: u32 = ioctl::_IOWR::<abi::Status>(abi::IOCTL_TYPE, abi::STATUS);
const MAP: u32 = ioctl::_IOWR::<abi::Map>(abi::IOCTL_TYPE, abi::MAP);
const RESIZE: u32 = ioctl::_IOWR::<abi::Device>(abi::IOCTL_TYPE, abi::RESIZE);

/// A structure that begins with the version.
trait Versioned {
    fn version(&mut self) -> &mut u32;
}

macro_rules! exchanged {
    ($($name:ty),*) => {
        $(
            impl Versioned for $name {
                fn version(&mut self) -> &mut u32 {
                    &mut self.version
                }
            }

            // SAFETY: Any bytes are a value.
            unsafe impl FromBytes for $name {}
            // SAFETY: It has no padding.
            unsafe impl AsBytes for $name {}
        )*
    };
}

exchanged!(abi::Attach, abi::Device, abi::Status, abi::Map);

// SAFETY: It has no padding.
unsafe impl AsBytes for abi::Extent {}

/// Reads a structure from the program, does something with it, and writes it back.
struct Exchange<T>(core::marker::PhantomData<T>);

impl<T: Versioned + FromBytes + AsBytes> Exchange<T> {
    fn with(argument: usize, what: impl FnOnce(&mut T) -> Result) -> Result<isize> {
        let slice = || UserSlice::new(UserPtr::from_addr(argument), size_of::<T>());
        let mut value: T = slice().reader().read()?;
        let known = *value.version() == abi::VERSION;
        *value.version() = abi::VERSION;
        // Before anything is done: what cannot be answered is not done.
        slice().writer().write(&value)?;
        if !known {
            return Err(EPROTO);
        }
        what(&mut value)?;
        slice().writer().write(&value)?;
        Ok(0)
    }
}

fn attach(request: &mut abi::Attach) -> Result {
    let flags = abi::FLAG_READ_ONLY | abi::FLAG_PARTITIONS;
    if request.flags & !flags != 0 || request.reserved != 0 || request.index != 0 {
        return Err(EINVAL);
    }
    if request.fill > abi::FILL_LAYOUT || request.commit > abi::COMMIT_EACH {
        return Err(EINVAL);
    }
    let file = LocalFile::fget(u32::try_from(request.fd).map_err(|_| EBADF)?)?;
    // SAFETY: The descriptor is not being used for its position in this call.
    let file = unsafe { LocalFile::assume_no_fdget_pos(file) };
    let options = Options {
        read_only: request.flags & abi::FLAG_READ_ONLY != 0,
        partitions: request.flags & abi::FLAG_PARTITIONS != 0,
        fill_layout: request.fill == abi::FILL_LAYOUT,
        commit_each: request.commit == abi::COMMIT_EACH,
        block_size: request.block_size,
        offset: request.offset,
        size_limit: if request.size_limit == 0 {
            u64::MAX
        } else {
            request.size_limit
        },
    };
    request.index = registry::attach(&file, options, crate::this_module())?;
    Ok(())
}

fn status_of(device: &Device) -> abi::Status {
    let Options {
        read_only,
        partitions,
        fill_layout,
        commit_each,
        ..
    } = device.options;
    let (provider, why) = device.provider();
    abi::Status {
        version: abi::VERSION,
        index: device.index,
        flags: u32::from(read_only) * abi::FLAG_READ_ONLY
            | u32::from(partitions) * abi::FLAG_PARTITIONS,
        fill: fill_layout.into(),
        commit: commit_each.into(),
        provider,
        why,
        block_size: device.options.block_size,
        fs_block_size: device.geometry.block_bytes() as u32,
        error: device.durability.error().unsigned_abs(),
        offset: device.options.offset,
        size: device.disk_bytes(),
        backing_dev: device.backing.dev().into(),
        backing_ino: device.backing.ino,
        extents: device.locked.lock().writer.extents as u64,
        counters: device.stats.sums(),
    }
}

/// Copies a part of the map to the program.
fn read_map(device: &Device, request: &mut abi::Map) -> Result {
    if request.count > abi::MAP_MOST || request.reserved != 0 {
        return Err(EINVAL);
    }
    let room = request.count as usize;
    let address = usize::try_from(request.extents)?;
    let bytes = room * size_of::<abi::Extent>();
    let mut writer = UserSlice::new(UserPtr::from_addr(address), bytes).writer();
    let geometry = &device.geometry;
    let mut block = geometry.block_of(request.start);
    request.count = 0;
    while block < MAX_BLOCK && (request.count as usize) < room {
        // The map is not held while the program's memory may have to be fetched.
        let found = device.map.lookup(block, &kernel::sync::rcu::read_lock());
        block = match found {
            Found::Absent { end } => end,
            Found::Extent(extent) => {
                let disk = if extent.state == State::Hole {
                    u64::MAX
                } else {
                    geometry.bytes(extent.disk)
                };
                writer.write(&abi::Extent {
                    offset: geometry.bytes(extent.start),
                    length: geometry.bytes(extent.len),
                    disk,
                    state: extent.state as u32,
                    reserved: 0,
                })?;
                request.count += 1;
                extent.end()
            }
        };
    }
    request.start = if block >= MAX_BLOCK {
        u64::MAX
    } else {
        geometry.bytes(block)
    };
    Ok(())
}
