//! Older kernels of Debian's, to try rloop-top on: made when they are first asked for. The module is not for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::apt::Unobtainable;
use super::chroot::{Chroot, succeed};
use super::folder::{Folder, make_disk};
use crate::debian::PrivateApt;
use crate::output_of;

/// The package that depends on the newest kernel of a suite.
const NEWEST: &str = "linux-image-cloud-amd64";

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OtherKernel {
    /// Debian 12's.
    #[value(name = "6.1")]
    Bookworm,
    /// Debian 13's.
    #[value(name = "6.12")]
    Trixie,
}

impl OtherKernel {
    fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its place in a lab folder, with `root` as its package has it and the guest's disk.
    pub(super) fn get(self, folder: &Folder) -> Result<PathBuf> {
        let home = folder.path().join("kernels").join(self.suite());
        if !home.exists() {
            self.make(folder, &home)?;
        }
        Ok(home)
    }

    /// Made under another name first: what an interruption leaves is not taken for a kernel.
    fn make(self, folder: &Folder, home: &Path) -> Result<()> {
        let making = home.with_extension("making");
        if making.exists() {
            fs::remove_dir_all(&making)?;
        }
        fs::create_dir_all(&making)?;
        eprintln!("xtask: getting the kernel of Debian's {}", self.suite());
        let root = making.join("root");
        self.unpack(&making, &root).context(Unobtainable)?;
        let release = release(&root)?;
        let kernel = Chroot::new(folder.path().join("root")).bind(&root, "/mnt");
        let map = format!("/mnt/boot/System.map-{release}");
        let mut depmod = kernel.command("depmod");
        succeed(depmod.args(["-b", "/mnt", "-F", &map, &release]))?;
        make_disk(folder.path(), &making, Some((&root, &release)))?;
        fs::rename(&making, home)?;
        Ok(())
    }

    fn unpack(self, making: &Path, root: &Path) -> Result<()> {
        let apt = PrivateApt::new(&making.join("apt"), self.suite())?;
        let about = output_of(apt.command("apt-cache").args(["show", NEWEST]))?;
        let package = depends_on(&about).context("the kernel's package depends on none")?;
        let mut download = apt.command("apt-get");
        succeed(
            download
                .args(["-qq", "download", package])
                .current_dir(making),
        )?;
        let mut files = fs::read_dir(making)?.flatten().map(|entry| entry.path());
        let archive = files.find(|path| path.extension().is_some_and(|end| end == "deb"));
        let archive = archive.context("apt-get downloaded nothing")?;
        succeed(
            Command::new("dpkg-deb")
                .arg("-x")
                .args([&archive, &root.to_owned()]),
        )?;
        fs::remove_file(archive)?;
        // Debian 13 has everything below usr.
        if !root.join("lib").exists() {
            symlink("usr/lib", root.join("lib"))?;
        }
        Ok(())
    }
}

/// What `uname -r` will say.
pub(super) fn release(root: &Path) -> Result<String> {
    super::kernel::only(&root.join("boot"), "vmlinuz-", "")
}

/// The first package that this one depends on: `Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)`.
fn depends_on(about: &str) -> Option<&str> {
    let depends = about
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',']).next()
}

#[cfg(test)]
mod tests {
    use super::depends_on;

    #[test]
    fn the_newest_kernel_is_what_the_package_depends_on() {
        let about = "Package: linux-image-cloud-amd64\nSource: linux-signed-amd64\n\
                     Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\nSection: kernel";
        assert_eq!(depends_on(about), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(depends_on("Package: linux-image-cloud-amd64"), None);
    }
}
