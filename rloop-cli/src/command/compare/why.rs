//! Why a row came out as it did: which way the I/Os went.

use std::collections::BTreeMap;

use super::doctor::provider::explain;
use super::load::Operation;
use super::row::Row;
use super::target::How;

/// I/Os of rloop, by the way they went, as shares of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    /// Straight to the disk.
    pub(super) fast: f64,
    /// Answered with zeros.
    pub(super) zero: f64,
    /// Through the filesystem.
    pub(super) vfs: f64,
}

impl Shares {
    /// From what the counters grew by.
    pub(super) fn of(counters: &BTreeMap<String, u64>, only_reads: bool) -> Self {
        let value = |name: &str| counters.get(name).copied().unwrap_or(0) as f64;
        let [fast, zero, vfs] = if only_reads {
            ["fast_reads", "zero_reads", "vfs_reads"].map(value)
        } else {
            [value("fast_writes"), 0.0, value("vfs_writes")]
        };
        let all = (fast + zero + vfs).max(1.0);
        Self {
            fast: fast / all,
            zero: zero / all,
            vfs: vfs / all,
        }
    }
}

/// A sentence: what came of it, and why.
pub(super) fn sentence(row: &Row) -> String {
    let verdict = match row.iops.surely {
        None => "too few rounds to tell chance from change",
        Some((low, _)) if low > 1.0 => "faster",
        Some((_, high)) if high < 1.0 => "slower",
        Some(_) => "no difference that is not chance",
    };
    format!("{verdict}: {}; {}", of_rloop(row), of_loop(row))
}

fn of_rloop(row: &Row) -> String {
    let How::Rloop {
        provider,
        why,
        counters,
    } = &row.rloop.how
    else {
        return String::new();
    };
    let (what, only_reads) = match row.load.operation() {
        Operation::Read => ("reads", true),
        Operation::Overwrite | Operation::Fill => ("writes", false),
    };
    let shares = Shares::of(counters, only_reads);
    let ways = [
        (shares.fast, "went straight to the disk"),
        (shares.zero, "were answered with zeros, without I/O"),
        (shares.vfs, "went through the filesystem too"),
    ];
    let mut ways: Vec<_> = ways.into_iter().filter(|(share, _)| *share > 0.0).collect();
    ways.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut text = match &ways[..] {
        [(_, way)] => format!("all {what} {way}"),
        ways => {
            let ways = ways
                .iter()
                .map(|(share, way)| format!("{} {way}", percent(*share)));
            format!("of all {what}, {}", ways.collect::<Vec<_>>().join(", "))
        }
    };
    if row.load.operation() == Operation::Fill {
        text += ", which has to allocate blocks";
    } else if provider == "vfs" {
        text += &format!(" ({why}: {})", explain(why).0);
    }
    text
}

fn of_loop(row: &Row) -> &'static str {
    match row.stock.how {
        How::Loop { direct: false } => {
            "loop's went through its worker and the page cache, as it has no direct I/O here"
        }
        _ => "loop's went through its worker and the filesystem",
    }
}

/// Never 0 % or 100 % of what is neither nothing nor all.
fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 1.0 => "less than 1 %".into(),
        percent if percent > 99.0 => "over 99 %".into(),
        percent => format!("{percent:.0} %"),
    }
}
