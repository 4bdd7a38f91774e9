// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers for what Rust cannot call. Every function is one call, or the few that belong together.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/exportfs_block.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fsnotify_backend.h>
#include <linux/iomap.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/percpu.h>
#include <linux/sched/mm.h>
#include <linux/srcu.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include <trace/events/block.h>

#include "shim.h"

/* Flags that are macros with casts, which bindgen leaves out. */
const u32 rloop_feat_base = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA | BLK_FEAT_IO_STAT;
const u32 rloop_feat_nowait = BLK_FEAT_NOWAIT;
const u32 rloop_feat_io_stat = BLK_FEAT_IO_STAT;
const u32 rloop_feat_not_ours = BLK_FEAT_ZONED | BLK_FEAT_ATOMIC_WRITES | BLK_FEAT_POLL | BLK_FEAT_DAX;
const u32 rloop_feat_zoned = BLK_FEAT_ZONED;
const gfp_t rloop_gfp_noio = GFP_NOIO;
const gfp_t rloop_gfp_map = GFP_KERNEL | __GFP_NOFAIL;
const u32 rloop_sts_notsupp = (__force u32)BLK_STS_NOTSUPP;
const u32 rloop_sts_ioerr = (__force u32)BLK_STS_IOERR;
const u32 rloop_sts_again = (__force u32)BLK_STS_AGAIN;
const u32 rloop_fmode_read = (__force u32)FMODE_READ;
const u32 rloop_fmode_write = (__force u32)FMODE_WRITE;
const u32 rloop_iocb_dsync = (__force u32)IOCB_DSYNC;

/* The device's lock, taken from any context. */
void rloop_lock_init(spinlock_t *lock);
unsigned long rloop_lock(spinlock_t *lock);
void rloop_unlock(spinlock_t *lock, unsigned long flags);

void rloop_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

