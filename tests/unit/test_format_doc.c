/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_format_doc.c - the tables of docs/FORMAT.md say what the compiler says
 *
 * Every field of every structure on disk stands in the document with its offset and size, and
 * nothing else does.  format_ondisk.c holds the same figures against the code.
 */
#include <stdio.h>

#include "format.h"

#include <check.h>
#undef fail /* check's old name of ck_abort */

#define F(type, field)                                                                             \
	{                                                                                          \
		"struct " #type, #field, offsetof(struct type, field),                             \
			sizeof(((struct type *)0)->field), false                                   \
	}
#define ARRAY(type, field)                                                                         \
	{                                                                                          \
		"struct " #type, #field, offsetof(struct type, field), 0, false                    \
	}

static struct {
	const char *type, *name;
	size_t offset, size;
	bool seen;
} fields[] = {
	F(disk_page, kind),
	F(disk_page, reserved),
	F(disk_page, checksum),
	F(disk_page, offset),
	F(disk_page, generation),
	F(disk_map, h),
	F(disk_map, level),
	F(disk_map, reserved0),
	F(disk_map, reserved1),
	F(disk_map, first),
	F(disk_map, entry),
	F(disk_map, reserved2),
	F(disk_zone, h),
	F(disk_zone, type),
	F(disk_zone, used),
	F(disk_zone, reserved0),
	F(disk_zone, sums),
	F(disk_zone, count),
	F(disk_zone, page_count),
	F(disk_zone, slot),
	F(disk_zone, reserved2),
	F(disk_sums, h),
	F(disk_sums, first),
	F(disk_sums, sum),
	F(disk_sums, before),
	F(disk_sums, reserved),
	F(disk_summary, h),
	F(disk_summary, zone),
	F(disk_summary, slot),
	F(disk_summary, reserved),
	F(disk_group, slot),
	F(disk_group, data_zones),
	F(disk_group, meta_zones),
	F(disk_group, used_blocks),
	F(disk_group, used_pages),
	F(disk_groups, h),
	F(disk_groups, group),
	F(disk_groups, reserved),
	F(disk_dying, h),
	F(disk_dying, entry),
	F(disk_dying, reserved),
	F(disk_object, id),
	F(disk_object, volume),
	F(disk_object, parent),
	F(disk_object, root),
	F(disk_object, size),
	F(disk_object, created),
	F(disk_object, flags),
	F(disk_object, kind),
	F(disk_object, label),
	F(disk_object, depth),
	F(disk_object, name_length),
	F(disk_object, sector_size),
	F(disk_object, reserved0),
	F(disk_object, name),
	F(disk_object, reserved1),
	F(disk_catalog_leaf, h),
	F(disk_catalog_leaf, object),
	F(disk_catalog_leaf, reserved),
	F(disk_super, h),
	F(disk_super, magic),
	F(disk_super, major),
	F(disk_super, flags),
	F(disk_super, incompat),
	F(disk_super, ro_compat),
	F(disk_super, compat),
	F(disk_super, uuid),
	F(disk_super, sequence),
	F(disk_super, block_shift),
	F(disk_super, zone_twins),
	F(disk_super, zones),
	F(disk_super, journal_zones),
	F(disk_super, journal_offset),
	F(disk_super, journal_batch),
	F(disk_super, journal_chain),
	F(disk_super, cut),
	F(disk_super, catalog_root),
	F(disk_super, catalog_depth),
	F(disk_super, reserved0),
	F(disk_super, next_id),
	F(disk_super, boot_id),
	F(disk_super, session_id),
	F(disk_super, pool_dev),
	F(disk_super, pool_ino),
	F(disk_super, tail_dev),
	F(disk_super, tail_ino),
	F(disk_super, created),
	F(disk_super, name),
	F(disk_super, tail_path),
	F(disk_super, slot),
	F(disk_super, reserved1),
	F(disk_batch, kind),
	F(disk_batch, length),
	F(disk_batch, checksum),
	F(disk_batch, number),
	F(disk_batch, previous),
	F(disk_batch, first),
	F(disk_batch, records),
	F(disk_batch, payload),
	F(disk_batch, sums),
	F(disk_batch, reserved),
	F(disk_batch_sum, block),
	F(disk_batch_sum, checksum),
	F(disk_record, checksum),
	F(disk_record, length),
	F(disk_record, type),
	F(disk_record, flags),
	F(disk_record, seq),
	F(disk_rec_map, h),
	F(disk_rec_map, object),
	F(disk_rec_map, block),
	F(disk_rec_map, length),
	F(disk_rec_map, physical),
	F(disk_rec_object, h),
	F(disk_rec_object, object),
	F(disk_rec_object, source),
	F(disk_rec_object, other),
	F(disk_rec_object, size),
	F(disk_rec_object, created),
	F(disk_rec_object, flags),
	F(disk_rec_object, sector_size),
	F(disk_rec_object, label),
	F(disk_rec_object, name_length),
	F(disk_rec_object, reserved),
	ARRAY(disk_rec_object, name),
	F(disk_rec_zone, h),
	F(disk_rec_zone, zone),
	F(disk_rec_zone, type),
	F(disk_tail, kind),
	F(disk_tail, reserved),
	F(disk_tail, checksum),
	F(disk_tail, uuid),
	F(disk_tail, boot_id),
	F(disk_tail, session_id),
	F(disk_tail, pool_dev),
	F(disk_tail, pool_ino),
	F(disk_tail, ring_bytes),
	F(disk_tail, flags),
	F(disk_tail, durable),
	F(disk_tail, start),
};

