/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format.c - seal, verify and validate the structures on disk; code records
 *
 * Invariants
 *   [FORMAT-1] A validator reads nothing beyond its page, loops no longer than the page is,
 *              and may be given any bytes at all.
 *   [FORMAT-2] What passed a validator holds no number that points outside the pool, into its
 *              header zones, or beyond an array.
 *   [FORMAT-3] What record_encode accepts record_decode returns unchanged; both ask
 *              record_fits, so that nothing is journaled that recovery would not read.
 *
 * Checksums: FORMAT.md.  In short: XXH3_64bits_withSeed(page with its checksum
 * field zero, XXH3_64bits_withSeed(uuid, kind)).
 */
#include "format.h"

#include <stdio.h>

static const uint8_t super_magic[8] = {'c', 'o', 'w', 'b', 'd', '\r', '\n', 032};

static bool all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	return len == 0 || (b[0] == 0 && memcmp(b, b + 1, len - 1) == 0);
}

/* ---- geometry ------------------------------------------------------------ */

void geometry_init(struct geometry *g, uint64_t zones, uint64_t journal_zones, unsigned block_shift)
{
	uint64_t first = 1 + journal_zones;

	*g = (struct geometry){
		.zones = zones,
		.journal_zones = journal_zones,
		.first_group = first,
		.groups = zones > first ? (zones - first - 1) / GROUP_ZONES + 1 : 0,
		.block_shift = block_shift,
		.block_bytes = 1u << block_shift,
		.zone_blocks = ZONE_BYTES >> block_shift,
	};
}

unsigned group_zone_count(const struct geometry *g, uint64_t group)
{
	uint64_t left = g->zones - group_header_zone(g, group);

	return (unsigned)MIN(left, (uint64_t)GROUP_ZONES);
}

/* Can zone hold data or metadata?  Not zone 0, the journal, a header, or beyond the pool. */
static bool zone_usable(const struct geometry *g, uint64_t zone)
{
	return zone_in_group(g, zone) && zone_index(g, zone) != 0;
}

static bool page_usable(const struct geometry *g, uint64_t page)
{
	return zone_usable(g, page_zone(page));
}

static bool block_usable(const struct geometry *g, uint64_t block)
{
	return zone_usable(g, block_zone(g, block));
}

/* Is MAP_FANOUT ^ power > n? */
static bool fanout_exceeds(unsigned power, uint64_t n)
{
	return MAP_SHIFT * power >= 64 || n >> (MAP_SHIFT * power) == 0;
}

/* Is n a multiple of MAP_FANOUT ^ power? */
static bool fanout_divides(unsigned power, uint64_t n)
{
	if (MAP_SHIFT * power >= 64)
		return n == 0;
	return (n & ((UINT64_C(1) << (MAP_SHIFT * power)) - 1)) == 0;
}

/* ---- pages --------------------------------------------------------------- */

const char *page_kind_name(enum page_kind kind)
{
	switch (kind) {
	case PAGE_SUPER: return "superblock";
	case PAGE_DYING: return "page of the dying list";
	case PAGE_GROUPS: return "group table page";
	case PAGE_SUMMARY: return "summary page";
	case PAGE_ZONE: return "zone page";
	case PAGE_MAP: return "map page";
	case PAGE_CATALOG_NODE: return "catalog node";
	case PAGE_CATALOG_LEAF: return "catalog leaf";
	case PAGE_SUMS: return "page of checksums";
	case PAGE_BATCH: return "journal batch";
	case PAGE_TAIL: return "tail header";
	}
	return "page of no known kind";
}

uint64_t page_seed(enum page_kind kind, const uint8_t uuid[16])
{
	return checksum(uuid, 16, kind);
}

uint64_t page_seal(void *page, enum page_kind kind, const uint8_t uuid[16], uint64_t offset,
		   uint64_t generation)
{
	struct disk_page *h = page;
	uint64_t sum;

	*h = (struct disk_page){
		.kind = put32(kind),
		.offset = put64(offset),
		.generation = put64(generation),
	};
	sum = checksum(page, PAGE_BYTES, page_seed(kind, uuid));
	h->checksum = put64(sum);
	return sum;
}

int page_verify(const void *page, enum page_kind kind, const uint8_t uuid[16], uint64_t offset)
{
	const char *name = page_kind_name(kind);
	uint8_t copy[PAGE_BYTES];
	struct disk_page h;
	uint64_t sum;

	memcpy(copy, page, PAGE_BYTES);
	memcpy(&h, copy, sizeof h);
	if (get32(h.kind) != kind)
		return fail(-EBADMSG,
			    "%s at %" PRIu64 ": something else is there (kind %08" PRIx32 ")", name,
			    offset, get32(h.kind));
	memset(copy + offsetof(struct disk_page, checksum), 0, sizeof h.checksum);
	sum = checksum(copy, PAGE_BYTES, page_seed(kind, uuid));
	if (sum != get64(h.checksum))
		return fail(-EBADMSG, "%s at %" PRIu64 ": checksum is wrong", name, offset);
	if (get64(h.offset) != offset)
		return fail(-EBADMSG, "%s at %" PRIu64 ": misplaced, it belongs to %" PRIu64, name,
			    offset, get64(h.offset));
	if (get32(h.reserved))
		return fail(-EBADMSG, "%s at %" PRIu64 ": reserved field of its header is not zero",
			    name, offset);
	return 0;
}

