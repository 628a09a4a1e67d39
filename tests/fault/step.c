/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * step.c - the steps of the script: what each asks for, and what it may have done when it fails
 */
#include "fault.h"

#include <stdio.h>

bool verbose;

/* ---- steps: what they have in common -------------------------------------------------------------------- */

static void acknowledged(struct run *r, enum covers covers)
{
	size_t at = events_now(r);

	store_sim_mark(r->store, 0);
	oracle_ack(oracle_of(r), at, covers);
}

static struct subject *subject_called(struct run *r, const char *name)
{
	const struct oracle *o = oracle_of(r);

	for (unsigned i = 0; i < o->nsubjects; i++)
		if (!o->subject[i]->died && strcmp(oracle_name(o->subject[i]), name) == 0)
			return o->subject[i];
	return NULL;
}

static void close_client(struct run *r, const char *name)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (r->client[i] && (!name || strcmp(r->client_name[i], name) == 0)) {
			cowbd_client_close(r->client[i]);
			r->client[i] = NULL;
		}
}

static struct cowbd_client *client_of(struct run *r, const char *name)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (r->client[i] && strcmp(r->client_name[i], name) == 0)
			return r->client[i];
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (!r->client[i]) {
			if (cowbd_client_open(r->p, name, false, "script", &r->client[i]) < 0)
				return r->client[i] = NULL;
			snprintf(r->client_name[i], sizeof r->client_name[i], "%s", name);
			return r->client[i];
		}
	return NULL;
}

static bool pool_failed(const struct run *r)
{
	return r->p && atomic_load(&r->p->e.failed);
}

/* A step that failed, with nothing to be its reason. */
static int failed_step(struct run *r, int err)
{
	if (!has_fired(r))
		return violated(r, "failed without a fault: %s", cowbd_error());
	if (verbose)
		printf("    %s: %s\n", r->step, error_name(err));
	return 0;
}

/* ---- steps on data ------------------------------------------------------------------------------------------ */

/* What failed has left either old or new. */
static int look_again(struct run *r, struct subject *s, unsigned first, unsigned n,
		      const uint64_t *wanted)
{
	uint64_t now[SECTORS_MAX];
	char name[80];
	int err;

	snprintf(name, sizeof name, "%s", oracle_name(s));
	suspend_faults(r);
	err = read_tokens(r->p, name, now, oracle_sectors(s));
	resume_faults(r);
	if (err < 0)
		return violated(r, "%s can't be read: %s", name, cowbd_error());
	for (unsigned i = first; i < first + n; i++) {
		if (now[i] != oracle_token(s, i) && now[i] != wanted[i - first])
			return violated(r, "%s sector %u is neither old nor new", name, i);
		oracle_write(oracle_of(r), s, i, wanted[i - first]);
		oracle_write(oracle_of(r), s, i, now[i]);
	}
	return 0;
}

static int end_data(struct run *r, struct subject *s, unsigned first, unsigned n,
		    const uint64_t *tokens, int err, bool was_failed, unsigned flags)
{
	struct oracle *o = oracle_of(r);

	if (err == 0 && was_failed)
		return violated(r, "acknowledged by a pool that had failed");
	if (err < 0) {
		if (was_failed && err != -EROFS)
			return violated(r, "%s of a pool that had failed", error_name(err));
		return failed_step(r, err) < 0 ? -1 : look_again(r, s, first, n, tokens);
	}
	for (unsigned i = 0; i < n; i++)
		oracle_write(o, s, first + i, tokens[i]);
	o->op[o->nops - 1].first = first;
	o->op[o->nops - 1].n = n;
	acknowledged(r, flags & COWBD_FUA ? COVERS_RANGE : COVERS_NOTHING);
	return 0;
}

static void begin_data(struct run *r, const struct subject *s, unsigned first, unsigned n)
{
	r->writing = s;
	r->first_block = first / PER;
	r->blocks = (first + n - 1) / PER - first / PER + 1;
}

