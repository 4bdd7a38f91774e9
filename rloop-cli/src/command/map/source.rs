//! Where `rloop map` has extents from: the module for its devices, FIEMAP for files and loop devices.

use std::fs::File;
use std::path::Path;

use super::{Extent, Map, Source};
use crate::command::subject::{Subject, failed};
use crate::device::LoopDevice;
use crate::device::extents::{Mapping, explain, map};
use crate::device::mounts::Mounts;
use crate::driver::{self, RloopDevice};
use crate::program::Stop;

/// Reads the extents of what the user named.
pub(super) fn read(of: &Path) -> Result<Map, Stop> {
    match Subject::find(of)? {
        Subject::Rloop(device) => of_device(device),
        Subject::Loop(device) => of_loop(device),
        Subject::File { path, file, len } => fiemap(&file, &path, (0, len)),
    }
}

/// What the module knows of a device's file.
fn of_device(device: RloopDevice) -> Result<Map, Stop> {
    let window = (device.offset_bytes, device.size_bytes);
    let mapping = driver::extents::map(device.number, window)?;
    Ok(Map {
        device: Some(device.name),
        ..shown(mapping, &device.path, Source::Module, window)
    })
}

/// What the filesystem says of the file behind a loop device.
fn of_loop(device: LoopDevice) -> Result<Map, Stop> {
    let mounts = Mounts::read().map_err(|error| failed("/proc/self/mountinfo", error))?;
    let open = device.open_backing(&mounts).map_err(Stop::Failed)?;
    let mut map = fiemap(&open.file, &device.path, device.window())?;
    map.device = Some(device.name);
    Ok(map)
}

fn fiemap(file: &File, path: &Path, window: (u64, u64)) -> Result<Map, Stop> {
    let mapping = map(file, window.0, window.1)
        .map_err(|error| failed(path.display(), explain(&error, "its filesystem").why))?;
    Ok(shown(mapping, path, Source::Fiemap, window))
}

/// A mapping whose offsets are of the device, in offsets of the file.
fn shown(
    mapping: Mapping,
    path: &Path,
    source: Source,
    (start_bytes, len_bytes): (u64, u64),
) -> Map {
    if mapping.cut_at_bytes.is_some() {
        super::super::say(&format!(
            "only the first {} extents are shown",
            mapping.extents.len()
        ));
    }
    let extents = mapping.extents.into_iter().map(|extent| Extent {
        state: extent.state.name(),
        start_bytes: start_bytes + extent.start_bytes,
        len_bytes: extent.len_bytes,
        disk_offset_bytes: extent.disk_offset_bytes,
    });
    Map {
        device: None,
        file: path.to_string_lossy().into_owned(),
        source,
        start_bytes,
        len_bytes,
        extents: extents.collect(),
    }
}
