/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.c - a pool's disks as plain arrays, and random operations on both
 */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* ---- failing, and random numbers -------------------------------------------------------- */

void model_fail_at(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " (last error: %s)\n", cowbd_error());
	abort();
}

static void trace(const struct model *m, const char *fmt, ...) PRINTF(2, 3);

static void trace(const struct model *m, const char *fmt, ...)
{
	va_list args;

	if (!m->trace)
		return;
	fprintf(stderr, "%" PRIu64 ": ", m->step);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

uint64_t model_random(struct model *m)
{
	uint64_t z = m->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t model_below(struct model *m, uint64_t n)
{
	return n ? model_random(m) % n : 0;
}

bool model_chance(struct model *m, unsigned percent)
{
	return model_below(m, 100) < percent;
}

uint64_t model_seed(const char *what)
{
	const char *given = getenv("COWBD_SEED");
	uint64_t seed = given && *given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	printf("%s: COWBD_SEED=%" PRIu64 "\n", what, seed);
	fflush(stdout);
	return seed;
}

void model_fill(uint8_t *buf, uint64_t len, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	for (uint64_t i = 0; i < len; i++) {
		if (i % 8 == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		buf[i] = (uint8_t)(x >> i % 8 * 8);
	}
}

/* ---- windows -------------------------------------------------------------------------------- */

uint64_t model_bytes(const struct model *m)
{
	return MODEL_WINDOWS * m->window;
}

/* Bytes of window w that lie on a disk of this size. */
static uint64_t window_len(const struct model *m, unsigned w, uint64_t size)
{
	return size <= m->base[w] ? 0 : MIN(size - m->base[w], m->window);
}

/* What of the disk's [from, end) window w holds, as offsets in it. */
static bool window_part(const struct model *m, unsigned w, uint64_t from, uint64_t end,
			uint64_t *ret_from, uint64_t *ret_end)
{
	uint64_t a = MAX(from, m->base[w]), b = MIN(end, m->base[w] + m->window);

	if (a >= b)
		return false;
	*ret_from = a - m->base[w];
	*ret_end = b - m->base[w];
	return true;
}

static void array_zero(const struct model *m, uint8_t *data, uint64_t from, uint64_t end)
{
	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		uint64_t a, b;

		if (window_part(m, w, from, end, &a, &b))
			memset(data + w * m->window + a, 0, b - a);
	}
}

static bool array_is_zero(const struct model *m, const uint8_t *data, uint64_t from, uint64_t end)
{
	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		uint64_t a, b;

		if (!window_part(m, w, from, end, &a, &b))
			continue;
		for (uint64_t i = a; i < b; i++)
			if (data[w * m->window + i])
				return false;
	}
	return true;
}

void model_init(struct model *m, uint64_t block, uint64_t window_blocks, unsigned fanout,
		struct model_object *objects)
{
	uint64_t span = fanout;

	*m = (struct model){.block = block,
			    .window = window_blocks * block,
			    .object = objects,
			    .max_objects = 16,
			    .trace = getenv("COWBD_MODEL_TRACE") != NULL};
	/* across an edge of level 1, and one two levels further up */
	while (span < window_blocks * 2)
		span *= fanout;
	m->base[1] = (span - window_blocks / 2) * block;
	m->base[2] = (span * fanout - window_blocks / 3) * block;
	for (unsigned i = 0; i < 2; i++) {
		m->buf[i] = malloc(model_bytes(m));
		model_expect(m->buf[i], "no memory");
	}
}

void model_fini(struct model *m)
{
	free(m->buf[0]);
	free(m->buf[1]);
}

/* ---- objects ------------------------------------------------------------------------------------ */

static struct cowbd_client *attach(struct model *m, unsigned i)
{
	int r;

	if (m->client[i])
		return m->client[i];
	r = cowbd_client_open(m->pool, m->object[i].name, false, "model", &m->client[i]);
	model_expect(r == 0, "opening \"%s\": %d", m->object[i].name, r);
	model_expect(cowbd_client_size(m->client[i]) == m->object[i].size, "size of \"%s\"",
		     m->object[i].name);
	return m->client[i];
}

static void detach(struct model *m, unsigned i)
{
	cowbd_client_close(m->client[i]);
	m->client[i] = NULL;
}

void model_detach(struct model *m)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		detach(m, i);
}

