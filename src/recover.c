/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recover.c - opens what a session left behind
 *
 *	superblock -> checkpoint loaded (group table, dying list, catalog)
 *	journal and tail, first pass: zones that records name are set aside, of both before any is applied
 *	sync: what was read is durable (rule 6)
 *	journal, second pass: each record applied; what falls is free at once
 *	tail: the same.  That its records are not durable is no matter: nothing is written in place, and no zone
 *	      changes its type, by them before the commit point makes them durable
 *	session: a new tail, then a checkpoint whose superblock names it    <- the commit point
 *
 * Nothing is written before the commit point but free slots and new zones, and, after an error that was accepted, the
 * end of the journal in the place of what can't be read (journal_void); so a recovery that is interrupted
 * is done again, from the same superblock, journal and tail, with the same result.
 *
 * Invariants
 *   [RECOVER-1] A tail is replayed if and only if pool UUID, boot, session and the pool's own
 *               dev:ino are those that the superblock names, and it follows the journal.
 *   [RECOVER-2] The old session ends with the superblock that holds all that was replayed of it.
 *   [RECOVER-3] Opening read-only writes nothing.
 */
#include "pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <uuid/uuid.h>

#define SETTLE_EVERY 1024u

struct replay {
	struct cowbd_pool *p;
	uint64_t last; /* sequence of the last record applied */
	uint64_t n;
	bool tail;               /* there is one to be replayed, or that has nothing more */
	struct tail_state state; /* what the tail says */
	bool given_up;           /* what can't be read is, for the user said so */
	uint64_t limit;          /* seq of the last record that zones were set aside for */
	bool torn;               /* the journal goes on beyond its first batch that is not whole */
	unsigned last_batch;     /* JOURNAL_LAST_...: what the first pass said */
	bool dropped;            /* the page cache was, after the journal was looked at */
	uint64_t scanned;        /* records that the first pass saw */
	struct record *ahead;    /* [AHEAD_MAX] read, and not applied yet */
	unsigned nahead;
	uint64_t *zones; /* that records opened, to be allocated on the host again */
	size_t nzones, room;
};

/* ---- passes --------------------------------------------------------------------------------- */

static int set_aside(void *opaque, const struct record *r)
{
	struct replay *x = opaque;
	struct engine *e = &x->p->e;
	int err;

	x->scanned++;
	if (MUTANT("replay-no-prescan"))
		return 0;
	if (r->type == REC_ZONE)
		return space_set_aside(e->space, r->zone);
	if (r->type != REC_MAP || r->length == 0)
		return 0;
	err = space_set_aside(e->space, block_zone(&e->geo, r->physical));
	return err < 0 ? err
		       : space_set_aside(e->space,
					 block_zone(&e->geo, r->physical + r->length - 1));
}

static int note_zone(struct replay *x, uint64_t zone)
{
	if (x->nzones == x->room) {
		size_t room = x->room ? x->room * 2 : 64;
		uint64_t *zones = realloc(x->zones, room * sizeof *zones);

		if (!zones)
			return fail(-ENOMEM, "no memory to replay the journal");
		x->zones = zones;
		x->room = room;
	}
	x->zones[x->nzones++] = zone;
	return 0;
}

/* Everything that fell up to seq is durable, and nobody looks at it: it is free. */
REQUIRES(metadata_lock) static void settle_up_to(struct engine *e, uint64_t seq)
{
	space_durable(e->space, seq);
	while (space_settle(e->space))
		;
}

static void settle_all(struct engine *e, uint64_t seq)
{
	metalock_exclusive(&e->lock);
	settle_up_to(e, seq);
	metalock_drop(&e->lock);
}

static int apply_one(struct replay *x, const struct record *r)
{
	struct engine *e = &x->p->e;
	bool settled = false;
	int err;

	do {
		metalock_exclusive(&e->lock);
		err = apply_replay(x->p->cat, r);
		metalock_drop(&e->lock);
		if (err == -EAGAIN && (err = engine_need(e)) == 0)
			err = -EAGAIN;
		if (err == -ENOSPC && !settled) { /* the run used again what fell before */
			settle_all(e, r->seq - 1);
			settled = true;
			err = -EAGAIN;
		}
	} while (err == -EAGAIN);
	if (err == 0 && ++x->n % SETTLE_EVERY == 0)
		settle_all(e, r->seq);
	if (err == 0 && r->type == REC_ZONE)
		err = note_zone(x, r->zone);
	x->last = r->seq;
	return err;
}

