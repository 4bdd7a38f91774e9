//! Which numbers rloop-top has on which of Debian's kernels, whether they are right, and what the probes cost the
//! kernel's verifier: asked in a guest with each, and written to `docs/kernels.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde_json::Value;

use super::Choice;
use super::guest;
use super::guest_tests::{self, Form};
use super::other_kernel::OtherKernel;
use super::project::{Command, Products, Project};
use crate::root;
use crate::score::Score;

/// Where the table is.
const TABLE: &str = "docs/kernels.md";

/// Modules have their tracepoints only while they are loaded. rloop's own is for the newest kernel alone.
const ASK: &str = "modprobe -aq loop ext4 xfs btrfs; [ ! -e /lab/rloop.ko ] || insmod /lab/rloop.ko; \
                   rloop doctor --json; rloop doctor --programs";

/// The guest tests that count on each of them.
const COUNTS: &str = "stock_counts_exactly";

/// What one kernel has of each family of probes, and its version.
struct Offer {
    release: String,
    families: Vec<(String, String)>,
    /// How the tests of exact counts ended.
    counts: Score,
    /// Instructions that the verifier went through, of each program.
    programs: BTreeMap<String, u32>,
}

/// Asks all, and writes the table.
pub(super) fn run() -> Result<ExitCode> {
    let others = OtherKernel::value_variants().iter().copied().map(Some);
    let kernels = others.chain([None]).map(|kernel| Choice {
        kernel,
        ..Choice::STOCK
    });
    let offers: Vec<Offer> = kernels.map(ask).collect::<Result<_>>()?;
    let text = table(&offers);
    fs::write(root().join(TABLE), &text)?;
    print!("{text}");
    let is_good = offers.iter().all(|offer| offer.counts.is_good());
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn ask(choice: Choice) -> Result<Offer> {
    let folder = choice.folder()?;
    let products = Products::build(&folder)?;
    let project = Project::stage(&folder, &products, &Command::Line(ASK.to_owned()))?;
    // The status says whether something is missing, which is what is asked.
    let (output, _) = guest::output_of(&folder, &project)?;
    let release = folder.release().to_owned();
    let said = || format!("rloop doctor says: {output}");
    let (report, rest) = output.split_once('\n').with_context(said)?;
    Ok(Offer {
        release,
        families: families(report).with_context(said)?,
        counts: guest_tests::run(choice, Some(COUNTS), Form::SHORT)?,
        programs: programs(rest).with_context(said)?,
    })
}

/// Lines `NAME INSTRUCTIONS`.
fn programs(text: &str) -> Result<BTreeMap<String, u32>> {
    let line = |line: &str| -> Result<(String, u32)> {
        let (name, count) = line.split_once(' ').context("a program without a number")?;
        Ok((name.to_owned(), count.trim().parse()?))
    };
    text.lines().map(line).collect()
}

/// The families of probes in what `rloop doctor --json` says, and what becomes of each: empty if all is well.
fn families(json: &str) -> Result<Vec<(String, String)>> {
    let told: Value = serde_json::from_str(json)?;
    let groups = told["groups"].as_array().context("no groups")?;
    let probes = groups.iter().find(|group| group["name"] == "probes");
    let checks = probes.and_then(|group| group["checks"].as_array());
    let checks = checks.context("no probes among the groups")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let family = |check: &Value| {
        let why = if check["state"] == "ok" {
            String::new()
        } else {
            text(&check["what"])
                .trim_start_matches("not shown: ")
                .to_owned()
        };
        (text(&check["name"]), why)
    };
    // The first three are of types, BPF and tracefs.
    Ok(checks.iter().skip(3).map(family).collect())
}

fn table(offers: &[Offer]) -> String {
    let mut text = "# What rloop-top shows on which kernel\n\n\
                    Of stock loop devices, on the kernels of Debian 12, 13 and 13's backports; made by `cargo xtask lab kernels`.\n\n"
        .to_owned();
    let releases = offers.iter().map(|offer| offer.release.as_str());
    text += &row("the probes of", releases);
    text += &row("---", offers.iter().map(|_| "---"));
    let mut reasons = BTreeMap::new();
    for (family, _) in offers
        .iter()
        .max_by_key(|offer| offer.families.len())
        .map_or(&[][..], |offer| &offer.families)
    {
        let cells = offers.iter().map(|offer| {
            let found = offer.families.iter().find(|(name, _)| name == family);
            match found {
                Some((_, why)) if why.is_empty() => "yes".to_owned(),
                Some((_, why)) => {
                    let next = reasons.len() + 1;
                    format!("no ({})", reasons.entry(why.clone()).or_insert(next))
                }
                None => "not needed".to_owned(),
            }
        });
        let cells: Vec<String> = cells.collect();
        text += &row(family, cells.iter().map(String::as_str));
    }
    let cells: Vec<String> = offers.iter().map(counted).collect();
    let tests = format!("guest tests `{COUNTS}`");
    text += &row(&tests, cells.iter().map(String::as_str));
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, number)| *number);
    text.push('\n');
    for (why, number) in reasons {
        text += &format!("{number}. {why}\n");
    }
    text + &verified(offers)
}

