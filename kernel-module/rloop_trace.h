/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rloop's tracepoints: the interface to whoever watches it. Plain integers only.
 *
 * In all of them: dev is the device's number as in the kernel (major << 20 | minor), ino the backing
 * file's inode; offset and bytes are of the backing file; sector is of the disk below, in 512 bytes;
 * extent is where in the file the extent begins; op is 0 read, 1 write, 3 discard, 9 write-zeroes; state is
 * 0 hole, 1 unwritten, 2 filling, 3 filled, 4 written; error is 0 or a negative errno.
 *
 * RLOOP_TRACE_VERSION changes when a field does; the module says it in /sys/module/rloop/version.
 */
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

/* I/O goes straight to the disk. */
TRACE_EVENT(rloop_io_submit,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op),
	TP_ARGS(dev, ino, offset, extent, sector, bytes, op),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, extent)
		__field(u64, sector)
		__field(u32, bytes)
		__field(u32, op)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->extent = extent;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->op = op;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu extent=%llu sector=%llu bytes=%u op=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->extent, __entry->sector, __entry->bytes, __entry->op));

/* I/O that went straight to the disk has ended; ns is 0 if it began before anybody listened. */
TRACE_EVENT(rloop_io_done,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op, u64 ns, int error),
	TP_ARGS(dev, ino, offset, extent, sector, bytes, op, ns, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, extent)
		__field(u64, sector)
		__field(u32, bytes)
		__field(u32, op)
		__field(u64, ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->extent = extent;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->op = op;
		__entry->ns = ns;
		__entry->error = error;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu extent=%llu sector=%llu bytes=%u op=%u ns=%llu error=%d",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->extent, __entry->sector, __entry->bytes, __entry->op, __entry->ns, __entry->error));

/* A read was answered with zeros, without I/O. */
TRACE_EVENT(rloop_zero_read,
	TP_PROTO(u32 dev, u64 ino, u64 offset, u32 bytes, u32 state),
	TP_ARGS(dev, ino, offset, bytes, state),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, offset)
		__field(u32, bytes)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->bytes = bytes;
		__entry->state = state;
	),
	TP_printk("dev=%u:%u ino=%llu offset=%llu bytes=%u state=%u",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->offset, __entry->bytes, __entry->state));

/* A write into a range without data begins. */
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

/* Fills are being made durable. */
TRACE_EVENT(rloop_commit_begin,
	TP_PROTO(u32 dev, u64 ino, u64 fills),
	TP_ARGS(dev, ino, fills),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, fills)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->fills = fills;
	),
	TP_printk("dev=%u:%u ino=%llu fills=%llu",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->fills));

/* They are durable, or an error says they may not be. */
TRACE_EVENT(rloop_commit_end,
	TP_PROTO(u32 dev, u64 ino, u64 fills, u64 ns, int error),
	TP_ARGS(dev, ino, fills, ns, error),
	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u64, ino)
		__field(u64, fills)
		__field(u64, ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->fills = fills;
		__entry->ns = ns;
		__entry->error = error;
	),
	TP_printk("dev=%u:%u ino=%llu fills=%llu ns=%llu error=%d",
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino, __entry->fills, __entry->ns, __entry->error));

/* I/O goes through the filesystem. */
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

/* Somebody wants the mapping back; pid is who. */
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

/* The leases are given back. */
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
