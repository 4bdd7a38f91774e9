//! Loop devices and their backing files, as the kernel at hand tells of them.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use rloop::device::cache::{cached_pages, explain};
use rloop::device::control::{AttachOptions, detach};
use rloop::device::list::FileId;
use rloop::device::mounts::Mounts;
use rloop::device::{DeviceNumber, LoopDevice, below, list};
use support::{ScratchDir, attached, listed, open, root_or_skip, write};

const MIB: u64 = 1 << 20;

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
    let (backing, missing) = device.backing(&open, &mounts);
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

fn all() -> Vec<LoopDevice> {
    list().expect("list")
}

#[test]
fn partitions_know_their_start_and_their_disk() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let options = AttachOptions {
        partitions: true,
        ..AttachOptions::default()
    };
    let device = attached(&dir.sparse("f", 3 * MIB), &options);
    // Told to the kernel rather than written to a table, which not every kernel can read.
    let mut add = Command::new("addpart");
    support::run(add.arg(device.path()).args(["1", "2053", "1009"]));
    let disk = listed(&device).dev;
    let name = device.name();
    let text = fs::read_to_string(format!("/sys/block/{name}/{name}p1/dev")).expect("partition");
    let partition = DeviceNumber::parse(&text).expect("a number");
    assert_eq!(
        below::partition_start_bytes(partition).expect("sysfs"),
        2053 * 512
    );
    assert_eq!(below::partition_start_bytes(disk).expect("sysfs"), 0);
    assert_eq!(below::whole_disk(partition).expect("sysfs"), disk);
    assert_eq!(below::whole_disk(disk).expect("sysfs"), disk);
    assert_eq!(below::nesting(Some(partition), &all()), 1);
}

#[test]
fn a_device_that_was_reattached_meanwhile_is_not_detached() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let guard = attached(&dir.sparse("f", MIB), &AttachOptions::default());
    let mut stale = listed(&guard);
    stale.file = stale.file.map(|id| FileId {
        ino: id.ino + 1,
        ..id
    });
    let error = detach(&stale).expect_err("is another file's");
    assert!(error.to_string().contains("another file"), "{error}");
    assert_eq!(listed(&guard).name, stale.name);
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
    let mounts = Mounts::read().expect("mounts");
    let device = listed(&guard);
    let (before, _) = device.backing(&device.open_backing(&mounts), &mounts);
    assert_ne!(before.fs, "");
    fs::remove_file(&file).expect("removes");
    // Another file of that name is not the device's.
    dir.sparse("f", MIB);
    let device = listed(&guard);
    assert_eq!((&device.path, device.deleted), (&file, true));
    let open = device.open_backing(&mounts);
    assert!(open.as_ref().is_err_and(|why| why.contains("deleted")));
    let (backing, missing) = device.backing(&open, &mounts);
    assert_eq!((&backing.fs, &backing.dev), (&before.fs, &before.dev));
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
        eprintln!("skipped: {}", explain(&error).why);
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
