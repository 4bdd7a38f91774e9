//! One file: what devices show it, and who maps it, or would.

mod facts;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::check::{Check, Group};
use super::provider;
use crate::command::showing::{self, shows};
use crate::command::subject::{self, Subject};
use crate::device::LoopDevice;
use crate::device::mounts::Mounts;
use crate::driver::RloopDevice;

/// A file, and the devices that show it.
struct Shown {
    path: PathBuf,
    /// Open for reading, or why it cannot be.
    file: Result<File, String>,
    /// Where the device begins, or would, bytes.
    offset_bytes: u64,
    rloops: Vec<RloopDevice>,
    loops: Vec<LoopDevice>,
}

/// What there is to say about what was named.
pub(super) fn look(subject: &Subject) -> Group {
    let shown = shown(subject);
    let path = shown.path.display().to_string();
    let mut checks = Vec::new();
    for device in &shown.rloops {
        checks.push(in_effect(device));
        checks.extend(lost(device));
    }
    checks.extend(shown.loops.iter().map(loop_in_effect));
    match &shown.file {
        Ok(file) => {
            let attached = !shown.rloops.is_empty();
            let facts = facts::read(file, &path, shown.offset_bytes, attached);
            let rules = provider::rules(&facts);
            checks.extend(rules.iter().map(|rule| rule.check(&path)));
            checks.extend(facts::writing(file, &path));
            if !attached {
                checks.push(provider::verdict(&facts, &rules));
            }
        }
        Err(why) => checks.push(Check::unknown("the file", why.clone())),
    }
    Group {
        name: "file",
        checks,
    }
}

fn shown(subject: &Subject) -> Shown {
    match subject {
        Subject::Rloop(device) => Shown {
            path: device.path.clone(),
            file: open(device),
            offset_bytes: device.offset_bytes,
            rloops: vec![device.clone()],
            loops: Vec::new(),
        },
        Subject::Loop(device) => {
            let mounts = Mounts::read().unwrap_or_default();
            Shown {
                path: device.path.clone(),
                file: device.open_backing(&mounts).map(|open| open.file),
                offset_bytes: device.offset_bytes,
                rloops: Vec::new(),
                loops: vec![device.clone()],
            }
        }
        Subject::File { path, file, .. } => {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let (rloops, loops) = showing::of(file, &path);
            Shown {
                path,
                file: file.try_clone().map_err(|error| error.to_string()),
                offset_bytes: rloops.first().map_or(0, |device| device.offset_bytes),
                rloops,
                loops,
            }
        }
    }
}

/// The file of an rloop device, if its path still leads there.
fn open(device: &RloopDevice) -> Result<File, String> {
    let path = device.path.display();
    if device.deleted {
        return Err(format!(
            "{path} was deleted; only the device still holds the file"
        ));
    }
    let file = subject::open(&device.path).map_err(|error| format!("{path}: {error}"))?;
    let is_same = shows(device, &file, &device.path);
    is_same
        .then_some(file)
        .ok_or_else(|| format!("{path} is now another file than the device's"))
}

fn in_effect(device: &RloopDevice) -> Check {
    let name = format!("provider of {}", device.name);
    let seen = format!(
        "{} ({}), --fill {}, --commit {}",
        device.provider, device.why, device.fill, device.commit
    );
    if device.why == "best" {
        return Check::ok(name, seen);
    }
    provider::explained(
        &name,
        &seen,
        &device.why,
        &device.path.display().to_string(),
    )
}

/// An error that may have lost something.
fn lost(device: &RloopDevice) -> Option<Check> {
    let errno = i32::try_from(device.error)
        .ok()
        .filter(|errno| *errno != 0)?;
    let error = io::Error::from_raw_os_error(errno);
    let what =
        format!("{error}: what was written may be lost, and flushes fail until it is detached");
    Some(
        Check::missing(format!("errors of {}", device.name), what)
            .remedy(format!("sudo rloop detach {}", device.name)),
    )
}

fn loop_in_effect(device: &LoopDevice) -> Check {
    let name = format!("attached to {}", device.name);
    if device.claims_direct {
        return Check::ok(name, "the kernel's loop driver, with direct I/O");
    }
    Check::limited(
        name,
        "the kernel's loop driver, through the page cache: what is read is cached twice",
    )
    .remedy(format!("sudo losetup --direct-io=on /dev/{}", device.name))
}
