// SPDX-License-Identifier: GPL-2.0

//! Lists of requests.

use core::ptr;

use super::Request;

/// Requests in the order they came.
pub(crate) struct RequestList {
    head: *mut Request,
    tail: *mut Request,
}

// SAFETY: The requests are the list's.
unsafe impl Send for RequestList {}

impl RequestList {
    pub(crate) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    /// # Safety
    /// `request` has no holder, and is given to the list.
    pub(crate) unsafe fn push(&mut self, request: *mut Request) {
        // SAFETY: As the caller says, and so are those in the list.
        unsafe {
            (*request).next = ptr::null_mut();
            match self.tail.as_mut() {
                Some(tail) => tail.next = request,
                None => self.head = request,
            }
        }
        self.tail = request;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    pub(crate) fn pop(&mut self) -> Option<*mut Request> {
        let request = self.head;
        // SAFETY: What is in the list is whole, and the list's.
        self.head = unsafe { request.as_ref() }?.next;
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        Some(request)
    }
}