static int find_free(const struct model *m)
{
	for (unsigned i = m->pinned; i < m->max_objects; i++)
		if (!m->object[i].live)
			return (int)i;
	return -1;
}

enum want { ANY, VOLUME, SNAPSHOT };

static int pick(struct model *m, enum want want, unsigned from)
{
	unsigned start = (unsigned)model_below(m, MODEL_OBJECTS);

	for (unsigned k = 0; k < MODEL_OBJECTS; k++) {
		unsigned i = (start + k) % MODEL_OBJECTS;
		const struct model_object *o = &m->object[i];

		if (i >= from && o->live && (want == ANY || o->snapshot == (want == SNAPSHOT)))
			return (int)i;
	}
	return -1;
}

static int find_name(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		if (m->object[i].live && strcmp(m->object[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Puts a new object into place i. */
static void born(struct model *m, int i, int volume, const char *name, uint64_t size,
		 const uint8_t *data)
{
	struct model_object *o = &m->object[i];
	uint8_t *own = o->data;

	*o = (struct model_object){.live = true,
				   .snapshot = volume >= 0,
				   .volume = volume,
				   .born = ++m->made,
				   .size = size,
				   .data = own};
	snprintf(o->name, sizeof o->name, "%s", name);
	if (data)
		memcpy(own, data, model_bytes(m));
	else
		memset(own, 0, model_bytes(m));
}

/* Did it work?  A full pool is an answer where it may be, and so are too many objects. */
static bool done(struct model *m, int r, const char *what)
{
	if (r == -ENOSPC && m->tight) {
		m->full++;
		return false;
	}
	if (r == -EMFILE)
		return false;
	model_expect(r == 0, "step %" PRIu64 ": %s: %d", m->step, what, r);
	return true;
}

static unsigned maybe_no_wait(struct model *m)
{
	return model_chance(m, 60) ? COWBD_NO_WAIT : 0;
}

static uint64_t random_size(struct model *m)
{
	unsigned w = (unsigned)model_below(m, MODEL_WINDOWS);
	uint64_t size = m->base[w] + 1 + model_below(m, m->window);

	return model_chance(m, 50) ? round_up(size, m->block) : round_up(size, 512);
}

/* ---- comparing ------------------------------------------------------------------------------------ */

void model_read_all(struct model *m, unsigned i, uint8_t *to)
{
	struct cowbd_client *c = attach(m, i);

	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		uint64_t len = window_len(m, w, m->object[i].size);
		int r = len ? cowbd_read(c, to + w * m->window, len, m->base[w]) : 0;

		model_expect(r == 0, "reading \"%s\": %d", m->object[i].name, r);
		memset(to + w * m->window + len, 0, m->window - len);
	}
}

static void say_difference(const struct model *m, unsigned i, const uint8_t *got)
{
	const uint8_t *want = m->object[i].data;
	uint64_t n = 0, at = 0, bytes = 0;

	for (uint64_t k = model_bytes(m); k-- > 0;)
		if (got[k] != want[k]) {
			at = k;
			n++;
		}
	while (at + bytes < model_bytes(m) && got[at + bytes] != want[at + bytes])
		bytes++;
	model_fail("step %" PRIu64 ": \"%s\" differs in %" PRIu64
		   " bytes, first at disk offset %" PRIu64 " (block %" PRIu64 " + %" PRIu64
		   ", %" PRIu64 " bytes): is %02x, should be %02x",
		   m->step, m->object[i].name, n, m->base[at / m->window] + at % m->window,
		   (m->base[at / m->window] + at % m->window) / m->block, at % m->block, bytes,
		   got[at], want[at]);
}

struct extents {
	const struct model *m;
	unsigned object;
	uint64_t at;
};

/* Extents follow each other, and what is not mapped is zero. */
static int visit_extent(void *opaque, uint64_t offset, uint64_t length, bool mapped)
{
	struct extents *x = opaque;

	model_expect(offset == x->at && length, "extents of \"%s\" leave a hole",
		     x->m->object[x->object].name);
	x->at += length;
	if (!mapped)
		model_expect(array_is_zero(x->m, x->m->object[x->object].data, offset,
					   offset + length),
			     "\"%s\": data in what is said to be unmapped",
			     x->m->object[x->object].name);
	return 0;
}

void model_compare(struct model *m, unsigned i)
{
	struct extents x = {m, i, 0};
	int r;

	model_read_all(m, i, m->buf[0]);
	if (memcmp(m->buf[0], m->object[i].data, model_bytes(m)) != 0)
		say_difference(m, i, m->buf[0]);
	r = cowbd_extents(m->client[i], m->object[i].size, 0, visit_extent, &x);
	model_expect(r == 0 && x.at == m->object[i].size, "extents of \"%s\": %d",
		     m->object[i].name, r);
}

void model_compare_all(struct model *m)
{
	struct cowbd_object *list;
	size_t n, live = 0;
	int r = cowbd_list(m->pool, &list, &n);

	model_expect(r == 0, "listing: %d", r);
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		live += m->object[i].live;
	for (size_t k = 0; k < n; k++) {
		int i = find_name(m, list[k].name);

		model_expect(i >= 0, "step %" PRIu64 ": \"%s\" should not be there", m->step,
			     list[k].name);
		model_expect(m->object[i].size == list[k].size, "size of \"%s\"", list[k].name);
		model_compare(m, (unsigned)i);
	}
	model_expect(n == live, "step %" PRIu64 ": %zu objects, should be %zu", m->step, n, live);
	free(list);
}

struct findings {
	unsigned damage, leaks;
};

static void report(void *opaque, enum cowbd_damage_kind kind, const char *object, uint64_t offset,
		   const char *message)
{
	struct findings *f = opaque;

	if (kind == COWBD_NOTE)
		return;
	*(kind == COWBD_DAMAGE ? &f->damage : &f->leaks) += 1;
	if (f->damage + f->leaks < 20)
		fprintf(stderr, "check: %s: %s at %#" PRIx64 ": %s\n",
			kind == COWBD_DAMAGE ? "damage" : "leak", object, offset, message);
}

void model_check(struct model *m)
{
	struct findings f = {0};
	struct cowbd_check_options opt = {.report = report, .opaque = &f};
	struct cowbd_check_result result;
	int r = cowbd_check_pool(m->pool, &opt, &result);

	model_expect(r == 0, "check: %d", r);
	model_expect(result.damages == 0 && result.leaks == 0 && f.damage + f.leaks == 0,
		     "step %" PRIu64 ": check finds %" PRIu64 " damages, %" PRIu64 " leaks",
		     m->step, result.damages, result.leaks);
}

void model_empty(struct model *m)
{
	struct cowbd_pool_info info;

	model_detach(m);
	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		const char *name = m->object[i].name;
		struct cowbd_object o;

		if (!m->object[i].live || m->object[i].snapshot ||
		    cowbd_find(m->pool, name, &o) < 0)
			continue;
		model_expect(cowbd_remove(m->pool, &name, 1, COWBD_RECURSIVE | COWBD_NO_WAIT) == 0,
			     "removing \"%s\"", name);
	}
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		m->object[i].live = false;
	model_compare_all(m);
	model_expect(cowbd_reclaim_wait(m->pool) == 0, "waiting for reclaim");
	model_check(m);
	cowbd_pool_info(m->pool, &info);
	model_expect(info.used_blocks == 0 && info.dying == 0,
		     "%" PRIu64 " blocks are used, %" PRIu64
		     " subtrees dying, though nothing is left",
		     info.used_blocks, info.dying);
	/* A zone that is emptied while a volume allocates from it keeps its pages of checksums until it is used again, and so
	 * does one whose drop of them a kill undid.  That nothing else is left, and each page is named, model_check saw. */
	model_expect(info.metadata_bytes == 0 || m->scrubbed,
		     "%" PRIu64 " bytes of metadata, though nothing is left", info.metadata_bytes);
}

/* ---- operations on data ------------------------------------------------------------------------------ */

/* A request within one window: at *ret_at of it, on the disk at the returned offset. */
static uint64_t random_range(struct model *m, const struct model_object *o, uint64_t *ret_array,
			     uint64_t *ret_len)
{
	unsigned w;
	uint64_t len, at, n, unit = model_chance(m, 50) ? m->block : model_chance(m, 50) ? 512 : 1;

	do
		w = (unsigned)model_below(m, MODEL_WINDOWS);
	while ((len = window_len(m, w, o->size)) == 0);
	at = round_down(model_below(m, len), unit);
	switch (model_below(m, 4)) {
	case 0: n = 1 + model_below(m, m->block); break;
	case 1: n = m->block; break;
	case 2: n = 1 + model_below(m, 6 * m->block); break;
	default: n = round_up(1 + model_below(m, 3 * m->block), unit); break;
	}
	*ret_len = MIN(n, len - at);
	*ret_array = w * m->window + at;
	return m->base[w] + at;
}

/* A write met a full pool: a prefix of it is there, and the rest is as it was. */
static void accept_prefix(struct model *m, unsigned i, uint64_t offset, uint64_t array,
			  uint64_t len)
{
	uint8_t *got = m->buf[1], *new = m->buf[0], *old = m->object[i].data + array;
	uint64_t n = 0;
	int r = cowbd_read(m->client[i], got, len, offset);

	model_expect(r == 0, "reading: %d", r);
	while (n < len && got[n] == new[n])
		n++;
	for (uint64_t k = n; k < len; k++)
		model_expect(got[k] == old[k],
			     "step %" PRIu64 ": a write that failed changed byte %" PRIu64
			     " of %" PRIu64 ", but not byte %" PRIu64,
			     m->step, k, len, n);
	memcpy(old, got, len);
}

static void step_write(struct model *m, unsigned i)
{
	struct model_object *o = &m->object[i];
	uint64_t array, len, offset = random_range(m, o, &array, &len);
	unsigned flags = model_chance(m, 10) ? COWBD_FUA : 0;
	int r;

	model_fill(m->buf[0], len, model_random(m));
	trace(m, "write %s %" PRIu64 "+%" PRIu64, o->name, offset, len);
	r = cowbd_write(attach(m, i), m->buf[0], len, offset, flags);
	if (done(m, r, "write"))
		memcpy(o->data + array, m->buf[0], len);
	else
		accept_prefix(m, i, offset, array, len);
}

static void step_read(struct model *m, unsigned i)
{
	uint64_t array, len, offset = random_range(m, &m->object[i], &array, &len);
	int r;

	trace(m, "read %s %" PRIu64 "+%" PRIu64, m->object[i].name, offset, len);
	r = cowbd_read(attach(m, i), m->buf[0], len, offset);
	model_expect(r == 0, "step %" PRIu64 ": read: %d", m->step, r);
	for (uint64_t k = 0; k < len; k++)
		model_expect(m->buf[0][k] == m->object[i].data[array + k],
			     "step %" PRIu64 ": \"%s\" at %" PRIu64 " is %02x, should be %02x",
			     m->step, m->object[i].name, offset + k, m->buf[0][k],
			     m->object[i].data[array + k]);
}

/* Each byte is as it was, or zero where it may be. */
static void accept_zeros(struct model *m, unsigned i, uint64_t from, uint64_t end)
{
	uint8_t *got = m->buf[0], *may = m->buf[1], *old = m->object[i].data;

	memset(may, 1, model_bytes(m));
	array_zero(m, may, from, end);
	model_read_all(m, i, got);
	for (uint64_t k = 0; k < model_bytes(m); k++)
		model_expect(got[k] == old[k] || (got[k] == 0 && may[k] == 0),
			     "step %" PRIu64 ": a trim or zero changed what it had to leave",
			     m->step);
	memcpy(old, got, model_bytes(m));
}

static void step_zero(struct model *m, unsigned i, bool trim)
{
	struct model_object *o = &m->object[i];
	uint64_t array, len, offset = random_range(m, o, &array, &len), end, whole_end;
	int r;

	if (model_chance(m, 10)) /* far, over what no window holds */
		len = model_chance(m, 50) ? o->size - offset : 1 + model_below(m, o->size - offset);
	end = offset + len;
	trace(m, "%s %s %" PRIu64 "+%" PRIu64, trim ? "trim" : "zero", o->name, offset, len);
	r = trim ? cowbd_trim(attach(m, i), len, offset, 0)
		 : cowbd_zero(attach(m, i), len, offset, 0);
	if (trim) {
		/* whole blocks; the last of the disk is whole to its end */
		whole_end = end == o->size ? end : round_down(end, m->block);
		offset = round_up(offset, m->block);
		end = MAX(whole_end, offset);
	}
	if (!done(m, r, trim ? "trim" : "zero") || (trim && m->tight))
		accept_zeros(m, i, offset, end);
	else
		array_zero(m, o->data, offset, end);
}

void model_step_data(struct model *m)
{
	int i = pick(m, VOLUME, 0), snap;
	uint64_t what = model_below(m, 100);

	m->step++;
	if (i < 0)
		return;
	if (what < 55)
		step_write(m, (unsigned)i);
	else if (what < 70)
		step_read(m, (unsigned)i);
	else if (what < 78)
		step_zero(m, (unsigned)i, false);
	else if (what < 86)
		step_zero(m, (unsigned)i, true);
	else if (what < 92)
		model_expect(cowbd_flush(attach(m, (unsigned)i)) == 0, "flush");
	else if ((snap = pick(m, SNAPSHOT, 0)) >= 0)
		step_read(m, (unsigned)snap);
	if (model_chance(m, 20))
		detach(m, (unsigned)i);
}

/* ---- operations on objects ------------------------------------------------------------------------------- */

static void new_name(struct model *m, const char *volume, char name[40])
{
	if (volume)
		snprintf(name, 40, "%.16s@s%" PRIu64, volume, m->made + m->step);
	else
		snprintf(name, 40, "v%" PRIu64, m->made + m->step);
}

static void step_create(struct model *m)
{
	int i = find_free(m);
	uint64_t size = random_size(m);
	char name[40];

	if (i < 0)
		return;
	new_name(m, NULL, name);
	trace(m, "create %s %" PRIu64, name, size);
	if (done(m, cowbd_create(m->pool, name, size, 0, maybe_no_wait(m)), "create"))
		born(m, i, -1, name, size, NULL);
}

static void step_snapshot(struct model *m)
{
	char name[3][40];
	const char *names[3];
	int of[3], n = 0, want = 1 + (int)model_below(m, 3);

	for (unsigned v = (unsigned)model_below(m, MODEL_OBJECTS), k = 0;
	     k < MODEL_OBJECTS && n < want; k++) {
		unsigned i = (v + k) % MODEL_OBJECTS;

		if (!m->object[i].live || m->object[i].snapshot)
			continue;
		new_name(m, m->object[i].name, name[n]);
		names[n] = name[n];
		of[n++] = (int)i;
	}
	while (n > 0) { /* places for all of them? */
		unsigned places = 0;

		for (unsigned i = m->pinned; i < m->max_objects; i++)
			places += !m->object[i].live;
		if (places >= (unsigned)n)
			break;
		n--;
	}
	if (n == 0)
		return;
	trace(m, "snapshot %s and %d more", name[0], n - 1);
	if (!done(m, cowbd_snapshot(m->pool, names, (size_t)n, COWBD_LABEL_CRASH, maybe_no_wait(m)),
		  "snapshot"))
		return;
	for (int k = 0; k < n; k++)
		born(m, find_free(m), of[k], name[k], m->object[of[k]].size, m->object[of[k]].data);
}

static void step_clone(struct model *m)
{
	int from = pick(m, model_chance(m, 60) ? SNAPSHOT : VOLUME, 0), i = find_free(m);
	char name[40];
	const char *names[1] = {name};

	if (from < 0 || i < 0)
		return;
	new_name(m, NULL, name);
	trace(m, "clone %s %s", m->object[from].name, name);
	if (done(m, cowbd_clone(m->pool, m->object[from].name, names, 1, 0, maybe_no_wait(m)),
		 "clone"))
		born(m, i, -1, name, m->object[from].size, m->object[from].data);
}

/* The automatic snapshot of the state before, if there is one. */
static int find_before(const struct model *m, int volume)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		if (m->object[i].live && m->object[i].before_rollback &&
		    m->object[i].volume == volume)
			return (int)i;
	return -1;
}

static void step_rollback(struct model *m)
{
	int snap = pick(m, SNAPSHOT, m->pinned), volume, before, kept = find_free(m);
	unsigned flags = maybe_no_wait(m), how = (unsigned)model_below(m, 3);
	uint64_t old_size, size;
	char keep[40], name[40];
	int r;

	if (snap < 0 || m->object[snap].volume < (int)m->pinned || kept < 0)
		return;
	volume = m->object[snap].volume;
	before = find_before(m, volume);
	if (model_chance(m, 20)) /* undo */
		snap = before >= 0 ? before : snap;
	detach(m, (unsigned)volume);
	snprintf(keep, sizeof keep, "kept%" PRIu64, m->step);
	trace(m, "rollback %s (%s)", m->object[snap].name,
	      how == 0   ? "discard"
	      : how == 1 ? keep
			 : "automatic");
	if (how == 2 && before >= 0)
		detach(m, (unsigned)before);
	r = cowbd_rollback(m->pool, m->object[snap].name, how == 1 ? keep : NULL,
			   flags | (how == 0 ? COWBD_DISCARD : 0));
	if (!done(m, r, "rollback"))
		return;
	old_size = m->object[volume].size;
	size = m->object[snap].size;
	memcpy(m->buf[0], m->object[volume].data, model_bytes(m));
	memcpy(m->object[volume].data, m->object[snap].data, model_bytes(m));
	m->object[volume].size = size;
	if (how == 0)
		return;
	snprintf(name, sizeof name, "%.20s@%.18s", m->object[volume].name,
		 how == 1 ? keep : "before-rollback");
	if (how == 2 && before >= 0)
		kept = before;
	born(m, kept, volume, name, old_size, m->buf[0]);
	m->object[kept].before_rollback = how == 2;
}

static unsigned snapshots_of(const struct model *m, int volume)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		n += m->object[i].live && m->object[i].snapshot && m->object[i].volume == volume;
	return n;
}

