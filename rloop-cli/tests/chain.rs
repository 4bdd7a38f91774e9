//! Chains: from a request to its extent, its I/O on the disk, and the commit that made it durable.

use std::{fs::File, os::unix::fs::FileExt as _, process::Command, thread, time::Duration};

use rloop::{
    device::control::{AttachOptions, Attached},
    export::json::line,
    model::{
        Frame,
        chain::{Chains, Traced},
        derive,
    },
    sample::{Extent, Route, Sample, State},
    source::live::Live,
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

/// Longer than a mapping that was looked at is left alone.
const REST: Duration = Duration::from_millis(600);

/// Samples one after the other: what ended between two of them is told in the second one only.
struct Watch {
    live: Live,
    older: Sample,
}

impl Watch {
    fn new(device: &Attached) -> Self {
        let mut live = watch(&[device]);
        let older = sampled(&mut live);
        Self { live, older }
    }

    /// What happened while `work` did.
    fn during(&mut self, work: impl FnOnce()) -> Frame {
        thread::sleep(REST);
        self.older = sampled(&mut self.live);
        work();
        thread::sleep(REST);
        let newer = sampled(&mut self.live);
        let frame = derive(&self.older, &newer);
        self.older = newer;
        frame
    }
}

/// Requests of an operation, in the order in which they were done.
fn of(chains: &Chains, op: Op) -> Vec<&Traced> {
    let requests = chains.requests().iter().map(AsRef::as_ref);
    requests
        .filter(|traced| traced.request.op() == op)
        .collect()
}

/// A device on a file of that filesystem, and what is below the file.
fn device_on(image: &MountedImage, written: bool) -> Attached {
    let file = sparse(image.path(), "chain.img", 64 * MIB);
    if written {
        write(&file, 0, 64 << 20);
    }
    run(Command::new("sync").arg("-f").arg(&file));
    attached(&file, &direct())
}

fn write_and_sync(io: &File, offset: u64) {
    let buffer = Box::new(Aligned([7; 16 * BLOCK]));
    io.write_all_at(&buffer.0[..BLOCK], offset).expect("writes");
    io.sync_all().expect("syncs");
}

fn assert_in_order(traced: &Traced) {
    let times = &traced.request.times;
    let order = [
        Some(times.start_ns),
        times.issue_ns,
        times.filesystem_ns,
        times.disk_start_ns,
        times.disk_end_ns,
        Some(times.done_ns),
    ];
    let seen: Option<Vec<u64>> = order.into_iter().collect();
    let seen = seen.unwrap_or_else(|| panic!("a time is missing: {traced:?}"));
    assert!(seen.is_sorted(), "{traced:?}");
    assert!(!times.filesystem_derived, "{traced:?}");
}

/// Writes until one of the writes and the flush after it were told of, and gives the frame of both. On machines that
/// lose completions, one may be missing.
fn traced_write(device: &Attached, watch: &mut Watch, offsets: impl Iterator<Item = u64>) -> Frame {
    let io = open_direct(device.path());
    for offset in offsets {
        let frame = watch.during(|| write_and_sync(&io, offset));
        let chains = &frame.devices[0].chains;
        if of(chains, Op::Write).len() == 1 && of(chains, Op::Flush).len() == 1 {
            assert_eq!(of(chains, Op::Write)[0].request.offset_bytes, offset);
            return frame;
        }
    }
    panic!("no write was told of together with its flush");
}

/// A write into a hole by direct I/O, followed by an fsync: its chain has everything.
fn assert_complete(fs: &str) {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new(fs, 400, &["-q"]) else {
        return;
    };
    let device = device_on(&image, false);
    let frame = traced_write(&device, &mut Watch::new(&device), (3..13).map(|i| i * MIB));
    let chains = &frame.devices[0].chains;
    let (write, flush) = (of(chains, Op::Write)[0], of(chains, Op::Flush)[0]);
    let request = &write.request;
    assert_in_order(write);
    assert_eq!(
        (request.bytes, request.route),
        (BLOCK as u64, Route::Direct)
    );
    assert_eq!(request.pid, Some(std::process::id()));
    let extent = write.extent.expect("has an extent");
    assert_eq!(
        (extent.state, write.before),
        (State::Written, Some(State::Hole))
    );
    assert_on_disk(write, &extent);
    // The commit that the flush waited for made it durable.
    let commits: Vec<_> = chains.waited_for(&flush.request).collect();
    assert_eq!(commits.len(), 1, "{chains:?}");
    let commit = &commits[0].commit;
    let durable = write.durable.expect("is durable");
    assert!(durable.derived);
    assert_eq!(durable.flush.map(|flush| flush.0), Some(flush.request.id));
    assert_eq!(durable.commit.map(|commit| commit.0), Some(commit.id));
    assert_eq!(durable.at_ns, flush.request.times.done_ns);
    assert!(request.times.done_ns <= flush.request.times.start_ns);
    let times = [
        flush.request.times.start_ns,
        commit.start_ns,
        commit.end_ns,
        flush.request.times.done_ns,
    ];
    assert!(times.is_sorted(), "{times:?}");
    let ids: Vec<u64> = chains
        .of_commit(commit.id)
        .map(|traced| traced.request.id)
        .collect();
    assert_eq!(ids, [request.id]);
}

/// What was seen on the disk is where the mapping says that it is.
fn assert_on_disk(traced: &Traced, extent: &Extent) {
    let disk = extent.disk_offset_bytes.expect("lies on the disk");
    let place = disk + traced.request.offset_bytes - extent.start_bytes;
    assert_eq!(traced.request.sector, Some(place / 512), "{traced:?}");
}

#[test]
fn a_write_on_ext4_has_its_whole_chain() {
    assert_complete("ext4");
}

#[test]
fn a_write_on_xfs_has_its_whole_chain() {
    assert_complete("xfs");
}

#[test]
fn a_write_over_data_changes_no_mapping_and_a_flush_of_nothing_commits_nothing() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("xfs", 400, &["-q"]) else {
        return;
    };
    let device = device_on(&image, true);
    let mut watch = Watch::new(&device);
    let frame = traced_write(&device, &mut watch, (3..13).map(|i| i * MIB));
    let chains = &frame.devices[0].chains;
    let write = of(chains, Op::Write)[0];
    assert_on_disk(write, &write.extent.expect("has an extent"));
    assert_eq!(write.before, None);
    assert!(write.durable.is_some_and(|durable| durable.flush.is_some()));
    let io = open_direct(device.path());
    for _ in 0..10 {
        let frame = watch.during(|| io.sync_all().expect("syncs"));
        let chains = &frame.devices[0].chains;
        if let [flush] = of(chains, Op::Flush)[..] {
            assert_eq!(chains.waited_for(&flush.request).count(), 0, "{chains:?}");
            assert_eq!(chains.of_flush(flush.request.id).count(), 0, "{chains:?}");
            return;
        }
    }
    panic!("no flush was told of");
}

