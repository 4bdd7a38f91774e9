//! Partitions: of a watched device, and below its backing file.

use std::{
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rloop::{
    device::control::{AttachOptions, Attached},
    sample::State,
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

fn partitioned(file: &Path) -> Attached {
    let options = AttachOptions {
        partitions: true,
        ..direct()
    };
    attached(file, &options)
}

/// Tells the kernel of a partition, and names its device; a table is more than every kernel reads.
fn add_partition(device: &Attached, number: u32, start_bytes: u64, len_bytes: u64) -> PathBuf {
    let [start, len] = [start_bytes, len_bytes].map(|bytes| (bytes / 512).to_string());
    run(Command::new("addpart")
        .arg(device.path())
        .args([number.to_string(), start, len]));
    let path = PathBuf::from(format!("{}p{number}", device.path().display()));
    assert!(wait_until(|| path.exists()), "{} appears", path.display());
    path
}

#[test]
fn requests_on_partitions_count_for_the_whole_device_where_they_land() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("parts.img", 16 * MIB);
    write(&file, MIB, 2 << 20);
    write(&file, 4 * MIB, 1 << 20);
    let device = partitioned(&file);
    let first = add_partition(&device, 1, MIB, 2 * MIB);
    let second = add_partition(&device, 2, 4 * MIB, 8 * MIB);
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device);
    let kernel = kernel_counts(&device);
    let blocks = |start: u64, count: u64| (0..count).map(move |i| start + i * BLOCK as u64);
    read_blocks(device.path(), blocks(0, 5));
    read_blocks(&first, blocks(0, 13));
    read_blocks(&second, blocks(0, 29));
    read_blocks(&second, blocks(MIB, 7));
    write_blocks(&second, blocks(2 * MIB, 3));
    write_blocks(&first, blocks(MIB, 11));
    let after = settled(&mut live, &device);
    assert_eq!(submitted(&before, &after, Op::Read), 5 + 13 + 29 + 7);
    assert_eq!(submitted(&before, &after, Op::Write), 3 + 11);
    let now = kernel_counts(&device);
    let kernel: Vec<u64> = now
        .iter()
        .zip(kernel)
        .map(|(now, then)| now - then)
        .collect();
    assert_eq!(kernel, [54, 54 * 8, 14, 14 * 8]);
    assert_eq!(after.holes.fills, 3);
    assert_eq!(
        counted(&after, [0, MIB, 4 * MIB, 5 * MIB]),
        [(5, 0), (13, 11), (29, 0), (7, 3)]
    );
    assert_nothing_vanished(&after);
}

#[test]
fn a_file_on_a_partition_lies_where_the_whole_disk_says() {
    if !root_or_skip() || !program_or_skip("mkfs.ext4") {
        return;
    }
    const START: u64 = 3 * MIB + 8192;
    const MARK: [u8; BLOCK] = [0x6d; BLOCK];
    let scratch = ScratchDir::new();
    let outer = partitioned(&scratch.sparse("disk.img", 96 * MIB));
    let partition = add_partition(&outer, 1, START, 80 * MIB);
    run(Command::new("mkfs.ext4").arg("-q").arg(&partition));
    let mounted = Mounted::new("ext4", "defaults", &partition, &scratch.path().join("on"));
    let file = sparse(mounted.path(), "watched.img", 8 * MIB);
    write(&file, 0, 4 << 20);
    open(&file).write_all_at(&MARK, 2 * MIB).expect("writes");
    open(&file).sync_all().expect("syncs");

    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device);
    let extent = before.extents.iter().find(|extent| {
        (extent.start_bytes..extent.start_bytes + extent.len_bytes).contains(&(2 * MIB))
    });
    let extent = extent.expect("is mapped");
    assert_eq!(extent.state, State::Written);
    let offset = extent.disk_offset_bytes.expect("is told") + 2 * MIB - extent.start_bytes;
    let mut found = [0; BLOCK];
    open(outer.path())
        .read_exact_at(&mut found, offset)
        .expect("reads");
    assert!(found == MARK, "the data is not at {offset}");

    // The partition's disk is the one whose requests are looked at.
    read_blocks(device.path(), (0..101).map(|i| i * BLOCK as u64));
    let after = settled(&mut live, &device);
    assert_eq!(submitted(&before, &after, Op::Read), 101);
    assert!(
        after.split.requests > 0 && after.split.disk_ns > 0,
        "{:?}",
        after.split
    );
}
