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

/* ---- scrubs ------------------------------------------------------------------- */

struct rot {
	const char *name; /* of a snapshot that has the block */
	uint64_t offset;  /* of the block in the pool */
	unsigned found, others;
};

static void note_rot(void *opaque, enum cowbd_damage_kind kind, const char *object, uint64_t offset,
		     const char *message)
{
	struct rot *rot = opaque;

	if (kind == COWBD_NOTE)
		return;
	if (rot->name && offset == rot->offset)
		rot->found += strcmp(object, rot->name) == 0;
	else
		fprintf(stderr, "%s: %s (offset %" PRIu64 ")\n", object, message, offset),
			rot->others++;
}

/* A scrub, which finds the rotten block and nothing else. */
static struct cowbd_scrub_result scrub(struct model *m, struct rot *rot)
{
	struct cowbd_check_options opt = {.report = note_rot, .opaque = rot};
	struct cowbd_scrub_result res = {.read = 0};
	int r = cowbd_scrub(m->pool, &opt, &res);

	model_expect(r == 0, "step %" PRIu64 ": scrub: %d %s", m->step, r, cowbd_error());
	model_expect(rot->others == 0 && res.check.damages + res.check.leaks == 0 &&
			     res.skipped + res.unreadable == 0,
		     "step %" PRIu64 ": scrub finds what is not there", m->step);
	model_expect(res.rotten == (rot->name != NULL) && rot->found == (rot->name != NULL),
		     "step %" PRIu64 ": scrub finds %" PRIu64
		     " rotten blocks, %u at the right place",
		     m->step, res.rotten, rot->found);
	return res;
}

/* Any block that a snapshot has; 0: none was met. */
static uint64_t frozen_block(struct model *m, const char **ret_name)
{
	struct engine *e = &m->pool->e;
	struct map_extent x = {0};
	struct object *o;

	for (unsigned tries = 0; tries < 50; tries++) {
		const struct model_object *mo = &m->object[model_below(m, MODEL_OBJECTS)];
		uint64_t at = m->base[model_below(m, MODEL_WINDOWS)] + model_below(m, m->window);
		int r = -ENOENT;

		if (!mo->live || !mo->snapshot || at >= mo->size)
			continue;
		do {
			metalock_shared(&e->lock);
			r = catalog_find(m->pool->cat, mo->name, &o);
			if (r == 0)
				r = map_lookup(e, &o->map, at / m->block, 1, &x);
			metalock_drop(&e->lock);
		} while (r == -EAGAIN && (r = engine_need(e)) == 0);
		model_expect(r == 0, "looking for a block: %d", r);
		*ret_name = mo->name;
		if (x.physical)
			return x.physical;
	}
	return 0;
}

static void flip(uint64_t offset)
{
	uint8_t byte[1];

	model_expect(store_read(store, 0, offset, byte, 1) == 0, "reading a byte");
	byte[0] ^= 0x10;
	model_expect(store_write(store, 0, offset, byte, 1) == 0, "writing a byte");
}

static uint64_t scrubs, flips;

/* Nothing is wrong; then one byte of what a snapshot has changes, and is found. */
static void scrub_and_flip(struct model *m)
{
	struct rot none = {0}, rot = {0};
	struct cowbd_scrub_result res = scrub(m, &none);
	uint64_t block = frozen_block(m, &rot.name), at;

	scrubs++;
	m->scrubbed = true;
	model_expect(m->tight || res.bare == 0, "scrub: %" PRIu64 " blocks without a checksum",
		     res.bare);
	if (block == 0 || res.bare)
		return;
	rot.offset = block * m->block;
	at = rot.offset + model_below(m, m->block);
	flip(at);
	(void)scrub(m, &rot);
	flip(at);
	(void)scrub(m, &none);
	flips++;
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
	else if (what < 994)
		scrub_and_flip(m);
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
	printf("%s: %" PRIu64 " operations met a full pool; %" PRIu64 " scrubs, %" PRIu64
	       " flips found\n",
	       s->name, m.full, scrubs, flips);
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
