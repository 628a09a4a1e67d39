/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_young.c - commits that write the records and their data at once
 */
#include "pool_testing.h"

#include <pthread.h>
#include <unistd.h>

#include "volume.h"

#define BLOCK 4096u

static struct cowbd_pool *p;
static struct cowbd_client *v;

static void setup(void)
{
	p = make_pool(64 * MIB, BLOCK);
	v = make_volume(p, "v", 16 * MIB);
	write_fill(v, 0, MIB, 1);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_checkpoint(p));
}

static void teardown(void)
{
	cowbd_client_close(v);
	check_and_close(p);
}

static uint64_t short_commits(void)
{
	return info(p).short_commits;
}

static uint64_t seals(void)
{
	return info(p).seals;
}

/* A flush that goes the short way, or not. */
static void flush(bool short_way)
{
	uint64_t before = short_commits();

	ck_assert_ok(cowbd_flush(v));
	ck_assert_uint_eq(short_commits(), before + short_way);
}

/* The block of the pool where a block of the volume is. */
static uint64_t physical(uint64_t block)
{
	struct map_extent x;
	int r;

	SECTION(&p->e, r,
		map_lookup(&p->e, &catalog_by_name(p->cat, NULL, "v")->map, block, 1, &x));
	ck_assert_int_eq(r, 0);
	return x.physical;
}

static void put_block(struct store *s, uint64_t block, int byte)
{
	uint8_t data[BLOCK];

	memset(data, byte, sizeof data);
	ck_assert_ok(store_write(s, 0, block * BLOCK, data, sizeof data));
}

/* What a kill would leave, opened. */
static struct cowbd_pool *open_copy(struct store *of)
{
	struct store *s;

	ck_assert_ok(store_sim_copy(of, NULL, &s));
	return open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
}

START_TEST(few_blocks_go_the_short_way)
{
	write_fill(v, 0, 2 * BLOCK, 2);
	flush(true);
	write_fill(v, 64 * BLOCK, YOUNG_MAX * BLOCK, 2);
	flush(true);
	write_fill(v, 128 * BLOCK, (YOUNG_MAX + 1) * BLOCK, 2);
	flush(false);
	write_fill(v, 0, BLOCK, 3); /* in place: there are no records */
	flush(false);
}
END_TEST

/* [YOUNG-1] */
START_TEST(a_young_block_is_sealed_before_it_is_written_in_place)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	write_fill(v, 0, BLOCK, 3); /* it is named, and not yet young */
	ck_assert_uint_eq(seals(), 0);
	flush(true);
	write_fill(v, 0, BLOCK, 4);
	ck_assert_uint_eq(seals(), 1);
	write_fill(v, 0, BLOCK, 5);
	ck_assert_uint_eq(seals(), 1);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 5));
	check_and_close(copy);
	write_fill(v, 10 * BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 20 * BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 10 * BLOCK, BLOCK, 3); /* what followed was seal enough */
	ck_assert_uint_eq(seals(), 1);
}
END_TEST

START_TEST(a_batch_that_was_written_with_its_data_is_replayed)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 2));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 3));
	ck_assert(object_holds(copy, "v@s", 0, 2 * BLOCK, 1));
	check_and_close(copy);
}
END_TEST

/* [JOURNAL-6]; and it never counts again, though what it names is there later. */
START_TEST(a_batch_whose_data_is_not_there_does_not_count_now_or_later)
{
	uint64_t first, second;
	struct cowbd_pool *copy, *again;
	struct store *s;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	first = physical(0);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	second = physical(1);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	put_block(s, second, 77);
	copy = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 2));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 1));
	put_block(copy->e.store, second, 3); /* as if somebody wrote the same anew */
	put_block(copy->e.store, first, 4);  /* and this one in place */
	again = open_copy(copy->e.store);
	ck_assert(object_holds(again, "v", 0, BLOCK, 4));
	ck_assert(object_holds(again, "v", BLOCK, BLOCK, 1));
	check_and_close(again);
	check_and_close(copy);
}
END_TEST

/* Only the last one may be without its data: those before it may have been written in place since. */
START_TEST(batches_before_the_last_count_whatever_their_data_is)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 3);
	flush(true);
	write_fill(v, 0, BLOCK, 4);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 4));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 3));
	check_and_close(copy);
}
END_TEST

