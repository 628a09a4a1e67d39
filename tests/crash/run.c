/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.c - a phase under way: the open pool, its clients and tail, and operations that tell the oracle what they do
 */
#include "run.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

uint64_t random_of(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- the store below, wrapped ---------------------------------------------------------------- */

static struct run *running;
static _Thread_local bool main_thread; /* the one whose calls are wrapped */
static const struct store_ops *sim_ops;

int kill_keep_tail(struct kill *k)
{
	CLEANUP_CLOSE int fd = open(k->tail_link, O_RDONLY | O_CLOEXEC);

	k->tail = malloc(TAIL_KEPT);
	return k->tail && fd >= 0 && pread(fd, k->tail, TAIL_KEPT, 0) == (ssize_t)TAIL_KEPT ? 0
											    : -1;
}

static void die_here(struct store *s)
{
	struct phase *ph = running->ph;
	struct kill *k = &ph->kill[ph->nkills];
	const struct sim_options opt = {.seed = running->set->seed, .record = true};

	snprintf(k->tail_path, sizeof k->tail_path, "%s", running->tail_path);
	snprintf(k->tail_link, sizeof k->tail_link, "%s", running->tail_link);
	if (kill_keep_tail(k) < 0 || store_sim_copy(s, &opt, &k->store) < 0) {
		free(k->tail);
		return;
	}
	(void)store_sim_events(s, &k->events);
	ph->nkills++;
}

static bool dies_now(void)
{
	return running && running->p && running->ph->nkills < running->set->kills &&
	       running->tail_link[0] && running->set->ops &&
	       random_of(&running->kill_random) %
			       (running->set->ops * 2 / running->set->kills + 1) ==
		       0;
}

/* A durable write of a daemon that dies in it may have reached the disk without being durable. */
static void die_in_write(struct store *s, struct store_io *ios, unsigned n)
{
	unsigned flags[64];

	if (n > 64)
		return;
	for (unsigned i = 0; i < n; i++) {
		flags[i] = ios[i].flags;
		ios[i].flags &= ~(unsigned)STORE_DURABLE;
	}
	if (sim_ops->submit(s, ios, n) == 0)
		die_here(s);
	for (unsigned i = 0; i < n; i++) {
		ios[i].flags = flags[i];
		ios[i].result = 0;
	}
}

/* A script said that the daemon dies in this call. */
static bool dies_as_told(unsigned kind)
{
	struct die *d = running ? &running->die : NULL;

	if (!d || !(d->kinds & kind) || !running->tail_link[0] ||
	    running->ph->nkills >= running->set->kills)
		return false;
	if (d->skip > 0) {
		d->skip--;
		return false;
	}
	d->kinds = 0;
	return true;
}

/* What was to happen inside a call of this kind does. */
static void happen_inside(unsigned kind)
{
	struct inside *in = running ? &running->inside : NULL;
	op_body body;

	if (!in || !in->body || !(in->kinds & kind))
		return;
	if (in->skip > 0) {
		in->skip--;
		return;
	}
	body = in->body;
	in->body = NULL; /* not inside itself */
	in->ran = true;
	in->result = body(running);
}

static unsigned kind_of(const struct store_io *io)
{
	uint64_t zone = io->offset / ZONE_BYTES;

	if (!(io->flags & STORE_WRITE))
		return IN_READ;
	if (running && running->p && zone && zone <= running->p->e.geo.journal_zones)
		return IN_WRITE | IN_JOURNAL;
	return IN_WRITE;
}

static int hook_submit(struct store *s, struct store_io *ios, unsigned n)
{
	if (!main_thread)
		return sim_ops->submit(s, ios, n);
	unsigned kind = kind_of(&ios[0]);

	happen_inside(kind);
	if (dies_as_told(kind)) {
		if (running->die.in_flight)
			die_in_write(s, ios, n);
		else
			die_here(s);
	} else if (ios[0].flags & STORE_WRITE && dies_now()) {
		if (random_of(&running->kill_random) % 2)
			die_in_write(s, ios, n);
		else
			die_here(s);
	}
	return sim_ops->submit(s, ios, n);
}

static int hook_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	if (!main_thread)
		return sim_ops->sync(s, ranges, n);
	happen_inside(IN_SYNC);
	if (dies_as_told(IN_SYNC) || dies_now())
		die_here(s);
	return sim_ops->sync(s, ranges, n);
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
	hooked.submit = hook_submit;
	hooked.sync = hook_sync;
	hooked.close = hook_close;
	s->ops = &hooked;
}

