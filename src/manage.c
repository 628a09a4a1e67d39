/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * manage.c - create, snapshot, clone, roll back, remove, rename, resize
 *
 * One command at a time (the manage lock); each is one group of records at one instant:
 *
 *	check names and arguments, prepare          may fail, nothing has changed
 *	append and apply the group                  <- the instant, under the metadata lock
 *	wait until writes begun before have ended   snapshots and clones (rule 7)
 *	commit                                      durable, unless COWBD_NO_WAIT
 */
#include "pool.h"

#include <stdio.h>
#include <strings.h>

/* A command while it runs. */
struct command {
	struct cowbd_pool *p;
	struct record *recs;
	size_t n, room;
	uint64_t now;
	uint64_t attempt;  /* number of this try to build it, unique in the pool */
	bool settle;       /* what it makes is of use when older writes have ended */
	struct dirty late; /* zones that those wrote */
};

typedef int (*command_build)(struct command *c, void *args);

static int add(struct command *c, const struct record *r)
{
	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 16;
		struct record *recs = realloc(c->recs, room * sizeof *recs);

		if (!recs)
			return fail(-ENOMEM, "no memory for a command");
		c->recs = recs;
		c->room = room;
	}
	c->recs[c->n] = *r;
	c->recs[c->n].created = c->now;
	c->n++;
	return 0;
}

/* ---- running a command ---------------------------------------------------------------------- */

static void mark_unsettled(struct command *c, bool unsettled)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct record *r = &c->recs[i];
		struct object *o =
			catalog_by_id(c->p->cat, r->type == REC_ROLLBACK ? r->other : r->object);

		if (o && (r->type == REC_SNAPSHOT || r->type == REC_CLONE))
			o->unsettled = unsettled;
	}
}

/* Builds and applies, at one instant. */
static int take_effect(struct command *c, command_build build, void *args, uint64_t *ret_tag)
{
	struct engine *e = &c->p->e;
	int r;

	do {
		metalock_exclusive(&e->lock);
		c->n = 0;
		c->attempt = ++c->p->attempts;
		r = build(c, args);
		if (r == 0 && c->n)
			r = apply_prepare(c->p->cat, c->recs, c->n);
		if (r == 0 && c->n) {
			apply_group(c->p->cat, c->recs, c->n);
			mark_unsettled(c, c->settle && !MUTANT("unsettled-visible"));
			if (c->settle)
				*ret_tag = epoch_close(&e->writers);
		}
		metalock_drop(&e->lock);
	} while (r == -EAGAIN && (r = engine_need(e)) == 0);
	return r;
}

/* Rule 7: writes begun before the instant may still be on their way into shared blocks. */
static void settle(struct command *c, uint64_t tag)
{
	struct engine *e = &c->p->e;

	if (!MUTANT("snapshot-early-return"))
		epoch_wait(&e->writers, tag);
	metalock_exclusive(&e->lock);
	for (size_t i = 0; i < c->n; i++) {
		struct object *source = catalog_by_id(c->p->cat, c->recs[i].source);

		if (source)
			volume_copy_dirty(source, &c->late);
	}
	/* from here on it can be cloned: no record of that may be durable before this data */
	dirty_merge(&e->pending_dirty, &c->late);
	young_long_way(e);
	mark_unsettled(c, false);
	metalock_drop(&e->lock);
}

static int durable(struct command *c, unsigned flags)
{
	struct engine *e = &c->p->e;
	uint64_t last = c->n ? c->recs[c->n - 1].seq : 0;

	if (flags & COWBD_NO_WAIT) {
		/* late writes into what is shared now: whichever commit comes next takes them along */
		if (c->settle)
			(void)engine_join(e, &c->late);
		return 0;
	}
	if (c->settle) /* the writes that it waited for must be durable, too */
		return engine_commit(e, &c->late);
	return journal_durable_seq(e->journal) >= last ? 0 : engine_commit(e, NULL);
}

