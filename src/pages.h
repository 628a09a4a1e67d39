/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pages.h - metadata pages in two slots each, cached, checkpointed atomically
 *
 *	page of the zone: "page 17: slot B, checksum 5f3a..."
 *	page 17:  [ slot A ] ... 2 MiB ... [ slot B ]   <- B is current
 *
 * A page in memory is *clean* (as its current slot says), *dirty* (changed since
 * the last cut), or *frozen* (dirty at the cut of the running checkpoint, whose image
 * has not been taken yet; a change copies the image away first).  Pages of
 * zones, summaries and the group table change only inside a checkpoint: they are *staged*.
 *
 *	     pages_write            pages_cut          image taken, written
 *	clean ---------> dirty ----------------> frozen ---------------------> clean
 *	                   ^                       | pages_write
 *	                   +-----------------------+ (image copied away)
 *
 * Invariants
 *   [PAGES-1] A slot that the committed checkpoint calls current is not written:
 *             a page is written once a checkpoint, into the slot its parent doesn't name.
 *   [PAGES-2] All pages of a checkpoint are durable before its superblock is written.
 *   [PAGES-3] What is read from disk has the checksum that the parent names.
 *   [PAGES-4] Only clean pages leave the cache.
 *
 * Concurrency.  The owner's reader-writer lock (the engine's metadata lock) protects
 * everything: looking up needs it shared, all else exclusive. Never I/O under it: a miss is
 * -EAGAIN, and says what it needs in a thread-local struct need; the caller lets go, calls
 * pages_fill, and starts over.
 */
#ifndef COWBD_PAGES_H
#define COWBD_PAGES_H

#include "format.h"
#include "metalock.h"
#include "spill.h"
#include "store.h"

struct page {
	uint64_t no;
	enum page_kind kind;
	void *data;         /* PAGE_BYTES, aligned */
	struct page *image; /* frame of the frozen content, if it was touched since the cut */
	struct page *chain; /* of the hash bucket */
	struct page *next;  /* of the dirty, frozen or staged list */
	uint64_t dirty_in;  /* number of the cut period in which it was last dirtied */
	size_t place;       /* in the clock */
	bool frozen, staged, pinned;
	bool claimed;    /* said to be free, and taken: nobody may find it in use */
	bool referenced; /* since the clock hand passed; atomic */
};

/* What a call that returned -EAGAIN needs before it can go on. */
enum need_kind {
	NEED_NOTHING,
	NEED_PAGE,      /* .page, .kind: pages_fill */
	NEED_DATA_ZONE, /* a zone allocated on the host: space_prepare_data */
	NEED_META_ZONE, /* a zeroed zone: space_prepare_meta */
	NEED_GROUP,     /* .page: group to load */
	NEED_COMMIT,    /* room in the pending ring */
	NEED_SEAL, /* blocks that aren't young any more: a batch after the one that names them */
	NEED_CHECKPOINT, /* fewer dirty pages or deltas */
	NEED_RECLAIM,    /* room in the dying list */
	NEED_AGAIN,      /* nothing: what was looked at before may not be what it was */
};

struct need {
	enum need_kind what;
	uint64_t page;
	enum page_kind kind;
};

extern _Thread_local struct need thread_need;

static inline int need_more(enum need_kind what)
{
	thread_need.what = what;
	return -EAGAIN;
}

struct pages;

/* lock: the owner's. super: its slot[] is read, and changed by checkpoints. bound: bytes of clean
 * pages to keep. */
int pages_new(struct store *s, const struct geometry *g, struct disk_super *super,
	      struct metalock *lock, uint64_t bound_bytes, struct pages **ret_pages) MUST_CHECK;
void pages_free(struct pages *p);

/* The page, if cached; else -EAGAIN.  Lock held shared or exclusive; the page stays valid until it is let go. */
int pages_get(struct pages *p, uint64_t no, enum page_kind kind, struct page **ret_page)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* Brings in what the last pages_get of this thread missed, parents too.  No lock held. -EBADMSG, -EUCLEAN, -EIO. */
int pages_fill(struct pages *p) EXCLUDES(metadata_lock) MUST_CHECK;

