/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checkpoint.c - makes everything up to a cut durable in the pages, and commits it at one instant
 *
 *	cut            lock exclusive, O(1): dirty pages, deltas, place in the journal
 *	write          map, catalog and dying pages to their free slots
 *	merge          counts and slots into the pages of zones; write those
 *	write          summaries, then the group table
 *	sync           pages, and all data that records up to the cut name
 *	superblock     one copy, then the other   <- the commit point is the first
 *	release        journal space, what reclaim dropped, zones that became free
 *
 * Invariants
 *   [CHECKPOINT-1] All of the above is durable before the superblock is written (PAGES-2).
 *   [CHECKPOINT-2] Nothing is released before both copies are durable (SUPER-1).
 *   [CHECKPOINT-3] Neither writers nor flushes wait for it, but for the cut.  Who meets a bound waits until what runs has
 *                  brought it down, which it does all along; only if none runs, for one of its own.
 *
 * Failure: the pool turns read-only; on disk is the checkpoint before, or this one, never a mixture.
 */
#include "pool.h"

#define ZONES_AT_ONCE 512u
#define MERGES_A_HOLD 4u
#define RELIEF_NS 500000

struct cut {
	struct journal_cut journal;
	struct journal_position start;
	uint64_t generation, zones;
	struct dirty data; /* that records up to the cut name, and no commit has synced yet */
};

static void take_cut(struct cowbd_pool *p, struct cut *cut)
{
	struct engine *e = &p->e;

	pthread_mutex_lock(&e->journal_lock);
	metalock_exclusive(&e->lock);
	e->called = false;
	cut->journal = journal_cut(e->journal);
	cut->start = journal_at(e->journal);
	young_cut_off(e);
	pages_cut(e->pages);
	space_cut(e->space);
	dying_at_cut(e);
	e->super.catalog_root = put64(p->cat->tree.entry);
	e->super.catalog_depth = put32(p->cat->tree.depth);
	e->super.next_id = put64(p->cat->next_id);
	e->super.zones = put64(e->geo.zones);
	e->super.cut = put64(cut->journal.seq);
	e->super.journal_offset = put64(cut->start.offset);
	e->super.journal_batch = put64(cut->start.batch);
	e->super.journal_chain = put64(cut->start.chain);
	dirty_merge(&cut->data, &e->pending_dirty);
	dirty_merge(&cut->data, &e->syncing);
	/* a snapshot's record may be before the cut, and what its volume wrote in place with a flush that has not begun */
	pthread_mutex_lock(&e->commit_lock);
	dirty_merge(&cut->data, &e->round_dirty);
	pthread_mutex_unlock(&e->commit_lock);
	cut->zones = e->geo.zones;
	cut->generation = get64(e->super.h.generation) + 1;
	e->super.h.generation = put64(cut->generation);
	metalock_drop(&e->lock);
	pthread_mutex_unlock(&e->journal_lock);
}

/* Merges a few zones, up to end, in one hold of the lock. *done moves. */
static int merge_some(struct engine *e, const struct merge_plan *plan, size_t end, size_t *done,
		      uint64_t generation)
{
	int r = 0;

	metalock_exclusive(&e->lock);
	for (unsigned k = 0; k < MERGES_A_HOLD && *done < end && r == 0; k++) {
		r = space_merge_zone(e->space, plan, *done, generation);
		if (r == 0)
			++*done;
	}
	metalock_drop(&e->lock);
	if (*done < end)
		metalock_breathe();
	return r;
}

/* Zones [begin, end) of the plan. */
static int merge_and_write(struct engine *e, const struct merge_plan *plan, size_t begin,
			   size_t end, uint64_t generation)
{
	CLEANUP_FREE uint64_t *pages = malloc((end - begin) * sizeof *pages);
	size_t done = begin;

	if (!pages)
		return fail(-ENOMEM, "no memory to write a checkpoint");
	while (done < end) {
		int r = merge_some(e, plan, end, &done, generation);

		if (r == -EAGAIN)
			r = engine_need(e);
		if (r < 0)
			return r;
	}
	for (size_t i = begin; i < end; i++)
		pages[i - begin] = zone_page(&e->geo, plan->zone[i]);
	return pages_write_staged(e->pages, PAGE_ZONE, pages, end - begin, generation);
}

static int write_zones(struct engine *e, const struct cut *cut)
{
	CLEANUP_FREE uint64_t *staged = NULL;
	struct merge_plan plan = {0};
	size_t nstaged;
	int r = pages_staged(e->pages, PAGE_ZONE, &staged, &nstaged);

	if (r == 0)
		r = space_merge_plan(e->space, cut->zones, staged, nstaged, &plan);
	for (size_t i = 0; i < plan.n && r == 0; i += ZONES_AT_ONCE)
		r = merge_and_write(e, &plan, i, MIN(plan.n, i + ZONES_AT_ONCE), cut->generation);
	space_merge_plan_fini(&plan);
	return r;
}

static int write_level(struct engine *e, enum page_kind kind, uint64_t generation)
{
	CLEANUP_FREE uint64_t *list = NULL;
	size_t n;
	int r = pages_staged(e->pages, kind, &list, &n);

	if (r < 0)
		return r;
	qsort(list, n, sizeof *list, compare_u64);
	return pages_write_staged(e->pages, kind, list, n, generation);
}

