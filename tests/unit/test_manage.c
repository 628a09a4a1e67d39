/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_manage.c - create, snapshot, clone, roll back, remove, rename, resize
 */
#include "pool_testing.h"

static struct cowbd_pool *p;

static void setup(void)
{
	p = make_pool(64 * MIB, 4096);
}

static void teardown(void)
{
	check_and_close(p);
}

static void volume_with(const char *name, uint64_t size, int byte)
{
	struct cowbd_client *c = make_volume(p, name, size);

	write_fill(c, 0, size, byte);
	cowbd_client_close(c);
}

static void fill_volume(const char *name, uint64_t offset, uint64_t len, int byte)
{
	struct cowbd_client *c = attach(p, name);

	write_fill(c, offset, len, byte);
	cowbd_client_close(c);
}

/* ---- create and names --------------------------------------------------------------------- */

START_TEST(create_refuses_what_can_not_be)
{
	ck_assert_error(cowbd_create(p, "v", 0, 0, 0), -EINVAL);
	ck_assert_error(cowbd_create(p, "v", 513, 0, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "1024")); /* the next one up */
	ck_assert_error(cowbd_create(p, "v", UINT64_MAX - 511, 0, 0), -EINVAL);
	ck_assert_error(cowbd_create(p, "v", 4096, 1000, 0), -EINVAL);
	ck_assert_error(cowbd_create(p, "v", 4096 + 512, 4096, 0), -EINVAL);
	ck_assert_error(cowbd_create(p, "v@s", 4096, 0, 0), -EINVAL);
	ck_assert_error(cowbd_create(p, "", 4096, 0, 0), -EINVAL);
	ck_assert_uint_eq(info(p).volumes, 0);
	ck_assert_ok(cowbd_create(p, "v", 4096, 4096, 0));
	ck_assert_error(cowbd_create(p, "v", 4096, 0, 0), -EEXIST);
	ck_assert_uint_eq(find(p, "v").sector_size, 4096);
}
END_TEST

START_TEST(an_id_is_never_used_again)
{
	uint64_t first;

	ck_assert_ok(cowbd_create(p, "v", 4096, 0, 0));
	first = find(p, "v").id;
	ck_assert_ok(remove_one(p, "v", 0));
	ck_assert_ok(cowbd_create(p, "v", 4096, 0, 0));
	ck_assert_uint_gt(find(p, "v").id, first);
}
END_TEST

/* ---- snapshot ------------------------------------------------------------------------------ */

START_TEST(snapshot_refuses_what_can_not_be)
{
	ck_assert_ok(cowbd_create(p, "v", 4096, 0, 0));
	ck_assert_error(snapshot(p, "v"), -EINVAL);
	ck_assert_error(snapshot(p, "w@s"), -ENOENT);
	ck_assert_error(snapshot(p, "v@"), -EINVAL);
	ck_assert_error(snapshot(p, "v@a/b"), -EINVAL);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(snapshot(p, "v@s"), -EEXIST);
	ck_assert_uint_eq(info(p).snapshots, 1);
}
END_TEST

START_TEST(a_group_of_snapshots_is_made_wholly_or_not_at_all)
{
	const char *bad[] = {"a@s", "b@s", "none@s"}, *twice[] = {"a@s", "b@s", "a@s"},
		   *good[] = {"a@s", "b@s"};

	volume_with("a", 65536, 1);
	volume_with("b", 65536, 2);
	ck_assert_error(cowbd_snapshot(p, bad, 3, COWBD_LABEL_NONE, 0), -ENOENT);
	ck_assert_error(cowbd_snapshot(p, twice, 3, COWBD_LABEL_NONE, 0), -EEXIST);
	ck_assert_uint_eq(info(p).snapshots, 0);
	ck_assert_ok(cowbd_snapshot(p, good, 2, COWBD_LABEL_FLUSHED, 0));
	ck_assert_uint_eq(find(p, "a@s").created, find(p, "b@s").created);
	ck_assert_int_eq(find(p, "a@s").label, COWBD_LABEL_FLUSHED);
	ck_assert(object_holds(p, "b@s", 0, 65536, 2));
}
END_TEST

