/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_check.c - the checker finds what is planted, and nothing in a pool that is right
 *
 * Built with the real geometry and with the tiny one.
 */
#include <stdio.h>

#include "check.h"
#include "check_image.h"

#define FINDINGS_MAX 256

struct finding {
	enum cowbd_damage_kind kind;
	char who[512], message[1024];
	uint64_t offset;
};

static struct finding findings[FINDINGS_MAX];
static size_t nfindings;
static struct cowbd_check_result result;
static uint64_t progress_done, progress_total;

/* ---- looking ------------------------------------------------------------- */

static void note_finding(void *opaque, enum cowbd_damage_kind kind, const char *who,
			 uint64_t offset, const char *message)
{
	struct finding *f = &findings[nfindings];

	ck_assert_ptr_eq(opaque, &im);
	if (nfindings == FINDINGS_MAX)
		return;
	nfindings++;
	f->kind = kind;
	f->offset = offset;
	snprintf(f->who, sizeof f->who, "%s", who);
	snprintf(f->message, sizeof f->message, "%s", message);
}

static void note_progress(void *opaque, uint64_t done, uint64_t total)
{
	ck_assert_ptr_eq(opaque, &im);
	ck_assert_uint_le(done, total);
	progress_done = done;
	progress_total = total;
}

static unsigned passes;
static uint64_t memory_bytes;

static void note_passes(void *opaque, unsigned n)
{
	ck_assert_ptr_eq(opaque, &im);
	passes = n;
}

static int look(void)
{
	struct cowbd_check_options opt = {.report = note_finding,
					  .progress = note_progress,
					  .opaque = &im,
					  .passes = note_passes,
					  .memory_bytes = memory_bytes};

	nfindings = 0;
	memset(&result, 0, sizeof result);
	return check_store(im.store, &opt, &result);
}

static void finish(void)
{
	store_close(im.store);
	im.store = NULL;
}

static void print_findings(void)
{
	for (size_t i = 0; i < nfindings; i++)
		fprintf(stderr, "%d %s at %" PRIu64 ": %s\n", (int)findings[i].kind,
			findings[i].who, findings[i].offset, findings[i].message);
}

static bool has_finding(enum cowbd_damage_kind kind, const char *who, uint64_t offset,
			const char *text)
{
	for (size_t i = 0; i < nfindings; i++)
		if (findings[i].kind == kind && strcmp(findings[i].who, who) == 0 &&
		    findings[i].offset == offset && strstr(findings[i].message, text))
			return true;
	return false;
}

/* Checks im.store: so many of each kind, and this one among them. */
static void assert_found(uint64_t damages, uint64_t leaks, enum cowbd_damage_kind kind,
			 const char *who, uint64_t offset, const char *text)
{
	ck_assert_int_eq(look(), 0);
	if (result.damages != damages || result.leaks != leaks ||
	    !has_finding(kind, who, offset, text)) {
		print_findings();
		ck_abort_msg("%" PRIu64 " damages (%" PRIu64 " expected), %" PRIu64
			     " leaks (%" PRIu64 "), \"%s\" of %s at %" PRIu64 " %s",
			     result.damages, damages, result.leaks, leaks, text, who, offset,
			     has_finding(kind, who, offset, text) ? "found" : "not found");
	}
}

/* The image as the test changed it has exactly one finding, this one. */
static void assert_planted(enum cowbd_damage_kind kind, const char *who, uint64_t offset,
			   const char *text)
{
	write_image();
	assert_found(kind == COWBD_DAMAGE, kind == COWBD_LEAK, kind, who, offset, text);
	finish();
	build();
}

static void assert_clean(void)
{
	ck_assert_int_eq(look(), 0);
	if (result.damages || result.leaks)
		print_findings();
	ck_assert_uint_eq(result.damages, 0);
	ck_assert_uint_eq(result.leaks, 0);
}

static uint64_t record_place(unsigned id)
{
	return place(id < 8 ? LEAF_A : LEAF_B) + offsetof(struct disk_catalog_leaf, object) +
	       id % RECORDS_PER_PAGE * sizeof(struct disk_object);
}

/* ---- right pools --------------------------------------------------------- */

START_TEST(a_right_pool_is_clean)
{
	write_image();
	assert_clean();
	ck_assert_uint_eq(result.notes, 0);
	ck_assert_uint_eq(result.objects, 3);
	ck_assert_uint_eq(result.blocks, BLOCKS);
	ck_assert_uint_eq(result.pages, 2 + 1 + 1 + 1 + 2 + PAGES - 1);
	ck_assert_uint_eq(result.journal_batches, 2);
	ck_assert_uint_eq(result.journal_records, 3);
	ck_assert_uint_eq(progress_done, PAGES - 1);
	ck_assert_uint_eq(progress_total, PAGES - 1);
	ck_assert_int_eq(check_store(im.store, NULL, &result), 0);
	finish();
}
END_TEST

