/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_dump.c - all metadata of a pool as JSON, one object for each thing that is there
 *
 *	superblock   both copies              zone     type, counts
 *	dying        root of a subtree        map, node, object, checksums   what a zone of metadata holds
 *	group        of zones                 record   of the journal, after the checkpoint
 *
 * In the order of the disk, not of the trees: so nothing need be kept, and a page that no tree
 * leads to any more, or that is damaged, hides nothing but itself.
 */
#include <stdio.h>

#include "admin_internal.h"
#include "format.h"
#include "journal.h"
#include "store.h"

struct dump {
	struct store *store;
	struct disk_super super;
	struct geometry g;
	admin_emit emit;
	void *opaque;
	uint8_t *page, *zone, *summary, *groups; /* a page each */
};

/* ---- emitting --------------------------------------------------------------- */

/* Hands item on, which is ours no more. */
static int emit(struct dump *d, json_t *item)
{
	int err;

	if (!item)
		return fail(-ENOMEM, "no memory for an item of the dump");
	err = d->emit(d->opaque, item);
	json_decref(item);
	return err;
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* An item of this kind; what every page has is in it if h is not NULL. */
static json_t *new_item(const char *what, uint64_t page, const struct disk_page *h)
{
	json_t *item = json_pack("{s:s, s:I}", "what", what, "page", (json_int_t)page);

	if (item && h) {
		json_object_set_new(item, "offset", number(get64(h->offset)));
		json_object_set_new(item, "generation", number(get64(h->generation)));
	}
	return item;
}

static int emit_error(struct dump *d, const char *what, uint64_t page, uint64_t offset)
{
	json_t *item = new_item(what, page, NULL);

	if (item) {
		json_object_set_new(item, "offset", number(offset));
		json_object_set_new(item, "error", json_string(error_message()));
	}
	return emit(d, item);
}

/* Reads the named slot of a page: 1, 0 (said, if it is not right), or an error of emitting. */
static int read_page(struct dump *d, uint64_t page, struct le32 slot, enum page_kind kind,
		     const char *what, void *buf)
{
	uint64_t offset = page_offset(page, slot_which(slot));
	const struct disk_page *h = buf;
	int err = store_read(d->store, STORE_DIRECT, offset, buf, PAGE_BYTES);

	if (!err)
		err = page_check(buf, kind, d->super.uuid, offset, &d->g);
	if (!err && get32(slot_make(slot_which(slot), get64(h->checksum))) != get32(slot))
		err = fail(-EBADMSG, "not the one that was committed");
	return err ? emit_error(d, what, page, offset) : 1;
}

/* ---- superblock -------------------------------------------------------------- */

static void add_text(json_t *item, const char *key, const uint8_t *field, size_t size)
{
	json_object_set_new(item, key,
			    json_stringn((const char *)field, strnlen((const char *)field, size)));
}

static void add_hex(json_t *item, const char *key, const uint8_t *bytes, size_t n)
{
	char text[65] = "";

	for (size_t i = 0; i < n && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	json_object_set_new(item, key, json_string(text));
}

static json_t *super_json(const struct disk_super *s)
{
	json_t *item = new_item("superblock", 0, &s->h);
	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"sequence", get64(s->sequence)},
		{"major", get32(s->major)},
		{"flags", get32(s->flags)},
		{"incompat", get64(s->incompat)},
		{"ro_compat", get64(s->ro_compat)},
		{"compat", get64(s->compat)},
		{"block_size", UINT64_C(1) << get32(s->block_shift)},
		{"zones", get64(s->zones)},
		{"journal_zones", get64(s->journal_zones)},
		{"journal_offset", get64(s->journal_offset)},
		{"journal_batch", get64(s->journal_batch)},
		{"cut", get64(s->cut)},
		{"catalog_root", get64(s->catalog_root)},
		{"catalog_depth", get32(s->catalog_depth)},
		{"next_id", get64(s->next_id)},
		{"created_ns", get64(s->created)},
	};

	for (size_t i = 0; item && i < ARRAY_SIZE(fields); i++)
		json_object_set_new(item, fields[i].key, number(fields[i].value));
	if (item) {
		add_hex(item, "uuid", s->uuid, sizeof s->uuid);
		add_hex(item, "boot_id", s->boot_id, sizeof s->boot_id);
		add_hex(item, "session_id", s->session_id, sizeof s->session_id);
		add_text(item, "name", s->name, sizeof s->name);
		add_text(item, "tail_path", s->tail_path, sizeof s->tail_path);
	}
	return item;
}

