/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_check.c - cowbd check: verifies a pool, served or not
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static uint64_t count(json_t *ok, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(ok, key));
}

static void print_finding(json_t *f)
{
	const char *object = json_string_value(json_object_get(f, "object"));
	json_t *offset = json_object_get(f, "offset");

	printf("%s: ", json_string_value(json_object_get(f, "kind")));
	if (object && *object)
		printf("%s: ", object);
	printf("%s", json_string_value(json_object_get(f, "message")));
	if (offset)
		printf(" (offset %" JSON_INTEGER_FORMAT ")", json_integer_value(offset));
	putchar('\n');
}

static void print_result(json_t *ok)
{
	uint64_t damages = count(ok, "damages"), leaks = count(ok, "leaks");
	json_t *findings = json_object_get(ok, "findings"), *f;
	size_t i;

	json_array_foreach(findings, i, f) print_finding(f);
	if (json_array_size(findings) < damages + leaks + count(ok, "notes"))
		printf("... only the first %zu findings are shown\n", json_array_size(findings));
	printf("%s: %" PRIu64 " objects, %" PRIu64 " pages verified, %" PRIu64 " blocks counted\n",
	       damages ? "damaged"
	       : leaks ? "leaks only"
		       : "clean",
	       count(ok, "objects"), count(ok, "pages"), count(ok, "blocks"));
}

/* A pool of which no superblock is left can't be found, but it can be told from what never was one. */
static json_t *without_superblock(const struct call *c)
{
	const char *path = c->opt[OPT_POOL] ? c->opt[OPT_POOL] : getenv("COWBD_POOL");
	struct cowbd_identity id;
	int err = path ? cowbd_probe(path, &id) : 0;

	if (err != -EBADMSG && err != -EUCLEAN)
		return NULL;
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:[{s:s, s:s, s:s}]}", "damages", 1,
			 "leaks", 0, "notes", 0, "pages", 0, "blocks", 0, "objects", 0, "findings",
			 "kind", "damage", "object", "", "message", cowbd_error());
}

static int get_result(const struct call *c, json_t **ret_ok)
{
	struct session s;
	int err = 0, status;

	*ret_ok = without_superblock(c);
	if (*ret_ok)
		return DONE;
	status = session_find(c, &s);
	if (!status && s.daemon)
		err = session_call(&s, "check", NULL, progress_admin, NULL, ret_ok);
	else if (!status)
		err = admin_check_file(s.path, progress_admin, NULL, ret_ok);
	progress_end();
	if (err)
		status = s.daemon ? session_complain(&s) : complain_library();
	return session_close(&s, status);
}

int cmd_check(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	int status = get_result(c, &ok);

	if (status)
		return status;
	if (c->opt[OPT_JSON])
		status = print_json(ok);
	else
		print_result(ok);
	if (status)
		return status;
	return count(ok, "damages") ? DAMAGE : count(ok, "leaks") ? LEAKS : DONE;
}
