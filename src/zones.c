/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zones.c - zones: their types, allocation inside them, preparation, giving back
 *
 *	      space_prepare_zone        claimed from (a record says so)
 *	FREE -----------> ready ------------------> DATA or META
 *	 ^ \                                            |
 *	 |  space_punch_one                             | merge: nothing counts
 *	FREE_BACKED <------------------------------- leaving
 *	             committed, nothing pending
 *
 * Claims are made in *active zones*, which have a bitmap of what is not free.  It is built
 * when the zone is activated, and only claims change it: what comes free in an
 * active zone is found when it is activated the next time.
 */
#include "space_internal.h"

#include <stdatomic.h>

#define HOST_FULL_NS UINT64_C(1000000000)
#define OTHERS_US 200u

/* ---- what is known of zones ------------------------------------------------------- */

struct zone_info *zones_info(struct space *s, uint64_t zone)
{
	struct group *g = &s->group[zone_group(s->geo, zone)];

	return g->zone ? &g->zone[zone_index(s->geo, zone)] : NULL;
}

static int need_group(uint64_t group)
{
	thread_need = (struct need){.what = NEED_GROUP, .page = group};
	return -EAGAIN;
}

static void ring(struct space *s)
{
	if (s->hold)
		hold_ring(s->hold);
}

static bool is_free_type(unsigned type)
{
	return type == ZONE_FREE || type == ZONE_FREE_BACKED;
}

static unsigned zone_units(const struct space *s, unsigned type)
{
	return type == ZONE_META ? ZONE_TWINS : s->geo->zone_blocks;
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
	if (is_free_type(type))
		s->scan_free = MIN(s->scan_free, zone_group(s->geo, zone));
}

static void hint(struct space *s, uint64_t zone, int by)
{
	struct group *g = &s->group[zone_group(s->geo, zone)];
	struct zone_info *info = zones_info(s, zone);
	int now = info->used + by;

	now = MAX(0, MIN(now, (int)zone_units(s, info->type)));
	if (info->type == ZONE_DATA)
		g->used_blocks += now - info->used;
	if (info->type == ZONE_META)
		g->used_pages += now - info->used;
	info->used = (uint16_t)now;
}

void zones_came_free(struct space *s, uint64_t unit, bool counted)
{
	uint64_t zone = unit / ZONE_UNITS_MAX;
	struct zone_info *info = zones_info(s, zone);
	bool is_free = true;

	if (!info)
		return;
	/* a zone that was looked at while this was pending counts as full: now it's worth another look
	 * (also if the page of the zone isn't cached) */
	if (!counted && (info->used < zone_units(s, info->type) ||
			 (space_unit_free(s, unit, &is_free) == 0 && !is_free)))
		return;
	hint(s, zone, -1);
}

void zones_merged(struct space *s, uint64_t zone, unsigned used)
{
	struct active_zone *a = zones_active(s, zone);

	hint(s, zone, (int)(used + (a ? a->claims : 0)) - zones_info(s, zone)->used);
}

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
	a->units = zone_units(s, info->type);
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
	hint(s, a->zone, (int)n);
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
		hint(s, a->zone, -(int)n);
	/* what came free here meanwhile can be seen now; who gives a claim up and has no more to hope for must not wake
	 * himself */
	if (mapped && !a->claims && s->hold && atomic_load(&s->hold->n))
		ring(s);
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

/* A zone of the type with at least least units free, not active: 0, -ENOENT, -EAGAIN. */
static int find_zone(struct space *s, unsigned type, unsigned least, uint64_t *ret_zone)
{
	uint64_t *scan = type == ZONE_META ? &s->scan_meta : &s->scan_data;

	for (uint64_t i = 0; i < s->geo->groups; i++) {
		uint64_t group = (*scan + i) % s->geo->groups;
		struct group *g = &s->group[group];
		unsigned n = group_zone_count(s->geo, group);

		if (group_left(s, g, type) < (int64_t)least)
			continue;
		if (!g->zone)
			return need_group(group);
		for (unsigned z = 1; z < n; z++)
			if (g->zone[z].type == type && !g->zone[z].flags &&
			    zone_units(s, type) - g->zone[z].used >= least) {
				*scan = group;
				*ret_zone = group_header_zone(s->geo, group) + z;
				return 0;
			}
	}
	return -ENOENT;
}

