/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_hold.c - a full pool: writes wait for space, and nothing else does
 */
#include "pool_testing.h"

#include <pthread.h>

#define POOL (64 * MIB)
#define PATIENCE_MS 20000
#define LEAF_BLOCKS 200u /* of each leaf, those that are written */

/* A request in a thread of its own. */
struct job {
	pthread_t thread;
	struct cowbd_client *client;
	enum { WRITE, ZERO } what;
	uint64_t offset, len;
	uint8_t byte;
	int result;
	char message[256];
	_Atomic bool ended;
};

static void *run_job(void *opaque)
{
	struct job *j = opaque;
	uint8_t *buf = malloc(j->len);

	memset(buf, j->byte, j->len);
	j->result = j->what == WRITE ? cowbd_write(j->client, buf, j->len, j->offset, 0)
				     : cowbd_zero(j->client, j->len, j->offset, 0);
	snprintf(j->message, sizeof j->message, "%s", j->result ? cowbd_error() : "");
	atomic_store(&j->ended, true);
	free(buf);
	return NULL;
}

static void begin(struct job *j)
{
	atomic_store(&j->ended, false);
	ck_assert_int_eq(pthread_create(&j->thread, NULL, run_job, j), 0);
}

static int finish(struct job *j)
{
	ck_assert_int_eq(pthread_join(j->thread, NULL), 0);
	return j->result;
}

static void wait_held(struct cowbd_pool *p, uint64_t n)
{
	for (unsigned i = 0; info(p).held != n; i++) {
		ck_assert_msg(i < PATIENCE_MS, "%u writes are held instead of %u",
			      (unsigned)info(p).held, (unsigned)n);
		usleep(1000);
	}
}

static struct cowbd_pool *open_holding(uint64_t bytes, uint64_t timeout_ns, bool start)
{
	struct cowbd_open_options opt = {.flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_HOLD,
					 .cache_bytes = MIB,
					 .run_dir = test_run_dir(),
					 .hold_timeout_ns = timeout_ns};
	struct cowbd_pool *p;

	ck_assert_ok(pool_open_store(make_store(bytes, 4096, 1), "test", &opt, &p));
	if (start)
		ck_assert_ok(cowbd_start(p));
	return p;
}

/* Fills the pool to its last block with a volume of that name, never held itself. */
static struct cowbd_client *fill(struct cowbd_pool *p, const char *name, uint64_t size)
{
	struct cowbd_client *c = make_volume(p, name, size);
	uint8_t block[4096];
	uint64_t at = 0;
	int r = 0;

	memset(block, 0xee, sizeof block);
	ck_assert_ok(cowbd_set_on_full(p, name, false));
	while (r == 0 && at < size) {
		r = cowbd_write(c, block, sizeof block, at, 0);
		at += sizeof block;
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_ok(cowbd_set_on_full(p, name, true));
	return c;
}

START_TEST(a_write_to_a_full_pool_waits_until_a_volume_is_removed)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full;
	struct job j = {.client = v, .offset = 4096, .len = 4096, .byte = 7};

