/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_show.c - commands that tell: status, ls, info, df
 */
#include <stdio.h>
#include <time.h>

#include "admin_internal.h"

static const char *label_name(enum cowbd_label label)
{
	static const char *const names[] = {"none", "crash", "flushed", "frozen"};

	return (size_t)label < ARRAY_SIZE(names) ? names[label] : "unknown";
}

static void utc_time(uint64_t ns, char buf[32])
{
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

json_t *object_json(const struct cowbd_object *o)
{
	char created[32];

	utc_time(o->created, created);
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:i, s:s, s:I, s:I, s:s?, s:b, s:b, s:i}",
			 "name", o->name, "kind", o->kind == COWBD_VOLUME ? "volume" : "snapshot",
			 "id", (json_int_t)o->id, "size", (json_int_t)o->size, "created", created,
			 "created_ns", (json_int_t)o->created, "sector_size",
			 o->sector_size ? (int)o->sector_size : 512, "label", label_name(o->label),
			 "volume_id", (json_int_t)o->volume, "parent_id", (json_int_t)o->parent,
			 "parent", o->parent_name[0] ? o->parent_name : NULL, "before_rollback",
			 (o->flags & COWBD_FLAG_BEFORE_ROLLBACK) != 0, "ephemeral",
			 (o->flags & COWBD_FLAG_EPHEMERAL) != 0, "clients", (int)o->clients);
}

static int add_usage(struct cowbd_pool *p, const char *name, json_t *object,
		     struct cowbd_usage *ret_usage)
{
	struct cowbd_usage u;
	int err = cowbd_usage(p, name, &u);

	if (err)
		return err;
	json_object_set_new(object, "mapped", json_integer((json_int_t)u.mapped));
	json_object_set_new(object, "exclusive", json_integer((json_int_t)u.exclusive));
	json_object_set_new(object, "shared", json_integer((json_int_t)u.shared));
	json_object_set_new(object, "map_bytes", json_integer((json_int_t)u.map_bytes));
	*ret_usage = u;
	return 0;
}

/* The list of objects, with their space if usage; its sums in *total. */
static int list_objects(struct cowbd_pool *p, bool usage, struct cowbd_usage *total,
			json_t **ret_list)
{
	CLEANUP_FREE struct cowbd_object *list = NULL;
	CLEANUP_JSON json_t *out = json_array();
	size_t n;
	int err = cowbd_list(p, &list, &n);

	for (size_t i = 0; !err && i < n; i++) {
		struct cowbd_usage u = {0};
		json_t *object = object_json(&list[i]);

		if (!object || json_array_append_new(out, object) < 0)
			return fail(-ENOMEM, "no memory for a list of %zu objects", n);
		if (usage)
			err = add_usage(p, list[i].name, object, &u);
		if (err == -ENOENT) { /* removed meanwhile */
			json_array_remove(out, json_array_size(out) - 1);
			err = 0;
		}
		total->mapped += u.mapped;
		total->exclusive += u.exclusive;
		total->shared += u.shared;
		total->map_bytes += u.map_bytes;
	}
	return err ? err : answer_with(json_incref(out), ret_list);
}

int admin_ls(struct admin_request *r, json_t **ret_ok)
{
	struct cowbd_usage total = {0};
	json_t *list;
	bool usage;
	int err = arg_flag(r, "usage", &usage);

	if (!err)
		err = list_objects(r->pool, usage, &total, &list);
	return err ? err : answer_with(json_pack("{s:o}", "objects", list), ret_ok);
}

int admin_info(struct admin_request *r, json_t **ret_ok)
{
	CLEANUP_JSON json_t *object = NULL;
	struct cowbd_object o;
	struct cowbd_usage u;
	const char *name;
	json_t *clients;
	bool no_usage;
	int err = arg_string(r, "name", &name);

	if (!err)
		err = arg_flag(r, "no_usage", &no_usage);
	if (!err)
		err = cowbd_find(r->pool, name, &o);
	if (err)
		return err;
	object = object_json(&o);
	if (!object)
		return fail(-ENOMEM, "no memory for the answer");
	/* it walks the whole map, which takes seconds where much is scattered */
	err = no_usage ? 0 : add_usage(r->pool, name, object, &u);
	if (!err)
		err = clients_json(r->pool, o.id, &clients);
	if (err)
		return err;
	json_object_set_new(object, "connections", clients);
	return answer_with(json_incref(object), ret_ok);
}

