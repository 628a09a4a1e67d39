/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metalock.h - taking the metadata lock
 *
 * Metadata sections are a microsecond or two.  Who finds the lock taken looks
 * again for about that long before it sleeps: a sleep and its waking cost more than the section
 * (measured at depth 16 with 4 and with 16 threads on 2 cores: a fifth to a quarter less
 * processor time a write).
 */
#ifndef COWBD_METALOCK_H
#define COWBD_METALOCK_H

#include <time.h>

#include "base.h"

#define METALOCK_SPINS 200u

/* Stands for the metadata lock of whatever pool: a function has to do with one. */
struct CAPABILITY("metadata lock") metalock_role {
	char unused;
};
extern struct metalock_role metadata_lock;

static inline void metalock_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline void metalock_exclusive(pthread_rwlock_t *lock)
	ACQUIRES(metadata_lock) UNCHECKED_LOCKING
{
	for (unsigned i = 0; i < METALOCK_SPINS; i++) {
		if (pthread_rwlock_trywrlock(lock) == 0)
			return;
		metalock_relax();
	}
	pthread_rwlock_wrlock(lock);
}

static inline void metalock_shared(pthread_rwlock_t *lock)
	ACQUIRES_SHARED(metadata_lock) UNCHECKED_LOCKING
{
	for (unsigned i = 0; i < METALOCK_SPINS; i++) {
		if (pthread_rwlock_tryrdlock(lock) == 0)
			return;
		metalock_relax();
	}
	pthread_rwlock_rdlock(lock);
}

/* Between the holds of a long row of them: who sleeps for the lock is waking up, and would find it taken
 * again. */
static inline void metalock_breathe(void)
{
	const struct timespec moment = {.tv_nsec = 1000}; /* and the timer's slack, 50 us */

	nanosleep(&moment, NULL);
}

static inline void metalock_drop(pthread_rwlock_t *lock) RELEASES(metadata_lock) UNCHECKED_LOCKING
{
	pthread_rwlock_unlock(lock);
}

#endif
