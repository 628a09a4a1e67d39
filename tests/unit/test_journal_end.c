/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_journal_end.c - opening a pool whose journal's last batches are damaged, can't be read, or were never on the disk
 *
 * Each test leaves what a kill would: a copy of the store, and the tail of the session that is still open.
 */
#include "pool_testing.h"

#include <fcntl.h>
#include <unistd.h>

#include "check.h"
#include "volume.h"

#define BLOCK 4096u

static struct cowbd_pool *p;
static struct cowbd_client *v;

static struct cowbd_open_options options;

static const struct store_ops *real;
static struct store_ops hooked;
static uint64_t bad_page;   /* of the pool: no direct read of it succeeds; 0: none */
static bool bad_data;       /* nor any other */
static unsigned bad_reads;  /* so many, then they do */
static unsigned good_reads; /* and so many do before */
static uint64_t bytes_read; /* directly */
static uint64_t not_there;  /* block that the disk never got, only the cache; 0: none */
static unsigned sync_fails; /* so many syncs on; 0: none does */
static bool writes_on;      /* while the sync that fails is under way */
static struct store *copy_in_sync;

static void write_page(struct store *s, uint64_t page, const void *data)
{
	ck_assert_ok(store_write(s, STORE_DIRECT, page * PAGE_BYTES, data, PAGE_BYTES));
}

static void put_block(struct store *s, uint64_t block, int byte)
{
	_Alignas(PAGE_BYTES) uint8_t data[BLOCK];

	memset(data, byte, sizeof data);
	write_page(s, block, data);
}

static int hooked_submit(struct store *s, struct store_io *ios, unsigned n)
{
	uint64_t bad = bad_page * PAGE_BYTES;

	for (unsigned i = 0;
	     i < n && (bad_data || ios[i].flags & STORE_DIRECT) && !(ios[i].flags & STORE_WRITE);
	     i++) {
		uint64_t length = 0;

		for (unsigned k = 0; k < (unsigned)ios[i].niov; k++)
			length += ios[i].iov[k].iov_len;
		bytes_read += length;
		if (bad && bad_reads && ios[i].offset <= bad && bad < ios[i].offset + length) {
			if (good_reads && good_reads--)
				continue;
			bad_reads -= length == PAGE_BYTES; /* a long one is tried again, shorter */
			return ios[i].result = -EIO;
		}
	}
	return real->submit(s, ios, n);
}

/* Copies what is there when the sync begins, and fails. */
static int hooked_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	if (sync_fails == 0 || --sync_fails > 0)
		return real->sync(s, ranges, n);
	s->ops = real;
	if (writes_on)
		write_fill(v, BLOCK, BLOCK, 8);
	ck_assert_ok(store_sim_copy(s, NULL, &copy_in_sync));
	return fail(-EIO, "the disk is gone");
}

static int hooked_drop_cache(struct store *s)
{
	if (not_there)
		put_block(s, not_there, 55);
	return 0;
}

static void hook(struct store *s)
{
	real = s->ops;
	hooked = *real;
	hooked.submit = hooked_submit;
	hooked.sync = hooked_sync;
	hooked.drop_cache = hooked_drop_cache;
	s->ops = &hooked;
}

static void setup_session(unsigned flags)
{
	options = (struct cowbd_open_options){.cache_bytes = MIB, .run_dir = test_run_dir()};
	copy_in_sync = NULL;
	bad_page = not_there = 0;
	sync_fails = 0;
	bad_data = writes_on = false;
	bad_reads = UINT32_MAX;
	good_reads = 0;
	p = open_pool(make_store(64 * MIB, BLOCK, 1), flags);
	v = make_volume(p, "v", 16 * MIB);
	write_fill(v, 0, MIB, 1);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_checkpoint(p));
}

static void setup(void)
{
	setup_session(0);
}

/* What it leaves is what a cut of the power leaves: nothing says what was there. */
static void setup_without_tail(void)
{
	setup_session(COWBD_OPEN_NO_TAIL);
}

