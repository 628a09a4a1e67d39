/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * workload.c - seeded sequences of operations on a pool of the tiny engine, and what they should have done
 *
 * Nothing runs in the background.  The store below is wrapped: so that the log outlives the pool,
 * and so that the daemon can die in the middle of an operation, at a call of the store.
 */
#include "workload.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "pool.h"

#define VOLUMES_MAX 4u
#define OBJECTS_MAX 12u

uint64_t random_of(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- the store below, wrapped ---------------------------------------------------------------- */

struct run {
	const struct settings *set;
	struct phase *ph;
	struct cowbd_pool *p;
	struct cowbd_client *client[VOLUMES_MAX];
	struct subject *open[VOLUMES_MAX];
	uint64_t random, kill_random, names;
	unsigned block, links, number;
	char tail_path[512], tail_link[512];
	char text[160];
};

static struct run *running;
static const struct store_ops *sim_ops;
static unsigned calls;

static int read_tail(const char *path, uint8_t *buf)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && pread(fd, buf, TAIL_KEPT, 0) == (ssize_t)TAIL_KEPT ? 0 : -1;
}

static void die_here(struct store *s)
{
	struct phase *ph = running->ph;
	struct kill *k = &ph->kill[ph->nkills];
	const struct sim_options opt = {.seed = running->set->seed, .record = true};

	k->tail = malloc(TAIL_KEPT);
	if (!k->tail || read_tail(running->tail_link, k->tail) < 0 ||
	    store_sim_copy(s, &opt, &k->store) < 0) {
		free(k->tail);
		return;
	}
	(void)store_sim_events(s, &k->events);
	k->call = calls;
	snprintf(k->tail_path, sizeof k->tail_path, "%s", running->tail_path);
	snprintf(k->tail_link, sizeof k->tail_link, "%s", running->tail_link);
	ph->nkills++;
}

static bool dies_now(void)
{
	calls++;
	return running && running->p && running->ph->nkills < running->set->kills &&
	       running->tail_link[0] &&
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

static int hook_submit(struct store *s, struct store_io *ios, unsigned n)
{
	if (ios[0].flags & STORE_WRITE && dies_now()) {
		if (random_of(&running->kill_random) % 2)
			die_in_write(s, ios, n);
		else
			die_here(s);
	}
	return sim_ops->submit(s, ios, n);
}

static int hook_sync(struct store *s, const struct store_range *ranges, unsigned n)
{
	if (dies_now())
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

static unsigned below(struct run *r, unsigned n)
{
	return (unsigned)(random_of(&r->random) % n);
}

static bool alive(const struct subject *s)
{
	return s->died == 0;
}

static struct subject *choose(struct run *r, bool snapshots, bool volumes)
{
	const struct oracle *o = &r->ph->oracle;
	struct subject *list[256];
	unsigned n = 0;

	for (unsigned i = 0; i < o->nsubjects && n < 256; i++)
		if (alive(o->subject[i]) && (o->subject[i]->snapshot ? snapshots : volumes))
			list[n++] = o->subject[i];
	return n ? list[below(r, n)] : NULL;
}

static unsigned count(const struct oracle *o, bool snapshots, bool volumes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->nsubjects; i++)
		n += alive(o->subject[i]) && (o->subject[i]->snapshot ? snapshots : volumes);
	return n;
}

static unsigned wait_flag(struct run *r)
{
	return below(r, 2) ? COWBD_NO_WAIT : 0;
}

/* A snapshot's full name now: its volume may have been renamed. */
static void full_name(const struct subject *s, char *buf, size_t len)
{
	const char *at = s->snapshot ? strchr(oracle_name(s), '@') : NULL;

	snprintf(buf, len, "%s%s", oracle_name(s->snapshot ? s->volume : s), at ? at : "");
}

/* ---- clients ------------------------------------------------------------------------------------------- */

static void close_client(struct run *r, const struct subject *s)
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
		close_client(r, r->open[at]);
	if (cowbd_client_open(r->p, oracle_name(s), false, "workload", &r->client[at]) < 0) {
		r->client[at] = NULL;
		return NULL;
	}
	r->open[at] = s;
	return r->client[at];
}

/* ---- saying what was done ------------------------------------------------------------------------------- */

static size_t events_now(struct run *r)
{
	size_t n;

	(void)store_sim_events(r->ph->store, &n);
	return n;
}