/* [YOUNG-3] */
START_TEST(a_snapshot_of_data_written_in_place_goes_the_long_way)
{
	uint64_t before;

	write_fill(v, 0, BLOCK, 2);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 2);
	flush(true);
	write_fill(v, 0, BLOCK, 3); /* in place */
	before = short_commits();
	ck_assert_ok(snapshot(p, "v@t"));
	ck_assert_uint_eq(short_commits(), before);
}
END_TEST

START_TEST(a_block_that_has_fallen_goes_the_long_way)
{
	write_fill(v, 0, BLOCK, 2);
	ck_assert_ok(cowbd_trim(v, BLOCK, 0, 0));
	flush(false);
	write_fill(v, BLOCK, BLOCK, 2);
	flush(true);
	ck_assert_ok(cowbd_trim(v, BLOCK, BLOCK, 0)); /* what is young already may fall */
	write_fill(v, 2 * BLOCK, BLOCK, 2);
	flush(true);
}
END_TEST

/* [YOUNG-2] */
START_TEST(a_write_that_runs_makes_it_the_long_way)
{
	uint64_t writer;

	write_fill(v, 0, BLOCK, 2);
	writer = epoch_enter(&p->e.writers);
	flush(false);
	epoch_exit(&p->e.writers, writer);
	write_fill(v, 0, BLOCK, 3); /* in place, and nothing is to be sealed */
	ck_assert_uint_eq(seals(), 0);
}
END_TEST

/* ---- a call of the store in which something else happens -------------------------------- */

static const struct store_ops *real;
static struct store_ops hooked;
static void (*inside_read)(void), (*inside_sync)(void);
static uint64_t bad_block; /* can't be read; 0: none */

static void once(void (**what)(void))
{
	void (*does)(void) = __atomic_exchange_n(what, NULL, __ATOMIC_ACQ_REL);

	if (does)
		does();
}

static int hooked_submit(struct store *s, struct store_io *ios, unsigned n)
{
	if (!(ios[0].flags & (STORE_WRITE | STORE_DIRECT))) {
		once(&inside_read);
		if (bad_block && n == 1 && ios[0].offset == bad_block * BLOCK)
			return ios[0].result = fail(-EIO, "a bad sector");
	}
	return real->submit(s, ios, n);
}

static int hooked_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	once(&inside_sync);
	return real->sync(s, ranges, n);
}

static void hook(struct store *s)
{
	real = s->ops;
	hooked = *real;
	hooked.submit = hooked_submit;
	hooked.sync = hooked_sync;
	s->ops = &hooked;
}

static void checkpoint_meanwhile(void)
{
	write_fill(v, 5 * BLOCK, BLOCK, 3);
	ck_assert_ok(checkpoint_run(&p->e));
}

/* Between the cut of a round and its batch a checkpoint makes all of it durable. */
START_TEST(a_checkpoint_overtakes_the_round)
{
	struct cowbd_pool *copy;

	hook(p->e.store);
	write_fill(v, 0, BLOCK, 2);
	inside_read = checkpoint_meanwhile;
	flush(false);
	ck_assert_ptr_null(inside_read);
	p->e.store->ops = real;
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 2));
	ck_assert(object_holds(copy, "v", 5 * BLOCK, BLOCK, 3));
	check_and_close(copy);
}
END_TEST

/* [YOUNG-3] What was named before a checkpoint may be free after the next one, and no batch has had it. */
START_TEST(what_a_checkpoint_made_durable_is_not_vouched_for_any_more)
{
	struct cowbd_client *d = make_volume(p, "d", 16 * MIB), *w = make_volume(p, "w", 64 * MIB);
	CLEANUP_FREE uint8_t *buf = calloc(1, MIB);
	struct cowbd_pool *copy;
	int r;

	ck_assert_ok(cowbd_checkpoint(p));
	write_fill(d, 0, BLOCK, 2);
	ck_assert_ok(cowbd_trim(d, 16 * MIB, 0, 0)); /* the whole map goes, not block by block */
	ck_assert_ok(checkpoint_run(&p->e));
	while ((r = reclaim_some(p)) > 0)
		;
	ck_assert_int_eq(r, 0);
	ck_assert_ok(checkpoint_run(&p->e));
	engine_settle(&p->e);
	write_fill(v, 0, BLOCK, 7);
	ck_assert_ok(cowbd_flush(v));
	for (uint64_t at = 0; (r = cowbd_write(w, buf, MIB, at, 0)) == 0; at += MIB)
		;
	ck_assert_int_eq(r, -ENOSPC);
	copy = open_copy(p->e.store);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 7));
	check_and_close(copy);
	cowbd_client_close(w);
	cowbd_client_close(d);
}
END_TEST

static pthread_t flusher;

