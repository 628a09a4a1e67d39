/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_interruption.c - a wait that is told to end ends, whenever that is said
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../cli/cli.h"

START_TEST(a_signal_before_the_wait_ends_it)
{
	interruption_catch();
	ck_assert_int_eq(raise(SIGTERM), 0);
	ck_assert_int_eq(interruption_poll(NULL, 0, -1), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert(interrupted());
}
END_TEST

START_TEST(a_held_signal_ends_it)
{
	interruption_catch();
	interruption_hold();
	ck_assert_int_eq(raise(SIGTERM), 0);
	ck_assert(!interrupted());
	ck_assert_int_eq(interruption_poll(NULL, 0, -1), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert(interrupted());
	interruption_release();
}
END_TEST

static void end(int number)
{
	(void)number;
	raise(SIGTERM);
}

START_TEST(a_signal_within_the_wait_ends_it)
{
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};
	struct sigaction alarmed = {.sa_handler = end};

	interruption_catch();
	ck_assert_int_eq(sigaction(SIGALRM, &alarmed, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	while (!interrupted())
		ck_assert_int_eq(interruption_poll(NULL, 0, -1), -1);
}
END_TEST

/* One that came before it is told of, and one that comes while it is read from. */
START_TEST(a_signal_ends_what_is_read_from_a_socket)
{
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};
	struct sigaction alarmed = {.sa_handler = end};
	int pair[2];
	ssize_t n;
	char c;

	interruption_catch();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	if (_i == 0)
		ck_assert_int_eq(raise(SIGTERM), 0);
	interruption_shuts(pair[0]);
	ck_assert_int_eq(sigaction(SIGALRM, &alarmed, NULL), 0);
	if (_i == 1)
		ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	do {
		n = read(pair[0], &c, 1);
	} while (n < 0 && errno == EINTR);
	ck_assert_int_eq(n, 0);
	ck_assert(interrupted());
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(without_a_signal_it_is_poll)
{
	interruption_catch();
	ck_assert_int_eq(interruption_poll(NULL, 0, 1), 0);
	ck_assert(!interrupted());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("interruption");
	TCase *t = tcase_create("poll");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_signal_before_the_wait_ends_it);
	tcase_add_test(t, a_held_signal_ends_it);
	tcase_add_test(t, a_signal_within_the_wait_ends_it);
	tcase_add_loop_test(t, a_signal_ends_what_is_read_from_a_socket, 0, 2);
	tcase_add_test(t, without_a_signal_it_is_poll);
	suite_add_tcase(s, t);
	/* whatever CK_FORK says: cases change what belongs to the process (signals, limits) */
	srunner_set_fork_status(r, CK_FORK);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
