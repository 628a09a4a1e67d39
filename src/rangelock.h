/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rangelock.h - locks on ranges of a volume's blocks, shared or exclusive
 *
 * Fair: whoever came first goes first, where two conflict.  A writer in place holds its blocks
 * shared, a fault exclusive (rule 7: a fault waits for older in-place writes of the same block).
 *
 * Thread rule: any; a thread holds at most one range of a volume at a time.
 * Cost: linear in the number of requests on the volume now, which is its queue depth.
 */
#ifndef COWBD_RANGELOCK_H
#define COWBD_RANGELOCK_H

#include "base.h"

struct range_hold { /* on the holder's stack */
	uint64_t first, end;
	bool exclusive;
	struct range_hold *next;
};

struct rangelock {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct range_hold *oldest, **newest;
	unsigned waiting;
};

void rangelock_init(struct rangelock *l);
void rangelock_fini(struct rangelock *l);

/* Holds [first, end); returns when nobody who came before conflicts. */
void rangelock_hold(struct rangelock *l, struct range_hold *h, uint64_t first, uint64_t end,
		    bool exclusive);
void rangelock_drop(struct rangelock *l, struct range_hold *h);

#endif
