//! Whatever comes and goes leaves nothing: memory, open files, leases, devices.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::control::{Control, abi, devices};
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::{self, Guest};
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let mut tests = super::of_module_on_each(
        "cycles_leave_nothing",
        &[Kind::Xfs, Kind::Ext4, Kind::Tmpfs],
        cycles,
    );
    tests.push(super::of_module("many_devices_at_once", many_devices));
    tests.push(super::of_module("module_in_use_stays", in_use));
    tests
}

const MIB: u64 = 1 << 20;

fn cycles(guest: &mut Guest, kind: Kind) -> Result<()> {
    const TO_WARM_UP: u64 = 10;
    let cycles = if guest.is_long() { 1000 } else { 50 };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let path = below.sparse_file("disk.img", 4 * MIB)?;
    let control = Control::open()?;
    for number in 0..TO_WARM_UP {
        cycle(&control, &path, number)?;
    }
    let before = Resources::settled(None)?;
    for number in 0..cycles {
        cycle(&control, &path, number).with_context(|| format!("cycle {number}"))?;
    }
    let after = Resources::settled(Some(&before))?;
    after.compare(&before, cycles)?;
    ensure!(devices()?.is_empty(), "there are devices left");
    below.unmount_and_check()
}

/// Attach, I/O, a recall, more I/O, detach.
fn cycle(control: &Control, path: &Path, number: u64) -> Result<()> {
    let index = control.attach(&File::open(path)?)?;
    let device = direct::open(Path::new(&format!("/dev/rloop{index}")), true)?;
    let mut buffer = Buffer::new(16 << 10);
    let offset = number % 128 * (32 << 10);
    device.write_all_at(buffer.bytes(), offset)?;
    device.read_exact_at(buffer.bytes(), offset)?;
    let before = control.status(index)?;
    // Whoever opens the file for writing gets the mapping back first.
    let writer = File::options().write(true).open(path)?;
    let after = control.status(index)?;
    ensure!(after.extents == 0, "it is still mapped: {after:?}");
    ensure!(
        before.provider == 0 || recalls(&after) > recalls(&before),
        "nothing was recalled: {after:?}"
    );
    drop(writer);
    device.write_all_at(buffer.bytes(), offset + (16 << 10))?;
    device.sync_all()?;
    drop(device);
    control.detach(index)?;
    Ok(())
}

fn recalls(status: &abi::Status) -> u64 {
    let mut named = abi::COUNTER_NAMES.iter().zip(status.counters);
    named
        .find(|(name, _)| **name == "recalls")
        .map_or(0, |(_, count)| count)
}

/// What a leak would make more of.
#[derive(Debug)]
struct Resources {
    open_files: u64,
    locks: usize,
    kibibytes: BTreeMap<String, u64>,
}

impl Resources {
    /// What is used when nothing ends later any more; or, given what it should be, as soon as it is that.
    fn settled(before: Option<&Self>) -> Result<Self> {
        const TRIES: usize = 20;
        let mut now = Self::now()?;
        for _ in 0..TRIES {
            sleep(Duration::from_millis(200));
            run!["sync"]?;
            fs::write("/proc/sys/vm/drop_caches", "3")?;
            let next = Self::now()?;
            let is_same = next.open_files == now.open_files && next.used() <= now.used();
            now = next;
            if before.map_or(is_same, |before| now.compare(before, 0).is_ok()) {
                break;
            }
        }
        Ok(now)
    }

    fn now() -> Result<Self> {
        const MEMORY: [&str; 5] = ["Slab", "Percpu", "VmallocUsed", "KernelStack", "PageTables"];
        let files = fs::read_to_string("/proc/sys/fs/file-nr")?;
        let open_files = files
            .split_whitespace()
            .next()
            .context("file-nr is empty")?
            .parse()?;
        let locks = fs::read_to_string("/proc/locks")?.lines().count();
        let mut kibibytes = BTreeMap::new();
        for line in fs::read_to_string("/proc/meminfo")?.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if MEMORY.contains(&name) {
                let value = value.trim().trim_end_matches(" kB");
                kibibytes.insert(name.to_owned(), value.parse()?);
            }
        }
        ensure!(
            kibibytes.len() == MEMORY.len(),
            "meminfo has not all of {MEMORY:?}"
        );
        if guest::has_debug_kernel()? {
            // KASAN keeps for long what was freed. What is lost there, kmemleak finds.
            kibibytes.remove("Slab");
        }
        Ok(Self {
            open_files,
            locks,
            kibibytes,
        })
    }

    fn used(&self) -> u64 {
        self.kibibytes.values().sum()
    }

    /// Fails if there is more than before. What the kernel keeps in between is no leak: less than this in
    /// all, and less than a page for each cycle where there are many.
    fn compare(&self, before: &Self, cycles: u64) -> Result<()> {
        const SLACK_KIB: u64 = 1024;
        let described = || format!("after {cycles} cycles: {self:?}, before: {before:?}");
        ensure!(
            self.open_files <= before.open_files,
            "open files: {}",
            described()
        );
        ensure!(self.locks == before.locks, "locks: {}", described());
        ensure!(
            self.used() <= before.used() + SLACK_KIB,
            "memory: {}",
            described()
        );
        Ok(())
    }
}

/// Each holds what was written to it, and no other.
fn many_devices(guest: &mut Guest) -> Result<()> {
    let count = if guest.is_long() { 1000 } else { 100 };
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let control = Control::open()?;
    let mut indices = Vec::new();
    for number in 0..count {
        let path = below.sparse_file(&format!("{number}.img"), MIB)?;
        indices.push(control.attach(&File::open(path)?)?);
    }
    ensure!(
        devices()?.len() == count,
        "there are {} devices",
        devices()?.len()
    );
    let open = |index: u32| direct::open(Path::new(&format!("/dev/rloop{index}")), true);
    let mut buffer = Buffer::new(4096);
    for (index, number) in indices.iter().zip(0_u64..) {
        buffer.bytes()[..8].copy_from_slice(&number.to_le_bytes());
        open(*index)?.write_all_at(buffer.bytes(), 8192)?;
    }
    for (index, number) in indices.iter().zip(0_u64..) {
        open(*index)?.read_exact_at(buffer.bytes(), 8192)?;
        ensure!(
            buffer.bytes()[..8] == number.to_le_bytes(),
            "device {index} holds another's data"
        );
    }
    // A number that is free is used again.
    let middle = indices[count / 2];
    control.detach(middle)?;
    let path = below.path().join(format!("{}.img", count / 2));
    ensure!(
        control.attach(&File::open(path)?)? == middle,
        "the free number was not used"
    );
    for index in indices {
        control.detach(index)?;
    }
    ensure!(devices()?.is_empty(), "there are devices left");
    below.unmount_and_check()
}

/// A module with a device cannot be unloaded, and a device that is open cannot be detached.
fn in_use(guest: &mut Guest) -> Result<()> {
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let path = below.sparse_file("disk.img", MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    let device = File::open(attached.device())?;
    ensure!(
        run!["rmmod", "rloop"].is_err(),
        "the module was unloaded under an open device"
    );
    let index = devices()?.first().copied().context("there is no device")?;
    let refused = Control::open()?
        .detach(index)
        .err()
        .and_then(|error| error.raw_os_error());
    ensure!(
        refused == Some(libc::EBUSY),
        "detach of an open device: {refused:?}"
    );
    drop(device);
    ensure!(
        run!["rmmod", "rloop"].is_err(),
        "the module was unloaded under a device"
    );
    attached.detach()?;
    below.unmount_and_check()
}
