/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_events.c - cowbd events: tells what happens in a served pool, as it happens
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char *text_of(json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text ? text : "";
}

/* All members but those that were printed: "key value". */
static void print_rest(json_t *event)
{
	const char *key;
	json_t *value;

	json_object_foreach(event, key, value)
	{
		SCOPED_TEXT char *text = NULL;

		if (strcmp(key, "event") == 0 || strcmp(key, "time") == 0 ||
		    strcmp(key, "result") == 0)
			continue;
		if (json_is_string(value)) {
			printf("  %s %s", key, json_string_value(value));
			continue;
		}
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		printf("  %s %s", key, text ? text : "?");
	}
}

static void print_event(void *opaque, json_t *event)
{
	const struct call *c = opaque;
	SCOPED_TEXT char *line = NULL;

	if (c->opt[OPT_JSON]) {
		line = json_dumps(event, JSON_COMPACT);
		printf("%s\n", line ? line : "{}");
	} else {
		printf("%-24s  %-12s", text_of(event, "time"), text_of(event, "event"));
		print_rest(event);
		printf("\n");
	}
	fflush(stdout);
}

int cmd_events(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	struct trouble t = {.message = ""};
	struct session s;
	int status = session_find(c, &s);

	if (!status && !s.daemon)
		status = complain("pool %s is not served: nothing happens in it", s.path);
	if (!status && session_call(&s, "subscribe", NULL, NULL, NULL, &ok) < 0)
		status = session_complain(&s);
	if (!status) {
		interruption_catch();
		if (!client_events(s.daemon, print_event, (void *)(uintptr_t)c, &t) &&
		    !interrupted())
			status = complain("the daemon went away without a word: it was killed, or "
					  "is overloaded");
	}
	return session_close(&s, status);
}