/* What is read is what was written, or an error. */
static int read_step(struct run *r, const char *name, unsigned first, unsigned n)
{
	static uint64_t buf[SECTORS_MAX][SECTOR / 8];
	struct subject *s = subject_called(r, name);
	struct cowbd_client *c = s ? client_of(r, name) : NULL;
	int err;

	if (!c || first + n > oracle_sectors(s))
		return 0;
	oracle_touch(oracle_of(r), s);
	err = cowbd_read(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR);
	if (err < 0)
		return failed_step(r, err);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < SECTOR / 8; k++)
			if (buf[i][k] != oracle_token(s, first + i))
				return violated(r,
						"%s sector %u: read %" PRIu64 ", not what it holds",
						name, first + i, buf[i][k]);
	acknowledged(r, COVERS_NOTHING);
	return 0;
}

static int write_step(struct run *r, const char *name, unsigned first, unsigned n, unsigned flags)
{
	static uint64_t buf[SECTORS_MAX][SECTOR / 8];
	struct oracle *o = oracle_of(r);
	struct subject *s = subject_called(r, name);
	struct cowbd_client *c = s ? client_of(r, name) : NULL;
	bool was_failed = pool_failed(r);
	uint64_t tokens[SECTORS_MAX];
	int err;

	if (!c || first + n > oracle_sectors(s)) /* what made or enlarged it failed */
		return 0;
	oracle_touch(o, s);
	for (unsigned i = 0; i < n; i++) {
		tokens[i] = ++o->last_token;
		for (unsigned k = 0; k < SECTOR / 8; k++)
			buf[i][k] = tokens[i];
	}
	begin_data(r, s, first, n);
	err = cowbd_write(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags);
	r->writing = NULL;
	return end_data(r, s, first, n, tokens, err, was_failed, flags);
}

static int clear_step(struct run *r, const char *name, unsigned first, unsigned n, bool trim)
{
	struct subject *s = subject_called(r, name);
	struct cowbd_client *c = s ? client_of(r, name) : NULL;
	uint64_t tokens[SECTORS_MAX] = {0}, len = (uint64_t)n * SECTOR;
	bool was_failed = pool_failed(r);
	int err;

	if (!c || first + n > oracle_sectors(s))
		return 0;
	oracle_touch(oracle_of(r), s);
	begin_data(r, s, first, n);
	if (trim) /* whole blocks alone: a part is left as it is */
		err = cowbd_trim(c, len, (uint64_t)first * SECTOR, 0);
	else
		err = cowbd_zero(c, len, (uint64_t)first * SECTOR, 0);
	r->writing = NULL;
	if (trim && err == 0 && has_fired(r)) /* without space it may do nothing */
		return look_again(r, s, first, n, tokens) < 0
			       ? -1
			       : (acknowledged(r, COVERS_NOTHING), 0);
	return end_data(r, s, first, n, tokens, err, was_failed, 0);
}

static int flush_step(struct run *r, const char *name)
{
	struct subject *s = subject_called(r, name);
	struct cowbd_client *c = s ? client_of(r, name) : NULL;
	bool was_failed = pool_failed(r);
	int err;

	if (!c)
		return 0;
	oracle_touch(oracle_of(r), s);
	err = cowbd_flush(c);
	if (err < 0)
		return failed_step(r, err);
	if (was_failed)
		return violated(r, "a flush of a pool that had failed");
	acknowledged(r, COVERS_OBJECT);
	return 0;
}

/* ---- steps on names -------------------------------------------------------------------------------------------- */

/* Did it take place, though it may have failed?  Asked of the running pool. */
static bool is_there(struct run *r, const char *name, struct cowbd_object *ret_object)
{
	bool there;

	suspend_faults(r);
	there = cowbd_find(r->p, name, ret_object) == 0;
	resume_faults(r);
	return there;
}

/* Acknowledged, or failed: then only a pool that failed may have done it all the same. */
static int end_change(struct run *r, int err, bool done)
{
	if (err == 0) {
		acknowledged(r, COVERS_CHANGES);
		return 0;
	}
	if (failed_step(r, err) < 0)
		return -1;
	if (done && !pool_failed(r))
		return violated(r, "failed (%s), and took place", error_name(err));
	return 0;
}

