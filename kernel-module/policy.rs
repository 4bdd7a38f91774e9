// SPDX-License-Identifier: GPL-2.0

//! Leases: how the filesystem, and everybody else, takes the mapping back.
//!
//! Two leases are held while blocks are mapped. `FL_LEASE` is broken by whoever opens the file for writing
//! or truncates it; `FL_LAYOUT` by whatever changes its blocks. Who breaks one waits until we have given it
//! back.
//!
//! # Order
//! Taking: the leases, then wait for direct I/O begun before, then sync, then map. Giving back: no more
//! inserts (set under the spinlock by the break itself), commit, clear the map, drain, give back.

use core::{
    ffi::c_void,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use kernel::{bindings, error::to_result, prelude::*};

use crate::{
    device::Device,
    disk,
    extent::Range,
    provider::{Provider, Why},
    queue::{Queue, ANY_CPU},
    shim,
    stats::Counter,
    trace,
    worker::{device_of, in_reclaim, Workers},
};

/// Where the leases are. Under the device's spinlock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leases {
    /// Not held.
    Off,
    /// Being taken: nothing is mapped yet.
    Taking,
    /// Held, and not broken.
    Held(Provider),
    /// Broken: nothing more is mapped.
    Broken {
        /// The process that did it.
        by: i32,
        /// What is told once nothing is mapped.
        why: Why,
    },
}

/// The first pause before leases are tried again, in milliseconds; each next one is twice as long.
const FIRST_PAUSE_MS: u32 = 100;
/// After so many, pauses are as long as they get.
const MOST_PAUSES: u32 = 16;
/// The longest pause.
const LONGEST_PAUSE_MS: u32 = 5000;
/// How long no leases are taken after the filesystem reported an error: it may be about to give up for it.
const REST_NS: u64 = 5_000_000_000;
/// How long no leases are taken after somebody was refused an open since it does not wait for them: an NFS server,
/// truncate(1). It has to try again before they are back, or it is refused for ever. Clients of NFS try again after 15 s
/// at the latest.
const YIELD_NS: u64 = 20_000_000_000;
/// The longest pause where it takes more than somebody to close the file.
const LONGEST_PAUSE_REFLINKED_MS: u32 = 10_000;

/// Of all devices, there as long as there are some.
static RECALLS: AtomicPtr<bindings::workqueue_struct> = AtomicPtr::new(ptr::null_mut());
/// As above.
static RETRIES: AtomicPtr<bindings::workqueue_struct> = AtomicPtr::new(ptr::null_mut());

/// The queues that all devices share; dropping it ends them, when there are no devices any more. Leases are taken without
/// a rescuer: the filesystem's sync waits for works that have none.
pub(crate) struct Policy {
    #[expect(dead_code, reason = "it is owned here, and used as `RECALLS`")]
    recalls: Queue,
    #[expect(dead_code, reason = "it is owned here, and used as `RETRIES`")]
    retries: Queue,
}

impl Policy {
    pub(crate) fn new() -> Result<Self> {
        let recalls = Queue::new(c"rloop_recall", 0)?;
        let retries = Queue::without_rescuer(c"rloop_retry", 0, 0)?;
        RECALLS.store(recalls.as_ptr(), Ordering::Relaxed);
        RETRIES.store(retries.as_ptr(), Ordering::Relaxed);
        Ok(Self { recalls, retries })
    }
}

impl Device {
    /// Takes the leases if that is possible now, and says so. Otherwise tries again later, if that may help.
    pub(crate) fn take_leases(&self) {
        match self.try_take_leases() {
            Ok(_) => {
                self.workers.pauses.store(0, Ordering::Relaxed);
                disk::shrink(self);
            }
            Err(why) => {
                self.set_provider(Provider::Vfs, why);
                if why.passes() {
                    self.try_later();
                }
            }
        }
    }

    fn try_take_leases(&self) -> core::result::Result<Provider, Why> {
        let provider = self.best_provider()?;
        let _changing = self.changing.lock();
        {
            let mut locked = self.locked.lock();
            match locked.leases {
                Leases::Off if is_before(&self.workers.rest_until_ns) => return Err(Why::Error),
                Leases::Off if is_before(&self.workers.yield_until_ns) => {
                    return Err(Why::Recalled)
                }
                Leases::Off => locked.leases = Leases::Taking,
                Leases::Held(provider) => return Ok(provider),
                Leases::Taking => return Err(Why::Recalled),
                Leases::Broken { why, .. } => return Err(why),
            }
        }
        let ready = self.lease_and_settle(provider);
        {
            let mut locked = self.locked.lock();
            // A break that came meanwhile has queued a recall, which gives back what was taken.
            if ready.is_ok() && locked.leases == Leases::Taking {
                locked.leases = Leases::Held(provider);
                self.set_provider(provider, Why::Best);
                return Ok(provider);
            }
            if let Leases::Broken { why, .. } = locked.leases {
                return Err(why);
            }
        }
        self.give_back();
        Err(ready.err().unwrap_or(Why::Error))
    }

