/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_tail.c - the volatile tail: what it gives back after a kill, and what it refuses
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "journal_bench.h"
#include "tail.h"

#define TAIL_RING (16 * PAGE_BYTES)

static char base[48]; /* of this run, on tmpfs where there is one */
static char dir[64];  /* of this test, in base */
static char tail_path[96];

static const struct tail_identity identity = {
	.boot_id = "this boot",
	.session_id = "this session",
	.pool_dev = 11,
	.pool_ino = 12,
};

static void base_make(void)
{
	const char *tmp = getenv("TMPDIR");

	strcpy(base, "/dev/shm/cowbd-test.XXXXXX");
	if (mkdtemp(base))
		return;
	snprintf(base, sizeof base, "%s/tail.XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(base)) {
		perror(base);
		exit(EXIT_FAILURE);
	}
}

static int remove_visited(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	if (type == FTW_DP)
		(void)umount2(path, MNT_DETACH); /* what a test that failed left mounted */
	return remove(path);
}

static void directory_make(void)
{
	snprintf(dir, sizeof dir, "%s/XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(tail_path, sizeof tail_path, "%s/pool.tail", dir);
}

static void directory_remove(void)
{
	(void)unlink(tail_path);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left there */
}

static void tail_bench_init(struct bench *b, uint64_t seq)
{
	struct journal_options opt = {
		.pending_bytes = TAIL_RING,
		.tail_path = tail_path,
		.identity = identity,
	};
	struct journal_position at;

	bench_init(b, TAIL_RING);
	journal_free(b->journal, true);
	at = b->from;
	at.seq = seq;
	memcpy(opt.identity.uuid, test_uuid, sizeof test_uuid);
	bench_start(b, &at, &opt);
}

/* As after kill -9: the file stays. */
static void tail_bench_kill(struct bench *b)
{
	journal_free(b->journal, false);
	store_close(b->store);
}

/* Scans the file at path as that session's, whatever inode it has. */
static int scan_file(const char *path, uint64_t after, struct visited *v,
		     struct tail_state *ret_state)
{
	struct tail_identity want = identity;
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	memcpy(want.uuid, test_uuid, sizeof test_uuid);
	return tail_scan(path, st.st_dev, st.st_ino, &want, after, visit_nth, v, ret_state);
}

static void scan_tail_expecting(uint64_t after, uint64_t last)
{
	struct visited v = {0};
	struct tail_state state = {0};

	ck_assert_int_eq(scan_file(tail_path, after, &v, &state), 0);
	ck_assert(!state.tainted);
	ck_assert_uint_eq(v.n, last - after);
	ck_assert(!v.open);
	if (v.n)
		ck_assert_uint_eq(v.first, after + 1);
}

/* Visits records of any kind: *opaque becomes the last one's sequence. */
static int count_records(void *opaque, const struct record *r)
{
	uint64_t *last = opaque;

	ck_assert_quick(!*last || r->seq == *last + 1);
	*last = r->seq;
	return 0;
}

/* Sequence of the last record that a scan visits, 0 if it visits none. */
static uint64_t scan_last(uint64_t after)
{
	struct tail_identity want = identity;
	uint64_t last = 0;
	struct stat st;
	struct tail_state state = {0};

	memcpy(want.uuid, test_uuid, sizeof test_uuid);
	ck_assert_quick(stat(tail_path, &st) == 0);
	ck_assert_quick(tail_scan(tail_path, st.st_dev, st.st_ino, &want, after, count_records,
				  &last, &state) == 0);
	ck_assert_quick(!last || last > after);
	return last;
}

/* Changes one byte of the tail's file. */
static void flip(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

/* ---- what it gives back ------------------------------------------------------- */

START_TEST(a_killed_session_leaves_exactly_what_was_appended_and_not_released)
{
	struct bench b;

	tail_bench_init(&b, 100);
	scan_tail_expecting(100, 100);
	append_group(b.journal, 7);
	append_group(b.journal, 1);
	scan_tail_expecting(100, 108);
	write_all(&b);
	scan_tail_expecting(108, 108);
	append_group(b.journal, 4);
	tail_bench_kill(&b);
	scan_tail_expecting(108, 112);
	scan_tail_expecting(110, 112);
	scan_tail_expecting(112, 112);
	scan_tail_expecting(5000, 5000);
}
END_TEST

START_TEST(records_may_run_over_the_end_of_the_ring)
{
	struct bench b;
	uint64_t durable = 0;

	tail_bench_init(&b, 0);
	for (unsigned i = 0; i < 400; i++) {
		append_group(b.journal, 1 + i % 30);
		if (i % 7 == 0 || journal_pending_bytes(b.journal) > TAIL_RING / 2) {
			scan_tail_expecting(durable, journal_seq(b.journal));
			write_all(&b);
			durable = journal_durable_seq(b.journal);
			checkpoint(&b);
			scan_tail_expecting(durable, durable);
		}
	}
	ck_assert_uint_gt(journal_cut(b.journal).end, 5 * TAIL_RING);
	tail_bench_kill(&b);
}
END_TEST

/* Records of 32 bytes: laps of the ring line up, and each place holds a whole old record. */
static void append_small(struct bench *b, unsigned n)
{
	struct record r = {.type = REC_ZONE, .zone = 1};

	ck_assert_quick(record_size(&r) == 32 && TAIL_RING % 32 == 0);
	while (n--) {
		ck_assert_quick(journal_reserve(b->journal, 32));
		journal_append(b->journal, &r);
	}
}

START_TEST(a_full_ring_is_read_to_its_last_byte_and_no_further)
{
	struct bench b;

	tail_bench_init(&b, 0);
	append_small(&b, 5);
	write_all(&b);
	for (unsigned lap = 1; lap <= 3; lap++) {
		uint64_t durable = journal_durable_seq(b.journal);

		append_small(&b, TAIL_RING / 32);
		ck_assert(!journal_reserve(b.journal, 1));
		ck_assert_uint_eq(scan_last(durable), durable + TAIL_RING / 32);
		write_all(&b);
		checkpoint(&b);
		/* nothing is pending, and the whole ring is full of old records */
		ck_assert_uint_eq(scan_last(journal_seq(b.journal)), 0);
	}
	tail_bench_kill(&b);
}
END_TEST

START_TEST(records_of_an_earlier_lap_are_not_accepted)
{
	struct bench b;

	tail_bench_init(&b, 0);
	for (uint64_t i = 0; i < 3 * TAIL_RING / 32; i++) {
		uint64_t durable = journal_durable_seq(b.journal);

		append_small(&b, 1);
		ck_assert_quick(scan_last(durable) == i + 1);
		if (i % 50 == 49) {
			write_all(&b);
			checkpoint(&b);
			ck_assert_quick(scan_last(i + 1) == 0);
		}
	}
	tail_bench_kill(&b);
}
END_TEST

START_TEST(an_unfinished_group_is_dropped)
{
	struct bench b;

	tail_bench_init(&b, 0);
	append_group(b.journal, 3);
	for (unsigned i = 0; i < 5; i++) {
		append_nth(b.journal, true);
		scan_tail_expecting(0, 3);
	}
	append_nth(b.journal, false);
	scan_tail_expecting(0, 9);
	tail_bench_kill(&b);
}
END_TEST

START_TEST(a_torn_record_ends_the_tail_at_the_last_whole_group)
{
	struct record first = record_nth(1, false), second = record_nth(2, true);
	struct bench b;
	off_t at;

	tail_bench_init(&b, 0);
	append_group(b.journal, 1);
	append_group(b.journal, 3); /* 2, 3, 4 */
	append_group(b.journal, 1);
	tail_bench_kill(&b);
	scan_tail_expecting(0, 5);
	at = (off_t)(PAGE_BYTES + record_size(&first) + record_size(&second));
	for (unsigned byte = 0; byte < sizeof(struct disk_rec_zone); byte++) {
		flip(tail_path, at + (off_t)byte);
		scan_tail_expecting(0, 1);
		flip(tail_path, at + (off_t)byte);
	}
	scan_tail_expecting(0, 5);
}
END_TEST

START_TEST(a_tail_that_does_not_follow_the_journal_is_refused)
{
	struct visited v = {0};
	struct bench b;
	struct tail_state state = {0};

	tail_bench_init(&b, 10);
	append_group(b.journal, 3);
	tail_bench_kill(&b);
	ck_assert_int_eq(scan_file(tail_path, 9, &v, &state), -EILSEQ);
	ck_assert_ptr_nonnull(strstr(error_message(), "tail does not follow"));
	ck_assert_uint_eq(v.n, 0);
}
END_TEST

START_TEST(a_scan_of_the_tail_ends_with_the_visitors_error)
{
	struct visited v = {.stop_at = 2};
	struct bench b;
	struct tail_state state = {0};

	tail_bench_init(&b, 0);
	append_group(b.journal, 3);
	tail_bench_kill(&b);
	ck_assert_int_eq(scan_file(tail_path, 0, &v, &state), -ECANCELED);
	ck_assert_uint_eq(v.n, 2);
}
END_TEST

START_TEST(a_tainted_session_says_so)
{
	struct visited v = {0};
	struct bench b;
	struct tail_state state = {0};

	tail_bench_init(&b, 0);
	append_group(b.journal, 3);
	journal_taint(b.journal);
	journal_taint(b.journal);
	tail_bench_kill(&b);
	ck_assert_int_eq(scan_file(tail_path, 0, &v, &state), 0);
	ck_assert(state.tainted);
	ck_assert_uint_eq(v.n, 3);
}
END_TEST

/* ---- a real kill ------------------------------------------------------------------ */

/* What the child says in shared memory: sequences appended, about to be durable, durable. */
struct progress {
	_Atomic uint64_t appended, writing, durable;
};

static void __attribute__((noreturn)) child_main(struct progress *p)
{
	struct bench b;

	tail_bench_init(&b, 0);
	for (uint64_t i = 0;; i++) {
		struct journal_cut cut;

		append_group(b.journal, 1 + (unsigned)(i * 7 % 23));
		p->appended = journal_seq(b.journal);
		if (i % 3)
			continue;
		cut = journal_cut(b.journal);
		p->writing = cut.seq;
		if (journal_write(b.journal, cut))
			_exit(1);
		p->durable = cut.seq;
		checkpoint(&b);
	}
}

/* The file's start is where the last write left it, or that write was not done with. */
static void check_after_kill(const struct progress *p)
{
	struct visited v = {0};
	uint64_t after = p->durable;
	struct tail_state state = {0};
	int err = scan_file(tail_path, after, &v, &state);

	/* done with, but not yet said: then what was written is gone from the tail, maybe all there was */
	if (err || (v.n == 0 && p->writing > after)) {
		ck_assert(err == 0 || err == -EILSEQ);
		ck_assert_uint_gt(p->writing, after);
		after = p->writing;
		v = (struct visited){0};
		err = scan_file(tail_path, after, &v, &state);
	}
	ck_assert_int_eq(err, 0);
	ck_assert(!v.open);
	ck_assert_uint_ge(after + v.n, p->appended);
	ck_assert_uint_le(after + v.n, p->appended + 23);
	if (v.n)
		ck_assert_uint_eq(v.first, after + 1);
}

START_TEST(kill_9_at_any_moment_loses_nothing_that_was_appended)
{
	struct progress *p =
		mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t random = random_seed("kill_9");

	ck_assert_ptr_ne(p, MAP_FAILED);
	for (unsigned round = 0; round < 40; round++) {
		pid_t pid;
		int status;

		memset(p, 0, sizeof *p);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			child_main(p);
		while (!p->appended && waitpid(pid, &status, WNOHANG) == 0)
			usleep(100);
		usleep((useconds_t)(random_next(&random) % 5000));
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check_after_kill(p);
		ck_assert_int_eq(unlink(tail_path), 0);
	}
	munmap(p, sizeof *p);
}
END_TEST

/* ---- what it refuses ------------------------------------------------------------------- */

/* A tail with three records, its writer dead. */
static struct stat dead_tail(void)
{
	struct bench b;
	struct stat st;

	tail_bench_init(&b, 0);
	append_group(b.journal, 3);
	tail_bench_kill(&b);
	ck_assert_int_eq(stat(tail_path, &st), 0);
	return st;
}

START_TEST(a_tail_of_another_pool_boot_session_or_copy_is_refused_by_name)
{
	static const char *const named[] = {"uuid", "boot id", "session id", "dev:ino", "dev:ino"};
	struct stat st = dead_tail();

	for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
		struct tail_identity want = identity;
		struct visited v = {0};
		struct tail_state state = {0};

		memcpy(want.uuid, test_uuid, sizeof test_uuid);
		switch (i) {
		case 0: want.uuid[15] ^= 1; break;
		case 1: want.boot_id[0] ^= 1; break;
		case 2: want.session_id[7] ^= 1; break;
		case 3: want.pool_dev++; break;
		case 4: want.pool_ino--; break;
		}
		ck_assert_int_eq(tail_scan(tail_path, st.st_dev, st.st_ino, &want, 0, visit_nth, &v,
					   &state),
				 -ESTALE);
		ck_assert_msg(strstr(error_message(), named[i]) != NULL, "%s", error_message());
		ck_assert_uint_eq(v.n, 0);
	}
	scan_tail_expecting(0, 3);
}
END_TEST

START_TEST(a_missing_or_replaced_tail_is_not_there)
{
	struct stat st = dead_tail();
	struct tail_identity want = identity;
	struct visited v = {0};
	char moved[128];
	struct tail_state state = {0};

	memcpy(want.uuid, test_uuid, sizeof test_uuid);
	ck_assert_int_eq(tail_scan(tail_path, st.st_dev, st.st_ino + 1, &want, 0, visit_nth, &v,
				   &state),
			 -ENOENT);
	ck_assert_int_eq(tail_scan(tail_path, st.st_dev + 1, st.st_ino, &want, 0, visit_nth, &v,
				   &state),
			 -ENOENT);
	snprintf(moved, sizeof moved, "%s/moved", dir);
	ck_assert_int_eq(rename(tail_path, moved), 0);
	ck_assert_int_eq(tail_scan(tail_path, st.st_dev, st.st_ino, &want, 0, visit_nth, &v,
				   &state),
			 -ENOENT);
	ck_assert_int_eq(symlink("moved", tail_path), 0);
	ck_assert_int_eq(tail_scan(tail_path, st.st_dev, st.st_ino, &want, 0, visit_nth, &v,
				   &state),
			 -ENOENT);
	ck_assert_int_eq(unlink(tail_path), 0);
	ck_assert_int_eq(mkfifo(tail_path, 0600), 0);
	ck_assert_int_eq(stat(tail_path, &st), 0);
	ck_assert_int_eq(tail_scan(tail_path, st.st_dev, st.st_ino, &want, 0, visit_nth, &v,
				   &state),
			 -ENOENT);
	ck_assert_int_eq(unlink(moved), 0);
	ck_assert_uint_eq(v.n, 0);
}
END_TEST

START_TEST(a_damaged_header_is_refused)
{
	struct disk_tail *h = NULL;

	dead_tail();
	for (unsigned byte = 0; byte < PAGE_BYTES; byte++) {
		struct visited v = {0};
		struct tail_state state = {0};

		if (byte >= offsetof(struct disk_tail, start) &&
		    byte < offsetof(struct disk_tail, durable) + sizeof h->durable)
			continue; /* these change as it runs: below */
		flip(tail_path, byte);
		ck_assert_int_eq(scan_file(tail_path, 0, &v, &state), -ESTALE);
		ck_assert_uint_eq(v.n, 0);
		flip(tail_path, byte);
	}
	scan_tail_expecting(0, 3);
}
END_TEST

START_TEST(a_start_that_cannot_be_visits_nothing_that_does_not_follow)
{
	dead_tail();
	for (unsigned byte = 0; byte < 8; byte++) {
		off_t at = (off_t)(offsetof(struct disk_tail, start) + byte);
		struct visited v = {0};
		struct tail_state state = {0};
		int err;

		flip(tail_path, at);
		err = scan_file(tail_path, 0, &v, &state);
		ck_assert(err == 0 || err == -ESTALE || err == -EILSEQ);
		ck_assert(!v.n || v.first == 1);
		flip(tail_path, at);
	}
}
END_TEST

START_TEST(a_tail_of_another_length_is_refused)
{
	static const off_t lengths[] = {0,
					100,
					PAGE_BYTES,
					PAGE_BYTES + TAIL_RING - 1,
					PAGE_BYTES + TAIL_RING + 1,
					3 * (PAGE_BYTES + TAIL_RING)};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct visited v = {0};
		struct tail_state state = {0};

		dead_tail();
		ck_assert_int_eq(truncate(tail_path, lengths[i]), 0);
		ck_assert_int_eq(scan_file(tail_path, 0, &v, &state), -ESTALE);
		ck_assert_uint_eq(v.n, 0);
	}
}
END_TEST

