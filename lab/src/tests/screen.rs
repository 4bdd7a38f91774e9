//! From a filesystem on an rloop device to the screen: what fio did, what the module counted, what `rloop-top` shows
//! on a terminal, and what it records and tells in JSON, is the same.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::dashboard::equal;
use crate::command::run;
use crate::dashboard::{Dashboard, Screen, exact};
use crate::filesystem::{Filesystem, Kind};
use crate::fio::Counted;
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::scene::best_on;
use crate::test::Test;
use crate::watcher::{Told, exactly, name};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
/// The device, the filesystem at its beginning, and a file in that.
const DEVICE_BYTES: u64 = 16 * MIB;
const INNER_BYTES: u64 = 12 * MIB;
const FILE_BYTES: u64 = 2 * MIB;
/// Of fio, each time. Primes; and few, so that no number on the screen is rounded.
const READS: u64 = 499;
const WRITES: u64 = 251;
const DOWN: &str = "\x1b[B";

pub(super) fn tests() -> Vec<Test> {
    vec![super::of_module("screen_shows_what_fio_did", |guest| {
        exactly(|| screen(guest))
    })]
}

/// A device on a file, with a filesystem on it. What uses another comes before it.
struct Side {
    inner: Filesystem,
    attached: RloopDevice,
    below: Filesystem,
    file: PathBuf,
    name: String,
    provider: &'static str,
}

fn screen(guest: &mut Guest) -> Result<()> {
    const RECORDING: &str = "/run/lab/screen.rloop";
    let sides = [
        Side::make(guest, 0, Kind::Xfs)?,
        Side::make(guest, 1, Kind::Ext4)?,
    ];
    let mut dashboard = Dashboard::start(&["--interval", "1.1", "--record", RECORDING])?;
    let first = format!("\n{} ", sides[0].name);
    dashboard.press("1", &first)?;
    let before = [sides[0].counted()?, sides[1].counted()?];
    for (side, key) in sides.iter().zip(["1", DOWN]) {
        dashboard.press("1", "\nops ")?;
        dashboard.press(key, &format!("\n{} /", side.name))?;
        raw(guest, side, &mut dashboard).with_context(|| side.name.clone())?;
        dashboard.press("\t", "touched in this interval")?;
        mounted(guest, side, &mut dashboard)
            .with_context(|| format!("the filesystem on {}", side.name))?;
    }
    let after = [sides[0].counted()?, sides[1].counted()?];
    dashboard.quit()?;
    let told = Told::read(&run!["rloop-top", "--json", "--replay", RECORDING]?)?;
    told.lost_nothing()?;
    for ((side, before), after) in sides.into_iter().zip(before).zip(after) {
        let counted = since(&before, &after);
        for (operation, number) in [("read", counted[0]), ("write", counted[1])] {
            for what in ["ops", "completed"] {
                equal(
                    &told,
                    &side.name,
                    &format!("/io/{operation}/{what}"),
                    number,
                )?;
            }
        }
        side.inner.unmount_and_check()?;
        side.attached.detach()?;
        side.below.unmount_and_check()?;
    }
    Ok(())
}

impl Side {
    fn make(guest: &Guest, disk: usize, kind: Kind) -> Result<Self> {
        // ext4 would go on making itself in the background, and write its journal now and then.
        const EXT4: &str = "noinit_itable,lazytime,commit=300";
        let mount = if kind == Kind::Ext4 { EXT4 } else { "defaults" };
        let below = Filesystem::make_with(kind, guest.scratch(disk)?, &[], mount)?;
        let file = below.written_file("disk.img", DEVICE_BYTES)?;
        let attached = RloopDevice::attach(&file, Mode::DEFAULT)?;
        let provider = best_on(kind);
        attached.wait_for_provider(provider)?;
        let device = attached.device();
        let blocks = (INNER_BYTES / BLOCK).to_string();
        run!["mkfs.ext4", "-q", "-F", "-b", "4096", device, blocks]?;
        let inner = Filesystem::mount_with(Kind::Ext4, device, EXT4)?;
        let file = inner.written_file("file", FILE_BYTES)?;
        run!["sync", "-f", &file]?;
        Ok(Self {
            file,
            name: name(device),
            inner,
            attached,
            below,
            provider,
        })
    }

