//! Stands between cargo and rustc, so that the probes' symbols do not depend on where they are
//! built: cargo makes a crate's `-C metadata` from absolute paths, and symbols carry a hash of it.

use std::env::var;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Environment variable that says that this process is the wrapper.
pub(crate) const VARIABLE: &str = "RLOOP_XTASK_WRAPS_RUSTC";

/// Starts what the arguments name, with another `-C metadata` if it builds for `target`.
pub(crate) fn run(target: &str) -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(rustc) = words.next() else {
        return ExitCode::FAILURE;
    };
    let of = |name| var(name).unwrap_or_default();
    let identity = format!("{}-{}", of("CARGO_PKG_NAME"), of("CARGO_PKG_VERSION"));
    let words = rewritten(words.collect(), target, &identity);
    let error = Command::new(&rustc).args(words).exec();
    eprintln!("xtask: could not start {}: {error}", rustc.display());
    ExitCode::FAILURE
}

/// Programs for the machine that builds keep what cargo gave them.
fn rewritten(mut words: Vec<OsString>, target: &str, identity: &str) -> Vec<OsString> {
    let for_target = words
        .windows(2)
        .any(|pair| pair[0] == "--target" && pair[1] == target);
    if for_target {
        for word in &mut words {
            if word.to_string_lossy().starts_with("metadata=") {
                *word = format!("metadata={identity}").into();
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_the_target_is_changed() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = "--crate-name core -C metadata=1f2e -C extra-filename=-77";
        let line_for_bpf = format!("{line} --target bpf");
        assert_eq!(rewritten(words(line), "bpf", "core-0"), words(line));
        assert_eq!(
            rewritten(words(&line_for_bpf), "bpf", "core-0"),
            words(&line_for_bpf.replace("=1f2e", "=core-0"))
        );
    }
}
