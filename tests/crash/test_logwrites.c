/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_logwrites.c - a workload's log in the format of dm-log-writes, and back: at each flush the same bytes
 */
#include "logwrites.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#undef fail

#include "workload.h"

#define LOST_MAX 4096u

static char path[80], image[80], dir[64];

static void set_up(void)
{
	snprintf(dir, sizeof dir, "/dev/shm/cowbd-logwrites-%u", (unsigned)getpid());
	snprintf(path, sizeof path, "%s/log", dir);
	snprintf(image, sizeof image, "%s/image", dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
}

static void tear_down(void)
{
	(void)unlink(path);
	(void)unlink(image);
	(void)rmdir(dir);
}

/* The file holds what the store does. */
static void same_bytes(int fd, struct store *s, size_t event)
{
	static uint8_t want[1u << 16], have[1u << 16];

	for (uint64_t at = 0; at < s->size; at += sizeof want) {
		size_t n = (size_t)MIN(s->size - at, (uint64_t)sizeof want);

		memset(have, 0, sizeof have);
		ck_assert_int_eq(store_read(s, 0, at, want, n), 0);
		ck_assert_int_ge(pread(fd, have, n, (off_t)at), 0);
		for (size_t i = 0; i < n; i++)
			if (want[i] != have[i])
				ck_abort_msg("event %zu: byte %" PRIu64 " is %02x, should be %02x",
					     event, at + i, have[i], want[i]);
	}
}

/* What is durable at event k, by the simulated store. */
static struct store *durable_at(struct store *s, size_t k)
{
	static size_t lost[LOST_MAX];
	size_t n = store_sim_unsynced(s, k, lost, LOST_MAX);
	struct store *now;

	ck_assert_uint_le(n, LOST_MAX);
	ck_assert_int_eq(store_sim_replay(s, k, lost, n, NULL, &now), 0);
	return now;
}

static void dump(struct store *s, int fd)
{
	static uint8_t buf[1u << 16];

	for (uint64_t at = 0; at < s->size; at += sizeof buf) {
		size_t n = (size_t)MIN(s->size - at, (uint64_t)sizeof buf);

		ck_assert_int_eq(store_read(s, 0, at, buf, n), 0);
		ck_assert_int_eq(pwrite(fd, buf, n, (off_t)at), n);
	}
}

static void run(uint64_t seed, struct phase *ph)
{
	const struct settings set = {.seed = seed, .ops = 60, .dir = dir};
	struct store *s;
	char why[700] = "";

	ck_assert_int_eq(workload_make(seed, &s, why, sizeof why), 0);
	ck_assert_msg(workload_run(&set, s, ph, why, sizeof why) == 0, "%s", why);
}

START_TEST(a_recorded_log_replays_to_what_was_durable_at_each_flush)
{
	uint64_t flushes = 0, fua = 0, discards = 0, marks = 0;

	for (uint64_t seed = 83; seed < 93; seed++) /* some give zones back */ {
		const struct logw_entry *e;
		const struct sim_event *event;
		struct store *now;
		struct phase ph;
		struct logw *l;
		size_t n, k = 0;
		int fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);

		run(seed, &ph);
		event = store_sim_events(ph.store, &n);
		ck_assert_msg(logw_record(ph.store, path) == 0, "%s", error_message());
		ck_assert_int_eq(logw_open(path, &l), 0);
		ck_assert_int_eq(store_sim_replay(ph.store, 0, NULL, 0, NULL, &now), 0);
		dump(now, fd);
		store_close(now);
		while (logw_next(l, &e) == 0 && e) {
			ck_assert_int_eq(logw_apply(l, e, fd), 0);
			marks += e->flags & LOGW_MARK ? 1 : 0;
			discards += e->flags & LOGW_DISCARD ? 1 : 0;
			if (!(e->flags & (LOGW_FLUSH | LOGW_FUA)))
				continue;
			flushes += e->flags & LOGW_FLUSH ? 1 : 0;
			fua += e->flags & LOGW_FUA ? 1 : 0;
			while (k < n && event[k].kind != SIM_SYNC &&
			       !(event[k].kind == SIM_WRITE && event[k].flags & STORE_DURABLE))
				k++;
			k++;
			now = durable_at(ph.store, k);
			same_bytes(fd, now, k);
			store_close(now);
		}
		ck_assert_uint_eq(l->next, l->entries);
		logw_close(l);
		phase_fini(&ph);
		(void)close(fd);
	}
	ck_assert_msg(flushes && fua && discards && marks,
		      "%" PRIu64 " flushes, %" PRIu64 " fua, %" PRIu64 " discards, %" PRIu64
		      " marks: not all kinds were met",
		      flushes, fua, discards, marks);
}
END_TEST

