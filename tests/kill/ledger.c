/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ledger.c - what was acknowledged, and whether a disk holds it
 */
#include "ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEDGER_MAGIC UINT64_C(0x4c4c494b44574f43)
#define SECTOR_MAGIC UINT64_C(0x524f544345534257)
#define WORDS (SECTOR / 8)

struct ledger *ledger_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct ledger *l = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof *l) == 0)
		l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (l == MAP_FAILED) {
		perror(path);
		return NULL;
	}
	if (l->magic != LEDGER_MAGIC) {
		l->magic = LEDGER_MAGIC;
		l->first_value = 1;
		atomic_store(&l->clock, 1);
	}
	return l;
}

/* ---- values of sectors ------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void sector_fill(uint8_t *buf, uint32_t sector, uint64_t value)
{
	uint64_t words[WORDS] = {SECTOR_MAGIC, value, sector};

	for (unsigned i = 3; i < WORDS; i++)
		words[i] = mixed(value * 64 + i + ((uint64_t)sector << 40));
	memcpy(buf, words, sizeof words);
}

uint64_t sector_value(const uint8_t *buf, uint32_t sector)
{
	static const uint8_t zeros[SECTOR];
	uint8_t wanted[SECTOR];
	uint64_t value;

	if (memcmp(buf, zeros, SECTOR) == 0)
		return 0;
	memcpy(&value, buf + 8, sizeof value);
	sector_fill(wanted, sector, value);
	return memcmp(buf, wanted, SECTOR) == 0 ? value : GARBAGE;
}

/* ---- while it runs -------------------------------------------------------------------------------- */

uint32_t ledger_ask(struct ledger *l, enum op_kind kind, uint32_t object, uint32_t first,
		    uint32_t n, bool fua)
{
	uint32_t i = atomic_fetch_add(&l->nops, 1);
	struct op *op;

	if (i >= OPS_MAX) {
		atomic_store(&l->nops, OPS_MAX);
		return NONE;
	}
	op = &l->op[i];
	op->object = object;
	op->first = first;
	op->n = n;
	op->fua = fua;
	atomic_store(&op->answered, 0);
	atomic_store(&op->asked, atomic_fetch_add(&l->clock, 1));
	atomic_store(&op->kind, kind);
	return i;
}

void ledger_answer(struct ledger *l, uint32_t op)
{
	atomic_store(&l->op[op].answered, atomic_fetch_add(&l->clock, 1));
}

uint64_t ledger_value(const struct ledger *l, uint32_t op)
{
	return l->first_value + op;
}

struct object *ledger_named(struct ledger *l, const char *name)
{
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (l->object[i].state != OBJECT_FREE && strcmp(l->object[i].name, name) == 0)
			return &l->object[i];
	return NULL;
}

/* ---- what a sector may hold ---------------------------------------------------------------------------- */

/* What the last covered op left; values and clears of later ops may be there too. */
struct expected {
	uint64_t value;
	uint32_t op;      /* NONE: none in this cycle */
	uint32_t cleared; /* the last clear after it, NONE */
};

struct rule {
	bool answered;   /* all that was answered is covered */
	bool fua;        /* and FUA */
	uint64_t before; /* and what was answered before this moment */
	uint64_t until;  /* nothing that was asked for from here on may be there */
};

static bool is_covered(const struct op *op, const struct rule *rule)
{
	return op->answered &&
	       (rule->answered || op->answered < rule->before || (rule->fua && op->fua));
}

static bool later(uint32_t op, uint32_t than)
{
	return op != NONE && (than == NONE || op > than);
}

static void expect_op(const struct ledger *l, uint32_t i, const struct rule *rule,
		      struct expected *x)
{
	const struct op *op = &l->op[i];
	bool covered = is_covered(op, rule);

	for (uint32_t s = op->first; s < op->first + op->n; s++) {
		if (covered)
			x[s] = (struct expected){op->kind == OP_WRITE ? ledger_value(l, i) : 0, i,
						 NONE};
		else if (op->kind == OP_CLEAR)
			x[s].cleared = i;
	}
}