static void step_remove(struct model *m)
{
	int i = pick(m, model_chance(m, 70) ? SNAPSHOT : VOLUME, m->pinned);
	bool recursive = model_chance(m, 50);
	const char *name;
	int r;

	if (i < 0)
		return;
	name = m->object[i].name;
	trace(m, "remove %s%s", name, recursive ? " -r" : "");
	for (unsigned k = 0; k < MODEL_OBJECTS; k++)
		if ((int)k == i ||
		    (m->object[k].live && m->object[k].snapshot && m->object[k].volume == i))
			detach(m, k);
	r = cowbd_remove(m->pool, &name, 1, maybe_no_wait(m) | (recursive ? COWBD_RECURSIVE : 0));
	if (!m->object[i].snapshot && snapshots_of(m, i) && !recursive) {
		model_expect(r == -EBUSY, "a volume with snapshots went without -r: %d", r);
		return;
	}
	if (!done(m, r, "remove"))
		return;
	for (unsigned k = 0; k < MODEL_OBJECTS && !m->object[i].snapshot; k++)
		if (m->object[k].snapshot && m->object[k].volume == i)
			m->object[k].live = false;
	m->object[i].live = false;
}

static void step_rename(struct model *m)
{
	int i = pick(m, ANY, m->pinned);
	struct model_object *o = &m->object[i < 0 ? 0 : i];
	char name[40];

	if (i < 0 || o->before_rollback)
		return;
	new_name(m, o->snapshot ? m->object[o->volume].name : NULL, name);
	trace(m, "rename %s %s", o->name, name);
	if (!done(m, cowbd_rename(m->pool, o->name, name, maybe_no_wait(m)), "rename"))
		return;
	strcpy(o->name, name);
	for (unsigned k = 0; k < MODEL_OBJECTS && !o->snapshot; k++) {
		struct model_object *s = &m->object[k];
		char base[40];

		if (!s->live || !s->snapshot || s->volume != i)
			continue;
		snprintf(base, sizeof base, "%s", strchr(s->name, '@') + 1);
		snprintf(s->name, sizeof s->name, "%.20s@%.18s", name, base);
	}
}

