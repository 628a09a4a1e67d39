/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_pages.c - the decoders of pages, records and names take any bytes
 *
 *	what | geometry | bytes, padded with zeros to a page
 *
 * What must hold: no crash; what a decoder lets pass points nowhere outside the pool [FORMAT-1, -2]; a
 * record that is decoded is encoded to the same bytes [FORMAT-3].
 */
#include <stdio.h>

#include "fuzz.h"
#include "image.h"
#include "use.h"

#define PAGE_KINDS 8u
#define WHAT_RECORD 8u
#define WHAT_NAME 9u
#define WHATS 10u
#define HEAD 2u

const char fuzz_name[] = "pages";

static const enum page_kind kinds[PAGE_KINDS] = {PAGE_SUPER,        PAGE_DYING,       PAGE_GROUPS,
						 PAGE_SUMMARY,      PAGE_ZONE,        PAGE_MAP,
						 PAGE_CATALOG_NODE, PAGE_CATALOG_LEAF};
static const uint8_t uuid[16] = {1, 2, 3};

static uint64_t chance_state;

/* Where the page is said to be, by the second byte. */
static uint64_t offset_of(enum page_kind kind, uint8_t choice)
{
	unsigned slot = choice >> 7;

	return page_offset(kind == PAGE_SUPER ? 0 : 10 * ZONE_TWINS + 1, slot);
}

static void geometry_of(struct geometry *g, uint8_t choice)
{
	geometry_init(g, 20 + (uint64_t)(choice >> 4 & 7) * 300, 2,
		      BLOCK_SHIFT_MIN + (choice & 15) % (BLOCK_SHIFT_MAX - BLOCK_SHIFT_MIN + 1));
}

/* ---- what passed points into the pool -------------------------------------------------------- */

static bool zone_can_hold(const struct geometry *g, uint64_t zone)
{
	return zone > g->journal_zones && zone < g->zones && zone_index(g, zone) != 0;
}

static bool page_fits(const struct geometry *g, uint64_t no)
{
	return zone_can_hold(g, no / ZONE_TWINS);
}

static void judge_map(const struct disk_map *m, const struct geometry *g, bool catalog)
{
	for (unsigned i = 0; i < MAP_FANOUT; i++) {
		uint64_t n = get48(m->entry[i]) & ENTRY_NUMBER;

		if (get48(m->entry[i]) == 0)
			continue;
		if (get16(m->level) > 0 || catalog)
			FUZZ_HOLDS(page_fits(g, n));
		else
			FUZZ_HOLDS(zone_can_hold(g, n * g->block_bytes / ZONE_BYTES));
	}
}

static void judge_super(const struct disk_super *s)
{
	struct geometry g;

	geometry_init(&g, get64(s->zones), get64(s->journal_zones), get32(s->block_shift));
	FUZZ_HOLDS(g.groups >= 1 && g.groups <= GROUPS_MAX);
	FUZZ_HOLDS(get64(s->journal_offset) < g.journal_zones * ZONE_BYTES);
	if (get64(s->catalog_root))
		FUZZ_HOLDS(page_fits(&g, get64(s->catalog_root)));
}

static void judge_leaf(const struct disk_catalog_leaf *l, const struct geometry *g)
{
	for (unsigned i = 0; i < RECORDS_PER_PAGE; i++) {
		const struct disk_object *o = &l->object[i];

		if (get64(o->id) == 0)
			continue;
		FUZZ_HOLDS(memchr(o->name, 0, sizeof o->name) && o->name[0]);
		FUZZ_HOLDS(o->depth >= 1 && o->depth <= MAP_DEPTH_MAX);
		if (get64(o->root))
			FUZZ_HOLDS(page_fits(g, get64(o->root) & ENTRY_NUMBER));
	}
}

static void judge_zone(const struct disk_zone *z, const struct geometry *g)
{
	unsigned used = 0, n = get16(z->type) == ZONE_META ? ZONE_TWINS : g->zone_blocks;

	for (unsigned i = 0; i < n && get16(z->type) >= ZONE_DATA; i++)
		used += get16(z->count[i]) != 0;
	FUZZ_HOLDS(used == get16(z->used));
}

static void judge_page(const uint8_t *page, enum page_kind kind, uint8_t choice)
{
	struct geometry g;

	geometry_of(&g, choice);
	if (page_check(page, kind, uuid, offset_of(kind, choice), &g) < 0)
		return;
	switch (kind) {
	case PAGE_SUPER: judge_super((const void *)page); break;
	case PAGE_ZONE: judge_zone((const void *)page, &g); break;
	case PAGE_MAP: judge_map((const void *)page, &g, false); break;
	case PAGE_CATALOG_NODE: judge_map((const void *)page, &g, true); break;
	case PAGE_CATALOG_LEAF: judge_leaf((const void *)page, &g); break;
	default: break;
	}
}

static void judge_record(const uint8_t *bytes, size_t len)
{
	uint8_t again[RECORD_BYTES_MAX];
	struct record r;
	size_t n = record_decode(bytes, len, &r);

	if (n == 0)
		return;
	FUZZ_HOLDS(n <= len && n == record_size(&r));
	record_encode(&r, again);
	FUZZ_HOLDS(memcmp(bytes, again, n) == 0);
}

