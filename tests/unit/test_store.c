/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_store.c - one suite over all stores
 *
 * What only files and devices have is in test_store_file.c, what only the simulated one
 * has in test_store_sim.c.
 */
#include "store_testing.h"

enum kind {
	FILE_RING,
	FILE_PLAIN,
	FILE_DIRECT,
	FILE_DIRECT_PLAIN,
	FILE_TMPFS,
	FILE_RAMFS,
	DEVICE,
	DEVICE_DIRECT,
	SIM,
	KINDS
};

static const char *const kind_name[KINDS] = {
	"file",
	"file without io_uring",
	"file, direct data",
	"file, direct data, without io_uring",
	"file on tmpfs",
	"file on ramfs (no O_DIRECT)",
	"device",
	"device, direct data",
	"sim",
};

static unsigned open_flags(enum kind kind)
{
	static const unsigned flags[KINDS] = {
		[FILE_PLAIN] = STORE_OPEN_NO_URING,
		[FILE_DIRECT] = STORE_OPEN_DATA_DIRECT,
		[FILE_DIRECT_PLAIN] = STORE_OPEN_DATA_DIRECT | STORE_OPEN_NO_URING,
		[DEVICE_DIRECT] = STORE_OPEN_DATA_DIRECT,
	};

	return flags[kind];
}

/* An empty store of SIZE bytes of this kind; NULL: not here (said why). */
static struct store *open_kind(enum kind kind)
{
	bool device = kind == DEVICE || kind == DEVICE_DIRECT;
	struct store *s = NULL;
	int err;

	if (kind == SIM) {
		ok(store_sim_new(SIZE, &(struct sim_options){.seed = 1, .record = true}, &s));
		return s;
	}
	if ((kind == FILE_TMPFS || kind == FILE_RAMFS)) {
		if (!mount_here(kind == FILE_TMPFS ? "tmpfs" : "ramfs", NULL))
			return NULL;
		snprintf(path, sizeof path, "%s/mnt/pool", dir);
	}
	if (device && !make_device())
		return NULL;
	err = store_file_open(path, open_flags(kind) | STORE_OPEN_CREATE, 0, &s);
	if (err == -EOPNOTSUPP) {
		fprintf(stderr, "skipped: %s: %s\n", kind_name[kind], error_message());
		return NULL;
	}
	ok(err);
	if (!device)
		ok(store_grow(s, SIZE));
	ck_assert_uint_eq(s->size, SIZE);
	return s;
}

static uint64_t rng_state;

static uint64_t rnd(uint64_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state % below;
}

static void seed_rng(void)
{
	const char *seed = getenv("COWBD_SEED");

	rng_state = seed ? strtoull(seed, NULL, 0) : now_ns();
	rng_state |= 1;
	fprintf(stderr, "COWBD_SEED=%" PRIu64 "\n", rng_state);
}

static void fill(uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(rnd(255) + 1);
}

/* ---- all stores ------------------------------------------------------------------------- */

