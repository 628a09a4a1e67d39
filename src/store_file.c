/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_file.c - a pool in a file or on a block device
 *
 *	description   opened          used for                    lock
 *	data          buffered        guest data                  part DATA
 *	direct        O_DIRECT        metadata, journal           part DIRECT
 *	sync[0..3]    buffered, read  fdatasync, nothing else     none: no I/O of ours is on them
 *
 * Where the host refuses O_DIRECT the direct description is buffered as well, and a
 * durable write is a write and a sync.
 *
 * Invariants
 *   [FILE-1] Every description that does I/O holds its part of the lock before its first
 *            I/O (filelock.c tells why two); on a device a writer has O_EXCL too,
 *            on the first, since two exclusive opens would exclude each other.
 *   [FILE-2] A failed sync is reported to every sync that it concerns.  The kernel tells each
 *            *description* of a writeback error once: of two threads in fdatasync on one
 *            description, one gets the error and the other 0, for data that
 *            is lost.  So a sync has a description for itself while it runs.
 *   [FILE-3] After a sync has failed no later one succeeds.
 *   [FILE-4] The file is never extended by a write (store.c refuses it).
 *
 * Syncing ranges: fdatasync of the file waits for everybody's dirty pages.  Instead each range is
 * written and waited for by sync_file_range, and one small FDATASYNC of a range follows.  On ext4,
 * XFS and devices this is as good, because
 *   - data: with all three flags (Linux 5.2 and later) sync_file_range writes the pages of the range
 *     as an fsync would, and waits for them.  Direct writes had ended before we were called.
 *   - metadata: both file systems end a page's writeback only when the extents under it were
 *     converted to written, in a transaction that the inode remembers; their fsync takes the range for
 *     the pages alone, then commits everything that the inode needs.
 *   - device cache: the same fsync sends a flush unless the commit did; all data had reached
 *     the device before it was called.
 *   - errors: each call checks for writeback errors anywhere in the file since the last
 *     check on its description, [FILE-2].
 * Elsewhere (btrfs logs extents by range, others are unknown): fdatasync of the file.
 *
 * Concurrency: lock protects the sync descriptions; it's not held across I/O.
 */
#include "store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fileio.h"
#include "filelock.h"
#include "hostfs.h"
#include "uring.h"

#define SYNC_FDS 4u
#define SYNC_RANGES_MAX 8192u
#define PROBE_BYTES 4096u
#define DISCARD_ALIGN 4096u /* no device has larger sectors */

struct file {
	struct store s; /* first */
	struct fileio io;
	const struct hostfs *fs;
	bool device;
	bool sync_by_range;

	pthread_mutex_t lock;
	pthread_cond_t sync_freed;
	int sync_fd[SYNC_FDS];
	unsigned sync_free; /* mask; under lock */
	bool sync_failed;   /* [FILE-3]; under lock */

	char uring_text[64];
};

static struct file *file_of(struct store *s)
{
	return (struct file *)s;
}

/* ---- sync ---------------------------------------------------------------------- */

static int sync_all(int fd)
{
	int ret;

	do
		ret = fdatasync(fd);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Begins (or finishes) the writeback of a range. */
static int write_back(int fd, const struct store_range *r, unsigned flags)
{
	int ret;

	do
		ret = sync_file_range(fd, (off_t)r->offset, (off_t)r->length, flags);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Ranged fdatasync, which system calls don't offer. */
static int sync_one(int fd, uint64_t offset, uint32_t length)
{
	struct uring_op op = {
		.kind = URING_FDATASYNC, .fd = fd, .offset = offset, .length = length};
	struct uring *ring = uring_get(NULL);

	if (!ring)
		return sync_all(fd);
	uring_start(ring, &op, 1);
	uring_finish(ring);
	if (op.result == -ECANCELED || op.result == -EINTR || op.result == -EAGAIN)
		return sync_all(fd);
	return op.result < 0 ? (int)op.result : 0;
}

static int sync_ranges(int fd, const struct store_range *ranges, unsigned n)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER;
	int err = 0;

	if (n == 1 && ranges->length <= UINT32_MAX)
		return sync_one(fd, ranges->offset, (uint32_t)ranges->length);
	for (unsigned i = 0; i < n && !err; i++)
		err = write_back(fd, &ranges[i], SYNC_FILE_RANGE_WRITE);
	for (unsigned i = 0; i < n && !err; i++)
		err = write_back(fd, &ranges[i], all);
	return err ? err : sync_one(fd, ranges->offset, PROBE_BYTES);
}

/* A sync description for the caller alone [FILE-2]. */
static unsigned sync_take(struct file *f)
{
	unsigned slot;

	WITH_LOCK_UNTIL_END(&f->lock);
	while (!f->sync_free)
		pthread_cond_wait(&f->sync_freed, &f->lock);
	slot = (unsigned)__builtin_ctz(f->sync_free);
	f->sync_free &= f->sync_free - 1;
	return slot;
}

/* Gives it back; the outcome of the sync, by [FILE-3]. */
static int sync_put(struct file *f, unsigned slot, int err)
{
	WITH_LOCK_UNTIL_END(&f->lock);
	f->sync_free |= 1u << slot;
	pthread_cond_signal(&f->sync_freed);
	if (err)
		f->sync_failed = true;
	return !err && f->sync_failed ? -EIO : err;
}

/* A range of length 0 would mean "to the end" below: those go.  So do ranges that are out of
 * bounds of what the system calls take. */
static bool ranges_are_plain(const struct store_range *ranges, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!ranges[i].length || ranges[i].offset > INT64_MAX ||
		    ranges[i].length > INT64_MAX - ranges[i].offset)
			return false;
	return true;
}

