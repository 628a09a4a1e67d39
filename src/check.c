/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check.c - verifies a committed checkpoint through format and store alone
 *
 *	1. superblock     both copies; the newer one that is whole counts
 *	2. zones          group table -> summaries -> zone pages: counts, slots, sums
 *	3. references     catalog, maps of its objects, dying subtrees: each page once (check_maps.c)
 *	4. what is left   a count that no reference took is a leak
 *	5. journal        valid batches after the checkpoint (check_journal.c)
 *
 * Each count is loaded once and counted down: every reference takes one off, and
 * finds it at 0 if there are more references than the count says.  So damage is
 * found where the object that refers is known, and a byte or two a unit are enough.
 *
 * What does not fit into the bound of memory waits: later passes go over the leaves that the walk has been
 * at, in the order of the disk, and count the zones of data that are left.
 *
 * Invariants
 *   [CHECK-1] Each page of a map is descended into once, however often it is named; where it was
 *             (level and first block) is kept, so that a page named at two places is found,
 *             and no loop is ever followed.
 *   [CHECK-2] Memory follows what valid pages say is in use, never a bare number:
 *             a zone is kept only if its own page, sealed and in place, gives it a type.
 *   [CHECK-3] What can't be read is damage and ends nothing but the descent below it.  After it
 *             leaks are not looked for, since what it named is not known.
 *
 * Failure: only lack of memory, no readable superblock, and a superblock from a
 * newer version end the check early.
 */
#include "check_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define NOWHERE UINT64_MAX
#define PROGRESS_PAGES 256u
#define COUNTS_AT_ONCE 32u
/* With what else there is (buffers, groups, objects) below 512 MiB. */
#define MEMORY_BYTES (UINT64_C(440) << 20)

struct zone zone_unknown, zone_elsewhere, zone_done;

/* ---- findings ------------------------------------------------------------ */

void check_found(struct check *c, enum cowbd_damage_kind kind, uint64_t offset, const char *fmt,
		 ...)
{
	char message[1024];
	va_list ap;

	if (c->quiet)
		return;
	c->result.damages += kind == COWBD_DAMAGE;
	c->result.leaks += kind == COWBD_LEAK;
	c->result.notes += kind == COWBD_NOTE;
	if (!c->opt || !c->opt->report)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	c->opt->report(c->opt->opaque, kind, c->who, offset, message);
}

void check_set_who(struct check *c, const char *who)
{
	snprintf(c->who, sizeof c->who, "%s", who);
}

void check_progress(struct check *c, bool last)
{
	if (c->opt && c->opt->progress && (last || c->visited % PROGRESS_PAGES == 0))
		c->opt->progress(c->opt->opaque, last ? c->total : MIN(c->visited, c->total),
				 c->total);
}

/* ---- pages --------------------------------------------------------------- */

/* Reads a page above the maps: 1, 0 if it can't be (reported), or -ENOMEM. */
static int read_table(struct check *c, uint64_t page, struct le32 slot, enum page_kind kind,
		      void *buf)
{
	int err = check_read_page(c, page, slot, kind, buf);

	if (err == -ENOMEM)
		return err;
	if (err < 0) {
		check_found(c, COWBD_DAMAGE, page_offset(page, slot_which(slot)), "%s",
			    error_message());
		c->blind = true;
		return 0;
	}
	c->result.pages += !c->quiet;
	return 1;
}

/* ---- superblock ---------------------------------------------------------- */

/* The copies say the same. */
static bool super_equal(const struct disk_super *a, const struct disk_super *b)
{
	struct disk_super x = *a, y = *b;

	x.h = y.h;
	x.sequence = y.sequence;
	return memcmp(&x, &y, sizeof x) == 0 && get64(a->h.generation) == get64(b->h.generation);
}

/* A commit writes one copy, then the other: so they differ by one write, and in content only if
 * it was cut off between the two. */
