/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_read.c - the checker's reads of pages, many at a time where it knows what comes next
 *
 * Who is about to descend into many pages names them first (ahead); they are read at
 * once, and then taken one by one.  What went wrong there is read again alone, so that its error
 * is found where it belongs.
 */
#include <stdlib.h>

#include "check_internal.h"

void check_ahead_begin(struct check *c)
{
	c->ahead.n = 0;
}

void check_ahead_add(struct check *c, uint64_t page, struct le32 slot)
{
	if (slot_written(slot) && c->ahead.n < AHEAD_PAGES && !check_cache_has(c, page))
		c->ahead.offset[c->ahead.n++] = page_offset(page, slot_which(slot));
}

static int by_offset(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Neighbours are read by one request: pages of one map mostly are. */
void check_ahead_run(struct check *c)
{
	struct store_io io[AHEAD_PAGES];
	struct iovec iov[AHEAD_PAGES];
	unsigned first[AHEAD_PAGES + 1], n = 0;

	qsort(c->ahead.offset, c->ahead.n, sizeof *c->ahead.offset, by_offset);
	for (unsigned i = 0; i < c->ahead.n; i++) {
		iov[i] = (struct iovec){check_buffer(c, BUFFERS + i), PAGE_BYTES};
		if (i && c->ahead.offset[i] == c->ahead.offset[i - 1] + PAGE_BYTES) {
			io[n - 1].niov++;
			continue;
		}
		first[n] = i;
		io[n++] = (struct store_io){
			.flags = STORE_DIRECT,
			.offset = c->ahead.offset[i],
			.iov = &iov[i],
			.niov = 1,
		};
	}
	if (n == 0 || store_submit(c->store, io, n) == 0)
		return;
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; io[k].result && i < (unsigned)io[k].niov; i++)
			c->ahead.offset[first[k] + i] = UINT64_MAX;
}

/* Copies what was read ahead from offset to buf, if it was. */
static bool take_ahead(struct check *c, uint64_t offset, void *buf)
{
	for (unsigned i = 0; i < c->ahead.n; i++)
		if (c->ahead.offset[i] == offset) {
			memcpy(buf, check_buffer(c, BUFFERS + i), PAGE_BYTES);
			return true;
		}
	return false;
}

int check_read_page(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
		    void *buf)
{
	uint64_t offset = page_offset(page, slot_which(slot));
	const struct disk_page *h = buf;
	int err = 0;

	if (c->repair && repair_patched(c, page, buf))
		return 0;
	if (!check_cache_take(c, page, slot, buf) && !take_ahead(c, offset, buf))
		err = store_read(c->store, STORE_DIRECT, offset, buf, PAGE_BYTES);
	if (!err)
		err = page_check(buf, kind, c->super.uuid, offset, &c->g);
	if (err < 0)
		return err;
	if (get32(slot_make(slot_which(slot), get64(h->checksum))) != get32(slot))
		return fail(-EBADMSG, "%s at %" PRIu64 ": not the one that was committed",
			    page_kind_name(kind), offset);
	if (get64(h->generation) > get64(c->super.h.generation))
		return fail(-EUCLEAN,
			    "%s at %" PRIu64 ": written by checkpoint %" PRIu64
			    ", which is yet to come",
			    page_kind_name(kind), offset, get64(h->generation));
	return 0;
}
