//! What both programs do alike: how they end, how they speak to the user, what they print about
//! themselves.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::Shell;

/// Exit code after SIGINT or SIGTERM.
const INTERRUPTED: u8 = 130;

/// Why a program ends early.
#[derive(Debug)]
pub(crate) enum Stop {
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

/// What a program is to print about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    /// Its manual page.
    Manual,
    /// Completions for a shell.
    Completions(Shell),
}

impl About {
    /// Prints it.
    pub(crate) fn print(self, mut command: clap::Command) -> Result<(), Stop> {
        let mut text = Vec::new();
        match self {
            Self::Manual => clap_mangen::Man::new(command)
                .section("8")
                .render(&mut text)?,
            Self::Completions(shell) => {
                let name = command.get_name().to_owned();
                clap_complete::generate(shell, &mut command, name, &mut text);
            }
        }
        Ok(io::stdout().write_all(&text)?)
    }
}

/// The exit code for how a program ended, having told the user why.
pub(crate) fn end(program: &str, ended: Result<(), Stop>) -> ExitCode {
    match ended {
        Ok(()) | Err(Stop::Unread) => ExitCode::SUCCESS,
        Err(Stop::Interrupted) => INTERRUPTED.into(),
        Err(Stop::Failed(why)) => {
            say(program, &why);
            ExitCode::FAILURE
        }
    }
}

/// A line for the user. With nobody to read it, there is nobody to tell that.
pub(crate) fn say(program: &str, what: &str) {
    let _ = writeln!(io::stderr(), "{program}: {what}");
}
