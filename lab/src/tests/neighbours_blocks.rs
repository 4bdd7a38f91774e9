//! Others change which blocks the file has while a load runs on its device, or what is in them: see `neighbours`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::neighbours::{MAPPED, each_mode, for_writing, recalling};
use crate::command::run;
use crate::direct::{self, SECTOR};
use crate::filesystem::Kind;
use crate::random::Random;
use crate::scene::{DEVICE_BYTES, Scene, TAIL_BYTES};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let on = super::of_module_on_each;
    [
        on("neighbour_punches", &MAPPED, |guest, kind| {
            each_mode(guest, kind, punches)
        }),
        on("neighbour_shifts_ranges", &MAPPED, |guest, kind| {
            each_mode(guest, kind, shifts)
        }),
        on("neighbour_reflinks", &[Kind::Xfs], |guest, kind| {
            each_mode(guest, kind, reflinks)
        }),
        on("neighbour_dedupes", &[Kind::Xfs], |guest, kind| {
            each_mode(guest, kind, dedupes)
        }),
        on("neighbour_exchanges_ranges", &[Kind::Xfs], |guest, kind| {
            each_mode(guest, kind, exchanges)
        }),
        on("neighbour_defragments", &[Kind::Xfs], |guest, kind| {
            each_mode(guest, kind, defragments)
        }),
        on("neighbour_journals_data", &[Kind::Ext4], |guest, kind| {
            each_mode(guest, kind, journals)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the device shows becomes zeros, and none of it is seen again.
fn punches(scene: &Scene, seed: u64) -> Result<()> {
    const LONGEST: u64 = 300;
    const TIMES: u64 = 10;
    let stamps = &scene.load().stamps;
    let mut random = Random::new(seed, 78);
    recalling(scene, || {
        let file = for_writing(&scene.path)?;
        for _ in 0..TIMES {
            let count = 1 + random.below(LONGEST);
            // Parts of blocks are zeroed in the page cache, and then written back whole.
            let (first, count) = (
                random.below(stamps.sectors() - 2 * LONGEST) / 8 * 8,
                count.next_multiple_of(8),
            );
            let begun = stamps.begin_zeros(first, count);
            let done = direct::punch(&file, first * SECTOR as u64, count * SECTOR as u64);
            stamps.end_zeros(begun, done.is_ok());
            done.context("a neighbour's hole")?;
        }
        Ok(())
    })
}

/// Ranges of the tail are taken out and put in again.
fn shifts(scene: &Scene, _seed: u64) -> Result<()> {
    const MIB: u64 = 1 << 20;
    recalling(scene, || {
        let file = for_writing(&scene.path)?;
        for mode in [libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE] {
            direct::allocate(&file, mode, DEVICE_BYTES + MIB, MIB).context("a shift of ranges")?;
        }
        Ok(())
    })
}

/// A clone holds what was written before it was made. A shared file is not mapped until it is not shared.
fn reflinks(scene: &Scene, _seed: u64) -> Result<()> {
    let clone = scene.below.path().join("clone.img");
    let before = scene.recalls()?;
    scene.under_load(|| {
        let stamps = &scene.load().stamps;
        let reader = stamps.begin_read(0, stamps.sectors());
        run!["cp", "--reflink=always", &scene.path, &clone]?;
        let held = direct::contents(&direct::open(&clone, false)?, DEVICE_BYTES)?;
        stamps.check(&reader, &held).context("in the clone")?;
        scene.attached.wait_for_provider("vfs")
    })?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    scene.check()?;
    fs::remove_file(&clone)?;
    // Until then the clone's blocks are not free, and unsharing leaves out those that are unwritten.
    run!["sync", "--file-system", &scene.path]?;
    unshare(scene)
}

/// Ends the sharing of a file that was shared. XFS calls it unshared only where it found nothing to unshare, nothing
/// dirty and no direct I/O under way: so again without the load, each time after a sync.
fn unshare(scene: &Scene) -> Result<()> {
    let command = format!("funshare 0 {}", DEVICE_BYTES + TAIL_BYTES);
    let unshare = || run!["xfs_io", "-c", &command, &scene.path];
    scene.under_load(unshare)?;
    for _ in 0..2 {
        run!["sync", "--file-system", &scene.path]?;
        unshare()?;
    }
    scene.settle()
}

/// Ranges of the tail, made equal first.
fn dedupes(scene: &Scene, _seed: u64) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let (from, to) = (DEVICE_BYTES, DEVICE_BYTES + 2 * MIB);
    let file = for_writing(&scene.path)?;
    for offset in [from, to] {
        file.write_all_at(&vec![b'D'; MIB as usize], offset)?;
    }
    file.sync_all()?;
    drop(file);
    scene.settle()?;
    let before = scene.recalls()?;
    scene.under_load(|| {
        let dedupe = format!("dedupe {} {from} {to} {MIB}", scene.path.display());
        run!["xfs_io", "-c", dedupe, &scene.path]?;
        Ok(())
    })?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    scene.check()?;
    unshare(scene)
}

/// A range of the tail, with another file.
fn exchanges(scene: &Scene, seed: u64) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let donor = scene.below.written_file("donor", MIB)?;
    for_writing(&donor)?.write_all_at(&seed.to_le_bytes(), 0)?;
    recalling(scene, || {
        let exchange = format!(
            "exchangerange -s 0 -d {DEVICE_BYTES} -l {MIB} {}",
            donor.display()
        );
        run!["xfs_io", "-c", exchange, &scene.path]?;
        Ok(())
    })?;
    let mut read = [0; 8];
    File::open(&scene.path)?.read_exact_at(&mut read, DEVICE_BYTES)?;
    ensure!(read == seed.to_le_bytes(), "the range was not exchanged");
    Ok(())
}

/// The file's blocks become others. Whether it gets through is up to it: it gives up when somebody writes.
fn defragments(scene: &Scene, _seed: u64) -> Result<()> {
    scene.under_load(|| {
        run!["xfs_fsr", "-v", &scene.path]?;
        Ok(())
    })?;
    scene.settle()?;
    // And with nobody writing.
    run!["xfs_fsr", "-v", &scene.path]?;
    scene.settle()
}

/// The file's data goes through the journal: its blocks are not its contents any more.
fn journals(scene: &Scene, _seed: u64) -> Result<()> {
    scene.under_load(|| {
        run!["chattr", "+j", &scene.path]?;
        sleep(Duration::from_millis(500));
        Ok(())
    })?;
    scene.check().context("with its data in the journal")?;
    run!["chattr", "-j", &scene.path]?;
    scene.under_load(|| Ok(()))?;
    scene.settle()
}
