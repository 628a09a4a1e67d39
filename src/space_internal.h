/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_internal.h - what space.c (counts), merge.c (checkpoints), zones.c, zones_claim.c and zones_ends.c (zones) share
 */
#ifndef COWBD_SPACE_INTERNAL_H
#define COWBD_SPACE_INTERNAL_H

#include "changes.h"
#include "space.h"

#define READY_MAX 8u
#define ACTIVE_BUCKETS 256u

enum zone_flags {
	ZF_PREPARING = 1, /* being allocated on the host, or zeroed */
	ZF_READY = 2,     /* in the list of ready zones */
	ZF_ACTIVE = 4,    /* has a struct active_zone */
	ZF_LEAVING = 8,   /* free in the checkpoint being written, or just committed */
	ZF_PUNCHING = 16, /* its space is being given back */
	ZF_ASIDE = 32,    /* replay: a record to come uses it */
	ZF_WRITTEN = 64,  /* ready, and the host has no extents to convert when data is put there */
};

/* What is known of a zone while its group is loaded. */
struct zone_info {
	uint8_t type; /* enum zone_type, now */
	uint8_t flags;
	uint16_t used;    /* units not to be had: a hint, exact after each merge */
	uint32_t used_in; /* space.cuts when a claim in it last began or was mapped */
};

struct group {
	struct zone_info *zone;          /* [GROUP_ZONES], NULL: not loaded */
	bool early;                      /* not loaded, and space.early has some of its zones */
	uint32_t data_zones, meta_zones; /* exact */
	int64_t used_blocks, used_pages; /* hints, as zone_info.used */
};

/* A zone that is allocated from, or has claims. */
struct active_zone {
	struct active_zone *next;
	uint64_t zone;
	unsigned units, at, nfree, claims, users;
	bool meta;
	uint64_t busy[(ZONE_UNITS_MAX + 63) / 64];
};

struct fall {
	uint64_t unit;
	uint64_t seq; /* of the record that let it fall */
	bool hinted;  /* its zone's hint counts it until it is over */
};

/* Falls whose records are durable, waiting for the requests of an epoch. */
struct fall_batch {
	struct fall_batch *next;
	uint64_t tag;
	size_t n, settled; /* the first of them that are over */
	struct settling {
		uint64_t unit;
		bool hinted;
	} fall[];
};

/* Changes of the pages of checksums of zones. */
struct sums_table {
	struct delta place;     /* zone -> place in list + 1 */
	struct zone_sums *list; /* [n] */
	size_t n, room;
};

struct space {
	struct store *store;
	const struct geometry *geo;
	struct pages *pages;
	struct epochs *epochs;
	struct metalock *lock;
	struct journal *journal;

	/* counts */
	struct changes live, frozen; /* changes of counts since the cut, before it */
	uint64_t copied;             /* raises since the cut that came with copies of pages */
	uint64_t copied_units;       /* units of live that these brought there */
	struct delta dropped, dropped_frozen; /* by reclaim: positive numbers */
	struct delta pending;                 /* unit -> references that wait to fall */
	struct delta early;  /* zones of groups not loaded -> units that fell there, or will */
	struct delta retype; /* zones whose page must be written for its type */
	struct delta retype_frozen;
	struct sums_table sums,
		sums_frozen; /* not in the pages of zones yet: since the cut, before it */
	uint32_t cuts;
	bool merging;        /* frozen deltas are not all committed */
	uint64_t generation; /* of the checkpoint being merged */
	struct fall *falls;  /* ring: not durable yet, ascending seq */
	size_t falls_first, falls_n, falls_room;
	struct fall_batch *batches, **batches_end;
	struct fall_batch *release; /* made ready for what reclaim dropped */
	size_t release_at;          /* slots of dropped_frozen that are in it */
	uint64_t waiting, released;

