//! The values of a map, read in place.

use std::{marker::PhantomData, ptr::NonNull};

use aya::{
    Pod,
    maps::{Array, IterableMap as _, MapData, MapError},
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_F_MMAPABLE | BPF_F_INNER_MAP`, as the probes declare their inner maps.
const FLAGS: u32 = 1 << 10 | 1 << 12;

/// An array map made by this program and mapped into its memory, so that reading costs no call.
///
/// # Invariants
/// `memory` is a readable and writable mapping of `len` values of `T`, each on a multiple of eight
/// bytes, until `self` is dropped.
pub(super) struct Mapped<T: Pod> {
    map: Array<MapData, T>,
    memory: NonNull<u8>,
    len: usize,
    bytes: usize,
    _values: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// A new map of `len` zeroed values.
    pub(super) fn new(len: usize) -> Result<Self, MapError> {
        let map = Array::<MapData, T>::create(len as u32, FLAGS)?;
        let bytes = (len * Self::STRIDE).next_multiple_of(rustix::param::page_size());
        // SAFETY: a new mapping at an address the kernel chooses; nothing else refers to it.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map.map().fd(),
                0,
            )
        }
        .map_err(|error| MapError::IoError(error.into()))?;
        let memory = NonNull::new(memory.cast()).ok_or(MapError::ElementNotFound)?;
        Ok(Self {
            map,
            memory,
            len,
            bytes,
            _values: PhantomData,
        })
    }

    /// The map, to hand it to the probes.
    pub(super) fn map(&self) -> &Array<MapData, T> {
        &self.map
    }

    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where value `index` lies.
    ///
    /// # Panics
    /// If there is no such value.
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "a map value out of range");
        // SAFETY: in range by the assertion, within the mapping by the invariant.
        unsafe { self.memory.as_ptr().add(index * Self::STRIDE).cast() }
    }

    /// A copy of value `index`. The probes may be adding to it: each counter is whole, but counters
    /// read later may be newer.
    pub(super) fn get(&self, index: usize) -> T {
        // SAFETY: valid for reads by the invariant; `T` is plain data.
        unsafe { self.at(index).read_volatile() }
    }

    /// Writes value `index`, which no probe may be using yet.
    pub(super) fn set(&self, index: usize, value: T) {
        // SAFETY: valid for writes by the invariant; `T` is plain data.
        unsafe { self.at(index).write_volatile(value) }
    }
}

impl<T: Pod> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody else can reach any more. It cannot fail.
        let _ = unsafe { munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}
