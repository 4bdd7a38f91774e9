//! Holes, blocks that were allocated and never written, and blocks that are only partly written: whatever
//! others do at the same time, a reader sees zeros or what was written, and never zeros after that.

use std::fs::File;
use std::hint;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::checker::Checker;
use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::image;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::Stamps;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("holes_are_filled", &Kind::ALL, holes_are_filled);
    let name = "overwrites_wait_for_commit";
    tests.extend(super::of_module_on_each(
        name,
        &[Kind::Xfs],
        overwrites_wait_for_commit,
    ));
    tests
}

/// With `commit=each`, who has written into a block that another write is filling finds that in the file: the
/// filesystem was told of the block before.
fn overwrites_wait_for_commit(guest: &mut Guest, kind: Kind) -> Result<()> {
    let times = if guest.is_long() { 20_000 } else { 200 };
    let mode = Mode {
        fill: "layout",
        commit: "each",
    };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    // Other fills keep the commits busy: one that comes meanwhile waits for its own.
    const OTHERS: u64 = 64;
    let path = below.sparse_file("disk.img", times * (1 + OTHERS) * BLOCK)?;
    let attached = RloopDevice::attach_with(&path, mode, &["--block-size", "512"])?;
    attached.wait_for_provider("layout")?;
    let device = direct::open(attached.device(), true)?;
    let file = direct::open(&path, false)?;
    let mut random = Random::new(guest.seed(), 0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut block = Buffer::new(BLOCK as usize);
            let mut others = (times..times * (1 + OTHERS)).take_while(|_| !over.load(Relaxed));
            others.try_for_each(|other| device.write_all_at(block.bytes(), other * BLOCK))
        });
        let overwritten = (0..times).try_for_each(|time| {
            // Early enough to meet the fill, and most often not so early that it comes first.
            let pause = Duration::from_micros(random.below(300));
            overwrite_while_filling(&device, &file, time * BLOCK, pause)
        });
        over.store(true, Relaxed);
        let others = others.join().map_err(|_| anyhow!("a thread panicked"))?;
        others.context("other fills").and(overwritten)
    })?;
    drop((device, file));
    attached.detach()?;
    below.unmount_and_check()
}

const BLOCK: u64 = 4096;

fn overwrite_while_filling(device: &File, file: &File, offset: u64, pause: Duration) -> Result<()> {
    let [mut whole, mut part, mut found] = [BLOCK as usize, SECTOR, SECTOR].map(Buffer::new);
    whole.bytes().fill(1);
    part.bytes().fill(2);
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        let filling = scope.spawn(|| {
            begun.store(true, Relaxed);
            device.write_all_at(whole.bytes(), offset)
        });
        while !begun.load(Relaxed) {
            hint::spin_loop();
        }
        thread::sleep(pause);
        while !filling.is_finished() {
            device.write_all_at(part.bytes(), offset)?;
            file.read_exact_at(found.bytes(), offset)?;
            // Which of the two was last is not known.
            let is_there = found.bytes().iter().all(|byte| [1, 2].contains(byte));
            ensure!(is_there, "zeros at {offset}, after a write there");
        }
        let filled = filling.join().map_err(|_| anyhow!("a thread panicked"))?;
        filled.context("a fill")
    })
}

fn holes_are_filled(guest: &mut Guest, kind: Kind) -> Result<()> {
    for (mode, number) in Mode::ALL.into_iter().zip(0..) {
        let rounds = if guest.is_long() { 20 } else { 1 };
        for round in 0..rounds {
            let seed = guest.seed() + 1000 * number + round;
            one_round(guest, kind, mode, seed)
                .with_context(|| format!("{mode}, round {round} of seed {}", guest.seed()))?;
        }
    }
    Ok(())
}

fn one_round(guest: &Guest, kind: Kind, mode: Mode, seed: u64) -> Result<()> {
    // The file's last block is not a whole one.
    const SECTORS: u64 = (4 << 11) + 3;
    const THREADS: u64 = 6;
    let operations = if guest.is_long() { 5000 } else { 250 };
    let stamps = Stamps::new(seed, SECTORS, 10_000 + (THREADS * operations) as usize);
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = image::of_all_kinds(&below, &stamps, seed)?;
    let attached = RloopDevice::attach_with(&path, mode, &["--block-size", "512"])?;
    let checker = Checker {
        stamps: &stamps,
        device: attached.device(),
        file: mode.is_seen_at_once().then_some(&path),
        seed,
        threads: THREADS,
        operations,
        may_fail: &[],
        makes_holes: true,
    };
    checker.run()?;
    let before = stamps.read_all(attached.device())?;
    direct::open(attached.device(), true)?.sync_all()?;
    ensure!(
        stamps.read_all(&path)? == before,
        "after a flush, the file is not what the device was"
    );
    ensure!(
        attached.attribute("error")? == "0",
        "the device has an error"
    );
    let counters = attached.counters()?;
    if ["xfs", "ext4"].contains(&kind.name()) {
        for name in ["fast_reads", "fast_writes", "zero_reads", "vfs_writes"] {
            ensure!(counters.of(name)? > 0, "there were no {name}");
        }
    }
    if kind == Kind::Xfs && mode.fill == "layout" {
        ensure!(counters.of("commits")? > 0, "there were no commits");
    }
    attached.detach()?;
    ensure!(
        stamps.read_all(&path)? == before,
        "after the detach, the file is not what the device was"
    );
    below.unmount_and_check()
}