static int write_all(struct engine *e, const struct cut *cut)
{
	int r;

	if ((r = pages_write_frozen(e->pages, cut->generation)) < 0 ||
	    (r = write_zones(e, cut)) < 0 ||
	    (r = write_level(e, PAGE_SUMMARY, cut->generation)) < 0 ||
	    (r = write_level(e, PAGE_GROUPS, cut->generation)) < 0)
		return r;
	metalock_exclusive(&e->lock);
	r = space_commit_prepare(e->space);
	metalock_drop(&e->lock);
	if (r < 0 || MUTANT("super-before-pages"))
		return r;
	return engine_sync(e, MUTANT("checkpoint-before-data") ? NULL
							       : &cut->data); /* [CHECKPOINT-1] */
}

/* [CHECKPOINT-2] */
static void release(struct engine *e, const struct cut *cut)
{
	bool more;

	do {
		metalock_exclusive(&e->lock);
		more = space_release_some(e->space);
		metalock_drop(&e->lock);
		if (more)
			metalock_breathe();
	} while (more);
	pthread_mutex_lock(&e->journal_lock);
	metalock_exclusive(&e->lock);
	journal_checkpointed(e->journal, cut->journal, cut->start);
	if (journal_at(e->journal).batch == cut->start.batch)
		young_committed(e);
	space_durable(e->space, journal_durable_seq(e->journal));
	space_committed(e->space);
	dying_committed(e);
	metalock_drop(&e->lock);
	pthread_mutex_unlock(&e->journal_lock);
	space_merge_end(e->space);
	engine_settle(e);
}

static int run(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	struct cut cut = {0};
	int r = engine_writable(e);

	if (r < 0)
		return r;
	take_cut(p, &cut);
	r = write_all(e, &cut);
	if (r == 0 && MUTANT("released-before-super"))
		release(e, &cut);
	dirty_clear(&cut.data);
	if (r == 0)
		r = super_commit(p, &e->super);
	if (r < 0) {
		engine_fail(e, "a checkpoint failed");
		return r;
	}
	if (!MUTANT("released-before-super"))
		release(e, &cut);
	STAT_ADD(e->stats.checkpoints, 1);
	return 0;
}

/* checkpoint_lock held. */
static int run_counted(struct cowbd_pool *p)
{
	uint64_t mine = atomic_fetch_add(&p->checkpoints_begun, 1) + 1;
	int r = run(p);

	if (r == 0)
		p->checkpoints_done = mine;
	return r;
}

int checkpoint_run(struct engine *e)
{
	struct cowbd_pool *p = pool_of(e);
	uint64_t want = atomic_load(&p->checkpoints_begun) + 1;
	int r = 0;

	pthread_mutex_lock(&p->checkpoint_lock);
	if (p->checkpoints_done < want)
		r = run_counted(p);
	pthread_mutex_unlock(&p->checkpoint_lock);
	return r;
}

int checkpoint_relieve(struct engine *e)
{
	const struct timespec moment = {.tv_nsec = RELIEF_NS};
	struct cowbd_pool *p = pool_of(e);
	int r;

	if (pthread_mutex_trylock(&p->checkpoint_lock) != 0) {
		nanosleep(&moment, NULL);
		return 0;
	}
	r = run_counted(p);
	pthread_mutex_unlock(&p->checkpoint_lock);
	return r;
}

/* ---- a checkpoint that stays readable ------------------------------------------- */

/* Both copies of the superblock are overwritten by the very next checkpoint. */
static void keep_supers(struct cowbd_pool *p, struct spill *spill)
{
	pthread_mutex_lock(&p->super_lock);
	spill_keep(spill, page_offset(0, 0));
	spill_keep(spill, page_offset(0, 1));
	pthread_mutex_unlock(&p->super_lock);
}

static void set_pin(struct cowbd_pool *p, struct spill *spill)
{
	pages_set_spill(p->e.pages, spill);
	metalock_exclusive(&p->e.lock);
	p->spill = spill;
	space_hold_meta(p->e.space, spill != NULL);
	metalock_drop(&p->e.lock);
}

int checkpoint_pin(struct cowbd_pool *p, uint64_t bound_bytes, struct spill **ret_spill)
{
	struct spill *spill;
	int r = spill_new(p->e.store, bound_bytes, &spill);

	if (r < 0)
		return r;
	pthread_mutex_lock(&p->checkpoint_lock);
	assert(!p->spill);
	keep_supers(p, spill);
	set_pin(p, spill);
	pthread_mutex_unlock(&p->checkpoint_lock);
	*ret_spill = spill;
	return 0;
}

void checkpoint_unpin(struct cowbd_pool *p, struct spill *spill)
{
	pthread_mutex_lock(&p->checkpoint_lock);
	set_pin(p, NULL);
	pthread_mutex_unlock(&p->checkpoint_lock);
	spill_free(spill);
}

bool checkpoint_break_pin(struct cowbd_pool *p)
{
	bool any;

	metalock_exclusive(&p->e.lock);
	any = p->spill && space_held(p->e.space) && !spill_overrun(p->spill);
	if (any) {
		spill_give_up(p->spill); /* before a zone can be used anew */
		space_hold_meta(p->e.space, false);
		(void)space_settle(p->e.space);
	}
	metalock_drop(&p->e.lock);
	return any;
}
