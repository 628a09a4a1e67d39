/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_format.c - structures on disk: seals, validators, names, geometry; test_format_record.c has the records
 *
 * Each validator gets a page that is right, and then that page with one rule
 * broken, sealed again: the message must name the rule.  Built with the real
 * geometry and with the tiny one.
 */
#include <stdio.h>

#include "format.h"

#include <check.h>
#undef fail /* check's old name of ck_abort; here it is the function of base.h */

#define ZONES (1 + 2 + 2 * GROUP_ZONES + 5) /* two whole groups, and one of 5 zones */
#define JOURNAL_ZONES 2

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static struct geometry g;

static void set_geometry(void)
{
	geometry_init(&g, ZONES, JOURNAL_ZONES, 12);
}

static void assert_fails(int result, int err, const char *text)
{
	ck_assert_msg(result == err, "%s, not %s: %s", error_name(result), error_name(err), text);
	ck_assert_msg(strstr(error_message(), text), "\"%s\" does not say \"%s\"", error_message(),
		      text);
}

/* A zone, page and block of group 1 that can hold things. */
static uint64_t some_zone(void)
{
	return g.first_group + GROUP_ZONES + 3;
}

static uint64_t some_page(unsigned i)
{
	return some_zone() * ZONE_TWINS + i;
}

static uint64_t some_block(unsigned i)
{
	return some_zone() * g.zone_blocks + i;
}

/* ---- geometry ------------------------------------------------------------ */

START_TEST(groups_are_counted_to_the_last_partial_one)
{
	ck_assert_uint_eq(g.first_group, 3);
	ck_assert_uint_eq(g.groups, 3);
	ck_assert_uint_eq(group_zone_count(&g, 0), GROUP_ZONES);
	ck_assert_uint_eq(group_zone_count(&g, 1), GROUP_ZONES);
	ck_assert_uint_eq(group_zone_count(&g, 2), 5);
	ck_assert_uint_eq(g.block_bytes, 4096);
	ck_assert_uint_eq(g.zone_blocks, ZONE_UNITS_MAX);

	geometry_init(&g, 3 + 2 * GROUP_ZONES, JOURNAL_ZONES, 16);
	ck_assert_uint_eq(g.groups, 2);
	ck_assert_uint_eq(group_zone_count(&g, 1), GROUP_ZONES);
	ck_assert_uint_eq(g.zone_blocks, ZONE_BYTES >> 16);
	geometry_init(&g, 3 + 2 * GROUP_ZONES + 1, JOURNAL_ZONES, 16);
	ck_assert_uint_eq(g.groups, 3);
	ck_assert_uint_eq(group_zone_count(&g, 2), 1);
	geometry_init(&g, 2, JOURNAL_ZONES, 12);
	ck_assert_uint_eq(g.groups, 0);
}
END_TEST

START_TEST(places_of_zones_and_pages_are_where_the_picture_says)
{
	uint64_t header = g.first_group + GROUP_ZONES;

	ck_assert_uint_eq(group_header_zone(&g, 1), header);
	ck_assert_uint_eq(summary_page(&g, 1), header * ZONE_TWINS);
	ck_assert_uint_eq(zone_page(&g, header + 7), header * ZONE_TWINS + 7);
	ck_assert_uint_eq(zone_group(&g, header - 1), 0);
	ck_assert_uint_eq(zone_group(&g, header), 1);
	ck_assert_uint_eq(zone_index(&g, header + 7), 7);
	ck_assert(!zone_in_group(&g, g.first_group - 1));
	ck_assert(zone_in_group(&g, g.first_group));
	ck_assert(zone_in_group(&g, ZONES - 1));
	ck_assert(!zone_in_group(&g, ZONES));

	ck_assert_uint_eq(page_offset(0, 0), 0);
	ck_assert_uint_eq(page_offset(0, 1), ZONE_BYTES / 2);
	ck_assert_uint_eq(page_offset(some_page(5), 1),
			  some_zone() * ZONE_BYTES + 5 * PAGE_BYTES + ZONE_BYTES / 2);
	ck_assert_uint_eq(block_zone(&g, some_block(0) + g.zone_blocks - 1), some_zone());
	ck_assert_uint_eq(dying_page(0), 1);
	ck_assert_uint_eq(groups_page(0), 1 + DYING_PAGES);
	ck_assert_uint_eq(groups_page(GROUPS_PER_PAGE), 2 + DYING_PAGES);
	ck_assert_uint_eq(groups_page(GROUPS_MAX - 1), ZONE_TWINS - 1);
}
END_TEST

#ifndef COWBD_TINY
START_TEST(pools_of_usual_sizes_have_the_groups_that_they_should)
{
	geometry_init(&g, (UINT64_C(1) << 30) / ZONE_BYTES, 4, 12); /* 1 GiB */
	ck_assert_uint_eq(g.groups, 1);
	ck_assert_uint_eq(group_zone_count(&g, 0), 251);
	geometry_init(&g, (UINT64_C(16) << 40) / ZONE_BYTES, 256, 12); /* 16 TiB */
	ck_assert_uint_eq(g.zones, 4194304);
	ck_assert_uint_eq(g.groups, 8192);
	ck_assert_uint_eq(group_zone_count(&g, 8191), 512 - 257);
	ck_assert_uint_eq(ZONE_BYTES, 4 << 20);
	ck_assert_uint_eq(SLOT_DISTANCE, 2 << 20);
	ck_assert_uint_eq(BLOCK_SHIFT_MAX, 20);
}
END_TEST
#endif

