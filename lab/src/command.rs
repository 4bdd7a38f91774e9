//! Programs, run to their end.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a program and gives its output: `run!["mkfs.xfs", "-f", path]`. The words may be of
/// different types. Its failure is an error with all that it said.
macro_rules! run {
    [$program:expr $(, $word:expr)* $(,)?] => {{
        let mut command = ::std::process::Command::new($program);
        $(command.arg($word);)*
        $crate::command::output_of(&mut command)
    }};
}
pub(crate) use run;

/// Runs a command and gives its output, without space around it.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let line = words.join(" ");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{line}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = format!("{}\n{}", stderr.trim(), stdout.trim());
        bail!("`{line}` failed ({}): {}", output.status, said.trim());
    }
    Ok(stdout.trim().to_owned())
}
