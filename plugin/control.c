/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - the control socket: management commands of a served pool
 *
 *	accept thread ---- one thread a connection: greeting, then line -> admin_call -> line, in turn
 *
 * Invariants
 *   [CTL-1] Only uid 0, our own uid and members of control-group are served, whatever the mode of the
 *           socket says.
 *   [CTL-2] A connection costs at most one line of memory, and 30 s of patience for half a line
 *           or an answer that is not taken.
 *   [CTL-3] A connection that is open when the server ends is closed after the pool is, so that
 *           end of file there means: closed and unlocked.
 *
 * Concurrency: a slot belongs to the accept thread while FREE, to its connection's thread while
 * OPEN; its state, and the closing of its descriptor, are under the lock.
 */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "access.h"
#include "events.h"
#include "rundir.h"

#define PATIENCE_S 30
#define LINGER_MS 1000
#define PROGRESS_EVERY_MS 100
#define STACK_BYTES (1u << 20)

enum slot_state { FREE, OPEN, ENDED };

struct slot {
	enum slot_state state; /* under lock */
	int fd;                /* closed under lock */
	pthread_t thread;
};

/* What came and is not yet a whole line. */
struct reader {
	int fd;
	char *buf;
	size_t room, used;
	size_t taken;              /* bytes of the line handed out last */
	struct subscriber *events; /* NULL: not subscribed */
};

struct request {
	int fd;
	json_t *id;
	int64_t progress_ms; /* when the last one was sent */
	bool broken;         /* half a line may have been sent */
};

/* nbdkit -D cowbd.patience=SECONDS */
NBDKIT_DLL_PUBLIC int cowbd_debug_patience;

static struct cowbd_pool *pool;
static const struct admin_host *host;
static json_t *greeting;
static int listener = -1, stop_fd = -1;
static bool started;
static pthread_t accept_thread;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot slots[CONTROL_MAX_CONNECTIONS];
static bool stopping; /* under lock */

/* ---- lines --------------------------------------------------------------------------- */

/* [CTL-2], or what the debug flag says: so a test need not take as long. */
static int64_t patience_s(void)
{
	return cowbd_debug_patience > 0 ? cowbd_debug_patience : PATIENCE_S;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* False: the client is gone, or does not read. */
static bool send_text(int fd, const char *text, size_t len, int flags)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t r = send(fd, text + sent, len - sent, MSG_NOSIGNAL | flags);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		sent += (size_t)r;
	}
	return sent == len;
}

/* Sends one object and drops it.  False: as send_text. */
static bool send_object(int fd, json_t *object, int flags)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	size_t len;
	char *line;
	bool sent;

	json_decref(object);
	if (!text)
		return false;
	len = strlen(text);
	line = realloc(text, len + 2);
	if (!line) {
		free(text);
		return false;
	}
	memcpy(line + len, "\n", 2);
	sent = send_text(fd, line, len + 1, flags);
	free(line);
	return sent;
}

static json_t *error_object(json_t *id, int err, const char *message, const char *hint)
{
	return json_pack("{s:O?,s:{s:s,s:s,s:s}}", "id", id, "error", "errno",
			 admin_errno_name(err), "message", message, "hint", hint);
}

static bool send_error(int fd, json_t *id, int err, const char *message, const char *hint)
{
	return send_object(fd, error_object(id, err, message, hint), 0);
}

/* Waits for more of a line; patience is for the rest of a begun one. */
static int wait_readable(int fd, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left;
	int r;

	do {
		left = deadline_ms ? deadline_ms - now_ms() : -1;
		if (deadline_ms && left <= 0)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)left);
	} while (r == 0 || (r < 0 && errno == EINTR));
	return r < 0 ? -errno : 0;
}

/* Sends the events that wait.  False: as send_text. */
static bool send_events(struct reader *r)
{
	bool sent = true;
	char *line;

	while (sent && (line = events_take(r->events))) {
		sent = send_text(r->fd, line, strlen(line), 0);
		free(line);
	}
	return sent;
}

