/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rangelock.c - locks on ranges of a volume's blocks, shared or exclusive
 *
 * One list in order of arrival holds both who has and who waits: a request may go when no
 * conflicting one stands before it.
 */
#include "rangelock.h"

void rangelock_init(struct rangelock *l)
{
	*l = (struct rangelock){.newest = &l->oldest};
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->freed, NULL);
}

void rangelock_fini(struct rangelock *l)
{
	assert(!l->oldest);
	pthread_cond_destroy(&l->freed);
	pthread_mutex_destroy(&l->lock);
}

static bool must_wait(const struct rangelock *l, const struct range_hold *h)
{
	for (const struct range_hold *o = l->oldest; o != h; o = o->next)
		if (o->first < h->end && h->first < o->end && (o->exclusive || h->exclusive) &&
		    !MUTANT("no-block-lock"))
			return true;
	return false;
}

void rangelock_hold(struct rangelock *l, struct range_hold *h, uint64_t first, uint64_t end,
		    bool exclusive)
{
	*h = (struct range_hold){.first = first, .end = end, .exclusive = exclusive};
	pthread_mutex_lock(&l->lock);
	*l->newest = h;
	l->newest = &h->next;
	while (must_wait(l, h)) {
		l->waiting++;
		pthread_cond_wait(&l->freed, &l->lock);
		l->waiting--;
	}
	pthread_mutex_unlock(&l->lock);
}

void rangelock_drop(struct rangelock *l, struct range_hold *h)
{
	struct range_hold **at = &l->oldest;

	pthread_mutex_lock(&l->lock);
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	if (l->newest == &h->next)
		l->newest = at;
	if (l->waiting)
		pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
}