struct le32 block_sum(const void *data, const struct geometry *g, uint64_t block,
		      const uint8_t uuid[16])
{
	/* the number, so that data which belongs elsewhere is told, too */
	return put32((uint32_t)checksum(data, g->block_bytes, page_seed(PAGE_SUMS, uuid) + block));
}

uint64_t batch_sum(const void *data, const struct geometry *g, uint64_t block,
		   const uint8_t uuid[16])
{
	return checksum(data, g->block_bytes, page_seed(PAGE_BATCH, uuid) + block);
}

static uint64_t own_offset(const struct disk_page *h)
{
	return get64(h->offset);
}

/* ---- names --------------------------------------------------------------- */

/* Decodes one code point from at most len bytes: its length, or 0 if it is not UTF-8
 * (overlong forms, surrogates and numbers above U+10FFFF are not). */
static size_t utf8_decode(const uint8_t *s, size_t len, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t code;

	if ((s[0] >= 0x80 && s[0] < 0xc0) || s[0] >= 0xf8 || n > len)
		return 0;
	code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return n;
}

/* What all names share: UTF-8 without '/' and control characters (C0, DEL, C1). */
static int text_check(const char *what, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;

	for (size_t i = 0; i < len;) {
		uint32_t code;
		size_t n = utf8_decode(s + i, len - i, &code);

		if (n == 0)
			return fail(-EINVAL, "%s is not UTF-8 at byte %zu: choose another", what,
				    i + 1);
		if (code < 0x20 || (code >= 0x7f && code < 0xa0))
			return fail(-EINVAL, "%s has a control character at byte %zu: leave it out",
				    what, i + 1);
		if (code == '/')
			return fail(-EINVAL, "%s has a '/': choose another character", what);
		i += n;
	}
	return 0;
}

int name_check(const char *name)
{
	size_t len = strlen(name);
	int err;

	if (len == 0)
		return fail(-EINVAL, "the name is empty: give 1 to %u bytes", NAME_BYTES_MAX);
	if (len > NAME_BYTES_MAX)
		return fail(-EINVAL, "the name is %zu bytes long: give at most %u", len,
			    NAME_BYTES_MAX);
	err = text_check("the name", name, len);
	if (err < 0)
		return err;
	if (name[0] == '-' || name[0] == '.')
		return fail(-EINVAL, "the name begins with '%c': begin it with another character",
			    name[0]);
	if (strchr(name, '@'))
		return fail(-EINVAL, "the name has an '@', which parts a volume from its snapshot: "
				     "leave it out");
	return 0;
}

/* Is field a string that ends in zeros, the last byte included? */
static bool padded_with_zeros(const uint8_t *field, size_t size)
{
	size_t len = strnlen((const char *)field, size);

	return len < size && all_zero(field + len, size - len);
}

/* ---- superblock ---------------------------------------------------------- */

static int super_check_geometry(const struct disk_super *s)
{
	uint64_t zones = get64(s->zones), journal_zones = get64(s->journal_zones);
	uint64_t offset = get64(s->journal_offset);

	if (get32(s->zone_twins) != ZONE_TWINS)
		return fail(-EOPNOTSUPP,
			    "the pool was made with %" PRIu32 " pages a zone, this cowbd "
			    "knows %u only",
			    get32(s->zone_twins), ZONE_TWINS);
	if (get32(s->block_shift) < BLOCK_SHIFT_MIN || get32(s->block_shift) > BLOCK_SHIFT_MAX)
		return fail(-EUCLEAN, "superblock: block size 2^%" PRIu32 " is out of range",
			    get32(s->block_shift));
	if (zones > (uint64_t)GROUPS_MAX * GROUP_ZONES)
		return fail(-EUCLEAN, "superblock: %" PRIu64 " zones are more than a pool can have",
			    zones);
	if (journal_zones == 0 || journal_zones >= zones)
		return fail(-EUCLEAN, "superblock: a journal of %" PRIu64 " zones does not fit",
			    journal_zones);
	if (zones < journal_zones + 3)
		return fail(-EUCLEAN, "superblock: %" PRIu64 " zones leave none for data", zones);
	if (offset % PAGE_BYTES || offset >= journal_zones * ZONE_BYTES)
		return fail(-EUCLEAN, "superblock: journal position %" PRIu64 " is not in the ring",
			    offset);
	return 0;
}

