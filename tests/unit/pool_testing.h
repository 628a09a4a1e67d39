/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool_testing.h - a pool on a simulated store, for tests of the engine's modules
 *
 * Nothing runs in the background: commits, checkpoints and reclaim happen when a test asks for them.
 */
#ifndef COWBD_POOL_TESTING_H
#define COWBD_POOL_TESTING_H

#include <stdio.h>
#include <sys/stat.h>

#include "pool.h"

#include <check.h>
#undef fail /* check's old name of ck_abort; here it is base.h's function */

#ifdef __clang__ /* tests look at one thing at a time, with one thread, and mostly without the lock */
#pragma clang diagnostic ignored "-Wthread-safety-analysis"
#endif

#define MIB (UINT64_C(1) << 20)

#define ck_assert_ok(call)                                                                         \
	do {                                                                                       \
		int ret_ok = (call);                                                               \
		ck_assert_msg(ret_ok == 0, "%s: %s: %s", #call, error_name(ret_ok),                \
			      cowbd_error());                                                      \
	} while (0)

#define ck_assert_error(call, err)                                                                 \
	do {                                                                                       \
		int ret_error = (call);                                                            \
		ck_assert_msg(ret_error == (err), "%s: %s instead of %s: %s", #call,               \
			      error_name(ret_error), error_name(err), cowbd_error());              \
	} while (0)

/* Tails, if there are any, go here: tests end with the process, and so does what is in it. */
static inline const char *test_run_dir(void)
{
	static char dir[200];
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof dir, "%s/cowbd-unit-run", tmp ? tmp : "/tmp");
	(void)mkdir(dir, 0700);
	return dir;
}

static inline struct store *make_store(uint64_t bytes, uint32_t block, uint32_t align)
{
	struct sim_options sim = {.data_align = align, .record = false};
	struct cowbd_init_options init = {.block_bytes = block, .journal_bytes = 8 * MIB};
	struct store *s;

	ck_assert_ok(store_sim_new(bytes, &sim, &s));
	ck_assert_ok(mkfs_store(s, "test", &init));
	return s;
}

/* Takes the store over. */
static inline struct cowbd_pool *open_pool(struct store *s, unsigned flags)
{
	struct cowbd_open_options opt = {
		.flags = flags, .cache_bytes = MIB, .run_dir = test_run_dir()};
	struct cowbd_pool *p;

	ck_assert_ok(pool_open_store(s, "test", &opt, &p));
	return p;
}

static inline struct cowbd_pool *make_pool(uint64_t bytes, uint32_t block)
{
	return open_pool(make_store(bytes, block, 1), COWBD_OPEN_NO_TAIL);
}

/* Ends a pool whose state in memory is no longer of use: nothing more reaches its store. */
static inline void throw_away(struct cowbd_pool *p)
{
	store_sim_cut(p->e.store);
	ck_assert_int_lt(cowbd_close(p), 0);
}

static inline struct cowbd_client *attach(struct cowbd_pool *p, const char *name)
{
	struct cowbd_client *c;

	ck_assert_ok(cowbd_client_open(p, name, false, "test", &c));
	return c;
}

static inline struct cowbd_client *make_volume(struct cowbd_pool *p, const char *name,
					       uint64_t size)
{
	ck_assert_ok(cowbd_create(p, name, size, 0, 0));
	return attach(p, name);
}

static inline int snapshot(struct cowbd_pool *p, const char *name)
{
	return cowbd_snapshot(p, &name, 1, COWBD_LABEL_NONE, 0);
}

static inline int clone_one(struct cowbd_pool *p, const char *source, const char *name)
{
	return cowbd_clone(p, source, &name, 1, 0, 0);
}

static inline int remove_one(struct cowbd_pool *p, const char *name, unsigned flags)
{
	return cowbd_remove(p, &name, 1, flags);
}

static inline void write_fill(struct cowbd_client *c, uint64_t offset, uint64_t len, int byte)
{
	CLEANUP_FREE uint8_t *buf = malloc(len);

	ck_assert_ptr_nonnull(buf);
	memset(buf, byte, len);
	ck_assert_ok(cowbd_write(c, buf, len, offset, 0));
}

/* Are all bytes of the range this one? */
static inline bool holds(struct cowbd_client *c, uint64_t offset, uint64_t len, int byte)
{
	CLEANUP_FREE uint8_t *buf = malloc(len);

	ck_assert_ptr_nonnull(buf);
	ck_assert_ok(cowbd_read(c, buf, len, offset));
	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != (uint8_t)byte)
			return false;
	return true;
}

static inline bool object_holds(struct cowbd_pool *p, const char *name, uint64_t offset,
				uint64_t len, int byte)
{
	struct cowbd_client *c = attach(p, name);
	bool yes = holds(c, offset, len, byte);

	cowbd_client_close(c);
	return yes;
}

static inline bool exists(struct cowbd_pool *p, const char *name)
{
	struct cowbd_object o;

	return cowbd_find(p, name, &o) == 0;
}

static inline struct cowbd_object find(struct cowbd_pool *p, const char *name)
{
	struct cowbd_object o;

	ck_assert_ok(cowbd_find(p, name, &o));
	return o;
}

static inline struct cowbd_pool_info info(struct cowbd_pool *p)
{
	static struct cowbd_pool_info i;

	cowbd_pool_info(p, &i);
	return i;
}

static inline void say_finding(void *opaque, enum cowbd_damage_kind kind, const char *object,
			       uint64_t offset, const char *message)
{
	(void)opaque;
	(void)offset;
	if (kind != COWBD_NOTE)
		fprintf(stderr, "%s: %s\n", object, message);
}

/* The checker, which shares no walking code with the engine, finds neither damage nor leak. */
static inline void check_pool(struct cowbd_pool *p)
{
	struct cowbd_check_options opt = {.report = say_finding};
	struct cowbd_check_result result;

	ck_assert_ok(cowbd_check_pool(p, &opt, &result));
	ck_assert_uint_eq(result.damages, 0);
	ck_assert_uint_eq(result.leaks, 0);
}

static inline void check_and_close(struct cowbd_pool *p)
{
	check_pool(p);
	ck_assert_ok(cowbd_close(p));
}

/* A metadata section, and what it says is missing. */
#define SECTION(e, r, change)                                                                      \
	do {                                                                                       \
		metalock_exclusive(&(e)->lock);                                                    \
		(r) = (change);                                                                    \
		metalock_drop(&(e)->lock);                                                         \
	} while ((r) == -EAGAIN && ((r) = engine_need(e)) == 0)

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

#endif
