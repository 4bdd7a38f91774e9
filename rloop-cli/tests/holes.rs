//! What happens to a file's holes, against workloads of known number and the file's own mapping.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use rloop::{
    device::{
        control::{AttachOptions, Attached},
        extents,
    },
    sample::{DeviceSample, HolesSample, State},
    source::live::Live,
};
use rloop_common::Op;

mod support;

use support::live::*;
use support::*;

const SIZE: u64 = 64 * MIB;
/// Far enough from each other that no filesystem makes one change of two.
const STEP: u64 = 512 << 10;

/// What the file is like before it is attached.
#[derive(Clone, Copy)]
enum Content {
    Holes,
    Unwritten,
    Written,
}

/// Makes the file; `new` is done to it while it is empty.
fn make(folder: &Path, content: Content, new: impl Fn(&Path)) -> PathBuf {
    let file = sparse(folder, "holes.img", 0);
    new(&file);
    match content {
        Content::Holes => open(&file).set_len(SIZE).expect("grows"),
        Content::Unwritten => run(Command::new("fallocate")
            .args(["-l", &SIZE.to_string()])
            .arg(&file)),
        Content::Written => write(&file, 0, SIZE as usize),
    }
    run(Command::new("sync").arg("-f").arg(&file));
    file
}

/// Bytes of the file in this state.
fn bytes_in(file: &Path, state: State) -> u64 {
    run(Command::new("sync").arg("-f").arg(file));
    let mapping = extents::map(&open(file), 0, SIZE).expect("maps");
    let extents = mapping.extents.iter();
    extents
        .filter(|extent| extent.state == state)
        .map(|extent| extent.len_bytes)
        .sum()
}

/// What was counted from one moment on.
struct Watch {
    file: PathBuf,
    device: Attached,
    live: Live,
    before: HolesSample,
}

impl Watch {
    fn new(file: PathBuf, options: &AttachOptions) -> Self {
        let device = attached(&file, options);
        let mut live = watch(&[&device]);
        let before = settled(&mut live, &device).holes;
        Self {
            file,
            device,
            live,
            before,
        }
    }

    /// Writes a block at `count` places, and makes sure they reach the file's blocks.
    fn write_apart(&self, count: u64) {
        write_blocks(self.device.path(), (0..count).map(|i| i * STEP));
        open(self.device.path()).sync_all().expect("syncs");
    }

    fn grown(&mut self) -> HolesSample {
        let after = settled(&mut self.live, &self.device).holes;
        let before = &self.before;
        HolesSample {
            fills: after.fills - before.fills,
            fill_bytes: after.fill_bytes - before.fill_bytes,
            conversions: after.conversions - before.conversions,
            conversion_bytes: after.conversion_bytes - before.conversion_bytes,
            punches: after.punches - before.punches,
            punched_bytes: after.punched_bytes - before.punched_bytes,
        }
    }
}

fn image(fs: &str) -> Option<MountedImage> {
    if !root_or_skip() {
        return None;
    }
    MountedImage::new(fs, 400, &["-q"])
}

fn plain(_: &Path) {}

/// Without copy-on-write.
fn nocow(file: &Path) {
    run(Command::new("chattr").arg("+C").arg(file));
}

/// Fills of holes, which on ext4 and xfs are unwritten until their data are there.
fn assert_fills(fs: &str, options: &AttachOptions, count: u64) {
    let Some(image) = image(fs) else { return };
    let mut watch = Watch::new(make(image.path(), Content::Holes, plain), options);
    watch.write_apart(count);
    let bytes = count * BLOCK as u64;
    let expected = HolesSample {
        fills: count,
        fill_bytes: bytes,
        conversions: count,
        conversion_bytes: bytes,
        ..HolesSample::default()
    };
    assert_eq!(watch.grown(), expected);
    assert_eq!(bytes_in(&watch.file, State::Written), bytes);
    // The same again fills nothing.
    watch.write_apart(count);
    assert_eq!(watch.grown(), expected);
}

#[test]
fn fills_on_ext4_are_exact() {
    assert_fills("ext4", &direct(), 101);
}

#[test]
fn fills_on_ext4_through_the_page_cache_are_exact() {
    assert_fills("ext4", &AttachOptions::default(), 103);
}

#[test]
fn fills_on_xfs_are_exact() {
    assert_fills("xfs", &direct(), 101);
}

#[test]
fn fills_on_xfs_through_the_page_cache_are_exact() {
    assert_fills("xfs", &AttachOptions::default(), 103);
}

/// A hole that is filled piece by piece, each next to the one before, and never synced between.
#[test]
fn a_reservation_that_grows_is_not_counted_twice() {
    for fs in ["ext4", "xfs"] {
        let Some(image) = image(fs) else { return };
        let file = make(image.path(), Content::Holes, plain);
        let mut watch = Watch::new(file, &AttachOptions::default());
        write_blocks(watch.device.path(), (0..89).map(|i| i * BLOCK as u64));
        open(watch.device.path()).sync_all().expect("syncs");
        let holes = watch.grown();
        assert_eq!(holes.fill_bytes, 89 * BLOCK as u64, "{fs}: {holes:?}");
        assert_eq!(
            bytes_in(&watch.file, State::Written),
            89 * BLOCK as u64,
            "{fs}"
        );
    }
}