static void expect(const struct ledger *l, uint32_t object, const struct rule *rule,
		   struct expected *x)
{
	uint32_t n = atomic_load(&l->nops);

	for (uint32_t s = 0; s < SECTORS; s++)
		x[s] = (struct expected){l->object[object].base[s], NONE, NONE};
	for (uint32_t i = 0; i < n; i++) {
		const struct op *op = &l->op[i];

		if (op->kind == OP_NOTHING || op->object != object || op->asked >= rule->until)
			continue;
		if (op->kind == OP_WRITE || op->kind == OP_CLEAR)
			expect_op(l, i, rule, x);
		else if (op->kind == OP_ROLLBACK && op->answered)
			for (uint32_t s = 0; s < SECTORS; s++)
				x[s] = (struct expected){l->object[op->first].base[s], i, NONE};
	}
}

/* The op of this cycle that wrote the value, NONE if none did. */
static uint32_t op_of(const struct ledger *l, uint64_t value)
{
	return value >= l->first_value && value < l->first_value + atomic_load(&l->nops)
		       ? (uint32_t)(value - l->first_value)
		       : NONE;
}

static bool is_allowed(const struct ledger *l, uint32_t object, const struct rule *rule,
		       const struct expected *x, uint32_t sector, uint64_t found)
{
	uint32_t i = op_of(l, found);
	const struct op *op = &l->op[i == NONE ? 0 : i];

	if (found == x->value)
		return true;
	if (found == 0)
		return later(x->cleared, x->op);
	return i != NONE && op->kind == OP_WRITE && op->object == object && op->first <= sector &&
	       sector < op->first + op->n && op->asked < rule->until && later(i, x->op);
}

/* ---- complaints ------------------------------------------------------------------------------------------- */

static void print_ops(const struct ledger *l, uint32_t object, uint32_t sector)
{
	static const char *const names[] = {"nothing", "write", "clear", "flush", "rollback"};
	uint32_t n = atomic_load(&l->nops);

	for (uint32_t i = 0; i < n; i++) {
		const struct op *op = &l->op[i];
		bool touches = op->kind == OP_FLUSH || op->kind == OP_ROLLBACK ||
			       (op->kind != OP_MANAGE && op->first <= sector &&
				sector < op->first + op->n);

		if (op->object == object && op->kind != OP_NOTHING && op->kind != OP_MANAGE &&
		    touches)
			printf("    op %u value %" PRIu64 ": %s %u+%u%s, asked %" PRIu64
			       " answered %" PRIu64 "\n",
			       i, ledger_value(l, i), names[op->kind], op->first, op->n,
			       op->fua ? " fua" : "", op->asked, op->answered);
	}
}

