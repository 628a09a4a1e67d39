/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delta.c - a table from units (pages and blocks) to small integers
 */
#include "delta.h"

#define SIZE_MIN 256u
#define SIZE_KEPT 131072u /* chunks: 5 MiB */

static size_t home(const struct delta *d, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 24) & d->mask;
}

static struct delta_chunk *find(const struct delta *d, uint64_t key)
{
	size_t i = home(d, key);

	while (d->slot[i].key && d->slot[i].key != key)
		i = (i + 1) & d->mask;
	return &d->slot[i];
}

int delta_prepare(struct delta *d, size_t n)
{
	struct delta new = {.mask = SIZE_MIN - 1, .chunks = d->chunks, .used = d->used};

	if (d->slot && (d->chunks + n) * 4 <= (d->mask + 1) * 3)
		return 0;
	while ((d->chunks + n) * 4 > (new.mask + 1) * 3)
		new.mask = new.mask * 2 + 1;
	new.slot = calloc(new.mask + 1, sizeof *new.slot);
	if (!new.slot)
		return fail(-ENOMEM, "no memory for reference counts");
	for (size_t i = 0; d->slot && i <= d->mask; i++)
		if (d->slot[i].key)
			*find(&new, d->slot[i].key) = d->slot[i];
	free(d->slot);
	*d = new;
	return 0;
}

/* Closes the gap at i, so that every chunk can be reached from its home. */
static void take_out(struct delta *d, size_t i)
{
	size_t j = i;

	d->chunks--;
	for (;;) {
		d->slot[i].key = 0;
		for (;;) {
			j = (j + 1) & d->mask;
			if (!d->slot[j].key)
				return;
			size_t h = home(d, d->slot[j].key);

			/* may the chunk at j move to i?  Not if its home lies cyclically in (i, j] */
			if (i <= j ? (h <= i || h > j) : (h <= i && h > j))
				break;
		}
		d->slot[i] = d->slot[j];
		i = j;
	}
}

static bool all_zero(const struct delta_chunk *c)
{
	int32_t any = 0;

	for (unsigned i = 0; i < DELTA_UNITS; i++)
		any |= c->value[i];
	return !any;
}

int delta_add(struct delta *d, uint64_t unit, int by)
{
	struct delta_chunk *c = find(d, unit / DELTA_UNITS + 1);
	int32_t *value = &c->value[unit % DELTA_UNITS];

	if (!c->key) {
		*c = (struct delta_chunk){.key = unit / DELTA_UNITS + 1};
		d->chunks++;
	}
	d->used -= *value != 0;
	/* far beyond any count, so that a merge of it fails: only damaged maps can get here */
	*value = MAX(-DELTA_LIMIT, MIN(*value + by, DELTA_LIMIT));
	if (*value) {
		d->used++;
		return *value;
	}
	if (all_zero(c))
		take_out(d, (size_t)(c - d->slot));
	return 0;
}

const struct delta_chunk *delta_find(const struct delta *d, uint64_t unit)
{
	const struct delta_chunk *c;

	if (!d->chunks)
		return NULL;
	c = find(d, unit / DELTA_UNITS + 1);
	return c->key ? c : NULL;
}

int delta_get(const struct delta *d, uint64_t unit)
{
	const struct delta_chunk *c = delta_find(d, unit);

	return c ? c->value[unit % DELTA_UNITS] : 0;
}

void delta_clear(struct delta *d)
{
	if (d->mask >= SIZE_KEPT)
		delta_fini(d);
	else if (d->chunks)
		memset(d->slot, 0, (d->mask + 1) * sizeof *d->slot);
	d->chunks = d->used = 0;
}

void delta_fini(struct delta *d)
{
	free(d->slot);
	*d = (struct delta){0};
}