/// Writes into what is allocated and unwritten.
fn assert_conversions(fs: &str, options: &AttachOptions, count: u64) {
    let Some(image) = image(fs) else { return };
    let mut watch = Watch::new(make(image.path(), Content::Unwritten, plain), options);
    watch.write_apart(count);
    assert_eq!(
        watch.grown(),
        HolesSample {
            conversions: count,
            conversion_bytes: count * BLOCK as u64,
            ..HolesSample::default()
        }
    );
    assert_eq!(bytes_in(&watch.file, State::Written), count * BLOCK as u64);
    assert_eq!(bytes_in(&watch.file, State::Hole), 0);
}

#[test]
fn conversions_on_ext4_are_exact() {
    assert_conversions("ext4", &direct(), 97);
}

#[test]
fn conversions_on_ext4_through_the_page_cache_are_exact() {
    assert_conversions("ext4", &AttachOptions::default(), 89);
}

#[test]
fn conversions_on_xfs_are_exact() {
    assert_conversions("xfs", &direct(), 97);
}

#[test]
fn conversions_on_xfs_through_the_page_cache_are_exact() {
    assert_conversions("xfs", &AttachOptions::default(), 89);
}

#[test]
fn conversions_on_btrfs_are_exact() {
    assert_conversions("btrfs", &direct(), 97);
}

#[test]
fn conversions_on_btrfs_through_the_page_cache_are_exact() {
    assert_conversions("btrfs", &AttachOptions::default(), 89);
}

/// Discards of written blocks.
fn assert_punches(fs: &str, new: impl Fn(&Path)) {
    const COUNT: u64 = 17;
    const LEN: u64 = 13 * BLOCK as u64;
    let Some(image) = image(fs) else { return };
    let mut watch = Watch::new(make(image.path(), Content::Written, new), &direct());
    let discarded = |sample: &DeviceSample| sample.ops[Op::Discard.index()].bytes;
    let discarded_before = discarded(&settled(&mut watch.live, &watch.device));
    for i in 0..COUNT {
        run(Command::new("blkdiscard")
            .args(["-o", &(i * STEP).to_string(), "-l", &LEN.to_string()])
            .arg(watch.device.path()));
    }
    assert_eq!(
        watch.grown(),
        HolesSample {
            punches: COUNT,
            punched_bytes: COUNT * LEN,
            ..HolesSample::default()
        }
    );
    assert_eq!(bytes_in(&watch.file, State::Hole), COUNT * LEN);
    // The mapping is looked at again, but not at once.
    thread::sleep(Duration::from_millis(600));
    let after = settled(&mut watch.live, &watch.device);
    assert_eq!(discarded(&after) - discarded_before, COUNT * LEN);
    let holes = after.extents.iter();
    let holes = holes.filter(|extent| extent.state == State::Hole);
    assert_eq!(holes.count() as u64, COUNT);
}

#[test]
fn punches_on_ext4_are_exact() {
    assert_punches("ext4", plain);
}

#[test]
fn punches_on_xfs_are_exact() {
    assert_punches("xfs", plain);
}

#[test]
fn punches_on_btrfs_are_its_discards() {
    assert_punches("btrfs", nocow);
}

#[test]
fn fills_on_btrfs_without_copy_on_write_are_exact() {
    let Some(image) = image("btrfs") else { return };
    let mut watch = Watch::new(make(image.path(), Content::Holes, nocow), &direct());
    let filled = HolesSample {
        fills: 101,
        fill_bytes: 101 * BLOCK as u64,
        ..HolesSample::default()
    };
    watch.write_apart(101);
    assert_eq!(watch.grown(), filled);
    watch.write_apart(101);
    assert_eq!(watch.grown(), filled, "overwritten in place");
    let sample = settled(&mut watch.live, &watch.device);
    assert!(sample.unavailable.is_empty(), "{:?}", sample.unavailable);
}

#[test]
fn copy_on_write_makes_fills_of_overwrites_and_that_is_said() {
    let Some(image) = image("btrfs") else { return };
    let mut watch = Watch::new(make(image.path(), Content::Holes, plain), &direct());
    watch.write_apart(101);
    watch.write_apart(97);
    let holes = watch.grown();
    assert_eq!(
        (holes.fills, holes.fill_bytes),
        (101 + 97, (101 + 97) * BLOCK as u64)
    );
    let sample = settled(&mut watch.live, &watch.device);
    let what: Vec<&str> = sample.unavailable.iter().map(|u| u.what.as_str()).collect();
    assert_eq!(what, ["fills apart from overwrites"]);
}
