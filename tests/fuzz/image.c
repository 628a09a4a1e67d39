/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - a pool's bytes as input of a fuzzer: packed, mutated, and its checksums repaired
 *
 * Repair goes down from each superblock as a reader does, and seals on the way up: a page after those
 * that it names.  Numbers that lead nowhere are left as they are: they are what is to be tried.
 */
#include "image.h"

#define GAP_MIN 16u /* zeros that end a run */
#define RUN_HEAD 6u

static void need(const void *memory)
{
	if (!memory)
		abort();
}

/* ---- packing ----------------------------------------------------------------------------- */

void image_fini(struct image *im)
{
	for (size_t i = 0; i < IMAGE_PAGES; i++)
		free(im->page[i]);
	memset(im, 0, sizeof *im);
}

uint8_t *image_at(struct image *im, uint64_t offset)
{
	uint64_t i = offset / PAGE_BYTES;

	if (offset >= im->zones * ZONE_BYTES)
		return NULL;
	if (!im->page[i]) {
		im->page[i] = calloc(1, PAGE_BYTES);
		need(im->page[i]);
	}
	return im->page[i] + offset % PAGE_BYTES;
}

static void put_bytes(struct image *im, uint64_t offset, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t part = MIN(len, PAGE_BYTES - offset % PAGE_BYTES);
		uint8_t *at = image_at(im, offset);

		if (!at)
			return;
		memcpy(at, data, part);
		offset += part;
		data += part;
		len -= part;
	}
}

bool image_unpack(struct image *im, const uint8_t *data, size_t len)
{
	if (len < 1)
		return false;
	im->zones = data[0] % IMAGE_ZONES_MAX + 1;
	for (size_t at = 1; at + RUN_HEAD <= len;) {
		uint64_t offset = (uint64_t)get32(*(const struct le32 *)(data + at)) * 8;
		size_t n = get16(*(const struct le16 *)(data + at + 4));

		at += RUN_HEAD;
		n = MIN(n, len - at);
		put_bytes(im, offset, data + at, n);
		at += n;
	}
	return true;
}

/* The next run of a page from *at on: its length, 0 at the end of the page. */
static size_t next_run(const uint8_t *page, size_t *at)
{
	size_t from = *at, end, zeros = 0;

	while (from < PAGE_BYTES && !page[from])
		from++;
	if (from == PAGE_BYTES)
		return 0;
	from -= from % 8;
	for (end = from; end < PAGE_BYTES && zeros < GAP_MIN; end++)
		zeros = page[end] ? 0 : zeros + 1;
	*at = from;
	return end - zeros - from;
}

size_t image_pack(const struct image *im, uint8_t *out, size_t max)
{
	size_t used = 1;

	if (max < 1)
		return 0;
	out[0] = (uint8_t)(im->zones - 1);
	for (uint64_t i = 0; i < im->zones * (ZONE_BYTES / PAGE_BYTES); i++) {
		size_t n;

		for (size_t at = 0; im->page[i] && (n = next_run(im->page[i], &at)) > 0; at += n) {
			struct le32 where = put32((uint32_t)((i * PAGE_BYTES + at) / 8));
			struct le16 length = put16((uint16_t)n);

			if (used + RUN_HEAD + n > max)
				return used;
			memcpy(out + used, &where, sizeof where);
			memcpy(out + used + 4, &length, sizeof length);
			memcpy(out + used + RUN_HEAD, im->page[i] + at, n);
			used += RUN_HEAD + n;
		}
	}
	return used;
}

void image_load(struct image *im, struct store *s)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint8_t buf[PAGE_BYTES];

	im->zones = MIN(s->size / ZONE_BYTES, IMAGE_ZONES_MAX);
	for (uint64_t at = 0; at < im->zones * ZONE_BYTES; at += PAGE_BYTES) {
		if (store_read(s, 0, at, buf, sizeof buf) < 0)
			abort();
		if (memcmp(buf, zeros, sizeof buf) != 0)
			put_bytes(im, at, buf, sizeof buf);
	}
}

struct store *image_store(const struct image *im)
{
	struct store *s;

	if (store_sim_new(im->zones * ZONE_BYTES, NULL, &s) < 0)
		abort();
	for (uint64_t i = 0; i < im->zones * (ZONE_BYTES / PAGE_BYTES); i++)
		if (im->page[i] && store_write(s, 0, i * PAGE_BYTES, im->page[i], PAGE_BYTES) < 0)
			abort();
	return s;
}

