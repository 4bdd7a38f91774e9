// SPDX-License-Identifier: GPL-2.0

//! The slow way: through the filesystem, from a worker, as the kernel's own loop driver does it.
//!
//! A write claims its blocks first, so that nobody maps what the filesystem says of them meanwhile, and
//! takes them out of the map. It finds no block there that is on disk: such a write goes the fast way.
//! Writes that follow one another go together; see `run`.

use crate::{
    bio::{flag, Bio, BioList, Op},
    device::Device,
    extent::State,
    provider::Provider,
    request::Request,
    run::Run,
    trace::Part,
};

impl Device {
    /// Sends a bio through the filesystem. Gives it back if its blocks were mapped meanwhile.
    pub(crate) fn through_filesystem(&self, bio: Bio) -> Option<Bio> {
        let write = bio.op() == Op::Write;
        let mut claim = None;
        let mut following = BioList::new();
        if write {
            let sectors;
            (following, sectors) = self.take_following(&bio);
            let take_out = |sectors| {
                let blocks = self.geometry.blocks(bio.sector(), sectors);
                self.take_out(blocks, State::reads_zeros)
            };
            claim = take_out(sectors);
            if claim.is_none() && !following.is_empty() {
                // It must not depend on those that follow: they would be in the way again.
                self.workers
                    .put_back(core::mem::replace(&mut following, BioList::new()));
                claim = take_out(bio.sectors());
            }
            if claim.is_none() {
                return Some(bio);
            }
            self.check_plain();
        }
        let direct = self.is_aligned(&self.part(&bio));
        let fills = write && self.provider().0 != Provider::Vfs as u32;
        let request = self.workers.may_block(|| self.pools.request());
        // SAFETY: It is memory for a request, and ours.
        unsafe {
            Request::write(request, self, bio, fills);
            (*request).claim = claim;
            (*request).run = Run::new(request, self, following, fills);
            Request::begin(request, direct);
        }
        None
    }

    /// Whether it is a write that the filesystem makes durable at once.
    pub(crate) fn is_durable(&self, bio: &Bio) -> bool {
        self.part(bio).op == Op::Write && (bio.has(flag::FUA) || self.options.commit_each)
    }

    /// Does what the filesystem does only when no direct I/O is under way: see `hold_off`.
    pub(crate) fn alone<T>(&self, what: impl FnOnce() -> T) -> T {
        if self.provider().0 == Provider::Bmap as u32 {
            self.hold_off.during(what)
        } else {
            what()
        }
    }

    /// Whether a range of the file, in bytes, begins and ends between blocks.
    pub(crate) fn is_whole_blocks(&self, offset: u64, bytes: usize) -> bool {
        let block = self.geometry.block_bytes();
        offset % block == 0 && bytes as u64 % block == 0
    }

    /// Whether a part can be read and written without the page cache.
    pub(crate) fn is_aligned(&self, part: &Part) -> bool {
        let align = u64::from(self.backing.offset_align);
        self.backing.direct && part.offset % align == 0 && u64::from(part.bytes) % align == 0
    }
}