START_TEST(an_empty_pool_is_clean)
{
	struct sim_options opt = {.data_align = 1};

	im.super.catalog_root = put64(0);
	im.super.catalog_depth = put32(0);
	ck_assert_int_eq(store_sim_new(ZONES * (uint64_t)ZONE_BYTES, &opt, &im.store), 0);
	put_super(0);
	put_super(1);
	assert_clean();
	ck_assert_uint_eq(result.pages, 2);
	finish();
}
END_TEST

START_TEST(a_catalog_of_one_leaf_is_clean)
{
	im.super.catalog_root = put64(page(LEAF_A));
	im.super.catalog_depth = put32(0);
	memset(object(9), 0, sizeof *object(9));
	im.meta.page_count[NODE] = im.meta.page_count[LEAF_B] = im.meta.page_count[OTHER] =
		put16(0);
	im.meta.used = put16(PAGES - 4);
	im.summary.zone[META - HEADER] = put16(ZONE_META << 12 | (PAGES - 4));
	im.groups.group[0].used_pages = put32(PAGES - 4);
	im.data.count[B1] = put16(1);
	write_image();
	assert_clean();
	finish();
}
END_TEST

START_TEST(what_nothing_refers_to_may_hold_anything)
{
	uint8_t junk[PAGE_BYTES];

	memset(junk, 0xaa, sizeof junk);
	im.meta.slot[PAGES] = slot_make(1, 12345); /* of a page with count 0 */
	im.super.slot[0] = put32(0);
	write_image();
	write_at(page_offset(page(PAGES), 0), junk, sizeof junk);
	write_at(page_offset(page(LEFT), !which(LEFT)), junk, sizeof junk);
	write_at((uint64_t)FREE * ZONE_BYTES, junk, sizeof junk);
	write_at((uint64_t)DATA * ZONE_BYTES, junk, sizeof junk);
	assert_clean();
	finish();
}
END_TEST

/* ---- damage of the disk -------------------------------------------------- */

static const struct {
	uint64_t page;
	unsigned slot;
	const char *who;
} tables[] = {
	{1, 1, "metadata"},
	{1 + DYING_PAGES, 0, "metadata"},
	{HEADER * ZONE_TWINS, 1, "metadata"},
	{HEADER * ZONE_TWINS + META - HEADER, 1, "metadata"},
	{HEADER * ZONE_TWINS + DATA - HEADER, 0, "metadata"},
	{META * ZONE_TWINS + NODE, NODE % 2, "metadata"},
	{META * ZONE_TWINS + LEAF_A, LEAF_A % 2, "metadata"},
	{META * ZONE_TWINS + LEAF_B, LEAF_B % 2, "metadata"},
	{META * ZONE_TWINS + ROOT, ROOT % 2, "vol"},
	{META * ZONE_TWINS + LEFT, LEFT % 2, "vol"},
	{META * ZONE_TWINS + RIGHT, RIGHT % 2, "vol"},
	{META * ZONE_TWINS + OTHER, OTHER % 2, "other"},
	{META * ZONE_TWINS + DEAD, DEAD % 2, "metadata"},
};

/* The page at tables[i] is damaged now: found there, and no leak is made up. */
static void assert_page_lost(unsigned i)
{
	uint64_t offset = page_offset(tables[i].page, tables[i].slot);

	ck_assert_int_eq(look(), 0);
	if (!has_finding(COWBD_DAMAGE, tables[i].who, offset, "") || result.leaks) {
		print_findings();
		ck_abort_msg("page %" PRIu64 " at %" PRIu64 " is not found lost", tables[i].page,
			     offset);
	}
	ck_assert(has_finding(COWBD_NOTE, "metadata", UINT64_MAX, "leaks were not looked for"));
}

START_TEST(a_flipped_bit_in_any_page_is_found)
{
	write_image();
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		uint64_t offset = page_offset(tables[i].page, tables[i].slot);
		uint8_t good[PAGE_BYTES], bad[PAGE_BYTES];

		read_at(offset, good);
		for (unsigned at = i; at < PAGE_BYTES; at += 211) {
			memcpy(bad, good, sizeof bad);
			bad[at] ^= (uint8_t)(1u << at % 8);
			write_at(offset, bad, sizeof bad);
			assert_page_lost(i);
		}
		write_at(offset, good, sizeof good);
	}
	assert_clean();
	finish();
}
END_TEST