static int find_free(struct space *s, uint64_t *ret_zone)
{
	for (uint64_t group = s->scan_free; group < s->geo->groups; group++) {
		struct group *g = &s->group[group];
		unsigned n = group_zone_count(s->geo, group), found = 0;

		if (g->data_zones + g->meta_zones >= n - 1)
			continue;
		if (!g->zone)
			return need_group(group);
		for (unsigned z = 1; z < n; z++) {
			if (g->zone[z].flags || !is_free_type(g->zone[z].type))
				continue;
			if (!found || g->zone[z].type == ZONE_FREE_BACKED)
				found = z;
			if (g->zone[z].type == ZONE_FREE_BACKED)
				break;
		}
		if (found) {
			*ret_zone = group_header_zone(s->geo, group) + found;
			return 0;
		}
	}
	return -ENOENT;
}

/* Activates partly used zones until one has something free. 0, -ENOENT, -EAGAIN. */
REQUIRES_SHARED(metadata_lock)
static int reuse_zone(struct space *s, struct space_cursor *c, unsigned type, unsigned least)
{
	struct active_zone *a;
	uint64_t zone;
	int r;

	for (;;) {
		if ((r = find_zone(s, type, least, &zone)) < 0 || (r = activate(s, zone, &a)) < 0)
			return r;
		if (a->nfree) {
			cursor_set(s, c, a);
			return 0;
		}
		hint(s, zone, ZONE_UNITS_MAX); /* it was wrong: full */
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
	int r = reuse_zone(s, c, ZONE_DATA, MAX(s->geo->zone_blocks / 2, 1u));

	if (r != -ENOENT)
		return r;
	if (s->free_zones > s->reserve &&
	    (s->nready_data || now_ns() > s->host_full_until)) { /* [SPACE-5] */
		if (s->nready_data == 0)
			return need_more(NEED_DATA_ZONE);
		return open_ready(s, c, false);
	}
	r = reuse_zone(s, c, ZONE_DATA, 1);
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
	int r = reuse_zone(s, &s->meta_cursor, ZONE_META, 1);

	if (r != -ENOENT)
		return r;
	if (s->nready_meta)
		return open_ready(s, &s->meta_cursor, true);
	if (s->free_zones)
		return need_more(NEED_META_ZONE);
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
		return need_group(zone_group(s->geo, zone));
	if (info->type == type)
		return 0;
	if (!is_free_type(info->type))
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
	hint(s, unit / ZONE_UNITS_MAX, (int)n);
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
	if (is_free_type(info->type))
		info->flags |= ZF_ASIDE;
	return 0;
}

/* ---- preparing zones -------------------------------------------------------------------------- */

static uint64_t take_ready(struct space *s, bool meta)
{
	uint64_t zone = meta ? s->ready_meta[--s->nready_meta] : s->ready_data[--s->nready_data];

	zones_info(s, zone)->flags &= (uint8_t) ~(ZF_READY | ZF_WRITTEN);
	return zone;
}

/* A free zone to prepare; the last ones may be ready for the other use.  0, 1: there is one ready
 * or others are preparing the last ones, or giving their space back, -ENOENT, -EAGAIN. */
static int choose_locked(struct space *s, bool meta, uint64_t *ret_zone)
{
	int r;

	/* many ask at once when a zone is full: one for metadata is enough for all of them */
	if (meta && (s->nready_meta || s->npreparing))
		return 1;
	r = find_free(s, ret_zone);
	if (r == -ENOENT && (meta ? s->nready_data : s->nready_meta)) {
		*ret_zone = take_ready(s, !meta);
		r = 0;
	}
	if (r == -ENOENT && (s->npreparing || s->punching || (!meta && s->nready_data)))
		return 1;
	if (r == 0) {
		zones_info(s, *ret_zone)->flags |= ZF_PREPARING;
		s->npreparing++;
	}
	return r;
}

/* A free zone that nobody prepares: flagged. 0, 1 as above, -ENOSPC. */
static int choose_free(struct space *s, bool meta, uint64_t *ret_zone)
{
	int r;

	for (;;) {
		metalock_exclusive(s->lock);
		r = choose_locked(s, meta, ret_zone);
		metalock_drop(s->lock);
		if (r == -ENOENT)
			return fail(-ENOSPC, "the pool is full: delete snapshots or volumes, or "
					     "make it larger with `cowbd grow`");
		if (r != -EAGAIN)
			return r;
		if ((r = space_load_group(s, thread_need.page)) < 0)
			return r;
	}
}

/* From one buffer for all, never written, written again and again: no memory of each thread's own. */
static int zero_zone(struct space *s, uint64_t zone)
{
	static _Alignas(PAGE_BYTES) uint8_t zeros[16 * PAGE_BYTES];
	struct iovec iov[ZONE_BYTES / sizeof zeros];
	struct store_io io = {STORE_WRITE | STORE_DIRECT, zone * ZONE_BYTES, iov, ARRAY_SIZE(iov),
			      0};

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){zeros, sizeof zeros};
	return store_submit(s->store, &io, 1);
}

