/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_online.c - a pool in use is checked as it was at one moment, and nobody waits for that
 */
#include "pool_testing.h"

#include "check.h"

#define POOL (64 * MIB)
#define VOLUME (16 * MIB)
#define BOUND (16 * MIB)

static struct cowbd_pool *p;
static struct cowbd_client *c;
static unsigned seed;

static unsigned next_random(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

static void begin(void)
{
	p = make_pool(POOL, 4096);
	c = make_volume(p, "v", VOLUME);
	seed = 7;
}

static void end(void)
{
	cowbd_client_close(c);
	check_and_close(p);
}

static void write_some(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		write_fill(c, next_random(VOLUME / 4096) * UINT64_C(4096), 4096,
			   (int)next_random(256));
}

/* Everything changes, again and again: maps, counts, the catalog, which zones are for metadata. */
static void work_on(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		char name[32];

		snprintf(name, sizeof name, "v@%u-%u", seed, i);
		ck_assert_ok(snapshot(p, name));
		write_some(50);
		if (i % 3 == 2)
			ck_assert_ok(remove_one(p, name, 0));
		ck_assert_ok(cowbd_reclaim_wait(p));
		ck_assert_ok(cowbd_checkpoint(p));
	}
}

static struct cowbd_check_result look(struct store *s)
{
	struct cowbd_check_options opt = {.report = say_finding};
	struct cowbd_check_result result = {0};

	ck_assert_ok(check_store(s, &opt, &result));
	return result;
}

START_TEST(what_was_pinned_is_read_however_many_checkpoints_follow)
{
	struct cowbd_check_result then, now;
	struct spill *spill;
	struct store *copy;

	begin();
	work_on(4);
	ck_assert_ok(checkpoint_pin(p, BOUND, &spill));
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &copy));
	then = look(copy);
	store_close(copy);
	for (unsigned i = 0; i < 6; i++) {
		work_on(3);
		now = look(spill_store(spill));
		ck_assert_uint_eq(now.damages + now.leaks, 0);
		ck_assert_uint_eq(now.pages, then.pages);
		ck_assert_uint_eq(now.blocks, then.blocks);
		ck_assert_uint_eq(now.objects, then.objects);
	}
	ck_assert_uint_gt(spill_saved(spill), 2);
	ck_assert(!spill_overrun(spill));
	checkpoint_unpin(p, spill);
	end();
}
END_TEST

/* Without the saving the same finds what isn't so: the test above can fail. */
START_TEST(what_is_not_pinned_changes_under_the_reader)
{
	struct cowbd_check_result now;
	struct spill *spill;

	begin();
	work_on(4);
	ck_assert_ok(checkpoint_pin(p, BOUND, &spill));
	pages_set_spill(p->e.pages, NULL);
	work_on(3);
	now = look(spill_store(spill));
	ck_assert_uint_gt(now.damages, 0);
	checkpoint_unpin(p, spill);
	end();
}
END_TEST

/* Volumes that need a zone of pages and more, and away with them. */
static void fill_metadata(void)
{
	for (unsigned i = 0; i < 30; i++) {
		struct cowbd_client *d;
		char name[32];

		snprintf(name, sizeof name, "m%02u", i);
		d = make_volume(p, name, UINT64_C(1) << 40);
		for (unsigned k = 0; k < 40; k++)
			write_fill(d, (uint64_t)k << 31, 512, 3);
		cowbd_client_close(d);
	}
}

static void remove_metadata(void)
{
	for (unsigned i = 0; i < 30; i++) {
		char name[32];

		snprintf(name, sizeof name, "m%02u", i);
		ck_assert_ok(remove_one(p, name, 0));
	}
	ck_assert_ok(cowbd_reclaim_wait(p));
}

