/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.c - cuts the power, and kills the daemon, at every point of many workloads
 *
 * Fault model.  A write is durable when a sync that was called after it returned has ended, or at
 * its own end if it was asked to be.  When the power goes any of the other writes and discards may be
 * lost, each on its own, and one may be torn: of its 512-byte sectors any are new, the others old
 * or, of metadata, garbage.  A durable write in flight is as any other.  When the daemon alone dies, all that was
 * written stays, and so does the tail; a durable write in flight may be there without being durable.
 *
 * For every cut: all prefixes of what was not synced, all subsets of up to 6 (--subsets), beyond that each alone
 * lost, each alone kept, and a sample; torn writes.  On each image: recovery, the checker, the
 * whole content against the oracle; on some, cuts and kills within that recovery, and more work after it.
 *
 * Workloads: random ones of hundreds of operations (workload.c), whose cuts are a seeded sample; every sequence of up
 * to three operations (sequences.c) and those written for one danger each (directed.c, inflight.c), in full.
 *
 *	explore [--seed N] [--seconds S]	a part of all, as in `make check`; then random ones for so long
 *	explore --workloads N [--seed N] [--seconds S] [--ops N] [--cuts N]	random ones alone
 *	explore --sequences N [--from I] [--step I] [--seconds S]	those of N operations, each I-th from one on
 *	explore --directed NAME|all [--variant N] [--seed N]
 *	explore --mutants | --mutant NAME	switches rules off: each must be noticed
 *	explore --replay N	one random workload; finds the fewest operations that still fail, and prints them
 *	explore --list
 * with any: --images N (end after so many), --figures (for scripts/reliability), --verbose.
 */
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <uuid/uuid.h>

#include "explore.h"
#include "sequences.h"

#define PHASES_MAX 3u

/* ---- a deterministic world ---------------------------------------------------------------------- */

static uint64_t uuid_random;

/* In place of the library's: the same seed, the same pool. */
void uuid_generate(uuid_t out)
{
	uint64_t v[2] = {random_of(&uuid_random), random_of(&uuid_random)};

	memcpy(out, v, sizeof v);
}

