/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * freeze.h - file systems that hold still while a snapshot is taken
 */
#ifndef COWBD_FREEZE_H
#define COWBD_FREEZE_H

#include "mounts.h"

#define FREEZE_MAX 64

/* What is to be frozen, innermost first; after freeze_begin it is, and a watchdog thaws it. */
struct freeze {
	char *dir[FREEZE_MAX];
	int fd[FREEZE_MAX];
	size_t n, frozen;
	pid_t watchdog;
	int leash;     /* the watchdog thaws when this is closed */
	bool attached; /* one of the disks is attached here, mounted or not */
};

/* Chooses: what is mounted of the disks with these ids (auto), or dir, which must be of one. */
int freeze_choose(struct session *s, const uint64_t *ids, size_t n, const char *dir,
		  struct freeze *ret);
void freeze_free(struct freeze *f);

/* Freezes all, or none. */
int freeze_begin(struct freeze *f);
/* Thaws.  False: they had been thawed before. */
bool freeze_end(struct freeze *f);

#endif
