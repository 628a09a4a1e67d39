/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_young.c - commits that write the records and their data at once
 */
#include "pool_testing.h"

#define BLOCK 4096u

static struct cowbd_pool *p;
static struct cowbd_client *v;

static void setup(void)
{
	p = make_pool(64 * MIB, BLOCK);
	v = make_volume(p, "v", 16 * MIB);
	write_fill(v, 0, MIB, 1);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_checkpoint(p));
}

static void teardown(void)
{
	cowbd_client_close(v);
	check_and_close(p);
}

static uint64_t short_commits(void)
{
	return info(p).short_commits;
}

static uint64_t seals(void)
{
	return info(p).seals;
}

/* A flush that goes the short way, or not. */
static void flush(bool short_way)
{
	uint64_t before = short_commits();

	ck_assert_ok(cowbd_flush(v));
	ck_assert_uint_eq(short_commits(), before + short_way);
}

/* The block of the pool where a block of the volume is. */
static uint64_t physical(uint64_t block)
{
	struct map_extent x;
	int r;

	SECTION(&p->e, r,
		map_lookup(&p->e, &catalog_by_name(p->cat, NULL, "v")->map, block, 1, &x));
	ck_assert_int_eq(r, 0);
	return x.physical;
}

static void put_block(struct store *s, uint64_t block, int byte)
{
	uint8_t data[BLOCK];

	memset(data, byte, sizeof data);
	ck_assert_ok(store_write(s, 0, block * BLOCK, data, sizeof data));
}

/* What a kill would leave, opened. */
static struct cowbd_pool *open_copy(struct store *of)
{
	struct store *s;

	ck_assert_ok(store_sim_copy(of, NULL, &s));
	return open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
}

START_TEST(few_blocks_go_the_short_way)
{
	write_fill(v, 0, 2 * BLOCK, 2);
	flush(true);
	write_fill(v, 64 * BLOCK, YOUNG_MAX * BLOCK, 2);
	flush(true);
	write_fill(v, 128 * BLOCK, (YOUNG_MAX + 1) * BLOCK, 2);
	flush(false);
	write_fill(v, 0, BLOCK, 3); /* in place: there are no records */
	flush(false);
}
END_TEST

/* [YOUNG-1] */
START_TEST(a_young_block_is_sealed_before_it_is_written_in_place)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	write_fill(v, 0, BLOCK, 3); /* it is named, and not yet young */
	ck_assert_uint_eq(seals(), 0);
	flush(true);
	write_fill(v, 0, BLOCK, 4);
	ck_assert_uint_eq(seals(), 1);
	write_fill(v, 0, BLOCK, 5);
	ck_assert_uint_eq(seals(), 1);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 5));
	check_and_close(copy);
	write_fill(v, 10 * BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 20 * BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 10 * BLOCK, BLOCK, 3); /* what followed was seal enough */
	ck_assert_uint_eq(seals(), 1);
}
END_TEST

START_TEST(a_batch_that_was_written_with_its_data_is_replayed)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 2));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 3));
	ck_assert(object_holds(copy, "v@s", 0, 2 * BLOCK, 1));
	check_and_close(copy);
}
END_TEST

/* [JOURNAL-6]; and it never counts again, though what it names is there later. */
START_TEST(a_batch_whose_data_is_not_there_does_not_count_now_or_later)
{
	uint64_t first, second;
	struct cowbd_pool *copy, *again;
	struct store *s;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	first = physical(0);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	second = physical(1);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	put_block(s, second, 77);
	copy = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 2));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 1));
	put_block(copy->e.store, second, 3); /* as if somebody wrote the same anew */
	put_block(copy->e.store, first, 4);  /* and this one in place */
	again = open_copy(copy->e.store);
	ck_assert(object_holds(again, "v", 0, BLOCK, 4));
	ck_assert(object_holds(again, "v", BLOCK, BLOCK, 1));
	check_and_close(again);
	check_and_close(copy);
}
END_TEST

/* Only the last one may be without its data: those before it may have been written in place since. */
START_TEST(batches_before_the_last_count_whatever_their_data_is)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	write_fill(v, 0, BLOCK, 4);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 4));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 3));
	check_and_close(copy);
}
END_TEST

/* [YOUNG-3] */
START_TEST(a_snapshot_of_data_written_in_place_goes_the_long_way)
{
	uint64_t before;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 0, BLOCK, 3); /* in place */
	before = short_commits();
	ck_assert_ok(snapshot(p, "v@t"));
	ck_assert_uint_eq(short_commits(), before);
}
END_TEST

START_TEST(a_block_that_has_fallen_goes_the_long_way)
{
	write_fill(v, 0, BLOCK, 2);
	ck_assert_ok(cowbd_trim(v, BLOCK, 0, 0));
	flush(false);
	write_fill(v, BLOCK, BLOCK, 2);
	flush(true);
	ck_assert_ok(cowbd_trim(v, BLOCK, BLOCK, 0)); /* what is young already may fall */
	write_fill(v, 2 * BLOCK, BLOCK, 2);
	flush(true);
}
END_TEST

/* [YOUNG-2] */
START_TEST(a_write_that_runs_makes_it_the_long_way)
{
	uint64_t writer;

	write_fill(v, 0, BLOCK, 2);
	writer = epoch_enter(&p->e.writers);
	flush(false);
	epoch_exit(&p->e.writers, writer);
	write_fill(v, 0, BLOCK, 3); /* in place, and nothing is to be sealed */
	ck_assert_uint_eq(seals(), 0);
}
END_TEST

/* An older cowbd refuses the pool then, and takes one that was closed: the product test of it is format_doc. */
START_TEST(the_feature_is_there_while_a_session_runs)
{
	struct disk_super super;
	char note[200];

	ck_assert_ok(super_read(p->e.store, &super, note, sizeof note));
	ck_assert_uint_eq(get64(super.incompat), FEATURE_BATCH_SUMS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("young");
	TCase *t = tcase_create("one sync");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, few_blocks_go_the_short_way);
	tcase_add_test(t, a_young_block_is_sealed_before_it_is_written_in_place);
	tcase_add_test(t, a_batch_that_was_written_with_its_data_is_replayed);
	tcase_add_test(t, a_batch_whose_data_is_not_there_does_not_count_now_or_later);
	tcase_add_test(t, batches_before_the_last_count_whatever_their_data_is);
	tcase_add_test(t, a_snapshot_of_data_written_in_place_goes_the_long_way);
	tcase_add_test(t, a_block_that_has_fallen_goes_the_long_way);
	tcase_add_test(t, a_write_that_runs_makes_it_the_long_way);
	tcase_add_test(t, the_feature_is_there_while_a_session_runs);
	suite_add_tcase(s, t);
	return run_suite(s);
}
