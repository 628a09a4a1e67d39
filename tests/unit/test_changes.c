/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_changes.c - what changed in the counts of units, neighbours together
 */
#include "changes.h"

#include <check.h>
#undef fail

#define UNITS 6000u

static void room(struct changes *c, size_t n)
{
	ck_assert_int_eq(changes_prepare(c, n), 0);
}

/* All values that aren't zero, by way of zones: each is handed to a function; returns how many. */
static uint64_t each_value(const struct changes *c, void (*see)(uint64_t unit, int value))
{
	uint64_t zone, seen[UNITS], n = 0, nseen = 0;
	size_t at = 0;

	while (changes_next_zone(c, &at, &zone)) {
		int value[ZONE_UNITS_MAX] = {0};
		bool again = false;

		for (uint64_t i = 0; i < nseen; i++)
			again = again || seen[i] == zone;
		if (again)
			continue;
		ck_assert_uint_lt(nseen, UNITS);
		seen[nseen++] = zone;
		changes_add_to(c, zone, ZONE_UNITS_MAX, value);
		for (unsigned i = 0; i < ZONE_UNITS_MAX; i++) {
			if (!value[i])
				continue;
			see(zone * ZONE_UNITS_MAX + i, value[i]);
			n++;
		}
	}
	return n;
}

START_TEST(an_empty_one_says_zero_for_every_unit)
{
	struct changes c = {0};
	size_t at = 0;
	uint64_t zone;

	ck_assert_int_eq(changes_get(&c, 0), 0);
	ck_assert_int_eq(changes_get(&c, UINT64_C(1) << 40), 0);
	ck_assert(!changes_next_zone(&c, &at, &zone));
	changes_clear(&c);
	changes_fini(&c);
}
END_TEST

START_TEST(what_is_added_sums_up)
{
	struct changes c = {0};

	room(&c, 5);
	ck_assert_int_eq(changes_add(&c, 7, 3), 3);
	ck_assert_int_eq(changes_add(&c, 7, -5), -2);
	ck_assert_int_eq(changes_add(&c, 0, 1), 1);
	ck_assert_int_eq(changes_get(&c, 7), -2);
	ck_assert_int_eq(changes_get(&c, 0), 1);
	ck_assert_int_eq(changes_get(&c, 8), 0);
	ck_assert_uint_eq(c.units, 2);
	ck_assert_int_eq(changes_add(&c, 7, 2), 0);
	ck_assert_uint_eq(c.units, 1);
	changes_fini(&c);
}
END_TEST

START_TEST(neighbours_share_a_line) /* [CHG-1], [CHG-2] */
{
	struct changes c = {0};
	uint64_t zone;
	size_t at = 0;

	room(&c, CHANGES_LINE_UNITS * 2);
	for (uint64_t unit = 0; unit < CHANGES_LINE_UNITS * 2; unit++)
		changes_add(&c, unit, 1);
	ck_assert_uint_eq(c.units, CHANGES_LINE_UNITS * 2);
	ck_assert_uint_eq(c.used, 2);
	for (uint64_t unit = 0; unit < CHANGES_LINE_UNITS * 2; unit++)
		changes_add(&c, unit, -1);
	ck_assert_uint_eq(c.units, 0);
	ck_assert_uint_eq(c.used, 2);
	ck_assert(!changes_next_zone(&c, &at, &zone)); /* no page of a zone is written for that */
	changes_fini(&c);
}
END_TEST

/* The last line of a zone is a short one. */
START_TEST(zones_share_no_line)
{
	struct changes c = {0};
	uint64_t zone;
	size_t at = 0;
	int value[ZONE_UNITS_MAX] = {0};

	room(&c, 2);
	changes_add(&c, 3 * ZONE_UNITS_MAX - 1, 1);
	ck_assert(changes_next_zone(&c, &at, &zone));
	ck_assert_uint_eq(zone, 2);
	ck_assert(!changes_next_zone(&c, &at, &zone));
	changes_add(&c, 3 * ZONE_UNITS_MAX, -1);
	ck_assert_uint_eq(c.used, 2);
	changes_add_to(&c, 2, ZONE_UNITS_MAX, value);
	ck_assert_int_eq(value[ZONE_UNITS_MAX - 1], 1);
	for (unsigned i = 0; i + 1 < ZONE_UNITS_MAX; i++)
		ck_assert_int_eq(value[i], 0);
	changes_fini(&c);
}
END_TEST

static void see_large(uint64_t unit, int value)
{
	ck_assert_int_eq(value, unit % 2 ? 65535 : -65535);
}

/* All references to a page that 65535 snapshots share may go before a checkpoint records it. */
START_TEST(a_value_may_be_as_large_as_any_count)
{
	struct changes c = {0};
	uint64_t unit = (UINT64_C(1) << 36) + 5;

	room(&c, 2);
	for (int i = 1; i <= 65535; i++) {
		room(&c, 2);
		ck_assert_int_eq(changes_add(&c, unit, 1), i);
		ck_assert_int_eq(changes_add(&c, unit + 1, -1), -i);
	}
	ck_assert_int_eq(changes_get(&c, unit), 65535);
	ck_assert_int_eq(changes_get(&c, unit + 1), -65535);
	ck_assert_uint_eq(c.units, 2);
	ck_assert_uint_eq(each_value(&c, see_large), 2);
	for (int i = 65534; i >= 0; i--)
		ck_assert_int_eq(changes_add(&c, unit, -1), i);
	ck_assert_uint_eq(c.units, 1);
	ck_assert_int_eq(changes_add(&c, unit, 1), 1);

	room(&c, 1);
	ck_assert_int_eq(changes_add(&c, unit + 2, DELTA_LIMIT), DELTA_LIMIT);
	ck_assert_int_eq(changes_add(&c, unit + 2, 1), DELTA_LIMIT);
	changes_fini(&c);
}
END_TEST

