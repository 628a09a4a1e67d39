/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_info.c - cowbd info, uri: one object, and the lines that make clients use it
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mounts.h"

/* In an option of qemu a comma ends a value; two are one. */
static char *qemu_quote(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *p = out;

	for (; out && *text; text++) {
		*p++ = *text;
		if (*text == ',')
			*p++ = ',';
	}
	if (out)
		*p = '\0';
	return out;
}

/* 'text', safe for a shell. */
static char *shell_quote(const char *text)
{
	char *out = malloc(4 * strlen(text) + 3), *p = out;

	if (!out)
		return NULL;
	*p++ = '\'';
	for (; *text; text++) {
		if (*text == '\'')
			p = stpcpy(p, "'\\''");
		else
			*p++ = *text;
	}
	strcpy(p, "'");
	return out;
}

static int add_socket_lines(json_t *lines, const char *name, const char *socket, bool writable)
{
	SCOPED_TEXT char *path = qemu_quote(socket), *export = qemu_quote(name), *blockdev = NULL;
	SCOPED_TEXT char *quoted = NULL, *sh_socket = shell_quote(socket),
			 *sh_name = shell_quote(name);

	if (!path || !export || !sh_socket || !sh_name ||
	    asprintf(&blockdev,
		     "driver=nbd,node-name=disk0,server.type=unix,server.path=%s,export=%s,"
		     "reconnect-delay=600%s",
		     path, export, writable ? ",discard=unmap" : ",read-only=on") < 0)
		return complain("no memory for a line");
	quoted = shell_quote(blockdev);
	if (!quoted)
		return complain("no memory for a line");
	json_object_set_new(lines, "qemu",
			    json_sprintf("-blockdev %s -device virtio-blk-pci,drive=disk0",
					 quoted));
	json_object_set_new(lines, "nbd_client",
			    json_sprintf("nbd-client -unix %s /dev/nbd0 -name %s%s", sh_socket,
					 sh_name, writable ? "" : " -readonly"));
	return DONE;
}

/* {"uri":..., "nbdcopy":..., "qemu":..., "nbd_client":...} */
static int make_lines(struct session *s, json_t *object, json_t **ret_lines)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	bool writable = strcmp(json_string_value(json_object_get(object, "kind")), "volume") == 0;
	SCOPED_JSON json_t *lines = json_object();
	SCOPED_TEXT char *quoted = NULL;
	struct address a = {0};
	int status = session_address(s, name, &a);

	if (status)
		return status;
	quoted = shell_quote(a.uri);
	json_object_set_new(lines, "uri", json_string(a.uri));
	json_object_set_new(lines, "nbdcopy",
			    json_sprintf("nbdcopy --progress %s FILE", quoted ? quoted : a.uri));
	if (a.socket)
		status = add_socket_lines(lines, name, a.socket, writable);
	address_fini(&a);
	if (!status)
		*ret_lines = json_incref(lines);
	return status;
}

/* ---- printing --------------------------------------------------------------------------- */

static const struct {
	const char *label, *key;
	enum { TEXT, SIZE, TIME, NUMBER, FLAG } kind;
} fields[] = {
	{"name", "name", TEXT},
	{"kind", "kind", TEXT},
	{"id", "id", NUMBER},
	{"size", "size", SIZE},
	{"sector size", "sector_size", NUMBER},
	{"created", "created_ns", TIME},
	{"made from", "parent", TEXT},
	{"consistency", "label", TEXT},
	{"mapped", "mapped", SIZE},
	{"exclusive", "exclusive", SIZE},
	{"shared", "shared", SIZE},
	{"block map", "map_bytes", SIZE},
	{"made by rollback", "before_rollback", FLAG},
	{"ephemeral", "ephemeral", FLAG},
};

static void print_field(const char *label, const char *text)
{
	printf("%-18s%s\n", label, text);
}

