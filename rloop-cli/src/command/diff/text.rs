//! Two recordings, compared, for people.

use super::super::table::Table;
use super::{alone, name, percentile, summary};
use crate::diff::percentile::Verdict;
use crate::diff::{Compared, DeviceDiff, Diff, Row, Side, What};
use crate::tui::units;

/// A table for each device, and what there is to say beside it.
pub(super) fn render(diff: &Diff) -> String {
    let mut text = side("A", &diff.a) + &side("B", &diff.b);
    for device in &diff.devices {
        text.push_str(&format!("\n{}\n", device.name));
        for note in &device.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text.push_str(&table(device).to_string());
    }
    text.push('\n');
    for one in alone(diff) {
        text.push_str(&format!("{one}\n"));
    }
    text.push_str(&format!("{}\n", summary(diff)));
    text
}

fn side(name: &str, side: &Side) -> String {
    format!(
        "{name}: {}, {} intervals in {:.0} s\n",
        side.path,
        side.intervals,
        side.length_ns as f64 / 1e9
    )
}

fn table(device: &DeviceDiff) -> Table {
    let mut table = Table::new(&[
        "WHAT", ">N-A", ">N-B", "", ">A", ">B", ">CHANGE", ">SURELY", "",
    ]);
    for row in &device.rows {
        let all = row.percentiles.iter();
        for one in all.filter(|one| is_told(row, one)) {
            table.row(line(row, one));
        }
    }
    table
}

/// Ranges are many: those of which there is something to say.
fn is_told(row: &Row, one: &Compared) -> bool {
    let changed = matches!(one.verdict, Verdict::Slower | Verdict::Faster);
    changed || matches!(row.what, What::Operation(_))
}

fn line(row: &Row, one: &Compared) -> Vec<String> {
    let verdict = match one.verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Same => "",
        Verdict::TooVaried => "too varied",
        Verdict::TooFew => "too few",
        Verdict::OtherMix => "other mix",
    };
    vec![
        name(row),
        units::count(row.a as f64),
        units::count(row.b as f64),
        percentile(one.per_mille),
        units::ns(one.a.map(|a| a.ns)),
        units::ns(one.b.map(|b| b.ns)),
        change(one),
        surely(one),
        verdict.to_owned(),
    ]
}

/// About how much longer it takes.
pub(super) fn change(one: &Compared) -> String {
    let text = one
        .change()
        .map(|change| format!("{:+.0}%", change * 100.0));
    text.unwrap_or_else(|| "-".into())
}

/// How many times as long, at least, the slower one surely takes.
pub(super) fn surely(one: &Compared) -> String {
    let text = one.surely().map(|more| format!("{:.2}x", 1.0 + more));
    text.unwrap_or_else(|| "-".into())
}
