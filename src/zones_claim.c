/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zones_claim.c - blocks and pages are claimed in zones
 *
 * Claims are made in *active zones*, which have a bitmap of what is not free.  It is built
 * when the zone is activated, and only claims change it: what comes free in an
 * active zone is found when it is activated the next time.
 */
#include "space_internal.h"

#include <stdatomic.h>

/* ---- active zones -------------------------------------------------------------------- */

struct active_zone *zones_active(struct space *s, uint64_t zone)
{
	struct active_zone *a = s->active[zone % ACTIVE_BUCKETS];

	while (a && a->zone != zone)
		a = a->next;
	return a;
}

bool space_zone_is_active(struct space *s, uint64_t zone)
{
	return zones_active(s, zone) != NULL;
}

static bool bit(const struct active_zone *a, unsigned i)
{
	return a->busy[i / 64] >> (i % 64) & 1;
}

static void flip(struct active_zone *a, unsigned i)
{
	a->busy[i / 64] ^= UINT64_C(1) << (i % 64);
}

/* Makes the zone active: its bitmap is built from the counts.  -EAGAIN. */
REQUIRES_SHARED(metadata_lock)
static int activate(struct space *s, uint64_t zone, struct active_zone **ret_active)
{
	struct zone_info *info = zones_info(s, zone);
	struct active_zone *a;

	a = calloc(1, sizeof *a);
	if (!a)
		return fail(-ENOMEM, "no memory to allocate in a zone");
	a->zone = zone;
	a->meta = info->type == ZONE_META;
	a->units = zones_units(s, info->type);
	for (unsigned i = 0; i < a->units; i++) {
		bool is_free;
		int r = space_unit_free(s, zone * ZONE_UNITS_MAX + i, &is_free);

		if (r < 0) {
			free(a);
			return r;
		}
		if (is_free)
			a->nfree++;
		else
			flip(a, i);
	}
	a->next = s->active[zone % ACTIVE_BUCKETS];
	s->active[zone % ACTIVE_BUCKETS] = a;
	info->flags |= ZF_ACTIVE;
	*ret_active = a;
	return 0;
}

static void maybe_deactivate(struct space *s, struct active_zone *a)
{
	struct active_zone **at = &s->active[a->zone % ACTIVE_BUCKETS];

	if (a->users || a->claims)
		return;
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	zones_info(s, a->zone)->flags &= (uint8_t)~ZF_ACTIVE;
	free(a);
}

static void cursor_set(struct space *s, struct space_cursor *c, struct active_zone *a)
{
	struct active_zone *old = c->zone;

	if (a)
		a->users++;
	c->zone = a;
	if (old) {
		old->users--;
		maybe_deactivate(s, old);
	}
}

void space_cursor_end(struct space *s, struct space_cursor *c)
{
	cursor_set(s, c, NULL);
}

/* Claims a run of free units from the active zone. */
static void claim_run(struct space *s, struct active_zone *a, uint64_t want, uint64_t *ret_unit,
		      uint64_t *ret_n)
{
	unsigned first, n = 0;

	for (unsigned tries = 0; bit(a, a->at % a->units) && tries < a->units; tries++)
		a->at++;
	first = a->at % a->units;
	while (n < want && first + n < a->units && !bit(a, first + n))
		flip(a, first + n++);
	a->at = first + n;
	a->nfree -= n;
	a->claims += n;
	zones_info(s, a->zone)->used_in = s->cuts;
	zones_hint(s, a->zone, (int)n);
	*ret_unit = a->zone * ZONE_UNITS_MAX + first;
	*ret_n = n;
}

