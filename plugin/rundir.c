/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rundir.c - the control socket's place in the file system, and the links to it
 *
 * The socket is bound under a name of its own and renamed into place once it listens: whoever
 * finds it can connect.  We hold the pool's lock, so a socket there that refuses connections was
 * left behind by a killed server; one that answers serves a copy of the pool with the same UUID.
 *
 * What is removed at the end was made by us: the socket is compared by device and inode, the
 * links by what they say.
 */
#include "rundir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define PATH_ROOM 4096
#define BACKLOG 128

static char error[PATH_ROOM + 512];
static char directory[PATH_ROOM]; /* "": the socket has a path of its own, and no links */
static char uuid[37], name[64];
static char file_name[40]; /* device and inode of the pool's file */
static char control_path[PATH_ROOM];
static struct stat bound; /* the socket as we made it */

/* Sets the sentence, returns err. */
static int __attribute__((format(printf, 2, 3))) failed(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof error, format, args);
	va_end(args);
	return err;
}

const char *rundir_error(void)
{
	return error;
}

const char *rundir_control_path(void)
{
	return control_path;
}

/* ---- sockets ------------------------------------------------------------------------- */

static int socket_address(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	if (len >= sizeof ret->sun_path)
		return failed(-ENAMETOOLONG,
			      "%s: a socket's path has at most 107 bytes, this one has %zu; "
			      "set COWBD_RUNDIR to a shorter directory, or control=PATH",
			      path, len);
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, path, len);
	return 0;
}

/* Does somebody answer there? */
static bool is_answered(const char *path)
{
	struct sockaddr_un address;
	bool answered;
	int fd;

	if (socket_address(path, &address))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	answered = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
		   errno == EAGAIN; /* its queue is full */
	close(fd);
	return answered;
}

static int bind_private(const char *path, int *ret_fd)
{
	struct sockaddr_un address;
	mode_t mask;
	int fd, err;

	err = socket_address(path, &address);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(-errno, "control socket: %s", strerror(errno));
	unlink(path);
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&address, sizeof address) ? -errno : 0;
	umask(mask);
	if (!err && listen(fd, BACKLOG))
		err = -errno;
	if (err) {
		close(fd);
		return failed(err, "control socket %s: %s; control=off does without", path,
			      strerror(-err));
	}
	*ret_fd = fd;
	return 0;
}

/* Refuses what is not a socket, and one that answers. */
static int check_place(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT
			       ? 0
			       : failed(-errno, "control socket %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return failed(-EEXIST,
			      "control socket %s: something else is there; remove it, or set "
			      "control=PATH",
			      path);
	if (is_answered(path))
		return failed(-EADDRINUSE,
			      "control socket %s: another server answers there (of a copy of this "
			      "pool?); "
			      "set COWBD_RUNDIR or control=PATH",
			      path);
	return 0;
}

static int bind_at(const char *path, int *ret_fd)
{
	char temporary[PATH_ROOM + 16];
	int fd = -1, err;

	err = check_place(path);
	if (err)
		return err;
	/* As long as the place itself, so that a path that is too long is found here. */
	snprintf(temporary, sizeof temporary, "%s", path);
	if (strlen(temporary) + 2 <= sizeof((struct sockaddr_un *)0)->sun_path)
		strcat(temporary, "~");
	err = bind_private(temporary, &fd);
	if (err)
		return err;
	if (strcmp(temporary, path) != 0 && rename(temporary, path)) {
		err = failed(-errno, "control socket %s: %s", path, strerror(errno));
		unlink(temporary);
	} else if (lstat(path, &bound)) {
		err = failed(-errno, "control socket %s: %s", path, strerror(errno));
	}
	if (err) {
		close(fd);
		return err;
	}
	snprintf(control_path, sizeof control_path, "%s", path);
	*ret_fd = fd;
	return 0;
}

/* ---- the run directory --------------------------------------------------------------- */

