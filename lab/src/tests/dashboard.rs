//! What `rloop-top` counts of rloop devices is what the module counts, to the last request.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::dashboard_chain::fills_are_whole;
use crate::command::run;
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::rloop_device::{Mode, RloopDevice};
use crate::scene::best_on;
use crate::test::Test;
use crate::watcher::{Extent, Told, Watcher, exactly, name};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
const BYTES: u64 = 32 * MIB;
/// Where the file has no blocks.
const HOLES: [std::ops::Range<u64>; 2] = [8 * MIB..12 * MIB, 20 * MIB..28 * MIB];

/// Primes, so that no number can be another's multiple.
const READS: u64 = 1009;
const FILLS: u64 = 503;
const FLUSHES: u64 = 101;
const STOCK_READS: u64 = 307;

pub(super) fn tests() -> Vec<Test> {
    vec![super::of_module("dashboard_counts_exactly", in_every_mode)]
}

/// One after the other, in front of the same watcher: the kernel takes long to look at its probes.
fn in_every_mode(guest: &mut Guest) -> Result<()> {
    let each = Mode {
        fill: "layout",
        commit: "each",
    };
    let mut watcher = Watcher::start()?;
    for (kind, mode) in [
        (Kind::Xfs, Mode::DEFAULT),
        (Kind::Xfs, Mode::LAZY),
        (Kind::Xfs, each),
        (Kind::Ext4, Mode::DEFAULT),
    ] {
        exactly(|| counts_exactly(guest, kind, mode, &mut watcher))
            .with_context(|| format!("{kind}, {mode}"))?;
    }
    Ok(())
}

fn counts_exactly(guest: &Guest, kind: Kind, mode: Mode, watcher: &mut Watcher) -> Result<()> {
    // ext4 would go on making itself in the background.
    let mount = match kind {
        Kind::Ext4 => "noinit_itable",
        _ => "defaults",
    };
    let below = Filesystem::make_with(kind, guest.scratch(0)?, &[], mount)?;
    let path = below.written_file("disk.img", BYTES)?;
    for hole in HOLES {
        let punch = format!("fpunch {} {}", hole.start, hole.end - hole.start);
        run!["xfs_io", "-c", punch, "-c", "fsync", &path]?;
    }
    let attached = RloopDevice::attach(&path, mode)?;
    attached.wait_for_provider(best_on(kind))?;
    let stock_file = below.written_file("stock.img", 4 * MIB)?;
    let stock = LoopDevice::direct(&stock_file)?;
    let device = direct::open(attached.device(), true)?;
    // From here on all of it is in the map.
    direct::contents(&device, BYTES)?;
    watcher.wait_for(&name(attached.device()), true)?;
    watcher.wait_for(&name(stock.device()), true)?;
    watcher.told()?;
    reads(&attached, &device, &stock, watcher).context("reads")?;
    fills(&attached, &device, mode, watcher).context("fills")?;
    recall(&attached, &path, watcher).context("the recall")?;
    drop((device, stock));
    attached.detach()?;
    below.unmount_and_check()
}

/// Reads what is written, on both devices.
fn reads(
    attached: &RloopDevice,
    device: &File,
    stock: &LoopDevice,
    watcher: &mut Watcher,
) -> Result<()> {
    let (rloop, before) = (name(attached.device()), attached.counters()?);
    let (map, mut buffer) = (map(attached)?, Buffer::new(BLOCK as usize));
    let written: Vec<u64> = (0..BYTES / BLOCK)
        .map(|block| block * BLOCK)
        .filter(|at| !HOLES.iter().any(|hole| hole.contains(at)))
        .collect();
    // Not evenly: one extent is read more often than another of its size.
    let places: Vec<u64> = (0..READS)
        .map(|i| written[(i * i) as usize % written.len()])
        .collect();
    for &at in &places {
        device.read_exact_at(buffer.bytes(), at)?;
    }
    let stock_device = direct::open(stock.device(), false)?;
    for i in 0..STOCK_READS {
        stock_device.read_exact_at(buffer.bytes(), i * BLOCK)?;
    }
    let (told, counted) = (watcher.told()?, attached.counters()?.since(&before));
    told.lost_nothing()?;
    equal(&told, &rloop, "/io/read/ops", READS)?;
    equal(&told, &rloop, "/io/read/completed", READS)?;
    equal(&told, &rloop, "/io/read/bytes", READS * BLOCK)?;
    equal(
        &told,
        &rloop,
        "/rloop/read/fast/ops",
        counted.of("fast_reads")?,
    )?;
    equal(&told, &rloop, "/bypass/direct_bytes", READS * BLOCK)?;
    ensure!(counted.of("fast_reads")? == READS, "they went another way");
    equal(&told, &name(stock.device()), "/io/read/ops", STOCK_READS)?;
    equal(
        &told,
        &name(stock.device()),
        "/io/read/completed",
        STOCK_READS,
    )?;
    let provider = attached.attribute("provider")?;
    let last = told.last(&rloop)?;
    ensure!(
        last["kind"] == "rloop" && last["mode"] == provider.as_str(),
        "{last}"
    );
    by_extent(&told, &rloop, &map, &places)
}