void space_claim_done(struct space *s, uint64_t unit, uint64_t n, bool mapped)
{
	struct active_zone *a = zones_active(s, unit / ZONE_UNITS_MAX);

	assert(a && a->claims >= n);
	a->claims -= (unsigned)n;
	for (uint64_t i = 0; !mapped && i < n; i++) {
		flip(a, (unsigned)(unit % ZONE_UNITS_MAX + i));
		a->nfree++;
	}
	if (mapped) /* maybe after a cut that came after the claim: [SPACE-4] */
		zones_info(s, a->zone)->used_in = s->cuts;
	else
		zones_hint(s, a->zone, -(int)n);
	/* what came free here meanwhile can be seen now; who gives a claim up and has no more to hope for must not wake
	 * himself */
	if (mapped && !a->claims && s->hold && atomic_load(&s->hold->n))
		zones_ring(s);
	maybe_deactivate(s, a);
}

/* ---- finding a zone ---------------------------------------------------------------------- */

/* Units that zones of this type in the group have left, as far as is known. */
static int64_t group_left(const struct space *s, const struct group *g, unsigned type)
{
	if (type == ZONE_META)
		return (int64_t)g->meta_zones * ZONE_TWINS - g->used_pages;
	return (int64_t)g->data_zones * s->geo->zone_blocks - g->used_blocks;
}

/* A zone of the type with at least least units free, not active: 0, -ENOENT, -EAGAIN.  early: also in full groups
 * where something fell before they were loaded.  They have to be read for that, maybe all, maybe in vain. */
static int find_zone(struct space *s, unsigned type, unsigned least, bool early, uint64_t *ret_zone)
{
	uint64_t *scan = type == ZONE_META ? &s->scan_meta : &s->scan_data;

	for (uint64_t i = 0; i < s->geo->groups; i++) {
		uint64_t group = (*scan + i) % s->geo->groups;
		struct group *g = &s->group[group];
		unsigned n = group_zone_count(s->geo, group);

		if (group_left(s, g, type) < (int64_t)least && !(early && g->early))
			continue;
		if (!g->zone)
			return zones_need_group(group);
		for (unsigned z = 1; z < n; z++)
			if (g->zone[z].type == type && !g->zone[z].flags &&
			    zones_units(s, type) - g->zone[z].used >= least) {
				*scan = group;
				*ret_zone = group_header_zone(s->geo, group) + z;
				return 0;
			}
	}
	return -ENOENT;
}

/* Activates partly used zones until one has something free. 0, -ENOENT, -EAGAIN. */
REQUIRES_SHARED(metadata_lock)
static int reuse_zone(struct space *s, struct space_cursor *c, unsigned type, unsigned least,
		      bool early)
{
	struct active_zone *a;
	uint64_t zone = 0;
	int r;

	for (;;) {
		if ((r = find_zone(s, type, least, early, &zone)) < 0 ||
		    (r = activate(s, zone, &a)) < 0)
			return r;
		if (a->nfree) {
			cursor_set(s, c, a);
			return 0;
		}
		zones_hint(s, zone, ZONE_UNITS_MAX); /* it was wrong: full */
		maybe_deactivate(s, a);
	}
}

/* Opens a ready zone: a record tells its type before the first record that uses it. */
REQUIRES_SHARED(metadata_lock)
static int open_ready(struct space *s, struct space_cursor *c, bool meta)
{
	uint64_t *list = meta ? s->ready_meta : s->ready_data;
	unsigned *n = meta ? &s->nready_meta : &s->nready_data;
	uint64_t zone = list[*n - 1];
	struct record rec = {
		.type = REC_ZONE, .zone = zone, .zone_type = meta ? ZONE_META : ZONE_DATA};
	struct zone_info *info = zones_info(s, zone);
	struct active_zone *a;
	unsigned was = info->type;
	int r;

	if ((r = delta_prepare(&s->retype, 4)) < 0)
		return r;
	if (s->journal && !journal_reserve(s->journal, record_size(&rec)))
		return need_more(NEED_COMMIT);
	zones_set_type(s, zone, (enum zone_type)rec.zone_type);
	r = activate(s, zone, &a);
	if (r < 0) {
		zones_set_type(s, zone, (enum zone_type)was);
		if (s->journal)
			journal_release(s->journal, record_size(&rec));
		return r;
	}
	if (s->journal)
		journal_append(s->journal, &rec);
	--*n;
	info->flags &= (uint8_t) ~(ZF_READY | ZF_WRITTEN);
	info->used_in = s->cuts;
	if (!delta_get(&s->retype, zone))
		delta_add(&s->retype, zone, 1);
	cursor_set(s, c, a);
	return 0;
}