START_TEST(integers_are_little_endian)
{
	struct le64 v = put64(UINT64_C(0x0807060504030201));
	struct le48 w = put48(UINT64_C(0xffff060504030201));

	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(v.b[i], i + 1);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(w.b[i], i + 1);
	ck_assert_uint_eq(get64(v), UINT64_C(0x0807060504030201));
	ck_assert_uint_eq(get48(w), UINT64_C(0x060504030201));
	ck_assert_uint_eq(get32(put32(0xfedcba98u)), 0xfedcba98u);
	ck_assert_uint_eq(get16(put16(0xfedc)), 0xfedc);
}
END_TEST

/* ---- seals --------------------------------------------------------------- */

static void sealed_page(uint8_t page[PAGE_BYTES])
{
	for (unsigned i = 0; i < PAGE_BYTES; i++)
		page[i] = (uint8_t)(i * 7);
	(void)page_seal(page, PAGE_MAP, uuid, 8192, 5);
}

START_TEST(a_sealed_page_is_verified_where_it_belongs)
{
	uint8_t page[PAGE_BYTES];
	struct disk_page h;

	sealed_page(page);
	ck_assert_int_eq(page_verify(page, PAGE_MAP, uuid, 8192), 0);
	memcpy(&h, page, sizeof h);
	ck_assert_uint_eq(get32(h.kind), PAGE_MAP);
	ck_assert_uint_eq(get64(h.offset), 8192);
	ck_assert_uint_eq(get64(h.generation), 5);
	ck_assert_uint_eq(page[100], (uint8_t)(100 * 7));
	ck_assert_uint_eq(page_seal(page, PAGE_MAP, uuid, 8192, 5), get64(h.checksum));
	ck_assert_uint_eq(page_seed(PAGE_MAP, uuid), checksum(uuid, 16, PAGE_MAP));
}
END_TEST

START_TEST(a_page_of_another_place_kind_or_pool_is_refused)
{
	uint8_t page[PAGE_BYTES], other[16] = {9};

	sealed_page(page);
	assert_fails(page_verify(page, PAGE_MAP, uuid, 4096), -EBADMSG, "misplaced");
	assert_fails(page_verify(page, PAGE_ZONE, uuid, 8192), -EBADMSG, "something else");
	assert_fails(page_verify(page, PAGE_MAP, other, 8192), -EBADMSG, "checksum");
	memset(page, 0, sizeof page);
	assert_fails(page_verify(page, PAGE_MAP, uuid, 8192), -EBADMSG, "something else");
}
END_TEST

