/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_maps.c - all references: catalog, maps of its objects, dying subtrees
 *
 * A page of a map is descended into once [CHECK-1]; later references to it are
 * counted and compared with the place it was found at.
 */
#include "check_internal.h"

#include <stdio.h>

#define FIRST_UNKNOWN UINT64_MAX

/* ---- references ---------------------------------------------------------- */

struct zone *check_refer(struct check *c, const struct reference *ref, bool meta,
			 unsigned *ret_unit)
{
	const char *what = meta ? "page" : "block";
	uint64_t number = ref->number, zone = meta ? page_zone(number) : block_zone(&c->g, number);
	struct group *gr = &c->group[zone_group(&c->g, zone)];
	unsigned i = zone_index(&c->g, zone), unit;
	struct zone *z = gr->zone ? gr->zone[i] : NULL;

	c->bad = c->unmarked = false;
	if (c->repair && (gr->unknown || !z || z == &zone_unknown || z->meta != meta ||
			  z->refs[number % z->units] == COUNT_MAX)) {
		c->bad = true;
		return NULL;
	}
	if (!c->repair && !meta && z && z != &zone_unknown && !z->meta && !z->wide) {
		c->near.first = zone * c->g.zone_blocks;
		c->near.zone = z;
	}
	if (z && (z == &zone_elsewhere || z == &zone_done) && !meta)
		return NULL;
	if (gr->unknown || z == &zone_unknown) {
		check_found(c, COWBD_DAMAGE, ref->offset,
			    "names %s %" PRIu64 " in zone %" PRIu64 ", of which nothing "
			    "is known",
			    what, number, zone);
		return NULL;
	}
	if (!z || z->meta != meta) {
		c->blind |= meta;
		check_found(c, COWBD_DAMAGE, ref->offset,
			    "names %s %" PRIu64 ", but zone %" PRIu64 " is %s", what, number, zone,
			    !z        ? "free"
			    : z->meta ? "for metadata"
				      : "for data");
		return NULL;
	}
	unit = (unsigned)(number % z->units);
	if (c->repair) {
		z->refs[unit]++;
		c->unmarked = !ref->shared && repair_known(c, zone, unit) > 1;
	}
	if (zone_left(z, unit) == 0)
		check_found(c, COWBD_DAMAGE, ref->offset,
			    "names %s %" PRIu64 ", which has more references than its "
			    "count says",
			    what, number);
	else if (!ref->shared && !(z->single[unit / 8] & 1u << unit % 8))
		check_found(c, COWBD_DAMAGE, ref->offset,
			    "names %s %" PRIu64 " as its own, but its count is not 1", what,
			    number);
	if (zone_left(z, unit))
		zone_take(z, unit);
	*ret_unit = unit;
	return z;
}

/* The same for blocks from entry i on that are in the zone of the one before, as long as there is nothing to say: for
 * most.  Returns the first entry, below n, for which there may be, or n. */
static unsigned refer_near(struct check *c, const struct disk_map *m, unsigned i, unsigned n)
{
	const struct zone *z = c->near.zone;
	bool elsewhere = z == &zone_elsewhere || z == &zone_done;

	for (; z && i < n; i++) {
		uint64_t entry = get48(m->entry[i]), unit = (entry & ENTRY_NUMBER) - c->near.first;

		if (entry == 0)
			continue;
		if (unit >= c->g.zone_blocks)
			break;
		if (elsewhere)
			continue;
		if (z->left[unit] == 0 ||
		    !(entry & ENTRY_SHARED || z->single[unit / 8] & 1u << unit % 8))
			break;
		z->left[unit]--;
	}
	return i;
}

/* Where a page is in its tree, never 0. */
static uint64_t place_code(enum page_kind kind, unsigned level, uint64_t first)
{
	unsigned tree = kind == PAGE_MAP            ? PLACE_MAP
			: kind == PAGE_CATALOG_NODE ? PLACE_NODE
			: kind == PAGE_CATALOG_LEAF ? PLACE_LEAF
						    : PLACE_SUMS;

	return first << 8 | tree << 4 | level;
}

