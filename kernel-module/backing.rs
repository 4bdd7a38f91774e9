// SPDX-License-Identifier: GPL-2.0

//! The backing file: opened for the device alone, and what is known of it.

use core::ptr;

use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    ffi::c_int,
    fs::File,
    prelude::*,
    str::CStr,
};

use crate::{geometry::SECTOR_SHIFT, shim};

/// A file that the module has opened itself.
///
/// It is never the caller's: through a descriptor that somebody still holds, a file can be truncated,
/// punched or mapped without breaking a lease.
///
/// # Invariants
/// `file` is an open regular file, and `inode`, `sb` and `mapping` are its own.
pub(crate) struct Backing {
    file: *mut bindings::file,
    inode: *mut bindings::inode,
    sb: *mut bindings::super_block,
    mapping: *mut bindings::address_space,
    /// Its inode number.
    pub(crate) ino: u64,
    /// Whether it can be read and written without the page cache.
    pub(crate) direct: bool,
    /// What offsets and lengths of direct I/O have to be multiples of, in bytes.
    pub(crate) offset_align: u32,
    /// What addresses of direct I/O have to be multiples of, in bytes.
    pub(crate) memory_align: u32,
    /// log2 of the filesystem's block size. Some do not say, and then have none that matters.
    pub(crate) block_bits: u32,
}

// SAFETY: An open file may be used from any thread.
unsafe impl Send for Backing {}
// SAFETY: As above.
unsafe impl Sync for Backing {}

impl Backing {
    /// Opens the file behind `caller`'s descriptor again, for writing too unless `read_only`.
    pub(crate) fn open(caller: &File, read_only: bool) -> Result<Self> {
        let caller = caller.as_ptr();
        // SAFETY: The caller's file is open, so its inode and path are there.
        let (inode, path) = unsafe {
            (
                (*caller).f_inode,
                &raw const (*caller).__bindgen_anon_1.f_path,
            )
        };
        // SAFETY: As above.
        let (mode, flags) = unsafe { ((*inode).i_mode, (*inode).i_flags) };
        if mode & S_IFMT != S_IFREG {
            return Err(EINVAL);
        }
        // SAFETY: As above.
        if unsafe { (*caller).f_mode } & shim::fmode_read() == 0 {
            return Err(EBADF);
        }
        if !read_only && flags & S_APPEND != 0 {
            return Err(EPERM);
        }
        let may = if read_only {
            MAY_READ
        } else {
            MAY_READ | MAY_WRITE
        };
        // SAFETY: The caller's file is open.
        to_result(unsafe { shim::rloop_may(caller, may) })?;
        let access = if read_only {
            bindings::O_RDONLY
        } else {
            bindings::O_RDWR
        } | bindings::O_LARGEFILE;
        let open = |flags: u32| {
            // SAFETY: The path is that of an open file, and the current task's credentials are its own.
            from_err_ptr(unsafe { bindings::dentry_open(path, flags as c_int, (*caller).f_cred) })
        };
        // Not every filesystem has direct I/O.
        let (file, direct) = match open(access | bindings::O_DIRECT) {
            Err(error) if error == EINVAL => (open(access)?, false),
            opened => (opened?, true),
        };
        // SAFETY: It is open.
        unsafe { Self::new(file, direct) }
    }

    /// # Safety
    /// `file` is open, and nobody else closes it.
    unsafe fn new(file: *mut bindings::file, direct: bool) -> Result<Self> {
        // SAFETY: An open file has these.
        let (inode, mapping, sb) = unsafe {
            let inode = (*file).f_inode;
            (inode, (*file).f_mapping, (*inode).i_sb)
        };
        // INVARIANT: They are the file's own.
        let mut backing = Self {
            file,
            inode,
            sb,
            mapping,
            // SAFETY: As above.
            ino: unsafe { (*inode).i_ino },
            direct,
            offset_align: 1,
            memory_align: 1,
            // SAFETY: As above.
            block_bits: u32::from(unsafe { (*sb).s_blocksize_bits })
                .clamp(SECTOR_SHIFT, LARGEST_BITS),
        };
        let align = backing.direct_io()?;
        backing.direct &= align.memory > 0;
        if backing.direct {
            backing.offset_align = align.offset.max(1);
            backing.memory_align = align.memory.clamp(1, 1 << PAGE_SHIFT);
        }
        Ok(backing)
    }

