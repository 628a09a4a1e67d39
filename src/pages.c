/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pages.c - metadata pages in two slots each, cached, checkpointed atomically
 *
 * See pages.h for the picture, the states and the invariants.
 *
 * The cache is a hash table of pages and a clock over them.  Frames (a page
 * and its 4 KiB) come from a free list that pages_prepare fills beforehand,
 * so that nothing in the middle of a change can fail.
 */
#include "pages.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#define WRITE_BATCH 64u
#define BOUND_MIN UINT64_C(256)
#define PRESSURE_US UINT64_C(4000)
#define SLAB_FRAMES 64u
#define SLAB_BYTES ((size_t)SLAB_FRAMES * PAGE_BYTES)

_Thread_local struct need thread_need;

/* Frames are made many at a time, and not on the heap: there a page that is aligned takes two, and
 * every thread's arena keeps what it once had. */
struct slab {
	struct slab *next;
	uint8_t *data;
	struct page page[SLAB_FRAMES];
};

struct pages {
	struct store *store;
	const struct geometry *geo;
	struct disk_super *super;
	struct metalock *lock;

	struct page **bucket;
	size_t bucket_mask;
	struct page **clock; /* all cached pages, in no order */
	size_t nclock, clock_room, hand;
	size_t bound; /* pages to keep when clean */

	struct spill
		*spill; /* where old slots are saved, or NULL; changed while no checkpoint runs */
	uint8_t *batch_buf; /* of a checkpoint, of which there is one at a time */

	struct slab *slabs;
	struct page *free_frames;
	size_t nfree;
	size_t nframes; /* in all, images included */

	struct page *dirty, *frozen, *staged;
	size_t ndirty, nfrozen;
	bool unbounded;
	uint64_t period; /* of cuts */
	_Atomic uint64_t written;
	const uint64_t *claims; /* the owner's list; NULL: none */
	const unsigned *nclaims;
};

/* ---- hash and clock ---------------------------------------------------------- */

