/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format.h - the structures on disk
 *
 *   zone 0         superblock: twin 0 holds its two copies, the next DYING_PAGES twins
 *                  the list of dying subtrees, the rest the group table
 *   zones 1 .. J   journal ring
 *   then groups of ZONE_TWINS zones: a header zone (twin 0: summary, twin i: the page of
 *                  zone i of the group), and ZONE_TWINS - 1 zones for data or metadata
 *
 * A twin page is 4 KiB with two slots, half a zone apart; its number is
 * zone * ZONE_TWINS + index.  The page above names the current slot:
 *
 *   superblock -> group table -> summary -> page of a zone -> map and catalog pages there,
 *                                                             pages of checksums
 *   superblock -> dying list
 *
 * A named slot is a struct le32: bit 31 the slot, bits 0-30 of the page's
 * checksum (0 never: taken as 1); 0 = never written, the page is all zero content.
 *
 * All integers are little-endian.  Reserved fields are zero, and checked.
 * docs/FORMAT.md is the specification; tests hold its tables against this file.
 */
#ifndef COWBD_FORMAT_H
#define COWBD_FORMAT_H

#include "base.h"

/* ---- geometry ------------------------------------------------------------ */

#ifdef COWBD_TINY      /* for crash tests: everything wraps and fills in every run */
#define MAP_SHIFT 2u   /* log2 of the fan-out of the block map */
#define ZONE_TWINS 16u /* twin pages in a zone */
#define DYING_PAGES 1u
#define DYING_PER_PAGE 24u
#define COUNT_MAX 40u /* most references to a page or block */
#define VOLUME_BYTES_MAX (UINT64_C(1) << (BLOCK_SHIFT_MIN + MAP_DEPTH_MAX * MAP_SHIFT))
#else
#define MAP_SHIFT 9u
#define ZONE_TWINS 512u
#define DYING_PAGES 32u
#define DYING_PER_PAGE 500u
#define COUNT_MAX 65535u
#define VOLUME_BYTES_MAX (UINT64_C(1) << 62)
#endif

#define PAGE_BYTES 4096u
#define SECTOR_BYTES 512u
#define MAP_FANOUT (1u << MAP_SHIFT)
#define ZONE_BYTES (ZONE_TWINS * 2u * PAGE_BYTES) /* 4 MiB */
#define SLOT_DISTANCE (ZONE_TWINS * PAGE_BYTES)   /* bytes from slot A to slot B */
#define ZONE_UNITS_MAX (ZONE_BYTES / PAGE_BYTES)  /* counted things in a zone, at most */
#define GROUP_ZONES ZONE_TWINS                    /* zones of a group, header included */
#define GROUPS_PER_PAGE 253u
#define GROUP_PAGES_MAX (ZONE_TWINS - 1u - DYING_PAGES)
#define GROUPS_MAX (GROUP_PAGES_MAX * GROUPS_PER_PAGE)
#define DYING_MAX (DYING_PAGES * DYING_PER_PAGE)
#define BLOCK_SHIFT_MIN 12u
#define BLOCK_SHIFT_MAX (sizeof(char[ZONE_BYTES / 65536]) >= 64 ? 20u : 16u)
#define MAP_DEPTH_MAX 12u
#define NAME_BYTES_MAX 255u
#define SUMS_PER_PAGE 342u /* checksums of blocks in a page of checksums */
#define SUMS_PAGES 3u      /* such pages of a zone of data, at most */
#define ZONE_ENDS_MIN 4u   /* zones that only metadata may take: max(this, 2 %) */

#define FORMAT_MAJOR 1u

/* ---- pages ---------------------------------------------------------------- */

enum page_kind {
	PAGE_SUPER = 0x42444f43,        /* "CODB" */
	PAGE_DYING = 0x474e5944,        /* "DYNG" */
	PAGE_GROUPS = 0x53505247,       /* "GRPS" */
	PAGE_SUMMARY = 0x524d5553,      /* "SUMR" */
	PAGE_ZONE = 0x454e4f5a,         /* "ZONE" */
	PAGE_MAP = 0x2050414d,          /* "MAP " */
	PAGE_CATALOG_NODE = 0x444f4e43, /* "CNOD" */
	PAGE_CATALOG_LEAF = 0x46414c43, /* "CLAF" */
	PAGE_SUMS = 0x534d5553,         /* "SUMS": checksums of data */
	PAGE_BATCH = 0x4c4e524a,        /* "JRNL": of a journal batch, not a page */
	PAGE_TAIL = 0x4c494154,         /* "TAIL": of the volatile tail's header */
};