#define STORE_TEST(name)                                                                           \
	static void name(struct store *s);                                                         \
	START_TEST(test_##name)                                                                    \
	{                                                                                          \
		struct store *s = open_kind((enum kind)_i);                                        \
		if (s) {                                                                           \
			name(s);                                                                   \
			store_close(s);                                                            \
		}                                                                                  \
	}                                                                                          \
	END_TEST                                                                                   \
	static void name(struct store *s)

STORE_TEST(an_untouched_store_reads_as_zeros)
{
	uint8_t *buf = page_alloc(MIB);

	memset(buf, 1, MIB);
	ok(store_read(s, 0, SIZE - MIB, buf, MIB));
	ck_assert(all_are(buf, MIB, 0));
	memset(buf, 1, MIB);
	ok(store_read(s, STORE_DIRECT, 0, buf, MIB));
	ck_assert(all_are(buf, MIB, 0));
	free(buf);
}

/* Cuts [buf, buf + len) into up to n iovecs. */
static int cut_up(struct iovec *iov, int n, uint8_t *buf, size_t len)
{
	int i = 0;

	while (len && i < n - 1) {
		iov[i].iov_base = buf;
		iov[i].iov_len = rnd(len + 1);
		buf += iov[i].iov_len;
		len -= iov[i].iov_len;
		i++;
	}
	iov[i].iov_base = buf;
	iov[i].iov_len = len;
	return i + 1;
}

/* Random reads and writes against a plain array.  The lower half is data's, the
 * upper half is for direct I/O. */
STORE_TEST(random_batches_read_back_what_was_written)
{
	enum { BATCH = 90, VECTORS = 7, LONGEST = 200 << 10 };
	uint8_t *model = calloc(1, SIZE), *memory = page_alloc(BATCH * (size_t)MIB);
	struct iovec iov[BATCH][VECTORS], before[BATCH][VECTORS];
	struct store_io io[BATCH];

	seed_rng();
	for (int round = 0; round < 30; round++) {
		unsigned n = (unsigned)(round % 3 ? rnd(4) + 1 : rnd(BATCH) + 1);
		bool write = round % 2 == 0;

		for (unsigned i = 0; i < n; i++) {
			bool direct = rnd(3) == 0;
			uint64_t align = direct ? 4096 : s->data_align;
			/* Writes of one batch don't overlap: each has a stripe. */
			uint64_t stripe = SIZE / 2 / BATCH / 4096 * 4096;
			uint64_t start = i * stripe + (direct ? SIZE / 2 : 0);
			uint64_t skip = round_down(rnd(stripe), align);
			size_t len = round_down(rnd(MIN(LONGEST, stripe - skip) + 1), align);
			uint8_t *buf = memory + i * (size_t)MIB + (direct ? 0 : rnd(16) * 16 + 1);

			io[i] = (struct store_io){.offset = start + skip, .iov = iov[i]};
			io[i].flags = (write ? STORE_WRITE : 0) | (direct ? STORE_DIRECT : 0) |
				      (write && direct && rnd(4) == 0 ? STORE_DURABLE : 0);
			io[i].niov = cut_up(iov[i], direct ? 1 : VECTORS, buf, len);
			if (write) {
				fill(buf, len);
				memcpy(model + io[i].offset, buf, len);
			} else {
				memset(buf, 0, len);
			}
		}
		memcpy(before, iov, sizeof iov);
		ok(store_submit(s, io, n));
		for (unsigned i = 0; i < n; i++) {
			uint64_t at = io[i].offset;

			ck_assert_int_eq(io[i].result, 0);
			for (int v = 0; v < io[i].niov; v++) {
				ck_assert_ptr_eq(iov[i][v].iov_base, before[i][v].iov_base);
				ck_assert_uint_eq(iov[i][v].iov_len, before[i][v].iov_len);
				ck_assert(
					!memcmp(iov[i][v].iov_base, model + at, iov[i][v].iov_len));
				at += iov[i][v].iov_len;
			}
		}
		if (round % 5 == 0)
			ok(store_sync(s, NULL, 0));
	}
	for (uint64_t at = 0; at < SIZE; at += MIB) {
		ok(store_read(s, at < SIZE / 2 ? 0 : STORE_DIRECT, at, memory, MIB));
		ck_assert(!memcmp(memory, model + at, MIB));
	}
	free(memory);
	free(model);
}

STORE_TEST(a_long_write_of_a_thousand_vectors_arrives_whole)
{
	enum { N = 1024, PART = 4096 };
	uint8_t *out = page_alloc(N * PART), *in = page_alloc(N * PART);
	struct iovec *iov = calloc(N, sizeof *iov);
	struct store_io io = {.flags = STORE_WRITE, .offset = 4096, .iov = iov, .niov = N};

	seed_rng();
	fill(out, N * PART);
	for (int i = 0; i < N; i++)
		iov[i] = (struct iovec){.iov_base = out + i * PART, .iov_len = PART};
	ok(store_submit(s, &io, 1));
	ok(store_read(s, 0, 4096, in, N * PART));
	ck_assert(!memcmp(in, out, N * PART));
	free(iov);
	free(in);
	free(out);
}

STORE_TEST(an_io_beyond_the_end_fails_alone)
{
	uint8_t *buf = page_alloc(3 * 4096);
	struct iovec iov[3];
	struct store_io io[3];

	memset(buf, 7, 3 * 4096);
	ok(store_write(s, 0, SIZE - 4096, buf, 4096));
	memset(buf, 0, 3 * 4096);
	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){.iov_base = buf + i * 4096, .iov_len = 4096};
		io[i] = (struct store_io){.iov = &iov[i], .niov = 1, .offset = SIZE - 4096};
	}
	io[1].offset = SIZE;
	ck_assert_int_eq(store_submit(s, io, 3), -EIO);
	ck_assert_ptr_nonnull(strstr(error_message(), "beyond the end"));
	ck_assert_int_eq(io[0].result, 0);
	ck_assert_int_eq(io[1].result, -EIO);
	ck_assert_int_eq(io[2].result, 0);
	ck_assert(all_are(buf, 4096, 7) && all_are(buf + 8192, 4096, 7));
	ck_assert_int_eq(store_write(s, 0, SIZE, buf, s->data_align), -EIO);
	ck_assert_int_eq(store_read(s, 0, UINT64_MAX - 4095, buf, 4096), -EIO);
	free(buf);
}

