/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_store_sim.c - the simulated store: power cuts, torn writes, faults, host space
 *
 * What it has in common with other stores is tested in test_store.c.
 */
#include "store.h"

#include <check.h>

#define SIZE (64u * 4096u)
#define PAGE 4096u

static struct store *sim, *after;

#define ok(call) ok_at(call, #call, __LINE__)
static void ok_at(int err, const char *what, int line)
{
	ck_assert_msg(err == 0, "line %d: %s: %s (%s)", line, what, error_name(err),
		      error_message());
}

static void setup(void)
{
	ok(store_sim_new(SIZE, &(struct sim_options){.record = true}, &sim));
	after = NULL;
}

static void teardown(void)
{
	store_close(after);
	store_close(sim);
}

/* Fills page n with value. */
static void put(struct store *s, unsigned flags, unsigned n, int value)
{
	uint8_t buf[PAGE] __attribute__((aligned(4096)));

	memset(buf, value, PAGE);
	ok(store_write(s, flags, (uint64_t)n * PAGE, buf, PAGE));
}

/* The value that page n is full of; -1: mixed. */
static int get(struct store *s, unsigned n)
{
	uint8_t buf[PAGE];

	ok(store_read(s, 0, (uint64_t)n * PAGE, buf, PAGE));
	for (unsigned i = 1; i < PAGE; i++)
		if (buf[i] != buf[0])
			return -1;
	return buf[0];
}

static size_t event_count(struct store *s)
{
	size_t n;

	store_sim_events(s, &n);
	return n;
}

/* `after` becomes what a power cut leaves that loses all it may. */
static void power_cut(struct store *s)
{
	size_t lost[100], n = store_sim_unsynced(s, event_count(s), lost, ARRAY_SIZE(lost));

	store_close(after);
	ok(store_sim_replay(s, event_count(s), lost, n, &(struct sim_options){.record = true},
			    &after));
}

/* ---- power cuts ---------------------------------------------------------------- */

START_TEST(a_power_cut_may_lose_what_was_not_synced_and_nothing_else)
{
	put(sim, 0, 1, 11);
	put(sim, STORE_DIRECT, 2, 12);
	ok(store_sync(sim, NULL, 0));
	put(sim, 0, 1, 21);
	put(sim, STORE_DIRECT, 2, 22);
	put(sim, STORE_DIRECT | STORE_DURABLE, 3, 23);
	ck_assert_int_eq(get(sim, 1), 21);
	power_cut(sim);
	ck_assert_int_eq(get(after, 1), 11);
	ck_assert_int_eq(get(after, 2), 12);
	ck_assert_int_eq(get(after, 3), 23);
	ck_assert_int_eq(get(sim, 1), 21);
}
END_TEST

START_TEST(every_prefix_of_the_log_can_be_replayed)
{
	for (int i = 1; i < 20; i++)
		put(sim, 0, 5, i);
	for (size_t upto = 0; upto <= event_count(sim); upto++) {
		store_close(after);
		ok(store_sim_replay(sim, upto, NULL, 0, NULL, &after));
		ck_assert_int_eq(get(after, 5), (int)upto);
	}
	ck_assert_int_eq(store_sim_replay(sim, 20, NULL, 0, NULL, &after), -EINVAL);
}
END_TEST

START_TEST(a_sync_of_a_range_covers_that_range_only)
{
	const struct store_range ranges[2] = {{PAGE, PAGE}, {4 * PAGE, 2 * PAGE}};
	size_t lost[8];

	for (unsigned n = 0; n < 6; n++)
		put(sim, 0, n, 1);
	ok(store_sync(sim, ranges, 2));
	ck_assert_uint_eq(store_sim_unsynced(sim, event_count(sim), lost, 8), 3);
	ck_assert_uint_eq(lost[0], 0);
	ck_assert_uint_eq(lost[1], 2);
	ck_assert_uint_eq(lost[2], 3);
	ck_assert_uint_eq(store_sim_unsynced(sim, event_count(sim), lost, 1), 3);
	ck_assert_uint_eq(store_sim_unsynced(sim, 6, lost, 8), 6);
}
END_TEST

