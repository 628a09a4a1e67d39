/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * repair.c - makes a damaged checkpoint whole again, as far as what is left of it tells how
 *
 *	round 0, 1, ...  the checker walks all; entries that lead nowhere are cut off, in memory,
 *	                 until a round finds none: its references are what the counts must be
 *	write            changed pages to the slots that are not current; pages of zones with the
 *	                 counts found; summaries; group table
 *	sync, superblock one copy, then the other   <- the commit point is the first
 *
 *	lost                 what happens
 *	a copy of the superblock   written from the other
 *	summary, group table       made from the pages of zones
 *	page of a zone of data     made from the references
 *	page of a zone of metadata its slots: of each page the newest copy.  The checksum in the page above
 *	                           proves that this is what it said; else what depends on it is said for each object
 *	map page                   what it mapped is cut off: reads as zeros, said for each object
 *	page of the catalog        nothing is done: whole volumes would go; nor if it is not certain which copy counts
 *
 * Invariants
 *   [REPAIR-1] Nothing is written that the committed checkpoint uses, before both copies of the new superblock
 *              are durable: cut off anywhere, the pool is what it was, or repaired.
 *   [REPAIR-2] An older copy of a page never takes the place of one that is lost: not while its slot is named, and
 *              not where the page that named it is lost and the other slot holds what is not right.
 *   [REPAIR-3] A pool without damage and leaks is not written to.
 *
 * Journal and tail stay what they are: the next opening replays them.
 */
#include "check_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define BUCKETS 4096u
#define ROUNDS_MAX 12u
#define NOWHERE UINT64_MAX
#define GENERATIONS 4096u /* of a page: so many of the last are tried */

struct patch {
	struct patch *next; /* of the bucket */
	uint64_t page;
	enum page_kind kind;
	_Alignas(8) uint8_t data[PAGE_BYTES];
};

/* Entry index of a page was cut off. */
struct cut {
	uint64_t page;
	unsigned level, index;
	uint64_t first; /* logical block */
};

struct repair {
	const struct cowbd_check_options *opt;
	struct patch *bucket[BUCKETS];
	struct cut *cuts;
	size_t ncuts, cuts_room;
	struct check *before; /* the round before */
	unsigned round;
	bool changed;  /* in this round */
	bool hopeless; /* a page of the catalog is lost */
	bool dry;
	uint64_t written; /* pages */
};

static void say(struct repair *r, enum cowbd_damage_kind kind, const char *who, uint64_t offset,
		const char *fmt, ...) PRINTF(5, 6);
static void say(struct repair *r, enum cowbd_damage_kind kind, const char *who, uint64_t offset,
		const char *fmt, ...)
{
	char message[512];
	va_list ap;

	if (!r->opt || !r->opt->report)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	r->opt->report(r->opt->opaque, kind, who, offset, message);
}

/* ---- patches -------------------------------------------------------------------- */

static struct patch *find_patch(const struct repair *r, uint64_t page)
{
	struct patch *p = r->bucket[page % BUCKETS];

	while (p && p->page != page)
		p = p->next;
	return p;
}

bool repair_patched(const struct check *c, uint64_t page, void *buf)
{
	const struct patch *p = find_patch(c->repair, page);

	if (p)
		memcpy(buf, p->data, PAGE_BYTES);
	return p != NULL;
}

/* The patch of a page, made from what it holds if there is none yet; NULL without memory. */
static struct patch *patch_page(struct repair *r, uint64_t page, enum page_kind kind,
				const void *content)
{
	struct patch *p = find_patch(r, page);

	if (p)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->page = page;
	p->kind = kind;
	memcpy(p->data, content, PAGE_BYTES);
	p->next = r->bucket[page % BUCKETS];
	r->bucket[page % BUCKETS] = p;
	return p;
}

static int no_memory(void)
{
	return fail(-ENOMEM, "out of memory");
}

/* ---- what the walk asks for -------------------------------------------------------- */

void repair_hopeless(struct check *c)
{
	c->repair->hopeless = true;
}

uint32_t repair_known(const struct check *c, uint64_t zone, unsigned unit)
{
	const struct check *b = c->repair->before;
	const struct zone *z = b && b->group ? check_zone_of(b, zone) : NULL;

	return z && z->refs ? z->refs[unit] : 0;
}

