/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * use.c - does with a pool all that can be done, and takes no failure amiss
 */
#include "use.h"

#include <stdio.h>

#define EXTENTS_MAX 10000u
#define RECLAIM_MAX 1000u

int use_open(struct store *s, unsigned flags, struct cowbd_pool **ret_pool)
{
	struct cowbd_open_options opt = {.flags = flags | COWBD_OPEN_LOST_TAIL |
						  COWBD_OPEN_NO_TAIL | COWBD_OPEN_AFTER_ERROR,
					 .cache_bytes = 1 << 20,
					 .run_dir = "/nonexistent"};

	return pool_open_store(s, "test", &opt, ret_pool);
}

/* ---- reading ------------------------------------------------------------------------------- */

int use_sum(struct cowbd_pool *p, const char *name, uint64_t size, uint64_t max, uint64_t *ret_sum)
{
	static uint8_t buf[256 << 10];
	struct cowbd_client *c;
	int r = cowbd_client_open(p, name, true, "test", &c);

	if (r < 0)
		return r;
	*ret_sum = size;
	for (uint64_t at = 0; at < MIN(size, max) && r == 0; at += sizeof buf) {
		uint64_t len = MIN(size - at, (uint64_t)sizeof buf);

		r = cowbd_read(c, buf, len, at);
		if (r == 0)
			*ret_sum = checksum(buf, len, *ret_sum);
	}
	cowbd_client_close(c);
	return r;
}

static int count_extent(void *opaque, uint64_t offset, uint64_t length, bool mapped)
{
	unsigned *left = opaque;

	(void)offset;
	(void)length;
	(void)mapped;
	return --*left == 0;
}

static int count_change(void *opaque, uint64_t offset, uint64_t length, char kind)
{
	return count_extent(opaque, offset, length, kind == 'w') ? -ECANCELED : 0;
}

static void look_at_object(struct cowbd_pool *p, const struct cowbd_object *o, const char *other,
			   uint64_t max)
{
	unsigned left = EXTENTS_MAX;
	struct cowbd_usage usage;
	struct cowbd_client *c;
	uint64_t bytes, sum;

	(void)!cowbd_usage(p, o->name, &usage);
	(void)!cowbd_remove_frees(p, (const char *const[]){o->name}, 1, COWBD_RECURSIVE, &bytes);
	(void)!cowbd_diff(p, o->name, other, count_change, &left);
	left = EXTENTS_MAX;
	(void)!use_sum(p, o->name, o->size, max, &sum);
	if (cowbd_client_open(p, o->name, true, "test", &c) < 0)
		return;
	(void)!cowbd_extents(c, o->size, 0, count_extent, &left);
	(void)!cowbd_read(c, &sum, MIN(o->size, (uint64_t)8), o->size - MIN(o->size, (uint64_t)8));
	(void)!cowbd_cache(c, MIN(o->size, (uint64_t)PAGE_BYTES), 0);
	cowbd_client_close(c);
}

