//! The workload: fio.

use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};

use super::bound;

/// Random direct reads of 4 KiB on all devices, 32 in flight on each.
pub(super) struct Load {
    child: Child,
}

impl Load {
    /// Starts. `rate` bounds the reads of each device in a second.
    pub(super) fn start(devices: &[String], seconds: u32, rate: Option<u32>) -> Result<Self> {
        let mut fio = bound("fio");
        fio.args([
            "--direct=1",
            "--ioengine=io_uring",
            "--iodepth=32",
            "--rw=randread",
            "--bs=4k",
            "--time_based",
            "--group_reporting",
            "--output-format=json",
        ]);
        fio.arg(format!("--runtime={seconds}"));
        fio.args(rate.map(|rate| format!("--rate_iops={rate}")));
        for device in devices {
            fio.arg(format!("--name={device}"))
                .arg(format!("--filename={device}"));
        }
        let child = fio
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start fio")?;
        Ok(Self { child })
    }

    /// Waits for its end, and gives the reads a second that it made.
    pub(super) fn iops(self) -> Result<f64> {
        let output = self.child.wait_with_output()?;
        if !output.status.success() {
            bail!("fio failed ({})", output.status);
        }
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("fio's report is not JSON")?;
        let iops = report["jobs"][0]["read"]["iops"].as_f64();
        iops.context("fio's report has no IOPS")
    }
}
