//! Loads and attaches the probes, as many as this kernel has hooks and fields for.

use std::collections::HashMap;

use aya::{
    Ebpf, EbpfLoader,
    programs::{BtfTracePoint, Program, ProgramError, RawTracePoint, tp_btf::BtfTracePointLink},
};

use super::{
    debug,
    fields::{self, MODULES},
};
use crate::{btf::Btf, sample::Unavailable, source::SourceError};

/// The compiled probes; `cargo xtask bpf` makes them from `rloop-ebpf/`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/rloop.bpf.o");

/// How a program is attached.
#[derive(Clone, Copy, PartialEq)]
enum Hook {
    /// To a tracepoint of the kernel proper, with typed arguments.
    Btf,
    /// To any tracepoint, also a module's.
    Raw,
}

/// Programs that are attached only while they are needed.
#[derive(Default)]
pub(super) struct Group {
    /// (program, tracepoint). What ends comes first: then all that is seen to begin is seen to end.
    programs: Vec<(&'static str, &'static str)>,
    /// Dropping one detaches it.
    links: Vec<BtfTracePointLink>,
}

impl Group {
    /// Takes the program out that is attached to `tracepoint`, and detaches it.
    fn split_off(&mut self, tracepoint: &str) -> Self {
        self.links.clear();
        let (programs, rest) = std::mem::take(&mut self.programs)
            .into_iter()
            .partition(|&(_, hook)| hook == tracepoint);
        self.programs = rest;
        Self {
            programs,
            links: Vec::new(),
        }
    }

    /// Attaches them if they are `needed`, and detaches them if they are not.
    pub(super) fn follow(&mut self, needed: bool, ebpf: &mut Ebpf) -> Result<(), SourceError> {
        if !needed {
            self.links.clear();
        } else if self.links.is_empty() {
            let links = self
                .programs
                .iter()
                .map(|&(name, tracepoint)| attach_btf(ebpf, name, tracepoint));
            self.links = links.collect::<Result<_, _>>().map_err(SourceError)?;
        }
        Ok(())
    }
}

/// A group of programs that give one kind of number.
pub(super) struct Family {
    /// What is missing without it, in the words of the screen.
    pub what: &'static str,
    /// Nothing works without it.
    pub required: bool,
    hook: Hook,
    /// Of no use where no loop device is watched.
    of_loops: bool,
    /// (program, tracepoint).
    pub programs: &'static [(&'static str, &'static str)],
    /// Offsets its programs use beyond those of requests.
    pub needs: &'static [&'static str],
}

/// Where requests are issued to their driver.
const AT_ISSUE: &str = "block_rq_issue";

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

/// The families that make sense on a kernel with these [`fields::offsets`].
pub(super) fn families(
    offsets: &HashMap<&str, Option<u32>>,
) -> impl Iterator<Item = &'static Family> + use<> {
    let starts_at_issue = offsets.get("STARTS_AT_ISSUE") == Some(&Some(1));
    FAMILIES
        .iter()
        .chain(starts_at_issue.then_some(&BEFORE_IO_START))
}

/// The loaded probes.
pub(super) struct Probes {
    /// Their programs and maps.
    pub ebpf: Ebpf,
    /// What is of use only where loop devices are watched.
    pub loops: Group,
    /// What sees when requests are issued, where that is not how they are counted.
    pub issues: Group,
    /// What this kernel has no hook or field for.
    pub unavailable: Vec<Unavailable>,
}

