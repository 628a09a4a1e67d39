/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.h - writes that wait for space
 *
 * A pool without space can make a write wait instead of failing it.  Such a *held* write has
 * not begun: it is in no epoch, has no lock and no claim (VOLUME-4).  It waits in a queue, one for writes and
 * one for what only needs a page of metadata:
 *
 *	bell, rung whenever something may have come free: version + 1
 *	  |
 *	 head -- tries again; done: the next one is head, and tries too if the bell has rung since
 *	 next    it looked; in vain: all wait for the next ring
 *	 ...
 *
 * So a ring wakes one, and space is given out in order.  The host's disk rings no bell: while it is full the
 * head looks there several times a second.
 *
 * Invariants
 *   [HOLD-1] No wake is lost: a waiter counts, then tries once more, then waits for a version other than the one
 *            before that try; who rings changes the version and then looks at the count (both
 *            sequentially consistent).
 *   [HOLD-2] Nobody is held who can't be let go: not by a pool without background threads, not
 *            once its client is cut.
 *
 * Thread rule: any.  Its lock is a leaf: a ring may come under any other.
 */
#ifndef COWBD_HOLD_H
#define COWBD_HOLD_H

#include <stdatomic.h>

#include "base.h"

enum hold_kind { HOLD_WRITE, HOLD_PAGE, HOLD_KINDS };

/* Whose writes they are.  Zero is a fresh one. */
struct holder {
	_Atomic bool cut;          /* hold no more: -ESHUTDOWN */
	_Atomic unsigned held;     /* now */
	_Atomic uint64_t since_ns; /* when the first of these came; monotonic */
};

/* A write while it may be held; zeroed but for kind and who (NULL: it is never held). */
struct held {
	enum hold_kind kind;
	struct holder *who;
	bool queued;
	uint64_t since_ns, seen;
	unsigned polls;
	struct held *next;
	pthread_cond_t woken;
};

struct hold {
	pthread_mutex_t lock;
	struct held *first[HOLD_KINDS]; /* under lock */
	_Atomic uint64_t version;
	_Atomic unsigned n;  /* held now */
	bool on;             /* constant while requests run, as is timeout_ns */
	uint64_t timeout_ns; /* 0: for ever */
	/* under lock */
	uint64_t since_wall_ns; /* of the first that is held now */
	uint64_t full_times;    /* how often the first one came */
	uint64_t total;         /* writes that were held */
	uint64_t refused;       /* writes that failed for want of space */
	/* The pool has become full, or is no more; under lock, NULL is fine. */
	void (*changed)(void *opaque); /* called with the lock held */
	void *opaque;
};

void hold_init(struct hold *h);
void hold_fini(struct hold *h);

/* Something may have come free. */
void hold_ring(struct hold *h);

/* A write looks at this before it tries. */
static inline uint64_t hold_version(struct hold *h)
{
	return atomic_load(&h->version);
}

/* Waits after a try that found no space.  w->seen: the version before it.  0: try again; -ENOSPC: it is
 * not to be held, or its time is over; -ESHUTDOWN: its client is cut. host_full: a look at the
 * host's disk may help.  The error message stays what it was with -ENOSPC. */
int hold_wait(struct hold *h, struct held *w, bool host_full) MUST_CHECK;

/* The write is over, held or not. */
void hold_end(struct hold *h, struct held *w);

/* Lets go of what is held of who, now and later. */
void hold_cut(struct hold *h, struct holder *who);

struct hold_info {
	unsigned held;
	uint64_t since_wall_ns, full_times, total, refused;
};
void hold_get_info(struct hold *h, struct hold_info *ret_info);

#endif