START_TEST(zeroed_swapped_and_older_pages_are_found)
{
	uint8_t zero[PAGE_BYTES] = {0}, good[PAGE_BYTES], other[PAGE_BYTES];

	write_image();
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		unsigned k = (i + 1) % ARRAY_SIZE(tables);
		uint64_t offset = page_offset(tables[i].page, tables[i].slot);

		read_at(offset, good);
		write_at(offset, zero, sizeof zero);
		assert_page_lost(i);
		read_at(page_offset(tables[k].page, tables[k].slot), other);
		write_at(offset, other, sizeof other);
		assert_page_lost(i);
		/* one of an older checkpoint, sealed and in place */
		memcpy(other, good, sizeof other);
		(void)page_seal(other,
				(enum page_kind)get32(((struct disk_page *)(void *)good)->kind),
				uuid, offset, GENERATION - 1);
		write_at(offset, other, sizeof other);
		assert_page_lost(i);
		write_at(offset, good, sizeof good);
	}
	assert_clean();
	finish();
}
END_TEST

START_TEST(a_disk_that_stops_reading_is_found_wherever_it_stops)
{
	unsigned nth;

	for (nth = 1; nth < 100; nth++) {
		int err;

		write_image();
		store_sim_fault(im.store, SIM_FAULT_READ, nth, 0, -EIO);
		err = look();
		ck_assert_int_eq(err, nth == 1 ? -EIO : 0);
		ck_assert_uint_eq(result.leaks, 0);
		finish();
		if (!err && !result.damages)
			break;
		build();
	}
	ck_assert_uint_ge(nth, 15); /* every page, and the journal, was one of them */
	ck_assert_uint_lt(nth, 100);
}
END_TEST

START_TEST(a_pool_that_was_cut_off_is_found)
{
	struct store *whole;

	write_image();
	whole = im.store;
	whole->size -= ZONE_BYTES;
	assert_found(1, 0, COWBD_DAMAGE, "metadata", (ZONES - 1) * (uint64_t)ZONE_BYTES, "cut off");
	whole->size += ZONE_BYTES;
	finish();
}
END_TEST

/* ---- superblock ---------------------------------------------------------- */

START_TEST(either_copy_of_the_superblock_is_enough)
{
	uint8_t zero[PAGE_BYTES] = {0};

	for (unsigned i = 0; i < 2; i++) {
		write_image();
		write_at(page_offset(0, i), zero, sizeof zero);
		assert_found(1, 0, COWBD_DAMAGE, "metadata", page_offset(0, i), "superblock");
		ck_assert_uint_eq(result.objects, 3);
		finish();
	}
	write_image();
	write_at(0, &im.super, PAGE_BYTES); /* as it was sealed for the other place */
	assert_found(1, 0, COWBD_DAMAGE, "metadata", 0, "misplaced");
	finish();
}
END_TEST

START_TEST(copies_of_the_superblock_may_be_one_write_apart)
{
	im.sequence[1] = 6;
	write_image();
	assert_clean();
	ck_assert_uint_eq(result.notes, 0);
	im.super.next_id = put64(11); /* power went between the two writes of a commit */
	put_super(1);
	assert_clean();
	ck_assert_uint_eq(result.notes, 1);
	ck_assert(has_finding(COWBD_NOTE, "metadata", 0, "before the last commit"));
	finish();
	build();
	im.sequence[0] = 7;
	assert_planted(COWBD_DAMAGE, "metadata", SLOT_DISTANCE, "2 writes older");
	write_image();
	im.super.created = put64(99);
	put_super(1);
	assert_found(1, 0, COWBD_DAMAGE, "metadata", SLOT_DISTANCE, "differ");
	finish();
}
END_TEST

#ifndef COWBD_TINY
START_TEST(the_dying_list_has_no_gaps)
{
	struct disk_dying second;

	memset(&second, 0, sizeof second);
	second.entry[0] = put64(page(OTHER) << 8 | 1);
	write_image();
	im.super.slot[dying_page(1)] = put_page(&second, PAGE_DYING, dying_page(1), 0);
	put_super(0);
	put_super(1);
	assert_found(1, 0, COWBD_DAMAGE, "metadata", page_offset(dying_page(1), 0),
		     "after its end");
	finish();
}
END_TEST
#endif

