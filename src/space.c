/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.c - reference counts: deltas, falls, what reclaim drops
 *
 * See space.h for the picture and the invariants.  Zones are in zones.c, claims in zones_claim.c, what a
 * checkpoint does with counts in merge.c.
 */
#include "space_internal.h"

/* Changes of counts: a checkpoint begins, so that the next opening replays no more.  The raises of a page's copy are
 * taken to be replayed in a COPY_SHARE-th of the time of as many others.  So many lines: before there is pressure. */
#define DUE 175000u
#define COPY_SHARE 16u
#define LINES_BOUND 380000u   /* lines of changes: a table of 32 MiB, for up to 21 million units */
#define DROPPED_BOUND 700000u /* a table of 8 MiB */
#define PRESSURE_US 4000u
#define FALLS_MIN 1024u
#define SETTLE_AT_ONCE 4096u
#define PENDING_KEPT (1u << 18) /* entries: 2 MiB */

static_assert(DUE <= LINES_BOUND / 2 && DUE <= DROPPED_BOUND / 2,
	      "where there is pressure a checkpoint is due, which takes it away");

/* ---- counts -------------------------------------------------------------------- */

int space_zone_page(struct space *s, uint64_t zone, struct page **ret_page)
{
	if (!zone_in_group(s->geo, zone) || zone_index(s->geo, zone) == 0)
		return fail(-EUCLEAN, "zone %" PRIu64 " holds no blocks or pages", zone);
	return pages_get(s->pages, zone_page(s->geo, zone), PAGE_ZONE, ret_page);
}

static bool merged(const struct space *s, const struct disk_zone *z)
{
	return s->merging && get64(z->h.generation) == s->generation;
}

int space_count(struct space *s, uint64_t unit, unsigned *ret_count)
{
	struct page *page;
	int r = space_zone_page(s, unit_zone(unit), &page);

	if (r < 0)
		return r;
	const struct disk_zone *z = page->data;
	int n = get16(z->count[unit_index(unit)]) + changes_get(&s->live, unit);

	if (MUTANT("reclaimed-reuse-early"))
		n -= delta_get(&s->dropped, unit);
	if (merged(s, z))
		n += delta_get(&s->dropped_frozen, unit); /* [SPACE-3] */
	else if (s->merging)
		n += changes_get(&s->frozen, unit);
	if (n < 0)
		return fail(-EUCLEAN,
			    "unit %" PRIu64
			    ": more references fell than there were; run cowbd check",
			    unit);
	*ret_count = (unsigned)n;
	return 0;
}

int space_true_count(struct space *s, uint64_t unit, unsigned *ret_count)
{
	unsigned n;
	int r = space_count(s, unit, &n);

	if (r < 0)
		return r;
	int dropped = delta_get(&s->dropped, unit);

	if (s->merging)
		dropped += delta_get(&s->dropped_frozen, unit);
	if ((int)n < dropped)
		return fail(-EUCLEAN, "unit %" PRIu64 ": more references dropped than there were",
			    unit);
	*ret_count = n - (unsigned)dropped;
	return 0;
}

bool space_pending(const struct space *s, uint64_t unit)
{
	return delta_get(&s->pending, unit) != 0;
}

int space_unit_free(struct space *s, uint64_t unit, bool *ret_free)
{
	unsigned n;
	int r = space_count(s, unit, &n);

	if (r < 0)
		return r;
	*ret_free = n == 0 && (!space_pending(s, unit) || MUTANT("reuse-before-durable"));
	return 0;
}

static int grow_falls(struct space *s, size_t n)
{
	if (s->falls_n + n <= s->falls_room)
		return 0;

	size_t room = MAX(MAX(s->falls_room * 2, s->falls_n + n), (size_t)FALLS_MIN);
	struct fall *falls = malloc(room * sizeof *falls);

	if (!falls)
		return fail(-ENOMEM, "no memory for freed blocks");
	for (size_t i = 0; i < s->falls_n; i++)
		falls[i] = s->falls[(s->falls_first + i) % s->falls_room];
	free(s->falls);
	s->falls = falls;
	s->falls_first = 0;
	s->falls_room = room;
	return 0;
}

/* Entries that space_release_some will add to pending, whose room nobody else may take: it can't fail. */
static size_t to_release(const struct space *s)
{
	return s->release ? s->dropped_frozen.used - s->release->n : 0;
}

int space_prepare(struct space *s, unsigned n)
{
	int r;

	if (s->journal && (s->live.used > LINES_BOUND || s->dropped.used > DROPPED_BOUND))
		return need_more(NEED_CHECKPOINT);
	if ((r = changes_prepare(&s->live, n)) < 0 ||
	    (r = delta_prepare(&s->pending, n + to_release(s))) < 0 ||
	    (r = delta_prepare(&s->dropped, n)) < 0 || (r = delta_prepare(&s->early, n)) < 0 ||
	    (r = delta_prepare(&s->retype, 4)) < 0)
		return r;
	return grow_falls(s, n);
}

