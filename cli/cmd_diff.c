/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_diff.c - cowbd diff: what changed from one volume or snapshot to another
 *
 * Extents are printed as they come: there can be more of them than fit in memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

struct printer {
	const struct call *c;
	bool any;
};

/* Not before there is an answer: an error shall leave nothing on standard output. */
static void print_head(const struct call *c)
{
	SCOPED_JSON json_t *a = json_string(c->words[0]), *b = json_string(c->words[1]);
	SCOPED_TEXT char *a_text = json_dumps(a, JSON_ENCODE_ANY);
	SCOPED_TEXT char *b_text = json_dumps(b, JSON_ENCODE_ANY);

	if (c->opt[OPT_JSON])
		printf("{\n  \"version\": 1,\n  \"a\": %s,\n  \"b\": %s,\n  \"extents\": [",
		       a_text ? a_text : "\"\"", b_text ? b_text : "\"\"");
	else if (!c->opt[OPT_NOHEADINGS])
		printf("%15s %15s  %s\n", "OFFSET", "LENGTH", "KIND");
}

static void print_extent(struct printer *p, json_t *e)
{
	json_int_t offset = json_integer_value(json_object_get(e, "offset"));
	json_int_t length = json_integer_value(json_object_get(e, "length"));
	const char *kind = json_string_value(json_object_get(e, "kind"));

	if (!p->any)
		print_head(p->c);
	if (p->c->opt[OPT_JSON])
		printf("%s\n    {\"offset\": %" JSON_INTEGER_FORMAT
		       ", \"length\": %" JSON_INTEGER_FORMAT ", \"kind\": \"%s\"}",
		       p->any ? "," : "", offset, length, kind);
	else
		printf("%15" JSON_INTEGER_FORMAT " %15" JSON_INTEGER_FORMAT "  %s\n", offset,
		       length, kind);
	p->any = true;
}

static void print_batch(void *opaque, json_t *progress)
{
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(progress, "extents"), i, e) print_extent(opaque, e);
}

static void print_totals(json_t *ok)
{
	static const char *const keys[] = {"count", "data_bytes", "zero_bytes"};

	printf("\n  ]");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		printf(",\n  \"%s\": %" JSON_INTEGER_FORMAT, keys[i],
		       json_integer_value(json_object_get(ok, keys[i])));
	printf("\n}\n");
}

int cmd_diff(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL, *args = NULL;
	struct printer p = {c, false};
	struct session s;
	int status = check_name(c->words[0]);

	if (!status)
		status = check_name(c->words[1]);
	if (status)
		return status;
	args = json_pack("{s:s, s:s}", "a", c->words[0], "b", c->words[1]);
	status = session_open(c, "diff", &s);
	if (!status && session_call(&s, "diff", args, print_batch, &p, &ok) < 0)
		status = session_complain(&s);
	status = session_close(&s, status);
	if (!status && !p.any)
		print_head(c);
	if (!status && c->opt[OPT_JSON])
		print_totals(ok);
	return status;
}
