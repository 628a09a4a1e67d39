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
	struct cowbd_object *set; /* what goes, each once */
	size_t n, room;
};

static void cleanup_removal(struct removal *m)
{
	free(m->set);
}

static int by_id(const void *a, const void *b)
{
	const struct cowbd_object *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int add(struct removal *m, const struct cowbd_object *o)
{
	if (m->n == m->room) {
		size_t room = m->room ? 2 * m->room : 16;
		struct cowbd_object *more = realloc(m->set, room * sizeof *more);

		if (!more)
			return fail(-ENOMEM, "no memory for %zu names", room);
		m->set = more;
		m->room = room;
	}
	m->set[m->n++] = *o;
	return 0;
}

/* What is named, each once however often it is named. */
static int find_named(struct admin_request *r, struct removal *m)
{
	CLEANUP_FREE const char **names = NULL;
	size_t n, kept = 0;
	int err = arg_names(r, "names", &names, &n);

	for (size_t i = 0; !err && i < n; i++) {
		struct cowbd_object o;

		err = cowbd_find(r->pool, names[i], &o);
		if (!err)
			err = add(m, &o);
	}
	if (err)
		return err;
	qsort(m->set, m->n, sizeof *m->set, by_id);
	for (size_t i = 0; i < m->n; i++)
		if (kept == 0 || m->set[kept - 1].id != m->set[i].id)
			m->set[kept++] = m->set[i];
	m->n = kept;
	return 0;
}

/* "a@1, a@2, ...": of n snapshots those that are not among the first `named` of the set, which are sorted by id. */
static int refuse(const struct removal *m, size_t named, const char *volume,
		  const struct cowbd_object *s, size_t n)
{
	char kept[512] = "";
	size_t used = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		if (bsearch(&s[i], m->set, named, sizeof *s, by_id))
			continue;
		count++;
		if (used < sizeof kept)
			used += (size_t)snprintf(kept + used, sizeof kept - used, "%s%s",
						 used ? ", " : "", s[i].name);
	}
	if (count == 0)
		return 0;
	return with_hint(fail(-EBUSY, "%s has %zu snapshot%s: %s%s", volume, count,
			      count == 1 ? "" : "s", kept, used >= sizeof kept ? "..." : ""),
			 "-r removes %s too", count == 1 ? "it" : "them");
}

/* The snapshots of a volume that goes: taken along, or the reason to refuse. */
static int add_snapshots(struct cowbd_pool *p, struct removal *m, size_t named, size_t volume,
			 bool recursive)
{
	CLEANUP_FREE struct cowbd_object *s = NULL;
	size_t n;
	int err = cowbd_list_snapshots(p, m->set[volume].id, &s, &n);

	if (!err && !recursive)
		return refuse(m, named, m->set[volume].name, s, n);
	for (size_t i = 0; !err && i < n; i++)
		if (!bsearch(&s[i], m->set, named, sizeof *s, by_id))
			err = add(m, &s[i]);
	return err;
}

/* Its cost is that of what goes, not of all that the pool has. */
static int find_removal(struct admin_request *r, bool recursive, struct removal *m)
{
	int err = find_named(r, m);
	size_t named = m->n;

	for (size_t i = 0; !err && i < named; i++)
		if (m->set[i].kind == COWBD_VOLUME)
			err = add_snapshots(r->pool, m, named, i, recursive);
	if (!err)
		qsort(m->set, m->n, sizeof *m->set, cowbd_compare_objects);
	return err;
}

/* Names and ids of what goes, in arrays of m->n. */
static void collect(const struct removal *m, const char **names, uint64_t *ids, json_t *list)
{
	for (size_t i = 0; i < m->n; i++) {
		names[i] = m->set[i].name;
		ids[i] = m->set[i].id;
		json_array_append_new(list, json_string(m->set[i].name));
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
