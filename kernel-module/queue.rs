// SPDX-License-Identifier: GPL-2.0

//! Work queues.

use kernel::{bindings, prelude::*};

/// Any processor, as the kernel's queues have it.
pub(crate) const ANY_CPU: i32 = bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32;

/// A queue. Dropping it waits for what is queued.
pub(crate) struct Queue(*mut bindings::workqueue_struct);

// SAFETY: The kernel's queues may be used and ended by any thread.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Makes one with a rescuer, which runs its works where there is no memory for another thread: memory reclaim
    /// may wait for them. The name is a format of at most one number, `index`.
    pub(crate) fn new(name: &CStr, index: u32) -> Result<Self> {
        Self::with(name, index, bindings::wq_flags_WQ_MEM_RECLAIM, 0)
    }

    /// Makes one without, which runs so many works at a time on each of the machine's memory nodes.
    pub(crate) fn without_rescuer(name: &CStr, index: u32, at_a_time: i32) -> Result<Self> {
        Self::with(name, index, 0, at_a_time)
    }

    fn with(name: &CStr, index: u32, flags: u32, at_a_time: i32) -> Result<Self> {
        let flags = flags | bindings::wq_flags_WQ_UNBOUND;
        // SAFETY: The format is as it has to be.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(name.as_char_ptr(), flags, at_a_time, index)
        };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(queue))
    }

    /// The kernel's queue.
    pub(crate) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        self.0
    }

    /// Waits for what is queued.
    pub(crate) fn flush(&self) {
        // SAFETY: The queue is there.
        unsafe { bindings::__flush_workqueue(self.0) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: Whoever owns it queues nothing any more.
        unsafe { bindings::destroy_workqueue(self.0) };
    }
}