static int apply_ahead(struct replay *x)
{
	unsigned n = x->nahead;
	int r = 0;

	x->nahead = 0;
	ahead_read(x->p, x->ahead, n);
	for (unsigned i = 0; i < n && r == 0; i++)
		r = apply_one(x, &x->ahead[i]);
	return r;
}

/* Applied some records later, once their pages are there; apply_ahead ends a pass. */
static int apply(void *opaque, const struct record *r)
{
	struct replay *x = opaque;

	if (r->seq > x->limit)
		return fail(-EIO,
			    "%s's journal was read twice, and differed: record %" PRIu64
			    " came after the last one; try again",
			    x->p->path, r->seq);
	x->ahead[x->nahead++] = *r;
	return x->nahead < AHEAD_MAX ? 0 : apply_ahead(x);
}

/* First pass over the journal; the tail's follows, and only then is anything applied. */
static int scan_journal(struct replay *x, const struct journal_position *from,
			struct journal_position *ret_end)
{
	struct cowbd_pool *p = x->p;

	return journal_scan(p->e.store, &p->e.geo, p->e.super.uuid, from, x->last_batch, set_aside,
			    x, ret_end);
}

/* Second pass; *first: where the first one ended. */
static int replay_journal(struct replay *x, const struct journal_position *first,
			  struct journal_position *at)
{
	struct cowbd_pool *p = x->p;
	struct journal_position from = *at, end;
	int r;

	if (!p->e.read_only && !MUTANT("open-without-sync") &&
	    (r = store_sync(p->e.store, NULL, 0)) < 0) { /* rule 6 */
		super_taint(&p->e); /* the next opening's sync would succeed, and cover nothing */
		return r;
	}
	/* what was given up must not be there again should this recovery be cut off */
	if (!p->e.read_only && x->given_up && (first->stopped || first->rejected) &&
	    (r = journal_void(p->e.store, &p->e.geo, first)) < 0)
		return r;
	x->limit = first->seq;
	r = journal_scan(p->e.store, &p->e.geo, p->e.super.uuid, &from, x->last_batch, apply, x,
			 &end);
	if (r < 0 || (r = apply_ahead(x)) < 0)
		return r;
	if (end.seq != first->seq)
		return fail(-EIO,
			    "%s's journal was read twice, and differed: record %" PRIu64
			    " was the last, then %" PRIu64 "; try again",
			    p->path, first->seq, end.seq);
	settle_all(&p->e, x->last);
	p->e.stats.replayed_journal = x->last - from.seq;
	*at = end;
	return 0;
}

/* ---- the tail ------------------------------------------------------------------------------------ */

static void identity_of(const struct cowbd_pool *p, struct tail_identity *id)
{
	const struct disk_super *s = &p->e.super;

	memcpy(id->uuid, s->uuid, sizeof id->uuid);
	memcpy(id->boot_id, s->boot_id, sizeof id->boot_id);
	memcpy(id->session_id, s->session_id, sizeof id->session_id);
	id->pool_dev = get64(s->pool_dev);
	id->pool_ino = get64(s->pool_ino);
}

static void add_note(struct cowbd_pool *p, const char *fmt, ...) PRINTF(2, 3);
static void add_note(struct cowbd_pool *p, const char *fmt, ...)
{
	size_t len = strlen(p->note);
	va_list args;

	if (len && len + 2 < sizeof p->note) {
		strcpy(p->note + len, "; ");
		len += 2;
	}
	va_start(args, fmt);
	vsnprintf(p->note + len, sizeof p->note - len, fmt, args);
	va_end(args);
}

static bool was_tainted(const struct cowbd_pool *p)
{
	return get32(p->e.super.flags) & SUPER_TAINTED;
}

