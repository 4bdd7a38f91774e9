/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rloop's tracepoints: the interface to whoever watches it. Plain integers only.
 *
 * In all of them: dev is the device's number as in the kernel (major << 20 | minor), ino the backing
 * file's inode; offset and bytes are of the backing file; sector is of the disk below, in 512 bytes;
 * extent is where in the file the extent begins; op is 0 read, 1 write, 2 flush, 3 discard, 9 write-zeroes;
 * state is 0 hole, 1 unwritten, 2 filling, 3 filled, 4 written; error is 0 or a negative errno.
 *
 * Whatever a device is asked for is split where extents end, and each part goes one way: to the disk
 * (io_submit, io_done), to nowhere (zero_read), or through the filesystem (vfs_submit, vfs_done). So these
 * count every request once; the other events tell more of some of them. Parts that are refused
 * before they go anywhere are in none.
 *
 * came_ns, of what ends, is when the driver got it by ktime_get_ns(), and 0 if nobody listened then. ns is how long
 * something took; wait_ns how long it took from came_ns until a worker had it, and 0 only if it was done in the
 * context of who submitted it.
 *
 * RLOOP_TRACE_VERSION changes when a field does, or what an event means; the module says it in
 * /sys/module/rloop/parameters/trace_version.
 */
#define RLOOP_TRACE_VERSION 2

#undef TRACE_SYSTEM
#define TRACE_SYSTEM rloop

#if !defined(_RLOOP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RLOOP_TRACE_H

#include <linux/tracepoint.h>

/* A lookup found an extent. */
TRACE_EVENT(rloop_map_hit,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 extent, u32 state),
	TP_ARGS(dev, ino, offset, extent, state),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, extent)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->extent = extent;
		__entry->state = state;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu extent=%llu state=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->extent, __entry->state));

/* A lookup found nothing that can be used as it is. */
TRACE_EVENT(rloop_map_miss,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes, u32 op),
	TP_ARGS(dev, ino, offset, bytes, op),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
		__field(u32, op)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->op = op;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu op=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->op));

/* A mapping went into the map. */
TRACE_EVENT(rloop_extent_insert,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes, u64 sector, u32 state),
	TP_ARGS(dev, ino, offset, bytes, sector, state),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
		__field(u64, sector)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->sector = sector;
		__entry->state = state;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu sector=%llu state=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->sector, __entry->state));

/* A range was taken out of the map. */
TRACE_EVENT(rloop_extent_drop,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes),
	TP_ARGS(dev, ino, offset, bytes),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes));

/* I/O goes straight to the disk. A flush has neither offset, extent nor sector. */
TRACE_EVENT(rloop_io_submit,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op, u64 wait_ns),
	TP_ARGS(dev, ino, offset, extent, sector, bytes, op, wait_ns),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, extent)
		__field(u64, sector)
		__field(u32, bytes)
		__field(u32, op)
		__field(u64, wait_ns)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->extent = extent;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->wait_ns = wait_ns;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu extent=%llu sector=%llu bytes=%u op=%u wait_ns=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->extent, __entry->sector, __entry->bytes, __entry->op, __entry->wait_ns));

/*
 * I/O that went straight to the disk has ended. filled_ns is how long after came_ns a fill's data was there,
 * and 0 if it was no fill; durable is 1 if it asked to be durable by then.
 */
TRACE_EVENT(rloop_io_done,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op, u64 came_ns, int error,
		 u64 wait_ns, u64 filled_ns, u32 durable),
	TP_ARGS(dev, ino, offset, extent, sector, bytes, op, came_ns, error, wait_ns, filled_ns, durable),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, extent)
		__field(u64, sector)
		__field(u32, bytes)
		__field(u32, op)
		__field(u64, came_ns)
		__field(int, error)
		__field(u64, wait_ns)
		__field(u64, filled_ns)
		__field(u32, durable)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->extent = extent;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->came_ns = came_ns;
		__entry->error = error;
		__entry->wait_ns = wait_ns;
		__entry->filled_ns = filled_ns;
		__entry->durable = durable;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu extent=%llu sector=%llu bytes=%u op=%u came_ns=%llu error=%d wait_ns=%llu filled_ns=%llu durable=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->extent, __entry->sector, __entry->bytes, __entry->op, __entry->came_ns, __entry->error, __entry->wait_ns, __entry->filled_ns, __entry->durable));

