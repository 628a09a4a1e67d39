/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_catalog.c - names, volumes, snapshots, clones, lineage
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

/* Opens what a kill of the pool now would leave, by its checkpoint alone. */
static void reopen(void)
{
	struct cowbd_pool *old = p;
	struct store *s;

	ck_assert_ok(cowbd_checkpoint(p));
	ck_assert_ok(store_sim_copy(p->e.store, NULL, &s));
	p = open_pool(s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL);
	throw_away(old);
}

static void create(const char *name)
{
	ck_assert_ok(cowbd_create(p, name, 65536, 0, COWBD_NO_WAIT));
}

START_TEST(names_of_snapshots_are_unique_per_volume)
{
	create("a");
	create("b");
	ck_assert_ok(snapshot(p, "a@s"));
	ck_assert_ok(snapshot(p, "b@s"));
	ck_assert_error(snapshot(p, "a@s"), -EEXIST);
	create("s");
	ck_assert_uint_eq(find(p, "a@s").volume, find(p, "a").id);
	ck_assert_uint_eq(find(p, "b@s").volume, find(p, "b").id);
	ck_assert_uint_eq(find(p, "s").volume, 0);
}
END_TEST

START_TEST(a_name_that_can_not_be_is_told_from_one_that_is_not_there)
{
	char longest[2 * 256];
	struct cowbd_object o;

	create("a");
	ck_assert_error(cowbd_find(p, "b", &o), -ENOENT);
	ck_assert_error(cowbd_find(p, "a@s", &o), -ENOENT);
	ck_assert_error(cowbd_find(p, "b@s", &o), -ENOENT);
	ck_assert_error(cowbd_find(p, "", &o), -EINVAL);
	ck_assert_error(cowbd_find(p, "a@", &o), -EINVAL);
	ck_assert_error(cowbd_find(p, "@s", &o), -EINVAL);
	ck_assert_error(cowbd_find(p, "a@s@t", &o), -EINVAL);
	ck_assert_error(cowbd_find(p, "-a", &o), -EINVAL);
	memset(longest, 'n', sizeof longest);
	longest[256] = '\0';
	ck_assert_error(cowbd_find(p, longest, &o), -EINVAL);
	longest[256] = '@';
	longest[sizeof longest - 1] = '\0';
	ck_assert_error(cowbd_find(p, longest, &o), -EINVAL);
	longest[255] = '\0';
	create(longest);
	reopen();
	ck_assert(exists(p, longest));
}
END_TEST

START_TEST(all_that_is_said_of_an_object_survives)
{
	struct cowbd_object before, after;

	ck_assert_ok(cowbd_create(p, "a", 5 * MIB, 4096, 0));
	ck_assert_ok(cowbd_snapshot(p, (const char *[]){"a@s"}, 1, COWBD_LABEL_FROZEN, 0));
	ck_assert_ok(cowbd_clone(p, "a@s", (const char *[]){"c"}, 1, COWBD_FLAG_EPHEMERAL, 0));
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"a", "a@s", "c"};

		before = find(p, names[i]);
		reopen();
		after = find(p, names[i]);
		ck_assert_str_eq(before.name, after.name);
		ck_assert_str_eq(before.parent_name, after.parent_name);
		ck_assert(before.id == after.id && before.kind == after.kind &&
			  before.label == after.label && before.flags == after.flags &&
			  before.sector_size == after.sector_size &&
			  before.volume == after.volume && before.parent == after.parent &&
			  before.size == after.size && before.created == after.created);
	}
	ck_assert_int_eq(find(p, "a@s").label, COWBD_LABEL_FROZEN);
	ck_assert_uint_eq(find(p, "c").flags, COWBD_FLAG_EPHEMERAL);
	ck_assert_str_eq(find(p, "c").parent_name, "a@s");
}
END_TEST

