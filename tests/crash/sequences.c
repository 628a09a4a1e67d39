/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sequences.c - all short sequences of operations on two related volumes
 */
#include "sequences.h"

#include <stdio.h>

#include "run.h"

#define BLOCK 8192u
#define PER (BLOCK / SECTOR)
#define BLOCKS 10u

/* ---- letters ------------------------------------------------------------------------------- */

static struct subject *a(struct run *r)
{
	return r->ph->oracle.subject[0];
}

static struct subject *snapshot_of_a(struct run *r)
{
	return r->ph->oracle.subject[1];
}

static struct subject *b(struct run *r)
{
	return r->ph->oracle.subject[2];
}

static bool is_there(const struct subject *s)
{
	return s->died == 0;
}

/* The range is cut to what the volume has now. */
static int write_at(struct run *r, struct subject *s, unsigned first, unsigned n, unsigned flags)
{
	unsigned size = oracle_sectors(s);

	if (!is_there(s) || first >= size)
		return 0;
	return do_write(r, s, first, MIN(n, size - first), flags);
}

static int unmap_at(struct run *r, struct subject *s, unsigned first, unsigned n, bool trim)
{
	unsigned size = oracle_sectors(s);

	if (!is_there(s) || first >= size)
		return 0;
	return do_unmap(r, s, first, MIN(n, size - first), trim, 0);
}

static int sector_0(struct run *r)
{
	return write_at(r, a(r), PER + 3, 1, 0);
}

static int sector_1(struct run *r)
{
	return write_at(r, b(r), 5 * PER, 1, 0);
}

static int block_0(struct run *r)
{
	return write_at(r, a(r), 2 * PER, PER, 0);
}

static int block_1(struct run *r)
{
	return write_at(r, b(r), 8 * PER, PER, 0);
}

static int edge_0(struct run *r)
{
	return write_at(r, a(r), 4 * PER - 3, 6, 0); /* of a leaf, too */
}

static int edge_1(struct run *r)
{
	return write_at(r, b(r), 2 * PER - 1, 2, 0);
}

static int trim_0(struct run *r)
{
	return unmap_at(r, a(r), PER, 2 * PER, true);
}

static int trim_1(struct run *r)
{
	return unmap_at(r, b(r), 0, 8 * PER, true); /* whole leaves */
}

static int zero_0(struct run *r)
{
	return unmap_at(r, a(r), 3, PER, false);
}

static int zero_1(struct run *r)
{
	return unmap_at(r, b(r), 4 * PER, 4 * PER, false);
}

static int flush_0(struct run *r)
{
	return is_there(a(r)) ? do_flush(r, a(r)) : 0;
}

static int flush_1(struct run *r)
{
	return is_there(b(r)) ? do_flush(r, b(r)) : 0;
}

static int fua_0(struct run *r)
{
	return write_at(r, a(r), 6 * PER + 1, 2, COWBD_FUA);
}

static int fua_1(struct run *r)
{
	return write_at(r, b(r), 9 * PER, PER, COWBD_FUA);
}

static int snapshot_0(struct run *r)
{
	struct subject *one[] = {a(r)};

	return is_there(one[0]) ? do_snapshot(r, one, 1, 0) : 0;
}

static int snapshot_1(struct run *r)
{
	struct subject *one[] = {b(r)};

	return is_there(one[0]) ? do_snapshot(r, one, 1, COWBD_NO_WAIT) : 0;
}

static int group(struct run *r, unsigned flags)
{
	struct subject *both[] = {a(r), b(r)};

	return is_there(both[0]) && is_there(both[1]) ? do_snapshot(r, both, 2, flags) : 0;
}

static int group_0(struct run *r)
{
	return group(r, 0);
}

static int group_1(struct run *r)
{
	return group(r, COWBD_NO_WAIT);
}

static int clone_0(struct run *r)
{
	return is_there(snapshot_of_a(r)) ? do_clone(r, snapshot_of_a(r), 1, 0) : 0;
}

static int clone_1(struct run *r)
{
	return is_there(b(r)) ? do_clone(r, b(r), 2, COWBD_NO_WAIT) : 0;
}

static int rollback_0(struct run *r)
{
	return is_there(snapshot_of_a(r)) ? do_rollback(r, snapshot_of_a(r), KEEP_USUAL, 0) : 0;
}

static int rollback_1(struct run *r)
{
	return is_there(snapshot_of_a(r))
		       ? do_rollback(r, snapshot_of_a(r), KEEP_NOTHING, COWBD_NO_WAIT)
		       : 0;
}

static int delete_0(struct run *r)
{
	return is_there(snapshot_of_a(r)) ? do_remove(r, snapshot_of_a(r), 0) : 0;
}

