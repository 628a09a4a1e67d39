/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.c - cuts the power, and kills the daemon, at every point of seeded workloads
 *
 * Fault model.  A write is durable when a sync that was called after it returned has ended, or at
 * its own end if it was asked to be.  When the power goes any of the other writes and discards may be
 * lost, each on its own, and one may be torn: of its 512-byte sectors any are new, the others old
 * or, of metadata, garbage.  A durable write in flight is as any other.  When the daemon alone dies, all that was
 * written stays, and so does the tail; a durable write in flight may be there without being durable.
 *
 * For every cut: all prefixes of what was not synced, all subsets of up to 6; beyond, each alone
 * lost, each alone kept, and a sample; torn writes.  On each image: recovery, the checker, the
 * whole content against the oracle; on some, cuts within that recovery, and more work after it.
 *
 *	explore [--seed N] [--workloads N] [--seconds S] [--ops N] [--cuts N] [--replay N] [--verbose]
 *
 * The seed of a workload says all of it: --replay N runs that one alone, finds the fewest operations
 * that still fail, and prints them.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <uuid/uuid.h>

#include "pool.h"
#include "workload.h"

#define SUBSETS_OF 6u
#define UNSYNCED_MAX 4096u
#define PHASES_MAX 3u

/* ---- a deterministic world ---------------------------------------------------------------------- */

static uint64_t uuid_random;

/* In place of the library's: the same seed, the same pool. */
void uuid_generate(uuid_t out)
{
	uint64_t v[2] = {random_of(&uuid_random), random_of(&uuid_random)};

	memcpy(out, v, sizeof v);
}

