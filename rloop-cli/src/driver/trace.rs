//! The version of the module's tracepoints.

use std::fs;

use rloop_common::rloop::TRACE_VERSION;

/// Where the loaded module says it.
const VERSION: &str = "/sys/module/rloop/parameters/trace_version";

/// Fails, in the words of the screen, if the loaded module's tracepoints are not those that the probes know.
pub fn check_version() -> Result<(), String> {
    compare(fs::read_to_string(VERSION).ok().as_deref())
}

fn compare(told: Option<&str>) -> Result<(), String> {
    let theirs = match told.map(str::trim) {
        Some(theirs) if theirs == TRACE_VERSION.to_string() => return Ok(()),
        Some(theirs) => format!("version {theirs}"),
        None => format!("none that it tells ({VERSION})"),
    };
    Err(format!(
        "this program knows version {TRACE_VERSION} of the module's tracepoints, and the loaded module has {theirs}: \
         install both from one release, then `sudo modprobe -r rloop && sudo modprobe rloop`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_header_s() {
        let header = include_str!("../../../kernel-module/rloop_trace.h");
        let define = format!("#define RLOOP_TRACE_VERSION {TRACE_VERSION}\n");
        assert!(header.contains(&define));
    }

    #[test]
    fn another_version_is_told_with_both_numbers() {
        assert_eq!(compare(Some(&format!("{TRACE_VERSION}\n"))), Ok(()));
        let other = compare(Some("17\n")).expect_err("another version");
        assert!(
            other.contains(&format!("version {TRACE_VERSION} ")) && other.contains("version 17:"),
            "{other}"
        );
        assert!(compare(None).is_err());
    }
}