/* Makes it if it isn't there; refuses one into which others can put sockets. */
static int open_directory(void)
{
	struct stat st;

	if (cowbd_run_dir(directory, sizeof directory))
		return failed(-errno, "run directory: %s", cowbd_error());
	if (mkdir(directory, 0700) && errno != EEXIST)
		return failed(-errno, "run directory %s: %s; set COWBD_RUNDIR, or control=off",
			      directory, strerror(errno));
	if (stat(directory, &st))
		return failed(-errno, "run directory %s: %s", directory, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return failed(-EPERM,
			      "run directory %s: others can write there; set COWBD_RUNDIR to a "
			      "directory of your own",
			      directory);
	return 0;
}

/* ---- links --------------------------------------------------------------------------- */

/* BASE.SUFFIX -> UUID.SUFFIX; false if BASE can't be a file's name. */
static bool link_paths(const char *base, const char *suffix, char *link, char *target,
		       char *target_path)
{
	if (!directory[0] || !base[0] || base[0] == '.' || strchr(base, '/'))
		return false;
	snprintf(target, PATH_ROOM, "%s.%s", uuid, suffix);
	return snprintf(link, PATH_ROOM, "%s/%s.%s", directory, base, suffix) < PATH_ROOM &&
	       snprintf(target_path, PATH_ROOM, "%s/%s", directory, target) < PATH_ROOM;
}

/* A link of another pool that is served stays: the first one has the name. */
static void make_link(const char *base, const char *suffix)
{
	char link[PATH_ROOM], target[PATH_ROOM], target_path[PATH_ROOM], temporary[PATH_ROOM + 1];
	char there[PATH_ROOM];
	ssize_t len;

	if (!link_paths(base, suffix, link, target, target_path))
		return;
	len = readlink(link, there, sizeof there - 1);
	if (len < 0 && errno == EINVAL)
		return; /* something else is there */
	if (len >= 0) {
		there[len] = 0;
		if (strcmp(there, target) != 0 && is_answered(link)) {
			nbdkit_debug("%s belongs to another pool of this name", link);
			return;
		}
	}
	snprintf(temporary, sizeof temporary, "%s~", link);
	unlink(temporary);
	if (symlink(target, temporary) || rename(temporary, link))
		nbdkit_debug("%s: %s", link, strerror(errno));
}

static void remove_link(const char *base, const char *suffix)
{
	char link[PATH_ROOM], target[PATH_ROOM], target_path[PATH_ROOM], there[PATH_ROOM];
	ssize_t len;

	if (!link_paths(base, suffix, link, target, target_path))
		return;
	len = readlink(link, there, sizeof there - 1);
	if (len < 0)
		return;
	there[len] = 0;
	if (strcmp(there, target) == 0)
		unlink(link);
}

/* ---- public -------------------------------------------------------------------------- */

int rundir_bind(struct cowbd_pool *p, const char *path, int *ret_fd)
{
	struct cowbd_pool_info *info;
	char default_path[PATH_ROOM + 64];
	int err;

	if (path)
		return bind_at(path, ret_fd);
	info = malloc(sizeof *info);
	if (!info)
		return failed(-ENOMEM, "out of memory");
	cowbd_pool_info(p, info);
	memcpy(uuid, info->uuid, sizeof uuid);
	memcpy(name, info->name, sizeof name);
	snprintf(file_name, sizeof file_name, "%" PRIx64 ":%" PRIx64, info->dev, info->ino);
	free(info);
	err = open_directory();
	if (err)
		return err;
	snprintf(default_path, sizeof default_path, "%s/%s.ctl", directory, uuid);
	err = bind_at(default_path, ret_fd);
	if (!err) {
		make_link(name, "ctl");
		make_link(file_name, "ctl");
	}
	return err;
}

void rundir_link_nbd(const char *nbd_socket)
{
	char link[PATH_ROOM], target[PATH_ROOM], target_path[PATH_ROOM];
	struct stat a, b;

	if (link_paths(name, "nbd", link, target, target_path) && stat(target_path, &a) == 0 &&
	    stat(nbd_socket, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		make_link(name, "nbd");
}

void rundir_unbind(void)
{
	struct stat st;

	if (!control_path[0])
		return;
	if (lstat(control_path, &st) == 0 && st.st_dev == bound.st_dev &&
	    st.st_ino == bound.st_ino) {
		unlink(control_path);
		remove_link(name, "ctl");
		remove_link(name, "nbd");
		remove_link(file_name, "ctl");
	}
	control_path[0] = 0;
}
