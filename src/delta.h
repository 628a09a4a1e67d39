/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delta.h - a table from units (pages and blocks) to small integers
 *
 * A *unit* is a counted thing: zone * ZONE_UNITS_MAX + its index in the zone.
 *
 *	unit / 8 --hash--> [ key | 8 values ]    one *chunk*, 40 bytes, open addressing
 *
 * The copy of a leaf changes the counts of 512 blocks, and most of them are neighbours on the
 * disk: so neighbours share a chunk.  A chunk whose values all became zero leaves.
 *
 * Thread rule: the owner's lock.  Failure: only delta_prepare can fail.
 */
#ifndef COWBD_DELTA_H
#define COWBD_DELTA_H

#include "base.h"

#define DELTA_UNITS 8u
#define DELTA_LIMIT ((1 << 23) - 1) /* greatest magnitude */

struct delta_chunk {
	uint64_t key; /* unit / DELTA_UNITS + 1; 0: empty */
	int32_t value[DELTA_UNITS];
};

struct delta {
	struct delta_chunk *slot;
	size_t mask, chunks; /* chunks taken */
	size_t used;         /* values that aren't zero */
};

/* Room for n more units wherever they are: 0 or -ENOMEM. */
int delta_prepare(struct delta *d, size_t n) MUST_CHECK;

/* Adds by (not 0) to unit's value, and returns the new one. */
int delta_add(struct delta *d, uint64_t unit, int by);

int delta_get(const struct delta *d, uint64_t unit);

/* The chunk that unit is in, NULL if all its values are zero. */
const struct delta_chunk *delta_find(const struct delta *d, uint64_t unit);

/* Empties it, keeping its memory unless that is large. */
void delta_clear(struct delta *d);
void delta_fini(struct delta *d);

/* The i-th place, 0 .. mask, NULL if it is empty or there is no table; its first unit. */
static inline const struct delta_chunk *delta_at(const struct delta *d, size_t i)
{
	return d->slot && d->slot[i].key ? &d->slot[i] : NULL;
}

static inline uint64_t delta_first(const struct delta_chunk *c)
{
	return (c->key - 1) * DELTA_UNITS;
}

#endif