static int create_step(struct run *r, const char *name, unsigned blocks)
{
	int err = cowbd_create(r->p, name, (uint64_t)blocks * BLOCK, 512, 0);
	struct cowbd_object found;
	bool done = is_there(r, name, &found);

	if (done) {
		oracle_change(oracle_of(r));
		oracle_born(oracle_of(r), found.id, name, blocks * PER, NULL, NULL);
	}
	return end_change(r, err, done);
}

static int snapshot_step(struct run *r, const char *const *names, size_t n)
{
	struct subject *volume[2] = {NULL, NULL};
	struct cowbd_object found;
	bool done = false;
	int err;

	for (size_t i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof name, "%.*s", (int)strcspn(names[i], "@"), names[i]);
		volume[i] = subject_called(r, name);
		if (!volume[i])
			return 0;
	}
	err = cowbd_snapshot(r->p, names, n, COWBD_LABEL_CRASH, 0);
	for (size_t i = 0; i < n; i++) {
		bool there = is_there(r, names[i], &found);

		if (i == 0 && there)
			oracle_change(oracle_of(r));
		if (i > 0 && there != done)
			return violated(r, "a part of a group");
		done = there;
		if (there)
			oracle_born(oracle_of(r), found.id, names[i], oracle_sectors(volume[i]),
				    volume[i], volume[i]);
	}
	return end_change(r, err, done);
}

static int clone_step(struct run *r, const char *source, const char *name)
{
	struct subject *s = subject_called(r, source);
	struct cowbd_object found;
	bool done;
	int err;

	if (!s)
		return 0;
	err = cowbd_clone(r->p, source, &name, 1, 0, 0);
	done = is_there(r, name, &found);
	if (done) {
		oracle_change(oracle_of(r));
		oracle_born(oracle_of(r), found.id, name, oracle_sectors(s), NULL, s);
	}
	return end_change(r, err, done);
}

static int rollback_step(struct run *r, const char *source, const char *keep)
{
	struct subject *s = subject_called(r, source);
	struct cowbd_object found;
	char name[128];
	bool done;
	int err;

	if (!s || !s->volume)
		return 0;
	close_client(r, oracle_name(s->volume));
	err = cowbd_rollback(r->p, source, keep, 0);
	snprintf(name, sizeof name, "%.80s@%s", oracle_name(s->volume), keep);
	done = is_there(r, name, &found);
	if (done) {
		oracle_change(oracle_of(r));
		oracle_born(oracle_of(r), found.id, name, oracle_sectors(s->volume), s->volume,
			    s->volume);
		oracle_roll_back(oracle_of(r), s->volume, s);
	}
	return end_change(r, err, done);
}

static int remove_step(struct run *r, const char *name)
{
	struct subject *s = subject_called(r, name);
	struct cowbd_object found;
	bool done;
	int err;

	if (!s)
		return 0;
	close_client(r, name);
	err = cowbd_remove(r->p, &name, 1, 0);
	done = !is_there(r, name, &found);
	if (done) {
		oracle_change(oracle_of(r));
		oracle_died(oracle_of(r), s);
	}
	return end_change(r, err, done);
}

static int rename_step(struct run *r, const char *name, const char *to)
{
	struct subject *s = subject_called(r, name);
	struct cowbd_object found;
	bool done;
	int err;

	if (!s)
		return 0;
	close_client(r, name);
	err = cowbd_rename(r->p, name, to, 0);
	done = is_there(r, to, &found);
	if (done) {
		oracle_change(oracle_of(r));
		oracle_renamed(oracle_of(r), s, to);
	}
	return end_change(r, err, done);
}

