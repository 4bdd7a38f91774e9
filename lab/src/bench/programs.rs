//! What each BPF program of a process takes, by the kernel's own statistics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;

use anyhow::Result;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel's statistics of BPF programs, on until dropped. They cost something themselves.
pub(super) struct Statistics;

impl Statistics {
    /// Switches them on.
    pub(super) fn on() -> Result<Self> {
        fs::write(SWITCH, "1")?;
        Ok(Self)
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, "0") {
            println!("could not switch off {SWITCH}: {error}");
        }
    }
}

/// The programs of one process, by tracepoint.
pub(super) struct Programs(BTreeMap<String, Runs>);

#[derive(Clone, Copy, Default)]
struct Runs {
    count: u64,
    ns: u64,
}

impl Programs {
    /// All that it has attached.
    pub(super) fn of(process: u32) -> Result<Self> {
        let (mut runs, mut names) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
            let text = match fs::read_to_string(entry?.path()) {
                // It was closed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                text => text?,
            };
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            let number = |name: &str| field(name).and_then(|value| value.trim().parse().ok());
            let Some(program): Option<u64> = number("prog_id:") else {
                continue;
            };
            // What is attached is a descriptor of its own, which names the program by its number.
            if let Some(tracepoint) = field("tp_name:") {
                names.push((tracepoint.trim().to_owned(), program));
            } else if let (Some(count), Some(ns)) = (number("run_cnt:"), number("run_time_ns:")) {
                runs.insert(program, Runs { count, ns });
            }
        }
        let named = names.into_iter().map(|(name, program)| {
            let runs = runs.get(&program).copied().unwrap_or_default();
            (name, runs)
        });
        Ok(Self(named.collect()))
    }

    /// What was added since `earlier`.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (name, runs) in &mut self.0 {
            let before = earlier.0.get(name).copied().unwrap_or_default();
            runs.count -= before.count;
            runs.ns -= before.ns;
        }
        self
    }

    /// A line for each that ran during `requests` requests.
    pub(super) fn text(&self, requests: u64) -> String {
        let mut text = String::new();
        for (name, runs) in self.0.iter().filter(|(_, runs)| runs.count > 0) {
            let _ = writeln!(
                text,
                "  {:8.0} in {:.2} runs of {name}",
                runs.ns as f64 / requests as f64,
                runs.count as f64 / requests as f64
            );
        }
        text
    }
}
