/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_df.c - cowbd df: who uses how much space, and what sharing saves
 */
#include <string.h>

#include "cli.h"

static const struct column columns[] = {
	{"NAME", "name", CELL_TEXT, true},           {"VIRTUAL", "virtual", CELL_SIZE, true},
	{"MAPPED", "mapped", CELL_SIZE, true},       {"SHARED", "shared", CELL_SIZE, true},
	{"EXCLUSIVE", "exclusive", CELL_SIZE, true}, {"SAVED", "saved", CELL_SIZE, true},
	{"USED", "used", CELL_SIZE, false},          {"METADATA", "metadata", CELL_SIZE, false},
	{"CAPACITY", "capacity", CELL_SIZE, false},  {"FREE", "free", CELL_SIZE, true},
};

/* One row an object, and the pool as the last. */
static json_t *make_rows(json_t *ok)
{
	json_t *rows = json_array(), *object, *pool = json_object_get(ok, "pool"), *last;
	size_t i;

	json_array_foreach(json_object_get(ok, "objects"), i, object)
	{
		json_t *row = json_copy(object);

		json_object_set(row, "virtual", json_object_get(object, "size"));
		json_array_append_new(rows, row);
	}
	last = json_copy(pool);
	json_object_set_new(last, "name",
			    json_sprintf("(pool %s)",
					 json_string_value(json_object_get(pool, "name"))));
	json_array_append_new(rows, last);
	return rows;
}

int cmd_df(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL, *rows = NULL;
	int status = columns_check(c, columns, ARRAY_SIZE(columns));

	if (!status)
		status = run_admin(c, "df", NULL, &ok);
	if (status)
		return status;
	if (c->opt[OPT_JSON])
		return print_json(ok);
	rows = make_rows(ok);
	return print_table(c, columns, ARRAY_SIZE(columns), rows, NULL);
}
