/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * catalog.c - names, volumes, snapshots, clones, lineage
 */
#include "catalog.h"

#include <stdio.h>

void (*catalog_free_io)(struct volume *io);

/* ---- tables in memory ------------------------------------------------------------------- */

static size_t id_bucket(const struct catalog *c, uint64_t id)
{
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & c->mask;
}

static size_t name_bucket(const struct catalog *c, const struct object *volume, const char *name)
{
	return (size_t)checksum(name, strlen(name), volume ? volume->id : 0) & c->mask;
}

struct object *catalog_by_id(const struct catalog *c, uint64_t id)
{
	struct object *o = c->by_id[id_bucket(c, id)];

	while (o && o->id != id)
		o = o->next_id;
	return o;
}

struct object *catalog_by_name(const struct catalog *c, const struct object *volume,
			       const char *name)
{
	struct object *o = c->by_name[name_bucket(c, volume, name)];

	while (o && (o->volume != volume || strcmp(o->name, name) != 0))
		o = o->next_name;
	return o;
}

static void link_name(struct catalog *c, struct object *o)
{
	size_t b = name_bucket(c, o->volume, o->name);

	o->next_name = c->by_name[b];
	c->by_name[b] = o;
}

static void unlink_name(struct catalog *c, struct object *o)
{
	struct object **at = &c->by_name[name_bucket(c, o->volume, o->name)];

	while (*at != o)
		at = &(*at)->next_name;
	*at = o->next_name;
}

static void unlink_id(struct catalog *c, struct object *o)
{
	struct object **at = &c->by_id[id_bucket(c, o->id)];

	while (*at != o)
		at = &(*at)->next_id;
	*at = o->next_id;
}

static void relink_all(struct catalog *c, struct object **old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (struct object *o = old[i], *next; o; o = next) {
			size_t b = id_bucket(c, o->id);

			next = o->next_id;
			o->next_id = c->by_id[b];
			c->by_id[b] = o;
			link_name(c, o);
		}
}

static int grow_tables(struct catalog *c)
{
	size_t old = c->mask + 1;
	struct object **ids, **by_id, **by_name;

	if (c->n < old)
		return 0;
	by_id = calloc(old * 2, sizeof(*by_id));
	by_name = calloc(old * 2, sizeof(*by_name));
	if (!by_id || !by_name) {
		free(by_id);
		free(by_name);
		return -ENOMEM;
	}
	ids = c->by_id;
	free(c->by_name);
	c->by_id = by_id;
	c->by_name = by_name;
	c->mask = old * 2 - 1;
	relink_all(c, ids, old);
	free(ids);
	return 0;
}

static void link_snapshot(struct object *o)
{
	struct object **at = &o->volume->snapshots;

	while (*at && (*at)->id > o->id) /* newest first */
		at = &(*at)->older;
	o->older = *at;
	*at = o;
	o->volume->nsnapshots++;
}

static void unlink_snapshot(struct object *o)
{
	struct object **at = &o->volume->snapshots;

	while (*at != o)
		at = &(*at)->older;
	*at = o->older;
	o->volume->nsnapshots--;
}

int catalog_prepare(struct catalog *c, size_t n)
{
	for (; c->nspare < n; c->nspare++) {
		struct object *o = malloc(sizeof *o);

		if (!o)
			return fail(-ENOMEM, "no memory for a volume or snapshot");
		o->next_id = c->spare;
		c->spare = o;
	}
	return 0;
}

struct object *catalog_insert(struct catalog *c, const struct object *like)
{
	struct object *o = c->spare;

	(void)grow_tables(c); /* if it fails the chains grow longer */
	if (o) {
		c->spare = o->next_id;
		c->nspare--;
	} else {
		o = malloc(sizeof *o);
	}
	if (!o)
		return NULL;
	*o = *like;
	size_t b = id_bucket(c, o->id);

	o->next_id = c->by_id[b];
	c->by_id[b] = o;
	link_name(c, o);
	if (o->volume)
		link_snapshot(o);
	c->n++;
	if (o->kind == OBJECT_VOLUME) {
		c->nvolumes++;
		c->nephemeral += (o->flags & OBJECT_EPHEMERAL) != 0;
		c->virtual_bytes += o->size;
	}
	c->next_id = MAX(c->next_id, o->id + 1);
	return o;
}

static int find_volume(const struct catalog *c, const char *name, struct object **ret)
{
	int r = name_check(name);

	if (r < 0)
		return r;
	*ret = catalog_by_name(c, NULL, name);
	return *ret && !(*ret)->unsettled ? 0 : fail(-ENOENT, "there is no volume \"%s\"", name);
}

