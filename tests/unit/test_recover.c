/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_recover.c - opens what a session left behind
 *
 * kill -9 is a copy of the store, with the tail as it is; a power cut is a copy from which the writes
 * that no sync covers are gone.
 */
#include "pool_testing.h"

#define POOL (64 * MIB)
#define NO_TAIL COWBD_OPEN_NO_TAIL
#define LOST (COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL)

static struct cowbd_pool *begin(unsigned flags)
{
	return open_pool(make_store(POOL, 4096, 1), flags);
}

static struct store *copy(struct cowbd_pool *p, bool record)
{
	struct sim_options opt = {.data_align = 1, .record = record};
	struct store *s;

	ck_assert_ok(store_sim_copy(p->e.store, &opt, &s));
	return s;
}

static int try_open(struct store *s, unsigned flags, struct cowbd_pool **ret_pool)
{
	struct cowbd_open_options opt = {
		.flags = flags, .cache_bytes = MIB, .run_dir = test_run_dir()};

	return pool_open_store(s, "test", &opt, ret_pool);
}

static void refuse(struct store *s, unsigned flags, int err, const char *word)
{
	struct cowbd_pool *p;

	ck_assert_error(try_open(s, flags, &p), err);
	ck_assert_msg(strstr(cowbd_error(), word), "\"%s\" doesn't say \"%s\"", cowbd_error(),
		      word);
}

/* A pool with a volume that holds 1 and is flushed, then 2 in its first half that isn't. */
static void half_flushed(struct cowbd_pool *p)
{
	struct cowbd_client *c = make_volume(p, "v", MIB);

	write_fill(c, 0, MIB, 1);
	ck_assert_ok(cowbd_flush(c));
	ck_assert_ok(snapshot(p, "v@s"));
	write_fill(c, 0, MIB / 2, 2);
	cowbd_client_close(c);
}

START_TEST(a_kill_after_a_checkpoint_leaves_nothing_to_replay)
{
	struct cowbd_pool *p = begin(0), *again;

	half_flushed(p);
	ck_assert_ok(cowbd_checkpoint(p));
	again = open_pool(copy(p, false), 0);
	ck_assert(!info(again).was_clean);
	ck_assert_uint_eq(info(again).replayed_journal + info(again).replayed_tail, 0);
	ck_assert(object_holds(again, "v", 0, MIB / 2, 2));
	check_and_close(again);
	throw_away(p);
}
END_TEST

/* Reads of pages: how many came alone, how many with others, and of how many pages. */
static struct {
	int (*submit)(struct store *s, struct store_io *ios, unsigned n);
	unsigned alone, together, distinct;
	bool *seen; /* by number of the page on the disk */
} reads;

/* A page that was read ahead may have to leave before its record comes, and is read once more then: so each is read
 * twice, or so.  Told at once, since what drops the pages that it needs next may read them for ever. */
static int count_reads(struct store *s, struct store_io *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bool *seen = &reads.seen[ios[i].offset / PAGE_BYTES];

		if (ios[i].flags & STORE_WRITE || ios[i].iov->iov_len != PAGE_BYTES)
			continue;
		*(n == 1 ? &reads.alone : &reads.together) += 1;
		reads.distinct += !*seen;
		*seen = true;
	}
	ck_assert_msg(reads.alone + reads.together <= 2 * reads.distinct,
		      "%u pages were read, of %u", reads.alone + reads.together, reads.distinct);
	return reads.submit(s, ios, n);
}

static void begin_counting(struct store *s)
{
	static struct store_ops counting;

	counting = *s->ops;
	counting.submit = count_reads;
	reads.submit = s->ops->submit;
	reads.seen = calloc(s->size / PAGE_BYTES, sizeof *reads.seen);
	ck_assert_ptr_nonnull(reads.seen);
	s->ops = &counting;
}

static void end_counting(struct store *s)
{
	static struct store_ops plain;

	plain = *s->ops;
	plain.submit = reads.submit;
	s->ops = &plain;
	free(reads.seen);
}