/* What counts on and on must not get where it begins anew. */
static int super_check_numbers(const struct disk_super *s)
{
	const struct {
		const char *name;
		uint64_t n;
	} number[] = {{"generation", get64(s->h.generation)},
		      {"sequence", get64(s->sequence)},
		      {"number of its batch", get64(s->journal_batch)},
		      {"cut", get64(s->cut)}};

	for (size_t i = 0; i < ARRAY_SIZE(number); i++)
		if (number[i].n >> 62)
			return fail(-EUCLEAN, "superblock: %s %" PRIu64 " can't be", number[i].name,
				    number[i].n);
	return 0;
}

static int super_check_text(const struct disk_super *s)
{
	if (!padded_with_zeros(s->name, sizeof s->name))
		return fail(-EUCLEAN, "superblock: name is not padded with zeros");
	if (text_check("the pool's name", (const char *)s->name, strlen((const char *)s->name)) < 0)
		return fail(-EUCLEAN,
			    "superblock: name is not UTF-8 without '/' and control characters");
	if (!padded_with_zeros(s->tail_path, sizeof s->tail_path))
		return fail(-EUCLEAN, "superblock: path of the tail is not padded with zeros");
	return 0;
}

static int super_check_references(const struct disk_super *s)
{
	uint64_t root = get64(s->catalog_root);
	struct geometry g;
	uint64_t used;

	geometry_init(&g, get64(s->zones), get64(s->journal_zones), get32(s->block_shift));
	if (root && !page_usable(&g, root))
		return fail(-EUCLEAN,
			    "superblock: catalog root %" PRIu64 " is not a page of the pool", root);
	if (get32(s->catalog_depth) > MAP_DEPTH_MAX || MAP_SHIFT * get32(s->catalog_depth) > 63 ||
	    (!root && get32(s->catalog_depth)))
		return fail(-EUCLEAN, "superblock: catalog of depth %" PRIu32 " can't be",
			    get32(s->catalog_depth));
	if (get64(s->next_id) == 0 || get64(s->next_id) >> 62 ||
	    !fanout_exceeds(MAP_DEPTH_MAX, get64(s->next_id) / RECORDS_PER_PAGE))
		return fail(-EUCLEAN, "superblock: next id %" PRIu64 " can't be",
			    get64(s->next_id));
	if (slot_written(s->slot[0]))
		return fail(-EUCLEAN, "superblock: names a slot of itself");
	used = groups_page(g.groups - 1) + 1;
	if (!all_zero(s->slot + used, (ZONE_TWINS - used) * sizeof s->slot[0]))
		return fail(-EUCLEAN,
			    "superblock: names a slot of a group table page that is not used");
	return 0;
}

int super_check(const struct disk_super *s, uint64_t offset)
{
	int err;

	if (memcmp(s->magic, super_magic, sizeof super_magic) != 0)
		return fail(-EINVAL, "this is no cowbd pool: name another file, or make one with "
				     "'cowbd init'");
	err = page_verify(s, PAGE_SUPER, s->uuid, offset);
	if (err < 0)
		return err;
	if (get32(s->major) > FORMAT_MAJOR)
		return fail(-EOPNOTSUPP,
			    "the pool has format %" PRIu32 ", this cowbd knows %u: use a "
			    "newer cowbd",
			    get32(s->major), FORMAT_MAJOR);
	if (get64(s->incompat) & ~FEATURES_INCOMPAT_KNOWN)
		return fail(-EOPNOTSUPP,
			    "the pool uses features that this cowbd does not know "
			    "(%#" PRIx64 "): use a newer cowbd",
			    get64(s->incompat) & ~FEATURES_INCOMPAT_KNOWN);
	if (get32(s->major) != FORMAT_MAJOR)
		return fail(-EUCLEAN, "superblock: format %" PRIu32 " never was", get32(s->major));
	if (get32(s->flags) & ~(uint32_t)SUPER_FLAGS_ALL)
		return fail(-EUCLEAN, "superblock: unknown flags %#" PRIx32, get32(s->flags));
	if (get32(s->reserved0) || !all_zero(s->reserved1, sizeof s->reserved1))
		return fail(-EUCLEAN, "superblock: a reserved field is not zero");
	err = super_check_geometry(s);
	if (err < 0)
		return err;
	err = super_check_numbers(s);
	if (err < 0)
		return err;
	err = super_check_text(s);
	if (err < 0)
		return err;
	return super_check_references(s);
}

/* ---- maps ---------------------------------------------------------------- */

