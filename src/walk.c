/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.c - reads map pages one after the other, without holding the lock between them
 */
#include "walk.h"

UNCHECKED_LOCKING int walk_read(struct engine *e, uint64_t above, unsigned level, uint64_t block,
				uint64_t entry[MAP_FANOUT])
{
	struct page *page;
	int r = pages_get_shared(e->pages, entry_number(above), PAGE_MAP, &page);

	if (r < 0)
		return r;
	r = map_page(e, above, level, block, &page);
	for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++)
		entry[i] = get48(((struct disk_map *)page->data)->entry[i]);
	metalock_drop(&e->lock);
	return r;
}

int walk_count(struct engine *e, uint64_t entry, bool page, unsigned *ret_count)
{
	uint64_t unit = page ? page_unit(entry_number(entry))
			     : block_unit(&e->geo, entry_number(entry));
	int r;

	if (!entry_shared(entry)) {
		*ret_count = 1;
		return 0;
	}
	do {
		metalock_shared(&e->lock);
		r = space_true_count(e->space, unit, ret_count);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	return r;
}