START_TEST(pages_that_a_replay_needs_are_read_together)
{
	const uint64_t leaf = 4096 * MAP_FANOUT;
	const unsigned leaves = 50; /* fewer than the dirty pages that call for a checkpoint */
	struct cowbd_pool *p = begin(0), *again;
	struct cowbd_client *c = make_volume(p, "v", leaves * leaf);
	struct store *killed;

	for (unsigned i = 0; i < leaves; i++)
		write_fill(c, i * leaf, 4096, 1);
	ck_assert_ok(cowbd_checkpoint(p));
	for (unsigned i = 0; i < leaves; i++) /* in no order */
		write_fill(c, i * 17 % leaves * leaf + 4096, 4096, 2);
	killed = copy(p, false);
	begin_counting(killed);
	again = open_pool(killed, 0);
	end_counting(killed);
	ck_assert_uint_ge(info(again).replayed_journal + info(again).replayed_tail, leaves);
	ck_assert_msg(reads.together > leaves * 3 / 4 && reads.alone < leaves / 2,
		      "%u pages were read together, %u alone", reads.together, reads.alone);
	for (unsigned i = 0; i < leaves; i++) {
		ck_assert(object_holds(again, "v", i * leaf, 4096, 1));
		ck_assert(object_holds(again, "v", i * leaf + 4096, 4096, 2));
	}
	check_and_close(again);
	cowbd_client_close(c);
	throw_away(p);
}
END_TEST

/* ---- after scattered writes ------------------------------------------------------------------ */

#define SPOTS 8192u /* in 16 TiB: each has a leaf for itself, and the page above it, too */

static uint64_t spot(unsigned i)
{
	return (uint64_t)i << 31;
}

/* A session that writes to one spot after the other, until it is killed. */
static struct {
	struct cowbd_pool *p;
	struct cowbd_client *c;
	unsigned n; /* spots written */
	int (*submit)(struct store *s, struct store_io *ios, unsigned n);
	struct store *killed; /* what it left behind */
} scatter;

static struct cowbd_pool *open_with_cache(struct store *s, uint64_t bytes)
{
	struct cowbd_open_options opt = {.cache_bytes = bytes, .run_dir = test_run_dir()};
	struct cowbd_pool *p;

	ck_assert_ok(pool_open_store(s, "test", &opt, &p));
	return p;
}

static uint64_t scattered(unsigned i)
{
	return spot(i * 3571 % SPOTS) + 4096;
}

static void write_one_more(void)
{
	ck_assert_uint_lt(scatter.n, SPOTS);
	write_fill(scatter.c, scattered(scatter.n++), 4096, 2);
}

static bool is_checkpoint_due(void)
{
	return pages_dirty(scatter.p->e.pages) > pages_dirty_bound(scatter.p->e.pages);
}

/* Would the next write wait for a checkpoint?  The ones before it were paced. */
static bool is_at_the_bound(void)
{
	struct engine *e = &scatter.p->e;
	int r;

	metalock_exclusive(&e->lock);
	r = pages_prepare(e->pages, 0);
	metalock_drop(&e->lock);
	return r == -EAGAIN;
}

/* All of a checkpoint is written but its superblock, and writers have come to the bound again meanwhile: the most that a
 * replay can dirty. */
static int kill_at_the_commit_point(struct store *s, struct store_io *ios, unsigned n)
{
	bool super = ios->offset == page_offset(0, 0) || ios->offset == page_offset(0, 1);

	if (super && ios->flags & STORE_WRITE && !scatter.killed) {
		while (!is_at_the_bound())
			write_one_more();
		scatter.killed = copy(scatter.p, false);
	}
	return scatter.submit(s, ios, n);
}

static void kill_in_a_checkpoint(void)
{
	struct store *s = scatter.p->e.store;
	const struct store_ops *plain = s->ops;
	struct store_ops killing = *plain;

	scatter.submit = plain->submit;
	killing.submit = kill_at_the_commit_point;
	s->ops = &killing;
	ck_assert_ok(cowbd_checkpoint(scatter.p));
	ck_assert_ptr_nonnull(scatter.killed);
	s->ops = plain;
}

