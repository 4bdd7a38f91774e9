//! The mounts of this process's namespace, from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::DeviceNumber;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for it, as `statx` gives it.
    pub id: u64,
    /// Device number of the filesystem (`s_dev`), which is what the probes see. On btrfs it is
    /// not the `st_dev` of the files.
    pub dev: DeviceNumber,
    /// Where it is mounted.
    pub target: PathBuf,
    /// Filesystem type, such as `ext4`.
    pub fs: String,
    /// What is mounted: for a disk filesystem the path of its device.
    pub source: PathBuf,
}

/// All mounts, read at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads them now.
    pub fn read() -> io::Result<Self> {
        let text = std::fs::read("/proc/self/mountinfo")?;
        Ok(Self(
            text.split(|&b| b == b'\n').filter_map(parse).collect(),
        ))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount with this number.
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// The first mount of a filesystem of this type.
    pub fn by_fs(&self, fs: &str) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.fs == fs)
    }

    /// A mount of the filesystem that files with this `st_dev` are on.
    pub fn by_st_dev(&self, dev: DeviceNumber) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.dev == dev).or_else(|| {
            // Each btrfs subvolume has an st_dev of its own, so mounted subvolumes can be asked.
            // Only btrfs: stat on a dead network mount would hang.
            let is_here = |mount: &&Mount| {
                let stat = std::fs::metadata(&mount.target);
                stat.is_ok_and(|stat| DeviceNumber::from_stat(stat.dev()) == dev)
            };
            self.0
                .iter()
                .filter(|mount| mount.fs == "btrfs")
                .find(is_here)
        })
    }
}

impl Mount {
    /// The block device that the filesystem lies on, if it lies on one (btrfs: on the first).
    pub fn block_device(&self) -> Option<DeviceNumber> {
        if self.dev.major != 0 {
            return Some(self.dev);
        }
        let stat = std::fs::metadata(&self.source).ok()?;
        stat.file_type()
            .is_block_device()
            .then(|| DeviceNumber::from_stat(stat.rdev()))
    }
}

/// One line: `36 35 98:0 /root /mnt opts [tags...] - ext4 /dev/x opts`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let dev = DeviceNumber::parse(std::str::from_utf8(fields.nth(1)?).ok()?)?;
    let target = unescape(fields.nth(1)?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mount {
        id,
        dev,
        target,
        fs,
        source: unescape(fields.next()?),
    })
}

/// Undoes the kernel's `\040` for blanks, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| byte == b'\\' && digits[0] <= b'3');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_tags_and_escapes_is_read() {
        let line =
            br"61 29 0:43 /sub /mnt/a\040b rw,relatime shared:7 master:1 - btrfs /dev/loop3 rw";
        let mount = Mount {
            id: 61,
            dev: DeviceNumber {
                major: 0,
                minor: 43,
            },
            target: "/mnt/a b".into(),
            fs: "btrfs".into(),
            source: "/dev/loop3".into(),
        };
        assert_eq!(parse(line), Some(mount));
        assert_eq!(parse(b""), None);
        assert_eq!(unescape(br"a\134\9"), PathBuf::from(r"a\\9"));
    }

    #[test]
    fn the_root_is_mounted() {
        let mounts = Mounts::read().expect("mountinfo");
        assert!(
            mounts
                .0
                .iter()
                .any(|mount| mount.target == std::path::Path::new("/"))
        );
    }
}
