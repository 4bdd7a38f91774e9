//! A file on a filesystem, attached, and a load on the device that checks all it reads.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::checker::Checker;
use crate::direct::SECTOR;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::image;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::Stamps;

/// How much of the file is beyond the device's end, for others to do with as they like.
pub(crate) const TAIL_BYTES: u64 = 4 << 20;
/// How long the device is.
pub(crate) const DEVICE_BYTES: u64 = 4 << 20;

/// It is detached and unmounted when it goes; `finish` also checks what is left.
pub(crate) struct Scene {
    pub(crate) attached: RloopDevice,
    pub(crate) below: Filesystem,
    pub(crate) path: PathBuf,
    kind: Kind,
    load: Load,
}

/// What the load does.
pub(crate) struct Load {
    pub(crate) stamps: Stamps,
    pub(crate) device: PathBuf,
    /// The file, if the load is to read it too.
    pub(crate) file: Option<PathBuf>,
    pub(crate) seed: u64,
    /// The errno that writes may fail with.
    pub(crate) may_fail: &'static [i32],
    rounds: AtomicU64,
}

impl Scene {
    /// Makes one on a scratch disk.
    pub(crate) fn new(guest: &Guest, kind: Kind, mode: Mode) -> Result<Self> {
        Self::on(guest.scratch(0)?, guest.seed(), kind, mode)
    }

    /// Makes one on a disk.
    pub(crate) fn on(disk: &Path, seed: u64, kind: Kind, mode: Mode) -> Result<Self> {
        // Exchanges of ranges have to be asked for.
        let options: &[&str] = if kind == Kind::Xfs {
            &["-i", "exchange=1"]
        } else {
            &[]
        };
        let below = Filesystem::make_with(kind, disk, options, "defaults")?;
        Self::within(below, kind, seed, mode)
    }

    /// Makes one in a filesystem that is there.
    pub(crate) fn within(below: Filesystem, kind: Kind, seed: u64, mode: Mode) -> Result<Self> {
        let sectors = DEVICE_BYTES / SECTOR as u64;
        let stamps = Stamps::new(seed, sectors, 400_000);
        let path = image::of_all_kinds(&below, &stamps, seed)?;
        add_tail(&path)?;
        let limit = DEVICE_BYTES.to_string();
        // The load writes single sectors, also where that is not best.
        let options = ["--sizelimit", &limit, "--block-size", "512"];
        let attached = RloopDevice::attach_with(&path, mode, &options)?;
        let load = Load {
            stamps,
            device: attached.device().to_owned(),
            file: mode.is_seen_at_once().then(|| path.clone()),
            seed,
            may_fail: &[],
            rounds: AtomicU64::new(0),
        };
        let scene = Self {
            attached,
            below,
            path,
            kind,
            load,
        };
        scene.attached.wait_for_provider(scene.best())?;
        Ok(scene)
    }

    /// The best provider for files on this kind of filesystem.
    pub(crate) fn best(&self) -> &'static str {
        best_on(self.kind)
    }

    /// What the load does.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// The load, to change what it does.
    pub(crate) fn load_mut(&mut self) -> &mut Load {
        &mut self.load
    }

    /// Lets a neighbour act while the load runs, from before it acts until after.
    pub(crate) fn under_load<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.load.while_running(act)
    }

    /// How often the mapping was recalled.
    pub(crate) fn recalls(&self) -> Result<u64> {
        self.attached.counters()?.of("recalls")
    }

    /// Waits until the device is mapped as it was, and checks that all is well.
    pub(crate) fn settle(&self) -> Result<()> {
        self.attached.wait_for_provider(self.best())?;
        self.check()
    }

    /// Checks that device and file hold the same, and what they have to.
    pub(crate) fn check(&self) -> Result<()> {
        self.load.flush()?;
        let through_device = self.load.read_all(&self.load.device)?;
        let through_file = self.load.read_all(&self.path)?;
        ensure!(
            through_device == through_file,
            "after a flush, the file is not what the device is"
        );
        let error = self.attached.attribute("error")?;
        ensure!(error == "0", "the device has an error: {error}");
        Ok(())
    }

    /// Detaches and unmounts, and checks what is left.
    pub(crate) fn finish(self) -> Result<()> {
        let Self {
            attached,
            below,
            path,
            load,
            ..
        } = self;
        attached.detach()?;
        load.read_all(&path).context("after the detach")?;
        below.unmount_and_check()
    }

    /// Its parts, to be taken down in another way.
    pub(crate) fn into_parts(self) -> (RloopDevice, Filesystem, PathBuf, Load) {
        (self.attached, self.below, self.path, self.load)
    }
}

