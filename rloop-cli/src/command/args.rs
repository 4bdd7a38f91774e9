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

Sizes are in bytes, or end in K, M, G, T, P, E (powers of 1024, KiB and so on are the same) or in
KB, MB and so on (powers of 1000).

Exit status: 0 fine, 1 failed, 2 usage.";

/// Attach files to rloop devices, whose reads and writes go straight to the file's blocks.
///
/// A device can be named as rloop0 or /dev/rloop0. The kernel module rloop has to be loaded.
#[derive(Clone, Debug, Parser)]
#[command(name = "rloop", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(arg_required_else_help = true)]
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
    Attach(Attach),
    /// Detach devices
    Detach(Detach),
    /// Show the attached devices
    List(List),
    /// Show the extents of a device or of a file
    Map(Map),
    /// Show the counters of a device
    Stat(Stat),
    /// Make a device as long as its file, which has grown
    Resize {
        /// The device
        device: String,
    },
}

/// How to attach a file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Attach {
    /// The file
    pub(super) file: PathBuf,

    /// Begin at this byte of the file
    #[arg(short, long, value_name = "SIZE", default_value = "0", value_parser = size::parse)]
    pub(super) offset: u64,

    /// Be no longer than this [default: up to the file's end]
    #[arg(long, value_name = "SIZE", value_parser = size::parse_some)]
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