/// Loads and attaches all families this kernel can carry. Rare events go through a ring of
/// `ring_bytes`, if that is given; with `talk`, the probes say what they cannot count.
pub(super) fn load(ring_bytes: Option<u32>, talk: bool) -> Result<Probes, SourceError> {
    let btf = Btf::read(&MODULES).map_err(|error| {
        SourceError(format!(
            "cannot read the kernel's types from /sys/kernel/btf/vmlinux: {error}; a kernel with CONFIG_DEBUG_INFO_BTF=y is needed"
        ))
    })?;
    let types = aya::Btf::from_sys_fs()
        .map_err(|error| SourceError(format!("cannot parse /sys/kernel/btf/vmlinux: {error}")))?;
    let offsets: HashMap<_, _> = fields::offsets(&btf).into_iter().collect();
    let mut loader = EbpfLoader::new();
    // Programs whose offsets are missing are not loaded; the others never use them.
    let values: Vec<(&str, u32)> = offsets
        .iter()
        .map(|(&name, &offset)| (name, offset.unwrap_or(0)))
        .collect();
    for (name, value) in &values {
        loader.override_global(name, value, true);
    }
    if let Some(bytes) = ring_bytes {
        loader.map_max_entries("EVENTS", bytes);
    }
    let (level, message_bytes) = if talk {
        (aya_log::Level::Trace as u8, debug::RING_BYTES)
    } else {
        (0, debug::RING_UNUSED_BYTES)
    };
    loader
        .override_global(debug::LEVEL, &level, true)
        .map_max_entries(debug::RING, message_bytes);
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| SourceError(refusal("cannot load the probes", &error)))?;
    let mut unavailable = Vec::new();
    let mut loops = Group::default();
    for family in families(&offsets) {
        let missing = family
            .needs
            .iter()
            .find(|name| offsets.get(*name).is_none_or(Option::is_none));
        let result = match missing {
            Some(name) => Err(format!(
                "this kernel's types lack what the probes call {name}"
            )),
            None => attach(&mut ebpf, family, &types, &mut loops),
        };
        if let Err(why) = result {
            if family.required {
                return Err(SourceError(format!("cannot watch {}: {why}", family.what)));
            }
            unavailable.push(Unavailable {
                what: family.what.to_owned(),
                why,
            });
        }
    }
    let mut issues = Group::default();
    if offsets.get("STARTS_AT_ISSUE") == Some(&Some(0)) {
        issues = loops.split_off(AT_ISSUE);
    }
    Ok(Probes {
        ebpf,
        loops,
        issues,
        unavailable,
    })
}

/// Loads and attaches a family; to `loops`, if it is of use for these only.
fn attach(
    ebpf: &mut Ebpf,
    family: &Family,
    types: &aya::Btf,
    loops: &mut Group,
) -> Result<(), String> {
    for &(name, tracepoint) in family.programs {
        match family.hook {
            Hook::Btf => {
                let program: &mut BtfTracePoint = program(ebpf, name)?;
                let attached = program.load(tracepoint, types).and_then(|()| {
                    if family.of_loops {
                        return Ok(());
                    }
                    program.attach().map(drop)
                });
                attached.map_err(|error| refused(tracepoint, &error))?;
                if family.of_loops {
                    loops.links.push(attach_btf(ebpf, name, tracepoint)?);
                    loops.programs.push((name, tracepoint));
                }
            }
            Hook::Raw => {
                let program: &mut RawTracePoint = program(ebpf, name)?;
                program
                    .load()
                    .and_then(|()| program.attach(tracepoint).map(drop))
                    .map_err(|error| refused(tracepoint, &error))?;
            }
        }
    }
    Ok(())
}

/// Attaches a loaded program until the link is dropped.
fn attach_btf(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<BtfTracePointLink, String> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    let link = program.attach().and_then(|link| program.take_link(link));
    link.map_err(|error| refused(tracepoint, &error))
}

/// One of the probes' programs.
pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, String>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the probes lack the program {name}"))?;
    program
        .try_into()
        .map_err(|error: ProgramError| error.to_string())
}

/// A hook that cannot be had.
pub(super) fn refused(tracepoint: &str, error: &ProgramError) -> String {
    refusal(&format!("the kernel refused the hook {tracepoint}"), error)
}

/// An error with all its causes, and what to do if it is a matter of rights.
pub(super) fn refusal(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