static size_t bucket_of(const struct pages *p, uint64_t no)
{
	return (size_t)((no * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & p->bucket_mask;
}

static struct page *lookup(const struct pages *p, uint64_t no)
{
	struct page *page = p->bucket[bucket_of(p, no)];

	while (page && page->no != no)
		page = page->chain;
	return page;
}

static void insert(struct pages *p, struct page *page)
{
	size_t b = bucket_of(p, page->no);

	page->chain = p->bucket[b];
	p->bucket[b] = page;
	page->place = p->nclock;
	p->clock[p->nclock++] = page;
}

static void take_out(struct pages *p, struct page *page)
{
	struct page **at = &p->bucket[bucket_of(p, page->no)];

	while (*at != page)
		at = &(*at)->chain;
	*at = page->chain;
	p->clock[page->place] = p->clock[--p->nclock];
	p->clock[page->place]->place = page->place;
}

/* Room for n more pages. */
static int grow_tables(struct pages *p, size_t n)
{
	if (p->nclock + n >= p->clock_room) {
		size_t room = (p->clock_room + n) * 2;
		struct page **clock = realloc(p->clock, room * sizeof *clock);

		if (!clock)
			return fail(-ENOMEM, "no memory for the page cache");
		p->clock = clock;
		p->clock_room = room;
	}
	if (p->nclock < p->bucket_mask)
		return 0;

	size_t nbuckets = (p->bucket_mask + 1) * 2;
	struct page **bucket = calloc(nbuckets, sizeof *bucket);

	if (!bucket)
		return fail(-ENOMEM, "no memory for the page cache");
	free(p->bucket);
	p->bucket = bucket;
	p->bucket_mask = nbuckets - 1;
	for (size_t i = 0; i < p->nclock; i++) {
		struct page *page = p->clock[i];
		size_t b = bucket_of(p, page->no);

		page->chain = bucket[b];
		bucket[b] = page;
	}
	return 0;
}

/* ---- frames ------------------------------------------------------------------- */

static void frame_put(struct pages *p, struct page *page)
{
	page->next = p->free_frames;
	p->free_frames = page;
	p->nfree++;
}

static struct page *frame_take(struct pages *p)
{
	struct page *page = p->free_frames;
	void *data = page->data;

	p->free_frames = page->next;
	p->nfree--;
	memset(page, 0, sizeof *page);
	page->data = data;
	return page;
}

static int slab_add(struct pages *p)
{
	struct slab *s = calloc(1, sizeof *s);
	uint8_t *data =
		mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!s || data == MAP_FAILED) {
		free(s);
		if (data != MAP_FAILED)
			munmap(data, SLAB_BYTES);
		return fail(-ENOMEM, "no memory for the page cache");
	}
	s->data = data;
	s->next = p->slabs;
	p->slabs = s;
	for (unsigned i = 0; i < SLAB_FRAMES; i++) {
		s->page[i].data = data + (size_t)i * PAGE_BYTES;
		frame_put(p, &s->page[i]);
	}
	p->nframes += SLAB_FRAMES;
	return 0;
}

static bool is_dirty(const struct pages *p, const struct page *page)
{
	return page->dirty_in == p->period;
}

static bool evictable(const struct pages *p, const struct page *page)
{
	return !is_dirty(p, page) && !page->frozen && !page->staged &&
	       !page->pinned; /* [PAGES-4] */
}

/* Pages that can't leave before they are written. */
static size_t unwritten(const struct pages *p)
{
	return p->ndirty + p->nfrozen;
}

/* The most there may be of them, but in replay, which dirties all that was dirtied since the last checkpoint that was
 * committed: at its worst twice as many, or whatever a larger cache had. */
static size_t hard_bound(const struct pages *p)
{
	return p->bound / 2;
}

/* Lets clean pages go until there are fewer than the bound, or the clock went round once.  Not twice: what a
 * section has just looked at and will look at again must stay, however many pages can't leave.  Nor may the clean ones
 * get fewer than half of the bound for these: with hardly any left, the pages that one section needs drop each
 * other in turn, for ever. */
static void evict(struct pages *p)
{
	size_t room = MAX(p->bound, unwritten(p) + p->bound / 2), tries = p->nclock;

	while (p->nclock >= room && tries--) {
		struct page *page = p->clock[p->hand < p->nclock ? p->hand : (p->hand = 0)];

		if (!evictable(p, page)) {
			p->hand++;
		} else if (__atomic_exchange_n(&page->referenced, false, __ATOMIC_RELAXED)) {
			p->hand++;
		} else {
			take_out(p, page);
			frame_put(p, page);
		}
	}
}

int pages_prepare(struct pages *p, unsigned n)
{
	int r;

	if (!p->unbounded && unwritten(p) > hard_bound(p))
		return need_more(NEED_CHECKPOINT);
	/* one frame for the page, one for its image */
	while (p->nfree < 2 * n)
		if ((r = slab_add(p)) < 0)
			return r;
	return grow_tables(p, n);
}

void pages_unbounded(struct pages *p, bool unbounded)
{
	p->unbounded = unbounded;
}

/* ---- parents -------------------------------------------------------------------- */

/* The page that names page no's slot, and its kind; 0: the superblock. */
static uint64_t parent_of(const struct pages *p, uint64_t no, enum page_kind *ret_kind)
{
	const struct geometry *g = p->geo;
	uint64_t zone = page_zone(no);

	if (zone == 0)
		return 0;
	if (zone_index(g, zone) != 0) {
		*ret_kind = PAGE_ZONE;
		return zone_page(g, zone);
	}
	if (no % ZONE_TWINS != 0) {
		*ret_kind = PAGE_SUMMARY;
		return summary_page(g, zone_group(g, zone));
	}
	*ret_kind = PAGE_GROUPS;
	return groups_page(zone_group(g, zone));
}

/* Where, in the content of its parent, page no's slot is named. */
static struct le32 *slot_in(const struct pages *p, uint64_t no, enum page_kind parent, void *data)
{
	switch (parent) {
	case PAGE_ZONE: return &((struct disk_zone *)data)->slot[no % ZONE_TWINS];
	case PAGE_SUMMARY: return &((struct disk_summary *)data)->slot[no % ZONE_TWINS];
	default:
		return &((struct disk_groups *)data)
				->group[zone_group(p->geo, page_zone(no)) % GROUPS_PER_PAGE]
				.slot;
	}
}

/* The slot named for page no, by its cached parent; -EAGAIN if that isn't cached. */
REQUIRES_SHARED(metadata_lock)
static int current_slot(struct pages *p, uint64_t no, struct le32 *ret_slot)
{
	enum page_kind kind = PAGE_SUPER;
	uint64_t parent = parent_of(p, no, &kind);
	struct page *page;
	int r;

	if (parent == 0) {
		*ret_slot = p->super->slot[no];
		return 0;
	}
	if ((r = pages_get(p, parent, kind, &page)) < 0)
		return r;
	if (kind == PAGE_ZONE && get16(((struct disk_zone *)page->data)->type) == ZONE_DATA)
		return fail(-EUCLEAN, "page %" PRIu64 " is in a zone of data; run cowbd check", no);
	*ret_slot = *slot_in(p, no, kind, page->data);
	return 0;
}

/* ---- reading ---------------------------------------------------------------------- */

static int counted_as_free(uint64_t no)
{
	return fail(-EUCLEAN, "page %" PRIu64 " is in use and counted as free; run cowbd check",
		    no);
}

int pages_get(struct pages *p, uint64_t no, enum page_kind kind, struct page **ret_page)
{
	struct page *page = lookup(p, no);

	if (!page) {
		thread_need = (struct need){NEED_PAGE, no, kind};
		return -EAGAIN;
	}
	if (page->kind != kind)
		return fail(-EUCLEAN, "page %" PRIu64 " is a %s page, not a %s page", no,
			    page_kind_name(page->kind), page_kind_name(kind));
	if (page->claimed)
		return counted_as_free(no);
	if (!__atomic_load_n(&page->referenced, __ATOMIC_RELAXED))
		__atomic_store_n(&page->referenced, true, __ATOMIC_RELAXED);
	*ret_page = page;
	return 0;
}

static bool is_claimed(const struct pages *p, uint64_t no)
{
	for (unsigned i = 0; p->claims && i < *p->nclaims; i++)
		if (p->claims[i] == no)
			return true;
	return false;
}

void pages_set_claims(struct pages *p, const uint64_t *list, const unsigned *n)
{
	p->claims = list;
	p->nclaims = n;
}

bool pages_claim(struct pages *p, uint64_t no)
{
	struct page *page = lookup(p, no);

	if (page)
		page->claimed = true;
	return page;
}

void pages_unclaim(struct pages *p, uint64_t no)
{
	struct page *page = lookup(p, no);

	if (page)
		page->claimed = false;
}

static int verify_slot(const struct pages *p, uint64_t no, enum page_kind kind, struct le32 slot,
		       const void *buf)
{
	uint64_t offset = page_offset(no, slot_which(slot));
	const struct disk_page *h = buf;

	if (get32(slot_make(slot_which(slot), get64(h->checksum))) != get32(slot)) /* [PAGES-3] */
		return fail(-EBADMSG,
			    "%s page %" PRIu64 " at offset %" PRIu64
			    " isn't the one that was committed; run cowbd check",
			    page_kind_name(kind), no, offset);
	return page_check(buf, kind, p->super->uuid, offset, p->geo);
}

/* Reads and verifies one slot of a page. */
static int read_slot(struct pages *p, uint64_t no, enum page_kind kind, struct le32 slot, void *buf)
{
	uint64_t offset = page_offset(no, slot_which(slot));
	struct disk_page *h = buf;
	int r;

	if (!slot_written(slot)) {
		if (kind == PAGE_MAP || kind == PAGE_CATALOG_NODE || kind == PAGE_CATALOG_LEAF ||
		    kind == PAGE_SUMS)
			return fail(-EUCLEAN, "%s page %" PRIu64 " was never written",
				    page_kind_name(kind), no);
		memset(buf, 0, PAGE_BYTES);
		h->kind = put32(kind);
		return 0;
	}
	r = store_read(p->store, STORE_DIRECT, offset, buf, PAGE_BYTES);
	return r < 0 ? r : verify_slot(p, no, kind, slot, buf);
}

#ifdef COWBD_TINY
/* A mutant: the slot is guessed by generation, whatever the page above names. */
static struct le32 newest_slot(struct pages *p, uint64_t no, enum page_kind kind, struct le32 named)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	const struct disk_page *h = (const void *)buf;
	uint64_t newest = 0;

	for (unsigned which = 0; which < 2 && slot_written(named); which++) {
		uint64_t offset = page_offset(no, which);

		if (store_read(p->store, STORE_DIRECT, offset, buf, PAGE_BYTES) == 0 &&
		    page_check(buf, kind, p->super->uuid, offset, p->geo) == 0 &&
		    get64(h->generation) >= newest) {
			newest = get64(h->generation);
			named = slot_make(which, get64(h->checksum));
		}
	}
	return named;
}
#else
#define newest_slot(p, no, kind, named) (named)
#endif

