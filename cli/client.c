/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.c - talks to a daemon through its control socket: one JSON object a line
 *
 * See cowbd-protocol(7).  The daemon speaks first and says whose pool it serves.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

#define PROTOCOL 1
#define HELLO_SECONDS 10 /* more than any daemon takes that still works */
#define INTERRUPTED_SECONDS 5
#define REQUEST_BYTES_MAX (1u << 20)

struct client {
	FILE *in;
	int fd;     /* the same socket, for writing */
	char *line; /* the last one read */
	size_t room;
	json_int_t id; /* of the last request */
};

static int trouble_set(struct trouble *t, int err, const char *fmt, ...) PRINTF(3, 4);
static int trouble_set(struct trouble *t, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->message, sizeof t->message, fmt, ap);
	va_end(ap);
	t->hint[0] = '\0';
	t->lost = false;
	return err;
}

/* A volume has the size that was asked for last. */
bool client_may_repeat(const char *cmd)
{
	return admin_reads_only(cmd) || strcmp(cmd, "resize") == 0;
}

static int trouble_lost(struct trouble *t, int err, const char *cmd)
{
	trouble_set(t, err, "the daemon went away before it answered %s: %s", cmd,
		    client_may_repeat(cmd) ? "run it again" : "look whether it took effect");
	t->lost = true;
	return err;
}

int unix_connect(const char *path, int flags, int *ret_fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* The next line as JSON, NULL at the end of the connection or for what is none.  Who is interrupted has the answer
 * still that is under way, unless the daemon answers nothing any more. */
static json_t *read_message(struct client *k)
{
	const struct timeval limit = {.tv_sec = INTERRUPTED_SECONDS};
	ssize_t n;

	for (;;) {
		errno = 0;
		n = getline(&k->line, &k->room, k->in);
		if (n >= 0 || errno != EINTR)
			break;
		clearerr(k->in);
		if (interrupted())
			setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	}
	return n < 0 ? NULL : json_loadb(k->line, (size_t)n, 0, NULL);
}

/* A daemon that was killed has its socket open until the kernel comes to it: who connects then is hung up
 * on, and nobody listens. */
static int no_hello(struct client *k, int err)
{
	if (feof(k->in) || (ferror(k->in) && err == ECONNRESET))
		return -ECONNREFUSED;
	return ferror(k->in) ? -ETIMEDOUT : -EPROTO;
}

static int read_hello(struct client *k, struct hello *ret)
{
	struct timeval limit = {.tv_sec = HELLO_SECONDS}, none = {0};
	const char *uuid, *name, *version;
	SCOPED_JSON json_t *m = NULL;
	json_int_t dev, ino;
	struct hello h = {0};
	int v, err;

	setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	m = read_message(k);
	err = errno;
	setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
	if (!m)
		return no_hello(k, err);
	if (json_unpack(m, "{s:i, s:{s:s, s:s, s:I, s:I, s:i, s:s}}", "v", &v, "hello", "pool",
			&uuid, "name", &name, "dev", &dev, "ino", &ino, "pid", &h.pid, "version",
			&version) < 0 ||
	    v != PROTOCOL)
		return -EPROTO;
	snprintf(h.uuid, sizeof h.uuid, "%s", uuid);
	snprintf(h.name, sizeof h.name, "%s", name);
	snprintf(h.version, sizeof h.version, "%s", version);
	h.dev = (uint64_t)dev;
	h.ino = (uint64_t)ino;
	*ret = h;
	return 0;
}

int client_connect(const char *path, struct client **ret_client, struct hello *ret_hello)
{
	struct client *k = calloc(1, sizeof *k);
	int err;

	if (!k)
		return -ENOMEM;
	k->fd = -1;
	err = unix_connect(path, 0, &k->fd);
	if (!err && !(k->in = fdopen(k->fd, "r")))
		err = -ENOMEM;
	if (!err)
		err = read_hello(k, ret_hello);
	if (err) {
		client_close(k);
		return err;
	}
	*ret_client = k;
	return 0;
}

void client_close(struct client *k)
{
	if (!k)
		return;
	if (k->in)
		fclose(k->in);
	else if (k->fd >= 0)
		close(k->fd);
	free(k->line);
	free(k);
}

/* ---- requests --------------------------------------------------------------------- */

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_request(struct client *k, const char *cmd, json_t *args, struct trouble *t)
{
	SCOPED_JSON json_t *m = json_pack("{s:i, s:I, s:s, s:O*}", "v", PROTOCOL, "id", ++k->id,
					  "cmd", cmd, "args", args);
	SCOPED_TEXT char *text = m ? json_dumps(m, JSON_COMPACT) : NULL;
	size_t len;
	int err;

	if (!text)
		return trouble_set(t, -ENOMEM, "no memory for a request");
	len = strlen(text);
	if (len >= REQUEST_BYTES_MAX)
		return trouble_set(t, -E2BIG,
				   "too many names for one request: use several commands");
	text[len] = '\n'; /* in place of the NUL: one line is one send, and wakes the daemon once */
	err = send_all(k->fd, text, len + 1);
	return err ? trouble_lost(t, err, cmd) : 0;
}

static int answer_error(json_t *error, struct trouble *t)
{
	const char *name = json_string_value(json_object_get(error, "errno"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	int err = name ? admin_errno(name) : 0;

	trouble_set(t, 0, "%s", message ? message : "the daemon refused and did not say why");
	snprintf(t->hint, sizeof t->hint, "%s", hint ? hint : "");
	return err ? -err : -EIO;
}

int client_call(struct client *k, const char *cmd, json_t *args, admin_progress progress,
		void *opaque, json_t **ret_ok, struct trouble *t)
{
	int err;

	t->lost = false;
	err = send_request(k, cmd, args, t);
	if (err)
		return err;
	for (;;) {
		SCOPED_JSON json_t *m = read_message(k);
		json_t *part;

		if (!m)
			return trouble_lost(t, -EPIPE, cmd);
		if (json_integer_value(json_object_get(m, "id")) != k->id)
			continue; /* an event */
		if ((part = json_object_get(m, "progress"))) {
			if (progress)
				progress(opaque, part);
		} else if ((part = json_object_get(m, "ok"))) {
			*ret_ok = json_incref(part);
			return 0;
		} else {
			return answer_error(json_object_get(m, "error"), t);
		}
	}
}

void client_wait_end(struct client *k, struct trouble *t)
{
	json_t *m;

	while ((m = read_message(k))) {
		json_t *error = json_object_get(m, "error");

		if (error)
			(void)answer_error(error, t);
		json_decref(m);
	}
}

bool client_events(struct client *k, void (*event)(void *opaque, json_t *event), void *opaque,
		   struct trouble *t)
{
	bool closed = false;
	json_t *m;

	interruption_shuts(k->fd);
	while ((m = read_message(k))) {
		const char *name = json_string_value(json_object_get(m, "event"));
		json_t *error = json_object_get(m, "error");

		if (name)
			event(opaque, m);
		closed = name && strcmp(name, "closed") == 0;
		if (error)
			(void)answer_error(error, t);
		json_decref(m);
	}
	interruption_shuts(-1);
	return closed;
}

bool client_wait_end_until(struct client *k, unsigned ms, struct trouble *t)
{
	struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	client_wait_end(k, t);
	return feof(k->in) != 0;
}