static void compare_supers(struct check *c, const struct disk_super *newer,
			   const struct disk_super *older)
{
	uint64_t ahead = get64(newer->sequence) - get64(older->sequence);
	uint64_t offset = get64(older->h.offset);

	if (ahead > 1)
		check_found(c, COWBD_DAMAGE, offset,
			    "this copy of the superblock is %" PRIu64
			    " writes older than the other",
			    ahead);
	else if (!super_equal(newer, older))
		check_found(
			c, ahead ? COWBD_NOTE : COWBD_DAMAGE, offset,
			ahead ? "this copy of the superblock is from before the last commit: the "
				"next opening makes it equal to the other"
			      : "the copies of the superblock differ though both are one write");
}

/* Reads a copy of the superblock; message is set if it is not whole. */
static int read_super(struct check *c, unsigned i, char message[256])
{
	int err = store_read(c->store, STORE_DIRECT, page_offset(0, i), check_buffer(c, i),
			     PAGE_BYTES);

	if (!err)
		err = super_check(check_buffer(c, i), page_offset(0, i));
	if (err < 0)
		snprintf(message, 256, "%s", error_message());
	else
		c->result.pages++;
	return err;
}

/* Chooses among the copies: 1, 0 if both are damaged (reported), or -errno if this is
 * nothing that can be checked. */
static int load_super(struct check *c)
{
	const struct disk_super *copy[2] = {check_buffer(c, 0), check_buffer(c, 1)};
	char message[2][256];
	unsigned best;
	int err[2];

	for (unsigned i = 0; i < 2; i++) {
		err[i] = read_super(c, i, message[i]);
		if (err[i] == -EOPNOTSUPP || err[i] == -ENOMEM)
			return err[i];
	}
	if (err[0] == err[1] && (err[0] == -EINVAL || err[0] == -EIO))
		return fail(err[0], "%s", message[0]);
	for (unsigned i = 0; i < 2; i++)
		if (err[i])
			check_found(c, COWBD_DAMAGE, page_offset(0, i), "%s",
				    err[i] == -EINVAL ? "a copy of the superblock is gone"
						      : message[i]);
	if (err[0] && err[1])
		return 0;
	best = err[0] || (!err[1] && get64(copy[1]->sequence) > get64(copy[0]->sequence));
	if (!err[0] && !err[1])
		compare_supers(c, copy[best], copy[!best]);
	c->super = *copy[best];
	geometry_init(&c->g, get64(c->super.zones), get64(c->super.journal_zones),
		      get32(c->super.block_shift));
	return 1;
}

static void check_size(struct check *c)
{
	uint64_t bytes = c->g.zones * ZONE_BYTES;

	if (bytes > c->store->size)
		check_found(c, COWBD_DAMAGE, c->store->size,
			    "the pool is cut off: %" PRIu64 " of its %" PRIu64 " bytes are missing",
			    bytes - c->store->size, bytes);
	if (get32(c->super.flags) & SUPER_TAINTED)
		check_found(c, COWBD_NOTE, get64(c->super.h.offset),
			    "the last session ended in a failed sync");
}

/* ---- zones --------------------------------------------------------------- */

static uint64_t zone_bytes(bool meta, unsigned units)
{
	return sizeof(struct zone) + units + (units + 7) / 8 +
	       (meta ? units * (sizeof(uint64_t) + sizeof(struct le32)) + (units + 7) / 8 : 0);
}

static struct zone *zone_new(bool meta, unsigned units)
{
	size_t place = meta ? units * sizeof(uint64_t) : 0;
	size_t slot = meta ? units * sizeof(struct le32) : 0;
	struct zone *z = calloc(1, zone_bytes(meta, units));
	uint8_t *at = (uint8_t *)(z + 1);

	if (!z)
		return NULL;
	z->meta = meta;
	z->units = units;
	z->place = (void *)at;
	z->slot = (void *)(at + place);
	z->left = at + place + slot;
	z->single = z->left + units;
	z->wanted = meta ? z->single + (units + 7) / 8 : NULL;
	return z;
}

