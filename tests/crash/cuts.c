/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cuts.c - which images of a power cut are tried
 */
#include <stdio.h>

#include "format.h"
#include "images_internal.h"

/* Loses the events of lost[] whose bit in keep (by function of i) is clear. */
static void drop_by(struct image *im, const size_t *lost, size_t n,
		    bool (*drops)(size_t i, size_t n, uint64_t arg), uint64_t arg)
{
	im->ndropped = 0;
	for (size_t i = 0; i < n; i++)
		if (drops(i, n, arg))
			im->dropped[im->ndropped++] = lost[i];
}

static bool drops_from(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i >= arg;
}

static bool drops_mask(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return !(arg >> i & 1);
}

static bool drops_one(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i == arg;
}

static bool keeps_one(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i != arg;
}

static bool drops_some(size_t i, size_t n, uint64_t arg)
{
	uint64_t random = arg + i;
	unsigned eighths = 1 + (unsigned)(arg >> 32) % 7;

	(void)n;
	return random_of(&random) % 8 < eighths;
}

struct cut {
	struct image *im;
	const struct effort *effort;
	const size_t *lost; /* events that it may undo */
	size_t n;
	size_t in_flight; /* a durable write that is the last event, or SIZE_MAX */
	bool between; /* the copies of the superblock, or before them: cuts in the recovery matter most */
	uint64_t *random;
};

static void next_random(struct cut *c)
{
	c->im->random = c->im->random * 6364136223846793005u + 1442695040888963407u;
	c->im->nest = c->between                                                            ? 36
		      : c->effort->nested && (c->im->random >> 33) % c->effort->nested == 0 ? 6
											    : 0;
}

static int try_plain(struct cut *c, enum image_kind kind, const char *what,
		     bool (*drops)(size_t, size_t, uint64_t), uint64_t arg)
{
	drop_by(c->im, c->lost, c->n, drops, arg);
	c->im->kind = kind;
	c->im->what = what;
	c->im->torn = false;
	next_random(c);
	return try_image(c->im);
}

/* ---- torn writes ------------------------------------------------------------------------------------ */

static const struct sim_event *tearable(const struct cut *c, size_t event, unsigned *ret_sectors)
{
	size_t n;
	const struct sim_event *e = &store_sim_events(c->im->ph->store, &n)[event];

	*ret_sectors = (unsigned)store_sim_sectors(e);
	return e->kind == SIM_WRITE && *ret_sectors > 1 && *ret_sectors <= sizeof c->im->reached * 8
		       ? e
		       : NULL;
}

/* The others are lost as drops says; of the event those sectors are new whose bits in reached are set. */
static int try_tear(struct cut *c, size_t event, bool garbage,
		    bool (*drops)(size_t, size_t, uint64_t), uint64_t arg)
{
	struct image *im = c->im;

	drop_by(im, c->lost, c->n, drops, arg);
	for (size_t i = 0; i < im->ndropped; i++)
		if (im->dropped[i] == event)
			memmove(&im->dropped[i], &im->dropped[i + 1],
				(--im->ndropped - i) * sizeof im->dropped[0]);
	next_random(c);
	im->torn = true;
	im->tear = (struct sim_tear){event, im->reached, garbage ? im->random | 1 : 0};
	im->kind = garbage ? IMAGE_GARBAGE : IMAGE_TORN;
	im->what = event == c->in_flight ? "a durable write in flight" : NULL;
	return try_image(im);
}

/* Torn at each sector: all before it new, and it alone old.  Of very long ones some. */
static int tear_everywhere(struct cut *c, size_t event)
{
	unsigned sectors, step;
	const struct sim_event *e = tearable(c, event, &sectors);
	int r = 0;

	if (!e)
		return 0;
	step = 1 + sectors / 24;
	for (unsigned at = (unsigned)(random_of(c->random) % step); at < sectors && r == 0;
	     at += step)
		for (unsigned mode = 0; mode < 4 && r == 0; mode++) {
			bool garbage = mode & 1;

			/* a guest's sector is old or new, as on every disk */
			if (garbage && !(e->flags & STORE_DIRECT))
				continue;
			memset(c->im->reached, 0, sizeof c->im->reached);
			for (unsigned i = 0; i < sectors; i++)
				if (mode & 2 ? i != at : i < at)
					c->im->reached[i / 8] |= (uint8_t)(1u << i % 8);
			r = try_tear(c, event, garbage, drops_from,
				     random_of(c->random) % 2 ? c->n : 0);
		}
	return r;
}

