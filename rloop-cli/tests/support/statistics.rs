//! What filesystems and disks count themselves.

use std::{fs, process::Command};

use super::MountedImage;

/// The name of the image's disk.
pub fn name(image: &MountedImage) -> String {
    let name = image.device().file_name().expect("a name");
    name.to_string_lossy().into_owned()
}

fn first_number(text: &str) -> u64 {
    let word = text.split_whitespace().next();
    word.and_then(|word| word.parse().ok()).expect("a number")
}

/// Commits as the filesystem counts them; `None` where it does not.
pub fn own_count(fs: &str, image: &MountedImage) -> Option<u64> {
    let name = name(image);
    let read = |path: String| fs::read_to_string(path).expect("statistics");
    match fs {
        // "3 transactions (2 requested), each up to 4096 blocks", and the fast ones apart:
        // "fc stats:", "3 commits".
        "ext4" => {
            let fast = read(format!("/proc/fs/ext4/{name}/fc_info"));
            let fast = fast.lines().nth(1).map_or(0, first_number);
            Some(first_number(&read(format!("/proc/fs/jbd2/{name}-8/info"))) + fast)
        }
        // "log WRITES blocks ...": each force of these workloads is one write.
        "xfs" => {
            let stats = read(format!("/sys/fs/xfs/{name}/stats/stats"));
            stats
                .lines()
                .find_map(|line| line.strip_prefix("log "))
                .map(first_number)
        }
        _ => None,
    }
}

/// Flushes that the image's disk has ended: two for each commit (before and after its last block).
pub fn flushes(image: &MountedImage) -> u64 {
    let path = format!("/sys/block/{}/stat", name(image));
    let stat = fs::read_to_string(path).expect("statistics");
    let field = stat.split_whitespace().nth(15);
    field
        .and_then(|field| field.parse().ok())
        .expect("a kernel from 5.5 on")
}

/// Transactions that the image's btrfs has committed.
pub fn transactions(image: &MountedImage) -> u64 {
    let id = Command::new("findmnt")
        .args(["-no", "UUID"])
        .arg(image.path())
        .output()
        .expect("findmnt");
    let id = String::from_utf8_lossy(&id.stdout).trim().to_owned();
    let path = format!("/sys/fs/btrfs/{id}/commit_stats");
    let stats = fs::read_to_string(path).expect("statistics");
    let commits = stats.lines().find_map(|line| line.strip_prefix("commits "));
    first_number(commits.expect("a kernel from 6.1 on"))
}

/// An image's disk that says it has no volatile cache, so that nobody flushes it, until dropped.
pub struct NoCache(String);

impl NoCache {
    /// Turns the cache off.
    pub fn new(image: &MountedImage) -> Self {
        let setting = format!("/sys/block/{}/queue/write_cache", name(image));
        fs::write(&setting, "write through").expect("turns the cache off");
        Self(setting)
    }
}

impl Drop for NoCache {
    fn drop(&mut self) {
        // The setting outlives what is attached.
        fs::write(&self.0, "write back").expect("turns the cache on");
    }
}