static void zone_free(struct check *c, struct zone *z)
{
	if (!z || z == &zone_unknown || z == &zone_elsewhere || z == &zone_done)
		return;
	c->memory -= zone_bytes(z->meta, z->units) + (z->wide ? z->units * sizeof *z->wide : 0);
	check_cache_free(c, z);
	free(z->wide);
	free(z->refs);
	free(z);
}

static void mark_singles(const struct zone *z, const struct le16 *count)
{
	uint8_t *single = z->single;
	unsigned units = z->units;

	for (unsigned i = 0; i < units; i += 8) {
		unsigned bits = 0;

		for (unsigned k = 0; k < 8 && i + k < units; k++)
			bits |= (unsigned)(get16(count[i + k]) == 1) << k;
		single[i / 8] = (uint8_t)bits;
	}
}

/* The low bytes of n counts, and all of their bits together.  The compiler makes vectors of the inner loop. */
static unsigned take_counts(uint8_t *restrict left, const struct le16 *restrict count, unsigned n)
{
	uint16_t all = 0;
	unsigned i = 0;

	for (; i + COUNTS_AT_ONCE <= n; i += COUNTS_AT_ONCE)
		for (unsigned k = 0; k < COUNTS_AT_ONCE; k++) {
			uint16_t one = get16(count[i + k]);

			all |= one;
			left[i + k] = (uint8_t)one;
		}
	for (; i < n; i++) {
		all |= get16(count[i]);
		left[i] = (uint8_t)get16(count[i]);
	}
	return all;
}

/* Counts as the page says, in bytes if they fit. */
static int set_counts(struct check *c, struct zone *z, const struct le16 *count)
{
	unsigned units = z->units, all = take_counts(z->left, count, units);

	if (all <= 1) /* of a unit without a count nobody asks if it's 1 */
		memset(z->single, 0xff, (units + 7) / 8);
	else
		mark_singles(z, count);
	if (all <= UINT8_MAX)
		return 0;
	z->wide = calloc(units, sizeof *z->wide);
	if (!z->wide)
		return fail(-ENOMEM, "out of memory");
	c->memory += units * sizeof *z->wide;
	for (unsigned i = 0; i < units; i++)
		z->wide[i] = get16(count[i]);
	return 0;
}

static uint64_t memory_bound(const struct check *c)
{
	return c->opt && c->opt->memory_bytes ? c->opt->memory_bytes : MEMORY_BYTES;
}

/* Has a zone of data to wait for a later pass?  Those of metadata are all needed at once. */
static bool must_wait(const struct check *c)
{
	return !c->repair && c->counted &&
	       c->memory + zone_bytes(false, c->g.zone_blocks) > memory_bound(c);
}

/* Keeps what the page of a zone in use says. */
static int keep_zone(struct check *c, const struct disk_zone *d, struct zone **ret_zone)
{
	bool meta = get16(d->type) == ZONE_META;
	const struct le16 *count = meta ? d->page_count : d->count;
	struct zone *z;
	int err;

	if (!meta && !c->quiet)
		c->result.blocks += get16(d->used);
	c->data_zones += !meta && !c->quiet;
	if (!meta && must_wait(c)) {
		c->later++;
		*ret_zone = &zone_elsewhere;
		return 0;
	}
	z = zone_new(meta, meta ? ZONE_TWINS : c->g.zone_blocks);
	if (!z)
		return fail(-ENOMEM, "out of memory");
	c->memory += zone_bytes(meta, z->units);
	c->counted += !meta;
	*ret_zone = z;
	err = set_counts(c, z, count);
	if (!err && c->repair) {
		z->refs = calloc(2 * (size_t)z->units, sizeof *z->refs);
		if (!z->refs)
			return fail(-ENOMEM, "out of memory");
	}
	for (unsigned i = 0; z->refs && i < z->units; i++)
		z->refs[z->units + i] = get16(count[i]);
	c->meta_zones += meta;
	for (unsigned i = 0; meta && i < z->units; i++) {
		unsigned wanted = get16(count[i]) && slot_written(d->slot[i]);

		z->slot[i] = d->slot[i];
		z->wanted[i / 8] |= (uint8_t)(wanted << i % 8);
		c->wanted += wanted;
	}
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		z->sums[k] = get64(d->sums[k]);
	return err;
}

