/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_metalock.c - the metadata lock: who holds it alone does, and nobody waits for ever
 */
#include "pool_testing.h"

#include <stdatomic.h>

#define ROUNDS 20000u
#define THREADS 4u

static struct metalock lock;
static uint64_t first, second; /* under it, equal but for who holds it alone */
static _Atomic unsigned inside;
static _Atomic bool stop, differed;

static void *change(void *opaque)
{
	const uint64_t *rounds = opaque;

	for (uint64_t i = 0; i < *rounds || (!*rounds && !atomic_load(&stop)); i++) {
		metalock_exclusive(&lock);
		first++;
		second++;
		metalock_drop(&lock);
	}
	return NULL;
}

static void *look(void *opaque)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		metalock_shared(&lock);
		if (first != second)
			atomic_store(&differed, true);
		metalock_drop(&lock);
	}
	return opaque;
}

static void begin(pthread_t *t, void *(*job)(void *), void *opaque)
{
	ck_assert_int_eq(pthread_create(t, NULL, job, opaque), 0);
}

static void setup(void)
{
	ck_assert_int_eq(metalock_init(&lock), 0);
	first = second = 0;
	atomic_store(&inside, 0);
	atomic_store(&stop, false);
	atomic_store(&differed, false);
}

static void teardown(void)
{
	metalock_fini(&lock);
}

/* [METALOCK-1] However a hold ended, the next one is known for what it is. */
START_TEST(who_holds_it_alone_is_alone)
{
	uint64_t rounds = ROUNDS;
	pthread_t t[2 * THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		begin(&t[2 * i], change, &rounds);
		begin(&t[2 * i + 1], look, NULL);
	}
	for (unsigned i = 0; i < 2 * THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert(!atomic_load(&differed));
	ck_assert_uint_eq(first, THREADS * ROUNDS);
	ck_assert_uint_eq(second, THREADS * ROUNDS);
	ck_assert(!lock.exclusive);
}
END_TEST

static void *meet(void *opaque)
{
	metalock_shared(&lock);
	atomic_fetch_add(&inside, 1);
	while (atomic_load(&inside) < THREADS)
		;
	metalock_drop(&lock);
	return opaque;
}

/* Ends only if all of them are inside at one time. */
START_TEST(who_shares_it_keeps_out_no_other)
{
	pthread_t t[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		begin(&t[i], meet, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(atomic_load(&inside), THREADS);
}
END_TEST

/* [METALOCK-2] Ends only if those who look get in between those who change without an end, and the other way about. */
START_TEST(neither_keeps_the_other_out_for_ever)
{
	uint64_t endless = 0;
	pthread_t t[THREADS], reader;

	for (unsigned i = 0; i < THREADS; i++)
		begin(&t[i], change, &endless);
	begin(&reader, look, NULL);
	pthread_join(reader, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert(!atomic_load(&differed));
	ck_assert_uint_gt(first, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the metadata lock");
	TCase *t = tcase_create("metalock");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_holds_it_alone_is_alone);
	tcase_add_test(t, who_shares_it_keeps_out_no_other);
	tcase_add_test(t, neither_keeps_the_other_out_for_ever);
	suite_add_tcase(s, t);
	return run_suite(s);
}