static void teardown(void)
{
	cowbd_client_close(v);
	check_and_close(p);
}

static uint64_t ring_bytes(void)
{
	return p->e.geo.journal_zones * ZONE_BYTES;
}

/* Page of the pool where the next batch begins. */
static uint64_t next_batch(void)
{
	return (ZONE_BYTES + journal_at(p->e.journal).offset) / PAGE_BYTES;
}

/* The block of the pool where the volume's first one is. */
static uint64_t physical(void)
{
	struct map_extent x;
	int r;

	SECTION(&p->e, r, map_lookup(&p->e, &catalog_by_name(p->cat, NULL, "v")->map, 0, 1, &x));
	ck_assert_int_eq(r, 0);
	return x.physical;
}

/* A block is written and flushed, and if pending, another written.  *ret_batch: its page. */
static struct store *killed(bool pending, uint64_t *ret_batch)
{
	struct store *s;

	*ret_batch = next_batch();
	write_fill(v, 0, BLOCK, 7);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_uint_gt(next_batch(), *ret_batch);
	if (pending)
		write_fill(v, BLOCK, BLOCK, 8);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	return s;
}

static void damage(struct store *s, uint64_t page)
{
	_Alignas(PAGE_BYTES) uint8_t data[PAGE_BYTES];

	ck_assert_ok(store_read(s, STORE_DIRECT, page * PAGE_BYTES, data, sizeof data));
	data[0] ^= 1;
	write_page(s, page, data);
}

/* It is refused, in so many words; the store is closed. */
static void refused(struct store *s, unsigned flags, int err, const char *word)
{
	struct cowbd_pool *copy;

	options.flags = flags;
	ck_assert_error(pool_open_store(s, "test", &options, &copy), err);
	ck_assert_msg(strstr(cowbd_error(), word), "%s", cowbd_error());
}

/* It opens, says so, and is right: what block 0 and block 1 hold. */
static void opens(struct store *s, unsigned flags, const char *word, int first, int second)
{
	struct cowbd_pool *copy = open_pool(s, flags);

	ck_assert_msg(strstr(info(copy).note, word), "%s", info(copy).note);
	s->ops = real ? real : s->ops;
	ck_assert(object_holds(copy, "v", 0, BLOCK, first));
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, second));
	ck_assert(object_holds(copy, "v@s", 0, MIB, 1));
	check_and_close(copy);
}

static struct store *again(struct store *of)
{
	struct store *s;

	ck_assert_ok(store_sim_copy(of, NULL, &s));
	return s;
}

/* It is refused with the word that helps. */
static void opens_when_accepted(struct store *s, unsigned flags, int err, const char *word,
				int first, int second)
{
	struct store *other = again(s);

	hook(s);
	refused(s, flags, err, "--after-error");
	hook(other);
	opens(other, flags | COWBD_OPEN_AFTER_ERROR, word, first, second);
}

/* [TAIL-5] With nothing pending, too: it was flushed, and would be gone without a word. */
START_TEST(a_damaged_last_batch_is_no_end_while_the_tail_knows_of_it)
{
	uint64_t batch;
	struct store *s = killed(_i, &batch);

	damage(s, batch);
	refused(again(s), 0, -EUCLEAN, "--after-error");
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "tail"));
	opens(s, COWBD_OPEN_AFTER_ERROR, "journal is damaged", 1, 1);
}
END_TEST

/* [JOURNAL-6] [TAIL-5] Damage in its data is damage in data, with nothing pending, too. */
START_TEST(data_of_a_last_batch_that_was_durable_is_just_damaged)
{
	uint64_t batch;
	struct store *s = killed(_i, &batch);

	put_block(s, physical(), 77);
	opens(s, 0, "not what it recorded", 77, _i ? 8 : 1);
}
END_TEST

