/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_space.c - zones, reference counts, allocation, release
 */
#include "pool_testing.h"

static struct cowbd_pool *p;
static struct engine *e;
static struct space_cursor cursor;

static void setup(void)
{
	p = make_pool(64 * MIB, MIB);
	e = &p->e;
	cursor = (struct space_cursor){0};
}

static void teardown(void)
{
	throw_away(p);
}

static uint64_t take(uint64_t want, uint64_t *ret_n)
{
	uint64_t first = 0;
	int r;

	SECTION(e, r, space_take_blocks(e->space, &cursor, want, &first, ret_n));
	ck_assert_int_eq(r, 0);
	return block_unit(&e->geo, first);
}

static void prepare(unsigned n)
{
	int r;

	SECTION(e, r, space_prepare(e->space, n));
	ck_assert_int_eq(r, 0);
}

/* Takes n blocks of one zone and maps them: count 1. */
static uint64_t take_mapped(uint64_t n)
{
	uint64_t got, unit = take(n, &got);

	ck_assert_uint_eq(got, n);
	prepare((unsigned)n);
	metalock_exclusive(&e->lock);
	space_claim_done(e->space, unit, n, true);
	for (uint64_t i = 0; i < n; i++)
		space_raise(e->space, unit + i);
	metalock_drop(&e->lock);
	return unit;
}

static unsigned count(uint64_t unit)
{
	unsigned n = 0;
	int r;

	SECTION(e, r, space_count(e->space, unit, &n));
	ck_assert_int_eq(r, 0);
	return n;
}

static unsigned true_count(uint64_t unit)
{
	unsigned n = 0;
	int r;

	SECTION(e, r, space_true_count(e->space, unit, &n));
	ck_assert_int_eq(r, 0);
	return n;
}

static unsigned zone_type_on_disk(uint64_t zone)
{
	struct page *page;
	int r;

	SECTION(e, r, pages_get(e->pages, zone_page(&e->geo, zone), PAGE_ZONE, &page));
	ck_assert_int_eq(r, 0);
	return get16(((struct disk_zone *)page->data)->type);
}

static struct space_info zones(void)
{
	struct space_info i;

	metalock_shared(&e->lock);
	space_get_info(e->space, &i);
	metalock_drop(&e->lock);
	return i;
}

START_TEST(blocks_come_in_runs_within_a_zone)
{
	uint64_t n, a = take(3, &n), b;

	ck_assert_uint_eq(n, 3);
	b = take(5, &n);
	ck_assert_uint_eq(n, 1); /* a zone has four blocks of 1 MiB */
	ck_assert_uint_eq(b, a + 3);
	b = take(5, &n);
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_ne(b / ZONE_UNITS_MAX, a / ZONE_UNITS_MAX);
}
END_TEST

START_TEST(a_claim_that_is_given_up_can_be_had_again)
{
	struct space_info before;
	uint64_t n, a = take(4, &n), b;

	before = zones();
	metalock_exclusive(&e->lock);
	space_claim_done(e->space, a, 4, false);
	metalock_drop(&e->lock);
	ck_assert_uint_eq(zones().used_blocks, before.used_blocks - 4);
	b = take(4, &n);
	ck_assert_uint_eq(b, a);
	ck_assert_uint_eq(n, 4);
}
END_TEST

static bool due(void)
{
	bool yes;

	metalock_shared(&e->lock);
	yes = space_checkpoint_due(e->space);
	metalock_drop(&e->lock);
	return yes;
}

/* Raises as the copy of a page does; nothing is mapped there. */
static void copy_page(uint64_t first, uint64_t stride)
{
	uint64_t unit[MAP_FANOUT];

	for (unsigned i = 0; i < MAP_FANOUT; i++)
		unit[i] = first + i * stride;
	prepare(MAP_FANOUT);
	metalock_exclusive(&e->lock);
	space_raise_all(e->space, unit, MAP_FANOUT);
	metalock_drop(&e->lock);
}

/* One page, again and again. */
static void copy_often(unsigned n)
{
	while (n--)
		copy_page(0, 1);
}

