// SPDX-License-Identifier: GPL-2.0

//! A filesystem that has given up: it was shut down, or takes no writes since something in it is broken.
//!
//! It then writes nothing any more, and neither may we: what it will do with the blocks is not known, and who
//! shut it down counts on its silence. It does not always look read-only, breaks no lease, and has no flag
//! that others may read; but it reports errors to whoever watches it.
//!
//! # The rule
//! An error that it may have given up for, of ours or of others, takes the mapping back, as a broken lease does. I/O then goes through
//! the filesystem, which refuses what it has to. Taking the leases again begins with a sync, which fails on one
//! that has given up; it waits a while, as filesystems report an error before they give up for it.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use kernel::{error::from_err_ptr, ffi::c_int, prelude::*};

use crate::{
    device::Device,
    shim::{self, Watchers},
};

/// All watches of the module.
static WATCHERS: AtomicPtr<Watchers> = AtomicPtr::new(ptr::null_mut());

/// Whose [`Watch`]es are; dropping it ends that, when there are no devices any more.
pub(crate) struct Group(());

impl Group {
    /// Before there is a device, and once.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: It may sleep when the module is loaded.
        let watchers = from_err_ptr(unsafe { shim::rloop_watchers_alloc() })?;
        WATCHERS.store(watchers, Ordering::Relaxed);
        Ok(Self(()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: It was allocated by `new`, and nobody watches any more.
        unsafe { shim::rloop_watchers_free(WATCHERS.load(Ordering::Relaxed)) };
    }
}

/// A device's watch of its filesystem.
pub(crate) struct Watch(AtomicPtr<shim::Watch>);

impl Watch {
    /// Not watching yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl Device {
    /// Watches the filesystem until [`Device::end_watch`].
    pub(crate) fn begin_watch(&self) -> Result {
        let owner = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: The open file holds its filesystem, and the device is there until the watch has ended.
        let watch = from_err_ptr(unsafe {
            let watchers = WATCHERS.load(Ordering::Relaxed);
            shim::rloop_watch_begin(watchers, self.backing.sb(), owner)
        });
        match watch {
            Ok(watch) => self.watch.0.store(watch, Ordering::Relaxed),
            // It does not want to be watched. None of those is mapped.
            Err(error) if error == EINVAL => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends it. Afterwards nobody comes to the device this way.
    pub(crate) fn end_watch(&self) {
        let watch = self.watch.0.swap(ptr::null_mut(), Ordering::Relaxed);
        if !watch.is_null() {
            // SAFETY: It was begun, and is ended once.
            unsafe { shim::rloop_watch_end(watch) };
        }
    }

    /// The filesystem has failed, and may be about to give up for it. In any context.
    pub(crate) fn distrust(&self, error: Error) {
        // These were told to who caused them, such as by memory that it does not have, and nothing is broken.
        let harmless = [ENOSPC, EDQUOT, EFAULT, EINVAL, EINTR, ENOMEM, EOPNOTSUPP];
        if !harmless.contains(&error) {
            self.rest();
        }
    }
}

/// The filesystem has reported an error, a positive errno. In a worker of the kernel's that must not sleep long.
#[no_mangle]
extern "C" fn rloop_filesystem_error(owner: *mut c_void, error: c_int) {
    // SAFETY: The owner is a device, which is there until its watch has ended.
    let device = unsafe { &*owner.cast::<Device>() };
    device.distrust(Error::from_errno(-error.abs()));
}
