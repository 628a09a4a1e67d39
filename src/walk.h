/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.h - reads map pages one after the other, without holding the lock between them
 *
 * For commands that look at whole maps.  What they see of a volume that is written meanwhile is of
 * no single instant; a snapshot's map doesn't change but for S.
 */
#ifndef COWBD_WALK_H
#define COWBD_WALK_H

#include "engine.h"
#include "map.h"

/* A copy of the entries of the page that above names at level for block. -EUCLEAN etc. No lock held. */
int walk_read(struct engine *e, uint64_t above, unsigned level, uint64_t block,
	      uint64_t entry[MAP_FANOUT]) MUST_CHECK;

/* True count of what an entry names (page: at a level above the leaves). S clear means 1. No lock held. */
int walk_count(struct engine *e, uint64_t entry, bool page, unsigned *ret_count) MUST_CHECK;

#endif
