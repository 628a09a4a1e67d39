/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mount.h - mounting what is on attached disks
 */
#ifndef COWBD_MOUNT_H
#define COWBD_MOUNT_H

#include <sys/mount.h>

#include "mounts.h"

/* A disk that is being mounted. */
struct mount {
	const char *name;   /* for messages */
	char *clone;        /* the throw-away one's name, or NULL */
	unsigned partition; /* 0: the only one */
	bool frozen;        /* what is copied was frozen */
	bool is_copy;       /* made from another disk, which may be mounted, too */
	struct attachment at;
	int fd; /* of the device */
};

int mount_device(const char *device, const char *dir, const char *type, const char *options);
int umount_dir(const char *dir);
/* Runs a tool of a file system, its output thrown away: DONE if it ended well. */
int run_program(const char *const *argv);
void drop_clone(struct session *s, const char *name);

#endif
