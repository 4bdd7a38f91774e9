//! The program rloop: its command line, and a module for each command.

mod args;
mod attach;
mod compare;
mod detach;
mod diff;
mod doctor;
mod list;
mod map;
#[cfg(test)]
mod schema;
mod showing;
mod size;
mod stat;
mod subject;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::driver::{Control, DriverError, node};
use crate::program::{self, Stop};
use args::{Args, Command};

const PROGRAM: &str = "rloop";

/// Runs rloop.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.about.print(Args::command()) {
        Ok(false) => args.command.as_ref().map_or(Ok(()), run),
        other => other.map(drop),
    };
    program::end(PROGRAM, ended)
}

fn run(command: &Command) -> Result<(), Stop> {
    match command {
        Command::Attach(args) => attach::run(args),
        Command::Detach(args) => detach::run(args),
        Command::List(args) => list::run(args),
        Command::Map(args) => map::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Resize { device } => resize(device),
        Command::Doctor(args) => doctor::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Compare(args) => compare::run(args),
    }
}

fn resize(device: &str) -> Result<(), Stop> {
    let number = number(device)?;
    Ok(Control::open()?.resize(number)?)
}

/// The number of the device that a user named.
fn number(device: &str) -> Result<u32, Stop> {
    node::number(device).ok_or_else(|| {
        Stop::Failed(format!(
            "{device} is not an rloop device: name one as rloop0 or /dev/rloop0; `rloop list` \
             shows those that are attached"
        ))
    })
}

/// A line for the user.
fn say(what: &str) {
    program::say(PROGRAM, what);
}

impl From<DriverError> for Stop {
    fn from(error: DriverError) -> Self {
        Self::Failed(error.to_string())
    }
}