/* Puts what was read into the cache, unless it changed hands meanwhile: 0, or -EAGAIN to look again. */
static int insert_read(struct pages *p, uint64_t no, enum page_kind kind, struct le32 slot,
		       const void *buf)
{
	const struct disk_page *h = buf;
	struct le32 now;
	struct page *page;
	int r = 0;

	metalock_exclusive(p->lock);
	if (lookup(p, no))
		goto out;
	r = current_slot(p, no, &now);
	if (r < 0)
		goto out;
	if (get32(now) != get32(slot)) {
		r = -EAGAIN;
		goto out;
	}
	if (get64(h->generation) > get64(p->super->h.generation)) {
		r = fail(-EUCLEAN,
			 "%s page %" PRIu64 " is of a checkpoint that never was; run cowbd check",
			 page_kind_name(kind), no);
		goto out;
	}
	if (is_claimed(p, no)) {
		r = counted_as_free(no);
		goto out;
	}
	evict(p);
	r = grow_tables(p, 1);
	if (r == 0 && p->nfree == 0)
		r = slab_add(p);
	if (r < 0)
		goto out;
	page = frame_take(p);
	page->no = no;
	page->kind = kind;
	page->referenced = true;
	memcpy(page->data, buf, PAGE_BYTES);
	insert(p, page);
out:
	metalock_drop(p->lock);
	return r;
}

