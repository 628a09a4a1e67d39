/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dying.h - the list of subtrees that nothing maps any more
 *
 * The list holds one reference to the root page of each.  A page that loses its
 * last reference hands that over to the list in the same record, so its count
 * doesn't change.  Background reclaim works from this list alone.
 *
 * Lock exclusive for changes.  The list is small and bounded (DYING_MAX): a change that could
 * need room asks dying_prepare first.
 */
#ifndef COWBD_DYING_H
#define COWBD_DYING_H

#include "engine.h"

struct dying {
	uint64_t page;
	unsigned level;
};

/* Pins the list's pages and counts the entries.  No lock held. */
int dying_load(struct engine *e) MUST_CHECK;

/* Room for n entries, now and when this is replayed: 0 or -EAGAIN (NEED_RECLAIM, NEED_CHECKPOINT).
 * After pages_prepare. */
int dying_prepare(struct engine *e, unsigned n) REQUIRES(metadata_lock) MUST_CHECK;

/* A checkpoint's cut, and its commit: replay begins with the list as it was at the cut. */
void dying_at_cut(struct engine *e);
void dying_committed(struct engine *e);

/* The reference to the subtree's root moves to the list, with record seq. */
void dying_push(struct engine *e, uint64_t page, unsigned level, uint64_t seq)
	REQUIRES(metadata_lock);

/* The youngest entry whose record is durable: true and its index.  Lock shared. */
bool dying_pick(struct engine *e, uint64_t durable_seq, unsigned *ret_index, struct dying *ret)
	REQUIRES_SHARED(metadata_lock);

/* Removes an entry; its reference is the caller's. */
void dying_remove(struct engine *e, unsigned index) REQUIRES(metadata_lock);

struct dying dying_get(struct engine *e, unsigned index) REQUIRES_SHARED(metadata_lock);

#endif
