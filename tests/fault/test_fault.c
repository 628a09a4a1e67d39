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
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../crash/oracle.h"
#include "pool.h"

#define BLOCK 8192u
#define PER (BLOCK / SECTOR) /* sectors a block */
#define TAILS_MAX 8u
#define TAIL_KEPT (256u * 1024) /* bytes of a tail's file that a script gets to */
#define UNSYNCED_MAX 4096u
#define CLIENTS_MAX 8u
#define IMAGES_MAX 3u
#define SITE_SECONDS 60u
#define SECONDS 15.0

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

/* ---- memory ------------------------------------------------------------------------------------ */

/* The linker leads the engine's allocations here (--wrap), not those of this file and the oracle. */
static uint64_t allocations, first_refused; /* 0: none */
static bool refused_forever;

static bool refused(void)
{
	allocations++;
	return first_refused &&
	       (refused_forever ? allocations >= first_refused : allocations == first_refused);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refused() ? NULL : calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refused() ? NULL : realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refused() ? NULL : __real_aligned_alloc(alignment, size);
}

/* ---- places to fail --------------------------------------------------------------------------- */

enum { MEMORY = SIM_FAULT_KINDS, KINDS };

static const struct {
	const char *name;
	int err;
} kinds[KINDS] = {
	[SIM_FAULT_READ] = {"read", EIO},       [SIM_FAULT_WRITE] = {"write", EIO},
	[SIM_FAULT_SYNC] = {"sync", EIO},       [SIM_FAULT_PREALLOC] = {"prealloc", ENOSPC},
	[SIM_FAULT_DISCARD] = {"discard", EIO}, [SIM_FAULT_ANY] = {"any", EIO},
	[MEMORY] = {"memory", ENOMEM},
};

struct site {
	unsigned kind; /* SIM_FAULT_..., MEMORY */
	bool forever;
	uint64_t n;
};

static struct site site;
static bool verbose;
static char dir[64];
static unsigned violations;
static uint64_t images;
static uint64_t calls[KINDS]; /* of each kind, in the untouched script */

static uint64_t random_of(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- tails ---------------------------------------------------------------------------------------- */

/* The tails' files as they were; a second name keeps each, with its inode, when the pool removes it. */
struct tails {
	unsigned n;
	char path[TAILS_MAX][400], kept[TAILS_MAX][128];
	uint8_t *bytes[TAILS_MAX];
};

typedef void (*tail_visit)(const char *path, void *opaque);

static void each_tail(tail_visit visit, void *opaque)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char path[400];

	while (d && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len < 5 || strcmp(entry->d_name + len - 5, ".tail") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		visit(path, opaque);
	}
	if (d)
		closedir(d);
}

static void keep_tail(const char *path, void *opaque)
{
	static unsigned number;
	struct tails *t = opaque;
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || t->n == TAILS_MAX)
		return;
	t->bytes[t->n] = calloc(1, TAIL_KEPT);
	snprintf(t->path[t->n], sizeof t->path[0], "%s", path);
	snprintf(t->kept[t->n], sizeof t->kept[0], "%s/kept-%u", dir, number++);
	if (!t->bytes[t->n] || pread(fd, t->bytes[t->n], TAIL_KEPT, 0) != (ssize_t)TAIL_KEPT ||
	    link(path, t->kept[t->n]) < 0)
		abort();
	t->n++;
}

static void remove_tail(const char *path, void *opaque)
{
	(void)opaque;
	(void)unlink(path);
}

static void tails_restore(const struct tails *t)
{
	each_tail(remove_tail, NULL);
	for (unsigned i = 0; i < t->n; i++) {
		CLEANUP_CLOSE int fd = open(t->kept[i], O_RDWR | O_CLOEXEC);

		if (fd < 0 || pwrite(fd, t->bytes[i], TAIL_KEPT, 0) != (ssize_t)TAIL_KEPT ||
		    link(t->kept[i], t->path[i]) < 0)
			abort();
	}
}

static void tails_fini(struct tails *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		(void)unlink(t->kept[i]);
		free(t->bytes[i]);
	}
	t->n = 0;
}

/* ---- a run ---------------------------------------------------------------------------------------- */

