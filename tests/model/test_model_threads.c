/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_model_threads.c - several threads on several volumes, snapshots meanwhile, kill -9 at any moment
 *
 * Rounds.  In each a child opens the pool with its background workers; writers change the first volumes while a
 * manager snapshots, clones, reads, renames and deletes, and writes to clones.  At a random moment the child
 * is killed (or told to close in order).  Another thread scrubs.  Then the parent opens the pool and judges.
 *
 *	a volume under test    [ t0 ][ t1 ][ t2 ][ t0 ][ t1 ]...   stripes, each written by one thread alone
 *
 * A writer logs each request before it begins and after it was answered, in shared memory.  So:
 *   after the kill   each writer's answered requests are there, the one under way in part
 *   a snapshot       is one instant: for each writer a prefix of its requests, the next one in part, over all
 *                    volumes of the group; and the prefix is between what was answered before the command
 *                    and what had begun when it returned
 * Stripes are of odd length in sectors, so that writers share blocks.
 *
 *	COWBD_SEED, COWBD_MODEL_TRACE     as test_model.c
 *	COWBD_MODEL_SECONDS               for each block size (8)
 */
#include "model.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#undef fail

#define WRITERS 3u
#define HOT 3u /* the volumes that writers write: places 0 .. */
#define LOG_MAX 40000u
#define SECTOR 512u

/* A writer's request. */
struct entry {
	uint8_t hot;
	uint8_t zero;     /* else a write */
	uint32_t at, len; /* bytes of the array */
	uint64_t seed;    /* of what is written */
};

struct writer_log {
	_Atomic uint32_t begun, answered; /* requests */
	struct entry entry[LOG_MAX];
};

/* A command of the manager that is under way, for the parent to resolve. */
enum doing { NOTHING, MAKING, REMOVING, RENAMING, CHANGING };

struct shared {
	_Atomic uint32_t doing;
	unsigned n, place[HOT];               /* MAKING, REMOVING (one) */
	char name[40];                        /* RENAMING: the new one */
	unsigned changed;                     /* CHANGING: a clone, */
	uint64_t from, end, seed;             /* its bytes, and with what (0: zeros) */
	uint64_t made;                        /* of the model in the child */
	uint32_t low[WRITERS], high[WRITERS]; /* MAKING: answered before, begun at the end */
	_Atomic bool stop;
	uint64_t scrubs, verified; /* blocks */
	struct model_object object[MODEL_OBJECTS];
	struct writer_log log[WRITERS];
};

struct setup {
	const char *name;
	uint64_t block, window_blocks, stripe_sectors, pool;
};

static const struct setup setups[] = {
	{"4 KiB, threads", 4096, 30, 37, UINT64_C(400) << 20},
	{"64 KiB, threads", 65536, 8, 201, UINT64_C(700) << 20},
	{"1 MiB, threads", 1u << 20, 2, 1501, UINT64_C(1200) << 20},
};

struct run {
	const struct setup *s;
	struct model m;
	struct shared *sh;
	char path[300], dir[280];
	uint8_t *live[HOT]; /* in the child: what its writers know */
	unsigned kills, closes, snapshots;
	uint64_t requests;
};

/* ---- windows: as the model's, but here a request never leaves a stripe --------------------- */

static uint64_t disk_offset(const struct model *m, uint64_t at)
{
	return m->base[at / m->window] + at % m->window;
}

static uint64_t stripe_bytes(const struct run *t)
{
	return t->s->stripe_sectors * SECTOR;
}

/* ---- writers --------------------------------------------------------------------------------- */

struct writer {
	struct run *t;
	unsigned id;
	uint64_t rng;
	struct cowbd_client *client[HOT];
	uint8_t *buf;
};

static uint64_t writer_below(struct writer *w, uint64_t n)
{
	struct model m = {.rng = w->rng};
	uint64_t v = model_below(&m, n);

	w->rng = m.rng;
	return v;
}