/* The cache may hold what the disk has not: the kernel calls it clean since the sync failed. */
static int accept_error(struct cowbd_pool *p)
{
	if (!(p->flags & COWBD_OPEN_AFTER_ERROR))
		return fail(-EIO,
			    "a sync failed in %s's last session: what was written near its end may "
			    "be lost; go on with `serve --after-error`",
			    p->path);
	add_note(p, "a sync failed in the last session: what was written after the last flush "
		    "before it may be lost");
	(void)!store_drop_cache(p->e.store);
	return 0;
}

static int lost_tail(struct cowbd_pool *p, const char *why)
{
	if (p->flags & COWBD_OPEN_LOST_TAIL) {
		add_note(p,
			 "the last session's tail is lost (%.120s): writes that were not flushed "
			 "may be missing",
			 why);
		return 0;
	}
	return fail(
		-ENODATA,
		"%s was not closed, and its volatile tail can't be used: %s; what was not flushed "
		"is lost: accept that with --lost-tail",
		p->path, why);
}

/* The journal went on from end, and can't be read there; proof: how that is known. */
static int accept_damage(struct replay *x, const struct journal_position *end, const char *proof)
{
	struct cowbd_pool *p = x->p;

	if (!(p->flags & COWBD_OPEN_AFTER_ERROR))
		return fail(-EUCLEAN,
			    "batch %" PRIu64
			    " of %s's journal is damaged, and %s: what was flushed from then on "
			    "can't be replayed; go on without it with `serve --after-error`",
			    end->batch, p->path, proof);
	add_note(p,
		 "the journal is damaged: what was written from its batch %" PRIu64
		 " on is lost, flushed or not",
		 end->batch);
	x->torn = x->given_up = true;
	x->tail = false; /* it doesn't follow */
	return 0;
}

/* A journal that ends at end may have gone on, and be damaged there. */
static int look_beyond(struct replay *x, const struct journal_position *end)
{
	struct cowbd_pool *p = x->p;
	uint64_t beyond;
	char proof[64];
	int r = journal_beyond(p->e.store, &p->e.geo, p->e.super.uuid, end, &beyond);

	if (r < 0 || beyond == 0)
		return r;
	snprintf(proof, sizeof proof, "batch %" PRIu64 " is there", beyond);
	return accept_damage(x, end, proof);
}

/* The ring can't be read behind end, where the journal may have gone on. */
static int accept_stop(struct replay *x, const struct journal_position *end)
{
	struct cowbd_pool *p = x->p;
	uint64_t batch = end->batch + end->rejected;

	if (x->state.durable) { /* and it doesn't fall short of that */
		add_note(p, "a part of the journal can't be read, and none of it is needed");
		return 0;
	}
	if (!(p->flags & COWBD_OPEN_AFTER_ERROR))
		return fail(-EIO,
			    "%s's journal can't be read where its batch %" PRIu64
			    " belongs: if there was one, what was flushed from then on can't be "
			    "replayed; go on without it with `serve --after-error`",
			    p->path, batch);
	add_note(p,
		 "the journal can't be read: what was written from its batch %" PRIu64
		 " on, if there was one, is lost, flushed or not",
		 batch);
	x->given_up = true;
	return 0;
}

