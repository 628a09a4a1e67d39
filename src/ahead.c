/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.c - reads the map pages that a row of records will change, many at once, before they are replayed
 *
 * After scattered writes nearly each record is on a leaf of its own; read one by one as the replay meets them, they
 * are what an open after `kill -9` waits for.  Nothing depends on this: what fails here, or leaves the cache
 * again, is read when its record comes.
 */
#include "pool.h"

/* The first page on the path to a record's block that is not cached; 0: none is missing, or that can't be told. */
REQUIRES_SHARED(metadata_lock)
static uint64_t missing_page(struct cowbd_pool *p, const struct record *r)
{
	const struct object *o = catalog_by_id(p->cat, r->object);
	uint64_t entry = o ? o->map.entry : 0;

	for (unsigned level = o ? o->map.depth : 0; entry && level-- > 0;) {
		struct page *page;
		int err = map_page(&p->e, entry, level, r->block, &page);

		if (err < 0)
			return err == -EAGAIN ? entry_number(entry) : 0;
		entry = get48(
			((const struct disk_map *)page->data)->entry[map_index(r->block, level)]);
	}
	return 0;
}

/* The missing pages of a row of records, each once, ascending: how many. */
static unsigned list_missing(struct cowbd_pool *p, const struct record *r, unsigned n,
			     uint64_t *list)
{
	unsigned k = 0, unique = 0;

	metalock_shared(&p->e.lock);
	for (unsigned i = 0; i < n; i++)
		if (r[i].type == REC_MAP || r[i].type == REC_UNMAP) {
			list[k] = missing_page(p, &r[i]);
			k += list[k] != 0;
		}
	metalock_drop(&p->e.lock);
	qsort(list, k, sizeof *list, compare_u64);
	for (unsigned i = 0; i < k; i++)
		if (i == 0 || list[i] != list[i - 1])
			list[unique++] = list[i];
	return unique;
}

/* One page, and what names its place. */
UNCHECKED_LOCKING static void read_one(struct cowbd_pool *p, uint64_t no)
{
	struct page *page;

	if (pages_get_shared(p->e.pages, no, PAGE_MAP, &page) == 0)
		metalock_drop(&p->e.lock);
}

void ahead_read(struct cowbd_pool *p, const struct record *r, unsigned n)
{
	uint64_t list[AHEAD_MAX], before = 0;

	assert(n <= AHEAD_MAX);
	/* level by level: what is missing below a page is seen once that is there */
	for (unsigned level = 0; level < MAP_DEPTH_MAX; level++) {
		unsigned k = list_missing(p, r, n, list);

		if (k == 0 || list[0] == before) /* nothing more, or it can't be read */
			return;
		before = list[0];
		/* neighbours have their places named by one page, which is brought in with the first of them */
		for (unsigned i = 0; i < k; i += PAGES_PREFETCH) {
			read_one(p, list[i]);
			pages_prefetch(p->e.pages, list + i, MIN(k - i, PAGES_PREFETCH), PAGE_MAP);
		}
	}
}