START_TEST(a_page_behind_the_end_that_cannot_be_read_is_not_needed)
{
	uint64_t batch;
	struct store *s = killed(_i, &batch);

	bad_page = next_batch();
	hook(s);
	opens(s, 0, "none of it is needed", 7, _i ? 8 : 1);
}
END_TEST

START_TEST(a_last_batch_that_cannot_be_read_is_given_up_on_request)
{
	uint64_t batch;
	struct store *s = killed(_i, &batch);

	bad_page = batch;
	opens_when_accepted(s, 0, -EUCLEAN, "journal is damaged", 1, 1);
}
END_TEST

START_TEST(a_page_that_cannot_be_read_may_have_been_a_batch)
{
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	uint64_t batch;
	struct store *s = killed(false, &batch);

	bad_page = next_batch();
	opens_when_accepted(s, flags, -EIO, "can't be read", 7, 1);
}
END_TEST

/* A batch that comes to light has not had its zones set aside. */
START_TEST(a_journal_that_reads_differently_is_refused)
{
	uint64_t batch;
	struct store *s = killed(false, &batch);

	bad_page = batch;
	bad_reads = 2; /* by the first scan, and by the look behind its end */
	hook(s);
	refused(s,
		COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL | COWBD_OPEN_AFTER_ERROR |
			COWBD_OPEN_READ_ONLY,
		-EIO, "differed");
}
END_TEST

/* The sector comes to life again, and what it holds would follow. */
START_TEST(what_was_given_up_does_not_come_back)
{
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	uint64_t batch;
	struct store *s = killed(false, &batch), *later;
	struct cowbd_pool *copy;

	bad_page = batch;
	hook(s);
	copy = open_pool(s, flags | COWBD_OPEN_AFTER_ERROR);
	later = again(s);
	s->ops = real;
	check_and_close(copy);
	opens(later, flags, "", 1, 1);
}
END_TEST

/* The last batch was written ahead of its data's sync, and that failed: the cache has the data, the disk has not. */
START_TEST(the_last_batch_is_compared_again_when_the_cache_was_dropped)
{
	writes_on = _i; /* then the tail goes on behind that batch, which says nothing of it */
	hook(p->e.store);
	write_fill(v, 0, BLOCK, 7);
	not_there = physical();
	sync_fails = 1;
	ck_assert_error(cowbd_flush(v), -EIO);
	ck_assert_ptr_nonnull(copy_in_sync);
	ck_assert_int_eq(info(p).short_commits, 0);
	hook(copy_in_sync);
	refused(again(copy_in_sync), 0, -EIO, "--after-error");
	opens(copy_in_sync, COWBD_OPEN_AFTER_ERROR, "cut short", 1, 1);
	cowbd_client_close(v);
	ck_assert_int_lt(cowbd_close(p), 0);
}
END_TEST

/* What a tail says that an older version began, or one that was killed between two stores. */
static void set_in_tail(size_t field, uint64_t value)
{
	char path[sizeof p->e.super.tail_path + 1] = "";
	int fd;

	memcpy(path, p->e.super.tail_path, sizeof p->e.super.tail_path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, &value, sizeof value, (off_t)field), sizeof value);
	close(fd);
}

START_TEST(a_tail_that_does_not_know_is_no_proof)
{
	uint64_t batch;
	struct store *s = killed(false, &batch);

	set_in_tail(offsetof(struct disk_tail, durable), 0);
	bad_page = batch;
	hook(s);
	refused(s, 0, -EIO, "--after-error");
}
END_TEST

/* The tail still has what the damaged batch had. */
START_TEST(a_kill_before_start_moves_loses_nothing)
{
	uint64_t batch, start;
	struct store *s;

	ck_assert_ok(cowbd_flush(v));
	start = p->e.journal ? journal_cut(p->e.journal).end : 0;
	s = killed(false, &batch);
	set_in_tail(offsetof(struct disk_tail, start), start);
	damage(s, batch);
	opens(s, 0, "", 7, 1);
}
END_TEST

