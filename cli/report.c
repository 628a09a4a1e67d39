/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - messages, JSON on standard output, interruption, scoped things
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli.h"

static volatile sig_atomic_t was_interrupted;

static void say(const char *prefix, const char *fmt, va_list ap) PRINTF(2, 0);
static void say(const char *prefix, const char *fmt, va_list ap)
{
	progress_end();
	fflush(stdout);
	fputs(prefix, stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("cowbd: ", fmt, ap);
	va_end(ap);
	return FAILED;
}

int usage_error(const struct call *c, const char *fmt, ...)
{
	char text[512];
	const char *name = c->command ? c->command->name : "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	complain("%s%s%s: see `cowbd %s%s--help`", name, name[0] ? ": " : "", text, name,
		 name[0] ? " " : "");
	return USAGE;
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("cowbd: note: ", fmt, ap);
	va_end(ap);
}

int complain_library(void)
{
	return complain("%s", cowbd_error());
}

int print_json(json_t *answer)
{
	SCOPED_JSON json_t *out = json_pack("{s:i}", "version", 1);

	if (!out || json_object_update_missing(out, answer) < 0 ||
	    json_dumpf(out, stdout, JSON_INDENT(2)) < 0)
		return complain("can't write JSON to standard output");
	putchar('\n');
	return DONE;
}

/* ---- interruption ------------------------------------------------------------------- */

static volatile sig_atomic_t shut = -1; /* ends with an interruption */

static void on_signal(int number)
{
	int err = errno;

	(void)number;
	was_interrupted = 1;
	if (shut >= 0)
		(void)shutdown(shut, SHUT_RD);
	errno = err;
}

void interruption_catch(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

bool interrupted(void)
{
	return was_interrupted;
}

void interruption_shuts(int fd)
{
	shut = fd;
	if (fd >= 0 && interrupted())
		(void)shutdown(fd, SHUT_RD);
}

static unsigned holds;      /* interruption_hold without its release */
static sigset_t held_since; /* the mask before the first */

static void fill_interruptions(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void interruption_hold(void)
{
	sigset_t set;

	fill_interruptions(&set);
	if (holds++ == 0)
		sigprocmask(SIG_BLOCK, &set, &held_since);
}

void interruption_release(void)
{
	if (--holds == 0)
		sigprocmask(SIG_SETMASK, &held_since, NULL);
}

void interruption_in_child(void)
{
	if (holds)
		sigprocmask(SIG_SETMASK, &held_since, NULL);
}

int interruption_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
	int ready = -1;

	interruption_hold();
	errno = EINTR;
	if (!interrupted())
		ready = ppoll(fds, n, timeout_ms < 0 ? NULL : &t, &held_since);
	interruption_release();
	return ready;
}

bool interruption_waits(void)
{
	sigset_t set;

	return holds == 1 && sigpending(&set) == 0 &&
	       (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1 ||
		sigismember(&set, SIGHUP) == 1);
}

/* ---- scoped things ------------------------------------------------------------------- */

void cleanup_text(char **text)
{
	free(*text);
}

void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void cleanup_answer(json_t **json)
{
	json_decref(*json);
}
