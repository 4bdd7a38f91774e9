// SPDX-License-Identifier: GPL-2.0

//! The slow way: through the filesystem, from a worker, as the kernel's own loop driver does it.
//!
//! A write claims its blocks first, so that nobody maps what the filesystem says of them meanwhile, and
//! takes them out of the map. It finds no block there that is on disk: such a write goes the fast way.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use kernel::{
    bindings,
    ffi::{c_int, c_long},
};

use crate::{
    account::Account,
    bio::{error_of, flag, status_of, Bio, Op},
    device::Device,
    extent::{claims::Claim, State},
    policy::Provider,
    shim,
    stats::Counter,
    trace::{How, Part, Vfs},
};

/// A read or write that is with the filesystem.
#[repr(C)]
pub(crate) struct Request {
    iocb: bindings::kiocb,
    device: NonNull<Device>,
    bio: Option<Bio>,
    /// What is left of it.
    part: Part,
    /// It fills blocks of a file that is mapped.
    fills: bool,
    traced: Vfs,
    account: Account,
    /// Of a write, until its effects are there.
    claim: Option<Claim>,
    /// The filesystem and the one who asked it: the last of them to be done ends the request.
    holders: AtomicU32,
    /// What the filesystem said: bytes, or a negative errno.
    result: c_long,
    /// The next one in a list.
    next: *mut Request,
}

impl Device {
    /// Sends a bio through the filesystem. Gives it back if its blocks were mapped meanwhile.
    pub(crate) fn through_filesystem(&self, bio: Bio) -> Option<Bio> {
        let write = bio.op() == Op::Write;
        let blocks = self.geometry.blocks(bio.sector(), bio.sectors());
        let claim = if write {
            self.take_out(blocks, State::reads_zeros)
        } else {
            None
        };
        if write && claim.is_none() {
            return Some(bio);
        }
        if write {
            self.check_plain();
        }
        let part = self.part(&bio);
        let mut traced = Vfs::submit(self, &bio);
        let fills = write && self.provider().0 != Provider::Vfs as u32;
        if fills {
            traced.fill_begin(self, How::by_vfs(self.is_durable(&bio)));
        }
        if write {
            self.count(Counter::VfsWrites, Counter::VfsWriteBytes, bio.bytes());
        } else {
            self.count(Counter::VfsReads, Counter::VfsReadBytes, bio.bytes());
        }
        let request = self.pools.request();
        // SAFETY: It is memory for a request, and ours.
        unsafe {
            request.write(Request {
                iocb: bindings::kiocb::default(),
                device: NonNull::from(self),
                account: Account::start(&bio),
                bio: Some(bio),
                part,
                fills,
                traced,
                claim,
                holders: AtomicU32::new(0),
                result: 0,
                next: core::ptr::null_mut(),
            });
            Request::begin(request, self.is_aligned(&part));
        }
        None
    }

    /// Whether the filesystem makes a write durable at once.
    fn is_durable(&self, bio: &Bio) -> bool {
        bio.has(flag::FUA) || self.options.commit_each
    }

    /// Whether a part can be read and written without the page cache.
    fn is_aligned(&self, part: &Part) -> bool {
        let align = u64::from(self.backing.offset_align);
        self.backing.direct && part.offset % align == 0 && u64::from(part.bytes) % align == 0
    }
}

impl Request {
    /// Hands it to the filesystem.
    ///
    /// # Safety
    /// `request` is whole, and ours alone.
    unsafe fn begin(request: *mut Self, direct: bool) {
        // SAFETY: As the caller says. Once it is with the filesystem, only the last holder touches it.
        unsafe {
            let this = &mut *request;
            let device = this.device.as_ref();
            let Some(bio) = &this.bio else { return };
            let file = device.backing.file();
            let write = this.part.op == Op::Write;
            let durable = write && device.is_durable(bio);
            this.iocb = bindings::kiocb {
                ki_filp: file,
                ki_pos: this.part.offset as i64,
                ki_ioprio: bio.ioprio(),
                ki_complete: if direct { Some(completed) } else { None },
                ki_flags: (if direct { bindings::IOCB_DIRECT } else { 0 }
                    | if durable { shim::iocb_dsync() } else { 0 })
                    as c_int,
                ..Default::default()
            };
            this.holders.store(2, Ordering::Relaxed);
            let mut iter = bindings::iov_iter::default();
            let (segments, count, offset) = bio.segments();
            let direction = if write { ITER_SOURCE } else { ITER_DEST };
            let bytes = bio.bytes() as usize;
            bindings::iov_iter_bvec(&mut iter, direction, segments, count, bytes);
            iter.iov_offset = offset;
            if write && !shim::rloop_try_start_write(device.backing.sb()) {
                // It is frozen: others go on while this waits.
                device
                    .workers
                    .may_block(|| shim::rloop_start_write(device.backing.sb()));
            }
            let operations = &*(*file).f_op;
            let call = if write {
                operations.write_iter
            } else {
                operations.read_iter
            };
            let iocb = &raw mut this.iocb;
            let answer = call.map(|call| {
                if direct {
                    call(iocb, &mut iter)
                } else {
                    device.workers.may_block(|| call(iocb, &mut iter))
                }
            });
            let answer = answer.unwrap_or(-(bindings::EINVAL as isize)) as c_long;
            if answer != -(bindings::EIOCBQUEUED as c_long) {
                this.result = answer;
                Self::put(request);
            }
            Self::put(request);
        }
    }

