//! Arrays within an array of maps. The program makes them, each as large as its device needs, and reads them by
//! mmap.
//!
//! They are declared by sizes, not by types: the program makes them without types, and Linux before 6.2 takes
//! a map for one that was declared with types only if it has some, too.

use core::{marker::PhantomData, ptr::NonNull};

use aya_ebpf::{
    bindings::{BPF_F_INNER_MAP, BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY},
    btf_maps::ArrayOfMaps,
    helpers::bpf_map_lookup_elem,
};

const FLAGS: usize = (BPF_F_INNER_MAP | BPF_F_MMAPABLE) as usize;

/// What an inner map is, in the form that loaders read from the types: numbers are lengths of arrays. `BYTES` is
/// the size of `T`.
#[repr(C)]
pub struct Inner<T, const BYTES: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_ARRAY as usize],
    key_size: *const [i32; size_of::<u32>()],
    value_size: *const [i32; BYTES],
    max_entries: *const [i32; 1],
    map_flags: *const [i32; FLAGS],
    holds: PhantomData<T>,
}

/// Values of the inner maps.
pub trait Values<T> {
    /// The value at `index` of the map in `place`.
    fn value(&self, place: u32, index: u32) -> Option<*mut T>;
}

impl<T, const BYTES: usize, const MOST: usize> Values<T> for ArrayOfMaps<Inner<T, BYTES>, MOST> {
    #[inline(always)]
    fn value(&self, place: u32, index: u32) -> Option<*mut T> {
        const { assert!(size_of::<T>() == BYTES) };
        let inner: *const Inner<T, BYTES> = self.get(place)?;
        // SAFETY: the map lives as long as the program runs, and its keys are numbers.
        let value =
            unsafe { bpf_map_lookup_elem(inner.cast_mut().cast(), (&raw const index).cast()) };
        NonNull::new(value.cast()).map(NonNull::as_ptr)
    }
}