static int resize_step(struct run *r, const char *name, unsigned blocks)
{
	struct subject *s = subject_called(r, name);
	struct cowbd_object found;
	bool done;
	int err;

	if (!s)
		return 0;
	close_client(r, name);
	err = cowbd_resize(r->p, name, (uint64_t)blocks * BLOCK, COWBD_SHRINK_FORCE);
	if (!is_there(r, name, &found))
		return violated(r, "%s is gone", name);
	done = found.size == (uint64_t)blocks * BLOCK;
	if (done) {
		oracle_change(oracle_of(r));
		oracle_resized(oracle_of(r), s, blocks * PER);
	}
	return end_change(r, err, done);
}

/* ---- steps on the pool --------------------------------------------------------------------------------------------- */

static int pool_step(struct run *r, int err, enum covers covers, bool was_failed)
{
	if (err < 0)
		return failed_step(r, err);
	if (was_failed)
		return violated(r, "done by a pool that had failed");
	acknowledged(r, covers);
	return 0;
}

/* Whatever fails: nothing is said to be rotten. */
static int scrub(struct run *r)
{
	struct cowbd_scrub_result result = {.read = 0};
	int err = cowbd_scrub(r->p, NULL, &result);

	if (err == 0 && result.rotten)
		return violated(r, "scrub: %" PRIu64 " rotten blocks", result.rotten);
	return err;
}

static int reclaim_all(struct cowbd_pool *p)
{
	int r;

	do {
		r = reclaim_some(p);
	} while (r > 0);
	return r;
}

static int give_back(struct cowbd_pool *p)
{
	int r;

	metalock_exclusive(&p->e.lock);
	(void)space_settle(p->e.space);
	metalock_drop(&p->e.lock);
	do {
		r = space_punch_one(p->e.space);
	} while (r > 0);
	return r;
}

void close_pool(struct run *r)
{
	close_client(r, NULL);
	(void)cowbd_close(r->p);
	r->p = NULL;
}

static int close_step(struct run *r)
{
	bool was_failed = pool_failed(r);
	int err;

	close_client(r, NULL);
	err = cowbd_close(r->p);
	r->p = NULL;
	r->open_failed = r->open_failed || was_failed || err < 0;
	return pool_step(r, err, COVERS_ALL, was_failed);
}

/* A cache that is dropped after a failed sync: what the kernel called clean may be gone. */
static void drop_cache(struct run *r)
{
	static size_t lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	const struct sim_options opt = {.seed = 3, .record = true};
	size_t n = store_sim_unsynced(r->store, events_now(r), lost, UNSYNCED_MAX), ndrop = 0;
	struct store *s;

	for (size_t i = 0; i < MIN(n, (size_t)UNSYNCED_MAX); i++)
		if (random_of(&r->random) % 2)
			drop[ndrop++] = lost[i];
	if (store_sim_replay(r->store, events_now(r), drop, ndrop, &opt, &s) < 0)
		abort();
	unhooked_close(r->store);
	r->store = s;
	hook(s);
}

static int adopt(struct run *r, bool killed)
{
	struct oracle *o = oracle_of(r), *next = calloc(1, sizeof *next);
	char why[700] = "";
	uint64_t hash;
	int err;

	if (!next || r->noracles == ARRAY_SIZE(r->oracle))
		abort();
	suspend_faults(r);
	err = oracle_judge(o, r->p, SIZE_MAX - 1, killed, &hash, why, sizeof why);
	if (err < 0)
		(void)violated(r, "opened%s: %s", killed ? "" : " after an error", why);
	next->last_token = o->last_token + 1000000;
	if (err == 0 && (err = oracle_adopt(next, r->p, why, sizeof why)) < 0)
		(void)violated(r, "opened: %s", why);
	resume_faults(r);
	r->oracle[r->noracles++] = next;
	return err;
}