/* One of them, or the durable write in flight, is torn somewhere. */
static int tear_somewhere(struct cut *c)
{
	uint64_t *random = c->random, arg = random_of(random);
	size_t event = c->in_flight;
	unsigned sectors, at, mode = (unsigned)(random_of(random) % 3);
	const struct sim_event *e;

	if (event == SIZE_MAX || (c->n && random_of(random) % 3 == 0)) {
		if (c->n == 0)
			return 0;
		event = c->lost[random_of(random) % c->n];
	}
	e = tearable(c, event, &sectors);
	if (!e)
		return 0;
	memset(c->im->reached, 0, sizeof c->im->reached);
	at = (unsigned)(mode == 0 ? 1 + random_of(random) % (sectors - 1)
				  : random_of(random) % sectors);
	for (unsigned i = 0; i < sectors; i++) /* a prefix, all but one, any */
		if (mode == 0 ? i < at : mode == 1 ? i != at : random_of(random) % 2)
			c->im->reached[i / 8] |= (uint8_t)(1u << i % 8);
	return try_tear(c, event, e->flags & STORE_DIRECT && random_of(random) % 2,
			arg % 4 == 0 ? drops_from : drops_some, arg % 4 == 0 ? c->n : arg);
}

/* ---- all images of a cut ------------------------------------------------------------------------------------------ */

static int all_subsets(struct cut *c)
{
	int r = 0;

	for (uint64_t mask = 0; mask < 1u << c->n && r == 0; mask++)
		r = try_plain(c, (mask & (mask + 1)) == 0 ? IMAGE_PREFIX : IMAGE_REORDERED,
			      "a subset", drops_mask, mask);
	return r;
}

/* All that the fault model names: prefixes, each alone lost, each alone kept, a sample; each torn everywhere. */
static int explore_all(struct cut *c)
{
	size_t step = 1 + c->n / 24; /* of very many, some */
	int r = 0;

	if (c->n <= c->effort->subsets)
		r = all_subsets(c);

	for (size_t k = random_of(c->random) % step;
	     k <= c->n && r == 0 && c->n > c->effort->subsets; k += step) {
		r = try_plain(c, IMAGE_PREFIX, NULL, drops_from, k);
		if (r == 0 && k < c->n)
			r = try_plain(c, IMAGE_REORDERED, "one lost", drops_one, k);
		if (r == 0 && k < c->n)
			r = try_plain(c, IMAGE_REORDERED, "one kept", keeps_one, k);
		if (r == 0)
			r = try_plain(c, IMAGE_REORDERED, "a sample", drops_some,
				      random_of(c->random));
	}
	step = 1 + c->n / 8;
	for (size_t i = random_of(c->random) % step; i < c->n && r == 0; i += step)
		r = tear_everywhere(c, c->lost[i]);
	return r;
}

/* Some of it. */
static int explore_some(struct cut *c)
{
	unsigned budget = c->effort->budget;
	size_t n = c->n;
	int r = 0;

	for (unsigned i = 0; i < budget / 6 + 1 && r == 0; i++)
		r = tear_somewhere(c);
	if (n <= c->effort->subsets && (1u << n) <= 2 * budget)
		return r < 0 ? r : all_subsets(c);
	for (size_t i = 0; i < MIN(n + 1, (size_t)budget / 4 + 2) && r == 0; i++)
		r = try_plain(c, IMAGE_PREFIX, NULL, drops_from,
			      n <= budget / 4 + 1 ? i
			      : i == 0            ? 0
			      : i == 1            ? n
						  : random_of(c->random) % n);
	for (unsigned i = 0; i < budget / 2 && r == 0; i++) {
		uint64_t arg = random_of(c->random);

		if (i % 3 == 0)
			r = try_plain(c, IMAGE_REORDERED, "one lost", drops_one, arg % n);
		else if (i % 3 == 1)
			r = try_plain(c, IMAGE_REORDERED, "one kept", keeps_one, arg % n);
		else
			r = try_plain(c, IMAGE_REORDERED, "a sample", drops_some, arg);
	}
	return r;
}