/* A read was answered with zeros, without I/O. */
TRACE_EVENT(rloop_zero_read,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u32 bytes, u32 state, u64 wait_ns, u64 came_ns),
	TP_ARGS(dev, ino, offset, bytes, state, wait_ns, came_ns),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u32, bytes)
		__field(u32, state)
		__field(u64, wait_ns)
		__field(u64, came_ns)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->state = state;
		__entry->wait_ns = wait_ns;
		__entry->came_ns = came_ns;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%u state=%u wait_ns=%llu came_ns=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->state, __entry->wait_ns, __entry->came_ns));

/*
 * A worker asks the filesystem: to read, to write, to free or to zero blocks; or to make everything durable.
 */
TRACE_EVENT(rloop_vfs_submit,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u32 bytes, u32 op, u64 wait_ns),
	TP_ARGS(dev, ino, offset, bytes, op, wait_ns),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u32, bytes)
		__field(u32, op)
		__field(u64, wait_ns)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->wait_ns = wait_ns;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%u op=%u wait_ns=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->op, __entry->wait_ns));

/*
 * The filesystem has done it; direct is 1 if it was asked to do it past the page cache, and did not refuse
 * that; fills is 1 if it was a fill, and durable 1 if the filesystem was asked to make it durable at once.
 */
TRACE_EVENT(rloop_vfs_done,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u32 bytes, u32 op, u64 wait_ns, u64 came_ns, int error, u32 direct,
		 u32 fills, u32 durable),
	TP_ARGS(dev, ino, offset, bytes, op, wait_ns, came_ns, error, direct, fills, durable),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u32, bytes)
		__field(u32, op)
		__field(u64, wait_ns)
		__field(u64, came_ns)
		__field(int, error)
		__field(u32, direct)
		__field(u32, fills)
		__field(u32, durable)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->wait_ns = wait_ns;
		__entry->came_ns = came_ns;
		__entry->error = error;
		__entry->direct = direct;
		__entry->fills = fills;
		__entry->durable = durable;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%u op=%u wait_ns=%llu came_ns=%llu error=%d direct=%u fills=%u durable=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->op, __entry->wait_ns, __entry->came_ns, __entry->error, __entry->direct, __entry->fills, __entry->durable));

/*
 * A write into a range without data begins, on a device that is mapped. how is 0 through the filesystem, to be
 * made durable later; 1 on the disk, to be committed later; 2 through the filesystem and durable at once.
 */
TRACE_EVENT(rloop_fill_begin,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes, u32 how),
	TP_ARGS(dev, ino, offset, bytes, how),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
		__field(u32, how)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->how = how;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu how=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->how));

