//! `cargo xtask bench`: what watching costs, of the watched and of the watcher; and what the module's fast
//! path is worth.

mod device;
mod janitor;
mod load;
mod overhead;
mod process;
mod watcher;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use crate::{cargo, lab, packages, root, succeed};

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// What the probes and the program cost: instructions for an I/O, in the guest; then I/O a second and
    /// processor time, which needs root, an ext4 filesystem with 2 GiB free, and a machine that does nothing
    /// else.
    Probe(Probe),
    /// The module beside the kernel's loop device, dm-linear and the disk itself, in the guest: I/O a second,
    /// then instructions for an I/O, which do not depend on what else the machine does.
    Fastpath(FastPath),
}

/// How to measure the fast path.
#[derive(Args)]
pub(crate) struct FastPath {
    /// How often each load is run on each target by time; the median is printed. With 0, only instructions are
    /// counted.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Length of a run.
    #[arg(long, default_value_t = 2)]
    pub(crate) seconds: u32,
    /// Only loads with this in their name.
    #[arg(long, default_value = "")]
    pub(crate) only: String,
}

/// How to measure.
#[derive(Args)]
pub(crate) struct Probe {
    /// Rounds; each compares every way of watching with the runs without before and after it.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Length of a run; rloop-top looks every five seconds at what its probes take.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(8..))]
    seconds: u32,
    /// Where the backing files lie.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
    /// Measure this rloop-top instead of building one; not in the guest.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Only what is measured in the guest, which is the same however busy the machine is.
    #[arg(long)]
    instructions: bool,
    /// In the guest: only loads with this in their name.
    #[arg(long, default_value = "4k random")]
    only: String,
}

/// Measures and prints.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Probe(options) => probe(options),
        Bench::Fastpath(options) => lab::bench_fast_path(options),
    }
}

fn probe(probe: &Probe) -> Result<()> {
    println!("Instructions, on xfs in memory, in the guest");
    lab::bench_watch(&probe.only)?;
    if probe.instructions {
        return Ok(());
    }
    println!();
    packages::ensure();
    for program in ["fio", "losetup", "setpriv"] {
        ensure!(packages::has(program), "{program} is missing");
    }
    let program = probe.program.clone().map_or_else(build, Ok)?;
    overhead::saturated(probe, &program)?;
    overhead::many_devices(probe, &program)?;
    println!("\nA frame");
    let bench = [
        "bench",
        "--quiet",
        "--package",
        "rloop-cli",
        "--bench",
        "frame",
    ];
    succeed(cargo().args(bench))
}

/// The program as users have it.
fn build() -> Result<PathBuf> {
    let build = ["build", "--quiet", "--release", "--package", "rloop-cli"];
    succeed(cargo().args(build))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/rloop-top"))
}

/// A command that ends when we do.
fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", program]);
    command
}

/// The middle of the values, or the mean of the two in the middle.
fn median(values: &[f64]) -> Result<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle).context("nothing was measured")?;
    Ok(if values.len().is_multiple_of(2) {
        (values[middle - 1] + upper) / 2.0
    } else {
        upper
    })
}
