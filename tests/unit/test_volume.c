/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_volume.c - read, write, zero, trim, flush and the COW fault
 */
#include "pool_testing.h"

#define POOL (64 * MIB)

static uint64_t state;

static uint64_t random_below(uint64_t n)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (state >> 20) % n;
}

/* What the fault did since the last look. */
struct faults {
	uint64_t faults, no_copy, copied, in_place;
};

static struct faults since(struct cowbd_pool *p)
{
	static struct faults last;
	struct cowbd_pool_info i = info(p);
	struct faults now = {i.faults, i.faults_no_copy, i.bytes_copied, i.in_place_writes};
	struct faults d = {now.faults - last.faults, now.no_copy - last.no_copy,
			   now.copied - last.copied, now.in_place - last.in_place};

	last = now;
	return d;
}

/* ---- the fault ------------------------------------------------------------------------- */

START_TEST(whole_blocks_overwritten_after_a_snapshot_copy_nothing)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	struct faults f;

	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	(void)since(p);
	write_fill(c, 0, MIB / 2, 2);
	f = since(p);
	ck_assert_uint_eq(f.faults, 128);
	ck_assert_uint_eq(f.no_copy, 128);
	ck_assert_uint_eq(f.copied, 0);
	ck_assert_uint_eq(f.in_place, 0);
	ck_assert(object_holds(p, "v@s", 0, MIB, 1));
	ck_assert(holds(c, 0, MIB / 2, 2));
	ck_assert(holds(c, MIB / 2, MIB / 2, 1));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(half_a_block_overwritten_copies_its_head_and_tail_alone)
{
	struct cowbd_pool *p = make_pool(POOL, 65536);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	struct faults f;

	write_fill(c, 0, 3 * 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	(void)since(p);
	write_fill(c, 65536 + 16384, 32768, 2);
	f = since(p);
	ck_assert_uint_eq(f.faults, 1);
	ck_assert_uint_eq(f.no_copy, 0);
	ck_assert_uint_eq(f.copied, 32768);
	ck_assert(holds(c, 65536, 16384, 1));
	ck_assert(holds(c, 65536 + 16384, 32768, 2));
	ck_assert(holds(c, 65536 + 49152, 16384, 1));
	ck_assert(object_holds(p, "v@s", 0, 3 * 65536, 1));

	write_fill(c, 65536, 512, 3); /* the second write to it */
	f = since(p);
	ck_assert_uint_eq(f.faults, 0);
	ck_assert_uint_eq(f.copied, 0);
	ck_assert_uint_eq(f.in_place, 1);
	ck_assert(object_holds(p, "v@s", 65536, 65536, 1));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(a_fault_over_several_blocks_copies_the_outer_ends)
{
	struct cowbd_pool *p = make_pool(POOL, 65536);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	struct faults f;

	write_fill(c, 0, 4 * 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	(void)since(p);
	write_fill(c, 1000, 3 * 65536, 2);
	f = since(p);
	ck_assert_uint_eq(f.faults, 4);
	ck_assert_uint_eq(f.no_copy, 2);
	ck_assert_uint_eq(f.copied, 65536); /* 1000 before, the rest behind */
	ck_assert(holds(c, 0, 1000, 1));
	ck_assert(holds(c, 1000, 3 * 65536, 2));
	ck_assert(holds(c, 1000 + 3 * 65536, 65536 - 1000, 1));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(what_a_write_leaves_over_of_an_unmapped_block_is_zero)
{
	struct cowbd_pool *p = make_pool(POOL, 65536);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	struct faults f;

	/* blocks that held something before */
	write_fill(c, 0, 2 * MIB, 9);
	ck_assert_ok(cowbd_trim(c, 2 * MIB, 0, 0));
	ck_assert_ok(cowbd_reclaim_wait(p));
	(void)since(p);
	write_fill(c, 70000, 1, 1);
	f = since(p);
	ck_assert_uint_eq(f.copied, 0);
	ck_assert_uint_eq(f.no_copy, 1);
	ck_assert(holds(c, 0, 70000, 0));
	ck_assert(holds(c, 70000, 1, 1));
	ck_assert(holds(c, 70001, MIB, 0));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* ---- moving ---------------------------------------------------------------------------- */

/* A volume whose first MIB holds 1 in blocks scattered over the pool, and no snapshot. */
static struct cowbd_client *scattered_volume(struct cowbd_pool *p, bool cut_off)
{
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);

	write_fill(c, 0, MIB, 9);
	ck_assert_ok(snapshot(p, "v@s"));
	for (unsigned i = 0; i < 256; i++) /* 101 and 256 have no common divisor */
		write_fill(c, i * 101 % 256 * 4096, 4096, 1);
	if (cut_off) {
		ck_assert_ok(cowbd_remove(p, (const char *[]){"v@s"}, 1, 0));
		ck_assert_ok(cowbd_reclaim_wait(p));
	}
	(void)since(p);
	return c;
}

START_TEST(a_large_write_puts_scattered_blocks_side_by_side)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = scattered_volume(p, true);
	uint64_t used = info(p).used_blocks;
	struct faults f;

	write_fill(c, 128 << 10, 256 << 10, 2);
	f = since(p);
	ck_assert_uint_eq(f.faults, 0);
	ck_assert_uint_eq(f.in_place, 0);
	ck_assert_uint_eq(info(p).blocks_moved, 64);
	write_fill(c, 128 << 10, 256 << 10, 3); /* now they are */
	f = since(p);
	ck_assert_uint_eq(f.in_place, 1);
	ck_assert_uint_eq(info(p).blocks_moved, 64);
	ck_assert(holds(c, 0, 128 << 10, 1));
	ck_assert(holds(c, 128 << 10, 256 << 10, 3));
	ck_assert(holds(c, 384 << 10, 640 << 10, 1));
	ck_assert_ok(cowbd_flush(c)); /* then the old places are free */
	ck_assert_uint_eq(info(p).used_blocks, used);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(what_is_small_or_not_of_whole_blocks_stays_where_it_is)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = scattered_volume(p, true);

	write_fill(c, 0, 7 * 4096, 2);
	write_fill(c, 65536 + 512, 65536, 3);
	write_fill(c, 262144, 65536 - 512, 4);
	ck_assert_uint_eq(since(p).faults, 0);
	ck_assert_uint_eq(info(p).blocks_moved, 0);
	ck_assert(holds(c, 0, 7 * 4096, 2));
	ck_assert(holds(c, 65536, 512, 1));
	ck_assert(holds(c, 65536 + 512, 65536, 3));
	ck_assert(holds(c, 262144, 65536 - 512, 4));
	ck_assert(holds(c, 262144 + 65536 - 512, 512, 1));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* Nothing is put in order at the price of the room that others need. */
START_TEST(in_a_pool_that_is_filling_up_nothing_moves)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = scattered_volume(p, true);
	struct cowbd_client *d = make_volume(p, "d", 64 * MIB);
	uint64_t blocks;

	for (blocks = 0; info(p).free_bytes > POOL / 4; blocks += 256)
		write_fill(d, blocks * 4096, MIB, 5);
	write_fill(c, 0, MIB, 2);
	ck_assert_uint_eq(info(p).blocks_moved, 0);
	ck_assert(holds(c, 0, MIB, 2));
	ck_assert(holds(d, 0, blocks * 4096, 5));
	cowbd_client_close(c);
	cowbd_client_close(d);
	check_and_close(p);
}
END_TEST

START_TEST(what_was_moved_leaves_a_later_snapshot_alone)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = scattered_volume(p, true);

	write_fill(c, 0, MIB / 2, 2);
	ck_assert_uint_eq(info(p).blocks_moved, 128);
	ck_assert_ok(snapshot(p, "v@t"));
	write_fill(c, 0, MIB, 3);
	ck_assert_uint_eq(info(p).blocks_moved, 128);
	ck_assert_uint_eq(since(p).faults, 256);
	ck_assert(object_holds(p, "v@t", 0, MIB / 2, 2));
	ck_assert(object_holds(p, "v@t", MIB / 2, MIB / 2, 1));
	ck_assert(holds(c, 0, MIB, 3));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

static int note_extent(void *opaque, uint64_t offset, uint64_t length, char kind)
{
	uint64_t *seen = opaque;

	ck_assert_int_eq(kind, 'w');
	seen[0] = offset;
	seen[1] = length;
	seen[2]++;
	return 0;
}

START_TEST(a_fault_touches_nothing_else_of_the_volume)
{
	struct cowbd_pool *p = make_pool(POOL, 65536);
	struct cowbd_client *c = make_volume(p, "v", 32 * MIB);
	uint64_t seen[3] = {0};

	for (uint64_t at = 0; at < 32 * MIB; at += MIB)
		write_fill(c, at, 65536, 1 + (int)(at / MIB));
	ck_assert_ok(snapshot(p, "v@s"));
	write_fill(c, 5 * MIB + 100, 200, 77);
	ck_assert_ok(cowbd_diff(p, "v@s", "v", note_extent, seen));
	ck_assert_uint_eq(seen[2], 1);
	ck_assert_uint_eq(seen[0], 5 * MIB);
	ck_assert_uint_eq(seen[1], 65536);
	for (uint64_t at = 0; at < 32 * MIB; at += MIB)
		ck_assert(object_holds(p, "v@s", at, 65536, 1 + (int)(at / MIB)));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(a_block_is_written_in_place_again_when_its_snapshot_has_gone)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	struct faults f;

	write_fill(c, 0, 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(remove_one(p, "v@s", 0));
	ck_assert_ok(cowbd_reclaim_wait(p));
	(void)since(p);
	write_fill(c, 4096, 4096, 2);
	f = since(p);
	ck_assert_uint_eq(f.faults, 0);
	ck_assert_uint_eq(f.in_place, 1);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* Rule 2: the record that let the clone's reference fall is not durable yet. */
START_TEST(nobody_becomes_a_sole_owner_by_a_volatile_record)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *a = make_volume(p, "a", 4 * MIB), *b;
	struct faults f;

	write_fill(a, 0, 4096, 1);
	ck_assert_ok(clone_one(p, "a", "b"));
	b = attach(p, "b");
	write_fill(b, 0, 4096, 2);
	(void)since(p);
	write_fill(a, 0, 4096, 3);
	f = since(p);
	ck_assert_uint_eq(f.faults, 1);
	ck_assert_ok(cowbd_flush(a));
	write_fill(a, 0, 4096, 4);
	ck_assert_uint_eq(since(p).in_place, 1);
	ck_assert(holds(b, 0, 4096, 2));
	cowbd_client_close(a);
	cowbd_client_close(b);
	check_and_close(p);
}
END_TEST

/* ---- against an array ---------------------------------------------------------------------- */

struct mirror {
	struct cowbd_client *c;
	uint8_t *want, *buf;
	uint64_t size;
};

static void mirror_write(struct mirror *m, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		m->buf[i] = (uint8_t)random_below(256);
	memcpy(m->want + offset, m->buf, len);
	ck_assert_ok(cowbd_write(m->c, m->buf, len, offset, 0));
}

static void mirror_check(struct mirror *m)
{
	memset(m->buf, 0xee, m->size);
	ck_assert_ok(cowbd_read(m->c, m->buf, m->size, 0));
	ck_assert(memcmp(m->buf, m->want, m->size) == 0);
}

/* Any bytes of a disk, any operation, at edges as well. */
static void mirror_run(struct cowbd_pool *p, uint64_t size, unsigned steps)
{
	struct mirror m = {.want = calloc(1, size), .buf = malloc(size), .size = size};
	char name[32];

	m.c = make_volume(p, "v", size);
	for (unsigned i = 0; i < steps; i++) {
		uint64_t offset = random_below(size),
			 len = 1 + random_below(MIN(size - offset, UINT64_C(300000)));

		if (random_below(3) == 0)
			len = 1;
		switch (random_below(8)) {
		case 0:
			memset(m.want + offset, 0, len);
			ck_assert_ok(cowbd_zero(m.c, len, offset, 0));
			break;
		case 1:
			snprintf(name, sizeof name, "v@%u", i);
			ck_assert_ok(snapshot(p, name));
			break;
		default: mirror_write(&m, offset, len);
		}
	}
	mirror_check(&m);
	cowbd_client_close(m.c);
	ck_assert_ok(remove_one(p, "v", COWBD_RECURSIVE));
	free(m.want);
	free(m.buf);
}

static const uint32_t block_sizes[] = {4096,   8192,   16384,  32768,  65536,
				       131072, 262144, 524288, 1048576};

START_TEST(every_block_size_holds_what_was_written)
{
	struct cowbd_pool *p = make_pool(128 * MIB, block_sizes[_i]);

	state = (uint64_t)_i;
	mirror_run(p, 2 * MIB + 512 * 3, 25);
	ck_assert_ok(cowbd_reclaim_wait(p));
	ck_assert_uint_eq(info(p).used_blocks, 0);
	check_and_close(p);
}
END_TEST

START_TEST(data_that_must_be_aligned_may_be_written_at_any_byte)
{
	struct cowbd_pool *p =
		open_pool(make_store(POOL, _i ? 65536 : 4096, _i ? 512 : 4096), COWBD_OPEN_NO_TAIL);

	state = 99;
	mirror_run(p, MIB + 512, 60);
	check_and_close(p);
}
END_TEST

START_TEST(a_size_may_be_any_multiple_of_512)
{
	static const uint64_t sizes[] = {512,        1024,        4096 - 512,      4096,
					 4096 + 512, 65536 - 512, 512 * 4096 + 512};
	struct cowbd_pool *p = make_pool(POOL, _i ? 65536 : 4096);

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct cowbd_client *c = make_volume(p, "v", sizes[i]);
		uint8_t byte = 1;

		ck_assert_uint_eq(cowbd_client_size(c), sizes[i]);
		write_fill(c, 0, sizes[i], 7);
		write_fill(c, sizes[i] - 1, 1, 8);
		ck_assert(holds(c, 0, sizes[i] - 1, 7));
		ck_assert(holds(c, sizes[i] - 1, 1, 8));
		ck_assert_error(cowbd_write(c, &byte, 1, sizes[i], 0), -EINVAL);
		ck_assert_error(cowbd_read(c, &byte, 1, sizes[i]), -EINVAL);
		ck_assert_error(cowbd_read(c, &byte, UINT64_MAX, 1), -EINVAL);
		ck_assert_ok(cowbd_zero(c, sizes[i], 0, 0));
		ck_assert(holds(c, 0, sizes[i], 0));
		cowbd_client_close(c);
		ck_assert_ok(remove_one(p, "v", 0));
	}
	check_and_close(p);
}
END_TEST

START_TEST(one_byte_can_be_written_at_any_offset)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 3 * 4096);
	static uint8_t got[3 * 4096];

	for (uint64_t at = 0; at < sizeof got; at++) {
		uint8_t byte = (uint8_t)(at * 7 + at / 256);

		if (cowbd_write(c, &byte, 1, at, 0) < 0)
			ck_abort_msg("offset %u: %s", (unsigned)at, cowbd_error());
		if (at % 1000 == 0)
			ck_assert_ok(cowbd_snapshot(p, (const char *[]){at % 2000 ? "v@a" : "v@b"},
						    at < 2000, COWBD_LABEL_NONE, COWBD_NO_WAIT));
	}
	ck_assert_ok(cowbd_read(c, got, sizeof got, 0));
	for (uint64_t at = 0; at < sizeof got; at++)
		if (got[at] != (uint8_t)(at * 7 + at / 256))
			ck_abort_msg("offset %u", (unsigned)at);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* ---- zero and trim --------------------------------------------------------------------------- */

START_TEST(zero_unmaps_whole_blocks_and_trim_leaves_the_rest_alone)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);

	write_fill(c, 0, 65536, 1);
	ck_assert_ok(cowbd_trim(c, 3 * 4096, 100, 0));
	ck_assert(holds(c, 0, 4096, 1));
	ck_assert(holds(c, 4096, 2 * 4096, 0));
	ck_assert(holds(c, 3 * 4096, 65536 - 3 * 4096, 1));
	ck_assert_ok(cowbd_zero(c, 2 * 4096, 8 * 4096 + 10, 0));
	ck_assert(holds(c, 8 * 4096, 10, 1));
	ck_assert(holds(c, 8 * 4096 + 10, 2 * 4096, 0));
	ck_assert(holds(c, 10 * 4096 + 10, 100, 1));
	ck_assert_ok(cowbd_trim(c, 100, 5 * 4096, 0)); /* no whole block in it */
	ck_assert(holds(c, 5 * 4096, 4096, 1));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(zeroing_a_large_disk_takes_no_space_and_leaves_its_snapshot)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", UINT64_C(1) << 44);

	for (uint64_t at = 0; at < (UINT64_C(1) << 44); at += UINT64_C(1) << 41)
		write_fill(c, at + 4096, 8192, 5);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_zero(c, (UINT64_C(1) << 44) - 4096, 4096, 0));
	for (uint64_t at = 0; at < (UINT64_C(1) << 44); at += UINT64_C(1) << 41) {
		ck_assert(holds(c, at, 65536, 0));
		ck_assert(object_holds(p, "v@s", at + 4096, 8192, 5));
	}
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* ---- flush ------------------------------------------------------------------------------------- */

