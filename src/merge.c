/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * merge.c - counts in a checkpoint: the cut, the merge into the pages of zones, the release
 *
 *	space_cut            live -> frozen, dropped -> dropped_frozen
 *	space_merge_plan     which zones, without the lock: what is frozen doesn't change
 *	space_merge_zone     page of the zone: count + frozen - dropped_frozen, stamped
 *	(the superblock is written)
 *	space_release_some   what was dropped is pending, some at a time
 *	space_committed      the frozen tables don't count any more
 *	space_merge_end      their memory
 *
 * A checkpoint's merge makes the page of a zone, in memory and on disk, say
 * count + frozen - dropped_frozen, and stamps it with the generation.  Until the checkpoint is
 * committed a page with that stamp has its frozen deltas inside, one without has not;
 * that is how a count is read in the middle of a merge, also after the page left the
 * cache and came back.
 */
#include "space_internal.h"

#define RELEASE_AT_ONCE 8192u
#define MARKED UINT32_C(0x80000000)

static void freeze(struct delta *live, struct delta *frozen)
{
	struct delta empty = *frozen;

	*frozen = *live;
	*live = empty;
}

void space_cut(struct space *s)
{
	struct changes none = s->frozen;

	assert(!s->merging);
	s->frozen = s->live;
	s->live = none;
	s->copied = s->copied_units = 0;
	freeze(&s->dropped, &s->dropped_frozen);
	freeze(&s->retype, &s->retype_frozen);
	struct sums_table empty = s->sums_frozen;

	s->sums_frozen = s->sums;
	s->sums = empty;
	s->merging = true;
	s->cuts++;
	s->generation = UINT64_MAX; /* nothing is merged yet */
}

/* ---- the plan ------------------------------------------------------------------------------ */

static int beyond_the_pool(uint64_t zone)
{
	return fail(-EUCLEAN, "zone %" PRIu64 " is beyond the pool; run cowbd check", zone);
}

/* Marks the zones in which counts changed, and counts what reclaim dropped in each. */
static int note_zones(const struct space *s, uint64_t zones, uint32_t *at)
{
	const struct delta *d = &s->dropped_frozen;
	uint64_t zone, unit;
	size_t k = 0;
	int by;

	while (changes_next_zone(&s->frozen, &k, &zone)) {
		if (zone >= zones)
			return beyond_the_pool(zone);
		at[zone] |= MARKED;
	}
	for (k = 0; d->slot && k <= d->mask; k++) {
		if (!delta_at(d, k, &unit, &by))
			continue;
		if (unit_zone(unit) >= zones)
			return beyond_the_pool(unit_zone(unit));
		at[unit_zone(unit)]++;
	}
	return 0;
}

/* Puts each unit that reclaim dropped behind the others of its zone, whose place in the list is at[zone]. */
static void place_dropped(const struct space *s, const uint32_t *at, struct merge_plan *plan)
{
	const struct delta *d = &s->dropped_frozen;
	uint64_t unit;
	int by;

	for (size_t i = 0; d->slot && i <= d->mask; i++) {
		if (!delta_at(d, i, &unit, &by))
			continue;
		uint32_t k = at[unit_zone(unit)] & ~MARKED;

		plan->dropped[plan->end[k]++] =
			(struct merge_drop){.unit = (uint32_t)unit_index(unit), .by = by};
	}
}

static int plan_alloc(struct merge_plan *plan, size_t zones, size_t dropped)
{
	plan->zone = malloc((zones + 1) * sizeof *plan->zone);
	plan->end = malloc((zones + 1) * sizeof *plan->end);
	plan->dropped = malloc((dropped + 1) * sizeof *plan->dropped);
	if (plan->zone && plan->end && plan->dropped)
		return 0;
	space_merge_plan_fini(plan);
	return fail(-ENOMEM, "no memory to write a checkpoint");
}

/* The list of zones that have something, and where in what was dropped each begins; at: their entries before,
 * their places in the list after. */
static void list_zones(uint64_t zones, uint32_t *at, struct merge_plan *plan)
{
	size_t begin = 0;

	plan->n = 0;
	for (uint64_t zone = 0; zone < zones; zone++) {
		uint32_t count = at[zone] & ~MARKED;

		if (!at[zone])
			continue;
		at[zone] = (uint32_t)plan->n | MARKED;
		plan->zone[plan->n] = zone;
		plan->end[plan->n++] = begin; /* moves to the end as entries are placed */
		begin += count;
	}
}

int space_merge_plan(struct space *s, uint64_t zones, const uint64_t *staged, size_t nstaged,
		     struct merge_plan *ret_plan)
{
	CLEANUP_FREE uint32_t *at = calloc(zones, sizeof *at);
	size_t n = 0;
	uint64_t zone;
	int value, r;

