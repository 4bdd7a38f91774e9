//! A backing file that is deleted, renamed, grown, shrunk or punched while its device is watched: the
//! extents follow, counters are kept, and nothing is put to the wrong extent.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use rloop::{
    device::control::Attached,
    sample::{DeviceSample, State, Unavailable},
    source::live::Live,
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

const READS: u64 = 101;

/// Reads the first block that many times.
fn read_first(device: &Attached) {
    read_blocks(device.path(), (0..READS).map(|_| 0));
}

/// A sample with all looks at the file's mapping behind it that were due: from now on only a change
/// leads to another.
fn at_rest(live: &mut Live, device: &Attached) -> DeviceSample {
    sampled(live);
    thread::sleep(Duration::from_millis(600));
    settled(live, device)
}

/// Samples until the extents look as they should.
fn follows(
    live: &mut Live,
    device: &Attached,
    looks: impl Fn(&DeviceSample) -> bool,
) -> DeviceSample {
    assert!(
        wait_until(|| looks(of(&sampled(live), device))),
        "{:?}",
        shape(of(&sampled(live), device))
    );
    settled(live, device)
}

/// (start, length) of the holes.
fn holes(sample: &DeviceSample) -> Vec<(u64, u64)> {
    let shape = shape(sample).into_iter();
    let holes = shape.filter(|extent| extent.2 == State::Hole);
    holes.map(|(start, len, _)| (start, len)).collect()
}

fn punch(file: &Path, start: u64, len: u64) {
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(open(file), flags, start, len).expect("punches");
}

#[test]
fn a_deleted_file_is_said_to_be_and_goes_on_being_counted() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("deleted.img", 8 * MIB);
    write(&file, 0, 1 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    read_first(&device);
    at_rest(&mut live, &device);
    let before = settled_sample(&mut live, &device);
    fs::remove_file(&file).expect("removes");
    read_first(&device);
    // Its holes fill even so.
    write_blocks(device.path(), (0..7).map(|i| 4 * MIB + i * BLOCK as u64));
    let after = settled_sample(&mut live, &device);
    let (old, new) = (of(&before, &device), of(&after, &device));
    assert!(!old.backing.deleted && new.backing.deleted);
    assert_eq!(Path::new(&new.backing.path), file);
    assert_eq!(new.ops[Op::Read.index()].submitted, 2 * READS);
    assert_eq!(new.holes.fills, 7);
    assert_eq!(shape(old), shape(new));
    assert_eq!(counted(new, [0, MIB]), [(2 * READS, 0), (0, 7)]);
    let part = json_of(&json(&before, &after), &device);
    assert!(findings(&part).contains(&"backing-deleted".to_owned()));
    let unavailable = part["unavailable"].as_array().expect("a list");
    assert!(
        unavailable
            .iter()
            .any(|entry| entry["what"] == "backing file")
    );
}

#[test]
fn a_renamed_file_has_its_new_name_and_its_counters() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("old.img", 8 * MIB);
    write(&file, 0, 1 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    read_first(&device);
    let before = at_rest(&mut live, &device);
    let renamed = scratch.path().join("new.img");
    fs::rename(&file, &renamed).expect("renames");
    // Another file of the old name is nobody's.
    write(&scratch.sparse("old.img", 8 * MIB), 0, 4096);
    read_first(&device);
    write_blocks(device.path(), std::iter::once(2 * MIB));
    let after = follows(&mut live, &device, |sample| shape(sample).len() == 4);
    assert_eq!(Path::new(&after.backing.path), renamed);
    assert_eq!(after.backing.ino, before.backing.ino);
    let lost = |gap: &Unavailable| gap.what == "backing file";
    assert!(!after.backing.deleted && !after.unavailable.iter().any(lost));
    assert_eq!(counted(&after, [0, MIB]), [(2 * READS, 0), (0, 1)]);
    assert_eq!(after.holes.fills, 1);
}

