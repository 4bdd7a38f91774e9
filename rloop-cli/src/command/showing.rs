//! Which devices show a file.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::device::backing::mount_of;
use crate::device::mounts::Mounts;
use crate::device::{self, LoopDevice};
use crate::driver::{self, RloopDevice};

/// Those that do, as far as can be seen; the path is canonical.
pub(super) fn of(file: &File, path: &Path) -> (Vec<RloopDevice>, Vec<LoopDevice>) {
    let mut rloops = driver::list().unwrap_or_default();
    rloops.retain(|device| shows(device, file, path));
    let mut loops = device::list().unwrap_or_default();
    loops.retain(|device| {
        let id = device.file.as_ref().ok().zip(file.metadata().ok());
        id.is_some_and(|(id, stat)| id.is(&stat))
    });
    (rloops, loops)
}

/// Whether an rloop device shows this file. The module tells the number of the filesystem, which on btrfs is not
/// that of its files, and inode numbers are of a subvolume there: the path has to be the same then.
pub(super) fn shows(device: &RloopDevice, file: &File, path: &Path) -> bool {
    let has_path = !device.deleted && device.path == path;
    let Some(id) = &device.file else {
        return has_path;
    };
    let Ok(stat) = file.metadata() else {
        return false;
    };
    let mounts = Mounts::read().unwrap_or_default();
    let fs_dev = mount_of(file, &mounts).map(|mount| mount.dev);
    id.is(&stat) || has_path && stat.ino() == id.ino && fs_dev == id.fs_dev
}
