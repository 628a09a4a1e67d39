/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * volume.h - read, write, zero, trim, flush: the data of a volume or snapshot
 *
 * The COW fault (fault.c), in the words of the textbook:
 *
 *	intercept   a write meets a block that isn't the volume's own (MAP-3)
 *	check       counts: the sole owner gets it back and writes in place
 *	allocate    a run of new blocks, claimed
 *	copy        what the write leaves over of its first and last block, read from the
 *	            old ones (or zeros); then one write of the whole run
 *	remap       one record, one change of the map
 *	resume      the request is answered
 *
 * Invariants
 *   [VOLUME-1] Data is written before the map names it, and the record is appended in
 *              the same section as the change of the map.
 *   [VOLUME-2] A writer in place holds its blocks shared, from before it looks at the map
 *              until its I/O has ended; a fault or unmap holds them exclusively.
 *   [VOLUME-3] Every request runs in an epoch from before it looks at the map to its end.
 *   [VOLUME-4] A write that finds no space gives up its epoch, locks and claims before it waits
 *              (hold.h), and then starts over: it has not begun.
 *   [VOLUME-5] A write that covers many whole blocks of the volume's own, scattered over the pool, may go to a run of new
 *              ones by the same steps as a fault (it is *moved*): then this and later ones are one I/O.  Only while there is
 *              room to spare (space_take_run): it is never waited for.
 *
 * Thread rule: any.
 */
#ifndef COWBD_VOLUME_H
#define COWBD_VOLUME_H

#include "catalog.h"
#include "engine.h"
#include "rangelock.h"

/* What an object has while it is in use. */
struct volume {
	struct rangelock ranges;
	struct engine *engine;
	struct space_cursor cursor; /* under e->lock */
	struct space_cursor runs;   /* the same, for what is to lie side by side */
	pthread_mutex_t dirty_lock;
	struct dirty dirty;        /* zones written in place since the last flush; dirty_lock */
	uint64_t round;            /* commit that took the last dirty zones; dirty_lock */
	_Atomic uint64_t last_seq; /* of the last record about its map */
	_Atomic bool faulting;     /* the last write met a fault: a guess at the next one */
};

/* Gives o what it needs for I/O.  Lock exclusive. */
int volume_ready(struct engine *e, struct object *o) MUST_CHECK;
void volume_free(struct volume *v);

/* Its cursor's zone is for others.  Lock exclusive. */
void volume_idle(struct engine *e, struct object *o);

/* Each: within the object's size (the caller checks the arguments).  -ENOENT when the object was deleted. */
int volume_read(struct catalog *c, struct object *o, void *buf, uint64_t len,
		uint64_t offset) MUST_CHECK;
/* who: whose it is, if it may be held while the pool is full; NULL: -ENOSPC. */
int volume_write(struct catalog *c, struct object *o, struct holder *who, const void *buf,
		 uint64_t len, uint64_t offset) MUST_CHECK;
int volume_zero(struct catalog *c, struct object *o, struct holder *who, uint64_t len,
		uint64_t offset) MUST_CHECK;
/* Where the pool has no page for it, it does nothing. */
int volume_trim(struct catalog *c, struct object *o, uint64_t len, uint64_t offset) MUST_CHECK;
int volume_flush(struct catalog *c, struct object *o) MUST_CHECK;

/* With record seq another object shares the volume's blocks: what was written in place must be
 * durable before the record is.  Lock exclusive. */
void volume_hand_over(struct engine *e, struct object *o, uint64_t seq) REQUIRES(metadata_lock);

/* Adds what it wrote in place and nobody has flushed. */
void volume_copy_dirty(struct object *o, struct dirty *to);

typedef int (*volume_extent_visit)(void *opaque, uint64_t offset, uint64_t length, bool mapped);
int volume_extents(struct catalog *c, struct object *o, uint64_t len, uint64_t offset,
		   volume_extent_visit visit, void *opaque) MUST_CHECK;

/* Is it there, and does it reach to byte end, or would, were its last block whole?  Lock shared.
 * -ENOENT, -EINVAL. */
int volume_reaches(const struct engine *e, const struct object *o, uint64_t end) MUST_CHECK;

/* ---- between volume.c and fault.c ----------------------------------------------------- */

/* A part of a request: bytes of one leaf. */
struct piece {
	struct catalog *cat;
	struct engine *e;
	struct object *o;
	const uint8_t *buf;   /* of a write */
	uint64_t offset, len; /* bytes of the volume */
	unsigned pause_us;    /* out: to wait when it's done and nothing is held */
	bool scattered;       /* out of write_in_place: better moved than written in place */
};

static inline uint64_t piece_first(const struct piece *p)
{
	return p->offset >> p->e->geo.block_shift;
}

/* Blocks that it touches. */
static inline uint64_t piece_blocks(const struct piece *p)
{
	return ((p->offset + p->len - 1) >> p->e->geo.block_shift) - piece_first(p) + 1;
}

/* Writes a prefix of the piece in place; *ret_done bytes, 0: its first block isn't the volume's
 * own, or (may_move) the piece is scattered.  Blocks held (exclusively if !aligned), in an epoch. */
int write_in_place(struct piece *p, bool may_move, uint64_t *ret_done) MUST_CHECK;

/* Writes a prefix of the piece by a fault, or moves it [VOLUME-5].  Blocks held exclusively, in an epoch. -ENOSPC. */
int write_fault(struct piece *p, uint64_t *ret_done) MUST_CHECK;

/* The blocks of zones of [physical, physical + n) were written in place. */
void volume_dirtied(struct engine *e, struct volume *v, uint64_t physical, uint64_t n);

#endif
