//! The developer's commands: `cargo xtask --help`.

mod bench;
mod bpf;
mod debian;
mod lab;
mod lint;
mod packages;
mod reading;
mod score;
mod source;
mod test;
mod tools;
mod wrapper;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use lab::Lab;

/// What a developer of rloop does.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test; as root it first installs the packages that they need.
    Test {
        /// Run only the tests with this in their name, and not the check of the BPF object.
        filter: Option<String>,
    },
    /// Build the probes into the object that is committed.
    Bpf {
        /// Change nothing; fail if the committed object is not what the source gives.
        #[arg(long)]
        check: bool,
    },
    /// Draw the README's pictures from what is shipped: a recording, and a screen of the guest.
    Picture,
    /// Check the formatting and run clippy.
    Lint,
    /// The module against the stock kernel, and a guest machine to run it in.
    #[command(subcommand)]
    Lab(Lab),
    /// Measure; nothing is judged.
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// What draws the pictures.
const PICTURE: [&str; 7] = [
    "run",
    "--quiet",
    "--locked",
    "--package",
    "rloop-cli",
    "--example",
    "picture",
];

fn main() -> ExitCode {
    if std::env::var_os(wrapper::VARIABLE).is_some() {
        return wrapper::run(bpf::TARGET);
    }
    let done = match Arguments::parse().command {
        Task::Test { filter } => test::run(filter.as_deref()),
        Task::Bpf { check: false } => bpf::build(),
        Task::Bpf { check: true } => bpf::check(),
        Task::Picture => draw(),
        Task::Lint => lint::run(),
        Task::Lab(lab) => match lab.run() {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Task::Bench(bench) => bench::run(&bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Draws the pictures.
fn draw() -> Result<()> {
    succeed(cargo().args(PICTURE))
}

/// The checkout's folder.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// This program. The tests' cargo may build it anew while it runs: then the kernel says that it was
/// deleted, but the new one in its place does as well.
fn own_program() -> Result<PathBuf> {
    let path = std::env::current_exe()?;
    let name = path.to_string_lossy();
    Ok(name
        .strip_suffix(" (deleted)")
        .map_or(path.clone(), PathBuf::from))
}

/// Where cargo puts what it builds as it built us.
fn build_folder() -> Result<PathBuf> {
    let program = own_program()?;
    let folder = program.parent().context("this program lies in no folder")?;
    Ok(folder.to_owned())
}

/// The cargo that runs us, in the checkout's folder, with nothing to read from.
fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let mut command = Command::new(cargo);
    command
        .current_dir(root())
        .stdin(std::process::Stdio::null());
    command
}

/// Runs a command, and fails if it does.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("could not start {}", name.display()))?;
    if !status.success() {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        bail!("`{} {}` failed ({status})", name.display(), words.join(" "));
    }
    Ok(())
}

/// Runs a command and gives what it printed, without space around it.
fn output_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_owned();
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {}", name.display()))?;
    if !output.status.success() {
        bail!("{} failed ({})", name.display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
