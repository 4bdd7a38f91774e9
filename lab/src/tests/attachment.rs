//! Attached files and their devices: renamed, deleted, attached twice, in overlays and on other devices; and
//! devices that somebody wants to take away while they are used.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::ptr;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::direct::{self, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::loop_device::LoopDevice;
use crate::rloop_device::{Mode, RloopDevice};
use crate::scene::{DEVICE_BYTES, Load, Scene, TAIL_BYTES};
use crate::test::Test;

const KINDS: [Kind; 2] = [Kind::Xfs, Kind::Ext4];

pub(super) fn tests() -> Vec<Test> {
    let on = super::of_module_on_each;
    [
        on(
            "attached_file_is_renamed_and_deleted",
            &KINDS,
            renamed_and_deleted,
        ),
        on("attached_twice", &KINDS, attached_twice),
        on("attached_in_use_stays", &KINDS, in_use_stays),
        on("attached_by_descriptor_kept", &KINDS, descriptor_kept),
        on("attached_by_one_who_is_killed", &KINDS, attacher_killed),
        vec![super::of_module("attached_three_deep", three_deep)],
        vec![super::of_module("attached_in_overlay", in_overlay)],
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn renamed_and_deleted(guest: &mut Guest, kind: Kind) -> Result<()> {
    let mut scene = Scene::new(guest, kind, Mode::LAZY)?;
    scene.load_mut().file = None;
    let other = scene.below.path().join("other name");
    scene.under_load(|| Ok(fs::rename(&scene.path, &other)?))?;
    scene.attached.wait_for_provider(scene.best())?;
    scene.under_load(|| Ok(fs::remove_file(&other)?))?;
    scene.under_load(|| Ok(()))?;
    scene.attached.wait_for_provider(scene.best())?;
    let (attached, below, _, load) = scene.into_parts();
    load.flush()?;
    load.read_all(&load.device)?;
    attached.detach()?;
    below.unmount_and_check()
}

/// Two devices on one file: neither has it for itself, and both show the same.
fn attached_twice(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, Mode::DEFAULT)?;
    let limit = DEVICE_BYTES.to_string();
    let before = scene.recalls()?;
    scene.under_load(|| {
        let second = RloopDevice::attach_with(&scene.path, Mode::LAZY, &["--sizelimit", &limit])?;
        for device in [&scene.attached, &second] {
            device.wait_for_provider("vfs")?;
            device.wait_for_reason("open-for-writing")?;
        }
        scene.load().read_all(second.device())?;
        second.detach()
    })?;
    ensure!(scene.recalls()? > before, "no recall was counted");
    scene.settle()?;
    scene.finish()
}

/// A device in use is not detached, and a module with devices is not unloaded.
fn in_use_stays(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, Mode::DEFAULT)?;
    let held = File::open(scene.attached.device())?;
    scene.under_load(|| {
        let detached = run!["rloop", "detach", scene.attached.device()];
        ensure!(detached.is_err(), "a device in use was detached");
        let unloaded = run!["rmmod", "rloop"];
        ensure!(
            unloaded.is_err(),
            "the module was unloaded with a device attached"
        );
        Ok(())
    })?;
    drop(held);
    let unloaded = run!["rmmod", "rloop"];
    ensure!(
        unloaded.is_err(),
        "the module was unloaded with an idle device attached"
    );
    scene.settle()?;
    scene.finish()
}

/// Whoever attached it still has the file open for writing, and could do through that what breaks no lease:
/// it is not mapped until that is closed.
fn descriptor_kept(guest: &mut Guest, kind: Kind) -> Result<()> {
    const FIRST: u64 = 800;
    const COUNT: u64 = 400;
    let scene = Scene::new(guest, kind, Mode::LAZY)?;
    let best = scene.best();
    let (attached, below, path, mut load) = scene.into_parts();
    attached.detach()?;
    let kept = File::options().read(true).write(true).open(&path)?;
    let limit = DEVICE_BYTES.to_string();
    let attached = RloopDevice::attach_with(&path, Mode::LAZY, &["--sizelimit", &limit])?;
    load.file = None;
    load.while_running(|| {
        kept.set_len(DEVICE_BYTES)?;
        kept.set_len(DEVICE_BYTES + TAIL_BYTES)?;
        let begun = load.stamps.begin_zeros(FIRST, COUNT);
        let done = direct::punch(&kept, FIRST * SECTOR as u64, COUNT * SECTOR as u64);
        load.stamps.end_zeros(begun, done.is_ok());
        done?;
        write_by_mmap(&kept, DEVICE_BYTES)?;
        let (provider, why) = (attached.attribute("provider")?, attached.attribute("why")?);
        ensure!(
            provider == "vfs",
            "somebody can write, but the provider is {provider}"
        );
        ensure!(why.contains("open-for-writing"), "the reason is {why}");
        Ok(())
    })?;
    drop(kept);
    attached.wait_for_provider(best)?;
    load.while_running(|| Ok(()))?;
    load.flush()?;
    load.read_all(&load.device)?;
    attached.detach()?;
    load.read_all(&path)?;
    below.unmount_and_check()
}

