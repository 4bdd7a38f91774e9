//! Programs that watch.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::bound;
use crate::packages;

/// Latency of all block requests, as anybody writes it with bpftrace.
const HISTOGRAM: &str = "tracepoint:block:block_rq_issue { @start[args->dev, args->sector] = nsecs; } \
    tracepoint:block:block_rq_complete /@start[args->dev, args->sector]/ { \
    @us = hist((nsecs - @start[args->dev, args->sector]) / 1000); \
    delete(@start[args->dev, args->sector]); }";

/// What a program may need before it measures, beyond its first line.
const SETTLE: Duration = Duration::from_millis(1500);

/// Ways of watching.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// rloop-top that prints JSON.
    Json,
    /// rloop-top that draws on a terminal of 200 by 60, going through its views.
    Dashboard,
    /// A histogram by bpftrace.
    Bpftrace,
}

impl Way {
    /// All that this machine has.
    pub(super) fn all() -> Vec<Self> {
        let mut ways = vec![Self::Json];
        if packages::has("script") {
            ways.push(Self::Dashboard);
        } else {
            println!("skipped: the dashboard: there is no script(1)");
        }
        if packages::has("bpftrace") {
            ways.push(Self::Bpftrace);
        } else {
            println!("skipped: the same histogram by bpftrace: it is not installed");
        }
        ways
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "rloop-top --json",
            Self::Dashboard => "rloop-top, dashboard",
            Self::Bpftrace => "bpftrace histogram",
        }
    }
}

/// One that runs, until dropped.
pub(super) struct Watcher {
    child: Child,
    /// Its process number: the child may be another program that runs it.
    pub(super) process: u32,
    lines: Arc<Mutex<Vec<String>>>,
    /// Closed, its keys end.
    _keys: Option<Arc<Mutex<ChildStdin>>>,
}

impl Watcher {
    /// Starts watching, and returns when it does.
    pub(super) fn start(way: Way, program: &Path, devices: &[String]) -> Result<Self> {
        let mut child = command(way, program, devices)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", way.name()))?;
        let stdin = child.stdin.take().context("no input")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut first = String::new();
        output.read_line(&mut first)?;
        if first.is_empty() {
            let output = child.wait_with_output()?;
            let why = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} ended at once ({}): {}",
                way.name(),
                output.status,
                why.trim()
            );
        }
        let process = match way {
            Way::Dashboard => first.trim().parse().context("no process number")?,
            Way::Json | Way::Bpftrace => child.id(),
        };
        let keys = (way == Way::Dashboard).then(|| press_keys(stdin));
        let lines = Arc::default();
        keep(output, way, Arc::clone(&lines));
        thread::sleep(SETTLE);
        Ok(Self {
            child,
            process,
            lines,
            _keys: keys,
        })
    }

    /// Nanoseconds in probes and runs of probes for each request, as the program itself accounts for the
    /// last whole interval; `None` if it does not say.
    pub(super) fn probe_per_request(&self) -> Option<(f64, f64)> {
        let lines = self.lines.lock().ok()?;
        let line: serde_json::Value = serde_json::from_str(lines.iter().rev().nth(1)?).ok()?;
        let devices = line["devices"].as_array()?.iter();
        let requests: u64 = devices
            .filter_map(|device| device["io"]["read"]["ops"].as_u64())
            .sum();
        let probe = &line["probe"];
        let per = |what: &str| Some(probe[what].as_u64()? as f64 / requests.max(1) as f64);
        Some((per("run_ns")?, per("runs")?))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}

fn command(way: Way, program: &Path, devices: &[String]) -> Command {
    let name = program.to_string_lossy();
    match way {
        Way::Json => {
            let mut command = bound(&name);
            command.arg("--json").args(devices);
            command
        }
        Way::Dashboard => {
            let script = format!(
                "stty rows 60 cols 200; echo $$; exec '{name}' {}",
                devices.join(" ")
            );
            let mut command = bound("script");
            command.args(["--quiet", "--return", "--command", &script, "/dev/null"]);
            command.env("TERM", "xterm-256color");
            command
        }
        Way::Bpftrace => {
            // Its tracepoints are described in a filesystem that need not be mounted.
            let script = "test -e /sys/kernel/tracing/events || \
                mount -t tracefs tracefs /sys/kernel/tracing; exec bpftrace -e \"$1\"";
            let mut command = bound("unshare");
            command.args(["--mount", "sh", "-c", script, "sh", HISTOGRAM]);
            command
        }
    }
}

/// Reads all that is printed, and keeps the lines that are for programs.
fn keep(mut output: BufReader<ChildStdout>, way: Way, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        let mut line = Vec::new();
        while output
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            if way == Way::Json
                && let Ok(mut lines) = lines.lock()
            {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
            line.clear();
        }
    });
}

/// Goes from view to view, one each second.
fn press_keys(stdin: ChildStdin) -> Arc<Mutex<ChildStdin>> {
    let keys = Arc::new(Mutex::new(stdin));
    let weak = Arc::downgrade(&keys);
    thread::spawn(move || {
        for key in b"123456".iter().cycle() {
            thread::sleep(Duration::from_secs(1));
            let Some(keys) = weak.upgrade() else { return };
            let pressed = keys
                .lock()
                .is_ok_and(|mut keys| keys.write_all(&[*key]).and_then(|()| keys.flush()).is_ok());
            if !pressed {
                return;
            }
        }
    });
    keys
}