/* Zone i of a group, of which the summary says this. */
static int load_zone(struct check *c, uint64_t group, unsigned i, unsigned said, struct le32 slot)
{
	uint64_t page = summary_page(&c->g, group) + i;
	struct group *gr = &c->group[group];
	struct disk_zone *d = check_buffer(c, 2);
	bool rebuilt = false;
	int got;

	if (!slot_written(slot) || (c->quiet && gr->zone[i] != &zone_elsewhere))
		return 0;
	got = read_table(c, page, slot, PAGE_ZONE, d);
	if (got == 0 && c->repair) {
		rebuilt = true;
		got = repair_zone_page(c, page, said, d);
		if (got == 0)
			got = 1;
	}
	if (got == 0)
		gr->zone[i] = &zone_unknown;
	if (got <= 0)
		return got;
	if (said != (unsigned)(get16(d->type) << 12 | get16(d->used)))
		check_found(c, COWBD_DAMAGE, get64(d->h.offset),
			    "zone %" PRIu64 " is of type %u with %u used, the "
			    "summary of its group says type %u with %u",
			    page_zone(page) + i, get16(d->type), get16(d->used), said >> 12,
			    said & 0xfff);
	if (get16(d->type) != ZONE_DATA && get16(d->type) != ZONE_META)
		return 0;
	got = keep_zone(c, d, &gr->zone[i]);
	if (!got && c->repair) {
		gr->zone[i]->rebuilt = rebuilt;
		gr->zone[i]->guessed = gr->guessed;
		gr->zone[i]->named = slot;
	}
	return got;
}

/* The sums in the group table are those of the summary. */
static void check_group_sums(struct check *c, uint64_t group, const struct disk_group *d,
			     const struct disk_summary *s, uint64_t at)
{
	uint32_t zones[ZONE_META + 1] = {0}, used[ZONE_META + 1] = {0};

	for (unsigned i = 1; i < ZONE_TWINS; i++) {
		zones[get16(s->zone[i]) >> 12]++;
		used[get16(s->zone[i]) >> 12] += get16(s->zone[i]) & 0xfff;
	}
	if (get16(d->data_zones) != zones[ZONE_DATA] || get32(d->used_blocks) != used[ZONE_DATA])
		check_found(c, COWBD_DAMAGE, at,
			    "group %" PRIu64 " has %" PRIu32 " blocks used in %" PRIu32
			    " zones, the group table says %" PRIu32 " in %u",
			    group, used[ZONE_DATA], zones[ZONE_DATA], get32(d->used_blocks),
			    get16(d->data_zones));
	if (get16(d->meta_zones) != zones[ZONE_META] || get32(d->used_pages) != used[ZONE_META])
		check_found(c, COWBD_DAMAGE, at,
			    "group %" PRIu64 " has %" PRIu32 " pages used in %" PRIu32
			    " zones, the group table says %" PRIu32 " in %u",
			    group, used[ZONE_META], zones[ZONE_META], get32(d->used_pages),
			    get16(d->meta_zones));
}

/* Asks for the pages of zones of a group from there on, as many as are read at once; and for the summary of the group
 * behind it, which is wanted when these are. */
static void ask_for_zones(struct check *c, uint64_t group, const struct disk_summary *s,
			  unsigned from, const struct disk_group *next)
{
	unsigned end = MIN(from + AHEAD_PAGES, MIN(group_zone_count(&c->g, group), ZONE_TWINS));

	check_ahead_begin(c);
	for (unsigned i = from; i < end; i++)
		(void)check_ahead_add(c, summary_page(&c->g, group) + i, s->slot[i]);
	if (next)
		(void)check_ahead_add(c, summary_page(&c->g, group + 1), next->slot);
	check_ahead_run(c);
}

