//! `rloop compare`: the same file as a loop device and as an rloop device, one after the other, under the same
//! load.

mod blocks;
mod claim;
mod contents;
mod engine;
mod image;
mod interruption;
mod json;
mod load;
mod machine;
mod plan;
mod progress;
mod report;
mod row;
mod run;
mod target;
mod text;
mod why;

use std::io::{self, Write as _};
use std::path::Path;

use super::args;
use super::{attach, detach, doctor, say, subject};
use crate::driver::Control;
use crate::load::BLOCK;
use crate::program::Stop;
use claim::Claim;
use image::{COPIES, Image};
use interruption::Interruption;
pub(super) use load::Load;
use plan::Plan;
use progress::Progress;
use report::{Report, Wrong};
use row::{Row, Tally};
use run::Bench;
use subject::failed;
use target::{Drivers, Side};

/// What a fill on disk takes at most, bytes: the module lets the filesystem allocate so much at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// In how many parts latencies are counted, all rounds together: as many as a comparison of percentiles
/// keeps apart.
const PARTS: usize = 20;

/// Compares the two.
pub(super) fn run(args: &args::Compare) -> Result<(), Stop> {
    let loads = args.loads().map_err(Stop::Usage)?;
    let image = Image::open(&args.file)?;
    clear_up(&image);
    image.refuse_if_used()?;
    check_drivers()?;
    image.lock()?;
    let interruption =
        Interruption::watch().map_err(|error| failed("signals cannot be caught", error))?;
    let drivers = Drivers {
        control: Control::open()?,
        claim: Claim::new().map_err(|error| failed("a note in /run", error))?,
        filling: args.filling,
    };
    let progress = Progress::new();
    let image = if args.writes {
        progress.say("copying the file");
        let fill_bytes = match args.filling.fill {
            args::Fill::Vfs => BLOCK as u64,
            args::Fill::Layout => CHUNK_BYTES,
        };
        image.copy(fill_bytes, interruption.flag())?
    } else {
        image
    };
    let (data, holes) = image.blocks()?;
    let bench = Bench {
        image: &image,
        holes: &holes,
        drivers: &drivers,
        length: args.seconds,
        parts: PARTS.div_ceil(args.rounds as usize),
        interruption: &interruption,
    };
    let mut report = Report {
        path: args.file.display().to_string(),
        is_copy: image.is_copy(),
        filling: args.filling,
        seconds: args.seconds.as_secs_f64(),
        rounds: args.rounds,
        rows: Vec::new(),
        omitted: Vec::new(),
        wrong: None,
    };
    show(args, &text::head())?;
    for load in loads {
        let plan = match Plan::new(load, image.len(), &data, &holes) {
            Ok(plan) => plan,
            Err(why) => {
                report.omitted.push((load, why.to_owned()));
                continue;
            }
        };
        measure(&bench, &plan, &progress, &mut report)?;
        progress.clear();
        match report.rows.last() {
            Some(row) if row.load == load => show(args, &format!("{}\n", text::row(row)))?,
            _ => {}
        }
    }
    finish(args, &report)
}

/// Fails, as `rloop doctor` would say it, if one of the two cannot be used.
fn check_drivers() -> Result<(), Stop> {
    if let Some(obstacles) = doctor::obstacles() {
        return Err(Stop::Failed(format!(
            "comparing needs both drivers, and this machine or your rights lack one:\n{}",
            obstacles.trim_end()
        )));
    }
    if Path::new("/dev/loop-control").exists() {
        return Ok(());
    }
    let what = "the kernel's loop driver is not loaded: load it with `sudo modprobe loop`";
    Err(Stop::Failed(what.into()))
}

/// Removes what killed ones left. What cannot be removed does not matter yet.
fn clear_up(image: &Image) {
    let control = Control::open();
    let devices = control.map_or_else(|_| Vec::new(), |control| claim::detach_leftovers(&control));
    let copies = COPIES.clean(image.folder()).unwrap_or_default();
    let copies = copies.iter().map(|path| path.display().to_string());
    for gone in devices.into_iter().chain(copies) {
        say(&format!(
            "{gone} was left by a comparison that was killed, and is gone now"
        ));
    }
}

/// All rounds of a load, for the report.
fn measure(
    bench: &Bench<'_>,
    plan: &Plan,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), Stop> {
    let mut tallies = Side::BOTH.map(|_| Tally::new());
    for round in 1..=report.rounds {
        let mut runs = Vec::new();
        // What lies in between keeps what the first one read: each is the first in every other round.
        let mut sides = Side::BOTH;
        sides.rotate_left((round as usize + 1) % 2);
        for side in sides {
            let tally = &mut tallies[side as usize];
            let (load, name) = (plan.load.name(), side.name());
            progress.say(&format!(
                "{load}, round {round} of {}: {name}",
                report.rounds
            ));
            let run = bench.run(plan, round, side)?;
            tally.add(&run);
            let what = match side {
                Side::Loop => "what was written through loop was not there afterwards",
                Side::Rloop => "what was written through rloop was not there afterwards",
            };
            note(report, plan, run.wrong_at, what);
            runs.push(run);
        }
        if let [one, other] = &runs[..] {
            let order = bench.order(plan, round, Side::Rloop);
            let at = contents::difference(&order, &one.outcome, &other.outcome);
            note(report, plan, at, "loop and rloop gave different data");
        }
    }
    let [stock, rloop] = tallies;
    match Row::of(plan.load, stock, rloop) {
        Some(row) => report.rows.push(row),
        None => {
            let why = "not one I/O ended in time";
            report.omitted.push((plan.load, why.to_owned()));
        }
    }
    Ok(())
}

/// Keeps the first one.
fn note(report: &mut Report, plan: &Plan, at: Option<u64>, what: &'static str) {
    let wrong = at.map(|at_bytes| Wrong {
        load: plan.load,
        at_bytes,
        what,
    });
    if report.wrong.is_none() {
        report.wrong = wrong;
    }
}

/// A part of what people read, as soon as it is known.
fn show(args: &args::Compare, text: &str) -> Result<(), Stop> {
    if !args.json {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

fn finish(args: &args::Compare, report: &Report) -> Result<(), Stop> {
    show(args, &text::rest(report))?;
    if args.json {
        let text = json::render(report).map_err(io::Error::other)?;
        io::stdout().write_all(text.as_bytes())?;
    }
    let Some(wrong) = &report.wrong else {
        return Ok(());
    };
    Err(Stop::Failed(format!(
        "{}: {} at byte {} in {}; unless somebody wrote the file meanwhile, do not use the module, \
         and report this",
        report.path,
        wrong.what,
        wrong.at_bytes,
        wrong.load.name()
    )))
}

#[cfg(test)]
mod tests;
