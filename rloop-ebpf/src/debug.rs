//! What the probes say of themselves under `--debug`: why something was not counted as it should be.
//!
//! The level is a frozen global. While it is 0 the verifier sees that no message can be sent and
//! removes them all, so that they cost nothing. Each message is a function of its own: what only a
//! message needs stays out of the programs' registers.

use aya_log_ebpf::{debug, warn};

/// The tag of a request was submitted again before its completion was seen.
#[inline(never)]
pub fn slot_reused(device: u32, op: u32, offset: u64) {
    warn!(
        (),
        "device {}: completion lost: operation {} at byte {}", device, op, offset
    );
}

/// A request of an operation that is not counted.
#[inline(never)]
pub fn unknown_operation(device: u32, flags: u32) {
    debug!(
        (),
        "device {}: not counted: operation flags {:x}", device, flags
    );
}

/// A request whose tag is beyond the slots.
#[inline(never)]
pub fn unknown_tag(device: u32, op: u32) {
    warn!(
        (),
        "device {}: not timed: no slot for the tag of a request of operation {}", device, op
    );
}

/// A completion whose submission was not seen.
#[inline(never)]
pub fn unknown_request(device: u32, op: u32) {
    debug!(
        (),
        "device {}: not timed: completion of a request that was not seen to start, its tag last had operation {}",
        device,
        op
    );
}

/// A request that touches more extents than are attributed, or none that is known.
#[inline(never)]
pub fn extent_missed(device: u32, offset: u64, len: u32) {
    warn!(
        (),
        "device {}: belongs to no known extent: {} bytes at byte {}", device, len, offset
    );
}

/// Direct I/O on a backing file that no request of its device asked for.
#[inline(never)]
pub fn foreign_direct_io(inode: u64, bytes: u64) {
    debug!(
        (),
        "inode {}: {} bytes of direct I/O around the device", inode, bytes
    );
}