/* Nor need the host promise room for all of each ring. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
	return ftruncate(fd, offset + len) < 0 ? errno : 0;
}

/* Nothing here has to stay in memory; each opened pool would fault all of its ring in. */
int mlock(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* ---- options ------------------------------------------------------------------------------------------ */

struct options {
	uint64_t seed, workloads, images, from, step;
	unsigned ops, cuts; /* images a cut at most */
	unsigned subsets, sequences, variant;
	double seconds;
	bool verbose, mutants, figures, list, one_variant, replay, random;
	const char *only; /* of the mutants */
	const char *directed;
	const uint8_t *skip[PHASES_MAX];
};

static struct options options = {.seed = 1,
				 .workloads = UINT64_MAX,
				 .images = UINT64_MAX,
				 .step = 1,
				 .seconds = 15,
				 .cuts = 6,
				 .subsets = 6};
static uint64_t started;
static char current[160];

static bool time_is_up(void)
{
	return (double)(now_ns() - started) > options.seconds * 1e9 ||
	       images_distinct() >= options.images;
}

/* ---- random workloads ----------------------------------------------------------------------------------- */

static int run_phase(uint64_t seed, unsigned number, bool last, struct store *s,
		     struct store **ret_next)
{
	uint64_t random = seed * 7 + number;
	struct settings set = {.seed = seed,
			       .number = number,
			       .skip = options.skip[number],
			       .dir = images_dir,
			       .verbose = options.verbose};
	const struct effort effort = {
		.budget = options.cuts, .subsets = options.subsets, .nested = 8};
	const struct kill *kill = NULL;
	struct phase ph;
	char why[700] = "";
	int r;

	set.ops = options.ops
			  ? options.ops
			  : (unsigned)(random_of(&random) % 4 ? 12 + random_of(&random) % 40 : 200);
	set.kills = random_of(&random) % 2 ? KILLS_MAX : 0;
	if (set.verbose)
		printf("phase %u\n", number);
	r = workload_run(&set, s, &ph, why, sizeof why);
	counts.phases++;
	if (r < 0)
		snprintf(failure, sizeof failure, "%s\n  without a crash", why);
	if (r == 0)
		r = explore_kills(&ph, random_of(&random));
	if (r == 0 && !last)
		*ret_next = image_crashed(&ph, &random, &kill);
	if (r == 0)
		r = explore_phase(&ph, ph.first, &effort, random_of(&random));
	if (r == 0 && kill)
		r = kill_put_tail(kill);
	if (r < 0)
		snprintf(failure + strlen(failure), sizeof failure - strlen(failure),
			 "\n  phase %u", number);
	phase_fini(&ph);
	return r;
}

int explore_random(uint64_t seed)
{
	uint64_t random = seed ^ 0x5eed;
	unsigned phases = 1 + (unsigned)(random_of(&random) % PHASES_MAX);
	struct store *s = NULL;
	int r;

	snprintf(current, sizeof current, "--replay %" PRIu64 " --cuts %u --ops %u", seed,
		 options.cuts, options.ops);
	uuid_random = seed;
	failure[0] = '\0';
	r = workload_make(seed, &s, failure, sizeof failure);
	for (unsigned i = 0; i < phases && r == 0; i++) {
		struct store *next = NULL;

		r = run_phase(seed, i, i + 1 == phases, s, &next);
		s = next;
		if (r == 0 && !s && i + 1 < phases)
			r = -1;
	}
	store_close(s);
	counts.workloads++;
	return r;
}

/* ---- sequences ----------------------------------------------------------------------------------------------- */

int explore_sequence(uint64_t number, unsigned n)
{
	static struct store *prepared; /* for ever */
	const struct effort effort = {.subsets = options.subsets, .nested = 24};
	const struct settings set = {
		.seed = 11, .number = 1, .dir = images_dir, .verbose = options.verbose};
	const struct sim_options record = {.seed = 11, .record = true};
	struct phase ph;
	struct store *s;
	char name[200], why[700] = "";
	size_t last = 0;
	int r;

	uuid_random = 5;
	if (!prepared && sequence_prepare(images_dir, &prepared, failure, sizeof failure) < 0)
		return -1;
	sequence_name(number, n, name, sizeof name);
	snprintf(current, sizeof current, "--sequences %u --from %" PRIu64 " (%.90s)", n, number,
		 name);
	uuid_random = 6;
	if (store_sim_copy(prepared, &record, &s) < 0)
		abort();
	r = sequence_run(number, n, &set, s, &ph, &last, why, sizeof why);
	if (r < 0)
		snprintf(failure, sizeof failure, "%s\n  without a crash", why);
	else
		r = explore_phase(&ph, last, &effort, number);
	phase_fini(&ph);
	counts.sequences++;
	return r;
}

static int explore_sequences(void)
{
	uint64_t n = sequence_count(options.sequences), number = options.from;
	int r = 0;

	for (; number < n && r == 0 && !time_is_up(); number += options.step)
		r = explore_sequence(number, options.sequences);
	if (r == 0)
		printf("sequences of %u: up to %" PRIu64 " of %" PRIu64 "\n", options.sequences,
		       MIN(number, n), n);
	return r;
}

/* ---- directed workloads ------------------------------------------------------------------------------------- */

static int second_phase(const struct directed *d, unsigned variant, const struct phase *ph,
			uint64_t seed, unsigned number)
{
	const struct effort effort = {.budget = 12, .subsets = options.subsets, .nested = 8};
	const struct settings set = {.seed = seed,
				     .number = 2,
				     .kills = d->kills,
				     .dir = images_dir,
				     .verbose = options.verbose};
	const struct kill *kill;
	struct store *s = image_crashed(ph, &(uint64_t){seed * 31 + number}, &kill);
	struct phase next;
	char why[700] = "";
	int r;

	if (!s || (kill && kill_put_tail(kill) < 0))
		return say(failure, sizeof failure, "no tail");
	r = phase_run(&set, d->again, &variant, s, &next, why, sizeof why);
	if (r < 0)
		snprintf(failure, sizeof failure, "%s\n  in the second phase, without a crash",
			 why);
	if (r == 0)
		r = explore_kills(&next, seed);
	if (r == 0)
		r = explore_phase(&next, next.first, &effort, seed + number);
	phase_fini(&next);
	return r;
}

int explore_directed(const struct directed *d, unsigned variant, uint64_t seed)
{
	const struct effort effort = {.subsets = options.subsets, .nested = 24};
	const struct settings set = {.seed = seed,
				     .number = 1,
				     .kills = d->kills,
				     .dir = images_dir,
				     .verbose = options.verbose};
	struct store *s;
	struct phase ph;
	char why[700] = "";
	int r;

	snprintf(current, sizeof current, "--directed %s --variant %u --seed %" PRIu64, d->name,
		 variant, seed);
	uuid_random = seed;
	if (pool_make(seed, d->zones, d->block_bytes, &s, failure, sizeof failure) < 0)
		return -1;
	r = phase_run(&set, d->body, &variant, s, &ph, why, sizeof why);
	counts.directed++;
	if (r < 0)
		snprintf(failure, sizeof failure, "%s\n  without a crash", why);
	if (r == 0 && d->kills && !ph.nkills)
		r = say(failure, sizeof failure, "nothing was killed");
	if (r == 0)
		r = explore_kills(&ph, seed);
	for (unsigned i = 0; i < 6 && r == 0 && d->again; i++)
		r = second_phase(d, variant, &ph, seed, i);
	if (r == 0)
		r = explore_phase(&ph, ph.first, &effort, seed);
	phase_fini(&ph);
	return r;
}

static int explore_list(const struct directed *d)
{
	int r = 0;

	for (; d->name && r == 0; d++)
		for (unsigned v = 0; v < d->variants && r == 0 && !time_is_up(); v++) {
			uint64_t before = images_distinct(), start = now_ns();

			r = explore_directed(d, v, options.seed);
			if (options.list || options.verbose)
				printf("%-40s %2u: %" PRIu64 " images, %.2f s\n", d->name, v,
				       images_distinct() - before,
				       (double)(now_ns() - start) / 1e9);
		}
	return r;
}

static int explore_by_name(void)
{
	const struct directed *d = directed_find(options.directed);
	int r = 0;

	if (strcmp(options.directed, "all") == 0) {
		r = explore_list(directed_scripts);
		return r < 0 ? r : explore_list(directed_threads);
	}
	if (!d)
		return say(failure, sizeof failure, "there is no such workload");
	for (unsigned v = 0; v < d->variants && r == 0; v++)
		if (!options.one_variant || v == options.variant)
			r = explore_directed(d, v, options.seed);
	return r;
}

/* ---- shrinking ---------------------------------------------------------------------------------------------------------------- */

/* In a process of its own: an assertion may be what fails. */
static bool fails(uint64_t seed)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		snprintf(images_dir + strlen(images_dir), sizeof images_dir - strlen(images_dir),
			 ".s");
		(void)mkdir(images_dir, 0700);
		_exit(explore_random(seed) < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	return status != 0;
}

static void shrink(uint64_t seed)
{
	static uint8_t skip[PHASES_MAX][OPS_MAX];

	for (unsigned ph = 0; ph < PHASES_MAX; ph++)
		options.skip[ph] = skip[ph];
	for (unsigned step = 16; step > 0; step /= 2)
		for (unsigned ph = 0; ph < PHASES_MAX; ph++)
			for (unsigned i = 0; i < 64; i += step) {
				uint8_t before[OPS_MAX];

				memcpy(before, skip[ph], sizeof before);
				memset(skip[ph] + i, 1, step);
				if (memcmp(before, skip[ph], sizeof before) != 0 && !fails(seed))
					memcpy(skip[ph], before, sizeof before);
			}
	options.verbose = true;
}

/* ---- main --------------------------------------------------------------------------------------------------------------------------- */

static void print_counts(void)
{
	struct rusage use;

	(void)getrusage(RUSAGE_SELF, &use);
	printf("random workloads %" PRIu64 " of %" PRIu64 " phases, sequences %" PRIu64
	       ", directed %" PRIu64 ", cuts %" PRIu64 "\nimages: %" PRIu64 " distinct in %" PRIu64
	       " s of CPU (%" PRIu64 " as others, not tried again; %" PRIu64 " worked on; %" PRIu64
	       " looks at checksums)\n",
	       counts.workloads, counts.phases, counts.sequences, counts.directed, counts.cuts,
	       images_distinct(), (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec),
	       counts.same, counts.worked_on, counts.scrubbed);
	for (unsigned i = 0; i < IMAGE_KINDS; i++)
		printf("  %9" PRIu64 " %s\n", counts.images[i], image_kind_name(i));
}

/* For scripts/reliability. */
static void print_figures(void)
{
	printf("# Cuts of the power and deaths of the daemon (make soak-crash)\n"
	       "+ %" PRIu64 " distinct images tried\n"
	       "+ 0 violations of the contract in them\n",
	       images_distinct());
	for (unsigned i = 0; i < IMAGE_KINDS; i++)
		printf("+ %" PRIu64 " images: %s\n", counts.images[i], image_kind_name(i));
	printf("+ %" PRIu64 " points at which the power was cut\n"
	       "+ %" PRIu64 " workloads: random\n"
	       "+ %" PRIu64 " workloads: sequences of up to three operations\n"
	       "+ %" PRIu64 " workloads: written for one danger\n",
	       counts.cuts, counts.workloads, counts.sequences, counts.directed);
}

static void clean_up(void)
{
	char command[200];

	snprintf(command, sizeof command, "rm -rf %s %s.s", images_dir, images_dir);
	if (system(command) != 0)
		fprintf(stderr, "%s could not be removed\n", images_dir);
}

static void on_abort(int sig)
{
	char text[260];
	int n = snprintf(text, sizeof text, "\nsignal %d in explore %s\n", sig, current);

	(void)!write(2, text, (size_t)n);
	signal(sig, SIG_DFL);
	raise(sig);
}

static int explore_seeds(void)
{
	int r = 0;

	for (uint64_t i = 0; i < options.workloads && r == 0 && !time_is_up(); i++)
		r = explore_random(options.seed + i);
	return r;
}

static bool set_option(int c, const char *arg)
{
	uint64_t v = arg ? strtoull(arg, NULL, 0) : 0;

	switch (c) {
	case 'r': options.replay = true; __attribute__((fallthrough));
	case 's': options.seed = v; break;
	case 'w': options.workloads = v, options.random = true; break;
	case 't': options.seconds = (double)v; break;
	case 'i': options.images = v; break;
	case 'o': options.ops = (unsigned)MIN(v, (uint64_t)OPS_MAX); break;
	case 'c': options.cuts = (unsigned)MAX(v, (uint64_t)1); break;
	case 'b': options.subsets = (unsigned)MIN(v, (uint64_t)14); break;
	case 'q': options.sequences = (unsigned)MIN(v, (uint64_t)SEQUENCE_MAX); break;
	case 'f': options.from = v; break;
	case 'p': options.step = MAX(v, (uint64_t)1); break;
	case 'd': options.directed = arg; break;
	case 'V': options.variant = (unsigned)v, options.one_variant = true; break;
	case 'v': options.verbose = true; break;
	case 'g': options.figures = true; break;
	case 'l': options.list = true; break;
	case 'm':
	case 'M': options.mutants = true, options.only = arg; break;
	default: return false;
	}
	return true;
}

static bool parse(int argc, char **argv)
{
	static const struct option known[] = {{"seed", 1, 0, 's'},
					      {"workloads", 1, 0, 'w'},
					      {"seconds", 1, 0, 't'},
					      {"ops", 1, 0, 'o'},
					      {"cuts", 1, 0, 'c'},
					      {"replay", 1, 0, 'r'},
					      {"verbose", 0, 0, 'v'},
					      {"mutants", 0, 0, 'm'},
					      {"mutant", 1, 0, 'M'},
					      {"images", 1, 0, 'i'},
					      {"subsets", 1, 0, 'b'},
					      {"sequences", 1, 0, 'q'},
					      {"from", 1, 0, 'f'},
					      {"step", 1, 0, 'p'},
					      {"directed", 1, 0, 'd'},
					      {"variant", 1, 0, 'V'},
					      {"figures", 0, 0, 'g'},
					      {"list", 0, 0, 'l'},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (!set_option(c, optarg))
			return false;
	return optind == argc;
}

/* Without a choice: a part of everything, that follows from the seed. */
static int explore_slice(void)
{
	static const unsigned steps[] = {1, 1, 9, 500};
	int r = 0;

	for (const struct directed *d = directed_scripts; d->name && r == 0; d++)
		r = explore_directed(d, (unsigned)(options.seed % d->variants), options.seed);
	for (const struct directed *d = directed_threads; d->name && r == 0; d++)
		r = explore_directed(d, 0, options.seed);
	for (unsigned n = 1; n <= SEQUENCE_MAX && r == 0; n++)
		for (uint64_t i = options.seed % steps[n]; i < sequence_count(n) && r == 0;
		     i += steps[n])
			r = explore_sequence(i, n);
	started = now_ns();
	return r < 0 ? r : explore_seeds();
}

static int run_chosen(void)
{
	if (options.directed)
		return explore_by_name();
	if (options.sequences)
		return explore_sequences();
	if (options.replay) {
		if (fails(options.seed))
			shrink(options.seed);
		options.workloads = 1;
		return explore_seeds();
	}
	return options.random ? explore_seeds() : explore_slice();
}

int main(int argc, char **argv)
{
	int r;

	if (getenv("COWBD_SEED"))
		options.seed = strtoull(getenv("COWBD_SEED"), NULL, 0);
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: see the head of tests/crash/explore.c\n");
		return 64;
	}
	started = now_ns();
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20); /* what is freed is asked for again at once */
	(void)mallopt(M_TRIM_THRESHOLD, 512 << 20);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(images_dir, sizeof images_dir, "/dev/shm/cowbd-crash-%u", (unsigned)getpid());
	if (mkdir(images_dir, 0700) < 0)
		return 77;
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	r = options.mutants ? mutants_catch(options.only, options.seconds) : run_chosen();
	if (!options.mutants && r < 0)
		printf("FAILED: explore %s\n  %s\n", current, failure);
	if (!options.mutants) {
		printf("seed %" PRIu64 "\n", options.seed);
		print_counts();
	}
	if (options.figures && r == 0 && !options.mutants)
		print_figures();
	clean_up();
	images_forget();
	return r < 0;
}
