/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_stop.c - cowbd stop: returns when the pool is closed and unlocked
 *
 * The locks go with the process, so its end is what is waited for.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define END_WAIT_MS 60000

/* nbdkit leaves its socket behind. */
static void remove_socket(const char *path)
{
	SCOPED_FD int fd = -1;
	struct stat st;

	if (path && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    unix_connect(path, SOCK_NONBLOCK, &fd) == -ECONNREFUSED)
		unlink(path);
}

static int wait_end(int pidfd, int pid)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int n;

	do {
		n = poll(&ended, 1, END_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return complain(
			"pid %d was told to stop and still works after %d s: look at its log", pid,
			END_WAIT_MS / 1000);
	return DONE;
}

static int stop_daemon(const struct call *c, struct session *s)
{
	SCOPED_JSON json_t *ok = NULL, *args = json_object();
	SCOPED_FD int pidfd = pidfd_open(s->hello.pid, 0);
	struct trouble t = {.message = ""};
	struct address a = {0};
	int status;

	if (session_address(s, "", &a))
		return FAILED;
	if (c->opt[OPT_FORCE])
		json_object_set_new(args, "force", json_true());
	if (session_call(s, "stop", args, NULL, NULL, &ok) < 0) {
		address_fini(&a);
		return session_complain(s);
	}
	client_wait_end(s->daemon, &t);
	status = pidfd < 0 ? DONE : wait_end(pidfd, s->hello.pid);
	if (!status)
		remove_socket(a.socket);
	if (!status && t.message[0])
		status = complain("the daemon has ended, but not well: %s", t.message);
	address_fini(&a);
	return status;
}

int cmd_stop(const struct call *c)
{
	SCOPED_JSON json_t *answer = NULL;
	struct session s;
	int pid = 0, status = session_find(c, &s);

	if (!status && !s.daemon)
		status = complain("pool %s is not served: nothing to stop", s.path);
	pid = s.hello.pid;
	if (!status)
		status = stop_daemon(c, &s);
	status = session_close(&s, status);
	if (status || !c->opt[OPT_JSON])
		return status;
	answer = json_pack("{s:b, s:i}", "stopped", true, "pid", pid);
	return print_json(answer);
}
