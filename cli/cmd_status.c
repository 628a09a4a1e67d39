/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_status.c - cowbd status: how the pool and its daemon are
 *
 * A pool that nobody serves has a status too: so that is no failure.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static const char *text_of(json_t *ok, const char *key)
{
	const char *text = json_string_value(json_object_get(ok, key));

	return text ? text : "";
}

static uint64_t number_of(json_t *ok, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(ok, key));
}

static void print_size(const struct call *c, const char *label, uint64_t bytes)
{
	char text[SIZE_TEXT];

	printf("%-18s%s\n", label, size_text(bytes, c->opt[OPT_BYTES] != NULL, text));
}

static void print_state(json_t *ok)
{
	if (json_is_true(json_object_get(ok, "failed")))
		printf("%-18sfailed, read-only now: %s\n", "state", text_of(ok, "failure"));
	else if (json_is_true(json_object_get(ok, "read_only")) &&
		 json_is_true(json_object_get(ok, "served")))
		printf("%-18sread-only\n", "state");
	else if (json_is_true(json_object_get(ok, "served")))
		printf("%-18sserved\n", "state");
	else
		printf("%-18snot served, %s\n", "state",
		       json_is_true(json_object_get(ok, "was_clean"))
			       ? "closed cleanly"
			       : "not closed cleanly (opening it recovers)");
}

static void print_full(json_t *ok)
{
	if (number_of(ok, "held"))
		printf("%-18ssince %s: %" PRIu64 " writes wait for space: remove snapshots or "
		       "volumes, or `cowbd grow`\n",
		       "full", text_of(ok, "full_since"), number_of(ok, "held"));
	else if (number_of(ok, "writes_refused"))
		printf("%-18s%" PRIu64 " since the start, for want of space\n", "writes refused",
		       number_of(ok, "writes_refused"));
}

static void print_counters(json_t *ok)
{
	static const struct {
		const char *label, *key;
	} counters[] = {
		{"faults", "faults"},
		{"  copied nothing", "faults_no_copy"},
		{"  bytes copied", "bytes_copied"},
		{"in-place writes", "in_place_writes"},
		{"blocks put in order", "blocks_moved"},
		{"map pages copied", "map_pages_copied"},
		{"commits", "commits"},
		{"  of one sync", "short_commits"},
		{"checkpoints", "checkpoints"},
		{"blocks reclaimed", "blocks_reclaimed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		printf("%-18s%" PRIu64 "\n", counters[i].label, number_of(ok, counters[i].key));
}

static void print_clients(json_t *ok)
{
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(ok, "clients"), i, k)
	{
		printf("%-18s%s: %s, %" PRIu64 " requests", "client", text_of(k, "name"),
		       text_of(k, "peer"), number_of(k, "requests"));
		if (number_of(k, "held"))
			printf(", %" PRIu64 " held for %.0f s", number_of(k, "held"),
			       json_number_value(json_object_get(k, "held_seconds")));
		printf("\n");
	}
}

static void print_status(const struct call *c, json_t *ok, bool served)
{
	printf("%-18s%s (%s)\n", "pool", text_of(ok, "name"), text_of(ok, "uuid"));
	printf("%-18s%s\n", "file", text_of(ok, "path"));
	print_state(ok);
	if (*text_of(ok, "note"))
		printf("%-18s%s\n", "note", text_of(ok, "note"));
	if (json_object_get(ok, "pid"))
		printf("%-18s%" PRIu64 "\n", "pid", number_of(ok, "pid"));
	if (*text_of(ok, "uri"))
		printf("%-18s%s\n", "uri", text_of(ok, "uri"));
	print_size(c, "size", number_of(ok, "size"));
	print_size(c, "block size", number_of(ok, "block_size"));
	print_size(c, "free", number_of(ok, "free_bytes"));
	print_full(ok);
	printf("%-18s%" PRIu64 " (%" PRIu64 " snapshots)\n", "volumes", number_of(ok, "volumes"),
	       number_of(ok, "snapshots"));
	printf("%-18s%" PRIu64 "\n", "being reclaimed", number_of(ok, "dying"));
	if (!served)
		return;
	printf("%-18s%s\n", "io", text_of(ok, "io"));
	printf("%-18s%s\n", "tail", text_of(ok, "tail"));
	print_counters(ok);
	print_clients(ok);
}

int cmd_status(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	struct session s;
	bool served;
	int status = session_open(c, "status", &s);

	served = s.daemon != NULL;
	if (!status && session_call(&s, "status", NULL, NULL, NULL, &ok) < 0)
		status = session_complain(&s);
	if (!status && served && !json_object_get(ok, "pid"))
		json_object_set_new(ok, "pid", json_integer(s.hello.pid));
	status = session_close(&s, status);
	if (status)
		return status;
	json_object_set_new(ok, "served", json_boolean(served));
	if (c->opt[OPT_JSON])
		return print_json(ok);
	print_status(c, ok, served);
	return DONE;
}
