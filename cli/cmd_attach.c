/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_attach.c - cowbd attach, detach
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mounts.h"
#include "parts.h"

#define CONNECTIONS 1 /* see attach_nbd.c */
#define GONE_SECONDS 10

static int parse_via(const struct call *c, enum via *ret)
{
	static const enum via all[] = {VIA_AUTO, VIA_NBD, VIA_FUSE};

	*ret = VIA_AUTO;
	if (!c->opt[OPT_VIA])
		return DONE;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(c->opt[OPT_VIA], via_name(all[i])) == 0) {
			*ret = all[i];
			return DONE;
		}
	return usage_error(c, "--via %s: it is auto, nbd or fuse", c->opt[OPT_VIA]);
}

/* --device: also says which way. */
static int parse_device(const struct call *c, struct attach *a)
{
	const char *text = c->opt[OPT_DEVICE];
	enum via of;
	unsigned index;
	char rest;

	a->index = -1;
	if (!text)
		return DONE;
	if (sscanf(text, "/dev/nbd%u%c", &index, &rest) == 1)
		of = VIA_NBD;
	else if (sscanf(text, "/dev/loop%u%c", &index, &rest) == 1)
		of = VIA_FUSE;
	else
		return usage_error(c, "--device %s: it is /dev/nbdN or /dev/loopN", text);
	if (a->via != VIA_AUTO && a->via != of)
		return usage_error(c, "--device %s is not --via %s", text, via_name(a->via));
	a->via = of;
	a->index = (int)index;
	return DONE;
}

int attach_options(const struct call *c, struct attach *a)
{
	unsigned long connections = CONNECTIONS;
	uint64_t sector = 0;
	int status = parse_via(c, &a->via);

	if (!status)
		status = parse_device(c, a);
	if (!status && c->opt[OPT_CONNECTIONS])
		status =
			parse_number(c->opt[OPT_CONNECTIONS], "--connections", 1, 16, &connections);
	if (!status && c->opt[OPT_SECTOR_SIZE])
		status = parse_size(c->opt[OPT_SECTOR_SIZE], "sector size", &sector);
	if (!status && sector && sector != 512 && sector != 4096)
		status = usage_error(c, "--sector-size %s: it is 512 or 4096",
				     c->opt[OPT_SECTOR_SIZE]);
	a->connections = (unsigned)connections;
	a->sector_bytes = (uint32_t)sector;
	a->read_only = c->opt[OPT_READONLY] != NULL;
	return status;
}

static int print_attached(const struct call *c, const struct attach *a, const struct attachment *at)
{
	SCOPED_JSON json_t *answer = NULL;

	if (!c->opt[OPT_JSON]) {
		printf("%s\n", at->device);
		return DONE;
	}
	answer = json_pack("{s:s, s:s, s:s, s:b, s:i}", "name", a->name, "device", at->device,
			   "via", via_name(at->via), "read_only", at->read_only, "sector_size",
			   (int)a->sector_bytes);
	return print_json(answer);
}

static int attach_one(const struct call *c, struct session *s, struct attach *a)
{
	SCOPED_JSON json_t *object = NULL;
	SCOPED_FD int lock = -1, fd = -1;
	struct attachment at;
	int status = disk_info(s, c->words[0], &object);

	if (!status)
		status = attach_prepare(s, object, a);
	if (!status)
		status = attach_lock(&lock);
	if (!status)
		status = attach_device(a, &at, &fd);
	if (status)
		return status;
	parts_scan(&at, fd);
	return print_attached(c, a, &at);
}

int cmd_attach(const struct call *c)
{
	struct attach a = {0};
	struct session s;
	int status = check_name(c->words[0]);

	if (!status)
		status = attach_options(c, &a);
	if (!status)
		status = need_root(c);
	if (status)
		return status;
	status = session_find(c, &s);
	if (!status)
		status = attach_one(c, &s, &a);
	return session_close(&s, status);
}

/* ---- detach --------------------------------------------------------------------------- */

/* The only device of a disk that is named. */
static int find_by_name(const struct call *c, struct attachment *ret)
{
	SCOPED_ATTACHMENTS struct attachments all = {0};
	SCOPED_JSON json_t *object = NULL;
	struct session s;
	int status = check_name(c->words[0]);

	if (status)
		return status;
	status = session_find(c, &s);
	if (!status)
		status = disk_info(&s, c->words[0], &object);
	if (!status)
		status = attachments_find(
			s.uuid, (uint64_t)json_integer_value(json_object_get(object, "id")), &all);
	status = session_close(&s, status);
	if (!status && all.n == 0)
		return complain("%s is not attached", c->words[0]);
	if (!status)
		*ret = all.list[0];
	return status;
}

static bool is_served(const char *uuid)
{
	struct session s;
	bool served = session_find_uuid(uuid, &s) == DONE;

	(void)session_close(&s, DONE);
	return served;
}

/* Without its daemon nothing that is cached can be written, and closing the device would wait for that, as long as
 * its I/O does. */
static int detach_unserved(const struct call *c, const struct attachment *at)
{
	char use[1024];

	if (!c->opt[OPT_FORCE])
		return complain("can't detach %s: its pool is not served, so that what was written "
				"last can't get there: `cowbd serve` it first, or lose that with "
				"--force",
				at->device);
	describe_use(at, use, sizeof use);
	if (use[0])
		return complain("can't detach %s: %s: `umount` that first", at->device, use);
	(void)cut_device(at);
	return wait_detached(at, GONE_SECONDS)
		       ? DONE
		       : complain("%s: a program has it still open: it is detached when that one "
				  "closes it",
				  at->device);
}

int cmd_detach(const struct call *c)
{
	const char *what = c->words[0];
	SCOPED_FD int lock = -1;
	struct attachment at;
	int status = need_root(c);

	if (status)
		return status;
	if (what[0] != '/')
		status = find_by_name(c, &at);
	else if (access(what, F_OK) < 0)
		status = complain("no device %s", what);
	else if (!attachment_of_device(what, &at))
		status = complain("%s is not attached by cowbd", what);
	if (!status)
		status = attach_lock(&lock);
	if (status)
		return status;
	return is_served(at.uuid) ? detach_device(&at) : detach_unserved(c, &at);
}
