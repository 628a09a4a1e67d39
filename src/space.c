/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.c - reference counts: deltas, falls, what reclaim drops, the merge
 *
 * See space.h for the picture and the invariants.  Zones and allocation are in zones.c.
 *
 * A checkpoint's merge makes the page of a zone, in memory and on disk, say
 * count + frozen - dropped_frozen, and stamps it with the generation.  Until the checkpoint is
 * committed a page with that stamp has its frozen deltas inside, one without has not;
 * that is how a count is read in the middle of a merge, also after the page left the
 * cache and came back.
 */
#include "space_internal.h"

#define DELTA_BOUND 700000u /* a table of 8 MiB */
#define PRESSURE_US 4000u
#define FALLS_MIN 1024u

/* ---- counts -------------------------------------------------------------------- */

static uint64_t unit_zone(uint64_t unit)
{
	return unit / ZONE_UNITS_MAX;
}

static unsigned unit_index(uint64_t unit)
{
	return (unsigned)(unit % ZONE_UNITS_MAX);
}

static int zone_page_get(struct space *s, uint64_t zone, struct page **ret_page)
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
	int r = zone_page_get(s, unit_zone(unit), &page);

	if (r < 0)
		return r;
	const struct disk_zone *z = page->data;
	int n = get16(z->count[unit_index(unit)]) + delta_get(&s->live, unit);

	if (MUTANT("reclaimed-reuse-early"))
		n -= delta_get(&s->dropped, unit);
	if (merged(s, z))
		n += delta_get(&s->dropped_frozen, unit); /* [SPACE-3] */
	else if (s->merging)
		n += delta_get(&s->frozen, unit);
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

int space_prepare(struct space *s, unsigned n)
{
	int r;

	if (s->journal && s->live.used + s->dropped.used > DELTA_BOUND)
		return need_more(NEED_CHECKPOINT);
	if ((r = delta_prepare(&s->live, n)) < 0 || (r = delta_prepare(&s->pending, n)) < 0 ||
	    (r = delta_prepare(&s->dropped, n)) < 0 || (r = delta_prepare(&s->retype, 4)) < 0)
		return r;
	return grow_falls(s, n);
}

int space_prepare_raises(struct space *s, uint64_t unit, size_t n)
{
	if (delta_get(&s->live, unit) + (int64_t)n > DELTA_LIMIT - 1)
		return need_more(NEED_CHECKPOINT);
	return 0;
}

void space_raise(struct space *s, uint64_t unit)
{
	delta_add(&s->live, unit, 1);
}

void space_fall(struct space *s, uint64_t unit, uint64_t seq, bool last)
{
	assert(s->falls_n < s->falls_room);
	delta_add(&s->live, unit, -1);
	delta_add(&s->pending, unit, 1);
	s->falls[(s->falls_first + s->falls_n++) % s->falls_room] =
		(struct fall){.unit = unit, .seq = seq, .last = last};
	s->waiting++;
}

void space_drop(struct space *s, uint64_t unit)
{
	delta_add(&s->dropped, unit, 1);
}

/* ---- falls: durable, then out of every request's sight ------------------------------ */

static void add_batch(struct space *s, struct fall_batch *b)
{
	b->next = NULL;
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
		b->fall[i].last = f->last;
	}
	s->falls_first = (s->falls_first + n) % s->falls_room;
	s->falls_n -= n;
	add_batch(s, b);
}