	write_fill(v, 0, 4096, 1);
	full = fill(p, "full", 64 * MIB);
	cowbd_client_close(full);
	begin(&j);
	wait_held(p, 1);
	ck_assert_uint_eq(cowbd_client_held(v), 1);
	/* in place, reading, flushing, snapshots: none of them waits */
	write_fill(v, 0, 4096, 2);
	ck_assert(holds(v, 0, 4096, 2));
	ck_assert(holds(v, 4096, 4096, 0));
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(snapshot(p, "full@s"));
	ck_assert(!atomic_load(&j.ended));
	ck_assert_ok(remove_one(p, "full@s", 0));
	ck_assert_ok(remove_one(p, "full", 0));
	ck_assert_ok(finish(&j));
	ck_assert_uint_eq(info(p).held, 0);
	ck_assert_uint_eq(info(p).full_times, 1);
	ck_assert(holds(v, 4096, 4096, 7));
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_snapshot_holds_nothing_of_a_held_write_and_does_not_wait_for_it)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full;
	struct job j = {.client = v, .offset = 0, .len = 4096, .byte = 7};

	write_fill(v, 0, 4096, 1);
	full = fill(p, "full", 64 * MIB);
	ck_assert_ok(snapshot(p, "v@before"));
	begin(&j); /* was in place, is a fault now */
	wait_held(p, 1);
	ck_assert_ok(snapshot(p, "v@meanwhile"));
	ck_assert_ok(cowbd_trim(full, MIB, 0, 0)); /* that gives space, too */
	ck_assert_ok(finish(&j));
	ck_assert(object_holds(p, "v@before", 0, 4096, 1));
	ck_assert(object_holds(p, "v@meanwhile", 0, 4096, 1));
	ck_assert(holds(v, 0, 4096, 7));
	cowbd_client_close(full);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(growing_the_pool_lets_all_go)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full = fill(p, "full", 64 * MIB);
	struct job j[8];

	for (unsigned i = 0; i < ARRAY_SIZE(j); i++) {
		j[i] = (struct job){
			.client = v, .offset = i * 2 * MIB, .len = 4096, .byte = (uint8_t)(i + 1)};
		begin(&j[i]);
		wait_held(p, i + 1);
	}
	ck_assert_ok(cowbd_grow_pool(p, 2 * POOL));
	for (unsigned i = 0; i < ARRAY_SIZE(j); i++) {
		ck_assert_ok(finish(&j[i]));
		ck_assert(holds(v, j[i].offset, 4096, j[i].byte));
	}
	cowbd_client_close(full);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(after_its_time_a_held_write_fails)
{
	struct cowbd_pool *p = open_holding(POOL, 200 * 1000000, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full = fill(p, "full", 64 * MIB);
	struct job j = {.client = v, .len = 4096};
	uint64_t before = now_ns();

	begin(&j);
	ck_assert_int_eq(finish(&j), -ENOSPC);
	ck_assert_msg(strstr(j.message, "full"), "%s", j.message);
	ck_assert_uint_ge(now_ns() - before, 200 * 1000000);
	ck_assert_uint_eq(info(p).held, 0);
	cowbd_client_close(full);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_client_that_is_cut_gets_its_held_writes_back_and_others_do_not)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *w = attach(p, "v");
	struct cowbd_client *full = fill(p, "full", 64 * MIB);
	struct job a = {.client = v, .len = 4096}, b = {.client = w, .offset = 8192, .len = 4096};

	begin(&a);
	wait_held(p, 1);
	begin(&b);
	wait_held(p, 2);
	cowbd_client_cut(v);
	ck_assert_int_eq(finish(&a), -ESHUTDOWN);
	ck_assert_uint_eq(info(p).held, 1);
	ck_assert(!atomic_load(&b.ended));
	ck_assert_ok(cowbd_trim(full, MIB, 0, 0));
	ck_assert_ok(finish(&b));
	cowbd_client_close(full);
	cowbd_client_close(w);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_volume_that_is_removed_lets_its_held_writes_fail)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full = fill(p, "full", 64 * MIB);
	struct job j = {.client = v, .len = 4096};

	begin(&j);
	wait_held(p, 1);
	ck_assert_ok(remove_one(p, "v", COWBD_IGNORE_CLIENTS));
	ck_assert_int_eq(finish(&j), -ENOENT);
	cowbd_client_close(full);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_pool_without_threads_holds_nothing)
{
	struct cowbd_pool *p = open_holding(POOL, 0, false);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB), *full = fill(p, "full", 64 * MIB);
	uint8_t byte = 1;

	ck_assert_error(cowbd_write(v, &byte, 1, 0, 0), -ENOSPC);
	ck_assert_uint_ge(info(p).writes_refused, 2);
	cowbd_client_close(full);
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_full_host_is_a_full_pool_and_is_looked_at_again)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB);
	struct job j = {.client = v, .offset = 32 * MIB, .len = 20 * MIB, .byte = 7};

	store_sim_fault(p->e.store, SIM_FAULT_PREALLOC, 1, 0, ENOSPC);
	begin(&j);
	wait_held(p, 1);
	usleep(100000);
	ck_assert(!atomic_load(&j.ended));
	store_sim_fault(p->e.store, SIM_FAULT_PREALLOC, 0, 0, 0);
	ck_assert_ok(finish(&j));
	ck_assert(holds(v, j.offset, j.len, 7));
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

/* Takes metadata pages until there are none: after a snapshot the first trim in each leaf copies it.  A snapshot
 * asks for more pages than a trim, and so ends first; leaves kept for then take the rest.  Returns where a
 * trim did nothing. */