/* A range of whole sectors in one of the writer's own stripes and one window. */
static void choose(struct writer *w, struct entry *x)
{
	const struct run *t = w->t;
	uint64_t stripe = stripe_bytes(t), n = model_bytes(&t->m) / stripe / WRITERS;
	uint64_t start = (writer_below(w, n) * WRITERS + w->id) * stripe;
	uint64_t at = start + writer_below(w, t->s->stripe_sectors) * SECTOR;
	uint64_t end = MIN(start + stripe, (at / t->m.window + 1) * t->m.window), len;

	x->hot = (uint8_t)writer_below(w, HOT);
	x->zero = writer_below(w, 100) < 15;
	x->at = (uint32_t)at;
	len = (1 + writer_below(w, writer_below(w, 3) ? 16 : t->s->stripe_sectors)) * SECTOR;
	x->len = (uint32_t)MIN(end - at, len);
	x->seed = writer_below(w, UINT64_MAX) | 1;
}

static void verify_own(struct writer *w, const struct entry *x)
{
	const uint8_t *want = w->t->live[x->hot] + x->at;
	int r = cowbd_read(w->client[x->hot], w->buf, x->len, disk_offset(&w->t->m, x->at));

	model_expect(r == 0, "read: %d", r);
	model_expect(memcmp(w->buf, want, x->len) == 0,
		     "writer %u reads something else than it wrote, volume %u at %" PRIu64 "+%u",
		     w->id, x->hot, disk_offset(&w->t->m, x->at), x->len);
}

static void request(struct writer *w, const struct entry *x)
{
	struct cowbd_client *c = w->client[x->hot];
	uint64_t offset = disk_offset(&w->t->m, x->at);
	uint8_t *live = w->t->live[x->hot] + x->at;
	unsigned flags = writer_below(w, 100) < 3 ? COWBD_FUA : 0;
	int r;

	if (x->zero) {
		r = cowbd_zero(c, x->len, offset, flags);
		memset(live, 0, x->len);
	} else {
		model_fill(live, x->len, x->seed);
		r = cowbd_write(c, live, x->len, offset, flags);
	}
	model_expect(r == 0, "writer %u: %s: %d", w->id, x->zero ? "zero" : "write", r);
}

static void *write_much(void *opaque)
{
	struct writer *w = opaque;
	struct writer_log *log = &w->t->sh->log[w->id];

	while (!atomic_load(&w->t->sh->stop)) {
		uint32_t n = atomic_load(&log->begun);
		struct entry x;

		choose(w, &x);
		if (writer_below(w, 100) < 20 || n == LOG_MAX) {
			verify_own(w, &x);
			continue;
		}
		if (writer_below(w, 100) < 2)
			model_expect(cowbd_flush(w->client[x.hot]) == 0, "flush");
		log->entry[n] = x;
		atomic_store(&log->begun, n + 1);
		request(w, &x);
		atomic_store(&log->answered, n + 1);
	}
	return NULL;
}

/* ---- judging -------------------------------------------------------------------------------------- */

static void apply_entry(const struct entry *x, uint8_t *to, uint64_t from, uint64_t end)
{
	uint8_t *buf = malloc(x->len);

	model_expect(buf, "no memory");
	if (x->zero)
		memset(buf, 0, x->len);
	else
		model_fill(buf, x->len, x->seed);
	memcpy(to + from, buf + (from - x->at), end - from);
	free(buf);
}

/* What a set of volumes held at one instant, against their arrays at the round's beginning. */
struct judged {
	struct run *t;
	const uint8_t *got[HOT]; /* NULL: not in the set */
	uint8_t *image[HOT];     /* base, and what is known to be in */
};

static uint64_t count_wrong(const struct judged *j, unsigned id)
{
	uint64_t stripe = stripe_bytes(j->t), all = model_bytes(&j->t->m), n = 0;

	for (unsigned h = 0; h < HOT; h++)
		for (uint64_t at = id * stripe; j->got[h] && at < all; at += WRITERS * stripe)
			for (uint64_t k = at; k < MIN(at + stripe, all); k += SECTOR)
				n += memcmp(j->got[h] + k, j->image[h] + k, SECTOR) != 0;
	return n;
}

/* Takes request x into the image; returns how many of its sectors were wrong, *ret_explained of them
 * because x is in already. */
