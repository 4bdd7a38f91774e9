//! NFS: the file is exported, and a client writes, cuts and reads it while a load runs on the device; or it lies on a
//! server itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::nfs::Nfs;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::scene::{DEVICE_BYTES, Scene, TAIL_BYTES};
use crate::test::{Outcome, Test};

pub(super) fn tests() -> Vec<Test> {
    let over = |kind| {
        let name = format!("neighbour_over_nfs/{kind}");
        with_nfs(name, move |guest| over_nfs(guest, kind))
    };
    let mut tests: Vec<Test> = [Kind::Xfs, Kind::Ext4].map(over).into();
    tests.push(with_nfs("file_on_nfs".into(), file_on_nfs));
    tests
}

/// A test of the module where there is NFS.
fn with_nfs(name: String, body: impl Fn(&mut Guest) -> Result<()> + 'static) -> Test {
    let test = Test::new(name, move |guest| {
        if !Nfs::is_there() {
            let why = "this kernel has no NFS server or no client";
            return Ok(Outcome::Skipped(why.into()));
        }
        super::with_module(|| body(guest))
    });
    // The server waits ten seconds before it opens anything, and who was refused has twenty to come again.
    test.on_request().within(Duration::from_secs(240))
}

/// The file lies on a server, and in this machine's memory too.
fn file_on_nfs(guest: &mut Guest) -> Result<()> {
    const BYTES: usize = 1 << 20;
    const BLOCK: usize = 4096;
    let below = Filesystem::make(Kind::Ext4, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", BYTES as u64)?;
    let nfs = Nfs::export(below.path())?;
    let name = path.file_name().context("the file has no name")?;
    let path = nfs.path(Path::new(name));
    let cached = File::open(&path)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    let device = direct::open(attached.device(), true)?;
    let mut bytes = Buffer::new(BYTES);
    for (number, block) in bytes.bytes().chunks_exact_mut(BLOCK).enumerate() {
        block.fill(number as u8);
        // What was written before is dropped.
        cached.read_exact_at(&mut vec![0; BYTES], 0)?;
        device.write_all_at(block, (number * BLOCK) as u64)?;
    }
    ensure!(
        direct::contents(&device, BYTES as u64)? == bytes.bytes(),
        "the device does not hold what was written"
    );
    device.sync_all()?;
    drop((device, cached));
    attached.detach()?;
    drop(nfs);
    let held = fs::read(below.path().join(name))?;
    ensure!(held == bytes.bytes(), "the file does not");
    below.unmount_and_check()
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
