/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_internal.h - what the files of the checker share
 *
 * check.c (tables, what is left), check_maps.c (references), check_read.c, check_cache.c, check_journal.c.
 */
#ifndef COWBD_CHECK_INTERNAL_H
#define COWBD_CHECK_INTERNAL_H

#include "check.h"
#include "format.h"

/* Buffers: one a level of map or catalog, one for a catalog leaf, one for all else. */
#define BUFFER_LEAF MAP_DEPTH_MAX
#define BUFFER_OTHER (MAP_DEPTH_MAX + 1)
#define BUFFERS (MAP_DEPTH_MAX + 2)
#define AHEAD_PAGES 256u /* asked for at once */
#define AHEAD_PARTS 2u   /* in which they are read */
#define AHEAD_BATCHES 2u
#define BUFFER_GAPS (BUFFERS + AHEAD_BATCHES * AHEAD_PAGES)
#define BUFFERS_ALL (BUFFER_GAPS + 1)
#define READ_THREADS 2u   /* with 3 and 4 no faster */
#define AHEAD_ZONES 1024u /* with less a thread that reads ahead is not worth while */

/* A zone in use, as its page says. */
struct zone {
	bool meta;
	unsigned units;
	uint64_t sums[SUMS_PAGES]; /* pages of checksums, 0 none */
	uint8_t *left;             /* [units] of each count, what no reference took yet */
	uint16_t *wide;            /* [units] instead, if some count is above 255; else NULL */
	uint8_t *single;           /* bit map: the count is 1 */
	uint8_t *
		wanted; /* bit map, metadata: it has a count and a slot, so the walk wants its page */
	struct le32 *slot;        /* [units] metadata: current slots */
	uint64_t *place;          /* [units] metadata: where it was found in its tree, 0 not yet */
	struct page_cache *cache; /* metadata: its pages as they were read, NULL not yet */
	uint32_t *refs;           /* [2 * units] repair: references found; what the counts were */
	bool rebuilt;      /* repair: its page was lost, slots are those of the newest copies */
	bool guessed;      /* repair: so were tables above it */
	struct le32 named; /* repair: how its page was named that is lost */
	bool unsure;       /* repair: and nothing proves that these were current */
};

/* Stands for a zone whose page can't be read. */
extern struct zone zone_unknown;
/* For a zone of data that another pass counts. */
extern struct zone zone_elsewhere, zone_done;

static inline unsigned zone_left(const struct zone *z, unsigned unit)
{
	return z->wide ? z->wide[unit] : z->left[unit];
}

static inline void zone_take(struct zone *z, unsigned unit)
{
	if (z->wide)
		z->wide[unit]--;
	else
		z->left[unit]--;
}

struct group {
	struct zone **zone; /* [GROUP_ZONES], NULL where not in use; NULL: untouched group */
	bool unknown;       /* the summary can't be read */
	bool guessed; /* repair: summary or group table was made anew, and maybe not as it was */
};

struct object {
	uint64_t id, volume, root, size;
	uint64_t offset; /* of its record, bytes in the pool */
	uint8_t kind, depth;
	char name[NAME_BYTES_MAX + 1];
};

struct dying {
	uint64_t page, offset;
	unsigned level;
};

/* Pages read ahead, in the buffers from BUFFERS on: those that are taken now, and meanwhile those after them. */
struct read_ahead {
	struct ahead_batch {
		uint64_t offset[AHEAD_PAGES]; /* ascending; not changed until all is done */
		bool failed[AHEAD_PAGES];
		bool sound[AHEAD_PAGES];
		unsigned n;
		unsigned begun, done; /* under lock: of its parts */
	} batch[AHEAD_BATCHES];
	unsigned latest; /* of the batches */
	unsigned until,
		after; /* entries of a page: up to which they go; from which on the next are asked for */
	unsigned threads; /* that read; 0: the checker itself does */
	bool ending;      /* under lock: they are to end */
	pthread_t thread[READ_THREADS];
	pthread_mutex_t lock;
	pthread_cond_t changed; /* begun, done, ending */
};

/* Zones of metadata read ahead. */
struct cache_ahead {
	uint64_t *zone; /* [n] in the order of the disk */
	size_t n;
	size_t next;      /* of them, under lock: nobody has begun with it */
	unsigned threads; /* that run */
	bool ending;      /* under lock: they are to end */
	pthread_t thread[READ_THREADS];
	pthread_mutex_t lock;
	pthread_cond_t filled; /* some zone's cache is ready */
};

struct check {
	struct store *store;
	const struct cowbd_check_options *opt;
	struct cowbd_check_result result;
	struct disk_super super;
	struct geometry g;
	struct group *group;   /* [g.groups] */
	struct object *object; /* ascending ids */
	size_t objects, objects_room;
	struct dying *dying; /* [DYING_MAX] */
	size_t ndying;
	bool dying_lost;                  /* a page of it */
	uint8_t *buffer;                  /* BUFFERS pages, aligned */
	char who[2 * NAME_BYTES_MAX + 2]; /* what findings are about */
	bool blind;                       /* some page was lost: leaks can't be told */
	struct read_ahead ahead;
	struct cache_ahead cache;
	uint64_t visited, total; /* map and catalog pages */
	uint64_t memory;         /* bytes of zones that are counted now, and of pages that are kept;
			    while others read ahead, under cache.lock */
	bool caching;            /* pages of metadata are read zone by zone, and kept */
	uint64_t meta_zones,
		wanted; /* zones of metadata; of their pages, those that the walk wants */
	uint64_t
		asked; /* group whose first pages of zones were asked for by the one before it; 0: none */
	uint64_t data_zones;     /* of the pool */
	uint64_t counted, later; /* of them: in this pass; not yet */
	bool quiet;              /* what is read was read and reported before */
	struct {
		uint64_t first;    /* block */
		struct zone *zone; /* NULL: none; not while repairing */
	} near; /* the zone of data that was referred to last: mostly the next one's, too */