static uint64_t take_in(const struct judged *j, const struct entry *x, uint64_t *ret_explained,
			uint64_t *ret_after)
{
	uint64_t before = 0;

	*ret_explained = *ret_after = 0;
	if (!j->got[x->hot])
		return 0;
	uint8_t *image = j->image[x->hot];
	const uint8_t *got = j->got[x->hot];
	uint8_t *old = malloc(x->len);

	model_expect(old, "no memory");
	memcpy(old, image + x->at, x->len);
	apply_entry(x, image, x->at, x->at + x->len);
	for (uint64_t k = 0; k < x->len; k += SECTOR) {
		bool was = memcmp(got + x->at + k, old + k, SECTOR) != 0;
		bool is = memcmp(got + x->at + k, image + x->at + k, SECTOR) != 0;

		before += was;
		*ret_after += is;
		*ret_explained += was && !is;
	}
	free(old);
	return before;
}

/* Is there an instant between low and high that explains what writer id wrote? */
static bool explain(const struct judged *j, unsigned id, uint32_t low, uint32_t high)
{
	const struct writer_log *log = &j->t->sh->log[id];
	uint64_t wrong, explained, after;

	for (uint32_t i = 0; i < low; i++)
		if (j->got[log->entry[i].hot])
			apply_entry(&log->entry[i], j->image[log->entry[i].hot], log->entry[i].at,
				    log->entry[i].at + log->entry[i].len);
	wrong = count_wrong(j, id);
	for (uint32_t i = low; i < high && wrong; i++) {
		uint64_t before = take_in(j, &log->entry[i], &explained, &after);

		if (wrong == explained)
			return true;
		wrong = wrong - before + after;
	}
	return wrong == 0;
}

static void judge(struct run *t, const uint8_t *const got[HOT], const uint32_t low[WRITERS],
		  const uint32_t high[WRITERS], const char *what)
{
	struct judged j = {.t = t};

	for (unsigned h = 0; h < HOT; h++) {
		j.got[h] = got[h];
		if (!got[h])
			continue;
		j.image[h] = malloc(model_bytes(&t->m));
		model_expect(j.image[h], "no memory");
		memcpy(j.image[h], t->sh->object[h].data, model_bytes(&t->m));
	}
	for (unsigned id = 0; id < WRITERS; id++)
		model_expect(explain(&j, id, low[id], high[id]),
			     "%s: no instant between requests %u and %u of writer %u "
			     "explains what it holds",
			     what, low[id], high[id], id);
	for (unsigned h = 0; h < HOT; h++)
		free(j.image[h]);
}

static void note(const struct run *t, uint32_t to[WRITERS], bool begun)
{
	for (unsigned id = 0; id < WRITERS; id++)
		to[id] = atomic_load(begun ? &t->sh->log[id].begun : &t->sh->log[id].answered);
}

/* ---- the manager ------------------------------------------------------------------------------------- */

static int place_free(const struct model *m)
{
	for (unsigned i = HOT; i < m->max_objects; i++)
		if (!m->object[i].live)
			return (int)i;
	return -1;
}

/* Puts what the new objects in sh->place hold into their arrays, judged. */
static void adopt(struct run *t, unsigned n, const unsigned *place, const unsigned *hot)
{
	struct shared *sh = t->sh;
	const uint8_t *got[HOT] = {NULL};

	for (unsigned k = 0; k < n; k++) {
		model_read_all(&t->m, place[k], sh->object[place[k]].data);
		got[hot[k]] = sh->object[place[k]].data;
	}
	judge(t, got, sh->low, sh->high, sh->object[place[0]].name);
}

