//! `rloop doctor`: what this machine offers each part, and what is missing.

mod check;
mod file;
mod module;
mod probes;
mod provider;
mod rights;

use std::io::{self, Write as _};

use super::args;
use super::subject::Subject;
use crate::program::Stop;
use check::{Group, Report};

/// Looks at everything, and says what it found.
pub(super) fn run(args: &args::Doctor) -> Result<(), Stop> {
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