impl Load {
    /// One on a device without stamps of its file's making.
    pub(crate) fn on(device: &Path, seed: u64) -> Self {
        Self {
            stamps: Stamps::new(seed, DEVICE_BYTES / SECTOR as u64, 400_000),
            device: device.to_owned(),
            file: None,
            seed,
            may_fail: &[],
            rounds: AtomicU64::new(0),
        }
    }

    /// Does something while the load runs: begins after its first round, and one more round follows.
    pub(crate) fn while_running<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                while !stop.load(Relaxed) {
                    self.round()?;
                }
                Ok(())
            });
            let wait = |rounds| self.wait_for_rounds(rounds, || load.is_finished());
            let before = self.rounds.load(Relaxed);
            let acted = wait(before + 1).and_then(|()| act());
            // A failed neighbour's error says more than that the load then hangs.
            let acted = match acted {
                Ok(result) => wait(self.rounds.load(Relaxed) + 2).map(|()| result),
                Err(error) => Err(error),
            };
            stop.store(true, Relaxed);
            let loaded: Result<()> = load.join().map_err(|_| anyhow!("the load panicked"))?;
            loaded.context("in the load")?;
            acted
        })
    }

    /// So much of it that holes are filled and blocks written over.
    pub(crate) fn round(&self) -> Result<()> {
        const THREADS: u64 = 3;
        const OPERATIONS: u64 = 25;
        let number = self.rounds.load(Relaxed);
        let checker = Checker {
            stamps: &self.stamps,
            device: &self.device,
            file: self.file.as_deref(),
            seed: self.seed.wrapping_add(number << 16),
            threads: THREADS,
            operations: OPERATIONS,
            may_fail: self.may_fail,
            makes_holes: true,
        };
        checker.run().with_context(|| format!("round {number}"))?;
        self.rounds.store(number + 1, Relaxed);
        Ok(())
    }

    /// Reads and checks all of the device, or of its file.
    pub(crate) fn read_all(&self, path: &Path) -> Result<Vec<u8>> {
        self.stamps.read_all(path)
    }

    /// Flushes the device.
    pub(crate) fn flush(&self) -> Result<()> {
        File::options()
            .write(true)
            .open(&self.device)?
            .sync_all()
            .context("could not flush")
    }

    /// Waits for a round, or until the load has failed.
    fn wait_for_rounds(&self, rounds: u64, is_over: impl Fn() -> bool) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(60);
        let begun = Instant::now();
        while self.rounds.load(Relaxed) < rounds && !is_over() {
            if begun.elapsed() > LIMIT {
                bail!("the load gets nowhere: round {}", self.rounds.load(Relaxed));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The best provider for files on a kind of filesystem.
pub(crate) fn best_on(kind: Kind) -> &'static str {
    match kind {
        Kind::Xfs => "layout",
        Kind::Ext4 => "bmap",
        Kind::Btrfs | Kind::Tmpfs => "vfs",
    }
}

/// Writes the part of the file that no device shows.
fn add_tail(path: &Path) -> Result<()> {
    const PIECE: u64 = 1 << 20;
    let file = File::options().write(true).open(path)?;
    for piece in 0..TAIL_BYTES / PIECE {
        let bytes = vec![b'A' + piece as u8; PIECE as usize];
        file.write_all_at(&bytes, DEVICE_BYTES + piece * PIECE)?;
    }
    file.sync_all()?;
    Ok(())
}