/* Is what entry i of a page covers beyond limit (blocks, or leaves of the catalog)? */
static bool beyond(uint64_t first, unsigned level, unsigned i, uint64_t limit)
{
	unsigned shift = MAP_SHIFT * level;

	if (first >= limit)
		return true;
	return shift >= 64 ? i > 0 : i > (limit - 1 - first) >> shift;
}

/* First block (catalog: leaf) below entry i, which isn't beyond. */
static uint64_t first_below(uint64_t first, unsigned level, unsigned i)
{
	return MAP_SHIFT * level >= 64 ? first : first + ((uint64_t)i << MAP_SHIFT * level);
}

/* Reads a page that a reference names.  1: it is at its place, 0: it is not (reported), -ENOMEM. */
static int read_referenced(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
			   unsigned level, uint64_t first, void *buf)
{
	uint64_t offset = page_offset(page, slot_which(slot));
	const struct disk_map *m = buf;
	int err = 0;

	if (!slot_written(slot))
		err = fail(-EUCLEAN, "%s %" PRIu64 " was never written", page_kind_name(kind),
			   page);
	if (!err)
		err = check_read_page(c, page, slot, kind, buf);
	if (err == -ENOMEM)
		return err;
	if (!err && kind != PAGE_CATALOG_LEAF && get16(m->level) != level)
		err = fail(-EUCLEAN, "%s at %" PRIu64 ": is of level %u, not %u",
			   page_kind_name(kind), offset, get16(m->level), level);
	if (!err && kind != PAGE_CATALOG_LEAF && first != FIRST_UNKNOWN && get64(m->first) != first)
		err = fail(-EUCLEAN, "%s at %" PRIu64 ": begins at %" PRIu64 ", not %" PRIu64,
			   page_kind_name(kind), offset, get64(m->first), first);
	if (!err)
		return 1;
	c->blind = true;
	if (kind == PAGE_MAP && first != FIRST_UNKNOWN)
		check_found(c, COWBD_DAMAGE, offset,
			    "%s; what it maps from block %" PRIu64 " on is lost", error_message(),
			    first);
	else
		check_found(c, COWBD_DAMAGE, offset, "%s", error_message());
	return 0;
}

/* Follows a reference to a page: 1 with its content in buf if it is to be descended
 * into, 0 if not (seen before, or damaged), -ENOMEM. */
static int enter(struct check *c, const struct reference *ref, enum page_kind kind, unsigned level,
		 uint64_t first, void *buf)
{
	uint64_t code = place_code(kind, level, first == FIRST_UNKNOWN ? 0 : first);
	struct zone *z;
	unsigned unit;
	int got;

	z = check_refer(c, ref, true, &unit);
	if (!z && c->repair && kind != PAGE_MAP)
		repair_hopeless(c);
	if (!z)
		return 0;
	if (z->place[unit]) {
		uint64_t differ = z->place[unit] ^ code;

		c->bad = first == FIRST_UNKNOWN ? differ & 0xff : differ;
		if (c->bad && c->repair) {
			z->refs[unit]--;
			if (kind != PAGE_MAP)
				repair_hopeless(c);
		}
		if (c->bad)
			check_found(c, COWBD_DAMAGE, ref->offset,
				    "names page %" PRIu64 ", which is used at another "
				    "place too",
				    ref->number);
		return 0;
	}
	got = read_referenced(c, ref->number, z->slot[unit], kind, level, first, buf);
	if (got < 0)
		return got;
	if (got && first == FIRST_UNKNOWN)
		code = place_code(kind, level, get64(((struct disk_map *)buf)->first));
	z->place[unit] = code;
	if (got == 0 && c->repair) { /* who names it at the place where it is right may come yet */
		z->place[unit] = 0;
		z->refs[unit]--;
		c->bad = true;
		if (kind != PAGE_MAP)
			repair_hopeless(c);
	}
	c->result.pages += got > 0;
	c->visited++;
	check_progress(c, false);
	return got;
}

static struct reference entry_reference(const struct disk_map *m, unsigned i)
{
	uint64_t entry = get48(m->entry[i]);

	return (struct reference){
		.number = entry & ENTRY_NUMBER,
		.shared = entry & ENTRY_SHARED,
		.offset = get64(m->h.offset),
	};
}