#[test]
fn a_grown_file_has_its_new_extents() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("grown.img", 4 * MIB);
    write(&file, 0, 4 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    read_first(&device);
    let before = at_rest(&mut live, &device);
    assert_eq!(shape(&before), [(0, 4 * MIB, State::Written)]);
    open(&file).set_len(12 * MIB).expect("grows");
    write(&file, 8 * MIB, 4 << 20);
    // Seen while only the file has grown, not yet the device.
    let between = at_rest(&mut live, &device);
    assert_eq!(between.facts.size_bytes, 4 * MIB);
    run(Command::new("losetup")
        .arg("--set-capacity")
        .arg(device.path()));
    let after = follows(&mut live, &device, |sample| shape(sample).len() > 1);
    let expected = [
        (0, 4 * MIB, State::Written),
        (4 * MIB, 4 * MIB, State::Hole),
        (8 * MIB, 4 * MIB, State::Written),
    ];
    assert_eq!(shape(&after), expected);
    assert_eq!(after.facts.size_bytes, 12 * MIB);
    assert_eq!(after.instance, before.instance);
    read_blocks(device.path(), (0..13).map(|i| 9 * MIB + i * BLOCK as u64));
    read_blocks(device.path(), (0..5).map(|i| 5 * MIB + i * BLOCK as u64));
    let after = settled(&mut live, &device);
    assert_eq!(
        counted(&after, [0, 4 * MIB, 8 * MIB]),
        [(READS, 0), (5, 0), (13, 0)]
    );
    assert_nothing_vanished(&after);
}

/// Punches, reads, fills and reads again, with the file in `folder`.
fn check_punches(folder: &Path) {
    let file = sparse(folder, "punched.img", 8 * MIB);
    write(&file, 0, 8 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    read_blocks(device.path(), (0..13).map(|i| 2 * MIB + i * BLOCK as u64));
    let before = at_rest(&mut live, &device);
    assert_eq!(holes(&before), []);
    // By somebody who does not ask the device.
    punch(&file, 2 * MIB, MIB);
    let after = follows(&mut live, &device, |sample| !holes(sample).is_empty());
    assert_eq!(holes(&after), [(2 * MIB, MIB)]);
    assert_eq!(after.holes.punches, 1);
    read_blocks(device.path(), (0..17).map(|i| 2 * MIB + i * BLOCK as u64));
    read_blocks(device.path(), (0..19).map(|i| 5 * MIB + i * BLOCK as u64));
    let after = settled(&mut live, &device);
    // What was read before the punch is still there, what came after is where the hole is.
    let stretches = [0, 2 * MIB, 3 * MIB];
    let (old, new) = (counted(&before, stretches), counted(&after, stretches));
    let grown: Vec<u64> = (0..3).map(|i| new[i].0 - old[i].0).collect();
    assert_eq!(grown, [0, 17, 19]);
    assert_eq!(old.map(|counts| counts.0).iter().sum::<u64>(), 13);
    assert_eq!(after.ops[Op::Read.index()].submitted, 13 + 17 + 19);
    // And filled again, it is no hole any more.
    write_blocks(device.path(), (0..256).map(|i| 2 * MIB + i * BLOCK as u64));
    let filled = follows(&mut live, &device, |sample| holes(sample).is_empty());
    assert_eq!(filled.holes.fill_bytes, MIB);
    let writes: u64 = filled.extent_counters.iter().map(|e| e.writes).sum();
    assert_eq!(writes, 256);
}

#[test]
fn a_file_punched_on_ext4_has_a_hole() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 64, &["-q"]) else {
        return;
    };
    check_punches(image.path());
}

#[test]
fn a_file_punched_on_xfs_has_a_hole() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("xfs", 320, &["-q"]) else {
        return;
    };
    check_punches(image.path());
}

#[test]
fn a_file_punched_on_btrfs_has_a_hole() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("btrfs", 200, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "punched.img", 8 * MIB);
    write(&file, 0, 8 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    assert_eq!(holes(&at_rest(&mut live, &device)), []);
    punch(&file, 2 * MIB, MIB);
    open(&file).sync_all().expect("syncs");
    let after = follows(&mut live, &device, |sample| !holes(sample).is_empty());
    assert_eq!(holes(&after), [(2 * MIB, MIB)]);
}
