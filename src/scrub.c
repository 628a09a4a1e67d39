/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scrub.c - reads everything; data that a snapshot reaches is held against its checksum
 *
 *	1. check         all metadata, as `check` does it
 *	2. sync          what snapshots reach is on the disk, where it will be read
 *	3. snapshots     from the oldest on; each block at the first one that reaches it:
 *	                   its checksum holds   -> compared
 *	                   it has none, or none that holds -> it gets one
 *	4. all else      volumes, younger snapshots: read, nothing more
 *	5. checkpoint    of the new checksums (earlier ones may have held some: each is right by itself)
 *
 * When does a checksum hold?  It was made when all snapshots with an id below `before` were there, and no write
 * begun before the last of them went on.
 * If one of these reaches the block now, it has reached it ever since it was made: the map of a snapshot does not
 * change, and what it reaches is not written [MAP-3].  So the content is what it was.  Ids are never used again,
 * and a checkpoint that has the checksum has at least that next id.  Nothing in the write path knows of this.
 *
 * Invariants
 *   [SCRUB-1] A block is judged only if its snapshot is there after the block was read.
 *   [SCRUB-2] A checksum is durable only after the data that it is of.  A checkpoint that has it has its snapshots
 *             too, and rule 7 makes their data durable with them; step 2 is for one that is just being made, whose
 *             late writes no commit has been told of yet (settle() in manage.c).
 *
 * Concurrency: I/O and checkpoints go on.  No epoch is kept longer than for one page of a map: so nothing that
 * is freed waits for a scrub.  Snapshots made meanwhile are for the next one.
 */
#include <stdio.h>

#include "pool.h"
#include "walk.h"

#define RUN_BYTES (UINT64_C(256) << 10)
#define RUN_BLOCKS 64u
#define NAMES_MAX 100u /* objects that are named with a block */
#define BEFORE_MAX ((UINT64_C(1) << 48) - 1)
#define PROGRESS_BLOCKS 4096u

struct thing {
	uint64_t id;
	bool frozen; /* a snapshot whose data is judged */
};

struct scrub {
	struct cowbd_pool *p;
	const struct cowbd_check_options *opt;
	struct cowbd_scrub_result res;
	struct thing *thing; /* [n] the judged ones first, ascending ids */
	size_t n;
	uint64_t before; /* of checksums that are made now */
	bool notes;      /* they are made */
	uint8_t **seen;  /* [zones] bits of blocks or pages, NULL none */
	uint64_t zones, total, said;
	uint64_t entry[MAP_DEPTH_MAX][MAP_FANOUT];
	uint8_t *buf;
};

/* Blocks that lie behind each other in the pool and in the object. */
struct run {
	const struct thing *of;
	uint64_t first, logical;
	unsigned n;
	struct le32 sum[RUN_BLOCKS];
	uint64_t rotten; /* bits */
	bool full;       /* there is no room for its checksums */
};

/* ---- findings --------------------------------------------------------------- */

static void report(struct scrub *s, enum cowbd_damage_kind kind, const char *object,
		   uint64_t offset, const char *message)
{
	if (s->opt && s->opt->report)
		s->opt->report(s->opt->opaque, kind, object, offset, message);
}

/* Is the block what this object has at that place?  1 with its name. */
static int maps_block(struct scrub *s, uint64_t id, uint64_t logical, uint64_t block,
		      char name[2 * (NAME_BYTES_MAX + 1)])
{
	struct engine *e = &s->p->e;
	struct map_extent x = {0};
	uint64_t token = epoch_enter(&e->epochs);
	int r;

	do {
		const struct object *o;

		metalock_shared(&e->lock);
		o = catalog_by_id(s->p->cat, id);
		r = o && o->map.entry && (logical << e->geo.block_shift) < o->size
			    ? map_lookup(e, &o->map, logical, 1, &x)
			    : 0;
		if (r == 0 && x.physical == block)
			catalog_full_name(o, name);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && thread_need.what == NEED_PAGE && (r = engine_need(e)) == 0);
	epoch_exit(&e->epochs, token);
	return r == 0 && x.physical == block;
}

