/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_map.c - block map: look up, unshare a path, set, unmap, share
 */
#include "pool_testing.h"

#include "map.h"

static struct cowbd_pool *p;
static struct engine *e;
static struct space_cursor cursor;

static void setup(void)
{
	p = make_pool(64 * MIB, 4096);
	e = &p->e;
	cursor = (struct space_cursor){0};
}

static void teardown(void)
{
	throw_away(p);
}

/* ---- changes, each with its preparation ------------------------------------------------------ */

/* Maps n blocks from block on; returns where to. */
static uint64_t map_blocks(struct map_root *root, uint64_t block, unsigned n)
{
	uint64_t physical = 0, got = 0;
	int r;

	SECTION(e, r, space_take_blocks(e->space, &cursor, n, &physical, &got));
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(got, n);
	do {
		metalock_exclusive(&e->lock);
		r = map_prepare(e, root, block);
		if (r == 0) {
			space_claim_done(e->space, block_unit(&e->geo, physical), n, true);
			map_set(e, root, block, n, physical, 0);
		}
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
	return physical;
}

static struct map_root share(struct map_root *root)
{
	struct map_root copy = {0};
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = engine_prepare(e, 0, 1);
		if (r == 0)
			map_share(e, root, &copy);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
	return copy;
}

static struct map_step unmap_step(struct map_root *root, uint64_t block, uint64_t end)
{
	struct map_step step = {0};
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = map_step_prepare(e, root, block, end, &step);
		if (r == 0)
			map_step_apply(e, root, &step, 0);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
	return step;
}

static void own(struct map_root *root, uint64_t block, unsigned n)
{
	int r;

	SECTION(e, r, map_own(e, root, block, n));
	ck_assert_int_eq(r, 0);
}

static void settle(void)
{
	metalock_exclusive(&e->lock);
	space_durable(e->space, journal_durable_seq(e->journal));
	(void)space_settle(e->space);
	metalock_drop(&e->lock);
}

static struct map_extent look(const struct map_root *root, uint64_t block, uint64_t max)
{
	struct map_extent x = {0};
	int r;

	SECTION(e, r, map_lookup(e, root, block, max, &x));
	ck_assert_int_eq(r, 0);
	return x;
}

static unsigned page_refs(uint64_t entry)
{
	unsigned n = 0;
	int r;

	SECTION(e, r, space_true_count(e->space, page_unit(entry_number(entry)), &n));
	ck_assert_int_eq(r, 0);
	return n;
}

static unsigned block_refs(uint64_t physical)
{
	unsigned n = 0;
	int r;

	SECTION(e, r, space_true_count(e->space, block_unit(&e->geo, physical), &n));
	ck_assert_int_eq(r, 0);
	return n;
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(the_depth_follows_the_size)
{
	uint64_t leaf = MAP_FANOUT;

	ck_assert_uint_eq(map_depth_for(0), 1);
	ck_assert_uint_eq(map_depth_for(leaf), 1);
	ck_assert_uint_eq(map_depth_for(leaf + 1), 2);
	ck_assert_uint_eq(map_depth_for(leaf * leaf), 2);
	ck_assert_uint_eq(map_depth_for(leaf * leaf + 1), 3);
	ck_assert_uint_ge(map_span(map_depth_for(VOLUME_BYTES_MAX >> BLOCK_SHIFT_MIN)),
			  MAP_FANOUT == 512 ? VOLUME_BYTES_MAX >> BLOCK_SHIFT_MIN : 1);
}
END_TEST

START_TEST(an_empty_map_is_one_hole)
{
	struct map_root root = {.depth = 3};
	struct map_extent x = look(&root, 5, 1000);

	ck_assert_uint_eq(x.physical, 0);
	ck_assert_uint_eq(x.n, 1000);
	ck_assert(!x.owned);
}
END_TEST

START_TEST(what_was_mapped_is_found_and_owned)
{
	struct map_root root = {.depth = 3};
	uint64_t at = MAP_FANOUT * 7, physical = map_blocks(&root, at, 3);
	struct map_extent x = look(&root, at, 100);

	ck_assert_uint_eq(x.physical, physical);
	ck_assert_uint_eq(x.n, 3);
	ck_assert(x.owned);
	x = look(&root, at + 2, 100);
	ck_assert_uint_eq(x.physical, physical + 2);
	ck_assert_uint_eq(x.n, 1);
	ck_assert_uint_eq(look(&root, at + 3, 1).physical, 0);
	ck_assert_uint_eq(look(&root, 0, UINT64_MAX).n, MAP_FANOUT); /* an empty leaf */
	ck_assert_uint_eq(block_refs(physical), 1);
}
END_TEST

START_TEST(sharing_a_map_is_one_reference_to_its_root)
{
	struct map_root a = {.depth = 2}, b;
	uint64_t physical = map_blocks(&a, 0, 2);

	b = share(&a);
	ck_assert_uint_eq(b.entry, a.entry);
	ck_assert(entry_shared(a.entry));
	ck_assert_uint_eq(page_refs(a.entry), 2);
	ck_assert_uint_eq(block_refs(physical), 1);
	ck_assert(!look(&a, 0, 1).owned);
	ck_assert(!look(&b, 0, 1).owned);
}
END_TEST

/* [MAP-1] [MAP-2] */
START_TEST(the_first_change_copies_the_path_and_raises_what_it_names)
{
	struct map_root a = {.depth = 2}, b;
	uint64_t one = map_blocks(&a, 0, 1), two = map_blocks(&a, 1, 1),
		 far = map_blocks(&a, MAP_FANOUT, 1);
	uint64_t new;

	b = share(&a);
	new = map_blocks(&a, 0, 1);
	ck_assert_uint_ne(entry_number(a.entry), entry_number(b.entry));
	ck_assert_uint_eq(page_refs(a.entry), 1);
	ck_assert_uint_eq(page_refs(b.entry), 1);
	ck_assert_uint_eq(block_refs(one), 1); /* b's alone */
	ck_assert_uint_eq(block_refs(two), 2);
	ck_assert_uint_eq(block_refs(far), 1); /* its leaf is shared, not it */
	ck_assert_uint_eq(block_refs(new), 1);
	ck_assert(look(&a, 0, 1).owned);
	ck_assert(!look(&a, 1, 1).owned);
	ck_assert(!look(&a, MAP_FANOUT, 1).owned);
	ck_assert_uint_eq(look(&a, 0, 1).physical, new);
	ck_assert_uint_eq(look(&b, 0, 1).physical, one);
	ck_assert_uint_eq(look(&b, 1, 1).physical, two);
}
END_TEST

START_TEST(ownership_comes_back_when_nothing_is_shared_or_pending)
{
	struct map_root a = {.depth = 2}, b;
	uint64_t one = map_blocks(&a, 0, 1);

	b = share(&a);
	(void)map_blocks(&b, 0, 1); /* b leaves the block to a */
	ck_assert_uint_eq(block_refs(one), 1);
	own(&a, 0, 1);
	ck_assert(!look(&a, 0, 1).owned); /* b's references wait to fall */
	settle();
	own(&a, 0, 1);
	ck_assert(look(&a, 0, 1).owned);
}
END_TEST

START_TEST(what_a_map_overwrites_falls)
{
	struct map_root a = {.depth = 1};
	uint64_t old = map_blocks(&a, 3, 1), new = map_blocks(&a, 3, 1);

	ck_assert_uint_eq(block_refs(old), 0);
	ck_assert(space_pending(e->space, block_unit(&e->geo, old)));
	ck_assert_uint_eq(look(&a, 3, 1).physical, new);
}
END_TEST

START_TEST(a_part_of_a_leaf_is_unmapped_in_it)
{
	struct map_root a = {.depth = 2};
	uint64_t physical = map_blocks(&a, 0, 4);
	struct map_step step = unmap_step(&a, 1, 3);

	ck_assert_int_eq(step.kind, MAP_STEP_LEAF);
	ck_assert_uint_eq(step.next, 3);
	ck_assert_uint_eq(look(&a, 0, 4).n, 1);
	ck_assert_uint_eq(look(&a, 1, 4).physical, 0);
	ck_assert_uint_eq(look(&a, 3, 1).physical, physical + 3);
	ck_assert_uint_eq(e->ndying, 0);
}
END_TEST

/* [MAP-4] */
START_TEST(a_whole_subtree_is_detached_and_dies)
{
	struct map_root a = {.depth = 3};
	uint64_t all = map_span(3), physical = map_blocks(&a, MAP_FANOUT, 2);
	struct map_step step;

	(void)map_blocks(&a, 0, 1);
	step = unmap_step(&a, MAP_FANOUT, 2 * MAP_FANOUT);
	ck_assert_int_eq(step.kind, MAP_STEP_DETACH);
	ck_assert_uint_eq(step.level, 0);
	ck_assert_uint_eq(e->ndying, 1);
	ck_assert_uint_eq(block_refs(physical), 1); /* reclaim's work */
	ck_assert_uint_eq(look(&a, MAP_FANOUT, 1).physical, 0);
	step = unmap_step(&a, 0, all);
	ck_assert_uint_eq(step.level, 2);
	ck_assert_uint_eq(a.entry, 0);
	ck_assert_uint_eq(e->ndying, 2);
}
END_TEST

START_TEST(a_shared_subtree_that_is_detached_does_not_die)
{
	struct map_root a = {.depth = 2}, b;
	uint64_t physical = map_blocks(&a, MAP_FANOUT, 2);

	b = share(&a);
	(void)unmap_step(&a, MAP_FANOUT, 2 * MAP_FANOUT);
	ck_assert_uint_eq(e->ndying, 0);
	ck_assert_uint_eq(look(&a, MAP_FANOUT, 1).physical, 0);
	ck_assert_uint_eq(look(&b, MAP_FANOUT, 1).physical, physical);
	ck_assert_uint_eq(block_refs(physical), 1);
}
END_TEST

START_TEST(where_nothing_is_mapped_there_is_nothing_to_do)
{
	struct map_root a = {.depth = 3};
	struct map_step step;

	(void)map_blocks(&a, 0, 1);
	step = unmap_step(&a, MAP_FANOUT + 1, map_span(3));
	ck_assert_int_eq(step.kind, MAP_STEP_SKIP);
	ck_assert_uint_gt(step.next, MAP_FANOUT + 1);
	ck_assert_uint_ne(a.entry, 0);
}
END_TEST

START_TEST(a_deeper_map_says_the_same)
{
	struct map_root a = {.depth = 1};
	uint64_t physical = map_blocks(&a, 2, 1);
	int r;

	do {
		metalock_exclusive(&e->lock);
		r = engine_prepare(e, MAP_DEPTH_MAX, MAP_DEPTH_MAX);
		if (r == 0)
			map_deepen(e, &a, 4);
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(a.depth, 4);
	ck_assert_uint_eq(look(&a, 2, 1).physical, physical);
	ck_assert(look(&a, 2, 1).owned);
	ck_assert_uint_eq(look(&a, map_span(3), 1).physical, 0);
	(void)map_blocks(&a, map_span(3) + 5, 1);
	ck_assert_uint_eq(look(&a, 2, 1).physical, physical);
}
END_TEST

START_TEST(counts_agree_with_the_references_of_many_maps)
{
	enum { MAPS = 4, BLOCKS = 3 * 4 };
	struct map_root m[MAPS] = {{.depth = 2}};
	uint64_t state = 7 + (uint64_t)_i;

	for (unsigned i = 1; i < MAPS; i++)
		m[i] = share(&m[0]);
	for (unsigned step = 0; step < 200; step++) {
		state = state * UINT64_C(6364136223846793005) + 1;
		unsigned i = (unsigned)(state >> 33) % MAPS;
		uint64_t block = (state >> 40) % BLOCKS;

		block = block / 4 * MAP_FANOUT + block % 4;
		if (state >> 62)
			(void)map_blocks(&m[i], block, 1);
		else
			(void)unmap_step(&m[i], block, block + 1);
	}
	for (unsigned i = 0; i < MAPS; i++)
		for (uint64_t k = 0; k < BLOCKS; k++) {
			uint64_t block = k / 4 * MAP_FANOUT + k % 4,
				 physical = look(&m[i], block, 1).physical;
			unsigned maps = 0;

			if (!physical)
				continue;
			for (unsigned j = 0; j < MAPS; j++)
				maps += look(&m[j], block, 1).physical == physical;
			ck_assert_uint_ge(
				maps, block_refs(physical)); /* fewer, where leaves are shared */
			ck_assert_uint_gt(block_refs(physical), 0);
			if (look(&m[i], block, 1).owned)
				ck_assert_uint_eq(maps, 1);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, the_depth_follows_the_size);
	tcase_add_test(t, an_empty_map_is_one_hole);
	tcase_add_test(t, what_was_mapped_is_found_and_owned);
	tcase_add_test(t, sharing_a_map_is_one_reference_to_its_root);
	tcase_add_test(t, the_first_change_copies_the_path_and_raises_what_it_names);
	tcase_add_test(t, ownership_comes_back_when_nothing_is_shared_or_pending);
	tcase_add_test(t, what_a_map_overwrites_falls);
	tcase_add_test(t, a_part_of_a_leaf_is_unmapped_in_it);
	tcase_add_test(t, a_whole_subtree_is_detached_and_dies);
	tcase_add_test(t, a_shared_subtree_that_is_detached_does_not_die);
	tcase_add_test(t, where_nothing_is_mapped_there_is_nothing_to_do);
	tcase_add_test(t, a_deeper_map_says_the_same);
	tcase_add_loop_test(t, counts_agree_with_the_references_of_many_maps, 0, 5);
	suite_add_tcase(s, t);
	return run_suite(s);
}
