/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.c - block map: look up, unshare a path, set, unmap, share
 *
 * The COW fault of the tree is own_path().  The textbook copies a page table page,
 * raises the counts of all it names, then finds the child on the path shared and copies that.  Here the
 * child on the path is not raised in the first place: it is copied at once, whatever its
 * count ("forced"), and the fresh page never had a reference to what it replaces.
 */
#include "map.h"

unsigned map_depth_for(uint64_t blocks)
{
	unsigned depth = 1;

	while (depth < MAP_DEPTH_MAX && MAP_SHIFT * depth < 63 && map_span(depth) < blocks)
		depth++;
	return depth;
}

static uint64_t entry_get(const struct page *page, unsigned i)
{
	return get48(((const struct disk_map *)page->data)->entry[i]);
}

/* ---- lookup -------------------------------------------------------------------------- */

int map_page(struct engine *e, uint64_t entry, unsigned level, uint64_t block,
	     struct page **ret_page)
{
	const struct disk_map *m;
	int r = pages_get(e->pages, entry_number(entry), PAGE_MAP, ret_page);

	if (r < 0)
		return r;
	m = (*ret_page)->data;
	if (get16(m->level) != level || get64(m->first) != round_down(block, map_span(level + 1)))
		return fail(-EUCLEAN,
			    "map page %" PRIu64 " is of level %u and block %" PRIu64
			    ", and named at level %u for block %" PRIu64 "; run cowbd check",
			    entry_number(entry), get16(m->level), get64(m->first), level, block);
	return 0;
}

static void extent_in_leaf(const struct page *leaf, uint64_t block, uint64_t max, bool owned,
			   struct map_extent *ret)
{
	unsigned i = map_index(block, 0), n = 1;
	uint64_t first = entry_get(leaf, i);

	max = MIN(max, (uint64_t)(MAP_FANOUT - i));
	while (n < max) {
		uint64_t next = entry_get(leaf, i + n);

		if (first == 0 ? next != 0 : next != first + n) /* S must be equal, too */
			break;
		n++;
	}
	ret->physical = entry_number(first);
	ret->n = n;
	ret->owned = owned && first && !entry_shared(first);
}

int map_lookup(struct engine *e, const struct map_root *root, uint64_t block, uint64_t max,
	       struct map_extent *ret)
{
	uint64_t entry = root->entry;
	unsigned level = root->depth;
	bool owned = true;

	while (entry) {
		struct page *page;
		int r;

		owned = owned && !entry_shared(entry);
		level--;
		r = map_page(e, entry, level, block, &page);
		if (r < 0)
			return r;
		if (level == 0) {
			extent_in_leaf(page, block, max, owned, ret);
			return 0;
		}
		entry = entry_get(page, map_index(block, level));
	}
	/* nothing is mapped below an entry that covers map_span(level) blocks */
	ret->physical = 0;
	ret->owned = false;
	ret->n = MIN(max, level >= root->depth ? max : map_span(level) - block % map_span(level));
	return 0;
}

/* ---- references ---------------------------------------------------------------------------- */

/* A reference to a page at level goes. Its counts are cached, or S is clear.  [MAP-4] */
REQUIRES(metadata_lock)
static void drop_page(struct engine *e, uint64_t entry, unsigned level, uint64_t seq)
{
	unsigned count = 1;

	if (entry_shared(entry)) {
		int r = space_true_count(e->space, page_unit(entry_number(entry)), &count);

		assert(r == 0 || r == -EUCLEAN);
		if (r < 0) /* damage: more were dropped than there were; the merge will say so */
			count = 2;
	}
	if (count <= 1)
		dying_push(e, entry_number(entry), level, seq);
	else
		space_fall(e->space, page_unit(entry_number(entry)), seq, false);
}

REQUIRES(metadata_lock) static void drop_block(struct engine *e, uint64_t entry, uint64_t seq)
{
	young_fall(e, entry_number(entry));
	space_fall(e->space, block_unit(&e->geo, entry_number(entry)), seq, !entry_shared(entry));
}

/* Is what the entry names to be copied before it's changed?  [MAP-1] -EAGAIN. */
REQUIRES_SHARED(metadata_lock)
static int must_copy(struct engine *e, uint64_t entry, bool *ret_copy)
{
	unsigned count = 1;
	int r = 0;

	if (entry_shared(entry))
		r = space_count(e->space, page_unit(entry_number(entry)), &count);
	if (r == 0)
		*ret_copy = count > 1;
	return r;
}

