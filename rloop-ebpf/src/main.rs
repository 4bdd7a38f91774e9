//! The probes. One file per family of hooks; all only add to the maps of [`maps`], which the program
//! reads. Requests are counted when they are submitted and timed when they complete.
#![no_std]
#![no_main]
// The target has no compare-and-swap, so core offers no atomics for it; an atomic add it does have.
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "see above")]

mod below;
mod bypass;
mod chain;
mod commit;
mod debug;
mod extents;
mod flight;
mod hole;
mod inner;
mod kernel;
mod mapping;
mod maps;
mod merge;
mod request;
mod rloop;
mod sampling;
mod split;
mod who;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