static int file_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	struct file *f = file_of(s);
	unsigned slot = sync_take(f);
	int fd = f->sync_fd[slot], err;

	if (f->sync_by_range && n && n <= SYNC_RANGES_MAX && ranges_are_plain(ranges, n))
		err = sync_ranges(fd, ranges, n);
	else
		err = sync_all(fd);
	return sync_put(f, slot, err);
}

/* Without a flag to wait nobody's error is reported here [FILE-2]. */
static void file_write_back(struct store *s, const struct store_range *ranges, unsigned n)
{
	const struct file *f = file_of(s);

	if (f->io.data_direct || !ranges_are_plain(ranges, n))
		return;
	for (unsigned i = 0; i < n; i++)
		(void)!write_back(f->io.data_fd, &ranges[i], SYNC_FILE_RANGE_WRITE);
}

/* ---- reads and writes -------------------------------------------------------------- */

static bool wants_sync(const struct store_io *io)
{
	return io->flags & STORE_WRITE && io->flags & STORE_DURABLE && !io->result;
}

/* Durable writes where RWF_DSYNC can't be relied on. */
static void sync_durable(struct file *f, struct store_io *ios, unsigned n)
{
	bool any = false;
	int err;

	for (unsigned i = 0; i < n; i++)
		any |= wants_sync(&ios[i]);
	err = any ? file_sync(&f->s, NULL, 0) : 0;
	for (unsigned i = 0; err && i < n; i++)
		if (wants_sync(&ios[i]))
			ios[i].result = err;
}

static int file_submit(struct store *s, struct store_io *ios, unsigned n)
{
	struct file *f = file_of(s);

	fileio_submit(&f->io, ios, n);
	if (!f->io.dsync)
		sync_durable(f, ios, n);
	return 0;
}

/* ---- space ------------------------------------------------------------------------- */

/* can_not: what to say where the host can't. */
static int allocate(int fd, int mode, uint64_t offset, uint64_t length, int can_not)
{
	int ret;

	do
		ret = fallocate(fd, mode, (off_t)offset, (off_t)length);
	while (ret < 0 && errno == EINTR);
	if (ret < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		return can_not;
	return ret < 0 ? -errno : 0;
}

/* Writes beyond this limit fail, and send SIGXFSZ, inside the file too; ftruncate doesn't fail, it kills. */
static bool beyond_limit(uint64_t end)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && end > limit.rlim_cur;
}

static int file_prealloc(struct store *s, uint64_t offset, uint64_t length)
{
	struct file *f = file_of(s);

	if (f->device)
		return 0;
	if (beyond_limit(offset + length))
		return -EFBIG;
	return allocate(f->io.data_fd, 0, offset, length, 0);
}

/* The extents become unwritten ones, and written ones again as pages are put there: each sync that follows commits the host's
 * journal for that, which is known (*Syncing ranges* above) of ext4 and XFS.  Elsewhere zeros are written. */
static int file_zero(struct store *s, uint64_t offset, uint64_t length)
{
	struct file *f = file_of(s);

	if (!f->sync_by_range)
		return 1;
	if (beyond_limit(offset + length))
		return -EFBIG;
	return allocate(f->io.data_fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length,
			1);
}

