// SPDX-License-Identifier: GPL-2.0

//! Blocks for fills on disk: where the file has none, the filesystem allocates a chunk of them, unwritten.

use crate::{
    device::Device,
    extent::{map::Found, Extent, Range, State},
    policy::Leases,
    trace,
};

/// How much is allocated for a fill at least, where the hole is that large, in bytes.
const CHUNK: u64 = 1 << 20;

impl Device {
    /// Lets the filesystem allocate blocks, unwritten, in the hole that a range begins in.
    pub(crate) fn allocate_chunk(&self, blocks: Range) {
        let _changing = self.changing.lock();
        let known = self
            .map
            .lookup(blocks.start, &kernel::sync::rcu::read_lock());
        let Found::Extent(hole) = known else { return };
        if hole.state != State::Hole {
            return;
        }
        let chunk = self.geometry.block_of(CHUNK).max(1);
        let start = (blocks.start - blocks.start % chunk).max(hole.start);
        let end = (start - start % chunk + chunk)
            .max(blocks.end)
            .min(hole.end());
        {
            let mut locked = self.locked.lock();
            let Leases::Held(_) = locked.leases else {
                return;
            };
            locked.claims.open();
        }
        // An error here is the filesystem's to tell: the write then goes through it.
        if let Ok(Some(extent)) = self.layout_of(Range::new(start, end), true) {
            if extent.state == State::Unwritten {
                self.turn_unwritten(&extent);
            }
        }
        self.locked.lock().claims.close();
    }

    /// Puts an unwritten extent where a hole was, but for what must not be mapped.
    fn turn_unwritten(&self, extent: &Extent) {
        let mut rest = extent.range();
        while !rest.is_empty() {
            let turned = self.change(|map, locked, spare| {
                let Leases::Held(_) = locked.leases else {
                    return Ok(None);
                };
                let Some(free) = locked.claims.allowed(rest) else {
                    return Ok(None);
                };
                map.put(&extent.part(free), &mut locked.writer, spare)?;
                Ok(Some(free))
            });
            let Some(free) = turned else { return };
            trace::extent_insert(self, &extent.part(free));
            rest.start = free.end;
        }
    }
}
