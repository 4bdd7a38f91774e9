//! Who would map a file, and why nobody better: the rules of the module's `policy.rs`, in their order.

use super::check::Check;
use crate::device::lease::Lease;

/// What is known of a file, as far as it bears on that.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its path, for commands.
    pub(super) path: String,
    /// Where the device begins in it, or would, bytes.
    pub(super) offset_bytes: u64,
    /// Blocks of its filesystem, bytes.
    pub(super) block_bytes: u64,
    /// What its blocks are besides its contents.
    pub(super) special: Vec<&'static str>,
    /// It can be read without the page cache.
    pub(super) has_direct_io: bool,
    /// What may be why it cannot.
    pub(super) flags: Vec<&'static str>,
    /// Type of its filesystem.
    pub(super) fs: String,
    /// What the filesystem is on.
    pub(super) disk: Disk,
    /// The module maps by block numbers.
    pub(super) maps_by_numbers: bool,
    /// Whether a lease is to be had; `None` while an rloop device has it.
    pub(super) lease: Option<Lease>,
    /// Blocks of it are shared; `None` if the filesystem does not tell.
    pub(super) is_shared: Option<bool>,
}

/// What a filesystem is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// One disk.
    One,
    /// One whose zones are written in order only.
    Zoned,
    /// None, or several.
    None,
}

/// One rule: how it came out, and the module's word for it if the file breaks it.
pub(super) struct Rule {
    name: &'static str,
    /// What was seen.
    seen: String,
    reason: Option<&'static str>,
    is_known: bool,
}

impl Rule {
    fn new(name: &'static str, holds: bool, reason: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            seen: seen.into(),
            reason: (!holds).then_some(reason),
            is_known: true,
        }
    }

    /// As a line for the user.
    pub(super) fn check(&self, path: &str) -> Check {
        match self.reason {
            Some(reason) => explained(self.name, &self.seen, reason, path),
            None if self.is_known => Check::ok(self.name, self.seen.clone()),
            None => Check::unknown(self.name, self.seen.clone()),
        }
    }
}

/// All rules, in the order in which the module applies them.
pub(super) fn rules(facts: &Facts) -> Vec<Rule> {
    let is_ext = is_ext(&facts.fs);
    let is_xfs = facts.fs == "xfs";
    let aligned = facts.offset_bytes.is_multiple_of(facts.block_bytes.max(1));
    let offset = format!("{} in blocks of {}", facts.offset_bytes, facts.block_bytes);
    let contents = if facts.special.is_empty() {
        "its blocks are its contents".to_owned()
    } else {
        facts.special.join(", ")
    };
    let direct = if facts.has_direct_io {
        "possible".to_owned()
    } else {
        let words = ["not possible"].iter().chain(&facts.flags).copied();
        words.collect::<Vec<_>>().join(", ")
    };
    let disk = match facts.disk {
        Disk::One => "one disk",
        Disk::Zoned => "a zoned disk",
        Disk::None => "no disk, or several",
    };
    let mut rules = vec![
        Rule::new("offset", aligned, "offset", offset),
        Rule::new("contents", facts.special.is_empty(), "not-plain", contents),
        Rule::new("direct I/O", facts.has_direct_io, "no-direct-io", direct),
        Rule::new(
            "filesystem",
            is_ext || is_xfs,
            "filesystem",
            facts.fs.clone(),
        ),
        Rule::new("disk", facts.disk == Disk::One, "device", disk),
    ];
    if is_ext {
        let seen = if facts.maps_by_numbers { "on" } else { "off" };
        rules.push(Rule::new(
            "block numbers",
            facts.maps_by_numbers,
            "bmap-disabled",
            seen,
        ));
    }
    rules.extend(facts.lease.map(lease));
    if is_xfs {
        rules.push(shared(facts.is_shared));
    }
    rules
}

fn is_ext(fs: &str) -> bool {
    ["ext2", "ext3", "ext4"].contains(&fs)
}

