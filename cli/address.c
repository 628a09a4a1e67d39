/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.c - where NBD clients reach a daemon: URIs and sockets
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* RFC 3986: what a path segment or a query value may hold as it is; keep: also these. */
static void encode(FILE *out, const char *text, const char *keep)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (isalnum(*p) || strchr("-._~", *p) || strchr(keep, *p))
			fputc(*p, out);
		else
			fprintf(out, "%%%02X", *p);
	}
}

char *unix_uri(const char *name, const char *socket)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs("nbd+unix:///", out);
	encode(out, name, "@:");
	fputs("?socket=", out);
	encode(out, socket, "/:@");
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* The daemon's own URI with NAME as the export: ours goes before the query, after the authority. */
static char *uri_with_name(const char *base, const char *name)
{
	const char *authority = strstr(base, "://");
	const char *path, *query;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!authority)
		return NULL;
	path = authority + 3 + strcspn(authority + 3, "/?");
	query = path + strcspn(path, "?");
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	fprintf(out, "%.*s/", (int)(path - base), base);
	encode(out, name, "@:");
	fputs(query, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

void address_fini(struct address *a)
{
	free(a->uri);
	free(a->socket);
	*a = (struct address){0};
}

int session_address(struct session *s, const char *name, struct address *ret)
{
	SCOPED_JSON json_t *status = NULL;
	struct address a = {0};
	const char *uri, *socket;

	if (!s->daemon)
		return complain("pool %s is not served: `cowbd serve %s` does it", s->name,
				s->path);
	if (session_call(s, "status", NULL, NULL, NULL, &status) < 0)
		return session_complain(s);
	socket = json_string_value(json_object_get(status, "socket"));
	uri = json_string_value(json_object_get(status, "uri"));
	if (socket && *socket)
		a.socket = strdup(socket);
	else if (uri && *uri)
		a.uri = uri_with_name(uri, name);
	else if (run_dir_file(&a.socket, "%s.nbd", s->uuid))
		return FAILED;
	if (a.socket)
		a.uri = unix_uri(name, a.socket);
	if (!a.uri) {
		address_fini(&a);
		return complain("no memory for a URI");
	}
	*ret = a;
	return DONE;
}