/* What is known of the zone of a page, or NULL. */
static const struct zone *zone_of_page(const struct check *c, uint64_t page)
{
	uint64_t zone = page_zone(page);
	const struct group *gr = &c->group[zone_group(&c->g, zone)];
	const struct zone *z = gr->zone ? gr->zone[zone_index(&c->g, zone)] : NULL;

	return z && z->meta ? z : NULL;
}

/* Asks for the pages that entries of m name, from where it was left off, as many as fit. */
static void ask_for_entries(struct check *c, const struct disk_map *m)
{
	unsigned i = c->ahead.until;
	bool room = true;

	c->ahead.after = i;
	if (i == MAP_FANOUT)
		return;
	check_ahead_begin(c);
	for (; i < MAP_FANOUT && room; i++) {
		uint64_t page = get48(m->entry[i]) & ENTRY_NUMBER;
		const struct zone *z = page ? zone_of_page(c, page) : NULL;

		if (z && !z->place[page % ZONE_TWINS])
			room = check_ahead_add(c, page, z->slot[page % ZONE_TWINS]);
	}
	c->ahead.until = i;
	check_ahead_run(c);
}

/* The pages that entries from i on of m name are read at once, and those after them when these are begun with.
 * Only for the last pages on the way down: they don't read ahead themselves. */
static void read_entries_ahead(struct check *c, const struct disk_map *m, unsigned i)
{
	if (i == 0) {
		c->ahead.until = 0;
		ask_for_entries(c, m);
	}
	if (i == 0 || i >= c->ahead.after)
		ask_for_entries(c, m);
}

/* A map, or what is left of one.  Depth of recursion: level, below MAP_DEPTH_MAX. */
static int walk_map(struct check *c, const struct reference *ref, unsigned level, uint64_t first)
{
	uint64_t limit = VOLUME_BYTES_MAX >> c->g.block_shift;
	const struct disk_map *m = check_buffer(c, level);
	int err = enter(c, ref, PAGE_MAP, level, first, check_buffer(c, level));

	bool own_unmarked = c->unmarked;
	unsigned sure; /* entries that are blocks of a volume */

	if (err <= 0)
		return err;
	first = get64(m->first);
	sure = level == 0 && !beyond(first, 0, MAP_FANOUT - 1, limit) ? MAP_FANOUT : 0;
	for (unsigned i = refer_near(c, m, 0, sure); i < MAP_FANOUT && err >= 0;
	     i = refer_near(c, m, i + 1, sure)) {
		struct reference child = entry_reference(m, i);
		unsigned unit;

		if (level == 1)
			read_entries_ahead(c, m, i);
		if (child.number == 0)
			continue;
		c->bad = c->unmarked = false;
		if (beyond(first, level, i, limit)) {
			c->bad = true;
			check_found(c, COWBD_DAMAGE, child.offset,
				    "entry %u is beyond the end of any volume", i);
		} else if (level == 0) {
			(void)check_refer(c, &child, false, &unit);
		} else {
			err = walk_map(c, &child, level - 1, first_below(first, level, i));
		}
		if (err >= 0 && c->repair && (c->bad || c->unmarked))
			err = repair_entry(c, ref->number, m, i);
	}
	c->bad = false;
	c->unmarked = own_unmarked;
	return err < 0 ? err : 0;
}

/* ---- catalog ------------------------------------------------------------- */

static int add_object(struct check *c, const struct disk_object *d, uint64_t offset)
{
	struct object *o;

	if (c->objects == c->objects_room) {
		size_t room = MAX(c->objects_room * 2, (size_t)64);

		o = reallocarray(c->object, room, sizeof *o);
		if (!o)
			return fail(-ENOMEM, "out of memory");
		c->object = o;
		c->objects_room = room;
	}
	o = &c->object[c->objects++];
	*o = (struct object){
		.id = get64(d->id),
		.volume = get64(d->volume),
		.root = get64(d->root),
		.size = get64(d->size),
		.offset = offset,
		.kind = d->kind,
		.depth = d->depth,
	};
	memcpy(o->name, d->name, d->name_length);
	return 0;
}

