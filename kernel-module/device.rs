// SPDX-License-Identifier: GPL-2.0

//! One device: what all of its parts share, and the order in which it comes and goes.
//!
//! # Locks, outermost first
//! 1. the registry's mutex (attach, detach, control);
//! 2. `changing`: who changes which blocks the file has, or asks the filesystem for them;
//! 3. `hold_off`: for whom fast I/O stands back;
//! 4. the filesystem's own locks;
//! 5. `locked`: a spinlock, taken from completions and from lease breaks too. Nothing is called under
//!    it but the map and the claims.
//!
//! The *epoch* is no lock, but waiting for it is: nobody who waits for it may hold what I/O needs to
//! complete. Completions need `locked` and the `finish` worker.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use kernel::{
    bindings, new_mutex,
    prelude::*,
    sync::{Arc, Completion, Mutex},
};

use crate::{
    backing::Backing,
    durability::Durability,
    extent::{
        claims::{Claim, Claims},
        map::{ExtentMap, Found, Full, Spare, Writer},
        Range, State, MAX_BLOCK,
    },
    fill::Fills,
    geometry::Geometry,
    hold_off::HoldOff,
    platform::Kernel,
    policy::Leases,
    pool::Pools,
    provider::{Provider, Why},
    stats::{Counter, Stats},
    sync::{Epoch, Lock},
    watch::Watch,
    worker::Workers,
};

/// What a device is told when it is attached.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) read_only: bool,
    pub(crate) partitions: bool,
    /// Fill holes on disk, where the filesystem can commit that.
    pub(crate) fill_layout: bool,
    /// Make each fill durable before it completes.
    pub(crate) commit_each: bool,
    /// The logical block size, in bytes.
    pub(crate) block_size: u32,
    /// Where in the file it begins, in bytes.
    pub(crate) offset: u64,
    /// How long it may be, in bytes.
    pub(crate) size_limit: u64,
}

/// What the spinlock protects.
pub(crate) struct Locked {
    pub(crate) writer: Writer,
    pub(crate) claims: Claims,
    pub(crate) leases: Leases,
}

/// A device that is attached.
#[pin_data]
pub(crate) struct Device {
    /// Its number.
    pub(crate) index: u32,
    pub(crate) options: Options,
    pub(crate) backing: Backing,
    pub(crate) geometry: Geometry,
    /// The disk that mapped blocks lie on; null if nothing can be mapped.
    pub(crate) bdev: *mut bindings::block_device,
    pub(crate) map: ExtentMap<Kernel>,
    #[pin]
    pub(crate) epoch: Epoch,
    #[pin]
    pub(crate) locked: Lock<Locked>,
    #[pin]
    spare: Lock<Option<Spare<Kernel>>>,
    #[pin]
    pub(crate) changing: Mutex<()>,
    #[pin]
    pub(crate) hold_off: HoldOff,
    pub(crate) durability: Durability,
    pub(crate) fills: Fills,
    pub(crate) stats: Stats,
    pub(crate) pools: Pools,
    #[pin]
    pub(crate) workers: Workers,
    pub(crate) watch: Watch,
    /// Who maps, and why nobody better; for those who ask.
    provider: AtomicU32,
    why: AtomicU32,
    disk: AtomicPtr<bindings::gendisk>,
    /// The device's number, as the kernel has it; 0 while there is none.
    dev: AtomicU32,
    /// It is being detached.
    pub(crate) dying: AtomicBool,
    /// Its disk's last user is gone.
    #[pin]
    pub(crate) disk_gone: Completion,
}

// SAFETY: The disk below stays as long as the filesystem that is on it, which the open file holds.
unsafe impl Sync for Device {}
// SAFETY: As above.
unsafe impl Send for Device {}

impl Device {
    /// A device without a disk yet.
    pub(crate) fn new(
        index: u32,
        options: Options,
        backing: Backing,
        bdev: *mut bindings::block_device,
    ) -> Result<Arc<Self>> {
        let (map, writer) = ExtentMap::new().ok_or(ENOMEM)?;
        let number = index;
        let locked = Locked {
            writer,
            claims: Claims::new(),
            leases: Leases::Off,
        };
        let geometry = Geometry::new(options.offset, backing.block_bits);
        let device = Arc::pin_init(
            try_pin_init!(Self {
                index,
                options,
                geometry,
                backing,
                bdev,
                map,
                epoch <- Epoch::new(),
                locked <- Lock::new(locked),
                spare <- Lock::new(None),
                changing <- new_mutex!((), "rloop_changing"),
                hold_off <- HoldOff::new(),
                durability: Durability::new(),
                fills: Fills::new(),
                stats: Stats::new()?,
                pools: Pools::new()?,
                workers <- Workers::new(number, options.fill_layout),
                watch: Watch::new(),
                provider: AtomicU32::new(Provider::Vfs as u32),
                why: AtomicU32::new(Why::Starting as u32),
                disk: AtomicPtr::new(core::ptr::null_mut()),
                dev: AtomicU32::new(0),
                dying: AtomicBool::new(false),
                disk_gone <- Completion::new(),
            }? Error),
            GFP_KERNEL,
        )?;
        device.workers.start(&device);
        Ok(device)
    }