/// Each extent is one of the module's map, and has as many reads as were made there.
fn by_extent(told: &Told, device: &str, map: &[Extent], places: &[u64]) -> Result<()> {
    let touched = told.extents(device);
    for extent in touched.keys() {
        ensure!(map.contains(extent), "{extent:?} is not in {map:?}");
    }
    for extent in map {
        let range = extent.start..extent.start + extent.len;
        let made = places.iter().filter(|at| range.contains(at)).count() as u64;
        let (reads, writes) = touched.get(extent).copied().unwrap_or_default();
        ensure!(
            (reads, writes) == (made, 0),
            "{extent:?} has {reads} reads and {writes} writes, and {made} were made"
        );
    }
    Ok(())
}

/// Writes into holes, with a flush now and then.
fn fills(attached: &RloopDevice, device: &File, mode: Mode, watcher: &mut Watcher) -> Result<()> {
    let (rloop, before) = (name(attached.device()), attached.counters()?);
    let mut buffer = Buffer::new(BLOCK as usize);
    buffer.bytes().fill(b'f');
    for i in 0..FILLS {
        let hole = &HOLES[(i % 2) as usize];
        device.write_all_at(buffer.bytes(), hole.start + i / 2 * BLOCK)?;
        if i % 5 == 2 {
            device.sync_all()?;
        }
    }
    let (told, counted) = (watcher.told()?, attached.counters()?.since(&before));
    told.lost_nothing()?;
    for (pointer, number) in [
        ("/io/write/ops", FILLS),
        ("/io/write/completed", FILLS),
        ("/io/write/bytes", FILLS * BLOCK),
        ("/io/flush/ops", FLUSHES),
        ("/io/flush/completed", FLUSHES),
        ("/rloop/fills", counted.of("fills")?),
        ("/rloop/fill_bytes", counted.of("fill_bytes")?),
        ("/rloop/write/vfs/ops", counted.of("vfs_writes")?),
        ("/holes/commits", counted.of("commits")?),
        ("/rloop/invalidations", counted.of("invalidations")?),
        ("/rloop/worker/frozen", 0),
        ("/recalls", 0),
    ] {
        equal(&told, &rloop, pointer, number)?;
    }
    ensure!(counted.of("fills")? == FILLS, "not all of them were fills");
    ensure!(
        counted.of("flushes")? == FLUSHES,
        "there were other flushes"
    );
    let fast = told.sum(&rloop, "/rloop/write/fast/ops")?;
    let on_disk = if mode.fill == "layout" { FILLS } else { 0 };
    ensure!(
        fast == counted.of("fast_writes")? + on_disk,
        "{fast} writes went to the disk"
    );
    let writes: u64 = told
        .extents(&rloop)
        .values()
        .map(|(_, writes)| writes)
        .sum();
    ensure!(writes == FILLS, "extents have {writes} writes");
    let last = told.last(&rloop)?;
    ensure!(last["rloop"]["fills_waiting"] == 0, "fills wait: {last}");
    let committed = told.product(&rloop, "/rloop/group_commits", "/rloop/fills_per_commit");
    let by_commits = if mode.commit == "each" && mode.fill == "vfs" {
        0
    } else {
        FILLS
    };
    ensure!(
        committed.round() as u64 == by_commits,
        "{committed} fills were committed"
    );
    fills_are_whole(&told, &rloop, &map(attached)?, mode).context("a chain")
}

/// Somebody opens the file for writing.
fn recall(attached: &RloopDevice, path: &Path, watcher: &mut Watcher) -> Result<()> {
    let (rloop, before) = (name(attached.device()), attached.counters()?);
    run!["xfs_io", "-c", "pwrite -q 0 4k", path]?;
    let (told, counted) = (watcher.told()?, attached.counters()?.since(&before));
    told.lost_nothing()?;
    equal(&told, &rloop, "/recalls", counted.of("recalls")?)?;
    let named = |line: &Value| line["rloop"]["recallers"][0]["command"].clone();
    let names: Vec<Value> = told.each(&rloop).map(named).collect();
    ensure!(counted.of("recalls")? == 1, "it was not recalled once");
    ensure!(
        names.contains(&"xfs_io".into()),
        "who did it is not told: {names:?}"
    );
    Ok(())
}

/// What the module says of the device's blocks.
fn map(attached: &RloopDevice) -> Result<Vec<Extent>> {
    let map: Value = serde_json::from_str(&run!["rloop", "map", "--json", attached.device()]?)?;
    let extents = map["extents"].as_array().context("a list of extents")?;
    Ok(extents.iter().map(Extent::of).collect())
}

/// A number of a device, over all that was told, is this.
pub(super) fn equal(told: &Told, device: &str, pointer: &str, expected: u64) -> Result<()> {
    let number = told.sum(device, pointer)?;
    ensure!(
        number == expected,
        "{device}: {pointer} is {number} and not {expected}"
    );
    Ok(())
}