	if (!at)
		return fail(-ENOMEM, "no memory to write a checkpoint");
	if ((r = note_zones(s, zones, at)) < 0)
		return r;
	for (size_t i = 0; s->retype_frozen.slot && i <= s->retype_frozen.mask; i++)
		if (delta_at(&s->retype_frozen, i, &zone, &value))
			at[zone] |= MARKED;
	for (size_t i = 0; i < nstaged; i++) /* page of zone header + i */
		at[staged[i] / ZONE_TWINS + staged[i] % ZONE_TWINS] |= MARKED;
	for (zone = 0; zone < zones; zone++)
		n += at[zone] != 0;
	r = plan_alloc(ret_plan, n, s->dropped_frozen.used);
	if (r < 0)
		return r;
	list_zones(zones, at, ret_plan);
	place_dropped(s, at, ret_plan);
	return 0;
}

void space_merge_plan_fini(struct merge_plan *plan)
{
	free(plan->zone);
	free(plan->end);
	free(plan->dropped);
	*plan = (struct merge_plan){0};
}

/* ---- the merge ------------------------------------------------------------------------------- */

/* Applies the changes of the plan's i-th zone to its counts; returns how many aren't zero, or -EUCLEAN. */
static int merge_counts(const struct space *s, const struct merge_plan *plan, size_t i,
			struct disk_zone *z, unsigned units)
{
	int count[ZONE_UNITS_MAX], used = 0;

	for (unsigned k = 0; k < ZONE_UNITS_MAX; k++)
		count[k] = k < units ? get16(z->count[k]) : 0;
	changes_add_to(&s->frozen, plan->zone[i], ZONE_UNITS_MAX, count);
	for (size_t k = i ? plan->end[i - 1] : 0; k < plan->end[i]; k++)
		count[plan->dropped[k].unit] -= plan->dropped[k].by;
	for (unsigned k = 0; k < ZONE_UNITS_MAX; k++)
		if (count[k] < 0 || count[k] > (int)(k < units ? COUNT_MAX : 0))
			return fail(-EUCLEAN,
				    "zone %" PRIu64
				    ", unit %u: its count would be %d; run cowbd check",
				    plan->zone[i], k, count[k]);
	for (unsigned k = 0; k < units; k++) {
		z->count[k] = put16((uint16_t)count[k]);
		used += count[k] != 0;
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

int space_merge_zone(struct space *s, const struct merge_plan *plan, size_t i, uint64_t generation)
{
	uint64_t zone = plan->zone[i];
	struct zone_info *info = zones_info(s, zone);
	uint64_t group = zone_group(s->geo, zone);
	struct page *page, *summary, *groups;
	int r;

	if (!info) {
		thread_need = (struct need){.what = NEED_GROUP, .page = group};
		return -EAGAIN;
	}
	if ((r = space_zone_page(s, zone, &page)) < 0 ||
	    (r = pages_get(s->pages, summary_page(s->geo, group), PAGE_SUMMARY, &summary)) < 0 ||
	    (r = pages_get(s->pages, groups_page(group), PAGE_GROUPS, &groups)) < 0)
		return r;

	s->generation = generation;
	struct disk_zone *z = pages_stage(s->pages, page);
	int used = merge_counts(s, plan, i, z,
				info->type == ZONE_META ? ZONE_TWINS : s->geo->zone_blocks);

	if (used < 0)
		return used;
	z->h.generation = put64(generation); /* from here on it has its frozen deltas inside */

	unsigned type = info->type;

	sums_merge(s, zone, z);
	if (may_leave(s, info, (unsigned)used) && !sums_left(s, zone, z)) {
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
	zones_merged(s, zone, z);
	return 0;
}

int space_commit_prepare(struct space *s)
{
	size_t n = s->dropped_frozen.used;

	free(s->release);
	s->release = malloc(sizeof *s->release + n * sizeof s->release->fall[0]);
	if (!s->release)
		return fail(-ENOMEM, "no memory for freed blocks");
	s->release->n = 0;
	s->release_at = 0;
	return delta_prepare(&s->pending, n);
}

bool space_release_some(struct space *s)
{
	struct fall_batch *b = s->release;
	const struct delta *d = &s->dropped_frozen;
	uint64_t unit;
	int value;

	for (unsigned n = 0; d->slot && s->release_at <= d->mask && n < RELEASE_AT_ONCE; n++)
		if (delta_at(d, s->release_at++, &unit, &value)) {
			b->fall[b->n].unit = unit;
			b->fall[b->n++].hinted = false; /* the merge has taken it off */
			delta_add(&s->pending, unit, 1);
		}
	return d->slot && s->release_at <= d->mask;
}

void space_committed(struct space *s)
{
	assert(!s->dropped_frozen.slot || s->release_at > s->dropped_frozen.mask);
	s->waiting += s->release->n;
	s->released += s->release->n;
	space_add_batch(s, s->release); /* [SPACE-3]: waits for the requests of now */
	s->release = NULL;
	s->merging = false;
	s->ncommitted = s->nleaving;
}

void space_merge_end(struct space *s)
{
	changes_clear(&s->frozen);
	delta_clear(&s->dropped_frozen);
	delta_clear(&s->retype_frozen);
	sums_table_clear(&s->sums_frozen);
}