    /// Changes the map. `change` runs under the lock, more than once if its memory does not do.
    pub(crate) fn change<T>(
        &self,
        change: impl FnMut(&ExtentMap<Kernel>, &mut Locked, &mut Spare<Kernel>) -> Result<T, Full>,
    ) -> T {
        self.change_with(self.take_spare(), change)
    }

    /// The same, with memory that was taken before.
    pub(crate) fn change_with<T>(
        &self,
        mut spare: Spare<Kernel>,
        mut change: impl FnMut(&ExtentMap<Kernel>, &mut Locked, &mut Spare<Kernel>) -> Result<T, Full>,
    ) -> T {
        loop {
            let done = change(&self.map, &mut self.locked.lock(), &mut spare);
            if let Ok(done) = done {
                self.keep_spare(spare);
                return done;
            }
            self.fill_spare(&mut spare);
        }
    }

    /// Claims a range, so that nobody maps it, and takes it out of the map, if all that is mapped there may go.
    /// Whoever found it there may still use it.
    pub(crate) fn take_out(&self, blocks: Range, may_go: impl Fn(State) -> bool) -> Option<Claim> {
        let mut claim = None;
        self.change(|map, locked, spare| {
            // Once claimed, nothing comes: only the memory did not do.
            if claim.is_none() {
                let reading = kernel::sync::rcu::read_lock();
                let mut block = blocks.start;
                while block < blocks.end {
                    block = match map.lookup(block, &reading) {
                        Found::Absent { end } => end,
                        Found::Extent(extent) if may_go(extent.state) => extent.end(),
                        Found::Extent(_) => return Ok(()),
                    };
                }
                claim = Some(locked.claims.claim(blocks));
            }
            map.remove(blocks, &mut locked.writer, spare)
        });
        claim
    }

    /// Memory for a change of the map. Waits for it.
    pub(crate) fn take_spare(&self) -> Spare<Kernel> {
        let mut spare = self.spare.lock().take().unwrap_or(Spare::new());
        self.fill_spare(&mut spare);
        spare
    }

    pub(crate) fn fill_spare(&self, spare: &mut Spare<Kernel>) {
        // How much is read first: memory is not waited for under RCU. It is always had in the end.
        let slots = self.map.slots(&kernel::sync::rcu::read_lock());
        let _ = spare.fill(slots);
    }

    /// Keeps what a change has left for the next one.
    pub(crate) fn keep_spare(&self, spare: Spare<Kernel>) {
        let before = self.spare.lock().replace(spare);
        drop(before);
    }

    /// Whether it still takes I/O.
    pub(crate) fn is_alive(&self) -> bool {
        !self.dying.load(Ordering::Acquire)
    }

    /// Who maps, and why nobody better.
    pub(crate) fn provider(&self) -> (u32, u32) {
        (
            self.provider.load(Ordering::Relaxed),
            self.why.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn set_provider(&self, provider: Provider, why: Why) {
        self.provider.store(provider as u32, Ordering::Relaxed);
        self.why.store(why as u32, Ordering::Relaxed);
    }

    /// Its disk; null before it has one.
    pub(crate) fn disk(&self) -> *mut bindings::gendisk {
        self.disk.load(Ordering::Acquire)
    }

    pub(crate) fn set_disk(&self, disk: *mut bindings::gendisk, dev: u32) {
        self.dev.store(dev, Ordering::Relaxed);
        self.disk.store(disk, Ordering::Release);
    }

    /// How long its disk is, in bytes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let disk = self.disk();
        if disk.is_null() {
            return 0;
        }
        // SAFETY: A disk has a first partition, the whole.
        unsafe { (*(*disk).part0).bd_nr_sectors << crate::geometry::SECTOR_SHIFT }
    }

    /// The device's number, as the kernel has it.
    #[inline]
    pub(crate) fn dev(&self) -> u32 {
        self.dev.load(Ordering::Relaxed)
    }

    /// How long the device may be now, in sectors: up to the file's end and its own limit, in whole
    /// logical blocks.
    pub(crate) fn capacity(&self) -> u64 {
        // Blocks from `MAX_BLOCK` on could not be told apart.
        let most = MAX_BLOCK.checked_mul(self.geometry.block_bytes());
        let end = self.backing.size().min(most.unwrap_or(u64::MAX));
        let rest = end.saturating_sub(self.options.offset);
        let bytes = rest.min(self.options.size_limit);
        // A logical block is a power of two.
        let part = u64::from(self.options.block_size) - 1;
        (bytes & !part) >> crate::geometry::SECTOR_SHIFT
    }

    /// Counts a request and its bytes.
    #[inline]
    pub(crate) fn count(&self, requests: Counter, bytes_counter: Counter, bytes: u32) {
        self.stats.add(requests, 1);
        self.stats.add(bytes_counter, bytes.into());
    }
}
