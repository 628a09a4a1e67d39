/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mounts.h - what of an attached disk is mounted, and what else has it in use
 */
#ifndef COWBD_MOUNTS_H
#define COWBD_MOUNTS_H

#include "attach.h"

/* A disk, its partitions, and what is built on them (LVM, LUKS, loop devices of files in them). */
#define DEVICES_MAX 256
struct devices {
	dev_t dev[DEVICES_MAX];
	unsigned partition[DEVICES_MAX]; /* 0: not a partition of the disk */
	char name[DEVICES_MAX][32];      /* in /sys/class/block */
	size_t n;
};

struct mounted {
	char *source, *target, *root, *fstype, *options;
	dev_t dev;          /* of the block device */
	unsigned partition; /* of the disk; 0: the whole disk, or what is built on it */
	size_t place;       /* in the order of all mounts */
	bool direct;        /* on the disk or its partition, not on what is built on those */
};

struct mounts {
	struct mounted *list; /* in the order in which they were mounted */
	size_t n;
};
void mounts_free(struct mounts *m);
#define SCOPED_MOUNTS __attribute__((cleanup(mounts_free)))

/* All that is mounted of the disk. */
int mounts_of(const struct attachment *a, struct mounts *ret);
/* What is mounted at dir, on top of whatever else is there; false: nothing. */
bool mount_at(const char *dir, dev_t *ret_dev, char **ret_target);

/* The disk, its partitions and what is built on them. */
void devices_of(const struct attachment *a, struct devices *ret);

/* "mounted on /a, /b", "in use as swap by sda1", "" */
void describe_use(const struct attachment *a, char *buf, size_t len);

#endif
