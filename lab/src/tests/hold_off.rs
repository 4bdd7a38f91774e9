//! ext4 writes a part of a new block when no direct I/O is under way. Fast I/O stands back for that, or under load there
//! would always be some.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};

use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;
use crate::tracing::Tracing;

const BLOCK: u64 = 4096;
/// How many blocks are written and then read; as many behind them are holes.
const BLOCKS: u64 = 2048;
const READERS: u64 = 8;

pub(super) fn tests() -> Vec<Test> {
    super::of_module_on_each("part_writes_are_alone", &[Kind::Ext4], part_writes)
}

fn part_writes(guest: &mut Guest, kind: Kind) -> Result<()> {
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", BLOCKS * BLOCK)?;
    std::fs::File::options()
        .write(true)
        .open(&path)?
        .set_len(2 * BLOCKS * BLOCK)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider("bmap")?;
    let tracing = Tracing::of_event("rloop_fallback")?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let (device, stop) = (attached.device(), &stop);
                let random = Random::new(guest.seed(), number);
                scope.spawn(move || read(device, random, stop))
            })
            .collect();
        let written = write_until(&attached, || stood_back(&tracing, attached.device()));
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))??;
        }
        written
    })?;
    ensure!(
        attached.counters()?.of("fast_reads")? > 0,
        "nothing was read the fast way"
    );
    attached.detach()?;
    below.unmount_and_check()
}

/// Reads blocks that are written, until it is enough.
fn read(device: &Path, mut random: Random, stop: &AtomicBool) -> Result<()> {
    let device = direct::open(device, false)?;
    let mut buffer = Buffer::new(BLOCK as usize);
    while !stop.load(Ordering::Relaxed) {
        device.read_exact_at(buffer.bytes(), random.below(BLOCKS) * BLOCK)?;
    }
    Ok(())
}

/// Writes parts of new blocks until something is so, and looks at what the last one left.
fn write_until(attached: &RloopDevice, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let device = direct::open(attached.device(), true)?;
    let mut buffer = Buffer::new(BLOCK as usize);
    for block in BLOCKS..2 * BLOCKS {
        let offset = block * BLOCK + SECTOR as u64;
        buffer.bytes()[..SECTOR].fill(block as u8 | 1);
        device.write_all_at(&buffer.bytes()[..SECTOR], offset)?;
        if block % 16 == 0 && is_so()? {
            device.read_exact_at(buffer.bytes(), block * BLOCK)?;
            let (before, rest) = buffer.bytes().split_at(SECTOR);
            let (written, after) = rest.split_at(SECTOR);
            ensure!(
                written.iter().all(|byte| *byte == block as u8 | 1)
                    && before.iter().chain(after).all(|byte| *byte == 0),
                "block {block} does not hold what was written to a part of it, and zeros"
            );
            return Ok(());
        }
    }
    Err(anyhow!("no read stood back for {BLOCKS} writes"))
}

/// Whether a read was sent to a worker since blocks were being changed.
fn stood_back(tracing: &Tracing, device: &Path) -> Result<bool> {
    /// Of a read, and of the reason, in the tracepoint.
    const READ: i64 = 0;
    const CHANGES: i64 = 4;
    for event in tracing.of(device)? {
        if event.field("op")? == READ && event.field("reason")? == CHANGES {
            return Ok(true);
        }
    }
    Ok(false)
}
