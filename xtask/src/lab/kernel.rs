//! Kernels, and the stock kernel's source made ready to build modules that it loads.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};

use super::chroot::{Chroot, succeed};
use super::other_kernel;

/// A kernel in a lab folder.
pub(crate) struct Kernel {
    release: String,
    kind: Kind,
}

/// Where a kernel is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Debian's newest, which the module is for.
    Stock,
    /// Built here, to find mistakes.
    Debug,
    /// An older one of Debian's.
    Other,
}

impl Kernel {
    /// The stock kernel, which is installed below `root`.
    pub(super) fn stock(root: &Path) -> Result<Self> {
        let release = only(&root.join("boot"), "vmlinuz-", "")?;
        let kind = Kind::Stock;
        Ok(Self { release, kind })
    }

    /// An older kernel, whose package is unpacked in `root`.
    pub(super) fn other(root: &Path) -> Result<Self> {
        let (release, kind) = (other_kernel::release(root)?, Kind::Other);
        Ok(Self { release, kind })
    }

    /// The debug kernel that was built in a folder.
    pub(super) fn debug(build: &Path) -> Result<Self> {
        let release = fs::read_to_string(build.join("include/config/kernel.release"))?;
        let (release, kind) = (release.trim().to_owned(), Kind::Debug);
        Ok(Self { release, kind })
    }

    /// What `uname -r` says.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// Where it is from.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its image, seen from inside the folder.
    pub(super) fn image(&self) -> String {
        match self.kind {
            Kind::Stock => format!("/boot/vmlinuz-{}", self.release),
            Kind::Debug => "/lab/kernel/arch/x86/boot/bzImage".into(),
            Kind::Other => format!("/lab/kernel/boot/vmlinuz-{}", self.release),
        }
    }

    /// Debian's headers, seen from inside the folder. They lack what Rust needs, but have the
    /// configuration, the exported symbols and the types of the kernel as it was built.
    pub(super) fn headers(&self) -> String {
        format!("/usr/src/linux-headers-{}", self.release)
    }

    /// `make` with all that this kernel is built with.
    pub(super) fn make(&self, chroot: &Chroot) -> Command {
        if self.kind == Kind::Debug {
            return debug_make(chroot);
        }
        let mut make = make(chroot);
        make.args([
            "CC=x86_64-linux-gnu-gcc-14",
            "CROSS_COMPILE=x86_64-linux-gnu-",
        ])
        .arg(format!("KERNELRELEASE={}", self.release));
        make
    }

    /// Unpacks the source and builds what modules need of it.
    pub(super) fn prepare(&self, folder: &Path, chroot: &Chroot) -> Result<()> {
        eprintln!("xtask: unpacking the source of kernel {}", self.release);
        let sources = folder.join("root/usr/src");
        let version = only(&sources, "linux-source-", ".tar.xz")?;
        let archive = format!("/usr/src/linux-source-{version}.tar.xz");
        let mut tar = chroot.command("tar");
        succeed(tar.args([
            "-xJf",
            &archive,
            "--strip-components=1",
            "-C",
            "/lab/source",
        ]))?;
        // The guest's disk has no need of it.
        fs::remove_file(chroot.outside(&archive))?;
        eprintln!("xtask: preparing it for modules");
        let headers = chroot.outside(&self.headers());
        let build = folder.join("kernel");
        fs::copy(headers.join(".config"), build.join(".config"))?;
        succeed(self.make(chroot).arg("olddefconfig"))?;
        same_configuration(&headers.join(".config"), &build.join(".config"))?;
        succeed(self.make(chroot).arg("prepare"))?;
        for file in ["Module.symvers", "vmlinux"] {
            fs::copy(headers.join(file), build.join(file))
                .with_context(|| format!("the kernel's headers have no {file}"))?;
        }
        succeed(self.make(chroot).arg("modules_prepare"))
    }
}

/// `make` for a debug kernel. KASAN takes Rust only beside clang.
pub(super) fn debug_make(chroot: &Chroot) -> Command {
    let mut make = make(chroot);
    make.arg("CC=clang");
    make
}

fn make(chroot: &Chroot) -> Command {
    let mut make = chroot.command("make");
    let jobs = available_parallelism().map_or(1, usize::from);
    make.args(["-s", "--no-print-directory", "-C", "/lab/source"])
        .args(["O=/lab/kernel", "ARCH=x86", "HOSTCC=gcc-14"])
        .arg(format!("-j{jobs}"));
    make
}

/// Another compiler, or a tool that is missing, shows in the configuration: what is built then is
/// not for this kernel.
fn same_configuration(stock: &Path, ours: &Path) -> Result<()> {
    let (stock, ours) = (fs::read_to_string(stock)?, fs::read_to_string(ours)?);
    let lacks = |text: &str, line: &str| !text.lines().any(|other| other == line);
    let gone = stock
        .lines()
        .filter(|line| lacks(&ours, line))
        .map(|line| format!("-{line}"));
    let come = ours
        .lines()
        .filter(|line| lacks(&stock, line))
        .map(|line| format!("+{line}"));
    let differences: Vec<String> = gone.chain(come).collect();
    if !differences.is_empty() {
        bail!(
            "the tools here do not give the configuration that the kernel was built with:\n{}",
            differences.join("\n")
        );
    }
    Ok(())
}

/// What stands between `before` and `after` in the name of the one file that has both.
pub(super) fn only(folder: &Path, before: &str, after: &str) -> Result<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let middle = name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after));
        found.extend(middle.map(str::to_owned));
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!(
            "{} has {} files {before}*{after}, not one",
            folder.display(),
            found.len()
        ),
    }
}
