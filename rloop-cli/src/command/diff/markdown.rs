//! Two recordings, compared, for a comment on a change: what changed, the worst first.

use super::text::{change, surely};
use super::{alone, is_telling, name, percentile, summary};
use crate::diff::percentile::Verdict;
use crate::diff::{Change, Diff};
use crate::tui::units;

/// The most lines of the table.
const LINES: usize = 20;

/// A heading, a table of what changed, and notes.
pub(super) fn render(diff: &Diff) -> String {
    let slower = diff.with(Verdict::Slower);
    let heading = if !is_telling(diff) {
        "nothing can be said"
    } else if slower.is_empty() {
        "nothing slower"
    } else {
        "slower"
    };
    let mut text = format!("### rloop: {heading}\n\n{}\n", summary(diff));
    let mut changes = slower;
    changes.extend(diff.with(Verdict::Faster));
    if !changes.is_empty() {
        text.push_str(&table(&changes));
    }
    let notes: Vec<String> = notes(diff);
    if !notes.is_empty() {
        text.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    text
}

fn table(changes: &[Change<'_>]) -> String {
    let mut text = String::from(
        "\n| | device | what | | A | B | change | surely | requests |\n\
         |---|---|---|---|--:|--:|--:|--:|--:|\n",
    );
    for change in changes.iter().take(LINES) {
        text.push_str(&line(change));
    }
    match changes.len().saturating_sub(LINES) {
        0 => {}
        more => text.push_str(&format!("\nand {more} more\n")),
    }
    text
}

fn line(&(device, row, one): &Change<'_>) -> String {
    let verdict = match one.verdict {
        Verdict::Slower => "**slower**",
        _ => "faster",
    };
    let cells = [
        verdict.to_owned(),
        cell(&device.name),
        name(row),
        percentile(one.per_mille),
        units::ns(one.a.map(|a| a.ns)),
        units::ns(one.b.map(|b| b.ns)),
        change(one),
        surely(one),
        format!(
            "{} / {}",
            units::count(row.a as f64),
            units::count(row.b as f64)
        ),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn notes(diff: &Diff) -> Vec<String> {
    let of_devices = diff.devices.iter().flat_map(|device| {
        let notes = device.notes.iter();
        notes.map(|note| format!("- {}: {}", cell(&device.name), cell(note)))
    });
    let alone = alone(diff)
        .into_iter()
        .map(|one| format!("- {}", cell(&one)));
    of_devices.chain(alone).collect()
}

/// Text that does not end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
