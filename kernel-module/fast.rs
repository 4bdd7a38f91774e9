// SPDX-License-Identifier: GPL-2.0

//! The fast way: look the extent up, clone the bio, point it at the disk, submit.
//!
//! # The rule
//! No filesystem code runs here, neither on the way down nor in a completion: the submitter may hold a
//! transaction of the filesystem above, and has little stack left. Whatever the map does not answer goes
//! to a worker.
//!
//! # What a fast I/O holds, from before the lookup to its completion
//! - the extent map ([`MapUse`]): nobody frees or reuses the blocks meanwhile;
//! - for a write, the filesystem's permit to write: it is not frozen meanwhile.

use kernel::{bindings, sync::rcu};

use crate::{
    account::Account,
    bio::{flag, Bio, Op},
    device::Device,
    extent::{map::Found, Extent, State},
    in_flight::Held,
    pool::Clone,
    provider::Why,
    shim,
    stats::Counter,
    sync::MapUse,
    trace::{self, Begun, Fallback, Part},
};

/// Who brings a bio.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The block layer, in the submitter's context.
    Submitter,
    /// A worker of ours, which may wait.
    Worker,
    /// The same, after others have made the device dirty again and again.
    Persistent,
}

/// What became of a bio.
pub(crate) enum Routed {
    /// It was sent to the disk, and holds what it needs until it completes.
    Sent,
    /// It was answered, refused, or sent on.
    Gone,
    /// The map has no answer; the reason, and what the map has instead.
    Missed(Bio, Fallback, Option<State>),
}

/// The block layer's way in.
///
/// # Safety
/// `bio` is for a disk of ours, and given to us.
#[export_name = "rloop_submit_bio"]
pub(crate) unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
    // SAFETY: The caller gives it to us.
    let bio = unsafe { Bio::from_raw(bio) };
    // SAFETY: The disk's private data is its device, which lives as long as the disk.
    let device = unsafe { &*(*bio.disk()).private_data.cast::<Device>() };
    match device.route(bio, From::Submitter) {
        Routed::Sent | Routed::Gone => {}
        Routed::Missed(bio, reason, _) => {
            trace::map_miss(device, device.part(&bio));
            device.punt(bio, reason);
        }
    }
}

impl Device {
    /// A bio's part of the file.
    pub(crate) fn part(&self, bio: &Bio) -> Part {
        Part {
            offset: self.geometry.offset(bio.sector()),
            bytes: bio.bytes(),
            op: match bio.op() {
                Op::Write if bio.bytes() == 0 => Op::Flush,
                op => op,
            },
        }
    }

    /// Sends a bio the fast way, if there is one.
    pub(crate) fn route(&self, bio: Bio, from: From) -> Routed {
        match bio.op() {
            Op::Read => self.transfer(bio, from),
            Op::Other | Op::Flush => {
                bio.end(shim::sts_notsupp());
                Routed::Gone
            }
            Op::Write if bio.bytes() == 0 && self.options.read_only => {
                // There is nothing to make durable.
                bio.end(bindings::BLK_STS_OK);
                Routed::Gone
            }
            _ if self.options.read_only => {
                bio.end(shim::sts_ioerr());
                Routed::Gone
            }
            // What was filled has to be durable before a later barrier is.
            Op::Write
                if from == From::Submitter
                    && bio.has(flag::FUA | flag::PREFLUSH)
                    && !self.can_forward_flushes() =>
            {
                Routed::Missed(bio, Fallback::Dirty, None)
            }
            Op::Write if bio.bytes() == 0 => {
                self.forward_flush(bio);
                Routed::Gone
            }
            Op::Write => self.transfer(bio, from),
            Op::Discard | Op::WriteZeroes => Routed::Missed(bio, Fallback::Changes, None),
        }
    }

    /// Reads or writes.
    fn transfer(&self, bio: Bio, from: From) -> Routed {
        let write = bio.op() == Op::Write;
        if write && !self.start_write(from) {
            return Routed::Missed(bio, Fallback::Frozen, None);
        }
        let routed = self.transfer_with_permit(bio, from);
        if write && !matches!(routed, Routed::Sent) {
            self.end_write();
        }
        routed
    }

    fn transfer_with_permit(&self, mut bio: Bio, from: From) -> Routed {
        if self.bdev.is_null() {
            return Routed::Missed(bio, Fallback::Absent, None);
        }
        loop {
            // Memory is waited for before the map is got: whoever waits for us to put it may hold what has to
            // happen before memory is freed.
            let Some(clone) = self.clone_for(&bio, from) else {
                self.end_without_clone(bio, from);
                return Routed::Gone;
            };
            let map_use = self.epoch.get_extent_map();
            let sector = bio.sector();
            let found = self
                .map
                .lookup(self.geometry.block(sector), &rcu::read_lock());
            let end = match &found {
                Found::Extent(extent) => extent.end(),
                Found::Absent { end } => *end,
            };
            let run = self.geometry.sectors_until(sector, end);
            if run < bio.sectors() {
                self.put_extent_map(map_use);
                drop(clone);
                match bio.split(run) {
                    Some(first) => bio = first,
                    None => return Routed::Gone,
                }
                continue;
            }
            return match found {
                Found::Extent(extent) => self.transfer_in(bio, &extent, clone, map_use, from),
                Found::Absent { .. } => {
                    self.put_extent_map(map_use);
                    Routed::Missed(bio, Fallback::Absent, None)
                }
            };
        }
    }

