/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store.c - what all stores have in common: bounds, alignment, messages
 *
 * An implementation's submit() is given each I/O with .result 0 (run it) or
 * an error (it was refused here: leave it alone), and sets .result to 0 or to the
 * host's negative errno.  Messages are made here, for the first that failed.
 */
#include "store.h"

#define DIRECT_ALIGN 4096u
#define IOV_COUNT_MAX 1024

static uint64_t io_length(const struct store_io *io)
{
	uint64_t sum = 0;

	for (int i = 0; i < io->niov; i++)
		sum += io->iov[i].iov_len;
	return sum;
}

/* Size, which another thread may be changing. */
static uint64_t store_size(const struct store *s)
{
	return __atomic_load_n(&s->size, __ATOMIC_RELAXED);
}

static bool in_bounds(const struct store *s, uint64_t offset, uint64_t length)
{
	uint64_t size = store_size(s);

	return offset <= size && length <= size - offset;
}

static bool direct_aligned(const struct store_io *io)
{
	if (io->offset % DIRECT_ALIGN)
		return false;
	for (int i = 0; i < io->niov; i++)
		if ((uintptr_t)io->iov[i].iov_base % DIRECT_ALIGN ||
		    io->iov[i].iov_len % DIRECT_ALIGN)
			return false;
	return true;
}

static int check_io(const struct store *s, const struct store_io *io)
{
	uint64_t length;

	if (io->niov < 1 || io->niov > IOV_COUNT_MAX)
		return -EINVAL;
	if (io->flags & STORE_WRITE && s->read_only)
		return -EROFS;
	length = io_length(io);
	if (io->flags & STORE_DIRECT ? !direct_aligned(io)
				     : (io->offset | length) % s->data_align != 0)
		return -EINVAL;
	if (!in_bounds(s, io->offset, length))
		return -EIO;
	return 0;
}

static bool is_host_full(int err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EFBIG;
}

/* What the caller sees of an I/O's error. */
static int io_error(int err)
{
	return err == -ENOMEM || err == -EINVAL || err == -EROFS ? err : -EIO;
}

/* Sets the message for a failed I/O. */
static int fail_io(const struct store *s, const struct store_io *io, int err)
{
	const char *what = io->flags & STORE_WRITE ? "write" : "read";
	uint64_t length = io_length(io);

	if (err == -EROFS)
		return fail(err, "%s is open for reading only", s->path);
	if (!in_bounds(s, io->offset, length))
		return fail(io_error(err),
			    "%s of %" PRIu64 " bytes at %" PRIu64 ": beyond the end of %s", what,
			    length, io->offset, s->path);
	if (is_host_full(err))
		return fail(-EIO,
			    "%s of %" PRIu64 " bytes at %" PRIu64
			    ": the file system that holds %s is full (%s)",
			    what, length, io->offset, s->path, error_name(err));
	return fail(io_error(err), "%s of %" PRIu64 " bytes at %" PRIu64 " of %s failed: %s", what,
		    length, io->offset, s->path, error_name(err));
}

int store_submit(struct store *s, struct store_io *ios, unsigned n)
{
	int first = 0;

	for (unsigned i = 0; i < n; i++)
		ios[i].result = check_io(s, &ios[i]);
	if (n)
		s->ops->submit(s, ios, n);
	for (unsigned i = 0; i < n; i++) {
		if (ios[i].result && !first)
			first = fail_io(s, &ios[i], ios[i].result);
		if (ios[i].result)
			ios[i].result = io_error(ios[i].result);
	}
	return first;
}

static int submit_one(struct store *s, unsigned flags, uint64_t offset, void *buf, size_t len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct store_io io = {.flags = flags, .offset = offset, .iov = &iov, .niov = 1};

	return store_submit(s, &io, 1);
}

int store_read(struct store *s, unsigned flags, uint64_t offset, void *buf, size_t len)
{
	return submit_one(s, flags & ~(unsigned)STORE_WRITE, offset, buf, len);
}

int store_write(struct store *s, unsigned flags, uint64_t offset, const void *buf, size_t len)
{
	/* An iovec has no const; a write leaves the buffer alone. */
	return submit_one(s, flags | STORE_WRITE, offset, (void *)(uintptr_t)buf, len);
}

int store_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	int err = s->ops->sync(s, ranges, n);

	if (err)
		return fail(io_error(err), "sync of %s failed: %s%s", s->path, error_name(err),
			    is_host_full(err) ? " (the file system that holds it is full)" : "");
	return 0;
}

void store_write_back(struct store *s, const struct store_range *ranges, unsigned n)
{
	if (s->ops->write_back)
		s->ops->write_back(s, ranges, n);
}

/* What prealloc, discard and grow have in common. */
static int check_change(const struct store *s, uint64_t offset, uint64_t length)
{
	if (s->read_only)
		return fail(-EROFS, "%s is open for reading only", s->path);
	if (!in_bounds(s, offset, length))
		return fail(-EINVAL,
			    "range of %" PRIu64 " bytes at %" PRIu64 ": beyond the end of %s",
			    length, offset, s->path);
	return 0;
}

static int allocation_error(const struct store *s, int err)
{
	if (is_host_full(err))
		return fail(-ENOSPC, "the file system that holds %s is full (%s)", s->path,
			    error_name(err));
	return fail(io_error(err), "allocating space for %s failed: %s", s->path, error_name(err));
}

int store_prealloc(struct store *s, uint64_t offset, uint64_t length)
{
	int err = check_change(s, offset, length);

	if (err || !length)
		return err;
	err = s->ops->prealloc(s, offset, length);
	return err ? allocation_error(s, err) : 0;
}

int store_zero(struct store *s, uint64_t offset, uint64_t length)
{
	int err = check_change(s, offset, length);

	if (err || !length)
		return err;
	err = s->ops->zero ? s->ops->zero(s, offset, length) : 1;
	return err < 0 ? allocation_error(s, err) : err;
}

int store_discard(struct store *s, uint64_t offset, uint64_t length)
{
	int err = check_change(s, offset, length);

	if (err || !length)
		return err;
	err = s->ops->discard(s, offset, length);
	if (err)
		return fail(io_error(err), "giving back space of %s failed: %s", s->path,
			    error_name(err));
	return 0;
}

int store_grow(struct store *s, uint64_t size)
{
	int err;

	if (s->read_only)
		return fail(-EROFS, "%s is open for reading only", s->path);
	if (size < store_size(s))
		return fail(-EINVAL, "%s can't be made smaller", s->path);
	if (size == store_size(s))
		return 0;
	err = size > INT64_MAX ? -EFBIG : s->ops->grow(s, size);
	if (is_host_full(err))
		return fail(-ENOSPC, "%s can't grow to %" PRIu64 " bytes: %s", s->path, size,
			    s->host_limit && size > s->host_limit
				    ? "larger than its file system allows"
				    : "the host has no room for it");
	if (err)
		return fail(io_error(err), "growing %s failed: %s", s->path, error_name(err));
	return 0;
}

int store_drop_cache(struct store *s)
{
	int err = s->ops->drop_cache(s);

	if (err)
		return fail(io_error(err), "dropping the page cache of %s failed: %s", s->path,
			    error_name(err));
	return 0;
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}
