/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_store_file.c - what only stores in files and on devices have: locks, limits, a host
 */
#include "store_testing.h"

/* ---- files: lock ------------------------------------------------------------------------- */

START_TEST(a_second_open_in_this_process_is_refused)
{
	struct store *s = open_file(STORE_OPEN_CREATE), *other = NULL;
	char pid[40];

	ck_assert_int_eq(store_file_open(path, 0, 0, &other), -EBUSY);
	ck_assert_ptr_null(other);
	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	ck_assert_msg(strstr(error_message(), pid) != NULL, "%s", error_message());
	ck_assert_int_eq(store_file_open(path, STORE_OPEN_READ_ONLY, 0, &other), -EBUSY);
	store_close(s);
	s = open_file(0);
	store_close(s);
}
END_TEST

/* Runs in a child: opens path, says so by a byte, waits for the pipe's end or `ms`. */
static pid_t hold_in_child(unsigned flags, unsigned ms, int *ret_pipe)
{
	int ready[2], end[2];
	pid_t pid;
	char c;

	ck_assert(pipe(ready) == 0 && pipe(end) == 0);
	pid = fork();
	if (!pid) {
		struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
		struct store *s;

		close(end[1]);
		if (store_file_open(path, flags, 0, &s) || write(ready[1], "x", 1) != 1)
			_exit(1);
		if (ms)
			nanosleep(&t, NULL);
		else if (read(end[0], &c, 1) != 0)
			_exit(1);
		store_close(s);
		_exit(0);
	}
	close(ready[1]);
	close(end[0]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*ret_pipe = end[1];
	return pid;
}

static void end_child(pid_t pid, int pipe_end)
{
	int status;

	close(pipe_end);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(a_second_process_is_refused_and_told_the_pid_of_the_first)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	char text[40];
	int end;
	pid_t pid;

	store_close(s);
	pid = hold_in_child(0, 0, &end);
	ck_assert_int_eq(store_file_open(path, 0, 0, &s), -EBUSY);
	snprintf(text, sizeof text, "process %ld", (long)pid);
	ck_assert_msg(strstr(error_message(), text) != NULL, "%s", error_message());
	ck_assert_int_eq(store_file_open(path, STORE_OPEN_READ_ONLY, 0, &s), -EBUSY);
	end_child(pid, end);
	store_close(open_file(0));
}
END_TEST

/* Locks that this process's open file number fd has, as the kernel tells. */
static int locks_of(int fd)
{
	char name[64], line[256];
	int n = 0;
	FILE *f;

	snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		n += !strncmp(line, "lock:", 5) && strstr(line, "OFDLCK") && strstr(line, "WRITE");
	fclose(f);
	return n;
}

START_TEST(every_description_that_can_write_bears_a_lock)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	int writable = 0;

	for (int fd = 0; fd < 256; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || st.st_dev != s->dev || st.st_ino != s->ino ||
		    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
			continue;
		writable++;
		ck_assert_int_eq(locks_of(fd), 1);
	}
	ck_assert_int_eq(writable, 2);
	store_close(s);
}
END_TEST

START_TEST(readers_share_the_file_and_exclude_a_writer)
{
	struct store *a = open_file(STORE_OPEN_CREATE), *b, *writer;
	int end;
	pid_t pid;

	store_close(a);
	a = open_file(STORE_OPEN_READ_ONLY);
	b = open_file(STORE_OPEN_READ_ONLY);
	pid = hold_in_child(STORE_OPEN_READ_ONLY, 0, &end);
	ck_assert_int_eq(store_file_open(path, 0, 0, &writer), -EBUSY);
	store_close(a);
	store_close(b);
	ck_assert_int_eq(store_file_open(path, 0, 0, &writer), -EBUSY);
	end_child(pid, end);
	store_close(open_file(0));
}
END_TEST

START_TEST(an_opener_waits_for_the_lock_as_long_as_it_was_told)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	uint64_t start;
	int end;
	pid_t pid;

	store_close(s);
	pid = hold_in_child(0, 300, &end);
	start = now_ns();
	ck_assert_int_eq(store_file_open(path, 0, 50, &s), -EBUSY);
	ck_assert_uint_ge(now_ns() - start, 50000000u);
	ok(store_file_open(path, 0, 10000, &s));
	store_close(s);
	end_child(pid, end);
}
END_TEST