/* Opens what is there; a failed opening is tried once more. */
static int open_step(struct run *r)
{
	bool killed = true;
	int err = -EIO;

	for (unsigned try = 0; try < 2 && err < 0; try++) {
		err = open_store(r->store, 0, &r->p);
		if (err == 0)
			break;
		r->p = NULL;
		if (failed_step(r, err) < 0)
			return -1;
		r->open_failed = true;
		if (r->nmoments == 0)
			remember(r);
	}
	if (err == -EIO && !site.forever) {
		/* the moments' logs end here */
		suspend_faults(r);
		look_at_moments(r);
		for (unsigned i = 0; i < r->nmoments; i++) {
			tails_restore(&r->moment[i].tails);
			tails_fini(&r->moment[i].tails);
		}
		r->nmoments = 0;
		drop_cache(r);
		resume_faults(r);
		killed = false;
		err = open_store(r->store, COWBD_OPEN_AFTER_ERROR, &r->p);
		if (err < 0)
			return violated(r, "after an error: %s", cowbd_error());
	}
	if (err < 0) {
		r->p = NULL;
		r->dead = true;
		return 0;
	}
	r->open_failed = r->sync_failed = false;
	return adopt(r, killed);
}

/* ---- one step ------------------------------------------------------------------------------------------- */

static const char *const what_name[] = {"open",  "read",       "write",   "fua",       "trim",
					"zero",  "flush",      "create",  "snapshot",  "group",
					"clone", "rollback",   "remove",  "rename",    "resize",
					"grow",  "checkpoint", "reclaim", "give back", "sync",
					"scrub", "close"};

const char *step_name(enum what what)
{
	return what_name[what];
}

int do_step(struct run *r, const struct step *s)
{
	const char *names[2] = {s->name, s->other};
	bool was_failed = pool_failed(r);

	switch (s->what) {
	case OPEN: return open_step(r);
	case READ: return read_step(r, s->name, s->first, s->n);
	case WRITE: return write_step(r, s->name, s->first, s->n, 0);
	case FUA: return write_step(r, s->name, s->first, s->n, COWBD_FUA);
	case TRIM: return clear_step(r, s->name, s->first, s->n, true);
	case ZERO: return clear_step(r, s->name, s->first, s->n, false);
	case FLUSH: return flush_step(r, s->name);
	case CREATE: return create_step(r, s->name, s->n);
	case SNAPSHOT: return snapshot_step(r, names, 1);
	case GROUP: return snapshot_step(r, names, 2);
	case CLONE: return clone_step(r, s->name, s->other);
	case ROLLBACK: return rollback_step(r, s->name, s->other);
	case REMOVE: return remove_step(r, s->name);
	case RENAME: return rename_step(r, s->name, s->other);
	case RESIZE: return resize_step(r, s->name, s->n);
	case GROW_POOL:
		return pool_step(r, cowbd_grow_pool(r->p, (r->p->e.geo.zones + 3) * ZONE_BYTES),
				 COVERS_NOTHING, was_failed);
	case CHECKPOINT: return pool_step(r, checkpoint_run(&r->p->e), COVERS_ALL, was_failed);
	case RECLAIM: return pool_step(r, reclaim_all(r->p), COVERS_NOTHING, was_failed);
	case GIVE_BACK: return pool_step(r, give_back(r->p), COVERS_NOTHING, false);
	case SYNC: return pool_step(r, cowbd_sync(r->p), COVERS_ALL, was_failed);
	case SCRUB: return pool_step(r, scrub(r), COVERS_NOTHING, false);
	case CLOSE: return close_step(r);
	}
	return 0;
}

int check_failed(struct run *r)
{
	static const uint8_t buf[SECTOR];
	struct cowbd_client *c;

	if (!r->sync_failed || !r->p)
		return 0;
	r->sync_failed = false;
	if (!pool_failed(r))
		return violated(r, "a sync failed and the pool didn't");
	c = client_of(r, "b");
	if (c && (cowbd_write(c, buf, sizeof buf, 0, 0) != -EROFS ||
		  cowbd_zero(c, BLOCK, 0, 0) != -EROFS || cowbd_flush(c) == 0))
		return violated(r, "a pool whose sync failed takes writes");
	return cowbd_create(r->p, "no", BLOCK, 0, 0) == -EROFS
		       ? 0
		       : violated(r, "a pool whose sync failed takes commands");
}
