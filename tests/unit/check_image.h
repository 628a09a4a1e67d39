/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_image.h - a small pool built by hand, page by page, for tests of its readers
 *
 *	vol  (1) --+-> ROOT --+-> LEFT   block 0: B0, block 1: B1 (shared with other)
 *	snap (2) --+          +-> RIGHT  first block: B2
 *	other (9) ---> OTHER             block 0: B1
 *	dying list --> DEAD              block 0: B3
 *
 * No code of the engine has a say in what is right here.  A test changes the pages
 * of the image, which write_image seals from the bottom up (so the damage
 * is one of content), or bytes of the store (one of the disk).
 */
#ifndef COWBD_CHECK_IMAGE_H
#define COWBD_CHECK_IMAGE_H

#include "format.h"
#include "store.h"

#include <check.h>
#undef fail /* check's old name of ck_abort */

#define JOURNAL_ZONES 1
#define ZONES (1 + JOURNAL_ZONES + 6)
#define HEADER (1 + JOURNAL_ZONES)
#define META (HEADER + 1)
#define DATA (HEADER + 2)
#define FREE (HEADER + 3)
#define RING_BYTES ((uint64_t)JOURNAL_ZONES * ZONE_BYTES)
#define GENERATION 7

/* Pages in the metadata zone. */
enum { NODE = 1, LEAF_A, LEAF_B, ROOT, LEFT, RIGHT, OTHER, DEAD, PAGES };

/* Data blocks in the data zone. */
enum { B0, B1, B2, B3, BLOCKS };

static const uint8_t uuid[16] = "checker's pool";

struct image {
	struct geometry g;
	struct disk_super super;
	uint64_t sequence[2]; /* of the copies */
	struct disk_dying dying;
	struct disk_groups groups;
	struct disk_summary summary;
	struct disk_zone meta, data;
	struct disk_map node, map[PAGES]; /* map[ROOT] .. map[DEAD] */
	struct disk_catalog_leaf leaf[2];
	struct disk_sums sums; /* page PAGES, if sums_kind is set */
	enum page_kind sums_kind;
	struct disk_zone *second; /* of the zone FREE, or NULL */
	/* journal: two batches, the second does not fit where the first ends */
	uint64_t batch_first[2];
	struct record record[3];
	bool keep_slots; /* the slots of the metadata zone are what the test wants */
	struct store *store;
};

static struct image im;

static uint64_t page(unsigned i)
{
	return META * ZONE_TWINS + i;
}

static uint64_t block(unsigned i)
{
	return DATA * im.g.zone_blocks + i;
}

/* Which slot of a page of the metadata zone is current: some of each. */
static unsigned which(unsigned i)
{
	return i % 2;
}

static uint64_t place(unsigned i)
{
	return page_offset(page(i), which(i));
}

/* ---- building ------------------------------------------------------------ */

static struct disk_object *object(unsigned id)
{
	return &im.leaf[id / RECORDS_PER_PAGE].object[id % RECORDS_PER_PAGE];
}

static void make_object(unsigned id, unsigned kind, const char *name, uint64_t root, unsigned depth,
			uint64_t size)
{
	struct disk_object *o = object(id);

	o->id = put64(id);
	o->kind = (uint8_t)kind;
	o->depth = (uint8_t)depth;
	o->size = put64(size);
	o->root = put64(root);
	o->name_length = (uint8_t)strlen(name);
	memcpy(o->name, name, strlen(name));
}

static void make_map(unsigned i, unsigned level, uint64_t first, uint64_t entry0, uint64_t entry1)
{
	im.map[i].level = put16((uint16_t)level);
	im.map[i].first = put64(first);
	im.map[i].entry[0] = put48(entry0);
	im.map[i].entry[1] = put48(entry1);
}

