/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zones_ends.c - free zones are made ready for use; zones in which nothing counts become free
 *
 *	free -> chosen -> the host has allocated it, or it is zeroed -> ready
 *	nothing counts -> committed, nothing pending -> free -> its space is given back
 *
 * Lists of zones are under the lock; what takes time is done without it, with a flag at the zone.
 */
#include "space_internal.h"

#define HOST_FULL_NS UINT64_C(1000000000)
#define OTHERS_US 200u

/* ---- preparing zones -------------------------------------------------------------------------- */

static uint64_t take_ready(struct space *s, bool meta)
{
	uint64_t zone = meta ? s->ready_meta[--s->nready_meta] : s->ready_data[--s->nready_data];

	zones_info(s, zone)->flags &= (uint8_t) ~(ZF_READY | ZF_WRITTEN);
	return zone;
}

static int find_free(struct space *s, uint64_t *ret_zone)
{
	for (uint64_t group = s->scan_free; group < s->geo->groups; group++) {
		struct group *g = &s->group[group];
		unsigned n = group_zone_count(s->geo, group), found = 0;

		if (g->data_zones + g->meta_zones >= n - 1)
			continue;
		if (!g->zone)
			return zones_need_group(group);
		for (unsigned z = 1; z < n; z++) {
			if (g->zone[z].flags || !zone_type_free(g->zone[z].type))
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

/* A free zone to prepare; the last ones may be ready for the other use.  0, 1: there is one ready
 * or others are preparing the last ones, or giving their space back, -ENOENT, -EAGAIN. */
static int choose_locked(struct space *s, bool meta, uint64_t *ret_zone)
{
	int r;

	/* many ask at once when a zone is full: one for metadata is enough for all of them */
	if (meta && (s->nready_meta || s->npreparing_meta))
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
		s->npreparing_meta += meta;
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

/* By the host, since written zeros are as much again as what is put there.  But where flushes are frequent, each would wait for the
 * host to turn that into written extents.  A host that is full may have no space for it though the zone has its own. */
static int make_zero(struct space *s, uint64_t zone)
{
	bool often = atomic_load_explicit(&s->flushes_often, memory_order_relaxed);
	int r = often ? 1 : store_zero(s->store, zone * ZONE_BYTES, ZONE_BYTES);

	if (r == -ENOSPC && (r = space_allocate_zone(s->store, s->geo, zone)) == 0)
		r = 1;
	return r == 1 ? zero_zone(s, zone) : r;
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
			r = make_zero(s, zone);
	}
	metalock_exclusive(s->lock);
	uint64_t *list = meta ? s->ready_meta : s->ready_data;
	unsigned *n = meta ? &s->nready_meta : &s->nready_data;
	struct zone_info *info = zones_info(s, zone);

	info->flags &= (uint8_t)~ZF_PREPARING;
	s->npreparing--;
	s->npreparing_meta -= meta;
	if (r == -ENOSPC)
		s->host_full_until = now_ns() + HOST_FULL_NS;
	if (r == 0 && s->host_refused)
		zones_ring(s);
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

void space_flushes_often(struct space *s, bool often)
{
	atomic_store_explicit(&s->flushes_often, often, memory_order_relaxed);
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

bool space_wants_zone(const struct space *s, unsigned ready, bool *ret_meta)
{
	const struct active_zone *a = s->meta_cursor.zone;

	if (s->free_zones <= s->reserve + ready || now_ns() < s->host_full_until)
		return false;
	*ret_meta = s->nready_meta == 0 && a && a->nfree < a->units - a->units / 4;
	return *ret_meta || s->nready_data < ready;
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

void zones_note_back(struct space *s, uint64_t zone)
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
		zones_note_back(s, zone);
		zones_ring(s);
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