/* Every page begins with this.  checksum: XXH3 of the page with this field
 * zero, seeded by kind and pool UUID. */
struct disk_page {
	struct le32 kind;
	struct le32 reserved;
	struct le64 checksum;
	struct le64 offset;     /* where this slot is, bytes in the pool */
	struct le64 generation; /* checkpoint that wrote it */
};

/* Entry of a map: bits 0-46 block or page number, bit 47 may be shared; 0 unmapped.
 * Numbers: of a data block: offset / block size; of a page: twin number. */
#define ENTRY_SHARED (UINT64_C(1) << 47)
#define ENTRY_NUMBER (ENTRY_SHARED - 1)

struct disk_map { /* also the nodes of the catalog */
	struct disk_page h;
	struct le16 level; /* 0: leaf, entries are data blocks (catalog: catalog leaves) */
	struct le16 reserved0;
	struct le32 reserved1;
	struct le64 first; /* first logical block (catalog: leaf) that it covers */
	struct le48 entry[MAP_FANOUT];
	uint8_t reserved2[PAGE_BYTES - 48 - MAP_FANOUT * 6];
};

enum zone_type {
	ZONE_FREE = 0,        /* takes no space of the host */
	ZONE_FREE_BACKED = 1, /* free, but was used: its space can be given back */
	ZONE_DATA = 2,
	ZONE_META = 3,
};

struct disk_zone {
	struct disk_page h;
	struct le16 type; /* enum zone_type */
	struct le16 used; /* counts that are not zero */
	struct le32 reserved0;
	struct le64 sums[SUMS_PAGES]; /* pages of checksums of the data here, 0 none */
	union {
		struct le16 count[ZONE_UNITS_MAX]; /* data: of each block */
		struct {
			struct le16 page_count[ZONE_TWINS]; /* metadata: of each page */
			struct le32 slot[ZONE_TWINS];       /* and its current slot */
		};
	};
	uint8_t reserved2[PAGE_BYTES - 64 - ZONE_TWINS * 6];
};

/* Checksums of data that does not change: that of blocks which a snapshot reaches.  A zone's
 * page k of them is of its blocks from k * SUMS_PER_PAGE on.  before: one more than the greatest id of
 * a snapshot when the checksum was made; it holds for as long as some snapshot with a smaller
 * id reaches the block, since what a snapshot reaches is never overwritten; 0: there is none. */
struct disk_sums {
	struct disk_page h;
	struct le64 first; /* block that sum[0] is of */
	struct le32 sum[SUMS_PER_PAGE];
	struct le48 before[SUMS_PER_PAGE];
	uint8_t reserved[PAGE_BYTES - 40 - SUMS_PER_PAGE * 10];
};

struct disk_summary {
	struct disk_page h;
	struct le16 zone[ZONE_TWINS]; /* [i] of zone i: type << 12 | used; [0] is zero */
	struct le32 slot[ZONE_TWINS]; /* [i] of that zone's page */
	uint8_t reserved[PAGE_BYTES - 32 - ZONE_TWINS * 6];
};

struct disk_group {       /* all zero: an untouched group */
	struct le32 slot; /* of the summary */
	struct le16 data_zones;
	struct le16 meta_zones;
	struct le32 used_blocks;
	struct le32 used_pages;
};

struct disk_groups {
	struct disk_page h;
	struct disk_group group[GROUPS_PER_PAGE];
	uint8_t reserved[PAGE_BYTES - 32 - GROUPS_PER_PAGE * 16];
};

/* Roots of subtrees that nothing maps any more.  The list holds one reference
 * to each.  Entries are packed from the front: page << 8 | level + 1; 0 = end. */
struct disk_dying {
	struct disk_page h;
	struct le64 entry[DYING_PER_PAGE];
	uint8_t reserved[PAGE_BYTES - 32 - DYING_PER_PAGE * 8];
};

/* ---- catalog --------------------------------------------------------------- */

enum object_kind { OBJECT_NONE = 0, OBJECT_VOLUME = 1, OBJECT_SNAPSHOT = 2 };
enum object_label { LABEL_NONE = 0, LABEL_CRASH = 1, LABEL_FLUSHED = 2, LABEL_FROZEN = 3 };
enum object_flags {
	OBJECT_BEFORE_ROLLBACK = 1, /* made by rollback; the next one replaces it */
	OBJECT_EPHEMERAL = 2,       /* dropped when its last client has gone */
	OBJECT_FLAGS_ALL = 3,
};

#define RECORDS_PER_PAGE 8u

