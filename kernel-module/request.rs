// SPDX-License-Identifier: GPL-2.0

//! Requests: reads and writes that are with the filesystem.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use kernel::{
    bindings,
    ffi::{c_int, c_long},
    types::Opaque,
};

use crate::{
    account::Account,
    bio::{error_of, status_of, Bio, Op},
    device::Device,
    extent::claims::Claim,
    run::Run,
    shim,
    stats::Counter,
    trace::{Part, Vfs},
};

mod list;

pub(crate) use list::RequestList;

/// A read or write that is with the filesystem.
#[repr(C)]
pub(crate) struct Request {
    iocb: bindings::kiocb,
    device: NonNull<Device>,
    bio: Option<Bio>,
    /// What is left of it.
    part: Part,
    traced: Vfs,
    account: Account,
    /// Of a write, until its effects are there. The first one of a run has it for all.
    pub(crate) claim: Option<Claim>,
    /// What is written together with it.
    pub(crate) run: Option<Run>,
    /// The filesystem and the one who asked it: the last of them to be done ends the request.
    holders: AtomicU32,
    /// What the filesystem said: bytes, or a negative errno.
    result: c_long,
    /// For the workers that go through the page cache.
    pub(crate) work: Opaque<bindings::work_struct>,
    /// The next one in a list.
    next: *mut Request,
}

impl Request {
    /// Makes one for a bio.
    ///
    /// # Safety
    /// `request` is memory for one, of the device's pool, and ours.
    pub(crate) unsafe fn write(request: *mut Self, device: &Device, bio: Bio, fills: bool) {
        let part = device.part(&bio);
        let mut traced = Vfs::submit(device, &bio);
        if fills {
            traced.fill_begin(device);
        }
        if part.op == Op::Write {
            device.count(Counter::VfsWrites, Counter::VfsWriteBytes, part.bytes);
        } else {
            device.count(Counter::VfsReads, Counter::VfsReadBytes, part.bytes);
        }
        // SAFETY: As the caller says.
        unsafe {
            request.write(Self {
                iocb: bindings::kiocb::default(),
                device: NonNull::from(device),
                account: Account::start(&bio),
                bio: Some(bio),
                part,
                traced,
                claim: None,
                run: None,
                holders: AtomicU32::new(0),
                result: 0,
                work: Opaque::uninit(),
                next: ptr::null_mut(),
            });
        }
    }

    /// Its bio, until it has ended.
    pub(crate) fn bio(&self) -> Option<&Bio> {
        self.bio.as_ref()
    }

    /// Whether it writes.
    pub(crate) fn is_write(&self) -> bool {
        self.part.op == Op::Write
    }

    /// How much the filesystem is asked for, in bytes.
    fn asked(&self) -> u32 {
        match &self.run {
            Some(run) => run.bytes(),
            None => self.part.bytes,
        }
    }

    /// Its device, which is there as long as its bio has not ended.
    pub(crate) fn device<'a>(&self) -> &'a Device {
        // SAFETY: As above.
        unsafe { &*self.device.as_ptr() }
    }

    /// Hands it to the filesystem, past the page cache or through it.
    ///
    /// # Safety
    /// `request` is whole, and ours alone.
    pub(crate) unsafe fn begin(request: *mut Self, direct: bool) {
        // SAFETY: As the caller says.
        unsafe {
            if direct {
                Self::hand_over(request, true);
            } else {
                (*request).device().workers.buffered.begin(request);
            }
        }
    }