static void *flush_v(void *opaque)
{
	(void)opaque;
	ck_assert_ok(cowbd_flush(v));
	return NULL;
}

static bool has_joined(void)
{
	bool has;

	pthread_mutex_lock(&p->e.commit_lock);
	has = dirty_any(&p->e.round_dirty);
	pthread_mutex_unlock(&p->e.commit_lock);
	return has;
}

static void flush_joins_then_snapshot(void)
{
	const char *name = "v@t";
	uint64_t round = p->e.round;

	pthread_create(&flusher, NULL, flush_v, NULL);
	while (!has_joined()) /* the next round */
		usleep(1000);
	ck_assert_uint_eq(p->e.round, round);
	ck_assert_ok(cowbd_snapshot(p, &name, 1, COWBD_LABEL_NONE, COWBD_NO_WAIT));
}

static void snapshot_then_checkpoint(void)
{
	ck_assert_ok(cowbd_snapshot(p, &(const char *){"v@t"}, 1, COWBD_LABEL_NONE, COWBD_NO_WAIT));
	ck_assert_ok(checkpoint_run(&p->e));
}

/* Each image that a cut of the power leaves, of all but one of what was not synced: with the object only if it has what was
 * written before. */
static void assert_whole(struct store *s, size_t from, const char *name)
{
	size_t events, unsynced[64];

	(void)store_sim_events(s, &events);
	for (size_t upto = from; upto <= events; upto++) {
		size_t n = store_sim_unsynced(s, upto, unsynced, ARRAY_SIZE(unsynced));

		for (size_t k = 0; k < n; k++) {
			struct cowbd_pool *cut;
			struct store *image;

			ck_assert_ok(store_sim_replay(s, upto, &unsynced[k], 1, NULL, &image));
			cut = open_pool(image, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
			ck_assert(!exists(cut, name) || object_holds(cut, name, 0, BLOCK, 7));
			throw_away(cut);
		}
	}
}

static struct cowbd_client *begin_recording(struct store **ret_store)
{
	struct sim_options sim = {.data_align = 1, .record = true};
	struct cowbd_init_options init = {.block_bytes = BLOCK, .journal_bytes = 8 * MIB};

	teardown();
	ck_assert_ok(store_sim_new(64 * MIB, &sim, ret_store));
	ck_assert_ok(mkfs_store(*ret_store, "test", &init));
	p = open_pool(*ret_store, COWBD_OPEN_NO_TAIL);
	v = make_volume(p, "v", 16 * MIB);
	write_fill(v, 0, BLOCK, 1);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(cowbd_checkpoint(p));
	return make_volume(p, "w", 16 * MIB);
}

/* [ENGINE-3] A flush has taken what the volume wrote in place, and waits (2: syncs it); a snapshot is recorded; then (1, 2) a checkpoint
 * comes. */
START_TEST(a_snapshot_has_what_a_flush_that_waits_has_taken)
{
	struct store *s;
	struct cowbd_client *w = begin_recording(&s);
	size_t from;

	hook(s);
	write_fill(v, 0, BLOCK, 7); /* in place */
	if (_i == 0)
		write_fill(w, 0, BLOCK, 3);
	(void)store_sim_events(s, &from);
	if (_i == 2) {
		inside_sync = snapshot_then_checkpoint;
		ck_assert_ok(cowbd_flush(v));
		ck_assert_ptr_null(inside_sync);
	} else if (_i == 1) {
		struct object *o = catalog_by_name(p->cat, NULL, "v");

		(void)engine_join(&p->e, &o->io->dirty);
		ck_assert_ok(cowbd_snapshot(p, &(const char *){"v@t"}, 1, COWBD_LABEL_NONE,
					    COWBD_NO_WAIT));
		ck_assert_ok(checkpoint_run(&p->e));
	} else {
		inside_sync = flush_joins_then_snapshot;
		ck_assert_ok(cowbd_flush(w));
		ck_assert_ptr_null(inside_sync);
		pthread_join(flusher, NULL);
	}
	s->ops = real;
	assert_whole(s, from, "v@t");
	cowbd_client_close(w);
}
END_TEST

static void *snapshot_v(void *opaque)
{
	(void)opaque;
	ck_assert_ok(cowbd_snapshot(p, &(const char *){"v@t"}, 1, COWBD_LABEL_NONE, COWBD_NO_WAIT));
	return NULL;
}

static size_t objects(void)
{
	size_t n;

	metalock_shared(&p->e.lock);
	n = p->cat->n;
	metalock_drop(&p->e.lock);
	return n;
}

/* A snapshot waits for a write in place that began before; then it is cloned.  The clone's record needs that data. */
START_TEST(a_clone_has_what_its_snapshot_waited_for)
{
	struct store *s;
	struct cowbd_client *w = begin_recording(&s);
	uint64_t writer = epoch_enter(&p->e.writers);
	pthread_t thread;
	size_t from, n = objects();

	pthread_create(&thread, NULL, snapshot_v, NULL);
	while (objects() == n)
		usleep(1000);
	ck_assert_ok(
		engine_commit(&p->e, NULL)); /* the snapshot's own record is in a batch before */
	(void)store_sim_events(s, &from);
	put_block(s, physical(0), 7);
	volume_dirtied(&p->e, catalog_by_name(p->cat, NULL, "v")->io, physical(0), 1);
	epoch_exit(&p->e.writers, writer);
	pthread_join(thread, NULL);
	ck_assert_ok(cowbd_clone(p, "v@t", &(const char *){"c"}, 1, 0, COWBD_NO_WAIT));
	write_fill(w, 0, BLOCK, 2);
	ck_assert_ok(cowbd_flush(w));
	assert_whole(s, from, "c");
	cowbd_client_close(w);
}
END_TEST

static struct store *flushed_and_killed(uint64_t *ret_block, struct journal_position *ret_end)
{
	struct store *s;

	write_fill(v, 0, BLOCK, 7);
	flush(true);
	*ret_block = physical(0);
	*ret_end = journal_at(p->e.journal);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	return s;
}

/* It is refused with a word about what to do, and that helps. */
START_TEST(data_of_the_last_batch_that_cannot_be_read_is_given_up_on_request)
{
	struct cowbd_open_options opt = {.flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL,
					 .cache_bytes = MIB,
					 .run_dir = test_run_dir()};
	struct journal_position end;
	struct cowbd_pool *copy;
	uint64_t block;
	struct store *s = flushed_and_killed(&block, &end);

	bad_block = block;
	hook(s);
	ck_assert_error(pool_open_store(s, "test", &opt, &copy), -EIO);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "--after-error"));
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	hook(s);
	copy = open_pool(s, opt.flags | COWBD_OPEN_AFTER_ERROR);
	s->ops = real;
	bad_block = 0;
	ck_assert_ptr_nonnull(strstr(info(copy).note, "cut short"));
	check_and_close(copy);
}
END_TEST

