/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply.c - what each record does, when it is made and when it is replayed
 *
 * A function pair a kind of record: touch (what must be in the cache, how many pages
 * it may take) and apply (cannot fail).
 */
#include "apply.h"

#include <stdio.h>

#define GROUP_BYTES_MAX (8u << 20) /* half the pending ring: journal_reserve gives no more */

static uint64_t blocks_of(const struct catalog *c, uint64_t size)
{
	return round_up(size, c->engine->geo.block_bytes) >> c->engine->geo.block_shift;
}

/* ---- touching --------------------------------------------------------------------------- */

REQUIRES(metadata_lock) static int touch_object(struct catalog *c, uint64_t id, struct object **ret)
{
	*ret = catalog_by_id(c, id);
	if (!*ret)
		return fail(-EUCLEAN, "a record names object %" PRIu64 ", which doesn't exist", id);
	return catalog_touch(c, id);
}

/* The source's root can get n more owners. */
static int share_room(struct catalog *c, const struct object *source, size_t n)
{
	return source->map.entry
		       ? space_prepare_raises(c->engine->space,
					      page_unit(entry_number(source->map.entry)), n)
		       : 0;
}

/* Objects whose records change, and whose roots are dropped. n: in the group. */
REQUIRES(metadata_lock) static int touch(struct catalog *c, const struct record *r, size_t n)
{
	struct object *o, *source;
	int err;

	switch (r->type) {
	case REC_CREATE: return catalog_touch(c, r->object);
	case REC_SNAPSHOT:
	case REC_CLONE:
		if ((err = touch_object(c, r->source, &source)) < 0 ||
		    (err = catalog_touch(c, r->object)) < 0)
			return err;
		return share_room(c, source, n);
	case REC_ROLLBACK:
		if ((err = touch_object(c, r->object, &o)) < 0 ||
		    (err = touch_object(c, r->source, &source)) < 0 ||
		    (r->other && (err = catalog_touch(c, r->other)) < 0))
			return err;
		err = map_prepare_drop(c->engine, &o->map);
		return err < 0 ? err : share_room(c, source, n);
	case REC_DELETE:
		err = touch_object(c, r->object, &o);
		return err < 0 ? err : map_prepare_drop(c->engine, &o->map);
	case REC_UNMAP:
	case REC_DETACH:
		if ((err = touch_object(c, r->object, &o)) < 0)
			return err;
		if (r->block >= map_span(o->map.depth) ||
		    (r->type == REC_DETACH ? r->length >= o->map.depth
					   : map_index(r->block, 0) + r->length > MAP_FANOUT))
			return fail(-EUCLEAN, "a record unmaps what \"%s\" doesn't have", o->name);
		return r->type == REC_DETACH && n > 1
			       ? map_prepare_detach(c->engine, &o->map, r->block,
						    (unsigned)r->length)
			       : map_prepare(c->engine, &o->map, r->block);
	default: return touch_object(c, r->object, &o);
	}
}

/* Pages that a group may take.  Deleting takes none: a full pool can always be emptied.  Replay takes
 * the members one by one, and asks for no more than the run did for all. */
static unsigned pages_for(const struct catalog *c, const struct record *recs, size_t n, size_t made)
{
	unsigned pages =
		made ? catalog_pages_for(c, made) + (made > 1 ? catalog_pages_for(c, 1) : 0) : 0;
	unsigned steps = 0;

	for (size_t i = 0; i < n; i++) {
		const struct object *o = catalog_by_id(c, recs[i].object);

		if (o && recs[i].type == REC_RESIZE)
			pages += MAX(map_depth_for(blocks_of(c, recs[i].size)), o->map.depth) -
				 o->map.depth;
		/* the steps of a shrink share one path; a single one is prepared by touch() */
		if (o && n > 1 && (recs[i].type == REC_UNMAP || recs[i].type == REC_DETACH))
			steps = MAX(steps, 2 * o->map.depth);
	}
	return pages + steps;
}

