use super::*;

const INTERVAL_NS: u64 = 1000;

fn find(device: &DeviceFrame) -> Vec<Finding> {
    super::find(device, INTERVAL_NS)
}

fn ids(device: &DeviceFrame) -> Vec<&'static str> {
    find(device).iter().map(|finding| finding.id).collect()
}

#[test]
fn a_healthy_device_has_none() {
    assert!(find(&DeviceFrame::default()).is_empty());
}

#[test]
fn a_claim_that_does_not_hold_is_found() {
    let mut device = DeviceFrame {
        mode_measured: true,
        bypass_ratio: Some(0.0),
        ..DeviceFrame::default()
    };
    device.facts.claims_direct = true;
    assert_eq!(ids(&device), ["direct-not-in-effect"]);
    device.mode = Mode::Direct;
    assert!(ids(&device).is_empty());
}

#[test]
fn each_check_finds_its_fault() {
    let mut device = DeviceFrame {
        backing_cached_pages: Some(9000),
        device_cached_pages: Some(9000),
        ..DeviceFrame::default()
    };
    device.facts.dio_align_bytes = Some(4096);
    device.facts.logical_block_bytes = 512;
    device.facts.nesting = 1;
    device.backing.deleted = true;
    device.ops[0].errors = 1;
    device.split = crate::sample::SplitSample {
        requests: 100,
        worker_ns: 9 * INTERVAL_NS,
        disk_ns: INTERVAL_NS,
        ..Default::default()
    };
    assert_eq!(
        ids(&device),
        [
            "errors",
            "backing-deleted",
            "misaligned",
            "double-caching",
            "worker-saturated",
            "nested"
        ]
    );
}

#[test]
fn an_offset_off_the_alignment_needs_a_file_of_its_own() {
    let mut device = DeviceFrame::default();
    device.facts.dio_align_bytes = Some(4096);
    device.facts.logical_block_bytes = 512;
    device.facts.offset_bytes = 8192;
    assert!(
        find(&device)[0]
            .remedy
            .contains("new image: losetup --sector-size 4096")
    );
    device.facts.offset_bytes = 512;
    assert!(find(&device)[0].remedy.contains("dd if="));
    device.facts.offset_bytes = 0;
    device.facts.logical_block_bytes = 4096;
    assert!(find(&device).is_empty());
}

#[test]
fn a_split_without_time_says_nothing_about_the_worker() {
    let mut device = DeviceFrame::default();
    device.split.requests = 1000;
    assert!(find(&device).is_empty());
}

#[test]
fn a_sparse_file_on_a_full_filesystem_is_found() {
    let mut device = DeviceFrame::default();
    device.backing.fs_size_bytes = 100 << 30;
    device.backing.fs_free_bytes = 1 << 30;
    device.backing.size_bytes = 8 << 30;
    assert_eq!(ids(&device), ["filesystem-nearly-full"]);
    let remedy = &find(&device)[0].remedy;
    assert!(
        !remedy.contains("fallocate"),
        "it would take what is left, and fail"
    );
    device.facts.read_only = true;
    assert!(find(&device).is_empty(), "nobody writes into its holes");
    device.facts.read_only = false;
    device.backing.allocated_bytes = 8 << 30;
    assert!(find(&device).is_empty(), "it will not grow");
}

#[test]
fn the_remedy_for_fragments_is_the_filesystems_own() {
    let extents: Vec<_> = (0..2000u64)
        .map(|i| crate::sample::Extent {
            start_bytes: i << 16,
            len_bytes: 1 << 16,
            ..Default::default()
        })
        .collect();
    let mut device = DeviceFrame {
        data: DataExtents::of(&extents),
        ..DeviceFrame::default()
    };
    for (fs, tool) in [
        ("ext4", "e4defrag"),
        ("xfs", "xfs_fsr"),
        ("btrfs", "btrfs filesystem"),
    ] {
        device.backing.fs = fs.into();
        assert_eq!(ids(&device), ["fragmented"]);
        assert!(find(&device)[0].remedy.starts_with(tool));
    }
}

#[test]
fn a_worker_that_one_request_waits_for_is_not_saturated() {
    let mut device = DeviceFrame::default();
    device.split.requests = 100;
    device.split.worker_ns = INTERVAL_NS;
    assert!(find(&device).is_empty(), "it is slow to wake up");
    device.split.worker_ns += 1;
    assert_eq!(ids(&device), ["worker-saturated"]);
}

#[test]
fn what_is_cached_twice_goes_by_direct_io_and_then_out_of_the_cache() {
    let mut device = DeviceFrame {
        backing_cached_pages: Some(9000),
        device_cached_pages: Some(9000),
        ..DeviceFrame::default()
    };
    assert!(
        find(&device)[0]
            .remedy
            .starts_with("losetup --direct-io=on")
    );
    device.facts.claims_direct = true;
    assert!(find(&device)[0].remedy.starts_with("dd if="));
}

#[test]
fn writes_that_each_wait_for_a_commit_are_found() {
    let mut device = DeviceFrame::default();
    device.backing.fs = "xfs".into();
    device.commits.count = 50;
    device.commits.duration.mean_ns = Some(900_000);
    device.ops[Op::Write.index()].ops = 60;
    device.ops[Op::Write.index()].total.mean_ns = Some(100_000);
    assert_eq!(ids(&device), ["commit-per-write"]);
    assert!(find(&device)[0].remedy.starts_with("let the writer sync"));
    device.holes.conversions = 50;
    assert!(find(&device)[0].remedy.contains(": cp --sparse=never"));

    device.ops[Op::Write.index()].ops = 200;
    assert!(find(&device).is_empty(), "four writes share a commit");
    device.ops[Op::Write.index()].ops = 60;
    device.commits.count = 19;
    assert!(find(&device).is_empty(), "too few to say anything");
    device.commits.count = 50;
    device.commits.duration.mean_ns = Some(90_000);
    assert!(
        find(&device).is_empty(),
        "the writes themselves take longer"
    );
}

#[test]
fn a_remedy_can_be_pasted_whatever_the_file_is_called() {
    let mut device = DeviceFrame::default();
    device.backing.fs = "ext4".into();
    device.backing.path = "/srv/a b$(id).img".into();
    device.data = DataExtents {
        count: 10_000,
        bytes: 1 << 30,
    };
    let remedies: Vec<_> = find(&device).into_iter().map(|one| one.remedy).collect();
    assert_eq!(remedies, ["e4defrag '/srv/a b$(id).img'"]);
    // Here, it may be another file.
    device.unavailable.push(Unavailable {
        what: UNREACHED.to_owned(),
        why: String::new(),
    });
    assert_eq!(find(&device)[0].remedy, "e4defrag FILE");
}
