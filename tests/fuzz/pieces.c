/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces.c - what of a pool on a store is in use
 */
#include "pieces.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int r)
{
	if (r < 0) {
		fprintf(stderr, "looking for the pages of a pool: %s\n", error_message());
		abort();
	}
}

void pieces_read(struct store *s, uint64_t offset, void *buf, size_t len)
{
	must(store_read(s, 0, offset, buf, len));
}

void pieces_write(struct store *s, uint64_t offset, const void *buf, size_t len)
{
	must(store_write(s, 0, offset, buf, len));
}

const char *pieces_name(const struct piece_of_disk *x)
{
	static char text[100];

	snprintf(text, sizeof text, "%s %" PRIu64 " at %" PRIu64, page_kind_name(x->kind), x->no,
		 x->offset);
	return text;
}

static void add_piece(struct pieces *p, enum page_kind kind, uint64_t no, uint64_t offset,
		      uint64_t length)
{
	assert(p->n < PIECES_MAX);
	p->piece[p->n++] = (struct piece_of_disk){kind, no, offset, length};
	p->bits += length * 8;
}

struct le32 pieces_slot(struct store *s, const struct geometry *g, uint64_t no, uint64_t *ret_place)
{
	uint64_t zone = page_zone(no), parent, field;
	struct le32 above, slot;

	if (zone == 0) {
		*ret_place = offsetof(struct disk_super, slot) + no * sizeof(struct le32);
		pieces_read(s, *ret_place, &slot, sizeof slot);
		return slot;
	}
	if (zone_index(g, zone) != 0) {
		parent = zone_page(g, zone);
		field = offsetof(struct disk_zone, slot) + no % ZONE_TWINS * sizeof slot;
	} else if (no % ZONE_TWINS != 0) {
		parent = summary_page(g, zone_group(g, zone));
		field = offsetof(struct disk_summary, slot) + no % ZONE_TWINS * sizeof slot;
	} else {
		parent = groups_page(zone_group(g, zone));
		field = offsetof(struct disk_groups, group) +
			zone_group(g, zone) % GROUPS_PER_PAGE * sizeof(struct disk_group);
	}
	above = pieces_slot(s, g, parent, ret_place);
	*ret_place = page_offset(parent, slot_which(above)) + field;
	pieces_read(s, *ret_place, &slot, sizeof slot);
	return slot;
}

static void add_page(struct store *s, struct pieces *p, uint64_t no, enum page_kind kind)
{
	uint64_t place;
	struct le32 slot = pieces_slot(s, &p->g, no, &place);

	if (slot_written(slot))
		add_piece(p, kind, no, page_offset(no, slot_which(slot)), PAGE_BYTES);
}

/* The pages of a metadata zone that are counted. */
static void add_zone(struct store *s, struct pieces *p, uint64_t zone)
{
	uint64_t place;
	struct le32 slot = pieces_slot(s, &p->g, zone_page(&p->g, zone), &place);
	struct disk_zone z;
	struct disk_page h;

	if (!slot_written(slot))
		return;
	add_page(s, p, zone_page(&p->g, zone), PAGE_ZONE);
	pieces_read(s, page_offset(zone_page(&p->g, zone), slot_which(slot)), &z, sizeof z);
	for (unsigned i = 0; i < ZONE_TWINS && get16(z.type) == ZONE_META; i++) {
		uint64_t no = zone * ZONE_TWINS + i;

		if (get16(z.page_count[i]) == 0)
			continue;
		pieces_read(s, page_offset(no, slot_which(z.slot[i])), &h, sizeof h);
		add_page(s, p, no, (enum page_kind)get32(h.kind));
	}
}

static void add_journal(struct store *s, struct pieces *p)
{
	uint64_t at = get64(p->super.journal_offset), ring = p->g.journal_zones * ZONE_BYTES;
	uint64_t number = get64(p->super.journal_batch);

	for (;; number++) {
		struct disk_batch b;

		pieces_read(s, ZONE_BYTES + at % ring, &b, sizeof b);
		if (get32(b.kind) != PAGE_BATCH || get64(b.number) != number)
			return;
		add_piece(p, PAGE_BATCH, number, ZONE_BYTES + at % ring, get32(b.length));
		at += get32(b.length);
	}
}

void pieces_survey(struct store *s, struct pieces *p)
{
	memset(p, 0, sizeof *p);
	pieces_read(s, 0, &p->super, sizeof p->super);
	geometry_init(&p->g, get64(p->super.zones), get64(p->super.journal_zones),
		      get32(p->super.block_shift));
	add_piece(p, PAGE_SUPER, 0, 0, PAGE_BYTES);
	add_piece(p, PAGE_SUPER, 0, page_offset(0, 1), PAGE_BYTES);
	for (unsigned i = 0; i < DYING_PAGES; i++)
		add_page(s, p, dying_page(i), PAGE_DYING);
	add_page(s, p, groups_page(0), PAGE_GROUPS);
	for (uint64_t group = 0; group < p->g.groups; group++) {
		add_page(s, p, summary_page(&p->g, group), PAGE_SUMMARY);
		for (unsigned i = 1; i < group_zone_count(&p->g, group); i++)
			add_zone(s, p, group_header_zone(&p->g, group) + i);
	}
	add_journal(s, p);
}
