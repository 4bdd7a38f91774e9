//! Attaching the probes of rloop devices, as long as there are any.
//!
//! Their tracepoints are a module's, so they are there only while it is loaded; and a probe that is attached
//! keeps it loaded. The module cannot be unloaded while it has devices; so with the last of them, the probes are
//! detached.

use aya::{
    Ebpf,
    programs::{RawTracePoint, raw_trace_point::RawTracePointLink},
};

use super::super::probes::{program, refused};
use crate::{driver::check_version, sample::Unavailable};

/// Programs, which are called as their tracepoints are.
const PROGRAMS: [&str; 14] = [
    // What ends comes first: then all that is seen to begin is seen to end.
    "rloop_io_done",
    "rloop_vfs_done",
    "rloop_io_submit",
    "rloop_vfs_submit",
    "rloop_zero_read",
    "rloop_fallback",
    "rloop_fill_data",
    "rloop_commit_range",
    "rloop_commit_end",
    "rloop_lease_break",
    "rloop_recall_end",
    "rloop_invalidate",
    "rloop_extent_insert",
    "rloop_extent_drop",
];

/// The probes of rloop devices.
#[derive(Default)]
pub(in super::super) struct RloopProbes {
    /// Dropping one detaches it.
    links: Vec<RawTracePointLink>,
    is_loaded: bool,
    /// Why they are not attached.
    why: Option<String>,
}

impl RloopProbes {
    /// Attaches them if there are devices of rloop, and detaches them if there are none.
    pub(in super::super) fn follow(&mut self, are_devices: bool, ebpf: &mut Ebpf) {
        if !are_devices {
            self.links.clear();
            self.why = None;
        } else if self.links.is_empty() {
            self.why = self.attach(ebpf).err();
        }
    }

    /// Why nothing is counted on devices of rloop, if nothing is.
    pub(in super::super) fn unavailable(&self) -> Option<Unavailable> {
        self.why.as_ref().map(|why| Unavailable {
            what: "requests".to_owned(),
            why: why.clone(),
        })
    }

    fn attach(&mut self, ebpf: &mut Ebpf) -> Result<(), String> {
        check_version()?;
        self.load(ebpf)?;
        let mut links = Vec::with_capacity(PROGRAMS.len());
        for name in PROGRAMS {
            let program: &mut RawTracePoint = program(ebpf, name)?;
            let link = program.attach(name);
            let link = link.and_then(|link| program.take_link(link));
            links.push(link.map_err(|error| refused(name, &error))?);
        }
        self.links = links;
        Ok(())
    }

    /// Has the kernel look at them, and attaches none.
    pub(in super::super) fn load(&mut self, ebpf: &mut Ebpf) -> Result<(), String> {
        if self.is_loaded {
            return Ok(());
        }
        for name in PROGRAMS {
            let program: &mut RawTracePoint = program(ebpf, name)?;
            let loaded = program.load();
            loaded.map_err(|error| refused(name, &error))?;
        }
        self.is_loaded = true;
        Ok(())
    }
}
