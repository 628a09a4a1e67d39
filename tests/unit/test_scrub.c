/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_scrub.c - checksums of what snapshots hold: made, verified, and gone with the data
 */
#include "pool_testing.h"

#define POOL (96 * MIB)
#define VOLUME (16 * MIB)

static struct cowbd_pool *p;
static struct cowbd_client *c;

static void begin(void)
{
	p = make_pool(POOL, 4096);
	c = make_volume(p, "v", VOLUME);
}

static void end(void)
{
	cowbd_client_close(c);
	check_and_close(p);
}

static struct cowbd_scrub_result scrub(void)
{
	struct cowbd_check_options opt = {.report = say_finding};
	struct cowbd_scrub_result res;

	ck_assert_ok(cowbd_scrub(p, &opt, &res));
	ck_assert_uint_eq(res.check.damages + res.check.leaks + res.skipped, 0);
	return res;
}

/* Where a block of an object is in the pool. */
static uint64_t place(const char *name, uint64_t block)
{
	struct map_extent x;
	struct object *o;
	int r;

	ck_assert_ok(catalog_find(p->cat, name, &o));
	SECTION(&p->e, r, map_lookup(&p->e, &o->map, block, 1, &x));
	ck_assert_ok(r);
	return x.physical * 4096;
}

static void flip(uint64_t offset)
{
	uint8_t byte;

	ck_assert_ok(store_read(p->e.store, 0, offset, &byte, 1));
	byte ^= 1;
	ck_assert_ok(store_write(p->e.store, 0, offset, &byte, 1));
}

static void settle_all(void)
{
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ok(cowbd_reclaim_wait(p));
		ck_assert_ok(cowbd_checkpoint(p));
	}
}

static struct space_info space(void)
{
	struct space_info i;

	space_get_info(p->e.space, &i);
	return i;
}

START_TEST(what_a_snapshot_holds_is_verified_once_it_was_scrubbed)
{
	struct cowbd_scrub_result res;
	uint64_t at;

	begin();
	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	write_fill(c, 0, 4096, 2); /* of the volume alone */
	res = scrub();
	ck_assert_uint_eq(res.noted, 256);
	ck_assert_uint_eq(res.read, 257);
	at = place("v@s", 255);
	flip(at + 4095);
	flip(place("v", 0));
	res = scrub();
	ck_assert_uint_eq(res.rotten, 1);
	ck_assert_uint_eq(res.verified, 256);
	flip(at + 4095);
	ck_assert_uint_eq(scrub().rotten, 0);
	end();
}
END_TEST

START_TEST(a_snapshot_that_came_after_the_checksum_does_not_make_it_hold)
{
	struct cowbd_scrub_result res;

	begin();
	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@old"));
	ck_assert_uint_eq(scrub().noted, 256);
	ck_assert_ok(remove_one(p, "v@old", 0));
	settle_all();
	write_fill(c, 0, MIB / 2, 2); /* in place */
	ck_assert_ok(snapshot(p, "v@new"));
	res = scrub();
	ck_assert_uint_eq(res.rotten, 0);
	ck_assert_uint_eq(res.verified, 0);
	ck_assert_uint_eq(res.noted, 256);
	end();
}
END_TEST

START_TEST(checksums_go_with_the_data)
{
	uint64_t pages, zones;

	begin();
	settle_all();
	pages = info(p).metadata_bytes;
	zones = space().data_zones;
	write_fill(c, 0, VOLUME, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_uint_eq(scrub().noted, VOLUME / 4096);
	ck_assert_uint_ge(info(p).metadata_bytes, pages + VOLUME / (4 * MIB) * 3 * 4096);
	ck_assert_ok(remove_one(p, "v@s", 0));
	ck_assert_ok(cowbd_zero(c, VOLUME, 0, 0));
	settle_all();
	/* but for the zone that the volume writes to next */
	ck_assert_uint_le(info(p).metadata_bytes, pages + SUMS_PAGES * 4096);
	ck_assert_uint_le(space().data_zones, zones + 1);
	check_pool(p);
	end();
}
END_TEST

START_TEST(checksums_are_there_after_closing_and_opening)
{
	struct store *copy;

	begin();
	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_uint_eq(scrub().noted, 256);
	cowbd_client_close(c);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &copy)); /* as a kill leaves it */
	throw_away(p);
	p = open_pool(copy, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	ck_assert_uint_eq(scrub().verified, 256);
	check_and_close(p);
}
END_TEST

