//! Devices that come and go, several at once, and devices on a part of their file.

use std::os::unix::fs::FileExt as _;

use rloop::{
    device::control::AttachOptions,
    sample::{DeviceSample, Sample, State, Unavailable},
    source::live::{Live, LiveOptions},
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::numbered::Numbered;
use support::*;

#[test]
fn offset_and_two_devices_are_kept_apart() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let (first, second) = (
        scratch.sparse("first.img", 8 * MIB),
        scratch.sparse("second.img", 8 * MIB),
    );
    // The data begins where the device does.
    write(&first, 2 * MIB, 1 << 20);
    let options = AttachOptions {
        offset_bytes: 2 * MIB,
        sizelimit_bytes: 4 * MIB,
        ..direct()
    };
    let (first, second) = (attached(&first, &options), attached(&second, &direct()));
    let mut live = watch(&[&first, &second]);
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    for (device, count) in [(&first, 13), (&second, 29)] {
        let io = open_direct(device.path());
        for _ in 0..count {
            io.read_exact_at(&mut buffer.0[..BLOCK], 0).expect("reads");
        }
    }
    let (one, two) = (settled(&mut live, &first), settled(&mut live, &second));
    assert_eq!(
        (
            one.ops[Op::Read.index()].submitted,
            two.ops[Op::Read.index()].submitted
        ),
        (13, 29)
    );
    assert_eq!(one.extents[0].state, rloop::sample::State::Written);
    assert_eq!(
        one.extents
            .iter()
            .map(|extent| extent.len_bytes)
            .sum::<u64>(),
        4 * MIB
    );
    assert_eq!(counted(&one, [0, MIB]), [(13, 0), (0, 0)]);
}

#[test]
fn two_that_watch_do_not_disturb_each_other() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let device = attached(&scratch.sparse("both.img", 8 * MIB), &direct());
    let mut first = watch(&[&device]);
    read_blocks(device.path(), (0..11).map(|i| i * BLOCK as u64));
    let mut second = watch(&[&device]);
    write_blocks(device.path(), (0..101).map(|i| i * BLOCK as u64));
    let count = |live: &mut Live| {
        let sample = settled(live, &device);
        let [read, write] = [Op::Read, Op::Write].map(|op| sample.ops[op.index()].submitted);
        (read, write, sample.holes.fills)
    };
    assert_eq!(
        (count(&mut first), count(&mut second)),
        ((11, 101, 101), (0, 101, 101))
    );
    // The one that stays still counts.
    drop(first);
    read_blocks(device.path(), (0..7).map(|i| i * BLOCK as u64));
    assert_eq!(count(&mut second), (7, 101, 101));
}

#[test]
fn sixty_four_devices_are_kept_apart() {
    if !root_or_skip() {
        return;
    }
    const DEVICES: u64 = 64;
    let scratch = ScratchDir::new();
    // Not 64 of everybody's: the kernel would keep them all.
    let devices: Vec<Numbered> = (0..DEVICES)
        .map(|i| {
            let device = Numbered::new();
            device.attach(&scratch.sparse(&format!("{i}.img"), 4 * MIB));
            device
        })
        .collect();
    let mut live = watch(&devices.iter().collect::<Vec<_>>());
    // Each has a number of its own, and an extent of its own.
    for (i, device) in (0..DEVICES).zip(&devices) {
        read_blocks(
            device.path(),
            (0..2 * i + 1).map(|read| read * BLOCK as u64),
        );
        let written = (0..i % 7 + 1).map(|write| 2 * MIB + (i + write * 64) * BLOCK as u64);
        write_blocks(device.path(), written);
    }
    let idle = |sample: &Sample| sample.devices.iter().all(|device| device.in_flight == 0);
    assert!(wait_until(|| idle(&sampled(&mut live))));
    let sample = settled_sample(&mut live, &devices[0]);
    assert_eq!(sample.devices.len(), devices.len());
    assert_eq!((sample.lost.ring_events, sample.lost.unattributed), (0, 0));
    for (i, device) in (0..DEVICES).zip(&devices) {
        let sample = of(&sample, device);
        let [read, write] = [Op::Read, Op::Write].map(|op| &sample.ops[op.index()]);
        assert_eq!((read.submitted, write.submitted), (2 * i + 1, i % 7 + 1));
        assert_eq!(read.bytes, read.submitted * BLOCK as u64);
        assert_eq!(sample.holes.fills, write.submitted);
        let of_extents = sample.extent_counters.iter();
        let of_extents = of_extents.fold((0, 0), |(reads, writes), extent| {
            (reads + extent.reads, writes + extent.writes)
        });
        assert_eq!(of_extents, (read.submitted, write.submitted));
        assert_nothing_vanished(sample);
    }
}

