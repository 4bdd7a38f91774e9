// SPDX-License-Identifier: GPL-2.0

//! Workers: whatever may sleep.
//!
//! - *io*: bios that the map has no answer for, and what the filesystem did not do at once. Several at a
//!   time, since each may wait for the filesystem.
//! - *finish*: what cannot complete in an interrupt; see `finisher`.
//! - *commit*: tells the filesystem of fills. On a queue of its own: io workers wait for it.
//! - *recall* and *retry*: gives leases back, and takes them. On queues of their own, never behind I/O; see `policy`.
//! - *buffered*: what goes through the page cache; see `buffered`.
//!
//! All but retry and buffered have a rescuer, and all run as what memory reclaim may wait for: allocations in them start
//! no I/O. All but recall and retry have their queues for each device: where devices lie on one another, those of the
//! upper one wait for those of the lower one, and one rescuer could not do both. No I/O waits for recall and retry: an io
//! worker that needs a recall does it.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use kernel::{bindings, prelude::*, types::Opaque};

use crate::{
    bio::{flag, Bio, BioList},
    buffered::Buffered,
    device::Device,
    fill::Parked,
    finisher::Finisher,
    queue::{Queue, ANY_CPU},
    request::{Request, RequestList},
    shim,
    sync::Lock,
    trace::{self, Fallback},
};

/// How many io workers a device has: as many bios may wait for the filesystem at a time.
const IO_WORKERS: usize = 8;
/// One worker that does not wait for each so many processors, but at least one and at most `MOST_RUNNING`.
/// More would only fight for the inode's lock: what takes long is asynchronous.
const PROCESSORS_FOR_A_WORKER: u32 = 4;
const MOST_RUNNING: usize = 4;

/// What waits for a worker.
struct Waiting {
    bios: BioList,
    requests: RequestList,
    parked: Parked,
    /// Which io workers are queued, or have not yet seen that nothing waits.
    awake: [bool; IO_WORKERS],
    /// Which of those wait for the filesystem.
    blocked: [bool; IO_WORKERS],
}

impl Waiting {
    /// How many io workers are awake and do not wait for the filesystem.
    fn running(&self) -> usize {
        let awake = self.awake.iter().filter(|awake| **awake).count();
        awake.saturating_sub(self.blocked())
    }

    /// How many wait for the filesystem.
    fn blocked(&self) -> usize {
        self.blocked.iter().filter(|blocked| **blocked).count()
    }

    /// Whether all io workers wait but one. That one only goes on with requests: the others may wait for memory
    /// that those free. The first that is back looks for bios again.
    fn is_last_resort(&self) -> bool {
        self.blocked() + 1 >= IO_WORKERS
    }

    fn is_empty(&self) -> bool {
        self.bios.is_empty() && self.requests.is_empty()
    }
}

/// A device's workers.
#[pin_data]
pub(crate) struct Workers {
    #[pin]
    waiting: Lock<Waiting>,
    io: [IoWork; IO_WORKERS],
    /// How many io workers may run at a time, apart from those that wait for the filesystem.
    most_running: usize,
    #[pin]
    pub(crate) finisher: Finisher,
    pub(crate) recall: Opaque<bindings::work_struct>,
    pub(crate) retry: Opaque<bindings::delayed_work>,
    /// How often leases were tried in vain.
    pub(crate) pauses: AtomicU32,
    /// Until when leases are not taken since the filesystem has failed, by [`trace::now`].
    pub(crate) rest_until_ns: AtomicU64,
    /// The same since somebody was refused because of them.
    pub(crate) yield_until_ns: AtomicU64,
    commit: Opaque<bindings::delayed_work>,
    pub(crate) buffered: Buffered,
    io_queue: Queue,
    /// Only where there are commits.
    commit_queue: Option<Queue>,
}

struct IoWork {
    work: Opaque<bindings::work_struct>,
    device: AtomicPtr<Device>,
}

