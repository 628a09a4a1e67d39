/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * workload.c - seeded random sequences of operations on a pool of the tiny engine
 */
#include <stdio.h>

#include "run.h"

static unsigned wait_flag(struct run *r)
{
	return below(r, 2) ? COWBD_NO_WAIT : 0;
}

/* ---- choosing what an operation is about --------------------------------------------------------- */

static int op_write(struct run *r, unsigned flags)
{
	struct subject *s = subject_choose(r, false, true);
	unsigned per = r->per, size, first, n;

	if (!s)
		return 0;
	size = oracle_sectors(s);
	if (below(r, 3)) /* mostly the same few blocks */
		size = MIN(size, (r->set->seed % 2 ? 1 : 3) * per);
	switch (below(r, 3)) {
	case 0: /* one sector */
		first = below(r, size);
		n = 1;
		break;
	case 1: /* blocks */
		first = below(r, MAX(size / per, 1u)) * per;
		n = (1 + below(r, below(r, 4) ? 3 : 12)) * per;
		break;
	default: /* across an edge */
		first = below(r, size);
		n = 2 + below(r, 2 * per);
		break;
	}
	return do_write(r, s, first, MIN(n, size - first), flags);
}

static int op_zero_or_trim(struct run *r, bool trim, unsigned flags)
{
	struct subject *s = subject_choose(r, false, true);
	unsigned per = r->per, size, first, n;

	if (!s)
		return 0;
	size = oracle_sectors(s);
	first = below(r, below(r, 2) ? size : MIN(size, 3 * per));
	n = below(r, 3) ? 1 + below(r, 4 * per) : 1 + below(r, size);
	n = MIN(n, size - first);
	if (below(r, 2)) { /* whole blocks */
		first = first / per * per;
		n = MIN((n + per - 1) / per * per, size - first);
	}
	return do_unmap(r, s, first, n, trim, flags);
}

static int op_flush(struct run *r)
{
	struct subject *s = subject_choose(r, false, true);

	return s ? do_flush(r, s) : 0;
}

static int op_create(struct run *r)
{
	unsigned sectors, per = r->per, flags = wait_flag(r);

	if (subject_count(&r->ph->oracle, false, true) >= VOLUMES_MAX)
		return 0;
	sectors = r->set->seed % 2 ? (1 + below(r, 3)) * per
				   : (4 + below(r, below(r, 4) ? 6 : 36)) * per;
	sectors = MIN(SECTORS_MAX, sectors);
	if (below(r, 4) == 0)
		sectors -= below(r, per);
	return do_create(r, sectors, flags);
}

static int op_snapshot(struct run *r, bool group)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *volume[2] = {subject_choose(r, false, true),
				     group ? subject_choose(r, false, true) : NULL};
	unsigned n = volume[1] && volume[1] != volume[0] ? 2 : 1, flags = wait_flag(r);

	if (!volume[0] || subject_count(o, true, true) + n > OBJECTS_MAX)
		return 0;
	return do_snapshot(r, volume, n, flags);
}

static int op_clone(struct run *r)
{
	struct subject *s = subject_choose(r, true, below(r, 3) == 0);
	unsigned n = 1 + (below(r, 4) == 0), flags = wait_flag(r);

	if (!s || subject_count(&r->ph->oracle, false, true) + n > VOLUMES_MAX)
		return 0;
	return do_clone(r, s, n, flags);
}

static int op_rollback(struct run *r)
{
	struct subject *s = subject_choose(r, true, false);
	unsigned flags = wait_flag(r), how = below(r, 3);

	if (!s || subject_count(&r->ph->oracle, true, true) >= OBJECTS_MAX)
		return 0;
	return do_rollback(r, s,
			   how == 0   ? KEEP_NOTHING
			   : how == 1 ? KEEP_NAMED
				      : KEEP_USUAL,
			   flags);
}

static int op_remove(struct run *r)
{
	struct subject *s = subject_choose(r, true, below(r, 3) == 0);
	unsigned flags = wait_flag(r);

	if (!s || (!s->snapshot && subject_count(&r->ph->oracle, false, true) < 2))
		return 0;
	return do_remove(r, s, flags);
}

static int op_rename(struct run *r)
{
	struct subject *s = subject_choose(r, true, true);

	return s ? do_rename(r, s, wait_flag(r)) : 0;
}

static int op_resize(struct run *r)
{
	struct subject *s = subject_choose(r, false, true);
	unsigned per = r->per, flags = wait_flag(r), sectors;

	if (!s)
		return 0;
	sectors = (1 + below(r, r->set->seed % 2 ? 5 : below(r, 4) ? 10 : 70)) * per;
	sectors = MIN(SECTORS_MAX, sectors);
	if (below(r, 2))
		sectors -= below(r, per);
	return do_resize(r, s, sectors, flags);
}

static int op_grow(struct run *r)
{
	unsigned zones = 1 + below(r, 3);

	return r->p->e.geo.zones + zones > 40 ? 0 : do_grow(r, zones);
}

/* ---- what goes on beside a checkpoint --------------------------------------------------------------- */

/* A few ops of those that no checkpoint stops, in the middle of one. */
static int beside(struct run *r)
{
	unsigned n = 1 + below(r, 5);
	int err = 0;

	for (unsigned i = 0; i < n && err == 0; i++)
		switch (below(r, 8)) {
		case 0: err = op_zero_or_trim(r, true, 0); break;
		case 1: err = op_flush(r); break;
		case 2: err = op_snapshot(r, below(r, 2)); break;
		case 3: err = op_remove(r); break;
		case 4: err = op_write(r, COWBD_FUA); break;
		default: err = op_write(r, 0); break;
		}
	return err;
}

