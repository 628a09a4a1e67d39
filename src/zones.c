/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zones.c - zones: their types, how many there are, what is used in them
 *
 *	      space_prepare_zone        claimed from (a record says so)
 *	FREE -----------> ready ------------------> DATA or META
 *	 ^ \                                            |
 *	 |  space_punch_one                             | merge: nothing counts
 *	FREE_BACKED <------------------------------- leaving
 *	             committed, nothing pending
 *
 * Claims are made in zones_claim.c; zones_ends.c makes zones ready, and takes them back when nothing counts in them.
 */
#include "space_internal.h"

/* ---- what is known of zones ------------------------------------------------------- */

struct zone_info *zones_info(struct space *s, uint64_t zone)
{
	struct group *g = &s->group[zone_group(s->geo, zone)];

	return g->zone ? &g->zone[zone_index(s->geo, zone)] : NULL;
}

int zones_need_group(uint64_t group)
{
	thread_need = (struct need){.what = NEED_GROUP, .page = group};
	return -EAGAIN;
}

void zones_ring(struct space *s)
{
	if (s->hold)
		hold_ring(s->hold);
}

static void count_zone(struct space *s, struct group *g, unsigned type, int by)
{
	uint64_t *all = type == ZONE_DATA   ? &s->data_zones
			: type == ZONE_META ? &s->meta_zones
					    : &s->free_zones;

	*all += (uint64_t)by;
	if (type == ZONE_DATA)
		g->data_zones += (uint32_t)by;
	if (type == ZONE_META)
		g->meta_zones += (uint32_t)by;
}

void zones_set_type(struct space *s, uint64_t zone, enum zone_type type)
{
	struct group *g = &s->group[zone_group(s->geo, zone)];
	struct zone_info *info = zones_info(s, zone);

	count_zone(s, g, info->type, -1);
	count_zone(s, g, type, 1);
	if (info->type == ZONE_DATA)
		g->used_blocks -= info->used;
	if (info->type == ZONE_META)
		g->used_pages -= info->used;
	info->type = (uint8_t)type;
	info->used = 0;
	if (zone_type_free(type))
		s->scan_free = MIN(s->scan_free, zone_group(s->geo, zone));
}

void zones_hint(struct space *s, uint64_t zone, int by)
{
	struct group *g = &s->group[zone_group(s->geo, zone)];
	struct zone_info *info = zones_info(s, zone);
	int now = info->used + by;

	now = MAX(0, MIN(now, (int)zones_units(s, info->type)));
	if (info->type == ZONE_DATA)
		g->used_blocks += now - info->used;
	if (info->type == ZONE_META)
		g->used_pages += now - info->used;
	info->used = (uint16_t)now;
}

void zones_came_free(struct space *s, uint64_t unit, bool hinted)
{
	uint64_t zone = unit / ZONE_UNITS_MAX;
	struct zone_info *info = zones_info(s, zone);
	bool is_free = true;

	if (!info)
		return;
	/* a zone that was looked at while this was pending counts as full: now it's worth another look
	 * (also if the page of the zone isn't cached) */
	if (!hinted && (info->used < zones_units(s, info->type) ||
			(space_unit_free(s, unit, &is_free) == 0 && !is_free)))
		return;
	zones_hint(s, zone, -1);
}

/* Also what came and went since the cut: what has come free meanwhile would not be found before the next merge. */
void zones_merged(struct space *s, uint64_t zone, const struct disk_zone *z)
{
	struct active_zone *a = zones_active(s, zone);
	struct zone_info *info = zones_info(s, zone);
	unsigned units = zones_units(s, info->type);
	int count[ZONE_UNITS_MAX], used = a ? (int)a->claims : 0;

	for (unsigned i = 0; i < units; i++)
		count[i] = get16(z->count[i]);
	changes_add_to(&s->live, zone, units, count);
	for (unsigned i = 0; i < units; i++)
		used += count[i] > 0;
	zones_hint(s, zone, used - info->used);
}

bool zones_note_early(struct space *s, uint64_t unit)
{
	uint64_t zone = unit / ZONE_UNITS_MAX;
	struct group *g = &s->group[zone_group(s->geo, zone)];

	if (g->zone)
		return false;
	g->early = true;
	delta_add(&s->early, zone, 1);
	return true;
}

/* Its summary is that of the last checkpoint.  A hint that is too low costs a look (if what fell is pending still, or
 * was not the last). */
static void take_early(struct space *s, uint64_t group)
{
	uint64_t first = group_header_zone(s->geo, group);

	for (unsigned z = 1; z < GROUP_ZONES && s->group[group].early; z++) {
		int n = delta_get(&s->early, first + z);

		if (n == 0)
			continue;
		zones_hint(s, first + z, -n);
		delta_add(&s->early, first + z, -n);
	}
	s->group[group].early = false;
}

/* ---- life ----------------------------------------------------------------------------------------- */

UNCHECKED_LOCKING int space_load_group(struct space *s, uint64_t group)
{
	struct zone_info *info = calloc(GROUP_ZONES, sizeof *info);
	struct page *page;
	int r;

	if (!info)
		return fail(-ENOMEM, "no memory for the zones of a group");
	r = pages_get_shared(s->pages, summary_page(s->geo, group), PAGE_SUMMARY, &page);
	if (r < 0) {
		free(info);
		return r;
	}
	const struct disk_summary *sum = page->data;

	for (unsigned z = 1; z < GROUP_ZONES; z++) {
		info[z].type = (uint8_t)(get16(sum->zone[z]) >> 12);
		info[z].used = get16(sum->zone[z]) & 0xfff;
		info[z].used_in = UINT32_MAX;
	}
	metalock_drop(s->lock);

	metalock_exclusive(s->lock);
	if (!s->group[group].zone) {
		s->group[group].zone = info;
		for (unsigned z = 1; z < group_zone_count(s->geo, group); z++)
			if (info[z].type == ZONE_FREE_BACKED)
				zones_note_back(s, group_header_zone(s->geo, group) + z);
		take_early(s, group);
		info = NULL;
	}
	metalock_drop(s->lock);
	free(info);
	return 0;
}