/* ---- unsharing a path --------------------------------------------------------------------------- */

REQUIRES(metadata_lock)
static struct page *make_page(struct engine *e, unsigned level, uint64_t block)
{
	struct page *page = pages_make(e->pages, engine_take_page(e), PAGE_MAP);
	struct disk_map *m = page->data;

	m->level = put16((uint16_t)level);
	m->first = put64(round_down(block, map_span(level + 1)));
	return page;
}

/* Sets S in every entry of a page that is about to have a copy. */
REQUIRES(metadata_lock) static void mark_shared(struct engine *e, struct page *page)
{
	const struct disk_map *m = page->data;
	bool all = true;

	for (unsigned i = 0; i < MAP_FANOUT && all; i++)
		all = get48(m->entry[i]) == 0 || entry_shared(get48(m->entry[i]));
	if (all)
		return;
	struct disk_map *w = pages_write(e->pages, page);

	for (unsigned i = 0; i < MAP_FANOUT; i++)
		if (get48(w->entry[i]))
			w->entry[i] = put48(get48(w->entry[i]) | ENTRY_SHARED);
}

/* A copy of the page; all that it names has one reference more, but for [skip, skip + n), which is replaced
 * at once and never gets one. */
REQUIRES(metadata_lock)
static struct page *copy_page(struct engine *e, struct page *old, unsigned level, uint64_t block,
			      unsigned skip, unsigned n)
{
	struct page *new = make_page(e, level, block);
	struct disk_map *m = new->data;
	uint64_t unit[MAP_FANOUT];
	unsigned units = 0;

	mark_shared(e, old);
	memcpy(m->entry, ((struct disk_map *)old->data)->entry, sizeof m->entry);
	for (unsigned i = 0; i < MAP_FANOUT; i++) {
		uint64_t entry = get48(m->entry[i]);

		if (entry && (i < skip || i >= skip + n))
			unit[units++] = level ? page_unit(entry_number(entry))
					      : block_unit(&e->geo, entry_number(entry));
	}
	space_raise_all(e->space, unit, units);
	STAT_ADD(e->stats.map_pages_copied, 1);
	return new;
}

REQUIRES(metadata_lock)
static void set_ref(struct engine *e, struct map_root *root, struct page *parent, unsigned i,
		    uint64_t entry)
{
	if (parent)
		((struct disk_map *)pages_write(e->pages, parent))->entry[i] = put48(entry);
	else
		root->entry = entry;
}

/* The page at level target on the path to block, to be changed: made or copied where need be.  *ret_fresh:
 * it has no reference to what its entries [index, index + n) said.  Prepared. */
REQUIRES(metadata_lock)
static struct page *own_path(struct engine *e, struct map_root *root, uint64_t block,
			     unsigned target, unsigned n, uint64_t seq, bool *ret_fresh)
{
	struct page *parent = NULL, *page;
	bool forced = false;

	for (unsigned level = root->depth - 1;; level--) {
		unsigned i = map_index(block, level), above = map_index(block, level + 1);
		uint64_t entry = parent ? entry_get(parent, above) : root->entry;
		bool copy = forced;
		int r;

		if (entry == 0) {
			page = make_page(e, level, block);
			set_ref(e, root, parent, above, page->no);
			forced = true;
		} else {
			r = pages_get(e->pages, entry_number(entry), PAGE_MAP, &page);
			if (r == 0 && !forced)
				r = must_copy(e, entry, &copy);
			assert(r == 0); /* prepared */
			if (copy) {
				if (!forced)
					drop_page(e, entry, level, seq);
				page = copy_page(e, page, level, block, i, level == target ? n : 1);
				set_ref(e, root, parent, above, page->no);
				forced = true;
			}
		}
		if (level == target) {
			*ret_fresh = forced;
			return page;
		}
		parent = page;
	}
}

/* Pages are asked for where one must be made or copied, and below it; so what is the volume's own can be
 * unmapped without any. */
