//! A device's counters, summed over the processors.

use rloop_common::{
    device::{DeviceBlock, OpCounters},
    op::OPS,
    rloop::Rloop,
    who::Recent,
};

use super::mapped::Mapped;
use crate::sample::{Buckets, BypassSample, DeviceSample, HolesSample, OpSample, SplitSample};

/// Running sums of a device's histograms. The probes' buckets have 32 bits and wrap; these do not.
pub(super) struct Counters {
    blocks: Mapped<DeviceBlock>,
    /// Each processor's block as last read.
    last: Vec<Box<DeviceBlock>>,
    histograms: [Histograms; OPS],
    losses: Losses,
    rloop: Rloop,
}

/// Completions lost to the probes and not yet found by them.
///
/// The probes find a lost completion when its tag is used again. On a device without work that may
/// be never: there, what is still open is lost.
#[derive(Default)]
struct Losses {
    /// Requests submitted when last read.
    submitted: u64,
    /// All losses by operation, when the device was last quiet.
    found: [u64; OPS],
}

/// Bucket counts of one operation.
#[derive(Default)]
struct Histograms {
    total: Vec<u64>,
    queue: Vec<u64>,
    service: Vec<u64>,
}

impl Counters {
    /// Counters over `blocks`, one for each processor, all zero.
    pub(super) fn new(blocks: Mapped<DeviceBlock>) -> Self {
        let last = (0..blocks.len())
            .map(|cpu| Box::new(blocks.get(cpu)))
            .collect();
        Self {
            blocks,
            last,
            histograms: Default::default(),
            losses: Losses::default(),
            rloop: Rloop::default(),
        }
    }

    /// Who submitted of late, on each processor, as it is now.
    pub(super) fn recent(&self) -> impl Iterator<Item = Recent> + '_ {
        (0..self.blocks.len()).flat_map(|cpu| {
            let block = self.blocks.at(cpu);
            // SAFETY: valid for reads until the map is dropped; plain data.
            unsafe { (&raw const (*block).recent).read_volatile() }
        })
    }

    /// Requests of whose issue the kernel did not tell when it was, as last read.
    pub(super) fn untold(&self) -> u64 {
        self.last.iter().map(|block| block.untold).sum()
    }

    /// What only devices of rloop count, as last read.
    pub(super) fn rloop(&self) -> &Rloop {
        &self.rloop
    }

    /// Reads the probes' counters into `sample`; returns the requests that belong to no known extent.
    /// `idle`: the kernel had nothing in flight just before.
    pub(super) fn read(&mut self, sample: &mut DeviceSample, idle: bool) -> u64 {
        let mut unattributed = 0;
        self.rloop = Rloop::default();
        for cpu in 0..self.blocks.len() {
            let now = Box::new(self.blocks.get(cpu));
            for op in 0..OPS {
                add_op(&mut sample.ops[op], &now.ops[op]);
                if now.ops[op] != self.last[cpu].ops[op] {
                    self.histograms[op].advance(&self.last[cpu], &now, op);
                }
            }
            add_rest(sample, &now);
            self.rloop.add(&now.rloop);
            unattributed += now.unattributed;
            self.last[cpu] = now;
        }
        for (op, histograms) in sample.ops.iter_mut().zip(&self.histograms) {
            op.total = sparse(&histograms.total);
            op.queue = sparse(&histograms.queue);
            op.service = sparse(&histograms.service);
        }
        self.losses.add_to(&mut sample.ops, idle);
        sample.in_flight = sample.ops.iter().map(open).sum();
        unattributed
    }
}

impl Losses {
    /// Adds what the probes have not found yet. Something submitted since the last read may not be
    /// in the kernel's own count yet, which follows that of the probes: then nothing is said.
    fn add_to(&mut self, ops: &mut [OpSample; OPS], idle: bool) {
        let submitted = ops.iter().map(|op| op.submitted).sum();
        let quiet = idle && submitted == self.submitted;
        self.submitted = submitted;
        for (op, found) in ops.iter_mut().zip(&mut self.found) {
            if quiet {
                *found = op.lost + open(op);
            }
            // Never both: the probes come to find the same ones.
            op.lost = op.lost.max(*found);
        }
    }
}