static void print_fields(const struct call *c, json_t *object)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		json_t *v = json_object_get(object, fields[i].key);
		uint64_t number = (uint64_t)json_integer_value(v);
		char buf[64];

		switch (fields[i].kind) {
		case TEXT:
			if (json_is_string(v))
				print_field(fields[i].label, json_string_value(v));
			break;
		case SIZE:
			print_field(fields[i].label,
				    size_text(number, c->opt[OPT_BYTES] != NULL, buf));
			break;
		case TIME: print_field(fields[i].label, time_text(number, buf)); break;
		case NUMBER:
			snprintf(buf, sizeof buf, "%" PRIu64, number);
			print_field(fields[i].label, buf);
			break;
		case FLAG:
			if (json_is_true(v))
				print_field(fields[i].label, "yes");
			break;
		}
	}
}

static void print_connections(json_t *list)
{
	json_t *k;
	size_t i;

	json_array_foreach(list, i, k)
		printf("%-18s%s, %" JSON_INTEGER_FORMAT " requests%s\n", "client",
		       json_string_value(json_object_get(k, "peer")),
		       json_integer_value(json_object_get(k, "requests")),
		       json_is_true(json_object_get(k, "attached")) ? "" : " (not attached yet)");
}

/* [{"device":..., "via":..., "use":...}]: where it is attached here. */
static int list_devices(const struct session *s, json_t *object, json_t **ret_list)
{
	SCOPED_ATTACHMENTS struct attachments all = {0};
	int status = attachments_find(
		s->uuid, (uint64_t)json_integer_value(json_object_get(object, "id")), &all);
	json_t *list = json_array();

	for (size_t i = 0; i < all.n; i++) {
		char use[1024];

		describe_use(&all.list[i], use, sizeof use);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "device", all.list[i].device,
						"via", via_name(all.list[i].via), "use", use));
	}
	*ret_list = list;
	return status;
}

static void print_devices(json_t *list)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *use = json_string_value(json_object_get(one, "use"));

		printf("%-18s%s%s%s\n", "attached",
		       json_string_value(json_object_get(one, "device")), use && *use ? ", " : "",
		       use ? use : "");
	}
}

static void print_lines(json_t *lines)
{
	static const char *const keys[] = {"uri", "nbd_client", "qemu", "nbdcopy"};
	static const char *const labels[] = {"URI", "nbd-client", "qemu", "nbdcopy"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = json_string_value(json_object_get(lines, keys[i]));

		if (text)
			print_field(labels[i], text);
	}
}

static int get_info(struct session *s, const char *name, json_t **ret_ok)
{
	json_t *args = json_pack("{s:s}", "name", name);
	int err = session_call(s, "info", args, NULL, NULL, ret_ok);

	json_decref(args);
	return err < 0 ? session_complain(s) : DONE;
}

int cmd_info(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL;
	json_t *lines = NULL, *devices = NULL;
	struct session s;
	int status = check_name(c->words[0]);

	if (status)
		return status;
	status = session_open(c, "info", &s);
	if (!status)
		status = get_info(&s, c->words[0], &ok);
	if (!status && s.daemon)
		status = make_lines(&s, ok, &lines);
	if (!status && s.daemon)
		status = list_devices(&s, ok, &devices);
	status = session_close(&s, status);
	if (lines)
		json_object_set_new(ok, "lines", lines);
	if (devices)
		json_object_set_new(ok, "devices", devices);
	if (status)
		return status;
	if (c->opt[OPT_JSON])
		return print_json(ok);
	print_fields(c, ok);
	print_connections(json_object_get(ok, "connections"));
	print_devices(devices);
	print_lines(lines);
	return DONE;
}

int cmd_uri(const struct call *c)
{
	SCOPED_JSON json_t *ok = NULL, *answer = NULL;
	struct address a = {0};
	struct session s;
	int status = check_name(c->words[0]);

	if (status)
		return status;
	status = session_find(c, &s);
	if (!status)
		status = session_address(&s, c->words[0], &a);
	if (!status) /* a URI of nothing helps nobody */
		status = get_info(&s, c->words[0], &ok);
	if (!status)
		status = make_lines(&s, ok, &answer);
	status = session_close(&s, status);
	if (!status && c->opt[OPT_JSON]) {
		json_object_set_new(answer, "socket",
				    a.socket ? json_string(a.socket) : json_null());
		status = print_json(answer);
	} else if (!status) {
		printf("%s\n", a.uri);
	}
	address_fini(&a);
	return status;
}
