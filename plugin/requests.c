/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * requests.c - NBD requests of an open export, on cowbd.h
 *
 * Each goes through the gate of its handle.  One that waited for space when the handle was cut is
 * dropped like one that came after it: no answer leaves before the connection is hung up.
 *
 * Invariants: [PLUG-2] and [PLUG-3] of plugin.c.
 */
#include "requests.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "cowbd.h"
#include "handles.h"

#define MAX_EXTENTS 65536 /* in one answer; the client asks on from its end */

/* [PLUG-2].  -EROFS is a pool that stopped writing after a failed sync: to the client an error of
 * the device, not of its permissions. */
static int answer(int err)
{
	if (!err)
		return 0;
	nbdkit_error("%s", cowbd_error());
	switch (-err) {
	case ENOSPC:
	case EDQUOT: errno = ENOSPC; break;
	case EPERM:
	case ENOMEM:
	case EINVAL: errno = -err; break;
	default: errno = EIO;
	}
	return -1;
}

static int refuse(void)
{
	errno = ESHUTDOWN;
	return -1;
}

/* The end of a request that went through handle_enter. */
static int leave(struct handle *h, int err)
{
	if (err == -ESHUTDOWN) {
		handle_dropped(h);
		return refuse();
	}
	handle_leave(h);
	return answer(err);
}

static unsigned data_flags(uint32_t flags)
{
	return flags & NBDKIT_FLAG_FUA ? COWBD_FUA : 0;
}

int request_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct handle *h = handle;

	(void)flags;
	return handle_enter(h) ? leave(h, cowbd_read(h->client, buf, count, offset)) : refuse();
}

int request_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct handle *h = handle;

	return handle_enter(h)
		       ? leave(h, cowbd_write(h->client, buf, count, offset, data_flags(flags)))
		       : refuse();
}

int request_flush(void *handle, uint32_t flags)
{
	struct handle *h = handle;

	(void)flags;
	return handle_enter(h) ? leave(h, cowbd_flush(h->client)) : refuse();
}

int request_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct handle *h = handle;

	return handle_enter(h) ? leave(h, cowbd_trim(h->client, count, offset, data_flags(flags)))
			       : refuse();
}

/* Unmaps whole blocks whether NBDKIT_FLAG_MAY_TRIM is set or not: a thin pool never promises space.
 * Always fast, so NBDKIT_FLAG_FAST_ZERO needs no answer of its own. */
int request_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct handle *h = handle;

	return handle_enter(h) ? leave(h, cowbd_zero(h->client, count, offset, data_flags(flags)))
			       : refuse();
}

int request_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct handle *h = handle;

	(void)flags;
	return handle_enter(h) ? leave(h, cowbd_cache(h->client, count, offset)) : refuse();
}

/* An answer to a question about extents: one run at a time, grown until the kind changes. */
struct extent_answer {
	struct nbdkit_extents *extents;
	uint64_t run, run_end; /* the run, [run, run_end) */
	uint64_t end;          /* of the question */
	size_t added;
	bool mapped, one, failed;
};

static bool add_run(struct extent_answer *a)
{
	uint32_t type = a->mapped ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;

	if (a->run == a->run_end)
		return true;
	a->failed = nbdkit_add_extent(a->extents, a->run, a->run_end - a->run, type) != 0;
	a->run = a->run_end;
	a->added++;
	return !a->failed;
}

static int visit_extent(void *opaque, uint64_t offset, uint64_t length, bool mapped)
{
	struct extent_answer *a = opaque;
	uint64_t end = length < a->end - offset ? offset + length : a->end; /* [PLUG-3] */

	assert(offset == a->run_end && offset <= a->end);
	if (mapped != a->mapped && a->run != a->run_end) {
		if (!add_run(a))
			return -errno;
		if (a->one || a->added == MAX_EXTENTS)
			return 1;
	}
	a->mapped = mapped;
	a->run_end = end;
	return end == a->end;
}

int request_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
		    struct nbdkit_extents *extents)
{
	struct handle *h = handle;
	struct extent_answer a = {
		.extents = extents,
		.run = offset,
		.run_end = offset,
		.end = offset + count,
		.one = flags & NBDKIT_FLAG_REQ_ONE,
	};
	int err;

	if (!handle_enter(h))
		return refuse();
	err = cowbd_extents(h->client, count, offset, visit_extent, &a);
	handle_leave(h);
	if (a.failed) {
		errno = ENOMEM;
		return -1;
	}
	if (err)
		return answer(err);
	if (a.added && (a.one || a.added == MAX_EXTENTS))
		return 0;
	if (add_run(&a))
		return 0;
	errno = ENOMEM;
	return -1;
}
