//! Commits that a device waited for, against what the filesystems and the disk below say themselves.

use std::{
    fs::File, io::Write as _, os::unix::fs::FileExt as _, path::Path, process::Command, thread,
    time::Duration,
};

use rloop::{
    device::control::{AttachOptions, Attached},
    sample::CommitsSample,
    source::live::{Live, LiveOptions},
};

mod support;

use support::live::*;
use support::statistics::*;
use support::*;

/// A filesystem on which nothing is committed by the clock, as far as it can be told so.
fn image(fs: &str, mkfs: &[&str]) -> Option<MountedImage> {
    let mount = match fs {
        "xfs" => "",
        _ => "commit=3600",
    };
    let options = ImageOptions {
        mkfs,
        mount,
        ..ImageOptions::default()
    };
    MountedImage::with(fs, 400, &options)
}

/// A sparse file on the image that is safely there, and the device on it.
fn device_on(image: &MountedImage, name: &str, options: &AttachOptions) -> Attached {
    let file = sparse(image.path(), name, 64 * MIB);
    run(Command::new("sync").arg("-f").arg(&file));
    attached(&file, options)
}

/// Writes into `count` holes from `first` MiB on, each followed by an fsync.
fn fill_and_sync(path: &Path, first: u64, count: u64) {
    let io = open_direct(path);
    let buffer = Box::new(Aligned([1; 16 * BLOCK]));
    for i in first..first + count {
        io.write_all_at(&buffer.0, i * MIB).expect("fills");
        io.sync_all().expect("syncs");
    }
}

fn sync_idle(path: &Path, count: u64) {
    let io = open(path);
    for _ in 0..count {
        io.sync_all().expect("syncs");
    }
}

fn commits(live: &mut Live, device: &Attached) -> CommitsSample {
    settled(live, device).commits
}

/// `count` fsyncs of changes are `count` commits, and fsyncs of nothing are none.
fn assert_counted(fs: &str, mkfs: &[&str], options: &AttachOptions, count: u64) {
    if !root_or_skip() {
        return;
    }
    let Some(image) = image(fs, mkfs) else { return };
    let device = device_on(&image, "commits.img", options);
    let mut live = watch(&[&device]);
    let before = commits(&mut live, &device).count;
    let (own_before, flushes_before) = (own_count(fs, &image), flushes(&image));

    fill_and_sync(device.path(), 0, count);
    let after = commits(&mut live, &device);
    assert_eq!(after.count - before, count, "{after:?}");
    let own = own_count(fs, &image);
    assert_eq!(
        own.zip(own_before).map(|(new, old)| new - old),
        own.map(|_| count)
    );
    assert_eq!(flushes(&image) - flushes_before, 2 * count);

    // A lost end is a lost duration.
    let durations: u64 = after.durations.0.iter().map(|bucket| bucket.1).sum();
    assert!(durations <= count && durations + 8 >= count, "{after:?}");
    assert!(after.max_ns > 0 && after.total_ns >= after.max_ns);

    // A fast commit writes its block even if nothing changed.
    if !mkfs.contains(&"fast_commit") {
        sync_idle(device.path(), 11);
        let idle = commits(&mut live, &device).count - before - count;
        // btrfs may find one more thing to log when the data were written through the page cache:
        // then its disk is flushed once more, too. It never flushes for nothing.
        let really = match fs {
            "btrfs" => (flushes(&image) - flushes_before) / 2 - count,
            _ => 0,
        };
        assert_eq!(idle, really);
        assert_eq!(own_count(fs, &image), own);
    }
}

fn buffered() -> AttachOptions {
    AttachOptions::default()
}

#[test]
fn commits_on_ext4_are_those_the_workload_forced() {
    assert_counted("ext4", &["-q"], &direct(), 37);
}

#[test]
fn commits_on_ext4_through_the_page_cache_are_as_many() {
    assert_counted("ext4", &["-q"], &buffered(), 31);
}

#[test]
fn fast_commits_on_ext4_are_commits() {
    assert_counted("ext4", &["-q", "-O", "fast_commit"], &direct(), 29);
}

#[test]
fn commits_on_xfs_are_those_the_workload_forced() {
    assert_counted("xfs", &["-q"], &direct(), 37);
}

#[test]
fn commits_on_xfs_through_the_page_cache_are_as_many() {
    assert_counted("xfs", &["-q"], &buffered(), 31);
}

#[test]
fn commits_on_btrfs_are_those_the_workload_forced() {
    assert_counted("btrfs", &["-q"], &direct(), 37);
}

#[test]
fn commits_on_btrfs_through_the_page_cache_are_as_many() {
    assert_counted("btrfs", &["-q"], &buffered(), 31);
}

