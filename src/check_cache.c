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
 *	checker   zone 0 ....   zone 7 (reads it)   zone 1 ....        zone 2 .........
 *	reader    zone 0        zone 2        zone 4      zone 5       ends
 *	reader    zone 1        zone 3              zone 6             ends
 *
 * In a large pool other threads read them from the first one on, and verify them, whatever the walk wants next: all are
 * needed.  The walk waits for a zone that is being read, and reads by itself what it wants before its turn.
 *
 * What is kept is what the store said when it was read.  A store that shows a cut of a pool in use goes on showing the same
 * (spill.h), so it does not matter when.
 *
 * Invariants
 *   [CACHE-1] Who gives a zone its cache, under the lock, fills it, alone; from ready on nobody changes it.
 *   [CACHE-2] While the other threads run no zone of metadata comes or goes.
 *   [CACHE-3] What is kept is what was counted when it was decided that all fits: pages with a count and a slot.
 *
 * Failure: what can't be read here is read again alone, so that its error is found where it belongs.
 */
#include <stdlib.h>

#include "check_internal.h"

#define GAP_PAGES 16u /* 64 KiB are read in the time that another request takes */
#define IO_PAGES 128u

struct page_cache {
	bool ready; /* under lock */
	uint8_t *pages;
	unsigned n;
	uint16_t at[ZONE_TWINS]; /* its place in pages, and 1; 0: not there */
	bool sound[ZONE_TWINS];  /* by place */
};

struct wanted {
	uint64_t offset;
	unsigned unit;
};

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

/* The requests for a zone's pages; what is in gaps goes to gap_page. */
struct requests {
	struct store_io io[ZONE_TWINS];
	unsigned first[ZONE_TWINS + 1]; /* of w, that a request reads */
	unsigned n, niov;
	struct iovec iov[2 * ZONE_TWINS]; /* a zone has no more slots */
	void *gap_page;
};

/* One request, from w[from] on as far as it goes; returns where the next one begins. */
static unsigned add_request(struct requests *q, const struct page_cache *k, const struct wanted *w,
			    unsigned from)
{
	struct store_io *io = &q->io[q->n];
	uint64_t at = w[from].offset;
	unsigned i;

	*io = (struct store_io){.flags = STORE_DIRECT, .offset = at, .iov = &q->iov[q->niov]};
	for (i = from; i < k->n; i++) {
		uint64_t gap = (w[i].offset - at) / PAGE_BYTES;

		if (gap > GAP_PAGES || (unsigned)io->niov + gap >= IO_PAGES)
			break;
		for (; at < w[i].offset; at += PAGE_BYTES)
			io->iov[io->niov++] = (struct iovec){q->gap_page, PAGE_BYTES};
		io->iov[io->niov++] = (struct iovec){k->pages + (size_t)i * PAGE_BYTES, PAGE_BYTES};
		at += PAGE_BYTES;
	}
	q->niov += (unsigned)io->niov;
	q->first[q->n++] = from;
	return i;
}

/* All at once: the disk has several of them to work on. */
static void read_wanted(struct check *c, struct page_cache *k, const struct wanted *w,
			void *gap_page)
{
	struct requests q;

	q.n = q.niov = 0;
	q.gap_page = gap_page;
	for (unsigned i = 0; i < k->n;)
		i = add_request(&q, k, w, i);
	q.first[q.n] = k->n;
	if (q.n)
		(void)!store_submit(c->store, q.io, q.n); /* each tells by itself */
	for (unsigned r = 0; r < q.n; r++)
		for (unsigned i = q.first[r]; q.io[r].result == 0 && i < q.first[r + 1]; i++) {
			k->at[w[i].unit] = (uint16_t)(i + 1);
			k->sound[i] =
				check_is_sound(c, k->pages + (size_t)i * PAGE_BYTES, w[i].offset);
		}
}

/* The pages of a zone, into its empty cache; without memory for them there are none. */
static void fill(struct check *c, struct page_cache *k, const struct zone *z, uint64_t zone,
		 void *gap_page)
{
	struct wanted w[ZONE_TWINS];
	unsigned n = 0;

	for (unsigned u = 0; u < z->units; u++)
		if (z->wanted[u / 8] >> (u % 8) & 1) /* others are freed: [CACHE-3] */
			w[n++] = (struct wanted){
				page_offset(zone * ZONE_TWINS + u, slot_which(z->slot[u])), u};
	k->pages = aligned_alloc(PAGE_BYTES, MAX(n, 1u) * (size_t)PAGE_BYTES);
	if (!k->pages)
		return;
	k->n = n;
	qsort(w, n, sizeof *w, by_offset);
	read_wanted(c, k, w, gap_page);
}

