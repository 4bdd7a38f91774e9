//! What this process may do, and what to say when it may not.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::sample::Unavailable;

/// Where the kernel keeps the types of its structures, for the probes to read.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A Linux capability that something here needs. Its value is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Reading files of others: the extents of backing files, `/dev/loopN`.
    DacReadSearch = 2,
    /// Attaching loop devices, BPF statistics, and on old kernels BPF itself.
    SysAdmin = 21,
    /// Looking at the kernel's memory from BPF.
    Perfmon = 38,
    /// Loading BPF programs.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The effective ones of this process.
    pub fn of_this_process() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        Self::parse(&status).ok_or_else(|| io::Error::other("/proc/self/status has no CapEff"))
    }

    /// Has this one.
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> capability as u8 & 1 == 1
    }

    /// What is missing to load and run the probes; CAP_SYS_ADMIN stands for both.
    pub fn missing_to_watch(self) -> Vec<Capability> {
        if self.has(Capability::SysAdmin) {
            return Vec::new();
        }
        self.lacking(&[Capability::Bpf, Capability::Perfmon])
    }

    /// What is missing to attach a loop device.
    pub fn missing_to_attach(self) -> Vec<Capability> {
        self.lacking(&[Capability::SysAdmin])
    }

    fn lacking(self, needed: &[Capability]) -> Vec<Capability> {
        needed
            .iter()
            .copied()
            .filter(|capability| !self.has(*capability))
            .collect()
    }

    fn parse(status: &str) -> Option<Self> {
        let hex = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }
}

/// Why something is not possible; the text says what is missing and which command grants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Capabilities for the probes.
    #[error("watching needs {}: run `sudo {program}`, or grant it for good with \
             `sudo setcap cap_bpf,cap_perfmon,cap_dac_read_search+ep {program}`{hints}",
            names(.missing))]
    Watch {
        /// What is missing.
        missing: Vec<Capability>,
        /// Path of the program that is to be granted it.
        program: String,
        /// Settings of this machine that bear on it.
        hints: String,
    },
    /// Capabilities for a loop device.
    #[error("attaching a loop device needs {}: run `sudo {program} --demo`", names(.missing))]
    Attach {
        /// What is missing.
        missing: Vec<Capability>,
        /// Path of the program.
        program: String,
    },
    /// Types of the kernel.
    #[error(
        "this kernel does not tell its types: there is no {BTF}; \
             it must be built with CONFIG_DEBUG_INFO_BTF=y, as the distributions' kernels are"
    )]
    NoBtf,
}

/// Whether the probes can be loaded.
pub fn check_watch() -> Result<(), Refusal> {
    let missing = Capabilities::of_this_process()
        .unwrap_or_default()
        .missing_to_watch();
    if !missing.is_empty() {
        return Err(Refusal::Watch {
            missing,
            program: program(),
            hints: hints(),
        });
    }
    if Path::new(BTF).exists() {
        Ok(())
    } else {
        Err(Refusal::NoBtf)
    }
}

/// Whether a loop device can be attached.
pub fn check_attach() -> Result<(), Refusal> {
    let missing = Capabilities::of_this_process()
        .unwrap_or_default()
        .missing_to_attach();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::Attach {
        missing,
        program: program(),
    })
}

/// Numbers that go without only because of missing rights, although watching works.
pub fn limits() -> Vec<Unavailable> {
    let has = Capabilities::of_this_process().unwrap_or_default();
    let what = [
        (
            Capability::SysAdmin,
            "cost of the probes",
            "BPF statistics need it",
        ),
        (
            Capability::DacReadSearch,
            "files of others",
            "their extents and cached pages need it",
        ),
    ];
    let missing = what
        .into_iter()
        .filter(|(capability, ..)| !has.has(*capability));
    missing
        .map(|(capability, what, reason)| Unavailable {
            what: what.into(),
            why: format!("{capability} is missing; {reason}"),
        })
        .collect()
}

/// The kernel's lockdown mode (`none`, `integrity`, `confidentiality`), if it tells.
pub fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    selected(&text).map(str::to_owned)
}

fn hints() -> String {
    let mut hints = String::new();
    let unprivileged = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    if unprivileged.is_ok_and(|text| text.trim() == "0") {
        hints += "; kernel.unprivileged_bpf_disabled=0 does not help, it covers no tracing";
    }
    if lockdown().as_deref() == Some("confidentiality") {
        hints += "; and this kernel is locked down for confidentiality, which forbids probes even \
                  to root: boot without lockdown=confidentiality";
    }
    hints
}

/// The word in brackets: `none [integrity] confidentiality`.
fn selected(text: &str) -> Option<&str> {
    text.split_once('[')?
        .1
        .split_once(']')
        .map(|(word, _)| word)
}

fn program() -> String {
    let path = std::env::current_exe().map(|path| path.display().to_string());
    path.unwrap_or_else(|_| "rloop-top".into())
}

/// Their names, for a sentence.
pub(crate) fn names(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(Capability::to_string).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_parsed_and_sys_admin_stands_for_both() {
        let of = |hex: &str| Capabilities::parse(&format!("Name:\tx\nCapEff:\t{hex}\n"));
        let none = of("0000000000000000").expect("parsed");
        assert_eq!(
            none.missing_to_watch(),
            [Capability::Bpf, Capability::Perfmon]
        );
        let bpf = of("0000008000000000").expect("parsed");
        assert_eq!(bpf.missing_to_watch(), [Capability::Perfmon]);
        assert_eq!(bpf.missing_to_attach(), [Capability::SysAdmin]);
        let admin = of("0000000000200000").expect("parsed");
        assert!(admin.missing_to_watch().is_empty() && admin.missing_to_attach().is_empty());
        assert_eq!(Capabilities::parse("Name:\tx\n"), None);
    }

    #[test]
    fn the_refusal_names_capability_and_command() {
        let refusal = Refusal::Watch {
            missing: vec![Capability::Bpf, Capability::Perfmon],
            program: "/usr/bin/rloop-top".into(),
            hints: String::new(),
        };
        assert_eq!(
            refusal.to_string(),
            "watching needs CAP_BPF and CAP_PERFMON: run `sudo /usr/bin/rloop-top`, or grant it \
             for good with `sudo setcap cap_bpf,cap_perfmon,cap_dac_read_search+ep \
             /usr/bin/rloop-top`"
        );
    }

    #[test]
    fn the_selected_word_is_found() {
        assert_eq!(
            selected("none [integrity] confidentiality\n"),
            Some("integrity")
        );
        assert_eq!(selected("none"), None);
    }
}
