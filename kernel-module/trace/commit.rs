// SPDX-License-Identifier: GPL-2.0

//! Commits, as they are traced.

use core::sync::atomic::Ordering;

use kernel::ffi::c_int;

use super::{fire, now, raw, How};
use crate::device::Device;

/// A commit, from when it begins until it ends.
pub(crate) struct Commit {
    number: u64,
    how: How,
    fills: u64,
    began_ns: u64,
}

impl Commit {
    pub(crate) fn begin(device: &Device, how: How, fills: u64) -> Self {
        let number = device.fills.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let began_ns = now();
        fire!(device, rloop_trace_commit_begin, fills, number, how as u32);
        Self {
            number,
            how,
            fills,
            began_ns,
        }
    }

    /// A range of the file that it makes durable, in bytes.
    pub(crate) fn range(&self, device: &Device, offset: u64, bytes: u64) {
        fire!(device, rloop_trace_commit_range, self.number, offset, bytes);
    }

    pub(crate) fn end(self, device: &Device, error: c_int) {
        fire!(
            device,
            rloop_trace_commit_end,
            self.fills,
            self.began_ns,
            error,
            self.number,
            self.how as u32
        );
    }
}