/* ---- pages --------------------------------------------------------------------------------- */

struct repair {
	struct image *im;
	struct geometry g;
	uint8_t uuid[16];
	bool counts;
};

static uint8_t *page_of(const struct repair *r, uint64_t no, struct le32 slot)
{
	return slot_written(slot) ? image_at(r->im, page_offset(no, slot_which(slot))) : NULL;
}

/* Seals the page that slot names, and makes slot agree. */
static void seal(const struct repair *r, uint64_t no, enum page_kind kind, struct le32 *slot)
{
	uint8_t *page = page_of(r, no, *slot);
	unsigned which = slot_which(*slot);
	uint64_t generation;

	if (!page)
		return;
	generation = get64(((struct disk_page *)(void *)page)->generation);
	*slot = slot_make(which,
			  page_seal(page, kind, r->uuid, page_offset(no, which), generation));
}

/* Kind of a page in a metadata zone, as it says itself. */
static enum page_kind own_kind(const uint8_t *page)
{
	uint32_t kind = get32(((const struct disk_page *)(const void *)page)->kind);

	return kind == PAGE_CATALOG_NODE || kind == PAGE_CATALOG_LEAF ? (enum page_kind)kind
								      : PAGE_MAP;
}

static void repair_zone(const struct repair *r, uint64_t zone, struct le32 *slot,
			unsigned *ret_used)
{
	struct disk_zone *z = (void *)page_of(r, zone_page(&r->g, zone), *slot);
	unsigned type, n, used = 0;

	*ret_used = 0;
	if (!z)
		return;
	type = get16(z->type);
	for (unsigned i = 0; i < ZONE_TWINS && type == ZONE_META; i++) {
		uint64_t no = zone * ZONE_TWINS + i;
		uint8_t *page = page_of(r, no, z->slot[i]);

		if (page)
			seal(r, no, own_kind(page), &z->slot[i]);
	}
	n = type == ZONE_META ? ZONE_TWINS : type == ZONE_DATA ? r->g.zone_blocks : 0;
	for (unsigned i = 0; i < n; i++)
		used += get16(z->count[i]) != 0;
	if (r->counts)
		z->used = put16((uint16_t)used);
	*ret_used = type << 12 | used;
	seal(r, zone_page(&r->g, zone), PAGE_ZONE, slot);
}

static void repair_group(const struct repair *r, uint64_t group, struct disk_group *d)
{
	struct disk_summary *sum = (void *)page_of(r, summary_page(&r->g, group), d->slot);
	unsigned zones[4] = {0}, used[4] = {0}, found;

	for (unsigned i = 1; sum && i < group_zone_count(&r->g, group); i++) {
		repair_zone(r, group_header_zone(&r->g, group) + i, &sum->slot[i], &found);
		if (r->counts && slot_written(sum->slot[i]))
			sum->zone[i] = put16((uint16_t)found);
		zones[get16(sum->zone[i]) >> 12 & 3]++;
		used[get16(sum->zone[i]) >> 12 & 3] += get16(sum->zone[i]) & 0xfff;
	}
	if (!sum)
		return;
	if (r->counts) {
		d->data_zones = put16((uint16_t)zones[ZONE_DATA]);
		d->meta_zones = put16((uint16_t)zones[ZONE_META]);
		d->used_blocks = put32(used[ZONE_DATA]);
		d->used_pages = put32(used[ZONE_META]);
	}
	seal(r, summary_page(&r->g, group), PAGE_SUMMARY, &d->slot);
}

static bool geometry_of(const struct image *im, const struct disk_super *s, struct geometry *g)
{
	uint64_t zones = get64(s->zones), journal = get64(s->journal_zones);
	uint32_t shift = get32(s->block_shift);

	if (zones > im->zones || journal >= zones || journal == 0 || shift < BLOCK_SHIFT_MIN ||
	    shift > BLOCK_SHIFT_MAX)
		return false;
	geometry_init(g, zones, journal, shift);
	return g->groups <= GROUPS_PER_PAGE;
}