static int note_cut(struct repair *r, uint64_t page, unsigned level, unsigned index, uint64_t first)
{
	if (r->ncuts == r->cuts_room) {
		size_t room = MAX(r->cuts_room * 2, (size_t)64);
		struct cut *cuts = reallocarray(r->cuts, room, sizeof *cuts);

		if (!cuts)
			return no_memory();
		r->cuts = cuts;
		r->cuts_room = room;
	}
	r->cuts[r->ncuts++] = (struct cut){page, level, index, first};
	return 0;
}

int repair_entry(struct check *c, uint64_t page, const struct disk_map *m, unsigned i)
{
	struct repair *r = c->repair;
	struct patch *p = patch_page(r, page, PAGE_MAP, m);
	struct le48 *entry;

	if (!p)
		return no_memory();
	r->changed = true;
	entry = &((struct disk_map *)p->data)->entry[i];
	if (!c->bad) {
		*entry = put48(get48(*entry) | ENTRY_SHARED);
		return 0;
	}
	*entry = put48(0);
	return note_cut(r, page, get16(m->level), i,
			get64(m->first) + ((uint64_t)i << MAP_SHIFT * get16(m->level)));
}

/* The page whose slot is at this offset. */
static uint64_t page_at(uint64_t offset)
{
	return offset / ZONE_BYTES * ZONE_TWINS + offset % SLOT_DISTANCE / PAGE_BYTES;
}

int repair_root(struct check *c, const struct object *o)
{
	struct repair *r = c->repair;
	uint64_t page = page_at(o->offset);
	const struct zone *z = check_zone_of(c, page_zone(page));
	struct disk_object *d;
	struct patch *p;
	int err = check_read_page(c, page, z->slot[page % ZONE_TWINS], PAGE_CATALOG_LEAF,
				  check_buffer(c, BUFFER_OTHER));

	if (err == -ENOMEM)
		return err;
	if (err) {
		repair_hopeless(c);
		return 0;
	}
	p = patch_page(r, page, PAGE_CATALOG_LEAF, check_buffer(c, BUFFER_OTHER));
	if (!p)
		return no_memory();
	r->changed = true;
	d = &((struct disk_catalog_leaf *)p->data)->object[o->id % RECORDS_PER_PAGE];
	if (!c->bad) {
		d->root = put64(get64(d->root) | ENTRY_SHARED);
		return 0;
	}
	d->root = put64(0);
	say(r, COWBD_LOST, c->who, o->offset, "all of it is lost: it reads as zeros");
	return 0;
}

/* ---- tables that are lost ----------------------------------------------------------- */

static bool all_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE_BYTES - 1) == 0;
}

/* What the two slots of a page tell of it, when the page that names one of them is lost. */
struct copies {
	struct le32 newest; /* as it would be named; 0: none is right */
	bool torn; /* one is neither right nor untouched: it may be the one that was named */
};

/* Reads both; the newest right one into buf. */
static struct copies look_at_copies(struct check *c, uint64_t page, const enum page_kind *kinds,
				    size_t n, void *buf)
{
	struct copies found = {.torn = false};
	struct disk_page *h = check_buffer(c, BUFFER_LEAF);
	uint64_t best = 0;

	for (unsigned which = 0; which < 2; which++) {
		uint64_t offset = page_offset(page, which);
		bool read = store_read(c->store, STORE_DIRECT, offset, h, PAGE_BYTES) == 0;
		bool right = false;

		for (size_t k = 0; read && k < n && !right; k++)
			right = page_check(h, kinds[k], c->super.uuid, offset, &c->g) == 0;
		found.torn |= !read || (!right && !all_zero((uint8_t *)h));
		/* from a checkpoint that never was: neither */
		if (!right || get64(h->generation) > get64(c->super.h.generation))
			continue;
		if (slot_written(found.newest) && get64(h->generation) < best)
			continue;
		best = get64(h->generation);
		found.newest = slot_make(which, get64(h->checksum));
		memcpy(buf, h, PAGE_BYTES);
	}
	return found;
}

/* How a table is named that is to be made anew from what is below it: no page has this checksum there. In buf what
 * is right of it, else zeros. */
static struct le32 name_table(struct check *c, uint64_t page, enum page_kind kind, void *buf)
{
	struct copies found;

	memset(buf, 0, PAGE_BYTES);
	found = look_at_copies(c, page, &kind, 1, buf);
	if (!found.torn)
		return found.newest;
	return put32(get32(found.newest) ^ (get32(found.newest) == 2 ? 1 : 2));
}

