/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * young.c - data that became durable together with the records that map it
 */
#include "young.h"

#include "engine.h"

void young_name(struct engine *e, uint64_t first, uint64_t n)
{
	struct young *y = &e->young;

	if (n > YOUNG_MAX - y->named.n || (y->named.n + n) << e->geo.block_shift > YOUNG_BYTES)
		y->long_way = true;
	for (uint64_t i = 0; i < n && !y->long_way; i++)
		y->named.block[y->named.n++] = first + i;
}

void young_long_way(struct engine *e)
{
	if (!MUTANT("short-way-any-data"))
		e->young.long_way = true;
}

static bool has(const struct young_set *set, uint64_t first, uint64_t n)
{
	for (unsigned i = 0; i < set->n; i++)
		if (set->block[i] - first < n)
			return true;
	return false;
}

void young_fall(struct engine *e, uint64_t block)
{
	if (has(&e->young.named, block, 1) && !MUTANT("sum-of-fallen"))
		e->young.long_way = true;
}

bool young_any(const struct engine *e, uint64_t first, uint64_t n)
{
	return (has(&e->young.ahead, first, n) || has(&e->young.written, first, n)) &&
	       !MUTANT("young-in-place");
}

void young_cut_off(struct engine *e)
{
	if (e->young.named.n && !MUTANT("named-before-checkpoint"))
		e->young.long_way = true;
}

bool young_cut(struct engine *e, bool few, uint64_t *ret_tag)
{
	struct young *y = &e->young;
	/* data that is not in the page cache would have to come from the disk again */
	bool may = few && !y->long_way && e->store->data_align == 1;

	if (may) {
		y->ahead = y->named; /* [YOUNG-2] */
		*ret_tag = epoch_close(&e->writers);
	}
	y->named.n = 0;
	y->long_way = false;
	return may;
}

bool young_sums(struct engine *e, uint64_t tag, struct journal_sum sums[YOUNG_MAX], unsigned *ret_n)
{
	const struct young_set *set = &e->young.ahead; /* nobody else's round runs */
	uint64_t bytes = e->geo.block_bytes;
	struct store_range range[YOUNG_MAX];
	struct store_io io[YOUNG_MAX];
	struct iovec iov[YOUNG_MAX];
	CLEANUP_FREE uint8_t *data = NULL;

	*ret_n = set->n;
	if (!epoch_drained(&e->writers, tag) && !MUTANT("sum-under-writer")) /* [YOUNG-2] */
		return false;
	if (set->n == 0)
		return true;
	data = aligned_alloc(PAGE_BYTES, set->n * bytes);
	if (!data)
		return false;
	for (unsigned i = 0; i < set->n; i++) {
		uint64_t at = set->block[i] * bytes;

		range[i] = (struct store_range){at, bytes};
		iov[i] = (struct iovec){data + i * bytes, bytes};
		io[i] = (struct store_io){.offset = at, .iov = &iov[i], .niov = 1};
	}
	if (store_submit(e->store, io, set->n) < 0)
		return false;
	for (unsigned i = 0; i < set->n; i++)
		sums[i] = (struct journal_sum){set->block[i],
					       batch_sum(data + i * bytes, &e->geo, set->block[i],
							 e->super.uuid)};
	store_write_back(e->store, range, set->n); /* it goes on while the batch is written */
	return true;
}

void young_committed(struct engine *e)
{
	e->young.written.n = 0;
}

void young_durable(struct engine *e, bool short_way)
{
	struct young *y = &e->young;

	y->written.n = 0;
	if (short_way)
		y->written = y->ahead;
	y->ahead.n = 0;
}