/* First pass over the old session's tail, where there must be one; before: the journal's last record. */
static int scan_tail(struct replay *x, uint64_t before)
{
	struct cowbd_pool *p = x->p;
	const struct disk_super *s = &p->e.super;
	struct tail_identity want;
	uint64_t journaled = x->scanned;
	uint8_t boot[16];
	char path[sizeof s->tail_path + 1] = "";
	bool tainted;
	int r = tail_boot_id(boot);

	if (r < 0)
		return r;
	memcpy(path, s->tail_path, sizeof s->tail_path);
	if (memcmp(boot, s->boot_id, sizeof boot) != 0)
		return 0; /* the power was off: the tail went with it, as it should */
	if (path[0] == '\0')
		return lost_tail(p, "that session kept none");
	if (p->e.store->dev != get64(s->pool_dev) ||
	    p->e.store->ino != get64(s->pool_ino)) /* [RECOVER-1] */
		return lost_tail(p, "this is a copy of the pool that it belongs to");
	identity_of(p, &want);
	r = tail_scan(path, get64(s->tail_dev), get64(s->tail_ino), &want, before, set_aside, x,
		      &x->state);
	if (r == -ENOENT || r == -ESTALE) {
		char why[200];

		snprintf(why, sizeof why, "%s", error_message());
		return lost_tail(p, why);
	}
	if (r < 0 && r != -EILSEQ) /* falls_short tells of that */
		return r;
	x->dropped = x->state.tainted && !was_tainted(p);
	if (x->dropped && (r = accept_error(p)) < 0)
		return r;
	/* what only the superblock says: the data that the tail's records name may be gone all the same */
	tainted = x->state.tainted || was_tainted(p);
	if (tainted && x->scanned > journaled)
		add_note(p, "%" PRIu64 " changes that were not durable yet are given up",
			 x->scanned - journaled);
	x->tail = !tainted;
	return 0;
}

static int replay_tail(struct replay *x)
{
	struct cowbd_pool *p = x->p;
	const struct disk_super *s = &p->e.super;
	struct tail_identity want;
	char path[sizeof s->tail_path + 1] = "";
	uint64_t before = x->last;
	struct tail_state state;
	int r;

	if (!x->tail || MUTANT("no-tail"))
		return 0;
	memcpy(path, s->tail_path, sizeof s->tail_path);
	identity_of(p, &want);
	x->limit = UINT64_MAX;
	r = tail_scan(path, get64(s->tail_dev), get64(s->tail_ino), &want, before, apply, x,
		      &state);
	if (r >= 0)
		r = apply_ahead(x);
	p->e.stats.replayed_tail = x->last - before;
	return r;
}

/* ---- loading -------------------------------------------------------------------------------------- */

static int load_super(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	int r = super_read(e->store, &e->super, p->note, sizeof p->note);

	if (r == -EINVAL)
		return fail(r, "%s is not a cowbd pool: `cowbd init` makes one", p->path);
	if (r < 0)
		return r;
	p->committed = e->super;
	geometry_init(&e->geo, get64(e->super.zones), get64(e->super.journal_zones),
		      get32(e->super.block_shift));
	if (e->geo.zones * ZONE_BYTES > e->store->size)
		return fail(-EUCLEAN,
			    "%s is truncated: it has %" PRIu64 " bytes, and the pool %" PRIu64
			    "; copy it again, whole",
			    p->path, e->store->size, e->geo.zones * ZONE_BYTES);
	p->was_clean = get32(e->super.flags) & SUPER_CLEAN;
	return was_tainted(p) ? accept_error(p) : 0;
}

static int load_checkpoint(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	int r;

	if ((r = pages_new(e->store, &e->geo, &e->super, &e->lock, p->cache_bytes, &e->pages)) <
		    0 ||
	    (r = space_new(e->store, &e->geo, e->pages, &e->epochs, &e->lock, &e->space)) < 0 ||
	    (r = catalog_new(e, &p->cat)) < 0)
		return r;
	pages_set_claims(e->pages, e->stock, &e->nstock);
	if ((r = space_load(e->space)) < 0 || (r = dying_load(e)) < 0)
		return r;
	return catalog_load(p->cat);
}

/* What records opened may not have reached the host's disk as allocated. */
static int allocate_again(struct replay *x)
{
	int r = 0;

	for (size_t i = 0; i < x->nzones && r == 0 && !x->p->e.read_only; i++)
		r = space_allocate_zone(x->p->e.store, &x->p->e.geo, x->zones[i]);
	return r;
}

/* Nothing is applied yet. */
static int look_at_all(struct replay *x, const struct journal_position *at,
		       struct journal_position *end)
{
	int r;

	x->scanned = 0;
	x->state = (struct tail_state){0};
	r = scan_journal(x, at, end);
	if (r == 0)
		r = look_beyond(x, end);
	if (r == 0 && !x->torn) /* else the tail doesn't follow */
		r = scan_tail(x, end->seq);
	return r;
}

