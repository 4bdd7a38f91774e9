//! Power cuts under a filesystem on the device: what was fsynced in it is there after one.
//!
//! A journal's commit is a single bio of a flush, data and FUA; nothing but that makes what it commits durable.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::direct::Buffer;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::power_cut::PowerCut;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

const MIB: u64 = 1 << 20;
/// XFS makes none that is smaller.
const DEVICE_BYTES: u64 = 300 * MIB;
const PAGE: usize = 4096;

pub(super) fn tests() -> Vec<Test> {
    let of = |name: &str, kind, mode| {
        let body = move |guest: &mut Guest| super::with_module(|| power_cuts(guest, kind, mode));
        Test::new(format!("durable_inner_{name}/{kind}"), body).on_request()
    };
    let [vfs_flush, layout_flush, _, layout_each] = Mode::ALL;
    vec![
        of("fill_vfs_commit_flush", Kind::Ext4, vfs_flush),
        of("fill_layout_commit_flush", Kind::Xfs, layout_flush),
        of("fill_layout_commit_each", Kind::Xfs, layout_each),
    ]
}

fn power_cuts(guest: &mut Guest, kind: Kind, mode: Mode) -> Result<()> {
    if !guest.is_long() {
        return one_log(guest, kind, Kind::Ext4, mode, guest.seed());
    }
    for round in 0..50 {
        for inner in [Kind::Ext4, Kind::Xfs] {
            one_log(guest, kind, inner, mode, guest.seed() + round)
                .with_context(|| format!("{inner} on {kind}, round {round}"))?;
        }
    }
    Ok(())
}

fn one_log(guest: &Guest, kind: Kind, inner_kind: Kind, mode: Mode, seed: u64) -> Result<()> {
    let files = if guest.is_long() { 30 } else { 5 };
    let mut cut = PowerCut::new(guest, kind)?;
    let below = Filesystem::make(kind, cut.log()?.device())?;
    let path = below.sparse_file("disk.img", DEVICE_BYTES)?;
    run!["sync", "--file-system", below.path()]?;
    let attached = RloopDevice::attach(&path, mode)?;
    let inner = Filesystem::make(inner_kind, attached.device())?;
    for number in 0..files {
        let path = inner.path().join(name_of(number));
        let mut file = File::create(&path)?;
        file.write_all(&contents_of(seed, number))?;
        file.sync_all()?;
        overwrite_durably(&path, seed, number)?;
        // The name is durable with its folder.
        File::open(inner.path())?.sync_all()?;
        cut.log()?.mark(number as usize)?;
    }
    inner.unmount()?;
    attached.detach()?;
    below.unmount()?;
    let mut cuts = cut.play()?;
    let mut random = Random::new(seed, 6);
    for number in 0..files {
        let from = cuts.position_of(number as usize)?;
        let end = match number + 1 < files {
            true => cuts.position_of(number as usize + 1)?,
            false => cuts.len(),
        };
        let between = from + random.below((end - from) as u64) as usize;
        for moment in [from, between] {
            cuts.look_after(moment, |place| look(place, inner_kind, seed, number))
                .with_context(|| {
                    format!("a power cut after {moment} writes, and fsync {number}")
                })?;
        }
    }
    Ok(())
}

fn name_of(number: u64) -> String {
    format!("file{number}")
}

/// What a file holds: all of it follows from the seed.
fn contents_of(seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(seed, 1000 + number);
    let words = 512 + random.below(16 << 10);
    (0..words)
        .flat_map(|_| random.next().to_le_bytes())
        .collect()
}

/// Writes the first page once more, with the same, past the page cache and durably: a FUA write.
fn overwrite_durably(path: &Path, seed: u64, number: u64) -> Result<()> {
    let mut options = File::options();
    let file = options
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(path)?;
    let mut page = Buffer::new(PAGE);
    page.bytes()
        .copy_from_slice(&contents_of(seed, number)[..PAGE]);
    file.write_all_at(page.bytes(), 0)
        .context("a write of O_DSYNC")
}

/// Mounts the filesystem in the file, and looks whether all files up to this one are there.
fn look(place: &Path, kind: Kind, seed: u64, last: u64) -> Result<()> {
    let attached = LoopDevice::buffered(&place.join("disk.img"))?;
    let inner = Filesystem::mount_with(kind, attached.device(), "defaults")?;
    for number in 0..=last {
        let name = name_of(number);
        let held = fs::read(inner.path().join(&name)).with_context(|| format!("{name} is gone"))?;
        let wanted = contents_of(seed, number);
        ensure!(
            held == wanted,
            "{name} was fsynced, and holds something else: {} bytes instead of {}",
            held.len(),
            wanted.len()
        );
    }
    inner.unmount_and_check()
}