    /// One holder is done.
    ///
    /// # Safety
    /// Each holder calls it once.
    unsafe fn put(request: *mut Self) {
        // SAFETY: It lives until its last holder is done.
        unsafe {
            if (*request).holders.fetch_sub(1, Ordering::AcqRel) != 1 {
                return;
            }
            let this = &mut *request;
            if this.part.op == Op::Write {
                this.device.as_ref().end_write();
            }
            let device = this.device.as_ref();
            let left = this.bio.as_ref().map_or(0, Bio::bytes);
            // A filesystem may do a direct write through the page cache all the same.
            let cached = this.part.op == Op::Write && device.backing.is_cached();
            if this.result == left as c_long && this.was_direct() && !cached {
                Self::end(request, bindings::BLK_STS_OK);
            } else {
                // It needs more than an interrupt may do.
                device.retry(request);
            }
        }
    }

    fn was_direct(&self) -> bool {
        self.iocb.ki_flags as u32 & bindings::IOCB_DIRECT != 0
    }

    /// Goes on with a request that the filesystem did not do as a whole and at once. In a worker.
    ///
    /// # Safety
    /// `request` has no holder, and is ours.
    pub(crate) unsafe fn go_on(request: *mut Self) {
        // SAFETY: As the caller says.
        unsafe {
            let this = &mut *request;
            let device = this.device.as_ref();
            let write = this.part.op == Op::Write;
            let result = this.result;
            let refused = [bindings::EINVAL, bindings::ENOTBLK, bindings::EOPNOTSUPP];
            if this.was_direct() && refused.iter().any(|e| result == -(*e as c_long)) {
                // The filesystem does not do this one past the page cache.
                return Self::begin(request, false);
            }
            if result < 0 {
                return Self::end(request, status_of(result as c_int));
            }
            let was_direct = this.was_direct();
            let Some(bio) = this.bio.as_mut() else { return };
            if result == 0 && bio.bytes() > 0 {
                // A write that gets nowhere, or a read beyond the end of a file that was cut.
                if !write {
                    bio.zero();
                }
                return Self::end(request, shim::sts_ioerr());
            }
            let (offset, done) = (this.iocb.ki_pos - result as i64, result as u32);
            if write && (!was_direct || device.backing.is_cached()) {
                let back = device.backing.write_back(offset as u64, done.into());
                if let Err(error) = back {
                    return Self::end(request, status_of(error.to_errno()));
                }
            }
            bio.advance(done);
            this.part.offset += u64::from(done);
            this.part.bytes -= done;
            if this.part.bytes == 0 {
                return Self::end(request, bindings::BLK_STS_OK);
            }
            let direct = was_direct && device.is_aligned(&this.part);
            Self::begin(request, direct);
        }
    }

    /// Ends it, in any context.
    ///
    /// # Safety
    /// `request` has no holder, and is ours.
    unsafe fn end(request: *mut Self, status: u32) {
        // SAFETY: As the caller says; it is freed here.
        unsafe {
            let this = request.read();
            let device = this.device.as_ref();
            device.pools.free(request);
            if status != bindings::BLK_STS_OK {
                device.stats.add(Counter::Errors, 1);
            }
            let direct = this.was_direct();
            if let Some(claim) = this.claim {
                let durable = this.iocb.ki_flags as u32 & shim::iocb_dsync() != 0;
                if !durable || status != bindings::BLK_STS_OK {
                    device.durability.soil();
                }
                device.locked.lock().claims.release(claim);
                if this.fills {
                    device.count(Counter::Fills, Counter::FillBytes, this.account.bytes());
                    let how = How::by_vfs(durable);
                    this.traced.fill_data(device, how, error_of(status));
                    if !durable && status == bindings::BLK_STS_OK {
                        device.fills.written.add(1);
                    }
                }
            }
            this.traced.done(device, error_of(status), direct);
            this.account.end();
            // The device may be gone as soon as its last bio has ended.
            if let Some(bio) = this.bio {
                bio.end(status);
            }
        }
    }
}

/// The filesystem is done with a direct request. In any context.
///
/// # Safety
/// `iocb` is that of a request that `begin` has given to the filesystem.
#[export_name = "rloop_completed"]
unsafe extern "C" fn completed(iocb: *mut bindings::kiocb, result: c_long) {
    // SAFETY: The iocb is the first field of its request, which has a holder more.
    unsafe {
        let request = iocb.cast::<Request>();
        (*request).result = result;
        Request::put(request);
    }
}

const _: () = assert!(core::mem::offset_of!(Request, iocb) == 0);

/// Where data goes, as iterators have it: to the memory of a read, from that of a write.
const ITER_DEST: u32 = 0;
const ITER_SOURCE: u32 = 1;

/// Requests that a worker has to go on with.
pub(crate) struct RequestList(*mut Request);

// SAFETY: The requests are the list's.
unsafe impl Send for RequestList {}

impl RequestList {
    pub(crate) const fn new() -> Self {
        Self(core::ptr::null_mut())
    }

    /// # Safety
    /// `request` has no holder, and is given to the list.
    pub(crate) unsafe fn push(&mut self, request: *mut Request) {
        // SAFETY: As the caller says.
        unsafe { (*request).next = self.0 };
        self.0 = request;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn pop(&mut self) -> Option<*mut Request> {
        let request = self.0;
        // SAFETY: What is in the list is whole, and the list's.
        self.0 = unsafe { request.as_ref() }?.next;
        Some(request)
    }
}