    /// The same in this task.
    ///
    /// # Safety
    /// As for [`Request::begin`].
    pub(crate) unsafe fn hand_over(request: *mut Self, direct: bool) {
        // SAFETY: As the caller says. Once it is with the filesystem, only the last holder touches it.
        unsafe {
            let this = &mut *request;
            let device = this.device.as_ref();
            let Some(bio) = &this.bio else { return };
            let file = device.backing.file();
            let write = this.is_write();
            let durable = device.is_durable(bio);
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
            let (segments, count, offset) = match &this.run {
                Some(run) => run.segments(),
                None => bio.segments(),
            };
            let direction = if write { ITER_SOURCE } else { ITER_DEST };
            let bytes = this.asked() as usize;
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
            let mut ask = || call.map(|call| call(iocb, &mut iter));
            let answer = if write && direct && !device.is_whole_blocks(this.part.offset, bytes) {
                device.workers.may_block(|| device.alone(ask))
            } else {
                ask()
            };
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
            if this.is_write() {
                this.device.as_ref().end_write();
            }
            let device = this.device.as_ref();
            // A filesystem may do a direct write through the page cache all the same.
            let cached = this.is_write() && device.backing.is_cached();
            if this.result == this.asked() as c_long && this.was_direct() && !cached {
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
            let write = this.is_write();
            let result = this.result;
            if this.run.is_some() {
                return Self::go_on_with_run(request);
            }
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
            // Where this attempt began: not all filesystems move `ki_pos` on when it ends later.
            let (offset, done) = (this.part.offset, result as u32);
            if write && (!was_direct || device.backing.is_cached()) {
                let back = device.backing.write_back(offset, done.into());
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

    /// The same with a run: all of it is done, or it falls apart, and each of its requests is begun anew. That
    /// changes nothing that anybody was told, as none of its bios has ended.
    ///
    /// # Safety
    /// As for [`Request::go_on`].
    unsafe fn go_on_with_run(request: *mut Self) {
        // SAFETY: As the caller says.
        unsafe {
            let this = &mut *request;
            let device = this.device.as_ref();
            let whole = this.asked();
            // It was direct, and is in the page cache all the same.
            if this.result == whole as c_long
                && device
                    .backing
                    .write_back(this.part.offset, whole.into())
                    .is_ok()
            {
                return Self::end(request, bindings::BLK_STS_OK);
            }
            let Some(mut run) = this.run.take() else {
                return;
            };
            // Claimed by each before it is given back: it is claimed all the time.
            let claim_of = |part: &Part| {
                let blocks = device.geometry.blocks_of(part.offset, part.bytes.into());
                Some(device.locked.lock().claims.claim(blocks))
            };
            while let Some(following) = run.pop() {
                (*following).claim = claim_of(&(*following).part);
                Self::begin(following, true);
            }
            let all = core::mem::replace(&mut this.claim, claim_of(&this.part));
            if let Some(all) = all {
                device.locked.lock().claims.release(all);
            }
            Self::begin(request, true);
        }
    }

    /// Ends it, and its run, in any context.
    ///
    /// # Safety
    /// `request` has no holder, and is ours.
    unsafe fn end(request: *mut Self, status: u32) {
        // SAFETY: As the caller says; it is freed here, and so are those that follow it. The device is there as
        // long as one of their bios has not ended.
        unsafe {
            let mut this = request.read();
            let device = &*this.device.as_ptr();
            device.pools.free(request);
            let direct = this.was_direct();
            let durable = this.iocb.ki_flags as u32 & shim::iocb_dsync() != 0;
            if let Some(claim) = this.claim.take() {
                if !durable || status != bindings::BLK_STS_OK {
                    device.durability.soil();
                }
                device.locked.lock().claims.release(claim);
            }
            let run = this.run.take();
            this.tell(device, status, durable, direct);
            let Some(mut run) = run else { return };
            while let Some(following) = run.pop() {
                let this = following.read();
                device.pools.free(following);
                this.tell(device, status, durable, direct);
            }
        }
    }

    /// Counts it, traces it, and ends its bio. The device may be gone after its last one.
    fn tell(self, device: &Device, status: u32, durable: bool, direct: bool) {
        let good = status == bindings::BLK_STS_OK;
        if !good {
            device.stats.add(Counter::Errors, 1);
        }
        if self.traced.fills() {
            device.count(Counter::Fills, Counter::FillBytes, self.account.bytes());
            self.traced.fill_data(device, error_of(status));
            if !durable && good {
                device.fills.written.add(1);
            }
        }
        self.traced.done(device, error_of(status), direct);
        self.account.end();
        if let Some(bio) = self.bio {
            bio.end(status);
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