/* Is content what stood in a page that is lost?  The page above has its checksum, and the generation is one of the last. */
static bool is_what_was_named(struct check *c, uint64_t page, enum page_kind kind,
			      const void *content, struct le32 named)
{
	uint64_t generation = get64(c->super.h.generation);
	void *buf = check_buffer(c, BUFFER_LEAF);

	memcpy(buf, content, PAGE_BYTES);
	for (unsigned i = 0; i < GENERATIONS && i <= generation; i++) {
		uint64_t sum = page_seal(buf, kind, c->super.uuid,
					 page_offset(page, slot_which(named)), generation - i);

		if (get32(slot_make(slot_which(named), sum)) == get32(named))
			return true;
	}
	return false;
}

int repair_zone_page(struct check *c, uint64_t page, unsigned said, struct disk_zone *d)
{
	static const enum page_kind kinds[] = {PAGE_MAP, PAGE_CATALOG_NODE, PAGE_CATALOG_LEAF,
					       PAGE_SUMS};
	uint64_t zone = page_zone(page) + page % ZONE_TWINS;

	memset(d, 0, sizeof *d);
	d->type = put16((uint16_t)(said >> 12));
	for (unsigned i = 0; said >> 12 == ZONE_META && i < ZONE_TWINS; i++) {
		struct copies found = look_at_copies(c, zone * ZONE_TWINS + i, kinds,
						     ARRAY_SIZE(kinds),
						     check_buffer(c, BUFFER_OTHER));

		if (!found.torn) /* [REPAIR-2] */
			d->slot[i] = found.newest;
	}
	if (c->repair->round == 0)
		say(c->repair, COWBD_REPAIR, "metadata", page_offset(page, 0),
		    "the page of zone %" PRIu64 " is made anew, from %s", zone,
		    said >> 12 == ZONE_META ? "the newest copies of the pages there"
					    : "the references to its blocks");
	return 0;
}

int repair_summary(struct check *c, uint64_t group, struct le32 named, struct disk_summary *s,
		   bool *ret_sure)
{
	struct disk_zone *z = check_buffer(c, BUFFER_OTHER);

	memset(s, 0, sizeof *s);
	for (unsigned i = 1; i < group_zone_count(&c->g, group); i++) {
		s->slot[i] = name_table(c, summary_page(&c->g, group) + i, PAGE_ZONE, z);
		if (slot_written(s->slot[i]))
			s->zone[i] = put16((uint16_t)(get16(z->type) << 12 | get16(z->used)));
	}
	*ret_sure = is_what_was_named(c, summary_page(&c->g, group), PAGE_SUMMARY, s, named);
	if (c->repair->round == 0)
		say(c->repair, COWBD_REPAIR, "metadata", page_offset(summary_page(&c->g, group), 0),
		    "the summary of group %" PRIu64 " is made anew, from the pages of its zones",
		    group);
	return 0;
}

/* The sums of a group: true if they were others. */
static bool mend_sums(const struct disk_summary *s, struct disk_group *d)
{
	uint32_t zones[ZONE_META + 1] = {0}, used[ZONE_META + 1] = {0};
	struct disk_group was = *d;

	for (unsigned i = 1; i < ZONE_TWINS; i++) {
		unsigned type = MIN(get16(s->zone[i]) >> 12, (int)ZONE_META);

		zones[type]++;
		used[type] += get16(s->zone[i]) & 0xfff;
	}
	d->data_zones = put16((uint16_t)zones[ZONE_DATA]);
	d->meta_zones = put16((uint16_t)zones[ZONE_META]);
	d->used_blocks = put32(used[ZONE_DATA]);
	d->used_pages = put32(used[ZONE_META]);
	return memcmp(&was, d, sizeof was) != 0;
}

int repair_groups(struct check *c, uint64_t first, struct le32 named, struct disk_groups *p,
		  bool *ret_sure)
{
	uint64_t n = MIN(c->g.groups - first, GROUPS_PER_PAGE);
	struct disk_summary *s = check_buffer(c, BUFFER_OTHER);

	memset(p, 0, sizeof *p);
	for (uint64_t i = 0; i < n; i++) {
		p->group[i].slot = name_table(c, summary_page(&c->g, first + i), PAGE_SUMMARY, s);
		if (slot_written(p->group[i].slot))
			(void)mend_sums(s, &p->group[i]);
	}
	*ret_sure = is_what_was_named(c, groups_page(first), PAGE_GROUPS, p, named);
	if (c->repair->round == 0)
		say(c->repair, COWBD_REPAIR, "metadata", page_offset(groups_page(first), 0),
		    "a page of the group table is made anew, from the summaries of the groups");
	return 0;
}