/* A fill's data is written. */
TRACE_EVENT(rloop_fill_data,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes, u32 how, u64 ns, int error),
	TP_ARGS(dev, ino, offset, bytes, how, ns, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
		__field(u32, how)
		__field(u64, ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->how = how;
		__entry->ns = ns;
		__entry->error = error;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu how=%u ns=%llu error=%d",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->how, __entry->ns, __entry->error));

/*
 * Fills are being made durable: fills of them, those whose data was written since. On a device that fills on disk,
 * those and the ones through the filesystem are made durable one after the other. commit is the number of this one
 * among the device's; how is 0 if the file is synced, which makes durable what the filesystem had written by the
 * beginning, and 1 if the filesystem is told of fills on the disk, which makes those durable that it is told of.
 */
TRACE_EVENT(rloop_commit_begin,
	TP_PROTO(u32 dev, u64 ino, u64 fills, u64 commit, u32 how),
	TP_ARGS(dev, ino, fills, commit, how),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, fills)
		__field(u64, commit)
		__field(u32, how)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->fills = fills;
		__entry->commit = commit;
		__entry->how = how;
	),
	TP_printk("dev=%u:%u ino=%llu fills=%llu commit=%llu how=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->fills, __entry->commit, __entry->how));

/* Fills on the disk that the filesystem is told of in that commit. */
TRACE_EVENT(rloop_commit_range,
	TP_PROTO(u32 dev, u64 ino, u64 commit, u64 offset, u64 bytes),
	TP_ARGS(dev, ino, commit, offset, bytes),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, commit)
		__field(u64, offset)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->commit = commit;
		__entry->offset = offset;
		__entry->bytes = bytes;
	),
	TP_printk("dev=%u:%u ino=%llu commit=%llu offset=%llu bytes=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->commit, __entry->offset, __entry->bytes));

/* They are durable, or an error says they may not be; began_ns is when that began. */
TRACE_EVENT(rloop_commit_end,
	TP_PROTO(u32 dev, u64 ino, u64 fills, u64 began_ns, int error, u64 commit, u32 how),
	TP_ARGS(dev, ino, fills, began_ns, error, commit, how),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, fills)
		__field(u64, began_ns)
		__field(int, error)
		__field(u64, commit)
		__field(u32, how)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->fills = fills;
		__entry->began_ns = began_ns;
		__entry->error = error;
		__entry->commit = commit;
		__entry->how = how;
	),
	TP_printk("dev=%u:%u ino=%llu fills=%llu began_ns=%llu error=%d commit=%llu how=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->fills, __entry->began_ns, __entry->error, __entry->commit, __entry->how));

/*
 * A worker has to look at it, and it goes its way from there. reason is why: 0 nothing is known of the range, 1 it
 * has no data, 2 the filesystem is frozen, 3 something has to be made durable first, 4 it changes blocks.
 */
TRACE_EVENT(rloop_fallback,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes, u32 op, u32 reason),
	TP_ARGS(dev, ino, offset, bytes, op, reason),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
		__field(u32, op)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->reason = reason;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu op=%u reason=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->op, __entry->reason));

/* Pages of the backing file were dropped because their blocks were written. */
TRACE_EVENT(rloop_invalidate,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 bytes),
	TP_ARGS(dev, ino, offset, bytes),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes));

/*
 * Who wants the mapping back, in its own context, once for each recall; pid is 0 if the device gives it up by
 * itself.
 */
TRACE_EVENT(rloop_lease_break,
	TP_PROTO(u32 dev, u64 ino, int pid),
	TP_ARGS(dev, ino, pid),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(int, pid)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->pid = pid;
	),
	TP_printk("dev=%u:%u ino=%llu pid=%d",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->pid));

/* A worker begins to give it back; pid is who wants it. */
TRACE_EVENT(rloop_recall_begin,
	TP_PROTO(u32 dev, u64 ino, int pid),
	TP_ARGS(dev, ino, pid),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(int, pid)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->pid = pid;
	),
	TP_printk("dev=%u:%u ino=%llu pid=%d",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->pid));

/* No fast I/O is under way any more. */
TRACE_EVENT(rloop_recall_drained,
	TP_PROTO(u32 dev, u64 ino, u64 ns),
	TP_ARGS(dev, ino, ns),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->ns = ns;
	),
	TP_printk("dev=%u:%u ino=%llu ns=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->ns));

/* The leases are given back; reason is why nothing is mapped now, a number of REASONS in abi.rs. */
TRACE_EVENT(rloop_recall_end,
	TP_PROTO(u32 dev, u64 ino, u64 ns, u32 reason),
	TP_ARGS(dev, ino, ns, reason),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, ns)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->ns = ns;
		__entry->reason = reason;
	),
	TP_printk("dev=%u:%u ino=%llu ns=%llu reason=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->ns, __entry->reason));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rloop_trace
#include <trace/define_trace.h>