/* In a volume with a block at each spot, and, if shared, a snapshot: then a record also raises the count of that. */
static struct cowbd_pool *make_scattered(bool shared)
{
	struct cowbd_pool *p = open_with_cache(make_store(1024 * MIB, 4096, 1), 64 * MIB);
	struct cowbd_client *c = make_volume(p, "v", spot(SPOTS));

	for (unsigned i = 0; i < SPOTS; i++)
		write_fill(c, spot(i), 4096, 1);
	if (shared)
		ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_checkpoint(p));
	cowbd_client_close(c);
	return p;
}

static const struct {
	bool at_bound, in_checkpoint, shared;
	uint64_t cache, cache_again;
} kill_when[] = {
	{false, false, false, MIB, MIB}, /* a checkpoint is due */
	{false, false, true, MIB, MIB},
	{true, false, false, MIB, MIB}, /* writers wait for one */
	{true, false, true, MIB, MIB},
	{true, true, false, MIB, MIB}, /* it is all but committed, and they wait for the next one */
	{true, true, true, MIB, MIB},
	{true, true, false, 8 * MIB, MIB}, /* that, and the next session has a smaller cache */
	{true, true, true, 8 * MIB, MIB},
};

START_TEST(a_kill_beside_scattered_writes_is_replayed_with_few_reads)
{
	struct cowbd_pool *before = make_scattered(kill_when[_i].shared), *again;
	struct cowbd_client *c;

	scatter.p = open_with_cache(copy(before, false), kill_when[_i].cache);
	scatter.c = attach(scatter.p, "v");
	while (kill_when[_i].at_bound ? !is_at_the_bound() : !is_checkpoint_due())
		write_one_more();
	ck_assert_uint_eq(scatter.p->e.stats.checkpoints, 0);
	if (kill_when[_i].in_checkpoint)
		kill_in_a_checkpoint();
	else
		scatter.killed = copy(scatter.p, false);
	begin_counting(scatter.killed);
	again = open_with_cache(scatter.killed, kill_when[_i].cache_again);
	end_counting(scatter.killed);
	ck_assert_uint_ge(info(again).replayed_journal + info(again).replayed_tail, scatter.n);
	c = attach(again, "v");
	for (unsigned i = 0; i < scatter.n; i++) {
		ck_assert(holds(c, scattered(i), 4096, 2));
		ck_assert(holds(c, scattered(i) - 4096, 4096, 1));
	}
	ck_assert(holds(c, scattered(scatter.n), 4096, 0));
	cowbd_client_close(c);
	check_and_close(again);
	cowbd_client_close(scatter.c);
	throw_away(scatter.p);
	throw_away(before);
}
END_TEST

START_TEST(a_clean_close_is_seen_and_leaves_no_tail)
{
	char path[300], tail[320];
	struct cowbd_init_options init = {.size = POOL, .journal_bytes = 8 * MIB, .force = true};
	struct cowbd_open_options opt = {.run_dir = test_run_dir()};
	struct cowbd_pool *p;
	int fd;

	snprintf(path, sizeof path, "%s/pool-XXXXXX", test_run_dir());
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_ok(cowbd_init(path, &init));
	ck_assert_ok(cowbd_open(path, &opt, &p));
	half_flushed(p);
	snprintf(tail, sizeof tail, "%s", info(p).tail);
	ck_assert_int_eq(access(tail, F_OK), tail[0] == '/' ? 0 : -1);
	ck_assert_ok(cowbd_close(p));
	ck_assert_int_ne(access(tail, F_OK), 0);
	ck_assert_ok(cowbd_open(path, &opt, &p));
	ck_assert(info(p).was_clean);
	ck_assert_uint_eq(info(p).replayed_journal + info(p).replayed_tail, 0);
	ck_assert_str_eq(info(p).note, "");
	ck_assert(object_holds(p, "v", 0, MIB / 2, 2));
	check_and_close(p);
	unlink(path);
}
END_TEST