int catalog_find(const struct catalog *c, const char *full, struct object **ret_object)
{
	const char *at = strchr(full, '@');
	char name[NAME_BYTES_MAX + 1];
	struct object *volume, *o;
	int r;

	if (!at)
		return find_volume(c, full, ret_object);
	if ((size_t)(at - full) > NAME_BYTES_MAX)
		return fail(-EINVAL, "the name of the volume is longer than %u bytes",
			    NAME_BYTES_MAX);
	memcpy(name, full, (size_t)(at - full));
	name[at - full] = '\0';
	if ((r = find_volume(c, name, &volume)) < 0 || (r = name_check(at + 1)) < 0)
		return r;
	o = catalog_by_name(c, volume, at + 1);
	if (!o || o->unsettled)
		return fail(-ENOENT, "volume \"%s\" has no snapshot \"%s\"", name, at + 1);
	*ret_object = o;
	return 0;
}

void catalog_full_name(const struct object *o, char buf[2 * (NAME_BYTES_MAX + 1)])
{
	if (o->volume)
		snprintf(buf, 2 * (NAME_BYTES_MAX + 1), "%s@%s", o->volume->name, o->name);
	else
		snprintf(buf, 2 * (NAME_BYTES_MAX + 1), "%s", o->name);
}

/* ---- the tree of pages ----------------------------------------------------------------------- */

static uint64_t leaf_key(uint64_t id)
{
	return id / RECORDS_PER_PAGE;
}

static unsigned depth_for(uint64_t key)
{
	unsigned depth = 0;

	while (key >= map_span(depth))
		depth++;
	return depth;
}

unsigned catalog_pages_for(const struct catalog *c, size_t n)
{
	unsigned leaves = (unsigned)(n / RECORDS_PER_PAGE) + 2;
	unsigned depth = depth_for(leaf_key(c->next_id + n));

	return leaves + leaves / (MAP_FANOUT - 1) + 2 * (depth + 1);
}

/* Kind and content of the page below a node of this level. */
static enum page_kind kind_at(unsigned level)
{
	return level == 0 ? PAGE_CATALOG_LEAF : PAGE_CATALOG_NODE;
}

int catalog_touch(struct catalog *c, uint64_t id)
{
	uint64_t key = leaf_key(id), entry = c->tree.entry;
	unsigned level = c->tree.depth;

	if (key >= map_span(level))
		return 0;
	while (entry) {
		struct page *page;
		int r = pages_get(c->engine->pages, entry, kind_at(level), &page);

		if (r < 0 || level == 0)
			return r;
		level--;
		entry = get48(((struct disk_map *)page->data)->entry[map_index(key, level)]);
	}
	return 0;
}

REQUIRES(metadata_lock)
static struct page *make_node(struct catalog *c, unsigned level, uint64_t key)
{
	struct page *page =
		pages_make(c->engine->pages, engine_take_page(c->engine), PAGE_CATALOG_NODE);
	struct disk_map *m = page->data;

	m->level = put16((uint16_t)level);
	m->first = put64(round_down(key, map_span(level + 1)));
	return page;
}

/* Levels enough for key. */
REQUIRES(metadata_lock) static void deepen(struct catalog *c, uint64_t key)
{
	if (c->tree.entry == 0) {
		c->tree.depth = MAX(c->tree.depth, depth_for(key));
		return;
	}
	while (key >= map_span(c->tree.depth)) {
		struct page *page = make_node(c, c->tree.depth, 0);

		((struct disk_map *)page->data)->entry[0] = put48(c->tree.entry);
		c->tree.entry = page->no;
		c->tree.depth++;
	}
}

/* The leaf of key, made if it isn't there. Prepared. */
REQUIRES(metadata_lock) static struct page *leaf_for(struct catalog *c, uint64_t key)
{
	struct page *parent = NULL, *page;

	deepen(c, key);
	for (unsigned level = c->tree.depth;; level--) {
		unsigned i = parent ? map_index(key, level) : 0;
		uint64_t entry = parent ? get48(((struct disk_map *)parent->data)->entry[i])
					: c->tree.entry;

		if (entry) {
			int r = pages_get(c->engine->pages, entry, kind_at(level), &page);

			assert(r == 0); /* touched */
			(void)r;
		} else {
			page = level ? make_node(c, level - 1, key)
				     : pages_make(c->engine->pages, engine_take_page(c->engine),
						  PAGE_CATALOG_LEAF);
			if (parent)
				((struct disk_map *)pages_write(c->engine->pages, parent))
					->entry[i] = put48(page->no);
			else
				c->tree.entry = page->no;
		}
		if (level == 0)
			return page;
		parent = page;
	}
}

