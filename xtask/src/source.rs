//! The source of Rust's core library: rustup's component, or Debian's package of the same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::tools::replace_link;
use crate::{output_of, packages, succeed};

/// The suite of Debian that carries a rustc this new.
const SUITE: &str = "trixie-backports";

/// Debian's key ring, for machines whose sources name none.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    fs::create_dir_all(folder.join("lists/partial"))?;
    fs::create_dir_all(folder.join("archives/partial"))?;
    let (mirror, keys) = mirror().context("this machine's apt knows no mirror of Debian")?;
    let line = format!("deb [signed-by={keys}] {mirror} {SUITE} main\n");
    fs::write(folder.join("sources.list"), line)?;
    succeed(apt("apt-get", &folder).args(["-qq", "update"]))?;
    let versions = output_of(apt("apt-cache", &folder).args(["madison", "rust-src"]))?;
    let Some(package) = package_version(&versions, version) else {
        bail!("{SUITE} has no rust-src {version}, only: {versions}");
    };
    let wanted = format!("rust-src={package}");
    succeed(
        apt("apt-get", &folder)
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

/// An apt that knows only the sources in `folder` and writes nowhere else.
fn apt(program: &str, folder: &Path) -> Command {
    let mut apt = Command::new(program);
    let folder = folder.display();
    for option in [
        format!("Dir::Etc::sourcelist={folder}/sources.list"),
        "Dir::Etc::sourceparts=-".into(),
        format!("Dir::State::lists={folder}/lists"),
        format!("Dir::Cache={folder}"),
        format!("Dir::Cache::archives={folder}/archives"),
        "APT::Sandbox::User=root".into(),
    ] {
        apt.args(["-o", &option]);
    }
    apt.stdin(Stdio::null());
    apt
}

/// The Debian version of an upstream version: ` rust-src | 1.95.0+dfsg1-2 | ...`.
fn package_version<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    madison.lines().find_map(|line| {
        let package = line.split('|').nth(1)?.trim();
        let rest = package.strip_prefix(version)?;
        rest.starts_with(['+', '-', '~']).then_some(package)
    })
}

/// Debian's mirror as this machine's apt knows it, and the keys to check it with.
fn mirror() -> Option<(String, String)> {
    let more = fs::read_dir("/etc/apt/sources.list.d");
    let mut files: Vec<PathBuf> = more
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    files.insert(0, "/etc/apt/sources.list".into());
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        match file.extension()?.to_str()? {
            "list" => text.lines().find_map(one_line),
            "sources" => text.split("\n\n").find_map(paragraph),
            _ => None,
        }
    })
}

/// `deb [signed-by=KEYS] URI SUITE main`
fn one_line(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let uri = rest.split_whitespace().find(|word| is_debian(word))?;
    let keys = options
        .split_whitespace()
        .find_map(|word| word.strip_prefix("signed-by="));
    Some((uri.into(), keys.unwrap_or(KEYS).into()))
}

/// Lines `Types: deb`, `URIs: URI...`, `Signed-By: KEYS`.
fn paragraph(text: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    if !field("Types")?.split_whitespace().any(|kind| kind == "deb")
        || field("Enabled") == Some("no")
    {
        return None;
    }
    let uri = field("URIs")?
        .split_whitespace()
        .find(|uri| is_debian(uri))?;
    // The keys may also stand there themselves, on lines of their own.
    let keys = field("Signed-By").filter(|keys| keys.starts_with('/'));
    Some((uri.into(), keys.unwrap_or(KEYS).into()))
}

/// Mirrors keep Debian itself in a folder of this name; others do not.
fn is_debian(uri: &str) -> bool {
    uri.contains("://") && uri.trim_end_matches('/').ends_with("/debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let found =
            one_line("deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian/ trixie main");
        assert_eq!(
            found,
            Some(("http://mirror.test/debian/".into(), "/k.gpg".into()))
        );
        assert_eq!(one_line("deb https://other.test/apt sdk main"), None);
        assert_eq!(
            one_line("# deb http://mirror.test/debian trixie main"),
            None
        );
        let text = "Types: deb\n# note\nURIs: http://mirror.test/debian\nSuites: bookworm\nSigned-By: /k.gpg";
        assert_eq!(
            paragraph(text),
            Some(("http://mirror.test/debian".into(), "/k.gpg".into()))
        );
        assert_eq!(
            paragraph(&text.replace("/debian", "/debian-security")),
            None
        );
        assert_eq!(
            paragraph(&text.replace("Types: deb", "Types: deb-src")),
            None
        );
    }

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