static struct writer {
	pthread_t thread;
	struct cowbd_client *c;
	_Atomic bool stop;
	_Atomic int acknowledged;
} writer;

/* Writes one number over the whole disk, then the next one. */
static void *write_on(void *opaque)
{
	(void)opaque;
	for (int i = 1; !atomic_load(&writer.stop); i++) {
		write_fill(writer.c, 0, 65536, i & 0xff);
		atomic_store(&writer.acknowledged, i);
	}
	return NULL;
}

/* [rule 7] What a snapshot holds is what was acknowledged before, or one later write, and it stays. */
START_TEST(a_snapshot_taken_while_somebody_writes_is_one_instant)
{
	static uint8_t first[65536], again[65536];
	char name[32];

	writer.c = make_volume(p, "v", 65536);
	write_fill(writer.c, 0, 65536, 0);
	ck_assert_int_eq(pthread_create(&writer.thread, NULL, write_on, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		int before = atomic_load(&writer.acknowledged), after;
		struct cowbd_client *c;

		snprintf(name, sizeof name, "v@%u", i);
		ck_assert_ok(snapshot(p, name));
		after = atomic_load(&writer.acknowledged) + 1;
		c = attach(p, name);
		ck_assert_ok(cowbd_read(c, first, sizeof first, 0));
		usleep(1000);
		ck_assert_ok(cowbd_read(c, again, sizeof again, 0));
		cowbd_client_close(c);
		ck_assert(memcmp(first, again, sizeof first) == 0);
		for (size_t k = 0; k < sizeof first; k += 4096)
			if ((uint8_t)(first[k] - before) > (uint8_t)(after - before))
				ck_abort_msg("block %zu holds %u, written were %d to %d", k / 4096,
					     first[k], before, after);
	}
	atomic_store(&writer.stop, true);
	pthread_join(writer.thread, NULL);
	cowbd_client_close(writer.c);
}
END_TEST

/* ---- clone --------------------------------------------------------------------------------- */

START_TEST(clone_refuses_what_can_not_be)
{
	const char *twice[] = {"c", "d", "c"}, *taken[] = {"c", "v"};

	volume_with("v", 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(clone_one(p, "v@none", "c"), -ENOENT);
	ck_assert_error(clone_one(p, "v@s", "v"), -EEXIST);
	ck_assert_error(clone_one(p, "v@s", "c@d"), -EINVAL);
	ck_assert_error(cowbd_clone(p, "v@s", twice, 3, 0, 0), -EEXIST);
	ck_assert_error(cowbd_clone(p, "v@s", taken, 2, 0, 0), -EEXIST);
	ck_assert_uint_eq(info(p).volumes, 1);
}
END_TEST

/* Either may go first. */
START_TEST(origin_snapshot_and_clone_go_in_any_order)
{
	static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					      {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	static const char *const names[] = {"v", "v@s", "c"};
	bool there[3] = {true, true, true};

	volume_with("v", MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(clone_one(p, "v@s", "c"));
	fill_volume("v", 0, MIB / 4, 2);
	fill_volume("c", MIB / 4, MIB / 4, 3);
	for (unsigned i = 0; i < 3; i++) {
		unsigned which = orders[_i][i];

		if (!there[which]) /* the snapshot went with its volume */
			continue;
		ck_assert_ok(remove_one(p, names[which], COWBD_RECURSIVE));
		there[which] = false;
		there[1] = there[1] && there[0];
		ck_assert_ok(cowbd_reclaim_wait(p));
		check_pool(p);
		if (there[0]) {
			ck_assert(object_holds(p, "v", 0, MIB / 4, 2));
			ck_assert(object_holds(p, "v", MIB / 4, 3 * MIB / 4, 1));
		}
		if (there[1])
			ck_assert(object_holds(p, "v@s", 0, MIB, 1));
		if (there[2]) {
			ck_assert(object_holds(p, "c", MIB / 4, MIB / 4, 3));
			ck_assert(object_holds(p, "c", MIB / 2, MIB / 2, 1));
		}
	}
	ck_assert_uint_eq(info(p).used_blocks, 0);
}
END_TEST

START_TEST(a_thousand_clones_are_one_group)
{
	static char names[1000][16];
	static const char *list[1000];

	volume_with("v", 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof names[i], "c-%u", i);
		list[i] = names[i];
	}
	ck_assert_ok(cowbd_clone(p, "v@s", list, 1000, 0, 0));
	ck_assert_uint_eq(info(p).volumes, 1001);
	fill_volume("c-500", 0, 4096, 2);
	ck_assert(object_holds(p, "c-999", 0, 65536, 1));
	ck_assert_ok(cowbd_remove(p, list, 1000, 0));
	ck_assert_ok(cowbd_reclaim_wait(p));
	ck_assert(object_holds(p, "v", 0, 65536, 1));
}
END_TEST

START_TEST(the_parent_is_kept_when_it_has_gone)
{
	uint64_t id;

	volume_with("v", 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	id = find(p, "v@s").id;
	ck_assert_ok(clone_one(p, "v@s", "c"));
	ck_assert_str_eq(find(p, "c").parent_name, "v@s");
	ck_assert_ok(remove_one(p, "v", COWBD_RECURSIVE));
	ck_assert_uint_eq(find(p, "c").parent, id);
	ck_assert_str_eq(find(p, "c").parent_name, "");
}
END_TEST

/* ---- rollback ------------------------------------------------------------------------------- */

static void two_states(void)
{
	volume_with("v", MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	fill_volume("v", 0, MIB, 2);
}

START_TEST(rollback_keeps_what_was_left_behind)
{
	two_states();
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, 0));
	ck_assert(object_holds(p, "v", 0, MIB, 1));
	ck_assert(object_holds(p, "v@before-rollback", 0, MIB, 2));
	ck_assert(find(p, "v@before-rollback").flags & COWBD_FLAG_BEFORE_ROLLBACK);
	fill_volume("v", 0, MIB, 3);
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, 0)); /* replaces the older one */
	ck_assert(object_holds(p, "v@before-rollback", 0, MIB, 3));
	ck_assert_uint_eq(info(p).snapshots, 2);
}
END_TEST

START_TEST(a_rollback_can_be_undone_and_that_too)
{
	two_states();
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, 0));
	ck_assert_ok(cowbd_rollback(p, "v@before-rollback", NULL, 0));
	ck_assert(object_holds(p, "v", 0, MIB, 2));
	ck_assert(object_holds(p, "v@before-rollback", 0, MIB, 1));
	ck_assert_ok(cowbd_rollback(p, "v@before-rollback", NULL, 0));
	ck_assert(object_holds(p, "v", 0, MIB, 1));
	ck_assert(object_holds(p, "v@before-rollback", 0, MIB, 2));
	ck_assert(object_holds(p, "v@s", 0, MIB, 1));
}
END_TEST