/* Names all that have the block; says whether any has. */
static bool report_block(struct scrub *s, uint64_t logical, uint64_t block, const char *what)
{
	unsigned shift = s->p->e.geo.block_shift, named = 0;
	char name[2 * (NAME_BYTES_MAX + 1)], message[256];

	snprintf(message, sizeof message, "bytes %" PRIu64 " to %" PRIu64 " %s", logical << shift,
		 ((logical + 1) << shift) - 1, what);
	for (size_t i = 0; i < s->n && named < NAMES_MAX; i++)
		if (maps_block(s, s->thing[i].id, logical, block, name)) {
			report(s, COWBD_DAMAGE, name, block << shift, message);
			named++;
		}
	return named;
}

static void progress(struct scrub *s, bool last)
{
	if (!s->opt || !s->opt->progress || (!last && s->res.read - s->said < PROGRESS_BLOCKS))
		return;
	s->said = s->res.read;
	s->opt->progress(s->opt->opaque, last ? s->total : MIN(s->res.read, s->total), s->total);
}

/* ---- what was seen already ------------------------------------------------------ */

/* Marks a unit: 1 if it was not marked, 0 if it was, or -ENOMEM. */
static int see(struct scrub *s, uint64_t unit)
{
	uint64_t zone = unit / ZONE_UNITS_MAX;
	unsigned i = (unsigned)(unit % ZONE_UNITS_MAX);
	uint8_t bit = (uint8_t)(1u << i % 8);

	if (zone >= s->zones) /* the pool grew meanwhile: read twice, perhaps */
		return 1;
	if (!s->seen[zone])
		s->seen[zone] = calloc(1, (ZONE_UNITS_MAX + 7) / 8);
	if (!s->seen[zone])
		return fail(-ENOMEM, "no memory for a scrub");
	if (s->seen[zone][i / 8] & bit)
		return 0;
	s->seen[zone][i / 8] |= bit;
	return 1;
}

/* ---- judging ---------------------------------------------------------------------- */

static struct le32 *sum_at(struct disk_sums *d, const struct scrub *s, uint64_t block)
{
	return &d->sum[block % s->p->e.geo.zone_blocks % SUMS_PER_PAGE];
}

static struct le48 *before_at(struct disk_sums *d, const struct scrub *s, uint64_t block)
{
	return &d->before[block % s->p->e.geo.zone_blocks % SUMS_PER_PAGE];
}

/* Compares; returns how many blocks have no checksum that holds, as bits. */
static uint64_t compare_sums(struct scrub *s, struct run *run, struct disk_sums *d)
{
	uint64_t bare = 0;

	run->rotten = 0;
	for (unsigned i = 0; i < run->n; i++) {
		if (!d || (get48(*before_at(d, s, run->first + i)) <= run->of->id &&
			   !MUTANT("sum-of-before")))
			bare |= UINT64_C(1) << i;
		else if (get32(*sum_at(d, s, run->first + i)) != get32(run->sum[i]))
			run->rotten |= UINT64_C(1) << i;
	}
	return bare;
}

/* The page of checksums of a run, to be changed: made if there is none.  Prepared. */
static struct disk_sums *writable_sums(struct scrub *s, uint64_t zone, unsigned k,
				       struct zone_sums *sums, struct page *page)
	REQUIRES(metadata_lock)
{
	struct engine *e = &s->p->e;
	struct disk_sums *d;

	if (page)
		return pages_write(e->pages, page);
	sums->page[k] = engine_take_page(e);
	d = pages_make(e->pages, sums->page[k], PAGE_SUMS)->data;
	d->first = put64(zone * e->geo.zone_blocks + k * SUMS_PER_PAGE);
	space_set_sums(e->space, zone, sums);
	return d;
}

