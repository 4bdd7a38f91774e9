//! The probes' programs by what they tell, and where each is attached.

use std::collections::{HashMap, HashSet};

/// How a program is attached.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Hook {
    /// To a tracepoint of the kernel proper, with typed arguments.
    Btf,
    /// To any tracepoint, also a module's.
    Raw,
}

/// A group of programs that give one kind of number.
pub(super) struct Family {
    /// What is missing without it, in the words of the screen.
    pub what: &'static str,
    /// Nothing works without it.
    pub required: bool,
    pub hook: Hook,
    /// Of no use where no loop device is watched.
    pub of_loops: bool,
    /// (program, tracepoint by its older name).
    programs: &'static [(&'static str, &'static str)],
    /// Offsets its programs use beyond those of requests.
    pub needs: &'static [&'static str],
}

/// Where requests are issued to their driver.
pub(super) const AT_ISSUE: &str = "block_rq_issue";

const FAMILIES: &[Family] = &[
    Family {
        what: "requests",
        required: true,
        hook: Hook::Btf,
        of_loops: true,
        programs: &[("rq_complete", "block_rq_complete"), ("rq_issue", AT_ISSUE)],
        needs: &[
            "RQ_Q",
            "RQ_CMD_FLAGS",
            "RQ_RQ_FLAGS",
            "RQ_TAG",
            "RQ_INTERNAL_TAG",
            "RQ_DATA_LEN",
            "RQ_SECTOR",
            "RQ_PART",
            "RQ_START",
            "RQ_IO_START",
            "Q_DISK",
            "DISK_MAJOR",
            "DISK_MINOR",
            "REQ_PREFLUSH",
            "REQ_FUA",
        ],
    },
    Family {
        what: "requests that are not yet issued to the driver",
        required: false,
        hook: Hook::Btf,
        of_loops: true,
        programs: &[("io_start", "block_io_start")],
        needs: &["TASK_PLUG", "PLUG_COUNT"],
    },
    Family {
        what: "requeues and merges",
        required: false,
        hook: Hook::Btf,
        of_loops: true,
        programs: &[
            ("rq_requeue", "block_rq_requeue"),
            ("rq_merge", "block_rq_merge"),
            ("bio_backmerge", "block_bio_backmerge"),
            ("bio_frontmerge", "block_bio_frontmerge"),
        ],
        needs: &["BIO_BDEV", "BDEV_DISK", "BIO_SIZE", "BIO_OPF"],
    },
    Family {
        what: "the split of time between worker, filesystem and disk",
        required: false,
        hook: Hook::Btf,
        of_loops: true,
        programs: &[("dio_begin", "iomap_dio_rw_begin")],
        needs: &[
            "DIO_IOCB",
            "CMD_IOCB",
            "RQ_SIZE",
            "RQ_BIO",
            "BIO_PRIVATE",
            "BIO_NEXT",
            "BIO_SECTOR",
        ],
    },
    Family {
        what: "bytes by direct I/O",
        required: false,
        hook: Hook::Btf,
        of_loops: false,
        programs: &[("dio_complete", "iomap_dio_complete")],
        needs: &[
            "KIOCB_COMPLETE",
            "KIOCB_FILE",
            "KIOCB_FLAGS",
            "FILE_INODE",
            "INODE_INO",
            "INODE_SB",
            "SB_DEV",
        ],
    },
    Family {
        what: "bytes read through the page cache",
        required: false,
        hook: Hook::Btf,
        of_loops: false,
        programs: &[("get_pages", "mm_filemap_get_pages")],
        needs: &["MAPPING_HOST", "INODE_INO", "INODE_SB", "SB_DEV"],
    },
    Family {
        what: "bytes written through ext4's page cache",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("ext4_write_end", "ext4_write_end"),
            ("ext4_da_write_end", "ext4_da_write_end"),
            ("ext4_journalled_write_end", "ext4_journalled_write_end"),
        ],
        needs: &["INODE_INO", "INODE_SB", "SB_DEV"],
    },
    Family {
        what: "bytes written through xfs's page cache",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[("xfs_buffered_write", "xfs_file_buffered_write")],
        needs: &["KIOCB_FILE", "FILE_INODE", "ITER_COUNT"],
    },
    Family {
        what: "holes of ext4 files",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("ext4_allocate", "ext4_allocate_blocks"),
            ("ext4_convert", "ext4_ext_handle_unwritten_extents"),
            ("ext4_punch", "ext4_punch_hole"),
        ],
        needs: &["AR_INODE", "AR_LEN", "AR_FLAGS", "MAP_LEN", "INODE_BLKBITS"],
    },
    Family {
        what: "holes of xfs files",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("xfs_allocate", "xfs_iomap_alloc"),
            ("xfs_convert", "xfs_unwritten_convert"),
            ("xfs_punch", "xfs_free_file_space"),
        ],
        needs: &["XFS_VNODE", "IREC_START", "IREC_COUNT", "INODE_BLKBITS"],
    },
    Family {
        what: "fills of xfs files through the page cache",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[("xfs_write_back", "xfs_map_blocks_alloc")],
        needs: &["XFS_VNODE", "IREC_START", "IREC_COUNT", "INODE_BLKBITS"],
    },
    Family {
        what: "bytes punched from xfs files",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[("xfs_unmap", "xfs_bunmap")],
        needs: &["XFS_VNODE", "INODE_BLKBITS"],
    },
    Family {
        what: "holes of btrfs files",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[("btrfs_write", "btrfs_ordered_extent_add")],
        needs: &[
            "BTRFS_VNODE",
            "ORDERED_BYTES",
            "ORDERED_FLAGS",
            "ORDERED_REGULAR",
            "ORDERED_PREALLOC",
        ],
    },
    Family {
        what: "journal commits of ext4",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("ext4_sync_enter", "ext4_sync_file_enter"),
            ("ext4_sync_exit", "ext4_sync_file_exit"),
            ("jbd2_start", "jbd2_start_commit"),
            ("jbd2_end", "jbd2_end_commit"),
        ],
        needs: &[
            "FILE_INODE",
            "TASK_MM",
            "JOURNAL_DEV",
            "BDEV_DEV",
            "TRANSACTION_TID",
            "EXT4_VNODE",
            "EXT4_SYNC_TID",
        ],
    },
    Family {
        what: "fast commits of ext4",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("ext4_fast_start", "ext4_fc_commit_start"),
            ("ext4_fast_stop", "ext4_fc_commit_stop"),
        ],
        needs: &[],
    },
    Family {
        what: "log commits of xfs",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("xfs_sync", "xfs_file_fsync"),
            ("xfs_force", "xfs_log_force"),
        ],
        needs: &["TASK_MM", "XFS_VNODE", "XFS_SUPER"],
    },
    Family {
        what: "log and transaction commits of btrfs",
        required: false,
        hook: Hook::Raw,
        of_loops: false,
        programs: &[
            ("btrfs_sync", "btrfs_sync_file"),
            ("btrfs_log", "btrfs_convert_extent_bit"),
            ("btrfs_commit", "btrfs_transaction_commit"),
        ],
        needs: &[
            "FILE_INODE",
            "TASK_MM",
            "BTRFS_VNODE",
            "BTRFS_LOGGED",
            "BTRFS_LOG_COMMIT",
            "TREE_OWNER",
            "LOG_PAGES",
        ],
    },
];

