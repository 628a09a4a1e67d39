/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply.h - what each record does, when it is made and when it is replayed
 *
 * The same code runs both times ([MAP-5], rule 5).  Lock exclusive throughout.
 */
#ifndef COWBD_APPLY_H
#define COWBD_APPLY_H

#include "catalog.h"
#include "engine.h"
#include "volume.h"

/* Prepares a group of records about objects: all that could fail or is missing.  -EAGAIN, -ENOSPC, ... */
int apply_prepare(struct catalog *c, const struct record *recs, size_t n) REQUIRES(metadata_lock)
	REQUIRES(metadata_lock) MUST_CHECK;

/* Appends and applies a prepared group: its members are joined, the last ends it. */
void apply_group(struct catalog *c, struct record *recs, size_t n) REQUIRES(metadata_lock)
	REQUIRES(metadata_lock);

/* Replays one record of any type, seq set in it. -EAGAIN; -EUCLEAN if it doesn't fit. */
int apply_replay(struct catalog *c, const struct record *r) REQUIRES(metadata_lock)
	REQUIRES(metadata_lock) MUST_CHECK;

/* Unmapping steps that make nothing of o mapped behind size: at most max records into recs.
 * Returns how many, or -errno. Lock exclusive, -EAGAIN. */
int apply_shrink_steps(struct catalog *c, struct object *o, uint64_t size, struct record *recs,
		       size_t max) REQUIRES(metadata_lock) MUST_CHECK;

#endif
