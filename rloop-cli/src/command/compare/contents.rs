//! What the loads write, and whether it is there afterwards.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::engine::{Order, Outcome};
use crate::load::{Aligned, BLOCK};

/// How many blocks of a run are read again.
const VERIFIED: usize = 1024;

/// What belongs at an offset. It depends on that and on the tag alone, so it does not matter in which order
/// one run writes the same block twice; and no two runs write the same.
pub(super) fn fill(block: &mut [u8], offset: u64, tag: u64) {
    let first = (offset ^ tag << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (word, n) in block.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&first.wrapping_add(n).to_le_bytes());
    }
}

/// Reads the first blocks that a run wrote; the offset of one that holds something else.
pub(super) fn verify(from: &File, order: &Order<'_>, outcome: &Outcome) -> io::Result<Option<u64>> {
    let (mut found, mut expected) = (Aligned::new(BLOCK), vec![0; BLOCK]);
    let each = VERIFIED / order.plan.load.depth();
    for (thread, &done) in outcome.done.iter().enumerate() {
        for offset in order.plan.steps(order.round, thread).take(done.min(each)) {
            fill(&mut expected, offset, order.tag);
            from.read_exact_at(found.get(BLOCK), offset)?;
            if found.get(BLOCK) != expected {
                return Ok(Some(offset));
            }
        }
    }
    Ok(None)
}

/// Where two runs of the same order first read different data.
pub(super) fn difference(order: &Order<'_>, one: &Outcome, other: &Outcome) -> Option<u64> {
    let threads = one.sums.iter().zip(&other.sums).enumerate();
    threads
        .filter_map(|(thread, (one, other))| {
            let at = one
                .iter()
                .zip(other)
                .position(|(one, other)| one != other)?;
            order.plan.steps(order.round, thread).nth(at)
        })
        .next()
}
