//! What only devices of rloop have, in one interval.

use rloop_common::{Op, rloop::REASONS};

use super::Mode;
use crate::sample::{DeviceSample, Moved, RloopSample, Submitter};

/// How an rloop device is mapped, and what it did in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RloopFrame {
    /// Why the provider is not a better one; `best` if it is.
    pub why: String,
    /// How holes are filled: `vfs` or `layout`.
    pub fill: String,
    /// When fills are made durable: `flush` or `each`.
    pub commit: String,
    /// The first error that lost something, as a positive errno; 0 if there was none.
    pub errno: u32,
    /// Reads.
    pub reads: Ways,
    /// Writes.
    pub writes: Ways,
    /// Requests that a worker had to look at, by [`Reason`](rloop_common::rloop::Reason).
    pub reasons: [u64; REASONS],
    /// Fills whose data was written.
    pub fills: Moved,
    /// How long one took on average, nanoseconds.
    pub fill_mean_ns: Option<u64>,
    /// Fills that are not durable yet, at the interval's end.
    pub fills_waiting: u64,
    /// Commits that made fills durable.
    pub group_commits: u64,
    /// Fills that each of these made durable, on average.
    pub fills_per_commit: Option<f64>,
    /// Commits that failed.
    pub commit_errors: u64,
    /// Times that the mapping was given back.
    pub recalls: u64,
    /// How long that took on average, nanoseconds.
    pub recall_mean_ns: Option<u64>,
    /// The longest since the device is watched, nanoseconds.
    pub recall_max_ns: u64,
    /// Who took it back, most often first: as many times as they have requests.
    pub recallers: Vec<Submitter>,
    /// Writes that had to drop cached pages of the file.
    pub invalidations: u64,
}

/// Which way requests of one kind went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ways {
    /// Straight to the disk.
    pub fast: Moved,
    /// Answered with zeros, without I/O.
    pub zero: Moved,
    /// Through the filesystem.
    pub vfs: Moved,
}

impl Ways {
    /// The share that needed no filesystem, 0 to 1; `None` if there were none.
    pub fn fast_share(&self) -> Option<f64> {
        let fast = self.fast.ops + self.zero.ops;
        let all = fast + self.vfs.ops;
        (all > 0).then(|| fast as f64 / all as f64)
    }
}

/// How the module maps a device.
pub(super) fn mode(provider: &str) -> Mode {
    match provider {
        "layout" => Mode::Layout,
        "bmap" => Mode::Bmap,
        _ => Mode::Vfs,
    }
}

/// What a device of rloop did between two samples.
pub(super) fn derive(old: &DeviceSample, new: &DeviceSample) -> Option<RloopFrame> {
    let now = new.rloop.as_ref()?;
    let nothing = RloopSample::default();
    let before = old.rloop.as_ref().unwrap_or(&nothing);
    let grown = |field: fn(&RloopSample) -> u64| field(now).saturating_sub(field(before));
    let mean = |sum: u64, count: u64| sum.checked_div(count);
    let fills = less(now.fills, before.fills);
    let (recalls, group_commits) = (grown(|r| r.recalls), grown(|r| r.group_commits));
    let ways = |op| {
        let ways = |sample: &DeviceSample, rloop| ways(sample, rloop, op);
        let (old, new) = (ways(old, before), ways(new, now));
        Ways {
            fast: less(new.fast, old.fast),
            zero: less(new.zero, old.zero),
            vfs: less(new.vfs, old.vfs),
        }
    };
    Some(RloopFrame {
        why: now.why.clone(),
        fill: now.fill.clone(),
        commit: now.commit.clone(),
        errno: now.errno,
        reads: ways(Op::Read),
        writes: ways(Op::Write),
        reasons: std::array::from_fn(|i| now.reasons[i].saturating_sub(before.reasons[i])),
        fills,
        fill_mean_ns: mean(grown(|r| r.fill_ns), fills.ops),
        fills_waiting: now.fills.ops.saturating_sub(now.durable_fills),
        group_commits,
        fills_per_commit: (group_commits > 0)
            .then(|| grown(|r| r.committed_fills) as f64 / group_commits as f64),
        commit_errors: grown(|r| r.commit_errors),
        recalls,
        recall_mean_ns: mean(grown(|r| r.recall_ns), recalls),
        recall_max_ns: now.recall_max_ns,
        recallers: super::derive::submitters(&before.recallers, &now.recallers),
        invalidations: grown(|r| r.invalidations),
    })
}

/// All that ever went which way. What went to the disk is what is left.
fn ways(sample: &DeviceSample, rloop: &RloopSample, op: Op) -> Ways {
    let all = Moved {
        ops: sample.ops[op.index()].submitted,
        bytes: sample.ops[op.index()].bytes,
    };
    let zero = if op == Op::Read {
        rloop.zero
    } else {
        Moved::default()
    };
    let vfs = rloop.vfs[op.index()];
    Ways {
        fast: less(less(all, zero), vfs),
        zero,
        vfs,
    }
}

fn less(all: Moved, part: Moved) -> Moved {
    Moved {
        ops: all.ops.saturating_sub(part.ops),
        bytes: all.bytes.saturating_sub(part.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(reads: u64, zero: u64, vfs: u64, committed: u64) -> DeviceSample {
        let moved = |ops| Moved {
            ops,
            bytes: ops * 4096,
        };
        let mut rloop = RloopSample {
            zero: moved(zero),
            fills: moved(vfs + committed),
            durable_fills: committed,
            committed_fills: committed,
            group_commits: committed / 5,
            recalls: vfs,
            recall_ns: 300 * vfs,
            ..RloopSample::default()
        };
        rloop.vfs[Op::Read.index()] = moved(vfs);
        let mut sample = DeviceSample {
            rloop: Some(rloop),
            ..DeviceSample::default()
        };
        sample.ops[Op::Read.index()].submitted = reads;
        sample.ops[Op::Read.index()].bytes = reads * 4096;
        sample
    }

    #[test]
    fn what_goes_neither_way_goes_to_the_disk() {
        let frame = derive(&sample(10, 2, 3, 5), &sample(30, 4, 8, 20)).expect("an rloop device");
        let Ways { fast, zero, vfs } = frame.reads;
        assert_eq!((fast.ops, zero.ops, vfs.ops), (13, 2, 5));
        assert_eq!(fast.bytes, 13 * 4096);
        assert_eq!(frame.reads.fast_share(), Some(0.75));
        assert_eq!(frame.writes.fast_share(), None);
    }

    #[test]
    fn fills_wait_until_they_are_durable() {
        let frame = derive(&sample(0, 0, 3, 5), &sample(0, 0, 8, 20)).expect("an rloop device");
        assert_eq!((frame.fills.ops, frame.fills_waiting), (20, 8));
        assert_eq!(frame.fills_per_commit, Some(5.0));
        assert_eq!((frame.recalls, frame.recall_mean_ns), (5, Some(300)));
        let idle = sample(0, 0, 3, 5);
        let frame = derive(&idle, &idle).expect("an rloop device");
        assert_eq!((frame.fills_per_commit, frame.recall_mean_ns), (None, None));
        assert_eq!(derive(&idle, &DeviceSample::default()), None);
    }
}
