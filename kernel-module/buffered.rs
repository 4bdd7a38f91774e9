// SPDX-License-Identifier: GPL-2.0

//! What goes through the page cache, on workers without a rescuer.
//!
//! A filesystem that has no room for buffered data first writes back what others have, and XFS waits for a work
//! queue of its own for that, which has no rescuer. Who has one must not wait for that: where there is no memory for
//! another thread, it would wait for ever. So what goes through the page cache counts on such a thread, as with the
//! kernel's own loop driver; what goes past it does not.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use kernel::{bindings, prelude::*};

use crate::{
    device::Device,
    policy::Leases,
    queue::{Queue, ANY_CPU},
    request::Request,
    shim,
    worker::in_reclaim,
};

/// How many go through the page cache at a time, on each of the machine's memory nodes: the kernel lets a queue run
/// so many on each.
const AT_A_TIME: usize = 8;

/// A device's workers for that.
pub(crate) struct Buffered {
    queue: Queue,
    /// The threads that run them now.
    running: KVec<AtomicPtr<bindings::task_struct>>,
}

impl Buffered {
    pub(crate) fn new(index: u32) -> Result<Self> {
        // SAFETY: It only reads a number.
        let most = AT_A_TIME * unsafe { shim::rloop_nodes() } as usize;
        let mut running = KVec::with_capacity(most, GFP_KERNEL)?;
        for _ in 0..most {
            running.push(AtomicPtr::new(ptr::null_mut()), GFP_KERNEL)?;
        }
        Ok(Self {
            queue: Queue::without_rescuer(c"rloop%u_buffered", index, AT_A_TIME as i32)?,
            running,
        })
    }

    /// Whether the current task is one of these workers.
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: The current task is always there.
        let current = unsafe { bindings::get_current() };
        let mut running = self.running.iter();
        running.any(|task| task.load(Ordering::Relaxed) == current)
    }

    /// Gives a request to one of them.
    ///
    /// # Safety
    /// `request` is whole, and ours alone.
    pub(crate) unsafe fn begin(&self, request: *mut Request) {
        // SAFETY: As the caller says; the work is not queued, and the queue is there as long as the device.
        unsafe {
            let work = (*request).work.get();
            shim::rloop_work_init(work, buffered_work);
            bindings::queue_work_on(ANY_CPU, self.queue.as_ptr(), work);
        }
    }

    /// Does something as one of these workers.
    fn run(&self, what: impl FnOnce()) {
        // SAFETY: The current task is always there.
        let current = unsafe { bindings::get_current() };
        let mine = self.running.iter().find(|task| {
            let none = ptr::null_mut();
            task.compare_exchange(none, current, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        });
        what();
        if let Some(mine) = mine {
            mine.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

impl Device {
    /// Waits for fast I/O that is under way, before a write. A page has more than was asked for: what is still being
    /// written beside it would be written back as it was before. None begins there, as the range is claimed.
    fn wait_for_fast_io(&self) {
        // Where there are no leases there is none.
        if self.locked.lock().leases != Leases::Off {
            self.epoch.drain();
        }
    }
}

/// Hands a request to the filesystem.
///
/// # Safety
/// `work` is that of a request that `begin` was given.
#[export_name = "rloop_buffered_work"]
unsafe extern "C" fn buffered_work(work: *mut bindings::work_struct) {
    // SAFETY: As the caller says. The device waits for this queue before it goes.
    unsafe {
        let request = work.byte_sub(offset_of!(Request, work)).cast::<Request>();
        let device = (*request).device();
        let buffered = &device.workers.buffered;
        if (*request).is_write() {
            device.wait_for_fast_io();
        }
        buffered.run(|| in_reclaim(|| Request::hand_over(request, false)));
    }
}