START_TEST(two_syncs_of_parts_cover_a_write_together)
{
	uint8_t buf[3 * PAGE] = {1};
	size_t lost[2];

	ok(store_write(sim, 0, 0, buf, sizeof buf));
	ok(store_sync(sim, &(struct store_range){PAGE, 2 * PAGE}, 1));
	ck_assert_uint_eq(store_sim_unsynced(sim, event_count(sim), lost, 2), 1);
	ok(store_sync(sim, &(struct store_range){0, PAGE + 1}, 1));
	ck_assert_uint_eq(store_sim_unsynced(sim, event_count(sim), lost, 2), 0);
}
END_TEST

START_TEST(what_a_failed_sync_left_behind_no_later_sync_covers)
{
	size_t lost[4];

	put(sim, 0, 1, 1);
	store_sim_fault(sim, SIM_FAULT_SYNC, 1, 1, -EIO);
	ck_assert_int_eq(store_sync(sim, NULL, 0), -EIO);
	put(sim, 0, 2, 2);
	ok(store_sync(sim, NULL, 0));
	ck_assert_uint_eq(store_sim_unsynced(sim, event_count(sim), lost, 4), 1);
	power_cut(sim);
	ck_assert_int_eq(get(after, 1), 0);
	ck_assert_int_eq(get(after, 2), 2);
}
END_TEST

START_TEST(a_discard_may_be_lost_until_it_is_synced)
{
	put(sim, STORE_DIRECT | STORE_DURABLE, 1, 1);
	ok(store_discard(sim, PAGE, PAGE));
	ck_assert_int_eq(get(sim, 1), 0);
	power_cut(sim);
	ck_assert_int_eq(get(after, 1), 1);
	ok(store_sync(sim, NULL, 0));
	power_cut(sim);
	ck_assert_int_eq(get(after, 1), 0);
}
END_TEST

START_TEST(growth_may_be_lost_until_a_sync_or_a_durable_write)
{
	ok(store_grow(sim, SIZE + PAGE));
	put(sim, 0, SIZE / PAGE, 7);
	power_cut(sim);
	ck_assert_uint_eq(after->size, SIZE);
	put(sim, STORE_DIRECT | STORE_DURABLE, 0, 1);
	power_cut(sim);
	ck_assert_uint_eq(after->size, SIZE + PAGE);
	ck_assert_int_eq(get(after, SIZE / PAGE), 0);
	ok(store_sync(sim, NULL, 0));
	power_cut(sim);
	ck_assert_int_eq(get(after, SIZE / PAGE), 7);
}
END_TEST

START_TEST(power_cuts_can_be_nested)
{
	struct store *second;

	put(sim, 0, 1, 1);
	ok(store_sync(sim, NULL, 0));
	put(sim, 0, 1, 2);
	power_cut(sim);
	put(after, 0, 2, 3);
	put(after, STORE_DIRECT | STORE_DURABLE, 3, 4);
	second = after;
	after = NULL;
	power_cut(second);
	store_close(second);
	ck_assert_int_eq(get(after, 1), 1);
	ck_assert_int_eq(get(after, 2), 0);
	ck_assert_int_eq(get(after, 3), 4);
}
END_TEST

START_TEST(a_copy_is_independent_and_still_loses_what_was_never_synced)
{
	struct store *copy;

	put(sim, STORE_DIRECT | STORE_DURABLE, 1, 1);
	put(sim, 0, 2, 2);
	ok(store_sim_copy(sim, &(struct sim_options){.record = true}, &copy));
	put(sim, 0, 2, 9);
	ck_assert_int_eq(get(copy, 2), 2);
	put(copy, 0, 3, 3);
	ck_assert_int_eq(get(sim, 3), 0);
	power_cut(copy);
	ck_assert_int_eq(get(after, 1), 1);
	ck_assert_int_eq(get(after, 2), 0);
	ck_assert_int_eq(get(after, 3), 0);
	store_close(copy);
}
END_TEST

/* ---- torn writes ------------------------------------------------------------------ */