/* The journal ends before records that the tail says were durable, and has none of, or before its first one. [TAIL-5] */
static bool falls_short(const struct replay *x, const struct journal_position *end)
{
	uint64_t held = x->tail ? MAX(end->seq, x->state.last) : end->seq;

	return !x->torn && (x->state.first > end->seq + 1 || x->state.durable > held);
}

/* The last batch doesn't count: a power cut leaves that, or its data is damaged. */
static int accept_rejected(struct replay *x, const struct journal_position *end)
{
	struct cowbd_pool *p = x->p;

	if (x->tail && x->state.first == end->seq + 1) { /* the tail has its records, too */
		add_note(p, "data that the last commit wrote is not what it recorded");
		return 0;
	}
	if (end->unreadable && !(p->flags & COWBD_OPEN_AFTER_ERROR))
		return fail(-EIO,
			    "data that the last commit in %s wrote can't be read; go on without "
			    "that commit with "
			    "`serve --after-error`",
			    p->path);
	add_note(
		p,
		"the last commit was cut short: its data is not all there, and what it recorded is "
		"given up");
	x->given_up |= end->unreadable;
	return 0;
}

/* The last batch was durable, and its data with it, whatever that holds now [JOURNAL-6]: damage, or what was written in
 * place after a batch that is damaged. */
static int count_rejected(struct replay *x, const struct journal_position *at,
			  struct journal_position *end)
{
	int r;

	x->last_batch = JOURNAL_LAST_COUNTS;
	x->scanned = 0;
	r = x->dropped ? scan_journal(x, at, end) : look_at_all(x, at, end);
	if (r == 0)
		add_note(x->p, "data that the last commit wrote is not what it recorded");
	return r;
}

static int first_pass(struct replay *x, const struct journal_position *at,
		      struct journal_position *end)
{
	int r = look_at_all(x, at, end);

	if (r == 0 && x->dropped) { /* what was read was the cache's, not the disk's */
		x->scanned = 0;
		x->state.first = 0; /* behind that end; what was durable is told by the other */
		r = scan_journal(x, at, end);
	}
	if (r == 0 && end->rejected && falls_short(x, end))
		r = count_rejected(x, at, end);
	if (r == 0 && falls_short(x, end))
		r = accept_damage(x, end, "the volatile tail says that it was durable");
	else if (r == 0 && end->stopped && !x->torn)
		r = accept_stop(x, end);
	if (r == 0 && end->rejected)
		r = accept_rejected(x, end);
	x->last_batch = end->rejected ? JOURNAL_LAST_REJECTED : JOURNAL_LAST_COUNTS;
	return r;
}

int recover(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	struct replay x = {.p = p};
	struct journal_position at, end = {0};
	int r;

	if ((r = load_super(p)) < 0 || (r = load_checkpoint(p)) < 0)
		return r;
	at = journal_position_of(&e->super);
	x.last = at.seq;
	if (!p->was_clean) {
		x.ahead = malloc(AHEAD_MAX * sizeof *x.ahead);
		if (!x.ahead)
			return fail(-ENOMEM, "no memory to replay the journal");
		pages_unbounded(e->pages, true);
		r = first_pass(&x, &at, &end);
		/* from here on it is not refused any more, and not before is anything written.
		 * A cut may have come between the copies: made equal before a slot or a zone that the
		 * other one needs is written [SUPER-1] */
		if (r == 0 && !e->read_only)
			r = super_commit(p, &p->committed);
		if (r == 0)
			r = replay_journal(&x, &end, &at);
		if (r == 0)
			r = replay_tail(&x);
		if (r == 0)
			r = allocate_again(&x);
		pages_unbounded(e->pages, false);
	}
	free(x.zones);
	free(x.ahead);
	/* nor may a batch whose data was not there count later, when the same data may be there again */
	if (x.torn || x.given_up || at.rejected || at.stopped)
		journal_skip_beyond(&e->geo, &at);
	p->recovered = at;
	p->recovered.seq = x.last;
	return r;
}

