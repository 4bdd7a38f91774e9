// SPDX-License-Identifier: GPL-2.0

//! Memory that I/O can count on: clones of bios, and what a request through the filesystem carries.
//!
//! Each device has its own, so that one that is stacked on another never waits for memory that the other
//! holds.

use core::{ffi::c_void, mem::size_of, ptr};

use kernel::{bindings, error::to_result, ffi::c_int, prelude::*, types::Opaque};

use crate::{bio::Bio, in_flight::FRONT_PAD, request::Request, shim};

/// How many there are when there is no other memory.
const RESERVED: c_int = 16;

/// A device's pools.
pub(crate) struct Pools {
    clones: KBox<Opaque<bindings::bio_set>>,
    requests: *mut bindings::mempool,
}

// SAFETY: Pools may be used from anywhere.
unsafe impl Send for Pools {}
// SAFETY: As above.
unsafe impl Sync for Pools {}

impl Pools {
    pub(crate) fn new() -> Result<Self> {
        let clones = KBox::new(Opaque::new(bindings::bio_set::default()), GFP_KERNEL)?;
        let mut pools = Self {
            clones,
            requests: ptr::null_mut(),
        };
        // SAFETY: The bioset is zeroed, does not move, and goes with this; so does the pool.
        unsafe {
            to_result(bindings::bioset_init(
                pools.clones.get(),
                RESERVED as u32,
                FRONT_PAD as u32,
                bindings::BIOSET_PERCPU_CACHE as c_int,
            ))?;
            pools.requests = bindings::mempool_create_node_noprof(
                RESERVED,
                Some(bindings::mempool_kmalloc),
                Some(bindings::mempool_kfree),
                size_of::<Request>() as *mut c_void,
                bindings::GFP_KERNEL,
                -1,
            );
        }
        if pools.requests.is_null() {
            return Err(ENOMEM);
        }
        Ok(pools)
    }

    /// A clone of a bio, for a disk. `None` only if it must not wait for memory and there is none.
    #[inline]
    pub(crate) fn clone_of(
        &self,
        bio: &Bio,
        bdev: *mut bindings::block_device,
        nowait: bool,
    ) -> Option<Clone> {
        let gfp = if nowait {
            bindings::GFP_NOWAIT
        } else {
            shim::gfp_noio()
        };
        // SAFETY: The bio is ours, the disk is there, and the pool was made for this.
        let clone =
            unsafe { bindings::bio_alloc_clone(bdev, bio.as_raw(), gfp, self.clones.get()) };
        (!clone.is_null()).then_some(Clone(clone))
    }

    /// Memory for a request. May wait for one to be freed.
    pub(crate) fn request(&self) -> *mut Request {
        // SAFETY: The pool was made for this; it waits for memory, and so gives some.
        unsafe { bindings::mempool_alloc_noprof(self.requests, shim::gfp_noio()).cast() }
    }

    /// The same without waiting, and not of those that are reserved; null if there is none.
    pub(crate) fn request_at_once(&self) -> *mut Request {
        let gfp = bindings::GFP_NOWAIT | bindings::__GFP_NOWARN;
        // SAFETY: It is the way in which the pool allocates.
        unsafe { bindings::mempool_kmalloc(gfp, size_of::<Request>() as *mut c_void).cast() }
    }

    /// # Safety
    /// `request` is null, or memory for one from these pools that nobody uses any more.
    pub(crate) unsafe fn free(&self, request: *mut Request) {
        // SAFETY: As the caller says.
        unsafe { bindings::mempool_free(request.cast(), self.requests) };
    }
}

/// A clone that was not sent.
pub(crate) struct Clone(*mut bindings::bio);

impl Clone {
    /// The clone, to be sent; whoever ends it gives it back.
    pub(crate) fn into_raw(self) -> *mut bindings::bio {
        let clone = self.0;
        core::mem::forget(self);
        clone
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        // SAFETY: It is ours, and was not sent.
        unsafe { bindings::bio_put(self.0) };
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        // SAFETY: All clones and requests have come back: the device is gone.
        unsafe {
            bindings::bioset_exit(self.clones.get());
            bindings::mempool_destroy(self.requests);
        }
    }
}