/* Brings in those of n pages that are missing and whose parents are cached, all at once.  A hint: what fails
 * here fails in pages_fill.  No lock held. */
#define PAGES_PREFETCH 64u
void pages_prefetch(struct pages *p, const uint64_t *no, unsigned n, enum page_kind kind);

/* Get, filling as needed, with no lock held; takes it shared if 0 is returned (the caller unlocks). */
int pages_get_shared(struct pages *p, uint64_t no, enum page_kind kind, struct page **ret_page)
	EXCLUDES(metadata_lock) MUST_CHECK;

/* Claims: page numbers that allocation took as free and nothing names yet.  One that is met in a map all the same
 * (its count on disk is 0, and should not be) is -EUCLEAN, not a page that changes under its user.  Lock exclusive.
 * pages_set_claims: the list, which stays the owner's.  pages_claim: was it cached, so that somebody may
 * have looked at it in this section? */
void pages_set_claims(struct pages *p, const uint64_t *list, const unsigned *n);
bool pages_claim(struct pages *p, uint64_t no) REQUIRES(metadata_lock);
void pages_unclaim(struct pages *p, uint64_t no) REQUIRES(metadata_lock);

/* Makes sure that n pages can be made or dirtied without failing: -ENOMEM, or -EAGAIN
 * (NEED_CHECKPOINT) when there are too many dirty ones. */
int pages_prepare(struct pages *p, unsigned n) REQUIRES(metadata_lock) MUST_CHECK;

/* The content, to change it: it becomes dirty.  Lock exclusive, after pages_prepare. */
void *pages_write(struct pages *p, struct page *page) REQUIRES(metadata_lock);

/* A new page of zeros, dirty; whatever was known of no is forgotten. Lock exclusive, after pages_prepare. */
struct page *pages_make(struct pages *p, uint64_t no, enum page_kind kind) REQUIRES(metadata_lock);

/* Replay dirties what the run had dirtied, whatever the bound is now. */
void pages_unbounded(struct pages *p, bool unbounded);

/* Keeps a page in the cache for good. */
void pages_pin(struct page *page);

uint64_t pages_dirty(const struct pages *p);       /* dirty pages now */
uint64_t pages_dirty_bound(const struct pages *p); /* where a checkpoint should begin */
unsigned pages_pressure_us(const struct pages *p); /* for engine_pressure_us */
uint64_t pages_bytes(const struct pages *p);       /* of memory */

/* ---- checkpoint, by one thread ------------------------------------------------ */

/* The cut: what is dirty now is frozen.  Lock exclusive, O(1). */
void pages_cut(struct pages *p) REQUIRES(metadata_lock);

/* Writes the frozen pages to their free slots, stages their parents.  No lock held. */
int pages_write_frozen(struct pages *p, uint64_t generation) EXCLUDES(metadata_lock) MUST_CHECK;

/* The content of a page above the maps (zone, summary, group table), to change it as part of this checkpoint.
 * Lock exclusive. */
void *pages_stage(struct pages *p, struct page *page);

/* Numbers of the staged pages of a kind: *ret_list is malloc'd. */
int pages_staged(struct pages *p, enum page_kind kind, uint64_t **ret_list,
		 size_t *ret_n) MUST_CHECK;

/* Writes these staged pages (sorted page numbers), and stages their parents.  No lock held. */
int pages_write_staged(struct pages *p, enum page_kind kind, const uint64_t *list, size_t n,
		       uint64_t generation) EXCLUDES(metadata_lock) MUST_CHECK;

/* From now on what the committed checkpoint uses is saved there before it is overwritten; NULL: no more.  No
 * checkpoint runs. */
void pages_set_spill(struct pages *p, struct spill *spill);

/* Bytes written by checkpoints so far. */
uint64_t pages_written(const struct pages *p);

#endif
