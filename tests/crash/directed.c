/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * directed.c - workloads written for one danger each; those that need a second thread are in inflight.c
 */
#include "directed.h"

#include <stdio.h>

#include "space_internal.h"

unsigned variant_of(const struct run *r)
{
	return *(const unsigned *)r->opaque;
}

void look_from_here(struct run *r)
{
	(void)store_sim_events(r->ph->store, &r->ph->first);
}

static struct subject *nth(struct run *r, unsigned i)
{
	return r->ph->oracle.subject[i];
}

static struct subject *newest(struct run *r)
{
	return nth(r, r->ph->oracle.nsubjects - 1);
}

static struct subject *some_volume(struct run *r)
{
	struct oracle *o = &r->ph->oracle;

	for (unsigned i = o->nsubjects; i-- > 0;)
		if (o->subject[i]->died == 0 && !o->subject[i]->snapshot)
			return o->subject[i];
	return NULL;
}

/* A volume of so many blocks, all of them written. */
static int full_volume(struct run *r, unsigned blocks, struct subject **ret)
{
	TRY(do_create(r, blocks * r->per, 0));
	*ret = newest(r);
	for (unsigned at = 0; at < blocks; at += 16)
		TRY(do_write(r, *ret, at * r->per, MIN(blocks - at, 16u) * r->per, 0));
	return 0;
}

static int snapshot_one(struct run *r, struct subject *s, unsigned flags, struct subject **ret)
{
	TRY(do_snapshot(r, &s, 1, flags));
	*ret = newest(r);
	return 0;
}

static int clone_one(struct run *r, struct subject *s, unsigned flags, struct subject **ret)
{
	TRY(do_clone(r, s, 1, flags));
	*ret = newest(r);
	return 0;
}

/* ---- the journal --------------------------------------------------------------------------------- */

/* A batch of one record: a block comes and goes. */
static int small_batch(struct run *r, struct subject *s, unsigned i)
{
	TRY(i % 2 ? do_unmap(r, s, 0, r->per, true, 0) : do_write(r, s, 0, r->per, 0));
	return do_flush(r, s);
}

static int journal_wraps_in_a_group(struct run *r)
{
	struct subject *a, *b;
	unsigned i = 0;

	TRY(full_volume(r, 8, &a));
	TRY(full_volume(r, 8, &b));
	TRY(do_checkpoint(r));
	while (journal_room(r->p->e.journal) > journal_ring_bytes(r->p->e.journal) / 2)
		TRY(small_batch(r, a, i++));
	TRY(do_checkpoint(r)); /* the start moves: from here on the head can pass the end */
	while (journal_at(r->p->e.journal).offset <
	       journal_ring_bytes(r->p->e.journal) - (1 + variant_of(r) % 3) * PAGE_BYTES)
		TRY(small_batch(r, a, i++));
	look_from_here(r);
	for (unsigned k = 0; k < 20 + 40 * (variant_of(r) / 3); k++) {
		TRY(do_unmap(r, b, k % 8 * r->per, r->per, true, 0));
		TRY(do_write(r, b, k % 8 * r->per, r->per, 0));
	}
	return do_snapshot(r, (struct subject *[]){a, b}, 2, 0);
}

static int journal_is_full(struct run *r)
{
	struct subject *a;

	TRY(full_volume(r, 8, &a));
	TRY(do_checkpoint(r));
	for (unsigned i = 0; i < 80; i++) {
		if (i == 62 || i == 78)
			look_from_here(r);
		TRY(small_batch(r, a, i));
	}
	return 0;
}

/* So many records wait that they need two batches, and the group is where the first one ends. */
static int groups_fill_batches(struct run *r)
{
	struct journal *j = r->p->e.journal;
	struct subject *a, *b;

	TRY(full_volume(r, 4, &a));
	TRY(full_volume(r, 4, &b));
	for (unsigned i = 0; i < 28; i++)
		TRY(do_snapshot(r, &b, 1, COWBD_NO_WAIT));
	TRY(do_sync(r));
	TRY(do_checkpoint(r));
	while (journal_need(j, journal_cut(j)) < journal_ring_bytes(j) / 4)
		TRY(do_rename(r, a, COWBD_NO_WAIT));
	for (unsigned i = 0; i < 20 + 10 * variant_of(r); i++) /* most of a page */
		TRY(do_rename(r, a, COWBD_NO_WAIT));
	look_from_here(r);
	return do_remove(r, b, 0);
}

/* ---- checkpoints --------------------------------------------------------------------------------- */

