//! What `rloop-top` counts of the kernel's own loop devices is what was done, to the last request, on every kernel that
//! it is for; and what a kernel does not tell is said to be unavailable.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};

use super::dashboard::equal;
use crate::command::run;
use crate::device_mapper::{Mapped, linear, sectors};
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::test::{Outcome, Test};
use crate::watcher::{Told, Watcher, exactly, name};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
/// The file is written up to here, and a hole from here on.
const WRITTEN: u64 = 4 * MIB;
const BYTES: u64 = 16 * MIB;

/// Primes, so that no number can be another's multiple.
const READS: u64 = 1009;
const FILLS: u64 = 503;
const FLUSHES: u64 = 101;
const ERRORS: u64 = 53;

/// What kernels before 6.5 do not tell.
const UNTOLD: [&str; 4] = [
    "requests that are not yet issued to the driver",
    "the split of time between worker, filesystem and disk",
    "bytes by direct I/O",
    "bytes read through the page cache",
];
/// The first kernel that does.
const TELLS: (u64, u64) = (6, 5);

pub(super) fn tests() -> Vec<Test> {
    super::on_each(
        "stock_counts_exactly",
        &[Kind::Xfs, Kind::Ext4, Kind::Btrfs],
        |guest, kind| exactly(|| counts(guest, kind)),
    )
}

fn counts(guest: &mut Guest, kind: Kind) -> Result<Outcome> {
    // ext4 would go on making itself in the background, and both commit by the clock. What has checksums, btrfs writes
    // through the page cache on some kernels.
    let mount = match kind {
        Kind::Ext4 => "noinit_itable,commit=300",
        Kind::Btrfs => "nodatasum,commit=300",
        _ => "defaults",
    };
    let mapped = Mapped::linear(guest.scratch(1)?)?;
    let below = Filesystem::make_with(kind, mapped.device(), &[], mount)?;
    let path = below.sparse_file("disk.img", BYTES)?;
    run![
        "xfs_io",
        "-c",
        format!("pwrite -b 1M -q 0 {WRITTEN}"),
        "-c",
        "fsync",
        &path
    ]?;
    run!["sync", "-f", &path]?;
    // All that the probes look at, to see what of it is unavailable.
    run!["modprobe", "-aq", "ext4", "xfs", "btrfs"]?;
    let attached = LoopDevice::direct(&path)?;
    let device = direct::open(attached.device(), true)?;
    let name = name(attached.device());
    let mut watcher = Watcher::start()?;

    known(&device)?;
    let told = watcher.told()?;
    told.lost_nothing()?;
    let is_told = says_what_is_untold(&told, &name)?;
    are_exact(&told, &name, kind, is_told)?;

    fail(guest, &device, &mapped)?;
    let told = watcher.told()?;
    told.lost_nothing()?;
    equal(&told, &name, "/io/read/ops", ERRORS).context("of failed reads")?;
    equal(&told, &name, "/io/read/completed", ERRORS).context("of failed reads")?;
    equal(&told, &name, "/io/read/errors", ERRORS)?;
    drop((device, watcher, attached));
    below.unmount_and_check()?;
    Ok(Outcome::Passed)
}

/// Reads of what is written, and writes into the hole, with a flush now and then.
fn known(device: &File) -> Result<()> {
    let mut buffer = Buffer::new(BLOCK as usize);
    for i in 0..READS {
        device.read_exact_at(buffer.bytes(), i * 7 % (WRITTEN / BLOCK) * BLOCK)?;
    }
    buffer.bytes().fill(b'f');
    for i in 0..FILLS {
        // Not side by side: each is a hole of its own.
        device.write_all_at(buffer.bytes(), WRITTEN + 2 * i * BLOCK)?;
        if i % 5 == 2 {
            device.sync_all()?;
        }
    }
    Ok(())
}

/// Reads while the disk fails.
fn fail(guest: &Guest, device: &File, mapped: &Mapped) -> Result<()> {
    let disk = guest.scratch(1)?;
    let sectors = sectors(disk)?;
    mapped.replace(&format!("0 {sectors} error"))?;
    let mut buffer = Buffer::new(BLOCK as usize);
    let failed = (0..ERRORS).filter(|i| device.read_at(buffer.bytes(), i * BLOCK).is_err());
    let failed = failed.count() as u64;
    mapped.replace(&linear(disk, sectors))?;
    ensure!(failed == ERRORS, "only {failed} reads failed");
    Ok(())
}

/// Whether this kernel tells all. If it does not, what is untold is among what is unavailable, and nothing else is.
fn says_what_is_untold(told: &Told, device: &str) -> Result<bool> {
    let release = run!["uname", "-r"]?;
    let mut numbers = release.split('.').map_while(|number| number.parse().ok());
    let version: (u64, u64) = (
        numbers.next().context("no version")?,
        numbers.next().unwrap_or(0),
    );
    let is_told = version >= TELLS;
    let untold: &[&str] = if is_told { &[] } else { &UNTOLD };
    let last = told.last(device)?;
    let missing = told.unavailable()?;
    let all = untold
        .iter()
        .all(|what| missing.iter().any(|missing| missing == what));
    ensure!(
        all && missing.len() == untold.len(),
        "{release}: {missing:?} are unavailable and not {untold:?}: {last}"
    );
    Ok(is_told)
}

fn are_exact(told: &Told, device: &str, kind: Kind, is_told: bool) -> Result<()> {
    let direct = if is_told { (READS + FILLS) * BLOCK } else { 0 };
    for (pointer, number) in [
        ("/io/read/ops", READS),
        ("/io/read/completed", READS),
        ("/io/read/bytes", READS * BLOCK),
        ("/io/read/errors", 0),
        ("/io/write/ops", FILLS),
        ("/io/write/completed", FILLS),
        ("/io/write/bytes", FILLS * BLOCK),
        ("/io/flush/ops", FLUSHES),
        ("/io/flush/completed", FLUSHES),
        ("/bypass/direct_bytes", direct),
        ("/holes/fills", FILLS),
        ("/holes/fill_bytes", FILLS * BLOCK),
        // Each flush comes after fills that are in no commit yet.
        ("/holes/commits", FLUSHES),
    ] {
        equal(told, device, pointer, number).with_context(|| format!("on {kind}"))?;
    }
    let (mut written, mut hole) = ((0, 0), (0, 0));
    for (extent, (reads, writes)) in told.extents(device) {
        let sums = if extent.start < WRITTEN {
            &mut written
        } else {
            &mut hole
        };
        *sums = (sums.0 + reads, sums.1 + writes);
    }
    ensure!(
        written == (READS, 0) && hole == (0, FILLS),
        "extents have {written:?} where it was written, and {hole:?} in the hole"
    );
    Ok(())
}