static void acknowledged(struct run *r, enum covers covers)
{
	size_t at = events_now(r);

	store_sim_mark(r->ph->store, r->ph->oracle.nops - 1);
	oracle_ack(&r->ph->oracle, at, covers);
}

/* An op that failed, in part perhaps: what it would have written, and then what is there. */
static int look_again(struct run *r, struct subject *s, unsigned first, unsigned n,
		      const uint64_t *wanted)
{
	uint64_t now[SECTORS_MAX];
	char name[80];

	snprintf(name, sizeof name, "%s", oracle_name(s));
	if (read_tokens(r->p, name, now, oracle_sectors(s)) < 0)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		uint64_t old = oracle_token(s, first + i);

		if (now[first + i] != old && now[first + i] != wanted[i])
			return -1;
		oracle_write(&r->ph->oracle, s, first + i, wanted[i]);
		oracle_write(&r->ph->oracle, s, first + i, now[first + i]);
	}
	return 0;
}

/* ---- operations on data ------------------------------------------------------------------------------------ */

static int finish_data(struct run *r, struct subject *s, unsigned first, unsigned n,
		       const uint64_t *tokens, int err, unsigned flags)
{
	struct oracle *o = &r->ph->oracle;

	if (err == -ENOSPC)
		return look_again(r, s, first, n, tokens);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < n; i++)
		oracle_write(o, s, first + i, tokens[i]);
	o->op[o->nops - 1].first = first;
	o->op[o->nops - 1].n = n;
	acknowledged(r, flags & COWBD_FUA ? COVERS_RANGE : COVERS_NOTHING);
	return 0;
}

static int do_write(struct run *r, struct subject *s, unsigned first, unsigned n, unsigned flags)
{
	static uint64_t buf[SECTORS_MAX][SECTOR / 8];
	struct oracle *o = &r->ph->oracle;
	struct cowbd_client *c = client_of(r, s);
	uint64_t tokens[SECTORS_MAX];

	if (!c)
		return -EIO;
	oracle_touch(o, s);
	(void)say(r->text, sizeof r->text, "%s %s sectors %u..%u",
		  flags & COWBD_FUA ? "fua write" : "write", oracle_name(s), first, first + n - 1);
	for (unsigned i = 0; i < n; i++) {
		tokens[i] = ++o->last_token;
		for (unsigned k = 0; k < SECTOR / 8; k++)
			buf[i][k] = tokens[i];
	}
	return finish_data(
		r, s, first, n, tokens,
		cowbd_write(c, buf, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags), flags);
}

static int op_write(struct run *r, unsigned flags)
{
	struct subject *s = choose(r, false, true);
	unsigned per = r->block / SECTOR, size, first, n;

	if (!s)
		return 0;
	size = oracle_sectors(s);
	if (below(r, 3)) /* mostly the same few blocks */
		size = MIN(size, (r->set->seed % 2 ? 1 : 3) * per);
	switch (below(r, 3)) {
	case 0: /* one sector */
		first = below(r, size);
		n = 1;
		break;
	case 1: /* blocks */
		first = below(r, MAX(size / per, 1u)) * per;
		n = (1 + below(r, below(r, 4) ? 3 : 12)) * per;
		break;
	default: /* across an edge */
		first = below(r, size);
		n = 2 + below(r, 2 * per);
		break;
	}
	return do_write(r, s, first, MIN(n, size - first), flags);
}

static int op_zero_or_trim(struct run *r, bool trim, unsigned flags)
{
	struct subject *s = choose(r, false, true);
	uint64_t tokens[SECTORS_MAX];
	unsigned per = r->block / SECTOR, size, first, n;
	struct cowbd_client *c;
	int err;

	if (!s || !(c = client_of(r, s)))
		return 0;
	oracle_touch(&r->ph->oracle, s);
	size = oracle_sectors(s);
	first = below(r, below(r, 2) ? size : MIN(size, 3 * per));
	n = below(r, 3) ? 1 + below(r, 4 * per) : 1 + below(r, size);
	n = MIN(n, size - first);
	if (below(r, 2)) { /* whole blocks */
		first = first / per * per;
		n = MIN((n + per - 1) / per * per, size - first);
	}
	(void)say(r->text, sizeof r->text, "%s%s %s sectors %u..%u", flags ? "fua " : "",
		  trim ? "trim" : "zero", oracle_name(s), first, first + n - 1);
	for (unsigned i = 0; i < n; i++) {
		unsigned block = (first + i) / per;
		bool whole = block * per >= first && (MIN((block + 1) * per, size) <= first + n);

		tokens[i] = trim && !whole ? oracle_token(s, first + i) : 0;
	}
	if (trim)
		err = cowbd_trim(c, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags);
	else
		err = cowbd_zero(c, (uint64_t)n * SECTOR, (uint64_t)first * SECTOR, flags);
	if (trim && err == 0 && !flags) /* it may do nothing when the pool is full */
		return look_again(r, s, first, n, tokens) < 0
			       ? -1
			       : (acknowledged(r, COVERS_NOTHING), 0);
	return finish_data(r, s, first, n, tokens, err, flags);
}