static void judge_name(const uint8_t *bytes, size_t len)
{
	char name[600];

	len = MIN(len, sizeof name - 1);
	memcpy(name, bytes, len);
	name[len] = '\0';
	if (name_check(name) < 0)
		return;
	FUZZ_HOLDS(name[0] && strlen(name) <= NAME_BYTES_MAX && !strpbrk(name, "@/\n\x7f") &&
		   name[0] != '-' && name[0] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES] = {0};
	unsigned what;

	if (len < HEAD)
		return 0;
	what = data[0] % WHATS;
	memcpy(page, data + HEAD, MIN(len - HEAD, sizeof page));
	if (what < PAGE_KINDS)
		judge_page(page, kinds[what], data[1]);
	else if (what == WHAT_RECORD)
		judge_record(data + HEAD, len - HEAD);
	else
		judge_name(data + HEAD, len - HEAD);
	return 0;
}

/* ---- mutations ------------------------------------------------------------------------------- */

static size_t trimmed(const uint8_t *page)
{
	size_t n = PAGE_BYTES;

	while (n > 0 && !page[n - 1])
		n--;
	return n;
}

static void repair(uint8_t *page, enum page_kind kind, uint8_t choice)
{
	struct disk_zone *z = (void *)page;

	if (kind == PAGE_SUPER)
		memcpy(((struct disk_super *)(void *)page)->uuid, uuid, sizeof uuid);
	if (kind == PAGE_ZONE && fuzz_chance(&chance_state, 4)) {
		unsigned used = 0;

		for (unsigned i = 0; i < ZONE_UNITS_MAX; i++)
			used += get16(z->count[i]) != 0 &&
				(get16(z->type) != ZONE_META || i < ZONE_TWINS);
		z->used = put16((uint16_t)used);
	}
	page_seal(page, kind, uuid, offset_of(kind, choice), fuzz_get(page + 24, 8));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
	_Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES] = {0};
	unsigned what;

	chance_state = seed;
	if (len <= HEAD || max < HEAD + PAGE_BYTES)
		return LLVMFuzzerMutate(data, len, max);
	if (fuzz_chance(&chance_state, 20) == 0)
		(void)LLVMFuzzerMutate(data, HEAD, HEAD);
	what = data[0] % WHATS;
	if (what == WHAT_NAME)
		return HEAD + LLVMFuzzerMutate(data + HEAD, len - HEAD, 600);
	len = MIN(len - HEAD, sizeof page);
	memcpy(page, data + HEAD, len);
	if (what == WHAT_RECORD) {
		len = fuzz_chance(&chance_state, 2)
			      ? LLVMFuzzerMutate(page, len, RECORD_BYTES_MAX)
			      : (fuzz_field(&chance_state, page, 0, MIN(len + 8, RECORD_BYTES_MAX)),
				 len);
		(void)image_repair_record(page, len, fuzz_get(page + 8, 8));
		memcpy(data + HEAD, page, len);
		return HEAD + len;
	}
	if (fuzz_chance(&chance_state, 2))
		(void)LLVMFuzzerMutate(page + 32, MAX(len, 40) - 32, sizeof page - 32);
	else
		fuzz_field(&chance_state, page, 32,
			   fuzz_chance(&chance_state, 4) ? 700 : PAGE_BYTES);
	if (fuzz_chance(&chance_state, 16))
		repair(page, kinds[what], data[1]);
	len = trimmed(page);
	memcpy(data + HEAD, page, len);
	return HEAD + len;
}

/* ---- seeds ------------------------------------------------------------------------------------ */

/* The nth page or record of a pool that was made, as an input: 0 when there are no more. */
static size_t seed_of(const struct image *im, unsigned n, uint8_t *out)
{
	for (uint64_t i = 0; i < im->zones * (ZONE_BYTES / PAGE_BYTES); i++) {
		unsigned what = 0;

		if (!im->page[i])
			continue;
		while (what < PAGE_KINDS && fuzz_get(im->page[i], 4) != kinds[what])
			what++;
		if (what < PAGE_KINDS && n-- == 0) {
			out[0] = (uint8_t)what;
			out[1] = 0x10;
			repair(im->page[i], kinds[what], out[1]);
			memcpy(out + HEAD, im->page[i], PAGE_BYTES);
			return HEAD + trimmed(im->page[i]);
		}
		if (fuzz_get(im->page[i], 4) == PAGE_BATCH && n-- == 0) {
			out[0] = WHAT_RECORD;
			out[1] = 0;
			memcpy(out + HEAD, im->page[i] + sizeof(struct disk_batch), 256);
			return HEAD + 256;
		}
	}
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t max)
{
	static const char name[] = "\x09\x00name-\xc3\xa9";
	struct image im = {0};
	struct store *s;
	size_t len;

	if (max < HEAD + PAGE_BYTES)
		return 0;
	if (i == 0) {
		memcpy(out, name, sizeof name - 1);
		return sizeof name - 1;
	}
	s = use_make(24, true);
	image_load(&im, s);
	store_close(s);
	len = seed_of(&im, i - 1, out);
	image_fini(&im);
	return len;
}