unsigned long rloop_lock(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void rloop_unlock(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

/* The drain epoch: readers that enter in one context and leave in another. */
int rloop_epoch_init(struct srcu_struct *epoch);
void *rloop_epoch_enter(struct srcu_struct *epoch);
void rloop_epoch_leave(struct srcu_struct *epoch, void *reader);

int rloop_epoch_init(struct srcu_struct *epoch)
{
	return init_srcu_struct_fast_updown(epoch);
}

void *rloop_epoch_enter(struct srcu_struct *epoch)
{
	return (void *)(unsigned long)srcu_down_read_fast(epoch);
}

void rloop_epoch_leave(struct srcu_struct *epoch, void *reader)
{
	srcu_up_read_fast(epoch, (struct srcu_ctr __percpu *)(unsigned long)reader);
}

/* Frees memory whose first two words are free for use, once RCU readers are out of it. */
struct rloop_link {
	struct rcu_head rcu;
};

void rloop_free_after_readers(struct rloop_link *memory);

void rloop_free_after_readers(struct rloop_link *memory)
{
	kvfree_rcu(memory, rcu);
}

/* Workers. */
void rloop_work_init(struct work_struct *work, work_func_t function);
void rloop_delayed_work_init(struct delayed_work *work, work_func_t function);
unsigned int rloop_reclaim_enter(void);
void rloop_reclaim_leave(unsigned int noio, unsigned int flags);
unsigned int rloop_throttle_enter(void);

void rloop_work_init(struct work_struct *work, work_func_t function)
{
	INIT_WORK(work, function);
}

void rloop_delayed_work_init(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}

unsigned int rloop_reclaim_enter(void)
{
	return memalloc_noio_save();
}

unsigned int rloop_throttle_enter(void)
{
	unsigned int before = current->flags & PF_LOCAL_THROTTLE;

	current->flags |= PF_LOCAL_THROTTLE;
	return before;
}

void rloop_reclaim_leave(unsigned int noio, unsigned int flags)
{
	current_restore_flags(flags, PF_LOCAL_THROTTLE);
	memalloc_noio_restore(noio);
}

/* A number that somebody waits for. */
void rloop_wait_for_change(u32 *number, u32 from, unsigned int ms);
void rloop_wake(u32 *number);

void rloop_wait_for_change(u32 *number, u32 from, unsigned int ms)
{
	wait_var_event_timeout(number, READ_ONCE(*number) != from, msecs_to_jiffies(ms));
}

/* After the number was changed. */
void rloop_wake(u32 *number)
{
	smp_mb();
	wake_up_var(number);
}

/* Writes and a filesystem that is frozen. Begun here, ended wherever the I/O completes. */
bool rloop_try_start_write(struct super_block *sb);
void rloop_start_write(struct super_block *sb);
void rloop_end_write(struct super_block *sb);
void rloop_wait_for_thaw(struct super_block *sb);
int rloop_may(struct file *file, int mask);
void rloop_touch(struct file *file);
bool rloop_is_read_only(struct super_block *sb);
int rloop_sync_filesystem(struct super_block *sb);

bool rloop_try_start_write(struct super_block *sb)
{
	if (!sb_start_write_trylock(sb))
		return false;
	__sb_writers_release(sb, SB_FREEZE_WRITE);
	return true;
}

void rloop_start_write(struct super_block *sb)
{
	sb_start_write(sb);
	__sb_writers_release(sb, SB_FREEZE_WRITE);
}

void rloop_end_write(struct super_block *sb)
{
	__sb_writers_acquired(sb, SB_FREEZE_WRITE);
	sb_end_write(sb);
}

/* Of a level further in: not refused while somebody who holds the level above is waited for. */
void rloop_wait_for_thaw(struct super_block *sb)
{
	sb_start_pagefault(sb);
	sb_end_pagefault(sb);
}

int rloop_may(struct file *file, int mask)
{
	return inode_permission(file_mnt_idmap(file), file_inode(file), mask);
}

void rloop_touch(struct file *file)
{
	file_update_time(file);
}

bool rloop_is_read_only(struct super_block *sb)
{
	return sb_rdonly(sb);
}

/* Who holds the lock to freeze or remount may wait for who waits for us. */
int rloop_sync_filesystem(struct super_block *sb)
{
	int error = 0;

	if (!down_read_trylock(&sb->s_umount))
		return -EAGAIN;
	if (sb->s_op->sync_fs)
		error = sb->s_op->sync_fs(sb, 1);
	up_read(&sb->s_umount);
	return error;
}

/* The page cache of the backing file. */
void rloop_wait_for_direct_io(struct inode *inode);
bool rloop_hold_size(struct inode *inode, int writers, u64 end);
void rloop_release_size(struct inode *inode);
u64 rloop_inode_size(struct inode *inode);

/* Under the lock, or readers could keep coming. */
void rloop_wait_for_direct_io(struct inode *inode)
{
	inode_lock(inode);
	inode_dio_wait(inode);
	inode_unlock(inode);
}

/* The counter first, then the look: whoever changes the size does it the other way round. */
bool rloop_hold_size(struct inode *inode, int writers, u64 end)
{
	inode_dio_begin(inode);
	smp_mb__after_atomic();
	return atomic_read(&inode->i_writecount) == writers && i_size_read(inode) >= end;
}

void rloop_release_size(struct inode *inode)
{
	inode_dio_end(inode);
}

u64 rloop_inode_size(struct inode *inode)
{
	return i_size_read(inode);
}

/* Bios and the disk. */
void rloop_zero_fill(struct bio *bio);
void rloop_trace_remap(struct bio *clone, struct bio *original);
struct gendisk *rloop_disk_alloc(struct queue_limits *limits);
bool rloop_disk_is_open(struct gendisk *disk);
void rloop_disk_lock(struct gendisk *disk);
void rloop_disk_unlock(struct gendisk *disk);
struct gendisk *rloop_disk_of(struct device *device);

void rloop_zero_fill(struct bio *bio)
{
	zero_fill_bio(bio);
}

void rloop_trace_remap(struct bio *clone, struct bio *original)
{
	trace_block_bio_remap(clone, bio_dev(original), original->bi_iter.bi_sector);
}

struct gendisk *rloop_disk_alloc(struct queue_limits *limits)
{
	return blk_alloc_disk(limits, NUMA_NO_NODE);
}

bool rloop_disk_is_open(struct gendisk *disk)
{
	return disk_openers(disk) > 0;
}

void rloop_disk_lock(struct gendisk *disk)
{
	mutex_lock(&disk->open_mutex);
}

void rloop_disk_unlock(struct gendisk *disk)
{
	mutex_unlock(&disk->open_mutex);
}

struct gendisk *rloop_disk_of(struct device *device)
{
	return dev_to_disk(device);
}

/* Leases on the backing file. */
static bool rloop_lm_break(struct file_lease *lease)
{
	rloop_lease_break(lease->c.flc_owner);
	return false;
}

static bool rloop_lm_breaker_owns_lease(struct file_lease *lease)
{
	return rloop_lease_is_ours(lease->c.flc_owner);
}

/*
 * Who opens the file and does not wait for its lease was refused. Who waits is in the list, until it is woken here; or it
 * was killed, or waits for somebody else's lease first, and then this errs on the side that is slower only.
 */
static int rloop_lm_change(struct file_lease *lease, int arg, struct list_head *dispose)
{
	const u32 broken = FL_LEASE | FL_UNLOCK_PENDING;

	if (arg == F_UNLCK && (lease->c.flc_flags & broken) == broken &&
	    list_empty(&lease->c.flc_blocked_requests))
		rloop_lease_refused(lease->c.flc_owner);
	return lease_modify(lease, arg, dispose);
}

/* Nobody may write but through our own file. */
static int rloop_lm_open_conflict(struct file *file, int arg)
{
	int ours = !!(file->f_mode & FMODE_WRITE);

	return atomic_read(&file_inode(file)->i_writecount) == ours ? 0 : -EAGAIN;
}

/* We give it back when I/O has drained, however long that takes; nobody takes it from us. */
static bool rloop_lm_breaker_timedout(struct file_lease *lease)
{
	return false;
}

static const struct lease_manager_operations rloop_lease_ops = {
	.lm_break = rloop_lm_break,
	.lm_change = rloop_lm_change,
	.lm_breaker_owns_lease = rloop_lm_breaker_owns_lease,
	.lm_open_conflict = rloop_lm_open_conflict,
	.lm_breaker_timedout = rloop_lm_breaker_timedout,
};

const u32 rloop_fl_lease = FL_LEASE;
const u32 rloop_fl_layout = FL_LAYOUT;

int rloop_lease_take(struct file *file, u32 flags, void *owner);
int rloop_lease_give_back(struct file *file, void *owner);

int rloop_lease_take(struct file *file, u32 flags, void *owner)
{
	struct file_lease *lease = locks_alloc_lease();
	int error;

	if (!lease)
		return -ENOMEM;
	lease->fl_lmops = &rloop_lease_ops;
	lease->c.flc_flags = flags;
	lease->c.flc_type = F_RDLCK;
	lease->c.flc_owner = owner;
	lease->c.flc_pid = current->tgid;
	lease->c.flc_file = file;
	error = kernel_setlease(file, F_RDLCK, &lease, NULL);
	if (lease)
		locks_free_lease(lease);
	return error;
}

int rloop_lease_give_back(struct file *file, void *owner)
{
	return kernel_setlease(file, F_UNLCK, NULL, &owner);
}

/*
 * Errors that the filesystem below reports. A mark may be held by others when it is destroyed, for as long as some
 * program takes to answer a question about a file. So its owner is taken from it, under a lock that who goes to the
 * owner holds; and the module stays until no mark is left.
 */
struct rloop_watch {
	struct fsnotify_mark mark;
	spinlock_t lock;
	void *owner;
};

static atomic_t rloop_watches = ATOMIC_INIT(0);

struct fsnotify_group *rloop_watchers_alloc(void);
void rloop_watchers_free(struct fsnotify_group *watchers);
struct rloop_watch *rloop_watch_begin(struct fsnotify_group *watchers, struct super_block *sb, void *owner);
void rloop_watch_end(struct rloop_watch *watch);

static int rloop_watch_event(struct fsnotify_group *group, u32 mask, const void *data, int data_type,
			     struct inode *dir, const struct qstr *name, u32 cookie,
			     struct fsnotify_iter_info *marks)
{
	struct rloop_watch *watch = container_of(fsnotify_iter_sb_mark(marks), struct rloop_watch, mark);

	spin_lock(&watch->lock);
	if (watch->owner)
		rloop_filesystem_error(watch->owner, fsnotify_data_error_report(data, data_type)->error);
	spin_unlock(&watch->lock);
	return 0;
}

static void rloop_watch_free(struct fsnotify_mark *mark)
{
	kfree(container_of(mark, struct rloop_watch, mark));
	if (atomic_dec_and_test(&rloop_watches))
		wake_up_var(&rloop_watches);
}

static const struct fsnotify_ops rloop_watch_ops = {
	.handle_event = rloop_watch_event,
	.free_mark = rloop_watch_free,
};

struct fsnotify_group *rloop_watchers_alloc(void)
{
	return fsnotify_alloc_group(&rloop_watch_ops, FSNOTIFY_GROUP_DUPS);
}

void rloop_watchers_free(struct fsnotify_group *watchers)
{
	wait_var_event(&rloop_watches, !atomic_read(&rloop_watches));
	/* Whoever freed the last one is back from there. */
	fsnotify_wait_marks_destroyed();
	fsnotify_put_group(watchers);
}

struct rloop_watch *rloop_watch_begin(struct fsnotify_group *watchers, struct super_block *sb, void *owner)
{
	struct rloop_watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL);
	int error;

	if (!watch)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&rloop_watches);
	spin_lock_init(&watch->lock);
	fsnotify_init_mark(&watch->mark, watchers);
	watch->mark.mask = FS_ERROR;
	watch->owner = owner;
	error = fsnotify_add_mark(&watch->mark, sb, FSNOTIFY_OBJ_TYPE_SB, 0);
	if (!error)
		return watch;
	fsnotify_put_mark(&watch->mark);
	return ERR_PTR(error);
}