static void set_reserve(struct space *s)
{
	uint64_t all = s->free_zones + s->data_zones + s->meta_zones;

	s->reserve = MAX((uint64_t)ZONE_ENDS_MIN, all / 50);
}

UNCHECKED_LOCKING static int load_group_entry(struct space *s, uint64_t group)
{
	struct page *page;
	int r = pages_get_shared(s->pages, groups_page(group), PAGE_GROUPS, &page);

	if (r < 0)
		return r;
	const struct disk_group *d =
		&((struct disk_groups *)page->data)->group[group % GROUPS_PER_PAGE];
	struct group *g = &s->group[group];
	unsigned zones = group_zone_count(s->geo, group) - 1;

	pages_pin(page); /* a plain flag; nobody else runs yet, or the lock orders it */
	g->data_zones = get16(d->data_zones);
	g->meta_zones = get16(d->meta_zones);
	g->used_blocks = get32(d->used_blocks);
	g->used_pages = get32(d->used_pages);
	metalock_drop(s->lock);
	if (g->data_zones + g->meta_zones > zones)
		return fail(-EUCLEAN, "group %" PRIu64 " says that it has more zones than it has",
			    group);
	s->data_zones += g->data_zones;
	s->meta_zones += g->meta_zones;
	s->free_zones += zones - g->data_zones - g->meta_zones;
	return 0;
}

int space_load(struct space *s)
{
	int r = 0;

	for (uint64_t group = 0; group < s->geo->groups && r == 0; group++)
		r = load_group_entry(s, group);
	set_reserve(s);
	return r;
}

int space_grown(struct space *s)
{
	uint64_t old = s->ngroups, zones = 0, known = s->free_zones + s->data_zones + s->meta_zones;
	struct group *group = realloc(s->group, s->geo->groups * sizeof *group);

	if (!group)
		return fail(-ENOMEM, "no memory for the zones of the pool");
	memset(group + old, 0, (s->geo->groups - old) * sizeof *group);
	s->group = group;
	s->ngroups = s->geo->groups;
	for (uint64_t g = 0; g < s->geo->groups; g++)
		zones += group_zone_count(s->geo, g) - 1;
	s->free_zones += zones - known;
	s->scan_free = 0;
	set_reserve(s);
	zones_ring(s);
	return 0;
}

int space_new(struct store *store, const struct geometry *g, struct pages *pages,
	      struct epochs *epochs, struct metalock *lock, struct space **ret_space)
{
	struct space *s = calloc(1, sizeof *s);

	if (s)
		s->group = calloc(MAX(g->groups, UINT64_C(1)), sizeof *s->group);
	if (!s || !s->group) {
		free(s);
		return fail(-ENOMEM, "no memory for the zones of the pool");
	}
	s->store = store;
	s->geo = g;
	s->pages = pages;
	s->epochs = epochs;
	s->lock = lock;
	s->ngroups = g->groups;
	s->batches_end = &s->batches;
	*ret_space = s;
	return 0;
}

void space_free(struct space *s)
{
	if (!s)
		return;
	for (uint64_t g = 0; g < s->ngroups; g++)
		free(s->group[g].zone);
	for (unsigned i = 0; i < ACTIVE_BUCKETS; i++)
		while (s->active[i]) {
			struct active_zone *a = s->active[i];

			s->active[i] = a->next;
			free(a);
		}
	while (s->batches) {
		struct fall_batch *b = s->batches;

		s->batches = b->next;
		free(b);
	}
	changes_fini(&s->live);
	changes_fini(&s->frozen);
	delta_fini(&s->dropped);
	delta_fini(&s->dropped_frozen);
	delta_fini(&s->pending);
	delta_fini(&s->early);
	delta_fini(&s->retype);
	delta_fini(&s->retype_frozen);
	sums_table_fini(&s->sums);
	sums_table_fini(&s->sums_frozen);
	free(s->release);
	free(s->falls);
	free(s->leaving);
	free(s->back);
	free(s->group);
	free(s);
}

void space_hold_meta(struct space *s, bool hold)
{
	s->hold_meta = hold;
}

void space_set_journal(struct space *s, struct journal *j)
{
	s->journal = j;
}

void space_set_hold(struct space *s, struct hold *h)
{
	s->hold = h;
}

void space_get_info(const struct space *s, struct space_info *ret_info)
{
	struct space_info i = {.free_zones = s->free_zones,
			       .data_zones = s->data_zones,
			       .meta_zones = s->meta_zones,
			       .reserve_zones = s->reserve,
			       .released = s->released};
	int64_t blocks = 0, pages = 0;

	for (uint64_t g = 0; g < s->ngroups; g++) {
		blocks += s->group[g].used_blocks;
		pages += s->group[g].used_pages;
	}
	i.zones = i.free_zones + i.data_zones + i.meta_zones;
	i.used_blocks = (uint64_t)MAX(blocks, 0);
	i.used_pages = (uint64_t)MAX(pages, 0);
	i.free_blocks = s->data_zones * s->geo->zone_blocks -
			MIN(i.used_blocks, s->data_zones * s->geo->zone_blocks);
	if (s->free_zones > s->reserve)
		i.free_blocks += (s->free_zones - s->reserve) * s->geo->zone_blocks;
	*ret_info = i;
}
