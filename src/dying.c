/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dying.c - the list of subtrees that nothing maps any more
 */
#include "dying.h"

/* Room that reclaim itself may need on its way down, and a little. */
#define RECLAIM_ROOM (MAP_DEPTH_MAX / 2 + 2)

REQUIRES_SHARED(metadata_lock)
static struct disk_dying *page_of(struct engine *e, unsigned index, struct page **ret_page)
{
	struct page *page;
	int r = pages_get(e->pages, dying_page(index / DYING_PER_PAGE), PAGE_DYING, &page);

	assert(r == 0); /* they are pinned */
	(void)r;
	*ret_page = page;
	return page->data;
}

UNCHECKED_LOCKING int dying_load(struct engine *e)
{
	bool end = false;

	for (unsigned i = 0; i < DYING_PAGES; i++) {
		struct page *page;
		int r = pages_get_shared(e->pages, dying_page(i), PAGE_DYING, &page);

		if (r < 0)
			return r;
		pages_pin(page);
		const struct disk_dying *d = page->data;

		for (unsigned k = 0; k < DYING_PER_PAGE && !end; k++) {
			if (get64(d->entry[k]) == 0)
				end = true;
			else
				e->ndying++;
		}
		metalock_drop(&e->lock);
	}
	e->dying_replay = e->dying_cut = e->ndying;
	return 0;
}

int dying_prepare(struct engine *e, unsigned n)
{
	/* the run that is replayed made sure of it */
	if (!e->journal)
		return e->ndying + n <= DYING_MAX
			       ? 0
			       : fail(-EUCLEAN, "the journal deletes more at once than can be; run "
						"cowbd check");
	if (e->ndying + n + RECLAIM_ROOM > DYING_MAX)
		return need_more(NEED_RECLAIM);
	/* replay doesn't see what reclaim takes off before a checkpoint has recorded it */
	if (e->dying_replay + n + RECLAIM_ROOM > DYING_MAX)
		return need_more(NEED_CHECKPOINT);
	return 0;
}

void dying_at_cut(struct engine *e)
{
	e->dying_cut = e->ndying;
}

void dying_committed(struct engine *e)
{
	e->dying_replay = e->dying_cut;
}

REQUIRES(metadata_lock) static void put(struct engine *e, unsigned index, uint64_t value)
{
	struct page *page;

	(void)page_of(e, index, &page);
	((struct disk_dying *)pages_write(e->pages, page))->entry[index % DYING_PER_PAGE] =
		put64(value);
}

void dying_push(struct engine *e, uint64_t page, unsigned level, uint64_t seq)
{
	assert(e->ndying < DYING_MAX);
	e->dying_seq[e->ndying] = seq;
	if (seq) { /* of a record, not of reclaim */
		e->dying_replay++;
		e->dying_cut++;
	}
	put(e, e->ndying++, page << 8 | (level + 1));
}

struct dying dying_get(struct engine *e, unsigned index)
{
	struct page *page;
	uint64_t v = get64(page_of(e, index, &page)->entry[index % DYING_PER_PAGE]);

	return (struct dying){.page = v >> 8, .level = (unsigned)(v & 0xff) - 1};
}

bool dying_pick(struct engine *e, uint64_t durable_seq, unsigned *ret_index, struct dying *ret)
{
	for (unsigned i = e->ndying; i-- > 0;)
		if (e->dying_seq[i] <= durable_seq) {
			*ret_index = i;
			*ret = dying_get(e, i);
			return true;
		}
	return false;
}

void dying_remove(struct engine *e, unsigned index)
{
	struct dying last = dying_get(e, --e->ndying);

	put(e, index, last.page << 8 | (last.level + 1));
	e->dying_seq[index] = e->dying_seq[e->ndying];
	put(e, e->ndying, 0);
}