impl Workers {
    pub(crate) fn new(index: u32, fills: bool) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            waiting <- Lock::new(Waiting {
                bios: BioList::new(),
                requests: RequestList::new(),
                parked: Parked::new(),
                awake: [false; IO_WORKERS],
                blocked: [false; IO_WORKERS],
            }),
            io: core::array::from_fn(|_| IoWork {
                work: Opaque::uninit(),
                device: AtomicPtr::new(ptr::null_mut()),
            }),
            // SAFETY: It is set when the machine boots.
            most_running: ((unsafe { bindings::nr_cpu_ids } / PROCESSORS_FOR_A_WORKER) as usize)
                .clamp(1, MOST_RUNNING),
            finisher <- Finisher::new(index),
            recall: Opaque::uninit(),
            retry: Opaque::uninit(),
            pauses: AtomicU32::new(0),
            rest_until_ns: AtomicU64::new(0),
            yield_until_ns: AtomicU64::new(0),
            commit: Opaque::uninit(),
            buffered: Buffered::new(index)?,
            io_queue: Queue::new(c"rloop%u", index)?,
            commit_queue: if fills {
                Some(Queue::new(c"rloop%u_commit", index)?)
            } else {
                None
            },
        })
    }

    /// Lets the workers know their device, once it does not move any more.
    pub(crate) fn start(&self, device: &Device) {
        self.finisher.start();
        // SAFETY: The fields are for works, which are not queued yet.
        unsafe {
            for io in &self.io {
                io.device
                    .store(ptr::from_ref(device).cast_mut(), Ordering::Relaxed);
                shim::rloop_work_init(io.work.get(), io_work);
            }
            shim::rloop_work_init(self.recall.get(), crate::policy::recall_work);
            shim::rloop_delayed_work_init(self.retry.get(), crate::policy::retry_work);
            shim::rloop_delayed_work_init(self.commit.get(), commit_work);
        }
    }

    /// Lets an io worker see that something waits. Under the lock, so that whoever ends what waits does not
    /// let the device go before this is over.
    ///
    /// Those that are awake and do not wait for the filesystem are going to look. If there are few of them, one
    /// that sleeps is queued.
    fn wake(&self, waiting: &mut Waiting) {
        if waiting.running() >= self.most_running {
            return;
        }
        let Some(asleep) = waiting.awake.iter().position(|awake| !awake) else {
            return;
        };
        waiting.awake[asleep] = true;
        // SAFETY: The work is initialised, and the queue is there as long as the device.
        unsafe {
            let queue = self.io_queue.as_ptr();
            bindings::queue_work_on(ANY_CPU, queue, self.io[asleep].work.get());
        }
    }

    /// Whether the current task is one of these workers.
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: It may be called in any context.
        let current = unsafe { bindings::current_work() };
        // SAFETY: `retry` is a work within a delayed work.
        let retry = unsafe { &raw mut (*self.retry.get()).work };
        !current.is_null()
            && (self.io_worker(current).is_some()
                || [self.finisher.work(), self.recall.get(), retry].contains(&current)
                || self.buffered.is_current())
    }

    /// Which io worker it is, if it is one.
    fn io_worker(&self, work: *mut bindings::work_struct) -> Option<usize> {
        self.io.iter().position(|io| io.work.get() == work)
    }

    /// Does something that may have to wait for the filesystem. If an io worker does it, another one goes on with
    /// what waits. What is part of something like that already counts once.
    pub(crate) fn may_block<T>(&self, what: impl FnOnce() -> T) -> T {
        // SAFETY: It may be called in any context.
        let Some(worker) = self.io_worker(unsafe { bindings::current_work() }) else {
            return what();
        };
        {
            let mut waiting = self.waiting.lock();
            if waiting.blocked[worker] {
                drop(waiting);
                return what();
            }
            waiting.blocked[worker] = true;
            if !waiting.is_empty() {
                self.wake(&mut waiting);
            }
        }
        let done = what();
        self.waiting.lock().blocked[worker] = false;
        done
    }

    /// Waits until they have nothing to do. For a device that gets no more I/O.
    pub(crate) fn flush(&self) {
        self.finisher.flush();
        self.io_queue.flush();
        // SAFETY: The work is initialised.
        unsafe { bindings::cancel_delayed_work_sync(self.commit.get()) };
    }

    /// Commits fills in a while, or sooner if that was asked for before.
    pub(crate) fn commit_in(&self, ms: u32) {
        let Some(queue) = &self.commit_queue else {
            return;
        };
        let queue = queue.as_ptr();
        // SAFETY: The work is initialised, and the queue is there as long as the device.
        unsafe {
            if ms == 0 {
                bindings::mod_delayed_work_on(ANY_CPU, queue, self.commit.get(), 0);
            } else {
                let jiffies = bindings::__msecs_to_jiffies(ms);
                bindings::queue_delayed_work_on(ANY_CPU, queue, self.commit.get(), jiffies);
            }
        }
    }

    /// Keeps a bio for [`Workers::unpark`].
    pub(crate) fn park(&self, bio: Bio) {
        self.waiting.lock().parked.bios.push(bio.as_raw());
    }

    /// Lets the workers try all parked bios again.
    pub(crate) fn unpark(&self) {
        let mut waiting = self.waiting.lock();
        let waiting = &mut *waiting;
        if waiting.bios.append(&mut waiting.parked.bios) {
            self.wake(waiting);
        }
    }

    /// Takes bios from the front of what waits, as long as they are wanted.
    pub(crate) fn take_while(&self, mut wanted: impl FnMut(&Bio) -> bool) -> BioList {
        let mut taken = BioList::new();
        let mut waiting = self.waiting.lock();
        while waiting.bios.first().is_some_and(&mut wanted) {
            if let Some(bio) = waiting.bios.pop() {
                taken.push(bio);
            }
        }
        taken
    }

    /// Puts bios back to where they were taken from, by an io worker, who is going to look again.
    pub(crate) fn put_back(&self, mut bios: BioList) {
        if bios.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        bios.append(&mut waiting.bios);
        waiting.bios = bios;
        // Others have looked meanwhile, and seen nothing.
        self.wake(&mut waiting);
    }

    /// Keeps a fill until it is committed.
    pub(crate) fn park_fill(&self, clone: *mut bindings::bio) {
        self.waiting.lock().parked.fills.push(clone);
    }

    /// The fills that wait for a commit.
    pub(crate) fn take_fills(&self) -> BioList {
        core::mem::replace(&mut self.waiting.lock().parked.fills, BioList::new())
    }
}

