//! Devices that come and go, several at once, and devices on a part of their file.

use std::os::unix::fs::FileExt as _;

use rloop::{
    device::control::AttachOptions,
    source::{
        Source as _,
        live::{Live, LiveOptions},
    },
};
use rloop_common::Op;

mod support;

use support::live::*;
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
    assert_eq!(
        one.extent_counters
            .iter()
            .map(|extent| (extent.start_bytes, extent.reads))
            .collect::<Vec<_>>(),
        [(0, 13)]
    );
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
    drop(device);
    let sample = live
        .next()
        .expect("samples")
        .expect("a live source never ends");
    assert!(
        sample
            .devices
            .iter()
            .all(|device| device.instance != first.instance),
        "{name} is gone"
    );
    let device = attached(&file, &direct());
    let second = settled(&mut live, &device);
    assert_ne!(second.instance, first.instance);
    assert_eq!(second.ops[Op::Write.index()].submitted, 0);
    drop(open(device.path()));
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