static int file_discard(struct store *s, uint64_t offset, uint64_t length)
{
	struct file *f = file_of(s);
	uint64_t range[2] = {round_up(offset, DISCARD_ALIGN), 0};
	uint64_t end = round_down(offset + length, DISCARD_ALIGN);

	if (!f->device)
		return allocate(f->io.data_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				length, 0);
	if (end <= range[0])
		return 0;
	range[1] = end - range[0];
	if (ioctl(f->io.data_fd, BLKDISCARD, range) < 0 && errno != EOPNOTSUPP && errno != ENOTTY)
		return -errno;
	return 0;
}

static int grow_device(struct file *f, uint64_t size)
{
	uint64_t now;

	if (ioctl(f->io.data_fd, BLKGETSIZE64, &now) < 0)
		return -errno;
	return size > now ? -ENOSPC : 0;
}

static int grow_file(struct file *f, uint64_t size)
{
	if (beyond_limit(size))
		return -EFBIG;
	return ftruncate(f->io.data_fd, (off_t)size) < 0 ? -errno : 0;
}

static int file_grow(struct store *s, uint64_t size)
{
	struct file *f = file_of(s);
	int err = f->device ? grow_device(f, size) : grow_file(f, size);

	if (!err)
		__atomic_store_n(&s->size, size, __ATOMIC_RELAXED);
	return err;
}

/* Pages must be clean to be dropped; a failing sync cleans them as well. */
static int file_drop_cache(struct store *s)
{
	struct file *f = file_of(s);
	int err;

	/* Each description is to hear of the old error now, not at its first sync. */
	for (unsigned i = 0; i < SYNC_FDS; i++)
		(void)!sync_all(f->sync_fd[i]);
	if (f->device && ioctl(f->io.data_fd, BLKFLSBUF, 0) == 0)
		return 0;
	err = posix_fadvise(f->io.data_fd, 0, 0, POSIX_FADV_DONTNEED);
	return -err;
}

