/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reclaim.c - takes dying subtrees apart, one page a step
 *
 *	leaf:        all blocks lose a reference, the page leaves the list
 *	inner page:  its last entry goes: a child whose last true reference that was joins the list,
 *	             else it loses one reference; when nothing is left the page leaves the list
 *
 * The youngest entry first, so that the list grows by one a level and no more.
 *
 * Reclaim isn't journaled.  What it lets go of counts until a checkpoint has recorded both
 * (SPACE-3): the list, the entries cleared and the counts are of the same cut.  A crash
 * resumes where the last checkpoint was.
 */
#include "pool.h"

#define STEPS_A_HOLD 8u
#define CHILDREN_A_STEP 64u
#define DROPS_MAX 300000u /* units: tables of 4 MiB */

/* Drops one reference to a child; it joins the list if that was the last true one. -EAGAIN before anything is changed. */
REQUIRES(metadata_lock) static int drop_child(struct engine *e, uint64_t entry, unsigned level)
{
	unsigned count = 1;

	if (entry_shared(entry)) {
		int r = space_true_count(e->space, page_unit(entry_number(entry)), &count);

		if (r < 0)
			return r;
	}
	if (e->ndying == DYING_MAX) /* the run that let it grow so far was not ours */
		return fail(-EUCLEAN, "the list of dying subtrees is overfull; run cowbd check");
	if (count <= 1)
		dying_push(e, entry_number(entry), level, 0);
	else
		space_drop(e->space, page_unit(entry_number(entry)));
	return count <= 1;
}

REQUIRES(metadata_lock)
static void take_leaf(struct engine *e, unsigned index, const struct page *leaf)
{
	const struct disk_map *m = leaf->data;
	unsigned n = 0;

	for (unsigned i = 0; i < MAP_FANOUT; i++)
		if (get48(m->entry[i])) {
			space_drop(e->space, block_unit(&e->geo, entry_number(get48(m->entry[i]))));
			n++;
		}
	dying_remove(e, index);
	space_drop(e->space, page_unit(leaf->no));
	STAT_ADD(e->stats.blocks_reclaimed, n);
}

/* Some children of an inner page, last first, up to the first that joins the list. */
REQUIRES(metadata_lock)
static int take_inner(struct engine *e, unsigned index, struct page *page, unsigned level)
{
	struct disk_map *m = page->data;
	unsigned taken = 0;

	for (unsigned i = MAP_FANOUT; i-- > 0 && taken < CHILDREN_A_STEP;) {
		uint64_t entry = get48(m->entry[i]);
		int r;

		if (entry == 0)
			continue;
		r = drop_child(e, entry, level - 1);
		if (r < 0)
			return r;
		m = pages_write(e->pages, page);
		m->entry[i] = put48(0);
		taken++;
		if (r == 1) /* that one first */
			return 0;
	}
	if (taken < CHILDREN_A_STEP) {
		dying_remove(e, index);
		space_drop(e->space, page_unit(page->no));
	}
	return 0;
}

/* Lock exclusive.  1, 0 nothing durable to do, -EAGAIN. */
REQUIRES(metadata_lock) static int step(struct engine *e)
{
	struct dying d;
	struct page *page;
	unsigned index;
	int r;

	if (!dying_pick(e, journal_durable_seq(e->journal), &index, &d))
		return 0;
	if (space_dropped(e->space) > DROPS_MAX) /* before writers have to wait for it */
		return need_more(NEED_CHECKPOINT);
	if ((r = pages_prepare(e->pages, 4)) < 0 ||
	    (r = space_prepare(e->space, MAP_FANOUT + 2)) < 0 ||
	    (r = pages_get(e->pages, d.page, PAGE_MAP, &page)) < 0)
		return r;
	if (get16(((const struct disk_map *)page->data)->level) != d.level)
		return fail(-EUCLEAN,
			    "dying map page %" PRIu64 " isn't of level %u; run cowbd check", d.page,
			    d.level);
	if (d.level == 0)
		take_leaf(e, index, page);
	else
		r = take_inner(e, index, page, d.level);
	return r < 0 ? r : 1;
}

