/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remount.h - taking a disk's device and mounts down, and bringing them back as they were
 */
#ifndef COWBD_REMOUNT_H
#define COWBD_REMOUNT_H

#include "mount.h"

/* How a disk was attached and mounted. */
struct remount {
	struct attachment at;
	struct mounts mounts;
	uint32_t sector_bytes;
	unsigned connections;
	bool was_attached, goes_with_last_use;
};

/* Unmounts and detaches it: all, or nothing has changed.  name: of the disk.  After success the command is not
 * interrupted before remount_up has ended. */
int remount_down(struct session *s, const struct attachment *a, const char *name,
		 struct remount *ret);
/* Attaches to the same device, unless somebody else took it meanwhile, and mounts again. */
int remount_up(struct session *s, const char *name, struct remount *r);

/* Says so if what is to be written to a disk of the pool will wait: the kernel then lets nothing interrupt a mount or
 * umount.  where: for the message. */
void note_what_waits(const char *uuid, const char *where);

/* The list for a refusal: "/dev/nbd0, mounted on /a, /b; /dev/loop1". */
void describe_attachments(const struct attachments *all, char *buf, size_t len);

#endif
