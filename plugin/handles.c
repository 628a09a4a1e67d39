/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handles.c - the open exports of all connections, and cutting them off
 *
 * To cut a handle:
 *	1. its gate is shut: requests that come are held, unanswered
 *	2. those inside end, but those that wait for space join the ones before the gate
 *	                                                           -> nothing touches the engine
 *	3. the client is closed                                    -> for the engine it is gone
 *	4. answers on their way leave, then the socket is shut down  -> for the client too
 *	5. one held request is released, a moment later the others  -> their threads end
 *
 * The order of 4 and 5 goes around an error of nbdkit 1.32.4 to 1.33.9 (Debian 12 has 1.32.5): when
 * two threads of a connection have an answer to send and the first of them fails, the second dies
 * by assertion, and all connections with it.  So a socket is shut down while nobody sends, and
 * then one thread alone may fail: that marks the connection dead, and the others don't try.  Whether
 * anybody still has to send is seen from its threads (stillness.h): no call says it.  A
 * client that takes no answers (its socket stays full) can't be hung up on that way: we stop
 * reading, and its threads stay until it takes them or goes.
 *
 * Invariants
 *   [HND-1] Who is inside has seen the gate open after counting himself; who shuts it looks at the
 *           count afterwards (both sequentially consistent): so 0 stays 0.
 *   [HND-2] A client is closed once, by whoever takes it out of the handle under the lock.
 *
 * Concurrency: the list, and what handles.h says, is under the lock; the engine is not called under
 * it, but for cowbd_client_cut, which waits for nothing.  Locks in order: cut_lock, lock, the one of connections.c.
 */
#include "handles.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "stillness.h"

#define POLL_MS 2
#define ANSWERS_MS 5000 /* for nbdkit to send the answers that it has */
#define FULL_MS 500     /* for a client to take those that fill its socket */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* released grew */
static struct handle *handles;                            /* under lock */
static uint64_t serial;                                   /* under lock: of the last handle */
static bool ending;                                       /* under lock: no more handles */

static _Thread_local uint64_t known_to; /* the handle that has this thread in its list */

static pthread_mutex_t cut_lock = PTHREAD_MUTEX_INITIALIZER; /* one handles_cut; before lock */

static void sleep_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* ---- the list ------------------------------------------------------------------------ */

bool handles_add(struct handle *h)
{
	bool added;

	pthread_mutex_lock(&lock);
	added = !ending;
	if (added) {
		h->serial = ++serial;
		h->next = handles;
		if (handles)
			handles->previous = h;
		handles = h;
	}
	pthread_mutex_unlock(&lock);
	return added;
}

void handle_free(struct handle *h)
{
	struct cowbd_client *client;

	pthread_mutex_lock(&lock);
	client = h->client; /* [HND-2] */
	h->client = NULL;
	pthread_mutex_unlock(&lock);
	/* Before it leaves the list: who finds no handle finds no client either. */
	cowbd_client_close(client);
	pthread_mutex_lock(&lock);
	if (h->next)
		h->next->previous = h->previous;
	if (h->previous)
		h->previous->next = h->next;
	else
		handles = h->next;
	pthread_mutex_unlock(&lock);
	free(h->thread);
	free(h->name);
	free(h);
}

size_t handles_count(void)
{
	size_t n = 0;

	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

void handles_free_all(void)
{
	while (handles)
		handle_free(handles);
}

/* ---- the gate ------------------------------------------------------------------------ */

/* Waits before the shut gate; a client that took no answers is looked at every second. */
static void wait_for_release(struct handle *h)
{
	struct timespec next;

	pthread_mutex_lock(&lock);
	h->held++;
	while (!h->released && !(h->hung_up && !conns_unsent(h->connection))) {
		clock_gettime(CLOCK_REALTIME, &next);
		next.tv_sec++;
		pthread_cond_timedwait(&changed, &lock, &next);
	}
	if (h->released)
		h->released--;
	h->held--;
	pthread_mutex_unlock(&lock);
}

/* Without memory it stays unknown, and is asked again. */
static void get_to_know(struct handle *h)
{
	pthread_mutex_lock(&lock);
	if (h->threads == h->threads_room) {
		size_t room = h->threads_room * 2 + 16;
		pid_t *larger = realloc(h->thread, room * sizeof *larger);

		if (larger) {
			h->thread = larger;
			h->threads_room = room;
		}
	}
	if (h->threads < h->threads_room) {
		h->thread[h->threads++] = gettid();
		known_to = h->serial;
	}
	pthread_mutex_unlock(&lock);
}

bool handle_enter(struct handle *h)
{
	if (known_to != h->serial)
		get_to_know(h);
	atomic_fetch_add(&h->inside, 1); /* [HND-1] */
	if (!atomic_load(&h->shut))
		return true;
	handle_leave(h);
	wait_for_release(h);
	return false;
}

void handle_leave(struct handle *h)
{
	atomic_fetch_sub(&h->inside, 1);
}

void handle_dropped(struct handle *h)
{
	handle_leave(h);
	wait_for_release(h);
}

/* ---- cutting ------------------------------------------------------------------------- */

static bool concerns(const struct handle *h, uint64_t object)
{
	return !object || h->object == object;
}

/* It is being cut, and no request of it is inside. */
static bool is_quiet(struct handle *h)
{
	return h->cutting && !atomic_load(&h->inside);
}

/* Is a request inside one of those that are being cut? */
static bool any_inside(void)
{
	bool inside = false;

	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h && !inside; h = h->next)
		inside = h->cutting && atomic_load(&h->inside);
	pthread_mutex_unlock(&lock);
	return inside;
}