START_TEST(a_flush_with_nothing_to_do_does_nothing)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	uint64_t syncs, commits;

	write_fill(c, 0, 4096, 1);
	ck_assert_ok(cowbd_flush(c));
	syncs = store_sim_calls(p->e.store, SIM_FAULT_SYNC);
	commits = info(p).commits;
	ck_assert_ok(cowbd_flush(c));
	ck_assert_uint_eq(store_sim_calls(p->e.store, SIM_FAULT_SYNC), syncs);
	ck_assert_uint_eq(info(p).commits, commits);
	write_fill(c, 0, 4096, 2); /* in place: no record, but data */
	ck_assert_ok(cowbd_flush(c));
	ck_assert_uint_gt(store_sim_calls(p->e.store, SIM_FAULT_SYNC), syncs);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

START_TEST(it_is_known_how_many_volumes_have_something_to_flush)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *a = make_volume(p, "a", 4 * MIB), *b = make_volume(p, "b", 4 * MIB);
	const _Atomic unsigned *n = &p->e.dirty_volumes;

	for (int byte = 1; byte <= 2; byte++) {
		write_fill(a, 0, 4096, byte); /* the second time in place */
		write_fill(b, 0, 4096, byte);
	}
	ck_assert_uint_eq(*n, 2);
	write_fill(a, 0, 4096, 3);
	ck_assert_uint_eq(*n, 2);
	ck_assert_ok(cowbd_flush(a));
	ck_assert_uint_eq(*n, 1);
	ck_assert_ok(snapshot(p, "b@s")); /* its records name what b wrote */
	ck_assert_uint_eq(*n, 0);
	write_fill(a, 0, 4096, 4);
	cowbd_client_close(a);
	ck_assert_ok(remove_one(p, "a", 0));
	ck_assert_uint_eq(*n, 0);
	cowbd_client_close(b);
	check_and_close(p);
}
END_TEST

