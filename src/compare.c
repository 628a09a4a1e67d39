/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compare.c - changed extents between two objects, in time proportional to the change
 *
 * Two maps are walked side by side.  Where both name the same page nothing below it
 * differs, so it isn't looked at.
 */
#include "pool.h"
#include "walk.h"

struct comparison {
	struct cowbd_pool *p;
	cowbd_diff_visit visit;
	void *opaque;
	uint64_t limit;          /* bytes: the larger of the two */
	uint64_t offset, length; /* extent that may still grow */
	char kind;               /* of it; 0: none */
};

static int emit(struct comparison *c)
{
	uint64_t end = MIN(c->offset + c->length, c->limit);

	if (c->kind == 0 || c->offset >= end)
		return 0;
	return c->visit(c->opaque, c->offset, end - c->offset, c->kind);
}

static int differs(struct comparison *c, uint64_t block, uint64_t blocks, char kind)
{
	uint64_t bytes = c->p->e.geo.block_bytes, offset = block * bytes;
	int r = 0;

	if (c->kind == kind && c->offset + c->length == offset) {
		c->length += blocks * bytes;
		return 0;
	}
	r = emit(c);
	c->kind = kind;
	c->offset = offset;
	c->length = blocks * bytes;
	return r;
}

/* The subtrees at entries a and b (0: nothing), pages of this level, whose first block is block. */
static int compare_below(struct comparison *c, uint64_t a, uint64_t b, unsigned level,
			 uint64_t block)
{
	CLEANUP_FREE uint64_t *ea = calloc(2 * MAP_FANOUT, sizeof *ea);
	uint64_t *eb;
	int r = 0;

	if (entry_number(a) == entry_number(b))
		return 0;
	if (!ea)
		return fail(-ENOMEM, "no memory to compare maps");
	eb = ea + MAP_FANOUT;
	if ((a && (r = walk_read(&c->p->e, a, level, block, ea)) < 0) ||
	    (b && (r = walk_read(&c->p->e, b, level, block, eb)) < 0))
		return r;
	for (unsigned i = 0; i < MAP_FANOUT && r == 0; i++) {
		uint64_t at = block + i * map_span(level);

		if (entry_number(ea[i]) == entry_number(eb[i]))
			continue;
		if (level)
			r = compare_below(c, ea[i], eb[i], level - 1, at);
		else
			r = differs(c, at, 1, eb[i] ? 'w' : 'z');
	}
	return r;
}

/* The tree of less depth stands for the first entry of a deeper one. */
static int compare_depths(struct comparison *c, struct map_root a, struct map_root b)
{
	const struct map_root *deep = a.depth > b.depth ? &a : &b;
	CLEANUP_FREE uint64_t *entries = NULL;
	int r = 0;

	if (a.depth == b.depth)
		return compare_below(c, a.entry, b.entry, a.depth - 1, 0);
	entries = calloc(MAP_FANOUT, sizeof *entries);
	if (!entries)
		return fail(-ENOMEM, "no memory to compare maps");
	if (deep->entry && (r = walk_read(&c->p->e, deep->entry, deep->depth - 1, 0, entries)) < 0)
		return r;
	unsigned level = deep->depth - 1;
	struct map_root first = {.entry = entries[0], .depth = level};

	r = deep == &a ? compare_depths(c, first, b) : compare_depths(c, a, first);
	for (unsigned i = 1; i < MAP_FANOUT && r == 0; i++)
		if (entries[i])
			r = compare_below(c, deep == &a ? entries[i] : 0,
					  deep == &a ? 0 : entries[i], level - 1,
					  i * map_span(level));
	return r;
}

int cowbd_diff(struct cowbd_pool *p, const char *a, const char *b, cowbd_diff_visit visit,
	       void *opaque)
{
	struct comparison c = {.p = p, .visit = visit, .opaque = opaque};
	struct map_root ra, rb;
	struct object *oa, *ob;
	uint64_t token = epoch_enter(&p->e.epochs); /* pages freed from now on aren't reused */
	int r;

	metalock_shared(&p->e.lock);
	if ((r = catalog_find(p->cat, a, &oa)) == 0 && (r = catalog_find(p->cat, b, &ob)) == 0) {
		ra = oa->map;
		rb = ob->map;
		c.limit = MAX(oa->size, ob->size);
	}
	metalock_drop(&p->e.lock);
	if (r == 0)
		r = compare_depths(&c, ra, rb);
	if (r == 0)
		r = emit(&c);
	epoch_exit(&p->e.epochs, token);
	return r;
}
