//! Where the time of requests goes: derived for those that go through the page cache, and of one of many
//! at high rates.

use std::{os::unix::fs::FileExt as _, path::Path, thread, time::Duration};

use rloop::{
    device::control::AttachOptions,
    sample::{DeviceSample, SplitSample},
    source::live::Live,
};
use rloop_common::{Op, device::SPLIT_PER_WINDOW};

mod support;

use support::{
    MountedImage, Named, ScratchDir, attached,
    live::{
        Aligned, BLOCK, Frozen, MIB, assert_nothing_vanished, direct, findings, json, json_of, of,
        open_direct, sampled, settled, settled_sample, submitted, watch,
    },
    open, root_or_skip, sparse, wait_until, write,
};

const DELAY: Duration = Duration::from_millis(400);

/// So often something is tried that may not happen the first time.
const ROUNDS: u64 = 10;

fn lost(sample: &DeviceSample) -> u64 {
    sample.ops.iter().map(|op| op.lost).sum()
}

fn grown(before: &DeviceSample, after: &DeviceSample) -> SplitSample {
    let (before, after) = (before.split, after.split);
    SplitSample {
        requests: after.requests - before.requests,
        sampled: after.sampled - before.sampled,
        derived: after.derived - before.derived,
        queue_ns: after.queue_ns - before.queue_ns,
        worker_ns: after.worker_ns - before.worker_ns,
        filesystem_ns: after.filesystem_ns - before.filesystem_ns,
        disk_ns: after.disk_ns - before.disk_ns,
    }
}

/// Writes `count` blocks at once while the filesystem below stands still, for [`DELAY`] from when the
/// driver has them all.
fn write_at_once(live: &mut Live, device: &(impl Named + Sync), count: u64, below: &Path) {
    let io = open_direct(&Path::new("/dev").join(device.name()));
    // Completions that were not seen count as in flight, so it is what was submitted that tells.
    let before = of(&sampled(live), device).clone();
    let frozen = Frozen::new(below);
    thread::scope(|scope| {
        for i in 0..count {
            let io = &io;
            scope.spawn(move || {
                let buffer = Box::new(Aligned([7; 16 * BLOCK]));
                // No two of them side by side: those may become one request.
                io.write_all_at(&buffer.0[..BLOCK], 2 * i * BLOCK as u64)
                    .expect("writes");
            });
        }
        let all = wait_until(|| submitted(&before, of(&sampled(live), device), Op::Write) == count);
        thread::sleep(DELAY);
        drop(frozen);
        assert!(all, "the driver gets all of them");
    });
}

