// SPDX-License-Identifier: GPL-2.0

//! `/sys/block/rloopN/rloop/`: what the device is, a value a file.

use core::{cell::UnsafeCell, mem::zeroed};

use kernel::{bindings, ffi::c_char, prelude::*, str::NullTerminatedFormatter};

use crate::{
    abi::{COUNTER_NAMES, PROVIDERS, REASONS},
    device::Device,
    shim,
};

const PAGE: usize = kernel::page::PAGE_SIZE;

/// What a file says.
trait Show {
    fn show(device: &Device, page: &mut [u8]) -> Result<usize>;
}

/// Writes a line into a page.
fn line(page: &mut [u8], what: kernel::fmt::Arguments<'_>) -> Result<usize> {
    let len = page.len();
    {
        let mut writer = NullTerminatedFormatter::new(page).ok_or(EINVAL)?;
        core::fmt::Write::write_fmt(&mut writer, what).map_err(|_| E2BIG)?;
        core::fmt::Write::write_char(&mut writer, '\n').map_err(|_| E2BIG)?;
    }
    let end = page.iter().position(|byte| *byte == 0).unwrap_or(len);
    Ok(end)
}

/// Says what a file says.
///
/// # Safety
/// `device` is that of a disk of ours, and `page` a page.
unsafe extern "C" fn show<T: Show>(
    device: *mut bindings::device,
    _: *mut bindings::device_attribute,
    page: *mut c_char,
) -> isize {
    // SAFETY: The attribute is of a disk of ours, whose private data is its device; the page is one.
    let (device, page) = unsafe {
        let disk = shim::rloop_disk_of(device);
        let page = core::slice::from_raw_parts_mut(page.cast::<u8>(), PAGE);
        (&*(*disk).private_data.cast::<Device>(), page)
    };
    match T::show(device, page) {
        Ok(len) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// Declares the files: a name, and the line in it.
macro_rules! files {
    ($($file:ident = $name:literal: |$device:ident, $page:ident| $show:expr;)*) => {
        $(
            struct $file;

            impl Show for $file {
                fn show($device: &Device, $page: &mut [u8]) -> Result<usize> {
                    $show
                }
            }
        )*

        #[allow(clippy::needless_update, reason = "lock debugging gives an attribute more fields")]
        static FILES: Files<{ [$($name),*].len() }> = Files(UnsafeCell::new([
            $(bindings::device_attribute {
                attr: bindings::attribute {
                    name: $name.to_bytes_with_nul().as_ptr().cast(),
                    mode: 0o444,
                    // SAFETY: What else there may be is for lock debugging, and zero to begin with.
                    ..unsafe { zeroed() }
                },
                __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 {
                    show: Some(show::<$file>),
                },
                // SAFETY: None is a value for what is left.
                ..unsafe { zeroed() }
            }),*
        ]));

        static LIST: List<{ [$($name),*].len() + 1 }> = List({
            let mut list = [core::ptr::null_mut(); [$($name),*].len() + 1];
            let mut index = 0;
            while index + 1 < list.len() {
                // SAFETY: The index is one of the files'.
                list[index] = unsafe {
                    FILES.0.get().cast::<bindings::device_attribute>().add(index).cast()
                };
                index += 1;
            }
            UnsafeCell::new(list)
        });
    };
}

struct Files<const N: usize>(UnsafeCell<[bindings::device_attribute; N]>);
struct List<const N: usize>(UnsafeCell<[*mut bindings::attribute; N]>);
struct Group(UnsafeCell<bindings::attribute_group>);
struct Groups(UnsafeCell<[*const bindings::attribute_group; 2]>);

// SAFETY: The driver core changes them only under its own locks.
unsafe impl<const N: usize> Sync for Files<N> {}
// SAFETY: As above.
unsafe impl<const N: usize> Sync for List<N> {}
// SAFETY: As above.
unsafe impl Sync for Group {}
// SAFETY: As above.
unsafe impl Sync for Groups {}

files! {
    BackingFile = c"backing_file": |device, page| {
        let mut path = KVec::from_elem(0u8, PAGE, GFP_KERNEL)?;
        let path = device.backing.path(&mut path)?;
        let bytes = path.to_bytes();
        // A path may hold anything but a zero, so it is copied as it is.
        let len = bytes.len().min(PAGE - 2);
        page[..len].copy_from_slice(&bytes[..len]);
        page[len] = b'\n';
        Ok(len + 1)
    };
    Provider = c"provider": |device, page| {
        line(page, fmt!("{}", PROVIDERS[device.provider().0 as usize]))
    };
    Why = c"why": |device, page| line(page, fmt!("{}", REASONS[device.provider().1 as usize]));
    Fill = c"fill": |device, page| {
        line(page, fmt!("{}", ["vfs", "layout"][usize::from(device.options.fill_layout)]))
    };
    Commit = c"commit": |device, page| {
        line(page, fmt!("{}", ["flush", "each"][usize::from(device.options.commit_each)]))
    };
    Offset = c"offset": |device, page| line(page, fmt!("{}", device.options.offset));
    SizeLimit = c"sizelimit": |device, page| {
        let limit = device.options.size_limit;
        let limit = limit.wrapping_add(1).saturating_sub(1);
        line(page, fmt!("{limit}"))
    };
    Extents = c"extents": |device, page| {
        let extents = device.locked.lock().writer.extents;
        line(page, fmt!("{extents}"))
    };
    Failed = c"error": |device, page| line(page, fmt!("{}", -device.durability.error()));
    Stat = c"stat": |device, page| {
        let sums = device.stats.sums();
        let mut len = 0;
        for (name, sum) in COUNTER_NAMES.iter().zip(sums) {
            len += line(&mut page[len..], fmt!("{name} {sum}"))?;
        }
        Ok(len)
    };
}

static GROUP: Group = Group(UnsafeCell::new(bindings::attribute_group {
    name: c"rloop".to_bytes_with_nul().as_ptr().cast(),
    __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
        attrs: LIST.0.get().cast(),
    },
    // SAFETY: None is a value for what is left.
    ..unsafe { zeroed() }
}));

static GROUPS: Groups = Groups(UnsafeCell::new([
    GROUP.0.get().cast_const(),
    core::ptr::null(),
]));

/// The files, for a disk that is added.
pub(crate) fn groups() -> *mut *const bindings::attribute_group {
    GROUPS.0.get().cast()
}
