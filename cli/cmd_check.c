/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_check.c - cowbd check: verifies a pool, served or not
 */
#include <inttypes.h>
#include <stdio.h>

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

int cmd_check(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	struct session s;
	int err = 0, status = session_find(c, &s);

	if (!status && s.daemon)
		err = session_call(&s, "check", NULL, progress_admin, NULL, &ok);
	else if (!status)
		err = admin_check_file(s.path, progress_admin, NULL, &ok);
	progress_end();
	if (err)
		status = s.daemon ? session_complain(&s) : complain_library();
	status = session_close(&s, status);
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
