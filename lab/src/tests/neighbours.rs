//! Others do something to the file while a load runs on its device: the mapping is taken back, nothing that
//! the load wrote is lost, and the mapping comes back when they are gone.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::ptr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::run;
use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::Kind;
use crate::guest::Guest;
use crate::random::Random;
use crate::rloop_device::Mode;
use crate::scene::{DEVICE_BYTES, Scene, TAIL_BYTES};
use crate::test::Test;

/// Filesystems whose blocks are mapped.
pub(super) const MAPPED: [Kind; 2] = [Kind::Xfs, Kind::Ext4];
/// The modes that recalls are tried in.
const MODES: [Mode; 2] = [Mode::DEFAULT, Mode::LAZY];

pub(super) fn tests() -> Vec<Test> {
    let on = super::of_module_on_each;
    [
        on("neighbour_opens_for_writing", &MAPPED, |guest, kind| {
            each_mode(guest, kind, opens)
        }),
        on("neighbour_does_not_wait", &MAPPED, |guest, kind| {
            each_mode(guest, kind, does_not_wait)
        }),
        on("neighbour_writes", &MAPPED, |guest, kind| {
            each_mode(guest, kind, writes)
        }),
        on("neighbour_writes_by_mmap", &MAPPED, |guest, kind| {
            each_mode(guest, kind, maps)
        }),
        on("neighbour_truncates", &MAPPED, |guest, kind| {
            each_mode(guest, kind, truncates)
        }),
        on("neighbour_cuts_the_device", &[Kind::Ext4], |guest, kind| {
            each_mode(guest, kind, cuts)
        }),
        // In both modes, which takes longer.
        super::on_request(on(
            "neighbour_cuts_the_device",
            &[Kind::Xfs],
            |guest, kind| each_mode(guest, kind, cuts),
        )),
        on("neighbour_on_btrfs", &[Kind::Btrfs], on_btrfs),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs a neighbour in each mode, in the long form many times.
pub(super) fn each_mode(
    guest: &mut Guest,
    kind: Kind,
    neighbour: fn(&Scene, u64) -> Result<()>,
) -> Result<()> {
    // ext4 knows no layouts, so there is but one way to fill.
    let modes = if kind == Kind::Xfs {
        &MODES[..]
    } else {
        &MODES[..1]
    };
    let times = if guest.is_long() { 200 } else { 1 };
    for mode in modes {
        let scene = Scene::new(guest, kind, *mode)?;
        for time in 0..times {
            let seed = guest.seed() + time;
            neighbour(&scene, seed).with_context(|| format!("{mode}, time {time}"))?;
        }
        scene.finish().with_context(|| format!("{mode}"))?;
    }
    Ok(())
}

/// The neighbour takes the mapping back; when it is gone, the mapping returns.
pub(super) fn recalling(scene: &Scene, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = scene.recalls()?;
    scene.under_load(act)?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    scene.settle()
}

pub(super) fn for_writing(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .context("could not open the file for writing")
}

fn opens(scene: &Scene, _seed: u64) -> Result<()> {
    recalling(scene, || {
        let file = for_writing(&scene.path)?;
        scene.attached.wait_for_provider("vfs")?;
        // It tries in vain meanwhile.
        sleep(Duration::from_millis(500));
        let (provider, why) = (
            scene.attached.attribute("provider")?,
            scene.attached.attribute("why")?,
        );
        ensure!(
            provider == "vfs",
            "somebody can write, but the provider is {provider}"
        );
        ensure!(why.contains("open-for-writing"), "the reason is {why}");
        drop(file);
        Ok(())
    })
}

/// It is refused, and comes again in a while, as NFS servers do for their clients. That has to lead to something, even
/// though the mapping could be back long before.
fn does_not_wait(scene: &Scene, _seed: u64) -> Result<()> {
    const TIMES: usize = 4;
    const PAUSE: Duration = Duration::from_secs(1);
    let open = || {
        File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&scene.path)
    };
    let before = scene.recalls()?;
    scene.under_load(|| {
        for _ in 0..TIMES {
            match open() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(PAUSE),
                Err(error) => return Err(error).context("could not open the file for writing"),
            }
        }
        bail!("it was refused {TIMES} times")
    })?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    // The mapping is long in coming back.
    scene.check()
}

