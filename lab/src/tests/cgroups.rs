//! Who writes to a device pays for it, whichever thread of the kernel's does the work.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let kinds = [Kind::Xfs, Kind::Ext4];
    super::of_module_on_each("writer_pays", &kinds, writer_pays)
}

const MIB: u64 = 1 << 20;

/// What a cgroup's processes write to a device, into holes and over it, counts for that cgroup on the disk below.
fn writer_pays(guest: &mut Guest, kind: Kind) -> Result<()> {
    const BYTES: u64 = 4 * MIB;
    let disk = guest.scratch(0)?;
    let below = Filesystem::make(kind, disk)?;
    let path = below.sparse_file("disk.img", BYTES)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider(if kind == Kind::Xfs { "layout" } else { "bmap" })?;
    let cgroup = Cgroup::new("writer_pays")?;
    for what in ["into holes", "over it"] {
        let before = cgroup.written(disk)?;
        cgroup.write(attached.device(), BYTES)?;
        let paid = cgroup.written(disk)? - before;
        ensure!(
            (BYTES..=BYTES + MIB).contains(&paid),
            "{paid} of {BYTES} bytes that were written {what} were paid for"
        );
    }
    ensure!(
        attached.counters()?.of("vfs_write_bytes")? == BYTES,
        "not just what went into holes went through the filesystem"
    );
    drop(cgroup);
    attached.detach()?;
    below.unmount_and_check()
}

/// A cgroup of its own. Dropping it removes it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Result<Self> {
        const ROOT: &str = "/sys/fs/cgroup";
        let root = Path::new(ROOT);
        fs::write(root.join("cgroup.subtree_control"), "+io").context("no I/O controller")?;
        let cgroup = Self(root.join(name));
        fs::create_dir(&cgroup.0).with_context(|| cgroup.0.display().to_string())?;
        Ok(cgroup)
    }

    /// Writes a device from its beginning, past the page cache, as a process of this cgroup.
    fn write(&self, device: &Path, bytes: u64) -> Result<()> {
        let procs = self.0.join("cgroup.procs");
        let script = format!(
            "echo $$ > {} && exec dd if=/dev/zero of={} bs=64k count={} oflag=direct status=none",
            procs.display(),
            device.display(),
            bytes >> 16,
        );
        run!["sh", "-c", script].map(drop)
    }

    /// What its processes have written to a disk, in bytes.
    fn written(&self, disk: &Path) -> Result<u64> {
        let number = fs::metadata(disk)?.rdev();
        let number = format!("{}:{} ", libc::major(number), libc::minor(number));
        let stat = fs::read_to_string(self.0.join("io.stat"))?;
        let mut lines = stat.lines();
        let Some(line) = lines.find_map(|line| line.strip_prefix(&number)) else {
            return Ok(0);
        };
        let mut words = line.split(' ');
        let bytes = words.find_map(|word| word.strip_prefix("wbytes="));
        Ok(bytes.context("no wbytes in io.stat")?.parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Only a process that is still in it keeps it from that, and the guest ends anyway.
        let _ = fs::remove_dir(&self.0);
    }
}
