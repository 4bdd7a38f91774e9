//! What is done to a target, by fio, and what came of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{IMAGE_BYTES, Options};
use crate::command;

/// A kind of I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    /// The order in the report.
    place: usize,
    pub(crate) name: &'static str,
    /// As fio has it.
    operation: &'static str,
    block_bytes: u32,
    depth: u32,
    jobs: u32,
    /// Into a file without blocks.
    pub(crate) sparse: bool,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) iops: f64,
    pub(crate) mean_ns: f64,
    /// Where the clock counts instructions: how many an I/O took, the program's own among them.
    pub(crate) instructions: f64,
    /// Time that the processors were busy, per I/O; the load's own included.
    pub(crate) cpu_ns: f64,
}

/// Each row: name, operation, block size, depth, jobs, sparse. Two jobs, as the guest has two processors: with
/// one, a worker would have a processor for itself.
const LOADS: [(&str, &str, u32, u32, u32, bool); 9] = [
    ("4k random read, depth 1", "randread", 4096, 1, 1, false),
    ("4k random read, depth 32", "randread", 4096, 32, 2, false),
    ("4k random write, depth 1", "randwrite", 4096, 1, 1, false),
    ("4k random write, depth 32", "randwrite", 4096, 32, 2, false),
    ("128k read, depth 8", "read", 128 << 10, 8, 1, false),
    ("128k write, depth 8", "write", 128 << 10, 8, 1, false),
    ("4k into holes, depth 1", "randwrite", 4096, 1, 1, true),
    ("4k into holes, depth 32", "randwrite", 4096, 32, 1, true),
    ("128k into holes, depth 8", "write", 128 << 10, 8, 1, true),
];

/// How many I/Os write into holes: each block once.
const FILLS: u64 = 4096;

impl Load {
    /// How many I/Os are enough where each takes the same number of instructions.
    pub(crate) const COUNTED: u64 = 10_000;

    /// Every row.
    pub(crate) fn all(options: &Options) -> impl Iterator<Item = Self> {
        let rows = LOADS.iter().enumerate();
        rows.map(
            |(place, &(name, operation, block_bytes, depth, jobs, sparse))| Self {
                place,
                name,
                operation,
                block_bytes,
                depth,
                jobs,
                sparse,
            },
        )
        .filter(|load| load.name.contains(&options.only))
    }

    /// Runs it on a device.
    pub(crate) fn run(&self, device: &Path, options: &Options) -> Result<Measured> {
        let stat = fs::metadata(device).context("the target is gone")?;
        // fio would make a plain file of that name, and measure that.
        ensure!(
            std::os::unix::fs::FileTypeExt::is_block_device(&stat.file_type()),
            "{} is no block device",
            device.display()
        );
        let mut fio = Command::new("fio");
        fio.args([
            "--name=bench",
            "--direct=1",
            "--group_reporting",
            "--randseed=7",
        ])
        .args(["--output-format=json", "--allow_mounted_write=1"])
        .arg(format!("--filename={}", device.display()))
        .arg(format!("--rw={}", self.operation))
        .arg(format!("--bs={}", self.block_bytes))
        .arg(format!("--size={IMAGE_BYTES}"));
        if options.instructions && self.depth == 1 {
            fio.arg("--ioengine=psync");
        } else {
            fio.arg("--ioengine=io_uring")
                .arg(format!("--iodepth={}", self.depth));
        }
        // A guest whose clock counts instructions has one processor.
        let jobs = if options.instructions { 1 } else { self.jobs };
        fio.arg(format!("--numjobs={jobs}"));
        if self.sparse {
            fio.arg(self.io_size(FILLS));
        } else if options.instructions {
            fio.arg(self.io_size(Self::COUNTED));
        } else {
            fio.args(["--time_based", "--norandommap"])
                .arg(format!("--runtime={}", options.seconds));
        }
        let before = busy_ns()?;
        let text = command::output_of(&mut fio)?;
        let busy = busy_ns()? - before;
        self.read(&text, busy)
            .with_context(|| format!("fio says: {text}"))
    }

    /// So many I/Os, but no more than the file has room for.
    fn io_size(&self, count: u64) -> String {
        let bytes = (count * u64::from(self.block_bytes)).min(IMAGE_BYTES);
        format!("--io_size={bytes}")
    }

    fn read(&self, text: &str, busy_ns: f64) -> Result<Measured> {
        let json: Value = serde_json::from_str(text)?;
        let kind = if self.operation.ends_with("read") {
            "read"
        } else {
            "write"
        };
        let job = &json["jobs"][0][kind];
        let number = |value: &Value| value.as_f64().context("no number");
        let (iops, mean_ns) = (number(&job["iops"])?, number(&job["lat_ns"]["mean"])?);
        Ok(Measured {
            iops,
            mean_ns,
            // One at a time, the latency is all of it but fio's own work between two.
            instructions: if self.depth == 1 { mean_ns } else { 1e9 / iops },
            cpu_ns: busy_ns / number(&job["total_ios"])?,
        })
    }
}

/// How long the processors have been busy since the guest began.
fn busy_ns() -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq
    let [user, nice, system, _, _, irq, soft, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat says: {line}");
    };
    Ok((user + nice + system + irq + soft) / TICKS_PER_SECOND * 1e9)
}
