//! Devices of the kernel module rloop, as the dashboard sees all loop devices.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::list::{FileId, mount_of};
use super::mounts::Mounts;
use super::{DeviceNumber, LoopDevice};
use crate::driver::RloopDevice;

impl LoopDevice {
    /// A device of rloop. It always goes past the page cache where its file can.
    pub fn of_rloop(device: RloopDevice, mounts: &Mounts) -> Self {
        let file = device
            .file
            .map(|id| with_st_dev(id, &device.path, mounts))
            .ok_or_else(|| {
                "only CAP_SYS_ADMIN may ask the module which file it is; run this with sudo"
                    .to_owned()
            });
        let id = file.as_ref().ok();
        let mount = id.and_then(|id| mount_of(&device.path, device.deleted, id, mounts));
        Self {
            name: device.name.clone(),
            number: device.number,
            dev: device.dev,
            instance: device.instance,
            size_bytes: device.size_bytes,
            logical_block_bytes: device.block_bytes,
            nr_requests: 0,
            read_only: device.read_only,
            claims_direct: true,
            autoclear: false,
            offset_bytes: device.offset_bytes,
            sizelimit_bytes: device.sizelimit_bytes,
            told: Vec::new(),
            path: device.path.clone(),
            deleted: device.deleted,
            disk: mount.and_then(|mount| mount.block_device()),
            file,
            rloop: Some(device),
        }
    }
}

/// The module tells the filesystem's number; on btrfs files have that of their subvolume.
fn with_st_dev(id: FileId, path: &Path, mounts: &Mounts) -> FileId {
    let stat = fs::metadata(path).ok().filter(|stat| stat.ino() == id.ino);
    let mount = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok();
    let mount = mount.and_then(|stat| mounts.by_id(stat.stx_mnt_id));
    match (stat, mount) {
        (Some(stat), Some(mount)) if Some(mount.dev) == id.fs_dev => FileId {
            st_dev: DeviceNumber::from_stat(stat.dev()),
            ..id
        },
        _ => id,
    }
}
