/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - the Unix socket on which a daemon is to listen, made before there is the daemon
 *
 * It is bound under a name of its own and renamed into place once it listens (as rundir.c does it with the control
 * socket), by way of /proc/self/fd: a socket's path has at most 107 bytes, and the name must not make it longer.
 * That name is what getsockname(2) tells ever after, so the daemon is told the path.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

#define FIRST_FD 3     /* SD_LISTEN_FDS_START */
#define DYING_MS 2000u /* what somebody gets who listens to be gone */
#define PAUSE_MS 100u

/* ---- what is there -------------------------------------------------------------------- */

/* 0 if somebody listens there, else -errno. */
static int knock(const char *path)
{
	SCOPED_FD int fd = -1;
	int err = unix_connect(path, SOCK_NONBLOCK, &fd);

	return err == -EAGAIN ? 0 : err;
}

/* Refuses what must not be replaced.  A daemon that was killed listens until it is gone: it gets a moment. */
static int may_replace(const char *path, bool take_over)
{
	struct stat st;
	int err;

	if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
		return complain("socket %s: its path has %zu bytes, and sockets can have 107: set "
				"COWBD_RUNDIR or --socket to a shorter one",
				path, strlen(path));
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? DONE : complain("%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return complain("%s is there, and no socket: take it away, or choose --socket",
				path);
	if (take_over)
		return DONE;
	for (unsigned tries = 0; (err = knock(path)) == 0; tries++) {
		if (tries == DYING_MS / PAUSE_MS)
			return complain("%s: somebody listens there: stop it, or choose --socket",
					path);
		usleep(PAUSE_MS * 1000);
	}
	return err == -ECONNREFUSED || err == -ENOENT ? DONE
						      : complain("%s: %s", path, strerror(-err));
}

static int open_directory(const char *path, struct listener *l)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char dir[PATH_MAX];

	if (!*name || snprintf(l->name, sizeof l->name, "%s", name) >= (int)sizeof l->name)
		return complain("socket %s: this can't be the name of a socket", path);
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(name - path) : 1, slash ? path : ".");
	l->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return l->dir < 0 ? complain("socket %s: directory %s: %s", path, dir, strerror(errno))
			  : DONE;
}

/* ---- the new one ------------------------------------------------------------------------- */

static int listen_as(struct listener *l, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;

	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", l->dir, name);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    listen(l->fd, SOMAXCONN) < 0 || fstatat(l->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

/* The group first: until then the mode is our own user's.  What may not be set now, the daemon sets or tells. */
static void as_before(const struct listener *l, const char *name)
{
	struct stat st;

	if (fstatat(l->dir, l->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fchownat(l->dir, name, (uid_t)-1, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0)
		(void)!fchmodat(l->dir, name, st.st_mode & 0777, 0);
}

static int put_in_place(struct listener *l, const char *name, bool take_over)
{
	char before[sizeof l->before];

	if (take_over) {
		as_before(l, name);
		snprintf(before, sizeof before, ".cowbd-%d.old", (int)getpid());
		(void)unlinkat(l->dir, before, 0);
		if (linkat(l->dir, l->name, l->dir, before, 0) == 0)
			strcpy(l->before, before);
		else if (errno != ENOENT)
			return -errno;
	}
	return renameat(l->dir, name, l->dir, l->name) < 0 ? -errno : 0;
}

int listener_open(const char *path, bool take_over, struct listener *ret)
{
	struct listener l = {.fd = -1, .dir = -1};
	char name[32];
	int err = 0, status = may_replace(path, take_over);

	snprintf(name, sizeof name, ".cowbd-%d.new", (int)getpid());
	if (!status)
		status = open_directory(path, &l);
	if (!status) {
		(void)unlinkat(l.dir, name, 0);
		err = listen_as(&l, name);
		if (!err)
			err = put_in_place(&l, name, take_over);
		if (err) {
			(void)unlinkat(l.dir, name, 0);
			status = complain("socket %s: %s", path, strerror(-err));
		}
	}
	if (status) {
		listener_keep(&l);
		listener_fini(&l);
	}
	*ret = l;
	return status;
}

int listener_hand_on(const struct listener *l)
{
	char pid[16];

	if (l->fd < 0)
		return DONE;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	if ((l->fd == FIRST_FD ? fcntl(FIRST_FD, F_SETFD, 0) : dup2(l->fd, FIRST_FD)) < 0 ||
	    setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "1", 1) < 0)
		return complain("can't hand a socket on: %s", strerror(errno));
	return DONE;
}

void listener_keep(struct listener *l)
{
	if (l->before[0])
		(void)unlinkat(l->dir, l->before, 0);
	l->before[0] = '\0';
}

void listener_undo(struct listener *l)
{
	struct stat st;

	if (l->dir < 0 || fstatat(l->dir, l->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_dev != l->dev || st.st_ino != l->ino)
		return;
	if (l->before[0])
		(void)renameat(l->dir, l->before, l->dir, l->name);
	else
		(void)unlinkat(l->dir, l->name, 0);
	l->before[0] = '\0';
}

void listener_close(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

void listener_fini(struct listener *l)
{
	listener_close(l);
	if (l->dir >= 0)
		close(l->dir);
	l->dir = -1;
}
