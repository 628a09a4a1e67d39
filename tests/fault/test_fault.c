/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_fault.c - every call of the store, and every allocation, fails once, and for ever, in a script
 *
 * Fault model.  The n-th call of a kind fails, changing nothing; n = 1, 2, 3 ... until the script
 * passes untouched.  After a failed sync the kernel calls the pages clean: no later sync covers
 * them, and when the cache is dropped any of them may be gone.  After the fault the daemon dies,
 * or the power goes (all that no sync covers is lost, or some of it).
 *
 * Judged: nothing is acknowledged falsely, a failed sync turns the pool read-only at once, what failed has
 * happened as a whole or not at all, and every image opens, checks clean, and holds what the oracle allows.
 *
 *	test_fault [-t SECONDS] [-s SEED] [-v] [KIND once|forever N]
 *
 * The places to fail are taken in a seeded order until the time is up (FAULT_SECONDS, or -t); 0: all.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault.h"

#define SITE_SECONDS 60u
#define SECONDS 15.0

static uint64_t calls[KINDS]; /* of each kind, in the untouched script */

/* Nothing here has to stay in memory; each opened pool would fault all of its ring in. */
int mlock(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* Nor need the host promise room for all of each ring. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
	return ftruncate(fd, offset + len) < 0 ? errno : 0;
}

/* ---- the script ------------------------------------------------------------------------------------------- */

/* What the unclean pool comes from: part durable, part in the tail alone. */
static const struct step before[] = {
	{OPEN, NULL, NULL, 0, 0},        {CREATE, "a", NULL, 0, 40},
	{WRITE, "a", NULL, 0, 24 * PER}, {SNAPSHOT, "a@s0", NULL, 0, 0},
	{CREATE, "b", NULL, 0, 20},      {WRITE, "b", NULL, 3, 60},
	{CHECKPOINT, NULL, NULL, 0, 0},  {WRITE, "a", NULL, 5, 40},
	{FLUSH, "a", NULL, 0, 0},        {WRITE, "a", NULL, 9, 9},
	{SNAPSHOT, "a@s1", NULL, 0, 0},  {REMOVE, "a@s0", NULL, 0, 0},
	{WRITE, "b", NULL, 10, 20},      {WRITE, "a", NULL, 30 * PER + 3, 5},
	{TRIM, "b", NULL, 2 * PER, PER},
};

static const struct step script[] = {
	{OPEN, NULL, NULL, 0, 0},
	{READ, "b", NULL, 0, 80},
	{WRITE, "a", NULL, 7, 2},
	{READ, "a@s1", NULL, 0, 9 * PER},
	{WRITE, "a", NULL, PER - 1, 3},
	{FUA, "b", NULL, 11, 4},
	{FLUSH, "a", NULL, 0, 0},
	{CREATE, "c", NULL, 0, 20},
	{WRITE, "c", NULL, 0, 12 * PER},
	{FLUSH, "c", NULL, 0, 0},
	{SNAPSHOT, "a@s2", NULL, 0, 0},
	{WRITE, "a", NULL, 2 * PER + 5, PER + 1},
	{GROUP, "a@g", "b@g", 0, 0},
	{FUA, "b", NULL, 4 * PER + 1, 2},
	{CLONE, "a@s1", "d", 0, 0},
	{WRITE, "d", NULL, 6 * PER + 2, 7},
	{READ, "d", NULL, 5 * PER, 3 * PER},
	{TRIM, "a", NULL, 3 * PER, 6 * PER},
	{ZERO, "b", NULL, PER + 3, 3 * PER},
	{CHECKPOINT, NULL, NULL, 0, 0},
	{WRITE, "a", NULL, PER, 1},
	{WRITE, "b", NULL, 5 * PER, 2 * PER},
	{ROLLBACK, "b@g", "k", 0, 0},
	{WRITE, "b", NULL, 1, 1},
	{REMOVE, "a@s1", NULL, 0, 0},
	{RECLAIM, NULL, NULL, 0, 0},
	{RESIZE, "c", NULL, 0, 7},
	{RESIZE, "d", NULL, 0, 60},
	{GROW_POOL, NULL, NULL, 0, 0},
	{WRITE, "d", NULL, 20 * PER + 1, 30 * PER},
	{FLUSH, "d", NULL, 0, 0},
	{REMOVE, "c", NULL, 0, 0},
	{RECLAIM, NULL, NULL, 0, 0},
	{CHECKPOINT, NULL, NULL, 0, 0},
	{GIVE_BACK, NULL, NULL, 0, 0},
	{SCRUB, NULL, NULL, 0, 0},
	{RENAME, "a", "e", 0, 0},
	{WRITE, "e", NULL, 3, 30},
	{SYNC, NULL, NULL, 0, 0},
	{WRITE, "e", NULL, 8, 3},
	{CLOSE, NULL, NULL, 0, 0},
	{OPEN, NULL, NULL, 0, 0},
	{READ, "d", NULL, 0, 60 * PER},
	{WRITE, "e", NULL, 2 * PER - 1, 2},
	{FUA, "d", NULL, 40 * PER, 3 * PER},
	{SCRUB, NULL, NULL, 0, 0},
	{REMOVE, "a@s2", NULL, 0, 0},
	{WRITE, "b", NULL, 2, 2},
};

