//! I/O past the page cache, and what block devices can do besides.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};

/// `_IO(0x12, 119)` and `_IO(0x12, 127)`; libc does not have them.
const BLKDISCARD: libc::Ioctl = 0x1277;
const BLKZEROOUT: libc::Ioctl = 0x127f;

/// What a block device counts in, in bytes.
pub(crate) const SECTOR: usize = 512;

const PAGE: usize = 4096;

#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "it is read as bytes")] [u8; PAGE]);

/// Memory that direct I/O takes.
pub(crate) struct Buffer(Vec<Page>);

impl Buffer {
    /// Zeros, at least so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(vec![Page([0; PAGE]); bytes.div_ceil(PAGE)])
    }

    /// All of it.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let bytes = self.0.len() * PAGE;
        // SAFETY: Pages are bytes without padding, one after the other.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) }
    }
}

/// Opens a file or a device past the page cache.
pub(crate) fn open(path: &Path, write: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(write)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .with_context(|| format!("could not open {} for direct I/O", path.display()))
}

/// All that is in a file or a device, up to its end.
pub(crate) fn contents(file: &File, bytes: u64) -> Result<Vec<u8>> {
    const PIECE: usize = 1 << 20;
    let mut all = Vec::with_capacity(bytes as usize);
    let mut buffer = Buffer::new(PIECE);
    while (all.len() as u64) < bytes {
        let left = (bytes - all.len() as u64).min(PIECE as u64) as usize;
        let got = file.read_at(
            &mut buffer.bytes()[..left.next_multiple_of(SECTOR)],
            all.len() as u64,
        )?;
        anyhow::ensure!(got > 0, "it ends after {} of {bytes} bytes", all.len());
        all.extend_from_slice(&buffer.bytes()[..got.min(left)]);
    }
    Ok(all)
}

/// Makes a range of a block device zeros, with blocks for them.
pub(crate) fn zero_out(device: &File, offset: u64, bytes: u64) -> io::Result<()> {
    ioctl_range(device, BLKZEROOUT, offset, bytes)
}

/// Tells a block device that a range is of no use.
pub(crate) fn discard(device: &File, offset: u64, bytes: u64) -> io::Result<()> {
    ioctl_range(device, BLKDISCARD, offset, bytes)
}

fn ioctl_range(device: &File, command: libc::Ioctl, offset: u64, bytes: u64) -> io::Result<()> {
    let range = [offset, bytes];
    // SAFETY: The commands read two numbers.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), command, &raw const range) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a range zeros, without blocks for them.
pub(crate) fn punch(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    allocate(
        file,
        libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        offset,
        bytes,
    )
}

/// Changes how a range is stored, as `fallocate(2)`.
pub(crate) fn allocate(file: &File, mode: i32, offset: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: It takes numbers only.
    let done = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, bytes as i64) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
