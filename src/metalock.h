/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metalock.h - the metadata lock: shared or exclusive, and never handed to somebody who sleeps
 *
 *	shared      -----------------------------> lock, for reading
 *	exclusive   writers (one at a time) -----> lock, for writing
 *
 * Metadata sections are a microsecond or two.  Who finds the lock taken looks again for about that long before it
 * sleeps: a sleep and its waking cost more than the section (measured at depth 16 with 4 and with 16 threads on 2
 * cores: a fifth to a quarter less processor time a write).
 *
 * A pthread_rwlock_t alone gives the lock that a writer drops to the writer that waits longest, and it
 * is nobody's until that one has woken up, 50 us later: a convoy.  Here only one writer at a time comes as
 * far as the rwlock; the others contend for a mutex, which whoever runs may take.  Measured with
 * a snapshot every 100 ms below random writes: the wait for a fault's sections 41 and 58 us before, 14 and 28 us
 * after, writes a second 1.3 times.
 *
 * Invariants
 *   [METALOCK-1] exclusive says how the lock is held: changed only by who holds it alone.
 *   [METALOCK-2] Shared holders and changes let each other in: who waits for the rwlock to write comes before new
 *                readers, and is the only one of its kind there.  Between changes it is whoever runs; no turn is promised.
 */
#ifndef COWBD_METALOCK_H
#define COWBD_METALOCK_H

#include <time.h>

#include "base.h"

/* Stands for the metadata lock of whatever pool: a function has to do with one. */
struct CAPABILITY("metadata lock") metalock_role {
	char unused;
};
extern struct metalock_role metadata_lock;

struct metalock {
	pthread_mutex_t writers; /* held by who holds the lock exclusively, or is next to */
	pthread_rwlock_t lock;
	bool exclusive; /* under lock */
};

/* 0 or -ENOMEM. */
int metalock_init(struct metalock *l) MUST_CHECK;
void metalock_fini(struct metalock *l);

/* Any thread that doesn't hold it. */
void metalock_exclusive(struct metalock *l) ACQUIRES(metadata_lock);
void metalock_shared(struct metalock *l) ACQUIRES_SHARED(metadata_lock);

/* However it was taken. */
void metalock_drop(struct metalock *l) RELEASES(metadata_lock);

/* Between the holds of a long row of them: who sleeps for the lock is waking up, and would find it taken
 * again. */
static inline void metalock_breathe(void)
{
	const struct timespec moment = {.tv_nsec = 1000}; /* and the timer's slack, 50 us */

	nanosleep(&moment, NULL);
}

#endif