static void encode(const struct object *o, struct disk_object *d)
{
	memset(d, 0, sizeof *d);
	d->id = put64(o->id);
	d->volume = put64(o->volume ? o->volume->id : 0);
	d->parent = put64(o->parent);
	d->root = put64(o->map.entry);
	d->size = put64(o->size);
	d->created = put64(o->created);
	d->flags = put32(o->flags);
	d->kind = (uint8_t)o->kind;
	d->label = (uint8_t)o->label;
	d->depth = (uint8_t)o->map.depth;
	d->sector_size = put32(o->sector_size);
	d->name_length = (uint8_t)strlen(o->name);
	memcpy(d->name, o->name, strlen(o->name));
}

void catalog_put(struct catalog *c, const struct object *o)
{
	struct page *leaf = leaf_for(c, leaf_key(o->id));
	struct disk_catalog_leaf *l = pages_write(c->engine->pages, leaf);

	encode(o, &l->object[o->id % RECORDS_PER_PAGE]);
}

static bool all_zero(const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n && *b == 0)
		b++, n--;
	return n == 0;
}

/* Lets the empty page fall, and its parents as far as they become empty. path[0] is the root. */
REQUIRES(metadata_lock)
static void prune(struct catalog *c, struct page **path, unsigned n, uint64_t key, uint64_t seq)
{
	while (n-- > 0) {
		struct page *page = path[n];
		unsigned level = c->tree.depth - n; /* 0: leaf */
		size_t head = level ? offsetof(struct disk_map, entry) : sizeof(struct disk_page);

		if (!all_zero((uint8_t *)page->data + head, PAGE_BYTES - head))
			return;
		space_fall(c->engine->space, page_unit(page->no), seq, true);
		if (n == 0)
			c->tree = (struct map_root){0};
		else
			((struct disk_map *)pages_write(c->engine->pages, path[n - 1]))
				->entry[map_index(key, level)] = put48(0);
	}
}

REQUIRES(metadata_lock) static void erase(struct catalog *c, uint64_t id, uint64_t seq)
{
	struct page *path[MAP_DEPTH_MAX + 2];
	uint64_t key = leaf_key(id), entry = c->tree.entry;
	unsigned n = 0;

	for (unsigned level = c->tree.depth;; level--) {
		int r = pages_get(c->engine->pages, entry, kind_at(level), &path[n++]);

		assert(r == 0); /* touched */
		(void)r;
		if (level == 0)
			break;
		entry = get48(
			((struct disk_map *)path[n - 1]->data)->entry[map_index(key, level - 1)]);
	}
	struct disk_catalog_leaf *l = pages_write(c->engine->pages, path[n - 1]);

	memset(&l->object[id % RECORDS_PER_PAGE], 0, sizeof l->object[0]);
	prune(c, path, n, key, seq);
}

/* ---- changes ------------------------------------------------------------------------------------- */

void catalog_release(struct object *o)
{
	if (!o->gone || o->clients)
		return;
	if (o->io)
		catalog_free_io(o->io);
	free(o);
}

void catalog_remove(struct catalog *c, struct object *o, uint64_t seq)
{
	erase(c, o->id, seq);
	unlink_id(c, o);
	unlink_name(c, o);
	if (o->volume)
		unlink_snapshot(o);
	c->n--;
	if (o->kind == OBJECT_VOLUME) {
		c->nvolumes--;
		c->nephemeral -= (o->flags & OBJECT_EPHEMERAL) != 0;
		c->virtual_bytes -= o->size;
	}
	o->gone = true;
	o->volume = NULL;
	catalog_release(o);
}

void catalog_rename(struct catalog *c, struct object *o, const char *name)
{
	unlink_name(c, o);
	snprintf(o->name, sizeof o->name, "%s", name);
	link_name(c, o);
}

void catalog_resize(struct catalog *c, struct object *o, uint64_t size)
{
	if (o->kind == OBJECT_VOLUME)
		c->virtual_bytes += size - o->size;
	o->size = size;
}

/* ---- loading ---------------------------------------------------------------------------------------- */

static void decode(const struct disk_object *d, struct object *o)
{
	*o = (struct object){
		.id = get64(d->id),
		.parent = get64(d->parent),
		.size = get64(d->size),
		.created = get64(d->created),
		.kind = d->kind,
		.label = d->label,
		.flags = get32(d->flags),
		.sector_size = get32(d->sector_size),
		.map = {.entry = get64(d->root), .depth = d->depth},
	};
	memcpy(o->name, d->name, d->name_length);
}

REQUIRES(metadata_lock)
static int load_object(struct catalog *c, const struct disk_object *d, bool snapshots)
{
	struct object o;

	decode(d, &o);
	if ((o.kind == OBJECT_SNAPSHOT) != snapshots)
		return 0;
	if (MAP_SHIFT * o.map.depth > 62) /* more than any size needs, and than 64 bits can count */
		return fail(-EUCLEAN, "the map of \"%s\" has %u levels; run cowbd check", o.name,
			    o.map.depth);
	if (snapshots) {
		o.volume = catalog_by_id(c, get64(d->volume));
		if (!o.volume || o.volume->kind != OBJECT_VOLUME) /* [CATALOG-3] */
			return fail(-EUCLEAN, "snapshot \"%s\" is of no volume; run cowbd check",
				    o.name);
	}
	if (catalog_by_name(c, o.volume, o.name) || catalog_by_id(c, o.id)) /* [CATALOG-2] */
		return fail(-EUCLEAN, "two objects are called \"%s\"; run cowbd check", o.name);
	return catalog_insert(c, &o) ? 0 : fail(-ENOMEM, "no memory for the catalog");
}

