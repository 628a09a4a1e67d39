/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metalock.c - the metadata lock
 *
 * See metalock.h for the picture and the invariants.
 */
#include "metalock.h"

#define SPINS 200u

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int metalock_init(struct metalock *l)
{
	pthread_rwlockattr_t attr;
	int err;

	pthread_rwlockattr_init(&attr);
	/* a stream of lookups must not keep changes out [METALOCK-2] */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	err = pthread_rwlock_init(&l->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (err)
		return fail(-ENOMEM, "no memory for a lock");
	pthread_mutex_init(&l->writers, NULL);
	l->exclusive = false;
	return 0;
}

void metalock_fini(struct metalock *l)
{
	pthread_mutex_destroy(&l->writers);
	pthread_rwlock_destroy(&l->lock);
}

static void lock_writers(struct metalock *l) UNCHECKED_LOCKING
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (pthread_mutex_trylock(&l->writers) == 0)
			return;
		relax();
	}
	pthread_mutex_lock(&l->writers);
}

static void lock_to_write(struct metalock *l) UNCHECKED_LOCKING
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (pthread_rwlock_trywrlock(&l->lock) == 0)
			return;
		relax();
	}
	pthread_rwlock_wrlock(&l->lock);
}

void metalock_exclusive(struct metalock *l) UNCHECKED_LOCKING
{
	lock_writers(l);
	lock_to_write(l);
	l->exclusive = true; /* [METALOCK-1] */
}

void metalock_shared(struct metalock *l) UNCHECKED_LOCKING
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (pthread_rwlock_tryrdlock(&l->lock) == 0)
			return;
		relax();
	}
	pthread_rwlock_rdlock(&l->lock);
}

void metalock_drop(struct metalock *l) UNCHECKED_LOCKING
{
	bool exclusive = l->exclusive;

	if (exclusive)
		l->exclusive = false;
	pthread_rwlock_unlock(&l->lock);
	if (exclusive)
		pthread_mutex_unlock(&l->writers);
}