/* A zone of metadata that is given up meanwhile is not used for anything else. */
START_TEST(zones_of_metadata_stay_while_somebody_reads_there)
{
	struct cowbd_check_result now;
	struct spill *spill;

	begin();
	write_some(200);
	fill_metadata();
	ck_assert_ok(cowbd_checkpoint(p));
	ck_assert_ok(checkpoint_pin(p, BOUND, &spill));
	remove_metadata();
	work_on(4);
	while (space_punch_one(p->e.space) > 0)
		;
	ck_assert_uint_gt(space_held(p->e.space), 0);
	now = look(spill_store(spill));
	ck_assert_uint_eq(now.damages + now.leaks, 0);
	ck_assert(!spill_overrun(spill));
	checkpoint_unpin(p, spill);
	end();
}
END_TEST

/* Number of the first leaf of an object's map. */
static uint64_t first_leaf(const char *name)
{
	const struct object *o = catalog_by_id(p->cat, find(p, name).id);
	uint64_t entry = o->map.entry;

	for (unsigned level = o->map.depth - 1; level > 0; level--) {
		struct page *page;

		ck_assert_ok(pages_get_shared(p->e.pages, entry & ENTRY_NUMBER, PAGE_MAP, &page));
		entry = get48(((struct disk_map *)page->data)->entry[0]);
		metalock_drop(&p->e.lock);
	}
	return entry & ENTRY_NUMBER;
}

START_TEST(damage_is_found_also_after_its_page_was_written_anew)
{
	static _Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES];
	struct cowbd_check_result now;
	struct page *leaf;
	struct spill *spill;
	struct le32 slot;
	uint64_t no, offset;

	begin();
	work_on(4);
	ck_assert_ok(cowbd_checkpoint(p));
	no = first_leaf("v");
	ck_assert_ok(pages_get_shared(p->e.pages, zone_page(&p->e.geo, page_zone(no)), PAGE_ZONE,
				      &leaf));
	slot = ((struct disk_zone *)leaf->data)->slot[no % ZONE_TWINS];
	metalock_drop(&p->e.lock);
	offset = page_offset(no, slot_which(slot));
	ck_assert_ok(store_read(p->e.store, STORE_DIRECT, offset, page, PAGE_BYTES));
	page[1000] ^= 4;
	ck_assert_ok(store_write(p->e.store, STORE_DIRECT, offset, page, PAGE_BYTES));
	ck_assert_ok(checkpoint_pin(p, BOUND, &spill));
	work_on(4);
	now = look(spill_store(spill));
	ck_assert_uint_eq(now.damages, 1);
	checkpoint_unpin(p, spill);
	end();
}
END_TEST

/* A checkpoint as often as the check says how far it is, and more to save than the bound allows. */
static void disturb(void *opaque, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	++*(unsigned *)opaque;
	work_on(4);
}

START_TEST(a_check_that_is_overrun_says_so_and_not_what_it_saw)
{
	unsigned disturbed = 0;
	struct cowbd_check_options opt = {.progress = disturb, .opaque = &disturbed};
	struct cowbd_check_result result = {.damages = 4711};

	begin();
	work_on(4);
	p->spill_bytes = 8 * PAGE_BYTES;
	ck_assert_error(cowbd_check_pool(p, &opt, &result), -EBUSY);
	ck_assert_uint_eq(disturbed, 3);
	ck_assert_uint_eq(result.damages, 4711);
	p->spill_bytes = 0;
	ck_assert_ok(cowbd_check_pool(p, &opt, &result));
	ck_assert_uint_eq(disturbed, 4);
	ck_assert_uint_eq(result.damages + result.leaks, 0);
	ck_assert_uint_ge(result.checkpoints, 4);
	ck_assert_uint_gt(result.saved_pages, 2);
	end();
}
END_TEST

/* Records that a checkpoint makes durable, so that no batch has them, and one that is in a batch. */
static void go_past(void *opaque, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	++*(unsigned *)opaque;
	write_some(50);
	ck_assert_ok(checkpoint_run(&p->e));
	ck_assert_ok(cowbd_create(p, "past", MIB, 0, 0));
	ck_assert_ok(cowbd_sync(p));
}