/* The counts of the state that comes back are needed though nothing but it named them before. */
START_TEST(undo_works_with_a_cold_cache)
{
	struct cowbd_client *w;
	struct page *page;
	int r;

	volume_with("v", MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	w = make_volume(
		p, "w",
		2048 * MIB); /* a leaf each: the next root is in another zone than the catalog */
	for (uint64_t i = 0; i < ZONE_TWINS + 88; i++)
		write_fill(w, 2 * i * MIB, 4096, 1);
	cowbd_client_close(w);
	fill_volume("v", 0, MIB, 2);
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, 0));
	fill_volume("v", 0, 4096, 7);
	ck_assert_ok(checkpoint_run(&p->e));
	for (unsigned round = 0; round < 2;
	     round++) /* more pages than the cache holds, so that nothing stays */
		for (uint64_t no = 0; no < ZONE_TWINS - 1; no++) {
			uint64_t zone = p->e.geo.first_group + 1 + no;

			SECTION(&p->e, r,
				pages_get(p->e.pages, zone_page(&p->e.geo, zone), PAGE_ZONE,
					  &page));
			ck_assert_int_eq(r, 0);
		}
	ck_assert_ok(cowbd_rollback(p, "v@before-rollback", NULL, 0));
	ck_assert(object_holds(p, "v", 0, MIB, 2));
}
END_TEST