	/* zones */
	struct group *group;
	uint64_t ngroups;
	uint64_t free_zones, data_zones, meta_zones, reserve;
	uint64_t scan_data, scan_meta, scan_free; /* groups where the last search ended */
	uint64_t ready_data[READY_MAX], ready_meta[READY_MAX];
	unsigned nready_data, nready_meta, npreparing, npreparing_meta, punching;
	_Atomic bool flushes_often; /* not under lock */
	struct active_zone *active[ACTIVE_BUCKETS];
	struct space_cursor meta_cursor;
	uint64_t *leaving; /* zones to be free once committed and settled */
	size_t nleaving, leaving_room;
	bool hold_meta;           /* zones of metadata stay there */
	size_t nheld;             /* that do, and would not otherwise */
	size_t ncommitted;        /* the first of them that a commit covers */
	uint64_t host_full_until; /* ns: the host had no space a moment ago */
	bool host_refused;        /* the host had none when it was asked last */
	struct hold *hold;        /* rung when something comes free; NULL is fine */
	uint64_t *back;           /* free zones whose space can be given back */
	size_t nback, back_room;
};

static inline uint64_t unit_zone(uint64_t unit)
{
	return unit / ZONE_UNITS_MAX;
}

static inline unsigned unit_index(uint64_t unit)
{
	return (unsigned)(unit % ZONE_UNITS_MAX);
}

/* The page of a zone that holds blocks or pages: 0, -EAGAIN, -EUCLEAN. */
int space_zone_page(struct space *s, uint64_t zone, struct page **ret_page)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* The falls of b wait for the requests of now. */
void space_add_batch(struct space *s, struct fall_batch *b);

bool sums_table_get(const struct sums_table *t, uint64_t zone, struct zone_sums *ret_sums);
void sums_table_clear(struct sums_table *t);
void sums_table_fini(struct sums_table *t);

/* The page of a zone names what it has at the cut. */
void sums_merge(struct space *s, uint64_t zone, struct disk_zone *z);

/* Has a zone that could become free pages of checksums still?  If so, they are dropped, and the next checkpoint
 * looks at it again. */
bool sums_left(struct space *s, uint64_t zone, const struct disk_zone *z) REQUIRES(metadata_lock);

static inline bool zone_type_free(unsigned type)
{
	return type == ZONE_FREE || type == ZONE_FREE_BACKED;
}

/* Units of a zone of this type. */
static inline unsigned zones_units(const struct space *s, unsigned type)
{
	return type == ZONE_META ? ZONE_TWINS : s->geo->zone_blocks;
}

/* The caller has to have the group loaded: -EAGAIN. */
int zones_need_group(uint64_t group) MUST_CHECK;

/* Something came free: who waits for it looks. */
void zones_ring(struct space *s);

/* The hint at what is used in a zone, and the sums of it, change. */
void zones_hint(struct space *s, uint64_t zone, int by);

/* Notes a free zone whose space can be given back; without memory it's found at the next open. */
void zones_note_back(struct space *s, uint64_t zone);

/* zone_info of a zone, NULL if its group isn't loaded. */
struct zone_info *zones_info(struct space *s, uint64_t zone);

/* A reference to the unit falls, maybe the last: if its group isn't loaded (true), its zone is looked at when it is. */
bool zones_note_early(struct space *s, uint64_t unit) REQUIRES(metadata_lock);

/* The zone's type changes; counters follow. Its group is loaded. */
void zones_set_type(struct space *s, uint64_t zone, enum zone_type type);

/* Nothing is pending for the unit any more: the hints follow.  hinted: its count was 1 before, and the hint has it;
 * else it may still be referenced, or has been taken off the hint. */
void zones_came_free(struct space *s, uint64_t unit, bool hinted) REQUIRES_SHARED(metadata_lock);

/* Is it free for a claim? Lock exclusive; -EAGAIN. */
int space_unit_free(struct space *s, uint64_t unit, bool *ret_free)
	REQUIRES_SHARED(metadata_lock) MUST_CHECK;

/* After a merge: what is used in the zone, by its page and what changed since the cut. */
void zones_merged(struct space *s, uint64_t zone, const struct disk_zone *z);

/* Zones that the committed checkpoint calls free and that are settled become free. */
void zones_leave(struct space *s);

struct active_zone *zones_active(struct space *s, uint64_t zone);

#endif
