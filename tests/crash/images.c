/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * images.c - what a crash leaves: tried once each, by opening, checking, judging
 */
#include "images_internal.h"

#include <fcntl.h>
#include <stdio.h>

#include "pool.h"

struct counts counts;
char failure[1600];
char images_dir[64];

const char *image_kind_name(enum image_kind k)
{
	static const char *const names[] = {
		"a prefix of the unsynced writes",
		"another selection of the unsynced writes",
		"a torn write",
		"a torn write with garbage",
		"one copy of the superblock is noise",
		"a cut within the recovery of another",
		"a kill",
		"a kill, then a cut within the recovery",
		"a kill, then a kill within the recovery",
	};

	return names[k];
}

uint64_t images_distinct(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < IMAGE_KINDS; i++)
		n += counts.images[i];
	return n;
}

static int failed(const struct image *im, const char *what)
{
	size_t at;

	at = (size_t)snprintf(failure, sizeof failure, "%s\n  %s%s%s at event %zu", what,
			      image_kind_name(im->kind), im->what ? ", " : "",
			      im->what ? im->what : "", im->events);
	if (im->torn)
		at += (size_t)snprintf(failure + at, sizeof failure - at, ", event %zu torn%s",
				       im->tear.event, im->tear.garbage ? " with garbage" : "");
	if (im->ndropped)
		at += (size_t)snprintf(failure + at, sizeof failure - at, ", lost:");
	for (size_t i = 0; i < im->ndropped && at < sizeof failure - 400; i++)
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

void images_forget(void)
{
	free(seen_hash);
	seen_hash = NULL;
	nseen = seen_room = 0;
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

/* Does a zone name pages of checksums? */
static bool has_checksums(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	bool any = false;

	for (uint64_t zone = e->geo.first_group; zone < e->geo.zones && !any; zone++) {
		struct zone_sums sums = {{0}};
		int r = 0;

		if (zone_index(&e->geo, zone) == 0)
			continue;
		do {
			metalock_shared(&e->lock);
			r = space_sums(e->space, zone, &sums);
			metalock_drop(&e->lock);
		} while (r == -EAGAIN && (r = engine_need(e)) == 0);
		for (unsigned k = 0; r == 0 && k < SUMS_PAGES; k++)
			any |= sums.page[k] != 0;
	}
	return any;
}

/* What checksums say of what the crash left. [SCRUB-2] */
static int scrub_pool(struct cowbd_pool *p, char *why, size_t len)
{
	struct cowbd_check_options opt = {.report = note};
	struct cowbd_scrub_result result = {.read = 0};

	counts.scrubbed++;
	if (cowbd_scrub(p, &opt, &result) < 0)
		return say(why, len, "scrub: %s", cowbd_error());
	if (result.check.damages || result.check.leaks || result.rotten || result.unreadable ||
	    result.skipped)
		return say(why, len, "scrub: %" PRIu64 " rotten blocks: %s", result.rotten,
			   finding);
	return 0;
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
	return has_checksums(p) ? scrub_pool(p, why, len) : 0;
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
	struct cowbd_open_options opt = {.flags = flags, .run_dir = images_dir};

	if (pool_open_store(s, "sim", &opt, ret_pool) == 0)
		return 0;
	snprintf(why, len, "opening: %s", cowbd_error());
	return -1;
}

enum { LOOK_WORK = 1, LOOK_READ_ONLY = 2, LOOK_CLOSE = 4 };

/* The tail of the session that opening began, as it is now: it gets a second name, to be put back. */
static void keep_new_tail(struct cowbd_pool *p, struct kill *t)
{
	struct cowbd_pool_info info;

	cowbd_pool_info(p, &info);
	snprintf(t->tail_path, sizeof t->tail_path, "%s", info.tail);
	snprintf(t->tail_link, sizeof t->tail_link, "%s/new", images_dir);
	(void)unlink(t->tail_link);
	if (link(t->tail_path, t->tail_link) < 0)
		t->tail_link[0] = '\0';
	else if (kill_keep_tail(t) < 0)
		abort();
}

/* Opens s (taken over), judges.  ret_log: the store after opening with its log, if not NULL. */
static int look_at(const struct image *im, struct store *s, unsigned open_flags, unsigned how,
		   uint64_t *ret_hash, struct store **ret_log, struct kill *ret_tail)
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
	if (ret_tail)
		keep_new_tail(p, ret_tail);
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

struct nest {
	struct store *log; /* of the recovery */
	size_t from;
	uint64_t hash; /* of what the first recovery found; 0: any that the oracle allows */
	unsigned tries;
	enum image_kind kind;
};

static void say_where(const struct nest *x, size_t k, size_t n, size_t ndrop, size_t nlost)
{
	char why[160];

	snprintf(why, sizeof why,
		 "\n  then in recovery at event %zu (from %zu of %zu), %zu of %zu lost", k, x->from,
		 n, ndrop, nlost);
	strncat(failure, why, sizeof failure - strlen(failure) - 1);
}

/* One copy of the superblock becomes unreadable. */
static bool rot(struct store *s, uint64_t *random)
{
	static _Alignas(PAGE_BYTES) uint8_t noise[PAGE_BYTES];

	for (unsigned i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t)random_of(random);
	return store_write(s, STORE_WRITE | STORE_DIRECT,
			   page_offset(0, (unsigned)(random_of(random) % 2)), noise,
			   sizeof noise) == 0;
}

static uint64_t knowledge(const struct oracle *o, size_t events);

static bool known_already(const struct image *im, struct store *s, enum image_kind kind)
{
	if (seen_before(store_sim_hash(s, knowledge(&im->ph->oracle, im->events) +
						  (im->killed ? 1 : 0)))) {
		counts.same++;
		return true;
	}
	counts.images[kind]++;
	return false;
}

static int look_nested(const struct image *im, const struct nest *x)
{
	size_t n, lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	uint64_t random = im->random + 1;
	int r = 0;

	(void)store_sim_events(x->log, &n);
	for (unsigned i = 0; i < x->tries && r == 0 && n > x->from; i++) {
		size_t k = x->from + 1 + random_of(&random) % (n - x->from), ndrop = 0, nlost;
		unsigned mode = (unsigned)(random_of(&random) % 4);
		struct store *again;
		uint64_t hash2;

		nlost = MIN(store_sim_unsynced(x->log, k, lost, UNSYNCED_MAX),
			    (size_t)UNSYNCED_MAX);
		for (size_t d = 0; d < nlost; d++)
			if (mode == 0 || (mode > 1 && random_of(&random) % 2))
				drop[ndrop++] = lost[d];
		if (store_sim_replay(x->log, k, drop, ndrop, NULL, &again) < 0)
			abort();
		/* the commit that was cut left the copies apart: either is enough, alone */
		if (i % 3 == 2 && !im->torn && x->kind == IMAGE_NESTED && !rot(again, &random))
			abort();
		if (known_already(im, again, x->kind)) {
			store_close(again);
			continue;
		}
		r = look_at(im, again, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL,
			    i % 4 == 0 ? LOOK_WORK : 0, &hash2, NULL, NULL);
		if (r == 0 && x->hash && x->hash != hash2)
			r = failed(im, "a second recovery, after a cut in the first, gives "
				       "something else");
		if (r < 0)
			say_where(x, k, n, ndrop, nlost);
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

int try_image(struct image *im)
{
	const struct phase *ph = im->ph;
	uint64_t content, random = im->random;
	unsigned nest = im->nest;
	unsigned how = (random_of(&random) % 8 == 0 ? LOOK_WORK : 0u) |
		       (random_of(&random) % 8 == 0 ? LOOK_READ_ONLY : 0u) |
		       (random_of(&random) % 8 == 0 ? LOOK_CLOSE : 0u);
	const struct sim_options opt = {.seed = im->random, .record = nest > 0};
	struct store *s, *log = NULL;
	int r;

	if (store_sim_replay_torn(ph->store, im->events, im->dropped, im->ndropped,
				  im->torn ? &im->tear : NULL, &opt, &s) < 0)
		abort();
	if (!im->torn && random_of(&random) % 8 == 0 && rot(s, &random)) {
		im->kind = IMAGE_ROTTEN;
		how &= ~(unsigned)LOOK_READ_ONLY;
		nest = 0;
	}
	if (known_already(im, s, im->kind)) {
		store_close(s);
		return 0;
	}
	r = look_at(im, s, COWBD_OPEN_NO_TAIL | COWBD_OPEN_LOST_TAIL, how, &content,
		    nest ? &log : NULL, NULL);
	if (r == 0 && nest)
		r = look_nested(im, &(struct nest){.log = log,
						   .hash = content,
						   .tries = nest,
						   .kind = IMAGE_NESTED});
	store_close(log);
	return r;
}

/* ---- the daemon dies --------------------------------------------------------------------------------------------------- */

/* Another kill at some event of the recovery: nothing is lost, both tails are there. */
static int kill_again(struct image *im, const struct kill *k, struct store *log,
		      const struct kill *tail, uint64_t hash)
{
	uint64_t random = im->random + 2, hash2;
	size_t n;
	int r = 0;

	(void)store_sim_events(log, &n);
	for (unsigned i = 0; i < 4 && r == 0 && n > k->events && tail->tail_link[0]; i++) {
		size_t at = k->events + 1 + random_of(&random) % (n - k->events);
		struct store *again;

		if (store_sim_replay(log, at, NULL, 0, NULL, &again) < 0)
			abort();
		if (known_already(im, again, IMAGE_KILLED_KILLED)) {
			store_close(again);
			continue;
		}
		if (kill_put_tail(k) < 0 || kill_put_tail(tail) < 0)
			r = failed(im, "the tails could not be put back");
		else
			r = look_at(im, again, 0, LOOK_CLOSE, &hash2, NULL, NULL);
		if (r == 0 && hash != hash2)
			r = failed(im, "a second recovery, after a kill in the first, gives "
				       "something else");
		if (r < 0)
			say_where(&(struct nest){.from = k->events}, at, n, 0, 0);
		kill_take_tail(k);
		kill_take_tail(tail);
	}
	return r;
}

static int try_kill(const struct phase *ph, const struct kill *k, uint64_t seed)
{
	static struct image im;
	const struct sim_options record = {.seed = seed, .record = true};
	struct store *s, *log = NULL;
	struct kill tail = {.tail = NULL};
	uint64_t content;
	int r;

	im = (struct image){.ph = ph,
			    .events = k->events,
			    .killed = true,
			    .kind = IMAGE_KILLED,
			    .random = seed};
	if (kill_put_tail(k) < 0 || store_sim_copy(k->store, &record, &s) < 0)
		return failed(&im, "the tail could not be put back");
	counts.images[IMAGE_KILLED]++; /* with what its tail holds, each is another */
	r = look_at(&im, s, 0, (seed & 1 ? LOOK_WORK : 0u) | LOOK_READ_ONLY | LOOK_CLOSE, &content,
		    &log, &tail);
	kill_take_tail(k);
	if (r == 0)
		r = kill_again(&im, k, log, &tail, content);
	(void)unlink(tail.tail_link);
	free(tail.tail);
	if (r == 0) {
		im.killed = false;
		im.kind = IMAGE_KILLED_CUT;
		r = look_nested(&im, &(struct nest){.log = log,
						    .from = k->events,
						    .tries = 12,
						    .kind = IMAGE_KILLED_CUT});
	}
	store_close(log);
	return r;
}

int explore_kills(const struct phase *ph, uint64_t seed)
{
	int r = 0;

	for (unsigned i = 0; i < ph->nkills && r == 0; i++)
		r = try_kill(ph, &ph->kill[i], random_of(&seed));
	return r;
}