START_TEST(a_torn_write_leaves_the_sectors_that_were_chosen)
{
	const uint8_t reached = 0x05; /* sectors 0 and 2 of 8 */
	const struct sim_tear old = {.event = 1, .reached = &reached};
	const struct sim_tear garbage = {.event = 1, .reached = &reached, .garbage = 42};
	size_t n;
	uint8_t buf[PAGE];

	put(sim, 0, 1, 1);
	put(sim, 0, 1, 2);
	ck_assert_uint_eq(store_sim_sectors(store_sim_events(sim, &n) + 1), 8);
	ok(store_sim_replay_torn(sim, 2, NULL, 0, &old, NULL, &after));
	ok(store_read(after, 0, PAGE, buf, PAGE));
	for (unsigned i = 0; i < PAGE; i++)
		ck_assert_uint_eq(buf[i], i / 512 == 0 || i / 512 == 2 ? 2 : 1);
	store_close(after);
	ok(store_sim_replay_torn(sim, 2, NULL, 0, &garbage, NULL, &after));
	ok(store_read(after, 0, PAGE, buf, PAGE));
	ck_assert_uint_eq(buf[0], 2);
	ck_assert_uint_eq(buf[511], 2);
	ck_assert_uint_eq(buf[1024], 2);
	n = 0;
	for (unsigned i = 512; i < 1024; i++)
		n += buf[i] > 2;
	ck_assert_uint_gt(n, 400);
}
END_TEST

START_TEST(an_unaligned_write_tears_at_sector_edges)
{
	const uint8_t reached = 0x02;
	const struct sim_tear tear = {.event = 0, .reached = &reached, .garbage = 7};
	uint8_t buf[1024], in[2048];
	size_t n;

	memset(buf, 9, sizeof buf);
	ok(store_write(sim, 0, 500, buf, 600));
	ck_assert_uint_eq(store_sim_sectors(store_sim_events(sim, &n)), 3);
	ok(store_sim_replay_torn(sim, 1, NULL, 0, &tear, NULL, &after));
	ok(store_read(after, 0, 0, in, sizeof in));
	for (unsigned i = 0; i < 500; i++)
		ck_assert_uint_eq(in[i], 0);
	for (unsigned i = 512; i < 1024; i++)
		ck_assert_uint_eq(in[i], 9);
	for (unsigned i = 1100; i < 2048; i++)
		ck_assert_uint_eq(in[i], 0);
}
END_TEST

/* ---- log -------------------------------------------------------------------------------- */

START_TEST(the_log_tells_what_happened_in_order)
{
	const struct sim_event *e;
	size_t n;

	put(sim, STORE_DIRECT, 3, 5);
	store_sim_mark(sim, 77);
	ok(store_sync(sim, NULL, 0));
	ok(store_prealloc(sim, 0, PAGE));
	ok(store_discard(sim, PAGE, 2 * PAGE));
	ok(store_grow(sim, SIZE + 1));
	e = store_sim_events(sim, &n);
	ck_assert_uint_eq(n, 6);
	ck_assert(e[0].kind == SIM_WRITE && e[0].offset == 3 * PAGE && e[0].length == PAGE);
	ck_assert_uint_eq(((uint8_t *)e[0].data)[PAGE - 1], 5);
	ck_assert_uint_eq(e[0].flags, STORE_DIRECT | STORE_WRITE);
	ck_assert(e[1].kind == SIM_MARK && e[1].mark == 77);
	ck_assert(e[2].kind == SIM_SYNC && e[2].synced_upto == 2 && e[2].length == UINT64_MAX);
	ck_assert(e[3].kind == SIM_PREALLOC && e[3].offset == 0 && e[3].length == PAGE);
	ck_assert(e[4].kind == SIM_DISCARD && e[4].length == 2 * PAGE);
	ck_assert(e[5].kind == SIM_GROW && e[5].length == SIZE + 1);
}
END_TEST

/* The order in which a batch of ten writes completes, as a number. */
static uint64_t batch_order(uint64_t seed)
{
	uint8_t buf[10][512] = {{0}};
	const struct sim_event *e;
	struct iovec iov[10];
	struct store_io io[10];
	struct store *s;
	uint64_t order = 0;
	size_t n;

	ok(store_sim_new(SIZE, &(struct sim_options){.seed = seed, .record = true}, &s));
	for (unsigned i = 0; i < 10; i++) {
		iov[i] = (struct iovec){buf[i], 512};
		io[i] = (struct store_io){
			.flags = STORE_WRITE, .offset = i * 512, .iov = &iov[i], .niov = 1};
	}
	ok(store_submit(s, io, 10));
	e = store_sim_events(s, &n);
	ck_assert_uint_eq(n, 10);
	for (size_t i = 0; i < n; i++)
		order = order * 10 + e[i].offset / 512;
	store_close(s);
	return order;
}

