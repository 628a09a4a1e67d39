/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_rangelock.c - locks on ranges of a volume's blocks
 */
#include "rangelock.h"

#include <stdatomic.h>

#include <check.h>
#undef fail

static struct rangelock l;

static void setup(void)
{
	rangelock_init(&l);
}

static void teardown(void)
{
	rangelock_fini(&l);
}

struct holder {
	pthread_t thread;
	struct range_hold hold;
	uint64_t first, end;
	bool exclusive;
	_Atomic bool has, let_go;
};

static void *hold_it(void *opaque)
{
	struct holder *h = opaque;

	rangelock_hold(&l, &h->hold, h->first, h->end, h->exclusive);
	atomic_store(&h->has, true);
	while (!atomic_load(&h->let_go))
		usleep(200);
	rangelock_drop(&l, &h->hold);
	return NULL;
}

static void begin(struct holder *h, uint64_t first, uint64_t end, bool exclusive)
{
	*h = (struct holder){.first = first, .end = end, .exclusive = exclusive};
	ck_assert_int_eq(pthread_create(&h->thread, NULL, hold_it, h), 0);
}

static void finish(struct holder *h)
{
	atomic_store(&h->let_go, true);
	pthread_join(h->thread, NULL);
}

static void wait_until_it_has(struct holder *h)
{
	while (!atomic_load(&h->has))
		usleep(200);
}

/* Returns when it stands in the queue. */
static void wait_until_it_waits(unsigned n)
{
	unsigned waiting;

	do {
		usleep(200);
		pthread_mutex_lock(&l.lock);
		waiting = l.waiting;
		pthread_mutex_unlock(&l.lock);
	} while (waiting < n);
}

START_TEST(ranges_that_do_not_touch_are_held_at_once)
{
	struct range_hold a, b, c;

	rangelock_hold(&l, &a, 0, 10, true);
	rangelock_hold(&l, &b, 10, 20, true);
	rangelock_hold(&l, &c, 20, UINT64_MAX, true);
	rangelock_drop(&l, &b);
	rangelock_drop(&l, &a);
	rangelock_drop(&l, &c);
}
END_TEST

START_TEST(shared_holders_share)
{
	struct range_hold a, b;

	rangelock_hold(&l, &a, 0, 10, false);
	rangelock_hold(&l, &b, 5, 15, false);
	rangelock_drop(&l, &a);
	rangelock_drop(&l, &b);
}
END_TEST

START_TEST(an_exclusive_holder_waits_for_a_shared_one)
{
	struct range_hold a;
	struct holder b;

	rangelock_hold(&l, &a, 0, 10, false);
	begin(&b, 9, 11, true);
	wait_until_it_waits(1);
	ck_assert(!atomic_load(&b.has));
	rangelock_drop(&l, &a);
	wait_until_it_has(&b);
	finish(&b);
}
END_TEST

START_TEST(a_shared_holder_waits_for_an_exclusive_one)
{
	struct range_hold a;
	struct holder b;

	rangelock_hold(&l, &a, 4, 5, true);
	begin(&b, 0, 10, false);
	wait_until_it_waits(1);
	ck_assert(!atomic_load(&b.has));
	rangelock_drop(&l, &a);
	wait_until_it_has(&b);
	finish(&b);
}
END_TEST

START_TEST(who_comes_later_does_not_overtake_who_waits)
{
	struct range_hold a;
	struct holder writer, reader;

	rangelock_hold(&l, &a, 0, 10, false);
	begin(&writer, 0, 10, true);
	wait_until_it_waits(1);
	begin(&reader, 0, 10, false);
	wait_until_it_waits(2);
	rangelock_drop(&l, &a);
	wait_until_it_has(&writer);
	usleep(2000);
	ck_assert(!atomic_load(&reader.has));
	finish(&writer);
	wait_until_it_has(&reader);
	finish(&reader);
}
END_TEST

START_TEST(the_last_in_the_list_may_go_first)
{
	struct range_hold a, b, c;

	rangelock_hold(&l, &a, 0, 1, true);
	rangelock_hold(&l, &b, 1, 2, true);
	rangelock_drop(&l, &b);
	rangelock_hold(&l, &c, 2, 3, true);
	rangelock_drop(&l, &a);
	rangelock_drop(&l, &c);
	ck_assert_ptr_null(l.oldest);
}
END_TEST

/* ---- many threads ----------------------------------------------------------------------- */

#define CELLS 16
static int cell[CELLS]; /* readers, or -1 for a writer */
static pthread_mutex_t cell_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned conflicts;

static void enter_cells(uint64_t first, uint64_t end, bool exclusive, int leave)
{
	pthread_mutex_lock(&cell_lock);
	for (uint64_t i = first; i < end; i++) {
		if (!leave && (exclusive ? cell[i] != 0 : cell[i] < 0))
			atomic_fetch_add(&conflicts, 1);
		cell[i] += (exclusive ? -1 : 1) * (leave ? -1 : 1);
	}
	pthread_mutex_unlock(&cell_lock);
}

static void *take_ranges(void *opaque)
{
	uint64_t state = (uintptr_t)opaque;

	for (unsigned i = 0; i < 3000; i++) {
		struct range_hold h;

		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		uint64_t first = (state >> 33) % CELLS,
			 end = first + 1 + (state >> 40) % (CELLS - first);
		bool exclusive = state >> 63;

		rangelock_hold(&l, &h, first, end, exclusive);
		enter_cells(first, end, exclusive, 0);
		enter_cells(first, end, exclusive, 1);
		rangelock_drop(&l, &h);
	}
	return NULL;
}

START_TEST(no_writer_ever_shares_a_block)
{
	pthread_t thread[4];

	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, take_ranges, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(atomic_load(&conflicts), 0);
	ck_assert_ptr_null(l.oldest);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rangelock");
	TCase *t = tcase_create("rangelock");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, ranges_that_do_not_touch_are_held_at_once);
	tcase_add_test(t, shared_holders_share);
	tcase_add_test(t, an_exclusive_holder_waits_for_a_shared_one);
	tcase_add_test(t, a_shared_holder_waits_for_an_exclusive_one);
	tcase_add_test(t, who_comes_later_does_not_overtake_who_waits);
	tcase_add_test(t, the_last_in_the_list_may_go_first);
	tcase_add_test(t, no_writer_ever_shares_a_block);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
