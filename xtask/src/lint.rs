//! `cargo xtask lint`: formatting and clippy.

use anyhow::Result;

use crate::tools::Tools;
use crate::{bpf, cargo, succeed};

/// Checks the workspace, then the probes: together, features for the program would leak into them.
pub(crate) fn run() -> Result<()> {
    succeed(cargo().args(["fmt", "--all", "--check"]))?;
    succeed(
        cargo()
            .args(["clippy", "--locked", "--workspace", "--all-targets"])
            .args(STRICT),
    )?;
    succeed(cargo().args(["fmt", "--check", "--manifest-path", bpf::MANIFEST]))?;
    match Tools::present() {
        Some(tools) => succeed(bpf::cargo_for_bpf(&tools, "clippy")?.args(STRICT)),
        None => {
            eprintln!("xtask: clippy for the probes left out: `cargo xtask bpf` gets its tools");
            Ok(())
        }
    }
}

const STRICT: [&str; 3] = ["--", "-D", "warnings"];
