/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - zones, reference counts, allocation, release
 *
 * A *unit* is a data block or a metadata page: zone * ZONE_UNITS_MAX + index in the zone.
 *
 *	count seen by decisions =  page of the zone (as of the last merge)
 *	                         + frozen deltas, until they are merged into it
 *	                         + live deltas
 *	(what reclaim dropped is not subtracted before a checkpoint has recorded it)
 *
 *	a unit's life:   free -> claimed -> mapped (count 1 .. COUNT_MAX)
 *	                   ^                  |
 *	                   +---- pending <----+   count 0, or still shared
 *
 * Invariants
 *   [SPACE-1] A count on disk is what the maps at the checkpoint's cut say.
 *   [SPACE-2] A reference that fell counts as pending until its record is durable and every
 *             request begun before that has ended; a unit with pending falls is neither
 *             reused nor anybody's own.  (Rule 2.)
 *   [SPACE-3] What reclaim dropped counts for every decision until a checkpoint has recorded it,
 *             and is pending after that for the requests of then.  (Rule 3.)
 *   [SPACE-4] A zone becomes free only after a committed checkpoint said so, nothing in it was
 *             used since that checkpoint's merge, and nothing in it is pending.  (Rule 4.)
 *   [SPACE-5] Data leaves the last zones (the reserve) to metadata.
 *   [SPACE-6] A zone is allocated on the host, and for metadata zeroed, before anything is put there.
 *
 * Concurrency: the owner's metadata lock; shared for the lookups that say so, else exclusive.
 * -EAGAIN says in thread_need what is missing.
 */
#ifndef COWBD_SPACE_H
#define COWBD_SPACE_H

#include "delta.h"
#include "epoch.h"
#include "format.h"
#include "hold.h"
#include "journal.h"
#include "pages.h"
#include "store.h"

struct space;
struct active_zone;

/* Where a user of space allocates next; zero is a fresh one. */
struct space_cursor {
	struct active_zone *zone;
};

static inline uint64_t block_unit(const struct geometry *g, uint64_t block)
{
	if (g->zone_blocks ==
	    ZONE_UNITS_MAX) /* no division, where there are 512 of these in a row */
		return block;
	return block / g->zone_blocks * ZONE_UNITS_MAX + block % g->zone_blocks;
}

static inline uint64_t page_unit(uint64_t page)
{
	return page / ZONE_TWINS * ZONE_UNITS_MAX + page % ZONE_TWINS;
}

int space_new(struct store *s, const struct geometry *g, struct pages *pages, struct epochs *epochs,
	      struct metalock *lock, struct space **ret_space) MUST_CHECK;
void space_free(struct space *s);

/* Reads the group table.  No lock held, before anything else. */
int space_load(struct space *s) MUST_CHECK;

/* Records of zone types go here; NULL while replaying. */
void space_set_journal(struct space *s, struct journal *j);

/* Rings it whenever something comes free. */
void space_set_hold(struct space *s, struct hold *h);

/* ---- counts ---------------------------------------------------------------- */

/* Count for decisions, and the true one (what reclaim dropped is off).  Lock shared. -EAGAIN. */
int space_count(struct space *s, uint64_t unit, unsigned *ret_count)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;
int space_true_count(struct space *s, uint64_t unit, unsigned *ret_count)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* Does a reference to it wait to fall?  Lock shared. */
bool space_pending(const struct space *s, uint64_t unit);

/* Room for n raises, falls and drops: 0, -ENOMEM, -EAGAIN (NEED_CHECKPOINT). */
int space_prepare(struct space *s, unsigned n) REQUIRES(metadata_lock) MUST_CHECK;

/* May unit's count rise by n before the next checkpoint?  0 or -EAGAIN. */
int space_prepare_raises(struct space *s, uint64_t unit, size_t n) MUST_CHECK;

/* One reference more; one less, with record seq (it stays pending); one that reclaim drops.  Prepared.
 * last: true count becomes 0, as far as the caller knows. */
void space_raise(struct space *s, uint64_t unit) REQUIRES(metadata_lock);
void space_raise_all(struct space *s, const uint64_t *unit, unsigned n) REQUIRES(metadata_lock);
void space_fall(struct space *s, uint64_t unit, uint64_t seq, bool last) REQUIRES(metadata_lock);
void space_drop(struct space *s, uint64_t unit) REQUIRES(metadata_lock);

