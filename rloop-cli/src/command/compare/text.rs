//! The comparison for people, in lines of at most 80 characters.

use super::args;
use super::report::Report;
use super::row::{Row, Times};
use super::target::How;
use super::why;
use crate::command::table::{COLUMNS, wrap};
use crate::tui::units;

/// Where sentences about a load begin.
const INDENT: usize = 15;

/// What is above the table that grows.
pub(super) fn head() -> String {
    format!(
        "{:29}IOPS{:28}p50{:13}p99\n{}\n",
        "",
        "",
        "",
        line([
            "LOAD", "LOOP", "RLOOP", "TIMES", "SURELY", "LOOP", "RLOOP", "LOOP", "RLOOP"
        ])
    )
}

/// A load in that table.
pub(super) fn row(row: &Row) -> String {
    let ns = |estimate: Option<crate::diff::percentile::Estimate>| {
        units::ns(estimate.map(|estimate| estimate.ns))
    };
    line([
        row.load.name(),
        units::count(row.stock.iops),
        units::count(row.rloop.iops),
        times(Some(row.iops)),
        surely(Some(row.iops)),
        ns(row.stock.p50),
        ns(row.rloop.p50),
        ns(row.stock.p99),
        ns(row.rloop.p99),
    ])
}

fn line(cells: [impl AsRef<str>; 9]) -> String {
    const WIDTHS: [usize; 9] = [14, 6, 6, 6, 12, 7, 7, 7, 7];
    columns(&cells, &WIDTHS)
}

/// What follows the table: what it costs, and why it is so.
pub(super) fn rest(report: &Report) -> String {
    let mut text = String::new();
    if !report.rows.is_empty() {
        text += &costs(&report.rows);
        text.push('\n');
    }
    for row in &report.rows {
        text += &about(&row.load.name(), &why::sentence(row));
    }
    for (load, why) in &report.omitted {
        text += &about(&load.name(), &format!("not measured: {why}"));
    }
    text.push('\n');
    for line in wrap(&foot(report), COLUMNS) {
        text += &format!("{line}\n");
    }
    text
}

fn costs(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:18}p50{:17}p99{:10}CPU per I/O  switches per I/O\n{}\n",
        "",
        "",
        "",
        cost([
            "LOAD",
            "TIMES, SURELY",
            "TIMES, SURELY",
            "LOOP",
            "RLOOP",
            "LOOP",
            "RLOOP"
        ])
    );
    for row in rows {
        let both = |value| format!("{} {}", times(value), surely(value));
        let cells = [
            row.load.name(),
            both(row.p50),
            both(row.p99),
            units::ns(Some(row.stock.cpu_ns as u64)),
            units::ns(Some(row.rloop.cpu_ns as u64)),
            format!("{:.2}", row.stock.switches),
            format!("{:.2}", row.rloop.switches),
        ];
        text += &format!("{}\n", cost(cells));
    }
    text
}

fn cost(cells: [impl AsRef<str>; 7]) -> String {
    const WIDTHS: [usize; 7] = [14, 18, 18, 7, 7, 5, 5];
    columns(&cells, &WIDTHS)
}

/// The first cell to the left, the others to the right.
fn columns(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).enumerate();
    let cells = cells.map(|(place, (cell, width))| match place {
        0 => format!("{:<width$}", cell.as_ref()),
        _ => format!("{:>width$}", cell.as_ref()),
    });
    cells.collect::<Vec<_>>().join(" ")
}

fn about(load: &str, sentence: &str) -> String {
    let lines = wrap(sentence, COLUMNS - INDENT);
    let heads = std::iter::once(load).chain(std::iter::repeat(""));
    let lines = heads.zip(lines);
    lines
        .map(|(head, line)| format!("{head:INDENT$}{line}\n"))
        .collect()
}

/// How it was measured.
fn foot(report: &Report) -> String {
    let of = if report.is_copy { "a copy of " } else { "" };
    let mut text = format!(
        "Measured on {of}{}, {} rounds of {} s each, loop and rloop in turn.",
        report.path, report.rounds, report.seconds
    );
    if let Some(row) = report.rows.last()
        && let How::Rloop { provider, why, .. } = &row.rloop.how
    {
        let direct = if row.stock.how.is_direct() {
            "direct"
        } else {
            "buffered"
        };
        text += &format!(" loop was {direct}, rloop mapped by {provider} ({why})");
        if report.is_copy {
            let args::Filling { fill, commit } = &report.filling;
            let (fill, commit) = (args::name(fill), args::name(commit));
            text += &format!(", with --fill {fill} --commit {commit}");
        }
        text.push('.');
    }
    text += " TIMES: rloop's of loop's; SURELY: the range that this lies in with 99 % confidence; CPU \
             and switches: of the whole machine.";
    text
}

fn times(value: Option<Times>) -> String {
    value.map_or_else(|| "-".into(), |value| factor(value.times))
}

fn surely(value: Option<Times>) -> String {
    let surely = value.and_then(|value| value.surely);
    let text = surely.map(|(low, high)| format!("{}..{}", factor(low), factor(high)));
    text.unwrap_or_else(|| "-".into())
}

/// Three digits, of small ones fewer.
fn factor(value: f64) -> String {
    match value {
        value if value < 0.0995 => format!("{value:.3}"),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