void use_look(struct cowbd_pool *p, uint64_t max)
{
	static struct cowbd_pool_info info_of;
	struct cowbd_object *list;
	size_t n;

	cowbd_pool_info(p, &info_of);
	if (cowbd_list(p, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		look_at_object(p, &list[i], list[(i + 1) % n].name, max);
	free(list);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void change_volume(struct cowbd_pool *p, const struct cowbd_object *o)
{
	static uint8_t buf[3 * PAGE_BYTES];
	uint64_t len = MIN(o->size, (uint64_t)sizeof buf);
	char name[2 * 256 + 8];
	const char *const names[] = {name};
	struct cowbd_client *c;

	if (cowbd_client_open(p, o->name, false, "test", &c) < 0)
		return;
	(void)!cowbd_write(c, buf, len, 0, 0);
	(void)!cowbd_write(c, buf, MIN(len, (uint64_t)512), o->size - MIN(len, (uint64_t)512), 0);
	(void)!cowbd_trim(c, o->size / 2, o->size / 4, 0);
	(void)!cowbd_zero(c, MIN(len, (uint64_t)700), o->size / 2, 0);
	(void)!cowbd_flush(c);
	cowbd_client_close(c);
	snprintf(name, sizeof name, "%s@fuzz", o->name);
	(void)!cowbd_snapshot(p, names, 1, COWBD_LABEL_NONE, 0);
	(void)!cowbd_resize(p, o->name, o->size + PAGE_BYTES * 100, COWBD_NO_WAIT);
	(void)!cowbd_resize(p, o->name, o->size / 1024 * 512 + 512,
			    COWBD_NO_WAIT | COWBD_SHRINK_FORCE);
}

static void undo_object(struct cowbd_pool *p, const struct cowbd_object *o)
{
	const char *const names[] = {o->name};

	if (o->kind == COWBD_SNAPSHOT)
		(void)!cowbd_rollback(p, o->name, NULL, COWBD_NO_WAIT);
	(void)!cowbd_remove(p, names, 1, COWBD_RECURSIVE | COWBD_NO_WAIT);
}

void use_change(struct cowbd_pool *p)
{
	static const char *const made[] = {"fuzz-clone"};
	struct cowbd_object *list;
	size_t n;

	if (cowbd_list(p, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].kind == COWBD_VOLUME)
			change_volume(p, &list[i]);
	(void)!cowbd_create(p, "fuzz-new", PAGE_BYTES * 100, 0, COWBD_NO_WAIT);
	if (n > 0)
		(void)!cowbd_clone(p, list[n - 1].name, made, 1, 0, COWBD_NO_WAIT);
	for (size_t i = 0; i < n; i += 2)
		undo_object(p, &list[i]);
	free(list);
	(void)!engine_commit(&p->e, NULL);
	for (unsigned i = 0; i < RECLAIM_MAX && reclaim_some(p) > 0; i++)
		continue;
	(void)!checkpoint_run(&p->e);
}

/* ---- making one ------------------------------------------------------------------------------ */

#define VOLUME_BYTES (40u * PAGE_BYTES)

static void must(int r)
{
	if (r < 0) {
		fprintf(stderr, "making a pool: %s\n", cowbd_error());
		abort();
	}
}

static void fill(struct cowbd_pool *p, const char *name, uint64_t from, uint64_t n, int byte)
{
	static uint8_t buf[PAGE_BYTES];
	struct cowbd_client *c;

	must(cowbd_client_open(p, name, false, "test", &c));
	for (uint64_t i = 0; i < n; i++) {
		memset(buf, byte + (int)i, 8); /* the rest is zero: so an image of it is small */
		must(cowbd_write(c, buf, sizeof buf, (from + i) * PAGE_BYTES, 0));
	}
	cowbd_client_close(c);
}

static void snapshot_of(struct cowbd_pool *p, const char *name)
{
	must(cowbd_snapshot(p, &name, 1, COWBD_LABEL_CRASH, 0));
}

static void remove_of(struct cowbd_pool *p, const char *name)
{
	must(cowbd_remove(p, &name, 1, 0));
}

static void fill_pool(struct cowbd_pool *p)
{
	static const char *const clone[] = {"b"};

	must(cowbd_create(p, "a", VOLUME_BYTES, 0, 0));
	must(cowbd_create(p, "c", VOLUME_BYTES / 2, 4096, 0));
	must(cowbd_create(p, "gone", VOLUME_BYTES, 0, 0));
	fill(p, "a", 0, 7, 1);
	fill(p, "a", VOLUME_BYTES / PAGE_BYTES - 6, 6, 20);
	fill(p, "gone", 0, 4, 60);
	fill(p, "gone", 30, 4, 70);
	snapshot_of(p, "a@one");
	fill(p, "a", 2, 3, 80);
	must(cowbd_clone(p, "a@one", clone, 1, 0, 0));
	fill(p, "b", 1, 2, 90);
	snapshot_of(p, "c@three");
	fill(p, "c", 3, 2, 130);
	remove_of(p, "gone");
}

static void fill_journal(struct cowbd_pool *p)
{
	fill(p, "b", 12, 3, 100);
	must(engine_commit(&p->e, NULL));
	snapshot_of(p, "b@two");
	fill(p, "a", 12, 2, 110);
	must(cowbd_rename(p, "c", "void", 0));
	must(cowbd_resize(p, "void", VOLUME_BYTES, 0));
	must(cowbd_rollback(p, "b@two", NULL, 0));
	must(cowbd_resize(p, "a", VOLUME_BYTES / 4, COWBD_SHRINK_FORCE));
	remove_of(p, "a@one");
}

struct store *use_make(uint64_t zones, bool journal)
{
	struct cowbd_init_options init = {.block_bytes = PAGE_BYTES,
					  .journal_bytes = 2 * ZONE_BYTES};
	struct store *s, *copy;
	struct cowbd_pool *p;

	must(store_sim_new(zones * ZONE_BYTES, NULL, &s));
	must(mkfs_store(s, "test", &init));
	must(use_open(s, 0, &p));
	fill_pool(p);
	must(checkpoint_run(&p->e));
	if (journal)
		fill_journal(p);
	must(store_sim_copy(p->e.store, NULL, &copy));
	store_sim_cut(p->e.store);
	(void)!cowbd_close(p);
	return copy;
}
