//! `cargo xtask test`: every test, and one line that says how it went.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::bpf::{self, Verdict};
use crate::lab::{self, Choice, Form};
use crate::reading::Reading;
use crate::score::Score;
use crate::{cargo, packages};

/// Installs what the tests need, runs them, and counts.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    packages::ensure();
    let mut score = Score::of(&tests(filter)?);
    if filter.is_none() {
        check_object(&mut score);
    }
    match lab::run_tests(Choice::STOCK, filter, Form::SHORT) {
        Ok(guest) => score.add(guest),
        Err(error) => {
            println!("failed: the guest tests: {error:#}");
            score.failed += 1;
        }
    }
    println!();
    for (name, why) in &score.skipped {
        println!("skipped: {name}: {why}");
    }
    println!("{score}");
    // The line above says it all, and stays the last one.
    if !score.is_good() {
        std::process::exit(1);
    }
    Ok(())
}

/// Whether the BPF object is what its source gives counts as a test.
fn check_object(score: &mut Score) {
    const CHECK: &str = "the BPF object is what its source gives";
    match bpf::verdict() {
        Verdict::Same => score.passed += 1,
        Verdict::Unknown(why) => {
            score.skipped.push((CHECK.to_owned(), format!("{why:#}")));
        }
        Verdict::Wrong(why) => {
            println!("failed: {CHECK}: {why:#}");
            score.failed += 1;
        }
    }
}

fn tests(filter: Option<&str>) -> Result<Reading> {
    let mut command = cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    command.args(filter);
    // Colours would hide the words that are looked for.
    command.args(["--", "--show-output", "--color=never"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start cargo")?;
    let Some(output) = child.stdout.take() else {
        bail!("cargo has no output");
    };
    let mut reading = Reading::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        reading.line(&line);
    }
    reading.finish();
    let status = child.wait()?;
    if !status.success() && reading.failed == 0 {
        println!("failed: cargo test ({status}): see above");
        reading.failed += 1;
    }
    Ok(reading)
}