static int map_entry_check(uint64_t at, unsigned i, uint64_t entry, bool to_page, bool catalog,
			   const struct geometry *g)
{
	uint64_t number = entry & ENTRY_NUMBER;

	if (number == 0)
		return fail(-EUCLEAN, "map page at %" PRIu64 ": entry %u is shared but unmapped",
			    at, i);
	if (catalog && entry & ENTRY_SHARED)
		return fail(-EUCLEAN, "catalog node at %" PRIu64 ": entry %u is shared", at, i);
	if (to_page ? !page_usable(g, number) : !block_usable(g, number))
		return fail(-EUCLEAN,
			    "%s at %" PRIu64 ": entry %u, %s %" PRIu64 ", is no place for it",
			    catalog ? "catalog node" : "map page", at, i,
			    to_page ? "page" : "block", number);
	return 0;
}

int map_page_check(const struct disk_map *m, const struct geometry *g, bool catalog)
{
	const char *name = catalog ? "catalog node" : "map page";
	uint64_t at = own_offset(&m->h), first = UINT64_MAX / 2;
	unsigned level = get16(m->level);
	bool to_page = catalog || level > 0;
	uint32_t units = to_page ? ZONE_TWINS : g->zone_blocks; /* of the zone of an entry */

	if (level >= MAP_DEPTH_MAX)
		return fail(-EUCLEAN, "%s at %" PRIu64 ": level %u is too high", name, at, level);
	if (get16(m->reserved0) || get32(m->reserved1) ||
	    !all_zero(m->reserved2, sizeof m->reserved2))
		return fail(-EUCLEAN, "%s at %" PRIu64 ": a reserved field is not zero", name, at);
	if (!fanout_divides(level + 1, get64(m->first)))
		return fail(-EUCLEAN,
			    "%s at %" PRIu64 ": its first block %" PRIu64
			    " is not a multiple of what it covers",
			    name, at, get64(m->first));
	for (unsigned i = 0; i < MAP_FANOUT; i++) {
		uint64_t entry = get48(m->entry[i]);
		int err;

		if (!entry || (!catalog && (entry & ENTRY_NUMBER) - first < units))
			continue; /* in the zone of the one before, and so as usable as that */
		err = map_entry_check(at, i, entry, to_page, catalog, g);
		if (err < 0)
			return err;
		first = (entry & ENTRY_NUMBER) / units * units;
	}
	return 0;
}

/* ---- zones, summaries, groups -------------------------------------------- */

/* Counts that are not zero; -EUCLEAN if one is above COUNT_MAX. */
static int counts_check(const struct le16 *count, unsigned n, uint64_t at)
{
	unsigned used = 0, over = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t c = get16(count[i]);

		used += c != 0;
		over += c > COUNT_MAX;
	}
	for (unsigned i = 0; over && i < n; i++) {
		uint32_t c = get16(count[i]);

		if (c > COUNT_MAX)
			return fail(-EUCLEAN,
				    "zone page at %" PRIu64 ": count %u is %" PRIu32
				    ", the most is %u",
				    at, i, c, COUNT_MAX);
	}
	return (int)used;
}

/* The counts and slots of a zone: the number of counts that are not zero. */
static int zone_check_units(const struct disk_zone *z, const struct geometry *g)
{
	const uint8_t *units = (const uint8_t *)z + offsetof(struct disk_zone, count);
	size_t size = offsetof(struct disk_zone, reserved2) - offsetof(struct disk_zone, count);
	size_t counts = g->zone_blocks * sizeof z->count[0];
	uint64_t at = own_offset(&z->h);

	switch (get16(z->type)) {
	case ZONE_FREE:
	case ZONE_FREE_BACKED:
		if (!all_zero(units, size))
			return fail(-EUCLEAN,
				    "zone page at %" PRIu64 ": a free zone has counts or slots",
				    at);
		return 0;
	case ZONE_DATA:
		if (!all_zero(units + counts, size - counts))
			return fail(-EUCLEAN,
				    "zone page at %" PRIu64 ": counts beyond its %" PRIu32
				    " blocks",
				    at, g->zone_blocks);
		return counts_check(z->count, g->zone_blocks, at);
	case ZONE_META: return counts_check(z->page_count, ZONE_TWINS, at);
	}
	return fail(-EUCLEAN, "zone page at %" PRIu64 ": unknown type %u", at, get16(z->type));
}

int zone_page_check(const struct disk_zone *z, const struct geometry *g)
{
	uint64_t at = own_offset(&z->h);
	int used = zone_check_units(z, g);

	if (used < 0)
		return used;
	if (get16(z->used) != used)
		return fail(-EUCLEAN, "zone page at %" PRIu64 ": says %u used, its counts say %d",
			    at, get16(z->used), used);
	if (get32(z->reserved0) || !all_zero(z->reserved2, sizeof z->reserved2))
		return fail(-EUCLEAN, "zone page at %" PRIu64 ": a reserved field is not zero", at);
	for (unsigned k = 0; k < SUMS_PAGES; k++) {
		uint64_t sums = get64(z->sums[k]);

		if (sums &&
		    (get16(z->type) != ZONE_DATA || k >= sums_pages(g) || !page_usable(g, sums)))
			return fail(-EUCLEAN,
				    "zone page at %" PRIu64 ": page of checksums %" PRIu64
				    " can't be",
				    at, sums);
	}
	return 0;
}

