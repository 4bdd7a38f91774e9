//! Why the module refuses to attach a file, as far as can be told from outside: it answers with a
//! number alone.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::device::DeviceNumber;
use crate::device::backing::dio_align_bytes;
use crate::driver::{Attach, DriverError};

/// The smallest and the largest logical block, bytes.
const BLOCKS: std::ops::RangeInclusive<u32> = 512..=4096;

/// What the module was asked, and what bears on it.
pub(super) struct Asked {
    file: String,
    is_plain: bool,
    /// Bytes.
    len: u64,
    /// Bytes; 512 where the filesystem is on no disk.
    disk_block: u32,
    /// What the device's block is or would be, bytes.
    block: u32,
    how: Attach,
}

impl Asked {
    /// Looks at the file.
    pub(super) fn of(path: &Path, file: &File, how: Attach) -> Self {
        let stat = file.metadata().ok();
        let dev = stat
            .as_ref()
            .map(|stat| DeviceNumber::from_stat(stat.dev()));
        let disk_block = dev.and_then(logical_block_bytes).unwrap_or(*BLOCKS.start());
        let best = disk_block.max(dio_align_bytes(file).unwrap_or(0));
        Self {
            file: path.display().to_string(),
            is_plain: stat.as_ref().is_some_and(fs::Metadata::is_file),
            len: stat.map_or(0, |stat| stat.len()),
            disk_block,
            block: match how.block_bytes {
                0 => best.clamp(*BLOCKS.start(), *BLOCKS.end()),
                asked => asked,
            },
            how,
        }
    }

    /// The refusal in words: what is wrong, and what to do.
    pub(super) fn explain(&self, error: DriverError) -> String {
        let file = &self.file;
        match error.errno() {
            Some(libc::EINVAL) => self.explain_invalid(),
            Some(libc::ENOSPC) => self.explain_short(),
            Some(libc::EACCES) => format!(
                "the module opens the file for reading and writing with your rights, and you have \
                 not both: `chmod u+rw {file}`, or --read-only"
            ),
            Some(libc::EROFS) => {
                "its filesystem is read-only: mount it read-write, or --read-only".into()
            }
            Some(libc::EPERM) => format!(
                "nobody may write the file, it is immutable: `sudo chattr -i {file}`, or --read-only"
            ),
            Some(libc::ETXTBSY) => {
                "the file is a program that runs, or swap space: end that, or --read-only".into()
            }
            _ => error.to_string(),
        }
    }

    fn explain_invalid(&self) -> String {
        let Self {
            disk_block,
            block,
            how,
            ..
        } = self;
        if !self.is_plain {
            return "not a plain file, and only such can be attached".into();
        }
        if block < disk_block {
            return format!(
                "--block-size {block} is less than the {disk_block} bytes of the disk's own \
                 blocks: take {disk_block}, or leave the choice to the module"
            );
        }
        let rest = how.offset_bytes % u64::from(*block);
        if rest != 0 {
            let below = how.offset_bytes - rest;
            return format!(
                "--offset {} is not a multiple of the device's blocks of {block} bytes, as {below} \
                 and {} are",
                how.offset_bytes,
                below + u64::from(*block),
            );
        }
        "the module refuses one of the values, and which cannot be told from here".into()
    }

    fn explain_short(&self) -> String {
        let Self {
            len, block, how, ..
        } = self;
        if how.sizelimit_bytes != 0 && how.sizelimit_bytes < u64::from(*block) {
            return format!(
                "--sizelimit {} leaves less than one block of {block} bytes",
                how.sizelimit_bytes
            );
        }
        let what = match how.offset_bytes {
            0 => format!("the file is {len} bytes long"),
            offset => format!("the file is {len} bytes long and --offset is {offset}"),
        };
        format!(
            "{what}, which leaves less than one block of {block} bytes: `truncate -s SIZE {}` makes \
             it longer",
            self.file
        )
    }
}

/// Of the disk that a filesystem is on, or of the disk that its partition is on.
fn logical_block_bytes(dev: DeviceNumber) -> Option<u32> {
    let folder = fs::canonicalize(format!("/sys/dev/block/{dev}")).ok()?;
    let queues = [folder.join("queue"), folder.parent()?.join("queue")];
    let text = queues
        .iter()
        .find_map(|queue| fs::read_to_string(queue.join("logical_block_size")).ok())?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn asked(len: u64, how: Attach) -> Asked {
        Asked {
            file: "a.img".into(),
            is_plain: true,
            len,
            disk_block: 512,
            block: if how.block_bytes == 0 {
                4096
            } else {
                how.block_bytes
            },
            how,
        }
    }

    fn explain(asked: &Asked, errno: i32) -> String {
        asked.explain(DriverError::Refused(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let how = Attach {
            offset_bytes: 5000,
            ..Attach::default()
        };
        let text = explain(&asked(1 << 20, how), libc::EINVAL);
        assert!(
            text.contains("--offset 5000") && text.contains("4096 and 8192 are"),
            "{text}"
        );

        let how = Attach {
            block_bytes: 512,
            ..Attach::default()
        };
        let on_4k = Asked {
            disk_block: 4096,
            ..asked(1 << 20, how)
        };
        let text = explain(&on_4k, libc::EINVAL);
        assert!(
            text.contains("--block-size 512") && text.contains("4096"),
            "{text}"
        );

        let pipe = Asked {
            is_plain: false,
            ..asked(0, Attach::default())
        };
        assert!(explain(&pipe, libc::EINVAL).contains("plain file"));
        let fine = asked(1 << 20, Attach::default());
        assert!(explain(&fine, libc::EINVAL).contains("cannot be told"));
    }

    #[test]
    fn a_file_that_is_too_short_is_told_from_a_limit_that_is() {
        let text = explain(&asked(4095, Attach::default()), libc::ENOSPC);
        assert!(
            text.contains("4095 bytes long") && text.contains("truncate"),
            "{text}"
        );
        let how = Attach {
            sizelimit_bytes: 100,
            ..Attach::default()
        };
        let text = explain(&asked(1 << 20, how), libc::ENOSPC);
        assert!(
            text.contains("--sizelimit 100") && !text.contains("truncate"),
            "{text}"
        );
    }

    #[test]
    fn rights_are_told_from_a_read_only_filesystem() {
        let asked = asked(1 << 20, Attach::default());
        assert!(explain(&asked, libc::EACCES).contains("chmod"));
        assert!(explain(&asked, libc::EROFS).contains("mount"));
        assert!(explain(&asked, libc::EPERM).contains("chattr"));
        let other = explain(&asked, libc::ENOMEM);
        assert!(other.contains("memory"), "{other}");
    }

    #[test]
    fn a_file_s_disk_tells_its_blocks() {
        let file = tempfile::tempfile().expect("a file");
        let asked = Asked::of(Path::new("x"), &file, Attach::default());
        assert!(
            asked.is_plain && BLOCKS.contains(&asked.block),
            "{}",
            asked.block
        );
    }
}