START_TEST(the_lock_outlives_the_process_that_went_into_the_background)
{
	struct store *s, *other;
	int end[2], ready[2], status;
	pid_t parent, child = 0;

	ck_assert(pipe(end) == 0 && pipe(ready) == 0);
	parent = fork();
	if (!parent) {
		char c;

		close(end[1]);
		if (store_file_open(path, STORE_OPEN_CREATE, 0, &s))
			_exit(1);
		child = fork();
		if (child)
			_exit(0);
		(void)!write(ready[1], "x", 1);
		(void)!read(end[0], &c, 1);
		store_close(s);
		_exit(0);
	}
	close(end[0]);
	close(ready[1]);
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(read(ready[0], &status, 1), 1);
	ck_assert_int_eq(store_file_open(path, 0, 0, &other), -EBUSY);
	close(end[1]);
	ok(store_file_open(path, 0, 10000, &other));
	store_close(other);
}
END_TEST

START_TEST(force_does_not_empty_a_file_that_is_in_use)
{
	struct store *s = open_file(STORE_OPEN_CREATE), *other;
	struct stat st;

	ok(store_grow(s, MIB));
	ck_assert_int_eq(store_file_open(path, STORE_OPEN_CREATE | STORE_OPEN_FORCE, 0, &other),
			 -EBUSY);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_size, MIB);
	store_close(s);
	ck_assert_int_eq(store_file_open(path, STORE_OPEN_CREATE, 0, &other), -EEXIST);
	s = open_file(STORE_OPEN_CREATE | STORE_OPEN_FORCE);
	ck_assert_uint_eq(s->size, 0);
	store_close(s);
}
END_TEST

START_TEST(a_device_is_locked_like_a_file)
{
	struct store *s, *other;

	if (!make_device())
		return;
	s = open_file(0);
	ck_assert_int_eq(store_file_open(path, 0, 0, &other), -EBUSY);
	ck_assert_int_eq(store_file_open(path, STORE_OPEN_READ_ONLY, 0, &other), -EBUSY);
	store_close(s);
	s = open_file(STORE_OPEN_READ_ONLY);
	other = open_file(STORE_OPEN_READ_ONLY);
	ck_assert_int_eq(store_file_open(path, 0, 0, &(struct store *){NULL}), -EBUSY);
	store_close(other);
	store_close(s);
}
END_TEST

/* ---- files: a killed process's requests ------------------------------------------------------- */

/* A loop device whose writes take 1.5 s each, over nbdkit's delay filter; false: can't. */
static bool make_slow_device(pid_t pids[2])
{
	char command[2][1200], file[300];
	struct stat st;

	snprintf(file, sizeof file, "%s/slow", dir);
	close(open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	snprintf(command[0], sizeof command[0],
		 "exec nbdkit -f -U %s/sock --filter=delay memory 16M wdelay=1500ms 2>/dev/null",
		 dir);
	snprintf(command[1], sizeof command[1],
		 "for i in 1 2 3 4 5 6 7 8 9; do [ -S %s/sock ] && break; sleep 0.1; done; "
		 "exec nbdfuse %s 'nbd+unix:///?socket=%s/sock' 2>/dev/null",
		 dir, file, dir);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGTERM); /* if the test fails */
			execl("/bin/sh", "sh", "-c", command[i], NULL);
			_exit(127);
		}
	}
	for (int i = 0; i < 50; i++) {
		usleep(100000);
		if (stat(file, &st) == 0 && st.st_size == SIZE)
			return loop_over(file, true);
	}
	fprintf(stderr, "skipped: no slow device (needs root, nbdkit, nbdfuse, /dev/fuse)\n");
	return false;
}

static void end_slow_device(const pid_t pids[2])
{
	char name[300];

	for (int i = 1; i >= 0; i--) {
		kill(pids[i], SIGTERM);
		waitpid(pids[i], NULL, 0);
	}
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof name, "%s/%s", dir, i ? "sock" : "slow");
		unlink(name);
	}
}

static void write_and_be_killed(void)
{
	uint8_t *buf = page_alloc(8 * 4096);
	struct iovec iov[8];
	struct store_io io[8];
	struct store *s;

	if (store_file_open(path, 0, 0, &s) || strcmp(s->uring, "io_uring"))
		_exit(s ? 77 : 1);
	memset(buf, 0x5a, 8 * 4096);
	for (unsigned i = 0; i < 8; i++) {
		iov[i] = (struct iovec){.iov_base = buf + i * 4096, .iov_len = 4096};
		io[i] = (struct store_io){.flags = STORE_WRITE | STORE_DIRECT,
					  .iov = &iov[i],
					  .niov = 1,
					  .offset = (uint64_t)i * MIB};
	}
	_exit(store_submit(s, io, 8) ? 1 : 0);
}

/* Sectors at the places of write_and_be_killed() that are written, as a mask. */
static unsigned written_mask(struct store *s)
{
	uint8_t *buf = page_alloc(4096);
	unsigned mask = 0;

	for (unsigned i = 0; i < 8; i++) {
		ok(store_read(s, STORE_DIRECT, (uint64_t)i * MIB, buf, 4096));
		mask |= (unsigned)all_are(buf, 4096, 0x5a) << i;
	}
	free(buf);
	return mask;
}

