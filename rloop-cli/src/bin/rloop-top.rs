//! The dashboard.

use std::process::ExitCode;

fn main() -> ExitCode {
    rloop::cli::main()
}