STORE_TEST(misaligned_direct_io_is_refused)
{
	uint8_t *buf = page_alloc(8192);

	ck_assert_int_eq(store_read(s, STORE_DIRECT, 512, buf, 4096), -EINVAL);
	ck_assert_int_eq(store_read(s, STORE_DIRECT, 0, buf, 512), -EINVAL);
	ck_assert_int_eq(store_read(s, STORE_DIRECT, 0, buf + 512, 4096), -EINVAL);
	if (s->data_align > 1)
		ck_assert_int_eq(store_write(s, 0, 1, buf, s->data_align), -EINVAL);
	free(buf);
}

STORE_TEST(syncs_of_everything_and_of_ranges_succeed)
{
	static struct store_range ranges[100];
	uint8_t *buf = page_alloc(64 << 10);

	memset(buf, 3, 64 << 10);
	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		ranges[i] = (struct store_range){i * 100 * UINT64_C(1024), 64 << 10};
		ok(store_write(s, 0, ranges[i].offset, buf, 64 << 10));
	}
	ok(store_sync(s, ranges, 1));
	ok(store_sync(s, ranges, 3));
	ok(store_sync(s, ranges, 100));
	ok(store_sync(s, NULL, 0));
	ranges[1].length = 0;
	ok(store_sync(s, ranges, 2));
	free(buf);
}

STORE_TEST(a_discarded_range_reads_as_zeros)
{
	uint8_t *buf = page_alloc(MIB);

	memset(buf, 5, MIB);
	ok(store_write(s, 0, MIB, buf, MIB));
	ok(store_discard(s, MIB + 65536, 65536));
	ok(store_discard(s, MIB, 0));
	ok(store_read(s, 0, MIB, buf, MIB));
	if (s->sparse)
		ck_assert(all_are(buf + 65536, 65536, 0));
	ck_assert(all_are(buf, 65536, 5));
	ck_assert(all_are(buf + 131072, MIB - 131072, 5));
	ck_assert_int_eq(store_discard(s, SIZE - 4096, 8192), -EINVAL);
	free(buf);
}

/* By the host, or not at all: then the caller writes zeros. */
STORE_TEST(a_range_is_made_zero_or_left_as_it_is)
{
	uint8_t *buf = page_alloc(MIB);
	int r;

	memset(buf, 5, MIB);
	ok(store_write(s, 0, MIB, buf, MIB));
	r = store_zero(s, MIB + 65536, 65536);
	ck_assert(r == 0 || r == 1);
	ck_assert(r == 1 || strcmp(s->ops->name, "file") == 0);
	for (unsigned direct = 0; direct < 2; direct++) {
		ok(store_sync(s, NULL, 0));
		ok(store_read(s, direct ? STORE_DIRECT : 0, MIB, buf, MIB));
		ck_assert(all_are(buf + 65536, 65536, r ? 5 : 0));
		ck_assert(all_are(buf, 65536, 5));
		ck_assert(all_are(buf + 131072, MIB - 131072, 5));
	}
	memset(buf, 6, 4096);
	ok(store_write(s, STORE_DIRECT | STORE_DURABLE, MIB + 65536 + 4096, buf, 4096));
	ok(store_read(s, STORE_DIRECT, MIB + 65536, buf, 16384));
	ck_assert(all_are(buf, 4096, r ? 5 : 0) && all_are(buf + 4096, 4096, 6));
	ck_assert(all_are(buf + 8192, 8192, r ? 5 : 0));
	ck_assert_int_eq(store_zero(s, SIZE - 4096, 8192), -EINVAL);
	free(buf);
}

STORE_TEST(allocating_ahead_leaves_content_as_it_is)
{
	uint8_t *buf = page_alloc(MIB);

	memset(buf, 5, 4096);
	ok(store_write(s, 0, MIB + 4096, buf, 4096));
	ok(store_prealloc(s, MIB, MIB));
	ok(store_read(s, 0, MIB, buf, MIB));
	ck_assert(all_are(buf, 4096, 0) && all_are(buf + 4096, 4096, 5));
	ck_assert(all_are(buf + 8192, MIB - 8192, 0));
	ck_assert_int_eq(store_prealloc(s, SIZE, 4096), -EINVAL);
	free(buf);
}