static int run_steps(struct run *r, const struct step *steps, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0 && !r->dead; i++) {
		const struct step *s = &steps[i];

		snprintf(r->step, sizeof r->step, "%zu %s %s", i, step_name(s->what),
			 s->name ? s->name : "");
		oracle_begin(oracle_of(r), events_now(r));
		err = do_step(r, s);
		if (err == 0)
			err = check_failed(r);
		if (err == 0 && has_fired(r) && r->nmoments == 0 && !r->dead)
			remember(r);
	}
	return err;
}

/* ---- runs -------------------------------------------------------------------------------------------------------------- */

static struct run start; /* the unclean pool, and what it may hold */
static struct tails start_tails;

static void run_fini(struct run *r)
{
	if (r->store)
		store_sim_cut(r->store);
	if (r->p)
		close_pool(r);
	for (unsigned i = 0; i < r->nmoments; i++) {
		store_close(r->moment[i].killed);
		tails_fini(&r->moment[i].tails);
	}
	for (unsigned i = r == &start ? 0 : 1; i < r->noracles; i++) {
		oracle_fini(r->oracle[i]);
		free(r->oracle[i]);
	}
	unhooked_close(r->store);
	each_tail(remove_tail, NULL);
}

/* Makes the unclean pool. */
static int prepare(void)
{
	const struct sim_options opt = {.seed = 1, .record = true};
	struct cowbd_init_options init = {
		.name = "fault", .journal_bytes = JOURNAL_ZONES * ZONE_BYTES, .block_bytes = BLOCK};
	struct store *made;
	int err;

	start.oracle[start.noracles++] = calloc(1, sizeof **start.oracle);
	if (!start.oracle[0] || store_sim_new(24 * ZONE_BYTES, NULL, &made) < 0 ||
	    mkfs_store(made, "fault", &init) < 0 || store_sim_copy(made, &opt, &start.store) < 0)
		return -1;
	store_close(made);
	hook(start.store);
	err = run_steps(&start, before, ARRAY_SIZE(before));
	each_tail(keep_tail, &start_tails);
	store_sim_cut(start.store);
	close_pool(&start);
	unhook(start.store);
	return err;
}

/* One place to fail: was it reached? */
static bool run_site(void)
{
	const struct sim_options opt = {.seed = 2, .record = true};
	struct run r = {.random = site.n * 31 + site.kind};
	bool fired;

	alarm(SITE_SECONDS);
	if (verbose)
		printf("  site %s\n", site_name());
	r.oracle[r.noracles++] = start.oracle[start.noracles - 1];
	if (store_sim_copy(start.store, &opt, &r.store) < 0)
		abort();
	hook(r.store);
	tails_restore(&start_tails);
	running = &r;
	calls_begin();
	arm(&r);
	(void)run_steps(&r, script, ARRAY_SIZE(script));
	fired = has_fired(&r);
	if (site.n == 0)
		for (unsigned k = 0; k < KINDS; k++)
			calls[k] = calls_of(r.store, k) - r.looked[k];
	suspend_faults(&r);
	if (fired || site.n == 0) {
		r.armed = false;
		remember(&r);
		store_sim_cut(r.store);
		if (r.p)
			close_pool(&r);
		running = NULL;
		look_at_moments(&r);
	}
	running = NULL;
	run_fini(&r);
	return fired;
}