static void make(struct run *t, bool clone)
{
	struct model *m = &t->m;
	struct shared *sh = t->sh;
	unsigned hot[HOT], n = 0, want = clone ? 1 : 1 + (unsigned)model_below(m, HOT);
	const char *names[HOT];
	int r;

	sh->n = 0;
	note(t, sh->low, false);
	atomic_store(&sh->doing, MAKING);
	for (unsigned h = (unsigned)model_below(m, HOT); n < want; h++) {
		int i = place_free(m);

		if (i < 0)
			break;
		struct model_object *o = &sh->object[i];

		hot[n] = h % HOT;
		sh->place[n++] = (unsigned)i;
		sh->n = n;
		*o = (struct model_object){.live = true,
					   .snapshot = !clone,
					   .volume = (int)hot[n - 1],
					   .born = ++m->made,
					   .size = sh->object[hot[n - 1]].size,
					   .data = o->data};
		if (clone)
			snprintf(o->name, sizeof o->name, "c%" PRIu64, m->made);
		else
			snprintf(o->name, sizeof o->name, "hot%u@m%" PRIu64, hot[n - 1], m->made);
		names[n - 1] = o->name;
	}
	if (n == 0) {
		atomic_store(&sh->doing, NOTHING);
		return;
	}
	r = clone ? cowbd_clone(m->pool, sh->object[hot[0]].name, names, 1, 0, COWBD_NO_WAIT)
		  : cowbd_snapshot(m->pool, names, n, COWBD_LABEL_CRASH,
				   model_chance(m, 50) ? COWBD_NO_WAIT : 0);
	model_expect(r == 0, "making \"%s\": %d", names[0], r);
	note(t, sh->high, true);
	adopt(t, n, sh->place, hot);
	atomic_store(&sh->doing, NOTHING);
	t->snapshots++;
}

static int pick_cold(struct model *m, bool snapshot)
{
	unsigned start = (unsigned)model_below(m, MODEL_OBJECTS);

	for (unsigned k = 0; k < MODEL_OBJECTS; k++) {
		unsigned i = (start + k) % MODEL_OBJECTS;

		if (i >= HOT && m->object[i].live && m->object[i].snapshot == snapshot)
			return (int)i;
	}
	return -1;
}

static void drop(struct run *t)
{
	struct model *m = &t->m;
	int i = pick_cold(m, model_chance(m, 70));
	const char *name;

	if (i < 0)
		return;
	for (unsigned k = HOT; k < MODEL_OBJECTS; k++) /* a clone's snapshots stay: it does, too */
		if (m->object[k].live && m->object[k].snapshot && m->object[k].volume == i)
			return;
	cowbd_client_close(m->client[i]);
	m->client[i] = NULL;
	t->sh->place[0] = (unsigned)i;
	name = m->object[i].name;
	atomic_store(&t->sh->doing, REMOVING);
	int r = cowbd_remove(m->pool, &name, 1, model_chance(m, 70) ? COWBD_NO_WAIT : 0);

	model_expect(r == 0, "removing \"%s\": %d", name, r);
	m->object[i].live = false;
	atomic_store(&t->sh->doing, NOTHING);
}

static void rename_one(struct run *t)
{
	struct model *m = &t->m;
	int i = pick_cold(m, true);

	if (i < 0)
		return;
	snprintf(t->sh->name, sizeof t->sh->name, "%.20s@r%" PRIu64,
		 m->object[m->object[i].volume].name, ++m->made);
	t->sh->place[0] = (unsigned)i;
	atomic_store(&t->sh->doing, RENAMING);
	model_expect(cowbd_rename(m->pool, m->object[i].name, t->sh->name, COWBD_NO_WAIT) == 0,
		     "renaming");
	strcpy(m->object[i].name, t->sh->name);
	atomic_store(&t->sh->doing, NOTHING);
}

/* Writes to a clone, whose blocks the volumes under test share. */
static void change_clone(struct run *t)
{
	struct model *m = &t->m;
	struct shared *sh = t->sh;
	int i = pick_cold(m, false), r;
	uint64_t at, len, w;

	if (i < 0)
		return;
	w = model_below(m, MODEL_WINDOWS);
	at = model_below(m, m->window);
	len = 1 + model_below(m, 4 * m->block);
	len = MIN(len, m->window - at);
	at += w * m->window;
	if (disk_offset(m, at) + len > m->object[i].size)
		return;
	if (!m->client[i])
		model_expect(cowbd_client_open(m->pool, m->object[i].name, false, "manager",
					       &m->client[i]) == 0,
			     "open");
	sh->changed = (unsigned)i;
	sh->from = at;
	sh->end = at + len;
	sh->seed = model_chance(m, 20) ? 0 : model_random(m) | 1;
	atomic_store(&sh->doing, CHANGING);
	if (sh->seed)
		model_fill(m->buf[0], len, sh->seed);
	else
		memset(m->buf[0], 0, len);
	r = sh->seed ? cowbd_write(m->client[i], m->buf[0], len, disk_offset(m, at), 0)
		     : cowbd_zero(m->client[i], len, disk_offset(m, at), 0);
	model_expect(r == 0, "writing to a clone: %d", r);
	/* not undone by a kill in the middle: the parent takes either */
	memcpy(m->object[i].data + at, m->buf[0], len);
	atomic_store(&sh->doing, NOTHING);
}