/* Reads a zone if nobody has begun with it, waits for whoever has if wait.  The cache, not ready if not wait, or NULL. */
static const struct page_cache *bring(struct check *c, struct zone *z, uint64_t zone, bool wait,
				      void *gap_page)
{
	struct cache_ahead *a = &c->cache;
	struct page_cache *k;
	bool mine;

	pthread_mutex_lock(&a->lock);
	mine = !z->cache;
	if (mine)
		z->cache = calloc(1, sizeof *z->cache);
	k = z->cache;
	if (mine && k) { /* [CACHE-1] */
		pthread_mutex_unlock(&a->lock);
		fill(c, k, z, zone, gap_page);
		pthread_mutex_lock(&a->lock);
		k->ready = true;
		c->memory += k->n * (uint64_t)PAGE_BYTES;
		pthread_cond_broadcast(&a->filled);
	}
	while (wait && k && !k->ready)
		pthread_cond_wait(&a->filled, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return k;
}

/* ---- the other threads ---------------------------------------------------------------- */

/* The zone that is next: false, there is none, or it is to end. */
static bool next_zone(struct cache_ahead *a, uint64_t *ret_zone)
{
	bool more;

	pthread_mutex_lock(&a->lock);
	more = a->next < a->n && !a->ending;
	if (more)
		*ret_zone = a->zone[a->next++];
	pthread_mutex_unlock(&a->lock);
	return more;
}

static void *read_zones(void *opaque)
{
	CLEANUP_FREE void *gap_page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	struct check *c = opaque;
	uint64_t zone;

	while (gap_page && next_zone(&c->cache, &zone))
		(void)bring(c, check_zone_of(c, zone), zone, false, gap_page);
	return NULL;
}

static int note_zone(struct check *c, struct zone *z, uint64_t zone)
{
	if (z->meta)
		c->cache.zone[c->cache.n++] = zone;
	return 0;
}

void check_cache_begin(struct check *c, uint64_t bound)
{
	struct cache_ahead *a = &c->cache;

	if (c->repair || c->memory + c->wanted * PAGE_BYTES > bound)
		return;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->filled, NULL);
	c->caching = true;
	if (c->g.zones < AHEAD_ZONES)
		return;
	a->zone = calloc(MAX(c->meta_zones, UINT64_C(1)), sizeof *a->zone);
	if (!a->zone || check_each_zone(c, note_zone) < 0)
		return;
	while (a->threads < READ_THREADS &&
	       pthread_create(&a->thread[a->threads], NULL, read_zones, c) == 0)
		a->threads++;
}

void check_cache_end(struct check *c)
{
	struct cache_ahead *a = &c->cache;

	if (a->threads) {
		pthread_mutex_lock(&a->lock);
		a->ending = true;
		pthread_mutex_unlock(&a->lock);
	}
	while (a->threads)
		pthread_join(a->thread[--a->threads], NULL);
	c->result.memory_bytes = MAX(c->result.memory_bytes, c->memory);
}

void check_cache_fini(struct check *c)
{
	check_cache_end(c);
	free(c->cache.zone);
	if (!c->caching)
		return;
	pthread_cond_destroy(&c->cache.filled);
	pthread_mutex_destroy(&c->cache.lock);
}

bool check_cache_take(struct check *c, uint64_t page, struct le32 slot, void *buf, bool *ret_sound)
{
	unsigned unit = (unsigned)(page % ZONE_TWINS);
	struct zone *z = kept_zone(c, page);
	const struct page_cache *k;

	if (!z || get32(z->slot[unit]) != get32(slot))
		return false;
	k = bring(c, z, page_zone(page), true, check_buffer(c, BUFFER_GAPS));
	if (!k || !k->at[unit])
		return false;
	memcpy(buf, k->pages + (k->at[unit] - 1u) * (size_t)PAGE_BYTES, PAGE_BYTES);
	*ret_sound = k->sound[k->at[unit] - 1u];
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
