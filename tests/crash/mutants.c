/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutants.c - each rule of the engine, switched off, must be noticed
 *
 * Each is tried in a process of its own (it may crash, or hang), first on the workload that is known to
 * notice it, then, if there is time, on all of them.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "explore.h"

static const struct mutant_rule {
	const char *name;
	const char *directed; /* workload that notices it, or NULL: a random one */
	uint64_t seed;        /* of it */
} mutants[] = {
	{"ack-flush-early", "killed-with-a-journal-write-in-flight", 1},
	{"checkpoint-before-data", "killed-in-a-checkpoint", 1},
	{"current-slot-written", "deletion-interrupted", 1},
	{"cut-not-frozen", "pages-change-before-they-are-written", 1},
	{"flush-without-sync", "written-in-place-and-killed", 1},
	{"freed-under-reader", "slow-reader-and-owner", 1},
	{"grown-before-durable", "grown-and-cut", 1},
	{"last-batch-unverified", "young-and-written-in-place", 1},
	{"journal-before-data", "clones-fault-on-a-shared-page", 1},
	{"named-before-checkpoint", "named-before-a-checkpoint", 1},
	{"newest-slot-wins", "checkpoint-cut-short", 1},
	{"no-block-lock", "fault-behind-a-write-in-place", 1},
	{"no-tail", "killed-before-a-flush", 1},
	{"one-superblock", "deletion-interrupted", 1},
	{"open-without-sync", "written-in-place-and-killed", 1},
	{"owner-before-durable", "left-to-its-last-owner", 1},
	{"reclaimed-reuse-early", NULL, 1},
	{"released-before-super", NULL, 5},
	{"replay-no-prescan", "replay-without-a-free-zone", 1},
	{"reuse-before-durable", "freed-and-taken-at-once", 1},
	{"ring-overrun", "journal-is-full", 1},
	{"short-way-any-data", "snapshot-of-what-was-written-in-place", 1},
	{"session-before-checkpoint", "let-go-in-the-tail", 1},
	{"snapshot-early-return", "snapshot-of-a-write-in-flight", 1},
	{"snapshot-without-data", NULL, 1},
	{"sum-of-fallen", "named-and-fallen-in-one-batch", 1},
	{"sum-under-writer", "flushed-inside-a-write-in-place", 1},
	{"young-in-place", "young-and-written-in-place", 1},
	{"sum-of-before", "scrubbed-and-cut", 1},
	{"sums-outlive-zone", "scrubbed-and-cut", 1},
	{"super-before-pages", "deletion-interrupted", 1},
	{"super-not-durable", "deletion-interrupted", 1},
	{"unsettled-visible", "snapshot-of-a-write-in-flight", 1},
	{"zone-not-zeroed", "data-becomes-metadata", 1},
	{"zone-type-early", "zone-leaves-with-its-checkpoint", 1},
	{"zone-used-since", "zone-used-since-the-cut", 1},
};

static bool all_notice_nothing(const struct directed *d, uint64_t seed)
{
	for (unsigned v = 0; v < d->variants; v++)
		if (explore_directed(d, v, seed) < 0)
			return false;
	return true;
}

static bool list_notices_nothing(const struct directed *d, uint64_t seed)
{
	for (; d->name; d++)
		if (!all_notice_nothing(d, seed))
			return false;
	return true;
}

static bool nothing_noticed(const struct mutant_rule *m, double seconds)
{
	uint64_t start = now_ns();

	if (m->directed && !all_notice_nothing(directed_find(m->directed), m->seed))
		return false;
	if (!m->directed && explore_random(m->seed) < 0)
		return false;
	if (seconds <= 0) /* only what is known */
		return true;
	images_forget();
	if (!list_notices_nothing(directed_scripts, m->seed) ||
	    !list_notices_nothing(directed_threads, m->seed))
		return false;
	for (uint64_t seed = 1; (double)(now_ns() - start) < seconds * 1e9; seed++)
		if (explore_random(seed) < 0)
			return false;
	return true;
}

static int try_mutant(const struct mutant_rule *m, double seconds)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setenv("COWBD_MUTANT", m->name, 1);
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		alarm((unsigned)seconds * 4 + 120);
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		_exit(nothing_noticed(m, seconds) ? 0
						  : (printf("  %s\n", failure), fflush(stdout), 1));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return 0; /* too slow to tell */
	return status;
}

int mutants_catch(const char *only, double seconds)
{
	unsigned caught = 0, n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(mutants); i++) {
		uint64_t start = now_ns();
		int status;

		if (only && strcmp(only, mutants[i].name) != 0)
			continue;
		n++;
		status = try_mutant(&mutants[i], seconds);
		caught += status != 0;
		printf("%-26s %s, %.1f s\n", mutants[i].name, status ? "caught" : "NOT CAUGHT",
		       (double)(now_ns() - start) / 1e9);
	}
	printf("mutants caught: %u of %u\n= %u/%u rules whose absence is noticed (mutants "
	       "caught)\n",
	       caught, n, caught, n);
	return n && caught == n ? 0 : -1;
}