START_TEST(one_flipped_bit_anywhere_is_seen)
{
	uint8_t page[PAGE_BYTES];

	sealed_page(page);
	for (unsigned bit = 0; bit < PAGE_BYTES * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(page_verify(page, PAGE_MAP, uuid, 8192), -EBADMSG);
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_int_eq(page_verify(page, PAGE_MAP, uuid, 8192), 0);
}
END_TEST

START_TEST(a_reserved_header_field_that_is_set_is_seen_though_sealed)
{
	uint8_t page[PAGE_BYTES];
	struct disk_page h;

	sealed_page(page);
	memcpy(&h, page, sizeof h);
	h.reserved = put32(1);
	h.checksum = put64(0);
	memcpy(page, &h, sizeof h);
	h.checksum = put64(checksum(page, PAGE_BYTES, page_seed(PAGE_MAP, uuid)));
	memcpy(page, &h, sizeof h);
	assert_fails(page_verify(page, PAGE_MAP, uuid, 8192), -EBADMSG, "reserved");
}
END_TEST

START_TEST(a_slot_is_named_by_31_bits_of_the_checksum_never_0)
{
	ck_assert_uint_eq(get32(slot_make(0, UINT64_C(0xabcdef0180000000))), 1);
	ck_assert_uint_eq(get32(slot_make(1, 0)), 0x80000001u);
	ck_assert_uint_eq(get32(slot_make(1, 0xffffffffu)), 0xffffffffu);
	ck_assert_uint_eq(slot_which(slot_make(1, 77)), 1);
	ck_assert_uint_eq(slot_which(slot_make(0, UINT64_MAX)), 0);
	ck_assert(!slot_written(put32(0)));
	ck_assert(slot_written(slot_make(0, 0)));
}
END_TEST

/* ---- superblock ---------------------------------------------------------- */

static struct disk_super good_super(void)
{
	struct disk_super s;

	memset(&s, 0, sizeof s);
	memcpy(s.magic, "cowbd\r\n\032", 8);
	memcpy(s.uuid, uuid, sizeof uuid);
	s.major = put32(FORMAT_MAJOR);
	s.sequence = put64(9);
	s.block_shift = put32(12);
	s.zone_twins = put32(ZONE_TWINS);
	s.zones = put64(ZONES);
	s.journal_zones = put64(JOURNAL_ZONES);
	s.journal_offset = put64(PAGE_BYTES);
	s.journal_batch = put64(1);
	s.catalog_root = put64(some_page(1));
	s.next_id = put64(5);
	memcpy(s.name, "pool", 4);
	memcpy(s.tail_path, "/dev/shm/t", 10);
	s.slot[1] = slot_make(1, 44);
	s.slot[groups_page(0)] = slot_make(0, 45);
	return s;
}

#define SUPER_BROKEN(change, err, text)                                                            \
	do {                                                                                       \
		struct disk_super s = good_super();                                                \
		change;                                                                            \
		(void)page_seal(&s, PAGE_SUPER, s.uuid, SLOT_DISTANCE, 3);                         \
		assert_fails(super_check(&s, SLOT_DISTANCE), err, text);                           \
	} while (0)

START_TEST(a_right_superblock_passes)
{
	struct disk_super s = good_super();

	(void)page_seal(&s, PAGE_SUPER, uuid, SLOT_DISTANCE, 3);
	ck_assert_int_eq(super_check(&s, SLOT_DISTANCE), 0);
	ck_assert_int_eq(page_check(&s, PAGE_SUPER, uuid, SLOT_DISTANCE, &g), 0);
	s = good_super();
	s.compat = put64(UINT64_MAX); /* features that anybody may ignore */
	s.flags = put32(SUPER_FLAGS_ALL);
	s.catalog_root = put64(0);
	(void)page_seal(&s, PAGE_SUPER, uuid, 0, 3);
	ck_assert_int_eq(super_check(&s, 0), 0);
}
END_TEST

START_TEST(what_is_no_pool_newer_or_damaged_is_told_apart)
{
	struct disk_super t;

	memset(&t, 0, sizeof t);
	assert_fails(super_check(&t, 0), -EINVAL, "no cowbd pool");
	memset(&t, 'x', sizeof t);
	assert_fails(super_check(&t, 0), -EINVAL, "no cowbd pool");
	SUPER_BROKEN(s.magic[0] = 'C', -EINVAL, "no cowbd pool");
	SUPER_BROKEN(s.major = put32(FORMAT_MAJOR + 1), -EOPNOTSUPP, "newer cowbd");
	SUPER_BROKEN(s.incompat = put64(4), -EOPNOTSUPP, "0x4");
	SUPER_BROKEN(s.zone_twins = put32(ZONE_TWINS * 2), -EOPNOTSUPP, "pages a zone");

	t = good_super();
	(void)page_seal(&t, PAGE_SUPER, uuid, 0, 3);
	t.sequence = put64(10);
	assert_fails(super_check(&t, 0), -EBADMSG, "checksum");
	(void)page_seal(&t, PAGE_SUPER, uuid, 0, 3);
	assert_fails(super_check(&t, SLOT_DISTANCE), -EBADMSG, "misplaced");
}
END_TEST

START_TEST(each_rule_of_the_superblock_is_named_when_broken)
{
	uint64_t too_many = (uint64_t)GROUPS_MAX * GROUP_ZONES + 1;

	SUPER_BROKEN(s.major = put32(0), -EUCLEAN, "never was");
	SUPER_BROKEN(s.flags = put32(4), -EUCLEAN, "unknown flags");
	SUPER_BROKEN(s.reserved0 = put32(1), -EUCLEAN, "reserved");
	SUPER_BROKEN(s.reserved1[sizeof s.reserved1 - 1] = 1, -EUCLEAN, "reserved");
	SUPER_BROKEN(s.block_shift = put32(11), -EUCLEAN, "block size");
	SUPER_BROKEN(s.block_shift = put32((uint32_t)BLOCK_SHIFT_MAX + 1), -EUCLEAN, "block size");
	SUPER_BROKEN(s.zones = put64(too_many), -EUCLEAN, "more than a pool");
	SUPER_BROKEN(s.journal_zones = put64(0), -EUCLEAN, "does not fit");
	SUPER_BROKEN(s.journal_zones = put64(ZONES), -EUCLEAN, "does not fit");
	SUPER_BROKEN(s.journal_zones = put64(ZONES - 2), -EUCLEAN, "none for data");
	SUPER_BROKEN(s.journal_offset = put64(100), -EUCLEAN, "journal position");
	SUPER_BROKEN(s.journal_offset = put64(JOURNAL_ZONES * ZONE_BYTES), -EUCLEAN,
		     "journal position");
	SUPER_BROKEN(s.sequence = put64(UINT64_C(1) << 62), -EUCLEAN, "sequence");
	SUPER_BROKEN(s.journal_batch = put64(UINT64_C(1) << 63), -EUCLEAN, "batch");
	SUPER_BROKEN(s.cut = put64(UINT64_MAX), -EUCLEAN, "cut");
	SUPER_BROKEN(memset(s.name, 'n', sizeof s.name), -EUCLEAN, "not padded");
	SUPER_BROKEN(s.name[6] = 'n', -EUCLEAN, "not padded");
	SUPER_BROKEN(s.name[1] = '/', -EUCLEAN, "name");
	SUPER_BROKEN(s.name[1] = 0xff, -EUCLEAN, "UTF-8");
	SUPER_BROKEN(s.tail_path[255] = 'x', -EUCLEAN, "tail");
	SUPER_BROKEN(s.catalog_root = put64(1), -EUCLEAN, "catalog root");
	SUPER_BROKEN(s.catalog_root = put64(summary_page(&g, 1)), -EUCLEAN, "catalog root");
	SUPER_BROKEN(s.catalog_root = put64(some_page(1) | ENTRY_SHARED), -EUCLEAN, "catalog root");
	SUPER_BROKEN(s.catalog_depth = put32(MAP_DEPTH_MAX + 1), -EUCLEAN, "depth");
	SUPER_BROKEN(s.catalog_root = put64(0); s.catalog_depth = put32(1), -EUCLEAN, "depth");
	SUPER_BROKEN(s.next_id = put64(0), -EUCLEAN, "next id");
	SUPER_BROKEN(s.slot[0] = put32(1), -EUCLEAN, "slot of itself");
	SUPER_BROKEN(s.slot[groups_page(0) + 1] = put32(1), -EUCLEAN, "not used");

	struct disk_super late = good_super();

	(void)page_seal(&late, PAGE_SUPER, late.uuid, 0, UINT64_C(1) << 62);
	assert_fails(super_check(&late, 0), -EUCLEAN, "generation");
}
END_TEST

/* ---- maps ---------------------------------------------------------------- */

static struct disk_map good_map(unsigned level)
{
	struct disk_map m;

	memset(&m, 0, sizeof m);
	m.level = put16((uint16_t)level);
	m.first = put64(UINT64_C(1) << MAP_SHIFT * (level + 1));
	m.entry[0] = put48(level ? some_page(0) : some_block(0));
	m.entry[MAP_FANOUT - 1] = put48((level ? some_page(2) : some_block(3)) | ENTRY_SHARED);
	return m;
}

#define MAP_BROKEN(lvl, catalog, change, text)                                                     \
	do {                                                                                       \
		struct disk_map m = good_map(lvl);                                                 \
		m.entry[MAP_FANOUT - 1] = put48(0);                                                \
		change;                                                                            \
		assert_fails(map_page_check(&m, &g, catalog), -EUCLEAN, text);                     \
	} while (0)

START_TEST(right_map_pages_pass)
{
	struct disk_map m = good_map(0);

	ck_assert_int_eq(map_page_check(&m, &g, false), 0);
	m = good_map(2);
	ck_assert_int_eq(map_page_check(&m, &g, false), 0);
	(void)page_seal(&m, PAGE_MAP, uuid, 4096, 3);
	ck_assert_int_eq(page_check(&m, PAGE_MAP, uuid, 4096, &g), 0);
	m.entry[MAP_FANOUT - 1] = put48(0);
	ck_assert_int_eq(map_page_check(&m, &g, true), 0);
	m.level = put16(MAP_DEPTH_MAX - 1);
	m.first = put64(0);
	ck_assert_int_eq(map_page_check(&m, &g, false), 0);
}
END_TEST

START_TEST(each_rule_of_a_map_page_is_named_when_broken)
{
	MAP_BROKEN(1, false, m.level = put16(MAP_DEPTH_MAX), "level");
	MAP_BROKEN(1, false, m.reserved0 = put16(1), "reserved");
	MAP_BROKEN(1, false, m.reserved1 = put32(1), "reserved");
	MAP_BROKEN(1, false, m.reserved2[sizeof m.reserved2 - 1] = 1, "reserved");
	MAP_BROKEN(1, false, m.first = put64(MAP_FANOUT), "multiple");
	MAP_BROKEN(0, false, m.first = put64(1), "multiple");
	MAP_BROKEN(0, false, m.entry[1] = put48(ENTRY_SHARED), "shared but unmapped");
	MAP_BROKEN(1, true, m.entry[1] = put48(some_page(1) | ENTRY_SHARED), "is shared");
	MAP_BROKEN(0, false, m.entry[1] = put48(some_block(0) + ENTRY_NUMBER / 2), "block");
	MAP_BROKEN(0, false, m.entry[1] = put48(1), "block 1");
	MAP_BROKEN(0, false, m.entry[1] = put48(group_header_zone(&g, 1) * g.zone_blocks), "block");
	MAP_BROKEN(0, false, m.entry[1] = put48((uint64_t)ZONES * g.zone_blocks), "block");
	MAP_BROKEN(1, false, m.entry[1] = put48(1), "page 1");
	MAP_BROKEN(1, false, m.entry[1] = put48(summary_page(&g, 0)), "page");
	MAP_BROKEN(0, true, m.entry[1] = put48((uint64_t)ZONES * ZONE_TWINS), "page");
}
END_TEST

/* ---- zones, summaries, groups, dying list -------------------------------- */

static struct disk_zone good_zone(enum zone_type type)
{
	struct disk_zone z;

	memset(&z, 0, sizeof z);
	z.type = put16((uint16_t)type);
	if (type == ZONE_DATA) {
		z.count[0] = put16(1);
		z.count[g.zone_blocks - 1] = put16(COUNT_MAX);
		z.sums[0] = put64(some_page(0));
		z.used = put16(2);
	} else if (type == ZONE_META) {
		z.page_count[3] = put16(2);
		z.slot[3] = slot_make(1, 3);
		z.slot[4] = slot_make(0, 3); /* of a page that nobody refers to: harmless */
		z.used = put16(1);
	}
	return z;
}

#define ZONE_BROKEN(type_, change, text)                                                           \
	do {                                                                                       \
		struct disk_zone z = good_zone(type_);                                             \
		change;                                                                            \
		assert_fails(zone_page_check(&z, &g), -EUCLEAN, text);                             \
	} while (0)

START_TEST(right_zone_pages_pass_for_every_block_size)
{
	for (unsigned shift = BLOCK_SHIFT_MIN; shift <= BLOCK_SHIFT_MAX; shift++) {
		geometry_init(&g, ZONES, JOURNAL_ZONES, shift);
		for (unsigned type = ZONE_FREE; type <= ZONE_META; type++) {
			struct disk_zone z = good_zone((enum zone_type)type);

			ck_assert_int_eq(zone_page_check(&z, &g), 0);
		}
	}
}
END_TEST

START_TEST(each_rule_of_a_zone_page_is_named_when_broken)
{
	ZONE_BROKEN(ZONE_DATA, z.type = put16(4), "unknown type");
	ZONE_BROKEN(ZONE_DATA, z.used = put16(3), "its counts say 2");
	ZONE_BROKEN(ZONE_META, z.used = put16(0), "its counts say 1");
	ZONE_BROKEN(ZONE_DATA, z.reserved0 = put32(1), "reserved");
	ZONE_BROKEN(ZONE_META, z.reserved2[sizeof z.reserved2 - 1] = 1, "reserved");
	ZONE_BROKEN(ZONE_FREE, z.count[1] = put16(1), "free zone");
	ZONE_BROKEN(ZONE_FREE_BACKED, z.slot[1] = put32(1), "free zone");
	ZONE_BROKEN(ZONE_META, z.sums[0] = put64(some_page(0)), "checksums");
	ZONE_BROKEN(ZONE_DATA, z.sums[0] = put64(1), "checksums");
	if (sums_pages(&g) < SUMS_PAGES)
		ZONE_BROKEN(ZONE_DATA, z.sums[SUMS_PAGES - 1] = put64(some_page(0)), "checksums");
	ZONE_BROKEN(ZONE_DATA, z.slot[ZONE_TWINS - 1] = put32(1), "beyond");
	if (COUNT_MAX < UINT16_MAX) {
		ZONE_BROKEN(ZONE_DATA, z.count[1] = put16(UINT16_MAX), "the most is");
		ZONE_BROKEN(ZONE_META, z.page_count[1] = put16(UINT16_MAX), "the most is");
	}
	geometry_init(&g, ZONES, JOURNAL_ZONES, 16);
	ZONE_BROKEN(ZONE_DATA, z.sums[1] = put64(some_page(0)), "checksums");
	ZONE_BROKEN(ZONE_DATA, z.count[g.zone_blocks] = put16(1), "beyond");
}
END_TEST

#define SUMMARY_BROKEN(change, text)                                                               \
	do {                                                                                       \
		struct disk_summary s;                                                             \
		memset(&s, 0, sizeof s);                                                           \
		change;                                                                            \
		assert_fails(summary_check(&s), -EUCLEAN, text);                                   \
	} while (0)

START_TEST(summaries_pass_or_name_the_broken_rule)
{
	struct disk_summary good;

	memset(&good, 0, sizeof good);
	good.zone[1] = put16(ZONE_DATA << 12 | ZONE_UNITS_MAX);
	good.zone[2] = put16(ZONE_META << 12 | ZONE_TWINS);
	good.zone[3] = put16(ZONE_FREE_BACKED << 12);
	for (unsigned i = 1; i < 5; i++)
		good.slot[i] = slot_make(0, i);
	ck_assert_int_eq(summary_check(&good), 0);
	SUMMARY_BROKEN(s.zone[0] = put16(1), "own zone");
	SUMMARY_BROKEN(s.slot[0] = put32(1), "own zone");
	SUMMARY_BROKEN(s.zone[1] = put16(4 << 12); s.slot[1] = put32(1), "unknown type");
	SUMMARY_BROKEN(s.zone[1] = put16(ZONE_DATA << 12 | (ZONE_UNITS_MAX + 1));
		       s.slot[1] = put32(1), "more than it");
	SUMMARY_BROKEN(s.zone[1] = put16(ZONE_META << 12 | (ZONE_TWINS + 1));
		       s.slot[1] = put32(1), "more than it");
	SUMMARY_BROKEN(s.zone[1] = put16(1); s.slot[1] = put32(1), "more than it");
	SUMMARY_BROKEN(s.zone[1] = put16(ZONE_DATA << 12), "never written");
	SUMMARY_BROKEN(s.reserved[sizeof s.reserved - 1] = 1, "reserved");
}
END_TEST

#define GROUPS_BROKEN(change, text)                                                                \
	do {                                                                                       \
		struct disk_groups p;                                                              \
		struct disk_group *d = &p.group[GROUPS_PER_PAGE - 1];                              \
		memset(&p, 0, sizeof p);                                                           \
		d->slot = slot_make(0, 1);                                                         \
		d->data_zones = put16(2);                                                          \
		d->meta_zones = put16(1);                                                          \
		change;                                                                            \
		assert_fails(groups_check(&p), -EUCLEAN, text);                                    \
	} while (0)

START_TEST(group_table_pages_pass_or_name_the_broken_rule)
{
	struct disk_groups good;

	memset(&good, 0, sizeof good);
	good.group[0] = (struct disk_group){
		.slot = slot_make(1, 5),
		.data_zones = put16(1),
		.meta_zones = put16(GROUP_ZONES - 2),
		.used_blocks = put32(ZONE_UNITS_MAX),
		.used_pages = put32((GROUP_ZONES - 2) * ZONE_TWINS),
	};
	ck_assert_int_eq(groups_check(&good), 0);
	GROUPS_BROKEN(d->slot = put32(0), "never written");
	GROUPS_BROKEN(d->data_zones = put16(GROUP_ZONES - 1), "more than a group");
	GROUPS_BROKEN(d->used_blocks = put32(2 * ZONE_UNITS_MAX + 1), "blocks used");
	GROUPS_BROKEN(d->used_pages = put32(ZONE_TWINS + 1), "pages used");
	GROUPS_BROKEN((void)d; p.reserved[15] = 1, "reserved");
}
END_TEST

#define SUMS_BROKEN(change, text)                                                                  \
	do {                                                                                       \
		struct disk_sums s = good;                                                         \
		change;                                                                            \
		assert_fails(sums_check(&s, &g), -EUCLEAN, text);                                  \
	} while (0)

START_TEST(pages_of_checksums_pass_or_name_the_broken_rule)
{
	struct disk_sums good;
	uint64_t zone = page_zone(some_page(0));

	memset(&good, 0, sizeof good);
	good.first = put64(zone * g.zone_blocks);
	ck_assert_int_eq(sums_check(&good, &g), 0);
	good.before[2] = put48(1);
	good.before[3] = put48(ENTRY_NUMBER);
	good.sum[3] = put32(UINT32_MAX);
	ck_assert_int_eq(sums_check(&good, &g), 0);
	SUMS_BROKEN(s.first = put64(1), "can't be of blocks");
	SUMS_BROKEN(s.first = put64(zone * g.zone_blocks + 1), "can't be of blocks");
	SUMS_BROKEN(s.first = put64(UINT64_MAX), "can't be of blocks");
	SUMS_BROKEN(s.sum[4] = put32(1), "of no time");
	SUMS_BROKEN(s.reserved[sizeof s.reserved - 1] = 1, "reserved");
	if (sums_pages(&g) == 1)
		SUMS_BROKEN(s.before[g.zone_blocks] = put48(1), "of no block");
	else
		SUMS_BROKEN((s.first = put64(zone * g.zone_blocks + 2 * SUMS_PER_PAGE),
			     s.before[SUMS_PER_PAGE - 1] = put48(1)),
			    "of no block");
}
END_TEST

START_TEST(a_checksum_of_data_tells_its_block_and_its_pool)
{
	static uint8_t data[1u << BLOCK_SHIFT_MIN];
	uint8_t other[16] = "another pool";
	uint32_t sum = get32(block_sum(data, &g, 4711, uuid));

	ck_assert_uint_eq(get32(block_sum(data, &g, 4711, uuid)), sum);
	ck_assert_uint_ne(get32(block_sum(data, &g, 4712, uuid)), sum);
	ck_assert_uint_ne(get32(block_sum(data, &g, 4711, other)), sum);
	data[sizeof data - 1] ^= 1;
	ck_assert_uint_ne(get32(block_sum(data, &g, 4711, uuid)), sum);
	data[sizeof data - 1] ^= 1;
}
END_TEST

#define DYING_BROKEN(change, text)                                                                 \
	do {                                                                                       \
		struct disk_dying d;                                                               \
		memset(&d, 0, sizeof d);                                                           \
		d.entry[0] = put64(some_page(0) << 8 | 1);                                         \
		change;                                                                            \
		assert_fails(dying_check(&d, &g), -EUCLEAN, text);                                 \
	} while (0)

START_TEST(dying_lists_pass_or_name_the_broken_rule)
{
	struct disk_dying good;

	memset(&good, 0, sizeof good);
	ck_assert_int_eq(dying_check(&good, &g), 0);
	for (unsigned i = 0; i < DYING_PER_PAGE; i++)
		good.entry[i] = put64(some_page(i % ZONE_TWINS) << 8 | MAP_DEPTH_MAX);
	ck_assert_int_eq(dying_check(&good, &g), 0);
	DYING_BROKEN(d.entry[2] = d.entry[0], "after the end");
	DYING_BROKEN(d.entry[1] = put64(some_page(0) << 8), "level");
	DYING_BROKEN(d.entry[1] = put64(some_page(0) << 8 | (MAP_DEPTH_MAX + 1)), "level");
	DYING_BROKEN(d.entry[1] = put64(summary_page(&g, 0) << 8 | 1), "no place");
	DYING_BROKEN(d.entry[1] = put64(UINT64_MAX << 8 | 1), "no place");
	DYING_BROKEN(d.reserved[sizeof d.reserved - 1] = 1, "reserved");
}
END_TEST

/* ---- catalog ------------------------------------------------------------- */

static struct disk_object good_object(void)
{
	struct disk_object o;

	memset(&o, 0, sizeof o);
	o.id = put64(9);
	o.volume = put64(1);
	o.parent = put64(1);
	o.root = put64(some_page(1) | ENTRY_SHARED);
	o.size = put64(MAP_FANOUT * 4096);
	o.kind = OBJECT_SNAPSHOT;
	o.label = LABEL_FROZEN;
	o.flags = put32(OBJECT_FLAGS_ALL);
	o.depth = 1;
	o.sector_size = put32(4096);
	o.name_length = 4;
	memcpy(o.name, "snap", 4);
	return o;
}

#define OBJECT_BROKEN(change, text)                                                                \
	do {                                                                                       \
		struct disk_object o = good_object();                                              \
		change;                                                                            \
		assert_fails(object_check(&o, &g), -EUCLEAN, text);                                \
	} while (0)

START_TEST(right_objects_pass)
{
	struct disk_object o = good_object();

	ck_assert_int_eq(object_check(&o, &g), 0);
	o.kind = OBJECT_VOLUME;
	o.volume = put64(0);
	o.root = put64(0);
	o.size = put64(512);
	o.depth = MAP_DEPTH_MAX;
	o.sector_size = put32(0);
	ck_assert_int_eq(object_check(&o, &g), 0);
	memset(o.name, 'x', 255);
	o.name_length = 255;
	ck_assert_int_eq(object_check(&o, &g), 0);
	memset(&o, 0, sizeof o);
	ck_assert_int_eq(object_check(&o, &g), 0);
}
END_TEST

START_TEST(each_rule_of_an_object_is_named_when_broken)
{
	OBJECT_BROKEN(o.id = put64(0), "empty place");
	OBJECT_BROKEN(o.kind = 3, "unknown kind");
	OBJECT_BROKEN(o.kind = OBJECT_NONE, "unknown kind");
	OBJECT_BROKEN(o.kind = OBJECT_VOLUME, "is of a volume");
	OBJECT_BROKEN(o.volume = put64(0), "is of a volume");
	OBJECT_BROKEN(o.label = 4, "label");
	OBJECT_BROKEN(o.flags = put32(OBJECT_FLAGS_ALL + 1), "flags");
	OBJECT_BROKEN(o.sector_size = put32(513), "sector size");
	OBJECT_BROKEN(o.sector_size = put32(8192), "sector size");
	OBJECT_BROKEN(o.reserved0 = put32(1), "reserved");
	OBJECT_BROKEN(o.reserved1[175] = 1, "reserved");
	OBJECT_BROKEN(o.name_length = 3, "length");
	OBJECT_BROKEN(o.name[10] = 'x', "length");
	OBJECT_BROKEN(memset(o.name, 'x', 256); o.name_length = 255, "length");
	OBJECT_BROKEN(o.name[1] = '@', "can't be a name");
	OBJECT_BROKEN(memset(o.name, 0, 4); o.name_length = 0, "can't be a name");
	OBJECT_BROKEN(o.size = put64(0), "size");
	OBJECT_BROKEN(o.size = put64(513), "size");
	OBJECT_BROKEN(o.size = put64(VOLUME_BYTES_MAX + 512), "size");
	OBJECT_BROKEN(o.depth = 0, "depth");
	OBJECT_BROKEN(o.depth = MAP_DEPTH_MAX + 1, "depth");
	OBJECT_BROKEN(o.size = put64(MAP_FANOUT * 4096 + 512), "cover");
	OBJECT_BROKEN(o.root = put64(1), "root");
	OBJECT_BROKEN(o.root = put64(ENTRY_SHARED), "root");
	OBJECT_BROKEN(o.root = put64(some_page(1) | ENTRY_SHARED << 1), "root");
}
END_TEST

static struct disk_catalog_leaf good_leaf(void)
{
	struct disk_catalog_leaf l;

	memset(&l, 0, sizeof l);
	l.object[1] = good_object();
	l.object[7] = good_object();
	l.object[7].id = put64(15);
	return l;
}

#define LEAF_BROKEN(change, text)                                                                  \
	do {                                                                                       \
		struct disk_catalog_leaf l = good_leaf();                                          \
		change;                                                                            \
		assert_fails(catalog_leaf_check(&l, &g), -EUCLEAN, text);                          \
	} while (0)

START_TEST(catalog_leaves_pass_or_name_the_broken_rule)
{
	struct disk_catalog_leaf good = good_leaf();

	ck_assert_int_eq(catalog_leaf_check(&good, &g), 0);
	LEAF_BROKEN(l.object[1].kind = 7, "unknown kind");
	LEAF_BROKEN(l.object[2] = l.object[1], "at place 2");
	LEAF_BROKEN(l.object[7].id = put64(7), "another leaf");
	LEAF_BROKEN(l.reserved[sizeof l.reserved - 1] = 1, "reserved");
}
END_TEST

START_TEST(any_kind_of_page_is_verified_and_validated_by_page_check)
{
	static const enum page_kind kinds[] = {PAGE_DYING,       PAGE_GROUPS, PAGE_SUMMARY,
					       PAGE_ZONE,        PAGE_MAP,    PAGE_CATALOG_NODE,
					       PAGE_CATALOG_LEAF};
	uint8_t page[PAGE_BYTES];

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		memset(page, 0, sizeof page);
		(void)page_seal(page, kinds[i], uuid, 4096, 1);
		ck_assert_int_eq(page_check(page, kinds[i], uuid, 4096, &g), 0);
		page[PAGE_BYTES - 1] = 1; /* reserved in all */
		assert_fails(page_check(page, kinds[i], uuid, 4096, &g), -EBADMSG, "checksum");
		(void)page_seal(page, kinds[i], uuid, 4096, 1);
		assert_fails(page_check(page, kinds[i], uuid, 4096, &g), -EUCLEAN, "reserved");
	}
	(void)page_seal(page, PAGE_BATCH, uuid, 4096, 1);
	assert_fails(page_check(page, PAGE_BATCH, uuid, 4096, &g), -EUCLEAN, "not a page");
	ck_assert_str_eq(page_kind_name((enum page_kind)1), "page of no known kind");
}
END_TEST