START_TEST(the_seed_alone_decides_the_order_within_a_batch)
{
	unsigned differ = 0;

	ck_assert_uint_eq(batch_order(1), batch_order(1));
	for (uint64_t seed = 2; seed < 10; seed++)
		differ += batch_order(seed) != batch_order(1);
	ck_assert_uint_ge(differ, 7);
}
END_TEST

START_TEST(without_record_there_is_no_log)
{
	struct store *s, *t;

	ok(store_sim_new(SIZE, NULL, &s));
	put(s, 0, 1, 1);
	ck_assert_uint_eq(event_count(s), 0);
	ck_assert_int_eq(store_sim_replay(s, 0, NULL, 0, NULL, &t), -EINVAL);
	ok(store_sim_copy(s, NULL, &t));
	ck_assert_int_eq(get(t, 1), 1);
	store_close(t);
	store_close(s);
}
END_TEST

/* ---- faults -------------------------------------------------------------------------------- */

START_TEST(the_chosen_calls_of_a_kind_fail_and_change_nothing)
{
	uint8_t buf[512] = {1};

	put(sim, 0, 1, 1);
	store_sim_fault(sim, SIM_FAULT_WRITE, 2, 2, -EIO);
	put(sim, 0, 2, 2);
	ck_assert_int_eq(store_write(sim, 0, PAGE, buf, 512), -EIO);
	ck_assert_int_eq(store_write(sim, 0, PAGE, buf, 512), -EIO);
	ck_assert_int_eq(get(sim, 1), 1);
	put(sim, 0, 1, 3);
	ck_assert_uint_eq(store_sim_calls(sim, SIM_FAULT_WRITE), 5);
	ck_assert_uint_eq(event_count(sim), 3);
}
END_TEST

START_TEST(a_fault_for_ever_lasts_until_it_is_taken_back)
{
	uint8_t buf[512];

	store_sim_fault(sim, SIM_FAULT_READ, 1, 0, EIO);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(store_read(sim, 0, 0, buf, 512), -EIO);
	put(sim, 0, 1, 1);
	store_sim_fault(sim, SIM_FAULT_READ, 0, 0, 0);
	ck_assert_int_eq(get(sim, 1), 1);
}
END_TEST

START_TEST(a_fault_of_any_kind_counts_all_calls)
{
	uint8_t buf[512] = {0};

	store_sim_fault(sim, SIM_FAULT_ANY, 5, 1, -EIO);
	ok(store_write(sim, 0, 0, buf, 512));
	ok(store_read(sim, 0, 0, buf, 512));
	ok(store_sync(sim, NULL, 0));
	ok(store_prealloc(sim, 0, PAGE));
	ck_assert_int_eq(store_grow(sim, SIZE + PAGE), -EIO);
	ck_assert_uint_eq(sim->size, SIZE);
	ok(store_discard(sim, 0, PAGE));
	ck_assert_uint_eq(store_sim_calls(sim, SIM_FAULT_ANY), 6);
}
END_TEST

START_TEST(each_io_of_a_batch_is_a_call)
{
	uint8_t buf[3][512] = {{0}};
	struct iovec iov[3];
	struct store_io io[3];
	int failed = 0;

	for (unsigned i = 0; i < 3; i++) {
		iov[i] = (struct iovec){buf[i], 512};
		io[i] = (struct store_io){.iov = &iov[i], .niov = 1, .offset = i * 512};
	}
	store_sim_fault(sim, SIM_FAULT_READ, 2, 1, -EIO);
	ck_assert_int_eq(store_submit(sim, io, 3), -EIO);
	for (unsigned i = 0; i < 3; i++)
		failed += io[i].result == -EIO;
	ck_assert_int_eq(failed, 1);
}
END_TEST

