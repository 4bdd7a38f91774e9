//! What is wrong with a device of rloop.

use super::{Finding, Severity, copy_to_new, finding, quoted_file};
use crate::model::{DeviceFrame, RloopFrame};

/// Recalls of an interval from which on they are no single event.
const RECALLS_MIN: u64 = 2;
/// Fills of an interval from which on their time says something.
const FILLS_MIN: u64 = 20;

/// All findings about one.
pub(super) fn find(device: &DeviceFrame) -> impl Iterator<Item = Finding> {
    let checks = [unmapped, recalled, committed_each, failed];
    let rloop = device.rloop.as_ref().into_iter();
    rloop.flat_map(move |rloop| {
        checks
            .into_iter()
            .filter_map(move |check| check(device, rloop))
    })
}

/// The file cannot be mapped, so that all I/O goes through the filesystem.
fn unmapped(device: &DeviceFrame, rloop: &RloopFrame) -> Option<Finding> {
    let (path, size) = (quoted_file(device), device.backing.size_bytes);
    let (id, severity, because, remedy) = match rloop.why.as_str() {
        "reflinked" => (
            "reflinked",
            Severity::Warning,
            "the file shares blocks with another one",
            format!("xfs_io -c 'funshare 0 {size}' {path}"),
        ),
        "open-for-writing" => (
            "open-for-writing",
            Severity::Warning,
            "somebody has the file open for writing",
            format!("sudo fuser -v {path}"),
        ),
        "offset" => (
            "offset-in-block",
            Severity::Warning,
            "the device begins in the middle of a block of the filesystem",
            // Another offset shows other data.
            format!("unmount it, then: {}", copy_to_new(device)),
        ),
        "bmap-disabled" => (
            "bmap-disabled",
            Severity::Info,
            "the module was loaded with bmap=0",
            "detach all devices of rloop, then: sudo modprobe -r rloop && sudo modprobe rloop bmap=1"
                .to_owned(),
        ),
        "filesystem" => (
            "filesystem-maps-nothing",
            Severity::Info,
            "its filesystem does not tell where blocks are",
            format!("detach it, then: cp --sparse=always {path} FILE-ON-XFS-OR-EXT4"),
        ),
        _ => return None,
    };
    let what = format!("all I/O goes through the filesystem: {because}");
    finding(id, severity, what, remedy)
}

/// The mapping is taken back again and again.
fn recalled(device: &DeviceFrame, rloop: &RloopFrame) -> Option<Finding> {
    if rloop.recalls < RECALLS_MIN {
        return None;
    }
    let path = quoted_file(device);
    let who = rloop.recallers.first();
    let by = who.map_or_else(String::new, |who| {
        format!(
            " ({} of them by {}[{}])",
            who.requests, who.command, who.pid
        )
    });
    let what = format!(
        "the mapping was taken back {} times{by}: until it is there again, I/O goes through the filesystem",
        rloop.recalls
    );
    let remedy = who.map_or_else(
        || format!("sudo fuser -v {path}"),
        |who| {
            let device = &device.name;
            let command = &who.command;
            format!("let {command} read {path} only, or work on /dev/{device} instead")
        },
    );
    finding("recalled-often", Severity::Warning, what, remedy)
}

/// Each fill waits until it is durable.
fn committed_each(device: &DeviceFrame, rloop: &RloopFrame) -> Option<Finding> {
    if rloop.commit != "each" || rloop.fills.ops < FILLS_MIN {
        return None;
    }
    // Through the filesystem, a fill and its commit are one.
    let (ns, shared) = match (rloop.fills_per_commit, device.commits.duration.mean_ns) {
        (Some(fills), Some(ns)) => (ns, format!("; {fills:.1} fills share a commit")),
        _ => (rloop.fill_mean_ns?, String::new()),
    };
    let what = format!(
        "each of {} fills waited {} us for its commit (commit=each){shared}",
        rloop.fills.ops,
        ns / 1000
    );
    let facts = &device.facts;
    let mut remedy = format!(
        "if a flush may decide what is durable: rloop detach {} && rloop attach --fill {} --commit flush --block-size {} --offset {}",
        device.name, rloop.fill, facts.logical_block_bytes, facts.offset_bytes,
    );
    if facts.sizelimit_bytes > 0 {
        remedy += &format!(" --sizelimit {}", facts.sizelimit_bytes);
    }
    if facts.read_only {
        remedy += " --read-only";
    }
    remedy += &format!(" {}", quoted_file(device));
    finding("commit-each", Severity::Info, what, remedy)
}

