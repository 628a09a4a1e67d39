/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_model.c - thousands of random operations against plain arrays, one thread, simulated store
 *
 * The same seed makes the same run: nothing works in the background, so commits, checkpoints and reclaim are
 * steps like the others.  A kill is a copy of the store with the tail as the session left it: all that was
 * acknowledged must be there afterwards.
 *
 *	COWBD_SEED          the seed, printed otherwise
 *	COWBD_MODEL_ROUNDS  how many seeds, one after the other (1)
 *	COWBD_MODEL_TRACE   say what is done
 */
#include "model.h"
#include "pool.h"

#include <check.h>
#include <stdio.h>
#include <sys/stat.h>
#undef fail

struct setup {
	const char *name;
	uint64_t block, window_blocks;
	uint64_t zones, journal_zones;
	unsigned steps;
	bool tight;
};

#ifdef COWBD_TINY
static const struct setup setups[] = {
	{"tiny, 4 KiB", 4096, 24, 400, 8, 6000, false},
	{"tiny, 16 KiB", 16384, 20, 500, 6, 4000, false},
	{"tiny, 64 KiB", 65536, 12, 1200, 6, 2500, false},
	{"tiny, small journal", 4096, 24, 300, 2, 5000, false},
	{"tiny, full, 4 KiB", 4096, 40, 28, 4, 6000, true},
	{"tiny, full, 16 KiB", 16384, 20, 36, 3, 5000, true},
	{"tiny, full, 64 KiB", 65536, 12, 60, 3, 3000, true},
};
#else
static const struct setup setups[] = {
	{"4 KiB", 4096, 60, 60, 2, 4000, false},
	{"64 KiB", 65536, 12, 120, 2, 2000, false},
	{"1 MiB", 1u << 20, 3, 150, 2, 500, false},
	{"small, 4 KiB", 4096, 400, 12, 2, 3000, true},
	{"full, 64 KiB", 65536, 24, 14, 2, 2500, true},
	{"full, 1 MiB", 1u << 20, 4, 20, 2, 500, true},
};
#endif

static char run_dir[200];
static struct store *store; /* the running pool's */

static void open_on(struct model *m, struct store *s)
{
	struct cowbd_open_options opt = {.cache_bytes = 1 << 20, .run_dir = run_dir};
	int r;

	store = s;
	r = pool_open_store(s, "sim", &opt, &m->pool);
	model_expect(r == 0, "step %" PRIu64 ": opening: %d", m->step, r);
}

static struct store *copy_of_store(void)
{
	struct store *s;

	model_expect(store_sim_copy(store, NULL, &s) == 0, "copying the store");
	return s;
}

/* kill -9 between two operations; the successor opens before the dead one's memory goes. */
static void kill_and_reopen(struct model *m)
{
	struct cowbd_pool *dead = m->pool;
	struct store *dead_store = store;

	model_detach(m);
	open_on(m, copy_of_store());
	store_sim_cut(dead_store);
	(void)!cowbd_close(dead);
}

static void keep_store(struct store *s)
{
	(void)s;
}

/* Closes in order, and opens again. */
static void reopen(struct model *m)
{
	const struct store_ops *ops = store->ops;
	struct store_ops kept = *ops;
	struct store *s = store;
	int r;

	model_detach(m);
	kept.close = keep_store; /* the pool's store outlives the pool */
	s->ops = &kept;
	r = cowbd_close(m->pool);
	s->ops = ops;
	model_expect(r == 0, "step %" PRIu64 ": closing: %d", m->step, r);
	open_on(m, s);
}

/* One of the things that background workers do. */
static void work(struct model *m)
{
	struct engine *e = &m->pool->e;
	int r = 0;

	switch (model_below(m, 6)) {
	case 0: r = checkpoint_run(e); break;
	case 1: r = engine_commit(e, NULL); break;
	case 2:
		for (unsigned i = 0; i < 8 && (r = reclaim_some(m->pool)) > 0;)
			i++;
		break;
	case 3: r = reclaim_some(m->pool); break;
	case 4: r = space_punch_one(e->space); break;
	default:
		metalock_exclusive(&e->lock);
		(void)space_settle(e->space);
		metalock_drop(&e->lock);
		break;
	}
	model_expect(r >= 0, "step %" PRIu64 ": background work: %d", m->step, r);
}

static void step(struct model *m)
{
	uint64_t what = model_below(m, 1000);

	if (what < 800)
		model_step_data(m);
	else if (what < 900)
		model_step_objects(m);
	else if (what < 970)
		work(m);
	else if (what < 975)
		model_check(m);
	else if (what < 983)
		kill_and_reopen(m);
	else if (what < 986)
		reopen(m);
	else if (what < 990)
		model_compare_all(m);
}

static void run_model(const struct setup *s, uint64_t seed)
{
	struct cowbd_init_options init = {.block_bytes = (uint32_t)s->block,
					  .journal_bytes = s->journal_zones * ZONE_BYTES};
	struct model_object objects[MODEL_OBJECTS] = {0};
	struct store *sim;
	struct model m;

	printf("%s: seed %" PRIu64 "\n", s->name, seed);
	fflush(stdout);
	model_init(&m, s->block, s->window_blocks, MAP_FANOUT, objects);
	m.rng = seed;
	m.tight = s->tight;
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		objects[i].data = calloc(1, model_bytes(&m));
	model_expect(store_sim_new(s->zones * ZONE_BYTES, NULL, &sim) == 0, "no store");
	model_expect(mkfs_store(sim, "sim", &init) == 0, "mkfs");
	open_on(&m, sim);
	for (unsigned i = 0; i < s->steps; i++)
		step(&m);
	model_compare_all(&m);
	model_check(&m);
	kill_and_reopen(&m);
	model_compare_all(&m);
	model_check(&m);
	model_empty(&m);
	printf("%s: %" PRIu64 " operations met a full pool\n", s->name, m.full);
	model_expect(cowbd_close(m.pool) == 0, "closing");
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		free(objects[i].data);
	model_fini(&m);
}

static uint64_t seed;

START_TEST(random_operations_agree_with_plain_arrays)
{
	const char *rounds = getenv("COWBD_MODEL_ROUNDS");
	unsigned long n = rounds ? strtoul(rounds, NULL, 0) : 1;

	for (unsigned long i = 0; i < n; i++)
		run_model(&setups[_i], seed + i);
}
END_TEST

int main(void)
{
	const char *dir = getenv("TEST_DIR"), *only = getenv("COWBD_MODEL_ONLY");
	Suite *suite = suite_create("model");
	TCase *c = tcase_create("model");
	int failed, from = only ? atoi(only) : 0, to = only ? from + 1 : (int)ARRAY_SIZE(setups);
	SRunner *runner;

	seed = model_seed("test_model");
	snprintf(run_dir, sizeof run_dir, "%s/run", dir ? dir : "/tmp");
	(void)mkdir(run_dir, 0700);
	tcase_set_timeout(c, 0);
	tcase_add_loop_test(c, random_operations_agree_with_plain_arrays, from, to);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
