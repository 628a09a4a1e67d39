/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usage.c - how much space an object has, how much of it alone, and what removing a set would free
 *
 * "What would I free by deleting these?" is answered exactly for the set, by doing in
 * memory what reclaim would do: references dropped by the set are counted, and what loses
 * its last one passes on to what it names.
 */
#include "pool.h"
#include "walk.h"

/* ---- one object ------------------------------------------------------------------------------ */

static int usage_below(struct engine *e, uint64_t entry, unsigned level, uint64_t block, bool alone,
		       struct cowbd_usage *u)
{
	CLEANUP_FREE uint64_t *entries = malloc(MAP_FANOUT * sizeof *entries);
	unsigned count;
	int r;

	if (!entries)
		return fail(-ENOMEM, "no memory to walk a map");
	if (alone && (r = walk_count(e, entry, true, &count)) < 0)
		return r;
	alone = alone && count == 1;
	u->map_bytes += PAGE_BYTES;
	if ((r = walk_read(e, entry, level, block, entries)) < 0)
		return r;
	for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++) {
		if (entries[i] == 0)
			continue;
		if (level) {
			r = usage_below(e, entries[i], level - 1, block + i * map_span(level),
					alone, u);
			continue;
		}
		count = 2;
		if (alone)
			r = walk_count(e, entries[i], false, &count);
		u->mapped += e->geo.block_bytes;
		if (count == 1)
			u->exclusive += e->geo.block_bytes;
		else
			u->shared += e->geo.block_bytes;
	}
	return r;
}

static int root_of(struct cowbd_pool *p, const char *name, struct map_root *ret)
{
	struct object *o;
	int r;

	metalock_shared(&p->e.lock);
	r = catalog_find(p->cat, name, &o);
	if (r == 0)
		*ret = o->map;
	metalock_drop(&p->e.lock);
	return r;
}

int cowbd_usage(struct cowbd_pool *p, const char *name, struct cowbd_usage *ret_usage)
{
	struct cowbd_usage u = {0};
	struct map_root root;
	uint64_t token;
	int r;

	token = epoch_enter(&p->e.epochs); /* pages freed from now on aren't reused */
	r = root_of(p, name, &root);
	if (r == 0 && root.entry)
		r = usage_below(&p->e, root.entry, root.depth - 1, 0, true, &u);
	epoch_exit(&p->e.epochs, token);
	if (r == 0)
		*ret_usage = u;
	return r;
}

/* ---- a set ------------------------------------------------------------------------------------------ */

struct simulation {
	struct engine *e;
	struct delta dropped; /* references that the set lets go of, of what isn't gone yet */
	uint64_t bytes;
};

/* One reference to what entry names is let go of: 1 if it was the last. */
static int let_go(struct simulation *s, uint64_t entry, bool page)
{
	uint64_t unit = page ? page_unit(entry_number(entry))
			     : block_unit(&s->e->geo, entry_number(entry));
	unsigned count;
	int r = walk_count(s->e, entry, page, &count);

	if (r < 0)
		return r;
	if (count > 1) {
		if ((r = delta_prepare(&s->dropped, 1)) < 0)
			return r;
		if (delta_add(&s->dropped, unit, 1) < (int)count)
			return 0;
	}
	s->bytes += page ? PAGE_BYTES : s->e->geo.block_bytes;
	return 1;
}

static int simulate(struct simulation *s, uint64_t entry, unsigned level, uint64_t block)
{
	CLEANUP_FREE uint64_t *entries = malloc(MAP_FANOUT * sizeof *entries);
	int r = let_go(s, entry, true);

	if (!entries)
		return fail(-ENOMEM, "no memory to walk a map");
	if (r <= 0)
		return r;
	r = walk_read(s->e, entry, level, block, entries);
	for (unsigned i = 0; i < MAP_FANOUT && r >= 0; i++)
		if (entries[i])
			r = level ? simulate(s, entries[i], level - 1, block + i * map_span(level))
				  : let_go(s, entries[i], false);
	return r < 0 ? r : 0;
}

struct set {
	uint64_t *ids;
	size_t n;
};

static bool in_set(const struct set *set, uint64_t id)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->ids[i] == id)
			return true;
	return false;
}

/* The ids that removing names would take. Lock shared. */
static int collect(struct cowbd_pool *p, const char *const *names, size_t n, unsigned flags,
		   struct set *set)
{
	set->ids = malloc((p->cat->n + 1) * sizeof *set->ids);
	if (!set->ids)
		return fail(-ENOMEM, "no memory for a set");
	for (size_t i = 0; i < n; i++) {
		struct object *o;
		int r = catalog_find(p->cat, names[i], &o);

		if (r < 0)
			return r;
		if (!in_set(set, o->id))
			set->ids[set->n++] = o->id;
		for (const struct object *k = o->snapshots; k && (flags & COWBD_RECURSIVE);
		     k = k->older)
			if (!in_set(set, k->id))
				set->ids[set->n++] = k->id;
	}
	return 0;
}

static int simulate_set(struct cowbd_pool *p, const struct set *set, struct simulation *s)
{
	int r = 0;

	for (size_t i = 0; i < set->n && r == 0; i++) {
		struct map_root root = {0};
		const struct object *o;

		metalock_shared(&p->e.lock);
		o = catalog_by_id(p->cat, set->ids[i]);
		if (o)
			root = o->map;
		metalock_drop(&p->e.lock);
		if (root.entry)
			r = simulate(s, root.entry, root.depth - 1, 0);
	}
	return r;
}

int cowbd_remove_frees(struct cowbd_pool *p, const char *const *names, size_t n, unsigned flags,
		       uint64_t *ret_bytes)
{
	struct simulation s = {.e = &p->e};
	struct set set = {0};
	uint64_t token = epoch_enter(&p->e.epochs);
	int r;

	metalock_shared(&p->e.lock);
	r = collect(p, names, n, flags, &set);
	metalock_drop(&p->e.lock);
	if (r == 0)
		r = simulate_set(p, &set, &s);
	epoch_exit(&p->e.epochs, token);
	free(set.ids);
	delta_fini(&s.dropped);
	if (r == 0)
		*ret_bytes = s.bytes;
	return r;
}
