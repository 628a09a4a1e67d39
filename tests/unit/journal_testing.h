/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_testing.h - records to append and to compare with, for tests of journal and tail
 */
#ifndef COWBD_JOURNAL_TESTING_H
#define COWBD_JOURNAL_TESTING_H

#include <stdio.h>

#include "journal.h"

#include <check.h>
#undef fail /* check's old name of ck_abort; here it is base.h's function */

static const uint8_t test_uuid[16] = "a pool for tests";

/* ck_assert for loops over many records: check notes each one that holds in a file. */
#define ck_assert_quick(cond) ((cond) ? (void)0 : ck_abort_msg("%s", #cond))

/* A small generator of numbers (splitmix64), one state a test. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The record that tests append as number seq: type, fields and length follow from seq. */
static inline struct record record_nth(uint64_t seq, bool more)
{
	uint64_t state = seq, pick = random_next(&state);
	struct record r = {.seq = seq, .more = more};

	switch (pick % 4) {
	case 0:
		r.type = REC_ZONE;
		r.zone = seq + 1;
		r.zone_type = pick >> 8 & ZONE_META;
		break;
	case 1:
		r.type = REC_CREATE;
		r.object = seq;
		r.size = SECTOR_BYTES * (1 + seq);
		r.created = pick;
		memset(r.name, 'a' + (char)(seq % 26), 1 + (pick >> 8) % NAME_BYTES_MAX);
		break;
	default:
		r.type = REC_MAP;
		r.object = 1 + seq % 7;
		r.block = seq * MAP_FANOUT;
		r.length = 1 + pick % MAP_FANOUT;
		r.physical = 1 + (pick >> 20);
	}
	return r;
}

static inline bool record_same(const struct record *a, const struct record *b)
{
	return a->type == b->type && a->more == b->more && a->seq == b->seq &&
	       a->object == b->object && a->block == b->block && a->length == b->length &&
	       a->physical == b->physical && a->zone == b->zone && a->zone_type == b->zone_type &&
	       a->source == b->source && a->other == b->other && a->size == b->size &&
	       a->created == b->created && a->flags == b->flags &&
	       a->sector_size == b->sector_size && a->label == b->label &&
	       !strcmp(a->name, b->name);
}

/* Appends record_nth(next), reserving for it. */
static inline void append_nth(struct journal *j, bool more)
{
	uint64_t seq = journal_seq(j) + 1;
	struct record r = record_nth(seq, more);

	ck_assert_quick(journal_reserve(j, record_size(&r)));
	ck_assert_quick(journal_append(j, &r) == seq);
}

/* Appends a group of n of them. */
static inline void append_group(struct journal *j, unsigned n)
{
	while (n--)
		append_nth(j, n > 0);
}

/* What a scan visited: each must be record_nth of its seq, and follow the last. */
struct visited {
	uint64_t n, first, last;
	bool open;        /* the last one said that more follows */
	uint64_t stop_at; /* fail there, 0 never */
};

static inline int visit_nth(void *opaque, const struct record *r)
{
	struct record expected = record_nth(r->seq, r->more);
	struct visited *v = opaque;

	ck_assert_quick(record_same(r, &expected));
	ck_assert_quick(!v->n || r->seq == v->last + 1);
	if (!v->n++)
		v->first = r->seq;
	v->last = r->seq;
	v->open = r->more;
	return r->seq == v->stop_at ? fail(-ECANCELED, "stopped") : 0;
}

/* Seed of a random test: $COWBD_SEED, or another one each time. */
static inline uint64_t random_seed(const char *test)
{
	const char *given = getenv("COWBD_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : wall_ns();

	printf("%s: COWBD_SEED=%" PRIu64 "\n", test, seed);
	fflush(stdout);
	return seed;
}

#endif