/* Records up to seq are durable: their falls wait for older requests only. */
void space_durable(struct space *s, uint64_t seq) REQUIRES(metadata_lock);

/* Lets go of falls that waited for requests now ended, so many that a hold of the lock stays short.  True
 * if there may be more: call again. */
bool space_settle(struct space *s) REQUIRES(metadata_lock);

/* Falls that wait; units that reclaim dropped and no checkpoint has released. */
uint64_t space_waiting(const struct space *s);
uint64_t space_dropped(const struct space *s);

/* Of these, what the checkpoint that is being written will release. */
uint64_t space_releasing(const struct space *s);

/* Zones that wait to become free: commit and settle; those that only space_hold_meta keeps are not among them. */
uint64_t space_leaving(const struct space *s);
uint64_t space_held(const struct space *s);

/* References raised with copies of pages since the last cut. */
uint64_t space_copied(const struct space *s);

/* Is memory for changes running out, or would replaying what changed take so long that a checkpoint should begin? */
bool space_checkpoint_due(const struct space *s);

/* For engine_pressure_us. */
unsigned space_pressure_us(const struct space *s);

/* Is the zone allocated from, or claimed in?  Lock shared. */
bool space_zone_is_active(struct space *s, uint64_t zone);

/* ---- checksums of data -------------------------------------------------------- */

/* The pages of checksums of a zone of data; 0: none. */
struct zone_sums {
	uint64_t page[SUMS_PAGES];
};

/* Those that it has now.  Lock shared. -EAGAIN. */
int space_sums(struct space *s, uint64_t zone, struct zone_sums *ret_sums)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* Room for one call of space_set_sums: 0, -ENOMEM, -EAGAIN (NEED_CHECKPOINT). */
int space_prepare_sums(struct space *s) REQUIRES(metadata_lock) MUST_CHECK;

/* The zone has these; the caller has taken the pages that are new.  Prepared. */
void space_set_sums(struct space *s, uint64_t zone, const struct zone_sums *sums)
	REQUIRES(metadata_lock);

/* May a page be taken for checksums?  They leave half of the reserve to maps.  Lock shared. */
bool space_sums_room(const struct space *s);

/* ---- allocation --------------------------------------------------------------- */

/* Claims a run of 1 .. want blocks.  -EAGAIN, or -ENOSPC: nothing free now. */
int space_take_blocks(struct space *s, struct space_cursor *c, uint64_t want, uint64_t *ret_first,
		      uint64_t *ret_n) REQUIRES(metadata_lock) MUST_CHECK;
/* Claims a run of exactly want blocks (of one zone at most) in zones that were free, if there is room to spare: else
 * *ret_n is 0.  -EAGAIN; -ENOSPC of engine_need is no more than "none". */
int space_take_run(struct space *s, struct space_cursor *c, uint64_t want, uint64_t *ret_first,
		   uint64_t *ret_n) REQUIRES(metadata_lock) MUST_CHECK;
/* Claims a page. */
int space_take_page(struct space *s, uint64_t *ret_page) REQUIRES(metadata_lock) MUST_CHECK;

/* The claim of n units from unit on (one zone) ends: mapped (the caller raises), or not used after all. */
void space_claim_done(struct space *s, uint64_t unit, uint64_t n, bool mapped)
	REQUIRES(metadata_lock);

/* Replay maps units that nobody claimed here: their zone is of this type. */
int space_replay_zone(struct space *s, uint64_t zone, enum zone_type type) MUST_CHECK;

/* They are mapped now, n in one zone: what a claim would have noted. */
void space_replay_mapped(struct space *s, uint64_t unit, uint64_t n);

/* Replay's first pass: a record to come names this zone; no page goes there if it is free now.
 * No lock held. */
int space_set_aside(struct space *s, uint64_t zone) MUST_CHECK;

/* The cursor's owner goes away. */
void space_cursor_end(struct space *s, struct space_cursor *c);

/* Takes the space of a zone from the host, and that of the header of its group, where checkpoints write its page. */
int space_allocate_zone(struct store *store, const struct geometry *g, uint64_t zone) MUST_CHECK;

