/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_check.c - memory and time of a check of a large pool, beside a plain read of its metadata
 *
 * Only metadata is checked, so only that is written: the store drops what is data.  What the pool's sparse file then
 * has is its metadata, and reading that is what the check's time is held against.
 */
#include "figures.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "pool.h"

#define CHUNK (32 * MIB)
#define BOUND_BYTES (512 * MIB)
#define RATIO_MOST 2.0
#define READ_BYTES MIB
#define ROUNDS 5u

/* ---- a store without data ------------------------------------------------------------- */

static const struct store_ops *real;

static int submit_but_data(struct store *s, struct store_io *ios, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n; i++) {
		bool data = (ios[i].flags & (STORE_WRITE | STORE_DIRECT)) == STORE_WRITE;
		int err = data ? 0 : real->submit(s, &ios[i], 1);

		if (data)
			ios[i].result = 0;
		r = r ? r : err;
	}
	return r;
}

static int take_nothing(struct store *s, uint64_t offset, uint64_t length)
{
	(void)s;
	(void)offset;
	(void)length;
	return 0;
}

/* A pool with one volume that has size bytes mapped. */
static void make_hollow(const struct setting *s, const char *path, uint64_t size)
{
	static struct store_ops ops;
	CLEANUP_FREE uint8_t *buf = calloc(1, CHUNK);
	struct cowbd_open_options opt = {.run_dir = s->run_dir};
	struct cowbd_client *c;
	struct cowbd_pool *p;
	struct store *store;

	must(buf ? 0 : fail(-ENOMEM, "no memory"), "buffer");
	make_pool(path, size + size / 32 + GIB, 0);
	must(store_file_open(path, 0, 0, &store), "store");
	real = store->ops;
	ops = *real;
	ops.submit = submit_but_data;
	ops.prealloc = take_nothing;
	store->ops = &ops;
	must(pool_open_store(store, path, &opt, &p), "open");
	must(cowbd_start(p), "start");
	must(cowbd_create(p, "v", size, 0, 0), "create");
	must(cowbd_client_open(p, "v", false, NULL, &c), "v");
	for (uint64_t at = 0; at < size; at += CHUNK)
		must(cowbd_write(c, buf, CHUNK, at, 0), "write");
	cowbd_client_close(c);
	must(cowbd_close(p), "close");
}

/* In a process of its own: what it leaves in memory would be copied by the one that checks. */
static void make_there(const struct setting *s, const char *path, uint64_t size)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		make_hollow(s, path, size);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		wrong("no pool at %s", path);
}

/* ---- what is measured -------------------------------------------------------------------- */

struct found {
	struct cowbd_check_result result;
	double took;   /* seconds */
	uint64_t peak; /* bytes */
};

/* In a process of its own, whose memory is that of the check. */
static void check_there(const char *path, struct found *ret)
{
	int pipes[2], status;
	pid_t pid;

	must(pipe(pipes) < 0 ? -errno : 0, "pipe");
	pid = fork();
	if (pid == 0) {
		uint64_t from = now_ns();
		struct found f = {.took = 0};
		int r = cowbd_check(path, NULL, &f.result);

		f.took = seconds_since(from);
		f.peak = peak_memory(getpid());
		if (r == 0 && write(pipes[1], &f, sizeof f) == (ssize_t)sizeof f)
			_exit(0);
		_exit(1);
	}
	close(pipes[1]);
	if (pid < 0 || read(pipes[0], ret, sizeof *ret) != (ssize_t)sizeof *ret ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		wrong("no check of %s", path);
	close(pipes[0]);
	if (ret->result.damages || ret->result.leaks)
		wrong("%s: %" PRIu64 " damages, %" PRIu64 " leaks", path, ret->result.damages,
		      ret->result.leaks);
}

/* Bytes a second, past the page cache, of all that is in the file. */
static double read_rate(const char *path)
{
	CLEANUP_FREE uint8_t *buf = aligned_alloc(4096, READ_BYTES);
	uint64_t from = now_ns(), total = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	off_t at = 0, end;

	must(fd < 0 || !buf ? fail(-EIO, "%s: no plain read", path) : 0, "read");
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		while (at < end) {
			ssize_t n = pread(fd, buf, (size_t)MIN((off_t)READ_BYTES, end - at), at);

			must(n <= 0 ? fail(-EIO, "%s: read", path) : 0, "read");
			total += (uint64_t)n;
			at += n;
		}
	}
	close(fd);
	return (double)total / seconds_since(from);
}

static void report_check(uint64_t size, unsigned passes, const struct found *f, double *ratio)
{
	double median = quantile(ratio, ROUNDS, 0.5); /* sorts them */
	char name[80], note[160];

	snprintf(note, sizeof note, "%" PRIu64 " blocks, %" PRIu64 " pages, %u pass%s",
		 f->result.blocks, f->result.pages, passes, passes == 1 ? "" : "es");
	snprintf(name, sizeof name, "check of %.4g GiB: resident", (double)size / GIB);
	report_figure(&(struct figure){name, "MiB", (double)f->peak / MIB, AT_MOST,
				       (double)BOUND_BYTES / MIB, SIZE_HOW_FAR, note});
	snprintf(note, sizeof note, "median of %u, %.2f to %.2f; the last took %.2f s", ROUNDS,
		 ratio[0], ratio[ROUNDS - 1], f->took);
	snprintf(name, sizeof name, "check of %.4g GiB: time / plain read", (double)size / GIB);
	report_figure(&(struct figure){name, "", median, passes == 1 ? AT_MOST : NO_TARGET,
				       RATIO_MOST, 10 * TIME_HOW_FAR, note});
}

/* Each check is held against a read of the file just before it. */
static void check_of(const struct setting *s, uint64_t size, unsigned passes)
{
	double ratio[ROUNDS];
	struct found f = {.took = 0};
	char path[4096];

	pool_path(s, "check", path);
	make_there(s, path, size);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double rate = read_rate(path);

		check_there(path, &f);
		if (f.result.passes != passes || f.result.blocks != size / BLOCK)
			wrong("%u passes instead of %u, %" PRIu64 " blocks counted",
			      f.result.passes, passes, f.result.blocks);
		ratio[i] = f.took * rate / (double)(f.result.pages * PAGE_BYTES);
	}
	report_check(size, passes, &f, ratio);
	must(unlink(path) < 0 ? fail(-errno, "%s", path) : 0, "unlink");
}

void part_check(const struct setting *s)
{
	check_of(s, 64 * GIB, 1);
	if (s->quick)
		return;
	check_of(s, TIB, 1);
	check_of(s, 3 * TIB / 2, 2);
}