int map_prepare(struct engine *e, const struct map_root *root, uint64_t block)
{
	uint64_t entry = root->entry;
	unsigned level = root->depth, pages = 0;
	int r;

	while (entry && level-- > 0) {
		bool copy = false;
		struct page *page;

		if (!pages && (r = must_copy(e, entry, &copy)) < 0)
			return r;
		if (copy)
			pages = level + 1;
		if ((r = map_page(e, entry, level, block, &page)) < 0)
			return r;
		entry = entry_get(page, map_index(block, level));
	}
	if (!entry)
		pages = MAX(pages, level);
	if ((r = engine_prepare(e, pages, (root->depth + 2) * MAP_FANOUT)) < 0)
		return r;
	return dying_prepare(e, 2);
}

void map_set(struct engine *e, struct map_root *root, uint64_t block, unsigned n, uint64_t physical,
	     uint64_t seq)
{
	bool fresh;
	struct page *leaf = own_path(e, root, block, 0, n, seq, &fresh);
	struct disk_map *m = pages_write(e->pages, leaf);
	unsigned at = map_index(block, 0);

	assert(at + n <= MAP_FANOUT);
	for (unsigned i = 0; i < n; i++) {
		uint64_t old = get48(m->entry[at + i]);

		if (old && !fresh)
			drop_block(e, old, seq);
		space_raise(e->space, block_unit(&e->geo, physical + i));
		m->entry[at + i] = put48(physical + i);
	}
}

/* ---- ownership ---------------------------------------------------------------------------------------- */

/* May S be cleared?  [MAP-2] -EAGAIN. */
REQUIRES_SHARED(metadata_lock) static int may_own(struct engine *e, uint64_t unit, bool *ret_yes)
{
	unsigned count;
	int r = space_count(e->space, unit, &count);

	if (r < 0)
		return r;
	*ret_yes = count == 1 && (!space_pending(e->space, unit) || MUTANT("owner-before-durable"));
	return 0;
}

/* Clears S in one entry if it may be. *ret_shared: S stays. */
REQUIRES(metadata_lock)
static int own_entry(struct engine *e, struct map_root *root, struct page *parent, unsigned i,
		     bool leaf, bool *ret_shared)
{
	uint64_t entry = parent ? entry_get(parent, i) : root->entry;
	bool yes;
	int r;

	*ret_shared = false;
	if (!entry_shared(entry))
		return 0;
	r = may_own(
		e, leaf ? block_unit(&e->geo, entry_number(entry)) : page_unit(entry_number(entry)),
		&yes);
	if (r < 0)
		return r;
	if (yes)
		set_ref(e, root, parent, i, entry_number(entry));
	*ret_shared = !yes;
	return 0;
}

int map_own(struct engine *e, struct map_root *root, uint64_t block, unsigned n)
{
	struct page *parent = NULL;
	bool shared;
	int r = pages_prepare(e->pages, root->depth + 1);

	if (r < 0)
		return r;
	for (unsigned level = root->depth; level-- > 0;) {
		unsigned above = map_index(block, level + 1);
		uint64_t entry = parent ? entry_get(parent, above) : root->entry;
		struct page *page;

		if (entry == 0)
			return 0;
		/* below something shared nothing is written in place: let it be */
		if ((r = own_entry(e, root, parent, above, false, &shared)) < 0 || shared)
			return r;
		if ((r = map_page(e, entry, level, block, &page)) < 0)
			return r;
		parent = page;
	}
	for (unsigned i = 0; i < n; i++)
		if ((r = own_entry(e, root, parent, map_index(block, 0) + i, true, &shared)) < 0)
			return r;
	return 0;
}

/* ---- unmapping -------------------------------------------------------------------------------------------- */

/* Highest level whose page begins at block and ends at or before end; -1: not even a leaf. */
static int whole_level(const struct map_root *root, uint64_t block, uint64_t end)
{
	int level = -1;

	while (level + 1 < (int)root->depth) {
		uint64_t span = map_span((unsigned)level + 2);

		if (block % span != 0)
			break;
		/* the last page of the map may reach beyond end, if end is that of the map */
		if (end != UINT64_MAX && (end - block) < span)
			break;
		level++;
	}
	return level;
}

static bool any_mapped(const struct page *leaf, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		if (entry_get(leaf, i))
			return true;
	return false;
}

int map_step_prepare(struct engine *e, const struct map_root *root, uint64_t block, uint64_t end,
		     struct map_step *ret_step)
{
	uint64_t all = map_span(root->depth), entry = root->entry;
	int whole, r;