/* Both copies; the newer right one counts. */
static int dump_super(struct dump *d)
{
	bool any = false;

	for (unsigned i = 0; i < 2; i++) {
		const struct disk_super *s = (void *)d->page;
		int err =
			store_read(d->store, STORE_DIRECT, page_offset(0, i), d->page, PAGE_BYTES);

		if (!err)
			err = super_check(s, page_offset(0, i));
		if (err == -EOPNOTSUPP)
			return err;
		if (err) {
			err = emit_error(d, "superblock", 0, page_offset(0, i));
		} else {
			err = emit(d, super_json(s));
			if (!any || get64(s->sequence) > get64(d->super.sequence))
				d->super = *s;
			any = true;
		}
		if (err)
			return err;
	}
	if (!any)
		return fail(-EUCLEAN, "no copy of the superblock is right");
	geometry_init(&d->g, get64(d->super.zones), get64(d->super.journal_zones),
		      get32(d->super.block_shift));
	return 0;
}

/* ---- dying list --------------------------------------------------------------- */

static int dump_dying(struct dump *d)
{
	for (unsigned i = 0; i < DYING_PAGES; i++) {
		struct le32 slot = d->super.slot[dying_page(i)];
		const struct disk_dying *p = (void *)d->page;
		int r = slot_written(slot)
				? read_page(d, dying_page(i), slot, PAGE_DYING, "dying", d->page)
				: 0;

		for (unsigned k = 0; r > 0 && k < DYING_PER_PAGE && get64(p->entry[k]); k++) {
			uint64_t v = get64(p->entry[k]);
			json_t *item = json_pack("{s:s, s:I, s:i}", "what", "dying", "root",
						 (json_int_t)(v >> 8), "level",
						 (int)(v & 0xff) - 1);
			int err = emit(d, item);

			if (err)
				return err;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- what a zone of metadata holds ----------------------------------------------- */

static void add_entry(json_t *entries, unsigned at, unsigned n, uint64_t entry)
{
	json_array_append_new(entries, json_pack("{s:i, s:i, s:I, s:b}", "at", (int)at, "n", (int)n,
						 "number", (json_int_t)(entry & ENTRY_NUMBER),
						 "shared", (entry & ENTRY_SHARED) != 0));
}

/* Entries one by one; in leaves, as runs of blocks one behind the other. */
static json_t *map_json(const struct disk_map *m, uint64_t page, bool catalog)
{
	json_t *item = new_item(catalog ? "node" : "map", page, &m->h), *entries = json_array();
	bool runs = !catalog && get16(m->level) == 0;

	if (!item || !entries) {
		json_decref(item);
		json_decref(entries);
		return NULL;
	}
	json_object_set_new(item, "level", json_integer(get16(m->level)));
	json_object_set_new(item, "first", number(get64(m->first)));
	for (unsigned i = 0, n; i < MAP_FANOUT; i += n) {
		uint64_t entry = get48(m->entry[i]);

		n = 1;
		while (runs && entry && i + n < MAP_FANOUT && get48(m->entry[i + n]) == entry + n)
			n++;
		if (entry)
			add_entry(entries, i, n, entry);
	}
	json_object_set_new(item, "entries", entries);
	return item;
}

static json_t *object_item(const struct disk_object *o, uint64_t page, const struct disk_page *h)
{
	json_t *item = new_item("object", page, h);
	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"id", get64(o->id)},
		{"volume", get64(o->volume)},
		{"parent", get64(o->parent)},
		{"root", get64(o->root) & ENTRY_NUMBER},
		{"size", get64(o->size)},
		{"created_ns", get64(o->created)},
		{"flags", get32(o->flags)},
		{"depth", o->depth},
		{"sector_size", get32(o->sector_size)},
		{"label", o->label},
	};

	for (size_t i = 0; item && i < ARRAY_SIZE(fields); i++)
		json_object_set_new(item, fields[i].key, number(fields[i].value));
	if (item) {
		json_object_set_new(item, "shared", json_boolean(get64(o->root) & ENTRY_SHARED));
		json_object_set_new(item, "kind",
				    json_string(o->kind == OBJECT_VOLUME ? "volume" : "snapshot"));
		add_text(item, "name", o->name, sizeof o->name);
	}
	return item;
}

static int dump_leaf(struct dump *d, uint64_t page)
{
	const struct disk_catalog_leaf *l = (void *)d->page;
	int err = 0;

	for (unsigned i = 0; i < RECORDS_PER_PAGE && !err; i++)
		if (get64(l->object[i].id))
			err = emit(d, object_item(&l->object[i], page, &l->h));
	return err;
}

static json_t *sums_json(const struct disk_sums *s, uint64_t page)
{
	json_t *item = new_item("checksums", page, &s->h), *list = json_array();

	if (!item || !list) {
		json_decref(item);
		json_decref(list);
		return NULL;
	}
	json_object_set_new(item, "first", number(get64(s->first)));
	for (unsigned i = 0; i < SUMS_PER_PAGE; i++)
		if (get48(s->before[i]))
			json_array_append_new(list,
					      json_pack("{s:I, s:I, s:I}", "block",
							(json_int_t)(get64(s->first) + i), "sum",
							(json_int_t)get32(s->sum[i]), "before",
							(json_int_t)get48(s->before[i])));
	json_object_set_new(item, "sums", list);
	return item;
}

/* A page that counts; which kind it is its own header says. */
static int dump_page(struct dump *d, uint64_t page, struct le32 slot)
{
	static const enum page_kind kinds[] = {PAGE_MAP, PAGE_CATALOG_NODE, PAGE_CATALOG_LEAF,
					       PAGE_SUMS};
	const struct disk_page *h = (void *)d->page;
	uint64_t offset = page_offset(page, slot_which(slot));
	enum page_kind kind = PAGE_MAP;
	int r;

	if (store_read(d->store, STORE_DIRECT, offset, d->page, PAGE_BYTES) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (get32(h->kind) == kinds[i])
				kind = kinds[i];
	r = read_page(d, page, slot, kind, "page", d->page);
	if (r <= 0)
		return r;
	switch (kind) {
	case PAGE_CATALOG_LEAF: return dump_leaf(d, page);
	case PAGE_SUMS: return emit(d, sums_json((void *)d->page, page));
	default: return emit(d, map_json((void *)d->page, page, kind == PAGE_CATALOG_NODE));
	}
}

/* ---- zones ------------------------------------------------------------------------ */

/* Counts that are not zero, as runs of equal ones: [first, n, count]. */
static json_t *counts_json(const struct le16 *count, unsigned units)
{
	json_t *runs = json_array();

	for (unsigned i = 0, n; runs && i < units; i += n) {
		for (n = 1; i + n < units && get16(count[i + n]) == get16(count[i]); n++)
			;
		if (get16(count[i]))
			json_array_append_new(runs, json_pack("[i, i, i]", (int)i, (int)n,
							      (int)get16(count[i])));
	}
	return runs;
}

static json_t *zone_json(struct dump *d, uint64_t zone)
{
	static const char *const types[] = {"free", "free, was used", "data", "metadata"};
	const struct disk_zone *z = (void *)d->zone;
	bool meta = get16(z->type) == ZONE_META;
	json_t *item = new_item("zone", zone_page(&d->g, zone), &z->h), *sums = json_array();

	if (!item || !sums) {
		json_decref(item);
		json_decref(sums);
		return NULL;
	}
	for (unsigned k = 0; k < SUMS_PAGES; k++)
		if (get64(z->sums[k]))
			json_array_append_new(sums, number(get64(z->sums[k])));
	json_object_set_new(item, "zone", number(zone));
	json_object_set_new(item, "type", json_string(types[get16(z->type) % 4]));
	json_object_set_new(item, "used", json_integer(get16(z->used)));
	json_object_set_new(item, "counts",
			    counts_json(meta ? z->page_count : z->count,
					meta ? ZONE_TWINS : d->g.zone_blocks));
	json_object_set_new(item, "checksums", sums);
	return item;
}

static int dump_zone(struct dump *d, uint64_t zone, struct le32 slot)
{
	const struct disk_zone *z = (void *)d->zone;
	int r = read_page(d, zone_page(&d->g, zone), slot, PAGE_ZONE, "zone", d->zone);

	if (r <= 0)
		return r;
	r = emit(d, zone_json(d, zone));
	if (get16(z->type) != ZONE_META)
		return r;
	for (unsigned i = 0; i < ZONE_TWINS && r == 0; i++)
		if (get16(z->page_count[i]))
			r = dump_page(d, zone * ZONE_TWINS + i, z->slot[i]);
	return r;
}

static json_t *group_json(struct dump *d, uint64_t group, const struct disk_group *t)
{
	json_t *item = new_item("group", summary_page(&d->g, group), (void *)d->summary);

	if (item) {
		json_object_set_new(item, "group", number(group));
		json_object_set_new(item, "data_zones", json_integer(get16(t->data_zones)));
		json_object_set_new(item, "meta_zones", json_integer(get16(t->meta_zones)));
		json_object_set_new(item, "used_blocks", json_integer(get32(t->used_blocks)));
		json_object_set_new(item, "used_pages", json_integer(get32(t->used_pages)));
	}
	return item;
}

static int dump_group(struct dump *d, uint64_t group, const struct disk_group *t)
{
	const struct disk_summary *s = (void *)d->summary;
	int r = slot_written(t->slot) ? read_page(d, summary_page(&d->g, group), t->slot,
						  PAGE_SUMMARY, "group", d->summary)
				      : 0;

	if (r <= 0)
		return r;
	r = emit(d, group_json(d, group, t));
	for (unsigned i = 1; i < group_zone_count(&d->g, group) && r == 0; i++)
		if (slot_written(s->slot[i]))
			r = dump_zone(d, group_header_zone(&d->g, group) + i, s->slot[i]);
	return r;
}

static int dump_groups(struct dump *d)
{
	for (uint64_t first = 0; first < d->g.groups; first += GROUPS_PER_PAGE) {
		uint64_t page = groups_page(first);
		struct le32 slot = d->super.slot[page];
		int r = slot_written(slot)
				? read_page(d, page, slot, PAGE_GROUPS, "groups", d->groups)
				: 0;

		for (unsigned i = 0; r > 0 && i < MIN(d->g.groups - first, GROUPS_PER_PAGE); i++) {
			int err = dump_group(d, first + i,
					     &((struct disk_groups *)d->groups)->group[i]);

			if (err)
				return err;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- journal ------------------------------------------------------------------------ */

static const char *record_name(enum record_type type)
{
	static const char *const names[] = {"",         "map",   "unmap",    "detach", "create",
					    "snapshot", "clone", "rollback", "delete", "resize",
					    "rename",   "set",   "zone"};

	return (size_t)type < ARRAY_SIZE(names) ? names[type] : "unknown";
}

static int dump_record(void *opaque, const struct record *r)
{
	struct dump *d = opaque;
	json_t *item = json_pack("{s:s, s:s, s:I, s:b}", "what", "record", "type",
				 record_name(r->type), "seq", (json_int_t)r->seq, "more", r->more);
	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"object", r->object},     {"block", r->block}, {"length", r->length},
		{"physical", r->physical}, {"zone", r->zone},   {"zone_type", r->zone_type},
		{"source", r->source},     {"other", r->other}, {"size", r->size},
	};

	for (size_t i = 0; item && i < ARRAY_SIZE(fields); i++)
		if (fields[i].value)
			json_object_set_new(item, fields[i].key, number(fields[i].value));
	if (item && r->name[0])
		json_object_set_new(item, "name", json_string(r->name));
	return emit(d, item);
}

static int dump_journal(struct dump *d)
{
	struct journal_position end, at = journal_position_of(&d->super);
	int err = journal_scan(d->store, &d->g, d->super.uuid, &at, 0, dump_record, d, &end);

	return err == -EBADMSG || err == -EUCLEAN ? emit_error(d, "record", 0, ZONE_BYTES) : err;
}

/* ---- all ----------------------------------------------------------------------------- */

int admin_dump_file(const char *path, admin_emit emit_item, void *opaque)
{
	struct dump d = {.emit = emit_item, .opaque = opaque};
	uint8_t *pages;
	int err;

	with_hint(0, "%s", "");
	err = store_file_open(path, STORE_OPEN_READ_ONLY, 0, &d.store);
	if (err)
		return err;
	pages = aligned_alloc(PAGE_BYTES, 4 * PAGE_BYTES);
	d.page = pages;
	if (!pages)
		err = fail(-ENOMEM, "no memory for a dump");
	else
		d.zone = pages + PAGE_BYTES, d.summary = pages + 2 * PAGE_BYTES,
		d.groups = pages + 3 * PAGE_BYTES;
	if (!err)
		err = dump_super(&d);
	if (!err)
		err = dump_dying(&d);
	if (!err)
		err = dump_groups(&d);
	if (!err)
		err = dump_journal(&d);
	free(pages);
	store_close(d.store);
	return err;
}