struct disk_object {
	struct le64 id;      /* never reused; 0: this place is empty */
	struct le64 volume;  /* snapshot: the volume it is of; volume: 0 */
	struct le64 parent;  /* what it was made from, also when that is gone; 0 none */
	struct le64 root;    /* as a map entry; 0: nothing mapped */
	struct le64 size;    /* bytes */
	struct le64 created; /* ns since 1970 */
	struct le32 flags;
	uint8_t kind;
	uint8_t label;
	uint8_t depth; /* levels of the map: covers MAP_FANOUT ^ depth blocks */
	uint8_t name_length;
	struct le32 sector_size; /* that disks show; 0: 512 */
	struct le32 reserved0;
	uint8_t name[256]; /* UTF-8, padded with zeros */
	uint8_t reserved1[176];
};

struct disk_catalog_leaf {
	struct disk_page h;
	struct disk_object object[RECORDS_PER_PAGE]; /* id's place: id % RECORDS_PER_PAGE */
	uint8_t reserved[PAGE_BYTES - 32 - RECORDS_PER_PAGE * 496];
};

/* ---- superblock -------------------------------------------------------------- */

/* The journal may have empty batches, and checksums of data in them.  Set while a session runs. */
#define FEATURE_BATCH_SUMS UINT64_C(1)
#define FEATURES_INCOMPAT_KNOWN FEATURE_BATCH_SUMS
#define FEATURES_RO_COMPAT_KNOWN UINT64_C(0)

enum super_flags {
	SUPER_CLEAN = 1,   /* closed in order: nothing to replay, no tail */
	SUPER_TAINTED = 2, /* a sync failed in this session */
	SUPER_FLAGS_ALL = 3,
};

struct disk_super {
	struct disk_page h;
	uint8_t magic[8]; /* "cowbd\r\n\032" */
	struct le32 major;
	struct le32 flags;
	struct le64 incompat, ro_compat, compat; /* feature masks */
	uint8_t uuid[16];
	struct le64 sequence; /* of superblock writes; the copies differ by one at most */
	struct le32 block_shift;
	struct le32 zone_twins; /* geometry this was made with */
	struct le64 zones;      /* of the pool */
	struct le64 journal_zones;
	/* the journal needed by this checkpoint */
	struct le64 journal_offset; /* of its first batch, bytes in the ring */
	struct le64 journal_batch;  /* that batch's number */
	struct le64 journal_chain;  /* checksum of the batch before it */
	struct le64 cut;            /* sequence of the last record that the checkpoint holds */
	/* catalog */
	struct le64 catalog_root; /* as a map entry; 0: empty */
	struct le32 catalog_depth;
	struct le32 reserved0;
	struct le64 next_id;
	/* session, for the volatile tail */
	uint8_t boot_id[16];
	uint8_t session_id[16];
	struct le64 pool_dev, pool_ino;
	struct le64 tail_dev, tail_ino;
	struct le64 created;          /* ns since 1970 */
	uint8_t name[64];             /* of the pool, NUL padded */
	uint8_t tail_path[256];       /* NUL padded; empty: no tail */
	struct le32 slot[ZONE_TWINS]; /* of the twins of zone 0; [0] is zero */
	uint8_t reserved1[PAGE_BYTES - 568 - ZONE_TWINS * 4];
};

/* ---- journal and tail ---------------------------------------------------------- */

struct disk_batch { /* a multiple of 4 KiB in the ring; records follow, then checksums of data */
	struct le32 kind;
	struct le32 length;   /* bytes, whole pages */
	struct le64 checksum; /* of length bytes with this field zero */
	struct le64 number;   /* one more than the batch before */
	struct le64 previous; /* checksum of the batch before */
	struct le64 first;    /* sequence of its first record */
	struct le32 records;
	struct le32 payload; /* bytes of records */
	struct le32 sums;    /* number of checksums of data */
	uint8_t reserved[12];
};

#define BATCH_SUMS_MAX 1024u
#define BATCH_SUMS_BYTES (UINT32_C(64) << 10) /* of a batch with checksums, at most */

/* What a block that records of the batch map held when it was written. */
struct disk_batch_sum {
	struct le64 block;
	struct le64 checksum; /* batch_sum */
};

enum record_type {
	REC_MAP = 1,
	REC_UNMAP,
	REC_DETACH,
	REC_CREATE,
	REC_SNAPSHOT,
	REC_CLONE,
	REC_ROLLBACK,
	REC_DELETE,
	REC_RESIZE,
	REC_RENAME,
	REC_SET,
	REC_ZONE,
};

