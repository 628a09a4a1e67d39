/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * oracle.c - what a pool may hold after a crash, judged by the contract alone
 */
#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GARBAGE UINT64_MAX
#define MIX UINT64_C(0x9e3779b97f4a7c15)

int say(char *buf, size_t len, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(buf, len, fmt, args);
	va_end(args);
	return -1;
}

static void *grown(void *array, size_t n, size_t size)
{
	void *larger = array;

	if ((n & (n - 1)) == 0) /* at powers of two */
		larger = realloc(array, (n ? n * 2 : 1) * size);
	if (!larger)
		abort();
	return larger;
}

/* ---- what happened -------------------------------------------------------------------- */

static void push(struct history *h, struct token_entry e)
{
	h->entry = grown(h->entry, h->n, sizeof e);
	h->entry[h->n++] = e;
}

static void add_guise(struct subject *s, unsigned m, const char *name, unsigned sectors)
{
	struct guise *g, made = {.m = m, .sectors = sectors};

	(void)say(made.name, sizeof made.name, "%s", name); /* it may be in what grows */
	s->guise = grown(s->guise, s->nguises, sizeof *g);
	g = &s->guise[s->nguises++];
	*g = made;
}

static struct subject *add_subject(struct oracle *o, uint64_t id, unsigned born)
{
	struct subject *s = calloc(1, sizeof *s);

	if (!s)
		abort();
	s->id = id;
	s->born = born;
	o->subject = grown(o->subject, o->nsubjects, sizeof s);
	o->subject[o->nsubjects++] = s;
	return s;
}

void oracle_fini(struct oracle *o)
{
	for (unsigned i = 0; i < o->nsubjects; i++) {
		for (unsigned k = 0; k < SECTORS_MAX; k++)
			free(o->subject[i]->sector[k].entry);
		free(o->subject[i]->guise);
		free(o->subject[i]);
	}
	free(o->subject);
	free(o->op);
	*o = (struct oracle){0};
}

static struct op *this_op(const struct oracle *o)
{
	return &o->op[o->current];
}

unsigned oracle_begin(struct oracle *o, size_t start)
{
	o->op = grown(o->op, o->nops, sizeof *o->op);
	o->op[o->nops++] = (struct op){.start = start, .ack = SIZE_MAX};
	return o->current = o->nops - 1;
}

void oracle_resume(struct oracle *o, unsigned t)
{
	o->current = t;
}

void oracle_touch(struct oracle *o, struct subject *s)
{
	struct op *op = this_op(o);

	if (op->ntouched < TOUCH_MAX)
		op->touched[op->ntouched++] = s;
}

void oracle_ack(struct oracle *o, size_t ack, enum covers covers)
{
	this_op(o)->ack = ack;
	this_op(o)->covers = covers;
}

unsigned oracle_change(struct oracle *o)
{
	return this_op(o)->m = ++o->changes;
}

void oracle_write(struct oracle *o, struct subject *s, unsigned sector, uint64_t token)
{
	if (oracle_token(s, sector) != token)
		this_op(o)->wrote = s;
	push(&s->sector[sector], (struct token_entry){.token = token, .t = o->current});
}

struct subject *oracle_born(struct oracle *o, uint64_t id, const char *name, unsigned sectors,
			    struct subject *volume, const struct subject *like)
{
	struct subject *s = add_subject(o, id, o->changes);

	s->volume = volume;
	s->snapshot = volume != NULL;
	add_guise(s, o->changes, name, sectors);
	oracle_touch(o, s);
	for (unsigned i = 0; i < sectors; i++)
		push(&s->sector[i], (struct token_entry){.token = like ? oracle_token(like, i) : 0,
							 .t = o->current,
							 .m = o->changes,
							 .whole = true});
	return s;
}

void oracle_roll_back(struct oracle *o, struct subject *volume, const struct subject *snapshot)
{
	oracle_touch(o, volume);
	add_guise(volume, o->changes, oracle_name(volume), oracle_sectors(snapshot));
	for (unsigned i = 0; i < SECTORS_MAX; i++)
		if (volume->sector[i].n || i < oracle_sectors(snapshot))
			push(&volume->sector[i],
			     (struct token_entry){.token = oracle_token(snapshot, i),
						  .t = o->current,
						  .m = o->changes,
						  .whole = true});
}