/* ---- open and close ------------------------------------------------------------------ */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void file_close(struct store *s)
{
	struct file *f = file_of(s);

	for (unsigned i = 0; i < SYNC_FDS; i++)
		close_fd(f->sync_fd[i]);
	close_fd(f->io.direct_fd);
	close_fd(f->io.data_fd);
	fileio_fini(&f->io);
	pthread_cond_destroy(&f->sync_freed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static const struct store_ops file_ops = {
	.name = "file",
	.submit = file_submit,
	.sync = file_sync,
	.write_back = file_write_back,
	.prealloc = file_prealloc,
	.discard = file_discard,
	.zero = file_zero,
	.grow = file_grow,
	.drop_cache = file_drop_cache,
	.close = file_close,
};

static const struct store_ops device_ops = {
	.name = "device",
	.submit = file_submit,
	.sync = file_sync,
	.write_back = file_write_back,
	.prealloc = file_prealloc,
	.discard = file_discard,
	.grow = file_grow,
	.drop_cache = file_drop_cache,
	.close = file_close,
};

/* What an open is about. */
struct request {
	const char *path;
	unsigned flags; /* STORE_OPEN_... */
	uint64_t deadline_ns;
	bool device;
	bool created; /* the file is ours to remove if opening fails */
};

static bool read_only(const struct request *r)
{
	return r->flags & STORE_OPEN_READ_ONLY;
}

/* Looks before opening: opening a FIFO would block, a tape would rewind. */
static int look_at(struct request *r)
{
	struct stat st;

	if (stat(r->path, &st) < 0) {
		if (errno == ENOENT && r->flags & STORE_OPEN_CREATE)
			return 0;
		return fail(-errno, "can't open %s: %s", r->path, strerror(errno));
	}
	r->device = S_ISBLK(st.st_mode);
	if (S_ISDIR(st.st_mode))
		return fail(-EISDIR, "%s is a directory, not a pool", r->path);
	if (!S_ISREG(st.st_mode) && !r->device)
		return fail(-EINVAL, "%s is neither a file nor a block device", r->path);
	return 0;
}

/* Opens one description; extra: O_DIRECT and the like. -errno without a message. */
static int open_one(const char *path, bool read_only, int extra)
{
	int flags = O_CLOEXEC | extra | (read_only ? O_RDONLY : O_RDWR), fd = -1;

	if (read_only) /* reading leaves no trace, where we may ask for that */
		fd = open(path, flags | O_NOATIME, 0600);
	if (fd < 0)
		fd = open(path, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* Opens the first description, making the file if asked to. */
static int open_first(struct request *r)
{
	int extra = r->device && !read_only(r) ? O_EXCL : 0, fd;

	if (r->flags & STORE_OPEN_CREATE && !r->device) {
		fd = open_one(r->path, false, O_CREAT | O_EXCL);
		if (fd >= 0) {
			r->created = true;
			hostfs_no_cow(fd);
			return fd;
		}
		if (fd == -EEXIST && !(r->flags & STORE_OPEN_FORCE))
			return fail(-EEXIST, "%s exists already", r->path);
		if (fd != -EEXIST)
			return fail(fd, "can't make %s: %s", r->path, strerror(-fd));
	}
	do {
		fd = open_one(r->path, read_only(r), extra);
		if (fd != -EBUSY)
			break;
	} while (filelock_wait(r->deadline_ns));
	if (fd == -EBUSY)
		return filelock_busy(r->path, FILELOCK_DATA);
	return fd < 0 ? fail(fd, "can't open %s: %s", r->path, strerror(-fd)) : fd;
}

/* Do a and b refer to one file? */
static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Opens a further description of the file that is open as `first`. */
static int open_again(const struct request *r, int first, bool ro, int extra)
{
	int fd = open_one(r->path, ro, extra);

	if (fd < 0 || same_file(first, fd))
		return fd;
	close(fd);
	return -ESTALE;
}

static int fail_again(const struct request *r, int err)
{
	if (err == -ESTALE)
		return fail(err, "%s was replaced while it was being opened; try again", r->path);
	return fail(err, "can't open %s: %s", r->path, strerror(-err));
}

/* Can the description do direct I/O in units of 4 KiB?  Sets the units for data. */
static bool direct_works(struct file *f, int fd)
{
	CLEANUP_FREE void *page = NULL;
	uint32_t align = PROBE_BYTES;
	struct statx st;

	f->io.mem_align = PROBE_BYTES;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
	    st.stx_mask & STATX_DIOALIGN && st.stx_dio_offset_align) {
		align = MAX(st.stx_dio_offset_align, 512u);
		f->io.mem_align = MAX(st.stx_dio_mem_align, 1u);
	}
	if (align > PROBE_BYTES || f->io.mem_align > PROBE_BYTES)
		return false;
	if (f->io.data_direct)
		f->s.data_align = align;
	if (posix_memalign(&page, PROBE_BYTES, PROBE_BYTES))
		return false;
	return pread(fd, page, PROBE_BYTES, 0) >= 0 || errno != EINVAL;
}

/* Opens and locks the description for direct I/O, buffered if the host refuses. */
static int open_direct(struct file *f, const struct request *r)
{
	int fd = open_again(r, f->io.data_fd, read_only(r), O_DIRECT);
	bool works = fd >= 0;
	int err;

	if (fd == -EINVAL || fd == -EOPNOTSUPP)
		fd = open_again(r, f->io.data_fd, read_only(r), 0);
	if (fd < 0)
		return fail_again(r, fd);
	f->io.direct_fd = fd;
	err = filelock_take(fd, r->path, FILELOCK_DIRECT, read_only(r), r->deadline_ns);
	if (err)
		return err;
	if (works && !direct_works(f, fd)) {
		/* The same description, lock and all, goes on without. */
		works = false;
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT) < 0)
			return fail(-errno, "%s: %s", r->path, strerror(errno));
	}
	if (!works && f->io.data_direct)
		return fail(-EOPNOTSUPP, "%s: its file system can't do direct I/O; open it without",
			    r->path);
	f->io.dsync = works && (f->device || f->fs->write_syncs);
	return 0;
}

/* Opens and locks all descriptions [FILE-1]. */
static int open_all(struct file *f, struct request *r)
{
	int err, fd = open_first(r);

	if (fd < 0)
		return fd;
	f->io.data_fd = fd;
	f->fs = hostfs_of(fd);
	err = filelock_take(fd, r->path, FILELOCK_DATA, read_only(r), r->deadline_ns);
	if (err)
		return err;
	/* While we waited another may have taken its place: open_again() compares. */
	err = open_direct(f, r);
	if (err)
		return err;
	for (unsigned i = 0; i < SYNC_FDS; i++) {
		fd = open_again(r, f->io.data_fd, true, 0);
		if (fd < 0)
			return fail_again(r, fd);
		f->sync_fd[i] = fd;
	}
	if (r->flags & STORE_OPEN_CREATE && !f->device && !r->created) {
		if (ftruncate(f->io.data_fd, 0) < 0)
			return fail(-errno, "can't empty %s: %s", r->path, strerror(errno));
		hostfs_no_cow(f->io.data_fd);
	}
	/* Readahead would fill the cache with what nobody asked for. */
	posix_fadvise(f->io.data_fd, 0, 0, POSIX_FADV_RANDOM);
	return 0;
}

static int read_identity(struct file *f, const struct request *r)
{
	CLEANUP_FREE char *path = realpath(r->path, NULL);
	struct stat st;

	if (!path || fstat(f->io.data_fd, &st) < 0)
		return fail(-errno, "%s: %s", r->path, strerror(errno));
	if ((size_t)snprintf(f->s.path, sizeof f->s.path, "%s", path) >= sizeof f->s.path)
		return fail(-ENAMETOOLONG, "%s: path too long", r->path);
	f->s.dev = st.st_dev;
	f->s.ino = st.st_ino;
	f->s.size = (uint64_t)st.st_size;
	if (f->device && ioctl(f->io.data_fd, BLKGETSIZE64, &f->s.size) < 0)
		return fail(-errno, "%s: can't tell the device's size: %s", r->path,
			    strerror(errno));
	return 0;
}

/* Does giving back work?  Tried beyond the end, where there's nothing. */
static bool can_punch(const struct file *f)
{
	return fallocate(f->io.data_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)round_up(f->s.size, PROBE_BYTES), PROBE_BYTES) == 0 ||
	       (errno != EOPNOTSUPP && errno != ENOSYS);
}