/* Also waits until nobody is on the way to its owner. */
void rloop_watch_end(struct rloop_watch *watch)
{
	spin_lock(&watch->lock);
	watch->owner = NULL;
	spin_unlock(&watch->lock);
	fsnotify_destroy_mark(&watch->mark, watch->mark.group);
	fsnotify_put_mark(&watch->mark);
}

unsigned int rloop_nodes(void);

unsigned int rloop_nodes(void)
{
	return nr_node_ids;
}

/* Layouts. */
bool rloop_has_layouts(struct super_block *sb);
int rloop_map_blocks(struct inode *inode, u64 offset, u64 length, bool write,
		     struct rloop_mapping *mapping);
int rloop_commit_blocks(struct inode *inode, const struct rloop_written *written, int count);

#define RLOOP_COMMIT_BATCH 16
const u32 rloop_commit_batch = RLOOP_COMMIT_BATCH;

bool rloop_has_layouts(struct super_block *sb)
{
	return sb->s_export_op && sb->s_export_op->block_ops;
}

int rloop_map_blocks(struct inode *inode, u64 offset, u64 length, bool write,
		     struct rloop_mapping *mapping)
{
	struct iomap iomap = { };
	u32 generation;
	int error;

	error = inode->i_sb->s_export_op->block_ops->map_blocks(inode, offset, length, &iomap,
								 write, &generation);
	*mapping = (struct rloop_mapping) {
		.offset = iomap.offset,
		.length = iomap.length,
		.disk = iomap.addr,
		.bdev = iomap.bdev,
		.type = iomap.type,
		.flags = iomap.flags,
	};
	return error;
}

