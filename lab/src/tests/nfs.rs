//! The file is exported by NFS, and a client writes, cuts and reads it while a load runs on the device.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::direct::SECTOR;
use crate::filesystem::Kind;
use crate::guest::Guest;
use crate::nfs::Nfs;
use crate::random::Random;
use crate::rloop_device::Mode;
use crate::scene::{DEVICE_BYTES, Scene, TAIL_BYTES};
use crate::test::{Outcome, Test};

pub(super) fn tests() -> Vec<Test> {
    let test = |kind| {
        Test::new(format!("neighbour_over_nfs/{kind}"), move |guest| {
            if !Nfs::is_there() {
                let why = "this kernel has no NFS server or no client";
                return Ok(Outcome::Skipped(why.into()));
            }
            super::with_module(|| over_nfs(guest, kind))
        })
        // The server waits ten seconds before it opens anything.
        .on_request()
    };
    [Kind::Xfs, Kind::Ext4].map(test).into()
}

fn over_nfs(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, Mode::DEFAULT)?;
    let nfs = Nfs::export(scene.below.path())?;
    let name = scene.path.file_name().context("the file has no name")?;
    let path = nfs.path(Path::new(name));
    let times = if guest.is_long() { 100 } else { 1 };
    for time in 0..times {
        let seed = guest.seed() + time;
        for act in [writes, cuts] {
            let before = scene.recalls()?;
            scene.under_load(|| act(&scene, &path, seed))?;
            ensure!(scene.recalls()? > before, "no recall was counted");
            scene.settle()?;
        }
        // After a flush, the client reads what the device holds.
        let held = scene.load().read_all(&path).context("by NFS")?;
        let there = scene.load().read_all(&scene.load().device)?;
        ensure!(held == there, "by NFS the file is not what the device is");
    }
    drop(nfs);
    scene.finish()
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    let opened = options.read(true).write(true).open(path);
    opened.context("a client could not open the file")
}

/// Whole blocks of what the device shows; what they held has to be gone.
fn writes(scene: &Scene, path: &Path, seed: u64) -> Result<()> {
    const BLOCK: u64 = 8;
    const BLOCKS: u64 = 16;
    const WRITES: u64 = 10;
    let stamps = &scene.load().stamps;
    let mut random = Random::new(seed, 79);
    let file = open(path)?;
    for _ in 0..WRITES {
        let blocks = 1 + random.below(BLOCKS);
        let first = random.below(stamps.sectors() / BLOCK - blocks) * BLOCK;
        let mut bytes = vec![0; (blocks * BLOCK) as usize * SECTOR];
        let begun = stamps.begin_write(first, &mut bytes);
        // The client keeps it until then.
        let done = file
            .write_all_at(&bytes, first * SECTOR as u64)
            .and_then(|()| file.sync_data());
        stamps.end_write(begun, done.is_ok());
        done.context("a client's write")?;
    }
    Ok(())
}

/// The file's tail, which the device does not show.
fn cuts(scene: &Scene, path: &Path, _seed: u64) -> Result<()> {
    for bytes in [
        DEVICE_BYTES + TAIL_BYTES / 2,
        DEVICE_BYTES,
        DEVICE_BYTES + TAIL_BYTES,
    ] {
        open(path)?.set_len(bytes).context("a client's cut")?;
    }
    let length = std::fs::metadata(&scene.path)?.len();
    ensure!(
        length == DEVICE_BYTES + TAIL_BYTES,
        "the file is {length} bytes long"
    );
    Ok(())
}
