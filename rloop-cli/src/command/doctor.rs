//! `rloop doctor`: what this machine offers each part, and what is missing.

mod check;
mod file;
mod module;
mod probes;
pub(super) mod provider;
mod rights;

use std::io::{self, Write as _};

use super::args;
use super::subject::Subject;
use crate::program::Stop;
use crate::source::live::survey;
use check::{Check, Group, Report, State};

/// Looks at everything, and says what it found.
pub(super) fn run(args: &args::Doctor) -> Result<(), Stop> {
    if args.programs {
        return programs();
    }
    let subject = args.of.as_deref().map(Subject::find).transpose()?;
    let report = Report::of(groups(subject.as_ref()));
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&report).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{report}")?;
    }
    if report.complete {
        Ok(())
    } else {
        Err(Stop::Found)
    }
}

/// Prints how many instructions of each probe the kernel's verifier goes through.
fn programs() -> Result<(), Stop> {
    let programs = survey::verified().map_err(|error| Stop::Failed(error.to_string()))?;
    let mut out = io::stdout().lock();
    for (name, instructions) in programs {
        writeln!(out, "{name} {instructions}")?;
    }
    Ok(())
}

/// What keeps this process from attaching files to rloop devices, as checks are shown; `None` if nothing
/// does.
pub(super) fn obstacles() -> Option<String> {
    let mut checks = vec![rights::attaching()];
    checks.extend(module::look().checks);
    let in_the_way = |check: &&Check| matches!(check.state, State::Missing | State::Unknown);
    let found = checks.iter().filter(in_the_way);
    let text: String = found.map(Check::to_string).collect();
    (!text.is_empty()).then_some(text)
}

fn groups(subject: Option<&Subject>) -> Vec<Group> {
    let mut groups = vec![rights::look(), probes::look(), module::look()];
    groups.extend(subject.map(file::look));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::schema;

    #[test]
    fn the_object_of_this_machine_is_what_the_schema_says() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let subject = Subject::find(&file).ok();
        let report = Report::of(groups(subject.as_ref()));
        let value = serde_json::to_value(&report).expect("is JSON");
        schema::check("doctor", &value);
        let names: Vec<_> = report.groups.iter().map(|group| group.name).collect();
        assert_eq!(names, ["rights", "probes", "module", "file"]);
        assert!(report.groups.iter().all(|group| !group.checks.is_empty()));
        let mut wrong = value;
        wrong["groups"][0]["checks"][0]["state"] = "fine".into();
        assert!(schema::errors("doctor", &wrong).contains("fine"));
    }
}