/* ---- names --------------------------------------------------------------- */

START_TEST(names_that_can_be_pass)
{
	static const char *const names[] = {"v",
					    "a-b.c_d",
					    "vol 1",
					    "\xc3\xa9",
					    "\xe2\x82\xac",
					    "\xf0\x9f\x90\x84",
					    "\xf4\x8f\xbf\xbf",
					    "\xed\x9f\xbf",
					    "~",
					    "a.",
					    "\\"};
	char longest[NAME_BYTES_MAX + 1] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_msg(name_check(names[i]) == 0, "%s: %s", names[i], error_message());
	memset(longest, 'n', NAME_BYTES_MAX);
	ck_assert_int_eq(name_check(longest), 0);
}
END_TEST

START_TEST(names_that_cannot_be_say_why)
{
	static const struct {
		const char *name, *says;
	} bad[] = {
		{"", "empty"},
		{"a@b", "'@'"},
		{"a/b", "'/'"},
		{"-a", "begins with '-'"},
		{".a", "begins with '.'"},
		{"..", "begins with '.'"},
		{"a\nb", "control character at byte 2"},
		{"\x1f", "control character"},
		{"a\x7f", "control character"},
		{"\xc2\x85", "control character"}, /* C1 */
		{"\xc2\x9f", "control character"},
		{"a\xff", "UTF-8 at byte 2"},
		{"\x80", "UTF-8"},
		{"\xc3", "UTF-8"}, /* cut off */
		{"\xe2\x82", "UTF-8"},
		{"\xe2(\xac", "UTF-8"},
		{"\xc0\xaf", "UTF-8"}, /* '/' overlong */
		{"\xe0\x80\xaf", "UTF-8"},
		{"\xf0\x80\x80\xaf", "UTF-8"},
		{"\xed\xa0\x80", "UTF-8"},     /* a surrogate */
		{"\xf4\x90\x80\x80", "UTF-8"}, /* above U+10FFFF */
		{"\xf8\x88\x80\x80\x80", "UTF-8"},
	};
	char too_long[NAME_BYTES_MAX + 2] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(name_check(bad[i].name), -EINVAL, bad[i].says);
	memset(too_long, 'n', NAME_BYTES_MAX + 1);
	assert_fails(name_check(too_long), -EINVAL, "256 bytes long");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format");
	TCase *c = tcase_create("format");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_geometry, NULL);
	tcase_add_test(c, groups_are_counted_to_the_last_partial_one);
	tcase_add_test(c, places_of_zones_and_pages_are_where_the_picture_says);
