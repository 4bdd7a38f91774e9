//! The program rloop-top: its command line, and what it leads to.

mod args;
mod headless;
mod run;
mod screen;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::demo::workload::workload_main;
use args::{Args, Hidden};

/// Exit code after SIGINT or SIGTERM.
const INTERRUPTED: u8 = 130;

/// Why the program ends early.
#[derive(Debug)]
enum Stop {
    /// What failed, on what, and what to do.
    Failed(String),
    /// By a signal.
    Interrupted,
    /// Nobody reads the output any more, which is no failure.
    Unread,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("could not write the output: {error}")),
        }
    }
}

/// Runs rloop-top.
pub fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Hidden::DemoWorkload { device }) = &args.hidden {
        workload_main(device);
    }
    let ended = match print_about_itself(&args) {
        Ok(false) => run::run(&args),
        Ok(true) => Ok(()),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) | Err(Stop::Unread) => ExitCode::SUCCESS,
        Err(Stop::Interrupted) => INTERRUPTED.into(),
        Err(Stop::Failed(why)) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

/// The manual page and the completions. Tells whether one was asked for.
fn print_about_itself(args: &Args) -> io::Result<bool> {
    let mut text = Vec::new();
    if args.print_man {
        clap_mangen::Man::new(Args::command())
            .section("8")
            .render(&mut text)?;
    } else if let Some(shell) = args.print_completions {
        clap_complete::generate(shell, &mut Args::command(), "rloop-top", &mut text);
    } else {
        return Ok(false);
    }
    io::stdout().write_all(&text)?;
    Ok(true)
}

/// A line for the user. With nobody to read it, there is nobody to tell that.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "rloop-top: {what}");
}