START_TEST(after_a_failed_sync_nothing_is_written_or_acknowledged)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	uint8_t byte = 3;

	write_fill(c, 0, 4096, 1);
	store_sim_fault(p->e.store, SIM_FAULT_SYNC, 1, 1, EIO);
	ck_assert_error(cowbd_flush(c), -EIO);
	ck_assert_error(cowbd_flush(c), -EIO);
	ck_assert_error(cowbd_write(c, &byte, 1, 0, 0), -EROFS);
	ck_assert_error(cowbd_zero(c, 4096, 0, 0), -EROFS);
	ck_assert_error(cowbd_trim(c, 4096, 0, 0), -EROFS);
	ck_assert_error(snapshot(p, "v@s"), -EROFS);
	ck_assert(holds(c, 0, 4096, 1));
	ck_assert(info(p).failed);
	ck_assert(strlen(info(p).failure) > 0);
	cowbd_client_close(c);
	ck_assert_error(cowbd_close(p), -EIO);
}
END_TEST

START_TEST(a_failed_write_of_data_changes_nothing)
{
	struct cowbd_pool *p = make_pool(POOL, 65536);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB);
	CLEANUP_FREE uint8_t *buf = calloc(1, 65536);
	uint64_t used;

	write_fill(c, 0, 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	used = info(p).used_blocks;
	store_sim_fault(p->e.store, SIM_FAULT_WRITE, 1, 1, EIO);
	ck_assert_error(cowbd_write(c, buf, 65536, 0, 0), -EIO);
	ck_assert(holds(c, 0, 65536, 1));
	ck_assert_uint_eq(info(p).used_blocks, used);
	ck_assert(!info(p).failed);
	write_fill(c, 0, 65536, 2);
	ck_assert(holds(c, 0, 65536, 2));
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* ---- who may do what ----------------------------------------------------------------------------- */

START_TEST(a_snapshot_can_not_be_written)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", 4 * MIB), *s;
	uint8_t byte = 1;

	ck_assert_ok(snapshot(p, "v@s"));
	s = attach(p, "v@s");
	ck_assert(!cowbd_client_writable(s));
	ck_assert_error(cowbd_write(s, &byte, 1, 0, 0), -EPERM);
	ck_assert_error(cowbd_zero(s, 1, 0, 0), -EPERM);
	ck_assert_error(cowbd_trim(s, 4096, 0, 0), -EPERM);
	cowbd_client_close(s);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

/* A client that was opened before a rollback to a smaller disk must not reach what isn't there: its block
 * numbers have more digits than the map has levels. */
START_TEST(a_client_of_a_disk_that_became_smaller_does_not_hit_other_blocks)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", MIB), *old;
	uint8_t byte = 9;

	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@small"));
	cowbd_client_close(c);
	ck_assert_ok(cowbd_resize(p, "v", 8 * MIB, 0));
	old = attach(p, "v");
	ck_assert_ok(cowbd_rollback(p, "v@small", NULL, 0)); /* it has sent nothing yet */
	ck_assert_error(cowbd_write(old, &byte, 1, 2 * MIB, 0), -EINVAL);
	ck_assert_error(cowbd_read(old, &byte, 1, 2 * MIB), -EINVAL);
	ck_assert_error(cowbd_trim(old, 4096, 2 * MIB, 0), -EINVAL);
	ck_assert(holds(old, 0, MIB, 1));
	cowbd_client_close(old);
	check_and_close(p);
}
END_TEST