static int delete_1(struct run *r)
{
	return is_there(b(r)) && is_there(a(r)) ? do_remove(r, b(r), COWBD_NO_WAIT) : 0;
}

static int resize_0(struct run *r)
{
	return is_there(a(r)) ? do_resize(r, a(r), 3 * PER + 1, 0) : 0;
}

static int resize_1(struct run *r)
{
	return is_there(b(r)) ? do_resize(r, b(r), 20 * PER, COWBD_NO_WAIT)
			      : 0; /* one level more */
}

static int checkpoint_1(struct run *r)
{
	return do_sync(r);
}

static int reclaim_1(struct run *r)
{
	int err = do_commit(r);

	return err < 0 ? err : do_reclaim(r);
}

static const struct {
	const char *name;
	op_body body;
} letters[] = {
	{"sector a", sector_0},
	{"sector b", sector_1},
	{"block a", block_0},
	{"block b", block_1},
	{"edge a", edge_0},
	{"edge b", edge_1},
	{"trim a", trim_0},
	{"trim b", trim_1},
	{"zero a", zero_0},
	{"zero b", zero_1},
	{"flush a", flush_0},
	{"flush b", flush_1},
	{"fua a", fua_0},
	{"fua b", fua_1},
	{"snapshot a", snapshot_0},
	{"snapshot b", snapshot_1},
	{"group", group_0},
	{"group, no wait", group_1},
	{"clone a@s", clone_0},
	{"clone b twice", clone_1},
	{"roll a back", rollback_0},
	{"roll a back, discarding", rollback_1},
	{"delete a@s", delete_0},
	{"delete b", delete_1},
	{"shrink a", resize_0},
	{"grow b", resize_1},
	{"checkpoint", do_checkpoint},
	{"sync", checkpoint_1},
	{"reclaim", do_reclaim},
	{"commit, reclaim", reclaim_1},
};

/* ---- the pool they begin with ------------------------------------------------------------------ */

static int prepare(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *one[1];
	int err;

	if ((err = do_create(r, BLOCKS * PER, 0)) < 0 ||
	    (err = do_write(r, o->subject[0], 0, 8 * PER, 0)) < 0)
		return err;
	one[0] = o->subject[0];
	if ((err = do_snapshot(r, one, 1, 0)) < 0 || (err = do_clone(r, o->subject[1], 1, 0)) < 0)
		return err;
	/* both have blocks of their own, and share the others */
	if ((err = do_write(r, o->subject[0], 2 * PER, PER, 0)) < 0 ||
	    (err = do_write(r, o->subject[2], 5 * PER, 2 * PER, 0)) < 0)
		return err;
	return do_reopen(r);
}

int sequence_prepare(const char *dir, struct store **ret_store, char *why, size_t len)
{
	const struct settings set = {.seed = 3, .dir = dir};
	const struct sim_options record = {.seed = 3, .record = true};
	struct store *s, *plain;
	struct phase ph;
	size_t n;
	int r = pool_make(3, 12, BLOCK, &s, why, len);

	if (r < 0)
		return r;
	r = phase_run(&set, prepare, NULL, s, &ph, why, len);
	if (r == 0) {
		(void)store_sim_events(ph.store, &n);
		if (store_sim_replay(ph.store, n, NULL, 0, NULL, &plain) < 0 ||
		    store_sim_copy(plain, &record, ret_store) < 0)
			abort();
		store_close(plain);
	}
	phase_fini(&ph);
	return r;
}

/* ---- running ------------------------------------------------------------------------------------- */

struct sequence {
	uint64_t number;
	unsigned n;
	size_t last;
};

uint64_t sequence_count(unsigned n)
{
	uint64_t count = 1;

	while (n--)
		count *= ARRAY_SIZE(letters);
	return count;
}

void sequence_name(uint64_t number, unsigned n, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < n && at < len; i++, number /= ARRAY_SIZE(letters))
		at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? "; " : "",
				       letters[number % ARRAY_SIZE(letters)].name);
}

static int run_letters(struct run *r)
{
	struct sequence *q = r->opaque;
	uint64_t number = q->number;
	int err = 0;

	/* oracle_adopt lists by id: the order in which they were made */
	for (unsigned i = 0; i < q->n && err == 0; i++, number /= ARRAY_SIZE(letters)) {
		(void)store_sim_events(r->ph->store, &q->last);
		err = letters[number % ARRAY_SIZE(letters)].body(r);
	}
	return err;
}

int sequence_run(uint64_t number, unsigned n, const struct settings *set, struct store *s,
		 struct phase *ph, size_t *ret_last, char *why, size_t len)
{
	struct sequence q = {.number = number, .n = n};
	int r = phase_run(set, run_letters, &q, s, ph, why, len);

	*ret_last = q.last;
	return r;
}