static void make_super(void)
{
	struct disk_super *s = &im.super;

	memcpy(s->magic, "cowbd\r\n\032", 8);
	memcpy(s->uuid, uuid, sizeof uuid);
	s->major = put32(FORMAT_MAJOR);
	s->block_shift = put32(12);
	s->zone_twins = put32(ZONE_TWINS);
	s->zones = put64(ZONES);
	s->journal_zones = put64(JOURNAL_ZONES);
	s->journal_offset = put64(RING_BYTES - 2 * PAGE_BYTES);
	s->journal_batch = put64(40);
	s->journal_chain = put64(4040);
	s->cut = put64(100);
	s->catalog_root = put64(page(NODE));
	s->catalog_depth = put32(1);
	s->next_id = put64(10);
	im.sequence[0] = im.sequence[1] = 5;
}

static void make_tables(void)
{
	im.meta.type = put16(ZONE_META);
	im.meta.used = put16(PAGES - 1);
	for (unsigned i = 1; i < PAGES; i++)
		im.meta.page_count[i] = put16(i == ROOT ? 2 : 1);
	im.data.type = put16(ZONE_DATA);
	im.data.used = put16(BLOCKS);
	for (unsigned i = 0; i < BLOCKS; i++)
		im.data.count[i] = put16(i == B1 ? 2 : 1);
	im.summary.zone[META - HEADER] = put16(ZONE_META << 12 | (PAGES - 1));
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | BLOCKS);
	im.groups.group[0].meta_zones = put16(1);
	im.groups.group[0].data_zones = put16(1);
	im.groups.group[0].used_pages = put32(PAGES - 1);
	im.groups.group[0].used_blocks = put32(BLOCKS);
	im.dying.entry[0] = put64(page(DEAD) << 8 | 1);
}

static void build(void)
{
	uint64_t size = (MAP_FANOUT + 3) * (uint64_t)PAGE_BYTES;

	memset(&im, 0, sizeof im);
	geometry_init(&im.g, ZONES, JOURNAL_ZONES, 12);
	make_super();
	make_tables();
	im.node.entry[0] = put48(page(LEAF_A));
	im.node.entry[1] = put48(page(LEAF_B));
	make_object(1, OBJECT_VOLUME, "vol", page(ROOT) | ENTRY_SHARED, 2, size);
	make_object(2, OBJECT_SNAPSHOT, "snap", page(ROOT) | ENTRY_SHARED, 2, size);
	object(2)->volume = put64(1);
	make_object(9, OBJECT_VOLUME, "other", page(OTHER), 1, 512);
	make_map(ROOT, 1, 0, page(LEFT), page(RIGHT));
	make_map(LEFT, 0, 0, block(B0), block(B1) | ENTRY_SHARED);
	make_map(RIGHT, 0, MAP_FANOUT, block(B2), 0);
	make_map(OTHER, 0, 0, block(B1) | ENTRY_SHARED, 0);
	make_map(DEAD, 0, 5 * MAP_FANOUT, block(B3), 0);
	im.batch_first[0] = 101;
	im.batch_first[1] = 102;
	for (unsigned i = 0; i < 3; i++)
		im.record[i] = (struct record){.type = REC_DELETE, .seq = 101 + i, .object = 2};
	im.record[1].more = true;
}

/* A page of checksums for the zone of data. */
static __attribute__((unused)) void add_sums(void)
{
	im.sums_kind = PAGE_SUMS;
	im.sums.first = put64(block(0));
	im.sums.sum[B1] = put32(4711);
	im.sums.before[B1] = put48(3);
	im.data.sums[0] = put64(page(PAGES));
	im.meta.page_count[PAGES] = put16(1);
	im.meta.used = put16(PAGES);
	im.summary.zone[META - HEADER] = put16(ZONE_META << 12 | PAGES);
	im.groups.group[0].used_pages = put32(PAGES);
}

/* ---- writing ------------------------------------------------------------- */

static void write_at(uint64_t offset, const void *data, size_t len)
{
	uint8_t *copy = aligned_alloc(PAGE_BYTES, len);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, data, len);
	ck_assert_int_eq(store_write(im.store, STORE_DIRECT, offset, copy, len), 0);
	free(copy);
}