fn lease(lease: Lease) -> Rule {
    let name = "writers";
    match lease {
        Lease::Free => Rule::new(name, true, "leases", "nobody has it open for writing"),
        Lease::Writers => Rule::new(name, false, "open-for-writing", "somebody writes"),
        Lease::None => Rule::new(name, false, "leases", "cannot be told"),
        Lease::NotPermitted => Rule {
            is_known: false,
            ..Rule::new(name, true, "leases", "only its owner and CAP_LEASE may ask")
        },
    }
}

fn shared(shared: Option<bool>) -> Rule {
    let seen = match shared {
        Some(true) => "of some, another file has them too",
        Some(false) => "its own; if it ever shared some, xfs may refuse until a copy is made",
        None => "could not be looked at",
    };
    Rule {
        is_known: shared.is_some(),
        ..Rule::new("blocks", shared != Some(true), "reflinked", seen)
    }
}

/// Who would map, after all rules.
pub(super) fn verdict(facts: &Facts, rules: &[Rule]) -> Check {
    let name = "provider if attached";
    if let Some(reason) = rules.iter().find_map(|rule| rule.reason) {
        return explained(name, &format!("vfs ({reason})"), reason, &facts.path);
    }
    let best = if is_ext(&facts.fs) { "bmap" } else { "layout" };
    if rules.iter().all(|rule| rule.is_known) {
        Check::ok(
            name,
            format!("{best}: reads and writes go straight to the blocks"),
        )
    } else {
        Check::unknown(
            name,
            format!("{best}, unless what could not be looked at forbids it"),
        )
    }
}

/// A reason of the module's, with what was seen and what helps.
pub(super) fn explained(name: &str, seen: &str, reason: &str, path: &str) -> Check {
    let (why, remedy) = explain(reason);
    let check = Check::limited(name, format!("{seen}: {why}"));
    match remedy {
        Some(command) => check.remedy(command.replace("FILE", path)),
        None => check,
    }
}

/// What a reason means for the user, and the command that helps.
pub(in crate::command) fn explain(reason: &str) -> (&'static str, Option<&'static str>) {
    match reason {
        "best" => ("the best one for this file", None),
        "starting" => ("the device is being attached; look again in a moment", None),
        "recalled" => (
            "somebody opened the file for writing, cut it or changed its blocks, so the mapping was \
             given back; the module asks for it again within seconds",
            Some("sudo fuser -v FILE"),
        ),
        "open-for-writing" => (
            "until it is closed, I/O goes through the filesystem",
            Some("sudo fuser -v FILE"),
        ),
        "filesystem" => (
            "it does not tell where blocks are, as xfs and ext4 do; I/O goes through it",
            Some("cp --sparse=always FILE FOLDER-ON-XFS-OR-EXT4"),
        ),
        "reflinked" => (
            "xfs lets nobody map a file that shares blocks; a copy has its own",
            Some("cp --reflink=never FILE FILE.copy"),
        ),
        "no-direct-io" => (
            "the filesystem opens this file through the page cache only",
            Some("cp --sparse=always FILE FOLDER-ON-XFS-OR-EXT4"),
        ),
        "offset" => (
            "the device would begin in the middle of a block",
            Some("rloop attach FILE --offset MULTIPLE-OF-THE-BLOCK"),
        ),
        "leases" => (
            "the filesystem grants no leases, as network filesystems do not",
            Some("cp --sparse=always FILE FOLDER-ON-XFS-OR-EXT4"),
        ),
        "not-plain" => (
            "its blocks are not simply its contents, or somebody else uses them; a copy is plain",
            Some("cp --reflink=never FILE FILE.copy"),
        ),
        "bmap-disabled" => (
            "the module was loaded with bmap=0",
            Some("sudo modprobe -r rloop && sudo modprobe rloop bmap=1"),
        ),
        "device" => ("the module maps files on one ordinary disk only", None),
        "error" => (
            "the filesystem failed to sync the file or to map it",
            Some("sudo dmesg"),
        ),
        _ => ("a reason that this program does not know", None),
    }
}

#[cfg(test)]
mod tests;
