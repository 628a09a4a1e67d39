/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.h - block map: a radix tree per volume or snapshot, its pages shared
 *
 *	root (in the catalog)                      a snapshot shares the root page;
 *	  |                                        the first write below it copies the
 *	 [ level 1: 512 entries ]                  pages of one path, raises what they
 *	    |            \ S                       name, and sets S ("may be shared")
 *	 [ leaf ]      [ leaf ]  <- S: look at     in both copies: page tables shared by
 *	  | | |  \S                the count       fork and unshared at fault time
 *	 data blocks
 *
 * Invariants
 *   [MAP-1] A map page is copied if and only if its count (for decisions) is above 1.
 *   [MAP-2] An entry without S names something whose count is 1 and for which nothing is
 *           pending.  S is only a hint the other way.
 *   [MAP-3] Data is written in place only if no entry on its path, root included, has S.
 *   [MAP-4] What loses its last true reference and has children goes on the dying list with the
 *           same record; nothing else cascades.
 *   [MAP-5] Replay makes the same decisions: they depend on counts at the record, and on nothing else.
 *
 * Concurrency: e->lock, shared for lookups, exclusive for the rest.  Changes come in pairs: prepare
 * (-EAGAIN, -ENOSPC, ...), then, with the lock still held, the change, which cannot fail.
 * A change of root->entry must be put into the catalog by the caller.
 */
#ifndef COWBD_MAP_H
#define COWBD_MAP_H

#include "dying.h"
#include "engine.h"

struct map_root {
	uint64_t entry; /* page number and S; 0: nothing mapped */
	unsigned depth; /* levels */
};

static inline uint64_t entry_number(uint64_t entry)
{
	return entry & ENTRY_NUMBER;
}

static inline bool entry_shared(uint64_t entry)
{
	return entry & ENTRY_SHARED;
}

/* Blocks below one entry of a page at this level. */
static inline uint64_t map_span(unsigned level)
{
	return UINT64_C(1) << (MAP_SHIFT * level);
}

static inline unsigned map_index(uint64_t block, unsigned level)
{
	return (unsigned)(block >> (MAP_SHIFT * level)) & (MAP_FANOUT - 1);
}

/* Levels that a map of so many blocks needs, at least 1. */
unsigned map_depth_for(uint64_t blocks);

/* First logical block behind the leaf that holds block. */
static inline uint64_t map_leaf_end(uint64_t block)
{
	return (block | (MAP_FANOUT - 1)) + 1;
}

struct map_extent {
	uint64_t physical; /* 0: unmapped */
	uint64_t n;        /* blocks */
	bool owned;        /* [MAP-3] holds: may be written in place */
};

/* The page that entry names, which must be the one of this level for block: -EUCLEAN if it is not, so that
 * no walk goes in circles or takes blocks for pages.  Lock shared. -EAGAIN. */
int map_page(struct engine *e, uint64_t entry, unsigned level, uint64_t block,
	     struct page **ret_page) REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* The extent at block, at most max blocks.  A mapped one stays inside a leaf.  Lock shared. -EAGAIN. */
int map_lookup(struct engine *e, const struct map_root *root, uint64_t block, uint64_t max,
	       struct map_extent *ret) REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* Clears S where the counts allow it, on the path to [block, block + n) (one leaf) and in it.
 * So a block whose snapshot has gone is written in place again.  Lock exclusive. -EAGAIN. */
int map_own(struct engine *e, struct map_root *root, uint64_t block, unsigned n)
	REQUIRES(metadata_lock) MUST_CHECK;

/* For any change below block (or of the whole map), of at most one leaf. */
int map_prepare(struct engine *e, const struct map_root *root, uint64_t block)
	REQUIRES(metadata_lock) MUST_CHECK;

/* Maps [block, block + n), in one leaf, to physical blocks; they get their reference here. */
void map_set(struct engine *e, struct map_root *root, uint64_t block, unsigned n, uint64_t physical,
	     uint64_t seq) REQUIRES(metadata_lock);

/* One step of unmapping [block, end): what to do at block. */
enum map_step_kind { MAP_STEP_SKIP, MAP_STEP_LEAF, MAP_STEP_DETACH };
struct map_step {
	enum map_step_kind kind;
	uint64_t block, next; /* it concerns [block, next) */
	unsigned level;       /* DETACH: of the page that goes */
};

/* Chooses the step and prepares it.  end may lie beyond the map: everything from block on. */
int map_step_prepare(struct engine *e, const struct map_root *root, uint64_t block, uint64_t end,
		     struct map_step *ret_step) REQUIRES(metadata_lock) MUST_CHECK;
/* Prepares a DETACH step that is one of a group. */
int map_prepare_detach(struct engine *e, const struct map_root *root, uint64_t block,
		       unsigned level) REQUIRES(metadata_lock) MUST_CHECK;
void map_step_apply(struct engine *e, struct map_root *root, const struct map_step *step,
		    uint64_t seq) REQUIRES(metadata_lock);

/* The whole map goes (delete, rollback): prepare with map_prepare_drop. */
int map_prepare_drop(struct engine *e, const struct map_root *root)
	REQUIRES(metadata_lock) MUST_CHECK;
void map_drop(struct engine *e, struct map_root *root, uint64_t seq) REQUIRES(metadata_lock);

/* A second owner of the same root: its count rises, both entries get S.  After engine_prepare(e, 0, 1). */
void map_share(struct engine *e, struct map_root *root, struct map_root *ret_copy)
	REQUIRES(metadata_lock);

/* More levels, for more blocks.  After engine_prepare(e, MAP_DEPTH_MAX, MAP_DEPTH_MAX). */
void map_deepen(struct engine *e, struct map_root *root, unsigned depth) REQUIRES(metadata_lock);

#endif
