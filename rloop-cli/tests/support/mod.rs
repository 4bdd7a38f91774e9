//! What tests on real loop devices share. Everything made here is undone when its guard drops,
//! also when a test panics.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(unreachable_pub, reason = "a module of a program exports to nobody")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub mod live;
pub mod numbered;
pub mod running;
pub mod statistics;

use rloop::device::LoopDevice;
use rloop::device::control::{AttachOptions, Attached, attach};
use tempfile::TempDir;

/// False, with a word about it, unless this process may attach loop devices.
pub fn root_or_skip() -> bool {
    match rloop::capability::check_attach() {
        Ok(()) if Path::new("/dev/loop-control").exists() => true,
        Ok(()) => skipped("this machine has no /dev/loop-control"),
        Err(why) => skipped(&why.to_string()),
    }
}

/// False, with a word about it, unless the program can be run.
pub fn program_or_skip(program: &str) -> bool {
    let works = Command::new(program).arg("-V").output().is_ok();
    works || skipped(&format!("{program} is not installed"))
}

/// Says why a test does nothing; false.
pub fn skipped(why: &str) -> bool {
    eprintln!("skipped: {why}");
    false
}

/// A folder on a real filesystem, removed with all that is in it.
pub struct ScratchDir(TempDir);

impl ScratchDir {
    /// In `/var/tmp`, which is on a disk where `/tmp` often is not.
    pub fn new() -> Self {
        Self::below(Path::new("/var/tmp"))
    }

    /// In `folder`.
    pub fn below(folder: &Path) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rloop-test-")
            .tempdir_in(folder);
        Self(dir.expect("a folder"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A sparse file of `len` bytes in it.
    pub fn sparse(&self, name: &str, len: u64) -> PathBuf {
        sparse(self.path(), name, len)
    }
}

/// A sparse file of `len` bytes in `folder`.
pub fn sparse(folder: &Path, name: &str, len: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path)
        .and_then(|file| file.set_len(len))
        .expect("a sparse file");
    path
}

/// Opens a file or device for reading and writing.
pub fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("opens")
}

/// Writes `len` bytes that are not zero from `start` on, and syncs.
pub fn write(path: &Path, start: u64, len: usize) {
    let file = open(path);
    file.write_all_at(&vec![0x5A; len], start).expect("writes");
    file.sync_all().expect("syncs");
}

/// Takes all room there is, with a file of that name.
pub fn fill_up(folder: &Path, name: &str) {
    let mut file = File::create(folder.join(name)).expect("creates");
    // Room is promised with a margin: what is left of it shows after a sync.
    for len in [1 << 20, 1 << 16, 1 << 12, 1 << 12, 1 << 12] {
        while file.write_all(&vec![0x5A; len]).is_ok() {}
        let _ = file.sync_all();
    }
}

/// A device that has a name.
pub trait Named {
    /// It, without `/dev/`.
    fn name(&self) -> &str;
}

impl Named for Attached {
    fn name(&self) -> &str {
        self.name()
    }
}

/// Attaches with these options.
pub fn attached(path: &Path, options: &AttachOptions) -> Attached {
    attach(path, options).expect("attaches")
}

/// The device as the list shows it.
pub fn listed(attached: &Attached) -> LoopDevice {
    let device = rloop::device::list::find(attached.name()).expect("sysfs");
    device.expect("an attached device is listed")
}

/// Waits up to ten seconds for something to become true.
pub fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if done() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    false
}

/// A filesystem of its own, in a file, on a loop device, mounted.
pub struct MountedImage {
    // In the order in which they have to go.
    mount: Mounted,
    device: Attached,
    _dir: ScratchDir,
}

/// A filesystem mounted on a folder until dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts `what`, of type `fs`, on a new folder `target`.
    pub fn new(fs: &str, options: &str, what: &Path, target: &Path) -> Self {
        std::fs::create_dir(target).expect("a mount point");
        run(Command::new("mount")
            .args(["-t", fs, "-o", options])
            .args([what, target]));
        Self(target.to_owned())
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmount = || Command::new("umount").arg(&self.0).status();
        if !wait_until(|| unmount().is_ok_and(|status| status.success())) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

/// What an image is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageOptions<'a> {
    /// Options of `mkfs`.
    pub mkfs: &'a [&'a str],
    /// Mount options, `defaults` if empty.
    pub mount: &'a str,
    /// Logical block size of its loop device, 0 for the driver's choice.
    pub block_bytes: u32,
}

impl MountedImage {
    /// As [`MountedImage::new`], with its file in `folder`.
    pub fn in_folder(folder: &Path, fs: &str, mib: u64, mkfs: &[&str]) -> Option<Self> {
        let options = ImageOptions {
            mkfs,
            ..ImageOptions::default()
        };
        Self::make(ScratchDir::below(folder), fs, mib, &options)
    }

    /// Makes one of `mib` MiB with `mkfs.FS` and its options; `None` if there is no such program.
    pub fn new(fs: &str, mib: u64, mkfs: &[&str]) -> Option<Self> {
        let options = ImageOptions {
            mkfs,
            ..ImageOptions::default()
        };
        Self::with(fs, mib, &options)
    }

    /// As [`MountedImage::new`], with more options.
    pub fn with(fs: &str, mib: u64, options: &ImageOptions) -> Option<Self> {
        Self::make(ScratchDir::new(), fs, mib, options)
    }

    fn make(dir: ScratchDir, fs: &str, mib: u64, options: &ImageOptions) -> Option<Self> {
        let mkfs = format!("mkfs.{fs}");
        if !program_or_skip(&mkfs) {
            return None;
        }
        let file = dir.sparse("filesystem.img", mib << 20);
        run(Command::new(mkfs).args(options.mkfs).arg(&file));
        let direct = AttachOptions {
            direct_io: true,
            block_bytes: options.block_bytes,
            ..AttachOptions::default()
        };
        let device = attached(&file, &direct);
        let mount = match options.mount {
            "" => "defaults",
            mount => mount,
        };
        let target = dir.path().join("mounted");
        Some(Self {
            mount: Mounted::new(fs, mount, device.path(), &target),
            device,
            _dir: dir,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    /// The loop device that it is on.
    pub fn device(&self) -> &Path {
        self.device.path()
    }
}

/// Runs a command that has to work.
pub fn run(command: &mut Command) {
    let output = command.output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
