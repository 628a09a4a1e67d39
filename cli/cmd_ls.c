/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_ls.c - cowbd ls, tree
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct column columns[] = {
	{"NAME", "name", CELL_TREE, true},
	{"SIZE", "size", CELL_SIZE, true},
	{"CREATED", "created_ns", CELL_TIME, true},
	{"PARENT", "parent", CELL_TEXT, true},
	{"CLIENTS", "clients", CELL_NUMBER, true},
	{"KIND", "kind", CELL_TEXT, false},
	{"LABEL", "label", CELL_TEXT, true},
	{"MAPPED", "mapped", CELL_SIZE, false},
	{"EXCLUSIVE", "exclusive", CELL_SIZE, false},
	{"SHARED", "shared", CELL_SIZE, false},
	{"MAP", "map_bytes", CELL_SIZE, false},
	{"SECTOR", "sector_size", CELL_NUMBER, false},
	{"EPHEMERAL", "ephemeral", CELL_TEXT, false},
	{"ID", "id", CELL_NUMBER, false},
};

static bool wants_usage(const struct call *c)
{
	static const char *const keys[] = {"mapped", "exclusive", "shared", "map_bytes"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (column_wanted(c, columns, ARRAY_SIZE(columns), keys[i]))
			return true;
	return false;
}

static int get_objects(const struct call *c, json_t **ret_ok)
{
	json_t *args;
	int status = columns_check(c, columns, ARRAY_SIZE(columns));

	if (status)
		return status;
	args = json_object();
	json_object_set_new(args, "usage", json_boolean(wants_usage(c)));
	return run_admin(c, "ls", args, ret_ok);
}

/* Is the object meant by the word: itself, or a snapshot of it? */
static bool meant(json_t *object, const char *word)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	size_t len = strlen(word);

	return name && strncmp(name, word, len) == 0 && (name[len] == '\0' || name[len] == '@');
}

/* Keeps only what the words mean; each must mean something. */
static int keep_named(const struct call *c, json_t *ok)
{
	json_t *all = json_object_get(ok, "objects"), *kept = json_array(), *object;
	bool *seen = calloc((size_t)c->n, sizeof *seen);
	int status = seen ? DONE : complain("no memory for a list");
	size_t i;

	json_array_foreach(all, i, object)
	{
		bool keep = false;

		for (int k = 0; seen && k < c->n; k++) {
			bool this_one = meant(object, c->words[k]);

			seen[k] |= this_one;
			keep |= this_one;
		}
		if (keep)
			json_array_append(kept, object);
	}
	for (int k = 0; !status && k < c->n; k++)
		if (!seen[k])
			status = complain("no volume or snapshot %s: `cowbd ls` lists them",
					  c->words[k]);
	free(seen);
	json_object_set_new(ok, "objects", kept);
	return status;
}

int cmd_ls(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	int status = DONE;

	for (int i = 0; !status && i < c->n; i++)
		status = check_name(c->words[i]);
	if (!status)
		status = get_objects(c, &ok);
	if (!status && c->n)
		status = keep_named(c, ok);
	if (status)
		return status;
	if (c->opt[OPT_JSON])
		return print_json(ok);
	return print_table(c, columns, ARRAY_SIZE(columns), json_object_get(ok, "objects"), NULL);
}

/* ---- tree ---------------------------------------------------------------------------------- */

static json_int_t member(json_t *objects, int i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(objects, (size_t)i), key));
}

static int find_id(json_t *objects, json_int_t id)
{
	for (int i = 0; id && i < (int)json_array_size(objects); i++)
		if (member(objects, i, "id") == id)
			return i;
	return -1;
}

/* A snapshot hangs below its volume, a clone below what it was made from. */
static int parent_of(json_t *objects, int i)
{
	json_int_t volume = member(objects, i, "volume_id");

	return find_id(objects, volume ? volume : member(objects, i, "parent_id"));
}

/* Whoever is below himself becomes a root: after a rollback a volume's parent may be its own snapshot. */
static void cut_cycles(int *parent, int n)
{
	for (int i = 0; i < n; i++) {
		int at = parent[i], steps = 0;

		while (at >= 0 && at != i && steps++ < n)
			at = parent[at];
		if (at == i)
			parent[i] = -1;
	}
}

/* Cuts at volumes first, so that the snapshots of one stay below it. */
static void cut_own_snapshots(json_t *objects, int *parent, int n)
{
	for (int i = 0; i < n; i++) {
		json_int_t of = parent[i] < 0 ? 0 : member(objects, parent[i], "volume_id");

		if (of && of == member(objects, i, "id"))
			parent[i] = -1;
	}
}

int cmd_tree(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *objects;
	int *parent, n, status = get_objects(c, &ok);

	if (status)
		return status;
	if (c->opt[OPT_JSON])
		return print_json(ok);
	objects = json_object_get(ok, "objects");
	n = (int)json_array_size(objects);
	parent = calloc((size_t)n + 1, sizeof *parent);
	if (!parent)
		return complain("no memory for a tree");
	for (int i = 0; i < n; i++)
		parent[i] = parent_of(objects, i);
	cut_own_snapshots(objects, parent, n);
	cut_cycles(parent, n);
	status = print_table(c, columns, ARRAY_SIZE(columns), objects, parent);
	free(parent);
	return status;
}