#define RECORD_MORE 1u /* flag: the group goes on with the next record */

struct disk_record {
	struct le32 checksum; /* low half of XXH3 of the record with this field zero */
	struct le16 length;   /* bytes, header included, a multiple of 8 */
	uint8_t type;
	uint8_t flags;
	struct le64 seq; /* one more than the record before */
};

struct disk_rec_map { /* MAP; UNMAP and DETACH with physical = 0 */
	struct disk_record h;
	struct le64 object;
	struct le64 block;    /* logical */
	struct le64 length;   /* blocks, within one leaf; DETACH: the level of the subtree */
	struct le64 physical; /* first block */
};

struct disk_rec_object { /* CREATE SNAPSHOT CLONE ROLLBACK DELETE RESIZE RENAME SET */
	struct disk_record h;
	struct le64 object;  /* what is made or changed */
	struct le64 source;  /* SNAPSHOT: volume; CLONE: object; ROLLBACK: snapshot;
				   SET: attribute */
	struct le64 other;   /* ROLLBACK: id that keeps the state left behind, 0 none;
				   SET: value */
	struct le64 size;    /* CREATE, RESIZE: bytes */
	struct le64 created; /* ns since 1970 */
	struct le32 flags;   /* of the object made */
	struct le32 sector_size;
	uint8_t label;
	uint8_t name_length;
	uint8_t reserved[6];
	uint8_t name[]; /* padded with zeros to 8 */
};

struct disk_rec_zone { /* ZONE */
	struct disk_record h;
	struct le64 zone;
	struct le64 type;
};

/* Attributes of REC_SET. */
enum { SET_FLAGS = 1, SET_LABEL = 2, SET_SECTOR_SIZE = 3 };

/* The tail: one page of header, then a ring of records. */
struct disk_tail {
	struct le32 kind;
	struct le32 reserved;
	struct le64 checksum; /* of the page with this field, flags, start and durable zero */
	uint8_t uuid[16];
	uint8_t boot_id[16];
	uint8_t session_id[16];
	struct le64 pool_dev, pool_ino;
	struct le64 ring_bytes;
	struct le64 flags; /* TAIL_TAINTED */
	uint64_t start;    /* native, atomic: offset of the oldest record since the start of
				   the session; place in the ring: start % ring_bytes */
	uint64_t durable;  /* native, atomic: all records up to this seq are durable */
};
#define TAIL_TAINTED 1u

/* ---- names of places ------------------------------------------------------------- */

struct geometry {
	uint64_t zones; /* of the pool */
	uint64_t journal_zones;
	uint64_t first_group; /* zone where the groups begin */
	uint64_t groups;
	unsigned block_shift;
	uint32_t block_bytes;
	uint32_t zone_blocks; /* data blocks in a zone */
};

void geometry_init(struct geometry *g, uint64_t zones, uint64_t journal_zones,
		   unsigned block_shift);

/* Offset in bytes of a slot (0 or 1) of twin page p. */
static inline uint64_t page_offset(uint64_t page, unsigned slot)
{
	return page / ZONE_TWINS * ZONE_BYTES + page % ZONE_TWINS * PAGE_BYTES +
	       (slot ? SLOT_DISTANCE : 0);
}

static inline uint64_t page_zone(uint64_t page)
{
	return page / ZONE_TWINS;
}

static inline bool zone_in_group(const struct geometry *g, uint64_t zone)
{
	return zone >= g->first_group && zone < g->zones;
}

static inline uint64_t zone_group(const struct geometry *g, uint64_t zone)
{
	return (zone - g->first_group) / GROUP_ZONES;
}

/* Place of a zone in its group: 0 is the header. */
static inline unsigned zone_index(const struct geometry *g, uint64_t zone)
{
	return (unsigned)((zone - g->first_group) % GROUP_ZONES);
}

static inline uint64_t group_header_zone(const struct geometry *g, uint64_t group)
{
	return g->first_group + group * GROUP_ZONES;
}

/* Zones of a group that exist, header included. */
unsigned group_zone_count(const struct geometry *g, uint64_t group);

static inline uint64_t summary_page(const struct geometry *g, uint64_t group)
{
	return group_header_zone(g, group) * ZONE_TWINS;
}

static inline uint64_t zone_page(const struct geometry *g, uint64_t zone)
{
	return group_header_zone(g, zone_group(g, zone)) * ZONE_TWINS + zone_index(g, zone);
}

static inline uint64_t dying_page(unsigned i)
{
	return 1 + i;
}

