/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_fork.c - cowbd snapshot, clone, rollback
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

#define CLONES_MAX 100000

static void print_names(json_t *list)
{
	json_t *name;
	size_t i;

	json_array_foreach(list, i, name) printf("%s\n", json_string_value(name));
}

int cmd_snapshot(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args, *names = json_array();
	int status = DONE;

	for (int i = 0; !status && i < c->n; i++) {
		status = check_name(c->words[i]);
		json_array_append_new(names, json_string(c->words[i]));
	}
	if (status) {
		json_decref(names);
		return status;
	}
	args = new_args(c);
	json_object_set_new(args, "names", names);
	status = run_and_note(c, "snapshot", args, &ok);
	if (!status && !c->opt[OPT_JSON])
		print_names(json_object_get(ok, "snapshots"));
	return status;
}

/* ---- clone ----------------------------------------------------------------------------- */

/* PREFIX001 ... PREFIXn: as many digits as the last one has. */
static int count_names(const struct call *c, json_t *names)
{
	unsigned long n;
	int width, status = parse_number(c->opt[OPT_COUNT], "-n", 1, CLONES_MAX, &n);

	if (status)
		return status;
	if (c->n != 2)
		return usage_error(c, "with -n takes NAME PREFIX");
	width = snprintf(NULL, 0, "%lu", n);
	for (unsigned long i = 1; !status && i <= n; i++) {
		SCOPED_TEXT char *name = NULL;

		if (asprintf(&name, "%s%0*lu", c->words[1], width, i) < 0) {
			name = NULL;
			return complain("no memory for names");
		}
		status = check_name(name);
		json_array_append_new(names, json_string(name));
	}
	return status;
}

int cmd_clone(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args, *names = json_array();
	int status = check_name(c->words[0]);

	if (!status && c->opt[OPT_COUNT])
		status = count_names(c, names);
	for (int i = 1; !status && !c->opt[OPT_COUNT] && i < c->n; i++) {
		status = check_name(c->words[i]);
		json_array_append_new(names, json_string(c->words[i]));
	}
	if (status) {
		json_decref(names);
		return status;
	}
	args = new_args(c);
	json_object_set_new(args, "source", json_string(c->words[0]));
	json_object_set_new(args, "names", names);
	return run_and_note(c, "clone", args, &ok);
}

/* ---- rollback ----------------------------------------------------------------------------- */

int cmd_rollback(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	const char *keep = c->opt[OPT_KEEP], *kept;
	json_t *args;
	int status = check_name(c->words[0]);

	if (!status && keep)
		status = check_name(keep);
	if (status)
		return status;
	if (keep && c->opt[OPT_DISCARD])
		return usage_error(c, "--keep and --discard exclude each other");
	args = new_args(c);
	json_object_set_new(args, "name", json_string(c->words[0]));
	json_object_set_new(args, "undo", json_boolean(c->opt[OPT_UNDO] != NULL));
	json_object_set_new(args, "discard", json_boolean(c->opt[OPT_DISCARD] != NULL));
	json_object_set_new(args, "force", json_boolean(c->opt[OPT_FORCE] != NULL));
	if (keep)
		json_object_set_new(args, "keep", json_string(keep));
	status = run_and_note(c, "rollback", args, &ok);
	if (status || c->opt[OPT_JSON])
		return status;
	kept = json_string_value(json_object_get(ok, "kept"));
	if (kept)
		printf("the state left behind is kept as %s\n", kept);
	return DONE;
}
