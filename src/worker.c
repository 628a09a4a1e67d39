/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker.c - the four background threads of a pool
 *
 *	committer     each second: pending records become durable; falls are let go; each tenth of one
 *	              what they name begins to be written back; the last batch is sealed when none follows
 *	checkpointer  woken: when journal, dirty pages or deltas reach their bound
 *	reclaimer     takes dying subtrees apart; gives space back; both paced beside requests;
 *	              removes ephemeral volumes that nobody has open any more
 *	preparer      keeps zones ready, so that no request has to wait until one is
 *
 * All of them only call what any other thread may call as well.
 */
#include "pool.h"

#include <stdio.h>
#include <time.h>

#define COMMIT_NS UINT64_C(1000000000)
#define WRITE_BACK_NS (COMMIT_NS / 10)
#define SEAL_NS (COMMIT_NS * 3)
#define READY_ZONES 3u
#define OFTEN_RECORDS 32u /* flushes are frequent if no more records than this lie between two */
#define OFTEN_COMMITS                                                                              \
	4u /* and if there are as many between two looks, a twentieth of a second at least */
#define OFTEN_NS (COMMIT_NS * 5)
#define LOOK_NS (COMMIT_NS / 20)
#define LOOK_OFTEN_NS (COMMIT_NS / 100) /* while something is allocated */
#define BLOCK_NS 800u /* of reclaim's time for a block, beside requests: 1.25 million a second */
#define PUNCH_PAUSE_NS UINT64_C(2000000)
#define PUNCH_SHARE 30u   /* one part of so many of the time, beside requests */
#define BESIDE_NS LOOK_NS /* so long after a request was seen, more are expected */
#define IDLE_NS UINT64_C(500000000)

/* Sleeps until woken (seen: NULL if it need not be), stopped, or ns are over: false when it's time to stop. */
static bool pause_for(struct cowbd_pool *p, uint64_t ns, unsigned *seen)
{
	struct timespec until;
	uint64_t at = wall_ns() + ns;
	bool go_on;

	until.tv_sec = (time_t)(at / 1000000000u);
	until.tv_nsec = (long)(at % 1000000000u);
	pthread_mutex_lock(&p->work_lock);
	while (!p->stopping && (!seen || p->woken == *seen))
		if (pthread_cond_timedwait(&p->work, &p->work_lock, &until) == ETIMEDOUT)
			break;
	if (seen)
		*seen = p->woken;
	go_on = !p->stopping;
	pthread_mutex_unlock(&p->work_lock);
	return go_on;
}

void worker_wake(struct engine *e)
{
	struct cowbd_pool *p = pool_of(e);

	pthread_mutex_lock(&p->work_lock);
	p->woken++;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->work_lock);
}

/* ---- committer --------------------------------------------------------------------------- */

static bool commit_due(struct engine *e)
{
	bool due;

	engine_settle(e);
	metalock_shared(&e->lock);
	due = journal_seq(e->journal) > journal_durable_seq(e->journal);
	metalock_drop(&e->lock);
	return due;
}

/* Since when that is the last durable record. */
struct quiet {
	uint64_t seq, since;
};

/* Damage of data that the last batch vouches for can't be told from a cut of the power [JOURNAL-6], for as long as no
 * batch follows.  In a quiet pool that would be for days. */
static bool seal_due(struct engine *e, struct quiet *q)
{
	uint64_t seq = journal_durable_seq(e->journal);
	bool young;

	if (seq != q->seq)
		*q = (struct quiet){seq, now_ns()};
	metalock_shared(&e->lock);
	young = e->young.written.n > 0;
	metalock_drop(&e->lock);
	return young && now_ns() - q->since >= SEAL_NS;
}

static void *committer(void *opaque)
{
	struct cowbd_pool *p = opaque;
	struct quiet quiet = {0};
	uint64_t last = now_ns();
	unsigned seen = 0;

	while (pause_for(p, WRITE_BACK_NS, &seen)) {
		if (now_ns() - last < COMMIT_NS &&
		    journal_pending_bytes(p->e.journal) < (UINT64_C(4) << 20)) {
			engine_write_back(&p->e);
			continue;
		}
		last = now_ns();
		if (commit_due(&p->e))
			(void)!engine_commit(&p->e,
					     NULL); /* it has failed the pool, if it failed */
		else if (seal_due(&p->e, &quiet))
			(void)!engine_seal(&p->e);
	}
	return NULL;
}