/// Whole blocks of what the device shows, past the page cache; what they held has to be gone.
fn writes(scene: &Scene, seed: u64) -> Result<()> {
    const BLOCK: u64 = 8;
    const BLOCKS: u64 = 4;
    const WRITES: u64 = 30;
    let stamps = &scene.load().stamps;
    let mut random = Random::new(seed, 77);
    recalling(scene, || {
        let file = direct::open(&scene.path, true)?;
        let mut buffer = Buffer::new((BLOCKS * BLOCK) as usize * SECTOR);
        for _ in 0..WRITES {
            let blocks = 1 + random.below(BLOCKS);
            let first = random.below(stamps.sectors() / BLOCK - blocks) * BLOCK;
            let bytes = &mut buffer.bytes()[..(blocks * BLOCK) as usize * SECTOR];
            let begun = stamps.begin_write(first, bytes);
            let done = file.write_all_at(bytes, first * SECTOR as u64);
            stamps.end_write(begun, done.is_ok());
            done.context("a neighbour's write")?;
        }
        Ok(())
    })
}

/// Blocks beyond the device's end, through a shared mapping.
fn maps(scene: &Scene, seed: u64) -> Result<()> {
    let text = format!("written by mmap, seed {seed}");
    recalling(scene, || {
        let file = for_writing(&scene.path)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (bytes, offset) = (TAIL_BYTES as usize, DEVICE_BYTES as i64);
        // SAFETY: A new mapping, of a part of the file that is there.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        ensure!(
            map != libc::MAP_FAILED,
            "mmap: {}",
            std::io::Error::last_os_error()
        );
        // The mapping alone, with no descriptor, has to keep the provider away.
        drop(file);
        // SAFETY: The mapping is longer than the text, and ours.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), map.cast(), text.len()) };
        sleep(Duration::from_millis(300));
        let provider = scene.attached.attribute("provider")?;
        // SAFETY: It was mapped above, and nobody uses it any more.
        let unmapped = unsafe { libc::munmap(map, bytes) };
        ensure!(unmapped == 0, "munmap: {}", std::io::Error::last_os_error());
        ensure!(
            provider == "vfs",
            "the file is mapped for writing, but the provider is {provider}"
        );
        Ok(())
    })?;
    let mut read = vec![0; text.len()];
    File::open(&scene.path)?.read_exact_at(&mut read, DEVICE_BYTES)?;
    ensure!(
        read == text.as_bytes(),
        "what was written by mmap is not in the file"
    );
    Ok(())
}

/// The file's tail, which the device does not show.
fn truncates(scene: &Scene, _seed: u64) -> Result<()> {
    recalling(scene, || {
        for bytes in [
            DEVICE_BYTES + TAIL_BYTES / 2,
            DEVICE_BYTES,
            DEVICE_BYTES + TAIL_BYTES,
        ] {
            // Not by truncate(1): it opens without waiting, and a lease makes that EAGAIN.
            for_writing(&scene.path)?.set_len(bytes)?;
        }
        Ok(())
    })
}

/// Half of what the device shows, and gives it back as a hole. The device stays as long as it was if that is over
/// before it is mapped again; else it is cut too, and `rloop resize` makes it whole.
fn cuts(scene: &Scene, _seed: u64) -> Result<()> {
    const LEFT: u64 = DEVICE_BYTES / 2;
    let stamps = &scene.load().stamps;
    let device = scene.attached.device();
    let has_length = |bytes: u64| -> Result<bool> {
        Ok(run!["blockdev", "--getsize64", device]? == bytes.to_string())
    };
    scene.under_load(|| Ok(()))?;
    for waits in [false, true] {
        let first = LEFT / SECTOR as u64;
        let begun = stamps.begin_zeros(first, stamps.sectors() - first);
        let mut file = for_writing(&scene.path)?;
        file.set_len(LEFT)?;
        if waits {
            drop(file);
            scene.attached.wait_for_provider(scene.best())?;
            while !has_length(LEFT)? {
                sleep(Duration::from_millis(20));
            }
            file = for_writing(&scene.path)?;
        }
        file.set_len(DEVICE_BYTES + TAIL_BYTES)?;
        stamps.end_zeros(begun, true);
        drop(file);
        if waits {
            run!["rloop", "resize", device]?;
        }
        ensure!(has_length(DEVICE_BYTES)?, "the device is not whole again");
        scene.settle()?;
        scene.under_load(|| Ok(()))?;
        scene.settle()?;
    }
    Ok(())
}

/// What works on the other filesystems works here, through the filesystem.
fn on_btrfs(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, Mode::DEFAULT)?;
    let clone = scene.below.path().join("clone.img");
    scene.under_load(|| {
        run!["cp", "--reflink=always", &scene.path, &clone]?;
        for_writing(&scene.path)?.set_len(DEVICE_BYTES)?;
        for_writing(&scene.path)?.set_len(DEVICE_BYTES + TAIL_BYTES)?;
        run!["btrfs", "filesystem", "defragment", &scene.path]?;
        Ok(())
    })?;
    scene.settle()?;
    scene.finish()
}