static int run(struct cowbd_pool *p, command_build build, void *args, bool settles, unsigned flags)
{
	struct command c = {.p = p, .now = wall_ns(), .settle = settles};
	uint64_t tag = 0;
	int r = engine_writable(&p->e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&p->manage);
	r = take_effect(&c, build, args, &tag);
	if (r == -ENOSPC && reclaim_make_space(&p->e) == 0)
		r = take_effect(&c, build, args, &tag);
	if (r == 0 && settles && c.n)
		settle(&c, tag);
	pthread_mutex_unlock(&p->manage);
	if (r == 0 && c.n)
		r = durable(&c, flags);
	dirty_clear(&c.late);
	hold_ring(&p->e.hold); /* it may have let go of something, or removed a volume */
	free(c.recs);
	return r;
}

/* ---- names ---------------------------------------------------------------------------------------- */

int cowbd_name_check(const char *name)
{
	const char *at = strchr(name, '@');
	char volume[NAME_BYTES_MAX + 2];
	int r;

	if (!at)
		return name_check(name);
	snprintf(volume, sizeof volume, "%.*s", (int)MIN(at - name, (ptrdiff_t)sizeof volume - 1),
		 name);
	r = name_check(volume);
	return r < 0 ? r : name_check(at + 1);
}

static int no_snapshot_name(const char *name)
{
	if (strchr(name, '@'))
		return fail(-EINVAL, "\"%s\" names a snapshot; a volume is meant here", name);
	return name_check(name);
}

static int find_volume(struct command *c, const char *name, struct object **ret)
{
	int r = no_snapshot_name(name);

	return r < 0 ? r : catalog_find(c->p->cat, name, ret);
}

/* "vol@snap": the volume, and the snapshot's name, which is free and valid. */
static int new_snapshot_name(struct command *c, const char *full, struct object **ret_volume,
			     const char **ret_name)
{
	const char *at = strchr(full, '@');
	char volume[NAME_BYTES_MAX + 1];
	int r;

	if (!at)
		return fail(-EINVAL, "\"%s\" names no snapshot: say VOLUME@SNAPSHOT", full);
	if (at - full > (ptrdiff_t)NAME_BYTES_MAX)
		return fail(-EINVAL, "the name of the volume is longer than %u bytes",
			    NAME_BYTES_MAX);
	snprintf(volume, sizeof volume, "%.*s", (int)(at - full), full);
	if ((r = catalog_find(c->p->cat, volume, ret_volume)) < 0 || (r = name_check(at + 1)) < 0)
		return r;
	if (catalog_by_name(c->p->cat, *ret_volume, at + 1))
		return fail(-EEXIST, "snapshot \"%s\" exists: choose another name, or remove it",
			    full);
	for (size_t i = 0; i < c->n; i++)
		if (c->recs[i].source == (*ret_volume)->id && strcmp(c->recs[i].name, at + 1) == 0)
			return fail(-EEXIST, "snapshot \"%s\" is named twice", full);
	*ret_name = at + 1;
	return 0;
}

static int new_volume_name(struct command *c, const char *name)
{
	int r = no_snapshot_name(name);

	if (r < 0)
		return r;
	if (catalog_by_name(c->p->cat, NULL, name))
		return fail(-EEXIST, "volume \"%s\" exists: choose another name, or remove it",
			    name);
	return 0;
}

static uint64_t next_id(const struct command *c)
{
	return c->p->cat->next_id + c->n;
}

/* Clients that count: -EBUSY and who. */
static int nobody_attached(struct command *c, const struct object *o, unsigned flags)
{
	uint64_t now = now_ns();
	char full[2 * (NAME_BYTES_MAX + 1)];

	if (flags & COWBD_IGNORE_CLIENTS)
		return 0;
	for (const struct cowbd_client *k = c->p->clients; k; k = k->next)
		if (k->object == o && client_attached(k, now)) {
			catalog_full_name(o, full);
			return fail(-EBUSY, "\"%s\" is attached by %s: detach it first", full,
				    k->peer);
		}
	return 0;
}

/* ---- sizes -------------------------------------------------------------------------------------------- */

static int check_size(const struct cowbd_pool *p, uint64_t size)
{
	if (size == 0)
		return fail(-EINVAL, "a size of zero can't be");
	if (size > VOLUME_BYTES_MAX)
		return fail(-EINVAL,
			    "%" PRIu64 " bytes are too many: a volume has at most %" PRIu64, size,
			    (uint64_t)VOLUME_BYTES_MAX);
	if (size % SECTOR_BYTES)
		return fail(-EINVAL,
			    "%" PRIu64 " is no multiple of 512: the next one up is %" PRIu64, size,
			    round_up(size, SECTOR_BYTES));
	(void)p;
	return 0;
}