/* As the kernel lays it out, byte by byte, on a device with sectors of 4096 bytes. */
static void kernel_log(uint64_t entries)
{
	static uint8_t log[9 * 4096];
	static const uint8_t head[] = {0x72, 0x68, 0x73, 0x77, 0x66, 0x73, 0x6a, 0, 1, 0, 0, 0, 0,
				       0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0, 16};
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	memset(log, 0, sizeof log);
	memcpy(log, head, sizeof head);
	log[16] = (uint8_t)entries;
	log[4096] = 3; /* a write with FUA: two sectors at the third, at once in the log */
	log[4096 + 8] = 2;
	log[4096 + 16] = LOGW_FUA;
	memset(log + 2 * 4096, 0xab, 2 * 4096);
	log[4 * 4096 + 16] = LOGW_MARK;
	log[4 * 4096 + 24] = 5;
	memcpy(log + 4 * 4096 + 32, "hello", 5);
	log[5 * 4096] = 4; /* a discard, without data */
	log[5 * 4096 + 8] = 1;
	log[5 * 4096 + 16] = LOGW_DISCARD;
	log[6 * 4096 + 16] = LOGW_FLUSH;
	log[7 * 4096] = 0; /* a write */
	log[7 * 4096 + 8] = 1;
	memset(log + 8 * 4096, 0xcd, 4096);
	ck_assert_int_eq(write(fd, log, sizeof log), sizeof log);
	(void)close(fd);
}

START_TEST(a_log_as_the_kernel_lays_it_out_is_read)
{
	static const uint64_t flags[] = {LOGW_FUA, LOGW_MARK, LOGW_DISCARD, LOGW_FLUSH, 0};
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);
	const struct logw_entry *e;
	uint8_t disk[5 * 4096] = {0};
	struct logw *l;

	kernel_log(5);
	ck_assert_int_eq(ftruncate(fd, sizeof disk), 0);
	ck_assert_int_eq(logw_open(path, &l), 0);
	ck_assert_uint_eq(l->sector_bytes, 4096);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(logw_next(l, &e), 0);
		ck_assert_uint_eq(e->flags, flags[i]);
		ck_assert_str_eq(e->mark, i == 1 ? "hello" : "");
		ck_assert_int_eq(logw_apply(l, e, fd), 0);
	}
	ck_assert_int_eq(logw_next(l, &e), 0);
	ck_assert_ptr_null(e);
	ck_assert_int_eq(pread(fd, disk, sizeof disk, 0), sizeof disk);
	for (unsigned i = 0; i < sizeof disk; i++)
		ck_assert_uint_eq(disk[i], i < 4096 ? 0xcd : i / 4096 == 3 ? 0xab : 0);
	logw_close(l);
	(void)close(fd);
}
END_TEST

START_TEST(what_is_no_log_and_a_log_cut_off_are_refused)
{
	const struct logw_entry *e;
	struct logw *l;

	kernel_log(5);
	ck_assert_int_eq(truncate(path, 7 * 4096 + 100), 0);
	ck_assert_int_eq(logw_open(path, &l), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(logw_next(l, &e), 0);
	ck_assert_int_eq(logw_next(l, &e), -EUCLEAN);
	logw_close(l);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(logw_open(path, &l), -EUCLEAN);
	ck_assert_int_eq(truncate(path, 8192), 0);
	ck_assert_int_eq(logw_open(path, &l), -EUCLEAN);
	ck_assert_int_eq(logw_open("/nonexistent", &l), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("logwrites");
	TCase *tc = tcase_create("logwrites");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_recorded_log_replays_to_what_was_durable_at_each_flush);
	tcase_add_test(tc, a_log_as_the_kernel_lays_it_out_is_read);
	tcase_add_test(tc, what_is_no_log_and_a_log_cut_off_are_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
