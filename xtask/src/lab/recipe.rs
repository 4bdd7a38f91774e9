//! What a lab folder is made from. Another recipe or another kernel makes another folder.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Debian's release, and where its newer kernels come from.
pub(super) const RELEASE: &str = "trixie";
pub(super) const BACKPORTS: &str = "trixie-backports";

/// The packages of one kernel; all have the same version.
pub(super) const KERNEL_PACKAGES: [&str; 3] = [
    "linux-image-cloud-amd64",
    "linux-headers-cloud-amd64",
    "linux-source",
];

/// What builds the module: Debian builds this kernel with the same.
const BUILD_PACKAGES: &[&str] = &[
    "bc",
    "bindgen",
    "bison",
    "clang",
    "cpio",
    "flex",
    "gcc-14",
    "libdw-dev",
    "libelf-dev",
    "libssl-dev",
    "make",
    "openssl",
    "pahole",
    "patch",
    "python3-minimal",
    "rsync",
    "rust-clippy",
    "rust-src",
    "rustc",
    "rustfmt",
    "xz-utils",
];

/// What the guest runs, and what runs the guest.
const GUEST_PACKAGES: &[&str] = &[
    "acl",
    "attr",
    "btrfs-progs",
    "dmsetup",
    "e2fsprogs",
    "fio",
    "kmod",
    "mount",
    "procps",
    "qemu-system-x86",
    "quota",
    "strace",
    "util-linux",
    "xfsprogs",
];

/// Raised when the making changes in a way that the lists above do not show.
const EDITION: u32 = 1;

/// Every package but the kernel's.
pub(super) fn packages() -> impl Iterator<Item = &'static str> {
    BUILD_PACKAGES.iter().chain(GUEST_PACKAGES).copied()
}

/// The name of the folder for this version of the kernel's packages.
pub(super) fn key(kernel_version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    EDITION.hash(&mut hasher);
    packages().for_each(|package| package.hash(&mut hasher));
    let plain = kernel_version.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{plain}-{:08x}", hasher.finish() as u32)
}
