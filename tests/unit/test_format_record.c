/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_format_record.c - records of the journal: encoded, decoded, damaged
 *
 * Built with the real geometry and with the tiny one.
 */
#include "format.h"

#include <check.h>
#undef fail /* check's old name of ck_abort; here it is the function of base.h */

static const struct record records[] = {
	{.type = REC_MAP,
	 .seq = 1,
	 .object = 3,
	 .block = MAP_FANOUT,
	 .length = MAP_FANOUT,
	 .physical = 77},
	{.type = REC_MAP,
	 .seq = UINT64_MAX,
	 .object = 3,
	 .block = 2,
	 .length = 2,
	 .physical = 1,
	 .more = true},
	{.type = REC_UNMAP, .seq = 2, .object = 3, .block = 1, .length = 1},
	{.type = REC_DETACH, .seq = 3, .object = 3, .block = MAP_FANOUT * MAP_FANOUT, .length = 1},
	{.type = REC_DETACH, .seq = 3, .object = 3, .block = 0, .length = MAP_DEPTH_MAX - 1},
	{.type = REC_CREATE,
	 .seq = 4,
	 .object = 3,
	 .size = 512,
	 .created = 5,
	 .sector_size = 512,
	 .name = "v"},
	{.type = REC_SNAPSHOT,
	 .seq = 5,
	 .object = 4,
	 .source = 3,
	 .created = 6,
	 .label = LABEL_FLUSHED,
	 .flags = OBJECT_BEFORE_ROLLBACK,
	 .name = "eight888",
	 .more = true},
	{.type = REC_CLONE,
	 .seq = 6,
	 .object = 5,
	 .source = 4,
	 .flags = OBJECT_EPHEMERAL,
	 .name = "\xc3\xa9t\xc3\xa9"},
	{.type = REC_ROLLBACK,
	 .seq = 7,
	 .object = 3,
	 .source = 4,
	 .other = 6,
	 .name = "before-rollback"},
	{.type = REC_ROLLBACK, .seq = 8, .object = 3, .source = 4},
	{.type = REC_DELETE, .seq = 9, .object = 3},
	{.type = REC_RESIZE, .seq = 10, .object = 3, .size = VOLUME_BYTES_MAX},
	{.type = REC_RENAME, .seq = 11, .object = 3, .name = "ninebytes"},
	{.type = REC_SET, .seq = 12, .object = 3, .source = SET_SECTOR_SIZE, .other = 4096},
	{.type = REC_ZONE, .seq = 13, .zone = 55, .zone_type = ZONE_META},
};

static void assert_same(const struct record *a, const struct record *b)
{
	ck_assert_int_eq(a->type, b->type);
	ck_assert_int_eq(a->more, b->more);
	ck_assert_uint_eq(a->seq, b->seq);
	ck_assert_uint_eq(a->object, b->object);
	ck_assert_uint_eq(a->block, b->block);
	ck_assert_uint_eq(a->length, b->length);
	ck_assert_uint_eq(a->physical, b->physical);
	ck_assert_uint_eq(a->zone, b->zone);
	ck_assert_uint_eq(a->zone_type, b->zone_type);
	ck_assert_uint_eq(a->source, b->source);
	ck_assert_uint_eq(a->other, b->other);
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_uint_eq(a->created, b->created);
	ck_assert_uint_eq(a->flags, b->flags);
	ck_assert_uint_eq(a->sector_size, b->sector_size);
	ck_assert_uint_eq(a->label, b->label);
	ck_assert_str_eq(a->name, b->name);
}

START_TEST(records_come_back_as_they_were)
{
	const struct record *r = &records[_i];
	uint8_t buf[RECORD_BYTES_MAX];
	struct record back;
	size_t size = record_size(r);

	ck_assert_uint_le(size, sizeof buf);
	ck_assert_uint_eq(size % 8, 0);
	memset(buf, 0xee, sizeof buf);
	record_encode(r, buf);
	if (size < sizeof buf)
		ck_assert_uint_eq(buf[size], 0xee);
	memset(&back, 0xee, sizeof back);
	ck_assert_uint_eq(record_decode(buf, sizeof buf, &back), size);
	assert_same(r, &back);
	ck_assert_uint_eq(record_decode(buf, size, &back), size);
}
END_TEST