START_TEST(a_journal_that_went_past_the_pinned_checkpoint_is_no_damage)
{
	unsigned gone = 0;
	struct cowbd_check_options opt = {.progress = go_past, .opaque = &gone};
	struct cowbd_check_result result = {.damages = 4711};

	begin();
	work_on(4);
	ck_assert_ok(cowbd_check_pool(p, &opt, &result));
	ck_assert_uint_eq(gone, 1);
	ck_assert_uint_eq(result.damages + result.leaks, 0);
	ck_assert_uint_eq(result.checkpoints, 1);
	end();
}
END_TEST

START_TEST(a_full_pool_gets_its_zones_back_at_once)
{
	struct spill *spill;

	begin();
	fill_metadata();
	ck_assert_ok(cowbd_checkpoint(p));
	ck_assert_ok(checkpoint_pin(p, BOUND, &spill));
	ck_assert(!checkpoint_break_pin(p)); /* it holds nothing */
	remove_metadata();
	ck_assert_uint_gt(space_held(p->e.space), 0);
	ck_assert(!spill_overrun(spill));
	ck_assert_ok(reclaim_make_space(&p->e));
	ck_assert(spill_overrun(spill));
	ck_assert_uint_eq(space_held(p->e.space), 0);
	checkpoint_unpin(p, spill);
	end();
}
END_TEST

/* Large enough for a thread that reads ahead (check_read.c).  A read that fails there is done again by the checker, which
 * then finds nothing wrong; one that the checker does itself is damage. */
START_TEST(a_large_pool_is_read_by_a_thread)
{
	struct cowbd_check_result all, now;
	uint64_t reads, clean = 0;

	p = make_pool(8192 * MIB, 4096);
	c = make_volume(p, "v", MIB * MIB);
	for (uint64_t i = 0; i < 700; i++)
		write_fill(c, i * (3 * MIB), 4096, (int)i);
	ck_assert_ok(cowbd_checkpoint(p));
	reads = store_sim_calls(p->e.store, SIM_FAULT_READ);
	all = look(p->e.store);
	reads = store_sim_calls(p->e.store, SIM_FAULT_READ) - reads;
	ck_assert_uint_eq(all.damages + all.leaks, 0);
	ck_assert_uint_eq(all.blocks, 700);
	ck_assert_uint_gt(all.pages, 700);
	for (uint64_t n = 1; n <= reads; n++) {
		store_sim_fault(p->e.store, SIM_FAULT_READ, n, 1, -EIO);
		now = look(p->e.store);
		ck_assert(now.damages || now.pages == all.pages);
		ck_assert_uint_eq(now.leaks, 0);
		clean += now.damages == 0;
	}
	store_sim_fault(p->e.store, SIM_FAULT_READ, 0, 0, 0);
	ck_assert_uint_ge(clean, 10); /* 128 pages a read at most, and 700 of them */
	ck_assert_uint_lt(clean, reads);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("online");
	TCase *t = tcase_create("check of a pool in use");

	tcase_set_timeout(t, 20);
	tcase_add_test(t, what_was_pinned_is_read_however_many_checkpoints_follow);
	tcase_add_test(t, what_is_not_pinned_changes_under_the_reader);
	tcase_add_test(t, zones_of_metadata_stay_while_somebody_reads_there);
	tcase_add_test(t, damage_is_found_also_after_its_page_was_written_anew);
	tcase_add_test(t, a_check_that_is_overrun_says_so_and_not_what_it_saw);
	tcase_add_test(t, a_journal_that_went_past_the_pinned_checkpoint_is_no_damage);
	tcase_add_test(t, a_full_pool_gets_its_zones_back_at_once);
	tcase_add_test(t, a_large_pool_is_read_by_a_thread);
	suite_add_tcase(s, t);
	return run_suite(s);
}