/* The writers that fill the table pause, and would for ever. */
START_TEST(where_there_is_pressure_a_checkpoint_is_due)
{
	unsigned n = 0;

	while (!space_pressure_us(e->space)) {
		copy_page(1 + n * (uint64_t)MAP_FANOUT * ZONE_UNITS_MAX, ZONE_UNITS_MAX);
		ck_assert_uint_lt(n++, 1000);
	}
	ck_assert(due());
}
END_TEST

/* The next opening makes each copy again, of the same page, too. */
START_TEST(so_many_copies_of_pages_are_due_however_few_units_they_are_of)
{
	copy_often(2000);
	ck_assert(!due());
	copy_often(4000);
	ck_assert(due());
	ck_assert_uint_eq(space_pressure_us(e->space), 0);
}
END_TEST

/* What else changed is not less for the copies of a page that is copied often. */
START_TEST(copies_make_no_other_change_cheaper)
{
	uint64_t base = UINT64_C(1) << 30;

	copy_often(400);
	for (unsigned i = 0; i < 180000; i += 1000) {
		prepare(1000);
		metalock_exclusive(&e->lock);
		for (unsigned k = 0; k < 1000; k++)
			space_raise(e->space, base + i + k);
		metalock_drop(&e->lock);
	}
	ck_assert(due());
}
END_TEST

START_TEST(a_count_is_what_was_raised_less_what_fell)
{
	uint64_t unit = take_mapped(2);

	prepare(3);
	metalock_exclusive(&e->lock);
	space_raise(e->space, unit);
	space_fall(e->space, unit + 1, 1, true);
	metalock_drop(&e->lock);
	ck_assert_uint_eq(count(unit), 2);
	ck_assert_uint_eq(count(unit + 1), 0);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_uint_eq(count(unit), 2);
}
END_TEST

/* [SPACE-2] */
START_TEST(a_fall_is_pending_until_its_record_is_durable_and_older_requests_have_ended)
{
	uint64_t unit = take_mapped(1), request, seq = journal_seq(e->journal) + 10;

	prepare(1);
	metalock_exclusive(&e->lock);
	space_fall(e->space, unit, seq, true);
	ck_assert(space_pending(e->space, unit));
	space_durable(e->space, seq - 1);
	(void)space_settle(e->space);
	ck_assert(space_pending(e->space, unit));
	request = epoch_enter(&e->epochs);
	space_durable(e->space, seq);
	(void)space_settle(e->space);
	ck_assert(space_pending(e->space, unit));
	epoch_exit(&e->epochs, request);
	ck_assert(!space_settle(e->space)); /* it was all */
	ck_assert(!space_pending(e->space, unit));
	ck_assert_uint_eq(space_waiting(e->space), 0);
	metalock_drop(&e->lock);
}
END_TEST

START_TEST(a_younger_request_does_not_keep_a_fall_pending)
{
	uint64_t unit = take_mapped(1), request;

	prepare(1);
	metalock_exclusive(&e->lock);
	space_fall(e->space, unit, 0, true);
	space_durable(e->space, 0);
	request = epoch_enter(&e->epochs);
	(void)space_settle(e->space);
	ck_assert(!space_pending(e->space, unit));
	metalock_drop(&e->lock);
	epoch_exit(&e->epochs, request);
}
END_TEST

/* [SPACE-3] */
START_TEST(what_reclaim_dropped_counts_until_a_checkpoint_has_recorded_it)
{
	uint64_t unit = take_mapped(1), request;

	ck_assert_ok(checkpoint_run(e));
	prepare(1);
	metalock_exclusive(&e->lock);
	space_drop(e->space, unit);
	metalock_drop(&e->lock);
	ck_assert_uint_eq(count(unit), 1);
	ck_assert_uint_eq(true_count(unit), 0);
	request = epoch_enter(&e->epochs);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_uint_eq(count(unit), 0);
	metalock_exclusive(&e->lock);
	ck_assert(space_pending(e->space, unit)); /* someone may still look */
	epoch_exit(&e->epochs, request);
	(void)space_settle(e->space);
	ck_assert(!space_pending(e->space, unit));
	metalock_drop(&e->lock);
}
END_TEST