START_TEST(a_record_cut_short_or_with_one_flipped_bit_is_none)
{
	const struct record *r = &records[_i];
	uint8_t buf[RECORD_BYTES_MAX];
	struct record back = {.seq = 99};
	size_t size = record_size(r);

	memset(buf, 0, sizeof buf);
	record_encode(r, buf);
	for (size_t room = 0; room < size; room++)
		ck_assert_uint_eq(record_decode(buf, room, &back), 0);
	for (size_t bit = 0; bit < size * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_uint_eq(record_decode(buf, sizeof buf, &back), 0);
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_uint_eq(back.seq, 99);
	memset(buf, 0, sizeof buf);
	ck_assert_uint_eq(record_decode(buf, sizeof buf, &back), 0);
}
END_TEST

START_TEST(a_name_of_255_bytes_fits_a_record)
{
	struct record r = records[5], back;
	uint8_t buf[RECORD_BYTES_MAX];

	memset(r.name, 'n', NAME_BYTES_MAX);
	ck_assert_uint_eq(record_size(&r), RECORD_BYTES_MAX);
	record_encode(&r, buf);
	ck_assert_uint_eq(record_decode(buf, sizeof buf, &back), sizeof buf);
	assert_same(&r, &back);
}
END_TEST

/* A record of type t with the bytes at offset at replaced, checksum right. */
static size_t decode_forged(const struct record *r, size_t at, uint64_t value, size_t bytes)
{
	uint8_t buf[RECORD_BYTES_MAX];
	struct le64 v = put64(value);
	struct record back;
	struct le32 sum = put32(0);
	size_t size = record_size(r);

	memset(buf, 0, sizeof buf);
	record_encode(r, buf);
	memcpy(buf + at, v.b, bytes);
	memcpy(buf, &sum, sizeof sum);
	sum = put32((uint32_t)checksum(buf, size, 0));
	memcpy(buf, &sum, sizeof sum);
	return record_decode(buf, sizeof buf, &back);
}

#define FORGED(i, type, field, value)                                                              \
	decode_forged(&records[i], offsetof(struct type, field), value,                            \
		      sizeof(((struct type *)0)->field))

START_TEST(a_record_with_a_field_out_of_range_is_none)
{
	ck_assert_uint_eq(FORGED(0, disk_rec_map, object, 4), sizeof(struct disk_rec_map));
	ck_assert_uint_eq(FORGED(0, disk_record, type, 0), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, type, REC_ZONE), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, type, REC_ZONE + 1), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, flags, 2), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, length, 47), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, length, 8), 0);
	ck_assert_uint_eq(FORGED(0, disk_record, seq, 0), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, object, 0), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, length, 0), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, length, MAP_FANOUT + 1), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, length, UINT64_MAX), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, block, 1), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, physical, 0), 0);
	ck_assert_uint_eq(FORGED(0, disk_rec_map, physical, ENTRY_SHARED), 0);
	ck_assert_uint_eq(FORGED(2, disk_rec_map, physical, 1), 0);
	ck_assert_uint_eq(FORGED(3, disk_rec_map, physical, 1), 0);
	ck_assert_uint_eq(FORGED(3, disk_rec_map, block, MAP_FANOUT), 0);
	ck_assert_uint_eq(FORGED(3, disk_rec_map, length, MAP_DEPTH_MAX), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, object, 0), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, size, 0), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, size, 513), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, flags, 4), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, label, 4), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, sector_size, 100), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, name_length, 0), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, name_length, 2), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, name_length, 9), 0);
	ck_assert_uint_eq(FORGED(5, disk_rec_object, reserved, 1), 0);
	ck_assert_uint_eq(decode_forged(&records[5], sizeof(struct disk_rec_object), '/', 1), 0);
	ck_assert_uint_eq(decode_forged(&records[5], sizeof(struct disk_rec_object) + 7, 'x', 1),
			  0);
	ck_assert_uint_eq(FORGED(6, disk_rec_object, source, 0), 0);
	ck_assert_uint_eq(FORGED(8, disk_rec_object, source, 0), 0);
	ck_assert_uint_eq(FORGED(9, disk_rec_object, other, 3), 0);
	ck_assert_uint_eq(FORGED(11, disk_rec_object, size, VOLUME_BYTES_MAX + 512), 0);
	ck_assert_uint_eq(FORGED(13, disk_rec_object, source, 0), 0);
	ck_assert_uint_eq(FORGED(13, disk_rec_object, source, SET_SECTOR_SIZE + 1), 0);
	ck_assert_uint_eq(FORGED(14, disk_rec_zone, type, ZONE_META + 1), 0);
	ck_assert_uint_eq(FORGED(14, disk_rec_zone, zone, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format_record");
	TCase *c = tcase_create("format_record");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, records_come_back_as_they_were, 0, ARRAY_SIZE(records));
	tcase_add_loop_test(c, a_record_cut_short_or_with_one_flipped_bit_is_none, 0,
			    ARRAY_SIZE(records));
	tcase_add_test(c, a_name_of_255_bytes_fits_a_record);
	tcase_add_test(c, a_record_with_a_field_out_of_range_is_none);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