START_TEST(a_kill_loses_nothing_that_was_acknowledged)
{
	struct cowbd_pool *p = begin(0), *again;

	half_flushed(p);
	ck_assert_ok(
		cowbd_snapshot(p, (const char *[]){"v@late"}, 1, COWBD_LABEL_NONE, COWBD_NO_WAIT));
	ck_assert_ok(cowbd_create(p, "w", MIB, 0, COWBD_NO_WAIT));
	again = open_pool(copy(p, false), 0);
	ck_assert_uint_gt(info(again).replayed_tail, 0);
	ck_assert(object_holds(again, "v", 0, MIB / 2, 2));
	ck_assert(object_holds(again, "v@late", 0, MIB / 2, 2));
	ck_assert(object_holds(again, "v@s", 0, MIB, 1));
	ck_assert(exists(again, "w"));
	check_and_close(again);
	throw_away(p);
}
END_TEST

START_TEST(a_second_kill_right_after_the_first_loses_nothing_either)
{
	struct cowbd_pool *p[4];

	p[0] = begin(0);
	half_flushed(p[0]);
	for (unsigned i = 1; i < 4; i++)
		p[i] = open_pool(copy(p[i - 1], false), 0);
	ck_assert(object_holds(p[3], "v", 0, MIB / 2, 2));
	ck_assert(object_holds(p[3], "v", MIB / 2, MIB / 2, 1));
	check_and_close(p[3]);
	for (unsigned i = 0; i < 3; i++)
		throw_away(p[i]);
}
END_TEST

START_TEST(a_power_cut_leaves_what_was_flushed)
{
	struct sim_options opt = {.data_align = 1, .record = true};
	struct cowbd_init_options init = {.block_bytes = 4096, .journal_bytes = 8 * MIB};
	struct cowbd_pool *p, *again;
	size_t dropped[4096], n, events;
	struct store *s;

	ck_assert_ok(store_sim_new(POOL, &opt, &s));
	ck_assert_ok(mkfs_store(s, "test", &init));
	p = open_pool(s, NO_TAIL);
	half_flushed(p);
	(void)store_sim_events(s, &events);
	n = store_sim_unsynced(s, events, dropped, ARRAY_SIZE(dropped));
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_lt(n, ARRAY_SIZE(dropped));
	ck_assert_ok(store_sim_replay(s, events, dropped, n, NULL, &s));
	again = open_pool(s, LOST);
	ck_assert(object_holds(again, "v", 0, MIB, 1));
	ck_assert(object_holds(again, "v@s", 0, MIB, 1));
	ck_assert_uint_gt(info(again).replayed_journal, 0);
	check_and_close(again);
	throw_away(p);
}
END_TEST

START_TEST(a_deletion_is_finished_after_a_kill)
{
	struct cowbd_pool *p = begin(0), *again;

	half_flushed(p);
	ck_assert_ok(remove_one(p, "v", COWBD_RECURSIVE | COWBD_NO_WAIT));
	again = open_pool(copy(p, false), 0);
	ck_assert_uint_gt(info(again).dying, 0);
	ck_assert_ok(cowbd_reclaim_wait(again));
	ck_assert_uint_eq(info(again).dying, 0);
	ck_assert_uint_eq(info(again).used_blocks, 0);
	check_and_close(again);
	throw_away(p);
}
END_TEST

/* ---- the tail ------------------------------------------------------------------------------ */

START_TEST(a_tail_that_is_missing_must_be_given_up_in_words)
{
	struct cowbd_pool *p = begin(0), *again;

	half_flushed(p);
	ck_assert_int_eq(p->tail_state[0], '/');
	ck_assert_int_eq(unlink(p->tail_state), 0);
	refuse(copy(p, false), 0, -ENODATA, "--lost-tail");
	refuse(copy(p, false), COWBD_OPEN_READ_ONLY, -ENODATA, "--lost-tail");
	again = open_pool(copy(p, false), COWBD_OPEN_LOST_TAIL);
	ck_assert_ptr_nonnull(strstr(info(again).note, "lost"));
	ck_assert(object_holds(again, "v@s", 0, MIB, 1));
	ck_assert(object_holds(again, "v", 0, MIB, 1)); /* never flushed */
	check_and_close(again);
	throw_away(p);
}
END_TEST

