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
    if diff.devices.is_empty() {
        return Err(Stop::Usage(nothing_in_common(&diff)));
    }
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

/// Nothing can be compared, which must not pass for nothing being slower.
fn nothing_in_common(diff: &Diff) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    format!(
        "no device is in both recordings: {} has {}, and {} has {}; --by file or --by name may find what belongs \
         together",
        diff.a.path,
        list(&diff.only_a),
        diff.b.path,
        list(&diff.only_b)
    )
}

/// Whether anything could be compared at all.
fn is_telling(diff: &Diff) -> bool {
    let said = [Verdict::Slower, Verdict::Faster, Verdict::Same];
    diff.compared().any(|(.., one)| said.contains(&one.verdict))
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
        "slower by over {} %: {}, faster: {}, same: {}, varied: {}, too few: {}, other mix: {}",
        diff.threshold_percent,
        number(Verdict::Slower),
        number(Verdict::Faster),
        number(Verdict::Same),
        number(Verdict::TooVaried),
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
