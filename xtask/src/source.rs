//! The source of Rust's core library: rustup's component, or Debian's package of the same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::debian::PrivateApt;
use crate::tools::replace_link;
use crate::{output_of, packages, succeed};

/// The suite of Debian that carries a rustc this new.
const SUITE: &str = "trixie-backports";

/// Where rustc's own build system looks for the source.
pub(crate) fn place(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust")
}

/// Gets the source of this version and puts it where cargo looks for it.
pub(crate) fn get(sysroot: &Path, cache: &Path, version: &str) -> Result<()> {
    let place = place(sysroot);
    // A link whose goal is gone would be in rustup's way.
    if place.is_symlink() {
        fs::remove_file(&place)?;
    }
    if from_rustup() && place.join("library/core").exists() {
        return Ok(());
    }
    eprintln!("xtask: rustup has no rust-src to give; taking Debian's package");
    let source = from_debian(cache, version)?;
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    replace_link(&source, &place)
}

/// Asks rustup, without patience: its server may be out of reach.
fn from_rustup() -> bool {
    if !packages::has("rustup") || !packages::has("timeout") {
        return false;
    }
    let mut rustup = Command::new("timeout");
    rustup
        .args(["120", "rustup", "component", "add", "rust-src"])
        .current_dir(crate::root())
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    rustup.status().is_ok_and(|status| status.success())
}

/// Unpacks Debian's package below `cache`. The machine's own apt is not touched: nothing but the
/// address of its mirror is taken from it.
fn from_debian(cache: &Path, version: &str) -> Result<PathBuf> {
    let unpacked = cache.join("rust-src");
    let source = unpacked.join(format!("usr/src/rustc-{version}"));
    if source.join("library/core").exists() {
        return Ok(source);
    }
    let folder = cache.join("apt");
    let apt = PrivateApt::new(&folder, SUITE)?;
    let versions = output_of(apt.command("apt-cache").args(["madison", "rust-src"]))?;
    let Some(package) = package_version(&versions, version) else {
        bail!("{SUITE} has no rust-src {version}, only: {versions}");
    };
    let wanted = format!("rust-src={package}");
    succeed(
        apt.command("apt-get")
            .args(["-qq", "download", &wanted])
            .current_dir(&folder),
    )?;
    let archive = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt-get download left no package")?;
    succeed(
        Command::new("dpkg-deb")
            .arg("-x")
            .args([&archive, &unpacked]),
    )?;
    fs::remove_dir_all(&folder)?;
    if !source.join("library/core").exists() {
        bail!("the package has no {}", source.display());
    }
    Ok(source)
}

/// The Debian version of an upstream version: ` rust-src | 1.95.0+dfsg1-2 | ...`.
fn package_version<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    madison.lines().find_map(|line| {
        let package = line.split('|').nth(1)?.trim();
        let rest = package.strip_prefix(version)?;
        rest.starts_with(['+', '-', '~']).then_some(package)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_of_the_same_version() {
        let madison = " rust-src | 1.85.1+dfsg1-2 | a\n rust-src | 1.95.0+dfsg1-2~bpo13+1 | b";
        assert_eq!(
            package_version(madison, "1.95.0"),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(package_version(madison, "1.95"), None);
    }
}