START_TEST(the_newer_copy_counts)
{
	write_image();
	im.super.slot[groups_page(0)] = put32(99); /* the older one names a lost page */
	im.sequence[0] = 4;
	put_super(0);
	assert_clean();
	ck_assert_uint_eq(result.notes, 1);
	im.sequence[0] = 6;
	put_super(0);
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_gt(result.damages, 0);
	finish();
}
END_TEST

START_TEST(what_can_not_be_checked_says_why)
{
	uint8_t zero[PAGE_BYTES] = {0};
	struct disk_super newer;

	write_image();
	newer = im.super;
	newer.incompat = put64(FEATURES_INCOMPAT_KNOWN + 1);
	(void)page_seal(&newer, PAGE_SUPER, uuid, 0, GENERATION);
	write_at(0, &newer, sizeof newer);
	ck_assert_int_eq(look(), -EOPNOTSUPP);
	write_at(0, zero, sizeof zero);
	write_at(SLOT_DISTANCE, zero, sizeof zero);
	ck_assert_int_eq(look(), -EINVAL);
	newer.incompat = put64(0); /* and so no longer sealed */
	write_at(0, &newer, sizeof newer);
	assert_found(2, 0, COWBD_DAMAGE, "metadata", 0, "checksum");
	finish();
}
END_TEST

START_TEST(a_failed_sync_is_noted)
{
	im.super.flags = put32(SUPER_TAINTED);
	write_image();
	assert_clean();
	ck_assert(has_finding(COWBD_NOTE, "metadata", SLOT_DISTANCE, "failed sync") ||
		  has_finding(COWBD_NOTE, "metadata", 0, "failed sync"));
	finish();
}
END_TEST

/* ---- counts -------------------------------------------------------------- */

START_TEST(counts_below_their_references_are_damage)
{
	im.data.count[B1] = put16(1);
	assert_planted(COWBD_DAMAGE, "other", place(OTHER), "more references");
	im.meta.page_count[ROOT] = put16(1);
	assert_planted(COWBD_DAMAGE, "vol@snap", record_place(2), "more references");
	im.data.count[B0] = put16(0);
	im.data.used = put16(BLOCKS - 1);
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | (BLOCKS - 1));
	im.groups.group[0].used_blocks = put32(BLOCKS - 1);
	assert_planted(COWBD_DAMAGE, "vol", place(LEFT), "more references");
}
END_TEST

START_TEST(counts_above_their_references_are_leaks)
{
	im.data.count[B1] = put16(3);
	assert_planted(COWBD_LEAK, "metadata", block(B1) * PAGE_BYTES, "1 more");
	im.meta.page_count[ROOT] = put16(5);
	assert_planted(COWBD_LEAK, "metadata", page_offset(page(ROOT), 0), "3 more");
	im.data.count[B3 + 1] = im.data.count[B3 + 2] = put16(1);
	im.data.used = put16(BLOCKS + 2);
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | (BLOCKS + 2));
	im.groups.group[0].used_blocks = put32(BLOCKS + 2);
	assert_planted(COWBD_LEAK, "metadata", block(B3 + 1) * PAGE_BYTES, "above");
	im.dying.entry[0] = put64(0); /* then DEAD and what it maps is nobody's */
	write_image();
	assert_found(0, 2, COWBD_LEAK, "metadata", block(B3) * PAGE_BYTES, "1 more");
	finish();
}
END_TEST

START_TEST(an_entry_that_claims_what_others_have_too_is_damage)
{
	im.map[OTHER].entry[0] = put48(block(B1));
	assert_planted(COWBD_DAMAGE, "other", place(OTHER), "as its own");
	object(1)->root = put64(page(ROOT));
	assert_planted(COWBD_DAMAGE, "vol", record_place(1), "as its own");
	im.map[RIGHT].entry[0] = put48(block(B2)); /* right: it is alone */
	im.map[LEFT].entry[0] = put48(block(B0) | ENTRY_SHARED);
	write_image();
	assert_clean();
	finish();
}
END_TEST