#[test]
fn buffered_requests_that_wait_for_the_worker_wait_in_the_worker_part() {
    if !root_or_skip() {
        return;
    }
    const COUNT: u64 = 5;
    let Some(image) = MountedImage::new("ext4", 200, &[]) else {
        return;
    };
    let file = sparse(image.path(), "buffered.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &AttachOptions::default());
    let mut live = watch(&[&device]);
    // What was lost has no split.
    let nothing_lost = |_| {
        let before = settled(&mut live, &device);
        write_at_once(&mut live, &device, COUNT, image.path());
        let after = settled(&mut live, &device);
        (lost(&after) == lost(&before)).then(|| grown(&before, &after))
    };
    let split = (0..ROUNDS)
        .find_map(nothing_lost)
        .expect("a round without lost completions");
    assert_eq!(
        (split.requests, split.sampled, split.derived),
        (COUNT, COUNT, COUNT)
    );
    // The worker stands still with the first one; the others wait for the worker.
    let delay = DELAY.as_nanos() as u64;
    assert!(split.worker_ns >= (COUNT - 1) * delay, "{split:?}");
    assert!(
        (delay..2 * delay).contains(&split.filesystem_ns),
        "{split:?}"
    );
    assert!(split.queue_ns < delay, "{split:?}");
    assert_eq!(split.disk_ns, 0, "it is not known: {split:?}");
}

#[test]
fn a_saturated_buffered_worker_is_found() {
    if !root_or_skip() {
        return;
    }
    // Fewer than the driver has tags.
    const COUNT: u64 = 120;
    let Some(image) = MountedImage::new("ext4", 200, &[]) else {
        return;
    };
    let file = sparse(image.path(), "saturated.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &AttachOptions::default());
    let mut live = watch(&[&device]);
    // Of requests that were submitted together the first time, it is not known when they were issued.
    let found = (0..ROUNDS).any(|_| {
        let before = settled_sample(&mut live, &device);
        write_at_once(&mut live, &device, COUNT, image.path());
        let after = settled_sample(&mut live, &device);
        let line = json_of(&json(&before, &after), &device);
        assert_eq!(
            line["split"]["derived"], line["split"]["requests"],
            "{line}"
        );
        findings(&line).contains(&"worker-saturated".to_owned())
    });
    assert!(found, "not in {ROUNDS} rounds");
}

#[test]
fn one_of_many_stands_for_all_and_counts_stay_exact() {
    if !root_or_skip() {
        return;
    }
    const THREADS: u64 = 8;
    const READS: u64 = 5003;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("many.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let first = settled_sample(&mut live, &device);
    let io = open_direct(device.path());
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let io = &io;
            scope.spawn(move || {
                let mut buffer = Box::new(Aligned([0; 16 * BLOCK]));
                for i in 0..READS {
                    let block = (i * 7919 + seed * 104_729) % (16 * MIB / BLOCK as u64);
                    io.read_exact_at(&mut buffer.0[..BLOCK], block * BLOCK as u64)
                        .expect("reads");
                }
            });
        }
    });
    let last = settled_sample(&mut live, &device);
    let (before, after) = (of(&first, &device), of(&last, &device));
    assert_nothing_vanished(after);
    // Two that wait side by side may become one.
    let all = THREADS * READS - (after.merges - before.merges);
    assert_eq!(submitted(before, after, Op::Read), all);
    let reads = |sample: &DeviceSample| {
        let extents = sample.extent_counters.iter();
        extents.map(|extent| extent.reads).sum::<u64>()
    };
    // Extents are counted at completion.
    let missing = all - (reads(after) - reads(before));
    let lost = lost(after) - lost(before);
    assert!(
        missing <= lost,
        "{missing} reads are missing, and {lost} completions"
    );
    let split = grown(before, after);
    assert_eq!(split.derived, 0, "{split:?}");
    let some = u64::from(SPLIT_PER_WINDOW)..all / 2;
    assert!(some.contains(&split.sampled), "{split:?}");
    assert!(
        split.requests.abs_diff(all) * 10 <= all,
        "{all} requests, of which {split:?}"
    );
}

#[test]
fn requests_that_are_submitted_together_are_split_too() {
    if !root_or_skip() {
        return;
    }
    // Few enough that all of them are split.
    const COUNT: u64 = 24;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("together.img", 16 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let completed = |sample: &DeviceSample| sample.ops[Op::Write.index()].completed;
    let mut before = settled(&mut live, &device);
    let mut together = |round: u64| {
        let io = open(&Path::new("/dev").join(device.name()));
        for i in 0..COUNT {
            // As above.
            io.write_all_at(&[7; BLOCK], (2 * i + round * 2 * COUNT) * BLOCK as u64)
                .expect("writes");
        }
        io.sync_all().expect("syncs");
        let after = settled(&mut live, &device);
        assert_nothing_vanished(&after);
        let writes = completed(&after) - completed(&before);
        assert!(writes >= COUNT / 2, "{writes}");
        let split = grown(&before, &after);
        before = after;
        (split, writes)
    };
    // Who is interrupted while he submits does so one by one. When some were not split, that there are such requests
    // is known, and the probes look when the next ones are issued.
    let is_known = |&round: &u64| {
        let (split, writes) = together(round);
        split.requests < writes
    };
    let known = (0..ROUNDS).find(is_known);
    let (split, writes) = together(known.map_or(ROUNDS, |round| round + 1));
    assert_eq!(split.requests, writes, "{split:?}");
    assert!(split.queue_ns > 0, "{split:?}");
}