/* ---- checkpointer --------------------------------------------------------------------------- */

/* Reclaim has dropped what only a checkpoint can release, and nothing else is to be taken apart. */
static bool release_due(struct engine *e)
{
	return e->ndying == 0 && space_dropped(e->space);
}

static void *checkpointer(void *opaque)
{
	struct cowbd_pool *p = opaque;
	struct engine *e = &p->e;
	unsigned seen = 0;

	while (pause_for(p, COMMIT_NS / 5, &seen)) {
		bool due;

		metalock_shared(&e->lock);
		due = engine_checkpoint_due(e) || release_due(e);
		metalock_drop(&e->lock);
		if (due && !atomic_load(&e->failed))
			(void)!checkpoint_run(e);
	}
	return NULL;
}

/* ---- reclaimer --------------------------------------------------------------------------------- */

/* Often enough that what is said of the time is true within an eighth. */
static void drop_ephemeral(struct cowbd_pool *p, uint64_t *next)
{
	uint64_t now = now_ns();

	if (now < *next)
		return;
	(void)!manage_drop_ephemeral(p, now);
	*next = now + MIN(p->ephemeral_ns / 8, COMMIT_NS * 5);
}

/* When the reclaimer may go on, so that it leaves time to requests. */
struct pace {
	uint64_t next, seen; /* ns: when it may; when a request was seen to run */
	uint64_t blocks;     /* reclaimed until then */
};

static uint64_t pace_left(const struct pace *pace)
{
	uint64_t now = now_ns();

	return pace->next > now ? pace->next - now : 0;
}

/* Requests run, and none waits for space. */
static bool beside_requests(struct engine *e, struct pace *pace)
{
	uint64_t now = now_ns();
	bool host_full;

	if (epoch_running(&e->epochs))
		pace->seen = now;
	if (!pace->seen || now - pace->seen > BESIDE_NS || atomic_load(&e->hold.n))
		return false;
	metalock_shared(&e->lock);
	host_full = space_host_full(e->space);
	metalock_drop(&e->lock);
	return !host_full;
}

/* Reclaim takes a processor, and the lock for writing. */
static void pace_reclaim(struct engine *e, struct pace *pace)
{
	uint64_t blocks = atomic_load_explicit(&e->stats.blocks_reclaimed, memory_order_relaxed);
	uint64_t now = now_ns(), took = (blocks - pace->blocks) * BLOCK_NS;

	pace->blocks = blocks;
	pace->next = beside_requests(e, pace) ? MAX(pace->next, now - BESIDE_NS) + took : now;
	pace->next = MIN(pace->next, now + COMMIT_NS); /* others reclaim too, who need space */
	if (pace->next <= now)
		metalock_breathe();
}

/* A hole in the file is made under the host's lock of the whole file, for which all writes wait. */
static int give_back(struct engine *e, struct pace *pace)
{
	uint64_t begin = now_ns(), now, pause = PUNCH_PAUSE_NS;
	int r = space_punch_one(e->space);

	if (r <= 0)
		return r;
	STAT_ADD(e->stats.zones_given_back, 1);
	now = now_ns();
	if (beside_requests(e, pace))
		pause = MIN(MAX((now - begin) * (PUNCH_SHARE - 1), pause), COMMIT_NS);
	pace->next = now + pause;
	return r;
}