    /// A clone of a bio for the disk below. `None` if there is no memory and it must not be waited for; or in
    /// rare cases, if the bio cannot be cloned.
    pub(crate) fn clone_for(&self, bio: &Bio, from: From) -> Option<Clone> {
        let nowait = from == From::Submitter && bio.has(flag::NOWAIT);
        self.pools.clone_of(bio, self.bdev, nowait)
    }

    pub(crate) fn end_without_clone(&self, bio: Bio, from: From) {
        let nowait = from == From::Submitter && bio.has(flag::NOWAIT);
        bio.end(if nowait {
            shim::sts_again()
        } else {
            shim::sts_ioerr()
        });
    }

    /// Reads or writes a part of one extent.
    fn transfer_in(
        &self,
        bio: Bio,
        extent: &Extent,
        clone: Clone,
        map_use: MapUse,
        from: From,
    ) -> Routed {
        let write = bio.op() == Op::Write;
        if !extent.state.is_on_disk() {
            if write || !extent.state.reads_zeros() {
                self.put_extent_map(map_use);
                return Routed::Missed(bio, Fallback::NoData, Some(extent.state));
            }
            trace::map_hit(self, self.geometry.offset(bio.sector()), extent);
            self.read_zeros(bio, extent.state, from);
            self.put_extent_map(map_use);
            return Routed::Gone;
        }
        if write && extent.state == State::Filled && self.options.commit_each {
            // It would complete before the commit, and whoever reads the file still find zeros there.
            self.put_extent_map(map_use);
            return Routed::Missed(bio, Fallback::Dirty, Some(State::Filled));
        }
        if bio.has(flag::FUA) {
            if let Err(refused) = self.settle_for_fua(extent.state, from) {
                self.put_extent_map(map_use);
                return match refused {
                    Some(error) => {
                        bio.end_with(error.to_errno());
                        Routed::Gone
                    }
                    None => Routed::Missed(bio, Fallback::Dirty, Some(extent.state)),
                };
            }
        }
        trace::map_hit(self, self.geometry.offset(bio.sector()), extent);
        if write && self.backing.is_read_only() {
            self.put_extent_map(map_use);
            bio.end(shim::sts_ioerr());
            return Routed::Gone;
        }
        let guarded = self.needs_size_held();
        if guarded && from == From::Submitter && self.hold_off.is_on() {
            self.put_extent_map(map_use);
            return Routed::Missed(bio, Fallback::Changes, Some(extent.state));
        }
        if guarded && !self.backing.hold_size(self.geometry.bytes(extent.end())) {
            // Somebody changes the file without breaking a lease.
            self.put_extent_map(map_use);
            self.lose_leases(Why::OpenForWriting);
            return Routed::Missed(bio, Fallback::Changes, Some(extent.state));
        }
        let (requests, bytes) = if write {
            self.durability.note_write();
            (Counter::FastWrites, Counter::FastWriteBytes)
        } else {
            (Counter::FastReads, Counter::FastReadBytes)
        };
        self.count(requests, bytes, bio.bytes());
        let held = Held::by_transfer(map_use, guarded);
        self.send(bio, extent, clone, held, from);
        Routed::Sent
    }

    /// Makes sure that a FUA write to a block makes it durable: see `durability`. With the map held. The
    /// error is that of the filesystem, or none if a worker has to do more.
    fn settle_for_fua(
        &self,
        state: State,
        from: From,
    ) -> core::result::Result<(), Option<kernel::error::Error>> {
        if state == State::Filled {
            return Err(None);
        }
        match from {
            _ if self.can_forward_flushes() => Ok(()),
            // A worker flushes first, without the map: who wants to change it would have to wait for that.
            From::Submitter | From::Worker => Err(None),
            From::Persistent => self.sync().map_err(Some),
        }
    }

    /// Gets the filesystem's permit to write. Only a worker waits for a frozen one.
    pub(crate) fn start_write(&self, from: From) -> bool {
        let sb = self.backing.sb();
        // SAFETY: The open file holds its filesystem.
        unsafe {
            if from == From::Submitter {
                return !shim::rloop_is_read_only(sb) && shim::rloop_try_start_write(sb);
            }
            if !shim::rloop_try_start_write(sb) {
                self.workers.may_block(|| shim::rloop_start_write(sb));
            }
            true
        }
    }

    /// Gives the permit back.
    pub(crate) fn end_write(&self) {
        // SAFETY: Who calls this has got it.
        unsafe { shim::rloop_end_write(self.backing.sb()) };
    }

    /// Puts a use of the map that was got in this function, or by its caller.
    pub(crate) fn put_extent_map(&self, map_use: MapUse) {
        // SAFETY: It was got for what is over now, and is given away here.
        unsafe { self.epoch.put_extent_map(map_use) };
    }

    /// Gives back what a fast I/O holds.
    pub(crate) fn leave(&self, write: bool, map_use: MapUse) {
        self.put_extent_map(map_use);
        if write {
            self.end_write();
        }
    }

    fn read_zeros(&self, mut bio: Bio, state: State, from: From) {
        let start = Account::start(&bio);
        let (part, begun) = (self.part(&bio), Begun::now(&bio, from));
        self.count(Counter::ZeroReads, Counter::ZeroReadBytes, bio.bytes());
        bio.zero();
        trace::zero_read(self, part, state, begun);
        start.end();
        bio.end(bindings::BLK_STS_OK);
    }

    /// Whether the disk below may answer flushes: nothing that was filled waits to be made durable.
    fn can_forward_flushes(&self) -> bool {
        !self.bdev.is_null() && self.durability.is_clean()
    }
}
