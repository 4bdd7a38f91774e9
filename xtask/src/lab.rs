//! `cargo xtask lab`: the module built against the stock kernel, and a guest machine to run it in.

mod apt;
mod chroot;
mod folder;
mod guest;
mod guest_tests;
mod kernel;
mod line;
mod module;
mod project;
mod recipe;
mod symbols;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;

pub(crate) use folder::Folder;
use guest::Clock;
pub(crate) use guest_tests::{Form, run as run_tests};
use project::{Command, Products, Project};

/// What the lab does.
#[derive(Subcommand)]
pub(crate) enum Lab {
    /// Make the lab's folder if it is missing or old, and build the module.
    Build,
    /// Boot the guest and open a shell in it. `exit` powers it off.
    Shell,
    /// Boot the guest, run a script or a command in it, and exit as that did.
    Run {
        /// Seconds after which the guest counts as stuck.
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// A script on this machine, with its arguments; or a command, as a shell reads it.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run the guest tests.
    Test {
        /// Run only the tests with this in their name.
        filter: Option<String>,
        /// What their random choices start from.
        #[arg(long, default_value_t = guest_tests::SHORT_SEED)]
        seed: u64,
        /// Run those that have to fail instead, each in another way.
        #[arg(long, conflicts_with = "seed")]
        provoked: bool,
    },
    /// Run the guest tests in their long form, which takes hours.
    Soak {
        /// Run only the tests with this in their name.
        filter: Option<String>,
        /// What their random choices start from; without it, the clock.
        #[arg(long)]
        seed: Option<u64>,
    },
}

impl Lab {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Build => build(),
            Self::Shell => shell(),
            Self::Run { limit, command } => run(&command, Duration::from_secs(limit)),
            Self::Test {
                filter,
                provoked: true,
                ..
            } => test(filter.as_deref(), Form::Provoked),
            Self::Test { filter, seed, .. } => test(filter.as_deref(), Form::Short { seed }),
            Self::Soak { filter, seed } => test(filter.as_deref(), Form::long(seed)),
        }
    }
}

fn build() -> Result<ExitCode> {
    let folder = Folder::newest()?;
    println!("kernel {} in {}", folder.release(), folder.path().display());
    if let Some(module) = module::build(&folder)? {
        println!("{module}");
    }
    Ok(ExitCode::SUCCESS)
}

fn shell() -> Result<ExitCode> {
    let folder = Folder::ready()?;
    let project = Project::stage(&folder, &Products::build(&folder)?, &Command::Shell)?;
    guest::interactive(&folder, &project)?;
    Ok(ExitCode::SUCCESS)
}

fn run(words: &[String], limit: Duration) -> Result<ExitCode> {
    let folder = Folder::ready()?;
    let command = Command::of_words(words);
    let project = Project::stage(&folder, &Products::build(&folder)?, &command)?;
    let status = guest::batch(Clock::Time, &folder, &project, limit)?;
    Ok(ExitCode::from(status))
}

/// Measures the fast path in the guest: by time, then by instructions.
pub(crate) fn bench_fast_path(rounds: usize, seconds: u32) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(3600);
    let folder = Folder::ready()?;
    let products = Products::build(&folder)?;
    for (clock, options) in [
        (
            Clock::Time,
            format!("--rounds {rounds} --seconds {seconds}"),
        ),
        (Clock::Instructions, "--rounds 1 --instructions".into()),
    ] {
        let command = Command::Line(format!("rloop-lab bench {options}"));
        let project = Project::stage(&folder, &products, &command)?;
        let status = guest::batch(clock, &folder, &project, LIMIT)?;
        if status != 0 {
            bail!("the benchmark failed in the guest ({status})");
        }
    }
    Ok(())
}

fn test(filter: Option<&str>, form: Form) -> Result<ExitCode> {
    let score = guest_tests::run(filter, form)?;
    for (name, why) in &score.skipped {
        println!("skipped: {name}: {why}");
    }
    println!("{score}");
    Ok(if score.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where the lab keeps what takes long to make.
fn cache() -> Result<PathBuf> {
    Ok(crate::tools::cache()?.join("lab"))
}
