//! What the fast path is worth: rloop beside the kernel's loop device, dm-linear over the same blocks,
//! and the disk itself, on a disk in memory.

mod load;
mod programs;
mod report;
mod target;
pub(crate) mod watch;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::command::run;
use crate::filesystem::{Filesystem, Kind};
use crate::module::Module;
use crate::null_blk::NullBlk;
use load::{Load, Measured};
use report::Report;
use target::Target;

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each load is run on each target; what is printed is the median.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// How long a run is, in seconds.
    #[arg(long, default_value_t = 2)]
    pub(crate) seconds: u32,
    /// The guest's clock counts instructions: what an I/O takes is how many of them.
    #[arg(long)]
    pub(crate) instructions: bool,
    /// Only loads with this in their name.
    #[arg(long, default_value = "")]
    pub(crate) only: String,
}

const DISK_MEBIBYTES: u64 = 512;
const IMAGE_BYTES: u64 = 128 << 20;

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let _module = Module::load()?;
    let disk = NullBlk::new(DISK_MEBIBYTES)?;
    take_memory_for(disk.device())?;
    let mut report = Report::default();
    for round in 1..=options.rounds {
        println!("round {round} of {}", options.rounds);
        let image = Image::new(&disk)?;
        for load in Load::all(options) {
            for target in Target::of_file(&load) {
                report.add(&load, target, image.measure(&load, target, options)?);
            }
        }
        let extents = image.extents()?;
        drop(image);
        for load in Load::all(options).filter(|load| !load.sparse) {
            for target in Target::of_disk() {
                let open = target.open_blocks(disk.device(), &extents)?;
                report.add(&load, target, load.run(open.device(), options)?);
            }
        }
    }
    print!("{}", report.text(options));
    Ok(())
}

/// Lets a disk in memory have all the memory it needs. It takes it with the first write to a place, and whoever
/// came first would pay for that.
fn take_memory_for(disk: &Path) -> Result<()> {
    let (to, count) = (
        format!("of={}", disk.display()),
        format!("count={DISK_MEBIBYTES}"),
    );
    run!["dd", "if=/dev/zero", to, "bs=1M", count, "oflag=direct"]?;
    Ok(())
}

/// A filesystem with a file on it, written from one end to the other.
struct Image {
    filesystem: Filesystem,
    written: PathBuf,
}

impl Image {
    fn new(disk: &NullBlk) -> Result<Self> {
        // Without a discard, which would give the disk's memory back.
        let filesystem = Filesystem::make_with(Kind::Xfs, disk.device(), &["-K"], "defaults")?;
        let written = filesystem.path().join("written");
        let file = format!("of={}", written.display());
        let count = format!("count={}", IMAGE_BYTES >> 20);
        run!["dd", "if=/dev/urandom", file, "bs=1M", count, "conv=fsync"]?;
        Ok(Self {
            filesystem,
            written,
        })
    }

    fn measure(&self, load: &Load, target: Target, options: &Options) -> Result<Measured> {
        if !load.sparse {
            return load.run(target.open_file(&self.written)?.device(), options);
        }
        let sparse = self.filesystem.path().join("sparse");
        let file = File::create(&sparse).context("could not make a sparse file")?;
        file.set_len(IMAGE_BYTES)?;
        drop(file);
        let open = target.open_file(&sparse)?;
        let measured = load.run(open.device(), options);
        drop(open);
        std::fs::remove_file(&sparse)?;
        measured
    }

    /// The written file's pieces on the disk: length and place, in sectors.
    fn extents(&self) -> Result<Vec<(u64, u64)>> {
        extents_of(&self.written)
    }
}

fn extents_of(file: &Path) -> Result<Vec<(u64, u64)>> {
    let text = run!["filefrag", "-v", "-b512", file]?;
    let lines = text
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    let extents = lines.map(|line| {
        // `NUMBER: FIRST.. LAST: PHYSICAL FIRST.. LAST: LENGTH: FLAGS`
        let numbers: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        match numbers[..] {
            [_, _, _, physical, _, length, ..] => Ok((length, physical)),
            _ => anyhow::bail!("filefrag says what is not understood: {line}"),
        }
    });
    extents.collect()
}