/* A group ends: nobody waits for the first pages of the next one, which follows at once. */
static void ask_for_next(struct check *c, uint64_t group, const struct disk_group *d)
{
	struct disk_summary *s = check_buffer(c, 3);

	if (c->repair || !slot_written(d->slot) ||
	    check_read_page(c, summary_page(&c->g, group), d->slot, PAGE_SUMMARY, s) < 0)
		return; /* it is told when it is that group's turn */
	ask_for_zones(c, group, s, 1, NULL);
	c->asked = group;
}

/* next: of the group behind it, NULL: there is none, or it is named elsewhere. */
static int load_group(struct check *c, uint64_t group, const struct disk_group *d,
		      const struct disk_group *next, uint64_t at)
{
	struct disk_summary *s = check_buffer(c, 1);
	struct group *gr = &c->group[group];
	unsigned zones = group_zone_count(&c->g, group);
	bool sure = true;
	int got;

	if (!slot_written(d->slot))
		return 0;
	got = read_table(c, summary_page(&c->g, group), d->slot, PAGE_SUMMARY, s);
	if (got == 0 && c->repair) {
		got = repair_summary(c, group, d->slot, s, &sure);
		gr->guessed |= !sure;
		if (got == 0)
			got = 1;
	}
	gr->unknown = got == 0;
	if (got <= 0)
		return got;
	c->total += c->quiet ? 0 : get32(d->used_pages);
	check_group_sums(c, group, d, s, at);
	if (!gr->zone)
		gr->zone = calloc(GROUP_ZONES, sizeof(struct zone *));
	if (!gr->zone)
		return fail(-ENOMEM, "out of memory");
	for (unsigned i = 1; i < ZONE_TWINS; i++) {
		int err;

		if (i == 1 && (c->asked != group || group == 0))
			ask_for_zones(c, group, s, i, NULL);
		if (i % AHEAD_PAGES == 1 && i + AHEAD_PAGES < ZONE_TWINS)
			ask_for_zones(c, group, s, i + AHEAD_PAGES, next);
		else if (i % AHEAD_PAGES == 1 && next)
			ask_for_next(c, group + 1, next);
		if (i >= zones) {
			if (slot_written(s->slot[i]))
				check_found(c, COWBD_DAMAGE, get64(s->h.offset),
					    "group %" PRIu64 ": its summary "
					    "names zone %u of %u",
					    group, i, zones);
			continue;
		}
		err = load_zone(c, group, i, get16(s->zone[i]), s->slot[i]);
		if (err < 0)
			return err;
	}
	return 0;
}

/* One page of the group table: groups from first on. */
static int load_groups_page(struct check *c, uint64_t first)
{
	uint64_t page = groups_page(first), n = MIN(c->g.groups - first, GROUPS_PER_PAGE);
	struct le32 slot = c->super.slot[page];
	struct disk_groups *p = check_buffer(c, 0);
	int got;

	if (!slot_written(slot))
		return 0;
	got = read_table(c, page, slot, PAGE_GROUPS, p);
	if (got == 0 && c->repair) {
		bool sure;

		got = repair_groups(c, first, slot, p, &sure);
		for (uint64_t i = 0; i < n; i++)
			c->group[first + i].guessed = !sure;
		if (got == 0)
			got = 1;
	}
	if (got < 0)
		return got;
	for (uint64_t i = 0; i < GROUPS_PER_PAGE; i++) {
		int err;

		if (got == 0) {
			if (i < n)
				c->group[first + i].unknown = true;
			continue;
		}
		if (i >= n) {
			if (slot_written(p->group[i].slot))
				check_found(c, COWBD_DAMAGE, get64(p->h.offset),
					    "the group table names group "
					    "%" PRIu64 " of %" PRIu64,
					    first + i, c->g.groups);
			continue;
		}
		err = load_group(c, first + i, &p->group[i], i + 1 < n ? &p->group[i + 1] : NULL,
				 get64(p->h.offset));
		if (err < 0)
			return err;
	}
	return 0;
}

