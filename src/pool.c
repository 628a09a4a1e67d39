/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.c - opens and closes pools, and says how they are
 */
#include "pool.h"

#include <stdio.h>
#include <sys/stat.h>

#include <uuid/uuid.h>

#define CACHE_DEFAULT (UINT64_C(64) << 20)
#define EPHEMERAL_MS 60000u
#define CACHE_MIN (UINT64_C(1) << 20)
#define CLOSE_RECLAIM_NS UINT64_C(2000000000)

const char *cowbd_error(void)
{
	return error_message();
}

const char *cowbd_version(void)
{
	return PACKAGE_VERSION;
}

int cowbd_run_dir(char *buf, size_t len)
{
	const char *given = getenv("COWBD_RUNDIR"), *user = getenv("XDG_RUNTIME_DIR");
	int n;

	if (given && *given)
		n = snprintf(buf, len, "%s", given);
	else if (geteuid() == 0)
		n = snprintf(buf, len, "/run/cowbd");
	else if (user && *user)
		n = snprintf(buf, len, "%s/cowbd", user);
	else
		n = snprintf(buf, len, "/tmp/cowbd-%u", (unsigned)geteuid());
	if (n < 0 || (size_t)n >= len)
		return fail(-ENAMETOOLONG, "the path of the run directory is too long");
	return 0;
}

/* ---- open ------------------------------------------------------------------------------------- */

static void free_pool(struct cowbd_pool *p)
{
	struct store *s = p->e.store;

	catalog_free(p->cat);
	engine_fini(&p->e);
	pthread_mutex_destroy(&p->manage);
	pthread_mutex_destroy(&p->super_lock);
	pthread_mutex_destroy(&p->checkpoint_lock);
	pthread_mutex_destroy(&p->work_lock);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->scrub_lock);
	pthread_mutex_destroy(&p->check_lock);
	free(p);
	store_close(s); /* last: its lock keeps the next one out until all is over */
}

static int new_pool(struct store *s, const char *path, const struct cowbd_open_options *opt,
		    struct cowbd_pool **ret_pool)
{
	struct cowbd_pool *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return fail(-ENOMEM, "no memory for a pool");
	r = engine_init(&p->e);
	if (r < 0) {
		free(p);
		return r;
	}
	p->e.store = s;
	p->e.read_only = opt->flags & COWBD_OPEN_READ_ONLY;
	p->e.checkpoint = checkpoint_run;
	p->e.relieve = checkpoint_relieve;
	p->e.reclaim = reclaim_room;
	p->e.make_space = reclaim_make_space;
	p->e.taint = super_taint;
	p->e.wake = worker_wake;
	p->flags = opt->flags;
	p->ephemeral_ns =
		(opt->ephemeral_ms ? opt->ephemeral_ms : EPHEMERAL_MS) * UINT64_C(1000000);
	p->e.hold.timeout_ns = opt->hold_timeout_ns;
	p->e.hold.changed = opt->full;
	p->e.hold.opaque = opt->opaque;
	p->cache_bytes = MAX(opt->cache_bytes ? opt->cache_bytes : CACHE_DEFAULT, CACHE_MIN);
	snprintf(p->path, sizeof p->path, "%s", path);
	snprintf(p->tail_state, sizeof p->tail_state, "off: read-only");
	pthread_mutex_init(&p->manage, NULL);
	pthread_mutex_init(&p->super_lock, NULL);
	pthread_mutex_init(&p->checkpoint_lock, NULL);
	pthread_mutex_init(&p->work_lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_mutex_init(&p->scrub_lock, NULL);
	pthread_mutex_init(&p->check_lock, NULL);
	catalog_free_io = volume_free;
	*ret_pool = p;
	return 0;
}

static int set_run_dir(struct cowbd_pool *p, const char *given)
{
	if (!given)
		return cowbd_run_dir(p->run_dir, sizeof p->run_dir);
	if ((size_t)snprintf(p->run_dir, sizeof p->run_dir, "%s", given) >= sizeof p->run_dir)
		return fail(-ENAMETOOLONG, "the path of the run directory is too long");
	return 0;
}

int pool_open_store(struct store *s, const char *path, const struct cowbd_open_options *opt,
		    struct cowbd_pool **ret_pool)
{
	struct cowbd_pool *p;
	int r = new_pool(s, path, opt, &p);

