//! The command line of rloop.

mod compare;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::size;
use crate::cli::interval;
use crate::diff::By;
use crate::program::About;
pub(super) use compare::Compare;

const EXAMPLES: &str = "\
Examples:
  rloop attach disk.img              prints the device, such as /dev/rloop0
  rloop attach disk.img --offset 1M --partitions
  rloop list                         what is attached, and who maps it
  rloop map rloop0                   where its blocks are
  rloop stat rloop0 1                what it did, every second
  rloop detach rloop0
  rloop doctor disk.img              what this machine offers, and who would map the file
  rloop diff before.rloop after.rloop
  rloop compare disk.img             how much faster it is than a loop device

Sizes are in bytes, or end in K, M, G, T, P, E (powers of 1024, KiB and so on are the same) or in
KB, MB and so on (powers of 1000).

Exit status: 0 fine, 1 failed, 2 usage.";

/// Attach files to rloop devices, whose reads and writes go straight to the file's blocks.
///
/// A device can be named as rloop0 or /dev/rloop0. The kernel module rloop has to be loaded, but for doctor and
/// diff, and map of a file.
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
    /// Show what became slower or faster between two recordings
    ///
    /// Compares p50 and p99 of each operation of a device, of its commits, and of up to sixteen ranges of
    /// it, from the recording A to the recording B (rloop-top --record). Each percentile has an interval
    /// that it lies in with 99 % confidence, wider the more the latencies vary in time; a change counts if
    /// the two intervals are further apart than the threshold. N-A and N-B are numbers of requests; SURELY
    /// is how many times as long the slower one takes at least. "too few" is said where p50 has fewer than
    /// 20 requests, p99 fewer than 1000, or hardly 5 intervals have any number of them; "other mix" where
    /// a range has other shares of reads and writes. So record the same workload, for a minute or more.
    ///
    /// Exit status: 0 nothing is slower, 1 something is, 2 usage, or a recording that cannot be read.
    Diff(Diff),
    /// Show how much faster a file is as an rloop device than as a loop device, and why
    ///
    /// Attaches the file as a loop device with direct I/O and as an rloop device, in turn and never both at
    /// once, read-only, and does the same load on each: random and sequential direct reads, or with --writes
    /// also random overwrites and writes into holes, with a flush after each and without, on a copy that is
    /// removed afterwards. The file itself is not written. --fill and --commit are for the rloop device, and
    /// make a difference with --writes only. TIMES is how many times as much rloop has as loop, and SURELY the
    /// range that this lies in with 99 % confidence. CPU and context switches are the whole machine's. Data that
    /// was read or written through both is checked. It takes the seconds of a run times two, times rounds, for
    /// each load.
    ///
    /// Exit status: 0 compared, 1 that failed, or data was not the same, 2 usage, 130 interrupted.
    Compare(Compare),
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

    /// What becomes of holes
    #[command(flatten)]
    pub(super) filling: Filling,

    /// The logical block size: 512, 1K, 2K or 4K [default: the best one]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse_block)]
    pub(super) block_size: Option<u32>,

    /// Look for partitions
    #[arg(short = 'P', long)]
    pub(super) partitions: bool,
}

/// What an rloop device does with holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Filling {
    /// How holes of the file are filled
    #[arg(long, value_enum, default_value_t)]
    pub(super) fill: Fill,

    /// When what was written into holes is made durable
    #[arg(long, value_enum, default_value_t)]
    pub(super) commit: Commit,
}

/// What a value is called on the command line.
pub(super) fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
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

    /// For developers: print how many instructions of each probe the kernel's verifier goes through
    #[arg(long, hide = true, exclusive = true)]
    pub(super) programs: bool,
}

/// What to compare, and how to say it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Diff {
    /// The older recording
    pub(super) a: PathBuf,

    /// The newer recording
    pub(super) b: PathBuf,

    /// Changes up to this do not count
    #[arg(short, long, value_name = "PERCENT", default_value = "5", value_parser = percent)]
    #[arg(allow_negative_numbers = true)]
    pub(super) threshold: f64,

    /// How devices of the two find each other
    #[arg(long, value_enum, default_value_t)]
    pub(super) by: By,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// How to print a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For a comment on a change: what changed, the worst first
    Markdown,
    /// For programs: everything
    Json,
}

/// A share in hundredths.
fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err("must be 0 or more".into())
    }
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
mod tests;
