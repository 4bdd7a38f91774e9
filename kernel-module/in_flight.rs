// SPDX-License-Identifier: GPL-2.0

//! Fast I/O on its way to the disk: a clone of the bio, what it holds, and how it ends.

use core::mem::size_of;

use kernel::bindings;

use crate::{
    account::Account,
    bio::{error_of, flag, Bio, Op},
    device::Device,
    extent::{map::Spare, Extent},
    fast::From,
    platform::Kernel,
    pool::Clone,
    shim,
    stats::Counter,
    sync::MapUse,
    trace::{self, Begun, Outcome, Part, Target},
};

/// What I/O holds until it completes.
pub(crate) struct Held {
    /// Put before the completion of a fill.
    map_use: Option<MapUse>,
    /// The file does not become shorter meanwhile; see [`crate::backing::Backing::hold_size`].
    guarded: bool,
    /// Of a fill: memory to publish it.
    spare: Option<Spare<Kernel>>,
}

impl Held {
    pub(crate) fn by_transfer(map_use: MapUse, guarded: bool) -> Self {
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
    begun: Begun,
    /// How long after the driver got it a fill's data was there, in nanoseconds; 0 before, and of others.
    filled_ns: u64,
    /// It asks to be durable when it ends.
    durable: bool,
    to: Target,
}

/// How much room there is in front of a clone.
pub(crate) const FRONT_PAD: usize = size_of::<Fast>().next_multiple_of(16);

impl Fast {
    fn of(clone: *mut bindings::bio) -> *mut Self {
        clone.cast::<u8>().wrapping_sub(FRONT_PAD).cast()
    }

    fn trace(&self, status: u32) {
        let outcome = Outcome {
            came_ns: self.begun.came_ns,
            wait_ns: self.begun.wait_ns,
            filled_ns: self.filled_ns,
            durable: self.durable,
            error: error_of(status),
        };
        // SAFETY: The device lives until its last bio has ended, and this one has not.
        trace::io_done(unsafe { &*self.device }, &self.to, &outcome);
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

    /// Notes that a fill's data is there, so long after the driver got it.
    ///
    /// # Safety
    /// As for [`Fast::part_of`].
    pub(crate) unsafe fn set_filled(clone: *mut bindings::bio, ns: u64) {
        // SAFETY: As the caller says.
        unsafe { (*Self::of(clone)).filled_ns = ns };
    }

    /// Its part of the file, the block layer's status, and when the driver got it.
    ///
    /// # Safety
    /// As for [`Fast::part_of`], and it has ended.
    pub(crate) unsafe fn outcome_of(clone: *mut bindings::bio) -> (Part, u32, u64) {
        // SAFETY: As the caller says.
        unsafe {
            let fast = &*Self::of(clone);
            (fast.to.part, (*clone).bi_status.into(), fast.begun.came_ns)
        }
    }
}

impl Device {
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
    pub(crate) fn send(&self, bio: Bio, extent: &Extent, clone: Clone, held: Held, from: From) {
        let clone = clone.into_raw();
        let to = Target {
            part: self.part(&bio),
            extent: self.geometry.bytes(extent.start),
            sector: self.geometry.remap(bio.sector(), extent.start, extent.disk),
        };
        let begun = Begun::now(&bio, from);
        let durable = bio.has(flag::FUA);
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
                begun,
                filled_ns: 0,
                durable,
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

    /// Lets the disk below flush.
    pub(crate) fn forward_flush(&self, bio: Bio) {
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

/// A clone has ended. In any context.
///
/// A write whose blocks are in the page cache has to drop those pages before it completes, and that may
/// sleep. A reader whose page comes into the cache after this look reads it from the disk after the write
/// has reached it, so the look need not be ordered with anything else.
///
/// # Safety
/// `clone` is one that `send` has sent.
#[export_name = "rloop_done"]
unsafe extern "C" fn done(clone: *mut bindings::bio) {
    // SAFETY: The clone carries it, and the device lives until its last bio has ended.
    unsafe {
        let fast = &*Fast::of(clone);
        let device = &*fast.device;
        if fast.held.spare.is_some() || (fast.to.part.op == Op::Write && device.backing.is_cached())
        {
            device.workers.finisher.finish(clone);
        } else {
            device.complete(clone);
        }
    }
}

/// A flush has ended. In any context.
///
/// # Safety
/// `clone` is one that `forward_flush` has sent.
#[export_name = "rloop_flushed"]
unsafe extern "C" fn flushed(clone: *mut bindings::bio) {
    // SAFETY: The clone is ours, and carries its original and its time; the device lives until its last bio has
    // ended.
    unsafe {
        let original = Bio::from_raw((*clone).bi_private.cast());
        let device = &*(*original.disk()).private_data.cast::<Device>();
        let status = u32::from((*clone).bi_status);
        let outcome = Outcome {
            came_ns: Fast::of(clone).cast::<u64>().read(),
            error: error_of(status),
            ..Outcome::default()
        };
        bindings::bio_put(clone);
        let to = device.flush_target(&original);
        trace::io_done(device, &to, &outcome);
        original.end(status);
    }
}