int sums_check(const struct disk_sums *s, const struct geometry *g)
{
	uint64_t at = own_offset(&s->h), first = get64(s->first);

	if (!block_usable(g, first) || first % g->zone_blocks % SUMS_PER_PAGE)
		return fail(-EUCLEAN,
			    "page of checksums at %" PRIu64 ": it can't be of blocks from %" PRIu64
			    " on",
			    at, first);
	for (unsigned i = 0; i < SUMS_PER_PAGE; i++)
		if (get48(s->before[i]) ? first % g->zone_blocks + i >= g->zone_blocks
					: get32(s->sum[i]) != 0)
			return fail(-EUCLEAN,
				    "page of checksums at %" PRIu64
				    ": checksum %u is of no block or of no time",
				    at, i);
	if (!all_zero(s->reserved, sizeof s->reserved))
		return fail(-EUCLEAN,
			    "page of checksums at %" PRIu64 ": a reserved field is not zero", at);
	return 0;
}

int summary_check(const struct disk_summary *s)
{
	static const unsigned most[] = {
		[ZONE_FREE] = 0,
		[ZONE_FREE_BACKED] = 0,
		[ZONE_DATA] = ZONE_UNITS_MAX,
		[ZONE_META] = ZONE_TWINS,
	};
	uint64_t at = own_offset(&s->h);

	if (get16(s->zone[0]) || slot_written(s->slot[0]))
		return fail(-EUCLEAN, "summary page at %" PRIu64 ": says something of its own zone",
			    at);
	for (unsigned i = 1; i < ZONE_TWINS; i++) {
		unsigned type = get16(s->zone[i]) >> 12, used = get16(s->zone[i]) & 0xfff;

		if (type >= ARRAY_SIZE(most))
			return fail(-EUCLEAN,
				    "summary page at %" PRIu64 ": zone %u has unknown type %u", at,
				    i, type);
		if (used > most[type])
			return fail(-EUCLEAN,
				    "summary page at %" PRIu64
				    ": zone %u has %u used, more than it "
				    "holds",
				    at, i, used);
		if (get16(s->zone[i]) && !slot_written(s->slot[i]))
			return fail(-EUCLEAN,
				    "summary page at %" PRIu64 ": zone %u is in use, but its page "
				    "was never written",
				    at, i);
	}
	if (!all_zero(s->reserved, sizeof s->reserved))
		return fail(-EUCLEAN, "summary page at %" PRIu64 ": a reserved field is not zero",
			    at);
	return 0;
}

int groups_check(const struct disk_groups *p)
{
	uint64_t at = own_offset(&p->h);

	for (unsigned i = 0; i < GROUPS_PER_PAGE; i++) {
		const struct disk_group *d = &p->group[i];
		uint32_t data = get16(d->data_zones), meta = get16(d->meta_zones);

		if (!slot_written(d->slot) && !all_zero(d, sizeof *d))
			return fail(-EUCLEAN,
				    "group table page at %" PRIu64 ": group %u is in use, but its "
				    "summary was never written",
				    at, i);
		if (data + meta > GROUP_ZONES - 1)
			return fail(-EUCLEAN,
				    "group table page at %" PRIu64 ": group %u has %" PRIu32
				    " zones, more than a group holds",
				    at, i, data + meta);
		if (get32(d->used_blocks) > data * ZONE_UNITS_MAX)
			return fail(-EUCLEAN,
				    "group table page at %" PRIu64 ": group %u has %" PRIu32
				    " blocks used, more than its zones hold",
				    at, i, get32(d->used_blocks));
		if (get32(d->used_pages) > meta * ZONE_TWINS)
			return fail(-EUCLEAN,
				    "group table page at %" PRIu64 ": group %u has %" PRIu32
				    " pages used, more than its zones hold",
				    at, i, get32(d->used_pages));
	}
	if (!all_zero(p->reserved, sizeof p->reserved))
		return fail(-EUCLEAN,
			    "group table page at %" PRIu64 ": a reserved field is not zero", at);
	return 0;
}

