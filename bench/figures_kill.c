/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figures_kill.c - how long a pool takes to open whose daemon was killed with a full journal
 *
 * A child unmaps and writes single blocks, two records each, without the workers that would
 * make a checkpoint, until the journal is full; then it kills itself.  Every step that it had
 * counted must be there: flushed or not, for the tail survives it.
 */
#include "figures.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pool.h"

#define POOL_BYTES (16 * GIB)
#define VOLUME_BYTES (256 * MIB)
#define BLOCKS (VOLUME_BYTES / BLOCK)
#define STRIDE 40503u /* odd: i * STRIDE % BLOCKS meets every block once */
#define FLUSH_EVERY 1024u

static uint64_t block_of_step(uint64_t step)
{
	return step * STRIDE % BLOCKS;
}

static uint64_t version_of_step(uint64_t step)
{
	return 1 + step / BLOCKS;
}

static void one_step(struct cowbd_client *c, uint64_t step)
{
	uint64_t buf[BLOCK / sizeof(uint64_t)], block = block_of_step(step);

	stamp_block(buf, block, version_of_step(step));
	must(cowbd_trim(c, BLOCK, block * BLOCK, 0), "trim");
	must(cowbd_write(c, buf, sizeof buf, block * BLOCK, 0), "write");
}

/* Runs in the child. The last steps are in the tail alone. */
static noreturn void fill_and_die(const struct setting *s, const char *path,
				  _Atomic uint64_t *steps)
{
	struct cowbd_pool *p = open_pool(s, path);
	struct journal *j = p->e.journal;
	uint64_t left = journal_ring_bytes(j) / 16 * (s->quick ? 14 : 1);
	struct cowbd_client *c;

	must(cowbd_client_open(p, "vol", false, NULL, &c), "vol");
	for (uint64_t step = 0;; step++) {
		one_step(c, step);
		atomic_store(steps, step + 1);
		if (step % FLUSH_EVERY == FLUSH_EVERY / 2)
			must(cowbd_flush(c), "flush");
		if (step % FLUSH_EVERY == FLUSH_EVERY - 1 && journal_room(j) < left)
			kill(getpid(), SIGKILL);
	}
}

static void kill_one(const struct setting *s, const char *path, _Atomic uint64_t *steps)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		fill_and_die(s, path, steps);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		wrong("no child: %s", strerror(errno));
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		wrong("the child ended with status %#x instead of being killed", status);
}

static void expect_all(struct cowbd_pool *p, uint64_t steps)
{
	CLEANUP_FREE uint32_t *version = calloc(BLOCKS, sizeof *version);
	uint64_t buf[BLOCK / sizeof(uint64_t)];
	struct cowbd_client *c;

	must(version ? 0 : fail(-ENOMEM, "no memory for versions"), "versions");
	for (uint64_t step = 0; step < steps; step++)
		version[block_of_step(step)] = (uint32_t)version_of_step(step);
	must(cowbd_client_open(p, "vol", true, NULL, &c), "vol");
	for (uint64_t block = 0; block < BLOCKS; block++) {
		must(cowbd_read(c, buf, sizeof buf, block * BLOCK), "read");
		if (!block_has_stamp(buf, block, version[block]))
			wrong("after the kill, block %" PRIu64 " is not version %u", block,
			      version[block]);
	}
	cowbd_client_close(c);
}

void part_kill(const struct setting *s)
{
	_Atomic uint64_t *steps = mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cowbd_pool_info info;
	struct cowbd_check_result found;
	struct cowbd_pool *p;
	char path[4096], note[160];
	uint64_t from;
	double took;

	if (steps == MAP_FAILED)
		wrong("no shared memory");
	pool_path(s, "kill", path);
	make_pool(path, POOL_BYTES, 0);
	p = open_pool(s, path);
	make_full(p, "vol", VOLUME_BYTES);
	must(cowbd_close(p), "close");
	kill_one(s, path, steps);

	from = now_ns();
	p = open_pool(s, path);
	took = seconds_since(from);
	cowbd_pool_info(p, &info);
	if (info.was_clean)
		wrong("a pool whose daemon was killed opens as clean");
	expect_all(p, atomic_load(steps));
	snprintf(note, sizeof note,
		 "journal of %" PRIu64 " MiB; replayed %" PRIu64 " records of it, %" PRIu64
		 " of the tail",
		 info.journal_bytes / MIB, info.replayed_journal, info.replayed_tail);
	report_figure(&(struct figure){s->quick ? "open after kill -9, journal 1/8 full"
						: "open after kill -9, journal full",
				       "s", took, AT_MOST, 1, TIME_HOW_FAR, note});
	must(cowbd_close(p), "close");
	must(cowbd_check(path, &(struct cowbd_check_options){0}, &found), "check");
	if (found.damages || found.leaks)
		wrong("after the kill, check found %" PRIu64 " damages, %" PRIu64 " leaks",
		      found.damages, found.leaks);
	munmap((void *)(uintptr_t)steps, sizeof *steps);
}
