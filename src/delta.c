/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delta.c - a table from units (pages and blocks) to small integers
 */
#include "delta.h"

#define SIZE_MIN 256u
#define SIZE_KEPT (1u << 20) /* entries: 8 MiB */
#define LINE_UNITS 8u        /* entries in a cache line */

/* Neighbours have neighbouring homes, in one cache line: the copy of a leaf changes the counts of 512
 * blocks, a merge looks at all units of a zone, and most of them are neighbours on the disk. */
static size_t home(const struct delta *d, uint64_t unit)
{
	uint64_t line = (unit / LINE_UNITS * UINT64_C(0x9e3779b97f4a7c15)) >> 24;

	return (size_t)(line * LINE_UNITS + unit % LINE_UNITS) & d->mask;
}

static uint64_t key(uint64_t slot)
{
	return (slot >> DELTA_BITS) - 1;
}

static size_t find(const struct delta *d, uint64_t unit)
{
	size_t i = home(d, unit);

	while (d->slot[i] && key(d->slot[i]) != unit)
		i = (i + 1) & d->mask;
	return i;
}

int delta_prepare(struct delta *d, size_t n)
{
	struct delta new = {.mask = SIZE_MIN - 1};

	if (d->slot && (d->used + n) * 4 <= (d->mask + 1) * 3)
		return 0;
	while ((d->used + n) * 4 > (new.mask + 1) * 3)
		new.mask = new.mask * 2 + 1;
	new.slot = calloc(new.mask + 1, sizeof *new.slot);
	if (!new.slot)
		return fail(-ENOMEM, "no memory for reference counts");
	for (size_t i = 0; d->slot && i <= d->mask; i++)
		if (d->slot[i]) {
			new.slot[find(&new, key(d->slot[i]))] = d->slot[i];
			new.used++;
		}
	free(d->slot);
	*d = new;
	return 0;
}

/* Closes the gap at i, so that every entry can be reached from its home. */
static void take_out(struct delta *d, size_t i)
{
	size_t j = i;

	d->used--;
	for (;;) {
		d->slot[i] = 0;
		for (;;) {
			j = (j + 1) & d->mask;
			if (!d->slot[j])
				return;
			size_t h = home(d, key(d->slot[j]));

			/* may the entry at j move to i?  Not if its home lies cyclically in (i, j] */
			if (i <= j ? (h <= i || h > j) : (h <= i && h > j))
				break;
		}
		d->slot[i] = d->slot[j];
		i = j;
	}
}

int delta_add(struct delta *d, uint64_t unit, int by)
{
	size_t i = find(d, unit);
	int value = by;

	if (d->slot[i])
		value += delta_value(d->slot[i]);
	/* far beyond any count, so that a merge of it fails: only damaged maps can get here */
	value = MAX(-DELTA_LIMIT, MIN(value, DELTA_LIMIT));
	if (value == 0) {
		if (d->slot[i])
			take_out(d, i);
		return 0;
	}
	if (!d->slot[i])
		d->used++;
	d->slot[i] = (unit + 1) << DELTA_BITS | ((uint64_t)value & ((1u << DELTA_BITS) - 1));
	return value;
}

int delta_get(const struct delta *d, uint64_t unit)
{
	if (!d->used)
		return 0;
	return delta_value(d->slot[find(d, unit)]);
}

void delta_clear(struct delta *d)
{
	if (d->slot && d->mask < SIZE_KEPT) {
		memset(d->slot, 0, (d->mask + 1) * sizeof *d->slot);
		d->used = 0;
		return;
	}
	delta_fini(d);
}

void delta_fini(struct delta *d)
{
	free(d->slot);
	*d = (struct delta){0};
}
