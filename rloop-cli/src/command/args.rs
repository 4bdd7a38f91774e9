//! The command line of rloop.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::size;
use crate::cli::interval;
use crate::program::About;

const EXAMPLES: &str = "\
Examples:
  rloop attach disk.img              prints the device, such as /dev/rloop0
  rloop attach disk.img --offset 1M --partitions
  rloop list                         what is attached, and who maps it
  rloop map rloop0                   where its blocks are
  rloop stat rloop0 1                what it did, every second
  rloop detach rloop0
  rloop doctor disk.img              what this machine offers, and who would map the file

Sizes are in bytes, or end in K, M, G, T, P, E (powers of 1024, KiB and so on are the same) or in
KB, MB and so on (powers of 1000).

Exit status: 0 fine, 1 failed, 2 usage.";

/// Attach files to rloop devices, whose reads and writes go straight to the file's blocks.
///
/// A device can be named as rloop0 or /dev/rloop0. The kernel module rloop has to be loaded.
#[derive(Clone, Debug, Parser)]
#[command(name = "rloop", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(arg_required_else_help = true, subcommand_value_name = "COMMAND")]
#[command(override_usage = "rloop <COMMAND>")]
pub(super) struct Args {
    /// What to do
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// What packagers ask for.
    #[command(flatten)]
    pub(super) about: About,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Attach a file to a free device, and print the device
    ///
    /// The module opens the file again for itself, with your rights. As long as somebody else has it
    /// open for writing, its blocks are not mapped, and the device works through the filesystem.
    Attach(Attach),
    /// Detach devices
    ///
    /// What was written reaches the disk first. A device that is mounted or open stays, and whoever
    /// has it is named.
    Detach(Detach),
    /// Show the attached devices
    ///
    /// PROVIDER is who tells where the file's blocks are: layout or bmap, and then reads and writes go
    /// straight to them, or vfs, and then they go through the filesystem. WHY is why it is not a
    /// better one (the module's README has them all), ERROR the first error that may have lost
    /// something. SIZE and OFFSET are in bytes.
    List(List),
    /// Show the extents of a device or of a file
    ///
    /// Of an rloop device, what the module uses now: it asks the filesystem when a range is first
    /// used, and until then the range is absent. Of a loop device or a file, what the filesystem
    /// says. Offsets are of the file and of the filesystem's disk; they and lengths are in bytes.
    Map(Map),
    /// Show the counters of a device
    ///
    /// Without INTERVAL, all counters since it was attached. With it a line of the most telling ones
    /// since then, and after each interval a line of what it added: reads and writes that went
    /// straight to the disk (fast), that were answered with zeros, or went through the filesystem
    /// (vfs); holes filled; commits and flushes; how often the mapping was taken back; errors.
    Stat(Stat),
    /// Make a device as long as its file is now
    ///
    /// Whoever makes the file longer has to wait until its mapping is given back. truncate(1) does
    /// not wait, and says "Resource temporarily unavailable": run it again at once.
    Resize {
        /// The device
        device: String,
    },
    /// Show what this machine offers, and what is missing
    ///
    /// Each line begins with ok, limited (it works, with less), missing (something does not work), or
    /// unknown (your rights do not let it be looked at), and says what that means, and which command
    /// helps. With a device or a file also which provider maps it, or would, and why not a better
    /// one. It needs no rights, changes nothing, and loads the probes for a moment if it may.
    ///
    /// Exit status: 0 nothing is missing, 1 something is, or what was named cannot be looked at, 2
    /// usage.
    Doctor(Doctor),
}

/// How to attach a file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Attach {
    /// The file
    pub(super) file: PathBuf,

    /// Begin at this byte of the file
    #[arg(short, long, value_name = "SIZE", default_value = "0", value_parser = size::parse)]
    #[arg(allow_negative_numbers = true)]
    pub(super) offset: u64,

    /// Be no longer than this [default: up to the file's end]
    #[arg(long, value_name = "SIZE", value_parser = size::parse_some)]
    #[arg(allow_negative_numbers = true)]
    pub(super) sizelimit: Option<u64>,

    /// Refuse writes
    #[arg(short, long)]
    pub(super) read_only: bool,

    /// How holes of the file are filled
    #[arg(long, value_enum, default_value_t)]
    pub(super) fill: Fill,

    /// When what was written into holes is made durable
    #[arg(long, value_enum, default_value_t)]
    pub(super) commit: Commit,

    /// The logical block size: 512, 1K, 2K or 4K [default: the best one]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse_block)]
    pub(super) block_size: Option<u32>,

    /// Look for partitions
    #[arg(short = 'P', long)]
    pub(super) partitions: bool,
}