/* Catalog leaf number n. */
static int walk_leaf(struct check *c, const struct reference *ref, uint64_t n)
{
	const struct disk_catalog_leaf *l = check_buffer(c, BUFFER_LEAF);
	int err = enter(c, ref, PAGE_CATALOG_LEAF, 0, n, check_buffer(c, BUFFER_LEAF));

	if (err <= 0)
		return err;
	for (unsigned i = 0; i < RECORDS_PER_PAGE; i++) {
		uint64_t id = get64(l->object[i].id);
		uint64_t offset =
			get64(l->h.offset) + offsetof(struct disk_catalog_leaf, object[i]);

		if (id == 0)
			continue;
		if (id / RECORDS_PER_PAGE != n) {
			check_found(c, COWBD_DAMAGE, offset,
				    "object %" PRIu64 " is in catalog leaf %" PRIu64, id, n);
			c->blind = true;
			continue;
		}
		if (id >= get64(c->super.next_id))
			check_found(c, COWBD_DAMAGE, offset,
				    "object %" PRIu64 " is there, but the next id is %" PRIu64, id,
				    get64(c->super.next_id));
		err = add_object(c, &l->object[i], offset);
		if (err < 0)
			return err;
	}
	return 0;
}

static int walk_node(struct check *c, const struct reference *ref, unsigned level, uint64_t first)
{
	uint64_t limit = (UINT64_MAX - RECORDS_PER_PAGE) / RECORDS_PER_PAGE;
	const struct disk_map *m = check_buffer(c, level);
	int err = enter(c, ref, PAGE_CATALOG_NODE, level, first, check_buffer(c, level));

	if (err <= 0)
		return err;
	for (unsigned i = 0; i < MAP_FANOUT && err >= 0; i++) {
		struct reference child = entry_reference(m, i);

		if (level == 0)
			read_entries_ahead(c, m, i);
		if (child.number == 0)
			continue;
		if (beyond(first, level, i, limit))
			check_found(c, COWBD_DAMAGE, child.offset,
				    "entry %u of a catalog node is beyond all ids", i);
		else if (level == 0)
			err = walk_leaf(c, &child, first + i);
		else
			err = walk_node(c, &child, level - 1, first_below(first, level, i));
	}
	return err < 0 ? err : 0;
}

int check_catalog(struct check *c)
{
	unsigned depth = get32(c->super.catalog_depth);
	struct reference root = {
		.number = get64(c->super.catalog_root),
		.offset = get64(c->super.h.offset),
	};

	if (root.number == 0)
		return 0;
	return depth ? walk_node(c, &root, depth - 1, 0) : walk_leaf(c, &root, 0);
}

static int by_id(const void *key, const void *element)
{
	uint64_t id = *(const uint64_t *)key;
	const struct object *o = element;

	return (id > o->id) - (id < o->id);
}

static const struct object *find_object(const struct check *c, uint64_t id)
{
	return c->objects ? bsearch(&id, c->object, c->objects, sizeof *c->object, by_id) : NULL;
}

/* What follows is about o. */
void check_who_object(struct check *c, const struct object *o)
{
	const struct object *volume = o->kind == OBJECT_SNAPSHOT ? find_object(c, o->volume) : NULL;

	if (o->kind == OBJECT_VOLUME)
		check_set_who(c, o->name);
	else
		snprintf(c->who, sizeof c->who, "%s@%s", volume ? volume->name : "?", o->name);
}

