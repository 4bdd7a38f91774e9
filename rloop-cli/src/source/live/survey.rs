//! What this kernel has for each family of probes, without running them.

use std::collections::{BTreeMap, HashMap};

use super::families::families;
use super::fields;
use super::probes;
use super::rloop::RloopProbes;
use crate::btf::Btf;
use crate::driver::check_version;
use crate::sample::Unavailable;
use crate::source::SourceError;

pub(crate) use super::fields::MODULES;

/// What this kernel has for one family.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    /// What is missing without it, in the words of the screen.
    pub what: &'static str,
    /// Nothing works without it.
    pub required: bool,
    /// The tracepoints it hooks.
    pub tracepoints: Vec<&'static str>,
    /// Those that the kernel, with its modules of now, does not have.
    pub absent: Vec<&'static str>,
    /// The structure that its types do not have as the probes know it.
    pub lacks: Option<&'static str>,
}

/// What the kernel's types say of each family. Needs no rights.
pub(crate) fn survey(btf: &Btf) -> Vec<Surveyed> {
    let known = btf.tracepoints();
    let offsets: HashMap<_, _> = fields::offsets(btf).into_iter().collect();
    let families = families(&offsets).map(|family| {
        let tracepoints: Vec<_> = family.hooks(&known).map(|(_, hook)| hook).collect();
        let absent = tracepoints.iter().filter(|name| !known.contains(**name));
        let lacks = family
            .needs
            .iter()
            .find(|name| offsets.get(*name).is_none_or(Option::is_none));
        Surveyed {
            what: family.what,
            required: family.required,
            absent: absent.copied().collect(),
            lacks: lacks.map(|name| fields::structure(name)),
            tracepoints,
        }
    });
    families.collect()
}

/// Loads and attaches the probes, and takes them off at once. What the kernel refused of them; an error
/// if nothing works.
pub(crate) fn attempt() -> Result<Vec<Unavailable>, SourceError> {
    probes::load(None, false).map(|loaded| loaded.unavailable)
}

/// The programs that the kernel takes, by name, and how many instructions its verifier goes through, each as often
/// as it does. Those of rloop devices are among them if their module is there.
pub(crate) fn verified() -> Result<BTreeMap<String, u32>, SourceError> {
    let mut loaded = probes::load(None, false)?;
    if check_version().is_ok() {
        let rloop = RloopProbes::default().load(&mut loaded.ebpf);
        rloop.map_err(SourceError)?;
    }
    let programs = loaded.ebpf.programs();
    // Those that are not loaded have no information.
    let verified = programs.filter_map(|(name, program)| {
        let count = program.info().ok()?.verified_instruction_count()?;
        Some((name.to_owned(), count))
    });
    Ok(verified.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_surveyed() {
        let Ok(btf) = Btf::read(&MODULES) else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        let surveyed = survey(&btf);
        let offsets: HashMap<_, _> = fields::offsets(&btf).into_iter().collect();
        assert_eq!(surveyed.len(), families(&offsets).count());
        for family in surveyed {
            assert!(!family.tracepoints.is_empty(), "{}", family.what);
            assert!(family.absent.len() <= family.tracepoints.len());
        }
    }
}