/* Merges what is frozen; the number of zones. */
static size_t merge_all(void)
{
	struct merge_plan plan;
	size_t n;
	int r;

	ck_assert_ok(space_merge_plan(e->space, e->geo.zones, NULL, 0, &plan));
	for (size_t i = 0; i < plan.n; i++) {
		SECTION(e, r, space_merge_zone(e->space, &plan, i, 1000));
		ck_assert_int_eq(r, 0);
	}
	n = plan.n;
	space_merge_plan_fini(&plan);
	return n;
}

START_TEST(a_count_can_be_read_in_the_middle_of_a_merge)
{
	uint64_t unit = take_mapped(2);

	ck_assert_ok(checkpoint_run(e));
	prepare(4);
	metalock_exclusive(&e->lock);
	space_raise(e->space, unit);
	space_drop(e->space, unit + 1);
	pages_cut(e->pages);
	space_cut(e->space);
	ck_assert_ok(space_prepare(e->space, 1));
	space_raise(e->space, unit);
	metalock_drop(&e->lock);
	ck_assert_uint_eq(count(unit), 3);
	ck_assert_uint_eq(count(unit + 1), 1);
	ck_assert_uint_eq(true_count(unit + 1), 0);
	(void)merge_all();
	ck_assert_uint_eq(count(unit), 3);
	ck_assert_uint_eq(count(unit + 1), 1);
	ck_assert_uint_eq(true_count(unit + 1), 0);
}
END_TEST

/* [SPACE-3] The table that is made ready before the superblock is written is empty until it is: somebody who settles
 * meanwhile must not let it go. */
START_TEST(what_was_dropped_finds_room_whoever_settles_before_it_is_released)
{
	const uint64_t n = 250000;
	int r;

	ck_assert_ok(checkpoint_run(e));
	prepare((unsigned)n);
	metalock_exclusive(&e->lock);
	for (uint64_t unit = 0; unit < n; unit++)
		space_drop(e->space, unit);
	pages_cut(e->pages);
	space_cut(e->space);
	r = space_commit_prepare(e->space);
	ck_assert_int_eq(r, 0);
	(void)space_settle(e->space);
	while (space_release_some(e->space))
		;
	for (uint64_t unit = 0; unit < n; unit++)
		ck_assert(space_pending(e->space, unit));
	metalock_drop(&e->lock);
}
END_TEST

/* [SPACE-4] */
START_TEST(an_empty_zone_is_free_after_the_checkpoint_that_says_so)
{
	uint64_t unit = take_mapped(4), zone = unit / ZONE_UNITS_MAX;

	metalock_exclusive(&e->lock);
	space_cursor_end(e->space, &cursor);
	metalock_drop(&e->lock);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_uint_eq(zone_type_on_disk(zone), ZONE_DATA);
	prepare(4);
	metalock_exclusive(&e->lock);
	for (unsigned i = 0; i < 4; i++)
		space_fall(e->space, unit + i, 0, true);
	space_durable(e->space, 0);
	(void)space_settle(e->space);
	metalock_drop(&e->lock);
	ck_assert_uint_eq(zones().data_zones, 1);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_uint_eq(zones().data_zones, 0);
	ck_assert_uint_eq(zone_type_on_disk(zone), ZONE_FREE_BACKED);
	ck_assert_int_eq(space_punch_one(e->space), 1);
	ck_assert_int_eq(space_punch_one(e->space), 0);
}
END_TEST

/* [SPACE-4] Claimed before the cut, mapped after it: the checkpoint sees nothing in the zone, and yet it's in use. */
START_TEST(a_zone_whose_claims_were_mapped_after_the_cut_stays)
{
	uint64_t n, unit = take(4, &n), zone = unit / ZONE_UNITS_MAX;

	ck_assert_uint_eq(n, 4);
	prepare(4);
	metalock_exclusive(&e->lock);
	space_cursor_end(e->space, &cursor); /* as when it moved on to the next zone */
	pages_cut(e->pages);
	space_cut(e->space);
	ck_assert_ok(space_prepare(e->space, 4)); /* the tables of before the cut are frozen */
	space_claim_done(e->space, unit, 4, true);
	for (unsigned i = 0; i < 4; i++)
		space_raise(e->space, unit + i);
	metalock_drop(&e->lock);
	ck_assert_uint_gt(merge_all(), 0);
	ck_assert_uint_eq(zone_type_on_disk(zone), ZONE_DATA);
	ck_assert_uint_eq(space_leaving(e->space), 0);
}
END_TEST

