/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_pages.c - metadata pages in two slots each, cached, checkpointed atomically
 */
#include "pool_testing.h"

#define GROUP_0 (1 + 2) /* its header zone: behind the superblock and 8 MiB of journal */

/* The pages of the zones of one group, and of a metadata zone with something in it. */
static struct cowbd_pool *p;
static struct engine *e;

static void setup(void)
{
	p = make_pool(2048 * MIB, 4096);
	e = &p->e;
}

static void teardown(void)
{
	throw_away(p);
}

static int get(uint64_t no, enum page_kind kind, struct page **ret_page)
{
	int r;

	SECTION(e, r, pages_get(e->pages, no, kind, ret_page));
	return r;
}

/* A page of a map, made and dirty: in a zone that is made for it. */
static struct page *new_page(uint64_t *ret_no)
{
	struct page *page = NULL;
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = engine_prepare(e, 1, 1);
		if (r == 0) {
			*ret_no = engine_take_page(e);
			page = pages_make(e->pages, *ret_no, PAGE_MAP);
			((struct disk_map *)page->data)->first = put64(0);
		}
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
	return page;
}

static struct le32 slot_of(uint64_t no)
{
	struct page *zone;

	ck_assert_ok(get(zone_page(&e->geo, page_zone(no)), PAGE_ZONE, &zone));
	return ((struct disk_zone *)zone->data)->slot[no % ZONE_TWINS];
}

static uint64_t entry_on_disk(uint64_t no, unsigned which)
{
	static _Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];

	ck_assert_ok(store_read(e->store, STORE_DIRECT, page_offset(no, which), buf, PAGE_BYTES));
	return get48(((struct disk_map *)(void *)buf)->entry[0]);
}

static void set_entry(uint64_t no, uint64_t value)
{
	struct page *page;
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = pages_prepare(e->pages, 1);
		if (r == 0)
			r = pages_get(e->pages, no, PAGE_MAP, &page);
		if (r == 0)
			((struct disk_map *)pages_write(e->pages, page))->entry[0] = put48(value);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
}

START_TEST(a_page_that_was_never_written_is_empty)
{
	struct page *page;

	ck_assert_ok(get(zone_page(&e->geo, GROUP_0 + 5), PAGE_ZONE, &page));
	ck_assert_uint_eq(get16(((struct disk_zone *)page->data)->type), ZONE_FREE);
}
END_TEST

START_TEST(a_miss_says_what_is_needed)
{
	struct page *page;
	uint64_t no = zone_page(&e->geo, GROUP_0 + 300);

	metalock_shared(&e->lock);
	ck_assert_int_eq(pages_get(e->pages, no, PAGE_ZONE, &page), -EAGAIN);
	metalock_drop(&e->lock);
	ck_assert_int_eq(thread_need.what, NEED_PAGE);
	ck_assert_uint_eq(thread_need.page, no);
	ck_assert_ok(pages_fill(e->pages));
	metalock_shared(&e->lock);
	ck_assert_int_eq(pages_get(e->pages, no, PAGE_ZONE, &page), 0);
	metalock_drop(&e->lock);
}
END_TEST

START_TEST(a_page_of_another_kind_is_damage)
{
	struct page *page;

	ck_assert_ok(get(zone_page(&e->geo, GROUP_0 + 5), PAGE_ZONE, &page));
	ck_assert_error(get(zone_page(&e->geo, GROUP_0 + 5), PAGE_MAP, &page), -EUCLEAN);
}
END_TEST

/* [PAGES-1] */
START_TEST(checkpoints_write_the_slots_in_turn)
{
	uint64_t no;

	(void)new_page(&no);
	for (uint64_t i = 1; i <= 4; i++) {
		unsigned before;

		set_entry(no, i);
		before = slot_which(slot_of(no));
		ck_assert_ok(checkpoint_run(e));
		ck_assert(slot_written(slot_of(no)));
		ck_assert_uint_eq(entry_on_disk(no, slot_which(slot_of(no))), i);
		if (i > 1) {
			ck_assert_uint_ne(slot_which(slot_of(no)), before);
			ck_assert_uint_eq(entry_on_disk(no, before), i - 1);
		}
	}
}
END_TEST

START_TEST(a_clean_page_is_not_written_again)
{
	uint64_t no, written;
	struct le32 slot;

	(void)new_page(&no);
	ck_assert_ok(checkpoint_run(e));
	slot = slot_of(no);
	written = pages_written(e->pages);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_uint_eq(get32(slot_of(no)), get32(slot));
	ck_assert_uint_eq(pages_written(e->pages), written);
}
END_TEST

