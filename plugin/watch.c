/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.c - looks after the pool: says when it is full, nearly full, or failed
 *
 * One thread.  It looks each second, and at once when the first write is held or the last one let
 * go; what it finds goes to the log and to those who subscribed to events.  So the
 * engine, which calls watch_wake in the middle of a write, neither allocates nor prints there.
 *
 *	full        the first write is held, or one was refused; the log says so again each minute
 *	released    none is held any more
 *	low-water   what is free crossed the mark, in either direction
 *	failed      the pool turned read-only after an error
 *
 * A client that went away while its writes are held can't be noticed by nbdkit: the threads that
 * would are those that hold.  So this thread looks for such, too.
 */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "events.h"
#include "handles.h"

#define LOOK_MS 1000
#define REMIND_S 60 /* $COWBD_REMIND_SECONDS: for tests */

/* What was seen last; the thread's own. */
static struct {
	struct cowbd_pool *pool;
	struct low_water mark;
	uint64_t full_times, refused;
	bool full, low, failed;
	int64_t full_s, reminded_s; /* since when, and when the log said so last */
	int64_t remind_s;           /* how often it does */
} seen;

static int wake_fd = -1;
static atomic_bool stopping;
static pthread_t thread;
static bool started;

static int64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int watch_init(void)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return wake_fd < 0 ? -errno : 0;
}

void watch_wake(void *unused)
{
	int saved = errno;

	(void)unused;
	(void)!write(wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	errno = saved;
}

/* ---- full ------------------------------------------------------------------------------ */

static void begin_full(const struct cowbd_pool_info *i)
{
	seen.full = true;
	seen.full_s = seen.reminded_s = now_s();
	nbdkit_error("the pool is full: writes wait for space; remove snapshots or volumes, or "
		     "`cowbd grow`");
	events_tell(json_pack("{s:s,s:s,s:I}", "event", "full", "policy", "hold", "held",
			      (json_int_t)i->held));
}

static void end_full(const struct cowbd_pool_info *i)
{
	seen.full = false;
	nbdkit_error("no write waits for space any more, after %" PRIi64 " s",
		     now_s() - seen.full_s);
	events_tell(json_pack("{s:s,s:I,s:I}", "event", "released", "seconds",
			      (json_int_t)(now_s() - seen.full_s), "free",
			      (json_int_t)i->free_bytes));
}

static void look_at_held(const struct cowbd_pool_info *i)
{
	if (i->full_times != seen.full_times) {
		if (seen.full) /* it ended and began again since the last look */
			end_full(i);
		seen.full_times = i->full_times;
		begin_full(i);
	}
	if (seen.full && !i->held)
		end_full(i);
	if (seen.full && now_s() - seen.reminded_s >= seen.remind_s) {
		seen.reminded_s = now_s();
		nbdkit_error("the pool is full for %" PRIi64 " s: %" PRIu64
			     " writes wait for space; remove snapshots or volumes, or `cowbd grow`",
			     now_s() - seen.full_s, i->held);
	}
	if (i->held)
		handles_drop_gone();
}

/* One event for writes that fail one after another: the next comes after a second without. */
static void look_at_refused(const struct cowbd_pool_info *i)
{
	static int64_t last_s;

	if (i->writes_refused == seen.refused)
		return;
	seen.refused = i->writes_refused;
	if (!last_s || now_s() - last_s > 2)
		events_tell(json_pack("{s:s,s:s,s:I}", "event", "full", "policy", "error",
				      "refused", (json_int_t)i->writes_refused));
	last_s = now_s();
}

/* ---- low water, failure ----------------------------------------------------------------- */

static void look_at_low_water(const struct cowbd_pool_info *i)
{
	uint64_t mark = seen.mark.percent ? i->block_zones_bytes / 100 * seen.mark.percent
					  : seen.mark.bytes;
	uint64_t above = i->block_zones_bytes > mark ? i->block_zones_bytes - mark : 0;
	/* to be out of it takes an eighth more: not an event for each block that comes and goes; and half of what
	 * there can be above it is enough */
	uint64_t out = mark + (mark / 8 < above / 2 ? mark / 8 : above / 2);
	bool low = i->free_bytes < (seen.low ? out : mark);

	if (low == seen.low)
		return;
	seen.low = low;
	if (low)
		nbdkit_error("little space is left in the pool: %" PRIu64 " of %" PRIu64
			     " bytes; remove snapshots or volumes, or `cowbd grow`",
			     i->free_bytes, i->block_zones_bytes);
	events_tell(json_pack("{s:s,s:b,s:I,s:I,s:I}", "event", "low-water", "below", low, "free",
			      (json_int_t)i->free_bytes, "mark", (json_int_t)mark, "capacity",
			      (json_int_t)i->block_zones_bytes));
}

static void look_at_failure(const struct cowbd_pool_info *i)
{
	if (i->failed == seen.failed)
		return;
	seen.failed = i->failed;
	nbdkit_error("the pool turned read-only: %s", i->failure);
	events_tell(json_pack("{s:s,s:s}", "event", "failed", "message", i->failure));
}

/* ---- the thread --------------------------------------------------------------------------- */

static void *watch_main(void *opaque)
{
	struct cowbd_pool_info *info = opaque;
	struct pollfd wait = {.fd = wake_fd, .events = POLLIN};
	struct timespec pause = {.tv_nsec = 20000000};
	uint64_t count;

	while (!atomic_load(&stopping)) {
		cowbd_pool_info(seen.pool, info);
		look_at_failure(info);
		look_at_held(info);
		look_at_refused(info);
		look_at_low_water(info);
		nanosleep(&pause, NULL); /* where each write is refused, each wakes us */
		(void)!poll(&wait, 1, LOOK_MS);
		(void)!read(wake_fd, &count, sizeof count);
	}
	free(info);
	return NULL;
}

int watch_start(struct cowbd_pool *p, struct low_water mark)
{
	struct cowbd_pool_info *info = malloc(sizeof *info);
	const char *remind = getenv("COWBD_REMIND_SECONDS");
	int err;

	if (!info)
		return -ENOMEM;
	seen.remind_s = remind && atoi(remind) > 0 ? atoi(remind) : REMIND_S;
	seen.pool = p;
	seen.mark = mark;
	err = pthread_create(&thread, NULL, watch_main, info);
	started = !err;
	if (err)
		free(info);
	return -err;
}

void watch_stop(void)
{
	if (!started)
		return;
	atomic_store(&stopping, true);
	watch_wake(NULL);
	pthread_join(thread, NULL);
	started = false;
}
