//! What is wrong with a device, why it matters, and what mends it. Commands are pasted as they are, by root: whatever loses
//! data if somebody uses the device is not among them without a word about that.

mod rloop;

use std::borrow::Cow;

use rloop_common::Op;

use super::{DeviceFrame, Finding, Mode, Percent, Severity};
use crate::{
    device::backing::UNREACHED,
    sample::{DataExtents, Unavailable},
};

/// Pages of both caches from which on double caching is worth a word: 16 MiB.
const DOUBLE_PAGES: u64 = 4096;
/// Extents for each GiB of data from which on a file is fragmented.
const EXTENTS_PER_GIB: u64 = 1000;
/// Requests of an interval from which on its split says something.
const SPLIT_MIN: u64 = 100;
/// Commits of an interval from which on they say something.
const COMMITS_MIN: u64 = 20;
/// Writes for each commit from which on a commit is shared by enough of them.
const WRITES_PER_COMMIT: u64 = 4;

/// All findings about a device in an interval, the worst first.
pub(super) fn find(device: &DeviceFrame, interval_ns: u64) -> Vec<Finding> {
    const CHECKS: [fn(&DeviceFrame) -> Option<Finding>; 9] = [
        errors,
        deleted,
        nearly_full,
        not_direct,
        misaligned,
        double_cached,
        committed_singly,
        fragmented,
        nested,
    ];
    let mut findings: Vec<Finding> = CHECKS
        .iter()
        .filter_map(|check| check(device))
        .chain(saturated(device, interval_ns))
        .chain(rloop::find(device))
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn finding(id: &'static str, severity: Severity, what: String, remedy: String) -> Option<Finding> {
    Some(Finding {
        id,
        severity,
        what,
        remedy,
    })
}

fn errors(device: &DeviceFrame) -> Option<Finding> {
    let errors: u64 = device.ops.iter().map(|op| op.errors).sum();
    if errors == 0 {
        return None;
    }
    let what = format!("{errors} requests failed: the filesystem or the disk below refused them");
    finding(
        "errors",
        Severity::Critical,
        what,
        "dmesg --level err,warn | tail".to_owned(),
    )
}

fn deleted(device: &DeviceFrame) -> Option<Finding> {
    if !device.backing.deleted {
        return None;
    }
    let what = format!(
        "{} was deleted: its data go when the device is detached",
        device.backing.path
    );
    // Not unmounted: that may detach it.
    let mut remedy = format!(
        "stop what writes to it, then: sync; {}",
        copy_to_new(device)
    );
    if device.facts.offset_bytes > 0 || device.facts.sizelimit_bytes > 0 {
        remedy += "; what the file has outside of the device is lost";
    }
    finding("backing-deleted", Severity::Critical, what, remedy)
}

/// Copies what a device shows into a new file. Whole only if nobody writes meanwhile.
fn copy_to_new(device: &DeviceFrame) -> String {
    format!("dd if=/dev/{} of=NEW bs=1M conv=sparse", device.name)
}

fn nearly_full(device: &DeviceFrame) -> Option<Finding> {
    let backing = &device.backing;
    let missing = backing.size_bytes.saturating_sub(backing.allocated_bytes);
    if device.facts.read_only
        || backing.fs_size_bytes == 0
        || missing <= backing.fs_free_bytes
        || backing.fs_free_bytes > backing.fs_size_bytes / 20
    {
        return None;
    }
    let what = format!(
        "the filesystem has {} MiB left, the file may still grow by {} MiB: when it is full, writes into holes fail",
        backing.fs_free_bytes >> 20,
        missing >> 20
    );
    finding(
        "filesystem-nearly-full",
        Severity::Critical,
        what,
        // The rest cannot be allocated beforehand: there is not enough, and trying takes all that is left.
        format!(
            "fstrim MOUNTPOINT of a filesystem on /dev/{}; or make room beside {}",
            device.name,
            quoted_file(device)
        ),
    )
}

/// The path of the file, as a shell takes it. Where the file is out of reach, another one may have that path.
fn quoted_file(device: &DeviceFrame) -> Cow<'_, str> {
    let is_out_of_reach = |missing: &Unavailable| missing.what == UNREACHED;
    if device.unavailable.iter().any(is_out_of_reach) {
        return "FILE".into();
    }
    // Only a zero cannot be quoted, and no path has one.
    shlex::try_quote(&device.backing.path).unwrap_or_default()
}

fn not_direct(device: &DeviceFrame) -> Option<Finding> {
    if !device.facts.claims_direct
        || !device.mode_measured
        || device.mode == Mode::Direct
        || device.rloop.is_some()
    {
        return None;
    }
    let share = Percent::of(device.bypass_ratio.unwrap_or(0.0));
    let what =
        format!("the driver says direct I/O, but of the bytes {share} bypass the page cache");
    let remedy = if device.backing.fs == "btrfs" {
        format!(
            "chattr +C on an empty copy of {} (checksummed writes are buffered)",
            quoted_file(device)
        )
    } else {
        new_image(4096)
    };
    finding("direct-not-in-effect", Severity::Warning, what, remedy)
}

