/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * freeze.c - file systems that hold still while a snapshot is taken
 *
 *	command    ---- FIFREEZE ... ---- snapshot ---- FITHAW ...
 *	watchdog   ---- waits: for the command's end, its death, or LIMIT seconds -> FITHAW ...
 *
 * Invariants
 *   [FREEZE-1] The watchdog is there, with all descriptors, before the first FIFREEZE: whatever
 *              becomes of the command, its file systems are thawed.
 *   [FREEZE-2] A FITHAW that finds nothing frozen tells the command that the watchdog was first: then
 *              what was taken is no frozen snapshot.
 *   [FREEZE-3] What the daemon or the command need to write is never frozen: the pool, the run
 *              directory, the tail.
 */
#include "freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_SECONDS 10

/* ---- choosing -------------------------------------------------------------------------- */

void freeze_free(struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->dir[i]);
		if (f->fd[i] >= 0)
			close(f->fd[i]);
	}
	f->n = 0;
}

static dev_t device_of(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 ? st.st_dev : 0;
}

/* [FREEZE-3] */
static int refuse_own(struct session *s, const char *dir)
{
	SCOPED_JSON json_t *status = NULL;
	char run_dir[PATH_MAX];
	dev_t dev = device_of(dir);
	const char *socket, *tail;

	if (session_call(s, "status", NULL, NULL, NULL, &status) < 0)
		return session_complain(s);
	socket = json_string_value(json_object_get(status, "socket"));
	tail = json_string_value(json_object_get(status, "tail"));
	if (dev == device_of(s->path))
		return complain("%s holds the pool itself: it can't be frozen", dir);
	if ((socket && dev == device_of(socket)) ||
	    (cowbd_run_dir(run_dir, sizeof run_dir) == 0 && dev == device_of(run_dir)))
		return complain("%s holds the daemon's sockets: it can't be frozen", dir);
	if (tail && tail[0] == '/' && dev == device_of(tail))
		return complain("%s holds the daemon's tail: it can't be frozen", dir);
	return DONE;
}

/* Mounts of one file system freeze it once. */
static int add_dir(struct session *s, struct freeze *f, const char *dir)
{
	int status, fd;

	for (size_t i = 0; i < f->n; i++)
		if (device_of(f->dir[i]) == device_of(dir))
			return DONE;
	status = refuse_own(s, dir);
	if (status)
		return status;
	if (f->n == FREEZE_MAX)
		return complain("more than %d file systems can't be frozen at once", FREEZE_MAX);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain("%s: %s", dir, strerror(errno));
	f->fd[f->n] = fd;
	f->dir[f->n] = strdup(dir);
	return f->dir[f->n++] ? DONE : complain("no memory for a path");
}

/* Adds the mounts of one more disk; *all: theirs and the others', by age. */
static int add_mounts(struct mounts *all, const struct attachment *a)
{
	struct mounts m;
	struct mounted *list;
	int status = mounts_of(a, &m);

	if (status)
		return status;
	list = realloc(all->list, (all->n + m.n + 1) * sizeof *list);
	if (!list) {
		mounts_free(&m);
		return complain("no memory for mounts");
	}
	all->list = list;
	memcpy(list + all->n, m.list, m.n * sizeof *list);
	all->n += m.n;
	free(m.list);
	return DONE;
}

static int compare_places(const void *a, const void *b)
{
	const struct mounted *x = a, *y = b;

	return (x->place < y->place) - (x->place > y->place);
}

static int choose(struct session *s, const struct mounts *all, const char *dir, struct freeze *f)
{
	SCOPED_TEXT char *real = NULL;
	int status = DONE;

	if (strcmp(dir, "auto") == 0) {
		for (size_t i = 0; !status && i < all->n; i++)
			status = add_dir(s, f, all->list[i].target);
		return status;
	}
	real = realpath(dir, NULL);
	if (!real)
		return complain("%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < all->n; i++)
		if (device_of(all->list[i].target) == device_of(real))
			return add_dir(s, f, real);
	return complain("%s is on none of the disks that the snapshot is of", dir);
}

int freeze_choose(struct session *s, const uint64_t *ids, size_t n, const char *dir,
		  struct freeze *ret)
{
	SCOPED_MOUNTS struct mounts all = {0};
	int status = DONE;

	*ret = (struct freeze){.leash = -1};
	for (size_t i = 0; !status && i < n; i++) {
		SCOPED_ATTACHMENTS struct attachments there = {0};

		status = attachments_find(s->uuid, ids[i], &there);
		ret->attached |= there.n > 0;
		for (size_t k = 0; !status && k < there.n; k++)
			status = add_mounts(&all, &there.list[k]);
	}
	if (!status && all.n)
		qsort(all.list, all.n, sizeof *all.list, compare_places);
	if (!status)
		status = choose(s, &all, dir, ret);
	if (status)
		freeze_free(ret);
	return status;
}

/* ---- the watchdog ---------------------------------------------------------------------------- */

/* $COWBD_FREEZE_SECONDS: for tests. */
static int limit_ms(void)
{
	const char *text = getenv("COWBD_FREEZE_SECONDS");
	long seconds = text ? strtol(text, NULL, 10) : 0;

	return (seconds > 0 && seconds < 60 ? (int)seconds : LIMIT_SECONDS) * 1000;
}

static void watch(const struct freeze *f, int leash)
{
	struct pollfd p = {.fd = leash, .events = POLLIN};
	char done;

	setsid(); /* what is typed at the command is not for us */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	while (poll(&p, 1, limit_ms()) < 0 && errno == EINTR)
		;
	if (p.revents && read(leash, &done, 1) == 1)
		_exit(0);
	for (size_t i = f->n; i > 0; i--)
		(void)ioctl(f->fd[i - 1], FITHAW, 0);
	_exit(0);
}

static int start_watchdog(struct freeze *f)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return complain("can't make a pair of sockets: %s", strerror(errno));
	fflush(NULL);
	f->watchdog = fork();
	if (f->watchdog == 0) {
		close(ends[1]);
		watch(f, ends[0]);
	}
	close(ends[0]);
	f->leash = ends[1];
	if (f->watchdog < 0) {
		close(f->leash);
		return complain("can't fork: %s", strerror(errno));
	}
	return DONE;
}

static void end_watchdog(struct freeze *f)
{
	ssize_t r = send(f->leash, "", 1, MSG_NOSIGNAL);

	(void)r; /* it may have gone */
	close(f->leash);
	f->leash = -1;
	while (waitpid(f->watchdog, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- freezing ---------------------------------------------------------------------------------- */

bool freeze_end(struct freeze *f)
{
	bool held = true;

	while (f->frozen > 0)                                 /* the last one first */
		if (ioctl(f->fd[--f->frozen], FITHAW, 0) < 0) /* [FREEZE-2] */
			held = false;
	end_watchdog(f);
	return held;
}

static int freeze_trouble(const char *dir, int err)
{
	if (err == EBUSY)
		return complain("%s is frozen already: somebody else does this: try again", dir);
	if (err == EOPNOTSUPP || err == ENOTTY)
		return complain("%s: its file system can't be frozen", dir);
	return complain("%s: can't freeze it: %s", dir, strerror(err));
}

int freeze_begin(struct freeze *f)
{
	int status = start_watchdog(f); /* [FREEZE-1] */

	if (status)
		return status;
	while (f->frozen < f->n) {
		if (ioctl(f->fd[f->frozen], FIFREEZE, 0) < 0) {
			int err = errno;

			(void)freeze_end(f);
			return freeze_trouble(f->dir[f->frozen], err);
		}
		f->frozen++;
	}
	return DONE;
}