int dying_check(const struct disk_dying *d, const struct geometry *g)
{
	uint64_t at = own_offset(&d->h);
	bool ended = false;

	for (unsigned i = 0; i < DYING_PER_PAGE; i++) {
		uint64_t entry = get64(d->entry[i]);
		unsigned levels = entry & 0xff;

		if (entry == 0) {
			ended = true;
			continue;
		}
		if (ended)
			return fail(-EUCLEAN,
				    "page of the dying list at %" PRIu64 ": entry %u after the end",
				    at, i);
		if (levels == 0 || levels > MAP_DEPTH_MAX)
			return fail(-EUCLEAN,
				    "page of the dying list at %" PRIu64 ": entry %u has no such "
				    "level (%u)",
				    at, i, levels);
		if (!page_usable(g, entry >> 8))
			return fail(-EUCLEAN,
				    "page of the dying list at %" PRIu64 ": entry %u, page %" PRIu64
				    ", is no place for a map",
				    at, i, entry >> 8);
	}
	if (!all_zero(d->reserved, sizeof d->reserved))
		return fail(-EUCLEAN,
			    "page of the dying list at %" PRIu64 ": a reserved field is not zero",
			    at);
	return 0;
}

/* ---- catalog ------------------------------------------------------------- */

static bool sector_size_known(uint32_t bytes)
{
	return bytes == 0 || (is_power_of_2(bytes) && bytes >= SECTOR_BYTES && bytes <= PAGE_BYTES);
}

static bool volume_size_valid(uint64_t bytes)
{
	return bytes && bytes % SECTOR_BYTES == 0 && bytes <= VOLUME_BYTES_MAX;
}

static int object_check_map(const struct disk_object *o, const struct geometry *g)
{
	uint64_t id = get64(o->id), size = get64(o->size), root = get64(o->root);

	if (!volume_size_valid(size))
		return fail(-EUCLEAN, "object %" PRIu64 ": size %" PRIu64 " can't be", id, size);
	if (o->depth == 0 || o->depth > MAP_DEPTH_MAX)
		return fail(-EUCLEAN, "object %" PRIu64 ": a map of depth %u can't be", id,
			    o->depth);
	if (!fanout_exceeds(o->depth, (size - 1) >> g->block_shift))
		return fail(-EUCLEAN,
			    "object %" PRIu64 ": a map of depth %u does not cover its size", id,
			    o->depth);
	if (root & ~(ENTRY_SHARED | ENTRY_NUMBER) || root == ENTRY_SHARED ||
	    (root && !page_usable(g, root & ENTRY_NUMBER)))
		return fail(-EUCLEAN,
			    "object %" PRIu64 ": root %" PRIu64 " is not a page of the pool", id,
			    root & ENTRY_NUMBER);
	return 0;
}

int object_check(const struct disk_object *o, const struct geometry *g)
{
	uint64_t id = get64(o->id);

	if (id == 0) {
		if (!all_zero(o, sizeof *o))
			return fail(-EUCLEAN, "an empty place of the catalog is not zero");
		return 0;
	}
	if (o->kind != OBJECT_VOLUME && o->kind != OBJECT_SNAPSHOT)
		return fail(-EUCLEAN, "object %" PRIu64 ": unknown kind %u", id, o->kind);
	if ((o->kind == OBJECT_SNAPSHOT) != (get64(o->volume) != 0))
		return fail(-EUCLEAN,
			    "object %" PRIu64 ": a snapshot is of a volume, a volume is not", id);
	if (o->label > LABEL_FROZEN)
		return fail(-EUCLEAN, "object %" PRIu64 ": unknown label %u", id, o->label);
	if (get32(o->flags) & ~(uint32_t)OBJECT_FLAGS_ALL)
		return fail(-EUCLEAN, "object %" PRIu64 ": unknown flags %#" PRIx32, id,
			    get32(o->flags));
	if (!sector_size_known(get32(o->sector_size)))
		return fail(-EUCLEAN, "object %" PRIu64 ": sector size %" PRIu32 " can't be", id,
			    get32(o->sector_size));
	if (get32(o->reserved0) || !all_zero(o->reserved1, sizeof o->reserved1))
		return fail(-EUCLEAN, "object %" PRIu64 ": a reserved field is not zero", id);
	if (!padded_with_zeros(o->name, sizeof o->name) ||
	    strlen((const char *)o->name) != o->name_length)
		return fail(-EUCLEAN,
			    "object %" PRIu64 ": its name is not of the length that it says", id);
	if (name_check((const char *)o->name) < 0)
		return fail(-EUCLEAN, "object %" PRIu64 ": its name can't be a name", id);
	return object_check_map(o, g);
}