/// In place of `block_io_start`, where that is missing.
const BEFORE_IO_START: Family = Family {
    what: "who submitted requests",
    required: false,
    hook: Hook::Btf,
    of_loops: true,
    programs: &[("get_request", "block_getrq")],
    needs: &["BIO_BDEV", "BDEV_DISK", "BIO_SIZE"],
};

/// The families that make sense on a kernel with these [`offsets`](super::fields::offsets).
pub(super) fn families(
    offsets: &HashMap<&str, Option<u32>>,
) -> impl Iterator<Item = &'static Family> + use<> {
    let starts_at_issue = offsets.get("STARTS_AT_ISSUE") == Some(&Some(1));
    FAMILIES
        .iter()
        .chain(starts_at_issue.then_some(&BEFORE_IO_START))
}

/// Tracepoints that newer kernels have under another name, with the same first argument: (then, now). Linux 7.3 does.
const RENAMED: [(&str, &str); 1] = [("btrfs_sync_file", "btrfs_sync_file_enter")];

impl Family {
    /// (program, tracepoint), by the name that this kernel has for it, given all that it has.
    pub(super) fn hooks(
        &self,
        known: &HashSet<&str>,
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let programs = self.programs.iter();
        programs.map(|&(program, name)| (program, present_name(name, known)))
    }
}

/// What this kernel calls a tracepoint; the older name if it has neither.
fn present_name(name: &'static str, known: &HashSet<&str>) -> &'static str {
    let mut renamed = RENAMED.iter();
    let now = renamed.find(|(then, now)| *then == name && known.contains(now));
    now.map_or(name, |(_, now)| now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracepoint_is_taken_by_the_name_that_the_kernel_has() {
        let commits = FAMILIES
            .iter()
            .find(|family| family.what.contains("of btrfs") && family.what.contains("commits"));
        let first = |known: &[&str]| {
            let known = known.iter().copied().collect();
            let mut hooks = commits.expect("is there").hooks(&known);
            hooks.next()
        };
        for (known, name) in [
            (&["btrfs_sync_file"][..], "btrfs_sync_file"),
            (
                &["btrfs_sync_file_exit", "btrfs_sync_file_enter"],
                "btrfs_sync_file_enter",
            ),
            (&[], "btrfs_sync_file"),
        ] {
            assert_eq!(first(known), Some(("btrfs_sync", name)), "{known:?}");
        }
    }
}
