/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_volume.c - cowbd create, rm, rename, grow
 */
#include <stdio.h>

#include "remount.h"

int cmd_create(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	uint64_t size, sector = 0;
	json_t *args;
	int status = check_name(c->words[0]);

	if (!status)
		status = parse_disk_size(c->words[1], "size", &size);
	if (!status && c->opt[OPT_SECTOR_SIZE])
		status = parse_disk_size(c->opt[OPT_SECTOR_SIZE], "sector size", &sector);
	if (status)
		return status;
	args = new_args(c);
	json_object_set_new(args, "name", json_string(c->words[0]));
	json_object_set_new(args, "size", json_integer((json_int_t)size));
	if (sector)
		json_object_set_new(args, "sector_size", json_integer((json_int_t)sector));
	return run_and_note(c, "create", args, &ok);
}

int cmd_rename(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args;
	int status = check_name(c->words[0]);

	if (!status)
		status = check_name(c->words[1]);
	if (status)
		return status;
	args = new_args(c);
	json_object_set_new(args, "name", json_string(c->words[0]));
	json_object_set_new(args, "new_name", json_string(c->words[1]));
	return run_and_note(c, "rename", args, &ok);
}

static int tell_removed(const struct call *c, json_t *ok)
{
	json_t *name, *list = json_object_get(ok, "removed");
	uint64_t frees = (uint64_t)json_integer_value(json_object_get(ok, "frees"));
	char size[SIZE_TEXT];
	size_t i;

	if (!json_is_true(json_object_get(ok, "dry_run")))
		return DONE;
	json_array_foreach(list, i, name) printf("would remove %s\n", json_string_value(name));
	printf("would free %s\n", size_text(frees, c->opt[OPT_BYTES] != NULL, size));
	return DONE;
}

/* A daemon knows its clients; a device without one waits for the next. */
static int refuse_attached(struct session *s, const char *name)
{
	SCOPED_ATTACHMENTS struct attachments there = {0};
	char list[2048];
	int status = disk_attachments(s, name, &there);

	if (status || !there.n)
		return status;
	describe_attachments(&there, list, sizeof list);
	return complain("can't remove %s: it is attached as %s, which waits for its pool to be "
			"served again: `cowbd detach --force %s` first",
			name, list, there.list[0].device);
}

/* All that would go with a volume; to ask takes a walk of its map. */
static int refuse_any_attached(struct session *s, json_t *args)
{
	SCOPED_JSON json_t *dry = json_copy(args);
	SCOPED_JSON json_t *would = NULL;
	json_t *name;
	int status = DONE;
	size_t i;

	if (json_object_set_new(dry, "dry_run", json_true()) < 0)
		return complain("no memory to look for what is attached");
	if (session_call(s, "rm", dry, NULL, NULL, &would) < 0)
		return session_complain(s);
	json_array_foreach(json_object_get(would, "removed"), i, name)
	{
		if (!status)
			status = refuse_attached(s, json_string_value(name));
	}
	return status;
}

static int remove_names(const struct call *c, json_t *args, json_t **ret_ok)
{
	bool force = c->opt[OPT_FORCE] || c->opt[OPT_DRY_RUN], recursive = c->opt[OPT_RECURSIVE];
	struct session s;
	json_t *ok = NULL;
	int status = session_open(c, "rm", &s);

	for (int i = 0; !status && !s.daemon && !force && !recursive && i < c->n; i++)
		status = refuse_attached(&s, c->words[i]);
	if (!status && !s.daemon && !force && recursive)
		status = refuse_any_attached(&s, args);
	if (!status && session_call(&s, "rm", args, progress_admin, NULL, &ok) < 0)
		status = session_complain(&s);
	progress_end();
	status = session_close(&s, status);
	if (status)
		json_decref(ok);
	else
		*ret_ok = ok;
	return status;
}

int cmd_rm(const struct call *c)
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
	json_object_set_new(args, "recursive", json_boolean(c->opt[OPT_RECURSIVE] != NULL));
	json_object_set_new(args, "dry_run", json_boolean(c->opt[OPT_DRY_RUN] != NULL));
	json_object_set_new(args, "force", json_boolean(c->opt[OPT_FORCE] != NULL));
	status = remove_names(c, args, &ok);
	json_decref(args);
	if (status)
		return status;
	return c->opt[OPT_JSON] ? print_json(ok) : tell_removed(c, ok);
}

int cmd_grow(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *args = json_object();
	uint64_t size;
	int status = c->n ? parse_disk_size(c->words[0], "size", &size) : DONE;
	char text[SIZE_TEXT];

	if (status) {
		json_decref(args);
		return status;
	}
	if (c->n)
		json_object_set_new(args, "size", json_integer((json_int_t)size));
	status = run_and_note(c, "grow", args, &ok);
	if (!status && !c->opt[OPT_JSON])
		printf("the pool has %s now\n",
		       size_text((uint64_t)json_integer_value(json_object_get(ok, "size")),
				 c->opt[OPT_BYTES] != NULL, text));
	return status;
}