#[test]
fn without_a_log_commits_on_btrfs_are_its_transactions() {
    if !root_or_skip() {
        return;
    }
    let options = ImageOptions {
        mkfs: &["-q"],
        mount: "commit=3600,notreelog",
        ..ImageOptions::default()
    };
    let Some(image) = MountedImage::with("btrfs", 400, &options) else {
        return;
    };
    let transactions = || transactions(&image);
    let device = device_on(&image, "commits.img", &direct());
    let mut live = watch(&[&device]);
    let (before, own_before) = (commits(&mut live, &device).count, transactions());
    fill_and_sync(device.path(), 0, 13);
    sync_idle(device.path(), 7);
    assert_eq!(commits(&mut live, &device).count - before, 13);
    assert_eq!(transactions() - own_before, 13);
}

#[test]
fn a_filesystem_on_the_device_makes_the_one_below_commit() {
    if !root_or_skip() {
        return;
    }
    let Some(lower) = image("xfs", &["-q"]) else {
        return;
    };
    // Nothing is written later that could be written now.
    let mkfs = ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
    let Some(upper) = MountedImage::in_folder(lower.path(), "ext4", 100, &mkfs) else {
        return;
    };
    let sync_all = || {
        run(Command::new("sync")
            .arg("-f")
            .arg(upper.path())
            .arg(lower.path()))
    };
    sync_all();
    let mut live = Live::new(LiveOptions {
        devices: vec![name(&upper)],
        ..LiveOptions::default()
    })
    .expect("watches");
    let own_before = own_count("xfs", &lower).expect("xfs counts");
    for i in 0..29 {
        let mut file = File::create(upper.path().join(i.to_string())).expect("a file");
        file.write_all(&[1; BLOCK]).expect("writes");
        file.sync_all().expect("syncs");
    }
    let counted = sampled(&mut live).devices[0].commits.count;
    // Its journal asks for a flush before and after the last block of each of its commits.
    assert!(counted >= 29, "{counted}");
    assert_eq!(
        own_count("xfs", &lower).expect("xfs counts") - own_before,
        counted
    );
}

/// Commits that others force on the same filesystem are not those of a device that waits for none.
fn assert_only_own(fs: &str) {
    if !root_or_skip() {
        return;
    }
    let Some(image) = image(fs, &["-q"]) else {
        return;
    };
    let busy = device_on(&image, "busy.img", &direct());
    let idle = device_on(&image, "idle.img", &direct());
    let mut live = watch(&[&busy, &idle]);
    let before = (
        commits(&mut live, &busy).count,
        commits(&mut live, &idle).count,
    );
    thread::scope(|scope| {
        scope.spawn(|| fill_and_sync(busy.path(), 0, 41));
        scope.spawn(|| sync_idle(idle.path(), 211));
        scope.spawn(|| {
            let mut other = File::create(image.path().join("other")).expect("a file");
            for _ in 0..43 {
                other.write_all(&[1; BLOCK]).expect("writes");
                other.sync_all().expect("syncs");
            }
        });
    });
    // A process that syncs the backing file does not make the device wait.
    File::open(image.path().join("idle.img"))
        .and_then(|file| file.sync_all())
        .expect("syncs");
    let after = (commits(&mut live, &busy), commits(&mut live, &idle));
    assert_eq!(after.1.count, before.1, "{:?}", after.1);
    // Some of what it wrote may be committed by others before it asks.
    let busy = after.0.count - before.0;
    assert!((1..=41).contains(&busy), "{busy}");
}

#[test]
fn others_commits_on_ext4_are_not_the_devices() {
    assert_only_own("ext4");
}

#[test]
fn others_commits_on_xfs_are_not_the_devices() {
    assert_only_own("xfs");
}

#[test]
fn others_commits_on_btrfs_are_not_the_devices() {
    assert_only_own("btrfs");
}

#[test]
fn commits_need_no_flush_of_the_disk_below() {
    if !root_or_skip() {
        return;
    }
    for fs in ["ext4", "xfs", "btrfs"] {
        let Some(image) = image(fs, &["-q"]) else {
            continue;
        };
        let _cache = NoCache::new(&image);
        let device = device_on(&image, "commits.img", &direct());
        let mut live = watch(&[&device]);
        let (before, flushes_before) = (commits(&mut live, &device).count, flushes(&image));
        fill_and_sync(device.path(), 0, 23);
        sync_idle(device.path(), 11);
        assert_eq!(commits(&mut live, &device).count - before, 23, "{fs}");
        assert_eq!(flushes(&image), flushes_before, "{fs}");
    }
}