START_TEST(a_tail_of_somebody_else_is_no_tail)
{
	struct cowbd_pool *p = begin(0), *other = begin(0);

	half_flushed(p);
	half_flushed(other);
	ck_assert_int_eq(rename(other->tail_state, p->tail_state), 0);
	refuse(copy(p, false), 0, -ENODATA, "--lost-tail");
	throw_away(other);
	(void)unlink(p->tail_state);
	throw_away(p);
}
END_TEST

START_TEST(a_session_without_a_tail_says_so)
{
	struct cowbd_pool *p = begin(NO_TAIL);

	half_flushed(p);
	ck_assert_int_eq(strncmp(info(p).tail, "off", 3), 0);
	refuse(copy(p, false), 0, -ENODATA, "kept none");
	throw_away(p);
}
END_TEST

START_TEST(an_old_tail_is_removed_when_its_records_are_journaled)
{
	struct cowbd_pool *p = begin(0), *again;

	half_flushed(p);
	again = open_pool(copy(p, false), 0);
	ck_assert_int_ne(access(p->tail_state, F_OK), 0);
	ck_assert_int_eq(access(again->tail_state, F_OK), 0);
	ck_assert_ok(cowbd_close(again));
	throw_away(p);
}
END_TEST

/* ---- after a failed sync ---------------------------------------------------------------------- */

START_TEST(a_session_that_ended_in_a_failed_sync_must_be_opened_in_words)
{
	struct cowbd_pool *p = begin(_i ? 0 : NO_TAIL), *again;
	struct cowbd_client *c;

	half_flushed(p);
	c = attach(p, "v");
	store_sim_fault(p->e.store, SIM_FAULT_SYNC, 1, 1, EIO);
	ck_assert_error(cowbd_flush(c), -EIO);
	cowbd_client_close(c);
	refuse(copy(p, false), 0, -EIO, "--after-error");
	refuse(copy(p, false), COWBD_OPEN_LOST_TAIL, -EIO, "--after-error");
	again = open_pool(copy(p, false), COWBD_OPEN_AFTER_ERROR | COWBD_OPEN_LOST_TAIL);
	ck_assert(object_holds(again, "v@s", 0, MIB, 1));
	ck_assert_uint_eq(info(again).replayed_tail, 0);
	check_pool(again);
	ck_assert_ok(cowbd_close(again));
	ck_assert_error(cowbd_close(p), -EIO);
}
END_TEST

START_TEST(a_sync_that_fails_while_closing_taints_the_pool)
{
	struct cowbd_pool *p = begin(NO_TAIL);
	struct store *s = p->e.store, *after;
	struct cowbd_client *c = make_volume(p, "v", MIB);

	write_fill(c, 0, 4096, 1);
	ck_assert_ok(cowbd_flush(c));
	write_fill(c, 0, 4096, 2); /* in place: only the last sync takes it along */
	cowbd_client_close(c);
	store_sim_fault(s, SIM_FAULT_SYNC, 1, 1, EIO);
	ck_assert_error(cowbd_sync(p), -EIO);
	after = copy(p, false);
	ck_assert_error(cowbd_close(p), -EIO);
	refuse(after, 0, -EIO, "--after-error");
}
END_TEST

/* ---- superblocks -------------------------------------------------------------------------------- */

static void rot(struct store *s, unsigned slot)
{
	static _Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];

	ck_assert_ok(store_read(s, STORE_DIRECT, page_offset(0, slot), buf, PAGE_BYTES));
	buf[300] ^= 0x40;
	ck_assert_ok(store_write(s, STORE_DIRECT, page_offset(0, slot), buf, PAGE_BYTES));
}