/* The longest batch is half the ring: none was put to its front yet. */
START_TEST(the_front_of_the_ring_is_not_looked_at_before_it_can_be_used)
{
	uint64_t batch;
	struct store *s = killed(false, &batch);

	ck_assert_uint_gt(batch, ZONE_BYTES / PAGE_BYTES);
	bad_page = ZONE_BYTES / PAGE_BYTES;
	hook(s);
	opens(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL, "", 7, 1);
}
END_TEST

/* Nor while the journal still begins there: what can't be read now was read, as a batch that counts. */
START_TEST(the_front_of_the_ring_is_not_looked_at_while_the_journal_begins_there)
{
	struct cowbd_pool *copy, *young;
	struct cowbd_client *w;
	struct store *s;

	young = open_pool(make_store(64 * MIB, BLOCK, 1), 0);
	w = make_volume(young, "w", 16 * MIB);
	ck_assert_uint_eq(get64(young->e.super.journal_offset), 0);
	while (journal_at(young->e.journal).offset <= ring_bytes() / 2) {
		write_fill(w, 0, BLOCK, 5);
		ck_assert_ok(cowbd_trim(w, BLOCK, 0, 0));
		ck_assert_ok(cowbd_flush(w));
	}
	write_fill(w, 0, BLOCK, 7);
	ck_assert_ok(cowbd_flush(w));
	ck_assert_ok(store_sim_copy(young->e.store, NULL, &s));
	bad_page = ZONE_BYTES / PAGE_BYTES;
	good_reads = 3; /* as many as the two scans need */
	hook(s);
	copy = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	s->ops = real;
	ck_assert_uint_eq(good_reads, 0);
	ck_assert(object_holds(copy, "w", 0, BLOCK, 7));
	check_and_close(copy);
	cowbd_client_close(w);
	check_and_close(young);
}
END_TEST

/* The last batch was durable; its data is damaged, and a later sync failed. */
START_TEST(the_tail_is_compared_with_where_the_journal_ends_at_last)
{
	struct cowbd_pool *copy;

	write_fill(v, 0, BLOCK, 7);
	ck_assert_ok(cowbd_flush(v));
	hook(p->e.store);
	write_fill(v, BLOCK, 64 * BLOCK, 8); /* the long way */
	sync_fails = 1;
	ck_assert_error(cowbd_flush(v), -EIO);
	put_block(copy_in_sync, physical(), 77);
	hook(copy_in_sync);
	copy = open_pool(copy_in_sync, COWBD_OPEN_AFTER_ERROR);
	copy_in_sync->ops = real;
	ck_assert_msg(!strstr(info(copy).note, "journal is damaged"), "%s", info(copy).note);
	ck_assert(object_holds(copy, "v", 0, BLOCK, 77));
	check_and_close(copy);
	cowbd_client_close(v);
	ck_assert_int_lt(cowbd_close(p), 0);
}
END_TEST

/* Each thing that was got over is told whole. */
START_TEST(a_note_of_two_losses_is_told_whole)
{
	char path[sizeof p->e.super.tail_path + 1] = "";
	uint64_t batch;
	struct store *s = killed(true, &batch);

	memcpy(path, p->e.super.tail_path, sizeof p->e.super.tail_path);
	ck_assert_int_eq(unlink(path), 0);
	bad_page = batch;
	hook(s);
	opens(s, COWBD_OPEN_AFTER_ERROR | COWBD_OPEN_LOST_TAIL, "is lost, flushed or not", 1, 1);
}
END_TEST

START_TEST(damaged_data_before_a_page_that_cannot_be_read_is_told)
{
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	uint64_t batch;
	struct store *s = killed(false, &batch);

	put_block(s, physical(), 77);
	bad_page = next_batch();
	opens_when_accepted(s, flags, -EIO, "is given up", 1, 1);
}
END_TEST