static int load_groups(struct check *c)
{
	if (!c->group)
		c->group = calloc(c->g.groups, sizeof *c->group);
	if (!c->group)
		return fail(-ENOMEM, "out of memory");
	for (uint64_t first = 0; first < c->g.groups; first += GROUPS_PER_PAGE) {
		int err = load_groups_page(c, first);

		if (err < 0)
			return err;
	}
	return 0;
}

/* One page of the dying list; *ended: the list is over. */
static void keep_dying(struct check *c, const struct disk_dying *d, bool *ended)
{
	for (unsigned k = 0; k < DYING_PER_PAGE; k++) {
		uint64_t entry = get64(d->entry[k]);

		if (entry && *ended) {
			check_found(c, COWBD_DAMAGE, get64(d->h.offset),
				    "the dying list goes on after its end");
			return;
		}
		*ended = entry == 0;
		if (entry)
			c->dying[c->ndying++] = (struct dying){
				.page = entry >> 8,
				.level = (unsigned)(entry & 0xff) - 1,
				.offset = get64(d->h.offset),
			};
	}
}

static int load_dying(struct check *c)
{
	bool ended = false;

	c->dying = calloc(DYING_MAX, sizeof *c->dying);
	if (!c->dying)
		return fail(-ENOMEM, "out of memory");
	for (unsigned i = 0; i < DYING_PAGES; i++) {
		struct le32 slot = c->super.slot[dying_page(i)];
		int got;

		if (!slot_written(slot)) {
			ended = true;
			continue;
		}
		got = read_table(c, dying_page(i), slot, PAGE_DYING, check_buffer(c, 0));
		if (got < 0)
			return got;
		c->dying_lost |= got == 0;
		if (got)
			keep_dying(c, check_buffer(c, 0), &ended);
	}
	return 0;
}

/* ---- what is left -------------------------------------------------------- */

static void report_leak(struct check *c, const struct zone *z, uint64_t zone, unsigned from,
			unsigned to)
{
	uint64_t first = zone * z->units + from;
	uint64_t offset = z->meta ? page_offset(first, 0) : first << c->g.block_shift;
	const char *what = z->meta ? "page" : "block";

	if (to - from == 1)
		check_found(c, COWBD_LEAK, offset,
			    "%s %" PRIu64 " has a count of %u more than references", what, first,
			    zone_left(z, from));
	else
		check_found(c, COWBD_LEAK, offset,
			    "%ss %" PRIu64 " to %" PRIu64 " have counts above their references",
			    what, first, first + (to - from) - 1);
}

static bool nothing_left(const struct zone *z)
{
	static const uint8_t none[ZONE_UNITS_MAX];

	return z->units == 0 || memcmp(z->left, none, z->units) == 0;
}

static void find_leaks(struct check *c, const struct zone *z, uint64_t zone)
{
	unsigned end;

	if (!z->wide && nothing_left(z))
		return;
	for (unsigned i = 0; i < z->units; i = end) {
		for (end = i; end < z->units && zone_left(z, end); end++)
			;
		if (end > i)
			report_leak(c, z, zone, i, end);
		else
			end++;
	}
}

static int find_leaks_of_data(struct check *c, struct zone *z, uint64_t zone)
{
	if (!z->meta && !c->blind)
		find_leaks(c, z, zone);
	return 0;
}

static int find_leaks_of_pages(struct check *c, struct zone *z, uint64_t zone)
{
	if (z->meta)
		find_leaks(c, z, zone);
	return 0;
}

int check_each_zone(struct check *c, int (*visit)(struct check *, struct zone *, uint64_t zone))
{
	int err = 0;

	for (uint64_t n = 0; n < c->g.groups; n++)
		for (unsigned i = 1; c->group[n].zone && i < GROUP_ZONES && !err; i++)
			if (c->group[n].zone[i])
				err = visit(c, c->group[n].zone[i],
					    group_header_zone(&c->g, n) + i);
	return err;
}