START_TEST(sums_that_are_wrong_are_damage)
{
	uint64_t zone_at = page_offset(HEADER * ZONE_TWINS + META - HEADER, 1);

	im.summary.zone[META - HEADER] = put16(ZONE_META << 12 | (PAGES - 2));
	im.groups.group[0].used_pages = put32(PAGES - 2);
	assert_planted(COWBD_DAMAGE, "metadata", zone_at, "the summary");
	im.groups.group[0].used_blocks = put32(BLOCKS + 1);
	assert_planted(COWBD_DAMAGE, "metadata", page_offset(groups_page(0), 0), "group table");
	im.groups.group[0].meta_zones = put16(2);
	assert_planted(COWBD_DAMAGE, "metadata", page_offset(groups_page(0), 0), "group table");
	im.summary.slot[ZONES - HEADER] = put32(1);
	assert_planted(COWBD_DAMAGE, "metadata", page_offset(HEADER * ZONE_TWINS, 1), "names zone");
	im.groups.group[1].slot = put32(1);
	assert_planted(COWBD_DAMAGE, "metadata", page_offset(groups_page(0), 0), "names group");
	im.data.used = put16(BLOCKS + 1); /* the page contradicts itself */
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "metadata",
			      page_offset(HEADER * ZONE_TWINS + DATA - HEADER, 0),
			      "its counts say"));
	finish();
}
END_TEST

START_TEST(a_page_of_checksums_belongs_to_its_zone)
{
	uint64_t offset = page_offset(page(PAGES), which(PAGES));

	add_sums();
	write_image();
	assert_clean();
	finish();
	build();
	add_sums();
	im.sums.first = put64(META * im.g.zone_blocks);
	assert_planted(COWBD_DAMAGE, "metadata", offset, "checksums of blocks from");
	add_sums();
	im.sums_kind = PAGE_MAP;
	assert_planted(COWBD_DAMAGE, "metadata", offset, "something else is there");
}
END_TEST

/* ---- passes ---------------------------------------------------------------- */

/* A second zone of data, where FREE was: block 0 of RIGHT's second entry. */
static void add_data_zone(struct disk_zone *second)
{
	memset(second, 0, sizeof *second);
	second->type = put16(ZONE_DATA);
	second->used = put16(2);
	second->count[0] = put16(1);
	second->count[5] = put16(300 <= COUNT_MAX ? 300 : 2);
	im.map[RIGHT].entry[1] = put48((uint64_t)FREE * im.g.zone_blocks);
	im.map[RIGHT].entry[2] = put48(((uint64_t)FREE * im.g.zone_blocks + 5) | ENTRY_SHARED);
	im.summary.zone[FREE - HEADER] = put16(ZONE_DATA << 12 | 2);
	im.summary.slot[FREE - HEADER] = put32(1);
	im.groups.group[0].data_zones = put16(2);
	im.groups.group[0].used_blocks = put32(BLOCKS + 2);
}

START_TEST(what_does_not_fit_at_once_is_counted_in_passes)
{
	uint64_t leak = (((uint64_t)FREE * im.g.zone_blocks) + 5) << im.g.block_shift;
	struct disk_zone second;
	struct cowbd_check_result one;

	add_data_zone(&second);
	im.second = &second;
	write_image();
	assert_found(0, 1, COWBD_LEAK, "metadata", leak, "more than references");
	ck_assert_uint_eq(result.passes, 1);
	one = result;
	memory_bytes = 1;
	assert_found(0, 1, COWBD_LEAK, "metadata", leak, "more than references");
	ck_assert_uint_eq(result.passes, 2);
	ck_assert_uint_eq(passes, 2);
	ck_assert_uint_eq(result.pages, one.pages);
	ck_assert_uint_eq(result.blocks, one.blocks);
	finish();

	build();
	add_data_zone(&second);
	second.count[5] = put16(1);
	second.count[0] = put16(0);
	second.used = put16(1);
	im.summary.zone[FREE - HEADER] = put16(ZONE_DATA << 12 | 1);
	im.groups.group[0].used_blocks = put32(BLOCKS + 1);
	im.map[RIGHT].entry[1] = im.map[RIGHT].entry[2];
	im.second = &second;
	write_image();
	assert_found(1, 0, COWBD_DAMAGE, "maps", place(RIGHT), "more references than its count");
	memory_bytes = 0;
	assert_found(1, 0, COWBD_DAMAGE, "vol", place(RIGHT), "more references than its count");
	finish();
}
END_TEST

/* ---- maps ---------------------------------------------------------------- */

START_TEST(entries_that_lead_nowhere_are_damage)
{
	im.map[RIGHT].entry[1] = put48((uint64_t)FREE * im.g.zone_blocks);
	assert_planted(COWBD_DAMAGE, "vol", place(RIGHT), "is free");
	im.map[RIGHT].entry[1] = put48((uint64_t)META * im.g.zone_blocks + 1);
	assert_planted(COWBD_DAMAGE, "vol", place(RIGHT), "is for metadata");
	im.map[ROOT].entry[2] = put48((uint64_t)DATA * ZONE_TWINS);
	object(1)->size = object(2)->size = put64(4 * MAP_FANOUT * (uint64_t)PAGE_BYTES);
	assert_planted(COWBD_DAMAGE, "vol", place(ROOT), "is for data");
	im.map[RIGHT].entry[1] = put48((uint64_t)ZONES * im.g.zone_blocks);
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "vol", place(RIGHT), "is no place for it"));
	finish();
}
END_TEST