static int op_flush(struct run *r)
{
	struct subject *s = choose(r, false, true);
	struct cowbd_client *c;
	int err;

	if (!s || !(c = client_of(r, s)))
		return 0;
	(void)say(r->text, sizeof r->text, "flush %s", oracle_name(s));
	oracle_touch(&r->ph->oracle, s);
	err = cowbd_flush(c);
	if (err == 0)
		acknowledged(r, COVERS_OBJECT);
	return err;
}

/* ---- operations on names --------------------------------------------------------------------------------------- */

/* Refusals that are no errors here: a full pool, too many objects. */
static bool refused(int err)
{
	return err == -ENOSPC || err == -EMFILE || err == -EBUSY || err == -EEXIST;
}

/* A change took place: the op is one; covers what it must when it waited. */
static enum covers covers_of(unsigned flags)
{
	return flags & COWBD_NO_WAIT ? COVERS_NOTHING : COVERS_CHANGES;
}

static int born(struct run *r, const char *name, unsigned sectors, struct subject *volume,
		const struct subject *like)
{
	struct cowbd_object found;
	int err = cowbd_find(r->p, name, &found);

	if (err == 0)
		oracle_born(&r->ph->oracle, found.id, name, sectors, volume, like);
	return err;
}

static int op_create(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	unsigned per = r->block / SECTOR, sectors, flags = wait_flag(r);
	char name[32];
	int err;

	if (count(o, false, true) >= VOLUMES_MAX)
		return 0;
	sectors = r->set->seed % 2 ? (1 + below(r, 3)) * per
				   : (4 + below(r, below(r, 4) ? 6 : 36)) * per;
	sectors = MIN(SECTORS_MAX, sectors);
	if (below(r, 4) == 0)
		sectors -= below(r, per);
	snprintf(name, sizeof name, "v%" PRIu64, r->names++);
	(void)say(r->text, sizeof r->text, "create %s %u sectors flags %u", name, sectors, flags);
	err = cowbd_create(r->p, name, (uint64_t)sectors * SECTOR, 512, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(o);
	if ((err = born(r, name, sectors, NULL, NULL)) < 0)
		return err;
	acknowledged(r, covers_of(flags));
	return 0;
}

static int op_snapshot(struct run *r, bool group)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *volume[2] = {choose(r, false, true), group ? choose(r, false, true) : NULL};
	unsigned n = volume[1] && volume[1] != volume[0] ? 2 : 1, flags = wait_flag(r);
	char name[2][64];
	const char *names[2] = {name[0], name[1]};
	int err;

	if (!volume[0] || count(o, true, true) + n > OBJECTS_MAX)
		return 0;
	for (unsigned i = 0; i < n; i++)
		snprintf(name[i], sizeof name[i], "%.30s@s%" PRIu64, oracle_name(volume[i]),
			 r->names++);
	(void)say(r->text, sizeof r->text, "snapshot %s %s flags %u", name[0], n > 1 ? name[1] : "",
		  flags);
	err = cowbd_snapshot(r->p, names, n, COWBD_LABEL_CRASH, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(o);
	for (unsigned i = 0; i < n; i++)
		if ((err = born(r, name[i], oracle_sectors(volume[i]), volume[i], volume[i])) < 0)
			return err;
	acknowledged(r, covers_of(flags));
	return 0;
}

static int op_clone(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *s = choose(r, true, below(r, 3) == 0);
	unsigned n = 1 + (below(r, 4) == 0), flags = wait_flag(r);
	char name[2][64], source[100];
	const char *names[2] = {name[0], name[1]};
	int err;

	if (!s || count(o, false, true) + n > VOLUMES_MAX)
		return 0;
	for (unsigned i = 0; i < n; i++)
		snprintf(name[i], sizeof name[i], "v%" PRIu64, r->names++);
	full_name(s, source, sizeof source);
	(void)say(r->text, sizeof r->text, "clone %s %s %s flags %u", source, name[0],
		  n > 1 ? name[1] : "", flags);
	err = cowbd_clone(r->p, source, names, n, 0, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(o);
	for (unsigned i = 0; i < n; i++)
		if ((err = born(r, name[i], oracle_sectors(s), NULL, s)) < 0)
			return err;
	acknowledged(r, covers_of(flags));
	return 0;
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

static int op_rollback(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *s = choose(r, true, false), *old = NULL;
	unsigned flags = wait_flag(r) | COWBD_IGNORE_CLIENTS, how = below(r, 3);
	char source[100], keep[16] = "before-rollback", name[128];
	struct cowbd_object found;
	int err;

	if (!s || count(o, true, true) >= OBJECTS_MAX)
		return 0;
	if (how == 0)
		flags |= COWBD_DISCARD;
	else if (how == 1)
		snprintf(keep, sizeof keep, "k%u", (unsigned)r->names++);
	full_name(s, source, sizeof source);
	(void)say(r->text, sizeof r->text, "rollback %s keep %s flags %u", source, keep, flags);
	err = cowbd_rollback(r->p, source, how == 1 ? keep : NULL, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(o);
	close_client(r, s->volume); /* its size may be another now */
	if (how != 0) {
		old = snapshot_called(o, s->volume, keep);
		snprintf(name, sizeof name, "%.80s@%s", oracle_name(s->volume), keep);
		if ((err = cowbd_find(r->p, name, &found)) < 0)
			return err;
		oracle_born(o, found.id, name, oracle_sectors(s->volume), s->volume, s->volume);
	}
	oracle_roll_back(o, s->volume, s);
	if (old)
		oracle_died(o, old);
	acknowledged(r, covers_of(flags));
	return 0;
}

static int op_remove(struct run *r)
{
	struct oracle *o = &r->ph->oracle;
	struct subject *s = choose(r, true, below(r, 3) == 0);
	unsigned flags = wait_flag(r) | COWBD_RECURSIVE | COWBD_IGNORE_CLIENTS;
	char full[100];
	const char *name = full;
	int err;

	if (!s || (!s->snapshot && count(o, false, true) < 2))
		return 0;
	full_name(s, full, sizeof full);
	(void)say(r->text, sizeof r->text, "remove %s flags %u", full, flags);
	close_client(r, s);
	err = cowbd_remove(r->p, &name, 1, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(o);
	oracle_died(o, s);
	for (unsigned i = 0; i < o->nsubjects; i++)
		if (o->subject[i]->volume == s && alive(o->subject[i]))
			oracle_died(o, o->subject[i]);
	acknowledged(r, covers_of(flags));
	return 0;
}

static int op_rename(struct run *r)
{
	struct subject *s = choose(r, true, true);
	unsigned flags = wait_flag(r);
	char full[100], to[128];
	int err;

	if (!s)
		return 0;
	full_name(s, full, sizeof full);
	if (s->snapshot)
		snprintf(to, sizeof to, "%.80s@r%" PRIu64, oracle_name(s->volume), r->names++);
	else
		snprintf(to, sizeof to, "r%" PRIu64, r->names++);
	(void)say(r->text, sizeof r->text, "rename %s %s flags %u", full, to, flags);
	err = cowbd_rename(r->p, full, to, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(&r->ph->oracle);
	oracle_renamed(&r->ph->oracle, s, to);
	acknowledged(r, covers_of(flags));
	return 0;
}

static int op_resize(struct run *r)
{
	struct subject *s = choose(r, false, true);
	unsigned per = r->block / SECTOR,
		 flags = wait_flag(r) | COWBD_SHRINK_FORCE | COWBD_IGNORE_CLIENTS, sectors;
	int err;

	if (!s)
		return 0;
	sectors = (1 + below(r, r->set->seed % 2 ? 5 : below(r, 4) ? 10 : 70)) * per;
	sectors = MIN(SECTORS_MAX, sectors);
	if (below(r, 2))
		sectors -= below(r, per);
	if (sectors == oracle_sectors(s))
		return 0;
	(void)say(r->text, sizeof r->text, "resize %s %u sectors (was %u) flags %u", oracle_name(s),
		  sectors, oracle_sectors(s), flags);
	close_client(r, s);
	err = cowbd_resize(r->p, oracle_name(s), (uint64_t)sectors * SECTOR, flags);
	if (err < 0)
		return refused(err) ? 0 : err;
	oracle_change(&r->ph->oracle);
	oracle_resized(&r->ph->oracle, s, sectors);
	acknowledged(r, covers_of(flags));
	return 0;
}

/* ---- operations on the pool ------------------------------------------------------------------------------------------ */

static int op_checkpoint(struct run *r)
{
	int err = checkpoint_run(&r->p->e);

	(void)say(r->text, sizeof r->text, "checkpoint");
	if (err == 0)
		acknowledged(r, COVERS_CHANGES);
	return err;
}

static int op_commit(struct run *r)
{
	int err = engine_commit(&r->p->e, NULL);

	(void)say(r->text, sizeof r->text, "commit");
	if (err == 0)
		acknowledged(r, COVERS_CHANGES);
	return err;
}

static int op_sync(struct run *r)
{
	int err = cowbd_sync(r->p);

	(void)say(r->text, sizeof r->text, "sync");
	if (err == 0)
		acknowledged(r, COVERS_ALL);
	return err;
}

static int op_reclaim(struct run *r)
{
	int err = reclaim_some(r->p);

	(void)say(r->text, sizeof r->text, "reclaim: %d", err);
	return err < 0 ? err : 0;
}

static int op_give_back(struct run *r)
{
	int err = space_punch_one(r->p->e.space);

	(void)say(r->text, sizeof r->text, "give back: %d", err);
	return err < 0 ? err : 0;
}

static int op_grow(struct run *r)
{
	uint64_t zones = r->p->e.geo.zones + 1 + below(r, 3);
	int err;

	if (zones > 40)
		return 0;
	(void)say(r->text, sizeof r->text, "grow the pool to %" PRIu64 " zones", zones);
	err = cowbd_grow_pool(r->p, zones * ZONE_BYTES);
	return err < 0 && !refused(err) ? err : 0;
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

static int op_reopen(struct run *r)
{
	struct cowbd_pool *p = r->p;
	int err;

	(void)say(r->text, sizeof r->text, "close and open");
	close_client(r, NULL);
	err = cowbd_close(p);
	r->p = NULL;
	if (err < 0)
		return err;
	/* what opening does is not of an op that closed it */
	acknowledged(r, COVERS_ALL);
	return open_pool(r, r->ph->store);
}

/* ---- a phase ------------------------------------------------------------------------------------------------------------ */

enum op_kind {
	WRITE,
	FUA,
	TRIM,
	ZERO,
	FLUSH,
	SNAPSHOT,
	GROUP,
	CLONE,
	ROLLBACK,
	REMOVE,
	RENAME,
	RESIZE,
	CREATE,
	CHECKPOINT,
	COMMIT,
	SYNC,
	RECLAIM,
	GIVE_BACK,
	GROW,
	REOPEN,
	CLOSE_CLIENTS,
	KINDS
};

static const uint8_t usual[KINDS] = {12, 2, 3, 2, 4, 3, 1, 2, 2, 3, 1,
				     2,  1, 2, 2, 1, 4, 1, 1, 1, 1};

static int do_op(struct run *r, enum op_kind kind)
{
	switch (kind) {
	case WRITE: return op_write(r, 0);
	case FUA:
		return below(r, 3) ? op_write(r, COWBD_FUA) : op_zero_or_trim(r, false, COWBD_FUA);
	case TRIM: return op_zero_or_trim(r, true, 0);
	case ZERO: return op_zero_or_trim(r, false, 0);
	case FLUSH: return op_flush(r);
	case SNAPSHOT: return op_snapshot(r, false);
	case GROUP: return op_snapshot(r, true);
	case CLONE: return op_clone(r);
	case ROLLBACK: return op_rollback(r);
	case REMOVE: return op_remove(r);
	case RENAME: return op_rename(r);
	case RESIZE: return op_resize(r);
	case CREATE: return op_create(r);
	case CHECKPOINT: return op_checkpoint(r);
	case COMMIT: return op_commit(r);
	case SYNC: return op_sync(r);
	case RECLAIM: return op_reclaim(r);
	case GIVE_BACK: return op_give_back(r);
	case GROW: return op_grow(r);
	case REOPEN: return op_reopen(r);
	default: close_client(r, NULL); return 0;
	}
}

/* Every workload has its own mix. */
static void choose_mix(const struct settings *set, unsigned *weight, unsigned *ret_sum)
{
	static const unsigned factor[] = {0, 1, 1, 2, 4};
	uint64_t random = set->seed * 31 + set->number;

	*ret_sum = 0;
	for (unsigned i = 0; i < KINDS; i++) {
		weight[i] = usual[i] * factor[random_of(&random) % 5];
		if (i == WRITE && weight[i] == 0)
			weight[i] = usual[i];
		*ret_sum += weight[i];
	}
}

static enum op_kind pick(struct run *r, const unsigned *weight, unsigned sum)
{
	unsigned at = below(r, sum), i = 0;

	while (at >= weight[i])
		at -= weight[i++];
	return (enum op_kind)i;
}

static int run_ops(struct run *r, char *why, size_t len)
{
	struct oracle *o = &r->ph->oracle;
	unsigned weight[KINDS], sum;

	choose_mix(r->set, weight, &sum);
	for (unsigned i = 0; i < r->set->ops; i++) {
		unsigned volumes = count(o, false, true);
		enum op_kind kind;
		int err;

		r->random = r->set->seed * 1000003 + r->set->number * 7919 + i;
		(void)random_of(&r->random);
		kind = pick(r, weight, sum);
		if (volumes == 0 || (i < 2 && volumes < 2))
			kind = CREATE;
		if (r->set->skip && r->set->skip[i] && volumes)
			continue;
		r->text[0] = '\0';
		oracle_begin(o, events_now(r));
		err = do_op(r, kind);
		snprintf(o->op[o->nops - 1].text, sizeof o->op[0].text, "#%u %s", i, r->text);
		if (r->set->verbose)
			printf("  event %5zu op %3u: %s%s\n", events_now(r), o->nops - 1,
			       o->op[o->nops - 1].text, err < 0 ? " FAILED" : "");
		if (err < 0) {
			snprintf(why, len, "op %u (%s): %s", o->nops - 1, o->op[o->nops - 1].text,
				 cowbd_error());
			return -1;
		}
	}
	return 0;
}

static int check_now(struct run *r, char *why, size_t len)
{
	uint64_t hash;

	return oracle_judge(&r->ph->oracle, r->p, SIZE_MAX - 1, true, &hash, why, len);
}

int workload_run(const struct settings *set, struct store *s, struct phase *ph, char *why,
		 size_t len)
{
	struct run r = {.set = set,
			.ph = ph,
			.kill_random = set->seed + 77 * set->number,
			.names = set->number * 1000};
	int err;

	*ph = (struct phase){.store = s};
	hook(s);
	running = &r;
	err = open_pool(&r, s);
	if (err < 0) {
		snprintf(why, len, "opening: %s", cowbd_error());
		goto out;
	}
	r.block = r.p->e.geo.block_bytes;
	ph->oracle.last_token = UINT64_C(1000000) * (set->number + 1);
	err = oracle_adopt(&ph->oracle, r.p, why, len);
	ph->first = events_now(&r);
	if (err == 0)
		err = run_ops(&r, why, len);
	if (err == 0)
		err = check_now(&r, why, len);
out:
	running = NULL;
	/* the log ends here: what closing would do is no part of it */
	store_sim_cut(s);
	close_client(&r, NULL);
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

/* ---- a new pool ----------------------------------------------------------------------------------------------------------- */

int workload_make(uint64_t seed, struct store **ret_store, char *why, size_t len)
{
	static const uint32_t blocks[] = {4096, 8192, 16384, 32768};
	uint64_t random = seed;
	struct cowbd_init_options init = {.name = "crash",
					  .journal_bytes = 2 * ZONE_BYTES,
					  .block_bytes = blocks[random_of(&random) % 4]};
	const struct sim_options opt = {.seed = seed, .record = true};
	struct store *made;
	int err;

	err = store_sim_new((12 + random_of(&random) % 10) * ZONE_BYTES, NULL, &made);
	if (err == 0) {
		err = mkfs_store(made, "crash", &init);
		if (err == 0)
			err = store_sim_copy(made, &opt, ret_store);
		store_close(made);
	}
	if (err < 0)
		snprintf(why, len, "making a pool: %s", cowbd_error());
	return err;
}
