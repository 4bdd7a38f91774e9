//! The disks under a filesystem: partitions, stacked devices, loop devices on loop devices.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DeviceNumber, LoopDevice};

/// Chains longer than this are taken for a mistake.
const MAX_NESTING: u32 = 16;

/// Where a partition starts on its disk, in bytes; 0 for a whole disk.
pub fn partition_start_bytes(dev: DeviceNumber) -> io::Result<u64> {
    let folder = sysfs(dev)?;
    if !folder.join("partition").exists() {
        return Ok(0);
    }
    let text = fs::read_to_string(folder.join("start"))?;
    let sectors: u64 = text.trim().parse().map_err(io::Error::other)?;
    Ok(sectors * 512)
}

/// The disk that a partition is part of; a whole disk is its own. Requests carry its number.
pub fn whole_disk(dev: DeviceNumber) -> io::Result<DeviceNumber> {
    let text = fs::read_to_string(disk_folder(dev)?.join("dev"))?;
    DeviceNumber::parse(&text).ok_or_else(|| io::Error::other(format!("not a device: {text:?}")))
}

/// The name of a disk or partition, as sysfs has it.
pub fn name(dev: DeviceNumber) -> io::Result<String> {
    let folder = sysfs(dev)?;
    let name = folder.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Whether a disk, or the disk of a partition, takes writes in the order of its zones only.
pub fn is_zoned(dev: DeviceNumber) -> bool {
    let zoned = disk_folder(dev).and_then(|disk| fs::read_to_string(disk.join("queue/zoned")));
    zoned.is_ok_and(|text| text.trim() != "none")
}

/// How many of `devices` lie below a filesystem on `dev`, one under the other.
pub fn nesting(dev: Option<DeviceNumber>, devices: &[LoopDevice]) -> u32 {
    depth(dev, devices, MAX_NESTING)
}

fn depth(dev: Option<DeviceNumber>, devices: &[LoopDevice], left: u32) -> u32 {
    let Some(disk) = dev
        .filter(|_| left > 0)
        .and_then(|dev| disk_folder(dev).ok())
    else {
        return 0;
    };
    let name = disk.file_name().unwrap_or_default();
    if let Some(device) = devices.iter().find(|device| name == device.name.as_str()) {
        return 1 + depth(device.disk, devices, left - 1);
    }
    // Device mapper and md name what they lie on; the deepest branch counts.
    let Ok(slaves) = fs::read_dir(disk.join("slaves")) else {
        return 0;
    };
    let numbers = slaves
        .flatten()
        .map(|slave| fs::read_to_string(slave.path().join("dev")));
    let numbers = numbers.flatten().map(|text| DeviceNumber::parse(&text));
    numbers
        .map(|number| depth(number, devices, left - 1))
        .max()
        .unwrap_or(0)
}

fn sysfs(dev: DeviceNumber) -> io::Result<PathBuf> {
    Path::new("/sys/dev/block")
        .join(dev.to_string())
        .canonicalize()
}

fn disk_folder(dev: DeviceNumber) -> io::Result<PathBuf> {
    let folder = sysfs(dev)?;
    let parent = folder
        .parent()
        .filter(|_| folder.join("partition").exists());
    Ok(parent.unwrap_or(&folder).to_path_buf())
}
