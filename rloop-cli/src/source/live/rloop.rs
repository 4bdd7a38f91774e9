//! What the probes counted of an rloop device, as a sample has it.

mod probes;

use rloop_common::{Op, rloop::Rloop};

pub(super) use probes::RloopProbes;

use crate::{
    driver::RloopDevice,
    sample::{Buckets, BypassSample, DeviceSample, Moved, RloopSample},
};

const READ: usize = Op::Read.index();
const WRITE: usize = Op::Write.index();

/// Adds what only rloop devices have, and what their module knows better than the filesystem's events: how bytes
/// went, where the time went, and commits. Who took mappings back is not among it.
pub(super) fn complete(sample: &mut DeviceSample, device: &RloopDevice, counted: &Rloop) {
    sample.bypass = bypass(sample, counted);
    let split = &mut sample.split;
    split.worker_ns += counted.wait_ns;
    split.disk_ns = split.disk_ns.saturating_sub(counted.wait_ns);
    split.requests = [READ, WRITE]
        .iter()
        .map(|&op| timed(&sample.ops[op].total))
        .sum();
    split.sampled = split.requests;
    sample.commits.count = counted.commits;
    sample.rloop = Some(RloopSample {
        provider: device.provider.clone(),
        why: device.why.clone(),
        fill: device.fill.clone(),
        commit: device.commit.clone(),
        errno: device.error,
        zero: moved(counted.zero),
        vfs: counted.vfs.map(moved),
        reasons: counted.reasons,
        fills: moved(counted.fills),
        fill_ns: counted.fill_ns,
        durable_fills: counted.durable_fills,
        group_commits: counted.group_commits,
        committed_fills: counted.committed_fills,
        commit_errors: counted.commit_errors,
        recalls: counted.recalls,
        recall_ns: counted.recall_ns,
        recall_max_ns: counted.recall_max_ns,
        recallers: Vec::new(),
        invalidations: counted.invalidations,
    });
}

fn moved(moved: rloop_common::rloop::Moved) -> Moved {
    Moved {
        ops: moved.count,
        bytes: moved.bytes,
    }
}

fn timed(Buckets(buckets): &Buckets) -> u64 {
    buckets.iter().map(|&(_, count)| count).sum()
}

/// How bytes went: what went to the disk went past the page cache, and of the rest the module knows what the
/// filesystem was asked for, and whether it refused. btrfs does not refuse, and still takes writes of files with
/// checksums through the page cache; the probes see direct I/O where it happens.
fn bypass(sample: &DeviceSample, counted: &Rloop) -> BypassSample {
    let seen = &sample.bypass;
    let [reads, writes] = counted.paths;
    let mut direct_written = writes.direct_bytes;
    let derived = sample.backing.fs == "btrfs";
    if derived {
        // The module's requests do not say whether they write, so both are among the reads.
        let seen = seen.direct_read_bytes + seen.direct_write_bytes;
        direct_written = direct_written.min(seen.saturating_sub(reads.direct_bytes));
    }
    let written = writes.direct_bytes + writes.buffered_bytes;
    BypassSample {
        direct_read_bytes: to_disk(sample, counted, READ) + reads.direct_bytes,
        direct_write_bytes: to_disk(sample, counted, WRITE) + direct_written,
        buffered_read_bytes: reads.buffered_bytes,
        buffered_write_bytes: written - direct_written,
        derived,
    }
}

/// Bytes that went straight to the disk.
fn to_disk(sample: &DeviceSample, counted: &Rloop, op: usize) -> u64 {
    let zero = if op == READ { counted.zero.bytes } else { 0 };
    let elsewhere = counted.vfs[op].bytes + zero;
    sample.ops[op].bytes.saturating_sub(elsewhere)
}

/// What a change of the extent map leaves traces in.
pub(super) fn changes(counted: &Rloop) -> u64 {
    counted.map_changes
        + counted.fills.count
        + counted.durable_fills
        + counted.vfs[WRITE].count
        + counted.recalls
}

#[cfg(test)]
mod tests {
    use super::*;
    use rloop_common::{
        op::OPS,
        rloop::{Moved, Path},
    };

    #[test]
    fn what_btrfs_wrote_and_nobody_saw_go_directly_went_through_the_cache() {
        let counted = Rloop {
            vfs: [Moved {
                count: 2,
                bytes: 8192,
            }; OPS],
            paths: [Path {
                direct_bytes: 8192,
                buffered_bytes: 0,
            }; 2],
            ..Rloop::default()
        };
        let mut sample = DeviceSample::default();
        sample.ops[READ].bytes = 8192 + 4096;
        sample.ops[WRITE].bytes = 8192;
        sample.bypass.direct_read_bytes = 8192;
        let bypass_on = |fs: &str, sample: &mut DeviceSample| {
            sample.backing.fs = fs.to_owned();
            bypass(sample, &counted)
        };
        let xfs = bypass_on("xfs", &mut sample);
        assert_eq!(
            (xfs.direct_read_bytes, xfs.direct_write_bytes),
            (12_288, 8192)
        );
        assert!(xfs.buffered_write_bytes == 0 && !xfs.derived);
        let btrfs = bypass_on("btrfs", &mut sample);
        assert_eq!(
            (btrfs.direct_write_bytes, btrfs.buffered_write_bytes),
            (0, 8192)
        );
        assert!(btrfs.derived);
    }
}
