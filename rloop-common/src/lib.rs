//! What the probes and the programs both know: operations, latency buckets, and the layout of the
//! counters in the maps they share.
//!
//! Everything here is `no_std` and allocation-free, because the probes are built for a BPF target.
//! Every structure that crosses the border is `repr(C)` without padding, with its size asserted.
#![no_std]

pub mod bucket;
pub mod chain;
pub mod device;
pub mod event;
pub mod extent;
pub mod op;
pub mod rloop;
pub mod slot;
pub mod who;

pub use op::Op;