static void step_resize(struct model *m)
{
	int i = pick(m, VOLUME, m->pinned);
	uint64_t size = random_size(m);
	unsigned flags = maybe_no_wait(m) | (model_chance(m, 50) ? COWBD_SHRINK_FORCE : 0);
	struct model_object *o = &m->object[i < 0 ? 0 : i];
	int r;

	if (i < 0)
		return;
	detach(m, (unsigned)i);
	trace(m, "resize %s %" PRIu64 " -> %" PRIu64 "%s", o->name, o->size, size,
	      flags & COWBD_SHRINK_FORCE ? " force" : "");
	r = cowbd_resize(m->pool, o->name, size, flags);
	if (r == -EBUSY && size < o->size && !(flags & COWBD_SHRINK_FORCE))
		return;
	if (!done(m, r, "resize"))
		return;
	if (size < o->size && !(flags & COWBD_SHRINK_FORCE))
		model_expect(array_is_zero(m, o->data, round_up(size, m->block), o->size),
			     "resize cut data off without force");
	array_zero(m, o->data, size, UINT64_MAX);
	o->size = size;
}

/* What differs between two objects of one size is named by diff. */
struct diff {
	struct model *m;
	uint64_t at;
};

static int visit_diff(void *opaque, uint64_t offset, uint64_t length, char kind)
{
	struct diff *d = opaque;

	model_expect(length && offset >= d->at && (kind == 'w' || kind == 'z'),
		     "diff goes backwards");
	d->at = offset + length;
	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		uint64_t a, b;

		if (window_part(d->m, w, offset, offset + length, &a, &b))
			memset(d->m->buf[0] + w * d->m->window + a, 1, b - a);
	}
	return 0;
}