static void manage(struct run *t, uint64_t until_ns)
{
	struct model *m = &t->m;

	while (!atomic_load(&t->sh->stop) && now_ns() < until_ns) {
		uint64_t what = model_below(m, 100);
		int i;

		if (what < 20)
			make(t, false);
		else if (what < 25)
			make(t, true);
		else if (what < 45)
			drop(t);
		else if (what < 50)
			rename_one(t);
		else if (what < 85)
			change_clone(t);
		else if (what < 95 && (i = pick_cold(m, model_chance(m, 70))) >= 0)
			model_compare(m, (unsigned)i);
		else if (what < 96)
			model_check(m);
		else if (what < 98)
			model_expect(cowbd_checkpoint(m->pool) == 0, "checkpoint");
		else
			model_expect(cowbd_sync(m->pool) == 0, "sync");
		t->sh->made = m->made;
	}
}

/* ---- scrubs, beside all that ------------------------------------------------------------------------------ */

static void say_alarm(void *opaque, enum cowbd_damage_kind kind, const char *object,
		      uint64_t offset, const char *message)
{
	(void)opaque;
	if (kind != COWBD_NOTE)
		fprintf(stderr, "%s: %s (offset %" PRIu64 ")\n", object, message, offset);
}

/* None raises an alarm. */
static void *scrub_much(void *opaque)
{
	struct cowbd_check_options opt = {.report = say_alarm};
	struct run *t = opaque;

	while (!atomic_load(&t->sh->stop)) {
		struct cowbd_scrub_result res = {.read = 0};
		int r = cowbd_scrub(t->m.pool, &opt, &res);

		model_expect(r == 0 || r == -EBUSY, "scrub: %d %s", r, cowbd_error());
		model_expect(res.rotten + res.unreadable + res.skipped + res.check.damages +
					     res.check.leaks ==
				     0,
			     "scrub: %" PRIu64 " rotten blocks", res.rotten);
		t->sh->scrubs += r == 0;
		t->sh->verified += res.verified;
		usleep(20000);
	}
	return NULL;
}

/* ---- the child -------------------------------------------------------------------------------------------- */

static void open_pool(struct run *t)
{
	struct cowbd_open_options opt = {
		.cache_bytes = 1 << 20, .run_dir = t->dir, .wait_ms = 5000};
	int r = cowbd_open(t->path, &opt, &t->m.pool);

	model_expect(r == 0, "opening: %d", r);
}

static void child(struct run *t, uint64_t ns)
{
	struct writer writer[WRITERS] = {0};
	pthread_t thread[WRITERS], scrubber;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_pool(t);
	model_expect(cowbd_start(t->m.pool) == 0, "start");
	for (unsigned h = 0; h < HOT; h++) {
		t->live[h] = malloc(model_bytes(&t->m));
		model_expect(t->live[h], "no memory");
		memcpy(t->live[h], t->sh->object[h].data, model_bytes(&t->m));
	}
	for (unsigned id = 0; id < WRITERS; id++) {
		writer[id] = (struct writer){.t = t,
					     .id = id,
					     .rng = model_random(&t->m),
					     .buf = malloc(stripe_bytes(t))};
		for (unsigned h = 0; h < HOT; h++)
			model_expect(cowbd_client_open(t->m.pool, t->sh->object[h].name, false,
						       "writer", &writer[id].client[h]) == 0,
				     "open");
		model_expect(pthread_create(&thread[id], NULL, write_much, &writer[id]) == 0,
			     "thread");
	}
	model_expect(pthread_create(&scrubber, NULL, scrub_much, t) == 0, "thread");
	manage(t, now_ns() + ns);
	atomic_store(&t->sh->stop, true);
	pthread_join(scrubber, NULL);
	for (unsigned id = 0; id < WRITERS; id++) {
		pthread_join(thread[id], NULL);
		for (unsigned h = 0; h < HOT; h++)
			cowbd_client_close(writer[id].client[h]);
		free(writer[id].buf);
	}
	for (unsigned h = 0; h < HOT; h++)
		free(t->live[h]);
	model_detach(&t->m);
	model_expect(cowbd_close(t->m.pool) == 0, "closing");
	exit(0);
}

