//! What the kernel says of a file, as far as it bears on mapping it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use rustix::fs::{AtFlags, IFlags, Statx, StatxAttributes, StatxFlags, ioctl_getflags, statx};

use super::super::check::Check;
use super::super::provider::{Disk, Facts};
use crate::device::backing::mount_of;
use crate::device::below;
use crate::device::extents::shares_blocks;
use crate::device::lease;
use crate::device::mounts::{Mount, Mounts};

/// `EXT4_INLINE_DATA_FL`: the contents lie in the inode.
const INLINE_DATA: u32 = 0x1000_0000;
/// The module's switch for mapping by block numbers.
const BMAP: &str = "/sys/module/rloop/parameters/bmap";

/// Reads them. A lease is asked for unless an rloop device has the file: its own would be in the way.
pub(super) fn read(file: &File, path: &str, offset_bytes: u64, attached: bool) -> Facts {
    let mounts = Mounts::read().unwrap_or_default();
    let mount = mount_of(file, &mounts);
    let stat = status(file);
    let block_bytes = rustix::fs::fstatvfs(file).map_or(0, |space| space.f_bsize);
    Facts {
        path: path.to_owned(),
        offset_bytes,
        block_bytes,
        special: special(file, stat.as_ref()),
        has_direct_io: has_direct_io(file, stat.as_ref()),
        flags: flags(file),
        fs: mount.map_or_else(|| "unknown".into(), |mount| mount.fs.clone()),
        disk: disk(mount),
        maps_by_numbers: fs::read_to_string(BMAP).map_or(true, |text| text.trim() != "0"),
        lease: (!attached).then(|| lease::ask(file)),
        is_shared: shares_blocks(file).ok(),
    }
}

/// That the file cannot be attached for writing; `None` if it can.
pub(super) fn writing(file: &File, path: &str) -> Option<Check> {
    let stat = status(file)?;
    let attributes = stat.stx_attributes;
    let (flag, what) = if attributes.contains(StatxAttributes::IMMUTABLE) {
        ("i", "immutable")
    } else if attributes.contains(StatxAttributes::APPEND) {
        ("a", "for appending only")
    } else {
        return None;
    };
    let what = format!("it is {what}, so it can be attached with --read-only only");
    Some(Check::limited("writing", what).remedy(format!("sudo chattr -{flag} {path}")))
}

fn status(file: &File) -> Option<Statx> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN;
    statx(file, "", AtFlags::EMPTY_PATH, wanted).ok()
}

/// What its blocks are besides its contents.
fn special(file: &File, stat: Option<&Statx>) -> Vec<&'static str> {
    let attributes = stat.map_or(StatxAttributes::empty(), |stat| stat.stx_attributes);
    let all = [
        (attributes.contains(StatxAttributes::ENCRYPTED), "encrypted"),
        (attributes.contains(StatxAttributes::VERITY), "with verity"),
        (
            attributes.contains(StatxAttributes::DAX),
            "in memory that is mapped directly (DAX)",
        ),
        (is_swap(file), "in use as swap space"),
    ];
    let set = all.into_iter().filter(|(is_set, _)| *is_set);
    set.map(|(_, what)| what).collect()
}

/// Flags for which ext4 has no direct I/O, or may have none: the first is without effect where
/// allocation is delayed.
fn flags(file: &File) -> Vec<&'static str> {
    let flags = ioctl_getflags(file).unwrap_or_else(|_| IFlags::empty());
    let all = [
        (IFlags::JOURNALING.bits(), "data is journalled (chattr +j)"),
        (INLINE_DATA, "data is in the inode (inline)"),
    ];
    let set = all.into_iter().filter(|(bit, _)| flags.bits() & bit != 0);
    set.map(|(_, what)| what).collect()
}

fn is_swap(file: &File) -> bool {
    let Ok(stat) = file.metadata() else {
        return false;
    };
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let mut paths = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    paths.any(|path| {
        let of = fs::metadata(path);
        of.is_ok_and(|of| (of.dev(), of.ino()) == (stat.dev(), stat.ino()))
    })
}

/// It can be opened without the page cache, and its filesystem does not say that this is of no use.
fn has_direct_io(file: &File, stat: Option<&Statx>) -> bool {
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_DIRECT).open(same);
    let refused = opened.is_err_and(|error: io::Error| error.raw_os_error() == Some(libc::EINVAL));
    let told = stat.filter(|stat| stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    !refused && told.is_none_or(|stat| stat.stx_dio_mem_align != 0)
}

fn disk(mount: Option<&Mount>) -> Disk {
    // btrfs has one in its list of mounts, but may be on several, and has none of its own.
    let dev = mount.map(|mount| mount.dev).filter(|dev| dev.major != 0);
    match dev {
        Some(dev) if below::is_zoned(dev) => Disk::Zoned,
        Some(_) => Disk::One,
        None => Disk::None,
    }
}
