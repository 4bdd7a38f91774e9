// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints, and what Rust calls to fire them. Nobody listening costs a call and a jump that is
 * patched out.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#define CREATE_TRACE_POINTS
#include "rloop_trace.h"

#define FIRE(event, proto, args)	\
	void rloop_trace_##event proto;	\
	void rloop_trace_##event proto	\
	{				\
		trace_rloop_##event args;	\
	}

FIRE(map_hit, (u32 dev, u64 ino, u64 offset, u64 extent, u32 state), (dev, ino, offset, extent, state))
FIRE(map_miss, (u32 dev, u64 ino, u64 offset, u64 bytes, u32 op), (dev, ino, offset, bytes, op))
FIRE(extent_insert, (u32 dev, u64 ino, u64 offset, u64 bytes, u64 sector, u32 state),
     (dev, ino, offset, bytes, sector, state))
FIRE(extent_drop, (u32 dev, u64 ino, u64 offset, u64 bytes), (dev, ino, offset, bytes))
FIRE(io_submit, (u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op, u64 wait_ns),
     (dev, ino, offset, extent, sector, bytes, op, wait_ns))
FIRE(io_done, (u32 dev, u64 ino, u64 offset, u64 extent, u64 sector, u32 bytes, u32 op, u64 came_ns, int error,
	       u64 wait_ns, u64 filled_ns, u32 durable),
     (dev, ino, offset, extent, sector, bytes, op, came_ns, error, wait_ns, filled_ns, durable))
FIRE(zero_read, (u32 dev, u64 ino, u64 offset, u32 bytes, u32 state, u64 wait_ns, u64 came_ns),
     (dev, ino, offset, bytes, state, wait_ns, came_ns))
FIRE(vfs_submit, (u32 dev, u64 ino, u64 offset, u32 bytes, u32 op, u64 wait_ns),
     (dev, ino, offset, bytes, op, wait_ns))
FIRE(vfs_done, (u32 dev, u64 ino, u64 offset, u32 bytes, u32 op, u64 wait_ns, u64 came_ns, int error, u32 direct,
		u32 fills, u32 durable),
     (dev, ino, offset, bytes, op, wait_ns, came_ns, error, direct, fills, durable))
FIRE(fill_begin, (u32 dev, u64 ino, u64 offset, u64 bytes, u32 how), (dev, ino, offset, bytes, how))
FIRE(fill_data, (u32 dev, u64 ino, u64 offset, u64 bytes, u32 how, u64 ns, int error),
     (dev, ino, offset, bytes, how, ns, error))
FIRE(commit_begin, (u32 dev, u64 ino, u64 fills, u64 commit, u32 how), (dev, ino, fills, commit, how))
FIRE(commit_range, (u32 dev, u64 ino, u64 commit, u64 offset, u64 bytes), (dev, ino, commit, offset, bytes))
FIRE(commit_end, (u32 dev, u64 ino, u64 fills, u64 began_ns, int error, u64 commit, u32 how),
     (dev, ino, fills, began_ns, error, commit, how))
FIRE(fallback, (u32 dev, u64 ino, u64 offset, u64 bytes, u32 op, u32 reason),
     (dev, ino, offset, bytes, op, reason))
FIRE(invalidate, (u32 dev, u64 ino, u64 offset, u64 bytes), (dev, ino, offset, bytes))
FIRE(lease_break, (u32 dev, u64 ino, int pid), (dev, ino, pid))
FIRE(recall_begin, (u32 dev, u64 ino, int pid), (dev, ino, pid))
FIRE(recall_drained, (u32 dev, u64 ino, u64 ns), (dev, ino, ns))
FIRE(recall_end, (u32 dev, u64 ino, u64 ns, u32 reason), (dev, ino, ns, reason))

/* When an I/O began, for io_done; 0 if nobody will want to know. */
u64 rloop_trace_clock(void);

u64 rloop_trace_clock(void)
{
	return trace_rloop_io_done_enabled() ? ktime_get_ns() : 0;
}

/*
 * Their version, where everybody can read it. It is no parameter that can be set, but in sysfs a module has no
 * other place that is its own.
 */
static int refuse_to_set(const char *value, const struct kernel_param *parameter)
{
	return -EPERM;
}

static const struct kernel_param_ops version_ops = {
	.set = refuse_to_set,
	.get = param_get_uint,
};

static unsigned int trace_version = RLOOP_TRACE_VERSION;
module_param_cb(trace_version, &version_ops, &trace_version, 0444);
MODULE_PARM_DESC(trace_version, "Version of the tracepoints, to be read (uint)");