/* What there was at one moment. */
struct moment {
	struct store *killed; /* what the death of the daemon leaves */
	struct tails tails;
	size_t events;
	bool failed;           /* the pool had turned read-only, or its opening had failed */
	struct oracle *oracle; /* that judges it */
};

struct run {
	struct store *store;
	struct cowbd_pool *p;
	struct cowbd_client *client[CLIENTS_MAX];
	char client_name[CLIENTS_MAX][64];
	struct oracle *oracle[4]; /* one a session that was opened; the last judges */
	unsigned noracles;
	struct moment moment[IMAGES_MAX];
	unsigned nmoments;
	bool armed, fired, sync_failed, open_failed, dead, grown;
	uint64_t calls;         /* of the kind, when armed */
	uint64_t looked[KINDS]; /* calls of the test itself */
	char step[160];
	uint64_t random;
};

static struct run *running;
static const struct store_ops *sim_ops;

static const char *site_name(void)
{
	static char name[80];

	snprintf(name, sizeof name, "%s %s %" PRIu64, kinds[site.kind].name,
		 site.forever ? "forever" : "once", site.n);
	return name;
}

__attribute__((format(printf, 2, 3))) static int violated(const struct run *r, const char *fmt, ...)
{
	va_list args;

	violations++;
	printf("site %s, at \"%s\": ", site_name(), r->step);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	return -1;
}

static struct oracle *oracle_of(struct run *r)
{
	return r->oracle[r->noracles - 1];
}

static int hook_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	int r = sim_ops->sync(s, ranges, n);

	if (r < 0 && running)
		running->sync_failed = true;
	return r;
}

static void hook_close(struct store *s)
{
	(void)s; /* the log is still of use */
}

static void hook(struct store *s)
{
	static struct store_ops hooked;

	if (s->ops == &hooked)
		return;
	sim_ops = s->ops;
	hooked = *s->ops;
	hooked.sync = hook_sync;
	hooked.close = hook_close;
	s->ops = &hooked;
}

static void unhooked_close(struct store *s)
{
	if (!s)
		return;
	if (sim_ops)
		s->ops = sim_ops;
	store_close(s);
}

