//! What the filesystem below keeps to itself about a file's holes and about commits.

use std::{fs::File, path::Path};

use rustix::fs::{IFlags, ioctl_getflags};

use super::{DeviceNumber, below, mounts::Mount};
use crate::sample::{Kind, Unavailable};

/// What cannot be told of a device of this kind on the file, however good the probes are. It holds as long as the file
/// is mounted and not empty.
pub fn gaps(mount: Option<&Mount>, file: Option<&File>, kind: Kind) -> Vec<Unavailable> {
    let unknown = |what: &str, fs: &str| {
        let fs = match fs {
            "" => "one that is not known: it is mounted elsewhere",
            fs => fs,
        };
        unavailable(
            what,
            format!("the probes know the events of ext4, xfs and btrfs, not of {fs}"),
        )
    };
    let gaps = match mount.map_or("", |mount| &mount.fs) {
        "ext4" | "ext3" | "ext2" => [
            mount.and_then(Mount::block_device).and_then(no_journal),
            None,
        ],
        "btrfs" => [file.and_then(copies_on_write), None],
        "xfs" => [None, None],
        fs => [
            unknown("holes and commits", fs),
            // rloop's module knows which way it went.
            match kind {
                Kind::Loop => unknown("bytes by direct I/O, and through the page cache", fs),
                Kind::Rloop => None,
            },
        ],
    };
    gaps.into_iter().flatten().collect()
}

fn unavailable(what: &str, why: String) -> Option<Unavailable> {
    Some(Unavailable {
        what: what.to_owned(),
        why,
    })
}

fn no_journal(disk: DeviceNumber) -> Option<Unavailable> {
    let name = below::name(disk).ok()?;
    let task = std::fs::read_to_string(Path::new("/sys/fs/ext4").join(&name).join("journal_task"));
    if task.ok()?.trim() != "<none>" {
        return None;
    }
    unavailable(
        "commits",
        format!("the ext4 on {name} has no journal; tune2fs -O has_journal gives it one"),
    )
}

/// A file whose data btrfs never overwrites gets new blocks with each write.
fn copies_on_write(file: &File) -> Option<Unavailable> {
    if ioctl_getflags(file).ok()?.contains(IFlags::NOCOW) {
        return None;
    }
    unavailable(
        "fills apart from overwrites",
        "btrfs allocates for each write of a file that is copied on write; chattr +C on an empty copy ends that".to_owned(),
    )
}