START_TEST(errors_of_the_host_are_told_as_the_contract_says)
{
	uint8_t buf[512] = {0};

	store_sim_fault(sim, SIM_FAULT_WRITE, 1, 1, -ENOSPC);
	ck_assert_int_eq(store_write(sim, 0, 0, buf, 512), -EIO);
	ck_assert_ptr_nonnull(strstr(error_message(), "is full"));
	store_sim_fault(sim, SIM_FAULT_PREALLOC, 1, 1, -EDQUOT);
	ck_assert_int_eq(store_prealloc(sim, 0, 512), -ENOSPC);
	store_sim_fault(sim, SIM_FAULT_DISCARD, 1, 1, -EIO);
	ck_assert_int_eq(store_discard(sim, 0, 512), -EIO);
	store_sim_fault(sim, SIM_FAULT_SYNC, 1, 1, -ENOSPC);
	ck_assert_int_eq(store_sync(sim, NULL, 0), -EIO);
}
END_TEST

START_TEST(after_the_cut_everything_fails_and_nothing_changes)
{
	uint8_t buf[512] = {0};

	put(sim, 0, 1, 1);
	store_sim_cut(sim);
	ck_assert_int_eq(store_write(sim, 0, PAGE, buf, 512), -EIO);
	ck_assert_int_eq(store_read(sim, 0, PAGE, buf, 512), -EIO);
	ck_assert_int_eq(store_sync(sim, NULL, 0), -EIO);
	ck_assert_int_eq(store_prealloc(sim, 0, 512), -EIO);
	ck_assert_int_eq(store_discard(sim, 0, 512), -EIO);
	ck_assert_int_eq(store_grow(sim, 2 * SIZE), -EIO);
	ck_assert_int_eq(store_drop_cache(sim), -EIO);
	store_sim_mark(sim, 1);
	ck_assert_uint_eq(event_count(sim), 1);
	ok(store_sim_replay(sim, 1, NULL, 0, NULL, &after));
	ck_assert_int_eq(get(after, 1), 1);
}
END_TEST

/* ---- host ------------------------------------------------------------------------------------ */

START_TEST(the_host_runs_out_of_space_when_allocating_ahead)
{
	const struct sim_options opt = {.host_limit = 8 * PAGE};
	uint8_t buf[PAGE] = {1};
	struct store *s;

	ok(store_sim_new(SIZE, &opt, &s));
	ok(store_prealloc(s, 0, 6 * PAGE));
	ck_assert_uint_eq(store_sim_allocated(s), 6 * PAGE);
	ck_assert_int_eq(store_prealloc(s, 4 * PAGE, 5 * PAGE), -ENOSPC);
	ck_assert_uint_eq(store_sim_allocated(s), 6 * PAGE);
	ok(store_prealloc(s, 4 * PAGE, 4 * PAGE));
	ck_assert_int_eq(store_write(s, 0, 20 * PAGE, buf, PAGE), -EIO);
	ok(store_write(s, 0, 7 * PAGE, buf, PAGE));
	ok(store_discard(s, 0, 2 * PAGE));
	ok(store_discard(s, 2 * PAGE + 1, PAGE));
	ck_assert_uint_eq(store_sim_allocated(s), 6 * PAGE);
	ok(store_write(s, 0, 20 * PAGE, buf, PAGE));
	store_close(s);
}
END_TEST

START_TEST(a_locked_store_is_busy)
{
	const struct sim_options opt = {.locked = true};
	struct store *s = NULL;

	ck_assert_int_eq(store_sim_new(SIZE, &opt, &s), -EBUSY);
	ck_assert_int_eq(store_sim_copy(sim, &opt, &s), -EBUSY);
	ck_assert_int_eq(store_sim_replay(sim, 0, NULL, 0, &opt, &s), -EBUSY);
	ck_assert_ptr_null(s);
}
END_TEST

/* Discards move entries of the hash table: compare with a plain array. */
START_TEST(pages_come_and_go_as_in_a_plain_array)
{
	enum { PAGES = SIZE / PAGE };
	uint8_t model[PAGES] = {0};
	uint64_t x = 88172645463325252u;
	unsigned used = 0;

	for (int round = 0; round < 20000; round++) {
		unsigned n;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		n = (unsigned)(x >> 20) % PAGES;
		if (x >> 60 < 8) {
			ok(store_discard(sim, n * (uint64_t)PAGE, PAGE));
			model[n] = 0;
		} else {
			model[n] = (uint8_t)(x >> 50 | 1);
			put(sim, 0, n, model[n]);
		}
		if (round % 100 == 0)
			ck_assert_int_eq(get(sim, (n + 7) % PAGES), model[(n + 7) % PAGES]);
	}
	for (unsigned n = 0; n < PAGES; n++) {
		ck_assert_int_eq(get(sim, n), model[n]);
		used += model[n] != 0;
	}
	ck_assert_uint_eq(store_sim_allocated(sim), used * PAGE);
}
END_TEST