#[test]
fn an_ext4_without_a_journal_commits_nothing_and_says_so() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = MountedImage::new("ext4", 100, &["-q", "-O", "^has_journal"]) else {
        return;
    };
    let device = device_on(&image, "commits.img", &direct());
    let mut live = watch(&[&device]);
    fill_and_sync(device.path(), 0, 19);
    let sample = settled(&mut live, &device);
    assert_eq!(sample.commits.count, 0);
    let missing: Vec<&str> = sample.unavailable.iter().map(|u| u.what.as_str()).collect();
    assert_eq!(missing, ["commits"], "{:?}", sample.unavailable);
}

#[test]
fn each_write_has_its_commit_until_one_sync_does_for_all() {
    if !root_or_skip() {
        return;
    }
    let Some(image) = image("xfs", &["-q"]) else {
        return;
    };
    let device = device_on(&image, "commits.img", &direct());
    let mut live = watch(&[&device]);
    let before = settled_sample(&mut live, &device);
    fill_and_sync(device.path(), 0, 47);
    let singly = settled_sample(&mut live, &device);
    let told = json_of(&json(&before, &singly), &device);
    assert_eq!(told["holes"]["commits"], 47);
    assert_eq!(told["holes"]["commit_time_derived"], true);
    assert!(
        told["holes"]["commit_p50_ns"]
            .as_u64()
            .is_some_and(|ns| ns > 0)
    );
    // The file lies on the image's loop device. Whether a commit takes longer than its write, without which it is
    // no finding, is up to the machine; the findings' own tests have both.
    let found = findings(&told);
    assert!(
        found == ["commit-per-write", "nested"] || found == ["nested"],
        "{found:?}"
    );

    // The same writes again change no mapping, and one sync is enough for all of them.
    write_blocks(device.path(), (0..47).map(|i| i * MIB));
    sync_idle(device.path(), 1);
    let together = settled_sample(&mut live, &device);
    let told = json_of(&json(&singly, &together), &device);
    assert_eq!(told["holes"]["commits"], 1);
    assert_eq!(findings(&told), ["nested"]);
}

const DELAY: Duration = Duration::from_millis(400);

#[test]
fn a_commit_takes_as_long_as_the_disk_below_lets_it() {
    if !root_or_skip() {
        return;
    }
    for fs in ["ext4", "xfs", "btrfs"] {
        // The image's disk is a loop device on `lower`: a frozen `lower` stops that disk's writes.
        let Some(lower) = MountedImage::new("ext4", 800, &["-q"]) else {
            return;
        };
        let Some(image) = MountedImage::in_folder(lower.path(), fs, 400, &["-q"]) else {
            continue;
        };
        let device = device_on(&image, "delayed.img", &direct());
        let mut live = watch(&[&device]);
        fill_and_sync(device.path(), 0, 5);
        let swift = commits(&mut live, &device);
        let io = open_direct(device.path());
        let buffer = Box::new(Aligned([1; 16 * BLOCK]));
        io.write_all_at(&buffer.0, 7 * MIB).expect("fills");
        let frozen = Frozen::new(lower.path());
        let thaw = thread::spawn(move || {
            thread::sleep(DELAY);
            drop(frozen);
        });
        io.sync_all().expect("syncs");
        thaw.join().expect("thaws");
        let slow = commits(&mut live, &device);
        assert_eq!(slow.count - swift.count, 1, "{fs}");
        let delay_ns = DELAY.as_nanos() as u64;
        assert!(
            slow.total_ns - swift.total_ns > delay_ns / 2,
            "{fs}: {slow:?}"
        );
        assert!(slow.max_ns > delay_ns / 2, "{fs}: {slow:?}");
    }
}

#[test]
fn a_log_that_serves_several_devices_is_a_commit_of_each() {
    if !root_or_skip() {
        return;
    }
    const COUNT: u64 = 53;
    let Some(image) = image("btrfs", &["-q"]) else {
        return;
    };
    let devices = ["1.img", "2.img", "3.img", "4.img"];
    let devices = devices.map(|name| device_on(&image, name, &direct()));
    let mut live = watch(&devices.each_ref());
    let before = (flushes(&image), transactions(&image));
    thread::scope(|scope| {
        for device in &devices {
            scope.spawn(|| fill_and_sync(device.path(), 0, COUNT));
        }
    });
    let logs = (flushes(&image) - before.0) / 2;
    let whole = transactions(&image) - before.1;
    let counts = devices
        .each_ref()
        .map(|device| commits(&mut live, device).count);
    assert!(counts.iter().all(|&count| count <= COUNT), "{counts:?}");
    let all: u64 = counts.iter().sum();
    assert!(all >= logs, "{logs} logs, {counts:?}");
    // All but one may have waited for a transaction that the one committed, which nothing tells. That
    // somebody else wrote the log is told by the flush's end, and ends can be lost.
    let untold = 3 * whole + 2;
    assert!(
        all + untold >= 4 * COUNT,
        "{whole} transactions, {counts:?}"
    );
}