/* ---- the file ------------------------------------------------------------------------------- */

START_TEST(the_file_is_private_whole_and_replaces_an_older_one)
{
	struct stat old = dead_tail(), st;
	uint64_t dev, ino;
	struct bench b;

	tail_bench_init(&b, 50);
	ck_assert(journal_tail_id(b.journal, &dev, &ino));
	ck_assert_int_eq(lstat(tail_path, &st), 0);
	ck_assert(st.st_dev == dev && st.st_ino == ino && ino != old.st_ino);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(st.st_size, PAGE_BYTES + TAIL_RING);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	scan_tail_expecting(50, 50);
	bench_fini(&b);
	ck_assert_int_eq(lstat(tail_path, &st), -1);
}
END_TEST

START_TEST(a_file_that_took_the_tails_place_is_not_removed)
{
	struct bench b;
	int fd;

	tail_bench_init(&b, 0);
	ck_assert_int_eq(unlink(tail_path), 0);
	fd = open(tail_path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	bench_fini(&b);
	ck_assert_int_eq(access(tail_path, F_OK), 0);
}
END_TEST

START_TEST(a_journal_without_a_tail_has_no_file)
{
	struct bench b;
	uint64_t dev, ino;

	bench_init(&b, TAIL_RING);
	ck_assert(!journal_tail_id(b.journal, &dev, &ino));
	append_group(b.journal, 3);
	journal_taint(b.journal);
	write_all(&b);
	bench_fini(&b);
}
END_TEST

START_TEST(a_leftover_of_a_process_that_died_while_making_one_is_no_obstacle)
{
	char made[128];
	struct bench b;

	snprintf(made, sizeof made, "%s.new", tail_path);
	ck_assert_int_eq(symlink("/nonexistent", made), 0);
	tail_bench_init(&b, 0);
	append_group(b.journal, 3);
	tail_bench_kill(&b);
	scan_tail_expecting(0, 3);
}
END_TEST

START_TEST(a_tail_that_cannot_be_made_leaves_the_old_one)
{
	struct journal_options opt = {.pending_bytes = TAIL_RING, .identity = identity};
	char path[128], made[140];
	struct journal *j = NULL;
	struct bench b;

	bench_init(&b, TAIL_RING);
	snprintf(path, sizeof path, "%s/none/pool.tail", dir);
	opt.tail_path = path;
	ck_assert_int_eq(journal_new(b.store, &geometry, test_uuid, &b.from, &opt, &j), -ENOENT);
	/* a directory in the way of the rename */
	snprintf(path, sizeof path, "%s/sub", dir);
	snprintf(made, sizeof made, "%s.new", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_lt(journal_new(b.store, &geometry, test_uuid, &b.from, &opt, &j), 0);
	ck_assert_int_eq(access(made, F_OK), -1);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_ptr_null(j);
	bench_fini(&b);
}
END_TEST

START_TEST(a_full_tmpfs_is_told_and_leaves_the_old_tail)
{
	struct journal_options opt = {.pending_bytes = 4 * TAIL_RING, .identity = identity};
	char mounted[80], path[128], made[140];
	struct journal *j = NULL;
	struct bench b;
	int fd;

	snprintf(mounted, sizeof mounted, "%s/full", dir);
	snprintf(path, sizeof path, "%s/pool.tail", mounted);
	snprintf(made, sizeof made, "%s.new", path);
	ck_assert_int_eq(mkdir(mounted, 0700), 0);
	if (mount("tmpfs", mounted, "tmpfs", 0, "size=128k") < 0) {
		printf("full tmpfs: not tested, mount: %m\n");
		rmdir(mounted);
		return;
	}
	bench_init(&b, TAIL_RING);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	opt.tail_path = path;
	ck_assert_int_eq(journal_new(b.store, &geometry, test_uuid, &b.from, &opt, &j), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(error_message(), "tmpfs is full"));
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(access(made, F_OK), -1);
	bench_fini(&b);
	ck_assert_int_eq(umount(mounted), 0);
	ck_assert_int_eq(rmdir(mounted), 0);
}
END_TEST

/* ---- where to keep it ----------------------------------------------------------------------- */

START_TEST(the_boot_id_is_the_kernels)
{
	uint8_t id[16], again[16];
	char text[33] = "", kernel[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	size_t digits = 0;

	ck_assert_int_eq(tail_boot_id(id), 0);
	ck_assert_int_eq(tail_boot_id(again), 0);
	ck_assert_mem_eq(id, again, sizeof id);
	ck_assert_ptr_nonnull(fgets(kernel, sizeof kernel, f));
	fclose(f);
	for (size_t i = 0; i < sizeof id; i++)
		sprintf(text + 2 * i, "%02x", id[i]);
	for (char *c = kernel; *c && *c != '\n'; c++) {
		if (*c != '-')
			ck_assert_int_eq(*c, text[digits++]);
	}
	ck_assert_uint_eq(digits, 32);
}
END_TEST

static bool on_tmpfs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == 0x01021994;
}

START_TEST(the_run_directory_keeps_tails_if_it_is_a_private_tmpfs)
{
	char found[256], small[4];

	if (!on_tmpfs(dir))
		return;
	ck_assert_int_eq(tail_directory(dir, found, sizeof found), 0);
	ck_assert_str_eq(found, dir);
	ck_assert_int_eq(tail_directory(dir, small, sizeof small), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_run_directory_others_can_write_to_or_own_keeps_no_tails)
{
	char link_path[96];

	if (!on_tmpfs(dir))
		return;
	ck_assert_int_eq(tail_directory_check(dir, false), 0);
	ck_assert_int_eq(chmod(dir, 0770), 0);
	ck_assert_int_eq(tail_directory_check(dir, true), -EPERM);
	ck_assert_int_eq(chmod(dir, 0702), 0);
	ck_assert_int_eq(tail_directory_check(dir, true), -EPERM);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(tail_directory_check(dir, true), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(dir, 65534, 65534), 0);
		ck_assert_int_eq(tail_directory_check(dir, true), -EPERM);
		ck_assert_int_eq(chown(dir, 0, 0), 0);
	}
	snprintf(link_path, sizeof link_path, "%s/link", dir);
	ck_assert_int_eq(symlink(dir, link_path), 0);
	ck_assert_int_eq(tail_directory_check(link_path, true), 0);
	ck_assert_int_eq(tail_directory_check(link_path, false), -EPERM);
	ck_assert_int_eq(unlink(link_path), 0);
	ck_assert_int_eq(tail_directory_check("/nonexistent", true), -ENOENT);
	ck_assert_int_eq(tail_directory_check("/proc/self", true), -ENOENT);
}
END_TEST

START_TEST(a_shared_directory_is_made_private_or_refused)
{
	char path[96], file[96];
	struct stat st;

	if (!on_tmpfs(dir))
		return;
	snprintf(path, sizeof path, "%s/cowbd-0", dir);
	ck_assert_int_eq(tail_directory_make(path), 0);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(tail_directory_make(path), 0);
	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(tail_directory_make(path), -EPERM);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(symlink(dir, path), 0);
	ck_assert_int_eq(tail_directory_make(path), -EPERM);
	ck_assert_int_eq(unlink(path), 0);
	snprintf(file, sizeof file, "%s/cowbd-0", dir);
	ck_assert_int_eq(mknod(file, S_IFREG | 0700, 0), 0);
	ck_assert_int_eq(tail_directory_make(path), -EPERM);
	ck_assert_int_eq(unlink(file), 0);
}
END_TEST

START_TEST(without_a_run_directory_on_tmpfs_tails_go_to_shared_memory)
{
	char found[256], expected[64];

	snprintf(expected, sizeof expected, "/dev/shm/cowbd-%u", (unsigned)geteuid());
	if (!on_tmpfs("/dev/shm") || tail_directory_make(expected))
		return;
	ck_assert_int_eq(tail_directory("/proc/self", found, sizeof found), 0);
	ck_assert_str_eq(found, expected);
	ck_assert_int_eq(tail_directory(NULL, found, sizeof found), 0);
	ck_assert_str_eq(found, expected);
	(void)rmdir(expected); /* unless it is in use */
}
END_TEST

static Suite *tail_suite(void)
{
	Suite *suite = suite_create("tail");
	TCase *c = tcase_create("tail");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, directory_make, directory_remove);
	tcase_add_test(c, a_killed_session_leaves_exactly_what_was_appended_and_not_released);
	tcase_add_test(c, records_may_run_over_the_end_of_the_ring);
	tcase_add_test(c, a_full_ring_is_read_to_its_last_byte_and_no_further);
	tcase_add_test(c, records_of_an_earlier_lap_are_not_accepted);
	tcase_add_test(c, an_unfinished_group_is_dropped);
	tcase_add_test(c, a_torn_record_ends_the_tail_at_the_last_whole_group);
	tcase_add_test(c, a_tail_that_does_not_follow_the_journal_is_refused);
	tcase_add_test(c, a_scan_of_the_tail_ends_with_the_visitors_error);
	tcase_add_test(c, a_tainted_session_says_so);
	tcase_add_test(c, kill_9_at_any_moment_loses_nothing_that_was_appended);
	tcase_add_test(c, a_tail_of_another_pool_boot_session_or_copy_is_refused_by_name);
	tcase_add_test(c, a_missing_or_replaced_tail_is_not_there);
	tcase_add_test(c, a_damaged_header_is_refused);
	tcase_add_test(c, a_start_that_cannot_be_visits_nothing_that_does_not_follow);
	tcase_add_test(c, a_tail_of_another_length_is_refused);
	tcase_add_test(c, the_file_is_private_whole_and_replaces_an_older_one);
	tcase_add_test(c, a_file_that_took_the_tails_place_is_not_removed);
	tcase_add_test(c, a_journal_without_a_tail_has_no_file);
	tcase_add_test(c, a_leftover_of_a_process_that_died_while_making_one_is_no_obstacle);
	tcase_add_test(c, a_tail_that_cannot_be_made_leaves_the_old_one);
	tcase_add_test(c, a_full_tmpfs_is_told_and_leaves_the_old_tail);
	tcase_add_test(c, the_boot_id_is_the_kernels);
	tcase_add_test(c, the_run_directory_keeps_tails_if_it_is_a_private_tmpfs);
	tcase_add_test(c, a_run_directory_others_can_write_to_or_own_keeps_no_tails);
	tcase_add_test(c, a_shared_directory_is_made_private_or_refused);
	tcase_add_test(c, without_a_run_directory_on_tmpfs_tails_go_to_shared_memory);
	suite_add_tcase(suite, c);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(tail_suite());
	int failed;

	base_make();
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	(void)nftw(base, remove_visited, 8, FTW_DEPTH | FTW_PHYS);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