START_TEST(a_folded_log_replays_as_the_whole_one_did)
{
	struct store *whole, *folded;

	put(sim, 0, 1, 11);
	ok(store_sync(sim, NULL, 0));
	put(sim, 0, 1, 21);
	put(sim, 0, 2, 12);
	ok(store_sim_replay(sim, 4, (size_t[]){2}, 1, NULL, &whole));
	ok(store_sim_fold(sim, 2));
	ok(store_sim_replay(sim, 4, (size_t[]){2}, 1, NULL, &folded));
	ck_assert_int_eq(get(folded, 1), 11);
	ck_assert_int_eq(get(folded, 2), 12);
	ck_assert_uint_eq(store_sim_hash(folded, 1), store_sim_hash(whole, 1));
	store_close(whole);
	store_close(folded);
	power_cut(sim);
	ck_assert_int_eq(get(after, 1), 11);
	ck_assert_int_eq(store_sim_replay(sim, 1, NULL, 0, NULL, &whole), -EINVAL);
}
END_TEST

START_TEST(the_hash_follows_the_content_alone)
{
	uint64_t empty = store_sim_hash(sim, 7), one;

	put(sim, 0, 3, 5);
	one = store_sim_hash(sim, 7);
	ck_assert_uint_ne(one, empty);
	ck_assert_uint_ne(store_sim_hash(sim, 8), one);
	put(sim, 0, 3, 6);
	ck_assert_uint_ne(store_sim_hash(sim, 7), one);
	put(sim, 0, 3, 5);
	ck_assert_uint_eq(store_sim_hash(sim, 7), one);
	put(sim, 0, 3, 0); /* zeros, whether they take space or not */
	ck_assert_uint_eq(store_sim_hash(sim, 7), empty);
	put(sim, 0, 4, 5);
	ck_assert_uint_ne(store_sim_hash(sim, 7), one);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, a_folded_log_replays_as_the_whole_one_did);
	tcase_add_test(t, the_hash_follows_the_content_alone);
	tcase_add_test(t, a_power_cut_may_lose_what_was_not_synced_and_nothing_else);
	tcase_add_test(t, every_prefix_of_the_log_can_be_replayed);
	tcase_add_test(t, a_sync_of_a_range_covers_that_range_only);
	tcase_add_test(t, two_syncs_of_parts_cover_a_write_together);
	tcase_add_test(t, what_a_failed_sync_left_behind_no_later_sync_covers);
	tcase_add_test(t, a_discard_may_be_lost_until_it_is_synced);
	tcase_add_test(t, growth_may_be_lost_until_a_sync_or_a_durable_write);
	tcase_add_test(t, power_cuts_can_be_nested);
	tcase_add_test(t, a_copy_is_independent_and_still_loses_what_was_never_synced);
	tcase_add_test(t, a_torn_write_leaves_the_sectors_that_were_chosen);
	tcase_add_test(t, an_unaligned_write_tears_at_sector_edges);
	tcase_add_test(t, the_log_tells_what_happened_in_order);
	tcase_add_test(t, the_seed_alone_decides_the_order_within_a_batch);
	tcase_add_test(t, without_record_there_is_no_log);
	tcase_add_test(t, the_chosen_calls_of_a_kind_fail_and_change_nothing);
	tcase_add_test(t, a_fault_for_ever_lasts_until_it_is_taken_back);
	tcase_add_test(t, a_fault_of_any_kind_counts_all_calls);
	tcase_add_test(t, each_io_of_a_batch_is_a_call);
	tcase_add_test(t, errors_of_the_host_are_told_as_the_contract_says);
	tcase_add_test(t, after_the_cut_everything_fails_and_nothing_changes);
	tcase_add_test(t, the_host_runs_out_of_space_when_allocating_ahead);
	tcase_add_test(t, a_locked_store_is_busy);
	tcase_add_test(t, pages_come_and_go_as_in_a_plain_array);
}

int main(void)
{
	Suite *suite = suite_create("store_sim");
	TCase *t = tcase_create("sim");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	add_tests(t);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
