/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uring.c - one io_uring per thread, for requests of two or more I/Os
 *
 * Invariants
 *   [URING-1] A ring is touched by the thread that made it alone (SINGLE_ISSUER
 *             and DEFER_TASKRUN demand it, and it needs no lock).
 *   [URING-2] A ring made before a fork is not used after it in the child: both
 *             processes would share its queues.
 *   [URING-3] uring_finish() returns only when nothing is in flight.
 *
 * Failure: what could not be submitted keeps -ECANCELED, and the ring, whose
 * queue still holds it, is torn down once the rest has ended.
 */
#include "uring.h"

#include <time.h>

#include <liburing.h>

struct uring {
	struct io_uring ring;
	unsigned forks;       /* value of fork_count when it was made */
	unsigned in_flight;   /* submitted, no completion seen */
	bool broken;          /* the submission queue holds what was never submitted */
	struct uring_op *ops; /* of the batch under way */
};

/* Changed in the child of a fork alone, when it has one thread. */
static unsigned fork_count;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* frees a thread's ring at its end */
static bool key_made;

static _Thread_local struct uring *mine;
static _Thread_local int refused; /* why this thread has none, 0: not tried */

static void count_fork(void)
{
	fork_count++;
}

static void free_ring(void *ring)
{
	struct uring *r = ring;

	io_uring_queue_exit(&r->ring);
	free(r);
	mine = NULL;
}

static void init_once(void)
{
	key_made = pthread_key_create(&key, free_ring) == 0 &&
		   pthread_atfork(NULL, NULL, count_fork) == 0;
}

static void drop_mine(void)
{
	pthread_setspecific(key, NULL);
	free_ring(mine);
}

/* Makes the ring with the best flags that the kernel knows. */
static int init_ring(struct io_uring *ring)
{
	static const unsigned choices[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
		IORING_SETUP_COOP_TASKRUN,                               /* 5.19 */
		0,
	};
	int ret = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(choices) && ret == -EINVAL; i++) {
		struct io_uring_params params = {.flags = choices[i]};

		ret = io_uring_queue_init_params(URING_DEPTH, ring, &params);
	}
	return ret;
}

static int make_mine(void)
{
	struct uring *r;
	int ret;

	pthread_once(&once, init_once);
	if (!key_made)
		return -EAGAIN;
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->forks = fork_count;
	ret = init_ring(&r->ring);
	if (ret < 0) {
		free(r);
		return ret;
	}
	if (pthread_setspecific(key, r)) {
		free_ring(r);
		return -ENOMEM;
	}
	mine = r;
	return 0;
}

struct uring *uring_get(int *ret_err)
{
	if (mine && mine->forks != fork_count) /* [URING-2] */
		drop_mine();
	if (!mine && !refused)
		refused = make_mine();
	if (!mine && ret_err)
		*ret_err = refused;
	return mine;
}

static void nap(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

/* Takes one completion, waiting for it. */
static void reap_one(struct uring *r)
{
	struct io_uring_cqe *cqe;
	int ret;

	while ((ret = io_uring_wait_cqe(&r->ring, &cqe)) < 0) {
		/* Nothing to do but to go on: the buffers are not ours yet [URING-3]. */
		if (ret != -EINTR)
			nap();
	}
	r->ops[io_uring_cqe_get_data64(cqe)].result = cqe->res;
	io_uring_cqe_seen(&r->ring, cqe);
	r->in_flight--;
}

static void prepare(struct io_uring_sqe *sqe, const struct uring_op *op)
{
	switch (op->kind) {
	case URING_READ:
		io_uring_prep_readv2(sqe, op->fd, op->iov, op->niov, op->offset, op->rw_flags);
		break;
	case URING_WRITE:
		io_uring_prep_writev2(sqe, op->fd, op->iov, op->niov, op->offset, op->rw_flags);
		break;
	case URING_FDATASYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		sqe->off = op->offset;
		sqe->len = op->length;
		break;
	}
}

void uring_start(struct uring *r, struct uring_op *ops, unsigned n)
{
	unsigned queued = n, naps = 0;

	assert(n >= 1 && n <= URING_DEPTH && !r->in_flight && !r->broken);
	r->ops = ops;
	for (unsigned i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

		ops[i].result = -ECANCELED;
		prepare(sqe, &ops[i]);
		io_uring_sqe_set_data64(sqe, i);
	}
	/* The kernel takes entries in order, and answers each that it took. */
	while (queued) {
		int ret = io_uring_submit(&r->ring);

		if (ret > 0) {
			queued -= (unsigned)ret;
			r->in_flight += (unsigned)ret;
		} else if (ret == -EINTR) {
			continue;
		} else if ((ret == -EAGAIN || ret == -EBUSY) && r->in_flight) {
			reap_one(r);
		} else if ((ret == -EAGAIN || ret == -EBUSY) && naps++ < 10) {
			nap();
		} else {
			r->broken = true;
			return;
		}
	}
}

void uring_finish(struct uring *r)
{
	while (r->in_flight)
		reap_one(r);
	r->ops = NULL;
	if (r->broken)
		drop_mine();
}

bool uring_kernel_is_recent(const struct uring *r)
{
	return r->ring.features & IORING_FEAT_NATIVE_WORKERS;
}