/* 0, -ESTALE: the snapshot has gone, -EAGAIN, ... */
static int judge_locked(struct scrub *s, struct run *run) REQUIRES(metadata_lock)
{
	struct engine *e = &s->p->e;
	uint64_t zone = block_zone(&e->geo, run->first), bare;
	unsigned k = (unsigned)(run->first % e->geo.zone_blocks / SUMS_PER_PAGE);
	struct zone_sums sums;
	struct page *page = NULL;
	struct disk_sums *d;
	int r;

	if (!catalog_by_id(s->p->cat, run->of->id)) /* [SCRUB-1] */
		return -ESTALE;
	if ((r = space_sums(e->space, zone, &sums)) < 0)
		return r;
	if (sums.page[k] && (r = pages_get(e->pages, sums.page[k], PAGE_SUMS, &page)) < 0)
		return r;
	if (page && get64(((struct disk_sums *)page->data)->first) !=
			    zone * e->geo.zone_blocks + k * SUMS_PER_PAGE)
		return fail(-EUCLEAN, "page %" PRIu64 " has the checksums of other blocks",
			    sums.page[k]);
	bare = compare_sums(s, run, page ? page->data : NULL);
	if (bare && !page && !space_sums_room(e->space))
		run->full = true;
	if (bare && s->notes && !run->full) {
		if ((r = space_prepare_sums(e->space)) < 0 ||
		    (r = engine_prepare(e, page ? 0 : 1, 0)) < 0)
			return r;
		d = writable_sums(s, zone, k, &sums, page);
		for (unsigned i = 0; i < run->n; i++)
			if (bare >> i & 1) {
				*sum_at(d, s, run->first + i) = run->sum[i];
				*before_at(d, s, run->first + i) = put48(s->before);
			}
		s->res.noted += (uint64_t)__builtin_popcountll(bare);
	} else {
		s->res.bare += (uint64_t)__builtin_popcountll(bare);
	}
	s->res.verified += run->n - (uint64_t)__builtin_popcountll(bare);
	return 0;
}

/* A page of checksums stays what it is while the epoch in which its name was read goes on. */
static int judge_once(struct scrub *s, struct run *run)
{
	struct engine *e = &s->p->e;
	uint64_t token = epoch_enter(&e->epochs);
	bool again;
	int r;

	metalock_exclusive(&e->lock);
	r = judge_locked(s, run);
	metalock_drop(&e->lock);
	again = r == -EAGAIN && thread_need.what == NEED_PAGE;
	if (again)
		r = pages_fill(e->pages);
	epoch_exit(&e->epochs, token);
	if (r == -EAGAIN)
		r = engine_need(e);
	else if (!again)
		return r;
	return r == 0 ? -EAGAIN : r;
}

static int judge(struct scrub *s, struct run *run)
{
	int r;

	do {
		r = judge_once(s, run);
		if (r == -ENOSPC && !run->full) {
			run->full = true;
			r = -EAGAIN;
		}
	} while (r == -EAGAIN);
	if (r == -EBADMSG || r == -EUCLEAN || r == -EIO) {
		if (s->res.check.damages == 0) { /* the check has told of it else */
			s->res.check.damages++;
			report(s, COWBD_DAMAGE, "metadata", UINT64_MAX, error_message());
		}
		s->res.bare += run->n;
		r = 0;
	}
	for (unsigned i = 0; r == 0 && i < run->n; i++)
		if (run->rotten >> i & 1) {
			s->res.rotten++;
			(void)report_block(s, run->logical + i, run->first + i,
					   "are not what they were when they were scrubbed first");
		}
	return r;
}

/* ---- reading ----------------------------------------------------------------------- */

static int read_blocks(struct scrub *s, uint64_t first, unsigned n)
{
	const struct geometry *g = &s->p->e.geo;

	return store_read(s->p->e.store, STORE_DIRECT, first << g->block_shift, s->buf,
			  (size_t)n << g->block_shift);
}