/* ---- the parent ---------------------------------------------------------------------------------------------- */

static bool exists(struct run *t, const char *name)
{
	struct cowbd_object o;

	return cowbd_find(t->m.pool, name, &o) == 0;
}

/* What the manager was at when it was killed: wholly there, or not at all. */
static void resolve(struct run *t)
{
	struct shared *sh = t->sh;
	unsigned hot[HOT], there = 0;

	switch (atomic_load(&sh->doing)) {
	case MAKING:
		for (unsigned k = 0; k < sh->n; k++) {
			hot[k] = (unsigned)sh->object[sh->place[k]].volume;
			there += exists(t, sh->object[sh->place[k]].name);
		}
		model_expect(there == 0 || there == sh->n,
			     "a part of a group of snapshots is there");
		for (unsigned k = 0; k < sh->n && !there; k++)
			sh->object[sh->place[k]].live = false;
		note(t, sh->high, true);
		if (there)
			adopt(t, sh->n, sh->place, hot);
		break;
	case REMOVING:
		sh->object[sh->place[0]].live = exists(t, sh->object[sh->place[0]].name);
		break;
	case RENAMING:
		if (exists(t, sh->name))
			strcpy(sh->object[sh->place[0]].name, sh->name);
		break;
	case CHANGING: {
		struct model_object *o = &sh->object[sh->changed];
		uint64_t len = sh->end - sh->from;
		uint8_t *new = calloc(1, len);

		model_expect(new, "no memory");
		if (sh->seed)
			model_fill(new, len, sh->seed);
		model_read_all(&t->m, sh->changed, t->m.buf[1]);
		for (uint64_t k = 0; k < len; k++) {
			uint8_t got = t->m.buf[1][sh->from + k];

			model_expect(got == new[k] || got == o->data[sh->from + k],
				     "a write under way left byte %" PRIu64 " neither old nor new",
				     k);
			o->data[sh->from + k] = got;
		}
		free(new);
		break;
	}
	default: break;
	}
	atomic_store(&sh->doing, NOTHING);
}

/* Judges the volumes that the writers wrote; their content is the next round's base. */
static void judge_hot(struct run *t)
{
	uint32_t low[WRITERS], high[WRITERS];
	const uint8_t *got[HOT];
	uint8_t *buf[HOT];

	note(t, low, false);
	note(t, high, true);
	for (unsigned h = 0; h < HOT; h++) {
		got[h] = buf[h] = malloc(model_bytes(&t->m));
		model_expect(buf[h], "no memory");
		model_read_all(&t->m, h, buf[h]);
	}
	judge(t, got, low, high, "after the end");
	for (unsigned h = 0; h < HOT; h++) {
		memcpy(t->sh->object[h].data, buf[h], model_bytes(&t->m));
		free(buf[h]);
	}
	for (unsigned id = 0; id < WRITERS; id++) {
		t->requests += atomic_load(&t->sh->log[id].begun);
		atomic_store(&t->sh->log[id].begun, 0);
		atomic_store(&t->sh->log[id].answered, 0);
	}
}

/* Runs a child and ends it. */
static void run_child(struct run *t)
{
	uint64_t ns = (100 + model_below(&t->m, 1200)) * 1000000, rng = model_random(&t->m);
	bool kill_it = model_chance(&t->m, 75);
	int status;
	pid_t pid;

	atomic_store(&t->sh->stop, false);
	fflush(stdout);
	pid = fork();
	model_expect(pid >= 0, "fork");
	if (pid == 0) {
		t->m.rng = rng;
		child(t, kill_it ? UINT64_C(60000000000) : ns);
	}
	if (kill_it) {
		struct timespec pause = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
	}
	model_expect(waitpid(pid, &status, 0) == pid, "waitpid");
	model_expect(kill_it && WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
						    : WIFEXITED(status) && WEXITSTATUS(status) == 0,
		     "the child failed: status %#x", (unsigned)status);
	*(kill_it ? &t->kills : &t->closes) += 1;
	t->m.made = MAX(t->m.made, t->sh->made) + 100;
}

