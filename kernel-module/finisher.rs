// SPDX-License-Identifier: GPL-2.0

//! Ends what the fast way cannot end in an interrupt: writes that have to drop cached pages before they complete, and
//! fills that have to be published.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicBool, Ordering},
};

use kernel::{bindings, prelude::*, types::Opaque};

use crate::{
    bio::BioList,
    device::Device,
    in_flight::Fast,
    queue::{Queue, ANY_CPU},
    shim,
    stats::Counter,
    sync::Lock,
    trace,
    worker::{device_of, in_reclaim, Workers},
};

/// A device's worker for that. On a queue of its own: the io workers wait for it.
#[pin_data]
pub(crate) struct Finisher {
    /// Clones that have ended on the disk.
    #[pin]
    waiting: Lock<BioList>,
    work: Opaque<bindings::work_struct>,
    /// It was said that pages cannot be dropped.
    complained: AtomicBool,
    queue: Queue,
}

impl Finisher {
    pub(crate) fn new(index: u32) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            waiting <- Lock::new(BioList::new()),
            work: Opaque::uninit(),
            complained: AtomicBool::new(false),
            queue: Queue::new(c"rloop%u_finish", index)?,
        })
    }

    /// As [`Workers::start`].
    pub(crate) fn start(&self) {
        // SAFETY: The field is for a work, which is not queued yet.
        unsafe { shim::rloop_work_init(self.work.get(), finish_work) };
    }

    /// Its work.
    pub(crate) fn work(&self) -> *mut bindings::work_struct {
        self.work.get()
    }

    /// Waits until it has nothing to do.
    pub(crate) fn flush(&self) {
        self.queue.flush();
    }

    /// Gives it a clone that has ended, from any context.
    pub(crate) fn finish(&self, clone: *mut bindings::bio) {
        // Queued under the lock, so that whoever ends what waits does not let the device go before this is over.
        let mut waiting = self.waiting.lock();
        waiting.push(clone);
        // SAFETY: The work is initialised, and the queue is there as long as the device.
        unsafe { bindings::queue_work_on(ANY_CPU, self.queue.as_ptr(), self.work.get()) };
    }

    fn next(&self) -> Option<*mut bindings::bio> {
        self.waiting.lock().pop()
    }
}

impl Device {
    fn do_finish(&self) {
        while let Some(clone) = self.workers.finisher.next() {
            // SAFETY: The list gave it to us, and it was not completed yet.
            unsafe {
                if Fast::is_fill(clone) {
                    self.publish_fill(clone);
                    continue;
                }
                let part = Fast::part_of(clone);
                trace::invalidate(self, part.offset, part.bytes.into());
                self.stats.add(Counter::Invalidations, 1);
                self.drop_pages(part.offset, part.bytes.into());
                self.complete(clone);
            }
        }
    }

    /// Drops the pages of a range that was written past them, in bytes. A page that a write through the
    /// filesystem has made dirty, beside the range, is written back first.
    pub(crate) fn drop_pages(&self, offset: u64, bytes: u64) {
        const TRIES: usize = 5;
        for _ in 0..TRIES {
            if self.backing.invalidate(offset, bytes).is_ok() {
                return;
            }
            let _ = self.backing.write_back(offset, bytes);
        }
        let complained = &self.workers.finisher.complained;
        if !complained.swap(true, Ordering::Relaxed) {
            pr_warn!("rloop{}: pages of its file cannot be dropped\n", self.index);
        }
    }
}

/// Ends what has to sleep for that.
///
/// # Safety
/// `work` is that of a device.
#[export_name = "rloop_finish_work"]
unsafe extern "C" fn finish_work(work: *mut bindings::work_struct) {
    let offset = offset_of!(Workers, finisher) + offset_of!(Finisher, work);
    // SAFETY: It is this work of a device's workers.
    let device = unsafe { device_of(work, offset) };
    in_reclaim(|| device.do_finish());
}