fn misaligned(device: &DeviceFrame) -> Option<Finding> {
    let (facts, align) = (&device.facts, u64::from(device.facts.dio_align_bytes?));
    // Who maps a device of rloop, and why nobody does, says more.
    if align == 0
        || device.rloop.is_some()
        || (facts.offset_bytes.is_multiple_of(align)
            && u64::from(facts.logical_block_bytes).is_multiple_of(align))
    {
        return None;
    }
    let what = format!(
        "offset {} and sectors of {} bytes do not fit the file's alignment of {align}: direct I/O is impossible",
        facts.offset_bytes, facts.logical_block_bytes
    );
    let remedy = if facts.offset_bytes.is_multiple_of(align) {
        new_image(align)
    } else {
        // No sector size helps where the device itself starts off the alignment.
        format!("unmount it, then: {}", copy_to_new(device))
    };
    finding("misaligned", Severity::Warning, what, remedy)
}

/// A partition table tells places in sectors, and a filesystem may refuse larger ones than it was made on: the same file is
/// not to be attached with others.
fn new_image(sector_bytes: u64) -> String {
    format!(
        "copy the files into a new image: losetup --sector-size {sector_bytes} --direct-io=on --show --find NEW"
    )
}

fn double_cached(device: &DeviceFrame) -> Option<Finding> {
    let (file, own) = (device.backing_cached_pages?, device.device_cached_pages?);
    if file.min(own) < DOUBLE_PAGES {
        return None;
    }
    let what = format!(
        "{} MiB of the file and {} MiB of the device are cached: the same data twice",
        file >> 8,
        own >> 8
    );
    finding(
        "double-caching",
        Severity::Warning,
        what,
        // With direct I/O nothing more is added, but what is cached stays until it is thrown out.
        if device.facts.claims_direct {
            format!("dd if={} iflag=nocache count=0", quoted_file(device))
        } else {
            format!("losetup --direct-io=on /dev/{}", device.name)
        },
    )
}

fn saturated(device: &DeviceFrame, interval_ns: u64) -> Option<Finding> {
    let split = &device.split;
    let total = split.queue_ns + split.worker_ns + split.filesystem_ns + split.disk_ns;
    // One request at a time waits for the worker to wake up, not for another request: on average more
    // than one has to be there.
    if split.requests < SPLIT_MIN
        || split.worker_ns * 2 <= total
        || split.worker_ns <= interval_ns
        || device.rloop.is_some()
    {
        return None;
    }
    let what = format!(
        "{} of the time passes waiting for the driver's one worker",
        Percent::of(split.worker_ns as f64 / total.max(1) as f64)
    );
    finding(
        "worker-saturated",
        Severity::Warning,
        what,
        "spread the load over several images, each with a device of its own".to_owned(),
    )
}

/// Writes that wait longer for their commit than for themselves.
fn committed_singly(device: &DeviceFrame) -> Option<Finding> {
    let (commits, writes) = (&device.commits, &device.ops[Op::Write.index()]);
    let waits = commits.duration.mean_ns? > writes.total.mean_ns?;
    let wanted = device
        .rloop
        .as_ref()
        .is_some_and(|rloop| rloop.commit == "each");
    if commits.count < COMMITS_MIN
        || writes.ops >= WRITES_PER_COMMIT * commits.count
        || !waits
        || wanted
    {
        return None;
    }
    let what = format!(
        "{} commits for {} writes: nearly each waits for the filesystem below to commit, {} us on average",
        commits.count,
        writes.ops,
        commits.duration.mean_ns? / 1000
    );
    let holes = &device.holes;
    // Where only time stamps change, a filesystem below has little or nothing to commit. Allocated and
    // unwritten is not enough: that a block is written now is committed as well. btrfs always commits.
    let remedy = if holes.fills + holes.conversions > 0 && device.backing.fs != "btrfs" {
        format!(
            "detach it, then: cp --sparse=never {} NEW; that takes {} MiB",
            quoted_file(device),
            device.backing.size_bytes >> 20
        )
    } else {
        "let the writer sync for several writes at once; a filesystem on the device: mount -o remount,commit=60".to_owned()
    };
    finding("commit-per-write", Severity::Warning, what, remedy)
}

fn fragmented(device: &DeviceFrame) -> Option<Finding> {
    let DataExtents {
        count: extents,
        bytes,
    } = device.data;
    if extents < EXTENTS_PER_GIB || extents * (1 << 30) / bytes.max(1) < EXTENTS_PER_GIB {
        return None;
    }
    let what = format!("the file's {} MiB lie in {extents} extents", bytes >> 20);
    let remedy = match device.backing.fs.as_str() {
        "xfs" => format!("xfs_fsr {}", quoted_file(device)),
        "btrfs" => format!("btrfs filesystem defragment {}", quoted_file(device)),
        "ext4" => format!("e4defrag {}", quoted_file(device)),
        _ => format!("detach it, then: cp {} NEW", quoted_file(device)),
    };
    finding("fragmented", Severity::Info, what, remedy)
}

fn nested(device: &DeviceFrame) -> Option<Finding> {
    if device.facts.nesting == 0 {
        return None;
    }
    let what = format!(
        "the file lies on {} more loop device(s): each adds a worker",
        device.facts.nesting
    );
    finding(
        "nested",
        Severity::Info,
        what,
        "losetup --list; put the image on the outermost filesystem".to_owned(),
    )
}

#[cfg(test)]
mod tests;
