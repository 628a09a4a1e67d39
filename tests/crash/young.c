/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * young.c - workloads for commits that write records and their data at once (src/young.h)
 */
#include "directed.h"

#define FILL 16u /* blocks */

static struct subject *volume(struct run *r, unsigned i)
{
	return r->ph->oracle.subject[i];
}

/* The first volume: so many blocks, all written, and all of them durable. */
static int begin_with(struct run *r, unsigned blocks)
{
	TRY(do_create(r, blocks * r->per, 0));
	for (unsigned at = 0; at < blocks; at += 8)
		TRY(do_write(r, volume(r, 0), at * r->per, MIN(blocks - at, 8u) * r->per, 0));
	TRY(do_sync(r));
	return do_checkpoint(r);
}

/* What the last batch vouches for is written in place; flushed, or not, or with a batch before that. */
int young_and_written_in_place(struct run *r)
{
	struct subject *a;

	TRY(begin_with(r, 8));
	a = volume(r, 0);
	TRY(do_snapshot(r, &a, 1, 0));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_write(r, a, 0, r->per, 0));
	TRY(do_flush(r, a));
	if (variant_of(r) == 2) {
		TRY(do_write(r, a, r->per, r->per, 0));
		TRY(do_flush(r, a));
	}
	TRY(do_write(r, a, 0, r->per, 0));
	return variant_of(r) ? do_flush(r, a) : 0;
}

static int flush_other(struct run *r)
{
	return do_flush(r, volume(r, 1));
}

/* A flush of another volume, while a block that the records name is written in place: the write began before the cut. */
int flushed_inside_a_write_in_place(struct run *r)
{
	struct subject *a, *b;

	TRY(begin_with(r, 8));
	TRY(do_create(r, 8 * r->per, 0));
	a = volume(r, 0);
	b = volume(r, 1);
	TRY(do_snapshot(r, &a, 1, 0));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_write(r, a, 0, r->per, 0));
	TRY(do_write(r, b, 0, r->per, 0));
	r->inside = (struct inside){.kinds = IN_WRITE, .body = flush_other};
	TRY(do_write(r, a, 0, r->per, 0));
	r->inside.body = NULL;
	TRY(r->inside.ran ? r->inside.result : found(r, "nothing happened inside the write"));
	return variant_of(r) ? do_flush(r, a) : 0;
}

/* A snapshot needs what was written in place before it; the records after it name other data. */
int snapshot_of_what_was_written_in_place(struct run *r)
{
	struct subject *a;

	TRY(begin_with(r, 8));
	a = volume(r, 0);
	look_from_here(r);
	TRY(do_write(r, a, 0, r->per, 0));
	TRY(do_snapshot(r, &a, 1, COWBD_NO_WAIT));
	TRY(do_write(r, a, r->per, r->per, 0));
	return do_flush(r, a);
}

/* A block comes and goes in one batch, and is taken again when that is durable. */
int named_and_fallen_in_one_batch(struct run *r)
{
	struct subject *a, *d;

	TRY(begin_with(r, 16));
	a = volume(r, 0);
	for (unsigned at = 0; at < 4; at += 2)
		TRY(do_unmap(r, a, at * r->per, 2 * r->per, true, 0));
	TRY(do_commit(r));
	TRY(do_create(r, FILL * r->per, 0));
	d = volume(r, 1);
	look_from_here(r);
	TRY(do_write(r, d, 0, 2 * r->per, 0));
	TRY(do_unmap(r, d, 0, r->per, true, 0));
	TRY(do_flush(r, d));
	for (unsigned at = 2; at < FILL; at += 2)
		TRY(do_write(r, d, at * r->per, 2 * r->per, 0));
	for (unsigned k = 0; k < 2; k++) { /* until the pool is full */
		TRY(do_create(r, FILL * r->per, COWBD_NO_WAIT));
		for (unsigned at = 0; at < FILL; at += 2)
			TRY(do_write(r, volume(r, 2 + k), at * r->per, 2 * r->per, 0));
	}
	return variant_of(r) ? do_flush(r, d) : 0;
}

/* Blocks that were named are durable, and free, by checkpoints alone: the next batch must not vouch for them. */
int named_before_a_checkpoint(struct run *r)
{
	struct subject *a, *d;

	TRY(begin_with(r, 16));
	a = volume(r, 0);
	TRY(do_create(r, FILL * r->per, 0));
	d = volume(r, 1);
	TRY(do_checkpoint(r));
	TRY(do_write(r, d, 0, r->per, 0));
	TRY(do_unmap(r, d, 0, FILL * r->per, true, 0));
	TRY(do_checkpoint(r));
	for (unsigned i = 0; i < 4; i++)
		TRY(do_reclaim(r));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_unmap(r, a, 0, r->per, true, 0));
	TRY(do_write(r, a, 0, r->per, 0));
	TRY(do_flush(r, a));
	for (unsigned k = 0; k < 2; k++) { /* until the pool is full */
		TRY(do_create(r, FILL * r->per, COWBD_NO_WAIT));
		for (unsigned at = 0; at < FILL; at += 2)
			TRY(do_write(r, volume(r, 2 + k), at * r->per, 2 * r->per, 0));
	}
	return variant_of(r) ? do_flush(r, d) : 0;
}
