//! `cargo xtask lab`: the module built against the stock kernel, and a guest machine to run it in.

mod apt;
mod chroot;
mod debug_kernel;
mod folder;
mod guest;
mod guest_tests;
mod kernel;
mod kernels;
mod line;
mod module;
mod other_kernel;
mod project;
mod recipe;
mod symbols;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::bench::FastPath;
pub(crate) use folder::Folder;
use guest::Clock;
pub(crate) use guest_tests::{Form, run as run_tests};
use other_kernel::OtherKernel;
use project::{Command, Products, Project};

/// What the lab does.
#[derive(Subcommand)]
pub(crate) enum Lab {
    /// Make the lab's folder if it is missing or old, and build the module.
    Build,
    /// Build the debug kernel: KASAN, lockdep, fault injection. It takes an hour.
    Kernel,
    /// Ask each of Debian's kernels what rloop-top can show on it, and write docs/kernels.md.
    Kernels,
    /// Run clippy on the module.
    Lint,
    /// Boot the guest and open a shell in it. `exit` powers it off.
    Shell {
        #[command(flatten)]
        choice: Choice,
    },
    /// Boot the guest, run a script or a command in it, and exit as that did.
    Run {
        #[command(flatten)]
        choice: Choice,
        /// Seconds after which the guest counts as stuck.
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// A script on this machine, with its arguments; or a command, as a shell reads it.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run the guest tests.
    Test {
        #[command(flatten)]
        choice: Choice,
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
        #[command(flatten)]
        choice: Choice,
        /// Run only the tests with this in their name.
        filter: Option<String>,
        /// What their random choices start from; without it, the clock.
        #[arg(long)]
        seed: Option<u64>,
    },
}

/// Which kernel the guest has.
#[derive(Args, Clone, Copy)]
pub(crate) struct Choice {
    /// Use the debug kernel instead of Debian's newest.
    #[arg(long)]
    debug_kernel: bool,
    /// Use an older kernel of Debian's, which the module is not for.
    #[arg(long, conflicts_with = "debug_kernel")]
    kernel: Option<OtherKernel>,
}

impl Choice {
    /// Debian's.
    pub(crate) const STOCK: Self = Self {
        debug_kernel: false,
        kernel: None,
    };

    fn folder(self) -> Result<Folder> {
        let folder = Folder::ready()?;
        match self.kernel {
            Some(kernel) => folder.with_other_kernel(kernel),
            None if self.debug_kernel => folder.with_debug_kernel(),
            None => Ok(folder),
        }
    }
}

impl Lab {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Build => build(),
            Self::Kernel => kernel(),
            Self::Kernels => kernels::run(),
            Self::Lint => lint(),
            Self::Shell { choice } => shell(choice),
            Self::Run {
                choice,
                limit,
                command,
            } => run(choice, &command, Duration::from_secs(limit)),
            Self::Test {
                choice,
                filter,
                provoked: true,
                ..
            } => test(choice, filter.as_deref(), Form::Provoked),
            Self::Test {
                choice,
                filter,
                seed,
                ..
            } => test(choice, filter.as_deref(), Form::Short { seed }),
            Self::Soak {
                choice,
                filter,
                seed,
            } => test(choice, filter.as_deref(), Form::long(seed)),
        }
    }
}

fn build() -> Result<ExitCode> {
    let folder = Folder::newest()?;
    println!("kernel {} in {}", folder.release(), folder.path().display());
    println!("{}", module::build(&folder)?);
    Ok(ExitCode::SUCCESS)
}

fn kernel() -> Result<ExitCode> {
    let kernel = debug_kernel::build(&Folder::ready()?)?;
    println!("debug kernel {}", kernel.release());
    Ok(ExitCode::SUCCESS)
}

fn lint() -> Result<ExitCode> {
    module::lint(&Folder::ready()?)?;
    Ok(ExitCode::SUCCESS)
}

fn shell(choice: Choice) -> Result<ExitCode> {
    let folder = choice.folder()?;
    let products = Products::build(&folder)?;
    let project = Project::stage(&folder, &products, &Command::Shell)?;
    guest::interactive(&folder, &project)?;
    Ok(ExitCode::SUCCESS)
}

fn run(choice: Choice, words: &[String], limit: Duration) -> Result<ExitCode> {
    let folder = choice.folder()?;
    let products = Products::build(&folder)?;
    let project = Project::stage(&folder, &products, &Command::of_words(words))?;
    let status = guest::batch(Clock::Time, &folder, &project, limit)?;
    Ok(ExitCode::from(status))
}

/// Measures the fast path in the guest: by time, then by instructions.
pub(crate) fn bench_fast_path(options: &FastPath) -> Result<()> {
    let FastPath {
        rounds,
        seconds,
        only,
    } = options;
    let line = |options: &str| format!("rloop-lab bench {options} --only '{only}'");
    let mut ways = vec![(Clock::Instructions, line("--rounds 1 --instructions"))];
    if *rounds > 0 {
        let by_time = line(&format!("--rounds {rounds} --seconds {seconds}"));
        ways.insert(0, (Clock::Time, by_time));
    }
    bench(ways)
}

/// Measures in the guest how many instructions watching adds to an I/O, of the loads with `only` in their name.
pub(crate) fn bench_watch(only: &str) -> Result<()> {
    let line = format!("rloop-lab bench-watch --only '{only}'");
    bench(vec![(Clock::Instructions, line)])
}

fn bench(lines: Vec<(Clock, String)>) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(3600);
    let folder = Folder::ready()?;
    let products = Products::build(&folder)?;
    for (clock, line) in lines {
        let project = Project::stage(&folder, &products, &Command::Line(line))?;
        let status = guest::batch(clock, &folder, &project, LIMIT)?;
        if status != 0 {
            bail!("the benchmark failed in the guest ({status})");
        }
    }
    Ok(())
}

fn test(choice: Choice, filter: Option<&str>, form: Form) -> Result<ExitCode> {
    let score = guest_tests::run(choice, filter, form)?;
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