static int wrong(const struct ledger *l, uint32_t object, uint32_t source, uint32_t sector,
		 uint64_t found, uint64_t expected)
{
	printf("VIOLATED: %s sector %u: found %s%" PRIu64 ", expected %" PRIu64 " or later\n",
	       l->object[object].name, sector, found == GARBAGE ? "garbage " : "",
	       found == GARBAGE ? 0 : found, expected);
	print_ops(l, source, sector);
	return -1;
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

int ledger_judge_exact(struct ledger *l, uint32_t object, const uint64_t *found)
{
	const struct object *o = &l->object[object];

	l->totals.sectors_judged += SECTORS;
	for (uint32_t s = 0; s < SECTORS; s++)
		if (found[s] != o->base[s])
			return wrong(l, object, object, s, found[s], o->base[s]);
	return 0;
}

/* The last flush that was answered covers what had been answered when it was asked for. */
static uint64_t flushed_before(const struct ledger *l, uint32_t object)
{
	uint32_t n = atomic_load(&l->nops);
	uint64_t last = 0;

	for (uint32_t i = 0; i < n; i++)
		if (l->op[i].kind == OP_FLUSH && l->op[i].object == object && l->op[i].answered &&
		    l->op[i].asked > last)
			last = l->op[i].asked;
	return last;
}

/* Was it rolled back by a command that was not answered?  Then it is exactly what that snapshot is. */
static bool was_rolled_back(const struct ledger *l, uint32_t object, const uint64_t *found)
{
	uint32_t n = atomic_load(&l->nops);

	for (uint32_t i = 0; i < n; i++) {
		const struct op *op = &l->op[i];

		if (op->kind == OP_ROLLBACK && op->object == object && !op->answered)
			return memcmp(found, l->object[op->first].base, sizeof l->object[0].base) ==
			       0;
	}
	return false;
}

int ledger_judge_volume(struct ledger *l, uint32_t object, enum cover cover, const uint64_t *found)
{
	static struct expected x[SECTORS];
	const struct rule rule = {
		.answered = cover == COVER_ANSWERED,
		.fua = true,
		.before = flushed_before(l, object),
		.until = UINT64_MAX,
	};

	if (was_rolled_back(l, object, found))
		return 0;
	l->totals.sectors_judged += SECTORS;
	expect(l, object, &rule, x);
	for (uint32_t s = 0; s < SECTORS; s++)
		if (!is_allowed(l, object, &rule, &x[s], s, found[s]))
			return wrong(l, object, object, s, found[s], x[s].value);
	return 0;
}

/* When the latest write was asked for that the snapshots hold. */
static uint64_t latest_held(const struct ledger *l, uint64_t *const *found, uint32_t n)
{
	uint64_t latest = 0;

	for (uint32_t k = 0; k < n; k++)
		for (uint32_t s = 0; s < SECTORS; s++) {
			uint32_t i = op_of(l, found[k][s]);

			if (i != NONE && l->op[i].asked > latest)
				latest = l->op[i].asked;
		}
	return latest;
}

int ledger_judge_snapshots(struct ledger *l, const uint32_t *objects, uint32_t n,
			   uint64_t *const *found)
{
	static struct expected x[SECTORS];
	const struct op *made = &l->op[l->object[objects[0]].made];
	struct rule rule = {.before = made->asked,
			    .until = made->answered ? made->answered : UINT64_MAX};
	uint64_t latest = latest_held(l, found, n);

	if (made->kind == OP_ROLLBACK) /* it keeps what was there before */
		rule.until = made->asked;
	/* one instant: with a write it holds all that was answered before that write was asked for */
	if (latest > rule.before)
		rule.before = latest;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t volume = l->object[objects[k]].volume;

		l->totals.snapshots_judged++;
		l->totals.sectors_judged += SECTORS;
		expect(l, volume, &rule, x);
		for (uint32_t s = 0; s < SECTORS; s++)
			if (!is_allowed(l, volume, &rule, &x[s], s, found[k][s]))
				return wrong(l, objects[k], volume, s, found[k][s], x[s].value);
	}
	return 0;
}

static void count_op(struct totals *t, const struct op *op)
{
	bool command = op->kind == OP_ROLLBACK || op->kind == OP_MANAGE;

	if (op->kind == OP_NOTHING)
		return;
	if (!op->answered) {
		*(command ? &t->commands_unanswered : &t->unanswered) += 1;
		return;
	}
	switch (atomic_load(&op->kind)) {
	case OP_WRITE: t->writes_answered++; break;
	case OP_CLEAR: t->clears_answered++; break;
	case OP_FLUSH: t->flushes_answered++; break;
	default: t->commands_answered++;
	}
}

void ledger_next_cycle(struct ledger *l)
{
	uint32_t n = atomic_load(&l->nops);

	for (uint32_t i = 0; i < n; i++)
		count_op(&l->totals, &l->op[i]);
	memset(l->op, 0, n * sizeof l->op[0]);
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (l->object[i].state != OBJECT_THERE)
			l->object[i].state = OBJECT_FREE;
		else
			l->object[i].made = l->object[i].ended = NONE;
	l->first_value += n;
	atomic_store(&l->nops, 0);
	l->totals.cycles++;
}
