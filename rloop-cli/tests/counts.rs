//! The live numbers of workloads whose numbers are known.
//!
//! Submitted operations, bytes and fills are compared exactly. Completions may be lost to BPF on some
//! machines; then the loss has to be counted, so completed + lost is compared.

use std::os::unix::fs::FileExt as _;

use rloop::sample::DeviceSample;
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

#[test]
fn a_known_workload_is_counted_exactly() {
    if !root_or_skip() {
        return;
    }
    const READS: u64 = 1009;
    const WRITES: u64 = 503;
    const FSYNCS: u64 = 101;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("known.img", 32 * MIB);
    // 0..4 MiB written, the rest a hole.
    write(&file, 0, 4 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled(&mut live, &device);
    let kernel_before = kernel_counts(&device);

    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0x5a; 16 * BLOCK]));
    for i in 0..READS {
        io.read_exact_at(&mut buffer.0[..BLOCK], i * 7 % 1024 * BLOCK as u64)
            .expect("reads");
    }
    for i in 0..WRITES {
        io.write_all_at(&buffer.0[..BLOCK], 8 * MIB + i * 2 * BLOCK as u64)
            .expect("writes");
    }
    for _ in 0..FSYNCS {
        io.sync_all().expect("syncs");
    }

    let after = settled(&mut live, &device);
    assert_nothing_vanished(&after);
    let grown = |op: Op| after.ops[op.index()].submitted - before.ops[op.index()].submitted;
    assert_eq!(grown(Op::Read), READS);
    assert_eq!(grown(Op::Write), WRITES);
    assert_eq!(grown(Op::Flush), FSYNCS);
    assert_eq!(
        after.ops[Op::Read.index()].bytes - before.ops[Op::Read.index()].bytes,
        READS * BLOCK as u64
    );
    assert_eq!(
        after.ops[Op::Write.index()].bytes - before.ops[Op::Write.index()].bytes,
        WRITES * BLOCK as u64
    );
    let kernel: Vec<u64> = kernel_counts(&device)
        .iter()
        .zip(kernel_before)
        .map(|(after, before)| after - before)
        .collect();
    // The kernel counts bare flushes as writes.
    assert_eq!(kernel, [READS, READS * 8, WRITES + FSYNCS, WRITES * 8]);

    assert_eq!(after.holes.fills, WRITES);
    assert_eq!(after.holes.fill_bytes, WRITES * BLOCK as u64);
    assert_completed_bytes(
        after.bypass.direct_read_bytes,
        READS * BLOCK as u64,
        BLOCK as u64,
        &after.ops[Op::Read.index()],
    );
    assert_completed_bytes(
        after.bypass.direct_write_bytes,
        WRITES * BLOCK as u64,
        BLOCK as u64,
        &after.ops[Op::Write.index()],
    );
    let counted = |f: fn(&rloop::sample::ExtentCounters) -> u64| {
        after.extent_counters.iter().map(f).sum::<u64>()
    };
    let at_start = |sample: &DeviceSample| {
        sample
            .extent_counters
            .iter()
            .map(|extent| extent.reads)
            .sum::<u64>()
    };
    assert_eq!(
        counted(|extent| extent.read_bytes),
        READS * BLOCK as u64,
        "nothing else read: {}",
        at_start(&before)
    );
    assert_eq!(counted(|extent| extent.write_bytes), WRITES * BLOCK as u64);
    let in_hole: u64 = after
        .extent_counters
        .iter()
        .filter(|extent| extent.start_bytes >= 4 * MIB)
        .map(|extent| extent.writes)
        .sum();
    assert_eq!(in_hole, WRITES);
}

#[test]
fn each_extent_gets_its_own_requests() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let file = scratch.sparse("extents.img", 8 * MIB);
    write(&file, 2 * MIB, 1 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let io = open_direct(device.path());
    let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
    // 3 in the hole before, 5 in the data, 7 across the end of the data.
    for (count, offset) in [(3, 0), (5, 2 * MIB), (7, 3 * MIB - BLOCK as u64)] {
        for _ in 0..count {
            io.read_exact_at(&mut buffer.0[..2 * BLOCK], offset)
                .expect("reads");
        }
    }
    let sample = settled(&mut live, &device);
    let reads_from = |start: u64, end: u64| -> (u64, u64) {
        let inside = sample
            .extent_counters
            .iter()
            .filter(|extent| (start..end).contains(&extent.start_bytes));
        inside.fold((0, 0), |sum, extent| {
            (sum.0 + extent.reads, sum.1 + extent.read_bytes)
        })
    };
    let block = BLOCK as u64;
    assert_eq!(reads_from(0, 2 * MIB), (3, 3 * 2 * block));
    assert_eq!(reads_from(2 * MIB, 3 * MIB), (5 + 7, (5 * 2 + 7) * block));
    assert_eq!(reads_from(3 * MIB, 8 * MIB), (7, 7 * block));
    assert!(
        sample.extent_counters.iter().all(|extent| extent
            .latency
            .0
            .iter()
            .map(|bucket| bucket.1)
            .sum::<u64>()
            <= extent.reads)
    );
}
