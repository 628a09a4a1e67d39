/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_repair.c - what is planted is mended, what is lost is named, and a cut anywhere is no worse
 *
 * Built with the real geometry and with the tiny one.
 */
#include <stdio.h>

#include "check.h"
#include "check_image.h"

static char said[16384];
static struct cowbd_check_result result;

static void note(void *opaque, enum cowbd_damage_kind kind, const char *who, uint64_t offset,
		 const char *message)
{
	size_t len = strlen(said);

	(void)opaque;
	(void)offset;
	snprintf(said + len, sizeof said - len, "%d %s: %s\n", (int)kind, who, message);
}

static struct cowbd_check_result look(struct store *s)
{
	struct cowbd_check_options opt = {.report = note};

	said[0] = '\0';
	memset(&result, 0, sizeof result);
	ck_assert_int_eq(check_store(s, &opt, &result), 0);
	return result;
}

static void assert_clean(struct store *s)
{
	look(s);
	ck_assert_msg(result.damages + result.leaks == 0, "not clean: %s", said);
}

/* Repairs s; said: what it says. */
static int mend(struct store *s, bool dry_run, uint64_t *ret_pages)
{
	struct cowbd_check_options opt = {.report = note};

	said[0] = '\0';
	return repair_store(s, &opt, dry_run, ret_pages);
}

/* The image, on a store that records; what follows is what repair writes. */
static void write_recorded(void)
{
	struct sim_options opt = {.data_align = 1, .record = true};
	struct store *s;

	write_image();
	ck_assert_int_eq(store_sim_copy(im.store, &opt, &s), 0);
	store_close(im.store);
	im.store = s;
	ck_assert_int_eq(store_sync(im.store, NULL, 0), 0);
}

/* After each write of the repair, with any one of the unsynced ones not there: as before, or clean. */
static void assert_cuts_are_harmless(size_t from, struct cowbd_check_result before)
{
	size_t n;

	(void)store_sim_events(im.store, &n);
	for (size_t upto = from; upto <= n; upto++) {
		size_t loose[256], nloose = store_sim_unsynced(im.store, upto, loose, 256);

		for (size_t k = 0; k <= nloose; k++) {
			struct store *s;

			ck_assert_int_eq(store_sim_replay(im.store, upto, loose + k, k < nloose,
							  NULL, &s),
					 0);
			look(s);
			ck_assert_msg(result.damages + result.leaks == 0 ||
					      (result.damages <= before.damages &&
					       result.leaks <= before.leaks),
				      "worse after %zu events: %s", upto, said);
			store_close(s);
		}
	}
}

/* The damaged image in im.store is mended, at every cut too, and text is said. */
static void assert_mended(const char *text)
{
	struct cowbd_check_result before = look(im.store);
	uint64_t pages = 0, dry = 0;
	size_t from, now;

	ck_assert_uint_gt(before.damages + before.leaks, 0);
	(void)store_sim_events(im.store, &from);
	ck_assert_msg(mend(im.store, true, &dry) == 0, "%s", error_message());
	(void)store_sim_events(im.store, &now);
	ck_assert_uint_eq(now, from);
	ck_assert_msg(mend(im.store, false, &pages) == 0, "%s", error_message());
	ck_assert_uint_eq(pages, dry);
	ck_assert_msg(strstr(said, text), "\"%s\" does not say \"%s\"", said, text);
	assert_clean(im.store);
	assert_cuts_are_harmless(from, before);
	store_close(im.store);
	im.store = NULL;
	build();
}

static void damage(uint64_t offset)
{
	uint8_t page_there[PAGE_BYTES];

	read_at(offset, page_there);
	page_there[2000] ^= 16;
	write_at(offset, page_there, PAGE_BYTES);
	ck_assert_int_eq(store_sync(im.store, NULL, 0), 0);
}

START_TEST(leaks_are_given_back_and_counts_made_right)
{
	im.data.count[B0] = put16(2);
	write_recorded();
	assert_mended("");
	im.data.count[B1] = put16(1); /* below its references */
	write_recorded();
	assert_mended("");
	im.data.count[BLOCKS] = put16(1); /* nothing names it */
	im.data.used = put16(BLOCKS + 1);
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | (BLOCKS + 1));
	im.groups.group[0].used_blocks = put32(BLOCKS + 1);
	write_recorded();
	assert_mended("");
	im.meta.page_count[ROOT] = put16(5);
	write_recorded();
	assert_mended("");
}
END_TEST

