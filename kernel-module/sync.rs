// SPDX-License-Identifier: GPL-2.0

//! The device's lock, and the drain epoch.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use kernel::{bindings, error::to_result, ffi::c_ulong, prelude::*, types::Opaque};

use crate::shim;

/// A spinlock that is taken with interrupts off, because completions take it.
#[pin_data]
pub(crate) struct Lock<T> {
    #[pin]
    lock: Opaque<bindings::spinlock_t>,
    data: UnsafeCell<T>,
}

// SAFETY: The lock gives the data to one thread at a time.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: The lock itself belongs to no thread.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is for a spinlock.
            lock <- Opaque::ffi_init(|slot| unsafe { shim::rloop_lock_init(slot) }),
            data: UnsafeCell::new(data),
        })
    }

    pub(crate) fn lock(&self) -> LockGuard<'_, T> {
        // SAFETY: It was initialised when it was made.
        let flags = unsafe { shim::rloop_lock(self.lock.get()) };
        LockGuard { lock: self, flags }
    }
}

/// Holds a [`Lock`].
pub(crate) struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
    flags: c_ulong,
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held, and this guard is borrowed alone.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This guard took it.
        unsafe { shim::rloop_unlock(self.lock.lock.get(), self.flags) };
    }
}

/// Who has the extent map in use: lookups, and I/O on blocks that a lookup found. The count is kept per
/// processor, so that getting and putting cost next to nothing.
///
/// # The rule
/// Who takes a range out of the map, then calls [`Epoch::drain`], knows that no I/O is under way on blocks
/// that were found in it before, and that none will begin. Who gets the map after the range was taken out
/// does not find it: a grace period orders the two.
#[pin_data(PinnedDrop)]
pub(crate) struct Epoch {
    #[pin]
    srcu: Opaque<bindings::srcu_struct>,
}

// SAFETY: Its functions may be called from anywhere.
unsafe impl Sync for Epoch {}
// SAFETY: It belongs to no thread.
unsafe impl Send for Epoch {}

/// One use of the map, which may be put in another context than it was got in.
#[must_use]
#[derive(Clone, Copy)]
pub(crate) struct MapUse(NonNull<c_void>);

impl Epoch {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            srcu <- Opaque::try_ffi_init(|slot| {
                // SAFETY: The slot is for a `srcu_struct`.
                to_result(unsafe { shim::rloop_epoch_init(slot) })
            }),
        })
    }

    /// Gets the extent map.
    #[inline]
    pub(crate) fn get_extent_map(&self) -> MapUse {
        // SAFETY: It was initialised when it was made.
        let reader = unsafe { shim::rloop_epoch_enter(self.srcu.get()) };
        // SAFETY: It is the address of a per-processor counter, which is never zero.
        MapUse(unsafe { NonNull::new_unchecked(reader) })
    }

    /// Puts the extent map, from any context.
    ///
    /// # Safety
    /// Each use is put once, where it was got.
    #[inline]
    pub(crate) unsafe fn put_extent_map(&self, map_use: MapUse) {
        // SAFETY: The caller vouches for it.
        unsafe { shim::rloop_epoch_leave(self.srcu.get(), map_use.0.as_ptr()) };
    }

    /// Waits until everybody who has the map now has put it. Sleeps.
    pub(crate) fn drain(&self) {
        // SAFETY: It was initialised when it was made.
        unsafe { bindings::synchronize_srcu_expedited(self.srcu.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for Epoch {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It was initialised, and nobody is in it: the device is gone.
        unsafe { bindings::cleanup_srcu_struct(self.srcu.get()) };
    }
}