/* What is changed between the cut and the writing does not belong to the checkpoint. */
START_TEST(a_frozen_page_that_is_changed_is_written_as_it_was_at_the_cut)
{
	uint64_t no;

	(void)new_page(&no);
	set_entry(no, 1);
	metalock_exclusive(&e->lock);
	pages_cut(e->pages);
	metalock_drop(&e->lock);
	set_entry(no, 2);
	set_entry(no, 3);
	ck_assert_ok(pages_write_frozen(e->pages, 77));
	ck_assert_uint_eq(entry_on_disk(no, slot_which(slot_of(no))), 1);
	ck_assert_uint_eq(pages_dirty(e->pages), 1);
}
END_TEST

/* [PAGES-3] */
START_TEST(what_rots_on_disk_is_seen)
{
	static _Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	struct page *page;
	struct store *s;
	uint64_t offset;
	struct le32 slot;
	uint64_t no;

	(void)new_page(&no);
	set_entry(no, 5);
	ck_assert_ok(checkpoint_run(e));
	slot = slot_of(no);
	offset = page_offset(no, slot_which(slot));
	ck_assert_ok(store_read(e->store, STORE_DIRECT, offset, buf, PAGE_BYTES));
	buf[1000] ^= 1;
	ck_assert_ok(store_write(e->store, STORE_DIRECT, offset, buf, PAGE_BYTES));
	ck_assert_ok(store_sim_copy(e->store, NULL, &s));
	throw_away(p);
	p = open_pool(s, COWBD_OPEN_READ_ONLY | COWBD_OPEN_LOST_TAIL);
	e = &p->e;
	ck_assert_error(get(no, PAGE_MAP, &page), -EBADMSG);
	ck_assert_ok(cowbd_close(p));
	setup();
}
END_TEST

/* The older twin is whole, and must not be taken for the current one. */
START_TEST(an_older_twin_is_never_believed)
{
	static _Alignas(PAGE_BYTES) uint8_t old[PAGE_BYTES];
	struct page *page;
	struct store *s;
	uint64_t no;
	unsigned now;

	(void)new_page(&no);
	ck_assert_ok(checkpoint_run(e));
	set_entry(no, 5);
	ck_assert_ok(checkpoint_run(e));
	now = slot_which(slot_of(no));
	ck_assert_ok(store_read(e->store, STORE_DIRECT, page_offset(no, !now), old, PAGE_BYTES));
	ck_assert_ok(store_write(e->store, STORE_DIRECT, page_offset(no, now), old, PAGE_BYTES));
	ck_assert_ok(store_sim_copy(e->store, NULL, &s));
	throw_away(p);
	p = open_pool(s, COWBD_OPEN_READ_ONLY | COWBD_OPEN_LOST_TAIL);
	e = &p->e;
	ck_assert_error(get(no, PAGE_MAP, &page), -EBADMSG);
	ck_assert_ok(cowbd_close(p));
	setup();
}
END_TEST

START_TEST(too_many_dirty_pages_ask_for_a_checkpoint)
{
	uint64_t no, made = 0;
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = pages_prepare(e->pages, 1);
		metalock_drop(&e->lock);
		if (r == 0)
			(void)new_page(&no);
	} while (r == 0 && ++made < 10000);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_eq(thread_need.what, NEED_CHECKPOINT);
	ck_assert_ok(engine_need(e));
	ck_assert_uint_eq(pages_dirty(e->pages), 0);
}
END_TEST

START_TEST(the_cache_stays_within_its_bound)
{
	uint64_t bytes = MIB;
	struct page *page;

	for (unsigned round = 0; round < 3; round++)
		for (uint64_t zone = GROUP_0 + 1; zone < e->geo.zones; zone++)
			if (zone_index(&e->geo, zone))
				ck_assert_ok(get(zone_page(&e->geo, zone), PAGE_ZONE, &page));
	ck_assert_uint_lt(pages_bytes(e->pages), 2 * bytes);
}
END_TEST

static int look_at_three(uint64_t zone)
{
	struct page *page;
	int r = 0;

	for (uint64_t i = 0; i < 3 && r == 0; i++)
		r = pages_get(e->pages, zone_page(&e->geo, zone + 40 * i), PAGE_ZONE, &page);
	return r;
}

/* In the middle of a checkpoint most of a small cache can't leave; whoever needs several pages at once gets them
 * all the same. */
START_TEST(a_section_gets_its_pages_while_nearly_none_can_leave)
{
	struct page *page;
	unsigned tries = 0;
	int r;

	for (uint64_t zone = GROUP_0 + 1; zone < GROUP_0 + 511 && zone < e->geo.zones; zone++) {
		if (zone >= 400)
			break;
		ck_assert_ok(get(zone_page(&e->geo, zone), PAGE_ZONE, &page));
		pages_pin(page);
	}
	for (uint64_t k = 0; k < 20; k++) {
		do {
			metalock_shared(&e->lock);
			r = look_at_three(401 + k);
			metalock_drop(&e->lock);
			ck_assert_uint_lt(++tries, 400);
		} while (r == -EAGAIN && (r = engine_need(e)) == 0);
		ck_assert_int_eq(r, 0);
	}
}
END_TEST