/* [SPACE-5] */
START_TEST(data_leaves_the_reserve_to_metadata)
{
	uint64_t first, n;
	int r;

	do {
		SECTION(e, r, space_take_blocks(e->space, &cursor, 4, &first, &n));
	} while (r == 0);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_eq(zones().free_zones, zones().reserve_zones);
	for (unsigned i = 0; i < ZONE_TWINS + 1; i++) {
		SECTION(e, r, space_take_page(e->space, &first));
		ck_assert_int_eq(r, 0);
	}
}
END_TEST

/* Fills the pool, behind the first 4 MiB. */
static void fill(struct cowbd_client *c)
{
	CLEANUP_FREE uint8_t *buf = calloc(1, MIB);
	uint64_t at = 4 * MIB;
	int r;

	do {
		r = cowbd_write(c, buf, MIB, at, 0);
		at += MIB;
	} while (r == 0);
	ck_assert_int_eq(r, -ENOSPC);
}

/* Opens what a kill leaves. */
static void reopen(void)
{
	struct cowbd_pool *dead = p;
	struct store *s;

	ck_assert_ok(store_sim_copy(e->store, NULL, &s));
	p = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	e = &p->e;
	cursor = (struct space_cursor){0};
	throw_away(dead);
}

/* Maps blocks until the pool is full, and returns the unit of the last four. */
static uint64_t fill_with_blocks(void)
{
	uint64_t unit = 0, first, n;
	int r;

	for (;;) {
		SECTION(e, r, space_take_blocks(e->space, &cursor, 4, &first, &n));
		if (r < 0)
			break;
		unit = block_unit(&e->geo, first);
		prepare((unsigned)n);
		metalock_exclusive(&e->lock);
		space_claim_done(e->space, unit, n, true);
		for (uint64_t i = 0; i < n; i++)
			space_raise(e->space, unit + i);
		metalock_drop(&e->lock);
	}
	ck_assert_int_eq(r, -ENOSPC);
	return unit;
}

static void settle(void)
{
	metalock_exclusive(&e->lock);
	space_durable(e->space, 0);
	(void)space_settle(e->space);
	metalock_drop(&e->lock);
}

/* What is known of zones is loaded when it is needed, and is as old as the checkpoint: recovery of a full pool has to find what
 * the journal let fall; also where its entry said that it may be shared, and it was so no more (0). */