int catalog_leaf_check(const struct disk_catalog_leaf *l, const struct geometry *g)
{
	uint64_t at = own_offset(&l->h), leaf = 0;
	bool any = false;

	for (unsigned i = 0; i < RECORDS_PER_PAGE; i++) {
		uint64_t id = get64(l->object[i].id);
		int err = object_check(&l->object[i], g);

		if (err < 0)
			return err;
		if (id == 0)
			continue;
		if (id % RECORDS_PER_PAGE != i)
			return fail(-EUCLEAN,
				    "catalog leaf at %" PRIu64 ": object %" PRIu64
				    " is at place %u",
				    at, id, i);
		if (any && id / RECORDS_PER_PAGE != leaf)
			return fail(-EUCLEAN,
				    "catalog leaf at %" PRIu64 ": object %" PRIu64
				    " is of another leaf",
				    at, id);
		leaf = id / RECORDS_PER_PAGE;
		any = true;
	}
	if (!all_zero(l->reserved, sizeof l->reserved))
		return fail(-EUCLEAN, "catalog leaf at %" PRIu64 ": a reserved field is not zero",
			    at);
	return 0;
}

int page_check(const void *page, enum page_kind kind, const uint8_t uuid[16], uint64_t offset,
	       const struct geometry *g)
{
	int err = page_verify(page, kind, uuid, offset);

	if (err < 0)
		return err;
	switch (kind) {
	case PAGE_SUPER: return super_check(page, offset);
	case PAGE_DYING: return dying_check(page, g);
	case PAGE_GROUPS: return groups_check(page);
	case PAGE_SUMMARY: return summary_check(page);
	case PAGE_ZONE: return zone_page_check(page, g);
	case PAGE_MAP: return map_page_check(page, g, false);
	case PAGE_CATALOG_NODE: return map_page_check(page, g, true);
	case PAGE_CATALOG_LEAF: return catalog_leaf_check(page, g);
	case PAGE_SUMS: return sums_check(page, g);
	case PAGE_BATCH:
	case PAGE_TAIL: break;
	}
	return fail(-EUCLEAN, "a %s is not a page of the pool", page_kind_name(kind));
}

/* ---- records ------------------------------------------------------------- */

enum record_shape { SHAPE_NONE, SHAPE_MAP, SHAPE_OBJECT, SHAPE_ZONE };

static enum record_shape record_shape(unsigned type)
{
	switch (type) {
	case REC_MAP:
	case REC_UNMAP:
	case REC_DETACH: return SHAPE_MAP;
	case REC_CREATE:
	case REC_SNAPSHOT:
	case REC_CLONE:
	case REC_ROLLBACK:
	case REC_DELETE:
	case REC_RESIZE:
	case REC_RENAME:
	case REC_SET: return SHAPE_OBJECT;
	case REC_ZONE: return SHAPE_ZONE;
	}
	return SHAPE_NONE;
}

static bool within_a_leaf(uint64_t block, uint64_t length)
{
	return length && length <= MAP_FANOUT && block % MAP_FANOUT + length <= MAP_FANOUT;
}

static bool name_fits(const struct record *r, bool needed)
{
	return r->name[0] ? name_check(r->name) == 0 : !needed;
}

static bool object_record_fits(const struct record *r)
{
	if (r->object == 0 || r->flags & ~(uint32_t)OBJECT_FLAGS_ALL || r->label > LABEL_FROZEN ||
	    !sector_size_known(r->sector_size))
		return false;
	switch (r->type) {
	case REC_CREATE: return volume_size_valid(r->size) && name_fits(r, true);
	case REC_SNAPSHOT:
	case REC_CLONE: return r->source && name_fits(r, true);
	case REC_ROLLBACK: return r->source && name_fits(r, r->other != 0);
	case REC_RESIZE: return volume_size_valid(r->size) && name_fits(r, false);
	case REC_RENAME: return name_fits(r, true);
	case REC_SET:
		return r->source >= SET_FLAGS && r->source <= SET_SECTOR_SIZE &&
		       name_fits(r, false);
	default: return name_fits(r, false);
	}
}

/* Is every field of r in range for its type? */
static bool record_fits(const struct record *r)
{
	if (r->seq == 0)
		return false;
	switch (record_shape(r->type)) {
	case SHAPE_MAP:
		if (r->object == 0)
			return false;
		if (r->type == REC_DETACH)
			return r->length < MAP_DEPTH_MAX && r->physical == 0 &&
			       fanout_divides((unsigned)r->length + 1, r->block);
		return within_a_leaf(r->block, r->length) &&
		       (r->type == REC_UNMAP
				? r->physical == 0
				: r->physical && r->physical <= ENTRY_NUMBER - MAP_FANOUT);
	case SHAPE_OBJECT: return object_record_fits(r);
	case SHAPE_ZONE: return r->zone && r->zone_type <= ZONE_META;
	case SHAPE_NONE: break;
	}
	return false;
}

size_t record_size(const struct record *r)
{
	switch (record_shape(r->type)) {
	case SHAPE_MAP: return sizeof(struct disk_rec_map);
	case SHAPE_OBJECT: return sizeof(struct disk_rec_object) + round_up(strlen(r->name), 8);
	case SHAPE_ZONE: return sizeof(struct disk_rec_zone);
	case SHAPE_NONE: break;
	}
	assert(record_shape(r->type) != SHAPE_NONE);
	return 0;
}