#[test]
fn a_device_attached_to_another_file_while_watched_shows_that_file_alone() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let files = [("first.img", 1), ("second.img", 3)].map(|(name, mib)| {
        let file = scratch.sparse(name, 8 * MIB);
        write(&file, 0, mib << 20);
        file
    });
    let device = Numbered::new();
    device.attach(&files[0]);
    let mut live = watch(&[&device]);
    read_blocks(device.path(), (0..11).map(|_| 0));
    write_blocks(device.path(), std::iter::once(4 * MIB));
    let first = settled_sample(&mut live, &device);
    device.detach();
    device.attach(&files[1]);
    // Not yet sampled: nobody may get these.
    read_blocks(device.path(), (0..5).map(|_| 2 * MIB));
    sampled(&mut live);
    read_blocks(device.path(), (0..13).map(|_| 2 * MIB));
    let second = settled_sample(&mut live, &device);
    let (old, new) = (of(&first, &device), of(&second, &device));
    assert_ne!(old.instance, new.instance);
    assert_eq!(std::path::Path::new(&new.backing.path), files[1]);
    assert_eq!(old.ops[Op::Read.index()].submitted, 11);
    assert_eq!((old.holes.fills, new.holes.fills), (1, 0));
    assert_eq!(new.ops[Op::Write.index()].submitted, 0);
    assert_eq!(counted(new, [0, 3 * MIB]), [(13, 0), (0, 0)]);
    assert_eq!(shape(new)[0], (0, 3 * MIB, State::Written));
    // The interval between them has the new file's reads and none of the old one's.
    let part = json_of(&json(&first, &second), &device);
    assert_eq!(part["io"]["read"]["ops"], 13);
}

#[test]
fn a_device_that_goes_and_comes_again_starts_at_zero() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("again.img", 4 * MIB);
    let device = attached(&file, &direct());
    let mut live = Live::new(LiveOptions::default()).expect("watches all");
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    open_direct(device.path())
        .read_exact_at(&mut buffer.0[..BLOCK], 0)
        .expect("reads");
    let first = settled(&mut live, &device);
    assert!(first.ops[Op::Read.index()].submitted >= 1);
    let name = device.name().to_owned();
    read_blocks(device.path(), (0..7).map(|_| MIB));
    drop(device);
    let is_it = |device: &&DeviceSample| device.instance == first.instance;
    let last = sampled(&mut live);
    let last = last.devices.iter().find(is_it).expect("the end is told");
    let reads = |sample: &DeviceSample| sample.ops[Op::Read.index()].submitted;
    assert_eq!(reads(last) - reads(&first), 7);
    assert_eq!(last.in_flight, 0);
    let is_said = |entry: &Unavailable| entry.why.contains("detached");
    assert!(last.unavailable.iter().any(is_said));
    assert!(
        !sampled(&mut live)
            .devices
            .iter()
            .any(|device| is_it(&device)),
        "{name} is gone"
    );
    let device = attached(&file, &direct());
    let second = settled(&mut live, &device);
    assert_ne!(second.instance, first.instance);
    assert_eq!(second.ops[Op::Write.index()].submitted, 0);
    drop(open(device.path()));
}

#[test]
fn of_two_devices_on_a_file_the_one_that_stays_goes_on_being_counted() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("shared.img", 8 * MIB);
    let (stays, goes) = (attached(&file, &direct()), attached(&file, &direct()));
    let mut live = Live::new(LiveOptions::default()).expect("watches all");
    write_blocks(goes.path(), (0..3).map(|i| MIB + i * BLOCK as u64));
    settled(&mut live, &goes);
    drop(goes);
    // One more sample is of both.
    sampled(&mut live);
    let before = settled(&mut live, &stays);
    write_blocks(stays.path(), (0..5).map(|i| 4 * MIB + i * BLOCK as u64));
    let after = settled(&mut live, &stays);
    assert_eq!(after.holes.fills - before.holes.fills, 5);
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    if !root_or_skip() {
        return;
    }
    let Err(error) = Live::new(LiveOptions {
        devices: vec!["/dev/loop4095".to_owned()],
        ..LiveOptions::default()
    }) else {
        panic!("a device that is not there is watched");
    };
    assert!(error.to_string().contains("/dev/loop4095"), "{error}");
}
