//! Extents of backing files on ext4, xfs and btrfs.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use rloop::device::control::{AttachOptions, discard};
use rloop::device::extents::{Mapping, map};
use rloop::device::mounts::Mounts;
use rloop::device::{DeviceNumber, LoopDevice, list};
use rloop::sample::{Extent, State};
use support::{MountedImage, attached, listed, open, root_or_skip, sparse, write};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// (start, length, state) in KiB, neighbours of one state put together.
fn shape(extents: &[Extent]) -> Vec<(u64, u64, State)> {
    let mut shape: Vec<(u64, u64, State)> = Vec::new();
    for extent in extents {
        let (start, len) = (extent.start_bytes / KIB, extent.len_bytes / KIB);
        match shape.last_mut() {
            Some(last) if last.2 == extent.state && last.0 + last.1 == start => last.1 += len,
            _ => shape.push((start, len, extent.state)),
        }
    }
    shape
}

fn mapped(device: &LoopDevice) -> Mapping {
    let open = device
        .open_backing(&Mounts::read().expect("mounts"))
        .expect("opens");
    map(&open.file, device.offset_bytes, device.size_bytes).expect("maps")
}

#[test]
fn holes_and_unwritten_extents_are_mapped_inside_the_window_and_a_punch_shows() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 67, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "f", 13 * MIB);
    write(&file, 2 * MIB, 1 << 20);
    let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(open(&file), flags, 5 * MIB, 3 * MIB).expect("allocates");
    write(&file, 7 * MIB, 64 * 1024);

    let options = AttachOptions {
        offset_bytes: 2 * MIB + 512 * KIB,
        sizelimit_bytes: 5 * MIB,
        ..AttachOptions::default()
    };
    let guard = attached(&file, &options);
    let mapping = mapped(&listed(&guard));
    let expected = [
        (0, 512, State::Written),
        (512, 2048, State::Hole),
        (2560, 2048, State::Unwritten),
        (4608, 64, State::Written),
        (4672, 448, State::Unwritten),
    ];
    assert_eq!(shape(&mapping.extents), expected);
    assert_eq!(mapping.cut_at_bytes, None);

    // A discard on the device is a punch in the file.
    discard(&open(guard.path()), 4608 * KIB, 64 * KIB).expect("discards");
    let expected = [
        (0, 512, State::Written),
        (512, 2048, State::Hole),
        (2560, 2048, State::Unwritten),
        (4608, 64, State::Hole),
        (4672, 448, State::Unwritten),
    ];
    assert_eq!(shape(&mapped(&listed(&guard)).extents), expected);
}

#[test]
fn disk_offsets_on_ext4_are_where_the_data_is() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 67, &["-q"]) else {
        return;
    };
    check_disk_offsets(&image);
}

#[test]
fn disk_offsets_on_xfs_are_where_the_data_is() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("xfs", 331, &["-q"]) else {
        return;
    };
    check_disk_offsets(&image);
}

/// Reads the filesystem's device at each disk offset and finds what was written to the file.
fn check_disk_offsets(image: &MountedImage) {
    let file = sparse(image.path(), "f", 13 * MIB);
    for i in 0..7u64 {
        let mark = [b'A' + i as u8; 4096];
        open(&file)
            .write_all_at(&mark, i * 1_572_864)
            .expect("writes");
    }
    open(&file).sync_all().expect("syncs");
    let guard = attached(&file, &AttachOptions::default());
    let device = listed(&guard);
    let disk = open(image.device());
    let written: Vec<_> = mapped(&device).extents;
    let written: Vec<_> = written
        .iter()
        .filter(|e| e.state == State::Written)
        .collect();
    assert_eq!(written.len(), 7);
    for (i, extent) in written.iter().enumerate() {
        let mut bytes = [0; 4096];
        let at = extent.disk_offset_bytes.expect("a disk offset");
        disk.read_exact_at(&mut bytes, at).expect("reads");
        assert!(
            bytes.iter().all(|byte| *byte == b'A' + i as u8),
            "extent {i} at {at}"
        );
    }
    // The filesystem lies on a loop device, and is told so.
    let facts = device.facts(
        &device.open_backing(&Mounts::read().expect("mounts")),
        &all(),
    );
    assert_eq!(facts.nesting, 1);
    assert!(facts.dio_align_bytes.is_some_and(|align| align >= 512));
    let stat = fs::metadata(image.device()).expect("stat");
    assert_eq!(device.disk, Some(DeviceNumber::from_stat(stat.rdev())));
}

#[test]
fn btrfs_hides_disk_offsets_and_its_two_device_numbers_are_told_apart() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("btrfs", 127, &["-q"]) else {
        return;
    };
    let volume = image.path().join("volume");
    support::run(
        Command::new("btrfs")
            .args(["subvolume", "create"])
            .arg(&volume),
    );
    let file = sparse(&volume, "f", 5 * MIB);
    write(&file, MIB, 1 << 20);
    let guard = attached(&file, &AttachOptions::default());
    let device = listed(&guard);
    let expected = [
        (0, 1024, State::Hole),
        (1024, 1024, State::Written),
        (2048, 3072, State::Hole),
    ];
    let extents = mapped(&device).extents;
    assert_eq!(shape(&extents), expected);
    assert!(
        extents
            .iter()
            .all(|extent| extent.disk_offset_bytes.is_none())
    );

    let mounts = Mounts::read().expect("mounts");
    let open = device.open_backing(&mounts);
    let (backing, missing) = device.backing(&open, &mounts);
    assert_eq!((backing.fs.as_str(), missing.len()), ("btrfs", 0));
    let st_dev = device.file.clone().expect("identified").st_dev;
    assert_ne!(
        backing.dev,
        st_dev.to_string(),
        "the subvolume's number is not the filesystem's"
    );
    assert_eq!(device.facts(&open, &all()).nesting, 1);
}

#[test]
fn more_extents_than_one_batch_are_all_mapped() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 67, &["-q", "-b", "4096"]) else {
        return;
    };
    let file = sparse(image.path(), "f", 5003 * 8 * KIB);
    let handle = open(&file);
    for i in 0..5003 {
        handle
            .write_all_at(&[0x5A; 4096], i * 8 * KIB)
            .expect("writes");
    }
    // Before the blocks exist: data without an address, as delayed allocation leaves it.
    let delayed = map(&handle, 0, 5003 * 8 * KIB).expect("maps").extents;
    handle.sync_all().expect("syncs");
    let extents = map(&handle, 0, 5003 * 8 * KIB).expect("maps").extents;
    assert_eq!((extents.len(), delayed.len()), (2 * 5003, 2 * 5003));
    for (i, pair) in extents.chunks(2).enumerate() {
        let at = i as u64 * 8 * KIB;
        assert_eq!((pair[0].start_bytes, pair[0].len_bytes), (at, 4 * KIB));
        assert_eq!(
            (pair[1].start_bytes, pair[1].len_bytes),
            (at + 4 * KIB, 4 * KIB)
        );
        assert_eq!(
            (pair[0].state, pair[1].state),
            (State::Written, State::Hole)
        );
    }
    assert!(
        delayed
            .iter()
            .step_by(2)
            .all(|extent| extent.state == State::Written)
    );
}

fn all() -> Vec<LoopDevice> {
    list().expect("list")
}