static void repair_tree(struct repair *r, struct disk_super *s)
{
	struct le32 *slot = &s->slot[groups_page(0)];
	struct disk_groups *table = (void *)page_of(r, groups_page(0), *slot);
	struct image_ring ring = {.base = ZONE_BYTES,
				  .bytes = r->g.journal_zones * ZONE_BYTES,
				  .offset = get64(s->journal_offset),
				  .number = get64(s->journal_batch),
				  .chain = get64(s->journal_chain),
				  .uuid = r->uuid};

	for (unsigned i = 0; i < DYING_PAGES; i++)
		seal(r, dying_page(i), PAGE_DYING, &s->slot[dying_page(i)]);
	for (uint64_t group = 0; table && group < r->g.groups; group++)
		repair_group(r, group, &table->group[group]);
	seal(r, groups_page(0), PAGE_GROUPS, slot);
	image_repair_journal(r->im, &ring);
}

static void repair_super(struct image *im, unsigned copy, bool counts)
{
	uint64_t offset = page_offset(0, copy);
	struct disk_super *s = (void *)image_at(im, offset);
	struct repair r = {.im = im, .counts = counts};

	memcpy(r.uuid, s->uuid, sizeof r.uuid);
	if (geometry_of(im, s, &r.g))
		repair_tree(&r, s);
	page_seal(s, PAGE_SUPER, s->uuid, offset, get64(s->h.generation));
}

void image_repair(struct image *im, bool counts)
{
	const struct disk_super *a = (void *)image_at(im, 0);
	const struct disk_super *b = (void *)image_at(im, SLOT_DISTANCE);
	unsigned newer = get64(a->sequence) < get64(b->sequence);

	/* what both lead to is sealed twice, with one result; what only the newer does must be last */
	repair_super(im, !newer, counts);
	repair_super(im, newer, counts);
}

/* ---- the journal ------------------------------------------------------------------------------ */

size_t image_repair_record(uint8_t *record, size_t room, uint64_t seq)
{
	struct disk_record *h = (void *)record;
	size_t size;

	if (room < sizeof *h)
		return 0;
	size = get16(h->length);
	if (size < sizeof *h || size % 8 || size > room || size > RECORD_BYTES_MAX)
		return 0;
	h->seq = put64(seq);
	h->checksum = put32(0);
	h->checksum = put32((uint32_t)checksum(record, size, 0));
	return size;
}

/* A copy of the bytes of a batch, put back with its records and itself repaired: its checksum. */
static uint64_t repair_batch(struct image *im, uint64_t offset, size_t len, uint64_t chain,
			     const uint8_t *uuid)
{
	CLEANUP_FREE uint8_t *buf = calloc(1, len);
	struct disk_batch *b = (void *)buf;
	size_t done = sizeof *b, n;
	uint32_t records = 0;
	uint64_t sum;

	need(buf);
	for (size_t at = 0; at < len; at += PAGE_BYTES)
		memcpy(buf + at, image_at(im, offset + at), PAGE_BYTES);
	while (records < get32(b->records) && done < sizeof *b + get32(b->payload) && done < len &&
	       (n = image_repair_record(buf + done, len - done, get64(b->first) + records)) > 0) {
		done += n;
		records++;
	}
	b->records = put32(records);
	b->payload = put32((uint32_t)(done - sizeof *b));
	b->previous = put64(chain);
	b->checksum = put64(0);
	sum = checksum(buf, len, page_seed(PAGE_BATCH, uuid));
	b->checksum = put64(sum);
	for (size_t at = 0; at < len; at += PAGE_BYTES)
		memcpy(image_at(im, offset + at), buf + at, PAGE_BYTES);
	return sum;
}

void image_repair_journal(struct image *im, const struct image_ring *ring)
{
	uint64_t at = ring->offset, number = ring->number, chain = ring->chain, used = 0;

	if (ring->base + ring->bytes > im->zones * ZONE_BYTES || at >= ring->bytes ||
	    at % PAGE_BYTES)
		return;
	while (used < ring->bytes) {
		const struct disk_batch *b = (void *)image_at(im, ring->base + at);
		uint64_t len = get32(b->length);

		if (get32(b->kind) != PAGE_BATCH || get64(b->number) != number) {
			if (at == 0)
				return;
			used += ring->bytes - at; /* it may have gone round */
			at = 0;
			continue;
		}
		if (len < PAGE_BYTES || len % PAGE_BYTES || len > ring->bytes - at)
			return;
		chain = repair_batch(im, ring->base + at, len, chain, ring->uuid);
		at = (at + len) % ring->bytes;
		used += len;
		number++;
	}
}