/* ---- while it runs ------------------------------------------------------------ */

static const struct store_ops *real_ops;
static struct store_ops hooked;
static bool sprung;

/* The read of data that a scrub judges: its snapshot goes, and the volume writes in place. */
static int spring(struct store *s, struct store_io *io, unsigned n)
{
	bool data = io[0].offset / ZONE_BYTES == place("v", 0) / ZONE_BYTES &&
		    !(io[0].flags & STORE_WRITE) && io[0].flags & STORE_DIRECT;

	if (data && !sprung) {
		sprung = true;
		ck_assert_ok(remove_one(p, "v@s", 0));
		settle_all();
		write_fill(c, 0, MIB, 77);
	}
	return real_ops->submit(s, io, n);
}

START_TEST(a_snapshot_that_goes_meanwhile_is_no_alarm)
{
	struct cowbd_scrub_result res;

	begin();
	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_uint_eq(scrub().noted, 256);
	real_ops = p->e.store->ops;
	hooked = *real_ops;
	hooked.submit = spring;
	p->e.store->ops = &hooked;
	res = scrub();
	ck_assert(sprung);
	ck_assert_uint_eq(res.rotten, 0);
	p->e.store->ops = real_ops;
	ck_assert_uint_eq(scrub().rotten, 0);
	end();
}
END_TEST

static void interrupt(void *opaque, uint64_t done, uint64_t total)
{
	(void)opaque;
	(void)done;
	(void)total;
	cowbd_interrupt(p);
}

START_TEST(a_pool_that_closes_ends_a_scrub)
{
	struct cowbd_check_options opt = {.progress = interrupt};
	struct cowbd_scrub_result res;

	begin();
	write_fill(c, 0, MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(cowbd_scrub(p, &opt, &res), -ESHUTDOWN);
	end();
}
END_TEST

START_TEST(a_pool_without_room_is_verified_without_new_checksums)
{
	struct cowbd_scrub_result res;
	char name[32];
	unsigned n = 0;
	int r = 0;

	begin();
	ck_assert_ok(cowbd_set_on_full(p, "v", false));
	while (r == 0 && n < 64) {
		CLEANUP_FREE uint8_t *buf = calloc(1, 4 * MIB);

		r = cowbd_write(c, buf, 4 * MIB, n % 4 * 4 * MIB, 0);
		snprintf(name, sizeof name, "v@%u", n++);
		if (r == 0)
			ck_assert_ok(snapshot(p, name));
	}
	ck_assert_error(r, -ENOSPC);
	res = scrub();
	ck_assert_uint_gt(res.noted + res.bare, 0);
	ck_assert_uint_eq(scrub().rotten, 0);
	for (unsigned i = 0; i + 1 < n; i++) { /* deleting goes on, whatever is full */
		snprintf(name, sizeof name, "v@%u", i);
		ck_assert_ok(remove_one(p, name, 0));
	}
	settle_all();
	ck_assert_uint_eq(scrub().verified, 0);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scrub");
	TCase *t = tcase_create("scrub");

	tcase_add_test(t, what_a_snapshot_holds_is_verified_once_it_was_scrubbed);
	tcase_add_test(t, a_snapshot_that_came_after_the_checksum_does_not_make_it_hold);
	tcase_add_test(t, checksums_go_with_the_data);
	tcase_add_test(t, checksums_are_there_after_closing_and_opening);
	tcase_add_test(t, a_snapshot_that_goes_meanwhile_is_no_alarm);
	tcase_add_test(t, a_pool_that_closes_ends_a_scrub);
	tcase_add_test(t, a_pool_without_room_is_verified_without_new_checksums);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return run_suite(s);
}