/* Two neighbours, then a zone further. */
static uint64_t unit_of(unsigned i)
{
	return i / 2 * UINT64_C(1024) + i % 2;
}

static int a_change(uint64_t *state, int has)
{
	*state = *state * UINT64_C(6364136223846793005) + 1;
	switch (*state >> 61) {
	case 0: return has ? -has : 1;
	case 1: return has < 0 ? -30000 : 30000;
	case 2: return has > 0 ? -20000 : 20000;
	default: return *state >> 60 & 1 ? 1 : -1;
	}
}

static int want[UNITS];

static void see_wanted(uint64_t unit, int value)
{
	ck_assert_int_eq(want[unit / 1024 * 2 + unit % 1024], value);
}

START_TEST(every_unit_is_found_again_while_others_come_and_go)
{
	struct changes c = {0};
	uint64_t state = 12345, n = 0;

	for (unsigned step = 0; step < 300000; step++) {
		unsigned i = (unsigned)(state >> 33) % UNITS;
		int by = a_change(&state, want[i]);

		room(&c, 1);
		want[i] += by;
		ck_assert_int_eq(changes_add(&c, unit_of(i), by), want[i]);
	}
	for (unsigned i = 0; i < UNITS; i++) {
		ck_assert_int_eq(changes_get(&c, unit_of(i)), want[i]);
		n += want[i] != 0;
	}
	ck_assert_uint_eq(n, c.units);
	for (unsigned i = 0; i < UNITS; i += 2) { /* lines that are there, and some that are not */
		int sum[30] = {0, 100};

		changes_add_to(&c, unit_of(i) / ZONE_UNITS_MAX, 30, sum);
		ck_assert_int_eq(sum[0], want[i]);
		ck_assert_int_eq(sum[1], 100 + want[i + 1]);
		for (unsigned k = 2; k < 30; k++)
			ck_assert_int_eq(sum[k], 0);
	}
	ck_assert_uint_eq(each_value(&c, see_wanted), c.units);
	changes_fini(&c);
}
END_TEST

static struct changes all;

static void see_in_all(uint64_t unit, int value)
{
	ck_assert_int_eq(changes_get(&all, unit), value);
}

/* Runs, and units far from each other: as one after the other. */
START_TEST(many_at_once_are_as_one_after_the_other)
{
	struct changes one = {0};
	uint64_t state = 99, unit[512];

	for (unsigned round = 0; round < 300; round++) {
		unsigned n = 0;

		while (n < ARRAY_SIZE(unit)) {
			state = state * UINT64_C(6364136223846793005) + 1;
			for (unsigned i = 0; i <= state >> 59 && n < ARRAY_SIZE(unit); i++)
				unit[n++] = (state >> 33) % 20000 + i;
		}
		n -= round;
		room(&one, n);
		room(&all, n);
		changes_add_all(&all, unit, n, round % 3 ? 1 : -1);
		for (unsigned i = 0; i < n; i++)
			(void)changes_add(&one, unit[i], round % 3 ? 1 : -1);
	}
	ck_assert_uint_eq(one.units, all.units);
	ck_assert_uint_eq(one.used, all.used);
	ck_assert_uint_eq(each_value(&one, see_in_all), one.units);
	changes_add_all(&all, unit, 0, 1);
	changes_fini(&one);
	changes_fini(&all);
}
END_TEST

START_TEST(what_was_cleared_is_zero)
{
	struct changes c = {0};

	for (unsigned round = 0; round < 3; round++) {
		size_t n = round == 1 ? 3 : 100000, mask;

		room(&c, n);
		mask = c.mask;
		for (uint64_t i = 0; i < n; i++)
			changes_add(&c, i * 5, (int)round + 1);
		changes_add(&c, 5, 100000);
		ck_assert_uint_eq(c.units, n);
		changes_clear(&c);
		ck_assert_uint_eq(c.units, 0);
		ck_assert_uint_eq(c.used, 0);
		ck_assert_int_eq(changes_get(&c, 5), 0);
		if (round == 0)
			ck_assert_uint_eq(c.mask, mask); /* it was put to use: kept */
		else if (round == 1)
			ck_assert_uint_eq(c.mask, 0);
	}
	changes_fini(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("changes");
	TCase *t = tcase_create("changes");
	SRunner *r;
	int failed;

	tcase_add_test(t, an_empty_one_says_zero_for_every_unit);
	tcase_add_test(t, what_is_added_sums_up);
	tcase_add_test(t, neighbours_share_a_line);
	tcase_add_test(t, zones_share_no_line);
	tcase_add_test(t, a_value_may_be_as_large_as_any_count);
	tcase_add_test(t, every_unit_is_found_again_while_others_come_and_go);
	tcase_add_test(t, many_at_once_are_as_one_after_the_other);
	tcase_add_test(t, what_was_cleared_is_zero);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
