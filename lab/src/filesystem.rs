//! Filesystems, made and mounted for a test.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::command::run;

/// The kinds that rloop has to live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Xfs,
    Ext4,
    Btrfs,
    /// In memory; what it is made on is not touched.
    Tmpfs,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Xfs, Self::Ext4, Self::Btrfs, Self::Tmpfs];

    /// Its name as mount knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
        }
    }

    fn make_on(self, device: &Path, options: &[&str]) -> Result<()> {
        let force = if self == Self::Ext4 { "-F" } else { "-f" };
        if self != Self::Tmpfs {
            let mut mkfs = Command::new(format!("mkfs.{self}"));
            crate::command::output_of(mkfs.args(["-q", force]).args(options).arg(device))?;
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mounted filesystem. It is unmounted when this goes; a test that wants to know whether that
/// worked calls `unmount`.
pub(crate) struct Filesystem {
    kind: Kind,
    device: PathBuf,
    place: PathBuf,
}

impl Filesystem {
    /// Makes one on a device, over whatever is there, and mounts it.
    pub(crate) fn make(kind: Kind, device: &Path) -> Result<Self> {
        Self::make_with(kind, device, &[], "defaults")
    }

    /// The same with options for mkfs and mount.
    pub(crate) fn make_with(kind: Kind, device: &Path, mkfs: &[&str], mount: &str) -> Result<Self> {
        kind.make_on(device, mkfs)?;
        Self::mount_with(kind, device, mount)
    }

    /// Mounts one that is there.
    pub(crate) fn mount_with(kind: Kind, device: &Path, options: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = PathBuf::from(format!("/run/lab/{number}-{kind}"));
        fs::create_dir_all(&place)?;
        run!["mount", "-t", kind.name(), "-o", options, device, &place]?;
        let device = device.to_owned();
        Ok(Self {
            kind,
            device,
            place,
        })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.place
    }

    /// A file of this size without any block.
    pub(crate) fn sparse_file(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.place.join(name);
        let file = fs::File::create(&path)?;
        file.set_len(bytes)?;
        Ok(path)
    }

    /// A file of this size, all of it written.
    pub(crate) fn written_file(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.sparse_file(name, bytes)?;
        let range = format!("pwrite -b 1M -q 0 {bytes}");
        run!["xfs_io", "-c", range, "-c", "fsync", &path]?;
        Ok(path)
    }

    /// Unmounts it and has its own program check it.
    pub(crate) fn unmount_and_check(self) -> Result<()> {
        let (kind, device) = (self.kind, self.device.clone());
        self.unmount()?;
        let mut check = match kind {
            Kind::Xfs => Command::new("xfs_repair"),
            Kind::Ext4 => Command::new("e2fsck"),
            Kind::Btrfs => Command::new("btrfs"),
            Kind::Tmpfs => return Ok(()),
        };
        match kind {
            Kind::Xfs => check.arg("-n"),
            Kind::Ext4 => check.args(["-f", "-n"]),
            _ => check.args(["check", "--readonly"]),
        };
        crate::command::output_of(check.arg(&device))
            .with_context(|| format!("the {kind} on {} is damaged", device.display()))?;
        Ok(())
    }

    /// Takes it out of the tree, though it is in use; it goes when nobody uses it any more.
    pub(crate) fn unmount_lazily(mut self) -> Result<()> {
        let place = std::mem::take(&mut self.place);
        run!["umount", "--lazy", &place]?;
        Ok(())
    }

    /// Unmounts it.
    pub(crate) fn unmount(mut self) -> Result<()> {
        let place = std::mem::take(&mut self.place);
        run!["umount", &place]?;
        Ok(())
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        if !self.place.as_os_str().is_empty()
            && let Err(error) = run!["umount", &self.place]
        {
            println!("{error:#}");
        }
    }
}