/* ---- who lost what ------------------------------------------------------------------- */

static int by_page(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static void say_cut(struct check *c, const struct object *o, const struct cut *cut)
{
	uint64_t from = cut->first << c->g.block_shift;
	uint64_t to = (cut->first + (UINT64_C(1) << MAP_SHIFT * cut->level)) << c->g.block_shift;

	if (from < o->size)
		say(c->repair, COWBD_LOST, c->who, NOWHERE,
		    "bytes %" PRIu64 " to %" PRIu64
		    " are lost as far as they were written: they read as zeros",
		    from, MIN(to, o->size) - 1);
}

/* Of a page in a zone whose own page is lost, when nothing proves which copy counted. */
static void say_unsure(struct check *c, const struct object *o, uint64_t first, unsigned level)
{
	unsigned shift = MAP_SHIFT * (level + 1);
	uint64_t blocks = shift < 48 ? UINT64_C(1) << shift : UINT64_C(1) << 48;
	uint64_t from = first << c->g.block_shift, to = (first + blocks) << c->g.block_shift;

	if (from < o->size)
		say(c->repair, COWBD_LOST, c->who, NOWHERE,
		    "bytes %" PRIu64 " to %" PRIu64 " may be older than they were: which of two "
		    "copies of their map counted is not known",
		    from, MIN(to, o->size) - 1);
}

/* Says what was cut off below a page that o reaches. */
static void list_page(struct check *c, const struct object *o, uint64_t page, unsigned level)
{
	struct repair *r = c->repair;
	struct disk_map *m = check_buffer(c, level);
	const struct zone *z = check_zone_of(c, page_zone(page));
	size_t lo = 0, hi = r->ncuts;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->cuts[mid].page < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < r->ncuts && r->cuts[lo].page == page; lo++)
		say_cut(c, o, &r->cuts[lo]);
	if (!z || !z->slot || check_read_page(c, page, z->slot[page % ZONE_TWINS], PAGE_MAP, m) < 0)
		return;
	if (z->unsure) {
		say_unsure(c, o, get64(m->first), level);
		return; /* all below is in that range */
	}
	if (level == 0)
		return;
	for (unsigned i = 0; i < MAP_FANOUT; i++)
		if (get48(m->entry[i]))
			list_page(c, o, get48(m->entry[i]) & ENTRY_NUMBER, level - 1);
}

/* The page of a zone in use, as it should be: true if it is not so. */
static bool make_zone_page(struct check *c, const struct zone *z, struct disk_zone *d)
{
	struct le16 *count;
	bool differs = z->rebuilt;
	unsigned used = 0;

	(void)c;
	memset(d, 0, sizeof *d);
	d->type = put16(z->meta ? ZONE_META : ZONE_DATA);
	count = z->meta ? d->page_count : d->count;
	for (unsigned i = 0; i < z->units; i++) {
		count[i] = put16((uint16_t)z->refs[i]);
		used += z->refs[i] != 0;
		differs |= z->refs[i] != z->refs[z->units + i];
		if (z->meta)
			d->slot[i] = z->slot[i];
	}
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		d->sums[k] = put64(z->sums[k]);
	d->used = put16((uint16_t)used);
	return differs;
}

/* Slots of a zone of metadata whose page was lost: does something prove that they are those that it named? */
static int find_unsure(struct check *c, struct zone *z, uint64_t zone)
{
	uint64_t page = summary_page(&c->g, zone_group(&c->g, zone)) + zone_index(&c->g, zone);
	struct disk_zone *d = check_buffer(c, BUFFER_OTHER);

	if (!z->meta || !(z->rebuilt || z->guessed))
		return 0;
	(void)make_zone_page(c, z, d);
	z->unsure = z->guessed || !is_what_was_named(c, page, PAGE_ZONE, d, z->named);
	for (unsigned i = 0; i < ZONE_TWINS && z->unsure; i++) {
		unsigned tree = (unsigned)(z->place[i] & 0xff) >> 4;

		if (tree == PLACE_NODE || tree == PLACE_LEAF)
			c->repair->hopeless = true;
	}
	return 0;
}

static int list_losses(struct check *c)
{
	struct repair *r = c->repair;
	int err = check_each_zone(c, find_unsure);

	if (err)
		return err;
	if (r->hopeless)
		return fail(
			-EUCLEAN,
			"which of two copies of a page of the catalog counts is not known, and "
			"whole "
			"volumes depend on it: nothing was changed; restore the pool from a copy");
	if (r->ncuts)
		qsort(r->cuts, r->ncuts, sizeof *r->cuts, by_page);
	check_ahead_forget(c);
	for (size_t i = 0; i < c->objects; i++) {
		const struct object *o = &c->object[i];

		check_who_object(c, o);
		if (o->root & ENTRY_NUMBER)
			list_page(c, o, o->root & ENTRY_NUMBER, o->depth - 1u);
	}
	return 0;
}