static void unhook(struct store *s)
{
	s->ops = sim_ops;
}

/* ---- tails --------------------------------------------------------------------------------------- */

static void forget_tail(struct run *r)
{
	for (unsigned i = 0; i < r->ph->nkills; i++)
		if (strcmp(r->ph->kill[i].tail_link, r->tail_link) == 0)
			return;
	if (r->tail_link[0])
		(void)unlink(r->tail_link);
	r->tail_link[0] = '\0';
}

/* Gives the tail a second name, so that its file can be brought back when the pool has removed it. */
static int keep_tail(struct run *r)
{
	struct cowbd_pool_info info;

	cowbd_pool_info(r->p, &info);
	snprintf(r->tail_path, sizeof r->tail_path, "%s", info.tail);
	snprintf(r->tail_link, sizeof r->tail_link, "%s/kept-%u-%u", r->set->dir, r->set->number,
		 r->links++);
	(void)unlink(r->tail_link);
	return link(r->tail_path, r->tail_link);
}

int kill_put_tail(const struct kill *k)
{
	CLEANUP_CLOSE int fd = open(k->tail_link, O_RDWR | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, k->tail, TAIL_KEPT, 0) != (ssize_t)TAIL_KEPT)
		return -1;
	return link(k->tail_link, k->tail_path) == 0 || errno == EEXIST ? 0 : -1;
}

void kill_take_tail(const struct kill *k)
{
	(void)unlink(k->tail_path);
}

/* ---- choosing ---------------------------------------------------------------------------------------- */

unsigned below(struct run *r, unsigned n)
{
	return (unsigned)(random_of(&r->random) % n);
}

static bool alive(const struct subject *s)
{
	return s->died == 0;
}

struct subject *subject_choose(struct run *r, bool snapshots, bool volumes)
{
	const struct oracle *o = &r->ph->oracle;
	struct subject *list[256];
	unsigned n = 0;

	for (unsigned i = 0; i < o->nsubjects && n < 256; i++)
		if (alive(o->subject[i]) && (o->subject[i]->snapshot ? snapshots : volumes))
			list[n++] = o->subject[i];
	return n ? list[below(r, n)] : NULL;
}

unsigned subject_count(const struct oracle *o, bool snapshots, bool volumes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->nsubjects; i++)
		n += alive(o->subject[i]) && (o->subject[i]->snapshot ? snapshots : volumes);
	return n;
}

struct subject *subject_named(const struct oracle *o, const char *name)
{
	for (unsigned i = 0; i < o->nsubjects; i++)
		if (alive(o->subject[i]) && strcmp(oracle_name(o->subject[i]), name) == 0)
			return o->subject[i];
	return NULL;
}

/* A snapshot's full name now: its volume may have been renamed. */
static void full_name(const struct subject *s, char *buf, size_t len)
{
	const char *at = s->snapshot ? strchr(oracle_name(s), '@') : NULL;

	snprintf(buf, len, "%s%s", oracle_name(s->snapshot ? s->volume : s), at ? at : "");
}

/* ---- clients ------------------------------------------------------------------------------------------- */

void close_clients(struct run *r, const struct subject *s)
{
	for (unsigned i = 0; i < VOLUMES_MAX; i++)
		if (r->client[i] && (!s || r->open[i] == s)) {
			cowbd_client_close(r->client[i]);
			r->client[i] = NULL;
		}
}

static struct cowbd_client *client_of(struct run *r, struct subject *s)
{
	unsigned at = 0;