static void map_record_encode(const struct record *r, struct disk_rec_map *d)
{
	d->object = put64(r->object);
	d->block = put64(r->block);
	d->length = put64(r->length);
	d->physical = put64(r->physical);
}

static void object_record_encode(const struct record *r, struct disk_rec_object *d)
{
	size_t len = strlen(r->name);

	d->object = put64(r->object);
	d->source = put64(r->source);
	d->other = put64(r->other);
	d->size = put64(r->size);
	d->created = put64(r->created);
	d->flags = put32(r->flags);
	d->sector_size = put32(r->sector_size);
	d->label = r->label;
	d->name_length = (uint8_t)len;
	memcpy(d->name, r->name, len);
}

static void zone_record_encode(const struct record *r, struct disk_rec_zone *d)
{
	d->zone = put64(r->zone);
	d->type = put64(r->zone_type);
}

void record_encode(const struct record *r, void *buf)
{
	size_t size = record_size(r);
	struct disk_record *h = buf;

	assert(record_fits(r));
	memset(buf, 0, size);
	h->length = put16((uint16_t)size);
	h->type = (uint8_t)r->type;
	h->flags = r->more ? RECORD_MORE : 0;
	h->seq = put64(r->seq);
	switch (record_shape(r->type)) {
	case SHAPE_MAP: map_record_encode(r, buf); break;
	case SHAPE_OBJECT: object_record_encode(r, buf); break;
	case SHAPE_ZONE: zone_record_encode(r, buf); break;
	case SHAPE_NONE: break;
	}
	h->checksum = put32((uint32_t)checksum(buf, size, 0));
}

static bool map_record_decode(const uint8_t *buf, size_t size, struct record *r)
{
	struct disk_rec_map d;

	if (size != sizeof d)
		return false;
	memcpy(&d, buf, sizeof d);
	r->object = get64(d.object);
	r->block = get64(d.block);
	r->length = get64(d.length);
	r->physical = get64(d.physical);
	return true;
}

static bool object_record_decode(const uint8_t *buf, size_t size, struct record *r)
{
	struct disk_rec_object d;
	const uint8_t *name = buf + sizeof d;

	if (size < sizeof d)
		return false;
	memcpy(&d, buf, sizeof d);
	if (size != sizeof d + round_up(d.name_length, 8) ||
	    !all_zero(d.reserved, sizeof d.reserved) || memchr(name, 0, d.name_length) ||
	    !all_zero(name + d.name_length, size - sizeof d - d.name_length))
		return false;
	r->object = get64(d.object);
	r->source = get64(d.source);
	r->other = get64(d.other);
	r->size = get64(d.size);
	r->created = get64(d.created);
	r->flags = get32(d.flags);
	r->sector_size = get32(d.sector_size);
	r->label = d.label;
	memcpy(r->name, name, d.name_length);
	return true;
}

static bool zone_record_decode(const uint8_t *buf, size_t size, struct record *r)
{
	struct disk_rec_zone d;

	if (size != sizeof d)
		return false;
	memcpy(&d, buf, sizeof d);
	r->zone = get64(d.zone);
	r->zone_type = get64(d.type);
	return true;
}

/* Is the checksum of the size bytes at buf right? */
static bool record_intact(const uint8_t *buf, size_t size, uint32_t sum)
{
	uint8_t copy[RECORD_BYTES_MAX];

	memcpy(copy, buf, size);
	memset(copy + offsetof(struct disk_record, checksum), 0, sizeof(struct le32));
	return (uint32_t)checksum(copy, size, 0) == sum;
}

size_t record_decode(const void *buf, size_t room, struct record *r)
{
	struct disk_record h;
	struct record found;
	bool ok = false;
	size_t size;

	if (room < sizeof h)
		return 0;
	memcpy(&h, buf, sizeof h);
	size = get16(h.length);
	if (size < sizeof h || size % 8 || size > room || size > RECORD_BYTES_MAX ||
	    h.flags & ~RECORD_MORE || !record_intact(buf, size, get32(h.checksum)))
		return 0;
	memset(&found, 0, sizeof found);
	found.type = (enum record_type)h.type;
	found.more = h.flags & RECORD_MORE;
	found.seq = get64(h.seq);
	switch (record_shape(h.type)) {
	case SHAPE_MAP: ok = map_record_decode(buf, size, &found); break;
	case SHAPE_OBJECT: ok = object_record_decode(buf, size, &found); break;
	case SHAPE_ZONE: ok = zone_record_decode(buf, size, &found); break;
	case SHAPE_NONE: break;
	}
	if (!ok || !record_fits(&found))
		return 0;
	*r = found;
	return size;
}
