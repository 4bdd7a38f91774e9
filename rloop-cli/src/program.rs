//! What both programs do alike: how they end, how they speak to the user, what they print about
//! themselves.

mod manual;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::Shell;

/// Exit code after SIGINT or SIGTERM.
const INTERRUPTED: u8 = 130;

/// Exit code for wrong usage, as the parser of command lines has it.
const USAGE: u8 = 2;

/// Why a program ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What failed, on what, and what to do.
    Failed(String),
    /// What was named cannot be used as what it was named for; as with wrong usage.
    Usage(String),
    /// All went well, and the answer, which was printed, is the one that scripts have to know of.
    Found,
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

/// What a program prints about itself, for packagers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct About {
    /// Print the manual page
    #[arg(long, hide = true, exclusive = true)]
    print_man: bool,

    /// Print completions for a shell
    #[arg(long, hide = true, exclusive = true, value_name = "SHELL", value_enum)]
    print_completions: Option<Shell>,
}

impl About {
    /// Prints what was asked for. Tells whether anything was.
    pub(crate) fn print(&self, mut command: clap::Command) -> Result<bool, Stop> {
        let mut text = Vec::new();
        if self.print_man {
            manual::render(command, &mut text)?;
        } else if let Some(shell) = self.print_completions {
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut text);
        } else {
            return Ok(false);
        }
        io::stdout().write_all(&text)?;
        Ok(true)
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
        Err(Stop::Usage(why)) => {
            say(program, &why);
            USAGE.into()
        }
        Err(Stop::Found) => ExitCode::FAILURE,
    }
}

/// A line for the user. With nobody to read it, there is nobody to tell that.
pub(crate) fn say(program: &str, what: &str) {
    let _ = writeln!(io::stderr(), "{program}: {what}");
}