int rloop_commit_blocks(struct inode *inode, const struct rloop_written *written, int count)
{
	struct iomap maps[RLOOP_COMMIT_BATCH] = { };
	int i;

	for (i = 0; i < count; i++) {
		maps[i].offset = written[i].offset;
		maps[i].length = written[i].length;
		maps[i].addr = written[i].disk;
		maps[i].type = IOMAP_UNWRITTEN;
	}
	return inode->i_sb->s_export_op->block_ops->commit_blocks(inode, maps, count, 0);
}

/* Counters, one set per processor. */
u64 __percpu *rloop_stats_alloc(u32 count);
void rloop_stats_free(u64 __percpu *stats);
void rloop_stats_add(u64 __percpu *stats, u32 index, u64 value);
u64 rloop_stats_sum(u64 __percpu *stats, u32 index);

u64 __percpu *rloop_stats_alloc(u32 count)
{
	return __alloc_percpu(count * sizeof(u64), sizeof(u64));
}

void rloop_stats_free(u64 __percpu *stats)
{
	free_percpu(stats);
}

void rloop_stats_add(u64 __percpu *stats, u32 index, u64 value)
{
	this_cpu_add(stats[index], value);
}

u64 rloop_stats_sum(u64 __percpu *stats, u32 index)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(stats, cpu)[index];
	return sum;
}
