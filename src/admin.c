/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin.c - the table of management commands, and their arguments
 *
 * A command is known by one line of the table: its name, whether it only
 * reads, and the arguments that it takes; any other argument is refused, so that
 * a misspelt one is never silently ignored.
 */
#include "admin.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin_internal.h"

struct admin_command {
	const char *name;
	admin_run run;
	bool reads_only;
	const char *args; /* names, each with a space around it */
};

static const struct admin_command commands[] = {
	{"status", admin_status, true, " "},
	{"ls", admin_ls, true, " usage "},
	{"info", admin_info, true, " name no_usage "},
	{"df", admin_df, true, " "},
	{"diff", admin_diff, true, " a b "},
	{"check", admin_check, true, " "},
	{"scrub", admin_scrub, false, " "},
	{"create", admin_create, false, " name size sector_size no_wait "},
	{"rm", admin_rm, false, " names recursive dry_run force no_wait "},
	{"rename", admin_rename, false, " name new_name no_wait "},
	{"resize", admin_resize, false, " name size force reconnect no_wait "},
	{"snapshot", admin_snapshot, false, " names label no_wait "},
	{"clone", admin_clone, false, " source names ephemeral no_wait "},
	{"rollback", admin_rollback, false, " name undo keep discard force no_wait "},
	{"grow", admin_grow, false, " size "},
	{"stop", admin_stop, false, " force quick "},
	{"on_full", admin_on_full, false, " name policy "},
};

static _Thread_local char last_hint[512];

const char *admin_hint(void)
{
	return last_hint;
}

int with_hint(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_hint, sizeof last_hint, fmt, ap);
	va_end(ap);
	return err;
}

void cleanup_json(json_t **json)
{
	json_decref(*json);
}

int answer_with(json_t *answer, json_t **ret_ok)
{
	if (!answer)
		return fail(-ENOMEM, "no memory for the answer");
	*ret_ok = answer;
	return 0;
}

/* ---- arguments ------------------------------------------------------------- */

int arg_optional(const struct admin_request *r, const char *key, const char **ret)
{
	json_t *v = json_object_get(r->args, key);

	if (v && !json_is_string(v))
		return fail(-EINVAL, "argument \"%s\" must be a string", key);
	*ret = json_string_value(v);
	return 0;
}

int arg_string(const struct admin_request *r, const char *key, const char **ret)
{
	int err = arg_optional(r, key, ret);

	if (!err && !*ret)
		return fail(-EINVAL, "argument \"%s\" is missing", key);
	return err;
}

int arg_flag(const struct admin_request *r, const char *key, bool *ret)
{
	json_t *v = json_object_get(r->args, key);

	if (v && !json_is_boolean(v))
		return fail(-EINVAL, "argument \"%s\" must be true or false", key);
	*ret = json_is_true(v);
	return 0;
}

int arg_bytes(const struct admin_request *r, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(r->args, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return fail(-EINVAL, "argument \"%s\" must be a number of bytes", key);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

int arg_names(const struct admin_request *r, const char *key, const char ***ret_names,
	      size_t *ret_n)
{
	json_t *list = json_object_get(r->args, key), *v;
	size_t n = json_array_size(list), i;
	CLEANUP_FREE const char **names = NULL;

	if (!json_is_array(list) || n == 0)
		return fail(-EINVAL, "argument \"%s\" must be an array of names", key);
	names = calloc(n, sizeof *names);
	if (!names)
		return fail(-ENOMEM, "no memory for %zu names", n);
	json_array_foreach(list, i, v)
	{
		if (!json_is_string(v))
			return fail(-EINVAL, "argument \"%s\" must be an array of names", key);
		names[i] = json_string_value(v);
	}
	*ret_names = names;
	*ret_n = n;
	names = NULL;
	return 0;
}

int arg_wait(const struct admin_request *r, unsigned *ret_flags)
{
	bool no_wait;
	int err = arg_flag(r, "no_wait", &no_wait);

	if (!err)
		*ret_flags = no_wait ? COWBD_NO_WAIT : 0;
	return err;
}

/* ---- dispatch ---------------------------------------------------------------- */

static const struct admin_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int check_args(const struct admin_command *c, json_t *args)
{
	const char *key;
	json_t *value;
	char padded[64];

	if (args && !json_is_object(args))
		return fail(-EINVAL, "arguments must be an object");
	json_object_foreach(args, key, value)
	{
		snprintf(padded, sizeof padded, " %.60s ", key);
		if (!strstr(c->args, padded) || strchr(key, ' '))
			return fail(-EINVAL, "%s knows no argument \"%.60s\"", c->name, key);
	}
	return 0;
}

bool admin_reads_only(const char *cmd)
{
	const struct admin_command *c = find_command(cmd);

	return c && c->reads_only;
}

int admin_call(struct cowbd_pool *p, const struct admin_host *host, const char *cmd, json_t *args,
	       admin_progress progress, void *opaque, json_t **ret_ok)
{
	const struct admin_command *c = find_command(cmd);
	struct admin_request r = {p, host, args, progress, opaque};
	int err;

	last_hint[0] = '\0';
	if (!c)
		return fail(-EINVAL, "no command \"%.60s\"", cmd);
	err = check_args(c, args);
	return err ? err : c->run(&r, ret_ok);
}

/* ---- names of errors ----------------------------------------------------------- */

const char *admin_errno_name(int err)
{
	return error_name(err);
}

int admin_errno(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return 0;
}