/* [JOURNAL-3] A header, in its one sector, says that the batch before it was durable with its data, whatever became of the
 * rest; so does a batch behind a damaged one, where opening after an error goes back to. */
START_TEST(a_damaged_batch_does_not_take_the_one_before_it_along)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES];
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	struct journal_position end;
	struct cowbd_pool *copy;
	uint64_t block;
	struct store *s = flushed_and_killed(&block, &end);

	store_close(s);
	write_fill(v, 0, BLOCK, 8); /* a seal */
	if (_i) {
		write_fill(v, 10 * BLOCK, BLOCK, 8);
		flush(true);
	}
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	ck_assert_ok(store_read(s, STORE_DIRECT, ZONE_BYTES + end.offset, page, sizeof page));
	page[_i ? 0 : PAGE_BYTES - 1] ^= 1;
	ck_assert_ok(store_write(s, STORE_DIRECT, ZONE_BYTES + end.offset, page, sizeof page));
	copy = open_pool(s, flags | (_i ? COWBD_OPEN_AFTER_ERROR : 0));
	ck_assert(object_holds(copy, "v", 0, BLOCK, 8));
	check_and_close(copy);
}
END_TEST

/* Leaves one page at the end of the ring: a batch of more goes to its front. */
static void fill_the_ring(void)
{
	uint64_t ring = journal_ring_bytes(p->e.journal), block = 300;

	while (journal_at(p->e.journal).offset != ring - PAGE_BYTES) {
		if (journal_room(p->e.journal) < ring / 2)
			ck_assert_ok(checkpoint_run(&p->e));
		write_fill(v, block++ * BLOCK, BLOCK, 2);
		ck_assert_ok(cowbd_flush(v));
	}
}

/* What a write of the next batch leaves that was cut off: its header. */
static void tear_next_batch(void)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES] = {0};
	struct journal_position at = journal_at(p->e.journal);
	struct disk_batch *h = (void *)page;

	*h = (struct disk_batch){.kind = put32(PAGE_BATCH),
				 .length = put32(PAGE_BYTES),
				 .number = put64(at.batch),
				 .previous = put64(at.chain)};
	ck_assert_ok(store_write(p->e.store, STORE_DIRECT | STORE_WRITE, ZONE_BYTES + at.offset,
				 page, sizeof page));
}