START_TEST(many_objects_are_found_again_and_leave_no_page)
{
	enum { MANY = 1500 };
	char name[32];
	static char names[MANY][16];
	static const char *list[MANY];

	create("v");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof names[i], "v@%u", i);
		list[i] = names[i];
	}
	ck_assert_ok(cowbd_snapshot(p, list, MANY, COWBD_LABEL_NONE, 0));
	reopen();
	ck_assert_uint_eq(info(p).snapshots, MANY);
	for (unsigned i = 0; i < MANY; i += 77) {
		snprintf(name, sizeof name, "v@%u", i);
		ck_assert_str_eq(find(p, name).name, name);
	}
	ck_assert_ok(cowbd_remove(p, list, MANY - 1, 0));
	reopen();
	ck_assert_uint_eq(info(p).snapshots, 1);
	ck_assert_ok(remove_one(p, "v", COWBD_RECURSIVE));
	ck_assert_ok(cowbd_reclaim_wait(p));
	ck_assert_uint_eq(info(p).metadata_bytes, 0);
	ck_assert_uint_eq(p->cat->tree.entry, 0);
	reopen();
	ck_assert_uint_eq(info(p).volumes + info(p).snapshots, 0);
	create("next");
	ck_assert_uint_gt(find(p, "next").id, MANY);
}
END_TEST

START_TEST(the_list_shows_volumes_before_their_snapshots_by_age)
{
	static const char *const want[] = {"a", "a@z", "a@b", "ab", "b", "b@x"};
	struct cowbd_object *list;
	size_t n;

	create("b");
	create("ab");
	create("a");
	ck_assert_ok(snapshot(p, "a@z"));
	ck_assert_ok(snapshot(p, "b@x"));
	ck_assert_ok(snapshot(p, "a@b"));
	ck_assert_ok(cowbd_list(p, &list, &n));
	ck_assert_uint_eq(n, ARRAY_SIZE(want));
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(list[i].name, want[i]);
	free(list);
}
END_TEST

START_TEST(a_volumes_own_snapshots_are_listed_by_age)
{
	static const char *const want[] = {"a@z", "a@b"};
	struct cowbd_object *list;
	size_t n;

	create("a");
	create("b");
	ck_assert_ok(snapshot(p, "a@z"));
	ck_assert_ok(snapshot(p, "b@x"));
	ck_assert_ok(snapshot(p, "a@b"));
	ck_assert_ok(cowbd_list_snapshots(p, find(p, "a").id, &list, &n));
	ck_assert_uint_eq(n, ARRAY_SIZE(want));
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(list[i].name, want[i]);
	free(list);
	ck_assert_ok(cowbd_list_snapshots(p, find(p, "a@z").id, &list, &n));
	ck_assert_uint_eq(n, 0);
	free(list);
}
END_TEST

START_TEST(the_sum_of_the_sizes_follows)
{
	create("a");
	create("b");
	ck_assert_uint_eq(info(p).virtual_bytes, 2 * 65536);
	ck_assert_ok(cowbd_resize(p, "a", MIB, 0));
	ck_assert_ok(snapshot(p, "a@s"));
	ck_assert_uint_eq(info(p).virtual_bytes, MIB + 65536);
	ck_assert_ok(remove_one(p, "b", 0));
	ck_assert_uint_eq(info(p).virtual_bytes, MIB);
	reopen();
	ck_assert_uint_eq(info(p).virtual_bytes, MIB);
}
END_TEST

START_TEST(who_is_attached_is_known)
{
	struct cowbd_client_info *list;
	struct cowbd_client *a, *b;
	size_t n;

	create("v");
	a = attach(p, "v");
	b = attach(p, "v");
	ck_assert(holds(a, 0, 512, 0));
	ck_assert_uint_eq(find(p, "v").clients, 1); /* b has sent nothing yet */
	ck_assert_ok(cowbd_rename(p, "v", "w", 0));
	ck_assert_ok(cowbd_clients(p, &list, &n));
	ck_assert_uint_eq(n, 2);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(list[i].name, "w");
		ck_assert_str_eq(list[i].peer, "test");
		ck_assert(list[i].attached == (list[i].requests > 0));
	}
	free(list);
	cowbd_client_close(a);
	cowbd_client_close(b);
	ck_assert_uint_eq(info(p).clients, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalog");
	TCase *t = tcase_create("catalog");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, names_of_snapshots_are_unique_per_volume);
	tcase_add_test(t, a_name_that_can_not_be_is_told_from_one_that_is_not_there);
	tcase_add_test(t, all_that_is_said_of_an_object_survives);
	tcase_add_test(t, many_objects_are_found_again_and_leave_no_page);
	tcase_add_test(t, the_list_shows_volumes_before_their_snapshots_by_age);
	tcase_add_test(t, a_volumes_own_snapshots_are_listed_by_age);
	tcase_add_test(t, the_sum_of_the_sizes_follows);
	tcase_add_test(t, who_is_attached_is_known);
	suite_add_tcase(s, t);
	return run_suite(s);
}
