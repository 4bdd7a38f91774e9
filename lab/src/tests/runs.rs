//! Writes that follow one another go through the filesystem together, and are told apart all the same.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;
use crate::tracing::Tracing;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("runs_are_joined", &[Kind::Xfs], runs_are_joined);
    let fall_apart = super::of_module_on_each("runs_fall_apart", &[Kind::Tmpfs], runs_fall_apart);
    tests.extend(fall_apart);
    tests
}

const MIB: u64 = 1 << 20;

/// Fewer writes reach the disk than the device was given, and each of those is counted and traced.
fn runs_are_joined(guest: &mut Guest, kind: Kind) -> Result<()> {
    let disk = guest.scratch(0)?;
    let below = Filesystem::make(kind, disk)?;
    let path = below.sparse_file("disk.img", 8 * MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider("layout")?;
    let before = writes_of(disk)?;
    let tracing = Tracing::start()?;
    let bytes = random_bytes(guest.seed(), 8 * MIB);
    write_in_pieces(attached.device(), &bytes).context("writing")?;
    let reached = writes_of(disk)? - before;
    let events = tracing.of(attached.device())?;
    let counters = attached.counters()?;
    let (writes, fills) = (counters.of("vfs_writes")?, counters.of("fills")?);
    ensure!(
        reached < writes / 2,
        "the device was given {writes} writes, and {reached} reached the disk"
    );
    for (name, count) in [
        ("rloop_vfs_submit", writes),
        ("rloop_vfs_done", writes),
        ("rloop_fill_begin", fills),
        ("rloop_fill_data", fills),
    ] {
        let mut traced = 0;
        for event in events.iter().filter(|event| event.name == name) {
            // A flush goes through the filesystem too.
            traced += u64::from(event.field("bytes")? > 0);
        }
        ensure!(traced == count, "{traced} {name} for {count} writes");
    }
    attached.detach()?;
    ensure!(
        fs::read(&path)? == bytes,
        "the file is not what was written"
    );
    below.unmount_and_check()
}

/// The room ends in the middle of a run: each write is told for itself whether it had room, and the file has just
/// those that were told so.
fn runs_fall_apart(guest: &mut Guest, kind: Kind) -> Result<()> {
    const ROOM: &str = "size=3m";
    let below = Filesystem::make_with(kind, guest.scratch(0)?, &[], ROOM)?;
    let path = below.sparse_file("disk.img", 8 * MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    let tracing = Tracing::start()?;
    let bytes = random_bytes(guest.seed(), 8 * MIB);
    let written = write_in_pieces(attached.device(), &bytes);
    ensure!(written.is_err(), "there was room for everything");
    let (mut good, mut bad) = (0, 0);
    let held = fs::read(&path)?;
    for event in tracing.of(attached.device())? {
        let (offset, length) = match event.name.as_str() {
            "rloop_vfs_done" => (event.field("offset")?, event.field("bytes")?),
            _ => continue,
        };
        let range = offset as usize..(offset + length) as usize;
        match -event.field("error")? as i32 {
            0 => {
                ensure!(
                    held[range.clone()] == bytes[range],
                    "what was written at {offset} is not there"
                );
                good += length as u64;
            }
            libc::ENOSPC => bad += length as u64,
            other => anyhow::bail!("a write failed with error {other}"),
        }
    }
    let allocated = fs::metadata(&path)?.blocks() * 512;
    ensure!(
        good == allocated && good + bad == 8 * MIB,
        "{good} bytes had room, {bad} had not, {allocated} are there"
    );
    attached.detach()?;
    below.unmount()
}

/// Through the page cache of the device, which writes a page at a time.
fn write_in_pieces(device: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::options().write(true).open(device)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

fn random_bytes(seed: u64, count: u64) -> Vec<u8> {
    let mut random = Random::new(seed, 5);
    let words = (0..count / 8).map(|_| random.next().to_le_bytes());
    words.flatten().collect()
}

/// How many writes a disk has completed.
fn writes_of(disk: &Path) -> Result<u64> {
    const WRITES: usize = 4;
    let name = disk.file_name().context("the disk has no name")?;
    let stat = fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
    let field = stat.split_whitespace().nth(WRITES);
    Ok(field.context("the disk has no statistics")?.parse()?)
}
