//! The mapping is real: what is read and overwritten goes to the disk and nowhere else, and the module's
//! counters, its tracepoints and the disk's own counters say the same.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;
use crate::tracing::{Event, Tracing};

const MIB: u64 = 1 << 20;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each("mapping_is_real", &Kind::ALL, |guest, kind| {
        mapping_is_real(guest, kind, &[])
    });
    tests.push(super::of_module("mapping_is_real/ext2", |guest| {
        // As ext2 had it: block lists instead of extents, and no journal.
        mapping_is_real(
            guest,
            Kind::Ext4,
            &["-O", "^has_journal,^extent,^64bit,^metadata_csum"],
        )
    }));
    tests
}

fn mapping_is_real(guest: &mut Guest, kind: Kind, mkfs: &[&str]) -> Result<()> {
    let bytes = if guest.is_long() { 256 * MIB } else { 16 * MIB };
    let disk = guest.scratch(0)?;
    // ext4 would go on making itself and reading its bitmaps in the background, which the disk would count.
    let mount = match kind {
        Kind::Ext4 => "noinit_itable,no_prefetch_block_bitmaps",
        _ => "defaults",
    };
    let below = Filesystem::make_with(kind, disk, mkfs, mount)?;
    let path = below.written_file("disk.img", bytes)?;
    run!["sync"]?;
    run!["sysctl", "-q", "vm.drop_caches=3"]?;
    let attached = RloopDevice::attach_with(&path, Mode::DEFAULT, &["--block-size", "512"])?;
    let provider = match kind {
        Kind::Xfs => "layout",
        Kind::Ext4 => "bmap",
        Kind::Btrfs | Kind::Tmpfs => "vfs",
    };
    attached.wait_for_provider(provider)?;
    let device = direct::open(attached.device(), true)?;
    // From here on all of it is known.
    direct::contents(&device, bytes)?;
    device.sync_all()?;
    let reads = measured(guest, &attached, disk, |random| {
        read(&device, random, bytes)
    })?;
    let writes = measured(guest, &attached, disk, |random| {
        write(&device, random, bytes)
    })?;
    if provider == "vfs" {
        reads.all_went("vfs", "read")?;
        writes.all_went("vfs", "write")?;
    } else {
        reads.all_went("fast", "read")?;
        writes.all_went("fast", "write")?;
        reads.are_on_disk(0, reads.disk_read, 0)?;
        // The filesystem may note the time of the change.
        writes.are_on_disk(1, writes.disk_written, MIB)?;
    }
    let cached = cached_pages(&path)?;
    ensure!(
        provider == "vfs" || cached == 0,
        "{cached} pages of the file are cached"
    );
    drop(device);
    same_contents(attached.device(), &path, bytes)?;
    attached.detach()?;
    below.unmount_and_check()
}

/// What the device did for a number of bytes, by three witnesses.
struct Measured {
    bytes: u64,
    counters: crate::rloop_device::Counters,
    events: Vec<Event>,
    disk_read: u64,
    disk_written: u64,
}

fn measured(
    guest: &Guest,
    attached: &RloopDevice,
    disk: &Path,
    work: impl FnOnce(&mut Random) -> Result<u64>,
) -> Result<Measured> {
    run!["sync"]?;
    let tracing = Tracing::start()?;
    let (counters, on_disk) = (attached.counters()?, disk_bytes(disk)?);
    let bytes = work(&mut Random::new(guest.seed(), 0))?;
    let (read, written) = disk_bytes(disk)?;
    Ok(Measured {
        bytes,
        counters: attached.counters()?.since(&counters),
        events: tracing.of(attached.device())?,
        disk_read: read - on_disk.0,
        disk_written: written - on_disk.1,
    })
}