START_TEST(either_copy_of_the_superblock_is_enough)
{
	struct cowbd_pool *p = begin(NO_TAIL), *again;
	struct store *s;

	half_flushed(p);
	ck_assert_ok(cowbd_checkpoint(p));
	s = copy(p, false);
	rot(s, (unsigned)_i);
	again = open_pool(s, LOST);
	ck_assert_ptr_nonnull(strstr(info(again).note, "superblock"));
	ck_assert(object_holds(again, "v", 0, MIB / 2, 2));
	s = copy(again, false);
	ck_assert_ok(cowbd_close(again));
	rot(s, !_i); /* it was mended */
	again = open_pool(s, LOST);
	ck_assert(object_holds(again, "v", 0, MIB / 2, 2));
	check_and_close(again);
	throw_away(p);
}
END_TEST

START_TEST(without_a_copy_there_is_no_pool)
{
	struct cowbd_pool *p = begin(NO_TAIL), *again;
	struct store *s = copy(p, false);

	rot(s, 0);
	rot(s, 1);
	ck_assert_int_lt(try_open(s, LOST, &again), 0);
	throw_away(p);
}
END_TEST

/* [SUPER-1] After a cut between the copies the older one's slots and zones are free in the newer one. */
START_TEST(the_copies_are_made_equal_before_anything_else_is_written)
{
	struct cowbd_pool *p = begin(0), *again;
	const struct sim_event *event;
	unsigned supers = 0;
	struct store *s;
	size_t n;

	half_flushed(p);
	s = copy(p, true);
	again = open_pool(s, 0);
	event = store_sim_events(s, &n);
	for (size_t i = 0; i < n && supers < 2; i++) {
		if (event[i].kind == SIM_SYNC)
			continue;
		ck_assert_int_eq(event[i].kind, SIM_WRITE);
		ck_assert(event[i].offset == page_offset(0, 0) ||
			  event[i].offset == page_offset(0, 1));
		ck_assert(event[i].flags & STORE_DURABLE);
		supers++;
	}
	ck_assert_uint_eq(supers, 2);
	ck_assert_ok(cowbd_close(again));
	throw_away(p);
}
END_TEST

START_TEST(a_truncated_pool_is_refused)
{
	struct cowbd_pool *p = begin(NO_TAIL);
	struct store *s = copy(p, false);

	s->size -= ZONE_BYTES;
	refuse(s, LOST, -EUCLEAN, "truncated");
	throw_away(p);
}
END_TEST

START_TEST(what_is_no_pool_is_refused)
{
	struct sim_options opt = {.data_align = 1};
	struct store *s;

	ck_assert_ok(store_sim_new(POOL, &opt, &s));
	refuse(s, 0, -EINVAL, "not a cowbd pool");
	ck_assert_ok(store_sim_new(PAGE_BYTES, &opt, &s));
	refuse(s, 0, -EINVAL, "pool");
}
END_TEST

/* ---- reading only ---------------------------------------------------------------------------------- */

static uint64_t content(struct store *s)
{
	CLEANUP_FREE uint8_t *buf = aligned_alloc(PAGE_BYTES, MIB);
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(buf);
	for (uint64_t at = 0; at < s->size; at += MIB) {
		ck_assert_ok(store_read(s, STORE_DIRECT, at, buf, MIB));
		sum = checksum(buf, MIB, sum);
	}
	return sum;
}

