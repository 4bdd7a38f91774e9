//! `cargo xtask test`: every test, and one line that says how it went.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::bpf::{self, Verdict};
use crate::reading::Reading;
use crate::{cargo, packages};

/// Installs what the tests need, runs them, and counts.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    packages::ensure();
    let mut reading = tests(filter)?;
    let mut passed = reading.passed();
    if filter.is_none() {
        const CHECK: &str = "the BPF object is what its source gives";
        match bpf::verdict() {
            Verdict::Same => passed += 1,
            Verdict::Unknown(why) => {
                reading
                    .skipped
                    .insert(format!("zzz {CHECK}"), format!("{why:#}"));
            }
            Verdict::Wrong(why) => {
                println!("failed: {CHECK}: {why:#}");
                reading.failed += 1;
            }
        }
    }
    println!();
    for (name, why) in &reading.skipped {
        let name = name.split_once(' ').map_or(name.as_str(), |(_, name)| name);
        println!("skipped: {name}: {why}");
    }
    let (failed, skipped) = (reading.failed, reading.skipped.len());
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    // The line above says it all, and stays the last one.
    if failed > 0 || passed == 0 {
        std::process::exit(1);
    }
    Ok(())
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