START_TEST(sums_of_summaries_and_groups_are_made_right)
{
	im.summary.zone[DATA - HEADER] = put16(ZONE_DATA << 12 | 1);
	write_recorded();
	assert_mended("");
	im.groups.group[0].used_pages = put32(1);
	write_recorded();
	assert_mended("");
}
END_TEST

START_TEST(a_copy_of_the_superblock_is_written_from_the_other)
{
	for (unsigned copy = 0; copy < 2; copy++) {
		write_recorded();
		damage(page_offset(0, copy));
		assert_mended("");
	}
}
END_TEST

START_TEST(a_lost_map_page_is_cut_off_and_named_for_each_who_had_it)
{
	write_recorded();
	damage(place(LEFT));
	assert_mended("vol: bytes 0 to ");
	write_recorded();
	damage(place(LEFT));
	assert_mended("vol@snap: bytes 0 to ");
	write_recorded();
	damage(place(RIGHT));
	assert_mended("vol@snap: bytes ");
	write_recorded();
	damage(place(ROOT));
	assert_mended("vol: all of it is lost");
	write_recorded();
	damage(place(OTHER));
	assert_mended("other: all of it is lost");
	write_recorded();
	damage(place(DEAD));
	assert_mended("");
}
END_TEST

START_TEST(lost_tables_are_made_from_what_is_below)
{
	uint64_t header = HEADER * ZONE_TWINS;

	write_recorded();
	damage(page_offset(header + DATA - HEADER, 0));
	assert_mended("from the references to its blocks");
	write_recorded();
	damage(page_offset(header + META - HEADER, 1));
	assert_mended("newest copies");
	write_recorded();
	damage(page_offset(header, 1));
	assert_mended("summary of group 0");
	write_recorded();
	damage(page_offset(groups_page(0), 0));
	assert_mended("group table");
	write_recorded();
	damage(page_offset(dying_page(0), 1));
	assert_mended("");
}
END_TEST

START_TEST(references_to_nothing_and_missing_marks_are_mended)
{
	im.map[RIGHT].entry[1] = put48((uint64_t)FREE * im.g.zone_blocks);
	write_recorded();
	assert_mended("vol: bytes ");
	im.map[LEFT].entry[1] = put48(block(B1)); /* shared, and not marked so */
	write_recorded();
	assert_mended("");
	im.map[ROOT].entry[1] = put48(page(LEFT)); /* a page at two places */
	write_recorded();
	assert_mended("vol: bytes ");
}
END_TEST

START_TEST(a_lost_page_of_the_catalog_stops_it)
{
	static const unsigned pages[] = {NODE, LEAF_A, LEAF_B};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		uint64_t written;
		size_t from, now;

		write_recorded();
		damage(place(pages[i]));
		(void)store_sim_events(im.store, &from);
		ck_assert_int_eq(mend(im.store, false, &written), -EUCLEAN);
		ck_assert_ptr_nonnull(strstr(error_message(), "nothing was changed"));
		(void)store_sim_events(im.store, &now);
		ck_assert_uint_eq(now, from);
		store_close(im.store);
		build();
	}
}
END_TEST

START_TEST(a_lost_page_of_checksums_is_dropped)
{
	add_sums();
	write_recorded();
	damage(page_offset(page(PAGES), which(PAGES)));
	assert_mended("");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair");
	TCase *c = tcase_create("repair");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, build, NULL);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, leaks_are_given_back_and_counts_made_right);
	tcase_add_test(c, sums_of_summaries_and_groups_are_made_right);
	tcase_add_test(c, a_copy_of_the_superblock_is_written_from_the_other);
	tcase_add_test(c, a_lost_map_page_is_cut_off_and_named_for_each_who_had_it);
	tcase_add_test(c, lost_tables_are_made_from_what_is_below);
	tcase_add_test(c, references_to_nothing_and_missing_marks_are_mended);
	tcase_add_test(c, a_lost_page_of_the_catalog_stops_it);
	tcase_add_test(c, a_lost_page_of_checksums_is_dropped);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