/* The same between lines, where events are sent. */
static int wait_line(struct reader *r, int64_t deadline_ms)
{
	struct pollfd p[2] = {{.fd = r->fd, .events = POLLIN}, {.events = POLLIN}};

	if (!r->events || r->used)
		return wait_readable(r->fd, deadline_ms);
	p[1].fd = events_fd(r->events);
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents && !send_events(r))
			return -EPIPE;
		if (p[0].revents)
			return 0;
	}
}

static bool make_room(struct reader *r)
{
	size_t room = r->room ? 2 * r->room : 4096;
	char *larger;

	if (r->used < r->room)
		return true;
	room = room < CONTROL_MAX_LINE + 1 ? room : CONTROL_MAX_LINE + 1;
	larger = realloc(r->buf, room);
	if (!larger)
		return false;
	r->buf = larger;
	r->room = room;
	return true;
}

/* The next line without its end, in r until the next call.  1, 0 at the end of file, -EMSGSIZE,
 * -ETIMEDOUT, or another -errno. */
static int read_line(struct reader *r, char **ret_line, size_t *ret_len)
{
	int64_t deadline_ms = 0;
	size_t seen = 0;
	ssize_t got;
	char *end;
	int err;

	if (r->taken) {
		r->used -= r->taken;
		memmove(r->buf, r->buf + r->taken, r->used);
		r->taken = 0;
	}
	for (;;) {
		end = r->used > seen ? memchr(r->buf + seen, '\n', r->used - seen) : NULL;
		if (end) {
			*ret_line = r->buf;
			*ret_len = (size_t)(end - r->buf);
			r->taken = *ret_len + 1;
			return 1;
		}
		seen = r->used;
		if (r->used > CONTROL_MAX_LINE)
			return -EMSGSIZE;
		if (r->used && !deadline_ms)
			deadline_ms = now_ms() + patience_s() * 1000;
		if (!make_room(r))
			return -ENOMEM;
		err = wait_line(r, deadline_ms);
		if (err)
			return err;
		got = recv(r->fd, r->buf + r->used, r->room - r->used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : 0;
		r->used += (size_t)got;
	}
}

/* A client that writes a whole long line before it reads would meet a closed pipe instead of our
 * answer: takes in, for a moment, what it still sends. */
static void linger(int fd)
{
	int64_t deadline_ms = now_ms() + LINGER_MS;
	char waste[4096];

	shutdown(fd, SHUT_WR);
	while (wait_readable(fd, deadline_ms) == 0 && recv(fd, waste, sizeof waste, 0) > 0)
		;
}

/* ---- requests ------------------------------------------------------------------------ */

/* admin_call reports from the thread that called it.  How far it is ("done") is said ten times a
 * second at most; what it found is said always. */
static void send_progress(void *opaque, json_t *progress)
{
	struct request *q = opaque;
	int64_t now = now_ms();

	if (q->broken)
		return;
	if (json_object_get(progress, "done")) {
		if (now - q->progress_ms < PROGRESS_EVERY_MS)
			return;
		q->progress_ms = now;
	}
	q->broken =
		!send_object(q->fd, json_pack("{s:O?,s:O}", "id", q->id, "progress", progress), 0);
}

/* Once more: fine, and nothing else. */
static bool subscribe(struct reader *r, json_t *id)
{
	if (!r->events)
		r->events = events_subscribe();
	if (!r->events)
		return send_error(r->fd, id, -ENOMEM, "no memory to send events", "");
	return send_object(r->fd, json_pack("{s:O?,s:{s:b}}", "id", id, "ok", "subscribed", 1), 0);
}

/* What changed something is an event. */
static void tell_command(const char *cmd, json_t *args, json_t *answer)
{
	if (!admin_reads_only(cmd) && !json_is_true(json_object_get(args, "dry_run")))
		events_tell(
			json_pack("{s:s,s:O*,s:O}", "event", cmd, "args", args, "result", answer));
}

static bool run_request(struct reader *r, json_t *id, const char *cmd, json_t *args)
{
	int fd = r->fd;
	struct request q = {.fd = fd, .id = id};
	json_t *answer = NULL;
	int err;

	if (!strcmp(cmd, "subscribe"))
		return subscribe(r, id);
	err = admin_call(pool, host, cmd, args, send_progress, &q, &answer);
	if (q.broken) {
		json_decref(answer);
		return false;
	}
	if (err)
		return send_error(fd, id, err, cowbd_error(), admin_hint());
	tell_command(cmd, args, answer);
	return send_object(fd, json_pack("{s:O?,s:o}", "id", id, "ok", answer), 0);
}

/* Answers one line.  False: hang up. */
static bool serve_line(struct reader *r, const char *line, size_t len)
{
	int fd = r->fd;
	json_error_t why;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	json_t *id, *v, *cmd, *args;
	char message[256];
	bool alive;

	if (!request) {
		snprintf(message, sizeof message, "not JSON: %s", why.text);
		send_error(fd, NULL, -EINVAL, message, "send one JSON object a line");
		return false;
	}
	id = json_object_get(request, "id");
	v = json_object_get(request, "v");
	cmd = json_object_get(request, "cmd");
	args = json_object_get(request, "args");
	if (json_is_null(args))
		args = NULL;
	if (!json_is_object(request))
		alive = send_error(fd, NULL, -EINVAL, "a request is a JSON object", "");
	else if (v && json_integer_value(v) != 1)
		alive = send_error(fd, id, -EOPNOTSUPP,
				   "only version 1 of the protocol is spoken here",
				   "use the cowbd command of the version that serves the pool");
	else if (!json_is_string(cmd))
		alive = send_error(fd, id, -EINVAL, "a request needs a string \"cmd\"", "");
	else if (args && !json_is_object(args))
		alive = send_error(fd, id, -EINVAL, "\"args\" is an object", "");
	else
		alive = run_request(r, id, json_string_value(cmd), args);
	json_decref(request);
	return alive;
}

static void serve_lines(int fd)
{
	struct reader r = {.fd = fd};
	size_t len = 0;
	char *line = NULL;
	int got;

	while ((got = read_line(&r, &line, &len)) > 0)
		if (!serve_line(&r, line, len))
			break;
	if (got == -EMSGSIZE)
		send_error(fd, NULL, got, "a line is longer than 1 MiB", "");
	else if (got == -ETIMEDOUT)
		send_error(fd, NULL, got, "no end of line within 30 s", "");
	if (got != 0)
		linger(fd);
	events_unsubscribe(r.events);
	free(r.buf);
}

static void *serve_connection(void *opaque)
{
	struct slot *slot = opaque;

	if (send_object(slot->fd, json_incref(greeting), 0))
		serve_lines(slot->fd);
	pthread_mutex_lock(&lock);
	if (!stopping) { /* [CTL-3] */
		close(slot->fd);
		slot->fd = -1;
	}
	slot->state = ENDED;
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* ---- connections --------------------------------------------------------------------- */

/* A free slot, or NULL; ended ones become free on the way. */
static struct slot *find_slot(void)
{
	struct slot *found = NULL;

	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
		struct slot *slot = &slots[i];
		bool ended;

		pthread_mutex_lock(&lock);
		ended = slot->state == ENDED;
		pthread_mutex_unlock(&lock);
		if (ended) {
			pthread_join(slot->thread, NULL);
			slot->state = FREE; /* no thread but ours knows it now */
		}
		if (slot->state == FREE && !found)
			found = slot;
	}
	return found;
}

/* Nobody waits for a client here: what doesn't fit into its socket at once is lost. */
static void refuse(int fd, int err, const char *message, const char *hint)
{
	(void)send_object(fd, error_object(NULL, err, message, hint), MSG_DONTWAIT);
	close(fd);
}

static void begin_connection(int fd)
{
	struct timeval patience = {.tv_sec = patience_s()};
	struct slot *slot = find_slot();
	pthread_attr_t attributes;
	int err;

	if (!access_may_manage(fd)) { /* [CTL-1] */
		refuse(fd, -EPERM, "only root and the user that serves the pool may manage it",
		       "or members of the group that control-group names");
		return;
	}
	if (!slot) {
		refuse(fd, -EBUSY, "64 control connections are open already", "try again later");
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* [CTL-2] */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_mutex_lock(&lock);
	slot->fd = fd;
	err = pthread_create(&slot->thread, &attributes, serve_connection, slot);
	slot->state = err ? FREE : OPEN;
	pthread_mutex_unlock(&lock);
	pthread_attr_destroy(&attributes);
	if (err)
		refuse(fd, -err, "no thread for this connection", "try again later");
}

static void *accept_main(void *unused)
{
	struct pollfd wait[2] = {{.fd = listener, .events = POLLIN},
				 {.fd = stop_fd, .events = POLLIN}};
	struct timespec pause = {.tv_nsec = 100000000};
	int fd;

	(void)unused;
	for (;;) {
		if (poll(wait, 2, -1) < 0)
			continue;
		if (wait[1].revents)
			return NULL;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			begin_connection(fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			nanosleep(&pause, NULL); /* out of descriptors: don't spin */
	}
}

/* ---- public -------------------------------------------------------------------------- */

int control_bind(struct cowbd_pool *p, const char *path)
{
	return rundir_bind(p, path, &listener);
}

const char *control_error(void)
{
	return rundir_error();
}

int control_listener(void)
{
	return listener;
}

const char *control_path(void)
{
	return rundir_control_path();
}

static json_t *make_greeting(const char *uri, const char *nbd_socket)
{
	struct cowbd_pool_info *info = malloc(sizeof *info);
	json_t *hello;

	if (!info)
		return NULL;
	cowbd_pool_info(pool, info);
	hello = json_pack("{s:s,s:s,s:s,s:I,s:I,s:i,s:s,s:b,s:s?,s:s?}", "pool", info->uuid, "name",
			  info->name, "path", info->path, "dev", (json_int_t)info->dev, "ino",
			  (json_int_t)info->ino, "pid", (int)getpid(), "version", cowbd_version(),
			  "read_only", info->read_only, "uri", uri, "socket", nbd_socket);
	free(info);
	return hello ? json_pack("{s:i,s:o}", "v", 1, "hello", hello) : NULL;
}

int control_start(struct cowbd_pool *p, const struct admin_host *h, const char *uri,
		  const char *nbd_socket)
{
	int err;

	if (listener < 0)
		return 0;
	pool = p;
	host = h;
	greeting = make_greeting(uri, nbd_socket);
	stop_fd = eventfd(0, EFD_CLOEXEC);
	if (!greeting || stop_fd < 0)
		return -ENOMEM;
	if (nbd_socket)
		rundir_link_nbd(nbd_socket);
	err = pthread_create(&accept_thread, NULL, accept_main, NULL);
	started = !err;
	return -err;
}

void control_stop(void)
{
	ssize_t r;

	if (!started)
		return;
	r = write(stop_fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)r;
	pthread_join(accept_thread, NULL);
	pthread_mutex_lock(&lock);
	stopping = true;
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++)
		if (slots[i].state == OPEN)
			shutdown(slots[i].fd, SHUT_RD);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++)
		if (slots[i].state != FREE)
			pthread_join(slots[i].thread, NULL);
	started = false;
}

void control_finish(int err)
{
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
		json_t *last = json_pack("{s:s}", "event", "closed");

		if (slots[i].state == FREE || slots[i].fd < 0) {
			json_decref(last);
			continue;
		}
		if (err)
			json_object_set_new(last, "error",
					    json_pack("{s:s,s:s,s:s}", "errno",
						      admin_errno_name(err), "message",
						      cowbd_error(), "hint", ""));
		(void)send_object(slots[i].fd, last, MSG_DONTWAIT);
		close(slots[i].fd);
		slots[i].state = FREE;
	}
	rundir_unbind();
	if (listener >= 0)
		close(listener);
	if (stop_fd >= 0)
		close(stop_fd);
	listener = stop_fd = -1;
	json_decref(greeting);
	greeting = NULL;
}
