//! What the kernel's verifier goes through for each probe is what it was.

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::guest::Guest;
use crate::module::Module;
use crate::test::{Outcome, Test};

/// What `cargo xtask lab kernels` wrote.
const RECORDED: &str = include_str!("../../../docs/kernels.md");

/// The heading of its table of programs.
const HEADING: &str = "## What the verifier goes through";

/// In percent: what a program may grow by before somebody has to look. The numbers themselves are always the same on
/// one kernel.
const GROWTH: u64 = 25;

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("verifier_goes_through_no_more", no_more)]
}

fn no_more(_: &mut Guest) -> Result<Outcome> {
    let release = run!["uname", "-r"]?;
    let Some(recorded) = recorded(&release)? else {
        return Ok(Outcome::Skipped(format!(
            "docs/kernels.md has no column for {release}"
        )));
    };
    // All that have programs.
    run!["modprobe", "-aq", "loop", "ext4", "xfs", "btrfs"]?;
    let module = Module::is_there().then(Module::load).transpose()?;
    let programs = run!["rloop", "doctor", "--programs"]?;
    module.map(Module::unload).transpose()?;
    ensure!(
        programs.lines().count() == recorded.len(),
        "other programs than in docs/kernels.md (`cargo xtask lab kernels` makes it again):\n{programs}"
    );
    for line in programs.lines() {
        let (name, now) = line.split_once(' ').context("no number")?;
        let now: u64 = now.parse()?;
        let before = recorded.iter().find(|(known, _)| *known == name);
        let (_, before) = before.with_context(|| format!("{name} is not in docs/kernels.md"))?;
        ensure!(
            now * 100 <= before * (100 + GROWTH),
            "{name}: the verifier goes through {now} instructions, and went through {before}; if that has \
             to be, `cargo xtask lab kernels` records it"
        );
    }
    Ok(Outcome::Passed)
}

/// The programs of a kernel, and how many instructions each had; `None` if the kernel is not among those asked.
fn recorded(release: &str) -> Result<Option<Vec<(&'static str, u64)>>> {
    let (_, section) = RECORDED
        .split_once(HEADING)
        .context("no table of programs")?;
    let mut rows = section.lines().filter_map(cells);
    let releases = rows.next().context("the table has no releases")?;
    let Some(column) = releases.iter().position(|cell| *cell == release) else {
        return Ok(None);
    };
    // Below the line that makes it a table.
    let programs = rows.skip(1).filter(|row| row.get(column) != Some(&"-"));
    let program = |row: Vec<&'static str>| {
        let count = row.get(column).context("a row is too short")?;
        Ok((row[0], count.parse()?))
    };
    programs.map(program).collect::<Result<_>>().map(Some)
}

/// What stands in a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}
