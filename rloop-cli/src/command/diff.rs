//! `rloop diff`.

mod json;
mod markdown;
mod text;

use std::io::{self, Write as _};

use super::args::{self, Format};
use super::say;
use crate::diff::percentile::Verdict;
use crate::diff::{Diff, Options, Row, What, compare};
use crate::program::Stop;
use crate::tui::units;

/// Compares two recordings.
pub(super) fn run(args: &args::Diff) -> Result<(), Stop> {
    let options = Options {
        threshold_percent: args.threshold,
        by: args.by,
    };
    let compared = compare(&args.a, &args.b, &options);
    let diff = compared.map_err(|error| Stop::Usage(error.to_string()))?;
    for side in [&diff.a, &diff.b] {
        if let Some(warning) = side.warning {
            say(&format!("{}: {warning}", side.path));
        }
    }
    let text = match args.format {
        Format::Table => text::render(&diff),
        Format::Markdown => markdown::render(&diff),
        Format::Json => json::render(&diff).map_err(io::Error::other)?,
    };
    write!(io::stdout().lock(), "{text}")?;
    if diff.with(Verdict::Slower).is_empty() {
        Ok(())
    } else {
        Err(Stop::Found)
    }
}

/// What a row is of, in words.
fn name(row: &Row) -> String {
    match &row.what {
        What::Operation(name) => (*name).to_owned(),
        What::Range(range) => {
            format!("{}..{}", units::bytes(range.start), units::bytes(range.end))
        }
    }
}

/// A percentile's name: `p50`, `p99`.
fn percentile(per_mille: u64) -> String {
    format!("p{}", per_mille / 10)
}

/// How many comparisons came out how.
fn summary(diff: &Diff) -> String {
    let number = |verdict| diff.with(verdict).len();
    format!(
        "slower by more than {} %: {}, faster: {}, neither: {}, too few: {}, other mix: {}",
        diff.threshold_percent,
        number(Verdict::Slower),
        number(Verdict::Faster),
        number(Verdict::Same),
        number(Verdict::TooFew),
        number(Verdict::OtherMix)
    )
}

/// Devices of one recording alone, a sentence for each.
fn alone(diff: &Diff) -> Vec<String> {
    let said = |names: &[String], path: &str| -> Vec<String> {
        let one = |name: &String| format!("{name} is in {path} only");
        names.iter().map(one).collect()
    };
    let mut all = said(&diff.only_a, &diff.a.path);
    all.extend(said(&diff.only_b, &diff.b.path));
    all
}

#[cfg(test)]
mod tests;
