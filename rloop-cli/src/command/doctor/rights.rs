//! What this process may do.

use super::check::{Check, Group};
use crate::capability::{self, Capabilities, Capability};

/// Its capabilities, and what the kernel forbids everybody.
pub(super) fn look() -> Group {
    let has = Capabilities::of_this_process().unwrap_or_default();
    let mut checks = vec![
        right("watching", &has.missing_to_watch(), "sudo rloop-top"),
        attaching(),
    ];
    let limits = capability::limits().into_iter();
    checks
        .extend(limits.map(|limit| Check::limited(limit.what, limit.why).remedy("sudo rloop-top")));
    checks.push(lockdown(capability::lockdown().as_deref()));
    Group {
        name: "rights",
        checks,
    }
}

/// Whether it may attach files.
pub(super) fn attaching() -> Check {
    let has = Capabilities::of_this_process().unwrap_or_default();
    right(
        "attaching",
        &has.missing_to_attach(),
        "sudo rloop attach FILE",
    )
}

fn right(what: &str, missing: &[Capability], command: &str) -> Check {
    if missing.is_empty() {
        return Check::ok(what, "this process has the capabilities that it needs");
    }
    let names = capability::names(missing);
    Check::missing(what, format!("not possible without {names}")).remedy(command)
}

/// Of what the kernel calls its lockdown mode.
fn lockdown(mode: Option<&str>) -> Check {
    let name = "lockdown";
    match mode {
        Some("confidentiality") => Check::missing(
            name,
            "for confidentiality, which forbids probes even to root, and modules without a \
             signature: boot without lockdown=confidentiality",
        ),
        Some(mode @ "integrity") => Check::limited(
            name,
            format!("for {mode}: the kernel takes no module without a signature that it trusts"),
        ),
        Some(mode) => Check::ok(name, mode),
        None => Check::ok(name, "none that this kernel tells of"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command() {
        let check = right(
            "watching",
            &[Capability::Bpf, Capability::Perfmon],
            "sudo x",
        );
        assert_eq!(check.state, State::Missing);
        assert!(
            check.what.contains("CAP_BPF and CAP_PERFMON"),
            "{}",
            check.what
        );
        assert_eq!(check.remedy.as_deref(), Some("sudo x"));
        assert_eq!(right("watching", &[], "sudo x").state, State::Ok);
    }

    #[test]
    fn lockdown_is_as_bad_as_it_is() {
        let state = |mode| lockdown(mode).state;
        assert_eq!(state(None), State::Ok);
        assert_eq!(state(Some("none")), State::Ok);
        assert_eq!(state(Some("integrity")), State::Limited);
        assert_eq!(state(Some("confidentiality")), State::Missing);
    }
}