/* The durable write that begins at the cut is in flight: torn by its sectors; the whole of it is the next cut. */
static int explore_in_flight(struct cut *c)
{
	int r = 0;

	if (c->effort->budget == 0)
		return tear_everywhere(c, c->in_flight);
	for (unsigned i = 0; i < c->effort->budget / 8 + 1 && r == 0; i++)
		r = tear_somewhere(c);
	return r;
}

static int explore_cut(struct image *im, const struct effort *effort, uint64_t *random,
		       const struct sim_event *durable)
{
	static size_t lost[UNSYNCED_MAX];
	struct cut c = {.im = im,
			.effort = effort,
			.lost = lost,
			.n = MIN(store_sim_unsynced(im->ph->store, im->events, lost, UNSYNCED_MAX),
				 (size_t)UNSYNCED_MAX),
			.in_flight = SIZE_MAX,
			.between = durable && durable->offset < ZONE_BYTES,
			.random = random};
	int r;

	im->random = random_of(random);
	counts.cuts++;
	r = effort->budget ? explore_some(&c) : explore_all(&c);
	if (r == 0 && durable) {
		c.in_flight = im->events++;
		r = explore_in_flight(&c);
	}
	return r;
}

/* What is durable in all cuts from k on need not be done anew for each image. */
static void fold(const struct phase *ph, size_t k)
{
	size_t first;

	if (store_sim_unsynced(ph->store, k, &first, 1) == 0)
		first = k;
	if (store_sim_fold(ph->store, first) < 0)
		abort();
}

/* Cuts that a later one includes, with the same known of them, are left out: before a mark, and between
 * writes that are not durable. */
int explore_phase(const struct phase *ph, size_t from, const struct effort *effort, uint64_t seed)
{
	static struct image im;
	uint64_t random = seed;
	size_t n;
	const struct sim_event *e = store_sim_events(ph->store, &n);
	int r = 0;

	/* of a long one a part of the cuts: its images are as many as a short one's */
	for (size_t k = from; k <= n && r == 0; k++) {
		bool durable = k < n && e[k].kind == SIM_WRITE && e[k].flags & STORE_DURABLE;

		if (k < n && e[k].kind != SIM_SYNC && !durable)
			continue;
		if (effort->budget && n - from > 300 &&
		    random_of(&random) % ((n - from) / 150) != 0)
			continue;
		fold(ph, k);
		im = (struct image){.ph = ph, .events = k};
		r = explore_cut(&im, effort, &random, durable ? &e[k] : NULL);
	}
	return r;
}

struct store *image_crashed(const struct phase *ph, uint64_t *random, const struct kill **ret_kill)
{
	const struct sim_options record = {.seed = *random, .record = true};
	static size_t lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	size_t n, nlost, ndrop = 0, k;
	struct store *s;

	*ret_kill = NULL;
	if (ph->nkills && random_of(random) % 2) {
		*ret_kill = &ph->kill[random_of(random) % ph->nkills];
		return store_sim_copy((*ret_kill)->store, &record, &s) < 0 ? NULL : s;
	}
	(void)store_sim_events(ph->store, &n);
	k = ph->first + random_of(random) % (n - ph->first + 1);
	if (random_of(random) % 2)
		k = n;
	nlost = MIN(store_sim_unsynced(ph->store, k, lost, UNSYNCED_MAX), (size_t)UNSYNCED_MAX);
	for (size_t i = 0; i < nlost; i++)
		if (random_of(random) % 2)
			drop[ndrop++] = lost[i];
	return store_sim_replay(ph->store, k, drop, ndrop, &record, &s) < 0 ? NULL : s;
}
