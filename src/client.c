/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.c - who has which disk open, and their requests; listing what there is
 */
#include "pool.h"

#include <stdio.h>

#define ATTACHED_NS UINT64_C(1000000000)

bool client_attached(const struct cowbd_client *c, uint64_t now)
{
	return atomic_load_explicit(&c->requests, memory_order_relaxed) > 0 ||
	       now - c->opened_ns > ATTACHED_NS;
}

/* ---- open and close ------------------------------------------------------------------------- */

static int open_object(struct cowbd_pool *p, const char *name, bool read_only,
		       struct cowbd_client *c)
{
	struct object *o;
	int r = catalog_find(p->cat, name, &o);

	if (r < 0 || (r = volume_ready(&p->e, o)) < 0)
		return r;
	c->object = o;
	c->id = o->id;
	c->size = o->size;
	c->writable = o->kind == OBJECT_VOLUME && !read_only && !p->e.read_only;
	o->clients++;
	o->idle_ns = 0;
	c->next = p->clients;
	p->clients = c;
	p->nclients++;
	return 0;
}

int cowbd_client_open(struct cowbd_pool *p, const char *name, bool read_only, const char *peer,
		      struct cowbd_client **ret_client)
{
	struct cowbd_client *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return fail(-ENOMEM, "no memory for a client");
	c->pool = p;
	c->opened_ns = now_ns();
	snprintf(c->peer, sizeof c->peer, "%s", peer ? peer : "this process");
	metalock_exclusive(&p->e.lock);
	r = open_object(p, name, read_only, c);
	metalock_drop(&p->e.lock);
	if (r < 0)
		free(c);
	else
		*ret_client = c;
	return r;
}

void cowbd_client_close(struct cowbd_client *c)
{
	struct cowbd_client **at;
	struct cowbd_pool *p;

	if (!c)
		return;
	p = c->pool;
	metalock_exclusive(&p->e.lock);
	for (at = &p->clients; *at != c;)
		at = &(*at)->next;
	*at = c->next;
	p->nclients--;
	if (--c->object->clients == 0) {
		volume_idle(&p->e, c->object);
		catalog_release(c->object);
	}
	metalock_drop(&p->e.lock);
	free(c);
}

void cowbd_client_cut(struct cowbd_client *c)
{
	hold_cut(&c->pool->e.hold, &c->holder);
}

uint64_t cowbd_client_size(const struct cowbd_client *c)
{
	return c->size;
}

bool cowbd_client_writable(const struct cowbd_client *c)
{
	return c->writable;
}

uint64_t cowbd_client_object(const struct cowbd_client *c)
{
	return c->id;
}

uint32_t cowbd_client_sector_size(const struct cowbd_client *c)
{
	uint32_t size;

	metalock_shared(&c->pool->e.lock);
	size = c->object->sector_size ? c->object->sector_size : SECTOR_BYTES;
	metalock_drop(&c->pool->e.lock);
	return size;
}

int cowbd_clients(struct cowbd_pool *p, struct cowbd_client_info **ret_list, size_t *ret_n)
{
	uint64_t now = now_ns();
	struct cowbd_client_info *list;
	size_t n = 0;

	metalock_shared(&p->e.lock);
	list = calloc(p->nclients + 1, sizeof *list);
	for (const struct cowbd_client *c = p->clients; list && c; c = c->next, n++) {
		list[n].object = c->id;
		list[n].opened_ns = c->opened_ns;
		list[n].requests = atomic_load_explicit(&c->requests, memory_order_relaxed);
		list[n].attached = client_attached(c, now);
		list[n].held = atomic_load(&c->holder.held);
		list[n].held_ns = list[n].held ? now - MIN(now, atomic_load(&c->holder.since_ns))
					       : 0;
		catalog_full_name(c->object, list[n].name);
		snprintf(list[n].peer, sizeof list[n].peer, "%s", c->peer);
	}
	metalock_drop(&p->e.lock);
	if (!list)
		return fail(-ENOMEM, "no memory to list clients");
	*ret_list = list;
	*ret_n = n;
	return 0;
}