static void read_at(uint64_t offset, void *data)
{
	static _Alignas(PAGE_BYTES) uint8_t copy[PAGE_BYTES];

	ck_assert_int_eq(store_read(im.store, STORE_DIRECT, offset, copy, PAGE_BYTES), 0);
	memcpy(data, copy, PAGE_BYTES);
}

/* Seals and writes a page; the slot as the page above names it. */
static struct le32 put_page(void *data, enum page_kind kind, uint64_t no, unsigned slot)
{
	uint64_t sum = page_seal(data, kind, uuid, page_offset(no, slot), GENERATION);

	write_at(page_offset(no, slot), data, PAGE_BYTES);
	return slot_make(slot, sum);
}

static void put_meta(unsigned i, void *data, enum page_kind kind)
{
	struct le32 slot = put_page(data, kind, page(i), which(i));

	if (!im.keep_slots)
		im.meta.slot[i] = slot;
}

static uint64_t put_batch(uint64_t offset, unsigned pages, uint64_t number, uint64_t chain,
			  unsigned first_record, unsigned n)
{
	static _Alignas(8) uint8_t buf[2 * PAGE_BYTES];
	struct disk_batch *h = (void *)buf;
	uint8_t *at = buf + sizeof *h;

	memset(buf, 0, sizeof buf);
	for (unsigned i = 0; i < n; i++) {
		record_encode(&im.record[first_record + i], at);
		at += record_size(&im.record[first_record + i]);
	}
	h->kind = put32(PAGE_BATCH);
	h->length = put32(pages * PAGE_BYTES);
	h->number = put64(number);
	h->previous = put64(chain);
	h->first = put64(im.batch_first[first_record != 0]);
	h->records = put32(n);
	h->payload = put32((uint32_t)(at - buf - sizeof *h));
	h->checksum = put64(checksum(buf, (size_t)pages * PAGE_BYTES, page_seed(PAGE_BATCH, uuid)));
	write_at(ZONE_BYTES + offset, buf, (size_t)pages * PAGE_BYTES);
	return get64(h->checksum);
}

static void put_super(unsigned copy)
{
	im.super.sequence = put64(im.sequence[copy]);
	(void)put_page(&im.super, PAGE_SUPER, 0, copy);
}

/* Seals the image from the bottom up into a new store. */
static void write_image(void)
{
	struct sim_options opt = {.data_align = 1};
	uint64_t header = HEADER * ZONE_TWINS, chain;

	ck_assert_int_eq(store_sim_new(ZONES * (uint64_t)ZONE_BYTES, &opt, &im.store), 0);
	for (unsigned i = ROOT; i <= DEAD; i++)
		put_meta(i, &im.map[i], PAGE_MAP);
	put_meta(LEAF_A, &im.leaf[0], PAGE_CATALOG_LEAF);
	put_meta(LEAF_B, &im.leaf[1], PAGE_CATALOG_LEAF);
	put_meta(NODE, &im.node, PAGE_CATALOG_NODE);
	if (im.sums_kind)
		put_meta(PAGES, &im.sums, im.sums_kind);
	im.summary.slot[META - HEADER] = put_page(&im.meta, PAGE_ZONE, header + META - HEADER, 1);
	im.summary.slot[DATA - HEADER] = put_page(&im.data, PAGE_ZONE, header + DATA - HEADER, 0);
	if (im.second)
		im.summary.slot[FREE - HEADER] =
			put_page(im.second, PAGE_ZONE, header + FREE - HEADER, 0);
	im.groups.group[0].slot = put_page(&im.summary, PAGE_SUMMARY, header, 1);
	im.super.slot[groups_page(0)] = put_page(&im.groups, PAGE_GROUPS, groups_page(0), 0);
	im.super.slot[dying_page(0)] = put_page(&im.dying, PAGE_DYING, dying_page(0), 1);
	put_super(0);
	put_super(1);
	chain = put_batch(RING_BYTES - 2 * PAGE_BYTES, 1, 40, 4040, 0, 1);
	(void)put_batch(0, 2, 41, chain, 1, 2);
}

#endif
