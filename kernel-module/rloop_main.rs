// SPDX-License-Identifier: GPL-2.0

//! rloop: a loop block device with fast file mapping.
//!
//! It knows where its file's extents lie, and sends reads and writes straight to those blocks: no page cache, no
//! filesystem call and no worker on the way. The filesystem agrees to that by a lease, and can take the
//! mapping back at any time; then, and for whatever the map does not answer, I/O goes through the filesystem.
//!
//! What it does not do: map files on filesystems other than XFS and ext4 (they work, through the
//! filesystem), zoned disks, integrity data, polling.
//!
//! Where to begin: [`fast`] is the way of a bio that the map answers, [`in_flight`] what it holds until it ends, [`process`] that of one it does not;
//! [`extent`] is the map, [`provider`] fills it, [`policy`] has the leases, [`fill`] fills holes on disk, [`commit`] tells the filesystem of it,
//! [`durability`] has what flushes mean. [`device`] has the locks and their order.

use core::pin::Pin;

use kernel::{miscdevice::MiscDeviceRegistration, prelude::*};

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the same file is a public part of a program's library"
)]
mod abi;
mod account;
mod backing;
mod bio;
mod buffered;
mod chunk;
mod commit;
mod control;
mod device;
mod disk;
mod durability;
mod extent;
mod fast;
mod fill;
mod finisher;
mod geometry;
mod hold_off;
mod in_flight;
mod platform;
mod policy;
mod pool;
mod process;
mod provider;
mod queue;
mod registry;
mod request;
mod run;
#[expect(
    improper_ctypes,
    reason = "the kernel's structures have fields that are empty without lock debugging"
)]
mod shim;
mod stats;
mod sync;
mod sysfs;
mod trace;
mod vfs;
mod watch;
mod worker;

module! {
    type: Module,
    name: "rloop",
    authors: ["The rloop authors"],
    description: "Loop block device with fast file mapping",
    license: "GPL",
    params: {
        bmap: u8 {
            default: 1,
            description: "Map files on ext4, which tells block numbers but has no layouts",
        },
    },
}

/// The module while it is loaded. Its fields go in this order.
struct Module {
    _control: Pin<KBox<MiscDeviceRegistration<control::Control>>>,
    _registry: registry::Registry,
    _policy: policy::Policy,
    _watchers: watch::Group,
    _grace: Grace,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let registry = registry::Registry::new();
        disk::init(module);
        let policy = policy::Policy::new()?;
        let watchers = watch::Group::new()?;
        let control = MiscDeviceRegistration::register(control::options());
        Ok(Self {
            _control: KBox::pin_init(control, GFP_KERNEL)?,
            _registry: registry,
            _policy: policy,
            _watchers: watchers,
            _grace: Grace,
        })
    }
}

/// Waits, last of all, until no completion is still on its way out of the module's code.
struct Grace;

impl Drop for Grace {
    fn drop(&mut self) {
        // SAFETY: It may sleep when the module is unloaded.
        unsafe { kernel::bindings::synchronize_rcu() };
    }
}

/// This module, for those who have to hold it.
fn this_module() -> &'static ThisModule {
    kernel::module::this_module::<LocalModule>()
}
