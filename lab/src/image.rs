//! Files to attach: with holes, with blocks that are allocated and not written, and with stamps.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::direct::{self, SECTOR};
use crate::filesystem::Filesystem;
use crate::random::Random;
use crate::stamps::Stamps;

/// Makes a file of all three, in pieces up to 64 KiB, and as long as the stamps say. Some pieces do not end where
/// a block ends.
pub(crate) fn of_all_kinds(below: &Filesystem, stamps: &Stamps, seed: u64) -> Result<PathBuf> {
    const LONGEST: u64 = 128;
    let path = below.sparse_file("disk.img", stamps.sectors() * SECTOR as u64)?;
    let file = File::options().write(true).open(&path)?;
    let mut random = Random::new(seed, 1);
    let mut first = 0;
    while first < stamps.sectors() {
        let count = (1 + random.below(LONGEST)).min(stamps.sectors() - first);
        match random.below(3) {
            0 => {}
            1 => {
                let (offset, bytes) = (first * SECTOR as u64, count * SECTOR as u64);
                direct::allocate(&file, libc::FALLOC_FL_KEEP_SIZE, offset, bytes)?;
            }
            _ => write(&file, stamps, first, count)?,
        }
        first += count;
    }
    file.sync_all()?;
    Ok(path)
}

fn write(file: &File, stamps: &Stamps, first: u64, count: u64) -> Result<()> {
    let mut bytes = vec![0; count as usize * SECTOR];
    let begun = stamps.begin_write(first, &mut bytes);
    file.write_all_at(&bytes, first * SECTOR as u64)?;
    stamps.end_write(begun, true);
    Ok(())
}

/// Fills a disk with a pattern that no stamp has and no filesystem writes.
pub(crate) fn fill_with_pattern(disk: &Path, bytes: u64) -> Result<()> {
    crate::command::run![
        "xfs_io",
        "-d",
        "-c",
        format!("pwrite -q -b 1M -S 0xa5 0 {bytes}"),
        disk
    ]?;
    Ok(())
}