	if (r < 0) {
		store_close(s);
		return r;
	}
	r = set_run_dir(p, opt->run_dir);
	if (r == 0)
		r = recover(p);
	if (r == 0 && !p->e.read_only)
		r = recover_begin_session(p);
	if (r < 0) {
		/* a tail that was begun belongs to no session: only the superblock could say so */
		journal_free(p->e.journal,
			     p->e.journal && !super_may_name(p, p->e.super.session_id));
		p->e.journal = NULL;
		free_pool(p);
		return r;
	}
	*ret_pool = p;
	return 0;
}

int cowbd_open(const char *path, const struct cowbd_open_options *opt, struct cowbd_pool **ret_pool)
{
	struct cowbd_open_options none = {0};
	unsigned flags = 0;
	struct store *s;
	int r;

	if (!opt)
		opt = &none;
	if (opt->flags & COWBD_OPEN_READ_ONLY)
		flags |= STORE_OPEN_READ_ONLY;
	if (opt->flags & COWBD_OPEN_DIRECT)
		flags |= STORE_OPEN_DATA_DIRECT;
	if (opt->flags & COWBD_OPEN_NO_URING)
		flags |= STORE_OPEN_NO_URING;
	r = store_file_open(path, flags, opt->wait_ms, &s);
	return r < 0 ? r : pool_open_store(s, path, opt, ret_pool);
}

/* ---- close ----------------------------------------------------------------------------------------- */

/* Without a daemon nobody reclaims: do some of it before leaving. */
static int reclaim_before_close(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	uint64_t until = now_ns() + CLOSE_RECLAIM_NS;
	int r = engine_commit(e, NULL);

	if (r < 0 || e->ndying + space_dropped(e->space) == 0)
		return r;
	do {
		r = reclaim_some(p);
	} while (r > 0 && now_ns() < until);
	if (r < 0 || (r = checkpoint_run(e)) < 0)
		return r;
	engine_settle(e);
	do {
		r = space_punch_one(e->space);
	} while (r > 0 && now_ns() < until);
	return r < 0 ? r : 0;
}

static int finish(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	struct disk_super next;
	int r = engine_commit(e, NULL);

	/* in-place writes that nobody flushed */
	if (r == 0 && (r = store_sync(e->store, NULL, 0)) < 0)
		engine_fail(e, "syncing data failed");
	if (r == 0 && !atomic_load(&p->quick))
		r = reclaim_before_close(p);
	metalock_exclusive(&e->lock);
	engine_drop_stock(e);
	metalock_drop(&e->lock);
	if (r == 0)
		r = checkpoint_run(e);
	if (r < 0)
		return r;
	next = e->super;
	next.flags = put32(SUPER_CLEAN);
	next.incompat =
		put64(get64(next.incompat) & ~FEATURE_BATCH_SUMS); /* the journal is empty */
	return super_commit(p, &next);
}

void cowbd_close_quickly(struct cowbd_pool *p)
{
	atomic_store(&p->quick, true);
}

int cowbd_close(struct cowbd_pool *p)
{
	int r = 0;

	if (!p)
		return 0;
	workers_stop(p);
	if (!p->e.read_only && !atomic_load(&p->e.failed))
		r = finish(p);
	else if (!p->e.read_only)
		r = fail(-EIO, "the pool turned read-only after an error: %s", p->e.failure);
	journal_free(p->e.journal, r == 0);
	p->e.journal = NULL;
	free_pool(p);
	return r;
}

int cowbd_sync(struct cowbd_pool *p)
{
	int r;

	if (p->e.read_only)
		return 0;
	r = engine_commit(&p->e, NULL);
	if (r < 0)
		return r;
	r = store_sync(p->e.store, NULL, 0);
	if (r < 0)
		engine_fail(&p->e, "syncing data failed");
	return r;
}

int cowbd_checkpoint(struct cowbd_pool *p)
{
	int r = cowbd_sync(p); /* a checkpoint alone leaves out what was written in place */

	return r < 0 || p->e.read_only ? r : checkpoint_run(&p->e);
}

/* ---- growing ------------------------------------------------------------------------------------------ */

/* The superblock says it first: a journal must not name zones that the pool on disk doesn't have. */
static int grow_zones(struct cowbd_pool *p, uint64_t zones)
{
	struct engine *e = &p->e;
	uint64_t old_zones = e->geo.zones, old_groups = e->geo.groups;
	struct disk_super next;
	struct geometry grown;
	int r;

	pthread_mutex_lock(&p->checkpoint_lock);
	next = p->committed;
	next.zones = put64(zones);
	r = super_commit(p, &next);
	if (r < 0) {
		engine_fail(e, "writing the superblock failed");
		goto out;
	}
	geometry_init(&grown, zones, e->geo.journal_zones, e->geo.block_shift);
	metalock_exclusive(&e->lock);
	e->geo.zones = grown.zones;
	e->geo.groups = grown.groups;
	e->super.zones = next.zones;
	r = space_grown(e->space);
	if (r < 0) {
		e->geo.zones = old_zones;
		e->geo.groups = old_groups;
	}
	metalock_drop(&e->lock);
out:
	pthread_mutex_unlock(&p->checkpoint_lock);
	return r;
}

static int check_growth(struct cowbd_pool *p, uint64_t *zones)
{
	const struct geometry *g = &p->e.geo;

	if (*zones < g->zones)
		return fail(-EINVAL,
			    "the pool has %" PRIu64 " bytes already: a pool can't be made smaller",
			    g->zones * ZONE_BYTES);
	if ((*zones - g->first_group) % GROUP_ZONES == 1) /* a header alone holds nothing */
		--*zones;
	if ((*zones - 1 - g->journal_zones) / GROUP_ZONES + 1 > GROUPS_MAX)
		return fail(-EINVAL, "a pool can have at most %" PRIu64 " TiB",
			    (uint64_t)GROUPS_MAX * GROUP_ZONES * ZONE_BYTES >> 40);
	return 0;
}

int cowbd_grow_pool(struct cowbd_pool *p, uint64_t size)
{
	struct engine *e = &p->e;
	uint64_t zones = size / ZONE_BYTES;
	int r = engine_writable(e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&p->manage);
	r = check_growth(p, &zones);
	if (r == 0 && size > e->store->size)
		r = store_grow(e->store, size);
	/* the superblock may reach the disk before a size that nothing has made durable */
	if (r == 0 && zones > e->geo.zones &&
	    (MUTANT("grown-before-durable") || (r = cowbd_sync(p)) == 0))
		r = grow_zones(p, zones);
	pthread_mutex_unlock(&p->manage);
	return r;
}

/* ---- how it is -------------------------------------------------------------------------------------------- */

static void fill_space(const struct engine *e, struct cowbd_pool_info *i)
{
	struct space_info s;

	space_get_info(e->space, &s);
	i->zones = s.zones;
	i->free_zones = s.free_zones;
	i->data_zones = s.data_zones;
	i->meta_zones = s.meta_zones;
	i->reserve_zones = s.reserve_zones;
	i->used_blocks = s.used_blocks;
	i->free_bytes = s.free_blocks << e->geo.block_shift;
	i->block_zones_bytes =
		(s.zones - MIN(s.zones, s.reserve_zones + s.meta_zones)) * ZONE_BYTES;
	i->metadata_bytes = (s.used_pages - MIN(s.used_pages, (uint64_t)e->nstock)) * PAGE_BYTES;
	i->blocks_reclaimed = e->stats.blocks_reclaimed;
}

static void fill_stats(const struct engine *e, struct cowbd_pool_info *i)
{
	const struct engine_stats *s = &e->stats;

	i->faults = s->faults;
	i->faults_no_copy = s->faults_no_copy;
	i->bytes_copied = s->bytes_copied;
	i->in_place_writes = s->in_place_writes;
	i->blocks_moved = s->blocks_moved;
	i->map_pages_copied = s->map_pages_copied;
	i->commits = s->commits;
	i->short_commits = s->short_commits;
	i->seals = s->seals;
	i->checkpoints = s->checkpoints;
	i->journal_bytes_written = s->journal_bytes;
	i->checkpoint_bytes_written = pages_written(e->pages);
	i->replayed_journal = s->replayed_journal;
	i->replayed_tail = s->replayed_tail;
	i->zones_given_back = s->zones_given_back;
}

static void fill_hold(struct engine *e, struct cowbd_pool_info *i)
{
	struct hold_info h;

	hold_get_info(&e->hold, &h);
	i->held = h.held;
	i->full_since = h.since_wall_ns;
	i->full_times = h.full_times;
	i->writes_held = h.total;
	i->writes_refused = h.refused;
}

void cowbd_pool_info(struct cowbd_pool *p, struct cowbd_pool_info *ret_info)
{
	struct engine *e = &p->e;
	struct cowbd_pool_info i = {.dev = e->store->dev,
				    .ino = e->store->ino,
				    .read_only = e->read_only,
				    .was_clean = p->was_clean};

	metalock_shared(&e->lock);
	snprintf(i.path, sizeof i.path, "%s", e->store->path);
	snprintf(i.name, sizeof i.name, "%.*s", (int)sizeof e->super.name,
		 (const char *)e->super.name);
	uuid_unparse_lower(e->super.uuid, i.uuid);
	uuid_unparse_lower(e->super.session_id, i.session);
	snprintf(i.io, sizeof i.io, "%s", e->store->uring ? e->store->uring : "sync");
	snprintf(i.tail, sizeof i.tail, "%s", p->tail_state);
	snprintf(i.note, sizeof i.note, "%s", p->note);
	i.failed = atomic_load(&e->failed);
	if (i.failed)
		snprintf(i.failure, sizeof i.failure, "%s", e->failure);
	i.block_bytes = e->geo.block_bytes;
	i.size = e->geo.zones * ZONE_BYTES;
	i.journal_bytes = e->geo.journal_zones * ZONE_BYTES;
	fill_space(e, &i);
	fill_stats(e, &i);
	fill_hold(e, &i);
	i.volumes = p->cat->nvolumes;
	i.snapshots = p->cat->n - p->cat->nvolumes;
	i.virtual_bytes = p->cat->virtual_bytes;
	i.dying = e->ndying;
	i.clients = p->nclients;
	i.generation = get64(e->super.h.generation);
	if (e->journal) {
		i.records = journal_seq(e->journal);
		i.durable_records = journal_durable_seq(e->journal);
	}
	i.cache_bytes = pages_bytes(e->pages);
	i.cache_bound_bytes = p->cache_bytes;
	i.dirty_pages = pages_dirty(e->pages);
	metalock_drop(&e->lock);
	*ret_info = i;
}