    fn lease_and_settle(&self, provider: Provider) -> core::result::Result<(), Why> {
        let file = self.backing.file();
        let take = |flags, owner| {
            // SAFETY: The file is open; the owner is told by its address only, and outlives the lease.
            to_result(unsafe { shim::rloop_lease_take(file, flags, owner) }).map_err(|error| {
                match error {
                    error if error == EAGAIN => Why::OpenForWriting,
                    error if error == ENOMEM => Why::Error,
                    _ => Why::Leases,
                }
            })
        };
        take(shim::fl_lease(), self.owner())?;
        if provider == Provider::Layout {
            take(shim::fl_layout(), self.owner().wrapping_byte_add(1))?;
        }
        if self.backing.direct_io().map_err(Why::of)?.memory == 0 {
            return Err(Why::NotPlain);
        }
        // Before anything that takes long: the answer itself is not used.
        if provider == Provider::Layout {
            self.layout_of(Range::new(0, 1), false).map_err(Why::of)?;
        }
        self.backing.wait_for_direct_io();
        self.sync().map_err(Why::of)?;
        if provider == Provider::Bmap {
            // ext4 exchanges blocks of two files (e4defrag) without noting that a sync of them has to make that durable.
            // Until it is, what the disk flushes would be in blocks that are not the file's after a power cut.
            self.backing.sync_filesystem().map_err(Why::of)?;
        }
        Ok(())
    }