START_TEST(the_lock_is_held_until_the_requests_of_a_killed_process_have_ended)
{
	struct store *s = NULL;
	int status, busy;
	pid_t pids[2], pid;
	unsigned mask;

	if (!make_slow_device(pids)) {
		end_slow_device(pids);
		return;
	}
	pid = fork();
	if (!pid)
		write_and_be_killed();
	usleep(500000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		fprintf(stderr, "skipped: no io_uring\n");
	} else {
		ck_assert_msg(WIFSIGNALED(status), "not killed in time: status %#x", status);
		busy = store_file_open(path, 0, 0, &s);
		fprintf(stderr, "after the kill: %s\n", busy ? error_message() : "not locked");
		ck_assert_int_eq(busy, -EBUSY);
		ck_assert_ptr_nonnull(strstr(error_message(), "killed process"));
		ok(store_file_open(path, 0, 60000, &s));
		mask = written_mask(s);
		fprintf(stderr, "writes that landed: %#x\n", mask);
		ck_assert_uint_ne(mask, 0);
		sleep(3); /* twice the delay: whatever was in flight would land */
		ck_assert_uint_eq(written_mask(s), mask);
		store_close(s);
	}
	close(loop_fd);
	loop_fd = -1;
	end_slow_device(pids);
}
END_TEST

/* ---- files: the rest ------------------------------------------------------------------------------ */

START_TEST(a_read_only_file_can_be_read_and_is_left_alone)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 2000000}};
	uint8_t *buf = page_alloc(4096);
	struct stat st;

	ok(store_grow(s, MIB));
	memset(buf, 4, 4096);
	ok(store_write(s, STORE_DIRECT | STORE_DURABLE, 4096, buf, 4096));
	store_close(s);
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	s = open_file(STORE_OPEN_READ_ONLY);
	ck_assert(s->read_only);
	ck_assert_uint_eq(s->size, MIB);
	memset(buf, 0, 4096);
	ok(store_read(s, 0, 4096, buf, 4096));
	ck_assert(all_are(buf, 4096, 4));
	ok(store_read(s, STORE_DIRECT, 4096, buf, 4096));
	ck_assert_int_eq(store_write(s, 0, 0, buf, 4096), -EROFS);
	ck_assert_int_eq(store_prealloc(s, 0, 4096), -EROFS);
	ck_assert_int_eq(store_discard(s, 0, 4096), -EROFS);
	ck_assert_int_eq(store_grow(s, 2 * MIB), -EROFS);
	store_close(s);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_atim.tv_sec, 1000000);
	ck_assert_int_eq(st.st_mtim.tv_sec, 2000000);
	free(buf);
}
END_TEST

START_TEST(what_is_no_file_or_device_is_refused)
{
	struct store *s;

	ck_assert_int_eq(store_file_open(path, 0, 0, &s), -ENOENT);
	ck_assert_int_eq(store_file_open(dir, 0, 0, &s), -EISDIR);
	ck_assert_int_eq(store_file_open("/dev/null", 0, 0, &s), -EINVAL);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(store_file_open(path, 0, 0, &s), -EINVAL);
}
END_TEST

START_TEST(a_file_keeps_its_content_and_has_an_identity)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	char resolved[4096];
	struct stat st;
	char c = 'x';

	ok(store_grow(s, 12345));
	ok(store_write(s, 0, 12344, &c, 1));
	store_close(s);
	s = open_file(0);
	c = 0;
	ok(store_read(s, 0, 12344, &c, 1));
	ck_assert_int_eq(c, 'x');
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(s->dev, st.st_dev);
	ck_assert_uint_eq(s->ino, st.st_ino);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_ptr_nonnull(realpath(path, resolved));
	ck_assert_str_eq(s->path, resolved);
	ck_assert_str_eq(s->ops->name, "file");
	store_close(s);
}
END_TEST

START_TEST(a_file_cut_short_behind_our_back_is_an_io_error)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	uint8_t *buf = page_alloc(8192);
	struct iovec iov[2] = {{buf, 4096}, {buf + 4096, 4096}};
	struct store_io io[2] = {{.iov = &iov[0], .niov = 1, .offset = 0},
				 {.iov = &iov[1], .niov = 1, .offset = MIB - 2048}};

	ok(store_grow(s, 2 * MIB));
	ck_assert_int_eq(truncate(path, MIB), 0);
	ck_assert_int_eq(store_read(s, 0, MIB - 2048, buf, 4096), -EIO);
	ck_assert_int_eq(store_submit(s, io, 2), -EIO);
	ck_assert_int_eq(io[0].result, 0);
	ck_assert_int_eq(io[1].result, -EIO);
	store_close(s);
	free(buf);
}
END_TEST