/* After a seal the block is written in place: it is the seal that is damaged. */
START_TEST(what_was_written_in_place_behind_a_damaged_seal_is_kept)
{
	struct store *s;
	uint64_t seal;

	write_fill(v, 0, BLOCK, 7);
	ck_assert_ok(cowbd_flush(v));
	seal = next_batch();
	write_fill(v, 0, BLOCK, 9);
	ck_assert_uint_gt(next_batch(), seal);
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	damage(s, seal);
	opens(s, 0, "not what it recorded", 9, 1);
}
END_TEST

START_TEST(what_is_behind_a_given_up_batch_is_no_proof_later)
{
	uint64_t batch;
	struct store *s = killed(false, &batch), *later;
	struct cowbd_pool *copy;

	store_close(s);
	write_fill(v, BLOCK, BLOCK, 8);
	ck_assert_ok(cowbd_flush(v));
	s = again(p->e.store);
	damage(s, batch);
	refused(again(s), 0, -EUCLEAN, "is there");
	copy = open_pool(s, COWBD_OPEN_AFTER_ERROR | COWBD_OPEN_NO_TAIL);
	later = again(s);
	check_and_close(copy);
	opens(later, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL, "", 1, 1);
}
END_TEST

/* What was followed was durable, with its data [JOURNAL-3]: now, and when it is opened again. */
START_TEST(the_batch_before_one_that_is_given_up_counts)
{
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	struct store *s, *later;
	struct cowbd_pool *copy;
	uint64_t batch;

	write_fill(v, BLOCK, BLOCK, 8);
	ck_assert_ok(cowbd_flush(v));
	ck_assert_int_eq((int)info(p).short_commits, 1);
	s = killed(false, &batch);
	bad_page = physical();
	bad_data = true;
	hook(s);
	copy = open_pool(s, flags | COWBD_OPEN_AFTER_ERROR);
	later = again(s);
	s->ops = real;
	ck_assert(object_holds(copy, "v", BLOCK, BLOCK, 8));
	check_and_close(copy);
	opens(later, flags, "", 1, 8);
}
END_TEST

/* The sector comes to life again before the recovery that gave it up is over. */
START_TEST(what_was_given_up_is_not_there_when_that_recovery_is_cut_off)
{
	unsigned flags = COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL;
	uint64_t batch;
	struct store *s = killed(false, &batch);

	if (_i)
		bad_page = physical(); /* of data: never read directly */
	else
		bad_page = batch;
	bad_data = _i;
	hook(s);
	sync_fails = 2; /* the checkpoint's */
	refused(s, flags | COWBD_OPEN_AFTER_ERROR, -EIO, "sync");
	ck_assert_ptr_nonnull(copy_in_sync);
	opens(copy_in_sync, flags, "", 1, 1);
}
END_TEST

/* ---- what looks like batches ---------------------------------------------------------------- */

/* Headers from the journal's end on, one a page, that claim batches of so many bytes. */
static void claim(struct store *s, uint32_t length)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES] = {0};
	struct journal_position at = journal_at(p->e.journal);
	struct disk_batch *h = (void *)page;

	for (uint64_t n = 0; at.offset + n * PAGE_BYTES < ring_bytes() / 2; n++) {
		*h = (struct disk_batch){.kind = put32(PAGE_BATCH),
					 .length = put32(length),
					 .number = put64(at.batch + 1 + n)};
		write_page(s, next_batch() + n, page);
	}
}

/* Looking behind the journal's end finds nothing, and reads no more than a few times what it looks at. */
static void looked_for_little(struct store *s)
{
	struct journal_position at = journal_at(p->e.journal);
	uint64_t found;

	hook(s);
	bytes_read = 0;
	ck_assert_ok(journal_beyond(s, &p->e.geo, p->e.super.uuid, &at, &found));
	ck_assert_uint_eq(found, 0);
	ck_assert_uint_lt(bytes_read, 8 * ring_bytes() / 2);
	store_close(s);
}

START_TEST(what_looks_like_long_batches_is_not_all_read)
{
	struct store *s = again(p->e.store);

	claim(s, (uint32_t)ring_bytes() / 2);
	looked_for_little(s);
}
END_TEST