static int op_checkpoint(struct run *r)
{
	int err;

	if (below(r, 2))
		r->inside = (struct inside){
			.kinds = IN_WRITE | IN_SYNC, .skip = below(r, 6), .body = beside};
	err = do_checkpoint(r);
	r->inside.body = NULL;
	if (err == 0 && r->inside.result == 0 && r->set->seed % 4 == 3)
		err = do_scrub(r);
	return err < 0 ? err : r->inside.result;
}

/* ---- a phase ------------------------------------------------------------------------------------------------------------ */

enum op_kind {
	WRITE,
	FUA,
	TRIM,
	ZERO,
	FLUSH,
	SNAPSHOT,
	GROUP,
	CLONE,
	ROLLBACK,
	REMOVE,
	RENAME,
	RESIZE,
	CREATE,
	CHECKPOINT,
	COMMIT,
	SYNC,
	RECLAIM,
	GIVE_BACK,
	GROW,
	REOPEN,
	CLOSE_CLIENTS,
	KINDS
};

static const uint8_t usual[KINDS] = {12, 2, 3, 2, 4, 3, 1, 2, 2, 3, 1,
				     2,  1, 2, 2, 1, 4, 1, 1, 1, 1};

static int do_op(struct run *r, enum op_kind kind)
{
	switch (kind) {
	case WRITE: return op_write(r, 0);
	case FUA:
		return below(r, 3) ? op_write(r, COWBD_FUA) : op_zero_or_trim(r, false, COWBD_FUA);
	case TRIM: return op_zero_or_trim(r, true, 0);
	case ZERO: return op_zero_or_trim(r, false, 0);
	case FLUSH: return op_flush(r);
	case SNAPSHOT: return op_snapshot(r, false);
	case GROUP: return op_snapshot(r, true);
	case CLONE: return op_clone(r);
	case ROLLBACK: return op_rollback(r);
	case REMOVE: return op_remove(r);
	case RENAME: return op_rename(r);
	case RESIZE: return op_resize(r);
	case CREATE: return op_create(r);
	case CHECKPOINT: return op_checkpoint(r);
	case COMMIT: return do_commit(r);
	case SYNC: return do_sync(r);
	case RECLAIM: return do_reclaim(r);
	case GIVE_BACK: return do_give_back(r);
	case GROW: return op_grow(r);
	case REOPEN: return do_reopen(r);
	default: close_clients(r, NULL); return 0;
	}
}

/* Every workload has its own mix. */
static void choose_mix(const struct settings *set, unsigned *weight, unsigned *ret_sum)
{
	static const unsigned factor[] = {0, 1, 1, 2, 4};
	uint64_t random = set->seed * 31 + set->number;

	*ret_sum = 0;
	for (unsigned i = 0; i < KINDS; i++) {
		weight[i] = usual[i] * factor[random_of(&random) % 5];
		if (i == WRITE && weight[i] == 0)
			weight[i] = usual[i];
		*ret_sum += weight[i];
	}
}

static enum op_kind pick(struct run *r, const unsigned *weight, unsigned sum)
{
	unsigned at = below(r, sum), i = 0;

	while (at >= weight[i])
		at -= weight[i++];
	return (enum op_kind)i;
}

static int run_ops(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	unsigned weight[KINDS], sum;
	int err = 0;

	choose_mix(r->set, weight, &sum);
	for (unsigned i = 0; i < r->set->ops && err == 0; i++) {
		unsigned volumes = subject_count(o, false, true);
		enum op_kind kind;

		r->random = r->set->seed * 1000003 + r->set->number * 7919 + i;
		(void)random_of(&r->random);
		kind = pick(r, weight, sum);
		if (volumes == 0 || (i < 2 && volumes < 2))
			kind = CREATE;
		if (r->set->skip && r->set->skip[i] && volumes)
			continue;
		if (r->set->verbose)
			printf("  #%u\n", i);
		err = do_op(r, kind);
	}
	return err;
}

int workload_run(const struct settings *set, struct store *s, struct phase *ph, char *why,
		 size_t len)
{
	return phase_run(set, run_ops, NULL, s, ph, why, len);
}

/* ---- a new pool ----------------------------------------------------------------------------------------------------------- */

int pool_make(uint64_t seed, unsigned zones, uint32_t block_bytes, struct store **ret_store,
	      char *why, size_t len)
{
	struct cowbd_init_options init = {
		.name = "crash", .journal_bytes = 2 * ZONE_BYTES, .block_bytes = block_bytes};
	const struct sim_options opt = {.seed = seed, .record = true};
	struct store *made;
	int err;

	err = store_sim_new(zones * ZONE_BYTES, NULL, &made);
	if (err == 0) {
		err = mkfs_store(made, "crash", &init);
		if (err == 0)
			err = store_sim_copy(made, &opt, ret_store);
		store_close(made);
	}
	if (err < 0)
		snprintf(why, len, "making a pool: %s", cowbd_error());
	return err;
}

int workload_make(uint64_t seed, struct store **ret_store, char *why, size_t len)
{
	static const uint32_t blocks[] = {4096, 8192, 16384, 32768};
	uint64_t random = seed;
	uint32_t block = blocks[random_of(&random) % 4];

	return pool_make(seed, 12 + (unsigned)(random_of(&random) % 10), block, ret_store, why,
			 len);
}