/* 0, or -ESTALE and others: this object is over. */
static int scrub_run(struct scrub *s, struct run *run)
{
	const struct engine *e = &s->p->e;
	int r = read_blocks(s, run->first, run->n);

	if (r < 0 && run->n > 1) { /* one by one, so that just what can't be read is told */
		r = 0;
		for (unsigned i = 0; i < run->n && r == 0; i++) {
			struct run one = {run->of, run->first + i, run->logical + i, 1, {{{0}}},
					  0,       false};

			r = scrub_run(s, &one);
		}
		return r;
	}
	s->res.read += run->n;
	progress(s, false);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		s->res.unreadable += report_block(s, run->logical, run->first, "can't be read");
		return 0;
	}
	if (!run->of->frozen)
		return 0;
	for (unsigned i = 0; i < run->n; i++)
		run->sum[i] = block_sum(s->buf + ((size_t)i << e->geo.block_shift), &e->geo,
					run->first + i, e->super.uuid);
	return judge(s, run);
}

/* ---- walking ----------------------------------------------------------------------- */

/* A copy of the entries of a page, if the object is there still: 0, -ESTALE, ... */
static int read_entries(struct scrub *s, const struct thing *of, uint64_t above, unsigned level,
			uint64_t block)
{
	struct engine *e = &s->p->e;
	uint64_t token = epoch_enter(&e->epochs);
	struct page *page;
	int r;

	do {
		metalock_shared(&e->lock);
		r = catalog_by_id(s->p->cat, of->id) ? map_page(e, above, level, block, &page)
						     : -ESTALE;
		for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++)
			s->entry[level][i] = get48(((struct disk_map *)page->data)->entry[i]);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	epoch_exit(&e->epochs, token);
	return r;
}

/* Can block b go on a run? */
static bool continues(const struct scrub *s, const struct run *run, uint64_t b, uint64_t logical)
{
	const struct geometry *g = &s->p->e.geo;
	uint64_t in = run->first % g->zone_blocks;

	return run->n && run->n < RUN_BLOCKS &&
	       ((uint64_t)run->n + 1) << g->block_shift <= MAX(RUN_BYTES, g->block_bytes) &&
	       b == run->first + run->n && logical == run->logical + run->n &&
	       in + run->n < g->zone_blocks && (in + run->n) / SUMS_PER_PAGE == in / SUMS_PER_PAGE;
}

static int scrub_leaf(struct scrub *s, const struct thing *of, uint64_t first)
{
	struct run run = {.of = of};
	int r = 0;

	for (unsigned i = 0; i < MAP_FANOUT && r >= 0; i++) {
		uint64_t b = entry_number(s->entry[0][i]);
		int new = b ? see(s, block_unit(&s->p->e.geo, b)) : 0;

		if (new < 0)
			return new;
		if (!new)
			continue;
		if (!continues(s, &run, b, first + i)) {
			r = run.n ? scrub_run(s, &run) : 0;
			run = (struct run){.of = of, .first = b, .logical = first + i};
		}
		run.n++;
	}
	return r == 0 && run.n ? scrub_run(s, &run) : r;
}

/* What could not be walked is damage that the check has told of; or of a volume that changes meanwhile. */
static int scrub_below(struct scrub *s, const struct thing *of, uint64_t above, unsigned level,
		       uint64_t block)
{
	int r = see(s, page_unit(entry_number(above)));

	if (r <= 0)
		return r;
	r = read_entries(s, of, above, level, block);
	if (r == -EBADMSG || r == -EUCLEAN || r == -EIO) {
		s->res.skipped += of->frozen;
		return 0;
	}
	if (r < 0)
		return r;
	if (level == 0)
		return atomic_load(&s->p->interrupted)
			       ? fail(-ESHUTDOWN, "the scrub was ended: the pool is being closed")
			       : scrub_leaf(s, of, block);
	for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++)
		if (s->entry[level][i])
			r = scrub_below(s, of, s->entry[level][i], level - 1,
					block + i * map_span(level));
	return r;
}