/* ---- rounds ---------------------------------------------------------------------------- */

static void drop_check(struct check *c)
{
	if (c)
		check_fini(c);
	free(c);
}

/* Walks until nothing is left to be cut off; the last walk is r->before. */
static int walk_rounds(struct repair *r, struct store *s)
{
	for (r->round = 0; r->round < ROUNDS_MAX; r->round++) {
		struct check *c = calloc(1, sizeof *c);
		int err;

		if (!c)
			return no_memory();
		c->store = s;
		c->repair = r;
		r->changed = false;
		err = check_run(c);
		drop_check(r->before);
		r->before = c;
		if (err || !c->group || r->hopeless)
			return err;
		if (!r->changed && r->round > 0)
			return 0;
	}
	return fail(-EUCLEAN, "the pool is too much damaged to be repaired");
}

/* ---- writing ------------------------------------------------------------------------------ */

/* Writes a page to the slot that is not named; returns in *slot how it is named now. */
static int write_page(struct check *c, uint64_t page, enum page_kind kind, const void *content,
		      struct le32 *slot)
{
	uint64_t generation = get64(c->super.h.generation) + 1;
	unsigned which = slot_written(*slot) ? !slot_which(*slot) : 0; /* [REPAIR-1] */
	void *buf = check_buffer(c, BUFFER_LEAF);
	uint64_t sum;

	c->repair->written++;
	memcpy(buf, content, PAGE_BYTES);
	sum = page_seal(buf, kind, c->super.uuid, page_offset(page, which), generation);
	*slot = slot_make(which, sum);
	if (c->repair->dry)
		return 0;
	return store_write(c->store, STORE_DIRECT, page_offset(page, which), buf, PAGE_BYTES);
}

/* Maps and leaves of the catalog. */
static int write_patches(struct check *c)
{
	for (unsigned b = 0; b < BUCKETS; b++)
		for (struct patch *p = c->repair->bucket[b]; p; p = p->next) {
			struct zone *z = check_zone_of(c, page_zone(p->page));
			int err = write_page(c, p->page, p->kind, p->data,
					     &z->slot[p->page % ZONE_TWINS]);

			if (err)
				return err;
			z->rebuilt = true;
		}
	return 0;
}

/* The list without what leads nowhere, where that is not what it was. */
static int write_dying(struct check *c)
{
	struct disk_dying *d = check_buffer(c, BUFFER_OTHER);
	size_t n = 0, at = 0;

	for (size_t i = 0; i < c->ndying; i++)
		if (c->dying[i].page)
			c->dying[n++] = c->dying[i];
	if (n == c->ndying && !c->dying_lost)
		return 0;
	for (unsigned i = 0; i < DYING_PAGES; i++) {
		int err;

		memset(d, 0, sizeof *d);
		for (unsigned k = 0; k < DYING_PER_PAGE && at < n; k++, at++)
			d->entry[k] = put64(c->dying[at].page << 8 | (c->dying[at].level + 1));
		err = slot_written(c->super.slot[dying_page(i)]) || get64(d->entry[0])
			      ? write_page(c, dying_page(i), PAGE_DYING, d,
					   &c->super.slot[dying_page(i)])
			      : 0;
		if (err)
			return err;
	}
	return 0;
}

/* What the summary says of zone i, and its page. *changed. */
static int mend_zone(struct check *c, uint64_t group, unsigned i, struct disk_summary *s,
		     bool *changed)
{
	uint64_t page = summary_page(&c->g, group) + i;
	const struct zone *z = c->group[group].zone ? c->group[group].zone[i] : NULL;
	struct disk_zone *d = check_buffer(c, BUFFER_OTHER);
	bool write = false;
	uint16_t says;
	int err;

	if (!slot_written(s->slot[i]))
		return 0;
	if (z) {
		write = make_zone_page(c, z, d);
	} else {
		err = check_read_page(c, page, s->slot[i], PAGE_ZONE, d);
		if (err == -ENOMEM)
			return err;
		if (err) { /* a free zone, whose page says nothing else */
			memset(d, 0, sizeof *d);
			d->type = put16(ZONE_FREE_BACKED);
			write = true;
		}
	}
	says = (uint16_t)(get16(d->type) << 12 | get16(d->used));
	if (write) {
		err = write_page(c, page, PAGE_ZONE, d, &s->slot[i]);
		if (err)
			return err;
	}
	*changed |= write || get16(s->zone[i]) != says;
	s->zone[i] = put16(says);
	return 0;
}