START_TEST(what_looks_like_short_batches_is_read_once)
{
	struct store *s = again(p->e.store);

	claim(s, PAGE_BYTES);
	looked_for_little(s);
}
END_TEST

START_TEST(a_page_that_cannot_be_read_is_not_tried_again_and_again)
{
	bad_page = next_batch() + 250;
	looked_for_little(again(p->e.store));
}
END_TEST

/* A claim that can't be does not use up what a checker reads for claims. */
START_TEST(a_checker_finds_the_batch_behind_a_damaged_one)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES];
	struct cowbd_check_result result = {0};
	struct disk_batch *h = (void *)page;
	uint64_t batch;
	struct store *s = killed(false, &batch);

	store_close(s);
	write_fill(v, BLOCK, BLOCK, 7);
	ck_assert_ok(cowbd_flush(v));
	s = again(p->e.store);
	ck_assert_ok(store_read(s, STORE_DIRECT, batch * PAGE_BYTES, page, sizeof page));
	h->number = put64(get64(h->number) + 1);
	h->length = put32((uint32_t)(ring_bytes() * 2 + 4 * PAGE_BYTES));
	write_page(s, batch, page);
	ck_assert_ok(check_store(s, NULL, &result));
	ck_assert_uint_gt(result.journal_lost, 0);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("end of the journal");
	TCase *t = tcase_create("with a tail"), *bare = tcase_create("without a tail"),
	      *failed = tcase_create("a sync fails");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_damaged_last_batch_is_no_end_while_the_tail_knows_of_it, 0, 2);
	tcase_add_loop_test(t, data_of_a_last_batch_that_was_durable_is_just_damaged, 0, 2);
	tcase_add_loop_test(t, a_page_behind_the_end_that_cannot_be_read_is_not_needed, 0, 2);
	tcase_add_loop_test(t, a_last_batch_that_cannot_be_read_is_given_up_on_request, 0, 2);
	tcase_add_test(t, a_tail_that_does_not_know_is_no_proof);
	tcase_add_test(t, a_kill_before_start_moves_loses_nothing);
	tcase_add_test(t, a_note_of_two_losses_is_told_whole);
	tcase_add_test(t, what_was_written_in_place_behind_a_damaged_seal_is_kept);
	tcase_add_test(t, what_is_behind_a_given_up_batch_is_no_proof_later);
	tcase_add_test(t, what_looks_like_long_batches_is_not_all_read);
	tcase_add_test(t, what_looks_like_short_batches_is_read_once);
	tcase_add_test(t, a_page_that_cannot_be_read_is_not_tried_again_and_again);
	tcase_add_test(t, a_checker_finds_the_batch_behind_a_damaged_one);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(bare, setup_without_tail, teardown);
	tcase_add_test(bare, a_page_that_cannot_be_read_may_have_been_a_batch);
	tcase_add_test(bare, a_journal_that_reads_differently_is_refused);
	tcase_add_test(bare, what_was_given_up_does_not_come_back);
	tcase_add_test(bare, the_batch_before_one_that_is_given_up_counts);
	tcase_add_loop_test(bare, what_was_given_up_is_not_there_when_that_recovery_is_cut_off, 0,
			    2);
	tcase_add_test(bare, the_front_of_the_ring_is_not_looked_at_before_it_can_be_used);
	tcase_add_test(bare, the_front_of_the_ring_is_not_looked_at_while_the_journal_begins_there);
	tcase_add_test(bare, damaged_data_before_a_page_that_cannot_be_read_is_told);
	suite_add_tcase(s, bare);
	tcase_add_checked_fixture(failed, setup, NULL);
	tcase_add_loop_test(failed, the_last_batch_is_compared_again_when_the_cache_was_dropped, 0,
			    2);
	tcase_add_test(failed, the_tail_is_compared_with_where_the_journal_ends_at_last);
	suite_add_tcase(s, failed);
	return run_suite(s);
}
