/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * changes.h - what changed in the counts of units since a cut, neighbours together
 *
 *	line, one of the processor's   | number + 1 | by[0] | by[1] | ... | by[55] |
 *	                                                |
 *	over (delta.h)                                  by[i] is ELSEWHERE: the few that 8 bits don't hold
 *
 *	zone    [line 0 |line 1 |line 2 | ...  |18 ]    a line's units are of one zone
 *
 * The copy of a leaf raises the counts of 512 blocks, and a whole volume's leaves are copied after a
 * snapshot: one entry a unit, as in delta.h, fills a table of 8 MiB with 4 GiB of a volume.  Most of these
 * units are neighbours, so here a line is a hash table's entry, 64 bytes for up to 56 units: 2 MiB for all units of
 * 4 GiB.
 *
 * Invariants
 *   [CHG-1] used: lines that are taken; units: those whose value isn't zero.
 *   [CHG-2] A line stays until all are cleared, also when its values are zero again.
 *
 * Thread rule: the owner's lock.  Failure: only changes_prepare can fail.
 */
#ifndef COWBD_CHANGES_H
#define COWBD_CHANGES_H

#include "delta.h"
#include "format.h"

#define CHANGES_LINE_UNITS 56u
#define CHANGES_ZONE_LINES ((ZONE_UNITS_MAX + CHANGES_LINE_UNITS - 1) / CHANGES_LINE_UNITS)

struct changes_line {
	uint64_t number_1; /* zone * CHANGES_ZONE_LINES + which of the zone + 1; 0: not taken */
	int8_t by[CHANGES_LINE_UNITS];
};

struct changes {
	struct changes_line *line;
	size_t mask, used;
	uint64_t units;
	struct delta over;
};

/* Room to change n more units, each by 1: 0 or -ENOMEM. */
int changes_prepare(struct changes *c, size_t n) MUST_CHECK;

/* Adds by to unit's value, and returns the new one, between -DELTA_LIMIT and DELTA_LIMIT. */
int changes_add(struct changes *c, uint64_t unit, int by);

/* Adds by to the values of the n units.  Cost: a look for each line that is not the one before, all on their way at once. */
void changes_add_all(struct changes *c, const uint64_t *unit, unsigned n, int by);

int changes_get(const struct changes *c, uint64_t unit);

/* Adds the values of the first n units of a zone to value[n].  Cost: a look for each line. */
void changes_add_to(const struct changes *c, uint64_t zone, unsigned n, int *value);

/* Zones in which something isn't zero, in no order, and each maybe several times: *at begins as 0.  False: no more. */
bool changes_next_zone(const struct changes *c, size_t *at, uint64_t *ret_zone);

/* Empties it, and keeps its memory if it was put to use. */
void changes_clear(struct changes *c);
void changes_fini(struct changes *c);

#endif
