// SPDX-License-Identifier: GPL-2.0

//! Runs: writes through the filesystem that wait one behind the other and follow one another in the file go as
//! one. A filesystem's price is for each write more than for its bytes.
//!
//! # What must hold
//! - Each write keeps its own request: what is counted, traced and told of it is its own. Only what the
//!   filesystem is asked for is one.
//! - All of a run ends well, or it falls apart and each request is begun anew, by itself
//!   (`Request::go_on_with_run`): so an error, or a write that is cut short, is told to whom it belongs.
//! - They come from the front of what waits, so none overtakes another.
//! - Memory for it is not waited for: who waits may hold what others wait for.

use kernel::{bindings, prelude::*};

use crate::{
    bio::{flag, Bio, BioList, Op},
    device::Device,
    geometry::SECTOR_SHIFT,
    provider::Provider,
    request::{Request, RequestList},
};

/// The longest run, in bytes.
const LONGEST: u32 = 1 << 20;

/// What is written together with a request: those that follow it, in this order.
pub(crate) struct Run {
    following: RequestList,
    /// All data, the first request's included.
    segments: KVec<bindings::bio_vec>,
    bytes: u32,
}

impl Run {
    /// Gives a request those that follow it. What there is no memory for is put back.
    ///
    /// # Safety
    /// `first` is whole, and ours.
    pub(crate) unsafe fn new(
        first: *mut Request,
        device: &Device,
        mut bios: BioList,
        fills: bool,
    ) -> Option<Self> {
        if bios.is_empty() {
            return None;
        }
        let mut run = Self {
            following: RequestList::new(),
            segments: KVec::new(),
            bytes: 0,
        };
        // SAFETY: As the caller says.
        let mut fits = unsafe { (*first).bio() }.is_some_and(|bio| run.add(bio));
        while fits {
            let Some(raw) = bios.pop() else { break };
            // SAFETY: The list gave it to us.
            let bio = unsafe { Bio::from_raw(raw) };
            let request = device.pools.request_at_once();
            fits = !request.is_null() && run.add(&bio);
            if fits {
                // SAFETY: It is memory for a request, and ours.
                unsafe {
                    Request::write(request, device, bio, fills);
                    run.following.push(request);
                }
            } else {
                // SAFETY: It is null, or was not used.
                unsafe { device.pools.free(request) };
                bios.push_front(raw);
            }
        }
        device.workers.put_back(bios);
        (!run.following.is_empty()).then_some(run)
    }

    /// Adds a bio's data. False, and nothing is added, if there is no memory.
    fn add(&mut self, bio: &Bio) -> bool {
        let before = self.segments.len();
        let added = bio.add_segments_to(&mut self.segments);
        if added {
            self.bytes += bio.bytes();
        } else {
            self.segments.truncate(before);
        }
        added
    }

    /// How much it is, the first request included.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Its data, as [`Bio::segments`] gives that of one.
    pub(crate) fn segments(&self) -> (*const bindings::bio_vec, usize, usize) {
        (self.segments.as_ptr(), self.segments.len(), 0)
    }

    /// Takes the next one of those that follow.
    pub(crate) fn pop(&mut self) -> Option<*mut Request> {
        self.following.pop()
    }
}

impl Device {
    /// Takes the writes that follow one and wait behind it, if they may go together. With it they are so many
    /// sectors.
    pub(crate) fn take_following(&self, first: &Bio) -> (BioList, u32) {
        let mut sectors = first.sectors();
        if !self.may_join(first) {
            return (BioList::new(), sectors);
        }
        let mapped = self.provider().0 != Provider::Vfs as u32;
        let following = self.workers.take_while(|next| {
            let joins = next.sector() == first.sector() + u64::from(sectors)
                && next.ioprio() == first.ioprio()
                && self.may_join(next)
                && sectors + next.sectors() <= LONGEST >> SECTOR_SHIFT
                // The others have a faster way.
                && (!mapped || self.is_fill(next));
            if joins {
                sectors += next.sectors();
            }
            joins
        });
        (following, sectors)
    }

    /// Whether it is a write that can go with others: past the page cache, and no barrier.
    fn may_join(&self, bio: &Bio) -> bool {
        bio.op() == Op::Write
            && bio.bytes() > 0
            && !bio.has(flag::FUA | flag::PREFLUSH)
            && self.is_aligned(&self.part(bio))
            // These go to the disk, if they can.
            && !self.options.fill_layout
    }
}
