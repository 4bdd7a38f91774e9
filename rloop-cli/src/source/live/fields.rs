//! Which field of which kernel structure each of the probes' offsets stands for.

use crate::btf::Btf;

/// Modules whose structures the probes read, where they are not built in.
pub(crate) const MODULES: [&str; 5] = ["loop", "ext4", "xfs", "jbd2", "btrfs"];

/// (name in the probes, structure, member).
const FIELDS: &[(&str, &str, &str)] = &[
    ("RQ_Q", "request", "q"),
    ("RQ_CMD_FLAGS", "request", "cmd_flags"),
    ("RQ_RQ_FLAGS", "request", "rq_flags"),
    ("RQ_TAG", "request", "tag"),
    ("RQ_INTERNAL_TAG", "request", "internal_tag"),
    ("RQ_DATA_LEN", "request", "__data_len"),
    ("RQ_SECTOR", "request", "__sector"),
    ("RQ_BIO", "request", "bio"),
    ("RQ_PART", "request", "part"),
    ("RQ_START", "request", "start_time_ns"),
    ("RQ_IO_START", "request", "io_start_time_ns"),
    ("Q_DISK", "request_queue", "disk"),
    ("DISK_MAJOR", "gendisk", "major"),
    ("DISK_MINOR", "gendisk", "first_minor"),
    ("BIO_OPF", "bio", "bi_opf"),
    ("BIO_PRIVATE", "bio", "bi_private"),
    ("BIO_NEXT", "bio", "bi_next"),
    ("BIO_BDEV", "bio", "bi_bdev"),
    ("BDEV_DISK", "block_device", "bd_disk"),
    ("BDEV_DEV", "block_device", "bd_dev"),
    ("DIO_IOCB", "iomap_dio", "iocb"),
    ("CMD_IOCB", "loop_cmd", "iocb"),
    ("CMD_USE_AIO", "loop_cmd", "use_aio"),
    ("KIOCB_FILE", "kiocb", "ki_filp"),
    ("KIOCB_COMPLETE", "kiocb", "ki_complete"),
    ("KIOCB_FLAGS", "kiocb", "ki_flags"),
    ("FILE_INODE", "file", "f_inode"),
    ("INODE_INO", "inode", "i_ino"),
    ("INODE_SB", "inode", "i_sb"),
    ("INODE_BLKBITS", "inode", "i_blkbits"),
    ("SB_DEV", "super_block", "s_dev"),
    ("MAPPING_HOST", "address_space", "host"),
    ("ITER_COUNT", "iov_iter", "count"),
    ("TASK_MM", "task_struct", "mm"),
    ("TASK_PLUG", "task_struct", "plug"),
    ("PLUG_COUNT", "blk_plug", "rq_count"),
    ("JOURNAL_DEV", "journal_s", "j_fs_dev"),
    ("TRANSACTION_TID", "transaction_s", "t_tid"),
    ("EXT4_VNODE", "ext4_inode_info", "vfs_inode"),
    ("EXT4_SYNC_TID", "ext4_inode_info", "i_sync_tid"),
    ("AR_INODE", "ext4_allocation_request", "inode"),
    ("AR_LEN", "ext4_allocation_request", "len"),
    ("AR_FLAGS", "ext4_allocation_request", "flags"),
    ("MAP_LEN", "ext4_map_blocks", "m_len"),
    ("XFS_VNODE", "xfs_inode", "i_vnode"),
    ("XFS_SUPER", "xfs_mount", "m_super"),
    ("IREC_START", "xfs_bmbt_irec", "br_startblock"),
    ("IREC_COUNT", "xfs_bmbt_irec", "br_blockcount"),
    ("BTRFS_VNODE", "btrfs_inode", "vfs_inode"),
    ("BTRFS_LOGGED", "btrfs_inode", "logged_trans"),
    ("BTRFS_LOG_COMMIT", "btrfs_inode", "last_log_commit"),
    ("TREE_OWNER", "extent_io_tree", "owner"),
    ("ORDERED_BYTES", "btrfs_ordered_extent", "num_bytes"),
    ("ORDERED_FLAGS", "btrfs_ordered_extent", "flags"),
];

/// The structure that an offset is in; the offset itself where it stands for something else.
pub(super) fn structure(name: &'static str) -> &'static str {
    let field = FIELDS.iter().find(|(field, ..)| *field == name);
    field.map_or(name, |(_, structure, _)| structure)
}

/// The probes' offsets on this kernel, by name; `None` for what it does not have.
pub(super) fn offsets(btf: &Btf) -> Vec<(&'static str, Option<u32>)> {
    let mut offsets: Vec<_> = FIELDS
        .iter()
        .map(|&(name, structure, member)| (name, btf.offset(structure, member)))
        .collect();
    offsets.push(("RQ_SIZE", btf.size("request")));
    for (name, member) in [("BIO_SIZE", "bi_size"), ("BIO_SECTOR", "bi_sector")] {
        let in_bio = btf.offset("bio", "bi_iter");
        let both = in_bio.zip(btf.offset("bvec_iter", member));
        offsets.push((name, both.map(|(bio, iter)| bio + iter)));
    }
    // Before the flags had an enumeration, the bit was 4.
    let flush_sequence = btf.enumerator("__RQF_FLUSH_SEQ").unwrap_or(4);
    offsets.push(("RQF_FLUSH_SEQ", 1u32.checked_shl(flush_sequence)));
    let bit = |name| btf.enumerator(name).and_then(|bit| 1u32.checked_shl(bit));
    offsets.push(("REQ_PREFLUSH", bit("__REQ_PREFLUSH")));
    offsets.push(("REQ_FUA", bit("__REQ_FUA")));
    let has_start = btf.tracepoints().contains("block_io_start");
    offsets.push(("STARTS_AT_ISSUE", Some(u32::from(!has_start))));
    offsets.push(("LOG_PAGES", btf.enumerator("IO_TREE_ROOT_DIRTY_LOG_PAGES")));
    offsets.push(("ORDERED_REGULAR", bit("BTRFS_ORDERED_REGULAR")));
    offsets.push(("ORDERED_PREALLOC", bit("BTRFS_ORDERED_PREALLOC")));
    offsets
}