static void *reclaimer(void *opaque)
{
	struct cowbd_pool *p = opaque;
	struct engine *e = &p->e;
	uint64_t busy = now_ns(), next_drop = 0;
	struct pace pace = {0};
	unsigned seen = 0;
	int r = 0;

	while (pause_for(p, r > 0 ? MIN(pace_left(&pace), LOOK_NS) : LOOK_NS, &seen)) {
		if (atomic_load(&e->failed)) {
			r = 0;
			continue;
		}
		drop_ephemeral(p, &next_drop);
		if (pace_left(&pace))
			continue;
		r = reclaim_some(p);
		if (r > 0) {
			pace_reclaim(e, &pace);
			busy = now_ns();
		} else if (now_ns() - busy > IDLE_NS) {
			r = give_back(e, &pace);
		}
	}
	return NULL;
}

/* ---- preparer ---------------------------------------------------------------------------------- */

/* What the preparer saw when it looked last, and when it last looked at flushes. */
struct ahead {
	uint64_t seq;
	uint64_t flushes_at, seq_then, commits_then;
	uint64_t written_until; /* ns: till then zones are made ready by writing to them */
};

/* Where a flush follows each few writes, the host's turning allocated extents into written ones costs each of
 * them a commit of its own journal: more than all that a fault costs.  Writing the zone before costs a hundredth of that; where
 * flushes are rare it would only double what is written. */
static void look_at_flushes(struct engine *e, struct ahead *a)
{
	uint64_t all = atomic_load_explicit(&e->stats.commits, memory_order_relaxed);
	uint64_t commits = all - a->commits_then, records = a->seq - a->seq_then, now = now_ns();

	if (now - a->flushes_at < LOOK_NS)
		return;
	if (commits >= OFTEN_COMMITS && records && records <= commits * OFTEN_RECORDS)
		a->written_until = now + OFTEN_NS;
	a->flushes_at = now;
	a->seq_then = a->seq;
	a->commits_then = all;
}

/* One for metadata is zeroed, for which every fault that copies a page of the map would wait: 3 to 5 ms where zeros are
 * written.  So these come first. */
static bool prepare_one(struct engine *e)
{
	bool meta, any;

	metalock_shared(&e->lock);
	any = space_wants_zone(e->space, READY_ZONES, &meta);
	metalock_drop(&e->lock);
	return any && !atomic_load(&e->failed) && space_prepare_zone(e->space, meta) == 0;
}

static uint64_t records(struct engine *e)
{
	uint64_t seq;

	metalock_shared(&e->lock);
	seq = journal_seq(e->journal);
	metalock_drop(&e->lock);
	return seq;
}

/* Zones are made ready ahead while somebody allocates.  True if somebody does. */
static bool prepare_ahead(struct engine *e, struct ahead *a)
{
	uint64_t seq = records(e);
	bool busy = seq != a->seq, often;

	a->seq = seq;
	for (unsigned i = 0; busy && i <= READY_ZONES && prepare_one(e); i++)
		;
	look_at_flushes(e, a);
	often = now_ns() < a->written_until;
	space_flushes_often(e->space, often);
	if (often)
		(void)!space_write_ready(e->space);
	return busy;
}

static void *preparer(void *opaque)
{
	struct cowbd_pool *p = opaque;
	uint64_t seq = records(&p->e);
	struct ahead ahead = {.seq = seq, .seq_then = seq};
	bool busy = false;

	while (pause_for(p, busy ? LOOK_OFTEN_NS : LOOK_NS, NULL))
		busy = !atomic_load(&p->e.failed) && prepare_ahead(&p->e, &ahead);
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------ */

int cowbd_start(struct cowbd_pool *p)
{
	void *(*const job[])(void *) = {committer, checkpointer, reclaimer, preparer};

	if (p->e.read_only)
		return 0;
	journal_lock_memory(p->e.journal);
	for (unsigned i = 0; i < ARRAY_SIZE(job); i++) {
		int err = pthread_create(&p->threads[i], NULL, job[i], p);

		if (err) {
			workers_stop(p);
			return fail(-err, "can't start a thread: %s", strerror(err));
		}
		p->nthreads++;
	}
	p->e.hold.on = p->flags & COWBD_OPEN_HOLD;
	return 0;
}

void workers_stop(struct cowbd_pool *p)
{
	pthread_mutex_lock(&p->work_lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->work_lock);
	while (p->nthreads)
		pthread_join(p->threads[--p->nthreads], NULL);
}