START_TEST(a_client_of_a_deleted_volume_is_told)
{
	struct cowbd_pool *p = make_pool(POOL, 4096);
	struct cowbd_client *c = make_volume(p, "v", MIB);
	uint8_t byte = 9;

	write_fill(c, 0, 4096, 1);
	ck_assert_ok(remove_one(p, "v", COWBD_IGNORE_CLIENTS));
	ck_assert_error(cowbd_read(c, &byte, 1, 0), -ENOENT);
	ck_assert_error(cowbd_write(c, &byte, 1, 0, 0), -ENOENT);
	ck_assert_error(cowbd_trim(c, 4096, 0, 0), -ENOENT);
	cowbd_client_close(c);
	check_and_close(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("volume");
	TCase *t = tcase_create("volume");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, whole_blocks_overwritten_after_a_snapshot_copy_nothing);
	tcase_add_test(t, half_a_block_overwritten_copies_its_head_and_tail_alone);
	tcase_add_test(t, a_fault_over_several_blocks_copies_the_outer_ends);
	tcase_add_test(t, what_a_write_leaves_over_of_an_unmapped_block_is_zero);
	tcase_add_test(t, a_large_write_puts_scattered_blocks_side_by_side);
	tcase_add_test(t, what_is_small_or_not_of_whole_blocks_stays_where_it_is);
	tcase_add_test(t, in_a_pool_that_is_filling_up_nothing_moves);
	tcase_add_test(t, what_was_moved_leaves_a_later_snapshot_alone);
	tcase_add_test(t, a_fault_touches_nothing_else_of_the_volume);
	tcase_add_test(t, a_block_is_written_in_place_again_when_its_snapshot_has_gone);
	tcase_add_test(t, nobody_becomes_a_sole_owner_by_a_volatile_record);
	tcase_add_loop_test(t, every_block_size_holds_what_was_written, 0,
			    (int)ARRAY_SIZE(block_sizes));
	tcase_add_loop_test(t, data_that_must_be_aligned_may_be_written_at_any_byte, 0, 2);
	tcase_add_loop_test(t, a_size_may_be_any_multiple_of_512, 0, 2);
	tcase_add_test(t, one_byte_can_be_written_at_any_offset);
	tcase_add_test(t, zero_unmaps_whole_blocks_and_trim_leaves_the_rest_alone);
	tcase_add_test(t, zeroing_a_large_disk_takes_no_space_and_leaves_its_snapshot);
	tcase_add_test(t, a_flush_with_nothing_to_do_does_nothing);
	tcase_add_test(t, it_is_known_how_many_volumes_have_something_to_flush);
	tcase_add_test(t, after_a_failed_sync_nothing_is_written_or_acknowledged);
	tcase_add_test(t, a_failed_write_of_data_changes_nothing);
	tcase_add_test(t, a_snapshot_can_not_be_written);
	tcase_add_test(t, a_client_of_a_disk_that_became_smaller_does_not_hit_other_blocks);
	tcase_add_test(t, a_client_of_a_deleted_volume_is_told);
	suite_add_tcase(s, t);
	return run_suite(s);
}