int apply_prepare(struct catalog *c, const struct record *recs, size_t n)
{
	struct engine *e = c->engine;
	size_t bytes = 0, made = 0, i;
	unsigned pages;
	int r;

	for (i = 0; i < n; i++)
		made += recs[i].type == REC_CREATE || recs[i].type == REC_SNAPSHOT ||
			recs[i].type == REC_CLONE || recs[i].type == REC_ROLLBACK;
	pages = pages_for(c, recs, n, made);
	if (pages > STOCK_MAX)
		return fail(-EINVAL, "too many at once: %zu; do it in several steps", n);
	/* so no count can pass COUNT_MAX: an object, or a dying subtree, has a block at most once */
	if (made && c->n + e->ndying + made > COUNT_MAX)
		return fail(-EMFILE,
			    "the pool holds %zu volumes and snapshots, and can't hold %zu more: "
			    "delete some",
			    c->n, made);
	/* and none in replay, which begins with what reclaim has taken apart since */
	if (made && e->journal && c->n + e->dying_replay + made > COUNT_MAX)
		return need_more(NEED_CHECKPOINT);
	if ((r = engine_prepare(e, pages, (unsigned)n * 4 + 3 * MAP_DEPTH_MAX * MAP_FANOUT)) < 0 ||
	    (r = pages_prepare(e->pages, (unsigned)n * 2 + pages + 16)) < 0 ||
	    (r = dying_prepare(e, (unsigned)n + 1)) < 0 || (r = catalog_prepare(c, made)) < 0)
		return r;
	for (i = 0; i < n; i++) {
		if ((r = touch(c, &recs[i], n)) < 0)
			return r;
		bytes += record_size(&recs[i]);
	}
	if (bytes > GROUP_BYTES_MAX)
		return fail(-EINVAL, "too many at once: %zu; do it in several steps", n);
	return engine_reserve(e, bytes);
}

/* ---- applying ------------------------------------------------------------------------------- */

static void name_object(struct object *o, const struct record *r)
{
	o->id = r->object;
	o->created = r->created;
	o->flags = r->flags;
	o->label = r->label;
	snprintf(o->name, sizeof o->name, "%s", r->name);
}

/* Prepared, so it can't fail. */
REQUIRES(metadata_lock) static struct object *insert(struct catalog *c, const struct object *like)
{
	struct object *o = catalog_insert(c, like);

	assert(o);
	return o;
}

REQUIRES(metadata_lock) static void do_create(struct catalog *c, const struct record *r)
{
	struct object o = {.kind = OBJECT_VOLUME,
			   .size = r->size,
			   .sector_size = r->sector_size,
			   .map = {.depth = map_depth_for(blocks_of(c, r->size))}};

	name_object(&o, r);
	catalog_put(c, insert(c, &o));
}

/* A snapshot or clone: shares its source's root. */
REQUIRES(metadata_lock) static void do_share(struct catalog *c, const struct record *r)
{
	struct object *source = catalog_by_id(c, r->source);
	struct object o = {.kind = r->type == REC_CLONE ? OBJECT_VOLUME : OBJECT_SNAPSHOT,
			   .size = source->size,
			   .sector_size = source->sector_size,
			   .parent = source->id,
			   .volume = r->type == REC_CLONE ? NULL : source};

	name_object(&o, r);
	map_share(c->engine, &source->map, &o.map);
	catalog_put(c, source);
	catalog_put(c, insert(c, &o));
	volume_hand_over(c->engine, source, r->seq);
}

REQUIRES(metadata_lock) static void do_rollback(struct catalog *c, const struct record *r)
{
	struct object *volume = catalog_by_id(c, r->object), *snap = catalog_by_id(c, r->source);

	if (r->other) { /* the state left behind keeps the reference that the volume had */
		struct object o = {.kind = OBJECT_SNAPSHOT,
				   .size = volume->size,
				   .map = volume->map,
				   .sector_size = volume->sector_size,
				   .parent = volume->id,
				   .volume = volume};

		name_object(&o, r);
		o.id = r->other;
		catalog_put(c, insert(c, &o));
	} else {
		map_drop(c->engine, &volume->map, r->seq);
	}
	map_share(c->engine, &snap->map, &volume->map);
	catalog_resize(c, volume, snap->size);
	catalog_put(c, snap);
	catalog_put(c, volume);
	volume_hand_over(c->engine, volume, r->seq);
}