static uint64_t exhaust_pages(struct cowbd_pool *p, struct cowbd_client *c, uint64_t leaves)
{
	unsigned i = 0;

	for (char name[64] = "v@0"; snapshot(p, name) == 0;
	     snprintf(name, sizeof name, "v@%u", i)) {
		ck_assert_uint_lt(i, LEAF_BLOCKS);
		for (uint64_t leaf = leaves / 2; leaf < leaves; leaf++)
			ck_assert_ok(cowbd_trim(c, 4096, leaf * 2 * MIB + i * UINT64_C(4096), 0));
		i++;
	}
	for (uint64_t leaf = 0; leaf < leaves / 2; leaf++) {
		ck_assert_ok(cowbd_trim(c, 4096, leaf * 2 * MIB, 0));
		if (holds(c, leaf * 2 * MIB, 4096, 1))
			return leaf * 2 * MIB;
	}
	ck_abort_msg("there is always another page");
	return 0;
}

START_TEST(without_a_page_a_zero_waits_and_a_trim_does_nothing)
{
	struct cowbd_pool *p = open_holding(68 * MIB, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 64 * MIB);
	struct job j = {.what = ZERO, .client = v, .len = 4096};
	struct cowbd_object *list;
	uint64_t unowned, owned = 16 * 2 * MIB + (LEAF_BLOCKS - 1) * UINT64_C(4096);
	size_t n;

	for (unsigned leaf = 0; leaf < 32; leaf++)
		write_fill(v, leaf * 2 * MIB, LEAF_BLOCKS * 4096, 1);
	unowned = exhaust_pages(p, v, 32);
	/* what needs no page is trimmed all the same, though it comes after what does */
	ck_assert(holds(v, owned, 4096, 1));
	ck_assert_ok(cowbd_trim(v, owned - unowned, unowned + 4096, 0));
	ck_assert(holds(v, unowned + 4096, 4096, 1));
	ck_assert(holds(v, owned, 4096, 0));
	j.offset = unowned;
	begin(&j);
	wait_held(p, 1);
	ck_assert_ok(cowbd_list(p, &list, &n));
	for (size_t i = 0; i < n; i++) /* deleting takes no page */
		if (list[i].kind == COWBD_SNAPSHOT)
			ck_assert_ok(remove_one(p, list[i].name, COWBD_NO_WAIT));
	free(list);
	ck_assert_ok(finish(&j));
	ck_assert(holds(v, unowned, 4096, 0));
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

START_TEST(a_pool_can_be_filled_to_its_last_block_and_emptied_again_and_again)
{
	struct cowbd_pool *p = open_holding(POOL, 0, true);
	struct cowbd_client *v = make_volume(p, "v", 4 * MIB);

	write_fill(v, 0, 4 * MIB, 1);
	for (unsigned round = 0; round < 20; round++) {
		struct job j = {.client = v, .len = 4 * MIB, .byte = (uint8_t)(round + 2)};
		struct cowbd_client *full = fill(p, "full", 128 * MIB);

		cowbd_client_close(full);
		ck_assert_ok(snapshot(p, "v@s"));
		begin(&j);
		wait_held(p, 1);
		ck_assert_ok(cowbd_checkpoint(p));
		ck_assert_ok(remove_one(p, "full", 0));
		ck_assert_ok(finish(&j));
		ck_assert(holds(v, 0, 4 * MIB, (int)round + 2));
		ck_assert(object_holds(p, "v@s", 0, 4 * MIB, (int)round + 1));
		ck_assert_ok(remove_one(p, "v@s", 0));
		if (round % 5 == 0)
			check_pool(p);
	}
	cowbd_client_close(v);
	check_and_close(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hold");
	TCase *t = tcase_create("hold");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_write_to_a_full_pool_waits_until_a_volume_is_removed);
	tcase_add_test(t, a_snapshot_holds_nothing_of_a_held_write_and_does_not_wait_for_it);
	tcase_add_test(t, growing_the_pool_lets_all_go);
	tcase_add_test(t, after_its_time_a_held_write_fails);
	tcase_add_test(t, a_client_that_is_cut_gets_its_held_writes_back_and_others_do_not);
	tcase_add_test(t, a_volume_that_is_removed_lets_its_held_writes_fail);
	tcase_add_test(t, a_pool_without_threads_holds_nothing);
	tcase_add_test(t, a_full_host_is_a_full_pool_and_is_looked_at_again);
	tcase_add_test(t, without_a_page_a_zero_waits_and_a_trim_does_nothing);
	tcase_add_test(t, a_pool_can_be_filled_to_its_last_block_and_emptied_again_and_again);
	suite_add_tcase(s, t);
	return run_suite(s);
}
