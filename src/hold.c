/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.c - writes that wait for space
 *
 * See hold.h for the picture and the invariants.
 */
#include "hold.h"

#include <time.h>

#define POLL_FIRST_NS UINT64_C(50000000)  /* then twice as long each time */
#define POLL_DOUBLINGS 4u                 /* up to 0.8 s */
#define POLL_IDLE_NS UINT64_C(5000000000) /* and that often whatever happens: see below */

void hold_init(struct hold *h)
{
	memset(h, 0, sizeof *h);
	pthread_mutex_init(&h->lock, NULL);
}

void hold_fini(struct hold *h)
{
	assert(atomic_load(&h->n) == 0);
	pthread_mutex_destroy(&h->lock);
}

/* ---- the bell ------------------------------------------------------------------------ */

static void wake_heads(struct hold *h)
{
	for (unsigned k = 0; k < HOLD_KINDS; k++)
		if (h->first[k])
			pthread_cond_signal(&h->first[k]->woken);
}

void hold_ring(struct hold *h)
{
	atomic_fetch_add(&h->version, 1); /* [HOLD-1] */
	if (atomic_load(&h->n) == 0)
		return;
	pthread_mutex_lock(&h->lock);
	wake_heads(h);
	pthread_mutex_unlock(&h->lock);
}

/* ---- the queues ------------------------------------------------------------------------ */

static void enqueue(struct hold *h, struct held *w)
{
	struct held **at = &h->first[w->kind];
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->woken, &attr);
	pthread_condattr_destroy(&attr);
	while (*at)
		at = &(*at)->next;
	w->next = NULL;
	*at = w;
	w->queued = true;
	w->since_ns = now_ns();
	if (atomic_fetch_add(&w->who->held, 1) == 0)
		atomic_store(&w->who->since_ns, w->since_ns);
	h->total++;
	if (atomic_fetch_add(&h->n, 1) == 0) { /* [HOLD-1] */
		h->since_wall_ns = wall_ns();
		h->full_times++;
		if (h->changed)
			h->changed(h->opaque);
	}
}

static void dequeue(struct hold *h, struct held *w)
{
	struct held **at = &h->first[w->kind];

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->queued = false;
	pthread_cond_destroy(&w->woken);
	atomic_fetch_sub(&w->who->held, 1);
	if (atomic_fetch_sub(&h->n, 1) == 1 && h->changed)
		h->changed(h->opaque);
	wake_heads(h);
}

static void sleep_until(struct hold *h, struct held *w, uint64_t at_ns)
{
	struct timespec t = {.tv_sec = (time_t)(at_ns / 1000000000u),
			     .tv_nsec = (long)(at_ns % 1000000000u)};

	if (at_ns == UINT64_MAX)
		pthread_cond_wait(&w->woken, &h->lock);
	else
		pthread_cond_timedwait(&w->woken, &h->lock, &t);
}

/* Waits until it is w's turn.  0, -ENOSPC, -ESHUTDOWN. */
static int wait_turn(struct hold *h, struct held *w, uint64_t poll_at)
{
	uint64_t give_up = h->timeout_ns ? w->since_ns + h->timeout_ns : UINT64_MAX;

	for (;;) {
		bool head = h->first[w->kind] == w;
		uint64_t now = now_ns();

		if (atomic_load(&w->who->cut))
			return fail(-ESHUTDOWN,
				    "the client was cut off while its write waited for space");
		if (head && atomic_load(&h->version) != w->seen)
			return 0;
		if (now >= give_up)
			return -ENOSPC;
		if (head && now >= poll_at) {
			w->polls++;
			return 0;
		}
		sleep_until(h, w, MIN(give_up, head ? poll_at : UINT64_MAX));
	}
}

int hold_wait(struct hold *h, struct held *w, bool host_full)
{
	uint64_t poll_at = now_ns();
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (!h->on || !w->who) { /* [HOLD-2] */
		h->refused++;
		if (h->changed)
			h->changed(h->opaque);
		pthread_mutex_unlock(&h->lock);
		return -ENOSPC;
	}
	/* A claim that is given up can hide what came free beside it until it is gone, and does not ring: so the
	 * head tries again every few seconds even so. */
	poll_at += host_full ? POLL_FIRST_NS << MIN(w->polls, POLL_DOUBLINGS) : POLL_IDLE_NS;
	if (!w->queued)
		enqueue(h, w); /* and one more try: rings may be spared while nobody waits */
	else
		r = wait_turn(h, w, poll_at);
	if (r == -ENOSPC)
		h->refused++;
	pthread_mutex_unlock(&h->lock);
	return r;
}

void hold_end(struct hold *h, struct held *w)
{
	if (!w->queued)
		return;
	pthread_mutex_lock(&h->lock);
	dequeue(h, w);
	pthread_mutex_unlock(&h->lock);
}

void hold_cut(struct hold *h, struct holder *who)
{
	atomic_store(&who->cut, true);
	pthread_mutex_lock(&h->lock);
	for (unsigned k = 0; k < HOLD_KINDS; k++)
		for (struct held *w = h->first[k]; w; w = w->next)
			if (w->who == who)
				pthread_cond_signal(&w->woken);
	pthread_mutex_unlock(&h->lock);
}

void hold_get_info(struct hold *h, struct hold_info *ret_info)
{
	pthread_mutex_lock(&h->lock);
	*ret_info = (struct hold_info){
		.held = atomic_load(&h->n),
		.since_wall_ns = atomic_load(&h->n) ? h->since_wall_ns : 0,
		.full_times = h->full_times,
		.total = h->total,
		.refused = h->refused,
	};
	pthread_mutex_unlock(&h->lock);
}