static int beside_a_checkpoint(struct run *r)
{
	struct subject *a = nth(r, 0), *c = nth(r, 2);
	unsigned blocks = oracle_sectors(a) / r->per;

	TRY(do_write(r, c, 0, 8 * r->per,
		     0)); /* whole zones, those that the checkpoint finds empty too */
	TRY(do_snapshot(r, (struct subject *[]){a, c}, 2, COWBD_NO_WAIT));
	for (unsigned at = 0; at < blocks; at += 4) /* every leaf is copied */
		TRY(do_write(r, a, at * r->per + 1, 1, 0));
	TRY(do_write(r, c, 8 * r->per, 8 * r->per, 0));
	TRY(do_flush(r, c));
	return do_unmap(r, c, 0, 2 * r->per, true, 0);
}

static int checkpoint_beside_writes(struct run *r)
{
	struct subject *a, *s, *c, *gone;

	TRY(full_volume(r, 24, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(do_create(r, 32 * r->per, 0));
	c = newest(r);
	TRY(do_write(r, c, 0, 16 * r->per, 0));
	TRY(full_volume(r, 8, &gone));
	TRY(do_checkpoint(r));
	TRY(do_unmap(r, c, 0, 16 * r->per, true, 0)); /* their zones become empty */
	TRY(do_write(r, a, 3 * r->per, 2 * r->per, 0));
	TRY(do_remove(r, gone, 0));
	TRY(do_commit(r));
	TRY(do_reclaim(r));
	look_from_here(r);
	r->inside = (struct inside){
		.kinds = IN_WRITE | IN_SYNC, .skip = variant_of(r), .body = beside_a_checkpoint};
	TRY(do_checkpoint(r));
	r->inside.body = NULL;
	if (r->inside.ran)
		TRY(r->inside.result);
	TRY(do_write(r, c, 16 * r->per, 16 * r->per, 0));
	TRY(do_flush(r, c));
	TRY(do_checkpoint(r));
	TRY(do_write(r, a, 0, 16 * r->per, 0)); /* into what came free */
	return do_flush(r, a);
}

/* Block by block: the references fall, where a whole leaf would join the dying list. */
static int trim_slowly(struct run *r, struct subject *s, unsigned blocks)
{
	for (unsigned at = 0; at < blocks; at += 2)
		TRY(do_unmap(r, s, at * r->per, 2 * r->per, true, 0));
	return do_commit(r);
}

/* Before a zone that the cut found empty is merged: it is used again, and left. */
static int use_the_empty_zone(struct run *r)
{
	struct subject *c = newest(r);

	for (unsigned at = 0; at < 32; at += 4)
		TRY(do_write(r, c, at * r->per, 4 * r->per, 0));
	return do_flush(r, c);
}

static int zone_used_since_the_cut(struct run *r)
{
	struct subject *a, *c;

	TRY(full_volume(r, 8, &a));
	TRY(do_create(r, 32 * r->per, 0));
	c = newest(r);
	TRY(do_write(r, c, 0, 32 * r->per, 0));
	TRY(do_checkpoint(r));
	TRY(trim_slowly(r, c, 30)); /* its last zone stays in use */
	look_from_here(r);
	r->inside = (struct inside){
		.kinds = IN_WRITE, .skip = variant_of(r), .body = use_the_empty_zone};
	TRY(do_checkpoint(r));
	r->inside.body = NULL;
	TRY(r->inside.result);
	for (unsigned i = 0; i < 6; i++) /* what is free by mistake is lost */
		TRY(do_give_back(r));
	return do_checkpoint(r);
}

/* After it is merged, and before the checkpoint is committed: pages need a zone. */
static int need_pages(struct run *r)
{
	struct subject *a = nth(r, 0), *s;

	TRY(do_commit(r));
	for (unsigned i = 0; i < 3; i++) {
		TRY(snapshot_one(r, a, COWBD_NO_WAIT, &s));
		for (unsigned at = 0; at < 32; at += 4)
			TRY(do_write(r, a, at * r->per, 1, 0));
	}
	return do_flush(r, a);
}

static int zone_leaves_with_its_checkpoint(struct run *r)
{
	struct subject *a, *c;

	TRY(full_volume(r, 32, &a));
	TRY(full_volume(r, 32, &c));
	TRY(do_checkpoint(r));
	TRY(trim_slowly(r, c, 32));
	look_from_here(r);
	r->inside = (struct inside){
		.kinds = IN_WRITE | IN_SYNC, .skip = 1 + variant_of(r), .body = need_pages};
	TRY(do_checkpoint(r));
	r->inside.body = NULL;
	return r->inside.result;
}

static int dirty_every_leaf(struct run *r, unsigned skip)
{
	for (unsigned i = 0; i < 4; i++)
		for (unsigned at = skip; at < 64; at += 4)
			TRY(do_write(r, nth(r, i), at * r->per, 1, 0));
	return 0;
}

static int change_every_leaf(struct run *r)
{
	TRY(dirty_every_leaf(r, 1));
	return do_commit(r);
}

/* More pages than a checkpoint takes at once: they are changed again before their turn comes. */
static int pages_change_before_they_are_written(struct run *r)
{
	for (unsigned i = 0; i < 4; i++)
		TRY(do_create(r, 64 * r->per, 0));
	TRY(do_checkpoint(r));
	TRY(dirty_every_leaf(r, 0));
	look_from_here(r);
	r->inside = (struct inside){
		.kinds = IN_WRITE, .skip = variant_of(r), .body = change_every_leaf};
	TRY(do_checkpoint(r));
	r->inside.body = NULL;
	return r->inside.ran ? r->inside.result
			     : found(r, "nothing happened inside the checkpoint");
}

/* Leaves that are there change again and again; beside the checkpoint, too. */
static int change_a_leaf(struct run *r)
{
	struct subject *a = nth(r, 0);

	TRY(trim_slowly(r, a, 4));
	TRY(do_write(r, a, 0, 2 * r->per, 0));
	TRY(do_write(r, a, r->per, 3 * r->per, 0));
	return do_flush(r, a);
}

static int checkpoint_cut_short(struct run *r)
{
	struct subject *a;

	TRY(full_volume(r, 8, &a));
	TRY(do_checkpoint(r));
	TRY(change_a_leaf(r));
	TRY(change_a_leaf(r));
	look_from_here(r);
	if (variant_of(r))
		r->inside = (struct inside){
			.kinds = IN_WRITE | IN_SYNC, .skip = variant_of(r), .body = change_a_leaf};
	TRY(do_checkpoint(r));
	r->inside.body = NULL;
	return r->inside.result;
}

static int zone_changes_its_type(struct run *r)
{
	struct subject *a, *b, *s;

	TRY(full_volume(r, 12, &a));
	TRY(full_volume(r, 32, &b));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_unmap(r, a, 0, 12 * r->per, true, COWBD_FUA));
	TRY(do_checkpoint(r));
	TRY(do_checkpoint(r));
	/* pages of copied leaves go where data was; later data where pages were */
	for (unsigned i = 0; i < 3; i++) {
		TRY(snapshot_one(r, b, COWBD_NO_WAIT, &s));
		for (unsigned at = 0; at < 32; at += 4)
			TRY(do_write(r, b, at * r->per, 1, 0));
		TRY(do_remove(r, s, COWBD_NO_WAIT));
		TRY(do_commit(r));
		TRY(do_reclaim(r));
		if (i != variant_of(r))
			TRY(do_checkpoint(r));
	}
	TRY(do_checkpoint(r));
	TRY(do_write(r, a, 0, 12 * r->per, 0));
	return do_flush(r, a);
}

/* ---- deletion, rollback, resize ---------------------------------------------------------------------- */

static int deletion_interrupted(struct run *r)
{
	struct subject *a, *s, *c;

	TRY(full_volume(r, 32, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(clone_one(r, s, 0, &c));
	TRY(do_write(r, c, 0, 16 * r->per, 0));
	TRY(do_checkpoint(r));
	TRY(do_remove(r, s, variant_of(r) & 1 ? COWBD_NO_WAIT : 0));
	look_from_here(r);
	TRY(do_remove(r, a, variant_of(r) & 2 ? COWBD_NO_WAIT : 0));
	for (unsigned i = 0; i < 3; i++) {
		TRY(do_reclaim(r));
		TRY(do_write(r, c, (16 + 4 * i) * r->per, 2 * r->per + 1, 0));
		if (variant_of(r) & 4)
			TRY(do_checkpoint(r));
	}
	TRY(do_flush(r, c));
	TRY(do_checkpoint(r));
	return do_write(r, c, 0, 32 * r->per, COWBD_FUA);
}

static int last_sharer_is_deleted(struct run *r)
{
	struct subject *a, *b, *s;

	TRY(full_volume(r, 16, &a));
	TRY(do_snapshot(r, &a, 1, 0));
	s = newest(r);
	TRY(clone_one(r, s, 0, &b));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_remove(r, s, COWBD_NO_WAIT));
	TRY(do_write(r, b, 0, 2, 0)); /* both still share the page below */
	TRY(do_remove(r, a, variant_of(r) ? COWBD_NO_WAIT : 0));
	TRY(do_write(r, b, 4 * r->per + 3, 1, 0));
	TRY(do_flush(r, b));
	TRY(do_reclaim(r));
	TRY(do_write(r, b, 1 * r->per, r->per, 0));
	TRY(do_checkpoint(r));
	return do_write(r, b, 2, 30, COWBD_FUA);
}

static int rollback_interrupted(struct run *r)
{
	struct subject *a, *s;

	TRY(full_volume(r, 12, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(do_write(r, a, 1, 7 * r->per, 0));
	look_from_here(r);
	TRY(do_rollback(r, s, variant_of(r) % 3, variant_of(r) / 3 ? COWBD_NO_WAIT : 0));
	TRY(do_write(r, a, 3, 5, 0));
	TRY(do_flush(r, a));
	TRY(do_reclaim(r));
	TRY(do_rollback(r, s, KEEP_USUAL, COWBD_NO_WAIT));
	TRY(do_write(r, a, r->per, r->per, 0));
	return do_checkpoint(r);
}

static int resize_interrupted(struct run *r)
{
	struct subject *a, *s;
	unsigned flags = variant_of(r) ? COWBD_NO_WAIT : 0;

	TRY(full_volume(r, 12, &a));
	TRY(snapshot_one(r, a, 0, &s));
	look_from_here(r);
	TRY(do_resize(r, a, 5 * r->per + 3, flags));
	TRY(do_write(r, a, 5 * r->per, 3, 0));
	TRY(do_resize(r, a, 20 * r->per, flags));
	TRY(do_write(r, a, 5 * r->per + 2, 14 * r->per, 0));
	TRY(do_flush(r, a));
	TRY(do_resize(r, a, 70 * r->per, flags));
	TRY(do_write(r, a, 69 * r->per, r->per, COWBD_FUA));
	return do_resize(r, a, 1, flags);
}

/* ---- sharing --------------------------------------------------------------------------------------------- */

static int clones_fault_on_a_shared_page(struct run *r)
{
	struct subject *a, *s, *b, *c;

	TRY(full_volume(r, 8, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(do_clone(r, s, 2, 0));
	c = newest(r);
	b = nth(r, r->ph->oracle.nsubjects - 2);
	TRY(do_checkpoint(r));
	look_from_here(r);
	/* all within one commit */
	TRY(do_write(r, b, 1, 1, 0));
	TRY(do_write(r, c, 2, 1, 0));
	TRY(do_write(r, a, 3, 1, 0));
	if (variant_of(r) & 1)
		TRY(do_remove(r, s, COWBD_NO_WAIT));
	TRY(do_write(r, b, r->per, r->per, 0));
	TRY(do_write(r, c, r->per + 1, 1, 0));
	TRY(do_write(r, a, r->per + 2, 1, 0));
	if (variant_of(r) & 2)
		TRY(do_checkpoint(r));
	TRY(do_flush(r, c));
	TRY(do_write(r, a, r->per + 4, 1, 0));
	return do_flush(r, a);
}

/* b lets go of a block, by a record that is not durable; a is not its only owner yet. */
static int left_to_its_last_owner(struct run *r)
{
	struct subject *a, *b;

	TRY(full_volume(r, 4, &a));
	TRY(clone_one(r, a, 0, &b));
	TRY(do_write(r, b, 3 * r->per, 1, 0)); /* the pages above are each one's own */
	TRY(do_write(r, a, 3 * r->per + 1, 1, 0));
	TRY(do_sync(r));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_write(r, b, 0, r->per, 0));
	TRY(do_write(r, a, 1, 2, 0));
	TRY(variant_of(r) ? do_flush(r, b) : 0);
	TRY(do_unmap(r, b, r->per, r->per, true, 0));
	return do_write(r, a, r->per + 1, 2, 0);
}

static int count_at_its_maximum(struct run *r)
{
	struct subject *a, *s;

	TRY(full_volume(r, 4, &a));
	TRY(snapshot_one(r, a, 0, &s));
	for (unsigned i = 0; i < COUNT_MAX + 4; i++) { /* the last ones are refused */
		if (i == COUNT_MAX - 4 + variant_of(r))
			look_from_here(r);
		TRY(do_snapshot(r, &a, 1, COWBD_NO_WAIT));
		if (i % 10 == 9)
			TRY(do_commit(r));
	}
	TRY(do_write(r, a, 1, 1, 0));
	TRY(do_checkpoint(r));
	TRY(do_remove(r, s, 0));
	TRY(do_snapshot(r, &a, 1, 0));
	return do_write(r, a, r->per, 2, COWBD_FUA);
}

/* ---- full pools ------------------------------------------------------------------------------------------ */

static int pool_full_in_a_fault(struct run *r)
{
	struct subject *a, *s, *b;
	unsigned last = 0;
	bool refused = false;

	TRY(full_volume(r, 16, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(do_create(r, SECTORS_MAX, 0));
	b = newest(r);
	TRY(do_checkpoint(r));
	for (unsigned at = 0; at + 4 * r->per <= SECTORS_MAX && !refused; at += 4 * r->per) {
		unsigned before = r->ph->oracle.nops;

		look_from_here(r);
		TRY(do_write(r, b, at, 4 * r->per, 0));
		refused = r->ph->oracle.op[before].ack == SIZE_MAX;
		last = refused ? last : at;
	}
	TRY(do_sync(r));
	look_from_here(r);
	TRY(do_unmap(r, b, last, 2 * r->per, true, 0)); /* in a zone that is allocated from */
	TRY(do_write(r, b, last + 4 * r->per, 2 * r->per, 0));
	TRY(do_write(r, a, 3, 2 * r->per, 0)); /* of a shared block a part */
	TRY(do_write(r, a, 0, 16 * r->per, 0));
	TRY(do_remove(r, s, 0)); /* always works */
	TRY(do_write(r, a, 3, 2 * r->per, 0));
	return do_flush(r, a);
}

/* A zone has free blocks, and one that fell by a record that is not durable. */
static int freed_and_taken_at_once(struct run *r)
{
	struct subject *c, *d;

	TRY(full_volume(r, 16, &c));
	TRY(do_sync(r));
	TRY(trim_slowly(r, c, 4));
	TRY(do_create(r, 16 * r->per, 0));
	d = newest(r);
	look_from_here(r);
	TRY(do_unmap(r, c, 4 * r->per, 2 * r->per, true, 0));
	TRY(do_write(r, d, 0, 8 * r->per, 0));
	return do_flush(r, d);
}

/* What the run used again, replay needs anew: it must not take the zones that later records name. */
static int replay_without_a_free_zone(struct run *r)
{
	struct subject *a, *v;

	TRY(full_volume(r, 8, &a));
	TRY(do_create(r, SECTORS_MAX, 0));
	v = newest(r);
	TRY(do_checkpoint(r));
	for (unsigned i = 0; i < 150 + 50 * variant_of(r);
	     i++) { /* pages of the catalog come and go */
		TRY(do_create(r, r->per, COWBD_NO_WAIT));
		TRY(do_remove(r, newest(r), COWBD_NO_WAIT));
		if (i % 8 == 7)
			TRY(do_commit(r));
	}
	look_from_here(r);
	for (unsigned at = 0; at + 8 * r->per <= SECTORS_MAX && at < 24 * r->per; at += 8 * r->per)
		TRY(do_write(r, v, at, 8 * r->per, 0));
	return do_flush(r, v);
}

/* ---- kills ---------------------------------------------------------------------------------------------- */

/* Dies with the batch on the disk and not durable; what its records let go of must wait. */
static int killed_with_a_journal_write_in_flight(struct run *r)
{
	struct subject *a, *s, *b;

	TRY(full_volume(r, 8, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(clone_one(r, s, 0, &b));
	TRY(do_checkpoint(r));
	TRY(do_write(r, b, 0, 2 * r->per, 0));
	TRY(do_remove(r, s, COWBD_NO_WAIT));
	r->die = (struct die){.kinds = IN_JOURNAL, .skip = variant_of(r), .in_flight = true};
	look_from_here(r);
	TRY(do_flush(r, b));
	TRY(do_write(r, a, 0, 2 * r->per, COWBD_FUA));
	TRY(do_write(r, b, 4 * r->per, r->per, COWBD_FUA));
	TRY(do_write(r, b, 6 * r->per, r->per, 0));
	TRY(do_flush(r, b));
	return do_checkpoint(r);
}

/* What was acknowledged is in the tail alone. */
static int killed_before_a_flush(struct run *r)
{
	struct subject *a, *s;

	TRY(full_volume(r, 8, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(do_checkpoint(r));
	TRY(do_write(r, a, 1, 3 * r->per, 0));
	TRY(do_create(r, 5 * r->per, COWBD_NO_WAIT));
	TRY(do_remove(r, s, COWBD_NO_WAIT));
	/* or with the batch and its data on the way to the disk */
	r->die = (struct die){.kinds = variant_of(r) ? IN_SYNC : IN_WRITE | IN_SYNC};
	look_from_here(r);
	return do_flush(r, a);
}

/* Nothing to replay: what was written in place is in the page cache alone, and a flush in the next session must
 * cover it. */
static int written_in_place_and_killed(struct run *r)
{
	struct subject *a;

	TRY(full_volume(r, 8, &a));
	TRY(do_checkpoint(r));
	TRY(do_write(r, a, 1, 3 * r->per, 0));
	r->die = (struct die){.kinds = IN_WRITE};
	look_from_here(r);
	return do_write(r, a, 7 * r->per, 1, 0);
}

/* B lets go of blocks that A shares, and only the tail says so.  In the next session A owns them alone: what it
 * writes in place must not come to be B's, though the tail is gone with the power. */
static int let_go_in_the_tail(struct run *r)
{
	struct subject *a, *b;

	TRY(full_volume(r, 4, &a));
	TRY(clone_one(r, a, 0, &b));
	TRY(do_write(r, b, 3 * r->per, 1, 0)); /* the pages above are each one's own */
	TRY(do_write(r, a, 3 * r->per + 1, 1, 0));
	TRY(do_sync(r));
	TRY(do_checkpoint(r));
	look_from_here(r);
	if (variant_of(r) == 0)
		TRY(do_write(r, b, 0, 2 * r->per, 0));
	else if (variant_of(r) == 1)
		TRY(do_unmap(r, b, 0, 2 * r->per, true, 0));
	else
		TRY(do_remove(r, b, COWBD_NO_WAIT));
	r->die = (struct die){.kinds = IN_WRITE};
	return do_write(r, a, 3 * r->per, 1, 0);
}

static int all_write_in_place(struct run *r)
{
	struct oracle *o = &r->ph->oracle;

	for (unsigned i = 0; i < o->nsubjects; i++)
		if (o->subject[i]->died == 0 && !o->subject[i]->snapshot)
			for (unsigned block = 0; block < 3; block++)
				TRY(do_write(r, o->subject[i], block * r->per + 1, 2, 0));
	return do_reclaim(r);
}

static int flush_what_is_there(struct run *r)
{
	struct subject *a = some_volume(r);

	if (!a)
		return 0;
	TRY(do_flush(r, a));
	TRY(do_write(r, a, 0, 1, 0));
	TRY(do_flush(r, a));
	return do_checkpoint(r);
}

static int killed_in_a_checkpoint(struct run *r)
{
	struct subject *a, *s, *c;

	TRY(full_volume(r, 12, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(clone_one(r, s, 0, &c));
	TRY(do_write(r, c, 0, 4 * r->per, 0));
	look_from_here(r);
	r->die = (struct die){
		.kinds = IN_WRITE | IN_SYNC, .skip = variant_of(r), .in_flight = variant_of(r) & 1};
	TRY(do_remove(r, s, COWBD_NO_WAIT));
	TRY(do_checkpoint(r));
	r->die = (struct die){
		.kinds = IN_WRITE | IN_SYNC, .skip = 9 - variant_of(r) % 8, .in_flight = true};
	TRY(do_write(r, a, 0, 5 * r->per, 0));
	TRY(do_reclaim(r));
	return do_checkpoint(r);
}

static int checkpoint_again(struct run *r)
{
	struct subject *a = some_volume(r);

	if (!a)
		return 0;
	TRY(do_write(r, a, 1, 2 * r->per, 0));
	TRY(do_reclaim(r));
	TRY(do_snapshot(r, &a, 1, COWBD_NO_WAIT));
	TRY(do_write(r, a, 0, 1, 0));
	return do_checkpoint(r);
}

/* ---- readers ---------------------------------------------------------------------------------------------- */

/* While a reader of b looks at the block that a and b share: b lets go of it, durably, and a writes. */
static int the_other_sharer_writes(struct run *r)
{
	struct subject *a = nth(r, 0), *b = newest(r);

	TRY(do_write(r, b, 0, r->per, 0));
	TRY(do_flush(r, b));
	return do_write(r, a, 0, r->per, 0);
}

static int slow_reader_and_owner(struct run *r)
{
	struct subject *a, *s, *b;

	TRY(full_volume(r, 4, &a));
	TRY(snapshot_one(r, a, 0, &s));
	TRY(clone_one(r, s, 0, &b));
	TRY(do_remove(r, s, 0));
	TRY(do_checkpoint(r));
	TRY(do_reclaim(r));
	TRY(do_checkpoint(r));
	TRY(do_write(r, a, 3 * r->per, 1, 0)); /* the pages above are each one's own */
	TRY(do_write(r, b, 3 * r->per, 1, 0));
	TRY(do_commit(r));
	look_from_here(r);
	r->inside = (struct inside){.kinds = IN_READ, .body = the_other_sharer_writes};
	TRY(do_read(r, b, 0, r->per));
	TRY(r->inside.ran ? r->inside.result : found(r, "nothing happened inside the read"));
	return do_flush(r, a);
}

/* While it looks at a block: the volume lets go of it, durably, and others take all the space they find. */
static int others_take_the_space(struct run *r)
{
	struct subject *a = nth(r, 0);

	TRY(do_unmap(r, a, 0, 4 * r->per, true, 0));
	TRY(do_flush(r, a));
	TRY(do_create(r, 40 * r->per, 0));
	for (unsigned at = 0; at < 40; at += 4)
		TRY(do_write(r, newest(r), at * r->per, 4 * r->per, 0));
	return 0;
}

static int slow_reader_and_reuse(struct run *r)
{
	struct subject *a;

	TRY(full_volume(r, 4, &a));
	TRY(do_create(r, r->per, 0));
	TRY(do_write(r, newest(r), 0, r->per, 0)); /* the cursor leaves a's zone, if it can */
	TRY(do_reopen(r));
	look_from_here(r);
	r->inside = (struct inside){.kinds = IN_READ, .skip = 0, .body = others_take_the_space};
	TRY(do_read(r, a, 0, 4 * r->per));
	return r->inside.ran ? r->inside.result : found(r, "nothing happened inside the read");
}

/* ---- forged pages ---------------------------------------------------------------------------------------- */

/* Is the word that the guest wrote in every sector of this zone to be found in the image, in a zone of metadata? */
static int look_for_forged(struct run *r, uint64_t least, uint64_t most)
{
	static uint64_t zone[ZONE_BYTES / 8];

	for (uint64_t z = 0; z < r->p->e.geo.zones; z++) {
		struct zone_info *info;

		if (!zone_in_group(&r->p->e.geo, z) || zone_index(&r->p->e.geo, z) == 0 ||
		    !(info = zones_info(r->p->e.space, z)) || info->type != ZONE_META)
			continue;
		TRY(store_read(r->ph->store, 0, z * ZONE_BYTES, zone, sizeof zone));
		for (unsigned i = 0; i < ARRAY_SIZE(zone); i++)
			if (zone[i] >= least && zone[i] <= most)
				return found(r,
					     "zone %" PRIu64
					     " is metadata, and holds a guest's data at %zu",
					     z, i * sizeof zone[0]);
	}
	return 0;
}

static int data_becomes_metadata(struct run *r)
{
	struct subject *a, *b, *s;
	uint64_t least, most;

	TRY(full_volume(r, 32, &b));
	least = r->ph->oracle.last_token + 1;
	TRY(full_volume(r, 32, &a));
	most = r->ph->oracle.last_token;
	TRY(do_unmap(r, a, 0, 32 * r->per, true, COWBD_FUA));
	TRY(do_checkpoint(r));
	TRY(do_checkpoint(r));
	for (unsigned i = 0; i < 7; i++) {
		TRY(snapshot_one(r, b, COWBD_NO_WAIT, &s));
		for (unsigned at = 0; at < 32; at += 4)
			TRY(do_write(r, b, at * r->per, 1, 0));
		TRY(do_commit(r));
		TRY(look_for_forged(r, least, most));
	}
	look_from_here(r);
	TRY(do_checkpoint(r));
	return look_for_forged(r, least, most);
}

/* ---- growth ----------------------------------------------------------------------------------------------- */

static int grown_and_cut(struct run *r)
{
	struct subject *a;

	TRY(full_volume(r, 8, &a));
	look_from_here(r);
	TRY(do_grow(r, 1 + variant_of(r)));
	TRY(do_write(r, a, 0, 2 * r->per, 0));
	return do_flush(r, a);
}

/* ---- moving --------------------------------------------------------------------------------------- */

/* Large writes put scattered blocks side by side; another volume takes their old places as soon as it may.
 * Between the writes: nothing, a snapshot, a flush, a checkpoint. */
static int scattered_and_moved(struct run *r)
{
	struct subject *a, *b, *s;
	uint64_t moved = r->p->e.stats.blocks_moved;

	TRY(full_volume(r, 16, &a));
	TRY(snapshot_one(r, a, 0, &s));
	for (unsigned i = 0; i < 16; i++) /* first writes, in an order that scatters them */
		TRY(do_write(r, a, i * 5 % 16 * r->per, r->per, 0));
	TRY(do_remove(r, s, 0));
	TRY(do_commit(r));
	TRY(do_reclaim(r));
	TRY(do_checkpoint(r));
	look_from_here(r);
	TRY(do_write(r, a, 0, 8 * r->per, 0));
	if (variant_of(r) == 1)
		TRY(snapshot_one(r, a, COWBD_NO_WAIT, &s));
	else if (variant_of(r) == 2)
		TRY(do_flush(r, a));
	else if (variant_of(r) == 3)
		TRY(do_checkpoint(r));
	TRY(do_write(r, a, 6 * r->per, 10 * r->per, 0));
	if (r->p->e.stats.blocks_moved == moved)
		return fail(-EINVAL, "nothing was moved");
	TRY(full_volume(r, 24, &b));
	TRY(do_write(r, a, 0, 2 * r->per, 0));
	TRY(do_commit(r));
	TRY(do_write(r, b, 0, 24 * r->per, 0));
	return do_flush(r, a);
}

/* ---- scrubs ----------------------------------------------------------------------------------------------- */

/* Checksums come, are used, and go with their zones; beside that, what they are of changes hands. */
static int scrubbed_and_cut(struct run *r)
{
	struct subject *a, *c, *s, *t;

	TRY(full_volume(r, 20, &a));
	TRY(full_volume(r, 8, &c));
	TRY(snapshot_one(r, a, 0, &s));
	look_from_here(r);
	TRY(do_scrub(r));
	TRY(do_write(r, a, 0, 3 * r->per, 0));
	TRY(snapshot_one(r, a, COWBD_NO_WAIT, &t));
	TRY(do_write(r, c, 0, 2 * r->per, 0));
	TRY(do_scrub(r));
	TRY(do_remove(r, s, COWBD_NO_WAIT));
	for (unsigned i = 0; i < 4; i++)
		TRY(do_reclaim(r));
	TRY(do_checkpoint(r));
	TRY(do_write(r, c, 2 * r->per, 5 * r->per, 0)); /* where s had its own */
	TRY(do_remove(r, t, 0));
	TRY(do_write(r, a, 0, 4 * r->per, 0)); /* in place, where checksums were made */
	TRY(snapshot_one(r, a, COWBD_NO_WAIT, &s));
	TRY(do_scrub(r));
	TRY(do_unmap(r, a, 0, 20 * r->per, true, 0));
	TRY(do_remove(r, s, 0));
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < 3; k++)
			TRY(do_reclaim(r));
		TRY(do_checkpoint(r)); /* zones without blocks, then without checksums, then free */
	}
	TRY(do_write(r, c, 0, 8 * r->per, 0));
	return do_scrub(r);
}

const struct directed directed_scripts[] = {
	{"journal-wraps-in-a-group", 4096, 14, 4, 0, journal_wraps_in_a_group, NULL},
	{"journal-is-full", 4096, 14, 1, 0, journal_is_full, NULL},
	{"groups-fill-batches", 4096, 14, 2, 0, groups_fill_batches, NULL},
	{"checkpoint-beside-writes", 16384, 34, 10, 0, checkpoint_beside_writes, NULL},
	{"checkpoint-cut-short", 8192, 14, 3, 0, checkpoint_cut_short, NULL},
	{"zone-used-since-the-cut", 16384, 24, 2, 0, zone_used_since_the_cut, NULL},
	{"zone-leaves-with-its-checkpoint", 16384, 30, 3, 0, zone_leaves_with_its_checkpoint, NULL},
	{"zone-changes-its-type", 16384, 26, 3, 0, zone_changes_its_type, NULL},
	{"deletion-interrupted", 8192, 16, 8, 0, deletion_interrupted, checkpoint_again},
	{"last-sharer-is-deleted", 8192, 14, 2, 0, last_sharer_is_deleted, NULL},
	{"rollback-interrupted", 8192, 14, 6, 0, rollback_interrupted, NULL},
	{"resize-interrupted", 4096, 14, 2, 0, resize_interrupted, NULL},
	{"clones-fault-on-a-shared-page", 8192, 14, 4, 0, clones_fault_on_a_shared_page, NULL},
	{"left-to-its-last-owner", 8192, 14, 2, 0, left_to_its_last_owner, NULL},
	{"count-at-its-maximum", 4096, 14, 2, 0, count_at_its_maximum, NULL},
	{"pool-full-in-a-fault", 16384, 12, 1, 0, pool_full_in_a_fault, NULL},
	{"freed-and-taken-at-once", 16384, 16, 1, 0, freed_and_taken_at_once, NULL},
	{"replay-without-a-free-zone", 16384, 16, 4, 0, replay_without_a_free_zone, NULL},
	{"killed-with-a-journal-write-in-flight", 8192, 14, 3, 1,
	 killed_with_a_journal_write_in_flight, checkpoint_again},
	{"killed-before-a-flush", 8192, 14, 2, 1, killed_before_a_flush, checkpoint_again},
	{"let-go-in-the-tail", 8192, 14, 3, 1, let_go_in_the_tail, all_write_in_place},
	{"pages-change-before-they-are-written", 4096, 30, 2, 0,
	 pages_change_before_they_are_written, NULL},
	{"written-in-place-and-killed", 8192, 14, 1, 1, written_in_place_and_killed,
	 flush_what_is_there},
	{"killed-in-a-checkpoint", 8192, 14, 8, 2, killed_in_a_checkpoint, checkpoint_again},
	{"slow-reader-and-owner", 8192, 14, 1, 0, slow_reader_and_owner, NULL},
	{"slow-reader-and-reuse", 8192, 14, 1, 0, slow_reader_and_reuse, NULL},
	{"data-becomes-metadata", 16384, 26, 1, 0, data_becomes_metadata, NULL},
	{"grown-and-cut", 8192, 12, 2, 0, grown_and_cut, NULL},
	{"scattered-and-moved", 4096, 30, 4, 0, scattered_and_moved, NULL},
	{"scrubbed-and-cut", 8192, 24, 1, 0, scrubbed_and_cut, NULL},
	{"young-and-written-in-place", 8192, 14, 3, 0, young_and_written_in_place, NULL},
	{"flushed-inside-a-write-in-place", 8192, 14, 2, 0, flushed_inside_a_write_in_place, NULL},
	{"snapshot-of-what-was-written-in-place", 8192, 14, 1, 0,
	 snapshot_of_what_was_written_in_place, NULL},
	{"named-and-fallen-in-one-batch", 16384, 16, 2, 0, named_and_fallen_in_one_batch, NULL},
	{"named-before-a-checkpoint", 16384, 16, 2, 0, named_before_a_checkpoint, NULL},
	{NULL, 0, 0, 0, 0, NULL, NULL},
};

const struct directed *directed_find(const char *name)
{
	for (const struct directed *d = directed_scripts; d->name; d++)
		if (strcmp(d->name, name) == 0)
			return d;
	for (const struct directed *d = directed_threads; d->name; d++)
		if (strcmp(d->name, name) == 0)
			return d;
	return NULL;
}