void oracle_died(struct oracle *o, struct subject *s)
{
	s->died = o->changes;
}

void oracle_renamed(struct oracle *o, struct subject *s, const char *name)
{
	oracle_touch(o, s);
	add_guise(s, o->changes, name, oracle_sectors(s));
}

void oracle_resized(struct oracle *o, struct subject *s, unsigned sectors)
{
	oracle_touch(o, s);
	add_guise(s, o->changes, oracle_name(s), sectors);
	for (unsigned i = sectors; i < SECTORS_MAX; i++)
		if (s->sector[i].n)
			push(&s->sector[i], (struct token_entry){.t = o->current, .m = o->changes});
}

uint64_t oracle_token(const struct subject *s, unsigned sector)
{
	const struct history *h = &s->sector[sector];

	return h->n ? h->entry[h->n - 1].token : 0;
}

const char *oracle_name(const struct subject *s)
{
	return s->guise[s->nguises - 1].name;
}

unsigned oracle_sectors(const struct subject *s)
{
	return s->guise[s->nguises - 1].sectors;
}

/* ---- reading -------------------------------------------------------------------------------- */

int read_tokens(struct cowbd_pool *p, const char *name, uint64_t *tokens, unsigned sectors)
{
	static uint64_t buf[SECTORS_MAX][SECTOR / 8];
	struct cowbd_client *c;
	int r = cowbd_client_open(p, name, true, "judge", &c);

	if (r < 0)
		return r;
	r = cowbd_read(c, buf, (uint64_t)sectors * SECTOR, 0);
	cowbd_client_close(c);
	for (unsigned i = 0; i < sectors && r == 0; i++) {
		tokens[i] = buf[i][0];
		if (memcmp(buf[i], buf[i] + 1, SECTOR - 8) != 0)
			tokens[i] = GARBAGE;
	}
	return r;
}

struct seen { /* a volume or snapshot in the pool that is judged */
	struct cowbd_object object;
	uint64_t token[SECTORS_MAX];
};

static int by_id(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return (x->object.id > y->object.id) - (x->object.id < y->object.id);
}

static int look(struct cowbd_pool *p, struct seen **ret_seen, size_t *ret_n, char *why, size_t len)
{
	struct cowbd_object *list;
	struct seen *seen;
	size_t n = 0;
	int r = cowbd_list(p, &list, &n);

	if (r < 0) {
		(void)say(why, len, "listing: %s", cowbd_error());
		return -1;
	}
	seen = calloc(n + 1, sizeof *seen);
	if (!seen)
		abort();
	for (size_t i = 0; i < n && r == 0; i++) {
		seen[i].object = list[i];
		if (list[i].size > (uint64_t)SECTORS_MAX * SECTOR) {
			(void)say(why, len, "%s has %" PRIu64 " bytes", list[i].name, list[i].size);
			r = -1;
		} else if (read_tokens(p, list[i].name, seen[i].token,
				       (unsigned)(list[i].size / SECTOR)) < 0) {
			(void)say(why, len, "reading %s: %s", list[i].name, cowbd_error());
			r = -1;
		}
	}
	free(list);
	if (r < 0) {
		free(seen);
		return r;
	}
	qsort(seen, n, sizeof *seen, by_id);
	*ret_seen = seen;
	*ret_n = n;
	return 0;
}

static uint64_t hash_seen(const struct seen *seen, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i < n; i++) {
		h = (h ^ seen[i].object.id) * MIX;
		for (const char *c = seen[i].object.name; *c; c++)
			h = (h ^ (uint8_t)*c) * MIX;
		for (unsigned k = 0; k < seen[i].object.size / SECTOR; k++)
			h = ((h ^ seen[i].token[k]) * MIX) ^ h >> 29;
	}
	return h;
}