	for (unsigned i = 0; i < VOLUMES_MAX; i++) {
		if (r->client[i] && r->open[i] == s)
			return r->client[i];
		if (!r->client[i])
			at = i;
	}
	if (r->client[at])
		close_clients(r, r->open[at]);
	if (cowbd_client_open(r->p, oracle_name(s), false, "workload", &r->client[at]) < 0) {
		r->client[at] = NULL;
		return NULL;
	}
	r->open[at] = s;
	return r->client[at];
}

/* ---- ops -------------------------------------------------------------------------------------------------- */

int found(struct run *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(r->why, sizeof r->why, fmt, args);
	va_end(args);
	return -1;
}

static size_t events_now(struct run *r)
{
	size_t n;

	(void)store_sim_events(r->ph->store, &n);
	return n;
}

struct begun { /* an op, and the one that it runs inside */
	unsigned t, outer;
};

__attribute__((format(printf, 2, 3))) static struct begun begin(struct run *r, const char *fmt, ...)
{
	struct oracle *o = &r->ph->oracle;
	struct begun b = {.outer = o->current};
	va_list args;

	b.t = oracle_begin(o, events_now(r));
	va_start(args, fmt);
	(void)vsnprintf(o->op[b.t].text, sizeof o->op[b.t].text, fmt, args);
	va_end(args);
	if (r->set->verbose)
		printf("  event %5zu op %3u: %s\n", events_now(r), b.t, o->op[b.t].text);
	return b;
}

static void acknowledged(struct run *r, struct begun b, enum covers covers)
{
	size_t at = events_now(r);

	oracle_resume(&r->ph->oracle, b.t);
	store_sim_mark(r->ph->store, b.t);
	oracle_ack(&r->ph->oracle, at, covers);
}

/* Refusals that are no errors here: a full pool, too many objects, a snapshot that is held. */
static bool refused(int err)
{
	return err == -ENOSPC || err == -EMFILE || err == -EBUSY || err == -EEXIST;
}

static int end(struct run *r, struct begun b, int err)
{
	if (r->set->verbose && err < 0)
		printf("    op %u: %d, %s\n", b.t, err, cowbd_error());
	if (err < 0 && !refused(err) && !r->why[0])
		(void)found(r, "op %u (%s): %s", b.t, r->ph->oracle.op[b.t].text, cowbd_error());
	oracle_resume(&r->ph->oracle, b.outer);
	return refused(err) ? 0 : err;
}

/* ---- ops on data ------------------------------------------------------------------------------------------------ */

/* An op that failed, in part perhaps: what it would have written, and then what is there. */
static int look_again(struct run *r, struct subject *s, unsigned first, unsigned n,
		      const uint64_t *wanted)
{
	uint64_t now[SECTORS_MAX];
	char name[80];

	snprintf(name, sizeof name, "%s", oracle_name(s));
	if (read_tokens(r->p, name, now, oracle_sectors(s)) < 0)
		return -EIO;
	for (unsigned i = 0; i < n; i++) {
		uint64_t old = oracle_token(s, first + i);

		if (now[first + i] != old && now[first + i] != wanted[i])
			return found(r, "%s sector %u holds %" PRIu64 " after a refusal", name,
				     first + i, now[first + i]);
		oracle_write(&r->ph->oracle, s, first + i, wanted[i]);
		oracle_write(&r->ph->oracle, s, first + i, now[first + i]);
	}
	return 0;
}

static int finish_data(struct run *r, struct begun b, struct subject *s, unsigned first, unsigned n,
		       const uint64_t *tokens, int err, unsigned flags)
{
	struct oracle *o = &r->ph->oracle;

	oracle_resume(o, b.t);
	if (err == -ENOSPC)
		return end(r, b, look_again(r, s, first, n, tokens));
	for (unsigned i = 0; i < n && err == 0; i++)
		oracle_write(o, s, first + i, tokens[i]);
	o->op[b.t].first = first;
	o->op[b.t].n = n;
	if (err == 0)
		acknowledged(r, b, flags & COWBD_FUA ? COVERS_RANGE : COVERS_NOTHING);
	return end(r, b, err);
}