static void step_diff(struct model *m)
{
	int a = pick(m, ANY, 0), b = pick(m, ANY, 0), r;
	struct diff d = {m, 0};

	if (a < 0 || b < 0 || m->object[a].size != m->object[b].size)
		return;
	trace(m, "diff %s %s", m->object[a].name, m->object[b].name);
	memset(m->buf[0], 0, model_bytes(m));
	r = cowbd_diff(m->pool, m->object[a].name, m->object[b].name, visit_diff, &d);
	model_expect(r == 0, "diff: %d", r);
	for (uint64_t k = 0; k < model_bytes(m); k++)
		model_expect(m->buf[0][k] || m->object[a].data[k] == m->object[b].data[k],
			     "step %" PRIu64
			     ": diff of \"%s\" and \"%s\" is silent about byte %" PRIu64,
			     m->step, m->object[a].name, m->object[b].name, k);
}

void model_step_objects(struct model *m)
{
	uint64_t what = model_below(m, 100);

	m->step++;
	if (what < 12 || pick(m, VOLUME, 0) < 0)
		step_create(m);
	else if (what < 37)
		step_snapshot(m);
	else if (what < 50)
		step_clone(m);
	else if (what < 62)
		step_rollback(m);
	else if (what < 78)
		step_remove(m);
	else if (what < 83)
		step_rename(m);
	else if (what < 93)
		step_resize(m);
	else
		step_diff(m);
}