static struct {
	const char *name;
	uint64_t value;
	bool seen;
} codes[] = {
	{"`CODB`", PAGE_SUPER, false},
	{"`DYNG`", PAGE_DYING, false},
	{"`GRPS`", PAGE_GROUPS, false},
	{"`SUMR`", PAGE_SUMMARY, false},
	{"`ZONE`", PAGE_ZONE, false},
	{"`MAP `", PAGE_MAP, false},
	{"`CNOD`", PAGE_CATALOG_NODE, false},
	{"`CLAF`", PAGE_CATALOG_LEAF, false},
	{"`SUMS`", PAGE_SUMS, false},
	{"`JRNL`", PAGE_BATCH, false},
	{"`TAIL`", PAGE_TAIL, false},
	{"MAP", REC_MAP, false},
	{"UNMAP", REC_UNMAP, false},
	{"DETACH", REC_DETACH, false},
	{"CREATE", REC_CREATE, false},
	{"SNAPSHOT", REC_SNAPSHOT, false},
	{"CLONE", REC_CLONE, false},
	{"ROLLBACK", REC_ROLLBACK, false},
	{"DELETE", REC_DELETE, false},
	{"RESIZE", REC_RESIZE, false},
	{"RENAME", REC_RENAME, false},
	{"SET", REC_SET, false},
	{"ZONE", REC_ZONE, false},
};

static FILE *open_document(void)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/docs/FORMAT.md", top ? top : ".");
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s can't be opened: is top_srcdir set?", path);
	return f;
}

/* Splits "| a | b | c |" in place: the number of cells, blanks around them taken off. */
static unsigned split_row(char *line, char *cell[8])
{
	unsigned n = 0;

	if (*line != '|')
		return 0;
	for (char *at = strtok(line, "|\n"); at && n < 8; at = strtok(NULL, "|\n")) {
		size_t len;

		at += strspn(at, " ");
		len = strlen(at);
		while (len && at[len - 1] == ' ')
			at[--len] = '\0';
		cell[n++] = at;
	}
	return n;
}

/* A row of a structure's table. */
static void check_field(const char *type, char *cell[8])
{
	uint64_t offset = strtoull(cell[0], NULL, 10), size = strtoull(cell[1], NULL, 10);

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].type, type) != 0 || strcmp(fields[i].name, cell[2]) != 0)
			continue;
		ck_assert_msg(!fields[i].seen, "%s.%s is there twice", type, cell[2]);
		ck_assert_msg(offset == fields[i].offset && size == fields[i].size,
			      "%s.%s: offset %zu, size %zu; FORMAT.md says %s, %s", type, cell[2],
			      fields[i].offset, fields[i].size, cell[0], cell[1]);
		fields[i].seen = true;
		return;
	}
	ck_abort_msg("%s has no field %s", type, cell[2]);
}

START_TEST(every_field_stands_in_the_document_with_its_offset_and_size)
{
	FILE *f = open_document();
	char line[1024], type[64] = "";

	while (fgets(line, sizeof line, f)) {
		char *cell[8];

		if (sscanf(line, "`%63[^`]`", type) == 1 || *line == '\n')
			continue;
		if (*line != '|')
			*type = '\0';
		else if (*type && split_row(line, cell) >= 3 && cell[0][0] >= '0' &&
			 cell[0][0] <= '9')
			check_field(type, cell);
	}
	fclose(f);
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		ck_assert_msg(fields[i].seen, "%s.%s is not in FORMAT.md", fields[i].type,
			      fields[i].name);
}
END_TEST

START_TEST(every_kind_of_page_and_record_stands_in_the_document_with_its_number)
{
	FILE *f = open_document();
	char line[1024];

	while (fgets(line, sizeof line, f)) {
		char *cell[8];

		if (split_row(line, cell) < 3)
			continue;
		for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
			if (strcmp(codes[i].name, cell[0]) == 0) {
				ck_assert_uint_eq(strtoull(cell[1], NULL, 0), codes[i].value);
				codes[i].seen = true;
			}
	}
	fclose(f);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		ck_assert_msg(codes[i].seen, "%s is not in FORMAT.md", codes[i].name);
}
END_TEST

/* A kind is its four letters, first letter first on disk. */
START_TEST(kinds_of_pages_can_be_read_in_a_dump)
{
	for (unsigned i = 0; i < ARRAY_SIZE(codes) && codes[i].name[0] == '`'; i++) {
		struct le32 kind = put32((uint32_t)codes[i].value);

		ck_assert_int_eq(memcmp(kind.b, codes[i].name + 1, sizeof kind), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format_doc");
	TCase *c = tcase_create("format_doc");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(c, every_field_stands_in_the_document_with_its_offset_and_size);
	tcase_add_test(c, every_kind_of_page_and_record_stands_in_the_document_with_its_number);
	tcase_add_test(c, kinds_of_pages_can_be_read_in_a_dump);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
