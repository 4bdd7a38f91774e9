//! The kernel module: loaded and reachable, or why not.

mod installed;

use std::fs;
use std::path::Path;

use super::check::{Check, Group};
use crate::btf::Btf;
use crate::driver::{Control, DriverError, abi};
use installed::Machine;

/// What the module's check is called.
const NAME: &str = "rloop.ko";

/// What there is of it.
pub(super) fn look() -> Group {
    let checks = if Path::new("/sys/module/rloop").exists() {
        let mut checks = vec![Check::ok(NAME, "loaded")];
        checks.extend(control());
        checks.push(tracepoints());
        checks
    } else {
        vec![not_loaded(&Machine::look())]
    };
    Group {
        name: "module",
        checks,
    }
}

/// Why it is not loaded, the first obstacle first.
fn not_loaded(machine: &Machine) -> Check {
    let release = &machine.release;
    let missing = |why: String| Check::missing(NAME, format!("not loaded: {why}"));
    if !machine.has_modules {
        return missing(
            "this kernel loads no modules (CONFIG_MODULES is off); rloop-top works without it"
                .into(),
        );
    }
    if machine.is_closed {
        return missing(
            "loading modules was turned off until the next boot (kernel.modules_disabled)".into(),
        );
    }
    let Some(installed) = &machine.installed else {
        return not_installed(machine, missing);
    };
    let path = installed.path.display();
    match &installed.built_for {
        Some(other) if other != release => {
            return missing(format!(
                "{path} is built for {other}, and this is {release}"
            ))
            .remedy("sudo make -C kernel-module KDIR=/lib/modules/$(uname -r)/build install");
        }
        _ => {}
    }
    if machine.wants_signature && !installed.is_signed {
        return missing(format!(
            "{path} has no signature, and this kernel takes no module without one (Secure Boot, \
             lockdown, or module.sig_enforce)"
        ))
        .remedy(format!(
            "sudo /lib/modules/$(uname -r)/build/scripts/sign-file sha512 KEY CERTIFICATE {path}"
        ));
    }
    missing("it is installed for this kernel, and was not asked for".into())
        .remedy("sudo modprobe rloop")
}

fn not_installed(machine: &Machine, missing: impl Fn(String) -> Check) -> Check {
    let release = &machine.release;
    if machine.has_rust == Some(false) {
        return missing(format!(
            "{release} is built without Rust (CONFIG_RUST), which the module needs; rloop-top works \
             without it"
        ));
    }
    let why = match &machine.installed_for {
        Some(other) => format!("it is installed for {other}, and this is {release}"),
        None => "it is not installed; kernel-module/README.md says how to build it".into(),
    };
    missing(why).remedy("cargo xtask lab build && sudo insmod PATH-THAT-IT-PRINTED")
}

/// The control device, and the version that it speaks.
fn control() -> Vec<Check> {
    let name = "/dev/rloop-control";
    let control = match Control::open() {
        Ok(control) => control,
        Err(DriverError::NotPermitted) => {
            return vec![
                Check::unknown(
                    name,
                    "there, and closed to you: attaching needs CAP_SYS_ADMIN",
                )
                .remedy("sudo rloop doctor"),
            ];
        }
        Err(error) => return vec![Check::missing(name, error.to_string())],
    };
    // No device has this number: the module says so, or that it speaks another version.
    let version = match control.status(u32::MAX) {
        Err(DriverError::NoDevice { .. }) => {
            Check::ok("control interface", format!("version {}", abi::VERSION))
        }
        Err(DriverError::NotPermitted) => Check::unknown(
            "control interface",
            "its version is told to CAP_SYS_ADMIN only",
        )
        .remedy("sudo rloop doctor"),
        Err(error) => Check::missing("control interface", error.to_string()),
        Ok(_) => Check::missing("control interface", "it knows a device that cannot be"),
    };
    vec![Check::ok(name, "can be opened"), version]
}

/// Its events.
fn tracepoints() -> Check {
    let name = "tracepoints of rloop.ko";
    let version = fs::read_to_string("/sys/module/rloop/parameters/trace_version");
    let version = version.map_or_else(
        |_| "a version that it does not tell".into(),
        |text| format!("version {} of rloop_trace.h", text.trim()),
    );
    let btf = Btf::read(&["rloop"]);
    let count = btf.as_ref().map_or(0, |btf| {
        let all = btf.tracepoints();
        all.iter().filter(|name| name.starts_with("rloop_")).count()
    });
    if count == 0 {
        return Check::limited(
            name,
            "the kernel does not tell the module's types, so probes cannot read its events: build \
             it where the kernel's vmlinux is",
        );
    }
    Check::ok(name, format!("{count}, in {version}"))
}

#[cfg(test)]
mod tests {
    use super::installed::Installed;
    use super::*;

    fn machine() -> Machine {
        Machine {
            release: "7.3".into(),
            has_modules: true,
            is_closed: false,
            has_rust: Some(true),
            wants_signature: false,
            installed: Some(Installed {
                path: "/lib/modules/7.3/updates/rloop.ko".into(),
                built_for: Some("7.3".into()),
                is_signed: false,
            }),
            installed_for: None,
        }
    }

    #[test]
    fn the_first_obstacle_is_named() {
        let why = |machine: &Machine| {
            let check = not_loaded(machine);
            (check.what, check.remedy.unwrap_or_default())
        };
        assert_eq!(why(&machine()).1, "sudo modprobe rloop");
        let signed = Machine {
            wants_signature: true,
            ..machine()
        };
        assert!(why(&signed).0.contains("no signature") && why(&signed).1.contains("sign-file"));
        let mut other = signed;
        if let Some(installed) = &mut other.installed {
            installed.built_for = Some("7.2".into());
        }
        assert!(why(&other).0.contains("built for 7.2, and this is 7.3"));
        let gone = Machine {
            installed: None,
            installed_for: Some("7.1".into()),
            ..machine()
        };
        assert!(why(&gone).0.contains("installed for 7.1"));
        let no_rust = Machine {
            has_rust: Some(false),
            ..gone
        };
        assert!(why(&no_rust).0.contains("CONFIG_RUST"));
        let closed = Machine {
            is_closed: true,
            ..machine()
        };
        assert!(why(&closed).0.contains("modules_disabled"));
        let none = Machine {
            has_modules: false,
            ..closed
        };
        assert!(why(&none).0.contains("CONFIG_MODULES"));
    }
}
