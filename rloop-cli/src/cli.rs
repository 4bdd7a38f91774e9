//! The program rloop-top: its command line, and what it leads to.

mod args;
mod headless;
mod run;
mod screen;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::demo::workload::workload_main;
use crate::program::{self, Stop};
pub(crate) use args::interval;
use args::{Args, Hidden};

/// Runs rloop-top.
pub fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Hidden::DemoWorkload { device }) = &args.hidden {
        workload_main(device);
    }
    let ended = match args.about.print(Args::command()) {
        Ok(false) => run::run(&args),
        other => other.map(drop),
    };
    program::end(PROGRAM, ended)
}

const PROGRAM: &str = "rloop-top";

/// A line for the user.
fn say(what: &str) {
    program::say(PROGRAM, what);
}
