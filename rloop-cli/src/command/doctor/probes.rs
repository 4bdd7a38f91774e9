//! What the kernel has for the probes.

use std::path::Path;

use super::check::{Check, Group};
use crate::btf::{self, Btf};
use crate::capability::Capabilities;
use crate::device::mounts::Mounts;
use crate::sample::Unavailable;
use crate::source::live::survey::{self, MODULES, Surveyed};

/// Types, tracing, BPF itself, and each family of probes.
pub(super) fn look() -> Group {
    let mut checks = Vec::new();
    let btf = Btf::read(&MODULES);
    checks.push(types(btf.as_ref().err()));
    let has = Capabilities::of_this_process().unwrap_or_default();
    let may = has.missing_to_watch().is_empty();
    let refused = if may && btf.is_ok() {
        let attempt = survey::attempt().map_err(|error| error.to_string());
        checks.push(bpf(attempt.as_ref().err()));
        attempt.unwrap_or_default()
    } else {
        checks.push(Check::unknown(
            "BPF",
            "whether the kernel takes the probes was not tried: that needs types, CAP_BPF and \
             CAP_PERFMON",
        ));
        Vec::new()
    };
    checks.extend(MODULES.iter().filter_map(|module| module_types(module)));
    checks.push(tracefs());
    if let Ok(btf) = &btf {
        let families = survey::survey(btf);
        checks.extend(families.iter().map(|known| family(known, &refused)));
    }
    Group {
        name: "probes",
        checks,
    }
}

fn types(error: Option<&std::io::Error>) -> Check {
    let name = "types of the kernel (BTF)";
    match error {
        None => Check::ok(name, "the probes can read the kernel's structures"),
        Some(error) => Check::missing(
            name,
            format!(
                "{}/vmlinux: {error}; nothing can be watched: a kernel with \
                 CONFIG_DEBUG_INFO_BTF=y is needed, as distributions build it",
                btf::FOLDER
            ),
        ),
    }
}

fn bpf(error: Option<&String>) -> Check {
    match error {
        None => Check::ok(
            "BPF",
            "the kernel takes the probes; they were taken off again",
        ),
        Some(why) => Check::missing("BPF", format!("nothing can be watched: {why}")),
    }
}

/// A module that is loaded, but without its types.
fn module_types(module: &str) -> Option<Check> {
    // Only what was loaded has a state: what is built in is part of the kernel's types.
    let loaded = Path::new("/sys/module").join(module).join("initstate");
    let types = Path::new(btf::FOLDER).join(module);
    (loaded.exists() && !types.exists()).then(|| {
        Check::limited(
            format!("types of the module {module}"),
            "the kernel does not tell them, so what the probes read of it goes without: \
             CONFIG_DEBUG_INFO_BTF_MODULES=y is needed",
        )
    })
}

fn tracefs() -> Check {
    let mounts = Mounts::read().unwrap_or_default();
    match mounts.by_fs("tracefs") {
        Some(mount) => Check::ok("tracefs", format!("mounted on {}", mount.target.display())),
        None => Check::ok(
            "tracefs",
            "not mounted, which the probes do not need; tools such as trace-cmd do",
        ),
    }
}

/// One family, given what the kernel refused when it was tried.
fn family(known: &Surveyed, refused: &[Unavailable]) -> Check {
    let hooks = known.tracepoints.join(", ");
    let why = if !known.absent.is_empty() {
        Some(absent(known))
    } else if let Some(structure) = known.lacks {
        Some(match unloaded(known) {
            Some(module) => format!("{module} is not loaded, so there is no structure {structure}"),
            None => format!("this kernel's {structure} is not as the probes know it"),
        })
    } else {
        let refused = refused.iter().find(|family| family.what == known.what);
        refused.map(|family| family.why.clone())
    };
    let Some(why) = why else {
        return Check::ok(known.what, hooks);
    };
    if known.required {
        return Check::missing(known.what, format!("nothing can be watched: {why}"));
    }
    let check = Check::limited(known.what, format!("not shown: {why}"));
    match unloaded(known) {
        Some(module) => check.remedy(format!("sudo modprobe {module}")),
        None => check,
    }
}

fn absent(known: &Surveyed) -> String {
    let names = known.absent.join(", ");
    match unloaded(known) {
        Some(module) => format!("{module} is not loaded, so there is no tracepoint {names}"),
        None => format!("this kernel has no tracepoint {names}"),
    }
}

/// The module that what is absent is of, going by its name, if it could be loaded and is not.
fn unloaded(known: &Surveyed) -> Option<&'static str> {
    let name = known.absent.first().copied().or(known.lacks)?;
    let (prefix, _) = name.split_once('_')?;
    let module = MODULES.iter().find(|module| **module == prefix)?;
    let has_modules = Path::new("/proc/modules").exists();
    let is_there = Path::new("/sys/module").join(module).exists()
        || Path::new(btf::FOLDER).join(module).exists();
    (has_modules && !is_there).then_some(module)
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn surveyed() -> Surveyed {
        Surveyed {
            what: "requests",
            required: false,
            tracepoints: vec!["block_io_start", "block_rq_issue"],
            absent: Vec::new(),
            lacks: None,
        }
    }

    #[test]
    fn a_family_is_there_absent_or_refused() {
        let check = family(&surveyed(), &[]);
        assert_eq!(check.state, State::Ok);
        assert!(check.what.contains("block_rq_issue"), "{}", check.what);

        let absent = Surveyed {
            absent: vec!["block_io_start"],
            ..surveyed()
        };
        let check = family(&absent, &[]);
        assert_eq!(check.state, State::Limited);
        assert!(
            check.what.contains("no tracepoint block_io_start"),
            "{}",
            check.what
        );
        assert_eq!(check.remedy, None);

        let needed = Surveyed {
            required: true,
            lacks: Some("request"),
            ..surveyed()
        };
        let check = family(&needed, &[]);
        assert_eq!(check.state, State::Missing);
        assert!(
            check.what.contains("kernel's request is not"),
            "{}",
            check.what
        );

        let refused = Unavailable {
            what: "requests".into(),
            why: "the kernel refused it".into(),
        };
        let check = family(&surveyed(), &[refused]);
        assert_eq!(check.state, State::Limited);
        assert!(check.what.contains("refused it"), "{}", check.what);
    }
}
