//! What the probes cost, from the kernel's own statistics of BPF programs.
//!
//! Those slow every BPF program of the machine down, so they are on for a short while only, now and
//! then, and what was seen is scaled up.

use std::{
    fs,
    os::fd::RawFd,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use aya::sys::{Stats, enable_stats};

use crate::sample::ProbeCost;

/// How long the statistics are on.
const ON: Duration = Duration::from_millis(10);
/// How long they are off in between.
const OFF: Duration = Duration::from_millis(4_990);

/// Samples the cost from a thread of its own until dropped.
pub(super) struct Cost {
    estimate: Arc<Mutex<Option<Estimate>>>,
    programs: Vec<RawFd>,
    /// Dropping it ends the thread.
    _stop: Sender<()>,
}

/// The sum up to an instant, and what is believed to be added from then on.
#[derive(Clone, Copy)]
struct Estimate {
    sum: ProbeCost,
    at: Instant,
    /// What was added in [`ON`] when it was last sampled.
    rate: ProbeCost,
}

impl Estimate {
    fn now(&self) -> ProbeCost {
        let elapsed = self.at.elapsed().as_nanos();
        let grown = |in_on: u64| (u128::from(in_on) * elapsed / ON.as_nanos()) as u64;
        ProbeCost {
            runs: self.sum.runs + grown(self.rate.runs),
            run_ns: self.sum.run_ns + grown(self.rate.run_ns),
        }
    }
}

impl Cost {
    /// Watches these programs, whose descriptors stay open as long as `self` lives.
    pub(super) fn watch(programs: Vec<RawFd>) -> Self {
        let estimate: Arc<Mutex<Option<Estimate>>> = Arc::default();
        let (stop, stopped) = mpsc::channel();
        let (shared, watched) = (Arc::clone(&estimate), programs.clone());
        thread::spawn(move || {
            while let Some(rate) = sample(&watched) {
                if let Ok(mut shared) = shared.lock() {
                    let sum = shared
                        .as_ref()
                        .map_or_else(ProbeCost::default, Estimate::now);
                    *shared = Some(Estimate {
                        sum,
                        at: Instant::now(),
                        rate,
                    });
                }
                if stopped.recv_timeout(OFF) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self {
            estimate,
            programs,
            _stop: stop,
        }
    }

    /// The estimate since the start; `None` without the right to switch the statistics on.
    pub(super) fn total(&self) -> Option<ProbeCost> {
        self.estimate.lock().ok()?.as_ref().map(Estimate::now)
    }

    /// Runs the kernel refused because one of the same program was under way.
    pub(super) fn recursion_misses(&self) -> u64 {
        self.programs
            .iter()
            .filter_map(|&fd| statistic(fd, "recursion_misses:"))
            .sum()
    }
}

fn sample(programs: &[RawFd]) -> Option<ProbeCost> {
    let before = read(programs);
    let statistics = enable_stats(Stats::RunTime).ok()?;
    thread::sleep(ON);
    drop(statistics);
    let after = read(programs);
    Some(ProbeCost {
        runs: after.runs.saturating_sub(before.runs),
        run_ns: after.run_ns.saturating_sub(before.run_ns),
    })
}

fn read(programs: &[RawFd]) -> ProbeCost {
    let sum = |name: &str| programs.iter().filter_map(|&fd| statistic(fd, name)).sum();
    ProbeCost {
        runs: sum("run_cnt:"),
        run_ns: sum("run_time_ns:"),
    }
}

/// One line of what the kernel tells about an open program.
fn statistic(program: RawFd, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