START_TEST(rollback_keeps_a_lasting_snapshot_or_none_if_told_so)
{
	two_states();
	ck_assert_ok(cowbd_rollback(p, "v@s", "mine", 0));
	ck_assert(object_holds(p, "v@mine", 0, MIB, 2));
	ck_assert_uint_eq(find(p, "v@mine").flags, 0);
	fill_volume("v", 0, MIB, 3);
	ck_assert_error(cowbd_rollback(p, "v@s", "mine", 0), -EEXIST);
	ck_assert(object_holds(p, "v", 0, MIB, 3));
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, COWBD_DISCARD));
	ck_assert(!exists(p, "v@before-rollback"));
	ck_assert(object_holds(p, "v", 0, MIB, 1));
}
END_TEST

START_TEST(rollback_refuses_what_can_not_be)
{
	struct cowbd_client *c;

	two_states();
	ck_assert_error(cowbd_rollback(p, "v", NULL, 0), -EINVAL);
	ck_assert_error(cowbd_rollback(p, "v@none", NULL, 0), -ENOENT);
	ck_assert_error(cowbd_rollback(p, "v@s", "a@b", 0), -EINVAL);
	ck_assert_ok(snapshot(p, "v@before-rollback")); /* somebody's own: not ours to replace */
	ck_assert_error(cowbd_rollback(p, "v@s", NULL, 0), -EEXIST);
	c = attach(p, "v");
	ck_assert(holds(c, 0, MIB, 2));
	ck_assert_error(cowbd_rollback(p, "v@s", "k", 0), -EBUSY);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "test")); /* who */
	ck_assert_ok(cowbd_rollback(p, "v@s", "k", COWBD_IGNORE_CLIENTS));
	cowbd_client_close(c);
}
END_TEST

START_TEST(rollback_brings_the_size_back)
{
	two_states();
	ck_assert_ok(cowbd_resize(p, "v", 300 * MIB, 0));
	fill_volume("v", 299 * MIB, MIB, 5);
	ck_assert_ok(cowbd_rollback(p, "v@s", NULL, 0));
	ck_assert_uint_eq(find(p, "v").size, MIB);
	ck_assert_uint_eq(find(p, "v@before-rollback").size, 300 * MIB);
	ck_assert(object_holds(p, "v@before-rollback", 299 * MIB, MIB, 5));
	ck_assert_ok(cowbd_rollback(p, "v@before-rollback", NULL, 0));
	ck_assert(object_holds(p, "v", 299 * MIB, MIB, 5));
}
END_TEST

/* ---- remove --------------------------------------------------------------------------------- */

START_TEST(remove_refuses_what_can_not_be_and_removes_nothing_then)
{
	const char *some[] = {"a", "v"}, *all[] = {"v", "v@s", "a", "v@s"};
	struct cowbd_client *c;

	ck_assert_ok(cowbd_create(p, "a", 4096, 0, 0));
	ck_assert_ok(cowbd_create(p, "v", 4096, 0, 0));
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(remove_one(p, "none", 0), -ENOENT);
	ck_assert_error(cowbd_remove(p, some, 2, 0), -EBUSY);
	ck_assert_ptr_nonnull(strstr(cowbd_error(), "v@s"));
	c = attach(p, "v@s");
	ck_assert(holds(c, 0, 4096, 0));
	ck_assert_error(cowbd_remove(p, all, 4, 0), -EBUSY);
	ck_assert(exists(p, "a") && exists(p, "v") && exists(p, "v@s"));
	cowbd_client_close(c);
	ck_assert_ok(cowbd_remove(p, all, 4, 0)); /* named twice is named */
	ck_assert_uint_eq(info(p).volumes + info(p).snapshots, 0);
}
END_TEST

START_TEST(what_a_removal_frees_is_known_before)
{
	const char *both[] = {"v@a", "v@b"};
	uint64_t a, b, set;

	volume_with("v", MIB, 1);
	ck_assert_ok(snapshot(p, "v@a"));
	ck_assert_ok(snapshot(p, "v@b"));
	fill_volume("v", 0, MIB / 2, 2);
	ck_assert_ok(cowbd_remove_frees(p, both, 1, 0, &a));
	ck_assert_ok(cowbd_remove_frees(p, both + 1, 1, 0, &b));
	ck_assert_ok(cowbd_remove_frees(p, both, 2, 0, &set));
	ck_assert_uint_eq(a, 0);
	ck_assert_uint_eq(b, 0);
	ck_assert_uint_ge(set, MIB / 2); /* and the map pages */
	ck_assert_uint_lt(set, MIB / 2 + 4 * PAGE_BYTES);
}
END_TEST

