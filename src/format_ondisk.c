/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format_ondisk.c - size and offset of every field on disk, asserted in one place
 *
 * A line that fails here is a change of the format: pools that exist would be
 * misread.  The figures are those of docs/FORMAT.md.  The tiny geometry of the
 * crash tests has other array lengths, and no pool outlives such a test: there
 * only the sizes that the geometry does not touch are held.
 */
#include "format.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed its size")
#define FIELD(type, field, at, bytes)                                                              \
	_Static_assert(offsetof(struct type, field) == (at), #type "." #field " moved");           \
	_Static_assert(sizeof(((struct type *)0)->field) == (bytes),                               \
		       #type "." #field " changed its size")

/* Whole pages, in every geometry. */
_Static_assert(sizeof(struct disk_super) == PAGE_BYTES, "a superblock is a page");
_Static_assert(sizeof(struct disk_dying) == PAGE_BYTES, "a page of the dying list is a page");
_Static_assert(sizeof(struct disk_groups) == PAGE_BYTES, "a group table page is a page");
_Static_assert(sizeof(struct disk_summary) == PAGE_BYTES, "a summary is a page");
_Static_assert(sizeof(struct disk_zone) == PAGE_BYTES, "a zone page is a page");
_Static_assert(sizeof(struct disk_map) == PAGE_BYTES, "a map page is a page");
_Static_assert(sizeof(struct disk_sums) == PAGE_BYTES, "a page of checksums is a page");
_Static_assert(sizeof(struct disk_catalog_leaf) == PAGE_BYTES, "a catalog leaf is a page");

/* What the codes on disk are. */
_Static_assert(ZONE_FREE == 0 && ZONE_FREE_BACKED == 1 && ZONE_DATA == 2 && ZONE_META == 3,
	       "zone types are written to disk");
_Static_assert(OBJECT_VOLUME == 1 && OBJECT_SNAPSHOT == 2, "object kinds are written to disk");
_Static_assert(LABEL_CRASH == 1 && LABEL_FLUSHED == 2 && LABEL_FROZEN == 3,
	       "labels are written to disk");
_Static_assert(REC_MAP == 1 && REC_UNMAP == 2 && REC_DETACH == 3 && REC_CREATE == 4 &&
		       REC_SNAPSHOT == 5 && REC_CLONE == 6 && REC_ROLLBACK == 7 &&
		       REC_DELETE == 8 && REC_RESIZE == 9 && REC_RENAME == 10 && REC_SET == 11 &&
		       REC_ZONE == 12,
	       "record types are written to disk");
_Static_assert(ZONE_UNITS_MAX < 1u << 12, "a summary has 12 bits for what a zone has used");
_Static_assert(COUNT_MAX <= UINT16_MAX, "a count has 16 bits");

SIZE(disk_page, 32);
FIELD(disk_page, kind, 0, 4);
FIELD(disk_page, reserved, 4, 4);
FIELD(disk_page, checksum, 8, 8);
FIELD(disk_page, offset, 16, 8);
FIELD(disk_page, generation, 24, 8);

SIZE(disk_group, 16);
FIELD(disk_group, slot, 0, 4);
FIELD(disk_group, data_zones, 4, 2);
FIELD(disk_group, meta_zones, 6, 2);
FIELD(disk_group, used_blocks, 8, 4);
FIELD(disk_group, used_pages, 12, 4);

SIZE(disk_object, 496);
FIELD(disk_object, id, 0, 8);
FIELD(disk_object, volume, 8, 8);
FIELD(disk_object, parent, 16, 8);
FIELD(disk_object, root, 24, 8);
FIELD(disk_object, size, 32, 8);
FIELD(disk_object, created, 40, 8);
FIELD(disk_object, flags, 48, 4);
FIELD(disk_object, kind, 52, 1);
FIELD(disk_object, label, 53, 1);
FIELD(disk_object, depth, 54, 1);
FIELD(disk_object, name_length, 55, 1);
FIELD(disk_object, sector_size, 56, 4);
FIELD(disk_object, reserved0, 60, 4);
FIELD(disk_object, name, 64, 256);
FIELD(disk_object, reserved1, 320, 176);

SIZE(disk_batch, 64);
FIELD(disk_batch, kind, 0, 4);
FIELD(disk_batch, length, 4, 4);
FIELD(disk_batch, checksum, 8, 8);
FIELD(disk_batch, number, 16, 8);
FIELD(disk_batch, previous, 24, 8);
FIELD(disk_batch, first, 32, 8);
FIELD(disk_batch, records, 40, 4);
FIELD(disk_batch, payload, 44, 4);
FIELD(disk_batch, sums, 48, 4);
FIELD(disk_batch, reserved, 52, 12);

SIZE(disk_batch_sum, 16);
FIELD(disk_batch_sum, block, 0, 8);
FIELD(disk_batch_sum, checksum, 8, 8);

SIZE(disk_record, 16);
FIELD(disk_record, checksum, 0, 4);
FIELD(disk_record, length, 4, 2);
FIELD(disk_record, type, 6, 1);
FIELD(disk_record, flags, 7, 1);
FIELD(disk_record, seq, 8, 8);

SIZE(disk_rec_map, 48);
FIELD(disk_rec_map, h, 0, 16);
FIELD(disk_rec_map, object, 16, 8);
FIELD(disk_rec_map, block, 24, 8);
FIELD(disk_rec_map, length, 32, 8);
FIELD(disk_rec_map, physical, 40, 8);

SIZE(disk_rec_object, 72);
FIELD(disk_rec_object, h, 0, 16);
FIELD(disk_rec_object, object, 16, 8);
FIELD(disk_rec_object, source, 24, 8);
FIELD(disk_rec_object, other, 32, 8);
FIELD(disk_rec_object, size, 40, 8);
FIELD(disk_rec_object, created, 48, 8);
FIELD(disk_rec_object, flags, 56, 4);
FIELD(disk_rec_object, sector_size, 60, 4);
FIELD(disk_rec_object, label, 64, 1);
FIELD(disk_rec_object, name_length, 65, 1);
FIELD(disk_rec_object, reserved, 66, 6);
_Static_assert(offsetof(struct disk_rec_object, name) == 72, "disk_rec_object.name moved");

SIZE(disk_rec_zone, 32);
FIELD(disk_rec_zone, h, 0, 16);
FIELD(disk_rec_zone, zone, 16, 8);
FIELD(disk_rec_zone, type, 24, 8);

SIZE(disk_tail, 112);
FIELD(disk_tail, kind, 0, 4);
FIELD(disk_tail, reserved, 4, 4);
FIELD(disk_tail, checksum, 8, 8);
FIELD(disk_tail, uuid, 16, 16);
FIELD(disk_tail, boot_id, 32, 16);
FIELD(disk_tail, session_id, 48, 16);
FIELD(disk_tail, pool_dev, 64, 8);
FIELD(disk_tail, pool_ino, 72, 8);
FIELD(disk_tail, ring_bytes, 80, 8);
FIELD(disk_tail, flags, 88, 8);
FIELD(disk_tail, start, 96, 8);
FIELD(disk_tail, durable, 104, 8);

#ifndef COWBD_TINY

_Static_assert(ZONE_BYTES == 4 << 20 && MAP_FANOUT == 512 && GROUPS_MAX == 121187,
	       "geometry changed");

SIZE(disk_map, 4096);
FIELD(disk_map, h, 0, 32);
FIELD(disk_map, level, 32, 2);
FIELD(disk_map, reserved0, 34, 2);
FIELD(disk_map, reserved1, 36, 4);
FIELD(disk_map, first, 40, 8);
FIELD(disk_map, entry, 48, 3072);
FIELD(disk_map, reserved2, 3120, 976);

SIZE(disk_zone, 4096);
FIELD(disk_zone, h, 0, 32);
FIELD(disk_zone, type, 32, 2);
FIELD(disk_zone, used, 34, 2);
FIELD(disk_zone, reserved0, 36, 4);
FIELD(disk_zone, sums, 40, 24);
FIELD(disk_zone, count, 64, 2048);
FIELD(disk_zone, page_count, 64, 1024);
FIELD(disk_zone, slot, 1088, 2048);
FIELD(disk_zone, reserved2, 3136, 960);

SIZE(disk_sums, 4096);
FIELD(disk_sums, h, 0, 32);
FIELD(disk_sums, first, 32, 8);
FIELD(disk_sums, sum, 40, 1368);
FIELD(disk_sums, before, 1408, 2052);
FIELD(disk_sums, reserved, 3460, 636);

SIZE(disk_summary, 4096);
FIELD(disk_summary, h, 0, 32);
FIELD(disk_summary, zone, 32, 1024);
FIELD(disk_summary, slot, 1056, 2048);
FIELD(disk_summary, reserved, 3104, 992);

SIZE(disk_groups, 4096);
FIELD(disk_groups, h, 0, 32);
FIELD(disk_groups, group, 32, 4048);
FIELD(disk_groups, reserved, 4080, 16);

SIZE(disk_dying, 4096);
FIELD(disk_dying, h, 0, 32);
FIELD(disk_dying, entry, 32, 4000);
FIELD(disk_dying, reserved, 4032, 64);

SIZE(disk_catalog_leaf, 4096);
FIELD(disk_catalog_leaf, h, 0, 32);
FIELD(disk_catalog_leaf, object, 32, 3968);
FIELD(disk_catalog_leaf, reserved, 4000, 96);

SIZE(disk_super, 4096);
FIELD(disk_super, h, 0, 32);
FIELD(disk_super, magic, 32, 8);
FIELD(disk_super, major, 40, 4);
FIELD(disk_super, flags, 44, 4);
FIELD(disk_super, incompat, 48, 8);
FIELD(disk_super, ro_compat, 56, 8);
FIELD(disk_super, compat, 64, 8);
FIELD(disk_super, uuid, 72, 16);
FIELD(disk_super, sequence, 88, 8);
FIELD(disk_super, block_shift, 96, 4);
FIELD(disk_super, zone_twins, 100, 4);
FIELD(disk_super, zones, 104, 8);
FIELD(disk_super, journal_zones, 112, 8);
FIELD(disk_super, journal_offset, 120, 8);
FIELD(disk_super, journal_batch, 128, 8);
FIELD(disk_super, journal_chain, 136, 8);
FIELD(disk_super, cut, 144, 8);
FIELD(disk_super, catalog_root, 152, 8);
FIELD(disk_super, catalog_depth, 160, 4);
FIELD(disk_super, reserved0, 164, 4);
FIELD(disk_super, next_id, 168, 8);
FIELD(disk_super, boot_id, 176, 16);
FIELD(disk_super, session_id, 192, 16);
FIELD(disk_super, pool_dev, 208, 8);
FIELD(disk_super, pool_ino, 216, 8);
FIELD(disk_super, tail_dev, 224, 8);
FIELD(disk_super, tail_ino, 232, 8);
FIELD(disk_super, created, 240, 8);
FIELD(disk_super, name, 248, 64);
FIELD(disk_super, tail_path, 312, 256);
FIELD(disk_super, slot, 568, 2048);
FIELD(disk_super, reserved1, 2616, 1480);

#endif