impl Device {
    /// Gives a bio to a worker.
    ///
    /// That does not let the submitter wait, so it is right for `REQ_NOWAIT` too; to refuse such a bio would
    /// only bring it back by way of another thread of the submitter's. From here on it may wait.
    pub(crate) fn punt(&self, mut bio: Bio, reason: Fallback) {
        bio.clear(flag::NOWAIT);
        bio.set_came(trace::clock());
        trace::fallback(self, self.part(&bio), reason);
        let mut waiting = self.workers.waiting.lock();
        waiting.bios.push(bio.as_raw());
        self.workers.wake(&mut waiting);
    }

    /// Gives a request to a worker, from any context.
    ///
    /// # Safety
    /// `request` has no holder, and is given away.
    pub(crate) unsafe fn retry(&self, request: *mut Request) {
        let mut waiting = self.workers.waiting.lock();
        // SAFETY: As the caller says.
        unsafe { waiting.requests.push(request) };
        self.workers.wake(&mut waiting);
    }

    fn do_waiting(&self, worker: usize) {
        loop {
            let mut waiting = self.workers.waiting.lock();
            if waiting.running() > self.workers.most_running {
                // Those that waited for the filesystem are back.
                waiting.awake[worker] = false;
                return;
            }
            if let Some(request) = waiting.requests.pop() {
                drop(waiting);
                // SAFETY: The list gave it to us.
                unsafe { Request::go_on(request) };
            } else if waiting.is_last_resort() {
                waiting.awake[worker] = false;
                return;
            } else if let Some(bio) = waiting.bios.pop() {
                drop(waiting);
                // SAFETY: The list gave it to us.
                self.process(unsafe { Bio::from_raw(bio) });
            } else {
                waiting.awake[worker] = false;
                return;
            }
        }
    }
}

/// Runs a worker as what memory reclaim may wait for.
pub(crate) fn in_reclaim(work: impl FnOnce()) {
    // SAFETY: Both change flags of the current task, and are undone here.
    unsafe {
        let noio = shim::rloop_reclaim_enter();
        let throttle = shim::rloop_throttle_enter();
        work();
        shim::rloop_reclaim_leave(noio, throttle);
    }
}

/// The device that a work belongs to.
///
/// # Safety
/// `work` lies `offset` bytes into a device's workers.
pub(crate) unsafe fn device_of<'a>(work: *mut bindings::work_struct, offset: usize) -> &'a Device {
    // SAFETY: As the caller says; a device's works are over before it goes.
    unsafe {
        let workers = work.byte_sub(offset);
        &*workers
            .byte_sub(offset_of!(Device, workers))
            .cast::<Device>()
    }
}

/// Does what waits for a worker.
///
/// # Safety
/// `work` is that of a device.
#[export_name = "rloop_io_work"]
unsafe extern "C" fn io_work(work: *mut bindings::work_struct) {
    // SAFETY: The work is in an `IoWork`, which knows its device since it was started.
    let (device, worker) = unsafe {
        let io = work.byte_sub(offset_of!(IoWork, work)).cast::<IoWork>();
        let device = &*(*io).device.load(Ordering::Relaxed);
        (device, io.offset_from(device.workers.io.as_ptr()) as usize)
    };
    in_reclaim(|| device.do_waiting(worker));
}

/// Commits fills.
///
/// # Safety
/// `work` is that of a device.
#[export_name = "rloop_commit_work"]
unsafe extern "C" fn commit_work(work: *mut bindings::work_struct) {
    let offset = offset_of!(Workers, commit) + offset_of!(bindings::delayed_work, work);
    // SAFETY: It is this work of a device's workers.
    let device = unsafe { device_of(work, offset) };
    in_reclaim(|| device.do_commit());
}
