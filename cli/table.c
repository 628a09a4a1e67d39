/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c - tables and trees by libsmartcols, from arrays of JSON objects
 */
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

#define COLUMNS_MAX 64

/* Columns in the order in which they are printed. */
struct choice {
	const struct column *column[COLUMNS_MAX];
	size_t n;
};

static const struct column *find_column(const struct column *columns, size_t n, const char *name,
					size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(columns[i].name) == len && strncasecmp(columns[i].name, name, len) == 0)
			return &columns[i];
	return NULL;
}

static int no_column(const struct call *c, const struct column *columns, size_t n, const char *name,
		     size_t len)
{
	char all[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof all; i++)
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? "," : "",
					 columns[i].name);
	complain("%s has no column %.*s: choose from %s", c->command->name, (int)len, name, all);
	return USAGE;
}

static int choose(const struct call *c, const struct column *columns, size_t n, struct choice *ret)
{
	const char *list = c->opt[OPT_COLUMNS];
	size_t len;

	ret->n = 0;
	for (size_t i = 0; (!list || list[0] == '+') && i < n; i++)
		if (columns[i].shown)
			ret->column[ret->n++] = &columns[i];
	if (!list)
		return DONE;
	list += list[0] == '+';
	for (;; list += len + 1) {
		const struct column *column;

		len = strcspn(list, ",");
		column = find_column(columns, n, list, len);
		if (!column)
			return no_column(c, columns, n, list, len);
		if (ret->n == COLUMNS_MAX)
			return complain("too many columns: %d are enough", COLUMNS_MAX);
		ret->column[ret->n++] = column;
		if (!list[len])
			return DONE;
	}
}

int columns_check(const struct call *c, const struct column *columns, size_t n)
{
	struct choice choice;

	return choose(c, columns, n, &choice);
}

bool column_wanted(const struct call *c, const struct column *columns, size_t n, const char *key)
{
	struct choice choice;

	if (choose(c, columns, n, &choice))
		return false;
	for (size_t i = 0; i < choice.n; i++)
		if (strcmp(choice.column[i]->key, key) == 0)
			return true;
	return false;
}

/* Text of a cell; "" for what the row hasn't got. */
static const char *cell_text(const struct call *c, const struct column *column, json_t *row,
			     char buf[64])
{
	json_t *v = json_object_get(row, column->key);
	uint64_t number = (uint64_t)json_integer_value(v);

	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "yes" : "no";
	if (!json_is_integer(v))
		return "";
	if (column->kind == CELL_SIZE)
		return size_text(number, c->opt[OPT_BYTES] != NULL, buf);
	if (column->kind == CELL_TIME)
		return time_text(number, buf);
	snprintf(buf, 64, "%" PRIu64, number);
	return buf;
}

static int add_columns(struct libscols_table *t, const struct choice *choice, bool tree)
{
	for (size_t i = 0; i < choice->n; i++) {
		const struct column *column = choice->column[i];
		int flags = column->kind == CELL_NUMBER || column->kind == CELL_SIZE
				    ? SCOLS_FL_RIGHT
			    : column->kind == CELL_TREE && tree ? SCOLS_FL_TREE
								: 0;

		if (!scols_table_new_column(t, column->name, 0, flags))
			return complain("no memory for a table");
	}
	return DONE;
}

static int add_rows(const struct call *c, struct libscols_table *t, const struct choice *choice,
		    json_t *rows, const int *parent, struct libscols_line **lines)
{
	size_t i;
	json_t *row;

	/* parents may come after their children: make all lines before joining any */
	json_array_foreach(rows, i, row)
	{
		lines[i] = scols_new_line();
		if (!lines[i] || scols_line_alloc_cells(lines[i], choice->n) < 0)
			return complain("no memory for a table");
		for (size_t k = 0; k < choice->n; k++) {
			char buf[64];

			if (scols_line_set_data(lines[i], k,
						cell_text(c, choice->column[k], row, buf)) < 0)
				return complain("no memory for a table");
		}
	}
	json_array_foreach(rows, i, row)
	{
		if (parent && parent[i] >= 0)
			scols_line_add_child(lines[parent[i]], lines[i]);
		if (scols_table_add_line(t, lines[i]) < 0)
			return complain("no memory for a table");
	}
	return DONE;
}

int print_table(const struct call *c, const struct column *columns, size_t n, json_t *rows,
		const int *parent)
{
	struct choice choice;
	struct libscols_table *t;
	struct libscols_line **lines;
	int status = choose(c, columns, n, &choice);

	if (status)
		return status;
	t = scols_new_table();
	lines = calloc(json_array_size(rows) + 1, sizeof *lines);
	if (!t || !lines)
		status = complain("no memory for a table");
	if (!status) {
		scols_table_enable_noheadings(t, c->opt[OPT_NOHEADINGS] != NULL);
		status = add_columns(t, &choice, parent != NULL);
	}
	if (!status)
		status = add_rows(c, t, &choice, rows, parent, lines);
	if (!status && json_array_size(rows) > 0 && scols_print_table(t) < 0)
		status = complain("can't write to standard output");
	for (size_t i = 0; lines && i < json_array_size(rows); i++)
		scols_unref_line(lines[i]);
	free(lines);
	scols_unref_table(t);
	return status;
}