/* ---- all places ------------------------------------------------------------------------------------------------------------ */

static void on_signal(int sig)
{
	fprintf(stderr, "site %s, at \"%s\": %s\n", site_name(),
		running ? running->step : "an image", sig == SIGALRM ? "hangs" : "crashes");
	fflush(NULL);
	_exit(1);
}

/* All that the untouched script passes, in a seeded order. */
static struct site *list_sites(uint64_t seed, size_t *ret_n)
{
	struct site *list;
	size_t n = 0, all = 0;

	for (unsigned k = 0; k < KINDS; k++)
		all += 2 * (size_t)calls[k];
	list = calloc(all + 1, sizeof *list);
	if (!list)
		abort();
	for (unsigned k = 0; k < KINDS; k++)
		for (uint64_t i = 0; i < 2 * calls[k]; i++)
			list[n++] = (struct site){k, i >= calls[k], i % calls[k] + 1};
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)(random_of(&seed) % i);
		struct site swap = list[i - 1];

		list[i - 1] = list[j];
		list[j] = swap;
	}
	*ret_n = n;
	return list;
}

static void run_sites(uint64_t seed, double seconds)
{
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9), fired = 0;
	CLEANUP_FREE struct site *list = NULL;
	size_t n, i;

	list = list_sites(seed, &n);
	for (i = 0; i < n && violations < 20 && (seconds <= 0 || now_ns() < until); i++) {
		site = list[i];
		fired += run_site();
	}
	printf("%zu of %zu places, %" PRIu64 " reached, %" PRIu64 " images; seed %" PRIu64 "\n", i,
	       n, fired, images, seed);
	printf("# Calls and allocations that fail, once and for ever (make soak-fault)\n"
	       "+ %" PRIu64 " places x modes that failed\n+ %" PRIu64
	       " pools after that, opened and judged\n",
	       fired, images);
}

static void clean_up(void)
{
	run_fini(&start);
	tails_fini(&start_tails);
	(void)rmdir(dir);
}

/* KIND once|forever N */
static int parse_site(char **args, struct site *ret_site)
{
	for (unsigned k = 0; k < KINDS; k++)
		if (strcmp(args[0], kind_name(k)) == 0) {
			*ret_site = (struct site){k, strcmp(args[1], "forever") == 0,
						  strtoull(args[2], NULL, 10)};
			return 0;
		}
	fprintf(stderr, "test_fault: %s is no kind of call\n", args[0]);
	return -1;
}

int main(int argc, char **argv)
{
	const char *given = getenv("FAULT_SECONDS");
	double seconds = given ? strtod(given, NULL) : SECONDS;
	uint64_t seed = 1;
	struct site one = {0};
	int option;

	while ((option = getopt(argc, argv, "t:s:v")) != -1)
		switch (option) {
		case 't': seconds = strtod(optarg, NULL); break;
		case 's': seed = strtoull(optarg, NULL, 10); break;
		case 'v': verbose = true; break;
		default: return 64;
		}
	if (argc > optind && (argc != optind + 3 || parse_site(argv + optind, &one) < 0))
		return 64;
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(dir, sizeof dir, "/dev/shm/cowbd-fault-%u", (unsigned)getpid());
	if (mkdir(dir, 0700) < 0)
		return 77;
	signal(SIGALRM, on_signal);
	signal(SIGABRT, on_signal);
	signal(SIGSEGV, on_signal);
	if (prepare() < 0) {
		printf("preparing: %s\n", cowbd_error());
		violations++;
	} else if (one.n) {
		site = one;
		printf("%s: %s\n", site_name(), run_site() ? "reached" : "not reached");
	} else {
		(void)run_site(); /* untouched, n = 0 */
		run_sites(seed, seconds);
	}
	clean_up();
	return violations ? 1 : 0;
}
