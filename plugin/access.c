/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * access.c - which users may connect: group and mode of the sockets, and who is at the other end
 *
 * The mode keeps others out; the kernel's word about the peer (SO_PEERCRED, SO_PEERGROUPS) is asked
 * besides on the control socket, since a mode can be changed by mistake.
 */
#include "access.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define NO_GROUP ((gid_t)-1)
#define NO_MODE ((mode_t)-1)

/* The command line. */
static gid_t socket_group = NO_GROUP, control_group = NO_GROUP;
static mode_t socket_mode = NO_MODE;

/* A name, or a number. */
static int set_group(const char *key, const char *value, gid_t *ret)
{
	const struct group *group = getgrnam(value);
	unsigned long id;
	char *end;

	if (group) {
		*ret = group->gr_gid;
		return 1;
	}
	id = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || id >= UINT32_MAX) {
		nbdkit_error("%s=%s: there is no such group", key, value);
		return -1;
	}
	*ret = (gid_t)id;
	return 1;
}

static int set_mode(const char *value)
{
	unsigned long mode;
	char *end;

	mode = strtoul(value, &end, 8);
	if (*value < '0' || *value > '7' || *end || mode > 0777) {
		nbdkit_error("socket-mode=%s: it is a number in octal, 0 to 0777", value);
		return -1;
	}
	socket_mode = (mode_t)mode;
	return 1;
}

int access_config(const char *key, const char *value)
{
	if (!strcmp(key, "socket-group"))
		return set_group(key, value, &socket_group);
	if (!strcmp(key, "socket-mode"))
		return set_mode(value);
	if (!strcmp(key, "control-group"))
		return set_group(key, value, &control_group);
	return 0;
}

/* The group first: until then the mode is our own user's. */
static int set_access(const char *path, gid_t group, mode_t mode)
{
	if ((group == NO_GROUP || chown(path, (uid_t)-1, group) == 0) &&
	    (mode == NO_MODE || chmod(path, mode) == 0))
		return 0;
	nbdkit_error("%s: can't set its group or mode: %s", path, strerror(errno));
	return -1;
}

int access_nbd_socket(const char *path)
{
	mode_t mode = socket_mode;

	if (mode == NO_MODE && socket_group != NO_GROUP)
		mode = 0660;
	if (!path && mode != NO_MODE) {
		nbdkit_error(
			"socket-group and socket-mode are for a Unix socket, and there is none");
		return -1;
	}
	return path ? set_access(path, socket_group, mode) : 0;
}

int access_control_socket(const char *path)
{
	return control_group == NO_GROUP ? 0 : set_access(path, control_group, 0660);
}

static bool in_group(int fd, gid_t primary)
{
	gid_t list[1024];
	socklen_t len = sizeof list;

	if (control_group == NO_GROUP)
		return false;
	if (primary == control_group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &len))
		return false;
	for (size_t i = 0; i < len / sizeof list[0]; i++)
		if (list[i] == control_group)
			return true;
	return false;
}

bool access_may_manage(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid() || in_group(fd, peer.gid));
}