	struct repair *repair; /* NULL: only looks */
	bool bad;              /* repair: the last reference leads nowhere */
	bool unmarked;         /* repair: it is not marked as shared, and the thing is */
};

/* The tree that a page was found in: bits 4 to 7 of its place. */
enum { PLACE_MAP = 1, PLACE_NODE, PLACE_LEAF, PLACE_SUMS };

/* How something is named, and where. */
struct reference {
	uint64_t number; /* block or page */
	uint64_t offset; /* of the page that names it */
	bool shared;     /* may be shared */
};

static inline void *check_buffer(struct check *c, unsigned i)
{
	return c->buffer + (size_t)i * PAGE_BYTES;
}

/* Counts and reports a finding about c->who; offset: UINT64_MAX none. */
void check_found(struct check *c, enum cowbd_damage_kind kind, uint64_t offset, const char *fmt,
		 ...) PRINTF(4, 5);
void check_set_who(struct check *c, const char *who);
void check_progress(struct check *c, bool last);

/* Reads the named slot of a page and validates all that the page itself can tell. */
int check_read_page(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
		    void *buf) MUST_CHECK;

/* Is a page that was read ahead valid, as the kind that it says it is?  What takes the time of a processor is done by
 * who reads. */
bool check_is_sound(const struct check *c, const void *page, uint64_t offset);

/* Reads a set of pages ahead: begin, add up to AHEAD_PAGES (others are ignored), run.  A set stays until the second
 * one after it begins; in a large pool it is read while the one before is worked on. */
void check_ahead_begin(struct check *c);
/* True while there is room. */
bool check_ahead_add(struct check *c, uint64_t page, struct le32 slot);
void check_ahead_run(struct check *c);
/* Nothing is read ahead now: the buffers are free. */
void check_ahead_forget(struct check *c);
void check_ahead_fini(struct check *c);

/* Are pages of metadata to be kept, within bound bytes of memory?  Their number is known.  Until check_cache_end
 * another thread may read them ahead, and no zone comes or goes. */
void check_cache_begin(struct check *c, uint64_t bound);
/* Will check_cache_take have the page? */
bool check_cache_has(const struct check *c, uint64_t page);
/* Copies the named slot of a page from what is kept of its zone, which is read if it wasn't, and says if it
 * is known to be sound.  false: it is not there. */
bool check_cache_take(struct check *c, uint64_t page, struct le32 slot, void *buf, bool *ret_sound);
void check_cache_end(struct check *c);
/* While zones are there still. */
void check_cache_fini(struct check *c);
void check_cache_free(struct check *c, struct zone *z);

/* Takes a reference off the count of a page or block.  The zone it is in and its place
 * there, or NULL if nothing is known of it (reported). */
struct zone *check_refer(struct check *c, const struct reference *ref, bool meta,
			 unsigned *ret_unit);

/* All that refers, in this order.  0 or -ENOMEM. */
int check_catalog(struct check *c) MUST_CHECK;
int check_objects(struct check *c) MUST_CHECK;
int check_dying(struct check *c) MUST_CHECK;

/* Once more all references to data, from the leaves that the walk has been at.  0 or -ENOMEM. */
int check_leaves(struct check *c) MUST_CHECK;

/* The pages of checksums that a zone names.  0 or -ENOMEM. */
int check_sums(struct check *c, struct zone *z, uint64_t zone) MUST_CHECK;

/* Batches after the checkpoint.  0 or -ENOMEM. */
int check_journal(struct check *c) MUST_CHECK;

/* ---- for repair.c ---- */

/* All of it, into c, which is zero but for store, opt, repair. */
int check_run(struct check *c) MUST_CHECK;
void check_fini(struct check *c);

/* Calls visit for every zone in use, until it fails. */
int check_each_zone(struct check *c,
		    int (*visit)(struct check *, struct zone *, uint64_t zone)) MUST_CHECK;
struct zone *check_zone_of(const struct check *c, uint64_t zone);
void check_who_object(struct check *c, const struct object *o);

/* A page that repair has changed: true, with its content. */
bool repair_patched(const struct check *c, uint64_t page, void *buf);
/* The page of a zone, of a group's summary, of the table of groups is lost: what is below tells
 * what it must have said; *ret_sure: its checksum, which the page above has (named), proves it.  0 or -ENOMEM. */
int repair_zone_page(struct check *c, uint64_t page, unsigned said, struct disk_zone *d) MUST_CHECK;
int repair_summary(struct check *c, uint64_t group, struct le32 named, struct disk_summary *s,
		   bool *ret_sure) MUST_CHECK;
int repair_groups(struct check *c, uint64_t first, struct le32 named, struct disk_groups *p,
		  bool *ret_sure) MUST_CHECK;
/* References of the round before to a unit. */
uint32_t repair_known(const struct check *c, uint64_t zone, unsigned unit);
/* What the last reference, entry i of a page, needs. */
int repair_entry(struct check *c, uint64_t page, const struct disk_map *m, unsigned i) MUST_CHECK;
int repair_root(struct check *c, const struct object *o) MUST_CHECK;
/* A page of the catalog is lost. */
void repair_hopeless(struct check *c);

#endif
