//! The tests that run in the guest machine: `cargo xtask lab test` boots it and reads what this
//! prints.

mod bench;
mod checker;
mod churn;
mod command;
mod control;
mod dashboard;
mod device_mapper;
mod direct;
mod faults;
mod filesystem;
mod fio;
mod guest;
mod image;
mod kernel_log;
mod leftovers;
mod loop_device;
mod module;
mod nfs;
mod null_blk;
mod nvme_target;
mod power_cut;
mod random;
mod rloop_device;
mod scene;
mod screen;
mod stamps;
mod terminal;
mod test;
mod tests;
mod tracing;
mod watchdog;
mod watcher;
mod write_log;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use guest::Guest;
use kernel_log::KernelLog;
use test::Test;

/// Runs tests in the lab's guest.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Print the names of the tests, and run none.
    #[arg(long)]
    list: bool,
    /// With `--list`: also those that take too long to be among the short ones.
    #[arg(long)]
    all: bool,
    /// Instead of the tests, those that have to fail.
    #[arg(long)]
    provoked: bool,
    /// What random choices start from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the long form of each test.
    #[arg(long)]
    long: bool,
    /// The tests to run, in this order.
    names: Vec<String>,
}

/// What else there is.
#[derive(Subcommand)]
enum Task {
    /// Measure the fast path beside others.
    Bench(bench::Options),
    /// Measure what watching adds to an I/O, where the clock counts instructions.
    BenchWatch {
        /// Only loads with this in their name.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Print the dashboard's screen as it is after a while.
    Screen(screen::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(task) = arguments.task {
        let done = match task {
            Task::Bench(options) => bench::run(&options),
            Task::BenchWatch { only } => bench::watch::run(&only),
            Task::Screen(options) => screen::run(&options),
        };
        return match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("rloop-lab: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let tests = if arguments.provoked {
        tests::provoked()
    } else {
        tests::all()
    };
    if arguments.list {
        let chosen = tests
            .iter()
            .filter(|test| arguments.long || arguments.all || !test.is_on_request());
        chosen.for_each(|test| println!("{}", test.name()));
        return ExitCode::SUCCESS;
    }
    match run(&arguments, &tests) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rloop-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the tests until one fails: what it left in the kernel would spoil the others.
fn run(arguments: &Arguments, tests: &[Test]) -> Result<bool> {
    let mut boot = KernelLog::since_boot()?;
    if let Err(error) = boot.check(&[]) {
        println!("{}", boot.text()?);
        return Err(error.context("before any test"));
    }
    let mut guest = Guest::new(arguments.seed, arguments.long)?;
    for name in &arguments.names {
        let test = tests.iter().find(|test| test.name() == name);
        let test = test.with_context(|| format!("there is no test {name}"))?;
        if !test.run(&mut guest)? {
            return Ok(false);
        }
    }
    Ok(true)
}