/* ---- requests ---------------------------------------------------------------------------------- */

/* Counts the request; -EINVAL beyond the end, -EPERM a write that may not be. */
static int begin(struct cowbd_client *c, uint64_t len, uint64_t offset, bool writes)
{
	atomic_fetch_add_explicit(&c->requests, 1, memory_order_relaxed);
	if (offset > c->size || len > c->size - offset)
		return fail(-EINVAL, "a request reaches beyond the end of the disk");
	if (writes && c->object->kind == OBJECT_SNAPSHOT)
		return fail(-EPERM, "a snapshot can't be written: make a clone of it");
	if (writes && !c->writable)
		return fail(-EPERM, "the disk is open read-only");
	return 0;
}

/* Whose writes may wait for space: NULL, nobody's. */
static struct holder *holder(struct cowbd_client *c)
{
	return atomic_load_explicit(&c->object->never_held, memory_order_relaxed) ? NULL
										  : &c->holder;
}

int cowbd_set_on_full(struct cowbd_pool *p, const char *name, bool hold)
{
	struct object *o;
	int r;

	metalock_exclusive(&p->e.lock);
	r = catalog_find(p->cat, name, &o);
	if (r == 0 && o->kind != OBJECT_VOLUME)
		r = fail(-EINVAL, "\"%s\" is a snapshot: nothing writes to it", name);
	if (r == 0)
		atomic_store(&o->never_held, !hold);
	metalock_drop(&p->e.lock);
	return r;
}

unsigned cowbd_client_held(const struct cowbd_client *c)
{
	return atomic_load(&c->holder.held);
}

static int end(struct cowbd_client *c, int r, unsigned flags)
{
	return r == 0 && (flags & COWBD_FUA) ? volume_flush(c->pool->cat, c->object) : r;
}

int cowbd_read(struct cowbd_client *c, void *buf, uint64_t len, uint64_t offset)
{
	int r = begin(c, len, offset, false);

	return r < 0 ? r : volume_read(c->pool->cat, c->object, buf, len, offset);
}

int cowbd_write(struct cowbd_client *c, const void *buf, uint64_t len, uint64_t offset,
		unsigned flags)
{
	int r = begin(c, len, offset, true);

	if (r == 0)
		r = volume_write(c->pool->cat, c->object, holder(c), buf, len, offset);
	return end(c, r, flags);
}

int cowbd_zero(struct cowbd_client *c, uint64_t len, uint64_t offset, unsigned flags)
{
	int r = begin(c, len, offset, true);

	if (r == 0)
		r = volume_zero(c->pool->cat, c->object, holder(c), len, offset);
	return end(c, r, flags);
}

int cowbd_trim(struct cowbd_client *c, uint64_t len, uint64_t offset, unsigned flags)
{
	int r = begin(c, len, offset, true);

	if (r == 0)
		r = volume_trim(c->pool->cat, c->object, len, offset);
	return end(c, r, flags);
}

int cowbd_flush(struct cowbd_client *c)
{
	int r = begin(c, 0, 0, false);

	return r < 0 ? r : volume_flush(c->pool->cat, c->object);
}

int cowbd_cache(struct cowbd_client *c, uint64_t len, uint64_t offset)
{
	const uint64_t piece = 1u << 18;
	CLEANUP_FREE void *buf = malloc(piece);
	int r = begin(c, len, offset, false);

	if (r == 0 && !buf)
		return fail(-ENOMEM, "no memory to read ahead");
	for (uint64_t end_at = offset + len; offset < end_at && r == 0; offset += piece)
		r = volume_read(c->pool->cat, c->object, buf, MIN(piece, end_at - offset), offset);
	return r;
}

int cowbd_extents(struct cowbd_client *c, uint64_t len, uint64_t offset, cowbd_extent_visit visit,
		  void *opaque)
{
	int r = begin(c, len, offset, false);

	return r < 0 ? r : volume_extents(c->pool->cat, c->object, len, offset, visit, opaque);
}

