//! Numbers that no probe counts and that others imply.

use rloop_common::Op;

use crate::sample::DeviceSample;

/// btrfs has no event for a punch: it is what the driver makes of a discard.
pub(super) fn punches(sample: &mut DeviceSample) {
    if sample.backing.fs == "btrfs" {
        let discards = &sample.ops[Op::Discard.index()];
        sample.holes.punches = discards.submitted;
        sample.holes.punched_bytes = discards.bytes;
    }
}

/// btrfs has no event for a buffered write: what was written to the device and did not go by direct
/// I/O went through the page cache. Direct I/O is known when it completes, so only completed writes are
/// looked at; of those only the number is known, and they are taken to be as large as the others.
pub(super) fn buffered(sample: &mut DeviceSample) {
    if sample.backing.fs == "btrfs" {
        let writes = &sample.ops[Op::Write.index()];
        let completed = u128::from(writes.bytes) * u128::from(writes.completed)
            / u128::from(writes.submitted.max(1));
        sample.bypass.buffered_write_bytes =
            (completed as u64).saturating_sub(sample.bypass.direct_write_bytes);
        sample.bypass.derived = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_completed_went_nowhere_yet() {
        let mut sample = DeviceSample::default();
        sample.backing.fs = "btrfs".to_owned();
        let writes = &mut sample.ops[Op::Write.index()];
        // One is in flight, two completions were lost.
        (writes.submitted, writes.completed, writes.lost) = (101, 98, 2);
        writes.bytes = 101 * 4096;
        sample.bypass.direct_write_bytes = 98 * 4096;
        buffered(&mut sample);
        assert_eq!(sample.bypass.buffered_write_bytes, 0);
        sample.bypass.direct_write_bytes = 0;
        buffered(&mut sample);
        assert_eq!(sample.bypass.buffered_write_bytes, 98 * 4096);
    }
}
