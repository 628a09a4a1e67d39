/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoch.c - which requests are still running
 *
 * Invariants
 *   [EPOCH-1] A request counts in exactly one epoch, from before it looks at anything to its end.
 *   [EPOCH-2] Nobody enters an epoch after it was closed: enter counts first and looks again
 *             then (sequentially consistent, pairs with epoch_close), and leaves if it was late.
 *   [EPOCH-3] A counter is used again only when its old epoch is drained.
 */
#include "epoch.h"

void epoch_init(struct epochs *e)
{
	memset(e, 0, sizeof *e);
	atomic_init(&e->now, 1);
	atomic_init(&e->oldest, 1);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->changed, NULL);
}

void epoch_fini(struct epochs *e)
{
	pthread_cond_destroy(&e->changed);
	pthread_mutex_destroy(&e->lock);
}

static void leave(struct epochs *e, uint64_t epoch)
{
	if (atomic_fetch_sub(&e->count[epoch % EPOCHS].running, 1) == 1 &&
	    atomic_load(&e->waiters)) {
		pthread_mutex_lock(&e->lock);
		pthread_cond_broadcast(&e->changed);
		pthread_mutex_unlock(&e->lock);
	}
}

uint64_t epoch_enter(struct epochs *e)
{
	for (;;) {
		uint64_t now = atomic_load(&e->now);

		atomic_fetch_add(&e->count[now % EPOCHS].running, 1);
		if (atomic_load(&e->now) == now)
			return now;
		leave(e, now);
	}
}

void epoch_exit(struct epochs *e, uint64_t token)
{
	leave(e, token);
}

bool epoch_drained(struct epochs *e, uint64_t tag)
{
	uint64_t oldest = atomic_load(&e->oldest), now = atomic_load(&e->now);

	if (tag >= now)
		return false;
	while (oldest <= tag && atomic_load(&e->count[oldest % EPOCHS].running) == 0) {
		uint64_t seen = oldest++;

		/* all below seen are drained, and so is seen: nobody enters it any more */
		if (!atomic_compare_exchange_strong(&e->oldest, &seen, oldest))
			oldest = seen;
	}
	return oldest > tag;
}

uint64_t epoch_close(struct epochs *e)
{
	uint64_t now;

	pthread_mutex_lock(&e->lock);
	now = atomic_load(&e->now);
	if (now > 1)
		(void)epoch_drained(e, now - 1);
	if (now + 1 - atomic_load(&e->oldest) < EPOCHS) /* [EPOCH-3] */
		atomic_store(&e->now, now + 1);
	pthread_mutex_unlock(&e->lock);
	return now;
}

void epoch_wait(struct epochs *e, uint64_t tag)
{
	atomic_fetch_add(&e->waiters, 1);
	pthread_mutex_lock(&e->lock);
	while (!epoch_drained(e, tag)) {
		if (tag >= atomic_load(&e->now)) { /* it could not be closed then */
			pthread_mutex_unlock(&e->lock);
			(void)epoch_close(e);
			pthread_mutex_lock(&e->lock);
			if (tag < atomic_load(&e->now))
				continue;
		}
		pthread_cond_wait(&e->changed, &e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	atomic_fetch_sub(&e->waiters, 1);
}

bool epoch_running(struct epochs *e)
{
	for (unsigned i = 0; i < EPOCHS; i++)
		if (atomic_load_explicit(&e->count[i].running, memory_order_relaxed))
			return true;
	return false;
}