impl Measured {
    /// The module's counters say that all of it went this way, and nothing another way.
    fn all_went(&self, way: &str, what: &str) -> Result<()> {
        for other in ["fast", "zero", "vfs"] {
            for whats in ["read", "write"] {
                let name = format!("{other}_{whats}_bytes");
                let expected = if other == way && whats == what {
                    self.bytes
                } else {
                    0
                };
                let counted = self.counters.of(&name).unwrap_or(0);
                ensure!(
                    counted == expected,
                    "{name} is {counted} and not {expected}"
                );
            }
        }
        let fallbacks = self
            .events
            .iter()
            .filter(|event| event.name == "rloop_fallback")
            .count();
        ensure!(
            way == "vfs" || fallbacks == 0,
            "there were {fallbacks} fallbacks"
        );
        let fast = self
            .events
            .iter()
            .filter(|event| event.name == "rloop_io_submit")
            .count();
        ensure!(way == "fast" || fast == 0, "there was fast I/O: {fast}");
        Ok(())
    }

    /// The tracepoints and the disk saw all of it.
    fn are_on_disk(&self, op: i64, on_disk: u64, more: u64) -> Result<()> {
        for name in ["rloop_io_submit", "rloop_io_done"] {
            let mut traced = 0;
            for event in self.events.iter().filter(|event| event.name == name) {
                ensure!(event.field("op")? == op, "{name} of another operation");
                traced += event.field("bytes")?;
            }
            ensure!(
                traced as u64 == self.bytes,
                "{name} has {traced} of {} bytes",
                self.bytes
            );
        }
        ensure!(
            (self.bytes..=self.bytes + more).contains(&on_disk),
            "{} bytes were wanted, and {on_disk} went to the disk",
            self.bytes
        );
        Ok(())
    }
}

/// How many pages of a file are in the page cache.
fn cached_pages(path: &Path) -> Result<u64> {
    const CACHESTAT: libc::c_long = 451;
    let file = File::open(path)?;
    // All of it, and the first of the five numbers that come back.
    let (range, mut pages) = ([0_u64; 2], [0_u64; 5]);
    // SAFETY: The two structures are as cachestat(2) has them.
    let done = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            pages.as_mut_ptr(),
            0,
        )
    };
    ensure!(done == 0, "cachestat: {}", std::io::Error::last_os_error());
    Ok(pages[0])
}

/// What a disk says it has read and written, in bytes.
fn disk_bytes(disk: &Path) -> Result<(u64, u64)> {
    let name = disk.file_name().unwrap_or_default();
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
    let columns: Vec<u64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok((columns[2] * SECTOR as u64, columns[6] * SECTOR as u64))
}

const OPERATIONS: u64 = 400;
const LARGEST: u64 = 64 << 10;

/// Transfers of 512 bytes to 64 KiB at random places. How many bytes in all.
fn transfers(
    random: &mut Random,
    bytes: u64,
    mut transfer: impl FnMut(&mut [u8], u64, u64) -> std::io::Result<()>,
) -> Result<u64> {
    let sector = SECTOR as u64;
    let mut buffer = Buffer::new(LARGEST as usize);
    let mut total = 0;
    for _ in 0..OPERATIONS {
        let length = sector << random.below(8);
        let offset = random.below((bytes - length) / sector) * sector;
        transfer(
            &mut buffer.bytes()[..length as usize],
            offset,
            random.next(),
        )
        .with_context(|| format!("{length} bytes at {offset}"))?;
        total += length;
    }
    Ok(total)
}

fn read(device: &File, random: &mut Random, bytes: u64) -> Result<u64> {
    transfers(random, bytes, |buffer, offset, _| {
        device.read_exact_at(buffer, offset)
    })
}

fn write(device: &File, random: &mut Random, bytes: u64) -> Result<u64> {
    transfers(random, bytes, |buffer, offset, value| {
        buffer
            .chunks_exact_mut(8)
            .for_each(|word| word.copy_from_slice(&value.to_le_bytes()));
        device.write_all_at(buffer, offset)
    })
}

/// The device holds what the file does, past the page cache and through it.
fn same_contents(device: &Path, file: &Path, bytes: u64) -> Result<()> {
    run!["cmp", device, file]?;
    let [device, file] = [device, file].map(|path| direct::open(path, false));
    let same = direct::contents(&device?, bytes)? == direct::contents(&file?, bytes)?;
    ensure!(same, "the device and the file differ past the page cache");
    Ok(())
}
