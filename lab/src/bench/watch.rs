//! What watching adds to an I/O: rloop-top on a device, by a clock that counts instructions.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::load::Load;
use super::programs::{Programs, Statistics};
use super::target::Target;
use super::{DISK_MEBIBYTES, Image, Options};
use crate::command::run;
use crate::module::Module;
use crate::null_blk::NullBlk;

/// What is watched.
const TARGETS: [Target; 2] = [Target::LoopDirect, Target::Rloop];

/// How often each number is measured. What else the kernel does now and then only ever adds to it.
const TRIES: usize = 3;

/// Measures and prints, with the loads that have `only` in their name.
pub(crate) fn run(only: &str) -> Result<()> {
    let options = Options {
        rounds: 1,
        seconds: 0,
        instructions: true,
        only: only.into(),
    };
    let _module = Module::load()?;
    let disk = NullBlk::new(DISK_MEBIBYTES)?;
    let image = Image::new(&disk)?;
    // There are no holes in the image, so that each run finds it as the one before.
    for load in Load::all(&options).filter(|load| !load.sparse) {
        for target in TARGETS {
            let open = target.open_file(&image.written)?;
            println!("{}, {target}", load.name);
            measure(&load, open.device(), &options)?;
        }
    }
    Ok(())
}

fn measure(load: &Load, device: &Path, options: &Options) -> Result<()> {
    let instructions = || {
        (0..TRIES).try_fold(f64::INFINITY, |least, _| {
            anyhow::Ok(least.min(load.run(device, options)?.instructions))
        })
    };
    let before = instructions()?;
    println!("  {before:8.0} instructions for an I/O, unwatched");
    let watcher = Watcher::start(device)?;
    let added = instructions()? - before;
    println!("  {added:+8.0} watched ({:+.1} %)", added / before * 100.0);
    let programs = {
        let _statistics = Statistics::on()?;
        let earlier = Programs::of(watcher.child.id())?;
        load.run(device, options)?;
        Programs::of(watcher.child.id())?.since(&earlier)
    };
    watcher.stop()?;
    println!("  {:+8.0} afterwards", instructions()? - before);
    print!("{}", programs.text(Load::COUNTED));
    Ok(())
}

/// rloop-top that watches a device, until dropped.
struct Watcher {
    child: Child,
    /// Where it prints: it ends when nobody reads.
    _output: BufReader<ChildStdout>,
}

impl Watcher {
    /// Starts it, and returns when it watches. It looks at its counters once a minute, and so not while one
    /// of our loads runs: that is the program's own work, and not the probes'.
    fn start(device: &Path) -> Result<Self> {
        let mut child = Command::new("rloop-top")
            .args(["--json", "--interval=60"])
            .arg(device)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start rloop-top")?;
        let output = child.stdout.take().context("no output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        let read = output.read_line(&mut line);
        let watcher = Self {
            child,
            _output: output,
        };
        read?;
        ensure!(!line.is_empty(), "rloop-top ended at once");
        Ok(watcher)
    }

    /// Ends it. An error if it has ended before: then nobody knows what was measured.
    fn stop(mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "rloop-top ended too soon");
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Err(error) = run!["kill", "-TERM", self.child.id().to_string()] {
            println!("{error:#}");
        }
        // It has no more to say.
        let _ = self.child.wait();
    }
}