/* [RECOVER-3] */
START_TEST(reading_only_replays_in_memory_and_writes_nothing)
{
	struct cowbd_pool *p = begin(0), *reader;
	struct store *s;
	uint64_t before, took;

	half_flushed(p);
	ck_assert_ok(remove_one(p, "v@s", COWBD_NO_WAIT));
	s = copy(p, false);
	before = content(s);
	took = store_sim_allocated(s);
	for (unsigned i = 0; i < 2; i++) {
		struct cowbd_usage usage;
		struct cowbd_client *c;
		uint8_t byte = 1;
		struct store *same;

		ck_assert_ok(store_sim_copy(s, NULL, &same));
		same->read_only = true;
		reader = open_pool(same, COWBD_OPEN_READ_ONLY);
		ck_assert_uint_gt(info(reader).replayed_tail, 0);
		ck_assert(object_holds(reader, "v", 0, MIB / 2, 2));
		ck_assert(!exists(reader, "v@s"));
		ck_assert_ok(cowbd_usage(reader, "v", &usage));
		ck_assert_uint_eq(usage.mapped, MIB);
		c = attach(reader, "v");
		ck_assert_error(cowbd_write(c, &byte, 1, 0, 0), -EPERM);
		ck_assert_ok(cowbd_flush(c));
		cowbd_client_close(c);
		ck_assert_error(cowbd_create(reader, "w", MIB, 0, 0), -EROFS);
		ck_assert_uint_eq(store_sim_calls(same, SIM_FAULT_WRITE), 0);
		ck_assert_uint_eq(store_sim_calls(same, SIM_FAULT_PREALLOC), 0);
		ck_assert_uint_eq(store_sim_calls(same, SIM_FAULT_DISCARD), 0);
		ck_assert_uint_eq(store_sim_calls(same, SIM_FAULT_SYNC), 0);
		ck_assert_uint_eq(content(same), before);
		ck_assert_uint_eq(store_sim_allocated(same), took);
		ck_assert_ok(cowbd_close(reader));
	}
	ck_assert_int_eq(access(p->tail_state, F_OK), 0); /* it is still needed */
	store_close(s);
	(void)unlink(p->tail_state);
	throw_away(p);
}
END_TEST

START_TEST(recovery_run_twice_comes_to_the_same)
{
	struct cowbd_pool *p = begin(0), *once;
	struct store *s;
	struct cowbd_pool_info a, b;

	half_flushed(p);
	s = copy(p, false);
	once = open_pool(copy(p, false), COWBD_OPEN_READ_ONLY);
	a = info(once);
	ck_assert_ok(cowbd_close(once));
	once = open_pool(s, 0);
	b = info(once);
	ck_assert_uint_eq(a.used_blocks, b.used_blocks);
	ck_assert_uint_eq(a.records ? a.records : b.records, b.records);
	ck_assert_uint_eq(a.replayed_journal, b.replayed_journal);
	ck_assert_uint_eq(a.replayed_tail, b.replayed_tail);
	check_and_close(once);
	throw_away(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recover");
	TCase *t = tcase_create("recover");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_kill_after_a_checkpoint_leaves_nothing_to_replay);
	tcase_add_test(t, pages_that_a_replay_needs_are_read_together);
	tcase_add_loop_test(t, a_kill_beside_scattered_writes_is_replayed_with_few_reads, 0,
			    ARRAY_SIZE(kill_when));
	tcase_add_test(t, a_clean_close_is_seen_and_leaves_no_tail);
	tcase_add_test(t, a_kill_loses_nothing_that_was_acknowledged);
	tcase_add_test(t, a_second_kill_right_after_the_first_loses_nothing_either);
	tcase_add_test(t, a_power_cut_leaves_what_was_flushed);
	tcase_add_test(t, a_deletion_is_finished_after_a_kill);
	tcase_add_test(t, a_tail_that_is_missing_must_be_given_up_in_words);
	tcase_add_test(t, a_tail_of_somebody_else_is_no_tail);
	tcase_add_test(t, a_session_without_a_tail_says_so);
	tcase_add_test(t, an_old_tail_is_removed_when_its_records_are_journaled);
	tcase_add_loop_test(t, a_session_that_ended_in_a_failed_sync_must_be_opened_in_words, 0, 2);
	tcase_add_test(t, a_sync_that_fails_while_closing_taints_the_pool);
	tcase_add_loop_test(t, either_copy_of_the_superblock_is_enough, 0, 2);
	tcase_add_test(t, without_a_copy_there_is_no_pool);
	tcase_add_test(t, the_copies_are_made_equal_before_anything_else_is_written);
	tcase_add_test(t, a_truncated_pool_is_refused);
	tcase_add_test(t, what_is_no_pool_is_refused);
	tcase_add_test(t, reading_only_replays_in_memory_and_writes_nothing);
	tcase_add_test(t, recovery_run_twice_comes_to_the_same);
	suite_add_tcase(s, t);
	return run_suite(s);
}