/* What -EAGAIN asked for.  No lock held; does I/O.  -ENOSPC: the pool, or the host (message). */
int space_prepare_zone(struct space *s, bool meta) EXCLUDES(metadata_lock) MUST_CHECK;
int space_load_group(struct space *s, uint64_t group) EXCLUDES(metadata_lock) MUST_CHECK;

/* Zones ready for data.  Lock shared. */
unsigned space_ready_zones(const struct space *s);

/* Should a zone be made ready ahead: for metadata (*ret_meta), where one is needed soon and none is ready, or for data, where fewer than
 * `ready` are?  Not where few are left, or where the host has just had no space.  O(1).  Lock shared. */
bool space_wants_zone(const struct space *s, unsigned ready, bool *ret_meta)
	REQUIRES_SHARED(metadata_lock);

/* Flushes are frequent: zones for metadata are zeroed by writing, else where it can be by the host, without.  Any thread. */
void space_flushes_often(struct space *s, bool often);

/* Writes zeros to a zone that is ready for data, so that no flush of what is put there has to wait for the
 * host to turn allocated extents into written ones.  1: there may be more, 0: there is none.  No lock held. */
int space_write_ready(struct space *s) EXCLUDES(metadata_lock) MUST_CHECK;

/* Are there free zones for which the host had no space when it was asked last?  Lock shared. */
bool space_host_full(const struct space *s);

/* Ask the host again, though it had none a moment ago.  Lock exclusive. */
void space_look_at_host(struct space *s);

/* ---- checkpoint ------------------------------------------------------------------ */

/* The cut: live deltas and drops become frozen. O(1). */
void space_cut(struct space *s) REQUIRES(metadata_lock);

/* What a checkpoint merges: zones, ascending, and what reclaim dropped in each. */
struct merge_plan {
	uint64_t *zone; /* [n] */
	size_t *end; /* [n]: what was dropped in zone[i] is dropped[end[i - 1]] up to dropped[end[i]] */
	struct merge_drop {
		uint32_t unit; /* index in the zone */
		int by;
	} * dropped;
	size_t n;
};

/* Zones whose page must be written; staged: page numbers of zone pages that are staged already (they
 * gave slots to pages).  zones: of the pool at the cut.  No lock: what is frozen doesn't change
 * before space_merge_end. */
int space_merge_plan(struct space *s, uint64_t zones, const uint64_t *staged, size_t nstaged,
		     struct merge_plan *ret_plan) MUST_CHECK;
void space_merge_plan_fini(struct merge_plan *plan);

/* Makes the page of the plan's i-th zone say what counts, and stages it. Lock exclusive. -EAGAIN, -EUCLEAN. */
int space_merge_zone(struct space *s, const struct merge_plan *plan, size_t i, uint64_t generation)
	REQUIRES(metadata_lock) MUST_CHECK;

/* Before the superblock is written: what could fail in space_committed. Lock exclusive. */
int space_commit_prepare(struct space *s) MUST_CHECK;

/* The checkpoint is committed: some of what was dropped becomes pending.  True: call again.  Lock
 * exclusive, to be let go between. */
bool space_release_some(struct space *s);

/* After the last of those: what was frozen doesn't count any more.  Lock exclusive, O(1). */
void space_committed(struct space *s) REQUIRES(metadata_lock);

/* Empties what was frozen.  No lock: nobody looks there any more. */
void space_merge_end(struct space *s);

/* ---- giving space back -------------------------------------------------------------- */

/* Gives one free zone's space back to the host: 1 done, 0 nothing to do, negative errno. No lock held. */
int space_punch_one(struct space *s) EXCLUDES(metadata_lock) MUST_CHECK;

/* While held, no zone of metadata becomes free: who reads an older checkpoint still looks there.  Lock exclusive. */
void space_hold_meta(struct space *s, bool hold);

/* The pool grew: geometry says how much. */
int space_grown(struct space *s) MUST_CHECK;

struct space_info {
	uint64_t zones, free_zones, data_zones, meta_zones, reserve_zones;
	uint64_t used_blocks, used_pages, free_blocks;
	uint64_t released; /* units given free by reclaim */
};
void space_get_info(const struct space *s, struct space_info *ret_info);

#endif
