//! Backing files and the loop devices on them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::janitor::Janitor;
use crate::output_of;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Loop devices, there until dropped.
pub(super) struct Devices {
    /// Their paths.
    pub(super) paths: Vec<String>,
    _janitor: Janitor,
}

impl Devices {
    /// One device on a file of `mib` MiB, written from its start to its end.
    pub(super) fn written(folder: &Path, mib: u64) -> Result<Self> {
        let janitor = Janitor::of(names(folder, 1))?;
        Self::on(janitor, |file| {
            let chunk = vec![0x5a; MIB as usize];
            (0..mib).try_for_each(|i| file.write_all_at(&chunk, i * MIB))
        })
    }

    /// `count` devices on files with that many extents each, every second of them a hole.
    pub(super) fn fragmented(folder: &Path, count: usize, extents: u64) -> Result<Self> {
        let janitor = Janitor::of(names(folder, count))?;
        Self::on(janitor, |file| {
            file.set_len(extents * PAGE)?;
            let page = [0x5a; PAGE as usize];
            (0..extents)
                .step_by(2)
                .try_for_each(|i| file.write_all_at(&page, i * PAGE))
        })
    }

    fn on(janitor: Janitor, fill: impl Fn(&File) -> std::io::Result<()>) -> Result<Self> {
        let mut paths = Vec::new();
        for path in janitor.files() {
            let file = File::create_new(path);
            file.and_then(|file| fill(&file).and_then(|()| file.sync_all()))
                .with_context(|| format!("could not make {}", path.display()))?;
            check_filesystem(path)?;
            let mut losetup = Command::new("losetup");
            losetup.args(["--find", "--show", "--direct-io=on"]);
            paths.push(output_of(losetup.arg(path))?);
        }
        Ok(Self {
            paths,
            _janitor: janitor,
        })
    }
}

fn names(folder: &Path, count: usize) -> Vec<PathBuf> {
    let own = std::process::id();
    (0..count)
        .map(|number| folder.join(format!("rloop-bench-{own}-{number}.img")))
        .collect()
}

fn check_filesystem(path: &Path) -> Result<()> {
    let mut stat = Command::new("stat");
    let name = output_of(stat.args(["--file-system", "--format=%T"]).arg(path))?;
    if name != "ext2/ext3" {
        bail!("{} is on {name}, not on ext4: use --folder", path.display());
    }
    Ok(())
}
