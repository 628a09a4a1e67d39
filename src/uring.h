/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uring.h - one io_uring per thread, for requests of two or more I/Os
 *
 * A ring belongs to the thread that made it, is used by no other, dies with
 * it, and is never used after fork: the child's first uring_get() makes its own.
 */
#ifndef COWBD_URING_H
#define COWBD_URING_H

#include <sys/uio.h>

#include "base.h"

#define URING_DEPTH 64u /* operations in one batch, at most */

struct uring;

enum uring_kind { URING_READ, URING_WRITE, URING_FDATASYNC };

struct uring_op {
	enum uring_kind kind;
	int fd;
	int rw_flags;            /* RWF_... */
	const struct iovec *iov; /* READ, WRITE: must live until uring_finish() */
	unsigned niov;
	uint64_t offset; /* bytes */
	uint32_t length; /* FDATASYNC: bytes */
	int64_t result;  /* out: bytes, or -errno; -ECANCELED: never submitted,
					   do it by a plain system call */
};

/* This thread's ring, made at the first call (about 50 us); NULL where the
 * host has none, with why (negative errno) in *ret_err if that is not NULL. */
struct uring *uring_get(int *ret_err);

/* Submits n (1 .. URING_DEPTH) operations, in no order.  uring_finish() must
 * follow before the next batch and before anything that ops refers to is freed. */
void uring_start(struct uring *r, struct uring_op *ops, unsigned n);

/* Waits until every operation that was submitted has ended.  Never returns
 * while the kernel may still touch a buffer, whatever goes wrong.  After it r
 * may be gone: ask uring_get() again. */
void uring_finish(struct uring *r);

/* Does the kernel give sync_file_range() and ranged FDATASYNC the meaning that
 * store_file.c relies on (Linux 5.12 or later)? */
bool uring_kernel_is_recent(const struct uring *r);

#endif