/* ---- listing ------------------------------------------------------------------------------------- */

static void describe(const struct cowbd_pool *p, const struct object *o, struct cowbd_object *d)
{
	const struct object *parent = o->parent ? catalog_by_id(p->cat, o->parent) : NULL;

	*d = (struct cowbd_object){
		.id = o->id,
		.kind = (enum cowbd_kind)o->kind,
		.label = (enum cowbd_label)o->label,
		.flags = o->flags,
		.sector_size = o->sector_size ? o->sector_size : SECTOR_BYTES,
		.volume = o->volume ? o->volume->id : 0,
		.parent = o->parent,
		.size = o->size,
		.created = o->created,
	};
	for (const struct cowbd_client *c = p->clients; c && o->clients; c = c->next)
		d->clients += c->object == o && client_attached(c, now_ns());
	catalog_full_name(o, d->name);
	if (parent)
		catalog_full_name(parent, d->parent_name);
}

int cowbd_compare_objects(const void *a, const void *b)
{
	const struct cowbd_object *x = a, *y = b;
	size_t nx = strcspn(x->name, "@"), ny = strcspn(y->name, "@");
	int r = memcmp(x->name, y->name, MIN(nx, ny));

	if (r == 0 && nx != ny)
		r = nx < ny ? -1 : 1;
	if (r == 0)
		r = (x->kind == COWBD_SNAPSHOT) - (y->kind == COWBD_SNAPSHOT);
	return r ? r : (x->id > y->id) - (x->id < y->id);
}

int cowbd_list(struct cowbd_pool *p, struct cowbd_object **ret_list, size_t *ret_n)
{
	struct cowbd_object *list;
	size_t n = 0;

	metalock_shared(&p->e.lock);
	list = calloc(p->cat->n + 1, sizeof *list);
	for (size_t i = 0; list && i <= p->cat->mask; i++)
		for (const struct object *o = p->cat->by_id[i]; o; o = o->next_id)
			if (!o->unsettled)
				describe(p, o, &list[n++]);
	metalock_drop(&p->e.lock);
	if (!list)
		return fail(-ENOMEM, "no memory to list the pool");
	qsort(list, n, sizeof *list, cowbd_compare_objects);
	*ret_list = list;
	*ret_n = n;
	return 0;
}

int cowbd_list_snapshots(struct cowbd_pool *p, uint64_t volume, struct cowbd_object **ret_list,
			 size_t *ret_n)
{
	const struct object *newest, *s;
	struct cowbd_object *list;
	size_t n = 0;

	metalock_shared(&p->e.lock);
	newest = catalog_by_id(p->cat, volume);
	newest = newest ? newest->snapshots : NULL;
	for (s = newest; s; s = s->older)
		n += !s->unsettled;
	list = calloc(n + 1, sizeof *list);
	*ret_n = n;
	for (s = newest; list && s; s = s->older)
		if (!s->unsettled)
			describe(p, s, &list[--n]);
	metalock_drop(&p->e.lock);
	*ret_list = list;
	return list ? 0 : fail(-ENOMEM, "no memory to list snapshots");
}

int cowbd_find(struct cowbd_pool *p, const char *name, struct cowbd_object *ret_object)
{
	struct object *o;
	int r;

	metalock_shared(&p->e.lock);
	r = catalog_find(p->cat, name, &o);
	if (r == 0)
		describe(p, o, ret_object);
	metalock_drop(&p->e.lock);
	return r;
}

int cowbd_find_id(struct cowbd_pool *p, uint64_t id, struct cowbd_object *ret_object)
{
	struct object *o;
	int r = 0;

	metalock_shared(&p->e.lock);
	o = catalog_by_id(p->cat, id);
	if (o && !o->unsettled)
		describe(p, o, ret_object);
	else
		r = fail(-ENOENT, "no volume or snapshot has the id %" PRIu64, id);
	metalock_drop(&p->e.lock);
	return r;
}
