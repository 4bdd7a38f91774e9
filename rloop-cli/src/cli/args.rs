//! The command line of rloop-top.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::program::About;
use crate::tui::bindings::meanings;
use crate::tui::theme::ThemeName;

/// The shortest interval, seconds: below it, looking costs more than what is looked at.
const SHORTEST_SECONDS: f64 = 0.1;

/// The longest interval, seconds: a day.
const LONGEST_SECONDS: f64 = 86_400.0;

const EXAMPLES: &str = "\
Examples:
  rloop-top                          watch every loop device
  rloop-top --demo                   make a loop device with a workload, watch it, clean up
  rloop-top loop3 --interval 0.5     watch one device, twice a second
  rloop-top --json --count 10        ten intervals, one JSON object each
  rloop-top --record FILE            watch, and keep what was seen
  rloop-top --replay FILE            see it again

Chains: Enter leads from an extent, the latencies or the holes to single requests and
commits, and from a request to what belongs to it: extent, sector, times, and the flush and
commit that made it durable; Esc leads back, 7 shows them at once, o one operation of them, then
the next. Of each 64 ms and processor eight requests are traced, those slower than all before in
it, and all that flush. `~` marks what is derived: which flush made a write durable, unless an
rloop device's commit names its range.

Exit status: 0 fine, 1 failed, 2 usage, 130 interrupted.";

/// The keys stand where there is room for them: in `--help` and the manual.
fn long_help() -> String {
    let mut text = "Keys of the dashboard:\n".to_owned();
    for (keys, help) in meanings() {
        text.push_str(&format!("  {keys:<15} {help}\n"));
    }
    format!("{text}\n{EXAMPLES}")
}

/// Watch loop devices: latency per extent, holes filled, commits and page-cache bypass, live.
///
/// Without DEVICE, every loop device is watched, and those that come later are too. When standard
/// output is not a terminal, or one that can only print (TERM=dumb), plain lines are printed instead
/// of the dashboard.
#[derive(Clone, Debug, Parser)]
#[command(name = "rloop-top", version, after_help = EXAMPLES, after_long_help = long_help())]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct Args {
    /// Loop devices to watch, such as loop0 or /dev/loop0
    #[arg(value_name = "DEVICE", conflicts_with_all = ["demo", "replay"])]
    pub(super) devices: Vec<String>,

    /// Make a file, a loop device and a workload, watch it, and clean up
    #[arg(long, conflicts_with = "replay")]
    pub(super) demo: bool,

    /// Length of an interval; fractions down to 0.1 are allowed
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(super) interval: Duration,

    /// Stop after N intervals
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Print plain lines, not the dashboard
    #[arg(long, conflicts_with = "json")]
    pub(super) plain: bool,

    /// Print one JSON object per interval
    #[arg(long)]
    pub(super) json: bool,

    /// Show a recording
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub(super) replay: Option<PathBuf>,

    /// Keep every sample in FILE; a file that is there already is left alone
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Write what the probes could not count, and why, to standard error; of the dashboard, to
    /// $XDG_STATE_HOME/rloop/top.log
    #[arg(long, conflicts_with = "replay")]
    pub(super) debug: bool,

    /// Draw with ASCII characters only
    #[arg(long)]
    pub(super) ascii: bool,

    /// When to use colour; NO_COLOR in the environment means never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) color: ColorWhen,

    /// Colours: `dark` and `light` are for such backgrounds and for eyes of every kind, `mono` has
    /// none; without it, what the terminal tells (COLORFGBG), else dark
    #[arg(long, value_name = "NAME", value_enum)]
    pub(super) theme: Option<ThemeName>,

    /// What packagers ask for.
    #[command(flatten)]
    pub(super) about: About,

    /// What this program runs itself as.
    #[command(subcommand)]
    pub(super) hidden: Option<Hidden>,
}

/// What this program runs itself as.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Hidden {
    /// The workload of `--demo`; it destroys what is on the device
    #[command(hide = true)]
    DemoWorkload {
        /// The device to work on
        device: PathBuf,
    },
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// As the terminal and the environment say.
    #[default]
    Auto,
    /// Whatever they say.
    Always,
    /// Not at all.
    Never,
}

/// Seconds, as text.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(SHORTEST_SECONDS..=LONGEST_SECONDS).contains(&seconds) {
        return Err(format!(
            "must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds"
        ));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::error::ErrorKind> {
        let words = ["rloop-top"].iter().chain(words);
        Args::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn intervals_may_be_fractions() {
        let args = parse(&["--interval", "0.25"]).expect("parsed");
        assert_eq!(args.interval, Duration::from_millis(250));
        assert_eq!(parse(&[]).expect("parsed").interval, Duration::from_secs(1));
        for wrong in ["0", "0.09", "-1", "NaN", "inf", "1e30", "fast"] {
            assert!(parse(&[&format!("--interval={wrong}")]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        use clap::error::ErrorKind::ArgumentConflict;
        for words in [
            &["--plain", "--json"][..],
            &["--demo", "loop0"],
            &["--demo", "--replay", "x"],
            &["--record", "x", "--replay", "x"],
            &["loop0", "--replay", "x"],
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(ArgumentConflict), "{words:?}");
        }
    }

    #[test]
    fn the_workload_is_a_command_of_its_own() {
        let args = parse(&["demo-workload", "/dev/loop7"]).expect("parsed");
        assert!(
            matches!(args.hidden, Some(Hidden::DemoWorkload { device }) if device.ends_with("loop7"))
        );
        assert_eq!(parse(&["loop7"]).expect("parsed").devices, ["loop7"]);
    }
}