	if (end >= all)
		end = UINT64_MAX;
	whole = whole_level(root, block, end);
	if ((r = map_prepare(e, root, block)) < 0)
		return r;
	*ret_step = (struct map_step){.kind = MAP_STEP_SKIP, .block = block};
	for (unsigned level = root->depth; level-- > 0;) {
		uint64_t span = map_span(level + 1), to = round_down(block, span) + span;
		struct page *page;

		if (entry == 0) {
			ret_step->next = MIN(to, end);
			return 0;
		}
		if ((int)level == whole) {
			bool copy;

			ret_step->kind = MAP_STEP_DETACH;
			ret_step->level = level;
			ret_step->next = MIN(to, end);
			return must_copy(e, entry, &copy); /* its counts are needed */
		}
		if ((r = map_page(e, entry, level, block, &page)) < 0)
			return r;
		if (level == 0) {
			ret_step->next = MIN(to, end);
			if (any_mapped(page, map_index(block, 0),
				       (unsigned)(ret_step->next - block)))
				ret_step->kind = MAP_STEP_LEAF;
			return 0;
		}
		entry = entry_get(page, map_index(block, level));
	}
	return 0;
}

int map_prepare_detach(struct engine *e, const struct map_root *root, uint64_t block,
		       unsigned level)
{
	uint64_t entry = root->entry;
	unsigned count;
	int r = map_prepare(e, root, block);

	for (unsigned at = root->depth; r == 0 && entry && --at > level;) {
		struct page *page;

		r = map_page(e, entry, at, block, &page);
		if (r == 0)
			entry = entry_get(page, map_index(block, at));
	}
	if (r < 0 || !entry)
		return r;
	/* whatever S says: an earlier record of the group may set it */
	return space_count(e->space, page_unit(entry_number(entry)), &count);
}

REQUIRES(metadata_lock)
static void unmap_in_leaf(struct engine *e, struct map_root *root, const struct map_step *step,
			  uint64_t seq)
{
	unsigned n = (unsigned)(step->next - step->block), at = map_index(step->block, 0);
	bool fresh;
	struct page *leaf = own_path(e, root, step->block, 0, n, seq, &fresh);
	struct disk_map *m = pages_write(e->pages, leaf);

	for (unsigned i = at; i < at + n; i++) {
		uint64_t old = get48(m->entry[i]);

		if (old && !fresh)
			drop_block(e, old, seq);
		m->entry[i] = put48(0);
	}
}

void map_step_apply(struct engine *e, struct map_root *root, const struct map_step *step,
		    uint64_t seq)
{
	if (step->kind == MAP_STEP_LEAF) {
		unmap_in_leaf(e, root, step, seq);
	} else if (step->kind == MAP_STEP_DETACH && step->level == root->depth - 1) {
		map_drop(e, root, seq);
	} else if (step->kind == MAP_STEP_DETACH) {
		bool fresh;
		struct page *parent =
			own_path(e, root, step->block, step->level + 1, 1, seq, &fresh);
		unsigned i = map_index(step->block, step->level + 1);
		uint64_t old = entry_get(parent, i);

		if (old && !fresh)
			drop_page(e, old, step->level, seq);
		set_ref(e, root, parent, i, 0);
	}
}

/* ---- whole maps ------------------------------------------------------------------------------------------------ */

int map_prepare_drop(struct engine *e, const struct map_root *root)
{
	unsigned count;
	int r;

	if ((r = engine_prepare(e, 0, 4)) < 0 || (r = dying_prepare(e, 1)) < 0)
		return r;
	/* whatever S says: an earlier record of the group may set it */
	return root->entry ? space_count(e->space, page_unit(entry_number(root->entry)), &count)
			   : 0;
}

void map_drop(struct engine *e, struct map_root *root, uint64_t seq)
{
	if (root->entry)
		drop_page(e, root->entry, root->depth - 1, seq);
	root->entry = 0;
}

void map_share(struct engine *e, struct map_root *root, struct map_root *ret_copy)
{
	if (root->entry) {
		space_raise(e->space, page_unit(entry_number(root->entry)));
		root->entry |= ENTRY_SHARED;
	}
	*ret_copy = *root;
}

void map_deepen(struct engine *e, struct map_root *root, unsigned depth)
{
	while (root->depth < depth) {
		if (root->entry) {
			struct page *page = make_page(e, root->depth, 0);
			struct disk_map *m = page->data;

			m->entry[0] = put48(root->entry);
			root->entry = page->no;
		}
		root->depth++;
	}
}