START_TEST(a_named_page_that_was_never_written_is_damage)
{
	write_image(); /* for the slots */
	finish();
	im.keep_slots = true;
	im.meta.slot[OTHER] = put32(0);
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "other", page_offset(page(OTHER), 0), "never written"));
	finish();
}
END_TEST

START_TEST(pages_of_a_wrong_level_or_place_are_damage)
{
	im.map[RIGHT].first = put64(2 * MAP_FANOUT);
	assert_planted(COWBD_DAMAGE, "vol", place(RIGHT), "begins at");
	object(9)->depth = 2;
	assert_planted(COWBD_DAMAGE, "other", place(OTHER), "level");
	im.dying.entry[0] = put64(page(DEAD) << 8 | 2);
	assert_planted(COWBD_DAMAGE, "metadata", place(DEAD), "level");
	im.dying.entry[1] = im.dying.entry[0]; /* twice in the list */
	assert_planted(COWBD_DAMAGE, "metadata", page_offset(dying_page(0), 1), "more references");
	im.node.level = put16(1);
	assert_planted(COWBD_DAMAGE, "metadata", place(NODE), "level");
	im.node.entry[1] = put48(0);
	im.node.entry[2] = put48(page(LEAF_B));
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "metadata", record_place(9), "is in catalog leaf 2"));
	finish();
}
END_TEST

START_TEST(a_page_at_two_places_and_a_loop_are_damage)
{
	im.map[ROOT].entry[1] = put48(page(LEFT) | ENTRY_SHARED);
	im.map[ROOT].entry[0] = put48(page(LEFT) | ENTRY_SHARED);
	im.meta.page_count[LEFT] = put16(2);
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "vol", place(ROOT), "another place"));
	finish();
	build();
	im.map[ROOT].entry[1] = put48(page(ROOT) | ENTRY_SHARED);
	im.meta.page_count[ROOT] = put16(3);
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "vol", place(ROOT), "another place"));
	finish();
	build();
	im.node.entry[1] = put48(page(LEAF_A)); /* a catalog page twice */
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "metadata", place(NODE), "more references"));
	ck_assert(has_finding(COWBD_DAMAGE, "metadata", place(NODE), "another place"));
	finish();
}
END_TEST

START_TEST(nothing_may_be_mapped_beyond_the_end)
{
	im.map[OTHER].entry[1] = put48(block(B3 + 1));
	im.data.count[B3 + 1] = put16(1);
	im.data.used = put16(BLOCKS + 1);
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | (BLOCKS + 1));
	im.groups.group[0].used_blocks = put32(BLOCKS + 1);
	assert_planted(COWBD_DAMAGE, "other", place(OTHER), "beyond its end");
	/* those who share a root need not have one size */
	object(2)->size = put64((MAP_FANOUT + 1) * (uint64_t)PAGE_BYTES);
	write_image();
	assert_clean();
	finish();
	object(2)->size = put64(MAP_FANOUT * (uint64_t)PAGE_BYTES);
	assert_planted(COWBD_DAMAGE, "vol@snap", place(ROOT), "beyond its end");
	im.map[DEAD].first = put64(UINT64_MAX - MAP_FANOUT + 1);
	write_image();
	assert_found(1, 1, COWBD_DAMAGE, "metadata", place(DEAD), "beyond the end of any volume");
	finish();
}
END_TEST

/* ---- catalog ------------------------------------------------------------- */

static void rename_object(unsigned id, const char *name)
{
	memset(object(id)->name, 0, sizeof object(id)->name);
	memcpy(object(id)->name, name, strlen(name));
	object(id)->name_length = (uint8_t)strlen(name);
}

START_TEST(names_ids_and_volumes_of_snapshots_must_be_right)
{
	rename_object(9, "vol");
	assert_planted(COWBD_DAMAGE, "vol", record_place(9), "have one name");
	rename_object(2, "vol"); /* vol@vol is no double */
	write_image();
	assert_clean();
	finish();
	build();
	object(2)->volume = put64(3);
	assert_planted(COWBD_DAMAGE, "?@snap", record_place(2), "volume 3, which is not there");
	object(2)->volume = put64(2);
	assert_planted(COWBD_DAMAGE, "snap@snap", record_place(2), "which is not there");
	im.super.next_id = put64(9);
	assert_planted(COWBD_DAMAGE, "metadata", record_place(9), "next id");
	object(9)->name[0] = '/';
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert(has_finding(COWBD_DAMAGE, "metadata", place(LEAF_B), "can't be a name"));
	finish();
}
END_TEST