int do_write(struct run *r, struct subject *s, unsigned first, unsigned n, unsigned flags)
{
	CLEANUP_FREE uint64_t *buf = malloc((size_t)n * SECTOR);
	uint64_t tokens[SECTORS_MAX];
	struct oracle *o = &r->ph->oracle;
	struct begun b = begin(r, "%s %s sectors %u..%u", flags & COWBD_FUA ? "fua write" : "write",
			       oracle_name(s), first, first + n - 1);
	struct cowbd_client *c = client_of(r, s);

	if (!c || !buf)
		return end(r, b, -EIO);
	oracle_touch(o, s);
	for (unsigned i = 0; i < n; i++) {
		tokens[i] = ++o->last_token;
		for (unsigned k = 0; k < SECTOR / 8; k++)
			buf[i * (SECTOR / 8) + k] = tokens[i];
	}
	return finish_data(
		r, b, s, first, n, tokens,
		cowbd_write(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags), flags);
}

int do_unmap(struct run *r, struct subject *s, unsigned first, unsigned n, bool trim,
	     unsigned flags)
{
	uint64_t tokens[SECTORS_MAX], offset = (uint64_t)first * SECTOR, len = (uint64_t)n * SECTOR;
	unsigned per = r->per, size = oracle_sectors(s);
	struct begun b = begin(r, "%s%s %s sectors %u..%u", flags ? "fua " : "",
			       trim ? "trim" : "zero", oracle_name(s), first, first + n - 1);
	struct cowbd_client *c = client_of(r, s);
	int err;

	if (!c)
		return end(r, b, -EIO);
	oracle_touch(&r->ph->oracle, s);
	for (unsigned i = 0; i < n; i++) {
		unsigned block = (first + i) / per;
		bool whole = block * per >= first && (MIN((block + 1) * per, size) <= first + n);

		tokens[i] = trim && !whole ? oracle_token(s, first + i) : 0;
	}
	err = trim ? cowbd_trim(c, len, offset, flags) : cowbd_zero(c, len, offset, flags);
	if (!trim || err < 0 || flags)
		return finish_data(r, b, s, first, n, tokens, err, flags);
	/* it may do nothing when the pool is full */
	err = look_again(r, s, first, n, tokens);
	if (err == 0)
		acknowledged(r, b, COVERS_NOTHING);
	return end(r, b, err);
}

int do_flush(struct run *r, struct subject *s)
{
	struct begun b = begin(r, "flush %s", oracle_name(s));
	struct cowbd_client *c = client_of(r, s);
	int err = c ? 0 : -EIO;

	oracle_touch(&r->ph->oracle, s);
	if (err == 0)
		err = cowbd_flush(c);
	if (err == 0)
		acknowledged(r, b, COVERS_OBJECT);
	return end(r, b, err);
}

int do_read(struct run *r, struct subject *s, unsigned first, unsigned n)
{
	CLEANUP_FREE uint64_t *buf = malloc((size_t)n * SECTOR);
	uint64_t want[SECTORS_MAX];
	struct begun b = begin(r, "read %s sectors %u..%u", oracle_name(s), first, first + n - 1);
	struct cowbd_client *c;
	int err = cowbd_client_open(r->p, oracle_name(s), true, "reader", &c);

	for (unsigned i = 0; i < n; i++)
		want[i] = oracle_token(s, first + i);
	if (err < 0 || !buf)
		return end(r, b, err < 0 ? err : -ENOMEM);
	err = cowbd_read(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR);
	cowbd_client_close(c);
	/* what was written meanwhile may be there, sector by sector */
	for (unsigned i = 0; i < n * (SECTOR / 8) && err == 0; i++) {
		unsigned k = i / (SECTOR / 8);

		if (buf[i] != want[k] && buf[i] != oracle_token(s, first + k))
			err = found(r, "read of %s sector %u gave %" PRIu64 ", not %" PRIu64,
				    oracle_name(s), first + k, buf[i], want[k]);
	}
	if (err == 0)
		acknowledged(r, b, COVERS_NOTHING);
	return end(r, b, err);
}

/* ---- ops on names --------------------------------------------------------------------------------------- */

/* A change took place: covers what it must when it waited. */
static enum covers covers_of(unsigned flags)
{
	return flags & COWBD_NO_WAIT ? COVERS_NOTHING : COVERS_CHANGES;
}