#[test]
fn what_goes_through_the_page_cache_says_so() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 400, &["-q"]) else {
        return;
    };
    let file = sparse(image.path(), "cached.img", 64 * MIB);
    write(&file, 0, 64 << 20);
    let device = attached(&file, &AttachOptions::default());
    let frame = traced_write(&device, &mut Watch::new(&device), (3..13).map(|i| i * MIB));
    let request = &of(&frame.devices[0].chains, Op::Write)[0].request;
    assert_eq!(request.route, Route::Buffered);
    assert!(request.times.filesystem_derived);
    assert_eq!((request.sector, request.times.disk_start_ns), (None, None));
    assert!(request.times.filesystem_ns >= request.times.issue_ns);
}

#[test]
fn json_names_the_commit_and_the_commit_the_write() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 400, &["-q"]) else {
        return;
    };
    let device = device_on(&image, false);
    let frame = traced_write(&device, &mut Watch::new(&device), (3..13).map(|i| i * MIB));
    let line = serde_json::from_str(&line(&frame)).expect("is JSON");
    let told = json_of(&line, &device);
    let chains = told["chains"].as_array().expect("a list");
    let of_op = |op: &str| {
        let found = chains.iter().find(|chain| chain["op"] == op);
        found.expect("is told of")
    };
    let (write, flush, commit) = (of_op("write"), of_op("flush"), &told["commits"][0]);
    assert_eq!(told["traces"]["traced"], chains.len() as u64, "{told}");
    assert_eq!(write["extent"]["state_before"], "hole", "{told}");
    assert_eq!(write["durable"]["commit"], commit["id"], "{told}");
    assert_eq!(write["durable"]["flush"], flush["id"], "{told}");
    assert_eq!(commit["requests"][0], write["id"], "{told}");
    assert_eq!(flush["flush"]["commits"][0], commit["id"], "{told}");
    assert_eq!(flush["flush"]["requests"][0], write["id"], "{told}");
    assert_eq!(commit["kind"], "journal", "{told}");
}