/* Inserts the records of a leaf: volumes in the first pass, snapshots in the second. */
REQUIRES(metadata_lock)
static int load_leaf(struct catalog *c, const struct disk_catalog_leaf *l, uint64_t key,
		     bool snapshots)
{
	bool any = false;
	int r = 0;

	for (unsigned i = 0; i < RECORDS_PER_PAGE && r == 0; i++) {
		uint64_t id = get64(l->object[i].id);

		if (id == 0)
			continue;
		any = true;
		if (leaf_key(id) != key || id >= get64(c->engine->super.next_id))
			return fail(-EUCLEAN,
				    "object %" PRIu64 " is where it can't be; run cowbd check", id);
		r = load_object(c, &l->object[i], snapshots);
	}
	if (!any)
		return fail(-EUCLEAN, "a leaf of the catalog is empty; run cowbd check");
	return r;
}

/* Is it the page of the catalog for key, and counted?  So every page is met once, and none is given away. */
static int load_check(struct catalog *c, uint64_t no, const struct disk_map *m, unsigned level,
		      uint64_t key)
{
	struct engine *e = c->engine;
	unsigned count;
	int r;

	if (level && (get16(m->level) != level - 1 || get64(m->first) != key))
		return fail(-EUCLEAN,
			    "node %" PRIu64 " of the catalog is of another place; run cowbd check",
			    no);
	do {
		metalock_shared(&e->lock);
		r = space_count(e->space, page_unit(no), &count);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	if (r == 0 && count != 1)
		return fail(-EUCLEAN,
			    "page %" PRIu64 " of the catalog has count %u; run cowbd check", no,
			    count);
	return r;
}

UNCHECKED_LOCKING static int load_below(struct catalog *c, uint64_t entry, unsigned level,
					uint64_t key, bool snapshots)
{
	_Alignas(8) uint8_t copy[PAGE_BYTES];
	struct page *page;
	bool any = false;
	int r = pages_get_shared(c->engine->pages, entry, kind_at(level), &page);

	if (r < 0)
		return r;
	memcpy(copy, page->data, PAGE_BYTES);
	metalock_drop(&c->engine->lock);
	r = load_check(c, entry, (void *)copy, level, key);
	if (r == 0 && level == 0)
		return load_leaf(c, (void *)copy, key, snapshots);
	for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++) {
		uint64_t below = get48(((struct disk_map *)(void *)copy)->entry[i]);

		if (below) {
			any = true;
			r = load_below(c, below, level - 1, key + i * map_span(level - 1),
				       snapshots);
		}
	}
	if (r == 0 && !any)
		return fail(-EUCLEAN, "a node of the catalog is empty; run cowbd check");
	return r;
}

int catalog_load(struct catalog *c)
{
	const struct disk_super *s = &c->engine->super;
	int r;

	c->tree.entry = get64(s->catalog_root);
	c->tree.depth = get32(s->catalog_depth);
	c->next_id = MAX(get64(s->next_id), UINT64_C(1));
	if (c->tree.entry == 0)
		return 0;
	r = load_below(c, c->tree.entry, c->tree.depth, 0, false);
	if (r == 0)
		r = load_below(c, c->tree.entry, c->tree.depth, 0, true);
	return r;
}

int catalog_new(struct engine *e, struct catalog **ret_catalog)
{
	struct catalog *c = calloc(1, sizeof *c);

	if (!c)
		return fail(-ENOMEM, "no memory for the catalog");
	c->engine = e;
	c->mask = 1023;
	c->next_id = 1;
	c->by_id = calloc(c->mask + 1, sizeof(*c->by_id));
	c->by_name = calloc(c->mask + 1, sizeof(*c->by_name));
	if (!c->by_id || !c->by_name) {
		catalog_free(c);
		return fail(-ENOMEM, "no memory for the catalog");
	}
	*ret_catalog = c;
	return 0;
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->by_id && i <= c->mask; i++)
		for (struct object *o = c->by_id[i], *next; o; o = next) {
			next = o->next_id;
			if (o->io)
				catalog_free_io(o->io);
			free(o);
		}
	for (struct object *o = c->spare, *next; o; o = next) {
		next = o->next_id;
		free(o);
	}
	free(c->by_id);
	free(c->by_name);
	free(c);
}