static int born(struct run *r, const char *name, unsigned sectors, struct subject *volume,
		const struct subject *like)
{
	struct cowbd_object object;
	int err = cowbd_find(r->p, name, &object);

	if (err == 0)
		oracle_born(&r->ph->oracle, object.id, name, sectors, volume, like);
	return err;
}

int do_create(struct run *r, unsigned sectors, unsigned flags)
{
	char name[32];
	struct begun b;
	int err;

	snprintf(name, sizeof name, "v%" PRIu64, r->names++);
	b = begin(r, "create %s %u sectors flags %u", name, sectors, flags);
	err = cowbd_create(r->p, name, (uint64_t)sectors * SECTOR, 512, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(&r->ph->oracle, b.t);
	oracle_change(&r->ph->oracle);
	if ((err = born(r, name, sectors, NULL, NULL)) == 0)
		acknowledged(r, b, covers_of(flags));
	return end(r, b, err);
}

int do_snapshot(struct run *r, struct subject *const *volumes, unsigned n, unsigned flags)
{
	char name[TOUCH_MAX][64];
	const char *names[TOUCH_MAX];
	struct begun b;
	int err;

	for (unsigned i = 0; i < n; i++) {
		snprintf(name[i], sizeof name[i], "%.30s@s%" PRIu64, oracle_name(volumes[i]),
			 r->names++);
		names[i] = name[i];
	}
	b = begin(r, "snapshot %s %s flags %u", name[0], n > 1 ? name[1] : "", flags);
	err = cowbd_snapshot(r->p, names, n, COWBD_LABEL_CRASH, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(&r->ph->oracle, b.t);
	oracle_change(&r->ph->oracle);
	for (unsigned i = 0; i < n && err == 0; i++)
		err = born(r, name[i], oracle_sectors(volumes[i]), volumes[i], volumes[i]);
	if (err == 0)
		acknowledged(r, b, covers_of(flags));
	return end(r, b, err);
}

int do_clone(struct run *r, struct subject *s, unsigned n, unsigned flags)
{
	char name[TOUCH_MAX][64], source[100];
	const char *names[TOUCH_MAX];
	struct begun b;
	int err;

	for (unsigned i = 0; i < n; i++) {
		snprintf(name[i], sizeof name[i], "v%" PRIu64, r->names++);
		names[i] = name[i];
	}
	full_name(s, source, sizeof source);
	b = begin(r, "clone %s %s %s flags %u", source, name[0], n > 1 ? name[1] : "", flags);
	err = cowbd_clone(r->p, source, names, n, 0, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(&r->ph->oracle, b.t);
	oracle_change(&r->ph->oracle);
	for (unsigned i = 0; i < n && err == 0; i++)
		err = born(r, name[i], oracle_sectors(s), NULL, s);
	if (err == 0)
		acknowledged(r, b, covers_of(flags));
	return end(r, b, err);
}

static struct subject *snapshot_called(struct oracle *o, const struct subject *volume,
				       const char *name)
{
	for (unsigned i = 0; i < o->nsubjects; i++) {
		struct subject *s = o->subject[i];

		if (alive(s) && s->volume == volume &&
		    strcmp(strchr(oracle_name(s), '@') + 1, name) == 0)
			return s;
	}
	return NULL;
}

int do_rollback(struct run *r, struct subject *s, enum keep how, unsigned flags)
{
	struct oracle *o = &r->ph->oracle;
	char source[100], keep[16] = "before-rollback", name[128];
	struct subject *old = NULL;
	struct begun b;
	int err;

	flags |= COWBD_IGNORE_CLIENTS | (how == KEEP_NOTHING ? COWBD_DISCARD : 0u);
	if (how == KEEP_NAMED)
		snprintf(keep, sizeof keep, "k%u", (unsigned)r->names++);
	full_name(s, source, sizeof source);
	b = begin(r, "rollback %s keep %s flags %u", source, keep, flags);
	err = cowbd_rollback(r->p, source, how == KEEP_NAMED ? keep : NULL, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(o, b.t);
	oracle_change(o);
	close_clients(r, s->volume); /* its size may be another now */
	if (how != KEEP_NOTHING) {
		old = snapshot_called(o, s->volume, keep);
		snprintf(name, sizeof name, "%.80s@%s", oracle_name(s->volume), keep);
		err = born(r, name, oracle_sectors(s->volume), s->volume, s->volume);
		if (err < 0)
			return end(r, b, err);
	}
	oracle_roll_back(o, s->volume, s);
	if (old)
		oracle_died(o, old);
	acknowledged(r, b, covers_of(flags));
	return end(r, b, 0);
}

int do_remove(struct run *r, struct subject *s, unsigned flags)
{
	struct oracle *o = &r->ph->oracle;
	char full[100];
	const char *name = full;
	struct begun b;
	int err;

	flags |= COWBD_RECURSIVE | COWBD_IGNORE_CLIENTS;
	full_name(s, full, sizeof full);
	b = begin(r, "remove %s flags %u", full, flags);
	close_clients(r, s);
	err = cowbd_remove(r->p, &name, 1, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(o, b.t);
	oracle_change(o);
	oracle_died(o, s);
	for (unsigned i = 0; i < o->nsubjects; i++)
		if (o->subject[i]->volume == s && alive(o->subject[i]))
			oracle_died(o, o->subject[i]);
	acknowledged(r, b, covers_of(flags));
	return end(r, b, 0);
}

int do_rename(struct run *r, struct subject *s, unsigned flags)
{
	char full[100], to[128];
	struct begun b;
	int err;

	full_name(s, full, sizeof full);
	if (s->snapshot)
		snprintf(to, sizeof to, "%.80s@r%" PRIu64, oracle_name(s->volume), r->names++);
	else
		snprintf(to, sizeof to, "r%" PRIu64, r->names++);
	b = begin(r, "rename %s %s flags %u", full, to, flags);
	err = cowbd_rename(r->p, full, to, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(&r->ph->oracle, b.t);
	oracle_change(&r->ph->oracle);
	oracle_renamed(&r->ph->oracle, s, to);
	acknowledged(r, b, covers_of(flags));
	return end(r, b, 0);
}

int do_resize(struct run *r, struct subject *s, unsigned sectors, unsigned flags)
{
	struct begun b;
	int err;

	if (sectors == oracle_sectors(s))
		return 0;
	flags |= COWBD_SHRINK_FORCE | COWBD_IGNORE_CLIENTS;
	b = begin(r, "resize %s %u sectors (was %u) flags %u", oracle_name(s), sectors,
		  oracle_sectors(s), flags);
	close_clients(r, s);
	err = cowbd_resize(r->p, oracle_name(s), (uint64_t)sectors * SECTOR, flags);
	if (err < 0)
		return end(r, b, err);
	oracle_resume(&r->ph->oracle, b.t);
	oracle_change(&r->ph->oracle);
	oracle_resized(&r->ph->oracle, s, sectors);
	acknowledged(r, b, covers_of(flags));
	return end(r, b, 0);
}

/* ---- ops on the pool ------------------------------------------------------------------------------------------ */

static int finish_pool(struct run *r, struct begun b, int err, enum covers covers)
{
	if (err == 0)
		acknowledged(r, b, covers);
	return end(r, b, err);
}

int do_checkpoint(struct run *r)
{
	struct begun b = begin(r, "checkpoint");

	return finish_pool(r, b, checkpoint_run(&r->p->e), COVERS_CHANGES);
}

int do_scrub(struct run *r)
{
	struct begun b = begin(r, "scrub");
	struct cowbd_scrub_result result = {.read = 0};
	int err = cowbd_scrub(r->p, NULL, &result);

	if (err == 0 && (result.check.damages || result.check.leaks || result.rotten ||
			 result.unreadable || result.skipped))
		err = found(r, "scrub: %" PRIu64 " damages, %" PRIu64 " rotten blocks",
			    result.check.damages, result.rotten);
	return finish_pool(r, b, err, COVERS_CHANGES);
}

int do_commit(struct run *r)
{
	struct begun b = begin(r, "commit");

	return finish_pool(r, b, engine_commit(&r->p->e, NULL), COVERS_CHANGES);
}

int do_sync(struct run *r)
{
	struct begun b = begin(r, "sync");

	return finish_pool(r, b, cowbd_sync(r->p), COVERS_ALL);
}

int do_reclaim(struct run *r)
{
	struct begun b = begin(r, "reclaim");
	int err = reclaim_some(r->p);

	return end(r, b, err < 0 ? err : 0);
}

int do_give_back(struct run *r)
{
	struct begun b = begin(r, "give back");
	int err = space_punch_one(r->p->e.space);

	return end(r, b, err < 0 ? err : 0);
}

int do_grow(struct run *r, unsigned zones)
{
	uint64_t want = r->p->e.geo.zones + zones;
	struct begun b = begin(r, "grow the pool to %" PRIu64 " zones", want);

	return end(r, b, cowbd_grow_pool(r->p, want * ZONE_BYTES));
}

static int open_pool(struct run *r, struct store *s)
{
	struct cowbd_open_options opt = {.flags = COWBD_OPEN_LOST_TAIL, .run_dir = r->set->dir};
	int err;

	if (r->set->kills == 0)
		opt.flags |= COWBD_OPEN_NO_TAIL;
	forget_tail(r);
	r->tail_link[0] = '\0';
	err = pool_open_store(s, "sim", &opt, &r->p);
	if (err < 0)
		r->p = NULL;
	return err == 0 && r->set->kills && keep_tail(r) < 0 ? -EIO : err;
}

int do_reopen(struct run *r)
{
	struct begun b = begin(r, "close and open");
	struct cowbd_pool *p = r->p;
	int err;

	close_clients(r, NULL);
	err = cowbd_close(p);
	r->p = NULL;
	if (err < 0)
		return end(r, b, err);
	/* what opening does is not of an op that closed it */
	acknowledged(r, b, COVERS_ALL);
	return end(r, b, open_pool(r, r->ph->store));
}

/* ---- a phase ------------------------------------------------------------------------------------------------------------ */

static int adopt(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	int err;

	r->block = r->p->e.geo.block_bytes;
	r->per = r->block / SECTOR;
	o->last_token = UINT64_C(1000000) * (r->set->number + 1);
	err = oracle_adopt(o, r->p, r->why, sizeof r->why);
	r->ph->first = events_now(r);
	return err;
}

static int check_now(struct run *r)
{
	uint64_t hash;

	return oracle_judge(&r->ph->oracle, r->p, SIZE_MAX - 1, true, &hash, r->why, sizeof r->why);
}

int phase_run(const struct settings *set, op_body body, void *opaque, struct store *s,
	      struct phase *ph, char *why, size_t len)
{
	struct run r = {.set = set,
			.ph = ph,
			.opaque = opaque,
			.kill_random = set->seed + 77 * set->number,
			.names = set->number * 1000};
	int err;

	*ph = (struct phase){.store = s};
	hook(s);
	running = &r;
	main_thread = true;
	err = open_pool(&r, s);
	if (err < 0)
		(void)found(&r, "opening: %s", cowbd_error());
	if (err == 0)
		err = adopt(&r);
	if (err == 0)
		err = body(&r);
	if (err == 0 && r.p)
		err = check_now(&r);
	if (err < 0)
		snprintf(why, len, "%s", r.why[0] ? r.why : cowbd_error());
	running = NULL;
	/* the log ends here: what closing would do is no part of it */
	store_sim_cut(s);
	close_clients(&r, NULL);
	(void)cowbd_close(r.p);
	if (r.tail_path[0])
		(void)unlink(r.tail_path);
	forget_tail(&r);
	unhook(s);
	return err < 0 ? -1 : 0;
}

void phase_fini(struct phase *ph)
{
	for (unsigned i = 0; i < ph->nkills; i++) {
		store_close(ph->kill[i].store);
		(void)unlink(ph->kill[i].tail_link);
		free(ph->kill[i].tail);
	}
	store_close(ph->store);
	oracle_fini(&ph->oracle);
}
