/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * engine.c - what the layers of a running pool share: locks, group commit, failing
 *
 * The life of a commit (rule 1):
 *
 *	cut under the lock: records so far, zones of their data
 *	sync those zones and the callers' own           data is durable
 *	journal_write up to the cut                     records are durable
 *	    (or both at once: young.h)
 *	space_durable                                   references may fall
 *	the callers' flushes are acknowledged
 *
 * Invariants
 *   [ENGINE-1] A round's cut is taken after the round has begun; so whoever asked before gets
 *              all of its records into it.
 *   [ENGINE-2] Data is marked dirty before the write is acknowledged, and after its I/O has ended.
 *   [ENGINE-3] What a flush has joined with is synced by the round that runs at a cut after that, or by an earlier one; a checkpoint
 *              syncs it as well.
 *
 * Failure: a failed sync or journal write leaves unknown what is durable; the pool
 * turns read-only, and everybody who waits hears it.
 */
#include "engine.h"

#include <stdio.h>

#define WRITE_BACK_ZONES 256u
#define SHORT_WAY_ZONES 16u
#define DIRTY_FIRST 16u
#define DIRTY_MAX 4096u /* zones: 16 GiB of data */

/* ---- dirty zones --------------------------------------------------------------------- */

static bool dirty_insert(struct dirty *d, uint64_t zone)
{
	uint32_t i = (uint32_t)((zone * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & d->mask;

	while (d->slot[i]) {
		if (d->slot[i] == zone + 1)
			return false;
		i = (i + 1) & d->mask;
	}
	d->slot[i] = zone + 1;
	return true;
}

static bool dirty_grow(struct dirty *d)
{
	struct dirty new = {.mask = d->slot ? d->mask * 2 + 1 : DIRTY_FIRST - 1, .n = d->n};

	if (d->slot && (d->n + 1) * 2 <= d->mask + 1)
		return true;
	new.slot = d->n < DIRTY_MAX ? calloc(new.mask + 1, sizeof *new.slot) : NULL;
	if (!new.slot)
		return false;
	for (uint32_t i = 0; d->slot && i <= d->mask; i++)
		if (d->slot[i])
			(void)dirty_insert(&new, d->slot[i] - 1);
	free(d->slot);
	*d = new;
	return true;
}

void dirty_add(struct dirty *d, uint64_t zone)
{
	if (d->all)
		return;
	if (dirty_grow(d))
		d->n += dirty_insert(d, zone);
	else
		d->all = true;
}

void dirty_merge(struct dirty *d, const struct dirty *from)
{
	d->all |= from->all;
	for (uint32_t i = 0; from->n && i <= from->mask; i++)
		if (from->slot[i])
			dirty_add(d, from->slot[i] - 1);
}

void dirty_move(struct dirty *d, struct dirty *from)
{
	if (dirty_any(d)) {
		dirty_merge(d, from);
		dirty_clear(from);
	} else {
		dirty_clear(d);
		*d = *from;
		*from = (struct dirty){0};
	}
}

void dirty_clear(struct dirty *d)
{
	free(d->slot);
	*d = (struct dirty){0};
}

static int compare_ranges(const void *a, const void *b)
{
	const struct store_range *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* In the order of the disk; with it also what was written directly, to which any sync applies. */
int engine_sync(struct engine *e, const struct dirty *d)
{
	CLEANUP_FREE struct store_range *range = NULL;
	unsigned n = 0;

	if (d && d->all)
		return store_sync(e->store, NULL, 0);
	range = malloc(((d ? d->n : 0) + 1) * sizeof *range);
	if (!range)
		return store_sync(e->store, NULL, 0);
	for (uint32_t i = 0; d && d->n && i <= d->mask; i++)
		if (d->slot[i])
			range[n++] =
				(struct store_range){(d->slot[i] - 1) * ZONE_BYTES, ZONE_BYTES};
	if (n == 0)
		range[n++] = (struct store_range){0, PAGE_BYTES};
	qsort(range, n, sizeof *range, compare_ranges);
	return store_sync(e->store, range, n);
}

void engine_write_back(struct engine *e)
{
	struct store_range range[WRITE_BACK_ZONES];
	unsigned n = 0;

	metalock_shared(&e->lock);
	const struct dirty *d = &e->pending_dirty;

	for (uint32_t i = 0; !d->all && d->n && i <= d->mask && n < WRITE_BACK_ZONES; i++)
		if (d->slot[i] && !space_zone_is_active(e->space, d->slot[i] - 1))
			range[n++] =
				(struct store_range){(d->slot[i] - 1) * ZONE_BYTES, ZONE_BYTES};
	metalock_drop(&e->lock);
	qsort(range, n, sizeof *range, compare_ranges);
	store_write_back(e->store, range, n);
}

/* ---- failing --------------------------------------------------------------------------- */

int engine_writable(struct engine *e)
{
	if (e->read_only)
		return fail(-EROFS, "the pool is open read-only");
	if (atomic_load_explicit(&e->failed, memory_order_acquire))
		return fail(-EROFS, "the pool turned read-only after an error: %s", e->failure);
	return 0;
}

void engine_fail(struct engine *e, const char *what)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&once);
	if (!atomic_load_explicit(&e->failed, memory_order_relaxed)) {
		snprintf(e->failure, sizeof e->failure, "%s: %.180s", what, error_message());
		atomic_store_explicit(&e->failed, true, memory_order_release);
		if (e->journal)
			journal_taint(e->journal);
		if (e->taint)
			e->taint(e);
	}
	pthread_mutex_unlock(&once);
	hold_ring(&e->hold); /* who waits for space hears it, too */
}

/* ---- needs ------------------------------------------------------------------------------- */

static int need_zone(struct engine *e, bool meta)
{
	int r = space_prepare_zone(e->space, meta);

	/* the host's full disk: the caller starts over, and finds space in used zones or none */
	return r == -ENOSPC ? 0 : r;
}

int engine_seal(struct engine *e)
{
	uint64_t round;

	pthread_mutex_lock(&e->commit_lock);
	e->seal = true;
	round = e->round + 1;
	pthread_mutex_unlock(&e->commit_lock);
	return engine_wait(e, round);
}

int engine_need(struct engine *e)
{
	struct need need = thread_need;

	switch (need.what) {
	case NEED_PAGE: return pages_fill(e->pages);
	case NEED_GROUP: return space_load_group(e->space, need.page);
	case NEED_DATA_ZONE: return need_zone(e, false);
	case NEED_META_ZONE: return space_prepare_zone(e->space, true);
	case NEED_COMMIT: return engine_commit(e, NULL);
	case NEED_SEAL: return engine_seal(e);
	case NEED_CHECKPOINT: return e->relieve(e);
	case NEED_RECLAIM: return e->reclaim(e);
	case NEED_AGAIN: return 0;
	case NEED_NOTHING: break;
	}
	assert(false && "-EAGAIN without a need");
	return fail(-EIO, "internal error: nothing is needed");
}

int engine_reserve(struct engine *e, size_t bytes)
{
	if (e->journal && !journal_reserve(e->journal, bytes))
		return need_more(NEED_COMMIT);
	return 0;
}

uint64_t engine_append(struct engine *e, struct record *r)
{
	return e->journal ? journal_append(e->journal, r) : e->replay_seq;
}

/* -EAGAIN also if it claimed a page that this section may have looked at already: nothing names it, if counts
 * are right, and looking again finds out. */
REQUIRES(metadata_lock) static int fill_stock(struct engine *e, unsigned pages)
{
	bool seen = false;

	while (e->nstock < pages) {
		int r = space_take_page(e->space, &e->stock[e->nstock]);

		if (r < 0)
			return r;
		seen |= pages_claim(e->pages, e->stock[e->nstock++]);
	}
	return seen ? need_more(NEED_AGAIN) : 0;
}

int engine_prepare(struct engine *e, unsigned pages, unsigned units)
{
	int r;

	assert(pages <= STOCK_MAX);
	if ((r = pages_prepare(e->pages, pages + 8)) < 0 ||
	    (r = space_prepare(e->space, units + pages)) < 0)
		return r;
	r = fill_stock(e, pages);
	if (r == -ENOSPC && e->nstock) {
		/* claims keep their zones active, and what came free there since isn't seen before they end */
		engine_drop_stock(e);
		r = fill_stock(e, pages);
	}
	return r;
}

uint64_t engine_take_page(struct engine *e)
{
	uint64_t page;

	assert(e->nstock > 0);
	page = e->stock[--e->nstock];
	space_claim_done(e->space, page_unit(page), 1, true);
	space_raise(e->space, page_unit(page));
	return page;
}

void engine_drop_stock(struct engine *e)
{
	while (e->nstock) {
		uint64_t page = e->stock[--e->nstock];

		pages_unclaim(e->pages, page);
		space_claim_done(e->space, page_unit(page), 1, false);
	}
}

/* ---- group commit --------------------------------------------------------------------------- */

/* What a round has to make durable. */
struct round {
	struct journal_cut cut;
	struct dirty dirty; /* the callers' data, and what the records name */
	bool records;
	bool seal;      /* a batch is to be written in any case */
	bool may;       /* go the short way */
	uint64_t tag;   /* of the writes that ran at the cut */
	bool short_way; /* was gone */
};

static void count_bytes(struct engine *e, uint64_t before)
{
	uint64_t after = journal_room(e->journal);

	if (after < before)
		STAT_ADD(e->stats.journal_bytes, before - after);
}

static int write_records(struct engine *e, const struct round *round)
{
	uint64_t before;
	int r;

	pthread_mutex_lock(&e->journal_lock);
	before = journal_room(e->journal);
	r = round->records ? journal_write(e->journal, round->cut) : journal_seal(e->journal);
	count_bytes(e, before);
	pthread_mutex_unlock(&e->journal_lock);
	if (r == 0 && !round->records)
		STAT_ADD(e->stats.seals, 1);
	if (r == -EAGAIN)
		return e->checkpoint(e); /* its cut is after ours, and makes it durable */
	return r;
}

/* Records first, then one sync for them and their data.  1, 0: it can't be done so, or an error. */
static int go_short_way(struct engine *e, struct round *round)
{
	struct journal_sum sums[YOUNG_MAX];
	uint64_t before;
	unsigned n;
	int r;

	if (!young_sums(e, round->tag, sums, &n))
		return 0;
	/* a checkpoint's cut must not come between */
	pthread_mutex_lock(&e->journal_lock);
	before = journal_room(e->journal);
	r = journal_write_ahead(e->journal, round->cut, sums, n);
	if (r > 0) {
		count_bytes(e, before);
		r = MUTANT("ack-flush-early") ? 0 : engine_sync(e, &round->dirty);
		if (r == 0) {
			journal_synced(e->journal);
			r = 1;
		}
	}
	pthread_mutex_unlock(&e->journal_lock);
	return r;
}

/* Data first, then the records. */
static int go_long_way(struct engine *e, struct round *round)
{
	int r = 0;

	if (dirty_any(&round->dirty) &&
	    !MUTANT(round->records ? "journal-before-data" : "flush-without-sync"))
		r = engine_sync(e, &round->dirty);
	if (r < 0) {
		engine_fail(e, "syncing data failed");
		return r;
	}
	if (round->records || round->seal)
		r = write_records(e, round);
	if (r < 0)
		engine_fail(e, "writing the journal failed");
	return r;
}

/* What is left after a hold in which there was more than could be let go. */
static void settle_on(struct engine *e, bool more)
{
	while (more) {
		metalock_breathe();
		metalock_exclusive(&e->lock);
		more = space_settle(e->space);
		metalock_drop(&e->lock);
	}
}

void engine_settle(struct engine *e)
{
	bool more;

	metalock_exclusive(&e->lock);
	more = space_settle(e->space);
	metalock_drop(&e->lock);
	settle_on(e, more);
}

bool engine_checkpoint_due(const struct engine *e)
{
	return pages_dirty(e->pages) > pages_dirty_bound(e->pages) ||
	       space_checkpoint_due(e->space) ||
	       journal_room(e->journal) < journal_ring_bytes(e->journal) / 2;
}

bool engine_call_checkpoint(struct engine *e, bool due)
{
	if (!due || e->called || !e->wake)
		return false;
	e->called = true;
	return true;
}

unsigned engine_pressure_us(const struct engine *e)
{
	return MAX(space_pressure_us(e->space), pages_pressure_us(e->pages));
}

static void let_fall(struct engine *e, const struct round *round)
{
	bool more;

	metalock_exclusive(&e->lock);
	dirty_clear(&e->syncing);
	if (round->records || round->seal)
		young_durable(e, round->short_way);
	space_durable(e->space, journal_durable_seq(e->journal));
	more = space_settle(e->space);
	metalock_drop(&e->lock);
	settle_on(e, more);
}

/* What is dirty is taken with the records: a flush joins, then its volume's snapshot is recorded [ENGINE-3]. */
REQUIRES(metadata_lock) static void take_records(struct engine *e, struct round *round)
{
	bool few;

	pthread_mutex_lock(&e->commit_lock);
	dirty_move(&round->dirty, &e->round_dirty);
	pthread_mutex_unlock(&e->commit_lock);
	dirty_merge(&e->syncing, &round->dirty);
	round->cut = journal_cut(e->journal); /* [ENGINE-1] */
	round->records = round->cut.seq > journal_durable_seq(e->journal);
	round->seal &= e->young.written.n != 0;
	if (!round->records)
		return;
	dirty_merge(&round->dirty, &e->pending_dirty);
	dirty_move(&e->syncing, &e->pending_dirty);
	/* a sync under journal_lock keeps checkpoints out: not of much */
	few = dirty_any(&round->dirty) && !round->dirty.all && round->dirty.n <= SHORT_WAY_ZONES;
	round->may = young_cut(e, few, &round->tag);
}

/* Makes durable what was taken. */
static int commit_round(struct engine *e, struct round *round)
{
	int r = round->may ? go_short_way(e, round) : 0;

	if (r < 0) {
		engine_fail(e, "writing the journal with data failed");
		return r;
	}
	round->short_way = r > 0;
	return round->short_way ? 0 : go_long_way(e, round);
}

/* One round: everything appended before it, and what is dirty. */
static int run_round(struct engine *e, bool seal)
{
	struct round round = {.seal = seal};
	int r = engine_writable(e);

	if (r < 0)
		return r;
	metalock_exclusive(&e->lock);
	take_records(e, &round);
	metalock_drop(&e->lock);
	/* if nobody else's data would be waited for, the whole file is the shorter way */
	if (dirty_any(&round.dirty) && atomic_load(&e->dirty_volumes) == 0)
		round.dirty.all = true;
	r = commit_round(e, &round);
	dirty_clear(&round.dirty);
	if (r < 0)
		return r;
	STAT_ADD(e->stats.commits, 1);
	if (round.short_way)
		STAT_ADD(e->stats.short_commits, 1);
	let_fall(e, &round);
	if (journal_room(e->journal) < journal_ring_bytes(e->journal) / 2 && e->wake)
		e->wake(e);
	return 0;
}

/* Leads a round.  commit_lock held, let go meanwhile. */
static void lead(struct engine *e)
{
	uint64_t round = ++e->round;
	bool seal = e->seal;

	e->seal = false;
	e->leading = true;
	pthread_mutex_unlock(&e->commit_lock);
	if (run_round(e, seal) < 0)
		engine_fail(e, "a commit failed");
	pthread_mutex_lock(&e->commit_lock);
	e->leading = false;
	e->done = round;
	pthread_cond_broadcast(&e->commit_done);
}

uint64_t engine_join(struct engine *e, struct dirty *mine)
{
	uint64_t round;

	pthread_mutex_lock(&e->commit_lock);
	if (mine)
		dirty_move(&e->round_dirty, mine);
	round = e->round + 1;
	pthread_mutex_unlock(&e->commit_lock);
	return round;
}

int engine_wait(struct engine *e, uint64_t round)
{
	pthread_mutex_lock(&e->commit_lock);
	while (e->done < round) {
		if (e->leading)
			pthread_cond_wait(&e->commit_done, &e->commit_lock);
		else
			lead(e);
	}
	pthread_mutex_unlock(&e->commit_lock);
	if (atomic_load_explicit(&e->failed, memory_order_acquire))
		return fail(-EIO, "the pool turned read-only after an error: %s", e->failure);
	return 0;
}

int engine_commit(struct engine *e, struct dirty *mine)
{
	return engine_wait(e, engine_join(e, mine));
}

/* ---- life ------------------------------------------------------------------------------------- */

int engine_init(struct engine *e)
{
	int r;

	memset(e, 0, sizeof *e);
	if ((r = metalock_init(&e->lock)) < 0)
		return r;
	pthread_mutex_init(&e->journal_lock, NULL);
	pthread_mutex_init(&e->commit_lock, NULL);
	pthread_cond_init(&e->commit_done, NULL);
	epoch_init(&e->epochs);
	epoch_init(&e->writers);
	hold_init(&e->hold);
	return 0;
}

void engine_fini(struct engine *e)
{
	dirty_clear(&e->syncing);
	dirty_clear(&e->pending_dirty);
	dirty_clear(&e->round_dirty);
	space_free(e->space);
	pages_free(e->pages);
	hold_fini(&e->hold);
	epoch_fini(&e->writers);
	epoch_fini(&e->epochs);
	pthread_cond_destroy(&e->commit_done);
	pthread_mutex_destroy(&e->commit_lock);
	pthread_mutex_destroy(&e->journal_lock);
	metalock_fini(&e->lock);
}
