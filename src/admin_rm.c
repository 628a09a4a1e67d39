/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_rm.c - removing volumes and snapshots, and saying before what would go
 *
 * The set is worked out here, by name, for the answer and for whom to wait;
 * the engine checks it again under its own lock.
 */
#include <stdio.h>

#include "admin_internal.h"

struct removal {
	struct cowbd_object *all; /* of the pool */
	size_t total;
	bool *goes; /* all[i] is in the set */
	size_t n;   /* how many go */
};

static void cleanup_removal(struct removal *m)
{
	free(m->all);
	free(m->goes);
}

static struct cowbd_object *object_by_id(struct removal *m, uint64_t id)
{
	for (size_t i = 0; i < m->total; i++)
		if (m->all[i].id == id)
			return &m->all[i];
	return NULL;
}

static int mark_name(struct cowbd_pool *p, struct removal *m, const char *name)
{
	struct cowbd_object o, *found;
	int err = cowbd_find(p, name, &o);

	if (err)
		return err;
	found = object_by_id(m, o.id);
	if (!found)
		return fail(-ENOENT, "%s was removed just now", name);
	m->goes[found - m->all] = true;
	return 0;
}

/* Snapshots whose volume goes: taken along, or the reason to refuse. */
static int mark_snapshots(struct removal *m, bool recursive)
{
	char kept[512] = "";
	size_t used = 0, count = 0;
	const char *volume = "";

	for (size_t i = 0; i < m->total; i++) {
		struct cowbd_object *v;

		if (m->all[i].kind != COWBD_SNAPSHOT || m->goes[i])
			continue;
		v = object_by_id(m, m->all[i].volume);
		if (!v || !m->goes[v - m->all])
			continue;
		if (recursive) {
			m->goes[i] = true;
			continue;
		}
		count++;
		volume = v->name;
		if (used < sizeof kept)
			used += (size_t)snprintf(kept + used, sizeof kept - used, "%s%s",
						 used ? ", " : "", m->all[i].name);
	}
	if (count == 0)
		return 0;
	return with_hint(fail(-EBUSY, "%s has %zu snapshot%s: %s%s", volume, count,
			      count == 1 ? "" : "s", kept, used >= sizeof kept ? "..." : ""),
			 "-r removes %s too", count == 1 ? "it" : "them");
}

static int find_removal(struct admin_request *r, bool recursive, struct removal *m)
{
	CLEANUP_FREE const char **names = NULL;
	size_t n;
	int err = arg_names(r, "names", &names, &n);

	if (!err)
		err = cowbd_list(r->pool, &m->all, &m->total);
	if (err)
		return err;
	m->goes = calloc(m->total + 1, sizeof *m->goes);
	if (!m->goes)
		return fail(-ENOMEM, "no memory for %zu names", m->total);
	for (size_t i = 0; !err && i < n; i++)
		err = mark_name(r->pool, m, names[i]);
	if (!err)
		err = mark_snapshots(m, recursive);
	for (size_t i = 0; i < m->total; i++)
		m->n += m->goes[i];
	return err;
}

/* Names and ids of what goes, in arrays of m->n. */
static void collect(const struct removal *m, const char **names, uint64_t *ids, json_t *list)
{
	size_t n = 0;

	for (size_t i = 0; i < m->total; i++) {
		if (!m->goes[i])
			continue;
		names[n] = m->all[i].name;
		ids[n++] = m->all[i].id;
		json_array_append_new(list, json_string(m->all[i].name));
	}
}

int admin_rm(struct admin_request *r, json_t **ret_ok)
{
	__attribute__((cleanup(cleanup_removal))) struct removal m = {0};
	CLEANUP_FREE const char **names = NULL;
	CLEANUP_FREE uint64_t *ids = NULL;
	CLEANUP_JSON json_t *list = json_array();
	bool recursive, dry_run, force;
	uint64_t frees;
	unsigned flags;
	int err = arg_flag(r, "recursive", &recursive);

	if (!err)
		err = arg_flag(r, "dry_run", &dry_run);
	if (!err)
		err = arg_flag(r, "force", &force);
	if (!err)
		err = arg_wait(r, &flags);
	if (!err)
		err = find_removal(r, recursive, &m);
	if (err)
		return err;
	names = calloc(m.n, sizeof *names);
	ids = calloc(m.n, sizeof *ids);
	if (!names || !ids || !list)
		return fail(-ENOMEM, "no memory for %zu names", m.n);
	collect(&m, names, ids, list);
	if (dry_run) {
		err = cowbd_remove_frees(r->pool, names, m.n, 0, &frees);
		return err ? err
			   : answer_with(json_pack("{s:b, s:O, s:I}", "dry_run", true, "removed",
						   list, "frees", (json_int_t)frees),
					 ret_ok);
	}
	err = clear_clients(r, ids, m.n, force, "remove");
	if (!err)
		err = cowbd_remove(r->pool, names, m.n, flags | (force ? COWBD_IGNORE_CLIENTS : 0));
	return err ? err
		   : answer_with(json_pack("{s:b, s:O}", "dry_run", false, "removed", list),
				 ret_ok);
}
