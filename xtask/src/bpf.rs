//! `cargo xtask bpf`: the probes from source, the same to the byte wherever they are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Error, Result, bail};

use crate::tools::Tools;
use crate::{cargo, own_program, root, succeed, wrapper};

/// The probes' manifest, seen from the checkout's folder.
pub(crate) const MANIFEST: &str = "rloop-ebpf/Cargo.toml";

/// What is committed, so that building the program needs none of the tools.
const COMMITTED: &str = "rloop-cli/bpf/rloop.bpf.o";

/// What the probes are built for.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// What comparing the committed object with the source gave.
pub(crate) enum Verdict {
    /// They are the same.
    Same,
    /// They differ, or the source does not build.
    Wrong(Error),
    /// The tools to build it cannot be had here.
    Unknown(Error),
}

/// Builds the object and puts it where it is committed.
pub(crate) fn build() -> Result<()> {
    let object = compile(&Tools::get()?)?;
    let place = root().join(COMMITTED);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(&object, &place)
        .with_context(|| format!("could not write {}", place.display()))?;
    println!("{COMMITTED}: {} bytes", place.metadata()?.len());
    Ok(())
}

/// Fails if the committed object is not what the source gives.
pub(crate) fn check() -> Result<()> {
    match verdict() {
        Verdict::Same => {
            println!("{COMMITTED} is what the source gives");
            Ok(())
        }
        Verdict::Wrong(error) | Verdict::Unknown(error) => Err(error),
    }
}

/// Builds the object and compares.
pub(crate) fn verdict() -> Verdict {
    match Tools::get() {
        Err(error) => Verdict::Unknown(error),
        Ok(tools) => match compare(&tools) {
            Ok(()) => Verdict::Same,
            Err(error) => Verdict::Wrong(error),
        },
    }
}

fn compare(tools: &Tools) -> Result<()> {
    let built = std::fs::read(compile(tools)?)?;
    let place = root().join(COMMITTED);
    let committed =
        std::fs::read(&place).with_context(|| format!("could not read {}", place.display()))?;
    if built != committed {
        bail!(
            "{COMMITTED} is not what the source gives ({} bytes committed, {} built): run `cargo \
             xtask bpf` and commit it",
            committed.len(),
            built.len()
        );
    }
    Ok(())
}

fn compile(tools: &Tools) -> Result<PathBuf> {
    succeed(&mut cargo_for_bpf(tools, "build")?)?;
    let object = format!("rloop-ebpf/target/{TARGET}/release/rloop-ebpf");
    Ok(root().join(object))
}

/// Cargo with everything set for the probes. Stable rustc builds core for them when told that it
/// may use what is unstable.
pub(crate) fn cargo_for_bpf(tools: &Tools, what: &str) -> Result<Command> {
    let mut command = cargo();
    command
        .args([what, "--locked", "--release", "--manifest-path", MANIFEST])
        .args(["--target", TARGET, "-Zbuild-std=core"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC_WRAPPER", own_program()?)
        .env(wrapper::VARIABLE, "1")
        .env("CARGO_TARGET_DIR", root().join("rloop-ebpf/target"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags(tools)?.join("\x1f"));
    tools.on_library_path(&mut command);
    Ok(command)
}

fn flags(tools: &Tools) -> Result<Vec<String>> {
    let linker = tools.linker();
    let mut flags = vec![
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
        "-Cdebuginfo=2".into(),
        // 32-bit arithmetic and jumps: half the instructions. Any kernel since 5.1 takes it.
        "-Ctarget-cpu=v3".into(),
        "-Ccodegen-units=1".into(),
        // The probes see arguments of tracepoints only, never registers: one object serves all.
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
    ];
    for (from, to) in remapped(tools)? {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    Ok(flags)
}

/// The folders whose names would get into the object, and what stands there instead. Where two
/// fit, rustc takes the last.
fn remapped(tools: &Tools) -> Result<Vec<(PathBuf, &'static str)>> {
    let library = tools.library();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let registry = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cargo")))
        .context("neither HOME nor CARGO_HOME is set")?
        .join("registry/src");
    let mut folders = vec![(library.canonicalize()?, "/rust"), (library, "/rust")];
    // Below it is a folder per registry, named after it.
    for folder in std::fs::read_dir(&registry).into_iter().flatten() {
        folders.push((folder?.path(), "/registry"));
    }
    folders.push((Path::to_owned(root()), "/rloop"));
    Ok(folders)
}