/* What came free in an active zone since it was activated; claims look like what is in use. -EAGAIN. */
REQUIRES_SHARED(metadata_lock) static int look_again(struct space *s, struct active_zone *a)
{
	for (unsigned i = 0; i < a->units && !a->claims; i++) {
		bool is_free = false;
		int r = bit(a, i) ? space_unit_free(s, a->zone * ZONE_UNITS_MAX + i, &is_free) : 0;

		if (r < 0)
			return r;
		if (is_free) {
			flip(a, i);
			a->nfree++;
		}
	}
	return 0;
}

/* Any active data zone that has something left, whoever opened it: 0, -ENOENT, -EAGAIN. */
REQUIRES_SHARED(metadata_lock) static int share_zone(struct space *s, struct space_cursor *c)
{
	for (unsigned i = 0; i < ACTIVE_BUCKETS; i++)
		for (struct active_zone *a = s->active[i]; a; a = a->next) {
			int r = a->meta || a->nfree ? 0 : look_again(s, a);

			if (r < 0)
				return r;
			if (!a->meta && a->nfree) {
				cursor_set(s, c, a);
				return 0;
			}
		}
	return -ENOENT;
}

REQUIRES_SHARED(metadata_lock) static int open_data_zone(struct space *s, struct space_cursor *c)
{
	int r = reuse_zone(s, c, ZONE_DATA, MAX(s->geo->zone_blocks / 2, 1u), false);

	if (r != -ENOENT)
		return r;
	if (s->free_zones > s->reserve &&
	    (s->nready_data || now_ns() > s->host_full_until)) { /* [SPACE-5] */
		if (s->nready_data == 0)
			return need_more(NEED_DATA_ZONE);
		return open_ready(s, c, false);
	}
	r = reuse_zone(s, c, ZONE_DATA, 1, true);
	if (r == -ENOENT)
		r = share_zone(s, c);
	if (r != -ENOENT)
		return r;
	return fail(-ENOSPC, "the pool is full: delete snapshots or volumes, or make it larger "
			     "with `cowbd grow`");
}

int space_take_blocks(struct space *s, struct space_cursor *c, uint64_t want, uint64_t *ret_first,
		      uint64_t *ret_n)
{
	uint64_t unit;

	while (!c->zone || !c->zone->nfree) {
		int r;

		cursor_set(s, c, NULL);
		r = open_data_zone(s, c);
		if (r < 0)
			return r;
	}
	claim_run(s, c->zone, want, &unit, ret_n);
	*ret_first = unit / ZONE_UNITS_MAX * s->geo->zone_blocks + unit % ZONE_UNITS_MAX;
	return 0;
}

/* Is there so much room that data may move for the sake of order?  A quarter of the zones is free, and no more than as
 * much again as is used lies free in zones of data, which the host can't have back. */
static bool room_to_spare(const struct space *s)
{
	struct space_info info;

	if (s->host_refused || now_ns() <= s->host_full_until)
		return false;
	space_get_info(s, &info);
#ifdef COWBD_TINY /* its pools are a few zones */
	return info.free_zones > info.reserve_zones;
#endif
	return info.free_zones > info.zones / 4 + info.reserve_zones &&
	       info.data_zones * s->geo->zone_blocks < 2 * info.used_blocks + s->geo->zone_blocks;
}

/* Has the active zone want free units side by side, from where it is on? */
static bool has_run(struct active_zone *a, uint64_t want)
{
	unsigned n = 0;

	for (unsigned i = a->at; i < a->units && n < want; i++) {
		n = bit(a, i) ? 0 : n + 1;
		if (n == want)
			a->at = i + 1 - n;
	}
	return n == want;
}

