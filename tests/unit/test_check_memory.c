/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_check_memory.c - what a check keeps in memory stays within its bound
 */
#include "pool_testing.h"

#include "check.h"

#define LEAVES 2048u
#define LEAF (2 * MIB)
#define BOUND (2 * MIB)

/* Of many leaves of a map nearly all are trimmed again; zones of metadata are full of what they were. */
static struct cowbd_pool *make_shrunk_pool(void)
{
	struct cowbd_pool *p = make_pool(64 * MIB, 4096);
	struct cowbd_client *v = make_volume(p, "v", (uint64_t)LEAVES * LEAF);

	for (unsigned i = 0; i < LEAVES; i++)
		write_fill(v, i * LEAF, 4096, 1);
	ck_assert_ok(cowbd_checkpoint(p));
	for (unsigned i = 0; i < LEAVES; i++)
		if (i % 16)
			ck_assert_ok(cowbd_trim(v, LEAF, i * LEAF, 0));
	ck_assert_ok(cowbd_reclaim_wait(p));
	ck_assert_ok(cowbd_checkpoint(p));
	cowbd_client_close(v);
	return p;
}

static struct cowbd_check_result look(struct store *s, uint64_t bound)
{
	struct cowbd_check_options opt = {.report = say_finding, .memory_bytes = bound};
	struct cowbd_check_result result = {0};

	ck_assert_ok(check_store(s, &opt, &result));
	ck_assert_uint_eq(result.damages + result.leaks, 0);
	return result;
}

/* [CACHE-3] */
START_TEST(freed_pages_of_metadata_are_not_kept)
{
	struct cowbd_pool *p = make_shrunk_pool();
	struct cowbd_check_result all, none;
	struct store *copy;

	ck_assert_ok(store_sim_copy(p->e.store, NULL, &copy));
	all = look(copy, BOUND);
	none = look(copy, 1); /* nothing is kept, and the counts of data come one zone at a time */
	ck_assert_uint_ge(all.memory_bytes, none.memory_bytes + LEAVES / 16 * PAGE_BYTES);
	ck_assert_uint_le(all.memory_bytes, BOUND);
	store_close(copy);
	check_and_close(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("check_memory");
	TCase *t = tcase_create("memory");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, freed_pages_of_metadata_are_not_kept);
	suite_add_tcase(s, t);
	return run_suite(s);
}
