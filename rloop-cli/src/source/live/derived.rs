//! Numbers that no probe counts and that others imply.

use std::collections::VecDeque;

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

/// btrfs has no event for a buffered write: what was written to the device and did not go by direct I/O went through the
/// page cache.
///
/// Direct I/O is known when it completes, so only writes that have completed may be looked at. Of those only the number
/// is known. They are taken to be those that were submitted first, and their bytes are what they were when so many had
/// been: at an earlier sample. So under load this is a lower bound, which lags by a sample, and once nothing is in
/// flight it is exact.
#[derive(Debug, Default)]
pub(super) struct Buffered {
    /// What was told last: it does not become less.
    at_least: u64,
    /// Writes and their bytes at samples, from the last one of which all have completed.
    submitted: VecDeque<(u64, u64)>,
}

impl Buffered {
    /// Completes a sample of a device.
    pub(super) fn complete(&mut self, sample: &mut DeviceSample) {
        if sample.backing.fs != "btrfs" {
            return;
        }
        let writes = &sample.ops[Op::Write.index()];
        let now = (writes.submitted, writes.bytes);
        if self.submitted.back() != Some(&now) {
            self.submitted.push_back(now);
        }
        let ended = writes.completed + writes.lost;
        while self.submitted.get(1).is_some_and(|next| next.0 <= ended) {
            self.submitted.pop_front();
        }
        let first = self.submitted.front();
        let bytes = first.map_or(0, |first| if first.0 <= ended { first.1 } else { 0 });
        let buffered = bytes.saturating_sub(sample.bypass.direct_write_bytes);
        self.at_least = self.at_least.max(buffered);
        sample.bypass.buffered_write_bytes = self.at_least;
        sample.bypass.derived = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Writes submitted, their bytes, how many have completed, and what was direct; what is told of it.
    fn told(buffered: &mut Buffered, submitted: u64, bytes: u64, ended: u64, direct: u64) -> u64 {
        let mut sample = DeviceSample::default();
        sample.backing.fs = "btrfs".to_owned();
        let writes = &mut sample.ops[Op::Write.index()];
        (writes.submitted, writes.bytes, writes.completed) = (submitted, bytes, ended);
        sample.bypass.direct_write_bytes = direct;
        buffered.complete(&mut sample);
        assert!(sample.bypass.derived);
        sample.bypass.buffered_write_bytes
    }

    #[test]
    fn large_writes_in_flight_do_not_make_small_direct_ones_buffered() {
        let mut buffered = Buffered::default();
        let small = 10_000 * 4096;
        assert_eq!(
            told(&mut buffered, 10_032, small + 32 * MIB, 10_000, small),
            0
        );
        // They were direct, too.
        let all = small + 32 * MIB;
        assert_eq!(told(&mut buffered, 10_032, all, 10_032, all), 0);
    }

    #[test]
    fn under_load_it_lags_by_a_sample_and_when_idle_it_is_exact() {
        let mut buffered = Buffered::default();
        assert_eq!(told(&mut buffered, 110, 110 * MIB, 100, 0), 0);
        assert_eq!(told(&mut buffered, 210, 210 * MIB, 200, 0), 110 * MIB);
        assert_eq!(told(&mut buffered, 310, 310 * MIB, 300, 0), 210 * MIB);
        assert_eq!(told(&mut buffered, 310, 310 * MIB, 310, 0), 310 * MIB);
    }

    #[test]
    fn it_does_not_become_less() {
        let mut buffered = Buffered::default();
        assert_eq!(told(&mut buffered, 10, 10 * MIB, 10, 0), 10 * MIB);
        assert_eq!(told(&mut buffered, 30, 30 * MIB, 20, 10 * MIB), 10 * MIB);
        assert_eq!(told(&mut buffered, 30, 30 * MIB, 30, 20 * MIB), 10 * MIB);
    }

    #[test]
    fn writes_that_were_lost_have_ended() {
        let mut sample = DeviceSample::default();
        sample.backing.fs = "btrfs".to_owned();
        let writes = &mut sample.ops[Op::Write.index()];
        (writes.submitted, writes.completed, writes.lost) = (100, 98, 2);
        writes.bytes = 100 * 4096;
        Buffered::default().complete(&mut sample);
        assert_eq!(sample.bypass.buffered_write_bytes, 100 * 4096);
    }
}