/* ---- rename ----------------------------------------------------------------------------------- */

START_TEST(rename_keeps_the_snapshots_and_refuses_what_can_not_be)
{
	volume_with("v", 65536, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(snapshot(p, "v@t"));
	ck_assert_ok(cowbd_create(p, "w", 4096, 0, 0));
	ck_assert_error(cowbd_rename(p, "v", "w", 0), -EEXIST);
	ck_assert_error(cowbd_rename(p, "v", "v@s", 0), -EINVAL);
	ck_assert_error(cowbd_rename(p, "none", "x", 0), -ENOENT);
	ck_assert_error(cowbd_rename(p, "v@s", "w@s", 0), -EINVAL);
	ck_assert_error(cowbd_rename(p, "v@s", "v@t", 0), -EEXIST);
	ck_assert_error(cowbd_rename(p, "v@s", "u", 0), -EINVAL);
	ck_assert_ok(cowbd_rename(p, "v", "u", 0));
	ck_assert_ok(cowbd_rename(p, "u@s", "u@r", 0));
	ck_assert(!exists(p, "v") && !exists(p, "u@s"));
	ck_assert(object_holds(p, "u@r", 0, 65536, 1));
	ck_assert(exists(p, "u@t"));
}
END_TEST

/* ---- resize ------------------------------------------------------------------------------------- */

START_TEST(resize_up_brings_zeros_even_after_a_shrink)
{
	volume_with("v", 65536, 1);
	ck_assert_ok(cowbd_resize(p, "v", 65536 - 1536, COWBD_SHRINK_FORCE));
	ck_assert_ok(cowbd_resize(p, "v", 4 * MIB, 0));
	ck_assert(object_holds(p, "v", 0, 65536 - 1536, 1));
	ck_assert(object_holds(p, "v", 65536 - 1536, 4 * MIB - 65536 + 1536, 0));
	ck_assert_ok(cowbd_resize(p, "v", UINT64_C(1) << 40, 0));
	fill_volume("v", (UINT64_C(1) << 40) - 4096, 4096, 4);
	ck_assert(object_holds(p, "v", 0, 65536 - 1536, 1));
	ck_assert(object_holds(p, "v", (UINT64_C(1) << 40) - 4096, 4096, 4));
}
END_TEST

START_TEST(resize_down_cuts_mapped_blocks_off_only_when_forced)
{
	volume_with("v", 4 * MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(cowbd_resize(p, "v", MIB, 0), -EBUSY);
	ck_assert_uint_eq(find(p, "v").size, 4 * MIB);
	ck_assert_ok(cowbd_resize(p, "v", MIB, COWBD_SHRINK_FORCE));
	ck_assert_uint_eq(find(p, "v").size, MIB);
	ck_assert(object_holds(p, "v", 0, MIB, 1));
	ck_assert(object_holds(p, "v@s", 0, 4 * MIB, 1));
	ck_assert_ok(cowbd_resize(p, "v", 4 * MIB, 0));
	ck_assert(object_holds(p, "v", MIB, 3 * MIB, 0));
}
END_TEST

START_TEST(resize_refuses_what_can_not_be)
{
	struct cowbd_client *c;

	ck_assert_ok(cowbd_create(p, "v", MIB, 4096, 0));
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_error(cowbd_resize(p, "v", 0, 0), -EINVAL);
	ck_assert_error(cowbd_resize(p, "v", 1000, 0), -EINVAL);
	ck_assert_error(cowbd_resize(p, "v", MIB + 512, 0), -EINVAL);
	ck_assert_error(cowbd_resize(p, "none", MIB, 0), -ENOENT);
	ck_assert_error(cowbd_resize(p, "v@s", MIB, 0), -EINVAL);
	c = attach(p, "v");
	ck_assert(holds(c, 0, 4096, 0));
	ck_assert_error(cowbd_resize(p, "v", MIB / 2, 0), -EBUSY);
	ck_assert_ok(
		cowbd_resize(p, "v", 2 * MIB, 0)); /* larger is fine: seen when attached anew */
	ck_assert_uint_eq(cowbd_client_size(c), MIB);
	cowbd_client_close(c);
}
END_TEST

/* ---- ephemeral volumes -------------------------------------------------------------------- */

/* A minute in the terms of the test's own clock. */
#define MINUTE UINT64_C(60000000000)

START_TEST(an_ephemeral_clone_goes_a_minute_after_its_last_client)
{
	uint64_t now = now_ns();
	struct cowbd_client *c;

	volume_with("v", MIB, 1);
	ck_assert_ok(snapshot(p, "v@s"));
	ck_assert_ok(cowbd_clone(p, "v@s", (const char *[]){"e", "f"}, 2, COWBD_FLAG_EPHEMERAL, 0));
	ck_assert_ok(clone_one(p, "v@s", "lasting"));
	ck_assert_ok(snapshot(p, "f@kept"));
	ck_assert_ok(manage_drop_ephemeral(p, now));
	ck_assert_ok(manage_drop_ephemeral(p, now + MINUTE - 1));
	ck_assert(exists(p, "e"));

	/* a client, however long, begins the time anew */
	c = attach(p, "e");
	ck_assert_ok(manage_drop_ephemeral(p, now + 10 * MINUTE));
	write_fill(c, 0, MIB, 2);
	cowbd_client_close(c);
	ck_assert_ok(manage_drop_ephemeral(p, now + 20 * MINUTE));
	ck_assert_ok(manage_drop_ephemeral(p, now + 21 * MINUTE - 1));
	ck_assert(exists(p, "e"));
	ck_assert_ok(manage_drop_ephemeral(p, now + 21 * MINUTE));
	ck_assert(!exists(p, "e"));

	/* what has a snapshot is of use to somebody; what is not ephemeral stays anyway */
	ck_assert(exists(p, "f"));
	ck_assert(exists(p, "lasting"));
	ck_assert_ok(remove_one(p, "f@kept", 0));
	ck_assert_ok(manage_drop_ephemeral(p, now + 22 * MINUTE));
	ck_assert(exists(p, "f"));
	ck_assert_ok(manage_drop_ephemeral(p, now + 23 * MINUTE));
	ck_assert(!exists(p, "f"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("manage");
	TCase *t = tcase_create("manage");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, create_refuses_what_can_not_be);
	tcase_add_test(t, an_id_is_never_used_again);
	tcase_add_test(t, snapshot_refuses_what_can_not_be);
	tcase_add_test(t, a_group_of_snapshots_is_made_wholly_or_not_at_all);
	tcase_add_test(t, a_snapshot_taken_while_somebody_writes_is_one_instant);
	tcase_add_test(t, clone_refuses_what_can_not_be);
	tcase_add_loop_test(t, origin_snapshot_and_clone_go_in_any_order, 0, 6);
	tcase_add_test(t, a_thousand_clones_are_one_group);
	tcase_add_test(t, the_parent_is_kept_when_it_has_gone);
	tcase_add_test(t, rollback_keeps_what_was_left_behind);
	tcase_add_test(t, a_rollback_can_be_undone_and_that_too);
	tcase_add_test(t, undo_works_with_a_cold_cache);
	tcase_add_test(t, rollback_keeps_a_lasting_snapshot_or_none_if_told_so);
	tcase_add_test(t, rollback_refuses_what_can_not_be);
	tcase_add_test(t, rollback_brings_the_size_back);
	tcase_add_test(t, remove_refuses_what_can_not_be_and_removes_nothing_then);
	tcase_add_test(t, what_a_removal_frees_is_known_before);
	tcase_add_test(t, rename_keeps_the_snapshots_and_refuses_what_can_not_be);
	tcase_add_test(t, resize_up_brings_zeros_even_after_a_shrink);
	tcase_add_test(t, resize_down_cuts_mapped_blocks_off_only_when_forced);
	tcase_add_test(t, resize_refuses_what_can_not_be);
	tcase_add_test(t, an_ephemeral_clone_goes_a_minute_after_its_last_client);
	suite_add_tcase(s, t);
	return run_suite(s);
}
