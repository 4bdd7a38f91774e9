//! The filesystem gives up: nothing is written to its blocks any more, though they are mapped and the disk is well.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::scene::best_on;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    let kinds = [Kind::Xfs, Kind::Ext4];
    let mut tests = super::of_module_on_each("filesystem_shuts_down", &kinds, shuts_down);
    tests.extend(super::of_module_on_each(
        "filesystem_aborts",
        &[Kind::Ext4],
        aborts,
    ));
    tests
}

/// Somebody shuts it down, without letting it write its log.
fn shuts_down(guest: &mut Guest, kind: Kind) -> Result<()> {
    gives_up(guest, kind, "defaults", |below| {
        /// `_IOR('X', 125, u32)`, of xfs and ext4.
        const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
        let no_log_flush = 2u32;
        let root = File::open(below.path())?;
        // SAFETY: The command reads a number, which is there.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const no_log_flush) };
        ensure!(done == 0, "{}", std::io::Error::last_os_error());
        Ok(())
    })
}

/// It finds something broken, and from then on refuses writes without looking read-only.
fn aborts(guest: &mut Guest, kind: Kind) -> Result<()> {
    let disk = guest.scratch(0)?.file_name().context("no name")?.to_owned();
    gives_up(guest, kind, "errors=remount-ro", |_| {
        let errors = Path::new("/sys/fs/ext4")
            .join(disk)
            .join("trigger_fs_error");
        fs::write(errors, "for a test")?;
        Ok(())
    })
}

fn gives_up(
    guest: &mut Guest,
    kind: Kind,
    options: &str,
    how: impl FnOnce(&Filesystem) -> Result<()>,
) -> Result<()> {
    const BYTES: usize = 64 << 10;
    let disk = guest.scratch(0)?;
    let below = Filesystem::make_with(kind, disk, &[], options)?;
    let path = below.written_file("disk.img", 1 << 20)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider(best_on(kind))?;
    let device = direct::open(attached.device(), true)?;
    let mut buffer = Buffer::new(BYTES);
    buffer.bytes().fill(b'A');
    device.write_all_at(buffer.bytes(), 0)?;
    device.sync_all()?;
    let before = attached.counters()?;
    ensure!(
        before.of("fast_writes")? > 0,
        "nothing went straight to the disk"
    );

    how(&below).context("making it give up")?;
    attached.wait_for_reason("error")?;
    buffer.bytes().fill(b'B');
    let written = device.write_all_at(buffer.bytes(), 0);
    ensure!(written.is_err(), "a write succeeded after it gave up");
    ensure!(
        device.sync_all().is_err(),
        "a flush succeeded after it gave up"
    );
    let since = attached.counters()?.since(&before);
    ensure!(
        since.of("fast_writes")? == 0 && since.of("recalls")? > 0,
        "the mapping was not taken back"
    );
    drop(device);
    attached.detach()?;
    below.unmount()?;

    let again = Filesystem::mount_with(kind, disk, "defaults")?;
    let held = fs::read(again.path().join("disk.img"))?;
    ensure!(
        held[..BYTES].iter().all(|&byte| byte == b'A'),
        "the file does not hold what was durable before it gave up"
    );
    again.unmount()
}
