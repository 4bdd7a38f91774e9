//! A power cut after a file's blocks became others, as `e4defrag` does it: what was flushed since is in the file.
//!
//! ext4 does not note that a sync of the file has to make the exchange durable. Without that, the device's data would be
//! in blocks that are the other file's after the cut.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::power_cut::PowerCut;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

const BYTES: usize = 4 << 20;
const BLOCK: usize = 4096;
/// It commits nothing by itself in the time that this takes.
const OPTIONS: &str = "commit=300";

pub(super) fn tests() -> Vec<Test> {
    super::of_module_on_each("durable_after_exchange", &[Kind::Ext4], one_log)
}

fn one_log(guest: &mut Guest, kind: Kind) -> Result<()> {
    let mut cut = PowerCut::new(guest, kind)?;
    let mkfs = ["-b", &BLOCK.to_string()];
    let below = Filesystem::make_with(kind, cut.log()?.device(), &mkfs, OPTIONS)?;
    let path = below.written_file("disk.img", BYTES as u64)?;
    let donor = below.sparse_file("donor", BYTES as u64)?;
    direct::allocate(
        &File::options().write(true).open(&donor)?,
        0,
        0,
        BYTES as u64,
    )?;
    run!["sync", "--file-system", below.path()]?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider("bmap")?;
    exchange(&path, &donor)?;
    attached.wait_for_provider("bmap")?;
    let device = direct::open(attached.device(), true)?;
    let mut data = Buffer::new(BYTES);
    for (number, byte) in data.bytes().iter_mut().enumerate() {
        *byte = (number / 512 + 1) as u8;
    }
    device.write_all_at(data.bytes(), 0)?;
    device.sync_all()?;
    cut.log()?.mark(0)?;
    let fast = attached.counters()?.of("fast_write_bytes")?;
    ensure!(
        fast == BYTES as u64,
        "{fast} bytes were written the fast way"
    );
    drop(device);
    attached.detach()?;
    below.unmount()?;
    let mut cuts = cut.play()?;
    let moment = cuts.position_of(0)?;
    let held = cuts.contents_after(moment, "disk.img")?;
    ensure!(
        held == data.bytes(),
        "what was flushed is not in the file after a power cut"
    );
    Ok(())
}

/// Gives a file the blocks of another one, with what the file holds.
fn exchange(path: &Path, donor: &Path) -> Result<()> {
    /// As `struct move_extent` of ext4.
    #[repr(C)]
    struct MoveExtent {
        reserved: u32,
        donor: u32,
        start: u64,
        donor_start: u64,
        blocks: u64,
        moved: u64,
    }
    /// `_IOWR('f', 15, struct move_extent)`.
    const EXT4_IOC_MOVE_EXT: libc::Ioctl = 0xc028_660f;
    const BLOCKS: u64 = (BYTES / BLOCK) as u64;
    let open = |path: &Path| File::options().read(true).write(true).open(path);
    let (file, donor) = (open(path)?, open(donor)?);
    let mut range = MoveExtent {
        reserved: 0,
        donor: donor.as_raw_fd().try_into()?,
        start: 0,
        donor_start: 0,
        blocks: BLOCKS,
        moved: 0,
    };
    // SAFETY: It reads and writes the structure, and the files are open.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), EXT4_IOC_MOVE_EXT, &raw mut range) };
    if done < 0 {
        return Err(io::Error::last_os_error()).context("ext4 does not exchange the blocks");
    }
    ensure!(
        range.moved == BLOCKS,
        "{} blocks were exchanged",
        range.moved
    );
    Ok(())
}
