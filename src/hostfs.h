/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostfs.h - what the file system under a pool can and can't do
 */
#ifndef COWBD_HOSTFS_H
#define COWBD_HOSTFS_H

#include "base.h"

struct hostfs {
	uint64_t magic;    /* statfs f_type */
	const char *name;  /* "ext4"; "unknown" */
	bool holes;        /* untouched ranges take no space */
	bool probe_size;   /* ftruncate tells the largest size, and costs nothing */
	bool syncs_ranges; /* fsync of a range commits the whole inode and flushes the device */
	bool write_syncs;  /* RWF_DSYNC is honoured */
};

/* The file system that the open file is on.  Never fails: unknown ones can nothing. */
const struct hostfs *hostfs_of(int fd);

/* A new file there: no copy on write where that can be switched off (btrfs).
 * Best effort; the file must be empty. */
void hostfs_no_cow(int fd);

#endif
