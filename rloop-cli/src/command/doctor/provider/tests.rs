use super::super::check::State;
use super::*;
use crate::driver::abi;

fn facts(fs: &str) -> Facts {
    Facts {
        path: "a.img".into(),
        offset_bytes: 0,
        block_bytes: 4096,
        special: Vec::new(),
        has_direct_io: true,
        flags: Vec::new(),
        fs: fs.into(),
        disk: Disk::One,
        maps_by_numbers: true,
        lease: Some(Lease::Free),
        is_shared: Some(false),
    }
}

fn judged(facts: &Facts) -> Check {
    verdict(facts, &rules(facts))
}

#[test]
fn the_best_provider_depends_on_the_filesystem() {
    for (fs, provider) in [("xfs", "layout"), ("ext4", "bmap"), ("ext2", "bmap")] {
        let check = judged(&facts(fs));
        assert_eq!(check.state, State::Ok, "{fs}");
        assert!(check.what.starts_with(provider), "{}", check.what);
    }
    let check = judged(&facts("btrfs"));
    assert_eq!(check.state, State::Limited);
    assert!(check.what.starts_with("vfs (filesystem)"), "{}", check.what);
}

#[test]
fn each_broken_rule_has_the_module_s_word() {
    let xfs = facts("xfs");
    let broken = [
        (
            "offset",
            Facts {
                offset_bytes: 512,
                ..xfs.clone()
            },
        ),
        (
            "not-plain",
            Facts {
                special: vec!["encrypted"],
                ..xfs.clone()
            },
        ),
        (
            "no-direct-io",
            Facts {
                has_direct_io: false,
                ..xfs.clone()
            },
        ),
        ("filesystem", facts("tmpfs")),
        (
            "device",
            Facts {
                disk: Disk::Zoned,
                ..xfs.clone()
            },
        ),
        (
            "device",
            Facts {
                disk: Disk::None,
                ..xfs.clone()
            },
        ),
        (
            "bmap-disabled",
            Facts {
                maps_by_numbers: false,
                ..facts("ext4")
            },
        ),
        (
            "open-for-writing",
            Facts {
                lease: Some(Lease::Writers),
                ..xfs.clone()
            },
        ),
        (
            "leases",
            Facts {
                lease: Some(Lease::None),
                ..xfs.clone()
            },
        ),
        (
            "reflinked",
            Facts {
                is_shared: Some(true),
                ..xfs.clone()
            },
        ),
    ];
    for (reason, facts) in broken {
        assert!(abi::REASONS.contains(&reason));
        let check = judged(&facts);
        let wanted = format!("vfs ({reason}): ");
        assert!(check.what.starts_with(&wanted), "{reason}: {}", check.what);
    }
    // What only one filesystem knows does not bear on the other.
    let no_numbers = Facts {
        maps_by_numbers: false,
        ..xfs
    };
    assert_eq!(judged(&no_numbers).state, State::Ok);
    let shared = Facts {
        is_shared: Some(true),
        ..facts("ext4")
    };
    assert_eq!(judged(&shared).state, State::Ok);
}

#[test]
fn of_several_broken_rules_the_module_s_first_counts() {
    let facts = Facts {
        special: vec!["with verity"],
        lease: Some(Lease::Writers),
        ..facts("btrfs")
    };
    assert!(judged(&facts).what.starts_with("vfs (not-plain)"));
}

#[test]
fn what_could_not_be_looked_at_leaves_it_open() {
    let closed = Facts {
        lease: Some(Lease::NotPermitted),
        ..facts("xfs")
    };
    assert_eq!(judged(&closed).state, State::Unknown);
    let untold = Facts {
        is_shared: None,
        ..facts("xfs")
    };
    assert_eq!(judged(&untold).state, State::Unknown);
}

#[test]
fn every_reason_of_the_module_is_explained() {
    let unknown = explain("nonsense");
    for reason in abi::REASONS {
        assert_ne!(explain(reason), unknown, "{reason}");
    }
    let check = explained("provider", "vfs", "reflinked", "/srv/a.img");
    assert_eq!(
        check.remedy.as_deref(),
        Some("cp --reflink=never /srv/a.img /srv/a.img.copy")
    );
}