REQUIRES(metadata_lock) static void do_delete(struct catalog *c, const struct record *r)
{
	struct object *o = catalog_by_id(c, r->object);

	map_drop(c->engine, &o->map, r->seq);
	volume_idle(c->engine, o);
	catalog_remove(c, o, r->seq);
}

REQUIRES(metadata_lock) static void do_resize(struct catalog *c, const struct record *r)
{
	struct object *o = catalog_by_id(c, r->object);

	map_deepen(c->engine, &o->map, map_depth_for(blocks_of(c, r->size)));
	catalog_resize(c, o, r->size);
	catalog_put(c, o);
	if (o->io)
		atomic_store_explicit(&o->io->last_seq, r->seq, memory_order_release);
}

REQUIRES(metadata_lock) static void do_set(struct catalog *c, const struct record *r)
{
	struct object *o = catalog_by_id(c, r->object);

	switch (r->source) {
	case SET_FLAGS: o->flags = (uint32_t)r->other & OBJECT_FLAGS_ALL; break;
	case SET_LABEL: o->label = (enum object_label)r->other; break;
	case SET_SECTOR_SIZE: o->sector_size = (uint32_t)r->other; break;
	default: break;
	}
	catalog_put(c, o);
}

REQUIRES(metadata_lock) static void do_unmap(struct catalog *c, const struct record *r)
{
	struct object *o = catalog_by_id(c, r->object);
	uint64_t root = o->map.entry;
	struct map_step step = {
		.kind = r->type == REC_UNMAP ? MAP_STEP_LEAF : MAP_STEP_DETACH,
		.block = r->block,
		.next = r->block + (r->type == REC_UNMAP ? r->length : 0),
		.level = r->type == REC_DETACH ? (unsigned)r->length : 0,
	};

	map_step_apply(c->engine, &o->map, &step, r->seq);
	if (o->map.entry != root)
		catalog_put(c, o);
	if (o->io)
		atomic_store_explicit(&o->io->last_seq, r->seq, memory_order_release);
}

REQUIRES(metadata_lock) static void do_record(struct catalog *c, const struct record *r)
{
	switch (r->type) {
	case REC_CREATE: do_create(c, r); break;
	case REC_SNAPSHOT:
	case REC_CLONE: do_share(c, r); break;
	case REC_ROLLBACK: do_rollback(c, r); break;
	case REC_DELETE: do_delete(c, r); break;
	case REC_RESIZE: do_resize(c, r); break;
	case REC_RENAME:
		catalog_rename(c, catalog_by_id(c, r->object), r->name);
		catalog_put(c, catalog_by_id(c, r->object));
		break;
	case REC_SET: do_set(c, r); break;
	case REC_UNMAP:
	case REC_DETACH: do_unmap(c, r); break;
	case REC_MAP:
	case REC_ZONE: break; /* not of a group */
	}
}

void apply_group(struct catalog *c, struct record *recs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		recs[i].more = i + 1 < n;
		recs[i].seq = engine_append(c->engine, &recs[i]);
		do_record(c, &recs[i]);
	}
}

/* ---- shrinking --------------------------------------------------------------------------------- */

int apply_shrink_steps(struct catalog *c, struct object *o, uint64_t size, struct record *recs,
		       size_t max)
{
	uint64_t block = blocks_of(c, size), all = map_span(o->map.depth);
	size_t n = 0;

	while (block < all) {
		struct map_step step;
		int r = map_step_prepare(c->engine, &o->map, block, UINT64_MAX, &step);

		if (r < 0)
			return r;
		if (step.kind != MAP_STEP_SKIP) {
			if (n == max)
				return fail(-E2BIG, "too much is mapped behind the new size: "
						    "shrink in smaller steps");
			recs[n++] = (struct record){
				.type = step.kind == MAP_STEP_LEAF ? REC_UNMAP : REC_DETACH,
				.object = o->id,
				.block = step.block,
				.length = step.kind == MAP_STEP_LEAF ? step.next - step.block
								     : step.level};
		}
		if (step.next <= block) /* the whole rest of the map */
			break;
		block = step.next;
	}
	return (int)n;
}

