//! Loads and attaches the probes, as many as this kernel has hooks and fields for.

use std::collections::{HashMap, HashSet};

use aya::{
    Ebpf, EbpfLoader,
    programs::{BtfTracePoint, Program, ProgramError, RawTracePoint, tp_btf::BtfTracePointLink},
};

use super::{
    debug,
    families::{AT_ISSUE, Family, Hook, families},
    fields::{self, MODULES},
};
use crate::{btf::Btf, sample::Unavailable, source::SourceError};

/// The compiled probes; `cargo xtask bpf` makes them from `rloop-ebpf/`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/rloop.bpf.o");

/// Programs that are attached only while they are needed.
#[derive(Default)]
pub(super) struct Group {
    /// (program, tracepoint). What ends comes first: then all that is seen to begin is seen to end.
    programs: Vec<(&'static str, &'static str)>,
    /// Dropping one detaches it.
    links: Vec<BtfTracePointLink>,
}

impl Group {
    /// Takes the program out that is attached to `tracepoint`, and detaches it.
    fn split_off(&mut self, tracepoint: &str) -> Self {
        self.links.clear();
        let (programs, rest) = std::mem::take(&mut self.programs)
            .into_iter()
            .partition(|&(_, hook)| hook == tracepoint);
        self.programs = rest;
        Self {
            programs,
            links: Vec::new(),
        }
    }

    /// Attaches them if they are `needed`, and detaches them if they are not.
    pub(super) fn follow(&mut self, needed: bool, ebpf: &mut Ebpf) -> Result<(), SourceError> {
        if !needed {
            self.links.clear();
        } else if self.links.is_empty() {
            let links = self
                .programs
                .iter()
                .map(|&(name, tracepoint)| attach_btf(ebpf, name, tracepoint));
            self.links = links.collect::<Result<_, _>>().map_err(SourceError)?;
        }
        Ok(())
    }
}

/// The loaded probes.
pub(super) struct Probes {
    /// Their programs and maps.
    pub ebpf: Ebpf,
    /// What is of use only where loop devices are watched.
    pub loops: Group,
    /// What sees when requests are issued, where that is not how they are counted.
    pub issues: Group,
    /// What this kernel has no hook or field for.
    pub unavailable: Vec<Unavailable>,
}

/// Loads and attaches all families this kernel can carry. Rare events go through a ring of
/// `ring_bytes`, if that is given; with `talk`, the probes say what they cannot count.
pub(super) fn load(ring_bytes: Option<u32>, talk: bool) -> Result<Probes, SourceError> {
    let btf = Btf::read(&MODULES).map_err(|error| {
        SourceError(format!(
            "cannot read the kernel's types from /sys/kernel/btf/vmlinux: {error}; a kernel with CONFIG_DEBUG_INFO_BTF=y is needed"
        ))
    })?;
    let types = aya::Btf::from_sys_fs()
        .map_err(|error| SourceError(format!("cannot parse /sys/kernel/btf/vmlinux: {error}")))?;
    let offsets: HashMap<_, _> = fields::offsets(&btf).into_iter().collect();
    let mut loader = EbpfLoader::new();
    // Programs whose offsets are missing are not loaded; the others never use them.
    let values: Vec<(&str, u32)> = offsets
        .iter()
        .map(|(&name, &offset)| (name, offset.unwrap_or(0)))
        .collect();
    for (name, value) in &values {
        loader.override_global(name, value, true);
    }
    if let Some(bytes) = ring_bytes {
        loader.map_max_entries("EVENTS", bytes);
    }
    let (level, message_bytes) = if talk {
        (aya_log::Level::Trace as u8, debug::RING_BYTES)
    } else {
        (0, debug::RING_UNUSED_BYTES)
    };
    loader
        .override_global(debug::LEVEL, &level, true)
        .map_max_entries(debug::RING, message_bytes);
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| SourceError(refusal("cannot load the probes", &error)))?;
    let mut unavailable = Vec::new();
    let mut loops = Group::default();
    let known = btf.tracepoints();
    for family in families(&offsets) {
        let missing = family
            .needs
            .iter()
            .find(|name| offsets.get(*name).is_none_or(Option::is_none));
        let result = match missing {
            Some(name) => Err(format!(
                "this kernel's types lack what the probes call {name}"
            )),
            None => attach(&mut ebpf, family, &known, &types, &mut loops),
        };
        if let Err(why) = result {
            if family.required {
                return Err(SourceError(format!("cannot watch {}: {why}", family.what)));
            }
            unavailable.push(Unavailable {
                what: family.what.to_owned(),
                why,
            });
        }
    }
    let mut issues = Group::default();
    if offsets.get("STARTS_AT_ISSUE") == Some(&Some(0)) {
        issues = loops.split_off(AT_ISSUE);
    }
    Ok(Probes {
        ebpf,
        loops,
        issues,
        unavailable,
    })
}

/// Loads and attaches a family; to `loops`, if it is of use for these only.
fn attach(
    ebpf: &mut Ebpf,
    family: &Family,
    known: &HashSet<&str>,
    types: &aya::Btf,
    loops: &mut Group,
) -> Result<(), String> {
    for (name, tracepoint) in family.hooks(known) {
        match family.hook {
            Hook::Btf => {
                let program: &mut BtfTracePoint = program(ebpf, name)?;
                let attached = program.load(tracepoint, types).and_then(|()| {
                    if family.of_loops {
                        return Ok(());
                    }
                    program.attach().map(drop)
                });
                attached.map_err(|error| refused(tracepoint, &error))?;
                if family.of_loops {
                    loops.links.push(attach_btf(ebpf, name, tracepoint)?);
                    loops.programs.push((name, tracepoint));
                }
            }
            Hook::Raw => {
                let program: &mut RawTracePoint = program(ebpf, name)?;
                program
                    .load()
                    .and_then(|()| program.attach(tracepoint).map(drop))
                    .map_err(|error| refused(tracepoint, &error))?;
            }
        }
    }
    Ok(())
}

/// Attaches a loaded program until the link is dropped.
fn attach_btf(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<BtfTracePointLink, String> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    let link = program.attach().and_then(|link| program.take_link(link));
    link.map_err(|error| refused(tracepoint, &error))
}

/// One of the probes' programs.
pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, String>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the probes lack the program {name}"))?;
    program
        .try_into()
        .map_err(|error: ProgramError| error.to_string())
}

/// A hook that cannot be had.
pub(super) fn refused(tracepoint: &str, error: &ProgramError) -> String {
    refusal(&format!("the kernel refused the hook {tracepoint}"), error)
}

/// An error with all its causes, and what to do if it is a matter of rights.
pub(super) fn refusal(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