/* ---- create ---------------------------------------------------------------------------------------------- */

struct create_args {
	const char *name;
	uint64_t size;
	uint32_t sector_size;
};

static int build_create(struct command *c, void *opaque)
{
	const struct create_args *a = opaque;
	struct record r = {.type = REC_CREATE,
			   .object = next_id(c),
			   .size = a->size,
			   .sector_size = a->sector_size};
	int err = new_volume_name(c, a->name);

	if (err < 0)
		return err;
	snprintf(r.name, sizeof r.name, "%s", a->name);
	return add(c, &r);
}

int cowbd_create(struct cowbd_pool *p, const char *name, uint64_t size, uint32_t sector_size,
		 unsigned flags)
{
	struct create_args a = {name, size, sector_size == 512 ? 0 : sector_size};
	int r = check_size(p, size);

	if (r < 0)
		return r;
	if (a.sector_size && a.sector_size != 4096)
		return fail(-EINVAL, "a sector size of %u bytes can't be: 512 or 4096",
			    a.sector_size);
	if (a.sector_size && size % a.sector_size)
		return fail(-EINVAL,
			    "%" PRIu64
			    " is no multiple of the sector size %u: the next one up is %" PRIu64,
			    size, a.sector_size, round_up(size, a.sector_size));
	return run(p, build_create, &a, false, flags);
}

/* ---- snapshot and clone -------------------------------------------------------------------------------------- */

struct share_args {
	const char *source;
	const char *const *names;
	size_t n;
	enum cowbd_label label;
	uint32_t object_flags;
};

static int build_snapshot(struct command *c, void *opaque)
{
	const struct share_args *a = opaque;

	for (size_t i = 0; i < a->n; i++) {
		struct record r = {
			.type = REC_SNAPSHOT, .object = next_id(c), .label = (uint8_t)a->label};
		struct object *volume;
		const char *name;
		int err = new_snapshot_name(c, a->names[i], &volume, &name);

		if (err < 0)
			return err;
		r.source = volume->id;
		snprintf(r.name, sizeof r.name, "%s", name);
		if ((err = add(c, &r)) < 0)
			return err;
	}
	return 0;
}

