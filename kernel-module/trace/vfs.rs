// SPDX-License-Identifier: GPL-2.0

//! Requests through the filesystem, as they are traced.

use kernel::ffi::c_int;

use super::{fill_begin, fill_data, fire, raw, since, Begun, How, Part};
use crate::{bio::Bio, device::Device, fast::From};

/// What goes through the filesystem, from when a worker asks for it until it ends.
pub(crate) struct Vfs {
    part: Part,
    begun: Begun,
    fills: bool,
    /// The filesystem is asked to make it durable at once.
    durable: bool,
}

impl Vfs {
    pub(crate) fn submit(device: &Device, bio: &Bio) -> Self {
        let (part, begun) = (device.part(bio), Begun::now(bio, From::Worker));
        let Part { offset, bytes, op } = part;
        fire!(
            device,
            rloop_trace_vfs_submit,
            offset,
            bytes,
            op as u32,
            begun.wait_ns
        );
        Self {
            part,
            begun,
            fills: false,
            durable: device.is_durable(bio),
        }
    }

    pub(crate) fn done(&self, device: &Device, error: c_int, direct: bool) {
        let Part { offset, bytes, op } = self.part;
        fire!(
            device,
            rloop_trace_vfs_done,
            offset,
            bytes,
            op as u32,
            self.begun.wait_ns,
            self.begun.came_ns,
            error,
            direct.into(),
            self.fills.into(),
            self.durable.into()
        );
    }

    /// The same as a fill.
    pub(crate) fn fill_begin(&mut self, device: &Device) {
        self.fills = true;
        fill_begin(device, self.part, How::by_vfs(self.durable));
    }

    /// The same as a fill.
    pub(crate) fn fill_data(&self, device: &Device, error: c_int) {
        let how = How::by_vfs(self.durable);
        fill_data(device, self.part, how, since(self.begun.came_ns), error);
    }

    /// Whether it fills blocks of a file that is mapped.
    pub(crate) fn fills(&self) -> bool {
        self.fills
    }
}