static int by_name(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	if (x->volume != y->volume)
		return x->volume < y->volume ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int by_root(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
	uint64_t p = x->root & ENTRY_NUMBER, q = y->root & ENTRY_NUMBER;

	if (p != q)
		return p < q ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void check_names(struct check *c, const struct object **order)
{
	qsort(order, c->objects, sizeof *order, by_name);
	for (size_t i = 0; i < c->objects; i++) {
		const struct object *o = order[i], *volume = NULL;

		check_who_object(c, o);
		if (i && by_name(&order[i - 1], &order[i]) == 0)
			check_found(c, COWBD_DAMAGE, o->offset,
				    "objects %" PRIu64 " and %" PRIu64 " have one name",
				    order[i - 1]->id, o->id);
		if (o->kind == OBJECT_SNAPSHOT)
			volume = find_object(c, o->volume);
		if (o->kind == OBJECT_SNAPSHOT && (!volume || volume->kind != OBJECT_VOLUME))
			check_found(c, COWBD_DAMAGE, o->offset,
				    "snapshot %" PRIu64 " is of volume %" PRIu64 ", which "
				    "is not there",
				    o->id, o->volume);
	}
}

/* ---- maps of objects ----------------------------------------------------- */

/* The current content of a map page that the walk has been at: 1, 0, -ENOMEM. */
static int read_again(struct check *c, uint64_t page, unsigned level, uint64_t first, void *buf)
{
	const struct zone *z = zone_of_page(c, page);
	unsigned unit = (unsigned)(page % ZONE_TWINS);
	int err;

	if (!z || !slot_written(z->slot[unit]) ||
	    z->place[unit] != place_code(PAGE_MAP, level, first))
		return 0;
	err = check_read_page(c, page, z->slot[unit], PAGE_MAP, buf);
	return err == -ENOMEM ? err : err == 0;
}

/* Nothing is mapped beyond the end of o.  The walk can't tell, for it looks at a shared page
 * once, and those who share it may differ in size: so this goes down the path of the last block. */
static int check_end(struct check *c, const struct object *o)
{
	uint64_t last = (o->size - 1) >> c->g.block_shift, page = o->root & ENTRY_NUMBER, first = 0;
	const struct disk_map *m = check_buffer(c, BUFFER_OTHER);

	for (unsigned level = o->depth; page && level-- > 0;) {
		unsigned shift = MAP_SHIFT * level, at;
		int got = read_again(c, page, level, first, check_buffer(c, BUFFER_OTHER));

		if (got <= 0 || get16(m->level) != level)
			return MIN(got, 0);
		at = shift >= 64 ? 0 : (unsigned)(last >> shift) % MAP_FANOUT;
		for (unsigned i = at + 1; i < MAP_FANOUT; i++)
			if (get48(m->entry[i])) {
				check_found(c, COWBD_DAMAGE, get64(m->h.offset),
					    "maps blocks beyond its end, block "
					    "%" PRIu64,
					    last);
				return 0;
			}
		page = get48(m->entry[at]) & ENTRY_NUMBER;
		first += shift >= 64 ? 0 : (uint64_t)at << shift;
	}
	return 0;
}

static int walk_objects(struct check *c, const struct object **order)
{
	qsort(order, c->objects, sizeof *order, by_root);
	for (size_t i = 0; i < c->objects; i++) {
		const struct object *o = order[i], *before = i ? order[i - 1] : NULL;
		struct reference root = {
			.number = o->root & ENTRY_NUMBER,
			.shared = o->root & ENTRY_SHARED,
			.offset = o->offset,
		};
		int err = 0;

		if (root.number == 0)
			continue;
		check_who_object(c, o);
		err = walk_map(c, &root, o->depth - 1u, 0);
		if (!err && c->repair && (c->bad || c->unmarked))
			err = repair_root(c, o);
		if (!err && (!before || (before->root & ENTRY_NUMBER) != root.number ||
			     before->size != o->size))
			err = check_end(c, o);
		if (err < 0)
			return err;
	}
	return 0;
}

int check_objects(struct check *c)
{
	const struct object **order CLEANUP_FREE = NULL;

	c->result.objects = c->objects;
	order = calloc(c->objects + 1, sizeof *order);
	if (!order)
		return fail(-ENOMEM, "out of memory");
	for (size_t i = 0; i < c->objects; i++)
		order[i] = &c->object[i];
	check_names(c, order);
	return walk_objects(c, order);
}

int check_dying(struct check *c)
{
	check_set_who(c, "metadata");
	for (size_t i = 0; i < c->ndying; i++) {
		struct reference root = {
			.number = c->dying[i].page,
			.shared = true,
			.offset = c->dying[i].offset,
		};
		int err = walk_map(c, &root, c->dying[i].level, FIRST_UNKNOWN);

		if (c->repair && c->bad)
			c->dying[i].page = 0;
		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- later passes ---------------------------------------------------------- */

/* The leaf at a place where the walk has been; it has reported what is wrong with it. */
static int count_leaf(struct check *c, uint64_t page, struct le32 slot)
{
	const struct disk_map *m = check_buffer(c, BUFFER_OTHER);
	int err = check_read_page(c, page, slot, PAGE_MAP, check_buffer(c, BUFFER_OTHER));

	if (err)
		return err == -ENOMEM ? err : 0;
	for (unsigned i = refer_near(c, m, 0, MAP_FANOUT); i < MAP_FANOUT;
	     i = refer_near(c, m, i + 1, MAP_FANOUT)) {
		struct reference child = entry_reference(m, i);
		const struct zone *z;
		unsigned unit;

		if (child.number == 0)
			continue;
		z = check_zone_of(c, block_zone(&c->g, child.number));
		if (z && !z->meta) /* others are no business of this pass */
			(void)check_refer(c, &child, false, &unit);
	}
	return 0;
}

static bool is_leaf(const struct zone *z, unsigned unit)
{
	return z->place[unit] && (z->place[unit] & 0xff) == (place_code(PAGE_MAP, 0, 0) & 0xff);
}

static void ask_for_leaves(struct check *c, const struct zone *z, uint64_t zone, unsigned from)
{
	check_ahead_begin(c);
	for (unsigned k = from; k < MIN(from + AHEAD_PAGES, z->units); k++)
		if (is_leaf(z, k))
			(void)check_ahead_add(c, zone * ZONE_TWINS + k, z->slot[k]);
	check_ahead_run(c);
}

static int count_leaves(struct check *c, struct zone *z, uint64_t zone)
{
	for (unsigned i = 0; z->meta && i < z->units; i++) {
		int err;

		if (i == 0)
			ask_for_leaves(c, z, zone, 0);
		if (i % AHEAD_PAGES == 0)
			ask_for_leaves(c, z, zone, i + AHEAD_PAGES);
		err = is_leaf(z, i) && slot_written(z->slot[i])
			      ? count_leaf(c, zone * ZONE_TWINS + i, z->slot[i])
			      : 0;
		if (err)
			return err;
	}
	return 0;
}

int check_leaves(struct check *c)
{
	check_set_who(c, "maps");
	return check_each_zone(c, count_leaves);
}

/* ---- pages of checksums ---------------------------------------------------- */

/* Page k of the checksums of a zone. */
static int check_sums_page(struct check *c, struct zone *of, uint64_t zone, unsigned k)
{
	uint64_t first = zone * c->g.zone_blocks + k * SUMS_PER_PAGE, offset;
	struct disk_sums *s = check_buffer(c, BUFFER_OTHER);
	struct reference ref = {.number = of->sums[k],
				.offset = page_offset(zone_page(&c->g, zone), 0)};
	struct zone *z;
	unsigned unit;
	int err;

	z = check_refer(c, &ref, true, &unit);
	if (!z && c->repair)
		of->sums[k] = 0;
	if (!z)
		return 0;
	offset = page_offset(ref.number, slot_which(z->slot[unit]));
	if (z->place[unit])
		err = fail(-EUCLEAN, "page of checksums %" PRIu64 " is used elsewhere too",
			   ref.number);
	else
		err = check_read_page(c, ref.number, z->slot[unit], PAGE_SUMS, s);
	z->place[unit] = place_code(PAGE_SUMS, 0, first);
	c->visited++;
	if (err == -ENOMEM)
		return err;
	c->result.pages += err == 0;
	/* the next scrub makes them anew; and which copy is the right one nobody knows if its zone's page was lost */
	if (c->repair && (err || get64(s->first) != first || z->rebuilt)) {
		of->sums[k] = 0;
		of->rebuilt = true;
		z->refs[unit]--;
	}
	if (err)
		check_found(c, COWBD_DAMAGE, offset, "%s", error_message());
	else if (get64(s->first) != first)
		check_found(c, COWBD_DAMAGE, offset,
			    "has the checksums of blocks from %" PRIu64 " on, not %" PRIu64,
			    get64(s->first), first);
	return 0;
}

int check_sums(struct check *c, struct zone *z, uint64_t zone)
{
	for (unsigned k = 0; k < SUMS_PAGES; k++) {
		int err = z->sums[k] ? check_sums_page(c, z, zone, k) : 0;

		if (err)
			return err;
	}
	return 0;
}
