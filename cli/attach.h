/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach.h - disks of a pool as block devices of this machine
 *
 * What is attached is asked of the kernel each time: every device bears the name of its disk,
 *
 *	UUID/ID			/sys/block/nbdN/backend
 *	cowbd-UUID-ID		/sys/block/loopN/loop/backing_file
 *
 * with the pool's UUID and the volume's or snapshot's id, and with "copy" after it (and a / or -
 * between) where it is the copy of another disk, that udev must not take for its origin.
 *
 * Functions that can fail say what is wrong, as everywhere in the command.
 */
#ifndef COWBD_ATTACH_H
#define COWBD_ATTACH_H

#include <sys/types.h>

#include "cli.h"

enum via { VIA_AUTO, VIA_NBD, VIA_FUSE };

/* A block device that is a disk of a pool. */
struct attachment {
	enum via via;
	unsigned index;  /* N of nbdN, loopN */
	char device[32]; /* "/dev/nbd0" */
	dev_t dev;
	char uuid[37];
	uint64_t id;
	bool copy, read_only;
};

struct attachments {
	struct attachment *list;
	size_t n;
};
void attachments_free(struct attachments *a);
#define SCOPED_ATTACHMENTS __attribute__((cleanup(attachments_free)))

/* Those of one pool (uuid NULL: of all), and of one object of it (id 0: of all). */
int attachments_find(const char *uuid, uint64_t id, struct attachments *ret);
/* The one that is a device, or a partition of it; false: none. */
bool attachment_of_device(const char *path, struct attachment *ret);
bool attachment_of_dev(dev_t dev, struct attachment *ret);
const char *via_name(enum via via);

/* The size that the device shows; 0 if it is gone. */
uint64_t attachment_bytes(const struct attachment *a);

/* Text of /sys/block/NAME/FILE without its end of line: false if there is none. */
bool sysfs_read(const char *name, const char *file, char *buf, size_t len);

/* ---- attaching -------------------------------------------------------------------- */

/* A disk that is to become a device. */
struct attach {
	struct session *s; /* with a daemon */
	const char *name;  /* for messages */
	uint64_t id, size;
	uint32_t sector_bytes;
	enum via via;
	int index;            /* of the device that it must be, with via; -1: any */
	bool or_any;          /* if that one is in use */
	unsigned connections; /* of the kernel's client */
	bool read_only, copy;
	bool goes_with_last_use; /* the device is gone when nobody has it open or mounted */
};

/* What the daemon knows of a disk, as the command info tells it; new reference. */
int disk_info(struct session *s, const char *name, json_t **ret_object);
/* Where it is attached here, whether its pool is served or not: a device outlives the daemon. */
int disk_attachments(struct session *s, const char *name, struct attachments *ret);
/* Fills in id, size, sector size, and whether it must be read-only or is a copy. */
int attach_prepare(struct session *s, json_t *object, struct attach *ret);

/* --via, --device, --connections, --sector-size, --readonly */
int attach_options(const struct call *c, struct attach *ret);

/* Attaches it; *ret_fd keeps the device open (and so there). */
int attach_device(const struct attach *a, struct attachment *ret, int *ret_fd);
/* Opens the device to look at it: a descriptor, or -1 when it has said why not. */
int open_attachment(const struct attachment *a);
/* Makes it free: refuses when somebody has it mounted or in use; returns when it is gone. */
int detach_device(const struct attachment *a);
/* Cuts it off from its disk at once, whoever uses it: I/O on it fails from now on. */
int cut_device(const struct attachment *a);
/* Waits until the device is not that attachment any more; false: it still is. */
bool wait_detached(const struct attachment *a, int seconds);

/* One command at a time changes what is attached: until *ret_fd is closed. */
int attach_lock(int *ret_fd);

/* Root alone may do this. */
int need_root(const struct call *c);

/* ---- the two ways, for attach.c ------------------------------------------------------ */

#define EXPORT_TEXT 32
/* Export that names a disk by its id, which a renaming doesn't change. */
void export_of(uint64_t id, char buf[EXPORT_TEXT]);

bool nbd_available(void); /* loads the module if it can */
int nbd_attach(const struct attach *a, struct attachment *ret);
int nbd_detach(const struct attachment *a);

int fuse_attach(const struct attach *a, struct attachment *ret, int *ret_fd);
int fuse_detach(const struct attachment *a, int fd);
int fuse_cut(const struct attachment *a);

#endif
