/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drain.c - the orderly end: idle clients don't keep a terminated server alive
 *
 * nbdkit on SIGTERM stops accepting and waits for its connection threads; these sit in read(2)
 * until their clients leave, which an idle one never does.  So we catch the signal first:
 *
 *	signal, or `stop` -> eventfd -> drain thread:
 *	  1. new clients are refused
 *	  2. requests under way end and are answered, all clients are hung up on; see handles.c
 *	  3. commit; for no request is in the engine any more, it is the last one (and, where another
 *	     server waits to take over, one before 1, so that this one has little to do)
 *	  4. wait until all connections are closed
 *	  5. nbdkit_shutdown(): nbdkit leaves its loop, and calls .cleanup, where the pool is closed
 *
 * A client that takes no answers keeps its connection, and nbdkit would wait for it for ever.  Two
 * seconds after the signal we close the pool ourselves then, and exit.
 *
 * A second signal goes to nbdkit's own handler: it quits without us, should the commit hang.
 */
#include "drain.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "connections.h"
#include "notify.h"

#define LIMIT_MS 2000
#define POLL_MS 5
#define DIED_STATUS 128 /* and the signal's number, as of a shell */

static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
#define N_SIGNALS (sizeof signals / sizeof signals[0])

/* All set before the thread starts and the handlers are in place. */
static const struct drain_host *host;
static struct sigaction previous[N_SIGNALS];
static int wake_fd = -1;
static pthread_t thread;

static atomic_bool requested; /* the end has begun */
static atomic_bool give_up;   /* nbdkit quit without us */
static atomic_bool commit_ahead;

/* Async-signal-safe. */
static void wake(void)
{
	int saved = errno;
	ssize_t r = write(wake_fd, &(uint64_t){1}, sizeof(uint64_t));

	(void)r;
	errno = saved;
}

/* Who watches over us starts anew what died; what was told to end must not come back, least of all between this one and
 * the next that takes over.  Clients that leave all at once are what an nbdkit of 1.32 dies of. */
static void end_instead_of_dying(int number)
{
	_exit(DIED_STATUS + number);
}

void drain_request(bool ahead)
{
	signal(SIGABRT, end_instead_of_dying);
	if (ahead)
		atomic_store_explicit(&commit_ahead, true, memory_order_release);
	if (!atomic_exchange_explicit(&requested, true, memory_order_acq_rel))
		wake();
}

static void on_signal(int number)
{
	signal(SIGABRT, end_instead_of_dying);
	if (!atomic_exchange_explicit(&requested, true, memory_order_acq_rel)) {
		wake();
		return;
	}
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (signals[i] == number && previous[i].sa_handler != SIG_IGN &&
		    previous[i].sa_handler != SIG_DFL)
			previous[i].sa_handler(number);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Connections that have no handle yet end with their handshake. */
static bool wait_for_connections(int64_t began_ms)
{
	struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

	while (conns_shutdown_all(SHUT_RD) || host->open_handles()) {
		if (now_ms() - began_ms >= LIMIT_MS)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static void *drain_main(void *unused)
{
	uint64_t count;
	int64_t began_ms;

	(void)unused;
	while (read(wake_fd, &count, sizeof count) < 0 && errno == EINTR)
		;
	if (atomic_load_explicit(&give_up, memory_order_acquire))
		return NULL;
	if (atomic_load_explicit(&commit_ahead, memory_order_acquire))
		host->commit();
	began_ms = now_ms();
	notify("STOPPING=1");
	host->begin();
	host->cut();
	host->commit();
	if (!wait_for_connections(began_ms))
		host->abandon();
	nbdkit_shutdown();
	return NULL;
}

int drain_start(const struct drain_host *h)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t all, old;
	int err;

	host = h;
	wake_fd = eventfd(0, EFD_CLOEXEC);
	if (wake_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, drain_main, NULL);
	if (!err)
		for (size_t i = 0; i < N_SIGNALS; i++)
			sigaction(signals[i], &action, &previous[i]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		close(wake_fd);
		wake_fd = -1;
	}
	return -err;
}

void drain_join(void)
{
	if (wake_fd < 0)
		return;
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaction(signals[i], &previous[i], NULL);
	atomic_store_explicit(&give_up, true, memory_order_release);
	wake();
	pthread_join(thread, NULL);
	close(wake_fd);
	wake_fd = -1;
}
