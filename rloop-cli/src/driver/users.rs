//! Who has a device open, as far as this process can see.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::device::DeviceNumber;
use crate::device::mounts::Mounts;

/// Somebody who has a device, or a partition of it, open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A filesystem that is mounted.
    Mount(PathBuf),
    /// Swap space.
    Swap,
    /// A block device on top of it: of the device mapper, of md, a loop device.
    Device(String),
    /// A process.
    Process {
        /// Its number.
        pid: u32,
        /// Its name.
        command: String,
    },
}

impl User {
    /// Will not go by itself, as somebody who only looks at a new disk does.
    pub fn stays(&self) -> bool {
        !matches!(self, Self::Process { .. })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(target) => {
                write!(f, "mounted on {0} (`sudo umount {0}`)", target.display())
            }
            Self::Swap => write!(f, "used as swap (`sudo swapoff` it)"),
            Self::Device(name) => write!(f, "below /dev/{name}"),
            Self::Process { pid, command } => write!(f, "open by {command} (pid {pid})"),
        }
    }
}

/// Who has a device open, given its name without `/dev/`.
pub fn of(name: &str) -> Vec<User> {
    let mut users = mounts(name);
    users.extend(swaps(name));
    users.extend(devices(name));
    users.extend(processes(name));
    users
}

/// The path is that of the device or of a partition of it.
fn is_node(path: &[u8], name: &str) -> bool {
    let Some(rest) = path.strip_prefix(b"/dev/".as_slice()) else {
        return false;
    };
    match rest.strip_prefix(name.as_bytes()) {
        Some([]) => true,
        Some([b'p', digits @ ..]) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn mounts(name: &str) -> Vec<User> {
    let folder = Path::new("/sys/block").join(name);
    let number = |folder: &Path| {
        let text = fs::read_to_string(folder.join("dev")).ok()?;
        DeviceNumber::parse(&text)
    };
    let mut numbers: Vec<DeviceNumber> = number(&folder).into_iter().collect();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let is_partition = entry.file_name().as_bytes().starts_with(name.as_bytes());
        numbers.extend(is_partition.then(|| number(&entry.path())).flatten());
    }
    let mounts = Mounts::read().unwrap_or_default();
    let on_it = mounts.iter().filter(|mount| {
        numbers.contains(&mount.dev) || is_node(mount.source.as_os_str().as_bytes(), name)
    });
    on_it
        .map(|mount| User::Mount(mount.target.clone()))
        .collect()
}

fn swaps(name: &str) -> Option<User> {
    let swaps = fs::read("/proc/swaps").unwrap_or_default();
    let mut paths = swaps
        .split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b' ').next().unwrap_or_default());
    paths.any(|path| is_node(path, name)).then_some(User::Swap)
}

fn devices(name: &str) -> Vec<User> {
    let mut above = Vec::new();
    let holders = Path::new("/sys/block").join(name).join("holders");
    for entry in fs::read_dir(holders).into_iter().flatten().flatten() {
        above.push(User::Device(
            entry.file_name().to_string_lossy().into_owned(),
        ));
    }
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read(entry.path().join("loop/backing_file"));
        if is_node(backing.unwrap_or_default().trim_ascii_end(), name) {
            above.push(User::Device(
                entry.file_name().to_string_lossy().into_owned(),
            ));
        }
    }
    above
}

fn processes(name: &str) -> Vec<User> {
    let number = |file_name: &OsStr| file_name.to_str()?.parse::<u32>().ok();
    let mut users = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = number(&entry.file_name()) else {
            continue;
        };
        // Links are read and not followed: what is behind one may hang.
        let mut open = fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let has = open.any(|descriptor| {
            let target = fs::read_link(descriptor.path());
            target.is_ok_and(|target| is_node(target.as_os_str().as_bytes(), name))
        });
        if has {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let command = command.trim_end().to_owned();
            users.push(User::Process { pid, command });
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_the_device_s_and_other_devices_are_not() {
        for path in ["/dev/rloop1", "/dev/rloop1p2", "/dev/rloop1p12"] {
            assert!(is_node(path.as_bytes(), "rloop1"), "{path}");
        }
        for path in [
            "/dev/rloop10",
            "/dev/rloop1p",
            "/dev/rloop1px",
            "rloop1",
            "/mnt/rloop1",
        ] {
            assert!(!is_node(path.as_bytes(), "rloop1"), "{path}");
        }
    }

    #[test]
    fn this_process_is_found_by_what_it_has_open() {
        // Any device that can be opened will do; this one is a character device.
        let _open = fs::File::open("/dev/null").expect("opened");
        let me = std::process::id();
        let found = of("null");
        let is_me = |user: &User| matches!(user, User::Process { pid, .. } if *pid == me);
        assert!(found.iter().any(is_me), "{found:?}");
        assert!(!found.iter().any(User::stays), "{found:?}");
    }
}
