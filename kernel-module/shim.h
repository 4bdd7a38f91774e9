/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the Rust half calls: inline functions, macros and structures that it cannot reach itself.
 * Nothing here decides anything.
 */
#ifndef _RLOOP_SHIM_H
#define _RLOOP_SHIM_H

#include <linux/types.h>

/* One answer of a filesystem's map_blocks; bytes. As `shim::Mapping`. */
struct rloop_mapping {
	u64 offset;
	u64 length;
	u64 disk;
	struct block_device *bdev;
	u32 type;
	u32 flags;
};

/* A range whose data is on disk, for commit_blocks; bytes. As `shim::Written`. */
struct rloop_written {
	u64 offset;
	u64 length;
	u64 disk;
};

/* In Rust: a lease of this owner has to be given back; whether the current task is its owner. */
void rloop_lease_break(void *owner);
bool rloop_lease_is_ours(void *owner);
/* In Rust: somebody who broke a lease of this owner did not wait until it was given back. */
void rloop_lease_refused(void *owner);

/* In Rust: the filesystem below this device has reported an error, as a positive errno. */
void rloop_filesystem_error(void *owner, int error);

#endif
