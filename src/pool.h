/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.h - create, open, recover, lock, checkpoint, background workers
 *
 * One struct cowbd_pool is an open pool.  Its parts: super.c (the two copies of the
 * superblock), mkfs.c, recover.c, checkpoint.c, reclaim.c, worker.c, pool.c (open, close);
 * above them the public functions: manage.c, client.c, usage.c, compare.c.
 */
#ifndef COWBD_POOL_H
#define COWBD_POOL_H

#include "apply.h"
#include "catalog.h"
#include "cowbd.h"
#include "engine.h"
#include "volume.h"

struct cowbd_client {
	struct cowbd_pool *pool;
	struct object *object;
	uint64_t id, size, opened_ns;
	bool writable;
	_Atomic uint64_t requests;
	struct holder holder; /* of its writes that wait for space */
	char peer[128];
	struct cowbd_client *next;
};

struct cowbd_pool {
	struct engine e; /* first: an engine is its pool */
	struct catalog *cat;
	char path[4096];
	unsigned flags;     /* COWBD_OPEN_... */
	_Atomic bool quick; /* close without reclaim */
	uint64_t cache_bytes;
	char run_dir[256];
	uint64_t ephemeral_ns; /* how long an ephemeral volume stays without clients */

	pthread_mutex_t manage; /* one management command at a time */
	uint64_t attempts;      /* tries to build commands; under e.lock */

	/* superblock */
	pthread_mutex_t super_lock;  /* a leaf lock, held across its I/O */
	struct disk_super committed; /* as on disk, both copies */
	bool was_clean;
	struct journal_position recovered; /* where the journal of this session begins */

	/* checkpoint */
	pthread_mutex_t checkpoint_lock;
	_Atomic uint64_t checkpoints_begun; /* under checkpoint_lock, read by all */
	uint64_t checkpoints_done;          /* under checkpoint_lock */

	/* scrub */
	pthread_mutex_t scrub_lock; /* one at a time; outside check_lock, held across all of it */
	_Atomic bool interrupted;

	/* online check */
	pthread_mutex_t check_lock; /* one at a time; held across all of it */
	uint64_t spill_bytes;       /* its bound, 0: the usual one; tests set it */
	struct spill *spill;        /* of the one that runs, or NULL; under e.lock */

	/* workers */
	pthread_mutex_t work_lock;
	pthread_cond_t work;
	pthread_t threads[4];
	unsigned nthreads;
	bool stopping;  /* under work_lock */
	unsigned woken; /* times; under work_lock */

	/* clients; under e.lock */
	struct cowbd_client *clients;
	unsigned nclients;

	char tail_state[320];
	char note[1024]; /* of opening: "the second superblock was damaged", "" none */
};

static inline struct cowbd_pool *pool_of(struct engine *e)
{
	return (struct cowbd_pool *)e;
}

/* ---- super.c ---- */

/* Reads both copies, takes the newest valid one. *ret_note: what is wrong with the other, or "". */
int super_read(struct store *s, struct disk_super *ret_super, char *ret_note,
	       size_t note_len) MUST_CHECK;

/* Writes next durably to both places, one after the other; sequence is set here. */
int super_commit(struct cowbd_pool *p, const struct disk_super *next) MUST_CHECK;

/* Does a copy on disk name this session, for all we can read? */
bool super_may_name(struct cowbd_pool *p, const uint8_t *session) MUST_CHECK;

/* Tries to write down that a sync failed. */
void super_taint(struct engine *e);

/* ---- mkfs.c ---- */

/* Makes an empty pool on all of s.  path: for its name. */
int mkfs_store(struct store *s, const char *path, const struct cowbd_init_options *opt) MUST_CHECK;

/* ---- recover.c ---- */

/* Loads the checkpoint, replays journal and tail; e.journal is made (unless read-only) but nothing is written. */
int recover(struct cowbd_pool *p) MUST_CHECK;

/* ---- ahead.c ---- */

/* Reads map pages that n records, at most AHEAD_MAX, will change.  A hint: can't fail.  No lock held. */
#define AHEAD_MAX 256u
void ahead_read(struct cowbd_pool *p, const struct record *r, unsigned n) EXCLUDES(metadata_lock);

/* Begins a session: a new tail, and a superblock that names it; with a checkpoint if anything was replayed. */
int recover_begin_session(struct cowbd_pool *p) MUST_CHECK;

/* ---- checkpoint.c ---- */

/* A checkpoint that begins after the call, or one that did already while we waited. */
int checkpoint_run(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;

/* Brings dirty pages, deltas and what else a checkpoint brings down nearer to their bounds: waits half a millisecond for the one
 * that runs, or makes one if none does.  The caller looks again, and asks again if that was not enough. */
int checkpoint_relieve(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;

/* A view of the store in which the committed checkpoint stays readable while others follow, in bound_bytes at
 * most.  One at a time. */
int checkpoint_pin(struct cowbd_pool *p, uint64_t bound_bytes, struct spill **ret_spill) MUST_CHECK;
void checkpoint_unpin(struct cowbd_pool *p, struct spill *spill);

/* Space is short: the zones that the view holds are let go, which ends the view.  True if there were any.  No lock held. */
bool checkpoint_break_pin(struct cowbd_pool *p);

/* ---- reclaim.c ---- */

/* Takes some subtrees apart: 1 progress, 0 nothing to do now, or negative. */
int reclaim_some(struct cowbd_pool *p) EXCLUDES(metadata_lock) MUST_CHECK;
/* For engine: makes room in the dying list; makes space. */
int reclaim_room(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;
int reclaim_make_space(struct engine *e) EXCLUDES(metadata_lock) MUST_CHECK;

/* ---- worker.c ---- */
void worker_wake(struct engine *e);
void workers_stop(struct cowbd_pool *p);

/* ---- manage.c ---- */

/* Removes the ephemeral volumes that had no client for p->ephemeral_ns, by the scans of who calls
 * this now and then.  now: of now_ns(). */
int manage_drop_ephemeral(struct cowbd_pool *p, uint64_t now) MUST_CHECK;

/* ---- client.c ---- */

/* Has it sent a request, or is it open longer than a second? */
bool client_attached(const struct cowbd_client *c, uint64_t now);

/* ---- pool.c ---- */

/* Opens what is on s, which it takes over also on failure.  For tests with a store of their own. */
int pool_open_store(struct store *s, const char *path, const struct cowbd_open_options *opt,
		    struct cowbd_pool **ret_pool) MUST_CHECK;

#endif