/// Writes a page of a file by a shared mapping.
fn write_by_mmap(file: &File, offset: u64) -> Result<()> {
    const PAGE: usize = 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let (fd, at) = (file.as_raw_fd(), offset as i64);
    // SAFETY: A new mapping, of a part of the file that is there.
    let map = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, fd, at) };
    ensure!(
        map != libc::MAP_FAILED,
        "mmap: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: The mapping is a page, and ours.
    let unmapped = unsafe {
        ptr::write_bytes(map.cast::<u8>(), b'M', PAGE);
        libc::munmap(map, PAGE)
    };
    ensure!(unmapped == 0, "munmap: {}", std::io::Error::last_os_error());
    Ok(())
}

fn attacher_killed(guest: &mut Guest, kind: Kind) -> Result<()> {
    let scene = Scene::new(guest, kind, Mode::LAZY)?;
    let best = scene.best();
    let (attached, below, path, mut load) = scene.into_parts();
    attached.detach()?;
    let limit = DEVICE_BYTES.to_string();
    let mut shell = Command::new("sh")
        .args(["-c", "exec 9</dev/rloop-control; rloop attach --sizelimit $1 --fill layout \"$2\"; exec sleep 1000", "sh"])
        .args([limit.as_str()])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = shell.stdout.take().context("the shell has no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let attached = RloopDevice::already(line.trim());
    load.device = attached.device().to_owned();
    let waited = attached.wait_for_provider(best);
    load.file = None;
    let killed = load.while_running(|| {
        shell.kill()?;
        let status = shell.wait()?;
        ensure!(
            status.signal() == Some(libc::SIGKILL),
            "it ended otherwise: {status}"
        );
        Ok(())
    });
    waited.and(killed)?;
    attached.wait_for_provider(best)?;
    load.read_all(&load.device)?;
    attached.detach()?;
    load.read_all(&path)?;
    below.unmount_and_check()
}

/// rloop on a filesystem on loop on a filesystem on rloop on a filesystem.
fn three_deep(guest: &mut Guest) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let ground = Filesystem::make(Kind::Ext4, guest.scratch(0)?)?;
    let file = ground.sparse_file("first.img", 600 * MIB)?;
    let first = RloopDevice::attach(&file, Mode::DEFAULT)?;
    let middle = Filesystem::make(Kind::Xfs, first.device())?;
    let file = middle.sparse_file("second.img", 300 * MIB)?;
    let second = LoopDevice::direct(&file)?;
    let upper = Filesystem::make(Kind::Ext4, second.device())?;
    let scene = Scene::within(upper, Kind::Ext4, guest.seed(), Mode::DEFAULT)?;
    // The one at the bottom is taken back under the one on top.
    scene.under_load(|| {
        let file = File::options()
            .write(true)
            .open(ground.path().join("first.img"))?;
        first.wait_for_provider("vfs")?;
        drop(file);
        Ok(())
    })?;
    scene.settle()?;
    scene.finish()?;
    drop(second);
    middle.unmount_and_check()?;
    first.detach()?;
    ground.unmount_and_check()
}

/// A file of an overlay is not mapped, and works, before and after it is copied up.
fn in_overlay(guest: &mut Guest) -> Result<()> {
    run!["modprobe", "overlay"]?;
    let below = Filesystem::make(Kind::Ext4, guest.scratch(0)?)?;
    let root = below.path();
    let [lower, upper, work, place] =
        ["lower", "upper", "work", "place"].map(|name| root.join(name));
    for folder in [&lower, &upper, &work, &place] {
        fs::create_dir(folder)?;
    }
    // To the load, zeros are what was never written.
    let original = root.join("lower/disk.img");
    fs::write(&original, vec![0; DEVICE_BYTES as usize])?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    run!["mount", "-t", "overlay", "-o", options, "overlay", &place]?;
    let done = (|| {
        let attached = RloopDevice::attach(&place.join("disk.img"), Mode::DEFAULT)?;
        let load = Load::on(attached.device(), guest.seed());
        load.while_running(|| Ok(()))?;
        let provider = attached.attribute("provider")?;
        ensure!(provider == "vfs", "the provider is {provider}");
        load.flush()?;
        load.read_all(attached.device())?;
        attached.detach()?;
        load.read_all(&place.join("disk.img"))?;
        ensure!(
            fs::read(&original)?.iter().all(|byte| *byte == 0),
            "the lower file was changed"
        );
        Ok(())
    })();
    run!["umount", &place]?;
    done?;
    below.unmount_and_check()
}
