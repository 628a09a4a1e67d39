/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delta.h - a table from units (pages and blocks) to small integers
 *
 * A *unit* is a counted thing: zone * ZONE_UNITS_MAX + its index in the zone.
 * Open addressing, eight bytes an entry, entries that become zero leave.
 *
 * Thread rule: the owner's lock.  Failure: only delta_prepare can fail.
 */
#ifndef COWBD_DELTA_H
#define COWBD_DELTA_H

#include "base.h"

#define DELTA_BITS 24u
#define DELTA_LIMIT ((1 << (DELTA_BITS - 1)) - 1) /* greatest magnitude */

struct delta {
	uint64_t *slot; /* unit + 1 << DELTA_BITS | value, two's complement; 0: empty */
	size_t mask, used;
};

/* Room for n more entries: 0 or -ENOMEM. */
int delta_prepare(struct delta *d, size_t n) MUST_CHECK;

/* Adds by (not 0) to unit's value, and returns the new one. */
int delta_add(struct delta *d, uint64_t unit, int by);

int delta_get(const struct delta *d, uint64_t unit);

/* Empties it, keeping its memory unless that is large. */
void delta_clear(struct delta *d);
void delta_fini(struct delta *d);

static inline int delta_value(uint64_t slot)
{
	return (int32_t)((uint32_t)slot << (32 - DELTA_BITS)) >> (32 - DELTA_BITS);
}

/* The i-th place, 0 .. mask: true and unit and value if it is taken. */
static inline bool delta_at(const struct delta *d, size_t i, uint64_t *unit, int *value)
{
	uint64_t v = d->slot[i];

	*unit = (v >> DELTA_BITS) - 1;
	*value = delta_value(v);
	return v != 0;
}

#endif