/* ---- a new session --------------------------------------------------------------------------------- */

static int choose_tail(struct cowbd_pool *p, const char *session, char *buf, size_t len)
{
	char dir[200];
	int r;

	if (p->flags & COWBD_OPEN_NO_TAIL) {
		snprintf(p->tail_state, sizeof p->tail_state, "off: switched off");
		return 0;
	}
	r = tail_directory(p->run_dir, dir, sizeof dir);
	if (r < 0) {
		snprintf(p->tail_state, sizeof p->tail_state, "off: %.250s", error_message());
		return 0;
	}
	snprintf(buf, len, "%s/%s.tail", dir, session);
	return 1;
}

static int new_journal(struct cowbd_pool *p, struct disk_super *next)
{
	/* the ring from the committed checkpoint on is needed until the next one (rule 5) */
	struct journal_position start = journal_position_of(next);
	struct journal_options opt = {0};
	char session[37], path[sizeof next->tail_path];
	uint64_t dev, ino;
	int r;

	uuid_generate(next->session_id);
	uuid_unparse_lower(next->session_id, session);
	if ((r = tail_boot_id(next->boot_id)) < 0)
		return r;
	next->pool_dev = put64(p->e.store->dev);
	next->pool_ino = put64(p->e.store->ino);
	memset(next->tail_path, 0, sizeof next->tail_path);
	next->tail_dev = next->tail_ino = put64(0);
	r = choose_tail(p, session, path, sizeof path);
	if (r == 1) {
		opt.tail_path = path;
		memcpy(opt.identity.uuid, next->uuid, 16);
		memcpy(opt.identity.boot_id, next->boot_id, 16);
		memcpy(opt.identity.session_id, next->session_id, 16);
		opt.identity.pool_dev = p->e.store->dev;
		opt.identity.pool_ino = p->e.store->ino;
	}
	opt.start = &start;
	r = journal_new(p->e.store, &p->e.geo, next->uuid, &p->recovered, &opt, &p->e.journal);
	if (r < 0)
		return r;
	if (journal_tail_id(p->e.journal, &dev, &ino)) {
		next->tail_dev = put64(dev);
		next->tail_ino = put64(ino);
		memcpy(next->tail_path, path, strlen(path));
		snprintf(p->tail_state, sizeof p->tail_state, "%s", path);
	}
	return 0;
}

/* The tail of the session that is over.  Not if this is a copy: then the tail is still the other pool's. */
static void remove_tail_of(const struct cowbd_pool *p, const struct disk_super *old)
{
	char path[sizeof old->tail_path + 1] = "";
	struct stat st;

	memcpy(path, old->tail_path, sizeof old->tail_path);
	if (path[0] && !p->was_clean && p->e.store->dev == get64(old->pool_dev) &&
	    p->e.store->ino == get64(old->pool_ino) && lstat(path, &st) == 0 &&
	    st.st_dev == get64(old->tail_dev) && st.st_ino == get64(old->tail_ino))
		unlink(path);
}

int recover_begin_session(struct cowbd_pool *p)
{
	struct engine *e = &p->e;
	struct disk_super old = e->super, next = e->super;
	bool replayed = p->recovered.seq != get64(e->super.cut) ||
			p->recovered.batch != get64(e->super.journal_batch);
	int r;

	r = new_journal(p, &next);
	if (r < 0)
		return r;
	next.flags = put32(0); /* neither clean nor tainted */
	next.incompat = put64(get64(next.incompat) | FEATURE_BATCH_SUMS);
	memcpy(next.slot, e->super.slot, sizeof next.slot);
	e->super = next;
	space_set_journal(e->space, e->journal);
	e->pending_dirty.all = replayed; /* nobody noted what the tail's records name */
	e->young.long_way = replayed;
	space_set_hold(e->space, &e->hold);
	/* [RECOVER-2]: without replayed records the superblock alone begins the session */
	r = replayed && !MUTANT("session-before-checkpoint") ? checkpoint_run(e)
							     : super_commit(p, &next);
	if (r == 0)
		remove_tail_of(p, &old);
	return r;
}