int space_prepare_raises(struct space *s, uint64_t unit, size_t n)
{
	if (changes_get(&s->live, unit) + (int64_t)n > DELTA_LIMIT - 1)
		return need_more(NEED_CHECKPOINT);
	return 0;
}

void space_raise(struct space *s, uint64_t unit)
{
	changes_add(&s->live, unit, 1);
}

void space_raise_all(struct space *s, const uint64_t *unit, unsigned n)
{
	uint64_t units = s->live.units;

	changes_add_all(&s->live, unit, n, 1);
	s->copied += n;
	s->copied_units += MAX(s->live.units, units) - units;
}

void space_fall(struct space *s, uint64_t unit, uint64_t seq, bool last)
{
	assert(s->falls_n < s->falls_room);
	changes_add(&s->live, unit, -1);
	delta_add(&s->pending, unit, 1);
	s->falls[(s->falls_first + s->falls_n++) % s->falls_room] = (struct fall){
		.unit = unit, .seq = seq, .hinted = !zones_note_early(s, unit) && last};
	s->waiting++;
}

void space_drop(struct space *s, uint64_t unit)
{
	delta_add(&s->dropped, unit, 1);
}

/* ---- falls: durable, then out of every request's sight ------------------------------ */

void space_add_batch(struct space *s, struct fall_batch *b)
{
	b->next = NULL;
	b->settled = 0;
	b->tag = epoch_close(s->epochs);
	*s->batches_end = b;
	s->batches_end = &b->next;
}

void space_durable(struct space *s, uint64_t seq)
{
	size_t n = 0;

	while (n < s->falls_n && s->falls[(s->falls_first + n) % s->falls_room].seq <= seq)
		n++;
	if (n == 0)
		return;

	struct fall_batch *b = malloc(sizeof *b + n * sizeof b->fall[0]);

	if (!b)
		return; /* they wait for the next time */
	b->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct fall *f = &s->falls[(s->falls_first + i) % s->falls_room];

		b->fall[i].unit = f->unit;
		b->fall[i].hinted = f->hinted;
	}
	s->falls_first = (s->falls_first + n) % s->falls_room;
	s->falls_n -= n;
	space_add_batch(s, b);
}

bool space_settle(struct space *s)
{
	bool any = false;
	unsigned n = 0;

	while (s->batches &&
	       (epoch_drained(s->epochs, s->batches->tag) || MUTANT("freed-under-reader"))) {
		struct fall_batch *b = s->batches;

		for (; b->settled < b->n && n < SETTLE_AT_ONCE; b->settled++, n++) {
			const struct settling *f = &b->fall[b->settled];

			delta_add(&s->pending, f->unit, -1);
			zones_came_free(s, f->unit, f->hinted);
			s->waiting--;
			any = true;
		}
		if (b->settled < b->n)
			break;
		s->batches = b->next;
		if (!s->batches)
			s->batches_end = &s->batches;
		free(b);
	}
	if (any && s->hold)
		hold_ring(s->hold);
	if (!s->batches && !s->release && s->pending.mask >= PENDING_KEPT && !s->pending.used)
		delta_fini(&s->pending);
	/* it looks at whole zones: once, when all that can fall has fallen */
	if (n < SETTLE_AT_ONCE)
		zones_leave(s);
	return n == SETTLE_AT_ONCE;
}

uint64_t space_waiting(const struct space *s)
{
	return s->waiting;
}

uint64_t space_dropped(const struct space *s)
{
	return s->dropped.used;
}

uint64_t space_releasing(const struct space *s)
{
	return s->merging ? s->dropped_frozen.used : 0;
}

uint64_t space_leaving(const struct space *s)
{
	return s->nleaving - s->nheld;
}

uint64_t space_held(const struct space *s)
{
	return s->nheld;
}

uint64_t space_copied(const struct space *s)
{
	return s->copied;
}

/* From half the bound on, in proportion. */
static uint64_t pressure_us(uint64_t n, uint64_t bound)
{
	uint64_t soft = bound / 2;

	return n <= soft ? 0 : (n - soft) * PRESSURE_US / (bound - soft);
}

unsigned space_pressure_us(const struct space *s)
{
	return (unsigned)MAX(pressure_us(s->live.used, LINES_BOUND),
			     pressure_us(s->dropped.used, DROPPED_BOUND));
}

bool space_checkpoint_due(const struct space *s)
{
	uint64_t others = s->live.units - MIN(s->copied_units, s->live.units);

	return s->live.used > DUE || others + s->dropped.used + s->copied / COPY_SHARE > DUE;
}
