//! Loop devices and their files, on the kernel at hand.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use rloop::device::cache::cached_pages;
use rloop::device::control::AttachOptions;
use rloop::device::extents::{Mapping, map};
use rloop::device::mounts::Mounts;
use rloop::device::{DeviceNumber, LoopDevice, below, list};
use rloop::sample::{Extent, State};
use support::{MountedImage, ScratchDir, attached, listed, open, root_or_skip, sparse, write};

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
fn an_attached_device_is_listed_with_all_its_facts_and_gone_when_detached() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let file = dir.sparse("odd name\\ (deleted)", 17 * MIB);
    let options = AttachOptions {
        offset_bytes: 3 * MIB,
        sizelimit_bytes: 11 * MIB,
        read_only: true,
        block_bytes: 4096,
        ..AttachOptions::default()
    };
    let guard = attached(&file, &options);
    let device = listed(&guard);
    let stat = fs::metadata(&file).expect("stat");
    assert_eq!((&device.path, device.deleted), (&file, false));
    let id = device.file.clone().expect("identified");
    assert_eq!((id.st_dev.to_stat(), id.ino), (stat.dev(), stat.ino()));
    assert_eq!(
        (device.offset_bytes, device.sizelimit_bytes),
        (3 * MIB, 11 * MIB)
    );
    assert_eq!(
        (device.size_bytes, device.logical_block_bytes),
        (11 * MIB, 4096)
    );
    assert!(device.read_only && !device.claims_direct && !device.autoclear);
    assert!(device.nr_requests > 0);

    let mounts = Mounts::read().expect("mounts");
    let open = device.open_backing(&mounts);
    let (backing, missing) = device.backing(&open);
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!((backing.size_bytes, backing.ino), (17 * MIB, stat.ino()));
    assert!(!backing.fs.is_empty() && backing.fs_free_bytes <= backing.fs_size_bytes);
    let facts = device.facts(&open, &list().expect("list"));
    assert_eq!(
        (facts.offset_bytes, facts.read_only, facts.nesting),
        (3 * MIB, true, 0)
    );

    let name = guard.name().to_owned();
    guard.detach().expect("detaches");
    assert!(
        list()
            .expect("list")
            .iter()
            .all(|d| d.name != name || d.path != file)
    );
}

#[test]
fn the_list_is_in_natural_order_and_reattaching_changes_the_instance() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let guards: Vec<_> = (0..13)
        .map(|i| {
            attached(
                &dir.sparse(&format!("f{i}"), MIB),
                &AttachOptions::default(),
            )
        })
        .collect();
    let devices = list().expect("list");
    assert!(devices.is_sorted_by_key(|device| device.number));
    assert!(
        guards
            .iter()
            .all(|guard| devices.iter().any(|device| device.name == guard.name()))
    );
    let before: Vec<_> = guards.iter().map(listed).collect();
    drop(guards);
    let again = attached(&dir.sparse("again", MIB), &AttachOptions::default());
    let after = listed(&again);
    assert!(
        before
            .iter()
            .all(|d| (d.number, d.instance) != (after.number, after.instance))
    );
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
    rloop::device::control::discard(&open(guard.path()), 4608 * KIB, 64 * KIB).expect("discards");
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

fn all() -> Vec<LoopDevice> {
    list().expect("list")
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
        std::process::Command::new("btrfs")
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

    let open = device.open_backing(&Mounts::read().expect("mounts"));
    let (backing, missing) = device.backing(&open);
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
fn partitions_know_their_start_and_their_disk() {
    if !root_or_skip() {
        return;
    }
    let mounts = Mounts::read().expect("mounts");
    let dir = ScratchDir::new();
    let guard = attached(&dir.sparse("f", MIB), &AttachOptions::default());
    let device = listed(&guard);
    assert_eq!(below::partition_start_bytes(device.dev).expect("sysfs"), 0);
    assert_eq!(below::whole_disk(device.dev).expect("sysfs"), device.dev);
    assert!(device.open_backing(&mounts).is_ok());
}

#[test]
fn a_deleted_backing_file_is_named_and_out_of_reach() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let file = dir.sparse("f", MIB);
    let guard = attached(&file, &AttachOptions::default());
    let ino = fs::metadata(&file).expect("stat").ino();
    fs::remove_file(&file).expect("removes");
    // Another file of that name is not the device's.
    dir.sparse("f", MIB);
    let device = listed(&guard);
    assert_eq!((&device.path, device.deleted), (&file, true));
    let open = device.open_backing(&Mounts::read().expect("mounts"));
    assert!(open.as_ref().is_err_and(|why| why.contains("deleted")));
    let (backing, missing) = device.backing(&open);
    assert_eq!(
        (backing.deleted, backing.ino, missing.len()),
        (true, ino, 1)
    );
    assert_ne!(backing.dev, "");
}

#[test]
fn a_renamed_backing_file_is_found_under_its_new_name() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let file = dir.sparse("f", MIB);
    let guard = attached(&file, &AttachOptions::default());
    let renamed = dir.path().join("g");
    fs::rename(&file, &renamed).expect("renames");
    let device = listed(&guard);
    assert_eq!((&device.path, device.deleted), (&renamed, false));
    assert!(
        device
            .open_backing(&Mounts::read().expect("mounts"))
            .is_ok()
    );
}

#[test]
fn cached_pages_of_file_and_device_are_counted() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let file = dir.sparse("f", 4 * MIB);
    write(&file, 0, 4 << 20);
    let backing = open(&file);
    if let Err(error) = cached_pages(&backing, 0, 0) {
        eprintln!("skipped: {}", rloop::device::cache::explain(&error).why);
        return;
    }
    let page = rustix::param::page_size() as u64;
    let drop_all = |file: &fs::File| {
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).expect("drops the cache");
    };
    drop_all(&backing);
    assert_eq!(cached_pages(&backing, 0, 0).expect("cachestat").resident, 0);
    rustix::fs::fadvise(&backing, 0, None, rustix::fs::Advice::Random).expect("no read-ahead");
    let mut buffer = vec![0; 37 * page as usize];
    backing
        .read_exact_at(&mut buffer, 11 * page)
        .expect("reads");
    assert_eq!(
        cached_pages(&backing, 0, 0).expect("cachestat").resident,
        37
    );
    assert_eq!(
        cached_pages(&backing, 13 * page, 5 * page)
            .expect("cachestat")
            .resident,
        5
    );

    let direct = AttachOptions {
        direct_io: true,
        block_bytes: 4096,
        ..AttachOptions::default()
    };
    let guard = attached(&file, &direct);
    let device = open(guard.path());
    rustix::fs::fadvise(&device, 0, None, rustix::fs::Advice::Random).expect("no read-ahead");
    drop_all(&device);
    device.read_exact_at(&mut buffer, 0).expect("reads");
    assert_eq!(cached_pages(&device, 0, 0).expect("cachestat").resident, 37);
}
