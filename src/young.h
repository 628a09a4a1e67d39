/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * young.h - data that became durable together with the records that map it
 *
 *	the long way             the short way
 *	sync data                read the data, and take its checksums
 *	write records, durably   write records and checksums
 *	                         sync both
 *
 * A commit of few blocks waits for the disk once instead of twice: the batch of records names what their data is, and
 * a batch whose data didn't get to the disk does not count [JOURNAL-6].  The price is that this data must
 * stay what it is until the next batch says that it is there: the blocks are *young* until then.  In a quiet pool the
 * committer writes one without records.
 *
 * Invariants
 *   [YOUNG-1] A young block isn't written in place.  Who wants to gets a further batch written first (NEED_SEAL).
 *   [YOUNG-2] Blocks are young before their checksums are taken, and every write that looked the map up before has ended.
 *   [YOUNG-3] The short way is gone only if the records need no other data than these blocks, and name all of them still.
 *             A checkpoint may have made them durable, and their blocks free, before a batch has them: the long way.
 *   [YOUNG-4] No young block is allocated anew: its reference falls by a record that is durable in a later batch, or in a
 *             checkpoint whose journal begins behind.
 *
 * Source of the idea: the checksums of data in ext4's asynchronous commit, and in RAID journals that close the write hole.
 * Thread rule: metadata lock, as said; rounds of group commit one at a time.
 */
#ifndef COWBD_YOUNG_H
#define COWBD_YOUNG_H

#include "journal.h"
#include "metalock.h"

#ifdef COWBD_TINY
#define YOUNG_MAX 4u
#else
#define YOUNG_MAX 8u
#endif
#define YOUNG_BYTES                                                                                \
	(UINT64_C(64) << 10) /* are read again for a commit, at most: with more it is no faster */

struct engine;

struct young_set {
	uint64_t block[YOUNG_MAX];
	unsigned n;
};

struct young {
	struct young_set named;   /* by records since the last cut */
	bool long_way;            /* they need other data, too [YOUNG-3] */
	struct young_set ahead;   /* by the batch that is being written */
	struct young_set written; /* by the last one that is durable */
};

/* A pending record maps n blocks from first on. */
void young_name(struct engine *e, uint64_t first, uint64_t n) REQUIRES(metadata_lock);

/* A pending record needs other data to be durable. */
void young_long_way(struct engine *e) REQUIRES(metadata_lock);

/* A reference to a block falls by a pending record. */
void young_fall(struct engine *e, uint64_t block) REQUIRES(metadata_lock);

/* Is one of n blocks from first on young?  Lock shared. */
bool young_any(const struct engine *e, uint64_t first, uint64_t n) REQUIRES_SHARED(metadata_lock);

/* A checkpoint's cut: it may make records durable that have named blocks, which no batch must vouch for then. */
void young_cut_off(struct engine *e) REQUIRES(metadata_lock);

/* A round cuts the pending records.  May it go the short way, few: for all that it has to sync?  Then what they name is young
 * from now on. */
bool young_cut(struct engine *e, bool few, uint64_t *ret_tag) REQUIRES(metadata_lock);

/* Takes the checksums of what was cut; *ret_n.  false: somebody may be writing there, or it can't be read. */
bool young_sums(struct engine *e, uint64_t tag, struct journal_sum sums[YOUNG_MAX], unsigned *ret_n)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* A checkpoint holds the last batch that is durable: it won't be read any more. */
void young_committed(struct engine *e) REQUIRES(metadata_lock);

/* A batch is durable: by the short way, or not. */
void young_durable(struct engine *e, bool short_way) REQUIRES(metadata_lock);

#endif