/// An error that lost something stays until the device is detached.
fn failed(device: &DeviceFrame, rloop: &RloopFrame) -> Option<Finding> {
    if rloop.errno == 0 {
        return None;
    }
    let error = std::io::Error::from_raw_os_error(rloop.errno as i32);
    let what = format!(
        "the filesystem failed to commit or to sync the file ({error}): every flush fails until the device is detached"
    );
    let remedy = format!(
        "dmesg --level err,warn | tail; then rloop detach {}",
        device.name
    );
    finding("commit-failed", Severity::Critical, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Moved, Submitter};

    fn with(change: impl FnOnce(&mut RloopFrame)) -> DeviceFrame {
        let mut rloop = RloopFrame {
            why: "best".into(),
            ..RloopFrame::default()
        };
        change(&mut rloop);
        let mut device = DeviceFrame {
            name: "rloop3".into(),
            rloop: Some(rloop),
            ..DeviceFrame::default()
        };
        device.backing.path = "/srv/a.img".into();
        device.backing.size_bytes = 4096;
        device.facts.claims_direct = true;
        device.mode_measured = true;
        device
    }

    fn only(device: &DeviceFrame) -> Finding {
        let mut found = super::super::find(device, 1000);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_device_that_is_mapped_has_none() {
        assert!(super::super::find(&with(|_| ()), 1000).is_empty());
        assert!(super::super::find(&with(|r| r.why = "recalled".into()), 1000).is_empty());
    }

    #[test]
    fn a_shared_file_is_to_be_unshared() {
        let found = only(&with(|r| r.why = "reflinked".into()));
        assert_eq!(found.id, "reflinked");
        assert_eq!(found.remedy, "xfs_io -c 'funshare 0 4096' /srv/a.img");
    }

    #[test]
    fn who_takes_the_mapping_back_is_named() {
        let who = Submitter {
            pid: 7,
            command: "backup".into(),
            requests: 3,
            ..Submitter::default()
        };
        let device = |recalls| {
            with(|r| {
                r.recalls = recalls;
                r.recallers = vec![who.clone()];
            })
        };
        assert!(super::super::find(&device(1), 1000).is_empty(), "once");
        let found = only(&device(4));
        assert!(found.what.contains("4 times (3 of them by backup[7])"));
        assert!(found.remedy.contains("/dev/rloop3"));
    }

    #[test]
    fn what_each_commit_costs_is_told() {
        let device = |fill_mean_ns, fills_per_commit| {
            let mut device = with(|r| {
                r.commit = "each".into();
                r.fill = "layout".into();
                r.fills = Moved {
                    ops: 40,
                    bytes: 40 * 4096,
                };
                r.fill_mean_ns = fill_mean_ns;
                r.fills_per_commit = fills_per_commit;
            });
            device.commits.duration.mean_ns = Some(900_000);
            device
        };
        let found = only(&device(Some(1000), Some(2.5)));
        assert!(found.what.contains("waited 900 us") && found.what.contains("2.5 fills"));
        let found = only(&device(Some(70_000), None));
        assert!(found.what.contains("waited 70 us"), "{}", found.what);
        assert!(found.remedy.contains("--commit flush ") && found.remedy.ends_with(" /srv/a.img"));
    }

    #[test]
    fn an_error_that_stays_is_critical() {
        let found = only(&with(|r| r.errno = 5));
        assert_eq!(
            (found.id, found.severity),
            ("commit-failed", Severity::Critical)
        );
    }
}
