//! The programs that tests start, and the Debian packages that have them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::succeed;

/// A program, and the package that has it.
const NEEDED: [(&str, &str); 15] = [
    ("mkfs.ext4", "e2fsprogs"),
    ("filefrag", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("xfs_io", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("fio", "fio"),
    ("losetup", "mount"),
    ("fallocate", "util-linux"),
    ("mount", "mount"),
    ("modprobe", "kmod"),
    ("dpkg-deb", "dpkg"),
    ("mmdebstrap", "mmdebstrap"),
    ("arch-test", "arch-test"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Where administrators' programs lie that a user's PATH may not name.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Installs what is missing, or says what it is. Tests that miss something skip themselves, so
/// this does not fail.
pub(crate) fn ensure() {
    let missing = missing();
    if missing.is_empty() {
        return;
    }
    let list = missing.join(" ");
    if !is_root() || !has("apt-get") {
        eprintln!(
            "xtask: missing packages: {list}\nxtask: tests that need them will be skipped; as \
             root on Debian: apt-get install {list}"
        );
        return;
    }
    eprintln!("xtask: installing {list}");
    let installed = succeed(apt().args(["-qq", "update"]))
        .and_then(|()| succeed(apt().args(INSTALL).args(&missing)));
    if let Err(error) = installed {
        eprintln!("xtask: {error:#}; tests that need {list} will be skipped");
    }
}

const INSTALL: [&str; 4] = ["-qq", "-y", "--no-install-recommends", "install"];

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    // Its talk is no output of ours.
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    apt
}

/// The packages of the programs that are not there.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether a program can be found.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders =
        std::env::split_paths(&path).chain(MORE_FOLDERS.map(|folder| Path::new(folder).into()));
    folders.any(|folder| folder.join(program).is_file())
}

/// Whether this process may do everything, as far as its user number goes.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|stat| stat.uid() == 0)
}