static int scrub_thing(struct scrub *s, const struct thing *of)
{
	struct map_root root = {0};
	const struct object *o;
	int r = 0;

	metalock_shared(&s->p->e.lock);
	o = catalog_by_id(s->p->cat, of->id);
	if (o)
		root = o->map;
	metalock_drop(&s->p->e.lock);
	if (root.entry)
		r = scrub_below(s, of, root.entry, root.depth - 1, 0);
	return r == -ESTALE ? 0 : r;
}

/* ---- all ----------------------------------------------------------------------------- */

static int by_turn(const void *a, const void *b)
{
	const struct thing *x = a, *y = b;

	if (x->frozen != y->frozen)
		return x->frozen ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* All objects there are.  Lock shared. */
static int list_locked(struct scrub *s)
{
	const struct catalog *cat = s->p->cat;

	s->thing = calloc(cat->n + 1, sizeof *s->thing);
	if (!s->thing)
		return fail(-ENOMEM, "no memory for a scrub");
	s->before = cat->next_id;
	for (size_t b = 0; b <= cat->mask; b++)
		for (const struct object *o = cat->by_id[b]; o; o = o->next_id)
			s->thing[s->n++] = (struct thing){o->id, o->kind == OBJECT_SNAPSHOT};
	qsort(s->thing, s->n, sizeof *s->thing, by_turn);
	return 0;
}

static int begin(struct scrub *s)
{
	struct engine *e = &s->p->e;
	struct dirty all = {.all = true};
	struct space_info info;
	uint64_t tag;
	int r;

	metalock_shared(&e->lock);
	r = list_locked(s);
	tag = epoch_close(&e->writers);
	space_get_info(e->space, &info);
	s->zones = e->geo.zones;
	metalock_drop(&e->lock);
	epoch_wait(&e->writers, tag); /* writes begun since know of all these snapshots */
	s->total = info.used_blocks;
	s->notes = !e->read_only && engine_writable(e) == 0 && s->res.check.damages == 0 &&
		   s->before <= BEFORE_MAX;
	s->seen = calloc(s->zones, sizeof *s->seen);
	s->buf = aligned_alloc(PAGE_BYTES, MAX(RUN_BYTES, e->geo.block_bytes));
	if (r == 0 && (!s->seen || !s->buf))
		r = fail(-ENOMEM, "no memory for a scrub");
	if (r == 0 && s->notes)
		r = engine_commit(e, &all); /* [SCRUB-2] */
	return r;
}

static int run(struct scrub *s)
{
	int r = cowbd_check_pool(s->p, s->opt, &s->res.check);

	if (r == 0)
		r = begin(s);
	for (size_t i = 0; i < s->n && r == 0; i++) {
		s->res.snapshots += s->thing[i].frozen;
		r = scrub_thing(s, &s->thing[i]);
	}
	if (r == 0)
		progress(s, true);
	if (r == 0 && s->res.noted)
		r = cowbd_checkpoint(s->p);
	return r;
}

int cowbd_scrub(struct cowbd_pool *p, const struct cowbd_check_options *opt,
		struct cowbd_scrub_result *ret_result)
{
	struct scrub *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return fail(-ENOMEM, "no memory for a scrub");
	s->p = p;
	s->opt = opt;
	pthread_mutex_lock(&p->scrub_lock);
	r = run(s);
	pthread_mutex_unlock(&p->scrub_lock);
	if (r == 0)
		*ret_result = s->res;
	for (uint64_t zone = 0; s->seen && zone < s->zones; zone++)
		free(s->seen[zone]);
	free(s->seen);
	free(s->thing);
	free(s->buf);
	free(s);
	return r;
}

void cowbd_interrupt(struct cowbd_pool *p)
{
	atomic_store(&p->interrupted, true);
}
