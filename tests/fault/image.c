/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - what a run leaves: after the daemon's death, and after cuts of the power
 */
#include <stdarg.h>
#include <stdio.h>

#include "fault.h"

unsigned violations;
uint64_t images;

int violated(const struct run *r, const char *fmt, ...)
{
	va_list args;

	violations++;
	printf("site %s, at \"%s\": ", site_name(), r->step);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	return -1;
}

struct oracle *oracle_of(struct run *r)
{
	return r->oracle[r->noracles - 1];
}

size_t events_now(const struct run *r)
{
	size_t n;

	(void)store_sim_events(r->store, &n);
	return n;
}

/* ---- looking at what is left ------------------------------------------------------------------------------ */

static char finding[300];

static void note(void *opaque, enum cowbd_damage_kind kind, const char *object, uint64_t offset,
		 const char *message)
{
	(void)opaque;
	if (kind != COWBD_NOTE && !finding[0])
		snprintf(finding, sizeof finding, "%s: %.200s at %" PRIu64, object, message,
			 offset);
}

static int check_pool(struct cowbd_pool *p, char *why, size_t len)
{
	struct cowbd_check_options opt = {.report = note};
	struct cowbd_check_result result = {0};

	finding[0] = '\0';
	if (cowbd_check_pool(p, &opt, &result) < 0)
		return say(why, len, "checking: %s", cowbd_error());
	if (result.damages || result.leaks)
		return say(why, len, "checker: %" PRIu64 " damages, %" PRIu64 " leaks: %s",
			   result.damages, result.leaks, finding);
	return 0;
}

int open_store(struct store *s, unsigned flags, struct cowbd_pool **ret_pool)
{
	struct cowbd_open_options opt = {.flags = flags, .run_dir = dir, .cache_bytes = 1u << 20};

	return pool_open_store(s, "sim", &opt, ret_pool);
}

/* The recovered pool is of use: it takes a write, makes it durable, and closes. */
static int use_pool(struct cowbd_pool *p, char *why, size_t len)
{
	static const uint8_t buf[SECTOR] = {1};
	struct cowbd_client *c;
	int r = cowbd_create(p, "after", 4 * BLOCK, 0, 0);

	if (r == 0)
		r = cowbd_client_open(p, "after", false, "test", &c);
	if (r == 0) {
		r = cowbd_write(c, buf, sizeof buf, BLOCK, COWBD_FUA);
		cowbd_client_close(c);
	}
	return r < 0 ? say(why, len, "using it: %s", cowbd_error()) : 0;
}

/* Opens an image (taken over) and judges it. */
static int look_at(const struct run *r, const struct moment *m, struct store *s, bool killed,
		   const char *what)
{
	unsigned flags = killed ? 0 : COWBD_OPEN_LOST_TAIL | COWBD_OPEN_AFTER_ERROR;
	struct store *again = NULL;
	struct cowbd_pool *p;
	char why[700] = "";
	uint64_t hash;
	int err;

	images++;
	if (killed && store_sim_copy(s, NULL, &again) < 0)
		abort();
	err = open_store(s, flags, &p);
	if (err == -EIO && killed && m->failed) { /* it says that something may be lost */
		killed = false;
		err = open_store(again, COWBD_OPEN_AFTER_ERROR, &p);
	} else {
		store_close(again);
	}
	if (err < 0)
		return violated(r, "%s: opening: %s", what, cowbd_error());
	err = oracle_judge(m->oracle, p, m->events, killed, &hash, why, sizeof why);
	if (err == 0)
		err = check_pool(p, why, sizeof why);
	if (err == 0)
		err = use_pool(p, why, sizeof why);
	if (err < 0)
		store_sim_cut(p->e.store);
	if (cowbd_close(p) < 0 && err == 0)
		err = say(why, sizeof why, "closing: %s", cowbd_error());
	return err < 0 ? violated(r, "%s: %s", what, why) : 0;
}

static void lose_power(struct run *r, const struct moment *m, unsigned mode, const char *what)
{
	static size_t lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	size_t n = store_sim_unsynced(r->store, m->events, lost, UNSYNCED_MAX), ndrop = 0;
	struct store *s;

	if (n > UNSYNCED_MAX)
		abort();
	for (size_t i = 0; i < n; i++)
		if (mode == 0 || random_of(&r->random) % 2)
			drop[ndrop++] = lost[i];
	if (store_sim_replay(r->store, m->events, drop, ndrop, NULL, &s) < 0)
		abort();
	each_tail(remove_tail, NULL);
	(void)look_at(r, m, s, false, what);
}

/* The pool is gone; each moment is looked at. */
void look_at_moments(struct run *r)
{
	for (unsigned i = 0; i < r->nmoments; i++) {
		struct moment *m = &r->moment[i];

		tails_restore(&m->tails);
		(void)look_at(r, m, m->killed, true, i ? "killed at the end" : "killed");
		m->killed = NULL;
		lose_power(r, m, 0, i ? "power cut at the end" : "power cut");
		lose_power(r, m, 1, i ? "power cut at the end, some lost" : "power cut, some lost");
	}
}

void remember(struct run *r)
{
	struct moment *m = &r->moment[r->nmoments];

	if (r->nmoments == IMAGES_MAX)
		return;
	*m = (struct moment){.events = events_now(r), .oracle = oracle_of(r)};
	m->failed = r->p ? atomic_load(&r->p->e.failed) : r->open_failed;
	suspend_faults(r);
	if (store_sim_copy(r->store, NULL, &m->killed) < 0)
		abort();
	each_tail(keep_tail, &m->tails);
	resume_faults(r);
	r->nmoments++;
}
