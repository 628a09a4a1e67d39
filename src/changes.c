/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * changes.c - what changed in the counts of units since a cut, neighbours together
 */
#include "changes.h"

#define SIZE_MIN 64u
#define SIZE_KEPT (1u << 18) /* lines: 16 MiB */
#define FETCH_AHEAD 16u      /* units: lines that are on their way while one is changed */
#define ELSEWHERE INT8_MIN
#ifdef COWBD_TINY
#define BY_MAX 2 /* so that crash tests have some elsewhere */
#else
#define BY_MAX INT8_MAX
#endif

static_assert(sizeof(struct changes_line) == 64, "a line is one of the processor's");

/* A unit's line, and its place there. */
static uint64_t number_1(uint64_t unit)
{
	return unit / ZONE_UNITS_MAX * CHANGES_ZONE_LINES +
	       unit % ZONE_UNITS_MAX / CHANGES_LINE_UNITS + 1;
}

static unsigned place(uint64_t unit)
{
	return (unsigned)(unit % ZONE_UNITS_MAX % CHANGES_LINE_UNITS);
}

/* Where the search for a line begins. */
static size_t home(const struct changes *c, uint64_t number_1)
{
	return (size_t)((number_1 * UINT64_C(0x9e3779b97f4a7c15)) >> 24) & c->mask;
}

/* The place of a line, or the empty one where it belongs. */
static size_t find(const struct changes *c, uint64_t number_1)
{
	size_t i = home(c, number_1);

	while (c->line[i].number_1 && c->line[i].number_1 != number_1)
		i = (i + 1) & c->mask;
	return i;
}

static int grow(struct changes *c, size_t n)
{
	struct changes new = {.mask = SIZE_MIN - 1, .used = c->used, .units = c->units};
	size_t bytes;

	while ((c->used + n) * 4 > (new.mask + 1) * 3)
		new.mask = new.mask * 2 + 1;
	bytes = (new.mask + 1) * sizeof *new.line;
	new.line = aligned_alloc(sizeof *new.line, bytes);
	if (!new.line)
		return fail(-ENOMEM, "no memory for reference counts");
	memset(new.line, 0, bytes);
	for (size_t i = 0; c->line && i <= c->mask; i++)
		if (c->line[i].number_1)
			new.line[find(&new, c->line[i].number_1)] = c->line[i];
	new.over = c->over;
	free(c->line);
	*c = new;
	return 0;
}

int changes_prepare(struct changes *c, size_t n)
{
	int r = delta_prepare(&c->over, n);

	if (r < 0 || (c->line && (c->used + n) * 4 <= (c->mask + 1) * 3))
		return r;
	return grow(c, n);
}

static int add(struct changes *c, int8_t *slot, uint64_t unit, int by)
{
	int value = *slot == ELSEWHERE ? delta_add(&c->over, unit, by) : *slot + by;

	if (*slot == ELSEWHERE) {
		if (value == 0)
			*slot = 0;
	} else if (value >= -BY_MAX && value <= BY_MAX) {
		*slot = (int8_t)value;
	} else {
		value = delta_add(&c->over, unit, value);
		*slot = ELSEWHERE;
	}
	return value;
}

static struct changes_line *take_line(struct changes *c, uint64_t number_1)
{
	struct changes_line *line = &c->line[find(c, number_1)];

	if (!line->number_1) {
		line->number_1 = number_1;
		c->used++;
	}
	return line;
}

static int add_in(struct changes *c, struct changes_line *line, uint64_t unit, int by)
{
	int8_t *slot = &line->by[place(unit)];

	c->units -= *slot != 0;
	int value = add(c, slot, unit, by);

	c->units += *slot != 0;
	return value;
}

int changes_add(struct changes *c, uint64_t unit, int by)
{
	return add_in(c, take_line(c, number_1(unit)), unit, by);
}

void changes_add_all(struct changes *c, const uint64_t *unit, unsigned n, int by)
{
	struct changes_line *line = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (i + FETCH_AHEAD < n)
			__builtin_prefetch(&c->line[home(c, number_1(unit[i + FETCH_AHEAD]))], 1);
		if (!line || line->number_1 != number_1(unit[i]))
			line = take_line(c, number_1(unit[i]));
		add_in(c, line, unit[i], by);
	}
}

static int value_of(const struct changes *c, uint64_t unit, int8_t slot)
{
	return slot == ELSEWHERE ? delta_get(&c->over, unit) : slot;
}

int changes_get(const struct changes *c, uint64_t unit)
{
	if (!c->units)
		return 0;

	/* a place that isn't taken has zeros */
	const struct changes_line *line = &c->line[find(c, number_1(unit))];

	return value_of(c, unit, line->by[place(unit)]);
}

void changes_add_to(const struct changes *c, uint64_t zone, unsigned n, int *value)
{
	uint64_t unit = zone * ZONE_UNITS_MAX;

	for (unsigned i = 0; c->units && i < n; i += CHANGES_LINE_UNITS) {
		const struct changes_line *line = &c->line[find(c, number_1(unit + i))];
		unsigned m = MIN(n - i, CHANGES_LINE_UNITS);

		if (!line->number_1)
			continue;
		for (unsigned k = 0; k < m; k++)
			value[i + k] += line->by[k];
		for (unsigned k = 0; c->over.used && k < m; k++)
			if (line->by[k] == ELSEWHERE)
				value[i + k] += delta_get(&c->over, unit + i + k) - ELSEWHERE;
	}
}

static bool has_any(const struct changes_line *line)
{
	for (unsigned k = 0; k < CHANGES_LINE_UNITS; k++)
		if (line->by[k])
			return true;
	return false;
}

bool changes_next_zone(const struct changes *c, size_t *at, uint64_t *ret_zone)
{
	for (; c->line && *at <= c->mask; ++*at) {
		const struct changes_line *line = &c->line[*at];

		if (!line->number_1 || !has_any(line))
			continue;
		*ret_zone = (line->number_1 - 1) / CHANGES_ZONE_LINES;
		++*at;
		return true;
	}
	return false;
}

void changes_clear(struct changes *c)
{
	delta_clear(&c->over);
	/* a table that grew for one great change is not scanned and cleared for each small one after it */
	if (c->line && c->mask < SIZE_KEPT && c->used * 64 > c->mask) {
		memset(c->line, 0, (c->mask + 1) * sizeof *c->line);
		c->used = 0;
		c->units = 0;
		return;
	}
	changes_fini(c);
}

void changes_fini(struct changes *c)
{
	free(c->line);
	delta_fini(&c->over);
	*c = (struct changes){0};
}