/* Everything about the store that isn't a descriptor. */
static int describe(struct file *f, const struct request *r)
{
	const char *fs_name;
	int err = read_identity(f, r);

	if (err)
		return err;
	f->s.ops = f->device ? &device_ops : &file_ops;
	f->s.read_only = read_only(r);
	f->s.sparse = !f->device && f->fs->holes && (f->s.read_only || can_punch(f));
	f->s.host_limit = f->device ? 0 : f->s.size;
	if (!f->device && !f->s.read_only)
		return store_file_limit(f->s.path, &f->s.host_limit, &fs_name);
	return 0;
}

static void choose_uring(struct file *f, const struct request *r)
{
	struct uring *ring;
	int err = 0;

	f->s.uring = "io_uring";
	if (r->flags & STORE_OPEN_NO_URING) {
		f->s.uring = "sync (io_uring: not wanted)";
		return;
	}
	ring = uring_get(&err);
	if (!ring) {
		snprintf(f->uring_text, sizeof f->uring_text, "sync (io_uring: %s)",
			 error_name(err));
		f->s.uring = f->uring_text;
		return;
	}
	f->io.ring = true;
	/* a sync of a range covers what was written directly only if that went past the page cache */
	f->sync_by_range = f->io.dsync && (f->device || f->fs->syncs_ranges) &&
			   uring_kernel_is_recent(ring);
}

static struct file *file_new(const struct request *r)
{
	struct file *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->device = r->device;
	f->s.data_align = 1;
	f->io.data_direct = r->flags & STORE_OPEN_DATA_DIRECT;
	f->io.data_fd = f->io.direct_fd = -1;
	for (unsigned i = 0; i < SYNC_FDS; i++)
		f->sync_fd[i] = -1;
	f->sync_free = (1u << SYNC_FDS) - 1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->sync_freed, NULL);
	return f;
}

int store_file_open(const char *path, unsigned flags, unsigned wait_ms, struct store **ret_store)
{
	struct request r = {.path = path,
			    .flags = flags,
			    .deadline_ns = now_ns() + wait_ms * UINT64_C(1000000)};
	struct file *f;
	int err;

	if (flags & STORE_OPEN_READ_ONLY && flags & STORE_OPEN_CREATE)
		return fail(-EINVAL, "a new pool can't be read-only");
	err = look_at(&r);
	if (err)
		return err;
	f = file_new(&r);
	if (!f)
		return fail(-ENOMEM, "out of memory");
	err = open_all(f, &r);
	if (!err)
		err = describe(f, &r);
	if (!err)
		err = fileio_init(&f->io);
	if (err) {
		if (r.created)
			unlink(path);
		file_close(&f->s);
		return err;
	}
	choose_uring(f, &r);
	*ret_store = &f->s;
	return 0;
}