static size_t events_now(const struct run *r)
{
	size_t n;

	(void)store_sim_events(r->store, &n);
	return n;
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static uint64_t calls_of(struct store *s, unsigned kind)
{
	return kind == MEMORY ? allocations : store_sim_calls(s, (enum sim_fault_kind)kind);
}

static void set_fault(struct store *s, uint64_t nth, bool forever)
{
	if (site.kind == MEMORY) {
		first_refused = nth ? allocations + nth : 0;
		refused_forever = forever;
	} else {
		store_sim_fault(s, (enum sim_fault_kind)site.kind, nth, forever ? 0 : 1,
				kinds[site.kind].err);
	}
}

static void arm(struct run *r)
{
	r->calls = calls_of(r->store, site.kind);
	r->armed = site.n > 0;
	set_fault(r->store, site.n, site.forever);
}

static bool has_fired(struct run *r)
{
	if (r->armed && calls_of(r->store, site.kind) >= r->calls + site.n)
		r->fired = true;
	return r->fired;
}

/* The test itself looks: without faults, and without being counted. */
static void suspend_faults(struct run *r)
{
	(void)has_fired(r);
	for (unsigned k = 0; k < KINDS; k++)
		r->looked[k] -= calls_of(r->store, k);
	r->calls = calls_of(r->store, site.kind) - r->calls; /* since it was armed */
	set_fault(r->store, 0, false);
}

static void resume_faults(struct run *r)
{
	uint64_t since = r->calls;
	bool over = r->fired && !site.forever;

	for (unsigned k = 0; k < KINDS; k++)
		r->looked[k] += calls_of(r->store, k);
	r->calls = calls_of(r->store, site.kind) - since;
	if (r->armed && !over)
		set_fault(r->store, r->fired ? 1 : site.n - since, site.forever);
}

/* ---- looking at what is left ------------------------------------------------------------------------------ */

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

static int open_store(struct store *s, unsigned flags, struct cowbd_pool **ret_pool)
{
	struct cowbd_open_options opt = {.flags = flags, .run_dir = dir, .cache_bytes = 1u << 20};

	return pool_open_store(s, "sim", &opt, ret_pool);
}

/* The recovered pool is of use: it takes a write, makes it durable, and closes. */
static int use_pool(struct cowbd_pool *p, char *why, size_t len)
{
	static const uint8_t buf[SECTOR] = {1};
	struct cowbd_client *c;
	int r = cowbd_create(p, "after", 4 * BLOCK, 0, 0);

	if (r == 0)
		r = cowbd_client_open(p, "after", false, "test", &c);
	if (r == 0) {
		r = cowbd_write(c, buf, sizeof buf, BLOCK, COWBD_FUA);
		cowbd_client_close(c);
	}
	return r < 0 ? say(why, len, "using it: %s", cowbd_error()) : 0;
}

/* Opens an image (taken over) and judges it. */
static int look_at(const struct run *r, const struct moment *m, struct store *s, bool killed,
		   const char *what)
{
	unsigned flags = killed ? 0 : COWBD_OPEN_LOST_TAIL | COWBD_OPEN_AFTER_ERROR;
	struct store *again = NULL;
	struct cowbd_pool *p;
	char why[700] = "";
	uint64_t hash;
	int err;

	images++;
	if (killed && store_sim_copy(s, NULL, &again) < 0)
		abort();
	err = open_store(s, flags, &p);
	if (err == -EIO && killed && m->failed) { /* it says that something may be lost */
		killed = false;
		err = open_store(again, COWBD_OPEN_AFTER_ERROR, &p);
	} else {
		store_close(again);
	}
	if (err < 0)
		return violated(r, "%s: opening: %s", what, cowbd_error());
	err = oracle_judge(m->oracle, p, m->events, killed, &hash, why, sizeof why);
	if (err == 0)
		err = check_pool(p, why, sizeof why);
	if (err == 0)
		err = use_pool(p, why, sizeof why);
	if (err < 0)
		store_sim_cut(p->e.store);
	if (cowbd_close(p) < 0 && err == 0)
		err = say(why, sizeof why, "closing: %s", cowbd_error());
	return err < 0 ? violated(r, "%s: %s", what, why) : 0;
}

static void lose_power(struct run *r, const struct moment *m, unsigned mode, const char *what)
{
	static size_t lost[UNSYNCED_MAX], drop[UNSYNCED_MAX];
	size_t n = store_sim_unsynced(r->store, m->events, lost, UNSYNCED_MAX), ndrop = 0;
	struct store *s;

	if (n > UNSYNCED_MAX)
		abort();
	for (size_t i = 0; i < n; i++)
		if (mode == 0 || random_of(&r->random) % 2)
			drop[ndrop++] = lost[i];
	if (store_sim_replay(r->store, m->events, drop, ndrop, NULL, &s) < 0)
		abort();
	each_tail(remove_tail, NULL);
	(void)look_at(r, m, s, false, what);
}

/* The pool is gone; each moment is looked at. */
static void look_at_moments(struct run *r)
{
	for (unsigned i = 0; i < r->nmoments; i++) {
		struct moment *m = &r->moment[i];

		tails_restore(&m->tails);
		(void)look_at(r, m, m->killed, true, i ? "killed at the end" : "killed");
		m->killed = NULL;
		lose_power(r, m, 0, i ? "power cut at the end" : "power cut");
		lose_power(r, m, 1, i ? "power cut at the end, some lost" : "power cut, some lost");
	}
}

static void remember(struct run *r)
{
	struct moment *m = &r->moment[r->nmoments];

	if (r->nmoments == IMAGES_MAX)
		return;
	*m = (struct moment){.events = events_now(r), .oracle = oracle_of(r)};
	m->failed = r->p ? atomic_load(&r->p->e.failed) : r->open_failed;
	suspend_faults(r);
	if (store_sim_copy(r->store, NULL, &m->killed) < 0)
		abort();
	each_tail(keep_tail, &m->tails);
	resume_faults(r);
	r->nmoments++;
}

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

static int write_step(struct run *r, const char *name, unsigned first, unsigned n, unsigned flags)
{
	static uint64_t buf[SECTORS_MAX][SECTOR / 8];
	struct oracle *o = oracle_of(r);
	struct subject *s = subject_called(r, name);
	struct cowbd_client *c = s ? client_of(r, name) : NULL;
	bool was_failed = pool_failed(r);
	uint64_t tokens[SECTORS_MAX];

	if (!c || first + n > oracle_sectors(s)) /* what made or enlarged it failed */
		return 0;
	oracle_touch(o, s);
	for (unsigned i = 0; i < n; i++) {
		tokens[i] = ++o->last_token;
		for (unsigned k = 0; k < SECTOR / 8; k++)
			buf[i][k] = tokens[i];
	}
	return end_data(r, s, first, n, tokens,
			cowbd_write(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags),
			was_failed, flags);
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
	if (trim) /* whole blocks alone: a part is left as it is */
		err = cowbd_trim(c, len, (uint64_t)first * SECTOR, 0);
	else
		err = cowbd_zero(c, len, (uint64_t)first * SECTOR, 0);
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

static void close_pool(struct run *r)
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

/* ---- the script ------------------------------------------------------------------------------------------------------ */

enum what {
	OPEN,
	WRITE,
	FUA,
	TRIM,
	ZERO,
	FLUSH,
	CREATE,
	SNAPSHOT,
	GROUP,
	CLONE,
	ROLLBACK,
	REMOVE,
	RENAME,
	RESIZE,
	GROW,
	CHECKPOINT,
	RECLAIM,
	GIVE_BACK,
	SYNC,
	CLOSE
};

static const char *const what_name[] = {"open",       "write",   "fua",       "trim",   "zero",
					"flush",      "create",  "snapshot",  "group",  "clone",
					"rollback",   "remove",  "rename",    "resize", "grow",
					"checkpoint", "reclaim", "give back", "sync",   "close"};

struct step {
	enum what what;
	const char *name, *other;
	unsigned first, n; /* sectors; blocks of a size */
};

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
	{WRITE, "a", NULL, 7, 2},
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
	{GROW, NULL, NULL, 0, 0},
	{WRITE, "d", NULL, 20 * PER + 1, 30 * PER},
	{FLUSH, "d", NULL, 0, 0},
	{REMOVE, "c", NULL, 0, 0},
	{RECLAIM, NULL, NULL, 0, 0},
	{CHECKPOINT, NULL, NULL, 0, 0},
	{GIVE_BACK, NULL, NULL, 0, 0},
	{RENAME, "a", "e", 0, 0},
	{WRITE, "e", NULL, 3, 30},
	{SYNC, NULL, NULL, 0, 0},
	{WRITE, "e", NULL, 8, 3},
	{CLOSE, NULL, NULL, 0, 0},
	{OPEN, NULL, NULL, 0, 0},
	{WRITE, "e", NULL, 2 * PER - 1, 2},
	{FUA, "d", NULL, 40 * PER, 3 * PER},
	{REMOVE, "a@s2", NULL, 0, 0},
	{WRITE, "b", NULL, 2, 2},
};

static int do_step(struct run *r, const struct step *s)
{
	const char *names[2] = {s->name, s->other};
	bool was_failed = pool_failed(r);

	switch (s->what) {
	case OPEN: return open_step(r);
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
	case GROW:
		return pool_step(r, cowbd_grow_pool(r->p, (r->p->e.geo.zones + 3) * ZONE_BYTES),
				 COVERS_NOTHING, was_failed);
	case CHECKPOINT: return pool_step(r, checkpoint_run(&r->p->e), COVERS_ALL, was_failed);
	case RECLAIM: return pool_step(r, reclaim_all(r->p), COVERS_NOTHING, was_failed);
	case GIVE_BACK: return pool_step(r, give_back(r->p), COVERS_NOTHING, false);
	case SYNC: return pool_step(r, cowbd_sync(r->p), COVERS_ALL, was_failed);
	case CLOSE: return close_step(r);
	}
	return 0;
}

/* A failed sync turns the pool read-only at once, and what comes after is refused. */
static int check_failed(struct run *r)
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

static int run_steps(struct run *r, const struct step *steps, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0 && !r->dead; i++) {
		const struct step *s = &steps[i];

		snprintf(r->step, sizeof r->step, "%zu %s %s", i, what_name[s->what],
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
		.name = "fault", .journal_bytes = 2 * ZONE_BYTES, .block_bytes = BLOCK};
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
	start.store->ops = sim_ops;
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
	allocations = 0;
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
		if (strcmp(args[0], kinds[k].name) == 0) {
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
