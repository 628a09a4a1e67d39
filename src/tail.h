/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tail.h - the memory of the pending ring, which a tail's file may back
 *
 * Internal to the journal layer: journal.c appends to the ring, tail.c makes
 * and reads it.  What others need of the tail is in journal.h.
 */
#ifndef COWBD_TAIL_H
#define COWBD_TAIL_H

#include "journal.h"

#define TAIL_OVERHANG PAGE_BYTES /* bytes of the ring's front that follow its end again */

/* Mapped memory: header page, ring, and the ring's first page once more, so
 * that a record may run over the end. */
struct tail {
	struct disk_tail *header;
	uint8_t *ring;
	uint64_t ring_bytes; /* a multiple of 4 KiB */
	uint64_t dev, ino;   /* of the file */
	char *path;          /* of the file; NULL: memory without a name */
};

/* Maps a ring of zeros; with opt->tail_path in a new file there, in place of an older one.
 * On failure no file is left behind, and an older one is as it was. */
int tail_map(const struct journal_options *opt, uint64_t ring_bytes,
	     struct tail *ret_tail) MUST_CHECK;

/* Unmaps; removes the file too if remove, unless another one has taken its place. */
void tail_unmap(struct tail *t, bool remove);

/* Keeps the ring from being swapped out where the limits allow it.  A lock
 * does not outlive fork(): the child has to ask again. */
void tail_lock_memory(const struct tail *t);

/* Fit for tails: on tmpfs, our own, and nobody else may write.  -ENOENT: it isn't there or no
 * tmpfs; -EPERM: someone else's.  A symlink is refused unless follow. */
int tail_directory_check(const char *path, bool follow) MUST_CHECK;

/* As tail_directory_check, made with mode 0700 if it is not there, and no
 * wider mode accepted, since anyone may have made it under this name. */
int tail_directory_make(const char *path) MUST_CHECK;

#endif
