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

use core::{mem::size_of, sync::atomic::Ordering};

use kernel::{
    bindings,
    ffi::{c_int, c_ulong},
    sync::rcu,
};

use crate::{
    bio::{error_of, flag, Bio, Op},
    device::Device,
    extent::{
        map::{Found, Spare},
        Extent, State,
    },
    geometry::SECTOR_SHIFT,
    platform::Kernel,
    policy::Why,
    pool::Clone,
    shim,
    stats::Counter,
    sync::MapUse,
    trace::{self, Begun, Fallback, Part, Target},
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
    fn clone_for(&self, bio: &Bio, from: From) -> Option<Clone> {
        let nowait = from == From::Submitter && bio.has(flag::NOWAIT);
        self.pools.clone_of(bio, self.bdev, nowait)
    }

    fn end_without_clone(&self, bio: Bio, from: From) {
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
        if guarded && !self.backing.hold_size(self.geometry.bytes(extent.end())) {
            // Somebody changes the file without breaking a lease.
            self.put_extent_map(map_use);
            self.lose_leases(Why::OpenForWriting);
            return Routed::Missed(bio, Fallback::Absent, None);
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

    /// Fills blocks with a clone of the bio.
    pub(crate) fn send_fill(
        &self,
        bio: Bio,
        extent: &Extent,
        clone: Clone,
        map_use: MapUse,
        spare: Spare<Kernel>,
    ) {
        self.durability.note_write();
        self.send(
            bio,
            extent,
            clone,
            Held::by_fill(map_use, spare),
            From::Worker,
        );
    }

    /// Sends a clone of the bio to the disk.
    fn send(&self, bio: Bio, extent: &Extent, clone: Clone, held: Held, from: From) {
        let clone = clone.into_raw();
        let to = Target {
            part: self.part(&bio),
            extent: self.geometry.bytes(extent.start),
            sector: self.geometry.remap(bio.sector(), extent.start, extent.disk),
        };
        let begun = Begun::now(&bio, from);
        trace::io_submit(self, &to, begun.wait_ns);
        // SAFETY: The clone is new and ours, with room for a `Fast` before it; the original stays until
        // the clone has ended.
        unsafe {
            (*clone).bi_iter.bi_sector = to.sector;
            (*clone).bi_end_io = Some(done);
            shim::rloop_trace_remap(clone, bio.as_raw());
            Fast::of(clone).write(Fast {
                device: self,
                account: Account::start(&bio),
                original: bio,
                held,
                came_ns: begun.came_ns,
                to,
            });
            bindings::submit_bio_noacct(clone);
        }
    }

    /// Gives back what a fast I/O holds before it completes.
    ///
    /// # Safety
    /// `clone` has ended, and nobody else has it.
    pub(crate) unsafe fn leave_early(&self, clone: *mut bindings::bio) {
        // SAFETY: As the caller says.
        let fast = unsafe { &mut *Fast::of(clone) };
        if let Some(map_use) = fast.held.map_use.take() {
            self.leave(fast.to.part.op == Op::Write, map_use);
        }
    }

    /// Whether the disk below may answer flushes: nothing that was filled waits to be made durable.
    fn can_forward_flushes(&self) -> bool {
        !self.bdev.is_null() && self.durability.is_clean()
    }

    /// Lets the disk below flush.
    fn forward_flush(&self, bio: Bio) {
        self.stats.add(Counter::Flushes, 1);
        self.stats.add(Counter::FastFlushes, 1);
        let Some(clone) = self.clone_for(&bio, From::Submitter) else {
            return self.end_without_clone(bio, From::Submitter);
        };
        let clone = clone.into_raw();
        trace::io_submit(self, &self.flush_target(&bio), 0);
        // SAFETY: The clone is new and ours, with room for more than a time before it; the original stays until
        // the clone has ended.
        unsafe {
            (*clone).bi_end_io = Some(flushed);
            (*clone).bi_private = bio.as_raw().cast();
            Fast::of(clone).cast::<u64>().write(trace::clock());
            bindings::submit_bio_noacct(clone);
        }
    }

    /// A flush of the disk, as it is traced.
    fn flush_target(&self, bio: &Bio) -> Target {
        Target {
            part: Part {
                offset: 0,
                ..self.part(bio)
            },
            extent: 0,
            sector: 0,
        }
    }

    /// Ends a fast I/O whose effects are all there.
    ///
    /// # Safety
    /// `clone` has ended, and nobody else has it.
    pub(crate) unsafe fn complete(&self, clone: *mut bindings::bio) {
        // SAFETY: The caller vouches for the clone; what it carries is taken once.
        let (fast, status) = unsafe {
            let fast = Fast::of(clone).read();
            let status = u32::from((*clone).bi_status);
            bindings::bio_put(clone);
            (fast, status)
        };
        fast.trace(status);
        if status != bindings::BLK_STS_OK {
            self.stats.add(Counter::Errors, 1);
        }
        if fast.held.guarded {
            self.backing.release_size();
        }
        if let Some(map_use) = fast.held.map_use {
            self.leave(fast.to.part.op == Op::Write, map_use);
        }
        fast.account.end();
        // The device may be gone as soon as its last bio has ended.
        fast.original.end(status);
    }
}

/// What I/O holds until it completes.
struct Held {
    /// Put before the completion of a fill.
    map_use: Option<MapUse>,
    /// The file does not become shorter meanwhile; see [`crate::backing::Backing::hold_size`].
    guarded: bool,
    /// Of a fill: memory to publish it.
    spare: Option<Spare<Kernel>>,
}

impl Held {
    fn by_transfer(map_use: MapUse, guarded: bool) -> Self {
        Self {
            map_use: Some(map_use),
            guarded,
            spare: None,
        }
    }

    fn by_fill(map_use: MapUse, spare: Spare<Kernel>) -> Self {
        Self {
            map_use: Some(map_use),
            guarded: false,
            spare: Some(spare),
        }
    }
}

/// What a clone carries, in front of it.
pub(crate) struct Fast {
    device: *const Device,
    account: Account,
    original: Bio,
    held: Held,
    /// When the driver got it; 0 if nobody listened then.
    came_ns: u64,
    to: Target,
}

/// How much room there is in front of a clone.
pub(crate) const FRONT_PAD: usize = size_of::<Fast>().next_multiple_of(16);

impl Fast {
    fn of(clone: *mut bindings::bio) -> *mut Self {
        clone.cast::<u8>().wrapping_sub(FRONT_PAD).cast()
    }

    fn trace(&self, status: u32) {
        let ns = trace::since(self.came_ns);
        // SAFETY: The device lives until its last bio has ended, and this one has not.
        trace::io_done(unsafe { &*self.device }, &self.to, ns, error_of(status));
    }

    /// Where in the file, in bytes.
    ///
    /// # Safety
    /// `clone` is one that [`Device::complete`] has not had yet.
    pub(crate) unsafe fn part_of(clone: *mut bindings::bio) -> Part {
        // SAFETY: As the caller says.
        unsafe { (*Self::of(clone)).to.part }
    }

    /// Whether it fills blocks.
    ///
    /// # Safety
    /// As for [`Fast::part_of`].
    pub(crate) unsafe fn is_fill(clone: *mut bindings::bio) -> bool {
        // SAFETY: As the caller says.
        unsafe { (*Self::of(clone)).held.spare.is_some() }
    }

    /// The memory that a fill keeps to publish it.
    ///
    /// # Safety
    /// As for [`Fast::part_of`].
    pub(crate) unsafe fn take_spare(clone: *mut bindings::bio) -> Spare<Kernel> {
        // SAFETY: As the caller says.
        let spare = unsafe { &mut (*Self::of(clone)).held.spare };
        spare.take().unwrap_or(Spare::new())
    }

    /// Its part of the file, the block layer's status, and when the driver got it.
    ///
    /// # Safety
    /// As for [`Fast::part_of`], and it has ended.
    pub(crate) unsafe fn outcome_of(clone: *mut bindings::bio) -> (Part, u32, u64) {
        // SAFETY: As the caller says.
        unsafe {
            let fast = &*Self::of(clone);
            (fast.to.part, (*clone).bi_status.into(), fast.came_ns)
        }
    }
}

/// A clone has ended. In any context.
///
/// A write whose blocks are in the page cache has to drop those pages before it completes, and that may
/// sleep. A reader whose page comes into the cache after this look reads it from the disk after the write
/// has reached it, so the look need not be ordered with anything else.
#[export_name = "rloop_done"]
unsafe extern "C" fn done(clone: *mut bindings::bio) {
    // SAFETY: The clone carries it, and the device lives until its last bio has ended.
    unsafe {
        let fast = &*Fast::of(clone);
        let device = &*fast.device;
        if fast.held.spare.is_some() || (fast.to.part.op == Op::Write && device.backing.is_cached())
        {
            device.finish(clone);
        } else {
            device.complete(clone);
        }
    }
}

/// A flush has ended. In any context.
#[export_name = "rloop_flushed"]
unsafe extern "C" fn flushed(clone: *mut bindings::bio) {
    // SAFETY: The clone is ours, and carries its original and its time; the device lives until its last bio has
    // ended.
    unsafe {
        let original = Bio::from_raw((*clone).bi_private.cast());
        let device = &*(*original.disk()).private_data.cast::<Device>();
        let status = u32::from((*clone).bi_status);
        let ns = trace::since(Fast::of(clone).cast::<u64>().read());
        bindings::bio_put(clone);
        let to = device.flush_target(&original);
        trace::io_done(device, &to, ns, error_of(status));
        original.end(status);
    }
}

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
        // SAFETY: The bio is ours and has a device.
        let started = bio
            .is_counted()
            .then(|| unsafe { bindings::bio_start_io_acct(bio.as_raw()) });
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

/// An errno as the completions have it.
pub(crate) fn errno(result: kernel::error::Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// Whether the device still takes I/O.
pub(crate) fn is_alive(device: &Device) -> bool {
    !device.dying.load(Ordering::Acquire)
}