/// Requests of which no end was seen.
fn open(op: &OpSample) -> u64 {
    op.submitted.saturating_sub(op.completed + op.lost)
}

impl Histograms {
    fn advance(&mut self, old: &DeviceBlock, new: &DeviceBlock, op: usize) {
        advance(&mut self.total, &old.total[op], &new.total[op]);
        advance(&mut self.queue, &old.queue[op], &new.queue[op]);
        advance(&mut self.service, &old.service[op], &new.service[op]);
    }
}

/// Adds what each wrapping bucket grew by.
fn advance(sums: &mut Vec<u64>, old: &[u32], new: &[u32]) {
    sums.resize(new.len(), 0);
    for ((sum, &old), &new) in sums.iter_mut().zip(old).zip(new) {
        *sum += u64::from(new.wrapping_sub(old));
    }
}

/// The buckets that are not empty.
pub(super) fn sparse(sums: &[u64]) -> Buckets {
    let filled = sums.iter().enumerate().filter(|&(_, &count)| count > 0);
    Buckets(
        filled
            .map(|(bucket, &count)| (bucket as u16, count))
            .collect(),
    )
}

fn add_op(sum: &mut OpSample, counters: &OpCounters) {
    // A processor may have seen more requests merged away than submitted.
    sum.submitted = sum.submitted.wrapping_add(counters.submitted);
    sum.bytes += counters.submitted_bytes;
    sum.completed += counters.completed;
    sum.lost += counters.lost;
    sum.errors += counters.errors;
    sum.requeued += counters.requeued;
    sum.max_ns = sum.max_ns.max(counters.max_ns);
}

fn add_rest(sample: &mut DeviceSample, block: &DeviceBlock) {
    let SplitSample {
        requests,
        sampled,
        derived,
        queue_ns,
        worker_ns,
        filesystem_ns,
        disk_ns,
    } = &mut sample.split;
    *requests += block.split.requests;
    *sampled += block.split.sampled;
    *derived += block.split.derived;
    *queue_ns += block.split.queue_ns;
    *worker_ns += block.split.worker_ns;
    *filesystem_ns += block.split.filesystem_ns;
    *disk_ns += block.split.disk_ns;
    let BypassSample {
        direct_read_bytes,
        direct_write_bytes,
        buffered_read_bytes,
        buffered_write_bytes,
        derived: _,
    } = &mut sample.bypass;
    *direct_read_bytes += block.bypass.direct_read_bytes;
    *direct_write_bytes += block.bypass.direct_write_bytes;
    *buffered_read_bytes += block.bypass.buffered_read_bytes;
    *buffered_write_bytes += block.bypass.buffered_write_bytes;
    let HolesSample {
        fills,
        fill_bytes,
        conversions,
        conversion_bytes,
        punches,
        punched_bytes,
    } = &mut sample.holes;
    *fills += block.holes.fills;
    *fill_bytes += block.holes.fill_bytes;
    *conversions += block.holes.conversions;
    *conversion_bytes += block.holes.conversion_bytes;
    *punches += block.holes.punches;
    *punched_bytes += block.holes.punched_bytes;
    sample.merges += block.merges;
    sample.commits.count += block.commits;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(losses: &mut Losses, counts: (u64, u64, u64), idle: bool) -> (u64, u64) {
        let mut ops: [OpSample; OPS] = Default::default();
        (ops[0].submitted, ops[0].completed, ops[0].lost) = counts;
        losses.add_to(&mut ops, idle);
        (ops[0].lost, open(&ops[0]))
    }

    #[test]
    fn what_is_open_on_a_quiet_device_is_lost_once() {
        let mut losses = Losses::default();
        // Just submitted: the kernel may not count it yet.
        assert_eq!(read(&mut losses, (10, 9, 0), true), (0, 1));
        assert_eq!(read(&mut losses, (10, 9, 0), false), (0, 1));
        assert_eq!(read(&mut losses, (10, 9, 0), true), (1, 0));
        // Its tag is used again, so the probes find it, too.
        assert_eq!(read(&mut losses, (12, 10, 1), false), (1, 1));
        assert_eq!(read(&mut losses, (12, 10, 1), true), (2, 0));
    }
}