START_TEST(two_snapshots_of_one_name_are_damage)
{
	make_object(3, OBJECT_SNAPSHOT, "snap", page(ROOT) | ENTRY_SHARED, 2,
		    get64(object(1)->size));
	object(3)->volume = put64(1);
	im.meta.page_count[ROOT] = put16(3);
	write_image();
	ck_assert_int_eq(look(), 0);
	ck_assert_uint_eq(result.damages, 1);
	ck_assert(has_finding(COWBD_DAMAGE, "vol@snap", record_place(3), "have one name") ||
		  has_finding(COWBD_DAMAGE, "vol@snap", record_place(2), "have one name"));
	finish();
}
END_TEST

/* ---- journal ------------------------------------------------------------- */

START_TEST(a_torn_batch_ends_the_journal_and_is_no_damage)
{
	uint8_t zero[PAGE_BYTES] = {0};

	write_image();
	write_at(ZONE_BYTES + PAGE_BYTES, zero, sizeof zero);
	assert_clean(); /* that page of the second batch is zero anyway */
	ck_assert_uint_eq(result.journal_batches, 2);
	zero[1] = 1;
	write_at(ZONE_BYTES + PAGE_BYTES, zero, sizeof zero);
	assert_clean();
	ck_assert_uint_eq(result.journal_batches, 1);
	ck_assert_uint_eq(result.journal_records, 1);
	finish();
}
END_TEST

/* The second one was written when the first was durable. */
START_TEST(a_torn_batch_with_a_whole_one_behind_it_is_damage)
{
	uint64_t first = ZONE_BYTES + RING_BYTES - 2 * PAGE_BYTES;
	uint8_t zero[PAGE_BYTES] = {0};

	write_image();
	write_at(first, zero, sizeof zero);
	assert_found(1, 0, COWBD_DAMAGE, "metadata", first, "batch 40 is damaged, and batch 41");
	ck_assert_uint_eq(result.journal_batches, 0);
	ck_assert_uint_eq(result.journal_lost, 2);
	finish();
	im.super.flags = put32(SUPER_CLEAN); /* there is no journal */
	write_image();
	write_at(first, zero, sizeof zero);
	assert_clean();
	finish();
}
END_TEST

START_TEST(a_whole_batch_with_wrong_records_is_damage)
{
	uint64_t first = ZONE_BYTES + RING_BYTES - 2 * PAGE_BYTES;

	im.record[1].seq = 200;
	assert_planted(COWBD_DAMAGE, "metadata", ZONE_BYTES, "numbered in order");
	im.batch_first[0] = 102;
	im.record[0].seq = 102;
	assert_planted(COWBD_DAMAGE, "metadata", first, "missing");
	im.batch_first[1] = 101;
	assert_planted(COWBD_DAMAGE, "metadata", ZONE_BYTES, "repeats");
	im.record[0].more = true;
	assert_planted(COWBD_DAMAGE, "metadata", first, "no end");
	/* a checkpoint may have made records durable that are in no batch: no gap */
	im.super.cut = put64(101);
	im.batch_first[0] = im.record[0].seq = 99;
	write_image();
	assert_clean();
	ck_assert_uint_eq(result.journal_batches, 2);
	ck_assert_uint_eq(result.journal_records, 2);
	finish();
}
END_TEST

/* ---- hostile ------------------------------------------------------------- */

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Puts something that may mean much at a random place of a page, behind its header. */
static void disturb(void *data, uint64_t *seed)
{
	uint64_t r = random_next(seed), number = page((unsigned)(r % PAGES));
	struct le48 interesting[] = {
		put48(number),     put48(number | ENTRY_SHARED), put48(block((unsigned)(r % 8))),
		put48(UINT64_MAX), put48(random_next(seed)),     put48(1)};
	size_t at = sizeof(struct disk_page) + random_next(seed) % (r & 1 ? 64 : PAGE_BYTES - 40);

	memcpy((uint8_t *)data + at, &interesting[r >> 8 & 3],
	       r >> 16 & 1 ? 1 : sizeof interesting[0]);
}

