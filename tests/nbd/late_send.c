/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * late_send.c - preloaded into nbdkit: a thread that has an answer to send is late, as where it gets no processor
 *
 * It is busy meanwhile; a sleep would be a thread that waits.  The answers without data alone are
 * late, those of writes and flushes.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#define LATE_MS 30
#define SIMPLE_REPLY 16 /* bytes */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* So that a test can see that it is at work. */
static void say_once(void)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&said))
		fprintf(stderr, "late_send: answers are late\n");
}

__attribute__((visibility("default"))) ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	ssize_t (*next)(int, const void *, size_t, int);
	int64_t until = now_ms() + LATE_MS;

	*(void **)&next = dlsym(RTLD_NEXT, "send");
	if (len == SIMPLE_REPLY)
		say_once();
	while (len == SIMPLE_REPLY && now_ms() < until)
		;
	return next(fd, buf, len, flags);
}