/* Numbers of the children of a cached page that come next, at most PAGES_PREFETCH in all.  Lock held. */
REQUIRES_SHARED(metadata_lock)
static void add_children(struct engine *e, uint64_t page_no, uint64_t *no, unsigned *n)
{
	struct page *page;

	if (pages_get(e->pages, page_no, PAGE_MAP, &page) < 0)
		return;
	const struct disk_map *m = page->data;

	if (get16(m->level) == 0)
		return;
	for (unsigned i = MAP_FANOUT; i-- > 0 && *n < PAGES_PREFETCH;)
		if (get48(m->entry[i]))
			no[(*n)++] = entry_number(get48(m->entry[i]));
}

/* The pages that come next are read together, not one by one: children of the youngest pages of the list, which
 * are one below the other, then theirs, since in a sparse map each has few. */
static void read_ahead(struct engine *e)
{
	uint64_t child[PAGES_PREFETCH], below[PAGES_PREFETCH];
	uint64_t durable = journal_durable_seq(e->journal);
	unsigned n = 0, nbelow = 0;
	struct page *page;

	metalock_shared(&e->lock);
	for (unsigned i = e->ndying, looked = 0; i-- > 0 && n < PAGES_PREFETCH && looked < 16;
	     looked++)
		if (e->dying_seq[i] <= durable)
			add_children(e, dying_get(e, i).page, child, &n);
	if (n && pages_get(e->pages, child[0], PAGE_MAP, &page) == 0)
		n = 0; /* the next one is here: no hurry */
	metalock_drop(&e->lock);
	if (!n)
		return;
	pages_prefetch(e->pages, child, n, PAGE_MAP);
	metalock_shared(&e->lock);
	for (unsigned i = 0; i < n; i++)
		add_children(e, child[i], below, &nbelow);
	metalock_drop(&e->lock);
	if (nbelow)
		pages_prefetch(e->pages, below, nbelow, PAGE_MAP);
}

int reclaim_some(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	bool any = false, call;
	int r = engine_writable(e);

	if (r < 0)
		return r;
	do {
		read_ahead(e);
		metalock_exclusive(&e->lock);
		r = 1;
		for (unsigned i = 0; i < STEPS_A_HOLD && r > 0; i++) {
			r = step(e);
			any |= r > 0;
		}
		call = engine_call_checkpoint(e, space_dropped(e->space) > DROPS_MAX / 2 &&
							 space_checkpoint_due(e->space));
		metalock_drop(&e->lock);
		if (call) /* it runs meanwhile, so that DROPS_MAX is seldom reached */
			e->wake(e);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	return r < 0 ? r : any;
}

int reclaim_room(struct engine *e)
{
	int r = engine_commit(e, NULL);

	if (r < 0)
		return r;
	r = reclaim_some(pool_of(e));
	if (r == 0)
		return fail(-ENOSPC, "too much is being deleted at once: try again in a moment");
	return r < 0 ? r : 0;
}

struct progress {
	uint64_t waiting, dropped, leaving, dying;
};

static struct progress look(struct engine *e)
{
	struct progress g;

	metalock_shared(&e->lock);
	g = (struct progress){space_waiting(e->space),
			      space_dropped(e->space) + space_releasing(e->space),
			      space_leaving(e->space), e->ndying};
	metalock_drop(&e->lock);
	return g;
}

/* Everything that could come free does: falls, dying subtrees, what they drop, zones. */
int reclaim_make_space(struct engine *e)
{
	struct progress g = look(e);
	int r;

	if (!g.waiting && !g.dropped && !g.leaving && !g.dying)
		return checkpoint_break_pin(pool_of(e)) ? 0 : fail(-ENOSPC, "the pool is full");
	if ((r = engine_commit(e, NULL)) < 0)
		return r;
	for (unsigned i = 0; i < 64 && (r = reclaim_some(pool_of(e))) > 0;)
		i++;
	if (r < 0 || (r = checkpoint_run(e)) < 0)
		return r;
	engine_settle(e);
	g = look(e);
	/* what waits for requests that still run is let go of when they end */
	if (g.waiting && !g.dying && !g.dropped)
		usleep(1000);
	return 0;
}