STORE_TEST(growing_adds_zeros_at_the_end)
{
	uint8_t *buf = page_alloc(MIB);

	ck_assert_int_eq(store_grow(s, SIZE - 4096), -EINVAL);
	if (!strcmp(s->ops->name, "device")) {
		ck_assert_uint_eq(s->host_limit, 0);
		ck_assert_int_eq(store_grow(s, SIZE + 4096), -ENOSPC);
		ck_assert_uint_eq(s->size, SIZE);
	} else {
		ok(store_grow(s, SIZE + MIB));
		ck_assert_uint_eq(s->size, SIZE + MIB);
		memset(buf, 1, MIB);
		ok(store_read(s, 0, SIZE, buf, MIB));
		ck_assert(all_are(buf, MIB, 0));
		ok(store_write(s, 0, SIZE + MIB - 4096, buf, 4096));
		ck_assert_int_eq(store_grow(s, UINT64_MAX), -ENOSPC);
	}
	free(buf);
}

STORE_TEST(dropping_the_cache_loses_nothing_that_was_written)
{
	uint8_t *buf = page_alloc(MIB);

	memset(buf, 9, MIB);
	ok(store_write(s, 0, 0, buf, MIB));
	ok(store_drop_cache(s));
	memset(buf, 0, MIB);
	ok(store_read(s, 0, 0, buf, MIB));
	ck_assert(all_are(buf, MIB, 9));
	free(buf);
}

struct worker {
	struct store *s;
	uint8_t value;
	int err;
};

/* Writes a region of its own in batches, syncs it, and reads it again. */
static void *work(void *arg)
{
	enum { N = 20, PART = 20480 };
	struct worker *w = arg;
	uint64_t start = w->value * UINT64_C(1048576);
	uint8_t *buf = page_alloc(N * PART);
	struct iovec iov[N];
	struct store_io io[N];

	for (int round = 0; round < 20 && !w->err; round++) {
		struct store_range range = {start, N * PART};

		memset(buf, w->value + round, N * PART);
		for (int i = 0; i < N; i++) {
			iov[i] = (struct iovec){.iov_base = buf + i * PART, .iov_len = PART};
			io[i] = (struct store_io){.flags = STORE_WRITE,
						  .iov = &iov[i],
						  .niov = 1,
						  .offset = start + (uint64_t)i * PART};
		}
		w->err = store_submit(w->s, io, N);
		if (!w->err && round % 4 == 0)
			w->err = store_sync(w->s, &range, 1);
		memset(buf, 0, N * PART);
		for (int i = 0; i < N; i++)
			io[i].flags = 0;
		if (!w->err)
			w->err = store_submit(w->s, io, N);
		if (!w->err && !all_are(buf, N * PART, (uint8_t)(w->value + round)))
			w->err = -EBADMSG;
	}
	free(buf);
	return NULL;
}

STORE_TEST(threads_do_not_disturb_each_other)
{
	struct worker w[8];
	pthread_t thread[8];

	for (uint8_t i = 0; i < 8; i++) {
		w[i] = (struct worker){.s = s, .value = i};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_int_eq(w[i].err, 0);
	}
}

/* The daemon opens its pool, works on it, and only then goes into the background. */
STORE_TEST(parent_and_child_both_go_on_after_fork)
{
	struct worker w = {.s = s, .value = 1};
	int status;
	pid_t pid;

	work(&w);
	ck_assert_int_eq(w.err, 0);
	pid = fork();
	if (!pid) {
		w.value = 2;
		work(&w);
		_exit(w.err ? 1 : 0);
	}
	w.value = 3;
	work(&w);
	ck_assert_int_eq(w.err, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static void add_common(TCase *t)
{
	tcase_add_loop_test(t, test_an_untouched_store_reads_as_zeros, 0, KINDS);
	tcase_add_loop_test(t, test_random_batches_read_back_what_was_written, 0, KINDS);
	tcase_add_loop_test(t, test_a_long_write_of_a_thousand_vectors_arrives_whole, 0, KINDS);
	tcase_add_loop_test(t, test_an_io_beyond_the_end_fails_alone, 0, KINDS);
	tcase_add_loop_test(t, test_misaligned_direct_io_is_refused, 0, KINDS);
	tcase_add_loop_test(t, test_syncs_of_everything_and_of_ranges_succeed, 0, KINDS);
	tcase_add_loop_test(t, test_a_discarded_range_reads_as_zeros, 0, KINDS);
	tcase_add_loop_test(t, test_a_range_is_made_zero_or_left_as_it_is, 0, KINDS);
	tcase_add_loop_test(t, test_allocating_ahead_leaves_content_as_it_is, 0, KINDS);
	tcase_add_loop_test(t, test_growing_adds_zeros_at_the_end, 0, KINDS);
	tcase_add_loop_test(t, test_dropping_the_cache_loses_nothing_that_was_written, 0, KINDS);
	tcase_add_loop_test(t, test_threads_do_not_disturb_each_other, 0, KINDS);
	tcase_add_loop_test(t, test_parent_and_child_both_go_on_after_fork, 0, KINDS);
}

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *t = tcase_create("every store");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	add_common(t);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
