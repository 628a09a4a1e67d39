/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_cache.c - the pages of a zone of metadata, read all at once
 *
 *	zone of metadata:  [slots 0 .......][slots 1 .......]
 *	current pages:      x xx x  xxx        x   xxxx  x
 *	requests:          [..............]   [...........]    small gaps are read, too
 *
 * A map is walked from its root, and its pages lie in the order in which they were written: taken one by one they are
 * as many random reads.  So the first one wanted of a zone brings the others, in the order of the disk.  Only where
 * all pages together fit into the memory that the counts leave: then each zone is read once.
 *
 * What is kept is what the store said when it was read.  A store that shows a cut of a pool in use goes on showing the same
 * (spill.h), so it does not matter when.
 *
 * Failure: what can't be read here is read again alone, so that its error is found where it belongs.
 */
#include <stdlib.h>

#include "check_internal.h"

#define GAP_PAGES 16u /* 64 KiB are read in the time that another request takes */
#define IO_PAGES 128u

struct page_cache {
	uint8_t *pages;
	unsigned n;
	uint16_t at[ZONE_TWINS]; /* its place in pages, and 1; 0: not there */
};

struct wanted {
	uint64_t offset;
	unsigned unit;
};

void check_cache_begin(struct check *c, uint64_t bound)
{
	c->caching = !c->repair && c->memory + c->total * PAGE_BYTES <= bound;
}

/* The zone of metadata that has the page, if zones are kept. */
static struct zone *kept_zone(const struct check *c, uint64_t page)
{
	uint64_t zone = page_zone(page);
	struct zone *z;

	if (!c->caching || !zone_in_group(&c->g, zone) || zone_index(&c->g, zone) == 0)
		return NULL;
	z = check_zone_of(c, zone);
	return z && z->meta ? z : NULL;
}

bool check_cache_has(const struct check *c, uint64_t page)
{
	return kept_zone(c, page) != NULL;
}

static int by_offset(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* One request, from w[from] on as far as it goes; returns where the next one begins. */
static unsigned read_run(struct check *c, struct page_cache *k, const struct wanted *w,
			 unsigned from, unsigned n)
{
	struct iovec iov[IO_PAGES];
	struct store_io io = {.flags = STORE_DIRECT, .offset = w[from].offset, .iov = iov};
	uint64_t at = io.offset;
	unsigned i;

	for (i = from; i < n; i++) {
		uint64_t gap = (w[i].offset - at) / PAGE_BYTES;

		if (gap > GAP_PAGES || (unsigned)io.niov + gap >= IO_PAGES)
			break;
		for (; at < w[i].offset; at += PAGE_BYTES)
			iov[io.niov++] = (struct iovec){check_buffer(c, BUFFER_GAPS), PAGE_BYTES};
		iov[io.niov++] = (struct iovec){k->pages + (size_t)i * PAGE_BYTES, PAGE_BYTES};
		at += PAGE_BYTES;
	}
	if (store_submit(c->store, &io, 1) == 0)
		for (unsigned j = from; j < i; j++)
			k->at[w[j].unit] = (uint16_t)(j + 1);
	return i;
}

/* Without memory nothing is kept from here on. */
static void fill(struct check *c, struct zone *z, uint64_t zone)
{
	struct wanted w[ZONE_TWINS];
	struct page_cache *k = calloc(1, sizeof *k);
	unsigned n = 0;

	for (unsigned u = 0; u < z->units; u++)
		if (slot_written(z->slot[u]))
			w[n++] = (struct wanted){
				page_offset(zone * ZONE_TWINS + u, slot_which(z->slot[u])), u};
	if (k)
		k->pages = aligned_alloc(PAGE_BYTES, MAX(n, 1u) * (size_t)PAGE_BYTES);
	if (!k || !k->pages) {
		free(k);
		c->caching = false;
		return;
	}
	k->n = n;
	c->memory += n * (uint64_t)PAGE_BYTES;
	z->cache = k;
	qsort(w, n, sizeof *w, by_offset);
	for (unsigned i = 0; i < n;)
		i = read_run(c, k, w, i, n);
}

bool check_cache_take(struct check *c, uint64_t page, struct le32 slot, void *buf)
{
	unsigned unit = (unsigned)(page % ZONE_TWINS);
	struct zone *z = kept_zone(c, page);

	if (!z || get32(z->slot[unit]) != get32(slot))
		return false;
	if (!z->cache)
		fill(c, z, page_zone(page));
	if (!z->cache || !z->cache->at[unit])
		return false;
	memcpy(buf, z->cache->pages + (z->cache->at[unit] - 1u) * (size_t)PAGE_BYTES, PAGE_BYTES);
	return true;
}

void check_cache_free(struct check *c, struct zone *z)
{
	if (!z->cache)
		return;
	c->memory -= z->cache->n * (uint64_t)PAGE_BYTES;
	free(z->cache->pages);
	free(z->cache);
	z->cache = NULL;
}
