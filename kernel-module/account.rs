// SPDX-License-Identifier: GPL-2.0

//! The kernel's statistics, which iostat shows.

use kernel::{bindings, ffi::c_ulong};

use crate::{
    bio::{Bio, Op},
    geometry::SECTOR_SHIFT,
};

/// The kernel's statistics of one bio.
pub(crate) struct Account {
    bdev: *mut bindings::block_device,
    op: Op,
    sectors: u32,
    /// `None` if they are off.
    started: Option<c_ulong>,
}

impl Account {
    pub(crate) fn start(bio: &Bio) -> Self {
        let started = bio.is_counted().then(|| {
            // SAFETY: The bio is ours and has a device.
            unsafe { bindings::bio_start_io_acct(bio.as_raw()) }
        });
        Self {
            bdev: bio.bdev(),
            op: bio.op(),
            sectors: bio.sectors(),
            started,
        }
    }

    /// How much the bio was for, in bytes.
    pub(crate) fn bytes(&self) -> u32 {
        self.sectors << SECTOR_SHIFT
    }

    pub(crate) fn end(&self) {
        if let Some(started) = self.started {
            // SAFETY: The device is there until its last bio has ended.
            unsafe {
                bindings::bdev_end_io_acct(self.bdev, self.op as u32, self.sectors, started);
            }
        }
    }
}
