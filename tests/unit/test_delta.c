/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_delta.c - a table from units to small integers
 */
#include "delta.h"

#include <check.h>
#undef fail

#define UNITS 5000u

static void room(struct delta *d, size_t n)
{
	ck_assert_int_eq(delta_prepare(d, n), 0);
}

START_TEST(an_empty_table_says_zero_for_every_unit)
{
	struct delta d = {0};

	ck_assert_int_eq(delta_get(&d, 0), 0);
	ck_assert_int_eq(delta_get(&d, UINT64_C(1) << 35), 0);
	delta_clear(&d);
	delta_fini(&d);
}
END_TEST

START_TEST(what_is_added_sums_up)
{
	struct delta d = {0};

	room(&d, 2);
	ck_assert_int_eq(delta_add(&d, 7, 3), 3);
	ck_assert_int_eq(delta_add(&d, 7, -5), -2);
	ck_assert_int_eq(delta_add(&d, 0, 1), 1);
	ck_assert_int_eq(delta_get(&d, 7), -2);
	ck_assert_int_eq(delta_get(&d, 0), 1);
	ck_assert_uint_eq(d.used, 2);
	delta_fini(&d);
}
END_TEST

START_TEST(an_entry_that_becomes_zero_leaves)
{
	struct delta d = {0};

	room(&d, 1);
	delta_add(&d, 9, 4);
	ck_assert_int_eq(delta_add(&d, 9, -4), 0);
	ck_assert_uint_eq(d.used, 0);
	ck_assert_int_eq(delta_get(&d, 9), 0);
	delta_fini(&d);
}
END_TEST

/* All references to a page that 65535 snapshots share may go before a checkpoint records it. */
START_TEST(a_value_may_be_as_large_as_any_count)
{
	struct delta d = {0};
	uint64_t unit = (UINT64_C(1) << 36) + 5, seen;
	int value;

	ck_assert_int_ge(DELTA_LIMIT, 2 * 65535);
	room(&d, 2);
	delta_add(&d, unit, -DELTA_LIMIT);
	delta_add(&d, unit + 1, DELTA_LIMIT);
	ck_assert_int_eq(delta_get(&d, unit), -DELTA_LIMIT);
	ck_assert_int_eq(delta_get(&d, unit + 1), DELTA_LIMIT);
	for (size_t i = 0; i <= d.mask; i++)
		if (delta_at(&d, i, &seen, &value))
			ck_assert_int_eq(value, seen == unit ? -DELTA_LIMIT : DELTA_LIMIT);
	delta_fini(&d);
}
END_TEST

/* Two neighbours, then a zone further. */
static uint64_t unit_of(unsigned i)
{
	return i / 2 * UINT64_C(1024) + i % 2;
}

START_TEST(every_unit_is_found_again_while_others_come_and_go)
{
	static int want[UNITS];
	struct delta d = {0};
	uint64_t state = 12345, sum = 0, unit;
	int value;

	for (unsigned step = 0; step < 200000; step++) {
		state = state * UINT64_C(6364136223846793005) + 1;
		unsigned i = (unsigned)(state >> 33) % UNITS;
		int by = want[i] && state >> 63 ? -want[i] : 1;

		room(&d, 1);
		want[i] += by;
		ck_assert(delta_add(&d, unit_of(i), by) == want[i]);
	}
	for (unsigned i = 0; i < UNITS; i++)
		ck_assert(delta_get(&d, unit_of(i)) == want[i]);
	for (size_t i = 0; i <= d.mask; i++)
		if (delta_at(&d, i, &unit, &value)) {
			ck_assert(want[unit / 1024 * 2 + unit % 1024] == value);
			sum++;
		}
	ck_assert_uint_eq(sum, d.used);
	delta_fini(&d);
}
END_TEST

START_TEST(room_for_many_is_room_for_many)
{
	struct delta d = {0};

	room(&d, 100000);
	for (uint64_t i = 0; i < 100000; i++)
		delta_add(&d, i, 1);
	ck_assert_uint_eq(d.used, 100000);
	ck_assert_uint_gt(d.mask, 100000);
	delta_clear(&d);
	ck_assert_uint_eq(d.used, 0);
	ck_assert_int_eq(delta_get(&d, 5), 0);
	delta_fini(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("delta");
	TCase *t = tcase_create("delta");
	SRunner *r;
	int failed;

	tcase_add_test(t, an_empty_table_says_zero_for_every_unit);
	tcase_add_test(t, what_is_added_sums_up);
	tcase_add_test(t, an_entry_that_becomes_zero_leaves);
	tcase_add_test(t, a_value_may_be_as_large_as_any_count);
	tcase_add_test(t, every_unit_is_found_again_while_others_come_and_go);
	tcase_add_test(t, room_for_many_is_room_for_many);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
