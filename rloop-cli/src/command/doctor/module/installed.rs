//! What bears on loading the module: the kernel, and the file that modprobe would take.

use std::fs;
use std::path::{Path, PathBuf};

use crate::capability;

/// Where modules are installed, a folder for each kernel.
const MODULES: &str = "/lib/modules";
/// What ends a module that is signed.
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// The kernel that runs.
pub(super) struct Machine {
    /// Its release, as `uname -r` has it.
    pub(super) release: String,
    /// It can load modules.
    pub(super) has_modules: bool,
    /// It could, and was told not to any more.
    pub(super) is_closed: bool,
    /// It is built with Rust; `None` if its symbols are not shown.
    pub(super) has_rust: Option<bool>,
    /// It takes signed modules only.
    pub(super) wants_signature: bool,
    /// What is installed for it.
    pub(super) installed: Option<Installed>,
    /// Another kernel that the module is installed for.
    pub(super) installed_for: Option<String>,
}

/// An installed module.
pub(super) struct Installed {
    /// Where.
    pub(super) path: PathBuf,
    /// The kernel that it says it is built for; `None` if it is compressed.
    pub(super) built_for: Option<String>,
    /// It has a signature, be it trusted or not. Also said of what is compressed.
    pub(super) is_signed: bool,
}

impl Machine {
    /// Looks at it.
    pub(super) fn look() -> Self {
        let word = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        let release = word("/proc/sys/kernel/osrelease").unwrap_or_default();
        let locked = capability::lockdown().is_some_and(|mode| mode != "none");
        let enforced = word("/sys/module/module/parameters/sig_enforce");
        Self {
            has_modules: Path::new("/proc/modules").exists(),
            is_closed: word("/proc/sys/kernel/modules_disabled").is_ok_and(|word| word == "1"),
            has_rust: has_rust(),
            wants_signature: locked || enforced.is_ok_and(|word| word == "Y"),
            installed: find(&Path::new(MODULES).join(&release)).map(Installed::read),
            installed_for: others(&release),
            release,
        }
    }
}

impl Installed {
    fn read(path: PathBuf) -> Self {
        let plain = path.extension().is_some_and(|end| end == "ko");
        let bytes = plain.then(|| fs::read(&path).ok()).flatten();
        Self {
            built_for: bytes.as_deref().and_then(built_for),
            is_signed: bytes.is_none_or(|bytes| bytes.ends_with(SIGNATURE)),
            path,
        }
    }
}

/// Whether the kernel has Rust's symbols, which begin in their own way.
fn has_rust() -> Option<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms").ok()?;
    let mut names = symbols.lines().filter_map(|line| line.split(' ').nth(2));
    let first = names.next()?;
    Some(first.starts_with("_RN") || names.any(|name| name.starts_with("_RN")))
}

/// The module's file in the list that depmod made of a folder.
fn find(folder: &Path) -> Option<PathBuf> {
    let list = fs::read_to_string(folder.join("modules.dep")).ok()?;
    let mut paths = list.lines().filter_map(|line| line.split(':').next());
    let is_ours = |path: &&str| {
        let name = Path::new(path).file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name == "rloop.ko" || name.starts_with("rloop.ko."))
    };
    paths.find(is_ours).map(|path| folder.join(path))
}

/// A kernel, other than the one that runs, for which the module is installed.
fn others(release: &str) -> Option<String> {
    let folders = fs::read_dir(MODULES).ok()?.flatten();
    let mut others = folders.filter(|folder| folder.file_name() != release);
    let found = others.find(|folder| find(&folder.path()).is_some())?;
    Some(found.file_name().to_string_lossy().into_owned())
}

/// The release in a module's `vermagic`, whose first word it is.
fn built_for(module: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\0vermagic=";
    let at = module.windows(KEY.len()).position(|window| window == KEY)?;
    let value = module[at + KEY.len()..]
        .split(|&byte| byte == b' ' || byte == 0)
        .next()?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_module_is_found_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = "kernel/drivers/block/loop.ko:\nupdates/rloop.ko: kernel/lib/x.ko\n";
        fs::write(folder.path().join("modules.dep"), list).expect("written");
        let path = find(folder.path()).expect("is in the list");
        assert!(path.ends_with("updates/rloop.ko"));

        fs::create_dir(folder.path().join("updates")).expect("made");
        let mut bytes = b"\x7fELF\0license=GPL\0vermagic=7.3.4 SMP preempt\0".to_vec();
        fs::write(&path, &bytes).expect("written");
        let installed = Installed::read(path.clone());
        assert_eq!(installed.built_for.as_deref(), Some("7.3.4"));
        assert!(!installed.is_signed);
        bytes.extend(SIGNATURE);
        fs::write(&path, &bytes).expect("written");
        assert!(Installed::read(path).is_signed);
    }

    #[test]
    fn what_is_compressed_is_not_judged() {
        let installed = Installed::read("/nonexistent/rloop.ko.zst".into());
        assert!(installed.built_for.is_none() && installed.is_signed);
    }
}
