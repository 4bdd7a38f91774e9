//! Where `rloop map` has extents from: the module for its devices, FIEMAP for files and loop devices.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{Extent, Map, Source};
use crate::device::extents::{explain, map};
use crate::device::list;
use crate::device::mounts::Mounts;
use crate::driver::{Control, abi, find, node};
use crate::program::Stop;
use crate::sample::State;

/// Reads the extents of what the user named.
pub(super) fn read(of: &Path) -> Result<Map, Stop> {
    let word = of.to_string_lossy();
    // A file in this folder comes before a device's bare name: who means the device can say /dev/.
    if !of.is_file() {
        if let Some(number) = node::number(&word) {
            return of_device(number);
        }
        if let Some(map) = of_loop(of)? {
            return Ok(map);
        }
    }
    of_file(of)
}

fn failed(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("{what}: {why}"))
}

/// What the module knows of a device's file.
fn of_device(number: u32) -> Result<Map, Stop> {
    let control = Control::open()?;
    let device = find(number)?;
    let mut extents = Vec::new();
    let mut from = Some(device.offset_bytes);
    while let Some(start_bytes) = from {
        let known = control.map(number, start_bytes)?;
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

/// What the filesystem says of the file behind a loop device; `None` if it is not one.
fn of_loop(of: &Path) -> Result<Option<Map>, Stop> {
    let path = Path::new("/dev").join(of);
    let is_block = path
        .metadata()
        .is_ok_and(|stat| stat.file_type().is_block_device());
    let name = path.strip_prefix("/dev").ok().and_then(Path::to_str);
    let Some(name) = name.filter(|_| is_block) else {
        return Ok(None);
    };
    let device = list::find(name).map_err(|error| failed(name, error))?;
    let device =
        device.ok_or_else(|| failed(path.display(), "no loop device with a file attached"))?;
    let mounts = Mounts::read().map_err(|error| failed("/proc/self/mountinfo", error))?;
    let open = device.open_backing(&mounts).map_err(Stop::Failed)?;
    let mut map = fiemap(&open.file, &device.path, device.window())?;
    map.device = Some(device.name);
    Ok(Some(map))
}

/// What the filesystem says of a file.
fn of_file(path: &Path) -> Result<Map, Stop> {
    // Not to hang, should it be a pipe.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let shown = path.display();
    let file = options.open(path).map_err(|error| failed(&shown, error))?;
    let stat = file.metadata().map_err(|error| failed(&shown, error))?;
    if !stat.is_file() {
        return Err(failed(
            &shown,
            "neither a plain file nor an rloop or loop device",
        ));
    }
    fiemap(&file, path, (0, stat.len()))
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
        state: match extent.state {
            State::Written => "written",
            State::Unwritten => "unwritten",
            State::Hole => "hole",
        },
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