int admin_df(struct admin_request *r, json_t **ret_ok)
{
	struct cowbd_usage total = {0};
	struct cowbd_pool_info i;
	uint64_t used;
	json_t *list;
	int err = list_objects(r->pool, true, &total, &list);

	if (err)
		return err;
	cowbd_pool_info(r->pool, &i);
	used = i.used_blocks * i.block_bytes;
	return answer_with(
		json_pack("{s:o, s:{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}",
			  "objects", list, "pool", "name", i.name, "size", (json_int_t)i.size,
			  "capacity", (json_int_t)i.block_zones_bytes, "virtual",
			  (json_int_t)i.virtual_bytes, "mapped", (json_int_t)total.mapped,
			  "exclusive", (json_int_t)total.exclusive, "shared",
			  (json_int_t)(used > total.exclusive ? used - total.exclusive : 0), "used",
			  (json_int_t)used, "saved",
			  (json_int_t)(total.mapped > used ? total.mapped - used : 0), "metadata",
			  (json_int_t)i.metadata_bytes, "free", (json_int_t)i.free_bytes),
		ret_ok);
}

/* ---- status ------------------------------------------------------------------ */

static json_t *counters_json(const struct cowbd_pool_info *i)
{
	static const struct {
		const char *name;
		size_t offset;
	} fields[] = {
#define COUNTER(f) {#f, offsetof(struct cowbd_pool_info, f)}
		COUNTER(faults),
		COUNTER(faults_no_copy),
		COUNTER(bytes_copied),
		COUNTER(in_place_writes),
		COUNTER(blocks_moved),
		COUNTER(map_pages_copied),
		COUNTER(commits),
		COUNTER(short_commits),
		COUNTER(seals),
		COUNTER(checkpoints),
		COUNTER(journal_bytes_written),
		COUNTER(checkpoint_bytes_written),
		COUNTER(blocks_reclaimed),
		COUNTER(replayed_journal),
		COUNTER(replayed_tail),
		COUNTER(zones_given_back),
		COUNTER(generation),
		COUNTER(records),
		COUNTER(durable_records),
		COUNTER(cache_bytes),
		COUNTER(cache_bound_bytes),
		COUNTER(dirty_pages),
		COUNTER(size),
		COUNTER(journal_bytes),
		COUNTER(zones),
		COUNTER(free_zones),
		COUNTER(data_zones),
		COUNTER(meta_zones),
		COUNTER(reserve_zones),
		COUNTER(used_blocks),
		COUNTER(free_bytes),
		COUNTER(metadata_bytes),
		COUNTER(volumes),
		COUNTER(snapshots),
		COUNTER(dying),
		COUNTER(virtual_bytes),
		COUNTER(held),
		COUNTER(full_times),
		COUNTER(writes_held),
		COUNTER(writes_refused),
#undef COUNTER
	};
	json_t *out = json_object();

	for (size_t n = 0; out && n < ARRAY_SIZE(fields); n++) {
		uint64_t v;

		memcpy(&v, (const char *)i + fields[n].offset, sizeof v);
		json_object_set_new(out, fields[n].name, json_integer((json_int_t)v));
	}
	json_object_set_new(out, "capacity", json_integer((json_int_t)i->block_zones_bytes));
	return out;
}

int admin_status(struct admin_request *r, json_t **ret_ok)
{
	struct cowbd_pool_info i;
	json_t *answer, *clients;
	int err = clients_json(r->pool, 0, &clients);

	if (err)
		return err;
	cowbd_pool_info(r->pool, &i);
	answer = json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:s, s:i, s:s, s:s, s:b, s:b, s:s, s:b, s:s, s:o}",
		"path", i.path, "name", i.name, "uuid", i.uuid, "dev", (json_int_t)i.dev, "ino",
		(json_int_t)i.ino, "software", cowbd_version(), "block_size", (int)i.block_bytes,
		"io", i.io, "tail", i.tail, "read_only", i.read_only, "failed", i.failed, "failure",
		i.failure, "was_clean", i.was_clean, "note", i.note, "clients", clients);
	json_object_update_new(answer, counters_json(&i));
	if (i.full_since) {
		char since[32];

		utc_time(i.full_since, since);
		json_object_set_new(answer, "full_since", json_string(since));
	}
	json_object_set_new(answer, "served", json_boolean(r->host != NULL));
	if (answer && r->host && r->host->status)
		r->host->status(r->host->opaque, answer);
	return answer_with(answer, ret_ok);
}