/* A torn batch says that the one before it was durable, and nothing of those that were written in its stead elsewhere. */
START_TEST(a_torn_batch_says_nothing_of_later_ones)
{
	struct cowbd_pool *copy;
	struct store *s;

	fill_the_ring();
	tear_next_batch();
	for (unsigned i = 0; i < 100; i++) /* two pages of records */
		write_fill(v, (2500 + 2 * i) * BLOCK, 1024, 3);
	flush(false);
	ck_assert_uint_lt(journal_at(p->e.journal).offset, MIB);
	write_fill(v, 0, BLOCK, 7);
	flush(true);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	put_block(s, physical(0), 77);
	copy = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 1));
	check_and_close(copy);
}
END_TEST

/* [JOURNAL-5] Nor does damage in it: the tail goes on behind the batch, so that was durable. */
START_TEST(a_tail_that_goes_on_says_that_the_last_batch_was_durable)
{
	struct cowbd_pool *copy;
	struct store *s;

	teardown();
	p = open_pool(make_store(64 * MIB, BLOCK, 1), 0);
	v = make_volume(p, "v", 16 * MIB);
	write_fill(v, 0, MIB, 1);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(snapshot(p, "v@s"));
	write_fill(v, 0, BLOCK, 7);
	flush(true);
	write_fill(v, BLOCK, BLOCK, 8); /* in the tail alone */
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	put_block(s, physical(0), 77);
	copy = open_pool(s, 0);
	ck_assert(
		object_holds(copy, "v", 0, BLOCK, 77)); /* damage in a block of data, as anywhere */
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 8));
	check_and_close(copy);
}
END_TEST

/* When nothing follows for a while: damage of its data is that of any data then. */
START_TEST(a_quiet_pool_seals_its_last_batch)
{
	struct cowbd_pool *copy;
	struct store *s;

	ck_assert_ok(cowbd_start(p));
	write_fill(v, 0, BLOCK, 7);
	flush(true);
	for (unsigned i = 0; i < 100 && seals() == 0; i++)
		usleep(100000);
	ck_assert_uint_eq(seals(), 1);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	put_block(s, physical(0), 77);
	copy = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 77));
	check_and_close(copy);
	sleep(4);
	ck_assert_uint_eq(seals(), 1); /* and that is that */
}
END_TEST

/* An older cowbd refuses the pool then, and takes one that was closed. */
START_TEST(the_feature_is_there_while_a_session_runs)
{
	struct disk_super super;
	char note[200];

	ck_assert_ok(super_read(p->e.store, &super, note, sizeof note));
	ck_assert_uint_eq(get64(super.incompat), FEATURE_BATCH_SUMS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("young");
	TCase *t = tcase_create("one sync");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, few_blocks_go_the_short_way);
	tcase_add_test(t, a_young_block_is_sealed_before_it_is_written_in_place);
	tcase_add_test(t, a_batch_that_was_written_with_its_data_is_replayed);
	tcase_add_test(t, a_batch_whose_data_is_not_there_does_not_count_now_or_later);
	tcase_add_test(t, batches_before_the_last_count_whatever_their_data_is);
	tcase_add_test(t, a_snapshot_of_data_written_in_place_goes_the_long_way);
	tcase_add_test(t, a_block_that_has_fallen_goes_the_long_way);
	tcase_add_test(t, a_write_that_runs_makes_it_the_long_way);
	tcase_add_test(t, the_feature_is_there_while_a_session_runs);
	tcase_add_test(t, a_checkpoint_overtakes_the_round);
	tcase_add_test(t, what_a_checkpoint_made_durable_is_not_vouched_for_any_more);
	tcase_add_loop_test(t, a_snapshot_has_what_a_flush_that_waits_has_taken, 0, 3);
	tcase_add_test(t, a_torn_batch_says_nothing_of_later_ones);
	tcase_add_test(t, a_tail_that_goes_on_says_that_the_last_batch_was_durable);
	tcase_add_test(t, a_clone_has_what_its_snapshot_waited_for);
	tcase_add_test(t, data_of_the_last_batch_that_cannot_be_read_is_given_up_on_request);
	tcase_add_loop_test(t, a_damaged_batch_does_not_take_the_one_before_it_along, 0, 2);
	tcase_add_test(t, a_quiet_pool_seals_its_last_batch);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return run_suite(s);
}
