//! Debian's packages, through the machine's own mirror and an apt configuration of the lab's own.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::chroot::by_itself;
use super::recipe::{BACKPORTS, KERNEL_PACKAGES, RELEASE, packages};
use crate::debian::{Mirror, PrivateApt};
use crate::output_of;

/// Fewer files, and no waiting for the disk: a folder that a crash spoiled is never used.
const DPKG_OPTIONS: [&str; 6] = [
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
    // The guest boots without an initial RAM disk.
    "path-exclude=/etc/kernel/postinst.d/initramfs-tools",
];

/// Marks the errors of a machine that cannot have the lab: they say nothing about the project.
#[derive(Debug)]
pub(super) struct Unobtainable;

impl fmt::Display for Unobtainable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lab cannot be had here")
    }
}

/// The newest version that all the kernel's packages have.
pub(super) fn newest_kernel(folder: &Path) -> Result<String> {
    ask(folder).context(Unobtainable)
}

fn ask(folder: &Path) -> Result<String> {
    let apt = PrivateApt::new(folder, BACKPORTS)?;
    let mut common: Option<Vec<String>> = None;
    for package in KERNEL_PACKAGES {
        let table = output_of(apt.command("apt-cache").args(["madison", package]))?;
        let mut versions = versions(&table);
        if let Some(common) = common {
            versions.retain(|version| common.contains(version));
        }
        common = Some(versions);
    }
    let newest = common.into_iter().flatten().next();
    newest.with_context(|| {
        format!(
            "{BACKPORTS} has no version of {}",
            KERNEL_PACKAGES.join(", ")
        )
    })
}

/// ` linux-source | 7.3.4-1~bpo13+1 | ...`: newest first.
fn versions(madison: &str) -> Vec<String> {
    let fields = madison.lines().filter_map(|line| line.split('|').nth(1));
    fields.map(|version| version.trim().to_owned()).collect()
}

/// Fills a folder with a Debian that has everything.
pub(super) fn install(root: &Path, kernel_version: &str) -> Result<()> {
    bootstrap(root).context(Unobtainable)?;
    same_version(root, kernel_version)
}

fn bootstrap(root: &Path) -> Result<()> {
    let mirror = Mirror::of_this_machine()?;
    // So named, a package's dependencies may come from there too; of a version, they may not.
    let kernel = KERNEL_PACKAGES.map(|package| format!("{package}/{BACKPORTS}"));
    let wanted: Vec<String> = kernel
        .into_iter()
        .chain(packages().map(str::to_owned))
        .collect();
    let mut command = by_itself("mmdebstrap");
    command
        .args(["--mode=root", "--variant=minbase", "--architectures=amd64"])
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args(DPKG_OPTIONS.map(|option| format!("--dpkgopt={option}")))
        .arg(format!("--include={}", wanted.join(",")))
        .arg(RELEASE)
        .arg(root)
        .args([RELEASE, BACKPORTS].map(|suite| mirror.line(suite)))
        .stdin(Stdio::null());
    let output = command.output().context("could not start mmdebstrap")?;
    if !output.status.success() {
        let talk = String::from_utf8_lossy(&output.stderr);
        bail!("mmdebstrap failed ({}):\n{}", output.status, talk.trim());
    }
    Ok(())
}

/// The mirror may have got another kernel after it was asked.
fn same_version(root: &Path, wanted: &str) -> Result<()> {
    let mut query = Command::new("dpkg-query");
    query.arg(format!(
        "--admindir={}",
        root.join("var/lib/dpkg").display()
    ));
    query
        .args(["--show", "--showformat=${Version}\n"])
        .args(KERNEL_PACKAGES);
    let installed = output_of(&mut query)?;
    if installed.lines().any(|version| version != wanted) {
        bail!("the mirror has another kernel now than {wanted}: run this again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_newest_first() {
        let table = " linux-source | 7.3.4-1~bpo13+1 | a\n linux-source | 7.2.1-1~bpo13+1 | b";
        assert_eq!(versions(table), ["7.3.4-1~bpo13+1", "7.2.1-1~bpo13+1"]);
    }
}