static int mend_group(struct check *c, uint64_t group, struct disk_group *d, bool *changed)
{
	struct disk_summary *s = check_buffer(c, 1);
	bool summary_changed = false, sure;
	int err;

	if (!slot_written(d->slot))
		return 0;
	err = check_read_page(c, summary_page(&c->g, group), d->slot, PAGE_SUMMARY, s);
	if (err == -ENOMEM)
		return err;
	if (err) {
		err = repair_summary(c, group, d->slot, s, &sure);
		summary_changed = true;
	}
	for (unsigned i = 1; i < group_zone_count(&c->g, group) && !err; i++)
		err = mend_zone(c, group, i, s, &summary_changed);
	if (!err && summary_changed)
		err = write_page(c, summary_page(&c->g, group), PAGE_SUMMARY, s, &d->slot);
	*changed |= summary_changed;
	*changed |= mend_sums(s, d);
	return err;
}

static int write_tables(struct check *c)
{
	struct disk_groups *p = check_buffer(c, 0);
	int err = 0;

	for (uint64_t first = 0; first < c->g.groups && !err; first += GROUPS_PER_PAGE) {
		uint64_t page = groups_page(first), n = MIN(c->g.groups - first, GROUPS_PER_PAGE);
		bool changed = false, sure;

		if (!slot_written(c->super.slot[page]))
			continue;
		err = check_read_page(c, page, c->super.slot[page], PAGE_GROUPS, p);
		if (err == -ENOMEM)
			return err;
		if (err) {
			changed = true;
			err = repair_groups(c, first, c->super.slot[page], p, &sure);
		}
		for (unsigned i = 0; i < n && !err; i++)
			err = mend_group(c, first + i, &p->group[i], &changed);
		if (!err && changed)
			err = write_page(c, page, PAGE_GROUPS, p, &c->super.slot[page]);
	}
	return err;
}

/* Both copies, the one that does not count first. */
static int write_supers(struct check *c)
{
	unsigned which = get64(c->super.h.offset) == page_offset(0, 0) ? 1 : 0;
	uint64_t generation = get64(c->super.h.generation) + (c->repair->written != 0);
	struct disk_super *s = check_buffer(c, 0);
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++, which = !which) {
		c->super.sequence = put64(get64(c->super.sequence) + 1);
		*s = c->super;
		page_seal(s, PAGE_SUPER, c->super.uuid, page_offset(0, which), generation);
		err = store_write(c->store, STORE_DIRECT | STORE_DURABLE, page_offset(0, which), s,
				  PAGE_BYTES);
	}
	return err;
}

static int write_all(struct check *c)
{
	int err;

	c->repair->round = 1; /* what is made anew was said */
	check_ahead_forget(c);
	err = write_patches(c);
	if (!err)
		err = write_dying(c);
	if (!err)
		err = write_tables(c);
	if (err || c->repair->dry)
		return err;
	if (c->repair->written && (err = store_sync(c->store, NULL, 0)) < 0)
		return err;
	return write_supers(c);
}

/* ---- all ------------------------------------------------------------------------------------ */

static void drop_patches(struct repair *r)
{
	for (unsigned b = 0; b < BUCKETS; b++)
		while (r->bucket[b]) {
			struct patch *p = r->bucket[b];

			r->bucket[b] = p->next;
			free(p);
		}
}

int repair_store(struct store *s, const struct cowbd_check_options *opt, bool dry_run,
		 uint64_t *ret_pages)
{
	struct repair *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return no_memory();
	r->opt = opt;
	r->dry = dry_run;
	err = walk_rounds(r, s);
	if (!err && (!r->before->group || r->hopeless))
		err = fail(-EUCLEAN,
			   "a page of the %s is lost, and with it whole volumes would be: nothing "
			   "was changed; restore the pool from a copy",
			   r->before->group ? "catalog" : "superblock");
	if (!err) {
		err = list_losses(r->before);
	}
	if (!err) {
		err = write_all(r->before);
	}
	if (!err)
		*ret_pages = r->written;
	drop_check(r->before);
	drop_patches(r);
	free(r->cuts);
	free(r);
	return err;
}
