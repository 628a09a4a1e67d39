/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * engine.h - what the layers of a running pool share: locks, group commit, failing
 *
 * Locks, in the order in which they may be taken together (outer first):
 *
 *   name               protects                                     held across I/O
 *   scrub_lock         one scrub at a time                         yes
 *   check_lock         one online check at a time                  yes
 *   manage             one management command at a time             yes
 *   range lock         data of a range of blocks of one volume      yes
 *   checkpoint         one checkpoint at a time                     yes
 *   journal_lock       journal_write, journal_checkpointed, the cut yes
 *                      (young.h: and the sync of a batch with its data)
 *   lock (rwlock)      all metadata in memory: pages, counts, maps, no
 *                      catalog, order of records
 *   volume.dirty_lock  what a volume wrote since its last flush     no
 *   commit_lock        rounds of group commit                       no
 *   epochs.lock        closing epochs                               no
 *   hold.lock          who waits for space                          no
 *
 * A metadata section that misses something returns -EAGAIN with thread_need set; its
 * caller lets the lock go, calls engine_need, and starts over:
 *
 *	do {
 *		metalock_exclusive(&e->lock);
 *		r = change_something(e);
 *		metalock_drop(&e->lock);
 *	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
 *
 * So a section prepares all that can fail, then appends its record, then changes the maps.
 */
#ifndef COWBD_ENGINE_H
#define COWBD_ENGINE_H

#include <stdatomic.h>

#include "epoch.h"
#include "format.h"
#include "hold.h"
#include "journal.h"
#include "pages.h"
#include "space.h"
#include "store.h"
#include "young.h"

#define STOCK_MAX 4096u

/* Zones that were written and not synced: a set.  Where memory fails, or they are too many: all.
 * Moved, not copied; {0} is empty. */
struct dirty {
	uint64_t *slot; /* zone + 1, open addressing; 0: empty */
	uint32_t mask, n;
	bool all;
};

static inline bool dirty_any(const struct dirty *d)
{
	return d->all || d->n;
}
void dirty_add(struct dirty *d, uint64_t zone);
void dirty_merge(struct dirty *d, const struct dirty *from);
/* What from holds goes to d; from is empty afterwards. */
void dirty_move(struct dirty *d, struct dirty *from);
void dirty_clear(struct dirty *d);

/* Since open.  Any thread, relaxed. */
struct engine_stats {
	_Atomic uint64_t faults, faults_no_copy, bytes_copied, in_place_writes, blocks_moved,
		map_pages_copied, commits, short_commits, seals, checkpoints, journal_bytes,
		blocks_reclaimed, replayed_journal, replayed_tail, zones_given_back;
};
#define STAT_ADD(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)

struct engine {
	struct store *store;
	struct geometry geo;
	struct disk_super super; /* as last committed; under lock, but for slot[] in a checkpoint */
	struct metalock lock;
	struct epochs epochs;  /* of all who look at maps: when freed units may be reused */
	struct epochs writers; /* of writes alone: when a snapshot is settled */
	struct pages *pages;
	struct space *space;
	struct journal *journal; /* NULL while replaying and when read-only */
	struct hold hold;        /* writes that wait for space */
	bool read_only;
	uint64_t replay_seq; /* record being replayed */

	/* claimed pages for the next changes of maps; under lock */
	uint64_t stock[STOCK_MAX];
	unsigned nstock;

	/* the list of dying subtrees; under lock */
	unsigned ndying;
	unsigned dying_replay; /* most that replay from the committed checkpoint may put there */
	unsigned dying_cut;    /* the same from the last cut on */
	uint64_t dying_seq[DYING_MAX]; /* record that put it there */

	/* group commit */
	pthread_mutex_t journal_lock;
	pthread_mutex_t commit_lock;
	pthread_cond_t commit_done;
	uint64_t round, done; /* last begun, last ended; under commit_lock */
	bool leading;
	_Atomic unsigned dirty_volumes; /* that wrote something since their last flush */
	struct dirty round_dirty;       /* to be synced by the next round; under commit_lock */
	struct dirty pending_dirty;     /* data named by pending records; under lock */
	struct dirty syncing; /* and the callers' data, taken by the round that runs; under lock */
	struct young young;   /* under lock */
	bool seal; /* the next round writes a batch, though there may be no records; under commit_lock */

	bool called; /* the checkpointer was, since the last cut; under lock */

	/* failing: set once, never cleared */
	_Atomic bool failed;
	char failure[256]; /* written before failed is set */

	/* what lower layers ask of higher ones; set by pool */
	int (*checkpoint)(struct engine *e);
	int (*relieve)(
		struct engine *e); /* waits a moment for the checkpoint that runs, or makes one */
	int (*reclaim)(struct engine *e);
	int (*make_space)(struct engine *e); /* 0: something may have come free; -ENOSPC */
	void (*taint)(struct engine *e);
	void (*wake)(struct engine *e); /* the background worker has something to do */

	struct engine_stats stats;
};

int engine_init(struct engine *e) MUST_CHECK;
void engine_fini(struct engine *e);

/* Gets what thread_need asks for.  No lock held.  0: start over; else give up with it. */
int engine_need(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;

/* 0, or -EROFS with why, when the pool can't be written. */
int engine_writable(struct engine *e) MUST_CHECK;

/* A sync or a metadata write failed: read-only from now on, and tainted. */
void engine_fail(struct engine *e, const char *what);

/* Room for records of bytes in the pending ring: 0 or -EAGAIN.  Lock exclusive; the last
 * thing that is prepared, since it isn't given back. */
int engine_reserve(struct engine *e, size_t bytes) REQUIRES(metadata_lock) MUST_CHECK;

/* Appends (or, in replay, takes the replayed record's sequence).  Reserved before. */
uint64_t engine_append(struct engine *e, struct record *r);

/* At least n claimed pages in stock, n frames, room for units raises and falls: 0, -EAGAIN,
 * -ENOSPC, -ENOMEM.  Lock exclusive. */
int engine_prepare(struct engine *e, unsigned pages, unsigned units)
	REQUIRES(metadata_lock) MUST_CHECK;

/* A page from the stock, count 1 (its claim ends). */
uint64_t engine_take_page(struct engine *e) REQUIRES(metadata_lock);

/* Lets go of all falls that can be let go of.  No lock held. */
void engine_settle(struct engine *e);

/* Should a checkpoint begin? Lock shared. */
bool engine_checkpoint_due(const struct engine *e);

/* Should one begin now, rather than when the checkpointer looks next?  True once until the next cut, if it is due by the caller's
 * measure: who hears it calls wake() when it has let the lock go.  Lock exclusive. */
bool engine_call_checkpoint(struct engine *e, bool due);

/* How long (us) who has just copied a page of a map should pause, with nothing held, before it answers: so
 * that the checkpoint under way ends before a bound is met, where all would wait for it.  Lock held. */
unsigned engine_pressure_us(const struct engine *e);

/* Gives claimed pages back. Lock exclusive. */
void engine_drop_stock(struct engine *e) REQUIRES(metadata_lock);

/* Joins the next round of group commit: it will make durable what mine names (NULL: nothing; it is
 * emptied), and all records appended before the call with their data.  Returns its number. */
uint64_t engine_join(struct engine *e, struct dirty *mine);

/* Returns when the round has ended, leading it if nobody does. 0, or -EIO: the pool failed. */
int engine_wait(struct engine *e, uint64_t round) EXCLUDES(metadata_lock) MUST_CHECK;

/* Makes durable what d names (NULL: nothing), and every metadata page written before the call. */
int engine_sync(struct engine *e, const struct dirty *d) EXCLUDES(metadata_lock) MUST_CHECK;

/* Begins to write to the disk the data that pending records name, in zones that are full: the next commit
 * waits for less of it.  No lock held. */
void engine_write_back(struct engine *e);

/* Both. */
int engine_commit(struct engine *e, struct dirty *mine) EXCLUDES(metadata_lock) MUST_CHECK;

/* A further batch, with or without records: no block is young any more. (young.h) */
int engine_seal(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;

#endif