int oracle_adopt(struct oracle *o, struct cowbd_pool *p, char *why, size_t len)
{
	struct seen *seen;
	size_t n;
	int r = look(p, &seen, &n, why, len);

	if (r < 0)
		return r;
	if (o->nops == 0) {
		oracle_begin(o, 0);
		oracle_ack(o, 0, COVERS_ALL);
	}
	for (size_t i = 0; i < n; i++) {
		struct subject *s = add_subject(o, seen[i].object.id, 0);

		s->snapshot = seen[i].object.kind == COWBD_SNAPSHOT;
		add_guise(s, 0, seen[i].object.name, (unsigned)(seen[i].object.size / SECTOR));
		for (unsigned k = 0; k < oracle_sectors(s); k++)
			push(&s->sector[k], (struct token_entry){.token = seen[i].token[k]});
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (seen[i].object.volume == seen[k].object.id)
				o->subject[i]->volume = o->subject[k];
	free(seen);
	return 0;
}

/* ---- judging ----------------------------------------------------------------------------------- */

struct view { /* of the ops, at the crash */
	const struct oracle *o;
	size_t events;
	bool killed;
	unsigned acked, begun; /* last such op */
	unsigned least, most;  /* changes that took place */
};

/* A flush up to op t: the last change that what was written to the object could not be there without. */
static unsigned change_of(const struct oracle *o, const struct subject *s, unsigned t)
{
	unsigned m = s->born, least = 0;

	for (unsigned i = 0; i <= t; i++) {
		for (unsigned k = 0; k < o->op[i].ntouched; k++)
			if (o->op[i].m && o->op[i].touched[k] == s)
				m = o->op[i].m;
		if (o->op[i].wrote == s)
			least = m;
	}
	return least;
}

static unsigned change_before(const struct oracle *o, unsigned t)
{
	unsigned m = 0;

	for (unsigned i = 0; i <= t; i++)
		if (o->op[i].m)
			m = o->op[i].m;
	return m;
}

static void set_view(struct view *v)
{
	const struct oracle *o = v->o;

	for (unsigned t = 0; t < o->nops; t++) {
		const struct op *op = &o->op[t];
		unsigned m = 0;

		if (op->start > v->events)
			break;
		v->begun = t;
		if (op->m)
			v->most = op->m;
		if (op->ack >= v->events && op->ack != 0)
			continue;
		v->acked = t;
		if (v->killed || op->covers == COVERS_CHANGES || op->covers == COVERS_ALL)
			m = change_before(o, t);
		else if (op->covers == COVERS_OBJECT || op->covers == COVERS_RANGE)
			m = change_of(o, op->touched[0], t);
		v->least = m > v->least ? m : v->least;
	}
}

static const struct guise *guise_at(const struct subject *s, unsigned j)
{
	const struct guise *g = NULL;

	for (unsigned i = 0; i < s->nguises; i++)
		if (s->guise[i].m <= j)
			g = &s->guise[i];
	return g;
}

static const struct seen *find_seen(const struct seen *seen, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (seen[i].object.id == id)
			return &seen[i];
	return NULL;
}

static bool there(const struct subject *s, unsigned j)
{
	return s->born <= j && (s->died == 0 || s->died > j);
}

static int judge_catalog(const struct view *v, unsigned j, const struct seen *seen, size_t n,
			 char *why, size_t len)
{
	size_t expected = 0;

	for (unsigned i = 0; i < v->o->nsubjects; i++) {
		const struct subject *s = v->o->subject[i];
		const struct seen *x = find_seen(seen, n, s->id);
		const struct guise *g = guise_at(s, j);
		char full[200];

		if (!there(s, j)) {
			if (x)
				return say(why, len, "%s is there", x->object.name);
			continue;
		}
		expected++;
		if (!x)
			return say(why, len, "%s (id %" PRIu64 ") is missing", g->name, s->id);
		if (s->snapshot) {
			const char *at = strchr(g->name, '@');

			snprintf(full, sizeof full, "%s%s", guise_at(s->volume, j)->name,
				 at ? at : "");
		} else {
			snprintf(full, sizeof full, "%s", g->name);
		}
		if (strcmp(full, x->object.name) != 0)
			return say(why, len, "%s is called %s", full, x->object.name);
		if (x->object.size != (uint64_t)g->sectors * SECTOR)
			return say(why, len, "%s has %" PRIu64 " sectors, not %u", g->name,
				   x->object.size / SECTOR, g->sectors);
	}
	if (expected != n)
		return say(why, len, "there are %zu objects, not %zu", n, expected);
	return 0;
}

/* The last op that made a sector durable. */
static void find_floors(const struct view *v, const struct subject *s, unsigned *floor)
{
	for (unsigned i = 0; i < SECTORS_MAX; i++)
		floor[i] = v->killed ? v->acked : 0;
	for (unsigned t = 0; t <= v->acked && !v->killed; t++) {
		const struct op *op = &v->o->op[t];
		unsigned first = 0, end = SECTORS_MAX;

		if (op->covers < COVERS_RANGE || op->covers == COVERS_CHANGES ||
		    (op->ack >= v->events && op->ack != 0))
			continue;
		if (op->covers != COVERS_ALL && op->touched[0] != s)
			continue;
		if (op->covers == COVERS_RANGE) {
			first = op->first;
			end = op->first + op->n;
		}
		for (unsigned i = first; i < end; i++)
			floor[i] = t;
	}
}

static bool allowed(const struct view *v, unsigned j, const struct history *h, unsigned floor,
		    uint64_t token, char *list, size_t len)
{
	unsigned from = 0, end = 0;
	bool zero = true; /* as it was before the first entry */
	size_t at = 0;

	for (unsigned i = 0; i < h->n && h->entry[i].t <= v->begun; i++) {
		const struct token_entry *e = &h->entry[i];

		if (e->m > j && e->whole)
			break;
		if (e->t <= floor || (e->m && e->m <= j)) {
			from = i;
			zero = false;
		}
		end = i + 1;
	}
	list[0] = '\0';
	if (zero && token == 0)
		return true;
	for (unsigned i = from; i < end; i++) {
		if (h->entry[i].token == token)
			return true;
		if (at < len)
			at += (size_t)snprintf(list + at, len - at, " %" PRIu64 "(op %u)",
					       h->entry[i].token, h->entry[i].t);
	}
	return false;
}

/* Where a token is from, for the message. */
static void trace_token(const struct oracle *o, uint64_t token, char *buf, size_t len)
{
	snprintf(buf, len, token == GARBAGE ? "garbage" : "unknown");
	for (unsigned i = 0; token && token != GARBAGE && i < o->nsubjects; i++)
		for (unsigned k = 0; k < SECTORS_MAX; k++)
			for (unsigned n = 0; n < o->subject[i]->sector[k].n; n++)
				if (o->subject[i]->sector[k].entry[n].token == token) {
					snprintf(buf, len, "of %s sector %u, op %u",
						 o->subject[i]->guise[0].name, k,
						 o->subject[i]->sector[k].entry[n].t);
					return;
				}
}

static int judge_content(const struct view *v, unsigned j, const struct seen *seen, size_t n,
			 char *why, size_t len)
{
	unsigned floor[SECTORS_MAX];
	char list[200], from[160];

	for (unsigned i = 0; i < v->o->nsubjects; i++) {
		const struct subject *s = v->o->subject[i];
		const struct seen *x = find_seen(seen, n, s->id);

		if (!there(s, j) || !x)
			continue;
		find_floors(v, s, floor);
		for (unsigned k = 0; k < guise_at(s, j)->sectors; k++)
			if (!allowed(v, j, &s->sector[k], floor[k], x->token[k], list,
				     sizeof list)) {
				trace_token(v->o, x->token[k], from, sizeof from);
				(void)say(why, len,
					  "%s sector %u holds %" PRIu64
					  " (%s), allowed:%s (floor op %u, state %u of %u..%u)",
					  x->object.name, k, x->token[k], from, list, floor[k], j,
					  v->least, v->most);
				return -1;
			}
	}
	return 0;
}

int oracle_judge(const struct oracle *o, struct cowbd_pool *p, size_t events, bool killed,
		 uint64_t *ret_hash, char *why, size_t len)
{
	struct view v = {.o = o, .events = events, .killed = killed};
	struct seen *seen;
	char names[400] = "";
	bool content = false;
	size_t n;
	int r = look(p, &seen, &n, why, len);

	if (r < 0)
		return r;
	set_view(&v);
	r = -1;
	for (unsigned j = v.least; j <= v.most && r < 0; j++) {
		char reason[400];

		r = judge_catalog(&v, j, seen, n, reason, sizeof reason);
		if (r < 0 && !names[0])
			(void)say(names, sizeof names, "%s (state %u of %u..%u)", reason, j,
				  v.least, v.most);
		if (r == 0) {
			content = true;
			r = judge_content(&v, j, seen, n, why, len);
		}
	}
	if (r < 0 && !content)
		(void)say(why, len, "%s", names);
	*ret_hash = hash_seen(seen, n);
	free(seen);
	return r;
}
