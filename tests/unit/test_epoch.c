/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_epoch.c - which requests are still running
 */
#include "epoch.h"

#include <check.h>
#undef fail

static struct epochs e;

static void setup(void)
{
	epoch_init(&e);
}

static void teardown(void)
{
	epoch_fini(&e);
}

START_TEST(an_epoch_without_requests_is_drained_when_it_is_closed)
{
	uint64_t tag = epoch_close(&e);

	ck_assert(epoch_drained(&e, tag));
	epoch_wait(&e, tag);
}
END_TEST

START_TEST(the_current_epoch_is_never_drained)
{
	ck_assert(!epoch_drained(&e, 1));
}
END_TEST

START_TEST(an_older_request_holds_a_tag_back)
{
	uint64_t old = epoch_enter(&e), tag = epoch_close(&e);

	ck_assert(!epoch_drained(&e, tag));
	epoch_exit(&e, old);
	ck_assert(epoch_drained(&e, tag));
}
END_TEST

START_TEST(a_younger_request_does_not)
{
	uint64_t tag = epoch_close(&e), young = epoch_enter(&e);

	ck_assert(epoch_drained(&e, tag));
	epoch_exit(&e, young);
}
END_TEST

START_TEST(an_older_request_holds_every_later_tag_back)
{
	uint64_t old = epoch_enter(&e), first = epoch_close(&e), young = epoch_enter(&e);
	uint64_t second = epoch_close(&e);

	epoch_exit(&e, young);
	ck_assert(!epoch_drained(&e, second));
	epoch_exit(&e, old);
	ck_assert(epoch_drained(&e, first));
	ck_assert(epoch_drained(&e, second));
}
END_TEST

START_TEST(with_all_epochs_in_use_a_tag_is_later_but_right)
{
	uint64_t old = epoch_enter(&e), tag = 0;

	for (unsigned i = 0; i < 3 * EPOCHS; i++)
		tag = epoch_close(&e);
	ck_assert(!epoch_drained(&e, tag));
	epoch_exit(&e, old);
	ck_assert(!epoch_drained(&e, tag)); /* that one could not be closed */
	epoch_wait(&e, tag);                /* closes it */
	ck_assert(epoch_drained(&e, tag));
}
END_TEST

START_TEST(epochs_are_used_again)
{
	for (unsigned i = 0; i < 10 * EPOCHS; i++) {
		uint64_t token = epoch_enter(&e), tag = epoch_close(&e);

		ck_assert(!epoch_drained(&e, tag));
		epoch_exit(&e, token);
		ck_assert(epoch_drained(&e, tag));
	}
}
END_TEST

/* ---- threads --------------------------------------------------------------------------- */

static _Atomic uint64_t current; /* what a request looks at */
static _Atomic uint64_t freed;   /* up to here nobody may look any more */
static _Atomic bool stop;

static void *look(void *opaque)
{
	uint64_t bad = 0;

	(void)opaque;
	while (!atomic_load(&stop)) {
		uint64_t token = epoch_enter(&e), seen = atomic_load(&current);

		for (unsigned i = 0; i < 50; i++)
			bad += atomic_load(&freed) > seen;
		epoch_exit(&e, token);
	}
	return (void *)(uintptr_t)bad;
}

START_TEST(nobody_looks_at_what_was_freed_after_a_wait)
{
	pthread_t thread[3];
	void *bad;

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, look, NULL), 0);
	for (uint64_t i = 1; i <= 3000; i++) {
		atomic_store(&current, i);
		epoch_wait(&e, epoch_close(&e));
		atomic_store(&freed, i);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(thread[i], &bad);
		ck_assert_ptr_null(bad);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("epoch");
	TCase *t = tcase_create("epoch");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, an_epoch_without_requests_is_drained_when_it_is_closed);
	tcase_add_test(t, the_current_epoch_is_never_drained);
	tcase_add_test(t, an_older_request_holds_a_tag_back);
	tcase_add_test(t, a_younger_request_does_not);
	tcase_add_test(t, an_older_request_holds_every_later_tag_back);
	tcase_add_test(t, with_all_epochs_in_use_a_tag_is_later_but_right);
	tcase_add_test(t, epochs_are_used_again);
	tcase_add_test(t, nobody_looks_at_what_was_freed_after_a_wait);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