int space_take_run(struct space *s, struct space_cursor *c, uint64_t want, uint64_t *ret_first,
		   uint64_t *ret_n)
{
	uint64_t unit;
	int r;

	*ret_n = 0;
	if (!c->zone || !has_run(c->zone, want)) {
		cursor_set(s, c, NULL);
		if (want > s->geo->zone_blocks || !room_to_spare(s))
			return 0;
		if (s->nready_data == 0)
			return need_more(NEED_DATA_ZONE);
		if ((r = open_ready(s, c, false)) < 0)
			return r;
	}
	claim_run(s, c->zone, want, &unit, ret_n);
	assert(*ret_n == want);
	*ret_first = unit / ZONE_UNITS_MAX * s->geo->zone_blocks + unit % ZONE_UNITS_MAX;
	return 0;
}

REQUIRES_SHARED(metadata_lock) static int open_meta_zone(struct space *s)
{
	int r = reuse_zone(s, &s->meta_cursor, ZONE_META, 1, false);

	if (r != -ENOENT)
		return r;
	if (s->nready_meta)
		return open_ready(s, &s->meta_cursor, true);
	if (s->free_zones)
		return need_more(NEED_META_ZONE);
	r = reuse_zone(s, &s->meta_cursor, ZONE_META, 1, true);
	if (r != -ENOENT)
		return r;
	return fail(-ENOSPC,
		    "the pool is full, its reserve for metadata too: delete snapshots or volumes");
}

int space_take_page(struct space *s, uint64_t *ret_page)
{
	struct space_cursor *c = &s->meta_cursor;
	uint64_t unit, n;

	while (!c->zone || !c->zone->nfree) {
		int r;

		cursor_set(s, c, NULL);
		r = open_meta_zone(s);
		if (r < 0)
			return r;
	}
	claim_run(s, c->zone, 1, &unit, &n);
	*ret_page = unit / ZONE_UNITS_MAX * ZONE_TWINS + unit % ZONE_UNITS_MAX;
	return 0;
}

/* ---- replay ---------------------------------------------------------------------------------- */

int space_replay_zone(struct space *s, uint64_t zone, enum zone_type type)
{
	struct zone_info *info;
	int r;

	if (!zone_in_group(s->geo, zone) || zone_index(s->geo, zone) == 0)
		return fail(-EUCLEAN, "the journal names zone %" PRIu64 ", which isn't one for %s",
			    zone, type == ZONE_META ? "metadata" : "data");
	info = zones_info(s, zone);
	if (!info)
		return zones_need_group(zone_group(s->geo, zone));
	if (info->type == type)
		return 0;
	if (!zone_type_free(info->type))
		return fail(-EUCLEAN,
			    "the journal uses zone %" PRIu64 " for %s, but it has another type",
			    zone, type == ZONE_META ? "metadata" : "data");
	if ((r = delta_prepare(&s->retype, 4)) < 0)
		return r;
	zones_set_type(s, zone, type);
	info->flags &= (uint8_t)~ZF_ASIDE;
	info->used_in = s->cuts;
	if (!delta_get(&s->retype, zone))
		delta_add(&s->retype, zone, 1);
	return 0;
}

void space_replay_mapped(struct space *s, uint64_t unit, uint64_t n)
{
	zones_info(s, unit / ZONE_UNITS_MAX)->used_in = s->cuts;
	zones_hint(s, unit / ZONE_UNITS_MAX, (int)n);
}

int space_set_aside(struct space *s, uint64_t zone)
{
	struct zone_info *info;
	int r;

	if (!zone_in_group(s->geo, zone) || zone_index(s->geo, zone) == 0)
		return fail(-EUCLEAN,
			    "the journal names zone %" PRIu64 ", which holds no blocks or pages",
			    zone);
	if (!zones_info(s, zone) && (r = space_load_group(s, zone_group(s->geo, zone))) < 0)
		return r;
	info = zones_info(s, zone);
	if (zone_type_free(info->type))
		info->flags |= ZF_ASIDE;
	return 0;
}