    /// What direct I/O on it needs now; zeros where it is not possible now.
    pub(crate) fn direct_io(&self) -> Result<Alignment> {
        let mut stat = bindings::kstat::default();
        // SAFETY: The file is open, so its path is there.
        to_result(unsafe {
            let path = &raw const (*self.file).__bindgen_anon_1.f_path;
            bindings::vfs_getattr(path, &mut stat, bindings::STATX_DIOALIGN, 0)
        })?;
        // Filesystems that do not say are not to be trusted with less than a block. Memory that they cannot use
        // as it lies they refuse, and then the page cache does.
        if stat.result_mask & bindings::STATX_DIOALIGN == 0 {
            return Ok(Alignment {
                memory: 1 << SECTOR_SHIFT,
                offset: 1 << self.block_bits,
            });
        }
        Ok(Alignment {
            memory: stat.dio_mem_align,
            offset: stat.dio_offset_align,
        })
    }

    #[inline]
    pub(crate) fn file(&self) -> *mut bindings::file {
        self.file
    }

    pub(crate) fn inode(&self) -> *mut bindings::inode {
        self.inode
    }

    #[inline]
    pub(crate) fn sb(&self) -> *mut bindings::super_block {
        self.sb
    }

    /// The one disk that the filesystem is on; null if there is none, or several.
    pub(crate) fn bdev(&self) -> *mut bindings::block_device {
        // SAFETY: By the invariant.
        unsafe { (*self.sb).s_bdev }
    }

    /// The number of the filesystem's device.
    pub(crate) fn dev(&self) -> u32 {
        // SAFETY: By the invariant.
        unsafe { (*self.sb).s_dev }
    }

    /// The filesystem's name.
    pub(crate) fn fs(&self) -> &CStr {
        // SAFETY: A filesystem has a type, and that a name, as long as it is mounted.
        unsafe { CStr::from_char_ptr((*(*self.sb).s_type).name) }
    }