/* ---- replay ------------------------------------------------------------------------------------ */

REQUIRES(metadata_lock) static int replay_map(struct catalog *c, const struct record *r)
{
	struct engine *e = c->engine;
	struct object *o;
	uint64_t root;
	int err;

	if ((err = touch_object(c, r->object, &o)) < 0)
		return err;
	if (r->length == 0 || r->length > MAP_FANOUT ||
	    map_index(r->block, 0) + r->length > MAP_FANOUT || r->block >= map_span(o->map.depth))
		return fail(-EUCLEAN, "record %" PRIu64 " maps beyond a leaf of \"%s\"", r->seq,
			    o->name);
	if ((err = space_replay_zone(e->space, block_zone(&e->geo, r->physical), ZONE_DATA)) < 0 ||
	    (err = space_replay_zone(e->space, block_zone(&e->geo, r->physical + r->length - 1),
				     ZONE_DATA)) < 0 ||
	    (err = map_prepare(e, &o->map, r->block)) < 0)
		return err;
	root = o->map.entry;
	map_set(e, &o->map, r->block, (unsigned)r->length, r->physical, r->seq);
	space_replay_mapped(e->space, block_unit(&e->geo, r->physical), r->length);
	if (o->map.entry != root)
		catalog_put(c, o);
	return 0;
}

/* A new object's id follows the last one: so its place in the catalog is one that was prepared for. */
static int replay_check_new(const struct catalog *c, const struct record *r, uint64_t id)
{
	if (catalog_by_id(c, id))
		return fail(-EUCLEAN, "record %" PRIu64 " makes object %" PRIu64 " again", r->seq,
			    id);
	if (id > c->next_id)
		return fail(-EUCLEAN,
			    "record %" PRIu64 " makes object %" PRIu64 ", and the next is %" PRIu64,
			    r->seq, id, c->next_id);
	return 0;
}

/* What a record is about must be of the right kind: a damaged journal, or a bug, would mix objects up. */
static int replay_check(const struct catalog *c, const struct record *r)
{
	const struct object *o = catalog_by_id(c, r->object), *source = catalog_by_id(c, r->source);
	uint64_t blocks = blocks_of(c, r->size);
	bool fits = true;
	int err = 0;

	if ((r->type == REC_CREATE || r->type == REC_RESIZE) &&
	    blocks > map_span(map_depth_for(blocks)))
		fits = false;
	switch (r->type) {
	case REC_CREATE:
	case REC_CLONE: err = replay_check_new(c, r, r->object); break;
	case REC_SNAPSHOT:
		fits = source && source->kind == OBJECT_VOLUME;
		err = replay_check_new(c, r, r->object);
		break;
	case REC_ROLLBACK:
		fits = o && o->kind == OBJECT_VOLUME && source && source->volume == o;
		err = r->other ? replay_check_new(c, r, r->other) : 0;
		break;
	case REC_DELETE: fits = o && o->nsnapshots == 0; break;
	default: break;
	}
	return fits ? err
		    : fail(-EUCLEAN, "record %" PRIu64 " changes what it can't; run cowbd check",
			   r->seq);
}

int apply_replay(struct catalog *c, const struct record *r)
{
	int err;

	c->engine->replay_seq = r->seq;
	if (r->type == REC_ZONE)
		return space_replay_zone(c->engine->space, r->zone, (enum zone_type)r->zone_type);
	if (r->type == REC_MAP)
		return replay_map(c, r);
	if ((err = replay_check(c, r)) < 0 || (err = apply_prepare(c, r, 1)) < 0)
		return err;
	do_record(c, r);
	return 0;
}
