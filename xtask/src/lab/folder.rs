//! The folder with Debian, the kernel's source and the guest's disk: made once for each kernel.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::apt::Unobtainable;
use super::chroot::{self, Chroot};
use super::kernel::{Kernel, Kind};
use super::other_kernel::OtherKernel;
use super::{apt, cache, recipe};
use crate::{packages, succeed};

/// How long the answer to "which kernel is the newest" is believed.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// In the cache: the version that the newest kernel's packages had when last asked.
const NEWEST: &str = "newest";

/// In a finished folder: whoever uses it holds a shared lock on this file.
const IN_USE: &str = "in-use";

/// A finished folder. Nobody removes it while this exists.
pub(crate) struct Folder {
    path: PathBuf,
    kernel: Kernel,
    /// Of an older kernel: where it is.
    home: Option<PathBuf>,
    _in_use: File,
}

impl Folder {
    /// The folder for the newest kernel, as the mirror knows it now.
    pub(crate) fn newest() -> Result<Self> {
        Self::get(true)
    }

    /// The folder for the newest kernel; the mirror is asked once a day.
    pub(crate) fn ready() -> Result<Self> {
        Self::get(false)
    }

    fn get(ask: bool) -> Result<Self> {
        ensure_possible().context(Unobtainable)?;
        let cache = cache()?;
        fs::create_dir_all(&cache)
            .with_context(|| format!("could not make {}", cache.display()))?;
        let lock = File::create(cache.join("lock"))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            eprintln!("xtask: waiting for another run that makes the lab's folder");
            lock.lock()?;
        }
        let version = kernel_version(&cache, ask)?;
        let path = cache.join(recipe::key(&version));
        if !path.exists() {
            make(&path, &version)?;
        }
        let in_use = File::create(path.join(IN_USE))?;
        in_use.lock_shared()?;
        remove_others(&cache, &path);
        let kernel = Kernel::stock(&path.join("root"))?;
        Ok(Self {
            path,
            kernel,
            home: None,
            _in_use: in_use,
        })
    }

    /// The same folder with its debug kernel, which must have been built.
    pub(super) fn with_debug_kernel(self) -> Result<Self> {
        let kernel = Kernel::debug(&self.path.join(DEBUG))
            .context("there is no debug kernel: `cargo xtask lab kernel` builds it, for an hour")?;
        Ok(Self { kernel, ..self })
    }

    /// The same folder with an older kernel.
    pub(super) fn with_other_kernel(self, kernel: OtherKernel) -> Result<Self> {
        let home = kernel.get(&self)?;
        let kernel = Kernel::other(&home.join("root"))?;
        let home = Some(home);
        Ok(Self {
            kernel,
            home,
            ..self
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What `uname -r` says in the guest.
    pub(crate) fn release(&self) -> &str {
        self.kernel.release()
    }

    /// Whether its kernel is the debug kernel.
    pub(super) fn is_debug(&self) -> bool {
        self.kernel.kind() == Kind::Debug
    }

    /// Whether the module can be built for its kernel.
    pub(super) fn has_module(&self) -> bool {
        self.kernel.kind() != Kind::Other
    }

    /// The kernel.
    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Its Debian, with the kernel's source and build.
    pub(super) fn chroot(&self) -> Chroot {
        debian(&self.path, &self.build())
    }

    /// Where the kernel's build is.
    pub(super) fn build(&self) -> PathBuf {
        match (self.kernel.kind(), &self.home) {
            (Kind::Other, Some(home)) => home.join("root"),
            (Kind::Debug, _) => self.path.join(DEBUG),
            _ => self.path.join(STOCK),
        }
    }

    /// The folder's Debian with the place where a debug kernel is built.
    pub(super) fn for_debug_kernel(&self) -> Result<(PathBuf, Chroot)> {
        let build = self.path.join(DEBUG);
        fs::create_dir_all(&build)?;
        Ok((build.clone(), debian(&self.path, &build)))
    }

    /// The guest's root disk. It is never written.
    pub(super) fn disk(&self) -> PathBuf {
        self.home.as_ref().unwrap_or(&self.path).join(DISK)
    }
}

/// Makes sure that this machine can make the lab and run things in it.
fn ensure_possible() -> Result<()> {
    ensure!(packages::is_root(), "it needs root");
    packages::ensure();
    for program in ["mmdebstrap", "unshare", "setpriv"] {
        ensure!(packages::has(program), "it needs {program}");
    }
    Ok(())
}

const DISK: &str = "root.img";

/// What modules need of the stock kernel's build, and the build of a debug kernel.
const STOCK: &str = "kernel";
const DEBUG: &str = "debug";

fn debian(path: &Path, build: &Path) -> Chroot {
    Chroot::new(path.join("root"))
        .bind(path.join("source"), "/lab/source")
        .bind(build, "/lab/kernel")
}

/// The version to use: asked for, or the last answer if it is fresh or nobody answers.
fn kernel_version(cache: &Path, ask: bool) -> Result<String> {
    let file = cache.join(NEWEST);
    let known = fs::read_to_string(&file).ok();
    let age = file
        .metadata()
        .and_then(|stat| stat.modified())
        .ok()
        .map(|time| time.elapsed());
    let fresh = matches!(age, Some(Ok(age)) if age < BELIEVED);
    if let (false, true, Some(version)) = (ask, fresh, &known) {
        return Ok(version.clone());
    }
    match apt::newest_kernel(&cache.join("apt")) {
        Ok(version) => {
            fs::write(&file, &version)?;
            Ok(version)
        }
        Err(error) => match known {
            Some(version) if cache.join(recipe::key(&version)).exists() => {
                eprintln!("xtask: staying with kernel {version}: {error:#}");
                Ok(version)
            }
            _ => Err(error.context("could not ask for the newest kernel")),
        },
    }
}

/// Makes it under another name first: what an interruption leaves is not taken for a folder.
fn make(path: &Path, version: &str) -> Result<()> {
    let begun = Instant::now();
    let making = path.with_extension("making");
    remove(&making)?;
    eprintln!(
        "xtask: making the lab for kernel {version} in {}, once",
        path.display()
    );
    for folder in ["root", "source", STOCK] {
        fs::create_dir_all(making.join(folder))?;
    }
    eprintln!("xtask: installing Debian {}", recipe::RELEASE);
    apt::install(&making.join("root"), version)?;
    for folder in ["source", "kernel", "module", "build"] {
        fs::create_dir_all(making.join("root/lab").join(folder))?;
    }
    let kernel = Kernel::stock(&making.join("root"))?;
    kernel
        .prepare(&making, &debian(&making, &making.join(STOCK)))
        .with_context(|| format!("kernel {} cannot be prepared for modules", kernel.release()))?;
    eprintln!("xtask: making the guest's disk");
    make_disk(&making, &making, None)?;
    fs::rename(&making, path)?;
    eprintln!("xtask: the lab took {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Makes a guest's disk in `into`: the Debian of the folder `lab`, with another kernel's modules if there is one.
pub(super) fn make_disk(lab: &Path, into: &Path, other: Option<(&Path, &str)>) -> Result<()> {
    const SIZE: u64 = 8 << 30;
    File::create(into.join(DISK))?.set_len(SIZE)?;
    let mut chroot = Chroot::new(lab.join("root"))
        .bind(lab.join("root"), "/mnt")
        .bind(into, "/lab/build");
    if let Some((root, release)) = other {
        let modules = format!("usr/lib/modules/{release}");
        let place = lab.join("root").join(&modules);
        fs::create_dir_all(&place)?;
        let unpacked = root.join("lib/modules").join(release);
        chroot = chroot.bind(unpacked, format!("/mnt/{modules}"));
    }
    let mut command = chroot.command("mke2fs");
    chroot::succeed(
        command
            .args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"])
            .args(["-L", "lab", "-d", "/mnt", &format!("/lab/build/{DISK}")]),
    )
}

/// Removes the folders of other kernels and recipes that nobody uses.
fn remove_others(cache: &Path, keep: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let path = entry.path();
        let finished = path.join(IN_USE);
        let unfinished = path.extension().is_some_and(|end| end == "making");
        let unused = || File::open(&finished).is_ok_and(|file| file.try_lock().is_ok());
        if path != keep && (unfinished || unused()) {
            let removed = remove(&path);
            removed.unwrap_or_else(|error| eprintln!("xtask: {error:#}"));
        }
    }
}

/// Removes a folder, but nothing that is mounted in it.
fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = format!(" {}/", path.display());
    if mounts.lines().any(|line| line.contains(&below)) {
        bail!("something is mounted in {}: unmount it", path.display());
    }
    succeed(
        Command::new("rm")
            .args(["-rf", "--one-file-system"])
            .arg(path),
    )
}