int space_allocate_zone(struct store *store, const struct geometry *g, uint64_t zone)
{
	int r = store_prealloc(store, group_header_zone(g, zone_group(g, zone)) * ZONE_BYTES,
			       ZONE_BYTES);

	return r < 0 ? r : store_prealloc(store, zone * ZONE_BYTES, ZONE_BYTES);
}

int space_prepare_zone(struct space *s, bool meta)
{
	uint64_t zone = 0;
	int r = choose_free(s, meta, &zone);

	if (r == -ENOSPC) { /* what is free is spoken for: the caller must not ask again at once */
		metalock_exclusive(s->lock);
		s->host_full_until = now_ns() + HOST_FULL_NS;
		metalock_drop(s->lock);
	}
	if (r == 1) { /* others are at it: look again when they have it */
		usleep(OTHERS_US);
		return 0;
	}
	if (r < 0)
		return r;
	if (!s->store->read_only) { /* [SPACE-6] */
		r = space_allocate_zone(s->store, s->geo, zone);
		if (r == 0 && meta && !MUTANT("zone-not-zeroed"))
			r = zero_zone(s, zone);
	}
	metalock_exclusive(s->lock);
	uint64_t *list = meta ? s->ready_meta : s->ready_data;
	unsigned *n = meta ? &s->nready_meta : &s->nready_data;
	struct zone_info *info = zones_info(s, zone);

	info->flags &= (uint8_t)~ZF_PREPARING;
	s->npreparing--;
	if (r == -ENOSPC)
		s->host_full_until = now_ns() + HOST_FULL_NS;
	if (r == 0 && s->host_refused)
		ring(s);
	s->host_refused = r == -ENOSPC;
	if (r == 0 && *n < READY_MAX) {
		info->flags |= ZF_READY;
		list[(*n)++] = zone;
	}
	metalock_drop(s->lock);
	return r;
}

/* The last of the zones ready for data that is not written yet, taken from the list. */
static bool take_unwritten(struct space *s, uint64_t *ret_zone)
{
	for (unsigned i = s->nready_data; i-- > 0;) {
		struct zone_info *info = zones_info(s, s->ready_data[i]);

		if (info->flags & ZF_WRITTEN)
			continue;
		*ret_zone = s->ready_data[i];
		s->ready_data[i] = s->ready_data[--s->nready_data];
		info->flags = (uint8_t)((info->flags & ~ZF_READY) | ZF_PREPARING);
		s->npreparing++;
		return true;
	}
	return false;
}

