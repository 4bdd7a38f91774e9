//! Where `rloop map` has extents from: the module for its devices, FIEMAP for files and loop devices.

use std::fs::File;
use std::path::Path;

use super::{Extent, Map, Source};
use crate::command::subject::{Subject, failed};
use crate::device::LoopDevice;
use crate::device::extents::{explain, map};
use crate::device::mounts::Mounts;
use crate::driver::{Control, RloopDevice, abi};
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
    let control = Control::open()?;
    let mut extents = Vec::new();
    let mut from = Some(device.offset_bytes);
    while let Some(start_bytes) = from {
        let known = control.map(device.number, start_bytes)?;
        extents.extend(known.extents);
        from = known.next_bytes;
    }
    Ok(Map {
        extents: without_gaps(device.offset_bytes, device.size_bytes, &extents),
        file: device.path.to_string_lossy().into_owned(),
        source: Source::Module,
        start_bytes: device.offset_bytes,
        len_bytes: device.size_bytes,
        device: Some(device.name),
    })
}

/// The device's part of the file, with what the module does not know as `absent`.
fn without_gaps(start_bytes: u64, len_bytes: u64, known: &[abi::Extent]) -> Vec<Extent> {
    let end = start_bytes + len_bytes;
    let mut extents = Vec::new();
    let mut at = start_bytes;
    for extent in known {
        let (from, to) = (
            extent.offset.max(at),
            (extent.offset + extent.length).min(end),
        );
        if from >= to {
            continue;
        }
        extents.extend(absent(at, from));
        let state = abi::STATES.get(extent.state as usize);
        extents.push(Extent {
            state: state.copied().unwrap_or("unknown"),
            start_bytes: from,
            len_bytes: to - from,
            disk_offset_bytes: (extent.disk != u64::MAX)
                .then(|| extent.disk + (from - extent.offset)),
        });
        at = to;
    }
    extents.extend(absent(at, end));
    extents
}

fn absent(from: u64, to: u64) -> Option<Extent> {
    (from < to).then(|| Extent {
        state: "absent",
        start_bytes: from,
        len_bytes: to - from,
        disk_offset_bytes: None,
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

fn fiemap(file: &File, path: &Path, (start_bytes, len_bytes): (u64, u64)) -> Result<Map, Stop> {
    let mapping = map(file, start_bytes, len_bytes)
        .map_err(|error| failed(path.display(), explain(&error, "its filesystem").why))?;
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
    Ok(Map {
        device: None,
        file: path.to_string_lossy().into_owned(),
        source: Source::Fiemap,
        start_bytes,
        len_bytes,
        extents: extents.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_module_does_not_know_is_absent() {
        let known = |offset, length, disk, state| abi::Extent {
            offset,
            length,
            disk,
            state,
            reserved: 0,
        };
        // The device begins and ends in the middle of a filesystem block.
        let extents = [
            known(0, 4096, 40_960, 4),
            known(8192, 4096, u64::MAX, 0),
            known(12_288, 8192, 81_920, 1),
        ];
        let expected = [
            ("written", 512, 3584, Some(41_472)),
            ("absent", 4096, 4096, None),
            ("hole", 8192, 4096, None),
            ("unwritten", 12_288, 4608, Some(81_920)),
        ];
        let shown = without_gaps(512, 16_384, &extents);
        let shown: Vec<_> = shown
            .iter()
            .map(|e| (e.state, e.start_bytes, e.len_bytes, e.disk_offset_bytes))
            .collect();
        assert_eq!(shown, expected);
        assert_eq!(
            without_gaps(0, 8192, &[]),
            [absent(0, 8192).expect("a gap")]
        );
        assert_eq!(without_gaps(0, 0, &extents), []);
    }
}