static inline uint64_t groups_page(uint64_t group)
{
	return 1 + DYING_PAGES + group / GROUPS_PER_PAGE;
}

static inline uint64_t block_zone(const struct geometry *g, uint64_t block)
{
	return block / g->zone_blocks;
}

/* ---- slots and checksums ------------------------------------------------------------ */

static inline struct le32 slot_make(unsigned slot, uint64_t sum)
{
	uint32_t low = (uint32_t)sum & 0x7fffffffu;

	return put32((slot ? 0x80000000u : 0) | (low ? low : 1));
}

static inline unsigned slot_which(struct le32 v)
{
	return get32(v) >> 31;
}

static inline bool slot_written(struct le32 v)
{
	return get32(v) != 0;
}

/* Seed of the checksum of pages of a kind. */
uint64_t page_seed(enum page_kind kind, const uint8_t uuid[16]);

/* Fills in kind, offset, generation and checksum; returns the checksum. */
uint64_t page_seal(void *page, enum page_kind kind, const uint8_t uuid[16], uint64_t offset,
		   uint64_t generation);

/* Checks kind, checksum and place: 0 or -EBADMSG with what is wrong. */
int page_verify(const void *page, enum page_kind kind, const uint8_t uuid[16],
		uint64_t offset) MUST_CHECK;

/* Checksum of a block of data, as a batch of the journal has it. */
uint64_t batch_sum(const void *data, const struct geometry *g, uint64_t block,
		   const uint8_t uuid[16]);

/* The same, as pages of checksums hold it. */
struct le32 block_sum(const void *data, const struct geometry *g, uint64_t block,
		      const uint8_t uuid[16]);

/* Pages of checksums that a zone of data can have. */
static inline unsigned sums_pages(const struct geometry *g)
{
	return (g->zone_blocks + SUMS_PER_PAGE - 1) / SUMS_PER_PAGE;
}

/* Kind of a page by its place, and for pages in zones by its header. */
const char *page_kind_name(enum page_kind kind);

/* ---- validation: -EUCLEAN names the broken rule ---------------------------------------- */

/* uuid-sealed copy of the superblock; -EINVAL: no cowbd pool at all;
 * -EOPNOTSUPP: newer version or unknown incompatible features. */
int super_check(const struct disk_super *s, uint64_t offset) MUST_CHECK;
int map_page_check(const struct disk_map *m, const struct geometry *g, bool catalog) MUST_CHECK;
int zone_page_check(const struct disk_zone *z, const struct geometry *g) MUST_CHECK;
int summary_check(const struct disk_summary *s) MUST_CHECK;
int groups_check(const struct disk_groups *p) MUST_CHECK;
int sums_check(const struct disk_sums *s, const struct geometry *g) MUST_CHECK;
int dying_check(const struct disk_dying *d, const struct geometry *g) MUST_CHECK;
int object_check(const struct disk_object *o, const struct geometry *g) MUST_CHECK;
int catalog_leaf_check(const struct disk_catalog_leaf *l, const struct geometry *g) MUST_CHECK;

/* Any page by its kind, with page_verify first. */
int page_check(const void *page, enum page_kind kind, const uint8_t uuid[16], uint64_t offset,
	       const struct geometry *g) MUST_CHECK;

/* ---- records --------------------------------------------------------------------------- */

/* A record in memory.  Fields that a type does not use are zero. */
struct record {
	enum record_type type;
	bool more; /* the group goes on */
	uint64_t seq;
	uint64_t object;                  /* MAP UNMAP DETACH and object records */
	uint64_t block, length, physical; /* MAP UNMAP DETACH (length: level) */
	uint64_t zone, zone_type;         /* ZONE */
	uint64_t source, other, size, created;
	uint32_t flags, sector_size;
	uint8_t label;
	char name[NAME_BYTES_MAX + 1]; /* "" where none */
};

#define RECORD_BYTES_MAX (sizeof(struct disk_rec_object) + 256)

/* Bytes that r takes. */
size_t record_size(const struct record *r);

/* Writes r to buf (record_size bytes), checksummed. */
void record_encode(const struct record *r, void *buf);

/* Reads a record from at most room bytes: its length, or 0 if there is no
 * valid record (an end, a torn one, one with fields out of range). */
size_t record_decode(const void *buf, size_t room, struct record *r);

/* ---- names ------------------------------------------------------------------------------- */

/* A name of a volume or snapshot: 1-255 bytes of UTF-8, no '@', '/', control
 * characters, no leading '-' or '.'.  -EINVAL says which rule is broken. */
int name_check(const char *name) MUST_CHECK;

#endif
