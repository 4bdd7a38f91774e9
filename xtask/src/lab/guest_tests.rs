//! The guest tests: their program runs in the guest and prints; here it is read, and what broke
//! the guest itself is counted.

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};

use super::Choice;
use super::apt::Unobtainable;
use super::folder::Folder;
use super::guest::{End, Guest};
use super::line::{Line, Outcome};
use super::project::{self, Command, Products, Project};
use crate::score::Score;
use crate::{build_folder, output_of};

/// Where the short form's random choices start from, always.
pub(super) const SHORT_SEED: u64 = 1;

/// How long the guest may take until its first line, and to end after the last.
const BOOT_LIMIT: Duration = Duration::from_secs(400);

/// How long the tests take, and what their random choices start from.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Short {
        seed: u64,
    },
    Long {
        seed: u64,
    },
    /// Other tests: those that have to fail.
    Provoked,
}

impl Form {
    /// The short form as `cargo xtask test` runs it.
    pub(crate) const SHORT: Self = Self::Short { seed: SHORT_SEED };

    /// The long form; without a seed, the clock gives one.
    pub(super) fn long(seed: Option<u64>) -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = seed.unwrap_or_else(|| clock().map_or(1, |since| since.as_secs()));
        Self::Long { seed }
    }

    fn arguments(self) -> String {
        match self {
            Self::Short { seed } => format!("--seed {seed}"),
            Self::Long { seed } => format!("--long --seed {seed}"),
            Self::Provoked => "--provoked".into(),
        }
    }
}

/// Runs the tests with `filter` in their name, in as many guests as it takes.
pub(crate) fn run(choice: Choice, filter: Option<&str>, form: Form) -> Result<Score> {
    let mut progress = Progress::new(names(filter, form)?);
    ensure!(
        !progress.left.is_empty(),
        "no guest test has `{}` in its name",
        filter.unwrap_or("")
    );
    let folder = match choice.folder() {
        Err(error) if error.is::<Unobtainable>() => {
            return Ok(Score::all_skipped(progress.left, &format!("{error:#}")));
        }
        folder => folder?,
    };
    let products = Products::build(&folder)?;
    println!(
        "guest tests on kernel {}: {}",
        folder.release(),
        form.arguments()
    );
    let begun = Instant::now();
    while !progress.left.is_empty() {
        let words = progress.left.join(" ");
        let line = format!("rloop-lab {} {words}", form.arguments());
        let project = Project::stage(&folder, &products, &Command::Line(line))?;
        progress.one_guest(&folder, &project)?;
    }
    println!("guest tests took {} s", begun.elapsed().as_secs());
    Ok(progress.score)
}

/// The tests' names. Their program tells them here as it does in the guest. Who asks for some gets those too that
/// take long.
fn names(filter: Option<&str>, form: Form) -> Result<Vec<String>> {
    project::build_programs()?;
    let mut program = Process::new(build_folder()?.join("rloop-lab"));
    let arguments = form.arguments();
    program.arg("--list").args(arguments.split(' '));
    if filter.is_some() {
        program.arg("--all");
    }
    let names = output_of(&mut program)?;
    let chosen = names
        .lines()
        .filter(|name| name.contains(filter.unwrap_or("")));
    Ok(chosen.map(str::to_owned).collect())
}

/// Tests that are to run, and how far it is.
struct Progress {
    left: Vec<String>,
    running: Option<String>,
    /// When the guest counts as stuck.
    deadline: Instant,
    score: Score,
}

impl Progress {
    fn new(left: Vec<String>) -> Self {
        let (running, score) = (None, Score::default());
        let deadline = Instant::now() + BOOT_LIMIT;
        Self {
            left,
            running,
            deadline,
            score,
        }
    }

    /// Runs tests in one guest until they are through, or one failed: that guest is not used again.
    fn one_guest(&mut self, folder: &Folder, project: &Project) -> Result<()> {
        let before = self.left.len();
        let mut guest = Guest::boot(folder, project, Stdio::piped())?;
        self.deadline = Instant::now() + BOOT_LIMIT;
        let lines = lines(guest.output().context("QEMU has no output")?);
        let broken = loop {
            let time = self.deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(time) {
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => {
                    guest.kill()?;
                    break "it did not end in its time, and the guest was stopped".into();
                }
                Err(RecvTimeoutError::Disconnected) => match guest.wait()? {
                    End::Status(status) => break format!("the tests' program ended ({status})"),
                    End::Died => break "the guest died".into(),
                },
            }
        };
        let tail = || guest.log_tail().unwrap_or_default();
        if let Some(name) = self.running.take() {
            println!("{}", tail());
            println!("failed {name}: {broken}; the end of the kernel's log is above");
            self.count(&name, Outcome::Failed);
        } else if self.left.len() == before {
            bail!(
                "{broken} without running a test; the end of its kernel's log:\n{}",
                tail()
            );
        }
        Ok(())
    }

    fn take(&mut self, line: &str) {
        println!("{line}");
        match Line::read(line) {
            Some(Line::Running { name, seconds }) => {
                self.deadline = Instant::now() + Duration::from_secs(seconds);
                self.running = Some(name);
            }
            Some(Line::Ended { name, outcome }) if self.running.as_ref() == Some(&name) => {
                self.deadline = Instant::now() + BOOT_LIMIT;
                self.running = None;
                self.count(&name, outcome);
            }
            _ => {}
        }
    }

    fn count(&mut self, name: &str, outcome: Outcome) {
        self.left.retain(|other| other != name);
        match outcome {
            Outcome::Passed => self.score.passed += 1,
            Outcome::Failed => self.score.failed += 1,
            Outcome::Skipped(why) => self.score.skipped.push((name.to_owned(), why)),
        }
    }
}

/// The lines of the guest's output as they come.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}
