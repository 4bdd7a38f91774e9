//! Why a row came out as it did: which way the I/Os went.

use std::collections::BTreeMap;

use super::doctor::provider::explain;
use super::load::Operation;
use super::row::Row;
use super::target::How;
use crate::{model::Percent, tui::units};

/// I/Os of rloop, by the way they went, as shares of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    /// Straight to the disk.
    pub(super) fast: f64,
    /// Straight to the disk, into blocks that were allocated for that.
    pub(super) filled: f64,
    /// Answered with zeros.
    pub(super) zero: f64,
    /// Through the filesystem.
    pub(super) vfs: f64,
}

impl Shares {
    /// From what the counters grew by.
    pub(super) fn of(counters: &BTreeMap<String, u64>, only_reads: bool) -> Self {
        let value = |name: &str| counters.get(name).copied().unwrap_or(0) as f64;
        let [fast, filled, zero, vfs] = if only_reads {
            let [fast, zero, vfs] = ["fast_reads", "zero_reads", "vfs_reads"].map(value);
            [fast, 0.0, zero, vfs]
        } else {
            let vfs = value("vfs_writes");
            // Fills through the filesystem are among its writes; those on the disk are no other writes as well.
            let filled = (value("fills") - vfs).max(0.0);
            [value("fast_writes"), filled, 0.0, vfs]
        };
        let all = (fast + filled + zero + vfs).max(1.0);
        Self {
            fast: fast / all,
            filled: filled / all,
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
    let mut text = format!("{verdict}: {}; {}", of_rloop(row), of_loop(row));
    if row.load.flushes()
        && let (Some(stock), Some(rloop)) = (row.stock.disk_bytes, row.rloop.disk_bytes)
    {
        let size = |bytes: f64| units::bytes(bytes as u64);
        text += &format!(
            "; for each {} the disk had {} to write with loop, {} with rloop",
            size(row.load.block_bytes() as f64),
            size(stock),
            size(rloop)
        );
    }
    text
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
    let mut text = ways(
        what,
        &[
            (shares.fast, "went straight to the disk"),
            (
                shares.filled,
                "went straight to the disk, into blocks allocated before",
            ),
            (shares.zero, "were answered with zeros, without I/O"),
            (shares.vfs, "went through the filesystem too"),
        ],
    );
    if row.load.operation() == Operation::Fill {
        if shares.vfs > 0.0 {
            text += ", which has to allocate blocks";
        }
    } else if provider == "vfs" {
        text += &format!(" ({why}: {})", explain(why).0);
    }
    text + &of_commits(row, counters)
}

/// What rloop did to make writes durable.
fn of_commits(row: &Row, counters: &BTreeMap<String, u64>) -> String {
    let value = |name: &str| counters.get(name).copied().unwrap_or(0);
    let slow_flushes = value("flushes").saturating_sub(value("fast_flushes"));
    let mut text = String::new();
    // A flush that commits is told as such.
    let commits = value("commits").saturating_sub(slow_flushes);
    let each = format!("{:.2}", commits as f64 / row.rloop.ios as f64);
    if !row.load.only_reads() && each != "0.00" {
        text += &format!(", with {each} commits of the filesystem for each");
    }
    if row.load.flushes() {
        let slow = slow_flushes as f64 / value("flushes").max(1) as f64;
        let ways = ways(
            "flushes",
            &[
                (
                    1.0 - slow,
                    "went straight to the disk, with nothing to commit",
                ),
                (slow, "had the filesystem commit"),
            ],
        );
        text += &format!("; {ways}");
    }
    text
}

/// Which way how large a share went, the largest first.
fn ways(what: &str, ways: &[(f64, &str)]) -> String {
    let mut ways: Vec<_> = ways.iter().filter(|(share, _)| *share > 0.0).collect();
    ways.sort_by(|one, other| other.0.total_cmp(&one.0));
    if let [(_, way)] = &ways[..] {
        return format!("all {what} {way}");
    }
    let ways = ways
        .iter()
        .map(|(share, way)| format!("{} {way}", Percent::of(*share)));
    format!("of all {what}, {}", ways.collect::<Vec<_>>().join(", "))
}

fn of_loop(row: &Row) -> String {
    let way = match row.stock.how {
        How::Loop { direct: false, .. } => "the page cache, as it has no direct I/O here",
        ref how if how.is_direct() => "the filesystem",
        _ => "the page cache, though it says that it does direct I/O",
    };
    let flush = if row.load.flushes() {
        ", and each flush was an fsync of the file"
    } else {
        ""
    };
    format!("loop's went through its worker and {way}{flush}")
}