bool space_settle(struct space *s)
{
	bool any = false;

	while (s->batches && epoch_drained(s->epochs, s->batches->tag)) {
		struct fall_batch *b = s->batches;

		for (size_t i = 0; i < b->n; i++) {
			delta_add(&s->pending, b->fall[i].unit, -1);
			zones_came_free(s, b->fall[i].unit, b->fall[i].last);
		}
		s->waiting -= b->n;
		s->batches = b->next;
		if (!s->batches)
			s->batches_end = &s->batches;
		free(b);
		any = true;
	}
	if (any && s->hold)
		hold_ring(s->hold);
	zones_leave(s);
	return any;
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

uint64_t space_deltas(const struct space *s)
{
	return s->live.used + s->dropped.used;
}

uint64_t space_delta_bound(const struct space *s)
{
	(void)s;
	return DELTA_BOUND / 4;
}

unsigned space_pressure_us(const struct space *s)
{
	uint64_t n = space_deltas(s), soft = DELTA_BOUND / 2;

	return n <= soft ? 0 : (unsigned)((n - soft) * PRESSURE_US / (DELTA_BOUND - soft));
}

/* ---- checkpoint ------------------------------------------------------------------------ */

static void freeze(struct delta *live, struct delta *frozen)
{
	struct delta empty = *frozen;

	*frozen = *live;
	*live = empty;
}

void space_cut(struct space *s)
{
	assert(!s->merging);
	freeze(&s->live, &s->frozen);
	freeze(&s->dropped, &s->dropped_frozen);
	freeze(&s->retype, &s->retype_frozen);
	s->merging = true;
	s->cuts++;
	s->generation = UINT64_MAX; /* nothing is merged yet */
}

/* Marks the zones of all that has a value; keys are units, or zones. */
static void mark_zones(const struct delta *d, bool units, uint8_t *marked)
{
	uint64_t key;
	int value;

	for (size_t i = 0; d->slot && i <= d->mask; i++)
		if (delta_at(d, i, &key, &value))
			marked[units ? unit_zone(key) : key] = 1;
}

int space_merge_list(struct space *s, uint64_t zones, const uint64_t *staged, size_t nstaged,
		     uint64_t **ret_zones, size_t *ret_n)
{
	CLEANUP_FREE uint8_t *marked = calloc(zones, 1);
	uint64_t *list;
	size_t n = 0;

	if (!marked)
		return fail(-ENOMEM, "no memory to write a checkpoint");
	mark_zones(&s->frozen, true, marked);
	mark_zones(&s->dropped_frozen, true, marked);
	mark_zones(&s->retype_frozen, false, marked);
	for (size_t i = 0; i < nstaged; i++) /* page of zone header + i */
		marked[staged[i] / ZONE_TWINS + staged[i] % ZONE_TWINS] = 1;
	for (uint64_t zone = 0; zone < zones; zone++)
		n += marked[zone];
	list = malloc((n ? n : 1) * sizeof *list);
	if (!list)
		return fail(-ENOMEM, "no memory to write a checkpoint");
	n = 0;
	for (uint64_t zone = 0; zone < zones; zone++)
		if (marked[zone])
			list[n++] = zone;
	*ret_n = n;
	*ret_zones = list;
	return 0;
}

/* Applies the frozen changes to the counts of one zone; returns how many aren't zero, or -EUCLEAN. */
static int merge_counts(struct space *s, uint64_t zone, struct disk_zone *z, unsigned units)
{
	int used = 0;

	for (unsigned i = 0; i < units; i++) {
		uint64_t unit = zone * ZONE_UNITS_MAX + i;
		int n = get16(z->count[i]);
		int change = delta_get(&s->frozen, unit) - delta_get(&s->dropped_frozen, unit);

		if (n + change < 0 || n + change > (int)COUNT_MAX)
			return fail(-EUCLEAN,
				    "zone %" PRIu64
				    ", unit %u: count %d changes by %d; run cowbd check",
				    zone, i, n, change);
		if (change)
			z->count[i] = put16((uint16_t)(n + change));
		used += n + change != 0;
	}
	return used;
}

/* Nothing counts in the zone: does it become free with this checkpoint?  [SPACE-4] */
static bool may_leave(const struct space *s, const struct zone_info *info, unsigned used)
{
	return used == 0 && (info->type == ZONE_DATA || info->type == ZONE_META) &&
	       !(info->flags & (ZF_ACTIVE | ZF_LEAVING)) &&
	       (info->used_in != s->cuts || MUTANT("zone-used-since"));
}

static int note_leaving(struct space *s, uint64_t zone)
{
	if (s->nleaving == s->leaving_room) {
		size_t room = s->leaving_room ? s->leaving_room * 2 : 64;
		uint64_t *list = realloc(s->leaving, room * sizeof *list);

		if (!list)
			return fail(-ENOMEM, "no memory to write a checkpoint");
		s->leaving = list;
		s->leaving_room = room;
	}
	s->leaving[s->nleaving++] = zone;
	return 0;
}

/* The summary's and the group table's entries follow the page of the zone. */
static void update_summary(struct space *s, uint64_t zone, struct page *summary,
			   struct page *groups, unsigned type, unsigned used)
{
	struct disk_summary *sum = pages_stage(s->pages, summary);
	struct disk_groups *table = pages_stage(s->pages, groups);
	struct disk_group *g = &table->group[zone_group(s->geo, zone) % GROUPS_PER_PAGE];
	unsigned i = zone_index(s->geo, zone);
	unsigned old_type = get16(sum->zone[i]) >> 12, old_used = get16(sum->zone[i]) & 0xfff;

	g->data_zones = put16(
		(uint16_t)(get16(g->data_zones) + (type == ZONE_DATA) - (old_type == ZONE_DATA)));
	g->meta_zones = put16(
		(uint16_t)(get16(g->meta_zones) + (type == ZONE_META) - (old_type == ZONE_META)));
	if (old_type == ZONE_DATA)
		g->used_blocks = put32(get32(g->used_blocks) - old_used);
	if (old_type == ZONE_META)
		g->used_pages = put32(get32(g->used_pages) - old_used);
	if (type == ZONE_DATA)
		g->used_blocks = put32(get32(g->used_blocks) + used);
	if (type == ZONE_META)
		g->used_pages = put32(get32(g->used_pages) + used);
	sum->zone[i] = put16((uint16_t)(type << 12 | used));
}

int space_merge_zone(struct space *s, uint64_t zone, uint64_t generation)
{
	struct zone_info *info = zones_info(s, zone);
	uint64_t group = zone_group(s->geo, zone);
	struct page *page, *summary, *groups;
	int r;

	if (!info) {
		thread_need = (struct need){.what = NEED_GROUP, .page = group};
		return -EAGAIN;
	}
	if ((r = zone_page_get(s, zone, &page)) < 0 ||
	    (r = pages_get(s->pages, summary_page(s->geo, group), PAGE_SUMMARY, &summary)) < 0 ||
	    (r = pages_get(s->pages, groups_page(group), PAGE_GROUPS, &groups)) < 0)
		return r;

	s->generation = generation;
	struct disk_zone *z = pages_stage(s->pages, page);
	int used = merge_counts(s, zone, z,
				info->type == ZONE_META ? ZONE_TWINS : s->geo->zone_blocks);

	if (used < 0)
		return used;
	z->h.generation = put64(generation); /* from here on it has its frozen deltas inside */

	unsigned type = info->type;

	if (may_leave(s, info, (unsigned)used)) {
		if ((r = note_leaving(s, zone)) < 0)
			return r;
		info->flags |= ZF_LEAVING;
		type = ZONE_FREE_BACKED;
	}
	if (type == ZONE_FREE || type == ZONE_FREE_BACKED)
		memset(z->count, 0,
		       PAGE_BYTES - offsetof(struct disk_zone, count)); /* slots, too */
	z->type = put16((uint16_t)type);
	z->used = put16((uint16_t)used);
	update_summary(s, zone, summary, groups, type, (unsigned)used);
	zones_merged(s, zone, (unsigned)used);
	return 0;
}

int space_commit_prepare(struct space *s)
{
	size_t n = s->dropped_frozen.used;

	free(s->release);
	s->release = malloc(sizeof *s->release + n * sizeof s->release->fall[0]);
	if (!s->release)
		return fail(-ENOMEM, "no memory for freed blocks");
	return delta_prepare(&s->pending, n);
}

/* What reclaim dropped and the checkpoint recorded waits for the requests of now.  [SPACE-3] */
static void release_dropped(struct space *s)
{
	struct fall_batch *b = s->release;
	uint64_t unit;
	int value;

	b->n = 0;
	for (size_t i = 0; s->dropped_frozen.slot && i <= s->dropped_frozen.mask; i++)
		if (delta_at(&s->dropped_frozen, i, &unit, &value)) {
			b->fall[b->n].unit = unit;
			b->fall[b->n++].last = false; /* the merge has counted it already */
			delta_add(&s->pending, unit, 1);
		}
	s->waiting += b->n;
	s->released += b->n;
	s->release = NULL;
	add_batch(s, b);
}

void space_committed(struct space *s)
{
	release_dropped(s);
	delta_clear(&s->frozen);
	delta_clear(&s->dropped_frozen);
	delta_clear(&s->retype_frozen);
	s->merging = false;
	s->ncommitted = s->nleaving;
	(void)space_settle(s);
}