START_TEST(a_limit_on_file_sizes_is_a_full_host)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	struct rlimit limit = {.rlim_cur = MIB, .rlim_max = RLIM_INFINITY};
	uint64_t bytes;
	const char *fs;
	char c = 1;

	ok(store_grow(s, 2 * MIB));
	signal(SIGXFSZ, SIG_IGN);
	limit.rlim_max = MIB;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(store_grow(s, 3 * MIB), -ENOSPC);
	ck_assert_uint_eq(s->size, 2 * MIB);
	ck_assert_int_eq(store_write(s, 0, MIB + 5, &c, 1), -EIO);
	ck_assert_msg(strstr(error_message(), "is full") != NULL, "%s", error_message());
	ok(store_file_limit(path, &bytes, &fs));
	ck_assert_uint_le(bytes, MIB);
	store_close(s);
}
END_TEST

START_TEST(a_full_file_system_is_seen_when_allocating_ahead)
{
	uint8_t *buf = page_alloc(MIB);
	struct store *s;

	if (!mount_here("tmpfs", "size=4m"))
		return;
	snprintf(path, sizeof path, "%s/mnt/pool", dir);
	s = open_file(STORE_OPEN_CREATE);
	ok(store_grow(s, SIZE));
	ok(store_prealloc(s, 0, 2 * MIB));
	ck_assert_int_eq(store_prealloc(s, 0, SIZE), -ENOSPC);
	ck_assert_msg(strstr(error_message(), "full") != NULL, "%s", error_message());
	memset(buf, 1, MIB);
	ok(store_write(s, 0, MIB, buf, MIB));
	for (uint64_t at = 2 * MIB; at < 4 * MIB; at += MIB)
		(void)!store_write(s, 0, at, buf, MIB);
	ck_assert_int_eq(store_write(s, 0, 8 * MIB, buf, MIB), -EIO);
	ck_assert_msg(strstr(error_message(), "is full") != NULL, "%s", error_message());
	ok(store_discard(s, 0, 2 * MIB));
	ok(store_write(s, 0, 8 * MIB, buf, MIB));
	store_close(s);
	free(buf);
}
END_TEST

START_TEST(the_largest_file_is_what_the_file_system_takes)
{
	uint64_t bytes = 0;
	const char *fs = NULL;
	int fd;

	ok(store_file_limit(path, &bytes, &fs));
	fprintf(stderr, "%s: %" PRIu64 " bytes\n", fs, bytes);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	if (bytes < INT64_MAX)
		ck_assert_int_lt(ftruncate(fd, (off_t)bytes + 1), 0);
	close(fd);
	ck_assert_int_eq(store_file_limit("/nonexistent/dir/pool", &bytes, &fs), -ENOENT);
}
END_TEST

START_TEST(discarding_gives_the_space_back)
{
	struct store *s = open_file(STORE_OPEN_CREATE);
	struct stat before, after;

	ok(store_grow(s, SIZE));
	ok(store_prealloc(s, 0, SIZE));
	ck_assert_int_eq(stat(path, &before), 0);
	ok(store_discard(s, 0, SIZE / 2));
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_le(after.st_blocks, before.st_blocks / 2 + 64);
	store_close(s);
}
END_TEST

static void add_file(TCase *t)
{
	tcase_add_test(t, a_second_open_in_this_process_is_refused);
	tcase_add_test(t, a_second_process_is_refused_and_told_the_pid_of_the_first);
	tcase_add_test(t, every_description_that_can_write_bears_a_lock);
	tcase_add_test(t, readers_share_the_file_and_exclude_a_writer);
	tcase_add_test(t, an_opener_waits_for_the_lock_as_long_as_it_was_told);
	tcase_add_test(t, the_lock_outlives_the_process_that_went_into_the_background);
	tcase_add_test(t, force_does_not_empty_a_file_that_is_in_use);
	tcase_add_test(t, a_device_is_locked_like_a_file);
	tcase_add_test(t, the_lock_is_held_until_the_requests_of_a_killed_process_have_ended);
	tcase_add_test(t, a_read_only_file_can_be_read_and_is_left_alone);
	tcase_add_test(t, what_is_no_file_or_device_is_refused);
	tcase_add_test(t, a_file_keeps_its_content_and_has_an_identity);
	tcase_add_test(t, a_file_cut_short_behind_our_back_is_an_io_error);
	tcase_add_test(t, a_limit_on_file_sizes_is_a_full_host);
	tcase_add_test(t, a_full_file_system_is_seen_when_allocating_ahead);
	tcase_add_test(t, the_largest_file_is_what_the_file_system_takes);
	tcase_add_test(t, discarding_gives_the_space_back);
}

int main(void)
{
	Suite *suite = suite_create("store_file");
	TCase *t = tcase_create("file");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	add_file(t);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	/* whatever CK_FORK says: cases change what belongs to the process (signals, limits) */
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