int cowbd_snapshot(struct cowbd_pool *p, const char *const *names, size_t n, enum cowbd_label label,
		   unsigned flags)
{
	struct share_args a = {.names = names, .n = n, .label = label ? label : COWBD_LABEL_CRASH};

	return run(p, build_snapshot, &a, true, flags);
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int no_name_twice(const char *const *names, size_t n)
{
	CLEANUP_FREE const char **sorted = malloc((n ? n : 1) * sizeof(*sorted));

	if (!sorted)
		return fail(-ENOMEM, "no memory for names");
	memcpy(sorted, names, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			return fail(-EEXIST, "\"%s\" is named twice", sorted[i]);
	return 0;
}

static int build_clone(struct command *c, void *opaque)
{
	const struct share_args *a = opaque;
	struct object *source;
	int err = catalog_find(c->p->cat, a->source, &source);

	for (size_t i = 0; i < a->n && err == 0; i++) {
		struct record r = {.type = REC_CLONE,
				   .object = next_id(c),
				   .source = source->id,
				   .flags = a->object_flags & OBJECT_EPHEMERAL};

		if ((err = new_volume_name(c, a->names[i])) < 0)
			return err;
		snprintf(r.name, sizeof r.name, "%s", a->names[i]);
		err = add(c, &r);
	}
	/* a snapshot is settled already; a volume's clone waits for writes begun before it */
	c->settle = err == 0 && source->kind == OBJECT_VOLUME;
	return err;
}

int cowbd_clone(struct cowbd_pool *p, const char *source, const char *const *names, size_t n,
		uint32_t object_flags, unsigned flags)
{
	struct share_args a = {
		.source = source, .names = names, .n = n, .object_flags = object_flags};
	int r = no_name_twice(names, n);

	return r < 0 ? r : run(p, build_clone, &a, true, flags);
}

/* ---- holding a volume's writers off ---------------------------------------------------------------------------- */

/* No write of the volume is under way between these: what changes its whole map must not meet
 * a fault that began on the old one. */
static int hold_writers(struct cowbd_pool *p, const char *name, struct range_hold *hold,
			struct rangelock **ret_ranges)
{
	struct object *o;
	char volume[2 * (NAME_BYTES_MAX + 1)];
	int r;

	snprintf(volume, sizeof volume, "%.*s", (int)strcspn(name, "@"), name);
	metalock_exclusive(&p->e.lock);
	r = catalog_find(p->cat, volume, &o);
	if (r == 0)
		r = volume_ready(&p->e, o);
	*ret_ranges = r == 0 ? &o->io->ranges : NULL;
	metalock_drop(&p->e.lock);
	if (r == 0)
		rangelock_hold(*ret_ranges, hold, 0, UINT64_MAX, true);
	return r;
}

/* run(), with the volume's writers held off.  The manage lock keeps the volume there meanwhile. */
static int run_held(struct cowbd_pool *p, const char *name, command_build build, void *args,
		    unsigned flags)
{
	struct command c = {.p = p, .now = wall_ns()};
	struct rangelock *ranges;
	struct range_hold hold;
	uint64_t tag;
	int r = engine_writable(&p->e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&p->manage);
	r = hold_writers(p, name, &hold, &ranges);
	if (r == 0) {
		r = take_effect(&c, build, args, &tag);
		if (r == -ENOSPC && reclaim_make_space(&p->e) == 0)
			r = take_effect(&c, build, args, &tag);
		rangelock_drop(ranges, &hold);
	}
	pthread_mutex_unlock(&p->manage);
	if (r == 0 && c.n)
		r = durable(&c, flags);
	dirty_clear(&c.late);
	hold_ring(&p->e.hold); /* it may have let go of something, or removed a volume */
	free(c.recs);
	return r;
}

/* ---- rollback ---------------------------------------------------------------------------------------------------- */

struct rollback_args {
	const char *snapshot, *keep;
	unsigned flags;
};

#define BEFORE_ROLLBACK "before-rollback"

static int build_rollback(struct command *c, void *opaque)
{
	const struct rollback_args *a = opaque;
	struct record r = {.type = REC_ROLLBACK, .label = LABEL_CRASH};
	struct object *snap, *old;
	int err = catalog_find(c->p->cat, a->snapshot, &snap);

	if (err < 0)
		return err;
	if (snap->kind != OBJECT_SNAPSHOT)
		return fail(-EINVAL, "\"%s\" is no snapshot: say VOLUME@SNAPSHOT", a->snapshot);
	if ((err = nobody_attached(c, snap->volume, a->flags)) < 0)
		return err;
	r.object = snap->volume->id;
	r.source = snap->id;
	if (a->flags & COWBD_DISCARD)
		return add(c, &r);

	const char *keep = a->keep ? a->keep : BEFORE_ROLLBACK;

	if ((err = name_check(keep)) < 0)
		return err;
	old = catalog_by_name(c->p->cat, snap->volume, keep);
	if (old && (a->keep || !(old->flags & OBJECT_BEFORE_ROLLBACK)))
		return fail(
			-EEXIST,
			"snapshot \"%s@%s\" exists: choose another name with --keep, or remove it",
			snap->volume->name, keep);
	if (old && (err = nobody_attached(c, old, a->flags)) < 0)
		return err;
	r.other = next_id(c);
	r.flags = a->keep ? 0 : OBJECT_BEFORE_ROLLBACK;
	snprintf(r.name, sizeof r.name, "%s", keep);
	if ((err = add(c, &r)) < 0 || !old)
		return err;
	return add(c, &(struct record){.type = REC_DELETE, .object = old->id});
}

int cowbd_rollback(struct cowbd_pool *p, const char *snapshot, const char *keep, unsigned flags)
{
	struct rollback_args a = {snapshot, keep, flags};

	return run_held(p, snapshot, build_rollback, &a, flags);
}

/* ---- remove ---------------------------------------------------------------------------------------------------------- */

struct remove_args {
	const char *const *names;
	size_t n;
	unsigned flags;
};

static int add_delete(struct command *c, struct object *o, unsigned flags)
{
	int r;

	if (o->chosen == c->attempt)
		return 0;
	o->chosen = c->attempt;
	r = nobody_attached(c, o, flags);
	return r < 0 ? r : add(c, &(struct record){.type = REC_DELETE, .object = o->id});
}

/* All its snapshots go before a volume: [CATALOG-3]. */
static int refuse_with_snapshots(struct command *c, const struct object *o)
{
	char list[700];
	size_t len = 0;
	unsigned left = 0;

	for (const struct object *s = o->snapshots; s; s = s->older) {
		if (s->chosen == c->attempt)
			continue;
		if (++left <= 8 && len < sizeof list)
			len += (size_t)snprintf(list + len, sizeof list - len, "%s%.70s@%.60s",
						left > 1 ? ", " : "", o->name, s->name);
	}
	if (left == 0)
		return 0;
	return fail(-EBUSY, "volume \"%s\" has %u snapshot%s (%s%s): remove them first, or use -r",
		    o->name, left, left == 1 ? "" : "s", list, left > 8 ? ", ..." : "");
}

static int build_remove(struct command *c, void *opaque)
{
	const struct remove_args *a = opaque;
	struct object *o;
	int r = 0;

	/* snapshots in the first round, volumes in the second */
	for (size_t i = 0; i < a->n && r == 0; i++) {
		if ((r = catalog_find(c->p->cat, a->names[i], &o)) < 0)
			return r;
		if (o->kind == OBJECT_SNAPSHOT)
			r = add_delete(c, o, a->flags);
		for (struct object *s = o->snapshots; s && r == 0 && (a->flags & COWBD_RECURSIVE);
		     s = s->older)
			r = add_delete(c, s, a->flags);
	}
	for (size_t i = 0; i < a->n && r == 0; i++) {
		if ((r = catalog_find(c->p->cat, a->names[i], &o)) < 0)
			return r;
		if (o->kind == OBJECT_VOLUME && (r = refuse_with_snapshots(c, o)) == 0)
			r = add_delete(c, o, a->flags);
	}
	return r;
}

int cowbd_remove(struct cowbd_pool *p, const char *const *names, size_t n, unsigned flags)
{
	struct remove_args a = {names, n, flags};
	int r = run(p, build_remove, &a, false, flags);

	if (r == 0)
		worker_wake(&p->e);
	return r;
}

/* ---- ephemeral volumes ----------------------------------------------------------------------------------------------------- */

/* Whoever opens one, or takes a snapshot of it, keeps it: looked at under the lock that both need. */
static bool is_idle(struct object *o, const struct command *c, uint64_t now)
{
	if (!(o->flags & OBJECT_EPHEMERAL) || o->clients || o->nsnapshots || o->unsettled)
		return false;
	if (!o->idle_ns)
		o->idle_ns = now;
	return now - o->idle_ns >= c->p->ephemeral_ns;
}

static int build_drop(struct command *c, void *opaque)
{
	const struct catalog *cat = c->p->cat;
	const uint64_t *now = opaque;
	int r = 0;

	for (size_t i = 0; i <= cat->mask && r == 0; i++)
		for (struct object *o = cat->by_id[i]; o && r == 0; o = o->next_id)
			if (is_idle(o, c, *now))
				r = add(c, &(struct record){.type = REC_DELETE, .object = o->id});
	return r;
}

int manage_drop_ephemeral(struct cowbd_pool *p, uint64_t now)
{
	bool any;

	metalock_shared(&p->e.lock);
	any = p->cat->nephemeral > 0;
	metalock_drop(&p->e.lock);
	return any ? run(p, build_drop, &now, false, COWBD_NO_WAIT) : 0;
}

/* ---- rename -------------------------------------------------------------------------------------------------------------- */

struct rename_args {
	const char *name, *new_name;
};

static int build_rename(struct command *c, void *opaque)
{
	const struct rename_args *a = opaque;
	struct record r = {.type = REC_RENAME};
	struct object *o, *volume;
	const char *base = a->new_name;
	int err = catalog_find(c->p->cat, a->name, &o);

	if (err < 0)
		return err;
	if (o->kind == OBJECT_VOLUME) {
		err = new_volume_name(c, a->new_name);
	} else {
		err = new_snapshot_name(c, a->new_name, &volume, &base);
		if (err == 0 && volume != o->volume)
			err = fail(-EINVAL, "a snapshot stays with its volume: \"%s@...\"",
				   o->volume->name);
	}
	if (err < 0)
		return err;
	r.object = o->id;
	snprintf(r.name, sizeof r.name, "%s", base);
	return add(c, &r);
}

int cowbd_rename(struct cowbd_pool *p, const char *name, const char *new_name, unsigned flags)
{
	struct rename_args a = {name, new_name};

	return run(p, build_rename, &a, false, flags);
}

/* ---- resize ---------------------------------------------------------------------------------------------------------------- */

#define SHRINK_STEPS_MAX 4096u

struct resize_args {
	const char *name;
	uint64_t size;
	unsigned flags;
};

REQUIRES(metadata_lock)
static int add_shrink(struct command *c, struct object *o, const struct resize_args *a)
{
	CLEANUP_FREE struct record *steps = calloc(SHRINK_STEPS_MAX, sizeof *steps);
	int n, r = 0;

	if (!steps)
		return fail(-ENOMEM, "no memory for a command");
	if ((r = nobody_attached(c, o, a->flags)) < 0)
		return r;
	n = apply_shrink_steps(c->p->cat, o, a->size, steps, SHRINK_STEPS_MAX);
	if (n > 0 && !(a->flags & COWBD_SHRINK_FORCE))
		return fail(-EBUSY, "data is mapped behind %" PRIu64 " bytes in \"%s\"", a->size,
			    o->name);
	for (int i = 0; i < n && r == 0; i++)
		r = add(c, &steps[i]);
	return n < 0 ? n : r;
}

REQUIRES(metadata_lock) static int build_resize(struct command *c, void *opaque)
{
	const struct resize_args *a = opaque;
	struct object *o;
	int r = find_volume(c, a->name, &o);

	if (r < 0 || a->size == o->size)
		return r;
	if (o->sector_size && a->size % o->sector_size)
		return fail(-EINVAL,
			    "%" PRIu64 " is no multiple of the volume's sector size %u: the next "
			    "one up is %" PRIu64,
			    a->size, o->sector_size, round_up(a->size, o->sector_size));
	if (a->size < o->size && (r = add_shrink(c, o, a)) < 0)
		return r;
	return add(c, &(struct record){.type = REC_RESIZE, .object = o->id, .size = a->size});
}

/* What an earlier shrink left in the last block must not come back: zeroed before the volume grows. */
static int zero_tail(struct cowbd_pool *p, const char *name, uint64_t size)
{
	uint64_t bytes = p->e.geo.block_bytes, old;
	struct cowbd_client *c;
	int r;

	r = cowbd_client_open(p, name, false, "resize", &c);
	if (r < 0)
		return r;
	old = cowbd_client_size(c);
	if (size > old && old % bytes) {
		r = volume_zero(p->cat, c->object, NULL, round_up(old, bytes) - old, old);
		if (r == 0)
			r = volume_flush(p->cat, c->object);
	}
	cowbd_client_close(c);
	return r;
}

int cowbd_resize(struct cowbd_pool *p, const char *volume, uint64_t size, unsigned flags)
{
	struct resize_args a = {volume, size, flags};
	int r = check_size(p, size);

	if (r < 0 || (r = no_snapshot_name(volume)) < 0 || (r = zero_tail(p, volume, size)) < 0)
		return r;
	return run_held(p, volume, build_resize, &a, flags);
}

/* ---- waiting for reclaim -------------------------------------------------------------------------------------------------------- */

int cowbd_reclaim_wait(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	int r = engine_writable(e);

	while (r == 0) {
		bool done;

		if ((r = engine_commit(e, NULL)) < 0)
			return r;
		while ((r = reclaim_some(p)) > 0)
			;
		if (r < 0)
			return r;
		engine_settle(e);
		metalock_shared(&e->lock);
		done = e->ndying == 0 && !space_dropped(e->space) && !space_waiting(e->space) &&
		       !space_leaving(e->space);
		metalock_drop(&e->lock);
		if (done)
			return checkpoint_run(e);
		if ((r = checkpoint_run(e)) < 0)
			return r;
		usleep(1000);
	}
	return r;
}
