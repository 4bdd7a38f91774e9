//! What the probes do not see is counted, and shown.

use std::{
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ratatui::{buffer::Buffer, layout::Rect};
use rloop::{
    device::control::AttachOptions,
    model::derive,
    sample::Sample,
    source::live::{Live, LiveOptions},
    tui::{
        app::App,
        theme::{Depth, Theme, ThemeName},
        view,
    },
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

/// Processes that become orphans, again and again, until dropped: their new parent, process 1, has
/// to wake for each.
struct Orphans(Child);

impl Orphans {
    fn new() -> Self {
        let shell = Command::new("sh")
            .args(["-c", "while :; do (: & :) & wait; done"])
            .stdin(Stdio::null())
            .spawn();
        Self(shell.expect("a shell"))
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_completion_is_seen_or_counted_as_lost() {
    if !root_or_skip() {
        return;
    }
    const THREADS: u64 = 7;
    const READS: u64 = 3001;
    let scratch = ScratchDir::new();
    let file = scratch.sparse("losses.img", 32 * MIB);
    write(&file, 0, 16 << 20);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = kernel_counts(&device);
    // On some machines probes do not run while process 1 does: completions that come then are lost.
    let orphans = Orphans::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let path = device.path();
            scope.spawn(move || {
                // No two of them side by side: those may become one request.
                let blocks = (0..READS).map(|i| (i * 31 + thread) % 4096 * 2);
                read_blocks(path, blocks.map(|block| block * BLOCK as u64));
            });
        }
    });
    drop(orphans);
    let sample = settled_sample(&mut live, &device);
    let reads = &of(&sample, &device).ops[Op::Read.index()];
    assert_eq!(kernel_counts(&device)[0] - before[0], THREADS * READS);
    assert_eq!(reads.submitted, THREADS * READS);
    assert_nothing_vanished(of(&sample, &device));
    assert_eq!(sample.lost.completions, reads.lost);
}

/// The dashboard's first line.
fn header(older: &Sample, newer: &Sample) -> String {
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::Mono, true), false);
    app.push(Arc::new(derive(older, newer)));
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    view::render(&app, area, &mut buffer);
    (0..area.width)
        .map(|x| buffer[(x, 0)].symbol())
        .collect::<String>()
}

#[test]
fn events_that_find_the_ring_full_are_counted_and_shown() {
    if !root_or_skip() {
        return;
    }
    const RING_BYTES: u32 = 4096;
    /// An event's size in the ring, with the kernel's header of eight bytes.
    const EVENT_BYTES: u64 = 40;
    const FAILURES: u64 = 211;
    // Without a journal there are no commits: each failed write is one event, and nothing else is.
    let Some(image) = MountedImage::new("ext4", 32, &["-q", "-b", "4096", "-O", "^has_journal"])
    else {
        return;
    };
    let file = sparse(image.path(), "watched.img", 64 * MIB);
    fill_up(image.path(), "filler");
    let device = attached(&file, &direct());
    let mut live = Live::new(LiveOptions {
        devices: vec![device.name().to_owned()],
        ring_bytes: Some(RING_BYTES),
    })
    .expect("watches");
    let before = settled_sample(&mut live, &device);
    let io = open_direct(device.path());
    let buffer = Box::new(Aligned([1; 16 * BLOCK]));
    for i in 0..FAILURES {
        let written = io.write_all_at(&buffer.0[..BLOCK], i * BLOCK as u64);
        assert_eq!(
            written.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::StorageFull)
        );
    }
    let after = settled_sample(&mut live, &device);
    let writes = &of(&after, &device).ops[Op::Write.index()];
    assert_eq!(writes.submitted, FAILURES);
    assert_eq!(writes.errors, writes.completed);
    assert_nothing_vanished(of(&after, &device));
    let lost = writes.errors - u64::from(RING_BYTES) / EVENT_BYTES;
    assert_eq!(after.lost.ring_events, lost);

    let line = json(&before, &after);
    assert_eq!(line["lost"]["ring_events"], lost);
    // In the interval; some may have been lost before it.
    let more = |lost: &rloop::sample::Lost| lost.completions + lost.recursion + lost.unattributed;
    let all = lost + more(&after.lost) - more(&before.lost);
    assert_eq!(line["lost_events"], all);
    let header = header(&before, &after);
    // The header tells of all since the program began.
    let shown = lost + more(&after.lost);
    assert!(header.ends_with(&format!(" lost {shown}")), "{header}");
}

#[test]
fn requests_are_not_lost_where_nobody_tells_of_extents() {
    if !root_or_skip() {
        return;
    }
    let scratch = ScratchDir::new();
    let target = scratch.path().join("memory");
    let memory = Mounted::new("tmpfs", "size=8m", Path::new("none"), &target);
    let file = sparse(memory.path(), "watched.img", 4 * MIB);
    let device = attached(&file, &AttachOptions::default());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    write_blocks(device.path(), (0..97).map(|i| i * 2 * BLOCK as u64));
    let after = settled_sample(&mut live, &device);
    let (old, new) = (of(&before, &device), of(&after, &device));
    assert_eq!(submitted(old, new, Op::Write), 97);
    assert!(
        new.unavailable
            .iter()
            .any(|missing| missing.what == "extents")
    );
    assert_eq!(after.lost.unattributed, 0);
}

#[test]
fn no_event_is_lost_at_full_speed() {
    if !root_or_skip() {
        return;
    }
    const INTERVAL: Duration = Duration::from_secs(1);
    let Some(image) = MountedImage::new("ext4", 300, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "watched.img", 256 * MIB);
    let device = attached(&file, &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    // Every write fills a hole, every sync commits it: no workload has more events.
    let path = device.path();
    let start = Instant::now();
    let written = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let io = open_direct(path);
            let buffer = Box::new(Aligned([1; 16 * BLOCK]));
            let mut written = 0;
            while start.elapsed() < 2 * INTERVAL && written < 32_000 {
                io.write_all_at(&buffer.0[..BLOCK], written * 2 * BLOCK as u64)
                    .expect("writes");
                io.sync_all().expect("syncs");
                written += 1;
            }
            written
        });
        thread::sleep(INTERVAL);
        sampled(&mut live);
        writer.join().expect("writes")
    });
    let after = settled_sample(&mut live, &device);
    let (old, new) = (of(&before, &device), of(&after, &device));
    assert_eq!(submitted(old, new, Op::Write), written);
    assert_eq!(submitted(old, new, Op::Flush), written);
    assert!(new.commits.count > old.commits.count);
    assert_eq!(after.lost.ring_events, 0);
    assert_eq!(json(&before, &after)["lost"]["ring_events"], 0);
}