/// How the tests of exact counts ended, in a few words.
fn counted(offer: &Offer) -> String {
    match offer.counts.failed {
        0 => format!("{} passed", offer.counts.passed),
        failed => format!("{failed} failed"),
    }
}

/// The table of programs.
fn verified(offers: &[Offer]) -> String {
    let mut text = "\n## What the verifier goes through\n\n\
                    Instructions of each program, each as often as the kernel looks at it when it takes the program; it takes \
                    1,000,000. `cargo xtask lab test verifier` fails if a program has become more than a quarter longer \
                    than here.\n\n"
        .to_owned();
    let releases = offers.iter().map(|offer| offer.release.as_str());
    text += &row("program", releases);
    text += &row("---", offers.iter().map(|_| "---"));
    let names: BTreeSet<&String> = offers
        .iter()
        .flat_map(|offer| offer.programs.keys())
        .collect();
    for name in names {
        let count = |offer: &Offer| {
            offer
                .programs
                .get(name)
                .map_or("-".to_owned(), u32::to_string)
        };
        let cells: Vec<String> = offers.iter().map(count).collect();
        text += &row(name, cells.iter().map(String::as_str));
    }
    text
}

fn row<'a>(first: &str, cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<&str> = cells.collect();
    format!("| {first} | {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once() {
        let offer = |release: &str, why: &str| Offer {
            release: release.into(),
            families: vec![
                ("requests".into(), String::new()),
                ("holes".into(), why.into()),
            ],
            counts: Score::default(),
            programs: BTreeMap::from([("rq_issue".into(), release.len() as u32)]),
        };
        let text = table(&[
            offer("6.1", "no hook"),
            offer("6.12", "no hook"),
            offer("7.3", ""),
        ]);
        assert!(text.contains("| holes | no (1) | no (1) | yes |"), "{text}");
        assert!(text.contains("\n1. no hook\n\n"), "{text}");
        assert!(text.ends_with("| rq_issue | 3 | 4 | 3 |\n"), "{text}");
    }

    #[test]
    fn programs_are_read() {
        let read = programs("io_start 8151\nrq_issue 3531\n").expect("is read");
        assert_eq!(read["rq_issue"], 3531);
        assert!(programs("nothing\n").is_err());
    }

    #[test]
    fn what_doctor_says_is_read() {
        let check = |name: &str, state: &str| serde_json::json!({"name": name, "state": state, "what": "why"});
        let checks = ["a", "b", "c", "requests"].map(|name| check(name, "ok"));
        let mut checks = Vec::from(checks);
        checks.push(check("holes", "limited"));
        let told = serde_json::json!({"groups": [{"name": "probes", "checks": checks}]});
        let families = families(&told.to_string()).expect("is read");
        assert_eq!(
            families,
            [
                ("requests".into(), String::new()),
                ("holes".into(), "why".into())
            ]
        );
    }
}