/* A count of 0 on disk is not enough to get a page that is in use changed under its user. */
START_TEST(a_page_that_was_taken_as_free_is_not_found_in_use)
{
	struct page *page;
	uint64_t no;

	(void)new_page(&no);
	ck_assert(!pages_claim(e->pages, no + 1)); /* nobody can have looked at it */
	ck_assert(pages_claim(e->pages, no));
	ck_assert_error(get(no, PAGE_MAP, &page), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "counted as free"));
	pages_unclaim(e->pages, no);
	ck_assert_ok(get(no, PAGE_MAP, &page));
	ck_assert(pages_claim(e->pages, no));
	metalock_exclusive(&e->lock);
	(void)pages_make(e->pages, no, PAGE_MAP); /* what it was taken for */
	metalock_drop(&e->lock);
	ck_assert_ok(get(no, PAGE_MAP, &page));
}
END_TEST

/* The same, of one that was not in the cache when it was taken. */
START_TEST(a_page_that_was_taken_as_free_is_not_read_in)
{
	struct page *page;
	struct store *s;
	uint64_t no;
	unsigned one = 1;

	(void)new_page(&no);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_ok(store_sim_copy(e->store, NULL, &s));
	throw_away(p);
	p = open_pool(s, COWBD_OPEN_READ_ONLY | COWBD_OPEN_LOST_TAIL);
	e = &p->e;
	pages_set_claims(e->pages, &no, &one);
	ck_assert_error(get(no, PAGE_MAP, &page), -EUCLEAN);
	one = 0;
	ck_assert_ok(get(no, PAGE_MAP, &page));
	ck_assert_ok(cowbd_close(p));
	setup();
}
END_TEST

/* Counts in the page of a zone that bears the number of the checkpoint to come would be taken for merged. */
START_TEST(a_page_of_a_checkpoint_to_come_is_damage)
{
	static _Alignas(PAGE_BYTES) uint8_t buf[PAGE_BYTES];
	struct page *page, *zone;
	struct store *s;
	uint64_t no, offset, sum;
	struct le32 slot;

	(void)new_page(&no);
	ck_assert_ok(checkpoint_run(e));
	ck_assert_ok(store_sim_copy(e->store, NULL, &s));
	throw_away(p);
	p = open_pool(s, COWBD_OPEN_READ_ONLY | COWBD_OPEN_LOST_TAIL);
	e = &p->e;
	slot = slot_of(no);
	offset = page_offset(no, slot_which(slot));
	ck_assert_ok(store_read(e->store, STORE_DIRECT, offset, buf, PAGE_BYTES));
	sum = page_seal(buf, PAGE_MAP, e->super.uuid, offset, get64(e->super.h.generation) + 1);
	ck_assert_ok(store_write(e->store, STORE_DIRECT, offset, buf, PAGE_BYTES));
	ck_assert_ok(get(zone_page(&e->geo, page_zone(no)), PAGE_ZONE, &zone));
	((struct disk_zone *)zone->data)->slot[no % ZONE_TWINS] = slot_make(slot_which(slot), sum);
	ck_assert_error(get(no, PAGE_MAP, &page), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "never was"));
	ck_assert_ok(cowbd_close(p));
	setup();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pages");
	TCase *t = tcase_create("pages");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_page_that_was_never_written_is_empty);
	tcase_add_test(t, a_miss_says_what_is_needed);
	tcase_add_test(t, a_page_of_another_kind_is_damage);
	tcase_add_test(t, checkpoints_write_the_slots_in_turn);
	tcase_add_test(t, a_clean_page_is_not_written_again);
	tcase_add_test(t, a_frozen_page_that_is_changed_is_written_as_it_was_at_the_cut);
	tcase_add_test(t, what_rots_on_disk_is_seen);
	tcase_add_test(t, an_older_twin_is_never_believed);
	tcase_add_test(t, too_many_dirty_pages_ask_for_a_checkpoint);
	tcase_add_test(t, the_cache_stays_within_its_bound);
	tcase_add_test(t, a_section_gets_its_pages_while_nearly_none_can_leave);
	tcase_add_test(t, a_page_that_was_taken_as_free_is_not_found_in_use);
	tcase_add_test(t, a_page_that_was_taken_as_free_is_not_read_in);
	tcase_add_test(t, a_page_of_a_checkpoint_to_come_is_damage);
	suite_add_tcase(s, t);
	return run_suite(s);
}