static int slot_of_missing(struct pages *p, uint64_t no, struct le32 *ret_slot, bool *ret_cached)
{
	int r = 0;

	metalock_shared(p->lock);
	*ret_cached = lookup(p, no) != NULL;
	if (!*ret_cached)
		r = current_slot(p, no, ret_slot);
	metalock_drop(p->lock);
	return r;
}

/* depth: there are four levels above a map page, no more. */
static int fill(struct pages *p, uint64_t no, enum page_kind kind, unsigned depth)
{
	_Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	struct le32 slot, again;
	bool cached;
	int r;

	assert(depth < 5);
	for (;;) {
		r = slot_of_missing(p, no, &slot, &cached);
		if (r == 0 && cached)
			return 0;
		if (r == -EAGAIN) {
			struct need need = thread_need;

			r = fill(p, need.page, need.kind, depth + 1);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		r = read_slot(p, no, kind,
			      MUTANT("newest-slot-wins") ? newest_slot(p, no, kind, slot) : slot,
			      buf);
		if (r == -EBADMSG || r == -EUCLEAN) {
			/* a checkpoint may have moved it while we read */
			int r2 = slot_of_missing(p, no, &again, &cached);

			if (r2 == -EAGAIN || (r2 == 0 && (cached || get32(again) != get32(slot))))
				continue;
		}
		if (r < 0)
			return r;
		r = insert_read(p, no, kind, slot, buf);
		if (r != -EAGAIN)
			return r;
	}
}

void pages_prefetch(struct pages *p, const uint64_t *no, unsigned n, enum page_kind kind)
{
	CLEANUP_FREE uint8_t *buf = aligned_alloc(PAGE_BYTES, PAGES_PREFETCH * PAGE_BYTES);
	struct store_io io[PAGES_PREFETCH];
	struct iovec iov[PAGES_PREFETCH];
	struct le32 slot[PAGES_PREFETCH];
	uint64_t found[PAGES_PREFETCH];
	unsigned k = 0;
	bool cached;

	assert(n <= PAGES_PREFETCH);
	for (unsigned i = 0; buf && i < n; i++) {
		if (slot_of_missing(p, no[i], &slot[k], &cached) < 0 || cached ||
		    !slot_written(slot[k]))
			continue;
		iov[k] = (struct iovec){buf + k * PAGE_BYTES, PAGE_BYTES};
		io[k] = (struct store_io){STORE_DIRECT, page_offset(no[i], slot_which(slot[k])),
					  &iov[k], 1, 0};
		found[k++] = no[i];
	}
	if (k < 2) /* one is for pages_fill */
		return;
	(void)!store_submit(p->store, io, k);
	for (unsigned i = 0; i < k; i++)
		if (io[i].result == 0 &&
		    verify_slot(p, found[i], kind, slot[i], iov[i].iov_base) == 0)
			(void)!insert_read(p, found[i], kind, slot[i], iov[i].iov_base);
}

int pages_fill(struct pages *p)
{
	return fill(p, thread_need.page, thread_need.kind, 0);
}

UNCHECKED_LOCKING int pages_get_shared(struct pages *p, uint64_t no, enum page_kind kind,
				       struct page **ret_page)
{
	int r;

	for (;;) {
		metalock_shared(p->lock);
		r = pages_get(p, no, kind, ret_page);
		if (r == 0)
			return 0;
		metalock_drop(p->lock);
		if (r != -EAGAIN)
			return r;
		if ((r = pages_fill(p)) < 0)
			return r;
	}
}

/* ---- changing ---------------------------------------------------------------------- */

static void make_dirty(struct pages *p, struct page *page)
{
	if (page->frozen && !page->image && !MUTANT("cut-not-frozen")) {
		struct page *copy = frame_take(p);

		/* the frame's struct waits in the page's image until it's written */
		memcpy(copy->data, page->data, PAGE_BYTES);
		page->image = copy;
	}
	if (!is_dirty(p, page)) {
		page->dirty_in = p->period;
		p->ndirty++;
		if (!page->frozen) { /* a frozen page is re-listed when its image is taken */
			page->next = p->dirty;
			p->dirty = page;
		}
	}
}

void *pages_write(struct pages *p, struct page *page)
{
	make_dirty(p, page);
	return page->data;
}

struct page *pages_make(struct pages *p, uint64_t no, enum page_kind kind)
{
	struct page *page = lookup(p, no);

	if (!page) {
		page = frame_take(p);
		page->no = no;
		page->kind = kind;
		insert(p, page);
	}
	make_dirty(p, page);
	page->claimed = false;
	page->kind = kind;
	page->referenced = true;
	memset(page->data, 0, PAGE_BYTES);
	((struct disk_page *)page->data)->kind = put32(kind);
	return page;
}

void pages_pin(struct page *page)
{
	page->pinned = true;
}

/* ---- checkpoint ----------------------------------------------------------------------- */

void pages_cut(struct pages *p)
{
	struct page *page;

	assert(!p->frozen && !p->staged);
	for (page = p->dirty; page; page = page->next)
		page->frozen = true;
	p->frozen = p->dirty;
	p->nfrozen = p->ndirty;
	p->dirty = NULL;
	p->ndirty = 0;
	p->period++;
}

struct write_batch {
	uint8_t *buf;
	struct page *page[WRITE_BATCH];
	enum page_kind kind[WRITE_BATCH];
	struct le32 slot[WRITE_BATCH]; /* that is written now */
	unsigned n;
};

/* Sorts a list of pages by number, by merging: what is neighbours on the disk is written at once. */
static struct page *sort_list(struct page *list)
{
	struct page *half[2] = {NULL, NULL}, *sorted = NULL, **end = &sorted;

	if (!list || !list->next)
		return list;
	for (unsigned i = 0; list; i ^= 1) {
		struct page *next = list->next;

		list->next = half[i];
		half[i] = list;
		list = next;
	}
	half[0] = sort_list(half[0]);
	half[1] = sort_list(half[1]);
	while (half[0] && half[1]) {
		unsigned least = half[1]->no < half[0]->no;

		*end = half[least];
		end = &half[least]->next;
		half[least] = half[least]->next;
	}
	*end = half[0] ? half[0] : half[1];
	return sorted;
}

/* Takes up to a batch of images off the frozen list.  Lock exclusive. */
static void take_images(struct pages *p, struct write_batch *b)
{
	for (b->n = 0; b->n < WRITE_BATCH && p->frozen; b->n++) {
		struct page *page = p->frozen;
		struct page *copy = page->image;

		p->frozen = page->next;
		p->nfrozen--;
		memcpy(b->buf + b->n * PAGE_BYTES, copy ? copy->data : page->data, PAGE_BYTES);
		b->kind[b->n] = (enum page_kind)get32(
			((struct disk_page *)(b->buf + b->n * PAGE_BYTES))->kind);
		b->page[b->n] = page;
		if (copy)
			frame_put(p, copy);
		page->image = NULL;
		page->frozen = false;
		page->staged = true; /* stays until its parent names the new slot */
		if (is_dirty(p, page)) {
			page->next = p->dirty;
			p->dirty = page;
		}
	}
}

/* The slot of each page of the batch that isn't current; parents are brought in. */
static int choose_slots(struct pages *p, struct write_batch *b)
{
	unsigned i = 0;

	while (i < b->n) {
		int r = 0;

		metalock_shared(p->lock);
		while (i < b->n && (r = current_slot(p, b->page[i]->no, &b->slot[i])) == 0)
			i++;
		metalock_drop(p->lock);
		if (r == -EAGAIN)
			r = pages_fill(p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Seals the images for their slots. */
static void seal_images(struct pages *p, struct write_batch *b, uint64_t generation)
{
	for (unsigned i = 0; i < b->n; i++) {
		unsigned which = slot_written(b->slot[i]) && !MUTANT("current-slot-written")
					 ? !slot_which(b->slot[i])
					 : 0; /* [PAGES-1] */
		uint64_t sum = page_seal(b->buf + i * PAGE_BYTES, b->kind[i], p->super->uuid,
					 page_offset(b->page[i]->no, which), generation);

		b->slot[i] = slot_make(which, sum);
	}
}

/* One I/O for each run of pages that stand one behind the other, in the batch and on the disk. */
static int write_images(struct pages *p, struct write_batch *b, uint64_t generation)
{
	struct store_io io[WRITE_BATCH];
	struct iovec iov[WRITE_BATCH];
	uint64_t no[WRITE_BATCH], to[WRITE_BATCH];
	uint64_t end = 0;
	unsigned n = 0;

	seal_images(p, b, generation);
	for (unsigned i = 0; i < b->n; i++) {
		uint64_t offset = page_offset(b->page[i]->no, slot_which(b->slot[i]));

		no[i] = b->page[i]->no;
		to[i] = offset;
		if (n && offset == end) {
			iov[n - 1].iov_len += PAGE_BYTES;
		} else {
			iov[n] = (struct iovec){b->buf + i * PAGE_BYTES, PAGE_BYTES};
			io[n] = (struct store_io){STORE_WRITE | STORE_DIRECT, offset, &iov[n], 1,
						  0};
			n++;
		}
		end = offset + PAGE_BYTES;
	}
	if (p->spill)
		spill_saving(p->spill, no, to, b->n);
	atomic_fetch_add_explicit(&p->written, b->n * (uint64_t)PAGE_BYTES, memory_order_relaxed);
	return store_submit(p->store, io, n);
}

/* Names the new slots in the parents.  Lock exclusive; parents are cached (choose_slots brought
 * them in and nothing but staging has happened since), or -EAGAIN. */
REQUIRES_SHARED(metadata_lock)
static int name_slots(struct pages *p, struct write_batch *b, unsigned *done)
{
	for (; *done < b->n; ++*done) {
		uint64_t no = b->page[*done]->no;
		enum page_kind kind = PAGE_SUPER;
		uint64_t above = parent_of(p, no, &kind);
		struct page *parent;

		if (above == 0) {
			p->super->slot[no] = b->slot[*done];
		} else {
			int r = pages_get(p, above, kind, &parent);

			if (r < 0)
				return r;
			*slot_in(p, no, kind, pages_stage(p, parent)) = b->slot[*done];
		}
		b->page[*done]->staged = false;
	}
	return 0;
}

static int write_batch(struct pages *p, struct write_batch *b, uint64_t generation)
{
	unsigned done = 0;
	int r = choose_slots(p, b);

	if (r == 0)
		r = write_images(p, b, generation);
	while (r == 0 && done < b->n) {
		metalock_exclusive(p->lock);
		r = name_slots(p, b, &done);
		metalock_drop(p->lock);
		if (r == -EAGAIN)
			r = pages_fill(p);
	}
	return r;
}

int pages_write_frozen(struct pages *p, uint64_t generation)
{
	struct write_batch b = {.buf = p->batch_buf};
	int r = 0;

	p->frozen = sort_list(p->frozen); /* nobody else touches this list and its links */
	do {
		metalock_exclusive(p->lock);
		take_images(p, &b);
		metalock_drop(p->lock);
		if (b.n)
			r = write_batch(p, &b, generation);
	} while (b.n && r == 0);
	return r;
}

void *pages_stage(struct pages *p, struct page *page)
{
	if (!page->staged) {
		page->staged = true;
		page->next = p->staged;
		p->staged = page;
	}
	return page->data;
}

int pages_staged(struct pages *p, enum page_kind kind, uint64_t **ret_list, size_t *ret_n)
{
	size_t n = 0;
	uint64_t *list;

	metalock_shared(p->lock);
	for (struct page *page = p->staged; page; page = page->next)
		n += page->kind == kind;
	list = malloc((n ? n : 1) * sizeof *list);
	n = 0;
	for (struct page *page = p->staged; list && page; page = page->next)
		if (page->kind == kind)
			list[n++] = page->no;
	metalock_drop(p->lock);
	if (!list)
		return fail(-ENOMEM, "no memory to write a checkpoint");
	*ret_list = list;
	*ret_n = n;
	return 0;
}

/* Takes the pages of list off the staged list and their images into the batch. Lock exclusive. */
static void take_staged(struct pages *p, struct write_batch *b, enum page_kind kind,
			const uint64_t *list, unsigned n)
{
	b->n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct page *page = lookup(p, list[i]);

		if (!page || !page->staged)
			continue;
		memcpy(b->buf + b->n * PAGE_BYTES, page->data, PAGE_BYTES);
		b->kind[b->n] = kind;
		b->page[b->n++] = page;
	}
}

int pages_write_staged(struct pages *p, enum page_kind kind, const uint64_t *list, size_t n,
		       uint64_t generation)
{
	struct write_batch b = {.buf = p->batch_buf};
	int r = 0;

	/* unlist them: write_batch clears .staged, but the list is walked by others */
	metalock_exclusive(p->lock);
	for (struct page **at = &p->staged; *at;) {
		uint64_t lo = 0, hi = n;

		while (lo < hi) {
			uint64_t mid = (lo + hi) / 2;

			if (list[mid] < (*at)->no)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < n && list[lo] == (*at)->no)
			*at = (*at)->next;
		else
			at = &(*at)->next;
	}
	metalock_drop(p->lock);
	for (size_t i = 0; i < n && r == 0; i += WRITE_BATCH) {
		metalock_exclusive(p->lock);
		take_staged(p, &b, kind, list + i, (unsigned)MIN(n - i, (size_t)WRITE_BATCH));
		metalock_drop(p->lock);
		if (b.n)
			r = write_batch(p, &b, generation);
	}
	return r;
}

/* ---- life --------------------------------------------------------------------------------- */

int pages_new(struct store *s, const struct geometry *g, struct disk_super *super,
	      struct metalock *lock, uint64_t bound_bytes, struct pages **ret_pages)
{
	struct pages *p = calloc(1, sizeof *p);

	if (!p)
		return fail(-ENOMEM, "no memory for the page cache");
	*p = (struct pages){.store = s, .geo = g, .super = super, .lock = lock, .period = 1};
	p->bound = MAX(bound_bytes / PAGE_BYTES, BOUND_MIN);
	p->bucket_mask = 4095;
	p->clock_room = 4096;
	p->bucket = calloc(p->bucket_mask + 1, sizeof(*p->bucket));
	p->clock = calloc(p->clock_room, sizeof(*p->clock));
	p->batch_buf = aligned_alloc(PAGE_BYTES, WRITE_BATCH * PAGE_BYTES);
	if (!p->bucket || !p->clock || !p->batch_buf) {
		pages_free(p);
		return fail(-ENOMEM, "no memory for the page cache");
	}
	*ret_pages = p;
	return 0;
}

void pages_free(struct pages *p)
{
	if (!p)
		return;
	while (p->slabs) {
		struct slab *s = p->slabs;

		p->slabs = s->next;
		munmap(s->data, SLAB_BYTES);
		free(s);
	}
	free(p->batch_buf);
	free(p->clock);
	free(p->bucket);
	free(p);
}

uint64_t pages_dirty(const struct pages *p)
{
	return p->ndirty;
}

uint64_t pages_dirty_bound(const struct pages *p)
{
	return hard_bound(p) / 2;
}

unsigned pages_pressure_us(const struct pages *p)
{
	uint64_t n = unwritten(p), hard = hard_bound(p), soft = hard - hard / 4;

	return n <= soft ? 0 : (unsigned)MIN((n - soft) * PRESSURE_US / (hard - soft), PRESSURE_US);
}

uint64_t pages_bytes(const struct pages *p)
{
	return p->nframes * (PAGE_BYTES + sizeof(struct page)) + p->clock_room * sizeof(*p->clock) +
	       (p->bucket_mask + 1) * sizeof(*p->bucket);
}

void pages_set_spill(struct pages *p, struct spill *spill)
{
	p->spill = spill;
}

uint64_t pages_written(const struct pages *p)
{
	return atomic_load_explicit(&p->written, memory_order_relaxed);
}