START_TEST(sealed_nonsense_neither_crashes_nor_hangs)
{
	void *pages[] = {&im.super,     &im.dying,      &im.groups,     &im.summary,  &im.meta,
			 &im.data,      &im.node,       &im.leaf[0],    &im.leaf[1],  &im.map[ROOT],
			 &im.map[LEFT], &im.map[RIGHT], &im.map[OTHER], &im.map[DEAD]};
	uint64_t seed = 1, damaged = 0;

	for (unsigned round = 0; round < 2000; round++) {
		int err;

		build();
		for (uint64_t n = 1 + random_next(&seed) % 3; n; n--)
			disturb(pages[random_next(&seed) % ARRAY_SIZE(pages)], &seed);
		write_image();
		err = look();
		ck_assert(err == 0 || err == -EOPNOTSUPP || err == -EINVAL);
		damaged += result.damages != 0 || result.leaks != 0 || err;
		finish();
	}
	ck_assert_uint_gt(damaged, 700);
}
END_TEST

START_TEST(maps_of_the_greatest_depth_are_walked)
{
	unsigned depth = PAGES - ROOT; /* ROOT .. DEAD as one path */

	memset(im.map, 0, sizeof im.map);
	im.dying.entry[0] = put64(0);
	memset(&im.leaf[1], 0, sizeof im.leaf[1]);
	for (unsigned i = 0; i < depth; i++)
		make_map(ROOT + i, depth - 1 - i, 0, i + 1 < depth ? page(ROOT + i + 1) : block(B0),
			 0);
	im.map[DEAD].entry[1] = put48(block(B1));
	im.map[DEAD].entry[2] = put48(block(B2));
	im.map[DEAD].entry[3] = put48(block(B3));
	im.data.count[B1] = put16(1);
	object(1)->depth = object(2)->depth = (uint8_t)depth;
	object(1)->root = object(2)->root = put64(page(ROOT) | ENTRY_SHARED);
	write_image();
	assert_clean();
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check");
	TCase *c = tcase_create("check");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, build, NULL);
	tcase_add_test(c, a_right_pool_is_clean);
	tcase_add_test(c, an_empty_pool_is_clean);
	tcase_add_test(c, a_catalog_of_one_leaf_is_clean);
	tcase_add_test(c, what_nothing_refers_to_may_hold_anything);
	tcase_add_test(c, a_flipped_bit_in_any_page_is_found);
	tcase_add_test(c, zeroed_swapped_and_older_pages_are_found);
	tcase_add_test(c, a_disk_that_stops_reading_is_found_wherever_it_stops);
	tcase_add_test(c, a_pool_that_was_cut_off_is_found);
	tcase_add_test(c, either_copy_of_the_superblock_is_enough);
	tcase_add_test(c, copies_of_the_superblock_may_be_one_write_apart);
#ifndef COWBD_TINY
	tcase_add_test(c, the_dying_list_has_no_gaps);
#endif
	tcase_add_test(c, the_newer_copy_counts);
	tcase_add_test(c, what_can_not_be_checked_says_why);
	tcase_add_test(c, a_failed_sync_is_noted);
	tcase_add_test(c, counts_below_their_references_are_damage);
	tcase_add_test(c, counts_above_their_references_are_leaks);
	tcase_add_test(c, an_entry_that_claims_what_others_have_too_is_damage);
	tcase_add_test(c, sums_that_are_wrong_are_damage);
	tcase_add_test(c, a_page_of_checksums_belongs_to_its_zone);
	tcase_add_test(c, what_does_not_fit_at_once_is_counted_in_passes);
	tcase_add_test(c, entries_that_lead_nowhere_are_damage);
	tcase_add_test(c, a_named_page_that_was_never_written_is_damage);
	tcase_add_test(c, pages_of_a_wrong_level_or_place_are_damage);
	tcase_add_test(c, a_page_at_two_places_and_a_loop_are_damage);
	tcase_add_test(c, nothing_may_be_mapped_beyond_the_end);
	tcase_add_test(c, names_ids_and_volumes_of_snapshots_must_be_right);
	tcase_add_test(c, two_snapshots_of_one_name_are_damage);
	tcase_add_test(c, a_torn_batch_ends_the_journal_and_is_no_damage);
	tcase_add_test(c, a_torn_batch_with_a_whole_one_behind_it_is_damage);
	tcase_add_test(c, a_whole_batch_with_wrong_records_is_damage);
	tcase_add_test(c, sealed_nonsense_neither_crashes_nor_hangs);
	tcase_add_test(c, maps_of_the_greatest_depth_are_walked);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
