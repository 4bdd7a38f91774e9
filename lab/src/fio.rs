//! fio, writing what it can check afterwards, or counting.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command;
use crate::guest::Guest;

/// A job that writes blocks at random places, reads them again and compares.
pub(crate) struct Verify<'a> {
    pub(crate) file: &'a Path,
    pub(crate) block_bytes: u32,
    pub(crate) total_bytes: u64,
    pub(crate) engine: &'a str,
    pub(crate) depth: u32,
}

impl Verify<'_> {
    /// Runs it. A block that does not hold what was written is an error.
    pub(crate) fn run(&self, guest: &Guest) -> Result<()> {
        let mut fio = Command::new("fio");
        fio.args([
            "--name=verify",
            "--rw=randwrite",
            "--direct=1",
            "--verify=crc32c",
        ])
        .args(["--verify_fatal=1", "--do_verify=1", "--minimal"])
        .arg(format!("--filename={}", self.file.display()))
        .arg(format!("--bs={}", self.block_bytes))
        .arg(format!("--size={}", self.total_bytes))
        .arg(format!("--ioengine={}", self.engine))
        .arg(format!("--iodepth={}", self.depth))
        .arg(format!("--randseed={}", guest.seed()));
        command::output_of(&mut fio).context("what was read is not what was written")?;
        Ok(())
    }
}

/// Jobs that write, read and compare at the same time, each on a part of a file of its own.
pub(crate) struct Mix<'a> {
    pub(crate) file: &'a Path,
    /// How long each job's part is.
    pub(crate) part_bytes: u64,
    /// Each job's engine and block size, in bytes.
    pub(crate) jobs: &'a [(&'a str, u64)],
    /// Whether the part behind theirs is discarded and written meanwhile. fio cannot check what it
    /// discards.
    pub(crate) trims: bool,
    pub(crate) seed: u64,
}

impl Mix<'_> {
    /// Runs them. A block that does not hold what was written is an error.
    pub(crate) fn run(&self) -> Result<()> {
        let mut fio = Command::new("fio");
        fio.args(["--thread", "--minimal"])
            .arg(format!("--filename={}", self.file.display()))
            .arg(format!("--size={}", self.part_bytes))
            .arg(format!("--randseed={}", self.seed));
        for ((engine, block_bytes), number) in self.jobs.iter().zip(0..) {
            let depth = if *engine == "psync" { 1 } else { 8 };
            fio.arg(format!("--name={engine}-{block_bytes}"))
                .args(["--rw=randwrite", "--verify=crc32c", "--verify_fatal=1"])
                .args(["--do_verify=1", "--verify_backlog=32"])
                .arg(format!("--ioengine={engine}"))
                .arg(format!("--iodepth={depth}"))
                .arg("--direct=1")
                .arg(format!("--bs={block_bytes}"))
                .arg(format!("--offset={}", number * self.part_bytes));
        }
        for rw in ["randtrim", "randwrite"].iter().filter(|_| self.trims) {
            let offset = self.jobs.len() as u64 * self.part_bytes;
            fio.args(["--name=trims", "--ioengine=psync", "--direct=1", "--bs=6k"])
                .arg(format!("--rw={rw}"))
                .arg(format!("--offset={offset}"));
        }
        command::output_of(&mut fio).context("what was read is not what was written")?;
        Ok(())
    }
}

/// Reads of so many blocks, then writes, one at a time, past the page cache.
pub(crate) struct Counted<'a> {
    pub(crate) file: &'a Path,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) block_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

impl Counted<'_> {
    /// Runs them. How many reads and writes fio counted.
    pub(crate) fn run(&self, guest: &Guest) -> Result<(u64, u64)> {
        let mut fio = Command::new("fio");
        // A device may have a filesystem on it, whose buffers are not to be written now.
        fio.args(["--allow_mounted_write=1", "--invalidate=0"])
            .args(["--output-format=json", "--direct=1", "--ioengine=psync"])
            .arg("--thread")
            .arg(format!("--filename={}", self.file.display()))
            .arg(format!("--bs={}", self.block_bytes))
            .arg(format!("--offset={}", self.offset))
            .arg(format!("--size={}", self.bytes))
            .arg(format!("--randseed={}", guest.seed()))
            .args(["--name=reads", "--rw=randread"])
            .arg(format!("--number_ios={}", self.reads))
            .args(["--stonewall", "--name=writes", "--rw=randwrite"])
            .arg(format!("--number_ios={}", self.writes));
        let told: Value = serde_json::from_str(&command::output_of(&mut fio)?)?;
        let jobs = told["jobs"].as_array().context("fio tells of no job")?;
        let total = |of: &str| {
            let each = jobs.iter().filter_map(|job| job[of]["total_ios"].as_u64());
            each.sum()
        };
        Ok((total("read"), total("write")))
    }
}