static void shut_locked(struct handle *h)
{
	h->cutting = true;
	atomic_store(&h->shut, true); /* [HND-1] */
	if (h->client)
		cowbd_client_cut(h->client);
}

static void shut_gates(uint64_t object)
{
	pthread_mutex_lock(&lock);
	if (!object)
		ending = true;
	for (struct handle *h = handles; h; h = h->next)
		if (concerns(h, object))
			shut_locked(h);
	pthread_mutex_unlock(&lock);
}

static void close_clients(void)
{
	struct cowbd_client *client;

	do {
		client = NULL;
		pthread_mutex_lock(&lock);
		for (struct handle *h = handles; h && !client; h = h->next)
			if (is_quiet(h)) {
				client = h->client; /* [HND-2] */
				h->client = NULL;
			}
		pthread_mutex_unlock(&lock);
		cowbd_client_close(client);
	} while (client);
}

/* Has a request that was let go not got away yet? */
static bool any_leaving_locked(void)
{
	bool leaving = false;

	for (struct handle *h = handles; h && !leaving; h = h->next)
		leaving = is_quiet(h) && h->released && h->held;
	return leaving;
}

/* Have the threads of those that are being cut nothing to send but what is held? */
static bool all_sent(void)
{
	pid_t *tid = NULL;
	size_t n = 0, at = 0;
	bool sent;

	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next)
		n += is_quiet(h) ? h->threads : 0;
	sent = !any_leaving_locked() && (!n || (tid = malloc(n * sizeof *tid)));
	for (struct handle *h = handles; h && sent; h = h->next)
		for (size_t i = 0; is_quiet(h) && i < h->threads && at < n; i++)
			tid[at++] = h->thread[i];
	pthread_mutex_unlock(&lock);
	sent = sent && threads_were_still(tid, at);
	free(tid);
	return sent;
}

static void wait_for_answers(void)
{
	for (int waited_ms = 0; !all_sent() && waited_ms < ANSWERS_MS; waited_ms += POLL_MS)
		sleep_ms(POLL_MS);
}

/* Do answers still wait in the socket of one that is being cut? */
static bool any_unsent(void)
{
	bool unsent = false;

	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h && !unsent; h = h->next)
		unsent = h->cutting && conns_unsent(h->connection);
	pthread_mutex_unlock(&lock);
	return unsent;
}

static void hang_up(void)
{
	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next)
		if (is_quiet(h))
			conns_shutdown(h->connection,
				       conns_unsent(h->connection) ? SHUT_RD : SHUT_RDWR);
	pthread_mutex_unlock(&lock);
}

/* Lets one held request of each go, or all, now and later. */
static void release(bool all)
{
	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next) {
		if (!is_quiet(h))
			continue;
		if (!conns_unsent(h->connection))
			h->released = all ? UINT32_MAX / 2 : 1;
		h->hung_up = all;
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Steps 2 to 5, for those whose gates were shut.  cut_lock held. */
static int cut_shut(int limit_ms)
{
	int waited_ms, err = 0;

	for (waited_ms = 0; any_inside() && !err; waited_ms += POLL_MS) {
		if (limit_ms >= 0 && waited_ms >= limit_ms)
			err = -EBUSY;
		sleep_ms(POLL_MS);
	}
	close_clients();
	wait_for_answers();
	for (waited_ms = 0; any_unsent() && waited_ms < FULL_MS; waited_ms += POLL_MS)
		sleep_ms(POLL_MS);
	hang_up();
	release(false);
	wait_for_answers();
	release(true);
	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next)
		h->cutting = false;
	pthread_mutex_unlock(&lock);
	return err;
}

int handles_cut(uint64_t object, int limit_ms)
{
	int err;

	pthread_mutex_lock(&cut_lock);
	shut_gates(object);
	err = cut_shut(limit_ms);
	pthread_mutex_unlock(&cut_lock);
	return err;
}

void handles_drop_gone(void)
{
	bool any = false;
	int err;

	pthread_mutex_lock(&cut_lock);
	pthread_mutex_lock(&lock);
	for (struct handle *h = handles; h; h = h->next)
		if (h->client && cowbd_client_held(h->client) && conns_gone(h->connection)) {
			shut_locked(h);
			any = true;
		}
	pthread_mutex_unlock(&lock);
	if (any) {
		err = cut_shut(-1);
		assert(!err); /* without a limit it waits */
		(void)err;
	}
	pthread_mutex_unlock(&cut_lock);
}