START_TEST(what_falls_before_its_group_is_loaded_is_found)
{
	uint64_t unit = fill_with_blocks(), n;

	ck_assert_ok(checkpoint_run(e));
	reopen();
	ck_assert_uint_eq(count(unit), 1);
	prepare(1);
	metalock_exclusive(&e->lock);
	space_fall(e->space, unit, 0, _i);
	metalock_drop(&e->lock);
	settle();
	ck_assert_uint_eq(take(1, &n), unit);
	ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(what_falls_before_its_group_is_loaded_is_taken_off_once)
{
	uint64_t unit = fill_with_blocks(), used;

	ck_assert_ok(checkpoint_run(e));
	used = zones().used_blocks;
	reopen();
	ck_assert_uint_eq(zones().used_blocks, used);
	prepare(1);
	metalock_exclusive(&e->lock);
	space_fall(e->space, unit, 0, true);
	metalock_drop(&e->lock);
	ck_assert_ok(space_load_group(e->space, 0));
	settle();
	ck_assert_uint_eq(zones().used_blocks, used - 1);
}
END_TEST

/* The merge knows only what came before the cut. */
START_TEST(what_comes_free_between_cut_and_merge_is_found)
{
	uint64_t unit = fill_with_blocks(), n;

	ck_assert_ok(checkpoint_run(e));
	prepare(4);
	metalock_exclusive(&e->lock);
	space_raise(e->space, unit + 1);
	pages_cut(e->pages);
	space_cut(e->space);
	ck_assert_ok(space_prepare(e->space, 1));
	space_fall(e->space, unit, 0, true);
	metalock_drop(&e->lock);
	settle();
	(void)merge_all();
	ck_assert_uint_eq(take(1, &n), unit);
	ck_assert_uint_eq(n, 1);
}
END_TEST

/* A zone that was looked at while its blocks were pending counts as full; it must be looked at again. */
START_TEST(space_that_a_slow_reader_held_back_is_found_when_he_has_ended)
{
	struct cowbd_client *keep = make_volume(p, "keep", 64 * MIB);
	uint64_t request, first, n;
	int r;

	write_fill(keep, 0, 4 * MIB, 1);
	ck_assert_ok(snapshot(p, "keep@gone"));
	write_fill(keep, 0, MIB, 2); /* the snapshot has one block of that zone for itself */
	fill(keep);
	ck_assert_ok(remove_one(p, "keep@gone", 0));
	request = epoch_enter(&e->epochs);
	while ((r = reclaim_some(p)) > 0)
		;
	ck_assert_int_eq(r, 0);
	ck_assert_ok(checkpoint_run(e));
	SECTION(e, r, space_take_blocks(e->space, &cursor, 1, &first, &n));
	ck_assert_int_eq(r, -ENOSPC);
	epoch_exit(&e->epochs, request);
	metalock_exclusive(&e->lock);
	(void)space_settle(e->space);
	metalock_drop(&e->lock);
	SECTION(e, r, space_take_blocks(e->space, &cursor, 1, &first, &n));
	ck_assert_int_eq(r, 0);
	cowbd_client_close(keep);
}
END_TEST

/* A volume that is open but idle keeps its zone; what comes free there belongs to all. */
START_TEST(space_in_the_zone_of_an_idle_volume_is_found)
{
	struct cowbd_client *idle = make_volume(p, "idle", 64 * MIB);
	struct cowbd_client *busy = make_volume(p, "busy", 64 * MIB);

	write_fill(idle, 0, 4 * MIB, 1);
	fill(busy);
	ck_assert_ok(cowbd_trim(idle, MIB, MIB, 0));
	ck_assert_ok(engine_commit(e, NULL));
	write_fill(busy, 63 * MIB, MIB, 2);
	ck_assert(holds(idle, 0, MIB, 1));
	ck_assert(holds(busy, 63 * MIB, MIB, 2));
	cowbd_client_close(idle);
	cowbd_client_close(busy);
}
END_TEST

START_TEST(the_hosts_full_disk_is_a_full_pool)
{
	struct cowbd_client *c = make_volume(p, "v", 64 * MIB);
	uint8_t byte = 1;

	store_sim_fault(e->store, SIM_FAULT_PREALLOC, 1, 0, ENOSPC);
	ck_assert_error(cowbd_write(c, &byte, 1, 0, 0), -ENOSPC);
	store_sim_fault(e->store, SIM_FAULT_PREALLOC, 0, 0, 0);
	cowbd_client_close(c);
}
END_TEST

/* One for metadata when a quarter of the last is used, first; for data up to what is asked; none for a second when the host has
 * refused one. */
START_TEST(zones_are_wanted_ahead_until_they_are_ready)
{
	unsigned made = 0;
	uint64_t page;
	bool meta;
	int r;

	for (unsigned i = 0; i <= ZONE_TWINS / 4; i++) {
		SECTION(e, r, space_take_page(e->space, &page));
		ck_assert_int_eq(r, 0);
	}
	while (space_wants_zone(e->space, 2, &meta)) {
		ck_assert(meta == (made == 0));
		ck_assert_int_eq(space_prepare_zone(e->space, meta), 0);
		ck_assert_uint_le(++made, 3);
	}
	ck_assert_uint_eq(made, 3);
	ck_assert_uint_eq(space_ready_zones(e->space), 2);
	ck_assert(space_wants_zone(e->space, 3, &meta) && !meta);
	store_sim_fault(e->store, SIM_FAULT_PREALLOC, 1, 1, ENOSPC);
	ck_assert_error(space_prepare_zone(e->space, false), -ENOSPC);
	ck_assert(!space_wants_zone(e->space, 3, &meta));
	store_sim_fault(e->store, SIM_FAULT_PREALLOC, 0, 0, 0);
	space_look_at_host(e->space);
	ck_assert(space_wants_zone(e->space, 3, &meta));
}
END_TEST

/* The zone has extents that are written, and is still free; what is put there comes after. */
START_TEST(a_zone_that_is_ready_is_written_once_and_then_used)
{
	uint64_t writes = store_sim_calls(e->store, SIM_FAULT_WRITE), n, unit;
	unsigned ready;

	ck_assert_int_eq(space_prepare_zone(e->space, false), 0);
	while (space_write_ready(e->space) == 1)
		;
	ready = space_ready_zones(e->space);
	ck_assert_uint_ge(ready, 1);
	ck_assert_uint_eq(store_sim_calls(e->store, SIM_FAULT_WRITE), writes + ready);
	ck_assert_int_eq(space_write_ready(e->space), 0);
	unit = take_mapped(1);
	ck_assert_uint_eq(space_ready_zones(e->space), ready - 1);
	ck_assert_uint_eq(count(unit), 1);
	(void)take(1, &n);
	ck_assert_int_eq(space_write_ready(e->space), 0);
}
END_TEST

START_TEST(a_zone_that_can_not_be_written_ahead_is_ready_all_the_same)
{
	unsigned ready;

	ck_assert_int_eq(space_prepare_zone(e->space, false), 0);
	ready = space_ready_zones(e->space);
	store_sim_fault(e->store, SIM_FAULT_WRITE, 1, 1, EIO);
	ck_assert_error(space_write_ready(e->space), -EIO);
	store_sim_fault(e->store, SIM_FAULT_WRITE, 0, 0, 0);
	ck_assert_uint_eq(space_ready_zones(e->space), ready);
	(void)take_mapped(1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("space");
	TCase *t = tcase_create("space");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, blocks_come_in_runs_within_a_zone);
	tcase_add_test(t, a_claim_that_is_given_up_can_be_had_again);
	tcase_add_test(t, where_there_is_pressure_a_checkpoint_is_due);
	tcase_add_test(t, so_many_copies_of_pages_are_due_however_few_units_they_are_of);
	tcase_add_test(t, copies_make_no_other_change_cheaper);
	tcase_add_test(t, a_count_is_what_was_raised_less_what_fell);
	tcase_add_test(t,
		       a_fall_is_pending_until_its_record_is_durable_and_older_requests_have_ended);
	tcase_add_test(t, a_younger_request_does_not_keep_a_fall_pending);
	tcase_add_test(t, what_reclaim_dropped_counts_until_a_checkpoint_has_recorded_it);
	tcase_add_test(t, a_count_can_be_read_in_the_middle_of_a_merge);
	tcase_add_test(t, what_was_dropped_finds_room_whoever_settles_before_it_is_released);
	tcase_add_test(t, an_empty_zone_is_free_after_the_checkpoint_that_says_so);
	tcase_add_test(t, a_zone_whose_claims_were_mapped_after_the_cut_stays);
	tcase_add_test(t, data_leaves_the_reserve_to_metadata);
	tcase_add_loop_test(t, what_falls_before_its_group_is_loaded_is_found, 0, 2);
	tcase_add_test(t, what_falls_before_its_group_is_loaded_is_taken_off_once);
	tcase_add_test(t, what_comes_free_between_cut_and_merge_is_found);
	tcase_add_test(t, space_that_a_slow_reader_held_back_is_found_when_he_has_ended);
	tcase_add_test(t, space_in_the_zone_of_an_idle_volume_is_found);
	tcase_add_test(t, the_hosts_full_disk_is_a_full_pool);
	tcase_add_test(t, a_zone_that_is_ready_is_written_once_and_then_used);
	tcase_add_test(t, zones_are_wanted_ahead_until_they_are_ready);
	tcase_add_test(t, a_zone_that_can_not_be_written_ahead_is_ready_all_the_same);
	suite_add_tcase(s, t);
	return run_suite(s);
}