static void one_round(struct run *t)
{
	run_child(t);
	open_pool(t);
	resolve(t);
	judge_hot(t);
	model_compare_all(&t->m);
	model_check(&t->m);
	/* now alone: everything that can't be done beside writers */
	if (model_chance(&t->m, 50))
		model_expect(cowbd_start(t->m.pool) == 0, "start");
	for (unsigned i = 0; i < 40; i++)
		if (model_chance(&t->m, 60))
			model_step_objects(&t->m);
		else
			model_step_data(&t->m);
	for (unsigned i = HOT; i < MODEL_OBJECTS; i++) /* room for the next round */
		if (t->m.object[i].live && t->m.object[i].snapshot && model_chance(&t->m, 40)) {
			const char *name = t->m.object[i].name;

			cowbd_client_close(t->m.client[i]);
			t->m.client[i] = NULL;
			model_expect(cowbd_remove(t->m.pool, &name, 1, COWBD_NO_WAIT) == 0,
				     "removing \"%s\"", name);
			t->m.object[i].live = false;
		}
	model_detach(&t->m);
	model_expect(cowbd_close(t->m.pool) == 0, "closing");
}

static void *shared_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	model_expect(p != MAP_FAILED, "no shared memory");
	return p;
}

static void begin(struct run *t, uint64_t seed)
{
	struct cowbd_init_options init = {
		.size = t->s->pool, .block_bytes = (uint32_t)t->s->block, .journal_bytes = 8 << 20};
	const char *dir = getenv("TEST_DIR");

	t->sh = shared_memory(sizeof *t->sh);
	model_init(&t->m, t->s->block, t->s->window_blocks, 512, t->sh->object);
	t->m.rng = seed;
	t->m.pinned = HOT;
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		t->sh->object[i].data = shared_memory(model_bytes(&t->m));
	snprintf(t->dir, sizeof t->dir, "%s", dir ? dir : "/tmp");
	snprintf(t->path, sizeof t->path, "%s/model.pool", t->dir);
	unlink(t->path);
	model_expect(cowbd_init(t->path, &init) == 0, "init");
	open_pool(t);
	for (unsigned h = 0; h < HOT; h++) {
		struct model_object *o = &t->sh->object[h];
		uint8_t *data = o->data;

		*o = (struct model_object){.live = true,
					   .volume = -1,
					   .born = h,
					   .data = data,
					   .size = t->m.base[MODEL_WINDOWS - 1] + t->m.window};
		snprintf(o->name, sizeof o->name, "hot%u", h);
		model_expect(cowbd_create(t->m.pool, o->name, o->size, 0, 0) == 0, "create");
	}
	model_expect(cowbd_close(t->m.pool) == 0, "closing");
}

static uint64_t seed;

START_TEST(writers_snapshots_and_kills_agree_with_plain_arrays)
{
	const char *given = getenv("COWBD_MODEL_SECONDS");
	uint64_t until = now_ns() + (given ? strtoull(given, NULL, 0) : 8) * 1000000000;
	struct run t = {.s = &setups[_i]};

	begin(&t, seed + (uint64_t)_i);
	while (now_ns() < until)
		one_round(&t);
	open_pool(&t);
	model_compare_all(&t.m);
	t.m.scrubbed = t.sh->scrubs > 0;
	model_empty(&t.m);
	model_expect(cowbd_close(t.m.pool) == 0, "closing");
	unlink(t.path);
	model_fini(&t.m);
	printf("%s: %u kills, %u closes, %" PRIu64 " requests, %" PRIu64 " scrubs verified %" PRIu64
	       " blocks\n",
	       t.s->name, t.kills, t.closes, t.requests, t.sh->scrubs, t.sh->verified);
}
END_TEST

int main(void)
{
	const char *only = getenv("COWBD_MODEL_ONLY");
	Suite *suite = suite_create("model with threads");
	TCase *c = tcase_create("threads");
	int failed, from = only ? atoi(only) : 0, to = only ? from + 1 : (int)ARRAY_SIZE(setups);
	SRunner *runner;

	seed = model_seed("test_model_threads");
	tcase_set_timeout(c, 0);
	tcase_add_loop_test(c, writers_snapshots_and_kills_agree_with_plain_arrays, from, to);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