    /// What the module counted, as `rloop stat` tells it: reads and writes.
    fn counted(&self) -> Result<[u64; 2]> {
        let told = run!["rloop", "stat", "--json", self.attached.device()]?;
        let told: Value = serde_json::from_str(&told)?;
        let sum = |ways: &[&str]| {
            let number = |way: &&str| told["counters"][way].as_u64();
            let numbers: Option<Vec<u64>> = ways.iter().map(number).collect();
            let numbers = numbers.with_context(|| format!("{told} lacks one of {ways:?}"))?;
            anyhow::Ok(numbers.iter().sum())
        };
        Ok([
            sum(&["fast_reads", "zero_reads", "vfs_reads"])?,
            sum(&["fast_writes", "vfs_writes"])?,
        ])
    }

    /// Lets fio read and write, and gives what the module counted meanwhile and what was on the screen.
    fn watched(
        &self,
        dashboard: &mut Dashboard,
        guest: &Guest,
        fio: &Counted<'_>,
    ) -> Result<([u64; 2], Vec<Screen>)> {
        let before = self.counted()?;
        let counted = fio.run(guest)?;
        ensure!(counted == (READS, WRITES), "fio counted {counted:?}");
        let screens = dashboard.shown()?;
        Ok((since(&before, &self.counted()?), screens))
    }
}

fn since(before: &[u64; 2], after: &[u64; 2]) -> [u64; 2] {
    [after[0] - before[0], after[1] - before[1]]
}

/// The numbers of fio: what it reads and writes of a file or a device, from some offset on.
fn fio(file: &Path, offset: u64, bytes: u64) -> Counted<'_> {
    Counted {
        file,
        offset,
        bytes,
        block_bytes: BLOCK,
        reads: READS,
        writes: WRITES,
    }
}

/// fio on the device itself, behind the filesystem: the overview has exactly what fio counted.
fn raw(guest: &Guest, side: &Side, dashboard: &mut Dashboard) -> Result<()> {
    let device = side.attached.device();
    let fio = fio(device, INNER_BYTES, DEVICE_BYTES - INNER_BYTES);
    let (module, screens) = side.watched(dashboard, guest, &fio)?;
    ensure!(module == [READS, WRITES], "the module counted {module:?}");
    let mut sums = [0, 0];
    for screen in &screens {
        let shown = [screen.operations("read")?, screen.operations("write")?];
        sums = [sums[0] + shown[0], sums[1] + shown[1]];
        if shown[0] > 0 {
            let row = format!("{} ", side.name);
            for (line, words) in [
                (row.as_str(), side.provider),
                (&row, " 100% "),
                ("by ", "fio["),
                ("rloop ", "reads 100% fast"),
            ] {
                let rest = screen.line(line).unwrap_or_default();
                ensure!(rest.contains(words), "no {words} behind {line}:\n{screen}");
            }
        }
    }
    ensure!(sums == [READS, WRITES], "the screens have {sums:?}");
    Ok(())
}

/// fio on a file of the filesystem, which may have I/O of its own: the extents have all that the module counted.
fn mounted(guest: &Guest, side: &Side, dashboard: &mut Dashboard) -> Result<()> {
    let fio = fio(&side.file, 0, FILE_BYTES);
    let (module, screens) = side.watched(dashboard, guest, &fio)?;
    ensure!(
        module[0] >= READS && module[1] >= WRITES,
        "the module counted {module:?}"
    );
    for (title, number) in [("reads", module[0]), ("writes", module[1])] {
        let mut sum = 0;
        for screen in &screens {
            for cell in screen.column(title)? {
                sum += exact(cell).with_context(|| screen.to_string())?;
            }
        }
        ensure!(
            sum == number,
            "the extents on the screens have {sum} {title}, the module {number}"
        );
    }
    Ok(())
}
