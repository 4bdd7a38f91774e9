//! The kernel's structures and request numbers, and one safe function for each request.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The device refuses writes.
pub(super) const LO_FLAGS_READ_ONLY: u32 = 1;
/// The device detaches itself when its last opener closes it.
pub(super) const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// The kernel looks for a partition table.
pub(super) const LO_FLAGS_PARTSCAN: u32 = 8;
/// Direct I/O is asked for.
pub(super) const LO_FLAGS_DIRECT_IO: u32 = 16;

const LOOP_CLR_FD: u64 = 0x4C01;
const LOOP_GET_STATUS64: u64 = 0x4C05;
const LOOP_SET_DIRECT_IO: u64 = 0x4C08;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const BLKDISCARD: u64 = 0x1277;
const FS_IOC_FIEMAP: u64 = 0xC020_660B;
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct loop_info64`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct LoopInfo64 {
    /// `st_dev` of the backing file.
    pub(super) device: u64,
    /// Its inode number.
    pub(super) inode: u64,
    pub(super) rdevice: u64,
    /// Where the device starts in the file, bytes.
    pub(super) offset: u64,
    /// How much of the file it shows, bytes; 0 for all.
    pub(super) sizelimit: u64,
    pub(super) number: u32,
    pub(super) encrypt_type: u32,
    pub(super) encrypt_key_size: u32,
    /// `LO_FLAGS_*`.
    pub(super) flags: u32,
    pub(super) file_name: [u8; 64],
    pub(super) crypt_name: [u8; 64],
    pub(super) encrypt_key: [u8; 32],
    pub(super) init: [u64; 2],
}

impl LoopInfo64 {
    /// All fields zero.
    pub(super) const ZERO: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// `struct fiemap_extent`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct FiemapExtent {
    /// Where it starts in the file, bytes.
    pub(super) logical: u64,
    /// Where it lies, bytes, in the filesystem's own address space.
    pub(super) physical: u64,
    /// Its length, bytes.
    pub(super) length: u64,
    pub(super) reserved64: [u64; 2],
    /// `FIEMAP_EXTENT_*`.
    pub(super) flags: u32,
    pub(super) reserved: [u32; 3],
}

/// How many extents one request returns.
pub(super) const FIEMAP_BATCH: usize = 4096;

/// `struct fiemap` with room for a batch. Large: keep it on the heap.
#[repr(C)]
pub(super) struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; FIEMAP_BATCH],
}

impl Fiemap {
    /// An empty batch.
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            start: 0,
            length: 0,
            flags: 0,
            mapped_extents: 0,
            extent_count: 0,
            reserved: 0,
            extents: [FiemapExtent::default(); FIEMAP_BATCH],
        })
    }

    /// Extents of `length` bytes of the file from `start` on, as many as fit. Nothing is written
    /// back first (no FIEMAP_FLAG_SYNC): that would make the watched file do I/O.
    pub(super) fn read(
        &mut self,
        file: &File,
        start: u64,
        length: u64,
    ) -> io::Result<&[FiemapExtent]> {
        self.start = start;
        self.length = length;
        self.flags = 0;
        self.mapped_extents = 0;
        self.extent_count = FIEMAP_BATCH as u32;
        let this: *mut Self = self;
        // SAFETY: the kernel reads the head and writes at most `extent_count` extents, which is
        // the length of the array that follows it.
        check(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, this) }.into())?;
        Ok(&self.extents[..(self.mapped_extents as usize).min(FIEMAP_BATCH)])
    }
}

/// `struct cachestat`, in pages.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct CacheStat {
    pub(super) cached: u64,
    pub(super) dirty: u64,
    pub(super) writeback: u64,
    pub(super) evicted: u64,
    pub(super) recently_evicted: u64,
}

const _: () = assert!(size_of::<LoopInfo64>() == 232 && size_of::<LoopConfig>() == 304);
const _: () = assert!(size_of::<FiemapExtent>() == 56);
const _: () = assert!(size_of::<Fiemap>() == 32 + 56 * FIEMAP_BATCH);

/// Turns a system call's answer into a result.
fn check(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// What the driver knows of the file behind a device.
pub(super) fn loop_status(device: &File) -> io::Result<LoopInfo64> {
    let mut info = LoopInfo64::ZERO;
    // SAFETY: the kernel writes one `loop_info64` to the pointer.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) }.into())?;
    Ok(info)
}

/// Number of a device that is not attached; the driver makes one if need be.
pub(super) fn free_number(control: &File) -> io::Result<u32> {
    // SAFETY: takes no argument.
    let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Attaches `backing` to `device`. `block_size` 0 leaves the choice to the driver.
pub(super) fn configure(
    device: &File,
    backing: BorrowedFd<'_>,
    block_size: u32,
    info: LoopInfo64,
) -> io::Result<()> {
    let fd = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig {
        fd,
        block_size,
        info,
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `loop_config`; the descriptor in it is open, being borrowed.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into())?;
    Ok(())
}

/// Detaches `device`, or asks for that at its last close if it is in use.
pub(super) fn clear(device: &File) -> io::Result<()> {
    // SAFETY: takes no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) }.into())?;
    Ok(())
}

/// Switches direct I/O of an attached device.
pub(super) fn set_direct_io(device: &File, on: bool) -> io::Result<()> {
    let argument = libc::c_ulong::from(on);
    // SAFETY: the argument is a plain number.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_DIRECT_IO, argument) }.into())?;
    Ok(())
}

/// Discards `len_bytes` of a block device from `start_bytes` on.
pub(super) fn discard(device: &File, start_bytes: u64, len_bytes: u64) -> io::Result<()> {
    let range = [start_bytes, len_bytes];
    // SAFETY: the kernel reads two 64-bit numbers from the pointer.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD, range.as_ptr()) }.into())?;
    Ok(())
}

/// Pages of the file in memory; `len_bytes` 0 means to the end.
pub(super) fn cachestat(file: &File, start_bytes: u64, len_bytes: u64) -> io::Result<CacheStat> {
    let range = [start_bytes, len_bytes];
    let mut stat = CacheStat::default();
    // SAFETY: the kernel reads two 64-bit numbers from the first pointer and writes one
    // `struct cachestat` to the second; no flags are defined.
    check(unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            &raw mut stat,
            0u32,
        )
    })?;
    Ok(stat)
}