    /// What the leases know us by.
    fn owner(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Gives back the leases that were taken, with no mapping left.
    fn give_back(&self) {
        let file = self.backing.file();
        for owner in [self.owner(), self.owner().wrapping_byte_add(1)] {
            // SAFETY: The file is open. One that was not taken is not found, which is no harm.
            unsafe { shim::rloop_lease_give_back(file, owner) };
        }
        self.locked.lock().leases = Leases::Off;
    }

    /// The filesystem says that it cannot be mapped: as if somebody had broken the lease.
    pub(crate) fn lose_leases(&self, why: Why) {
        self.break_lease(0, why);
    }

    /// Whether blocks are mapped for which `Backing::hold_size` is needed: XFS breaks the layout whoever cuts
    /// the file, others do not.
    pub(crate) fn needs_size_held(&self) -> bool {
        self.provider().0 != Provider::Layout as u32
    }

    /// Gives the leases up if the file has become one whose blocks are not simply its contents, which takes no
    /// open for writing. Before a write through the filesystem.
    pub(crate) fn check_plain(&self) {
        if self.locked.lock().leases != Leases::Held(Provider::Bmap) {
            return;
        }
        let direct = self.backing.direct_io().map_or(0, |align| align.memory);
        if direct == 0 || self.backing.is_special() {
            self.lose_leases(Why::NotPlain);
        }
    }

    /// A lease is broken, or given up for a reason. In any context.
    fn break_lease(&self, by: i32, why: Why) {
        let mut locked = self.locked.lock();
        if matches!(locked.leases, Leases::Off | Leases::Broken { .. }) {
            return;
        }
        locked.leases = Leases::Broken { by, why };
        locked.claims.void();
        trace::lease_break(self, by);
        // Under the lock: whoever sees them broken can wait for the recall, and does before the device goes.
        // SAFETY: The work is initialised, and the module's queue is there as long as it has devices.
        unsafe {
            bindings::queue_work_on(
                ANY_CPU,
                RECALLS.load(Ordering::Relaxed),
                self.workers.recall.get(),
            )
        };
    }

    /// Gives the mapping back.
    ///
    /// Whoever broke the lease may hold the filesystem's permit to write while it waits for us, and a freezer
    /// may wait for it: so this never asks for that permit. A commit gets what it needs from the filesystem, which refuses
    /// that only when it is all but frozen. With fills, a thaw is waited for before anything is held: else the commit
    /// would wait for it with the inode locked, as it still does if the filesystem is frozen in between. No permit is
    /// kept over the wait for the inode: who has that may wait for a fault, and a fault for the freezer.
    pub(crate) fn recall(&self) {
        if self.has_fills() {
            // SAFETY: The open file holds its filesystem.
            unsafe { shim::rloop_wait_for_thaw(self.backing.sb()) };
        }
        let changing = self.changing.lock();
        // Under `changing`, leases are neither taken nor given back.
        let leases = self.locked.lock().leases;
        let broken = matches!(leases, Leases::Broken { .. });
        if let Leases::Broken { by, why } = leases {
            let started = trace::now();
            trace::recall_begin(self, by);
            self.stats.add(Counter::Recalls, 1);
            self.drop_mapping();
            trace::recall_drained(self, trace::now() - started);
            self.set_provider(Provider::Vfs, why);
            self.give_back();
            trace::recall_end(self, trace::now() - started, why as u32);
        }
        drop(changing);
        if broken {
            self.note_time();
            self.try_later();
        }
    }

    /// Empties the map, and waits until nobody uses what was in it. With `changing` held, and leases broken:
    /// nothing is inserted, and nothing begins to be filled.
    fn drop_mapping(&self) {
        if self.has_fills() {
            self.epoch.drain();
            // What cannot be committed is lost to others; flushes say so.
            let _ = self.commit_fills_locked();
        }
        let cleared = self.change(|map, locked, spare| map.clear(&mut locked.writer, spare));
        self.epoch.drain();
        drop(cleared);
    }

    /// Tries to take the leases again after a pause.
    fn try_later(&self) {
        if !self.is_alive() {
            return;
        }
        let pauses = self.workers.pauses.fetch_add(1, Ordering::Relaxed);
        let pauses = pauses.min(MOST_PAUSES);
        let longest = if self.provider().1 == Why::Reflinked as u32 {
            LONGEST_PAUSE_REFLINKED_MS
        } else {
            LONGEST_PAUSE_MS
        };
        let pause = (FIRST_PAUSE_MS << pauses).min(longest);
        // SAFETY: The work is initialised, and the module's queue is there as long as it has devices.
        unsafe {
            let jiffies = bindings::__msecs_to_jiffies(pause);
            bindings::mod_delayed_work_on(
                ANY_CPU,
                RETRIES.load(Ordering::Relaxed),
                self.workers.retry.get(),
                jiffies,
            );
        }
    }

    /// Gives the leases up, and takes none for a while.
    ///
    /// The time is set before the lock is taken, and looked at under it: who takes leases either sees the time, or is
    /// seen taking them.
    pub(crate) fn rest(&self) {
        let until_ns = trace::now() + REST_NS;
        let rest = &self.workers.rest_until_ns;
        rest.store(until_ns, Ordering::Relaxed);
        self.lose_leases(Why::Error);
    }

    /// Ends all of this for a device that is going. No I/O comes any more.
    pub(crate) fn end_policy(&self) {
        self.end_watch();
        // SAFETY: The works are initialised; nobody queues `retry` again, as the device is dying.
        unsafe {
            bindings::cancel_delayed_work_sync(self.workers.retry.get());
            self.break_lease(0, Why::Recalled);
            bindings::flush_work(self.workers.recall.get());
            // A recall that had looked before the device was dying may have queued it once more.
            bindings::cancel_delayed_work_sync(self.workers.retry.get());
        }
    }
}

/// Whether a time has not come.
fn is_before(until_ns: &AtomicU64) -> bool {
    trace::now() < until_ns.load(Ordering::Relaxed)
}

/// A lease is broken. Under a spinlock of the filesystem's.
#[no_mangle]
extern "C" fn rloop_lease_break(owner: *mut c_void) {
    // SAFETY: The owner is a device, which outlives its leases.
    let device = unsafe { owner_of(owner) };
    // SAFETY: The current task is always there.
    let pid = unsafe { (*bindings::get_current()).pid };
    device.break_lease(pid, Why::Recalled);
}

/// Who broke the lease did not wait until it was given back, which is now. Under a spinlock of the filesystem's.
#[no_mangle]
extern "C" fn rloop_lease_refused(owner: *mut c_void) {
    // SAFETY: The owner is a device, which outlives its leases.
    let device = unsafe { owner_of(owner) };
    let until_ns = trace::now() + YIELD_NS;
    device
        .workers
        .yield_until_ns
        .store(until_ns, Ordering::Relaxed);
}

/// Whether who would break the lease is one of the device's own workers, which has its own rules. Under
/// a spinlock of the filesystem's.
#[no_mangle]
extern "C" fn rloop_lease_is_ours(owner: *mut c_void) -> bool {
    // SAFETY: The owner is a device, which outlives its leases.
    unsafe { owner_of(owner) }.workers.is_current()
}

/// # Safety
/// `owner` is what a device's leases know it by.
unsafe fn owner_of<'a>(owner: *mut c_void) -> &'a Device {
    let address = owner.map_addr(|address| address & !1);
    // SAFETY: As the caller says; devices are aligned to more than two bytes.
    unsafe { &*address.cast() }
}

/// The work that gives leases back.
///
/// # Safety
/// `work` is that of a device.
#[export_name = "rloop_recall_work"]
pub(crate) unsafe extern "C" fn recall_work(work: *mut bindings::work_struct) {
    // SAFETY: As the caller says.
    let device = unsafe { device_of(work, offset_of!(Workers, recall)) };
    in_reclaim(|| device.recall());
}

/// The work that takes leases.
///
/// # Safety
/// `work` is that of a device.
#[export_name = "rloop_retry_work"]
pub(crate) unsafe extern "C" fn retry_work(work: *mut bindings::work_struct) {
    let offset = offset_of!(Workers, retry) + offset_of!(bindings::delayed_work, work);
    // SAFETY: As the caller says.
    let device = unsafe { device_of(work, offset) };
    in_reclaim(|| {
        if device.is_alive() {
            device.take_leases();
        }
    });
}