    /// Its length now, in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: By the invariant.
        unsafe { shim::rloop_inode_size(self.inode) }
    }

    /// Whether it was opened for writing.
    pub(crate) fn is_writable(&self) -> bool {
        // SAFETY: By the invariant.
        unsafe { (*self.file).f_mode & shim::fmode_write() != 0 }
    }

    /// Whether its filesystem takes no writes any more.
    #[inline]
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: By the invariant.
        unsafe { shim::rloop_is_read_only(self.sb) }
    }

    /// Whether its blocks hold something else than its contents, or may be used by somebody else:
    /// encrypted, with verity, in memory that is mapped, for swap.
    pub(crate) fn is_special(&self) -> bool {
        const SPECIAL: u32 =
            bindings::S_ENCRYPTED | bindings::S_VERITY | bindings::S_DAX | bindings::S_SWAPFILE;
        // SAFETY: By the invariant.
        unsafe { (*self.inode).i_flags & SPECIAL != 0 }
    }

    /// Whether its filesystem can punch holes.
    pub(crate) fn can_punch(&self) -> bool {
        // SAFETY: By the invariant.
        self.is_writable() && unsafe { (*(*self.file).f_op).fallocate.is_some() }
    }

    /// Whether pages of it are in memory.
    #[inline]
    pub(crate) fn is_cached(&self) -> bool {
        // SAFETY: By the invariant; a racy look is enough, see `in_flight::done`.
        unsafe { ptr::read_volatile(&raw const (*self.mapping).nrpages) != 0 }
    }

    /// Drops the pages that hold a range, in bytes.
    pub(crate) fn invalidate(&self, offset: u64, bytes: u64) -> Result {
        let last = offset + bytes.max(1) - 1;
        // SAFETY: By the invariant.
        to_result(unsafe {
            let (first, last) = (offset >> PAGE_SHIFT, last >> PAGE_SHIFT);
            bindings::invalidate_inode_pages2_range(self.mapping, first as usize, last as usize)
        })
    }

    /// Keeps the filesystem from making the file shorter than `end`, in bytes, until [`Backing::release_size`].
    /// False, with nothing to release, if somebody may be doing that.
    ///
    /// Not everybody who cuts a file breaks a lease first: nfsd's SETATTR and overlayfs only hold write access
    /// while they do. Whoever shortens a file waits for direct I/O after that, so I/O that counts as such,
    /// and then sees no writer but us, is either waited for or too early to matter.
    pub(crate) fn hold_size(&self, end: u64) -> bool {
        let block = 1u64 << self.block_bits;
        let end = end.saturating_sub(block - 1);
        // SAFETY: By the invariant.
        let held =
            unsafe { shim::rloop_hold_size(self.inode, c_int::from(self.is_writable()), end) };
        if !held {
            self.release_size();
        }
        held
    }

    /// Ends what [`Backing::hold_size`] began. In any context.
    pub(crate) fn release_size(&self) {
        // SAFETY: By the invariant.
        unsafe { shim::rloop_release_size(self.inode) };
    }

    /// Writes a range back to disk, in bytes, then drops its pages.
    pub(crate) fn write_back(&self, offset: u64, bytes: u64) -> Result {
        let last = offset + bytes.max(1) - 1;
        // SAFETY: By the invariant.
        to_result(unsafe {
            bindings::filemap_write_and_wait_range(self.mapping, offset as i64, last as i64)
        })?;
        if self.direct {
            // Whoever has made a page dirty again keeps it; the data is on disk.
            let _ = self.invalidate(offset, bytes);
        }
        Ok(())
    }

    /// Makes its data, and what is needed to find it, durable.
    pub(crate) fn sync(&self) -> Result {
        // SAFETY: By the invariant.
        to_result(unsafe { bindings::vfs_fsync(self.file, 1) })
    }

    /// Makes what its filesystem has changed durable, but for other files' data. `EAGAIN` while that is being frozen,
    /// remounted or unmounted.
    pub(crate) fn sync_filesystem(&self) -> Result {
        // SAFETY: By the invariant.
        to_result(unsafe { shim::rloop_sync_filesystem(self.sb) })
    }

    /// Waits for direct I/O that somebody has begun.
    pub(crate) fn wait_for_direct_io(&self) {
        // SAFETY: By the invariant.
        unsafe { shim::rloop_wait_for_direct_io(self.inode) };
    }

    /// Notes that its contents have changed. Not on a filesystem that is frozen or read-only.
    pub(crate) fn touch(&self) {
        if !self.is_writable() || self.is_read_only() {
            return;
        }
        // SAFETY: By the invariant; the transaction that this may begin is within the permit.
        unsafe {
            if shim::rloop_try_start_write(self.sb) {
                shim::rloop_touch(self.file);
                shim::rloop_end_write(self.sb);
            }
        }
    }

    /// Changes how a range is stored, as `fallocate(2)`. The caller has the filesystem's permit to write.
    pub(crate) fn allocate(&self, mode: u32, offset: u64, bytes: u64) -> Result {
        // SAFETY: By the invariant.
        unsafe {
            let allocate = (*(*self.file).f_op).fallocate.ok_or(EOPNOTSUPP)?;
            to_result(allocate(self.file, mode as c_int, offset as i64, bytes as i64) as c_int)
        }
    }

    /// Writes the file's path into a page, and gives its length.
    pub(crate) fn path<'a>(&self, page: &'a mut [u8]) -> Result<&'a CStr> {
        // SAFETY: By the invariant; the buffer is as long as is said.
        let path = from_err_ptr(unsafe {
            bindings::file_path(self.file, page.as_mut_ptr().cast(), page.len() as c_int)
        })?;
        // SAFETY: It is a string at the buffer's end, with its end.
        Ok(unsafe { CStr::from_char_ptr(path) })
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: By the invariant; it is closed here and nowhere else.
        unsafe { bindings::fput(self.file) };
    }
}

/// What direct I/O needs, in bytes.
pub(crate) struct Alignment {
    pub(crate) memory: u32,
    pub(crate) offset: u32,
}

const S_APPEND: u32 = 1 << 2;
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const MAY_WRITE: c_int = 2;
const MAY_READ: c_int = 4;
/// log2 of the largest block that a filesystem has.
const LARGEST_BITS: u32 = 20;
const PAGE_SHIFT: u32 = kernel::page::PAGE_SHIFT as u32;