/* Nothing here has to stay in memory; each opened pool would fault all of its ring in. */
int mlock(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* ---- state ------------------------------------------------------------------------------------------ */

struct counts {
	uint64_t workloads, phases, cuts, prefix, subset, sample, torn, garbage, in_flight, nested,
		killed, killed_then_cut, worked_on, rotten, same;
};

static struct counts counts;

struct options {
	uint64_t seed, workloads;
	unsigned ops, cuts; /* images a cut at most */
	double seconds;
	bool verbose, mutants;
	const char *only; /* of the mutants */
	const uint8_t *skip[PHASES_MAX];
};

static struct options options = {
	.seed = 1, .workloads = UINT64_MAX, .seconds = 30, .ops = 0, .cuts = 6};
static char dir[64];
static volatile uint64_t current_seed;

/* One image: how it came about. */
struct image {
	const struct phase *ph;
	size_t events; /* the cut */
	size_t dropped[UNSYNCED_MAX];
	size_t ndropped;
	struct sim_tear tear;
	uint8_t reached[64];
	bool torn;
	const char *kind;
	bool killed;
	uint64_t random;
};

static char failure[1400];

static int failed(const struct image *im, const char *what)
{
	size_t at;

	at = (size_t)snprintf(failure, sizeof failure, "%s\n  %s at event %zu", what, im->kind,
			      im->events);
	if (im->torn)
		at += (size_t)snprintf(failure + at, sizeof failure - at, ", event %zu torn%s",
				       im->tear.event, im->tear.garbage ? " with garbage" : "");
	if (im->ndropped)
		at += (size_t)snprintf(failure + at, sizeof failure - at, ", lost:");
	for (size_t i = 0; i < im->ndropped && at < sizeof failure - 16; i++)
		at += (size_t)snprintf(failure + at, sizeof failure - at, " %zu", im->dropped[i]);
	return -1;
}

/* ---- images tried already ---------------------------------------------------------------------------- */

static uint64_t *seen_hash;
static size_t nseen, seen_room;

static bool seen_before(uint64_t hash)
{
	if (nseen * 2 >= seen_room) {
		size_t room = seen_room ? seen_room * 2 : 1u << 16;
		uint64_t *larger = calloc(room, sizeof *larger);

		if (!larger)
			abort();
		for (size_t i = 0; i < seen_room; i++)
			if (seen_hash[i]) {
				size_t at = seen_hash[i] & (room - 1);

				while (larger[at])
					at = (at + 1) & (room - 1);
				larger[at] = seen_hash[i];
			}
		free(seen_hash);
		seen_hash = larger;
		seen_room = room;
	}
	hash |= 1;
	for (size_t at = hash >> 1 & (seen_room - 1);; at = (at + 1) & (seen_room - 1)) {
		if (seen_hash[at] == hash)
			return true;
		if (!seen_hash[at]) {
			seen_hash[at] = hash;
			nseen++;
			return false;
		}
	}
}

static uint64_t hash_store(struct store *s, uint64_t seed)
{
	static uint8_t buf[ZONE_BYTES];
	uint64_t h = seed;

	for (uint64_t at = 0; at < s->size; at += sizeof buf) {
		size_t n = (size_t)MIN(s->size - at, (uint64_t)sizeof buf);

		if (store_read(s, 0, at, buf, n) < 0)
			return h;
		h = checksum(buf, n, h);
	}
	return h;
}

/* ---- looking at an image --------------------------------------------------------------------------------- */

static char finding[300];

static void note(void *opaque, enum cowbd_damage_kind kind, const char *object, uint64_t offset,
		 const char *message)
{
	(void)opaque;
	if (kind != COWBD_NOTE && !finding[0])
		snprintf(finding, sizeof finding, "%s: %.200s at %" PRIu64, object, message,
			 offset);
}

static int check_pool(struct cowbd_pool *p, char *why, size_t len)
{
	struct cowbd_check_options opt = {.report = note};
	struct cowbd_check_result result = {0};

	finding[0] = '\0';
	if (cowbd_check_pool(p, &opt, &result) < 0)
		return say(why, len, "checking: %s", cowbd_error());
	if (result.damages || result.leaks)
		return say(why, len, "checker: %" PRIu64 " damages, %" PRIu64 " leaks: %s",
			   result.damages, result.leaks, finding);
	return 0;
}

/* Work on a recovered pool: what its memory has wrong shows in what the others hold. */
static int work_on(struct cowbd_pool *p, uint64_t *random, char *why, size_t len)
{
	static uint8_t buf[16 * SECTOR];
	struct oracle o = {0};
	uint64_t hash, token = UINT64_C(1) << 40, now[SECTORS_MAX];
	int r = oracle_adopt(&o, p, why, len);

	for (unsigned i = 0; i < 24 && r == 0; i++) {
		struct subject *s = o.nsubjects ? o.subject[random_of(random) % o.nsubjects] : NULL;
		struct cowbd_client *c;
		unsigned first, n;

		if (!s)
			break;
		if (i % 6 == 5) {
			(void)!reclaim_some(p);
			r = i % 12 == 5 ? cowbd_sync(p) : cowbd_checkpoint(p);
			continue;
		}
		if (s->snapshot || cowbd_client_open(p, oracle_name(s), false, "work", &c) < 0)
			continue;
		first = (unsigned)(random_of(random) % oracle_sectors(s));
		n = 1 + (unsigned)(random_of(random) % 16);
		n = MIN(n, oracle_sectors(s) - first);
		token++;
		for (size_t k = 0; k < sizeof buf; k += 8)
			memcpy(buf + k, &token, 8);
		oracle_begin(&o, i);
		r = cowbd_write(c, buf, n * SECTOR, first * SECTOR, 0);
		cowbd_client_close(c);
		if (r == -ENOSPC) /* a part of it, perhaps */
			r = read_tokens(p, oracle_name(s), now, oracle_sectors(s));
		else
			for (unsigned k = 0; k < n; k++)
				now[first + k] = token;
		for (unsigned k = 0; k < n; k++)
			oracle_write(&o, s, first + k, now[first + k]);
		oracle_ack(&o, i, COVERS_NOTHING);
	}
	if (r < 0 && !why[0])
		snprintf(why, len, "working on it: %s", cowbd_error());
	if (r == 0)
		r = oracle_judge(&o, p, SIZE_MAX - 1, true, &hash, why, len);
	if (r == 0)
		r = check_pool(p, why, len);
	oracle_fini(&o);
	counts.worked_on++;
	return r < 0 ? -1 : 0;
}

static int open_image(struct store *s, unsigned flags, struct cowbd_pool **ret_pool, char *why,
		      size_t len)
{
	struct cowbd_open_options opt = {.flags = flags, .run_dir = dir};

	if (pool_open_store(s, "sim", &opt, ret_pool) == 0)
		return 0;
	snprintf(why, len, "opening: %s", cowbd_error());
	return -1;
}

enum { LOOK_WORK = 1, LOOK_READ_ONLY = 2, LOOK_CLOSE = 4 };

/* Opens s (taken over), judges.  ret_log: the store after opening with its log, if not NULL. */
static int look_at(const struct image *im, struct store *s, unsigned open_flags, unsigned how,
		   uint64_t *ret_hash, struct store **ret_log)
{
	const struct sim_options record = {.seed = 5, .record = true};
	struct cowbd_pool *p;
	char why[700] = "";
	uint64_t random = im->random, hash;
	int r;

	if (how & LOOK_READ_ONLY) {
		struct store *copy;

		if (store_sim_copy(s, NULL, &copy) < 0)
			abort();
		r = open_image(copy, open_flags | COWBD_OPEN_READ_ONLY, &p, why, sizeof why);
		if (r == 0)
			r = oracle_judge(&im->ph->oracle, p, im->events, im->killed, &hash, why,
					 sizeof why);
		if (r == 0)
			r = cowbd_close(p);
		if (r < 0) {
			store_close(s);
			snprintf(why + strlen(why), sizeof why - strlen(why), " (read-only)");
			return failed(im, why);
		}
	}
	r = open_image(s, open_flags, &p, why, sizeof why);
	if (r < 0)
		return failed(im, why);
	if (ret_log && store_sim_copy(p->e.store, &record, ret_log) < 0)
		abort();
	r = oracle_judge(&im->ph->oracle, p, im->events, im->killed, ret_hash, why, sizeof why);
	if (r == 0 && how & LOOK_READ_ONLY && hash != *ret_hash)
		r = say(why, sizeof why, "opened read-only it holds something else");
	if (r == 0)
		r = check_pool(p, why, sizeof why);
	if (r == 0 && how & LOOK_WORK)
		r = work_on(p, &random, why, sizeof why);
	if (r < 0 || !(how & LOOK_CLOSE))
		store_sim_cut(p->e.store);
	if (cowbd_close(p) < 0 && r == 0 && how & LOOK_CLOSE)
		r = say(why, sizeof why, "closing: %s", cowbd_error());
	if (r < 0 && ret_log) {
		store_close(*ret_log);
		*ret_log = NULL;
	}
	return r < 0 ? failed(im, why) : 0;
}

/* ---- cuts within a recovery -------------------------------------------------------------------------------- */

static int look_nested(const struct image *im, struct store *log, size_t from, uint64_t hash,
		       unsigned tries)
{
	size_t n, lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	uint64_t random = im->random + 1;
	int r = 0;

	(void)store_sim_events(log, &n);
	if (n <= from)
		return 0;
	for (unsigned i = 0; i < tries && r == 0; i++) {
		size_t k = from + 1 + random_of(&random) % (n - from), ndrop = 0, nlost;
		unsigned mode = (unsigned)(random_of(&random) % 4);
		struct store *again;
		uint64_t hash2;
		char why[160];

		nlost = store_sim_unsynced(log, k, lost, UNSYNCED_MAX);
		for (size_t x = 0; x < MIN(nlost, (size_t)UNSYNCED_MAX); x++)
			if (mode == 0 || (mode > 1 && random_of(&random) % 2))
				drop[ndrop++] = lost[x];
		if (store_sim_replay(log, k, drop, ndrop, NULL, &again) < 0)
			abort();
		r = look_at(im, again, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL,
			    i % 4 == 0 ? LOOK_WORK : 0, &hash2, NULL);
		counts.nested++;
		if (r == 0 && hash && hash != hash2)
			r = failed(im, "a second recovery, after a cut in the first, gives "
				       "something else");
		if (r < 0) {
			snprintf(why, sizeof why,
				 "\n  then in recovery at event %zu (from %zu of %zu), %zu of %zu "
				 "lost, mode %u",
				 k, from, n, ndrop, nlost, mode);
			strncat(failure, why, sizeof failure - strlen(failure) - 1);
		}
	}
	return r;
}

/* ---- one image of a power cut --------------------------------------------------------------------------------- */

/* What the oracle knows at a cut: the ops acknowledged. */
static uint64_t knowledge(const struct oracle *o, size_t events)
{
	uint64_t n = 0;

	for (unsigned t = 0; t < o->nops; t++)
		n += (o->op[t].ack < events) + (o->op[t].start <= events) * UINT64_C(65536);
	return n;
}

/* One copy of the superblock becomes unreadable. */
static bool rot(struct store *s, uint64_t *random)
{
	static _Alignas(PAGE_BYTES) uint8_t noise[PAGE_BYTES];

	for (unsigned i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t)random_of(random);
	counts.rotten++;
	return store_write(s, STORE_WRITE | STORE_DIRECT,
			   page_offset(0, (unsigned)(random_of(random) % 2)), noise,
			   sizeof noise) == 0;
}

static int try_image(struct image *im)
{
	const struct phase *ph = im->ph;
	uint64_t h, content, random = im->random;
	bool nest = random_of(&random) % 8 == 0;
	unsigned how = (random_of(&random) % 8 == 0 ? LOOK_WORK : 0u) |
		       (random_of(&random) % 8 == 0 ? LOOK_READ_ONLY : 0u) |
		       (random_of(&random) % 8 == 0 ? LOOK_CLOSE : 0u);
	const struct sim_options opt = {.seed = im->random, .record = nest};
	struct store *s, *log = NULL;
	int r;

	if (store_sim_replay_torn(ph->store, im->events, im->dropped, im->ndropped,
				  im->torn ? &im->tear : NULL, &opt, &s) < 0)
		abort();
	h = hash_store(s, knowledge(&ph->oracle, im->events));
	if (seen_before(h)) {
		counts.same++;
		store_close(s);
		return 0;
	}
	if (!im->torn && random_of(&random) % 8 == 0 && rot(s, &random)) {
		im->kind = "one superblock rotten, a cut";
		how &= ~(unsigned)LOOK_READ_ONLY;
		nest = false;
	}
	r = look_at(im, s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL, how, &content,
		    nest ? &log : NULL);
	if (r == 0 && nest)
		r = look_nested(im, log, 0, content, 6);
	store_close(log);
	return r;
}

/* ---- all images of a cut ------------------------------------------------------------------------------------------ */

/* Loses the events of lost[] whose bit in keep (by function of i) is clear. */
static void drop_by(struct image *im, const size_t *lost, size_t n,
		    bool (*drops)(size_t i, size_t n, uint64_t arg), uint64_t arg)
{
	im->ndropped = 0;
	for (size_t i = 0; i < n; i++)
		if (drops(i, n, arg))
			im->dropped[im->ndropped++] = lost[i];
}

static bool drops_from(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i >= arg;
}

static bool drops_mask(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return !(arg >> i & 1);
}

static bool drops_one(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i == arg;
}

static bool keeps_one(size_t i, size_t n, uint64_t arg)
{
	(void)n;
	return i != arg;
}

static bool drops_some(size_t i, size_t n, uint64_t arg)
{
	uint64_t random = arg + i;
	unsigned eighths = 1 + (unsigned)(arg >> 32) % 7;

	(void)n;
	return random_of(&random) % 8 < eighths;
}

static int try_plain(struct image *im, const size_t *lost, size_t n, const char *kind,
		     uint64_t *counter, bool (*drops)(size_t, size_t, uint64_t), uint64_t arg)
{
	drop_by(im, lost, n, drops, arg);
	im->kind = kind;
	im->torn = false;
	im->random = im->random * 6364136223846793005u + 1442695040888963407u;
	++*counter;
	return try_image(im);
}

/* One of them, or the durable write in flight, is torn. */
static int try_torn(struct image *im, const size_t *lost, size_t n, size_t in_flight,
		    uint64_t *random)
{
	size_t nevents, event = in_flight;
	const struct sim_event *e;
	uint64_t arg = random_of(random);
	unsigned sectors, mode = (unsigned)(random_of(random) % 3);

	if (in_flight == SIZE_MAX || (n && random_of(random) % 3 == 0)) {
		if (n == 0)
			return 0;
		event = lost[random_of(random) % n];
	}
	e = &store_sim_events(im->ph->store, &nevents)[event];
	sectors = (unsigned)store_sim_sectors(e);
	if (e->kind != SIM_WRITE || sectors < 2 || sectors > sizeof im->reached * 8)
		return 0;
	drop_by(im, lost, n, arg % 4 == 0 ? drops_from : drops_some, arg % 4 == 0 ? n : arg);
	for (size_t i = 0; i < im->ndropped; i++)
		if (im->dropped[i] == event)
			memmove(&im->dropped[i], &im->dropped[i + 1],
				(--im->ndropped - i) * sizeof im->dropped[0]);
	memset(im->reached, 0, sizeof im->reached);
	arg = mode == 0 ? 1 + random_of(random) % (sectors - 1) : random_of(random) % sectors;
	for (unsigned i = 0; i < sectors; i++) /* a prefix, all but one, any */
		if (mode == 0 ? i < arg : mode == 1 ? i != arg : random_of(random) % 2)
			im->reached[i / 8] |= (uint8_t)(1u << i % 8);
	im->torn = true;
	/* a guest's sector is old or new, as on every disk */
	im->tear = (struct sim_tear){
		event, im->reached,
		e->flags & STORE_DIRECT && random_of(random) % 2 ? random_of(random) | 1 : 0};
	im->random = random_of(random);
	im->kind = event == in_flight ? "a durable write in flight" : "a torn write";
	++*(event == in_flight ? &counts.in_flight
	    : im->tear.garbage ? &counts.garbage
			       : &counts.torn);
	return try_image(im);
}

/* in_flight: a durable write that is the last event, or SIZE_MAX. */
static int explore_cut(struct image *im, size_t in_flight, uint64_t *random)
{
	static size_t lost[UNSYNCED_MAX];
	size_t n = MIN(store_sim_unsynced(im->ph->store, im->events, lost, UNSYNCED_MAX),
		       (size_t)UNSYNCED_MAX);
	unsigned budget = options.cuts, torn = MAX(budget / 6, 1u);
	int r = 0;

	counts.cuts++;
	im->random = random_of(random);
	for (unsigned i = 0; i < torn && r == 0; i++)
		r = try_torn(im, lost, n, in_flight, random);
	if (n <= SUBSETS_OF && (1u << n) <= budget) {
		for (uint64_t mask = 0; mask < 1u << n && r == 0; mask++)
			r = try_plain(im, lost, n, "a subset", &counts.subset, drops_mask, mask);
		return r;
	}
	if (n <= budget / 2) {
		for (size_t k = 0; k <= n && r == 0; k++)
			r = try_plain(im, lost, n, "a prefix", &counts.prefix, drops_from, k);
	} else {
		for (unsigned i = 0; i < budget / 4 + 1 && r == 0; i++)
			r = try_plain(im, lost, n, "a prefix", &counts.prefix, drops_from,
				      i == 0   ? 0
				      : i == 1 ? n
					       : random_of(random) % n);
	}
	for (unsigned i = 0; i < budget / 2 && r == 0; i++) {
		uint64_t arg = random_of(random);

		if (i % 3 == 0)
			r = try_plain(im, lost, n, "one lost", &counts.sample, drops_one, arg % n);
		else if (i % 3 == 1)
			r = try_plain(im, lost, n, "one kept", &counts.sample, keeps_one, arg % n);
		else
			r = try_plain(im, lost, n, "a sample", &counts.sample, drops_some, arg);
	}
	return r;
}

/* Cuts that a later one includes, with the same known of them, are left out: before a mark, and between
 * writes that are not durable. */
static int explore_phase(const struct phase *ph, uint64_t seed)
{
	static struct image im;
	uint64_t random = seed;
	size_t n;
	const struct sim_event *e = store_sim_events(ph->store, &n);
	int r = 0;

	im = (struct image){.ph = ph};
	/* of a long one a part of the cuts: its images are as many as a short one's */
	for (size_t k = ph->first; k <= n && r == 0; k++) {
		if (n - ph->first > 300 && random_of(&random) % ((n - ph->first) / 150) != 0)
			continue;
		bool durable = k < n && e[k].kind == SIM_WRITE && e[k].flags & STORE_DURABLE;

		im.events = k;
		if (k == n || e[k].kind == SIM_SYNC || durable)
			r = explore_cut(&im, SIZE_MAX, &random);
		if (r == 0 && durable) { /* torn, by its sectors; the whole of it is the next cut */
			im.events = k + 1;
			for (unsigned i = 0; i < options.cuts / 8 + 1 && r == 0; i++) {
				static size_t lost[UNSYNCED_MAX];
				size_t m = MIN(store_sim_unsynced(ph->store, k, lost, UNSYNCED_MAX),
					       (size_t)UNSYNCED_MAX);

				r = try_torn(&im, lost, m, k, &random);
			}
		}
	}
	return r;
}

/* ---- the daemon dies --------------------------------------------------------------------------------------------------- */

static int try_kill(const struct phase *ph, const struct kill *k, uint64_t seed)
{
	static struct image im;
	const struct sim_options record = {.seed = seed, .record = true};
	struct store *s, *log = NULL;
	uint64_t content;
	int r;

	im = (struct image){
		.ph = ph, .events = k->events, .killed = true, .kind = "a kill", .random = seed};
	if (kill_put_tail(k) < 0 || store_sim_copy(k->store, &record, &s) < 0)
		return failed(&im, "the tail could not be put back");
	r = look_at(&im, s, 0, (seed & 1 ? LOOK_WORK : 0u) | LOOK_READ_ONLY | LOOK_CLOSE, &content,
		    &log);
	kill_take_tail(k);
	counts.killed++;
	if (r == 0) {
		im.killed = false;
		im.kind = "a kill, then a power cut";
		counts.killed_then_cut += 12;
		r = look_nested(&im, log, k->events, 0, 12);
	}
	store_close(log);
	return r;
}

/* ---- a workload ------------------------------------------------------------------------------------------------------------ */

/* What the next phase begins with. */
static struct store *crashed(const struct phase *ph, uint64_t *random)
{
	const struct sim_options record = {.seed = *random, .record = true};
	static size_t lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	size_t n, nlost, ndrop = 0, k;
	struct store *s;

	if (ph->nkills && random_of(random) % 2) { /* its tail will be found, and taken away */
		const struct kill *kill = &ph->kill[random_of(random) % ph->nkills];

		return kill_put_tail(kill) < 0 || store_sim_copy(kill->store, &record, &s) < 0
			       ? NULL
			       : s;
	}
	(void)store_sim_events(ph->store, &n);
	k = ph->first + random_of(random) % (n - ph->first + 1);
	if (random_of(random) % 2)
		k = n;
	nlost = MIN(store_sim_unsynced(ph->store, k, lost, UNSYNCED_MAX), (size_t)UNSYNCED_MAX);
	for (size_t i = 0; i < nlost; i++)
		if (random_of(random) % 2)
			drop[ndrop++] = lost[i];
	return store_sim_replay(ph->store, k, drop, ndrop, &record, &s) < 0 ? NULL : s;
}

static int run_phase(uint64_t seed, unsigned number, struct store *s, struct store **ret_next)
{
	uint64_t random = seed * 7 + number;
	struct settings set = {.seed = seed,
			       .number = number,
			       .skip = options.skip[number],
			       .dir = dir,
			       .verbose = options.verbose};
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
	for (unsigned i = 0; i < ph.nkills && r == 0; i++)
		r = try_kill(&ph, &ph.kill[i], random_of(&random));
	if (r == 0)
		r = explore_phase(&ph, random_of(&random));
	if (r == 0)
		*ret_next = crashed(&ph, &random);
	else
		snprintf(failure + strlen(failure), sizeof failure - strlen(failure),
			 "\n  phase %u", number);
	phase_fini(&ph);
	return r;
}

static int run_workload(uint64_t seed)
{
	uint64_t random = seed ^ 0x5eed;
	unsigned phases = 1 + (unsigned)(random_of(&random) % PHASES_MAX);
	struct store *s = NULL;
	int r;

	current_seed = seed;
	uuid_random = seed;
	failure[0] = '\0';
	r = workload_make(seed, &s, failure, sizeof failure);
	for (unsigned i = 0; i < phases && r == 0; i++) {
		struct store *next = NULL;

		r = run_phase(seed, i, s, &next);
		s = next;
		if (r == 0 && !s)
			r = -1;
	}
	store_close(s);
	counts.workloads++;
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
		snprintf(dir + strlen(dir), sizeof dir - strlen(dir), ".s");
		(void)mkdir(dir, 0700);
		_exit(run_workload(seed) < 0);
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

/* ---- mutants ------------------------------------------------------------------------------------------------------------------------- */

/* Rules of the engine that can be switched off; a run must fail without each. */
static const char *const mutants[] = {
	"ack-flush-early",        "current-slot-written",
	"flush-without-sync",     "grown-before-durable",
	"journal-before-data",    "no-tail",
	"one-superblock",         "open-without-sync",
	"owner-before-durable",   "reclaim-before-durable",
	"reclaimed-reuse-early",  "released-before-super",
	"replay-no-prescan",      "reuse-before-durable",
	"ring-overrun",           "session-before-checkpoint",
	"snapshot-without-data",  "super-before-pages",
	"checkpoint-before-data", "tail-counts-durable",
	"zone-not-zeroed",        "zone-type-early",
	"zone-used-since",
};

/* In a process of its own: a mutant may crash. */
static bool explore_seeds(void);

static int catch_mutants(const char *only)
{
	unsigned caught = 0, n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(mutants); i++) {
		uint64_t start = now_ns();
		int status = 0;
		pid_t pid;

		if (only && strcmp(only, mutants[i]) != 0)
			continue;
		n++;
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			setenv("COWBD_MUTANT", mutants[i], 1);
			signal(SIGABRT, SIG_DFL);
			signal(SIGSEGV, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(0);
			_exit(explore_seeds() ? 0 : (printf("%s\n", failure), fflush(stdout), 1));
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return -1;
		caught += status != 0;
		printf("%-26s %s, %.1f s\n", mutants[i], status ? "caught" : "NOT CAUGHT",
		       (double)(now_ns() - start) / 1e9);
	}
	printf("mutants caught: %u of %u\n", caught, n);
	return caught == n ? 0 : -1;
}

/* ---- main --------------------------------------------------------------------------------------------------------------------------- */

static void print_counts(void)
{
	printf("workloads %" PRIu64 ", phases %" PRIu64 ", cuts %" PRIu64 "\n"
	       "images: prefix %" PRIu64 ", subset %" PRIu64 ", sample %" PRIu64 ", torn %" PRIu64
	       ", garbage %" PRIu64 ", durable write in flight %" PRIu64 ", nested %" PRIu64
	       ", killed %" PRIu64 ", killed then cut %" PRIu64 ", one superblock rotten %" PRIu64
	       "; worked on %" PRIu64 "; identical, not tried again %" PRIu64 "\n",
	       counts.workloads, counts.phases, counts.cuts, counts.prefix, counts.subset,
	       counts.sample, counts.torn, counts.garbage, counts.in_flight, counts.nested,
	       counts.killed, counts.killed_then_cut, counts.rotten, counts.worked_on, counts.same);
}

static void clean_up(void)
{
	char command[160];

	snprintf(command, sizeof command, "rm -rf %s %s.s", dir, dir);
	if (system(command) != 0)
		fprintf(stderr, "%s could not be removed\n", dir);
}

static void on_abort(int sig)
{
	char text[80];
	int n = snprintf(text, sizeof text, "\nsignal %d in workload --replay %" PRIu64 "\n", sig,
			 current_seed);

	(void)!write(2, text, (size_t)n);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* False when a workload failed. */
static bool explore_seeds(void)
{
	uint64_t start = now_ns();
	int r = 0;

	for (uint64_t i = 0; i < options.workloads && r == 0; i++) {
		if ((double)(now_ns() - start) > options.seconds * 1e9)
			break;
		r = run_workload(options.seed + i);
	}
	return r == 0;
}

static bool parse(int argc, char **argv, bool *ret_replay)
{
	static const struct option known[] = {{"seed", 1, 0, 's'},    {"workloads", 1, 0, 'w'},
					      {"seconds", 1, 0, 't'}, {"ops", 1, 0, 'o'},
					      {"cuts", 1, 0, 'c'},    {"replay", 1, 0, 'r'},
					      {"verbose", 0, 0, 'v'}, {"mutants", 0, 0, 'm'},
					      {"mutant", 1, 0, 'M'},  {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		uint64_t v = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (c == 's' || c == 'r')
			options.seed = v;
		else if (c == 'w')
			options.workloads = v;
		else if (c == 't')
			options.seconds = (double)v;
		else if (c == 'o')
			options.ops = (unsigned)MIN(v, (uint64_t)OPS_MAX);
		else if (c == 'c')
			options.cuts = (unsigned)v;
		else if (c == 'v')
			options.verbose = true;
		else if (c == 'm' || c == 'M')
			options.mutants = true, options.only = optarg;
		else
			return false;
		*ret_replay |= c == 'r';
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	bool replay = false;
	int r;

	if (!parse(argc, argv, &replay)) {
		fprintf(stderr,
			"usage: explore [--seed N] [--workloads N] [--seconds S] [--ops N] [--cuts "
			"N] [--replay N] [--verbose] [--mutants] [--mutant NAME]\n");
		return 64;
	}
	snprintf(dir, sizeof dir, "/dev/shm/cowbd-crash-%u", (unsigned)getpid());
	if (mkdir(dir, 0700) < 0)
		return 77;
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	if (replay) {
		if (fails(options.seed))
			shrink(options.seed);
		options.workloads = 1;
	}
	if (options.mutants) {
		r = catch_mutants(options.only);
		clean_up();
		return r < 0;
	}
	r = explore_seeds() ? 0 : -1;
	if (r < 0)
		printf("FAILED: workload --replay %" PRIu64 " --cuts %u --ops %u: %s\n",
		       current_seed, options.cuts, options.ops, failure);
	printf("seed %" PRIu64 "\n", options.seed);
	print_counts();
	clean_up();
	free(seen_hash);
	return r < 0;
}
