//! Attaches files to rloop devices, and tells of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    rloop::command::main()
}