/* Of the zones of data that this pass counts. */
static int check_left_of_data(struct check *c)
{
	int err;

	check_set_who(c, "metadata");
	err = check_each_zone(c, check_sums);
	return err ? err : check_each_zone(c, find_leaks_of_data);
}

/* When nothing refers any more. */
static int check_left_of_pages(struct check *c)
{
	check_set_who(c, "metadata");
	if (!c->blind)
		return check_each_zone(c, find_leaks_of_pages);
	check_found(c, COWBD_NOTE, NOWHERE,
		    "leaks were not looked for: what the lost pages name is not known");
	return 0;
}

/* ---- passes ---------------------------------------------------------------- */

static void say_passes(struct check *c)
{
	c->result.passes = c->counted ? (unsigned)((c->data_zones + c->counted - 1) / c->counted)
				      : 1;
	if (c->result.passes > 1 && c->opt && c->opt->passes)
		c->opt->passes(c->opt->opaque, c->result.passes);
}

static void forget_data(struct check *c)
{
	c->near.zone = NULL;
	for (uint64_t n = 0; n < c->g.groups; n++)
		for (unsigned i = 0; c->group[n].zone && i < GROUP_ZONES; i++) {
			struct zone *z = c->group[n].zone[i];

			if (!z || z->meta || z == &zone_unknown || z == &zone_elsewhere)
				continue;
			zone_free(c, z);
			c->group[n].zone[i] = &zone_done;
		}
}

/* Zones of data for which there was no room, some at a time. */
static int count_later(struct check *c)
{
	int err = 0;

	while (c->later && !err) {
		forget_data(c);
		c->later = c->counted = 0;
		c->quiet = true;
		err = load_groups(c);
		c->quiet = false;
		if (!err)
			err = check_leaves(c);
		if (!err)
			err = check_left_of_data(c);
	}
	return err;
}

/* ---- all ----------------------------------------------------------------- */

static int check_all(struct check *c)
{
	int err;

	check_set_who(c, "metadata");
	err = load_super(c);
	if (err <= 0)
		return err;
	check_size(c);
	err = load_dying(c);
	if (!err)
		err = load_groups(c);
	if (!err) {
		say_passes(c);
		check_cache_begin(c, memory_bound(c));
		err = check_catalog(c);
	}
	if (!err)
		err = check_objects(c);
	if (!err)
		err = check_dying(c);
	check_cache_end(c);
	if (!err)
		err = check_left_of_data(c);
	if (!err)
		err = count_later(c);
	if (!err)
		err = check_left_of_pages(c);
	if (err)
		return err;
	check_progress(c, true);
	return check_journal(c);
}

struct zone *check_zone_of(const struct check *c, uint64_t zone)
{
	const struct group *gr = &c->group[zone_group(&c->g, zone)];

	return gr->zone ? gr->zone[zone_index(&c->g, zone)] : NULL;
}

void check_fini(struct check *c)
{
	check_ahead_fini(c);
	check_cache_fini(c);
	for (uint64_t n = 0; c->group && n < c->g.groups; n++) {
		for (unsigned i = 0; c->group[n].zone && i < GROUP_ZONES; i++)
			zone_free(c, c->group[n].zone[i]);
		free(c->group[n].zone);
	}
	free(c->group);
	free(c->dying);
	free(c->object);
	free(c->buffer);
}

int check_run(struct check *c)
{
	c->buffer = aligned_alloc(PAGE_BYTES, (size_t)BUFFERS_ALL * PAGE_BYTES);
	return c->buffer ? check_all(c) : fail(-ENOMEM, "out of memory");
}

int check_store(struct store *s, const struct cowbd_check_options *opt,
		struct cowbd_check_result *ret_result)
{
	struct check *c = calloc(1, sizeof *c);
	int err;

	if (!c)
		return fail(-ENOMEM, "out of memory");
	c->store = s;
	c->opt = opt;
	err = check_run(c);
	if (!err)
		*ret_result = c->result;
	check_fini(c);
	free(c);
	return err;
}
