/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parts.h - what is on a device: its partitions, or the one thing that is on all of it
 */
#ifndef COWBD_PARTS_H
#define COWBD_PARTS_H

#include "attach.h"

#define PARTS_MAX 128

struct part {
	unsigned number;      /* 0: the whole device */
	char device[64];      /* "/dev/nbd0p1" */
	uint64_t start, size; /* bytes */
	/* as libblkid says; "" if it knows nothing */
	char type[32], label[64], usage[16], uuid[64];
};

struct parts {
	struct part list[PARTS_MAX];
	size_t n;
};

/* Looks at the device, whose partitions the kernel is made to see.  fd: of the device. */
int parts_find(const struct attachment *a, int fd, struct parts *ret);

/* Only makes the kernel see the partitions; what fails there shows when one is wanted. */
void parts_scan(const struct attachment *a, int fd);

/* The one that can be mounted; number 0: there must be one alone.  Else says what there is, and what
 * to do with it.  name: of the disk. */
int parts_choose(const struct parts *all, const char *name, unsigned number,
		 const struct part **ret);

#endif