#ifndef COWBD_TINY
	tcase_add_test(c, pools_of_usual_sizes_have_the_groups_that_they_should);
#endif
	tcase_add_test(c, integers_are_little_endian);
	tcase_add_test(c, a_sealed_page_is_verified_where_it_belongs);
	tcase_add_test(c, a_page_of_another_place_kind_or_pool_is_refused);
	tcase_add_test(c, one_flipped_bit_anywhere_is_seen);
	tcase_add_test(c, a_reserved_header_field_that_is_set_is_seen_though_sealed);
	tcase_add_test(c, a_slot_is_named_by_31_bits_of_the_checksum_never_0);
	tcase_add_test(c, a_right_superblock_passes);
	tcase_add_test(c, what_is_no_pool_newer_or_damaged_is_told_apart);
	tcase_add_test(c, each_rule_of_the_superblock_is_named_when_broken);
	tcase_add_test(c, right_map_pages_pass);
	tcase_add_test(c, each_rule_of_a_map_page_is_named_when_broken);
	tcase_add_test(c, right_zone_pages_pass_for_every_block_size);
	tcase_add_test(c, each_rule_of_a_zone_page_is_named_when_broken);
	tcase_add_test(c, summaries_pass_or_name_the_broken_rule);
	tcase_add_test(c, group_table_pages_pass_or_name_the_broken_rule);
	tcase_add_test(c, pages_of_checksums_pass_or_name_the_broken_rule);
	tcase_add_test(c, a_checksum_of_data_tells_its_block_and_its_pool);
	tcase_add_test(c, dying_lists_pass_or_name_the_broken_rule);
	tcase_add_test(c, right_objects_pass);
	tcase_add_test(c, each_rule_of_an_object_is_named_when_broken);
	tcase_add_test(c, catalog_leaves_pass_or_name_the_broken_rule);
	tcase_add_test(c, any_kind_of_page_is_verified_and_validated_by_page_check);
	tcase_add_test(c, names_that_can_be_pass);
	tcase_add_test(c, names_that_cannot_be_say_why);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