int space_write_ready(struct space *s)
{
	struct zone_info *info;
	uint64_t zone;
	bool any;
	int r;

	metalock_exclusive(s->lock);
	any = take_unwritten(s, &zone);
	metalock_drop(s->lock);
	if (!any)
		return 0;
	r = zero_zone(s, zone);
	metalock_exclusive(s->lock);
	info = zones_info(s, zone);
	info->flags &= (uint8_t)~ZF_PREPARING;
	s->npreparing--;
	if (s->nready_data < READY_MAX) {
		info->flags |= (uint8_t)(r < 0 ? ZF_READY : ZF_READY | ZF_WRITTEN);
		s->ready_data[s->nready_data++] = zone;
	}
	metalock_drop(s->lock);
	return r < 0 ? r : 1;
}

unsigned space_ready_zones(const struct space *s)
{
	return s->nready_data;
}

bool space_host_full(const struct space *s)
{
	return s->host_refused && s->free_zones;
}

void space_look_at_host(struct space *s)
{
	s->host_full_until = 0;
}

/* ---- the end of a zone's life -------------------------------------------------------------------- */

static bool zone_pending(const struct space *s, uint64_t zone)
{
	if (!s->pending.used)
		return false;
	for (unsigned i = 0; i < ZONE_UNITS_MAX; i++)
		if (space_pending(s, zone * ZONE_UNITS_MAX + i))
			return true;
	return false;
}

/* Notes a free zone whose space can be given back; without memory it's found at the next open. */
static void note_back(struct space *s, uint64_t zone)
{
	if (s->nback == s->back_room) {
		size_t room = s->back_room ? s->back_room * 2 : 64;
		uint64_t *list = realloc(s->back, room * sizeof *list);

		if (!list)
			return;
		s->back = list;
		s->back_room = room;
	}
	s->back[s->nback++] = zone;
}

/* A checkpoint before the committed one is still being read there. */
static bool zone_held(const struct space *s, const struct zone_info *info)
{
	return s->hold_meta && info->type == ZONE_META;
}

void zones_leave(struct space *s)
{
	size_t kept = 0, committed = 0;

	s->nheld = 0;
	for (size_t i = 0; i < s->nleaving; i++) {
		uint64_t zone = s->leaving[i];
		bool leaves = (i < s->ncommitted || MUTANT("zone-type-early")) &&
			      !zone_pending(s, zone); /* [SPACE-4] */
		bool held = leaves && zone_held(s, zones_info(s, zone));

		if (!leaves || held) {
			s->nheld += held;
			committed += i < s->ncommitted;
			s->leaving[kept++] = zone;
			continue;
		}
		zones_set_type(s, zone, ZONE_FREE_BACKED);
		zones_info(s, zone)->flags &= (uint8_t)~ZF_LEAVING;
		note_back(s, zone);
		ring(s);
	}
	s->nleaving = kept;
	s->ncommitted = committed;
}

static bool take_back(struct space *s, uint64_t *ret_zone)
{
	while (s->nback) {
		uint64_t zone = s->back[--s->nback];
		struct zone_info *info = zones_info(s, zone);

		if (info && info->type == ZONE_FREE_BACKED && !info->flags) {
			info->flags |= ZF_PUNCHING;
			s->punching++;
			*ret_zone = zone;
			return true;
		}
	}
	return false;
}

int space_punch_one(struct space *s)
{
	uint64_t zone;
	bool any;
	int r;

	metalock_exclusive(s->lock);
	any = take_back(s, &zone);
	metalock_drop(s->lock);
	if (!any)
		return 0;
	r = store_discard(s->store, zone * ZONE_BYTES, ZONE_BYTES);
	metalock_exclusive(s->lock);
	zones_info(s, zone)->flags &= (uint8_t)~ZF_PUNCHING;
	s->punching--;
	if (r == 0 && delta_prepare(&s->retype, 4) == 0) {
		zones_set_type(s, zone, ZONE_FREE);
		if (!delta_get(&s->retype, zone))
			delta_add(&s->retype, zone, 1);
	}
	metalock_drop(s->lock);
	return r < 0 ? r : 1;
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
				note_back(s, group_header_zone(s->geo, group) + z);
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
	ring(s);
	return 0;
}

int space_new(struct store *store, const struct geometry *g, struct pages *pages,
	      struct epochs *epochs, pthread_rwlock_t *lock, struct space **ret_space)
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