/// How holes are filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Fill {
    /// Through the filesystem
    #[default]
    Vfs,
    /// On disk, then told to the filesystem; where it has layouts (xfs)
    Layout,
}

/// When fills are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Commit {
    /// When the device is flushed, as on any disk with a write cache
    #[default]
    Flush,
    /// Before each write that fills a hole completes
    Each,
}

/// Which devices to detach.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Detach {
    /// The devices
    #[arg(value_name = "DEVICE", required_unless_present = "all")]
    pub(super) devices: Vec<String>,

    /// All that are attached
    #[arg(short, long, conflicts_with = "devices")]
    pub(super) all: bool,
}

/// How to show the devices.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct List {
    /// Print one JSON object
    #[arg(short, long)]
    pub(super) json: bool,
}

/// Of what to show the extents, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Map {
    /// An rloop device, a loop device, or a file
    #[arg(value_name = "DEVICE|FILE")]
    pub(super) of: PathBuf,

    /// Print one JSON object
    #[arg(short, long)]
    pub(super) json: bool,
}

/// What to look at, and how to say it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Doctor {
    /// An rloop device, a loop device, or a file
    #[arg(value_name = "DEVICE|FILE")]
    pub(super) of: Option<PathBuf>,

    /// Print one JSON object
    #[arg(short, long)]
    pub(super) json: bool,
}

/// Of what to show the counters, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Stat {
    /// The device
    pub(super) device: String,

    /// Seconds between two reports; fractions down to 0.1 are allowed
    #[arg(value_parser = interval)]
    pub(super) interval: Option<Duration>,

    /// Stop after so many reports
    pub(super) count: Option<NonZeroU64>,

    /// Print one JSON object per report
    #[arg(short, long)]
    pub(super) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Command, clap::error::ErrorKind> {
        let words = ["rloop"].iter().chain(words);
        let args = Args::try_parse_from(words).map_err(|error| error.kind())?;
        Ok(args.command.expect("a command"))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn attach_takes_what_losetup_takes() {
        let words = [
            "attach",
            "a.img",
            "-o",
            "1M",
            "--sizelimit",
            "10MB",
            "-r",
            "-P",
            "-b",
            "4K",
        ];
        let Ok(Command::Attach(args)) = parse(&words) else {
            panic!("not parsed");
        };
        assert_eq!((args.offset, args.sizelimit), (1 << 20, Some(10_000_000)));
        assert_eq!(args.block_size, Some(4096));
        assert!(args.read_only && args.partitions);
        assert_eq!((args.fill, args.commit), (Fill::Vfs, Commit::Flush));
        let words = ["attach", "a.img", "--fill", "layout", "--commit", "each"];
        let Ok(Command::Attach(args)) = parse(&words) else {
            panic!("not parsed");
        };
        assert_eq!((args.fill, args.commit), (Fill::Layout, Commit::Each));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use clap::error::ErrorKind::{
            ArgumentConflict, DisplayHelpOnMissingArgumentOrSubcommand, InvalidSubcommand,
            InvalidValue, MissingRequiredArgument, ValueValidation,
        };
        for (words, kind) in [
            (&[][..], DisplayHelpOnMissingArgumentOrSubcommand),
            (&["detach"], MissingRequiredArgument),
            (&["detach", "--all", "rloop0"], ArgumentConflict),
            (&["attach"], MissingRequiredArgument),
            (&["attach", "x", "--fill", "fast"], InvalidValue),
            (&["attach", "x", "--offset", "-1"], ValueValidation),
            (&["attach", "x", "--offset", "1Q"], ValueValidation),
            (&["attach", "x", "--sizelimit", "0"], ValueValidation),
            (&["attach", "x", "--block-size", "8K"], ValueValidation),
            (&["stat", "rloop0", "0"], ValueValidation),
            (&["stat", "rloop0", "1", "0"], ValueValidation),
            (&["mount", "x"], InvalidSubcommand),
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(kind), "{words:?}");
        }
    }
}
