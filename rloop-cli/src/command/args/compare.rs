//! The command line of `rloop compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;

use super::Filling;
use crate::cli::interval;
use crate::command::compare::Load;

/// What to compare, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::command) struct Compare {
    /// The file
    pub(in crate::command) file: PathBuf,

    /// Write as well, to a copy of the file next to it
    #[arg(short, long)]
    pub(in crate::command) writes: bool,

    /// What becomes of holes
    #[command(flatten)]
    pub(in crate::command) filling: Filling,

    /// How long each run takes; fractions down to 0.1 are allowed
    #[arg(short, long, default_value = "2", value_parser = interval)]
    pub(in crate::command) seconds: Duration,

    /// How many runs each load has on each device; fewer than 5 tell nothing of chance
    #[arg(short, long, value_name = "NUMBER", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(in crate::command) rounds: u32,

    /// Only this load; may be given again
    #[arg(long, value_name = "NAME", value_enum)]
    pub(in crate::command) only: Vec<Load>,

    /// Print one JSON object
    #[arg(short, long)]
    pub(in crate::command) json: bool,
}

impl Compare {
    /// The loads that are wanted, in their order; the error says which one needs --writes.
    pub(in crate::command) fn loads(&self) -> Result<Vec<Load>, String> {
        let wanted = |load: &Load| self.only.is_empty() || self.only.contains(load);
        let fits = |load: &Load| self.writes || load.only_reads();
        let refused = self.only.iter().find(|load| !fits(load));
        if let Some(load) = refused {
            return Err(format!(
                "--only {} needs --writes, which works on a copy of the file",
                load.name()
            ));
        }
        let all = Load::value_variants().iter().copied();
        Ok(all.filter(wanted).filter(fits).collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Args, Command};
    use super::*;

    fn parse(words: &[&str]) -> Result<Compare, clap::error::ErrorKind> {
        let words = ["rloop", "compare"].iter().chain(words);
        let args = Args::try_parse_from(words).map_err(|error| error.kind())?;
        let Some(Command::Compare(args)) = args.command else {
            panic!("another command");
        };
        Ok(args)
    }

    #[test]
    fn writes_come_after_reads_and_only_if_asked_for() {
        let loads = |words| parse(words).expect("parsed").loads();
        assert_eq!(
            loads(&["x"]),
            Ok(vec![Load::Read, Load::ReadDeep, Load::Scan])
        );
        assert_eq!(loads(&["x", "--writes"]).map(|all| all.len()), Ok(9));
        let chosen = ["x", "-w", "--only", "fill-4k-d1", "--only", "read-128k"];
        assert_eq!(loads(&chosen), Ok(vec![Load::Scan, Load::Fill]));
        let refused = loads(&["x", "--only", "write-4k-d32"]).expect_err("is refused");
        assert!(refused.contains("write-4k-d32 needs --writes"), "{refused}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use clap::error::ErrorKind::{InvalidValue, MissingRequiredArgument, ValueValidation};
        for (words, kind) in [
            (&[][..], MissingRequiredArgument),
            (&["x", "--rounds", "0"], ValueValidation),
            (&["x", "--rounds", "101"], ValueValidation),
            (&["x", "--seconds", "0"], ValueValidation),
            (&["x", "--only", "trim"], InvalidValue),
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(kind), "{words:?}");
        }
    }
}
