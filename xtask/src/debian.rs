//! Debian's packages, without touching the machine's own apt: nothing but the address of its mirror
//! is taken from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::succeed;

/// Debian's key ring, for machines whose sources name none.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's mirror as this machine's apt knows it, and the keys to check it with.
pub(crate) struct Mirror {
    uri: String,
    keys: String,
}

impl Mirror {
    /// The mirror that this machine's apt uses.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let (uri, keys) = find().context("this machine's apt knows no mirror of Debian")?;
        Ok(Self { uri, keys })
    }

    /// The line for a file of sources.
    pub(crate) fn line(&self, suite: &str) -> String {
        format!("deb [signed-by={}] {} {suite} main\n", self.keys, self.uri)
    }
}

/// An apt that knows one suite and writes to one folder only.
pub(crate) struct PrivateApt {
    folder: PathBuf,
}

impl PrivateApt {
    /// Sets it up in `folder` and gets the list of packages.
    pub(crate) fn new(folder: &Path, suite: &str) -> Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("archives/partial"))?;
        let line = Mirror::of_this_machine()?.line(suite);
        fs::write(folder.join("sources.list"), line)?;
        let folder = folder.to_owned();
        let apt = Self { folder };
        succeed(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    /// One of apt's programs, for it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let folder = self.folder.display();
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
}

/// The address and the keys, from whichever file has them.
fn find() -> Option<(String, String)> {
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
}
